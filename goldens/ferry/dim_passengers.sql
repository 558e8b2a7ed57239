{{ config(materialized='table') }}

with bookings as (
    select
        passenger_id,
        count(*) as bookings_made,
        min(booked_at) as first_booked_at,
        max(booked_at) as last_booked_at
    from {{ ref('stg_bookings') }}
    where status <> 'cancelled'
    group by passenger_id
)

select
    passengers.passenger_id,
    coalesce(passengers.home_island, 'unknown') as home_island,
    split_part(passengers.email, '@', 2) as email_domain,
    passengers.joined_on,
    coalesce(bookings.bookings_made, 0) as bookings_made,
    bookings.first_booked_at,
    bookings.last_booked_at
from {{ ref('stg_passengers') }} as passengers
left join bookings on passengers.passenger_id = bookings.passenger_id
