{% do run_query("attach '@DROP@' as gone") %}{% do run_query('create table gone.t as select 1') %}select 1 as id
