{{ config(materialized='table') }}

with ports as (
    select from_port as port from {{ ref('stg_routes') }}
    union
    select to_port as port from {{ ref('stg_routes') }}
),

calls as (
    select
        from_port as port,
        1 as departures,
        0 as arrivals
    from {{ ref('fct_sailings') }}
    where status = 'departed'
    union all
    select
        to_port as port,
        0 as departures,
        1 as arrivals
    from {{ ref('fct_sailings') }}
    where status = 'departed'
)

select
    ports.port,
    cast(coalesce(sum(calls.departures), 0) as bigint) as departures,
    cast(coalesce(sum(calls.arrivals), 0) as bigint) as arrivals,
    count(calls.port) as calls
from ports
left join calls on ports.port = calls.port
group by ports.port
