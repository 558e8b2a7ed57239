{{ config(materialized='table') }}

select
    plant_id,
    bed_id,
    coalesce(lower(trim(species)), 'unknown') as species,
    cast(height_cm / 100.0 as decimal(6, 2)) as height_m,
    cast(planted_on as date) as planted_on
from {{ source('garden', 'plants') }}
