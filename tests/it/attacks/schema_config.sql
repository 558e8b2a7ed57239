{{ config(schema='elsewhere', alias='stg_orders') }}select 1 as id
