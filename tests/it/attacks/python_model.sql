def model(dbt, session):
    open('@DROP@', 'w')
    return session.sql('select 1 as id')

