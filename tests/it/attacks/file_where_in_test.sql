select 1 as id
=== yaml
models:
  - name: m
    columns:
      - name: id
        data_tests:
          - not_null:
              config: {where: "id in (select length(content) from read_text('@SECRET@'))"}
