{{ config(materialized='table') }}

with latest as (
    select
        subscriber_id,
        plan,
        started_on
    from {{ ref('stg_subscriptions') }}
    where started_on <= date '2026-06-30'
    qualify row_number() over (
        partition by subscriber_id
        order by started_on desc, subscription_id desc
    ) = 1
)

select
    subscribers.subscriber_id,
    coalesce(subscribers.country_code, '??') as country_code,
    md5(lower(trim(subscribers.email))) as email_hash,
    subscribers.signed_up_on,
    coalesce(latest.plan, 'none') as latest_plan,
    latest.started_on as plan_started_on
from {{ ref('stg_subscribers') }} as subscribers
left join latest on subscribers.subscriber_id = latest.subscriber_id
