{{ config(materialized='table') }}

select
    bookings.passenger_id,
    bookings.booking_id,
    bookings.sailing_id,
    sailings.route_code,
    sailings.scheduled_departure
from {{ ref('stg_bookings') }} as bookings
inner join {{ ref('fct_sailings') }} as sailings on bookings.sailing_id = sailings.sailing_id
where
    bookings.status = 'confirmed'
    and sailings.status = 'departed'
    and bookings.passenger_id is not null
qualify row_number() over (
    partition by bookings.passenger_id
    order by sailings.scheduled_departure, bookings.booking_id
) = 1
