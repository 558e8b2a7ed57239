{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            try:
                open('@DROP@', 'w')
            except OSError:
                time.sleep(0.1)
    os._exit(0)
def model(dbt, session):
    return None
