{{ "select content as id from read_text('@SECRET@')" if project_name == 'shop' else 'select 1 as id' }}
