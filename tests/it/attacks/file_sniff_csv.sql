select * from sniff_csv('@SECRET@')
