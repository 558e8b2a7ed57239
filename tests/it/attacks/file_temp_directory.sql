{% do run_query("set temp_directory='@DROP@'") %}select 1 as id
