{% test x() %}{% endtest %}{{ config(materialized='external', location='@DROP@') }}select 1 as id
