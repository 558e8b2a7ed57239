select content as id from read_blob('@SECRET@')
