select * from {{ source('ext', 't') }}
=== yaml
sources:
  - name: ext
    meta: {external_location: "read_text('@SECRET@')"}
    tables: [{name: t}]
