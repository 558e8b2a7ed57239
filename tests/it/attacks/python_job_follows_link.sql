{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import os
os.symlink('@SECRET@', 'way')
open('stolen', 'w').write(open('way').read())
def model(dbt, session):
    return None
