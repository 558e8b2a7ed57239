{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import os
for process in [os.getppid(), @PROCESS@, 1]:
    try:
        os.kill(process, 9)
    except OSError:
        pass
def model(dbt, session):
    return None
