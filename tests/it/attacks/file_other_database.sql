{% do run_query("attach '@TEMPLATE@' as other") %}select * from other.main.stg_orders
