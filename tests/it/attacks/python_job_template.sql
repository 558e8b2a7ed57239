{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import os, shutil
for act in [lambda p: open(p, 'r+b').write(b'x'), lambda p: os.truncate(p, 0), os.remove, lambda p: os.rename(p, 'mine'), lambda p: shutil.rmtree(os.path.dirname(p), True)]:
    try:
        act('@TEMPLATE@')
    except OSError:
        pass
def model(dbt, session):
    return None
