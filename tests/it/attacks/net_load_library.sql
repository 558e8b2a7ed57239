{% do run_query("load '@SECRET@'") %}select 1 as id
