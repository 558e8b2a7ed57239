{{ config(materialized='view') }}

select
    loan_id,
    member_id,
    lower(trim(branch)) as branch,
    cast(lent_at as date) as lent_on,
    cast(coalesce(fee_cents, 0) / 100.0 as decimal(10, 2)) as fee
from {{ source('library', 'loans') }}
