{{ config(materialized='table') }}

with months as (
    select cast(month as date) as month
    from
        generate_series(timestamp '2026-01-01', timestamp '2026-06-01', interval 1 month)
            as series (month)
)

select
    subscriptions.subscription_id,
    months.month,
    subscriptions.plan,
    cast(subscriptions.price_cents / 100.0 as decimal(10, 2)) as price
from {{ ref('stg_subscriptions') }} as subscriptions
inner join months
    on
        subscriptions.started_on < months.month + interval 1 month
        and (subscriptions.ended_on is null or subscriptions.ended_on >= months.month)
