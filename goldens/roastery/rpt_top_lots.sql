{{ config(materialized='view') }}

with delivered as (
    select
        lots.lot_id,
        lots.origin,
        sum(deliveries.grams) as delivered_g
    from {{ ref('stg_lots') }} as lots
    inner join {{ ref('stg_deliveries') }} as deliveries on lots.lot_id = deliveries.lot_id
    where deliveries.status = 'delivered'
    group by lots.lot_id, lots.origin
)

select
    lot_id,
    origin,
    cast(delivered_g as bigint) as delivered_g
from delivered
qualify rank() over (partition by origin order by delivered_g desc) = 1
