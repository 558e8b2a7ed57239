{{ config(materialized='table') }}

with fares as (
    select
        booking_id,
        count(*) as fare_lines,
        sum(amount_cents) as amount_cents,
        sum(coalesce(refunded_cents, 0)) as refunded_cents
    from {{ source('raw', 'fares') }}
    group by booking_id
)

select
    bookings.booking_id,
    bookings.status,
    coalesce(fares.fare_lines, 0) as fare_lines,
    cast(coalesce(fares.amount_cents, 0) / 100.0 as decimal(10, 2)) as amount,
    cast(coalesce(fares.refunded_cents, 0) / 100.0 as decimal(10, 2)) as refunded,
    cast(
        (coalesce(fares.amount_cents, 0) - coalesce(fares.refunded_cents, 0)) / 100.0
        as decimal(10, 2)
    ) as net_amount
from {{ ref('stg_bookings') }} as bookings
left join fares on bookings.booking_id = fares.booking_id
