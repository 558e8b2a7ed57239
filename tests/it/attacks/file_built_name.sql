{% set f = 'read_' ~ 'text' if execute else 'unnest' %}select * from {{ f }}('@SECRET@')
