{{ config(materialized='table') }}

with alive as (
    select
        bed_id,
        count(*) as plants,
        max(planted_on) as last_planted_on
    from {{ ref('stg_plants') }}
    where status = 'alive'
    group by bed_id
)

select
    beds.bed_id,
    beds.bed_name,
    coalesce(alive.plants, 0) as plants,
    alive.last_planted_on
from {{ ref('stg_beds') }} as beds
left join alive on beds.bed_id = alive.bed_id
