select * from query_table('@SECRET@')
