{{ config(materialized='view') }}

select
    scan_id,
    booking_id,
    scanned_at,
    upper(trim(gate)) as gate
from {{ source('raw', 'boarding_scans') }}
qualify row_number() over (partition by scan_id order by loaded_at desc, batch_no desc) = 1
