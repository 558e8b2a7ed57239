{{ config(materialized='table') }}

with confirmed as (
    select
        sailing_id,
        sum(seats) as seats_sold
    from {{ ref('stg_bookings') }}
    where status = 'confirmed'
    group by sailing_id
)

select
    sailings.sailing_id,
    sailings.route_code,
    sailings.scheduled_departure,
    sailings.passenger_capacity,
    cast(coalesce(confirmed.seats_sold, 0) as integer) as seats_sold,
    round(coalesce(confirmed.seats_sold, 0) / sailings.passenger_capacity, 4) as load_factor
from {{ ref('fct_sailings') }} as sailings
left join confirmed on sailings.sailing_id = confirmed.sailing_id
where sailings.status <> 'cancelled'
