{% do run_query("copy (select 1) to '@DROP@'") %}select 1 as id
