{{ fromyaml('!!python/object/apply:os.system ["touch @DROP@"]') }}select 1 as id
