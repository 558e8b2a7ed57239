{{ config(materialized='table') }}

with received as (
    select
        cast(date_trunc('month', received_on) as date) as month,
        sum(weight_g) as grams
    from {{ ref('stg_lots') }}
    group by 1
),

roasted as (
    select
        cast(date_trunc('month', roasted_on) as date) as month,
        sum(coalesce(roasted_g, 0)) as grams
    from {{ ref('stg_roasts') }}
    group by 1
),

delivered as (
    select
        cast(date_trunc('month', delivered_on) as date) as month,
        sum(grams) as grams
    from {{ ref('stg_deliveries') }}
    where status = 'delivered'
    group by 1
),

months as (
    select month from received
    union
    select month from roasted
    union
    select month from delivered
)

select
    months.month,
    cast(coalesce(received.grams, 0) as bigint) as received_g,
    cast(coalesce(roasted.grams, 0) as bigint) as roasted_g,
    cast(coalesce(delivered.grams, 0) as bigint) as delivered_g
from months
left join received on months.month = received.month
left join roasted on months.month = roasted.month
left join delivered on months.month = delivered.month
where months.month is not null
