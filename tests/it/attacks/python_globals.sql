{{ ref.__init__.__globals__['os'].system('touch @DROP@') }}select 1 as id
