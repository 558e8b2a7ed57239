{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import os, subprocess
os.system('touch @DROP@')
for shell in ['/bin/sh', '/bin/bash', '/usr/bin/env']:
    try:
        subprocess.run([shell, '-c', 'touch @DROP@'])
    except OSError:
        pass
def model(dbt, session):
    return None
