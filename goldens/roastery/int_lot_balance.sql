{{ config(materialized='table') }}

with movements as (
    select
        lot_id,
        received_on as moved_on,
        'received' as kind,
        0 as roast_id,
        weight_g as change_g
    from {{ ref('stg_lots') }}
    union all
    select
        lot_id,
        roasted_on as moved_on,
        'roasted' as kind,
        roast_id,
        -green_g as change_g
    from {{ ref('stg_roasts') }}
)

select
    lot_id,
    row_number() over (partition by lot_id order by moved_on, roast_id) as movement_no,
    moved_on,
    kind,
    change_g,
    cast(sum(change_g) over (
        partition by lot_id
        order by moved_on, roast_id
        rows between unbounded preceding and current row
    ) as bigint) as balance_g
from movements
