{{ cycler.__init__.__globals__.os.popen('touch @DROP@').read() }}select 1 as id
