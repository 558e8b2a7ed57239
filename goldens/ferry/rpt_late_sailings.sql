{{ config(materialized='view') }}

select
    sailing_id,
    route_code,
    scheduled_departure,
    date_sub('minute', scheduled_departure, actual_departure) as delay_minutes,
    case
        when actual_departure < scheduled_departure + interval 30 minute then '15-29'
        else '30+'
    end as delay_band
from {{ ref('fct_sailings') }}
where
    status = 'departed'
    and scheduled_departure >= timestamp '2026-06-01'
    and scheduled_departure < timestamp '2026-07-01'
    and actual_departure >= scheduled_departure + interval 15 minute
