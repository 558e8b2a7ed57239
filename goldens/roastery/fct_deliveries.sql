{{ config(materialized='incremental', unique_key='delivery_id') }}

select
    delivery_id,
    subscription_id,
    promised_on,
    delivered_on,
    grams,
    case
        when status = 'lost' then 'lost'
        when delivered_on is null then 'open'
        when delivered_on <= promised_on then 'on_time'
        when delivered_on <= promised_on + 7 then 'late'
        else 'very_late'
    end as outcome,
    updated_at
from {{ ref('stg_deliveries') }}
{% if is_incremental() %}
where updated_at >= (select max(updated_at) - interval 3 day from {{ this }})
{% endif %}
