{{ config(materialized='table') }}

select
    vessels.vessel_id,
    vessels.vessel_name,
    vessels.passenger_capacity,
    max(sailings.actual_departure) as last_departure
from {{ ref('stg_vessels') }} as vessels
left join {{ ref('stg_sailings') }} as sailings
    on vessels.vessel_id = sailings.vessel_id and sailings.status = 'departed'
where
    vessels.in_service_from <= date '2026-06-30'
    and (vessels.retired_on is null or vessels.retired_on > date '2026-06-30')
    and not exists (
        select 1
        from {{ ref('stg_sailings') }} as june
        where
            june.vessel_id = vessels.vessel_id
            and june.status = 'departed'
            and june.scheduled_departure >= timestamp '2026-06-01'
            and june.scheduled_departure < timestamp '2026-07-01'
    )
group by vessels.vessel_id, vessels.vessel_name, vessels.passenger_capacity
