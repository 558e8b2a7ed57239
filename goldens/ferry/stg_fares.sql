{{ config(materialized='view') }}

select
    fare_id,
    booking_id,
    lower(trim(fare_type)) as fare_type,
    cast(amount_cents / 100.0 as decimal(10, 2)) as amount,
    cast(coalesce(refunded_cents, 0) / 100.0 as decimal(10, 2)) as refunded,
    upper(coalesce(currency, 'EUR')) as currency
from {{ source('raw', 'fares') }}
