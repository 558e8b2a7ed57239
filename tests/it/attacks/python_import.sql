{% import '@SECRET@' as s %}select 1 as id
