{{ config(materialized='act') }}
open('proof', 'w').write('ran')
open('@DROP@', 'w').write('x')
def model(dbt, session):
    return None
