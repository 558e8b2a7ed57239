{{ config(materialized='table') }}

select
    subscribers.subscriber_id,
    subscribers.country_code,
    count(*) as subscriptions,
    max(subscriptions.ended_on) as last_ended_on
from {{ ref('stg_subscribers') }} as subscribers
inner join {{ ref('stg_subscriptions') }} as subscriptions
    on subscribers.subscriber_id = subscriptions.subscriber_id
where
    subscriptions.started_on <= date '2026-06-30'
    and not exists (
        select 1
        from {{ ref('stg_subscriptions') }} as running
        where
            running.subscriber_id = subscribers.subscriber_id
            and running.started_on <= date '2026-06-30'
            and (running.ended_on is null or running.ended_on >= date '2026-06-30')
    )
group by subscribers.subscriber_id, subscribers.country_code
