{{ builtins.ref.__func__ }}{{ context['adapter'].config.credentials }}select 1 as id
