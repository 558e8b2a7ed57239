select content as id from read_text('/proc/self/environ')
