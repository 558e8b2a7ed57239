{{ config(database='other') }}select 1 as id
