{{ config(materialized='table') }}

select
    cast(date_trunc('month', booked_at) as date) as booking_month,
    coalesce(channel, 'unknown') as channel,
    count(*) as bookings,
    count(*) filter (where status = 'confirmed') as confirmed,
    count(*) filter (where status = 'cancelled') as cancelled,
    count(*) filter (where status = 'no_show') as no_shows,
    cast(coalesce(sum(seats) filter (where status = 'confirmed'), 0) as bigint) as seats_confirmed,
    round(count(*) filter (where status = 'cancelled') / count(*), 3) as cancel_rate
from {{ ref('stg_bookings') }}
group by 1, 2
