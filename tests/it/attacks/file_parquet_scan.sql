select * from parquet_scan('@SECRET@')
