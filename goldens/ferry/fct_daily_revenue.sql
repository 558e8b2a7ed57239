{{ config(materialized='table') }}

with days as (
    select cast(day as date) as revenue_date
    from
        generate_series(timestamp '2026-05-28', timestamp '2026-06-30', interval 1 day)
            as series (day)
),

bookings as (
    select
        cast(booked_at as date) as revenue_date,
        count(*) as bookings
    from {{ ref('stg_bookings') }}
    group by cast(booked_at as date)
),

fares as (
    select
        cast(bookings.booked_at as date) as revenue_date,
        sum(fares.amount_cents) as amount_cents,
        sum(coalesce(fares.refunded_cents, 0)) as refunded_cents
    from {{ ref('stg_bookings') }} as bookings
    inner join {{ source('raw', 'fares') }} as fares on bookings.booking_id = fares.booking_id
    group by cast(bookings.booked_at as date)
)

select
    days.revenue_date,
    coalesce(bookings.bookings, 0) as bookings,
    cast(coalesce(fares.amount_cents, 0) / 100.0 as decimal(12, 2)) as gross_amount,
    cast(
        (coalesce(fares.amount_cents, 0) - coalesce(fares.refunded_cents, 0)) / 100.0
        as decimal(12, 2)
    ) as net_amount
from days
left join bookings on days.revenue_date = bookings.revenue_date
left join fares on days.revenue_date = fares.revenue_date
