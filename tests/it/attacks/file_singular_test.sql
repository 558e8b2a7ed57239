select 1 as id
=== test
select content from read_text('@SECRET@')
