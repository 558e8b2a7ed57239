{% do run_query('set enable_external_access=true') %}select content as id from read_text('@SECRET@')
