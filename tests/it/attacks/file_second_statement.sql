select 1 as id; copy (select 1) to '@DROP@'
