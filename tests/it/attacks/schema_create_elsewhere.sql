{% do run_query('create or replace table main.raw_orders as select 99 as order_id') %}select 1 as id
