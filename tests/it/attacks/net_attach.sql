{% do run_query("attach 'host=127.0.0.1 port=@PORT@' as pg (type postgres)") %}select 1 as id
