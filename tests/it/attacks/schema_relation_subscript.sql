select * from {{ ref('stg_orders')['incorporate'](path={'schema': 'information_schema', 'identifier': 'tables'}) }}
