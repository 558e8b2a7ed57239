{% do run_query('install httpfs') %}{% do run_query('load httpfs') %}select 1 as id
