{% do run_query("set secret_directory='@DROP@'") %}select 1 as id
