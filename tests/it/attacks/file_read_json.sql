select * from read_json_auto('@SECRET@')
