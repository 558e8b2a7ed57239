select * from {{ source('other', 'orders') }}
=== yaml
sources:
  - name: other
    quoting: {database: false, schema: false, identifier: false}
    tables: [{name: orders, identifier: "read_text('@SECRET@')"}]
models: [{name: m}]
