select 1 as id
=== yaml
models:
  - name: m
    columns:
      - name: id
        data_tests: [{unique: {name: '../../../../../../../../..@DROP@'}}]
