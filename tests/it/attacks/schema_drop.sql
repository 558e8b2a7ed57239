{% do run_query('drop schema main cascade') %}select 1 as id
