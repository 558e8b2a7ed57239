select content as id from read_text('@SECRET@') as (content varchar)
