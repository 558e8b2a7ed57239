{% set other = ref('stg_orders').incorporate %}select * from {{ other(path={'schema': 'information_schema', 'identifier': 'tables'}) }}
