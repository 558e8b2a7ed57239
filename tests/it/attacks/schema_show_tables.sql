select * from (show all tables)
