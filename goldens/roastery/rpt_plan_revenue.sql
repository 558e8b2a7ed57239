{{ config(materialized='table') }}

select
    subscriptions.plan,
    count(distinct subscriptions.subscription_id) as subscriptions,
    count(
        distinct case when payments.status = 'paid' then subscriptions.subscription_id end
    ) as paying_subscriptions,
    cast(
        coalesce(
            sum(case when payments.status = 'paid' then payments.amount_cents end), 0
        ) / 100.0
        as decimal(12, 2)
    ) as paid_amount,
    cast(
        coalesce(
            sum(case when payments.status = 'refunded' then payments.amount_cents end), 0
        ) / 100.0
        as decimal(12, 2)
    ) as refunded_amount,
    cast(
        avg(case when payments.status = 'paid' then payments.amount_cents end) / 100.0
        as decimal(12, 2)
    ) as average_payment
from {{ ref('stg_subscriptions') }} as subscriptions
left join {{ ref('stg_payments') }} as payments
    on subscriptions.subscription_id = payments.subscription_id
group by subscriptions.plan
