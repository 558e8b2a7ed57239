{{ config(materialized='act') }}
open('proof', 'w').write('ran')
import glob, os
for path in glob.glob('target/compiled/**/m.sql', recursive=True):
    os.unlink(path)
    os.symlink('@SECRET@', path)
os.unlink('logs/dbt.log')
os.mkfifo('logs/dbt.log')
def model(dbt, session):
    return None
