{{ write('@CANARY@') }}select 1 as id
