select order_id as id from {{ ref('stg_orders') }}
=== yaml
unit_tests:
  - name: u
    model: m
    given:
      - input: ref('stg_orders')
        rows: [{"order_id, (select content from read_text('@SECRET@'))": 1}]
    expect: {rows: [{id: 1}]}
