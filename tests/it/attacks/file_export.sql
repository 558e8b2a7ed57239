{% do run_query("export database '@DROP@'") %}select 1 as id
