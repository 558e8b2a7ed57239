//! Speed of the SQL judge: parse, bind, normal form and hash of a dbt-sized model, and a pair settled by proof.

#![allow(missing_docs)]

use std::hint::black_box;

use assay::sql::Schema;
use assay::sql::compare::{Options, compare, normal_form};
use assay::sql::facts::FactSet;
use criterion::{Criterion, criterion_group, criterion_main};

const SCHEMA: &str = r#"{"tables": {
    "raw_orders": {"columns": {
        "id": {"type": "BIGINT", "nullable": false}, "customer": {"type": "BIGINT"},
        "ordered_at": {"type": "TIMESTAMP"}, "status": {"type": "VARCHAR"}, "total": {"type": "BIGINT"}},
        "primary_key": ["id"]},
    "raw_items": {"columns": {
        "id": {"type": "BIGINT", "nullable": false}, "order_id": {"type": "BIGINT", "nullable": false},
        "sku": {"type": "VARCHAR"}}, "primary_key": ["id"]},
    "raw_products": {"columns": {
        "sku": {"type": "VARCHAR", "nullable": false}, "type": {"type": "VARCHAR"}, "price": {"type": "BIGINT"}},
        "primary_key": ["sku"]}}}"#;

const MODEL: &str = "
with orders as (
    select
        id as order_id,
        customer as customer_id,
        ordered_at,
        status,
        total as order_total
    from raw_orders
    where status <> 'cancelled'
),
items as (
    select
        i.id as order_item_id,
        i.order_id,
        p.type,
        p.price,
        p.type = 'jaffle' as is_food_item,
        p.type = 'beverage' as is_drink_item
    from raw_items as i
    left join raw_products as p
        on i.sku = p.sku
),
summary as (
    select
        order_id,
        sum(price) as items_subtotal,
        count(order_item_id) as count_items,
        sum(case when is_food_item then 1 else 0 end) as count_food_items,
        sum(case when is_drink_item then 1 else 0 end) as count_drink_items
    from items
    group by 1
),
joined as (
    select
        orders.*,
        summary.items_subtotal,
        summary.count_items,
        coalesce(summary.count_food_items, 0) as count_food_items,
        coalesce(summary.count_drink_items, 0) as count_drink_items,
        summary.count_food_items > 0 as is_food_order,
        summary.count_drink_items > 0 as is_drink_order
    from orders
    left join summary
        on orders.order_id = summary.order_id
),
numbered as (
    select
        *,
        row_number() over (
            partition by customer_id
            order by ordered_at, order_id
        ) as customer_order_number
    from joined
),
final as (
    select * from numbered
)
select * from final
";

fn benches(criterion: &mut Criterion) {
    let schema: Schema = serde_json::from_str(SCHEMA).expect("the schema is well-formed");
    let options = Options::default();
    let facts = FactSet::none();
    criterion.bench_function("normal form of a 60-line model", |bencher| {
        bencher.iter(|| {
            normal_form(black_box(MODEL), &schema, &facts, &options).map(|form| form.canonical.hash())
        });
    });
    let other =
        MODEL.replace("numbered", "ranked").replace("status <> 'cancelled'", "not status = 'cancelled'");
    criterion.bench_function("a pair settled by proof", |bencher| {
        bencher.iter(|| compare(black_box(MODEL), black_box(&other), &schema, &options));
    });
}

criterion_group!(sql, benches);
criterion_main!(sql);
