{{ modules.datetime.sys.modules['os'].system('touch @DROP@') }}select 1 as id
