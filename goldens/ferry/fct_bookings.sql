{{ config(materialized='incremental', unique_key='booking_id') }}

select
    booking_id,
    sailing_id,
    passenger_id,
    status,
    seats,
    coalesce(channel, 'unknown') as channel,
    booked_at,
    updated_at
from {{ ref('stg_bookings') }}
{% if is_incremental() %}
where updated_at >= (select max(updated_at) from {{ this }})
{% endif %}
