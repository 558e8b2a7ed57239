{{ config(materialized='table') }}

select
    lots.lot_id,
    lots.origin,
    count(roasts.roast_id) as batches,
    cast(coalesce(sum(roasts.green_g), 0) as bigint) as green_used_g,
    cast(lots.weight_g - coalesce(sum(roasts.green_g), 0) as bigint) as green_left_g,
    round(100.0 * sum(coalesce(roasts.roasted_g, 0)) / sum(roasts.green_g), 1) as yield_pct
from {{ ref('stg_lots') }} as lots
left join {{ ref('stg_roasts') }} as roasts on lots.lot_id = roasts.lot_id
group by lots.lot_id, lots.origin, lots.weight_g
