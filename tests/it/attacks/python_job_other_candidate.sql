{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import os, shutil
for act in [lambda p: open('stolen', 'wb').write(open(p, 'rb').read()), lambda p: open(p, 'r+b').write(b'x'), os.remove, lambda p: shutil.rmtree(os.path.dirname(p), True)]:
    try:
        act('@OTHER@')
    except OSError:
        pass
def model(dbt, session):
    return None
