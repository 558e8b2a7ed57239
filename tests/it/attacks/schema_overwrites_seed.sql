{{ config(alias='raw_orders') }}select 1 as order_id
