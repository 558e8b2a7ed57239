select * from read_csv('@SECRET@', header=false, columns={'id': 'varchar'})
