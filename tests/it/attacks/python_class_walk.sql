{% set x = ''.__class__.__mro__[1].__subclasses__() %}select '{{ x }}' as id
