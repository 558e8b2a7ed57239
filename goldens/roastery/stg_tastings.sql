{{ config(materialized='view') }}

select
    tasting_id,
    lot_id,
    lower(trim(taster)) as taster,
    try_cast(replace(score, ',', '.') as decimal(5, 2)) as score,
    cast(tasted_on as date) as tasted_on
from {{ source('roastery', 'tastings') }}
qualify row_number() over (partition by tasting_id order by loaded_at desc) = 1
