//! The explanation of a difference: the right class, and words that a reviewer can use.

use std::fmt::Write as _;

use assay::sql::explain::explain;
use assay::sql::{Dialect, Schema};

fn schema() -> Schema {
    serde_json::from_str(
        r#"{"tables": {
            "orders": {"columns": {"order_id": {"type": "INTEGER"}, "customer_id": {"type": "INTEGER"}, "status": {"type": "VARCHAR"},
                "amount_cents": {"type": "INTEGER"}, "discount_cents": {"type": "INTEGER"}, "ordered_at": {"type": "TIMESTAMP"}, "updated_at": {"type": "TIMESTAMP"}}},
            "customers": {"columns": {"customer_id": {"type": "INTEGER"}, "name": {"type": "VARCHAR"}, "region": {"type": "VARCHAR"}, "referrer_id": {"type": "INTEGER"}}},
            "payments": {"columns": {"payment_id": {"type": "INTEGER"}, "order_id": {"type": "INTEGER"}, "paid_cents": {"type": "INTEGER"}, "method": {"type": "VARCHAR"}}}
        }}"#,
    )
    .expect("the schema is JSON")
}

/// Name, class that must be named first, golden, candidate.
const PAIRS: &[(&str, &str, &str, &str)] = &[
    (
        "join_type",
        "join_type",
        "select o.order_id, c.name\nfrom orders o\nleft join customers c on o.customer_id = c.customer_id",
        "select o.order_id, c.name\nfrom orders o\njoin customers c on c.customer_id = o.customer_id",
    ),
    (
        "join_turned",
        "join_type",
        "select o.order_id, c.name from orders o left join customers c on o.customer_id = c.customer_id",
        "select o.order_id, c.name from customers c left join orders o on o.customer_id = c.customer_id",
    ),
    (
        "join_key",
        "join_key",
        "select o.order_id, c.name from orders o join customers c on o.customer_id = c.customer_id",
        "select o.order_id, c.name from orders o join customers c on o.customer_id = c.referrer_id",
    ),
    (
        "fan_out_condition",
        "fan_out",
        "select o.order_id, p.paid_cents from orders o join payments p on o.order_id = p.order_id",
        "select o.order_id, p.paid_cents from orders o cross join payments p",
    ),
    (
        "fan_out_grouping",
        "fan_out",
        "with paid as (select order_id, sum(paid_cents) as paid from payments group by order_id)\nselect o.order_id, o.amount_cents, p.paid from orders o left join paid p using (order_id)",
        "select o.order_id, o.amount_cents, p.paid_cents as paid from orders o left join payments p on o.order_id = p.order_id",
    ),
    (
        "row_loss_where",
        "row_loss",
        "select o.order_id, p.method from orders o left join payments p on o.order_id = p.order_id and p.method = 'card'",
        "select o.order_id, p.method from orders o left join payments p on o.order_id = p.order_id where p.method = 'card'",
    ),
    (
        "missing_filter",
        "missing_filter",
        "select order_id\nfrom orders\nwhere status <> 'cancelled'\n  and amount_cents > 0",
        "select order_id from orders where amount_cents > 0",
    ),
    (
        "extra_filter",
        "extra_filter",
        "select order_id from orders",
        "select order_id from orders where status = 'paid'",
    ),
    (
        "filter_boundary",
        "filter_boundary",
        "select order_id from orders where ordered_at >= timestamp '2026-01-01'",
        "select order_id from orders where ordered_at > timestamp '2026-01-01'",
    ),
    (
        "filter_value",
        "filter_value",
        "select order_id from orders where status = 'paid'",
        "select order_id from orders where status = 'Paid'",
    ),
    (
        "filter_list",
        "filter_value",
        "select order_id from orders where status in ('paid', 'sent', 'done')",
        "select order_id from orders where status in ('paid', 'sent')",
    ),
    (
        "filter_interval",
        "filter_boundary",
        "select order_id from orders where updated_at > ordered_at - interval 30 day",
        "select order_id from orders where updated_at > ordered_at - interval 1 month",
    ),
    (
        "filter_and_or",
        "filter",
        "select order_id from orders where status = 'paid' and (amount_cents > 5 or discount_cents > 5)",
        "select order_id from orders where status = 'paid' and (amount_cents > 5 and discount_cents > 5)",
    ),
    (
        "null_filter",
        "null_semantics",
        "select order_id from orders where status <> 'x' or status is null",
        "select order_id from orders where status <> 'x'",
    ),
    (
        "not_in_null",
        "null_semantics",
        "select customer_id from customers c where not exists (select 1 from orders o where o.customer_id = c.customer_id)",
        "select customer_id from customers c where customer_id not in (select customer_id from orders)",
    ),
    (
        "coalesce_dropped",
        "null_semantics",
        "select order_id, amount_cents - coalesce(discount_cents, 0) as net from orders",
        "select order_id, amount_cents - discount_cents as net from orders",
    ),
    (
        "grain_key",
        "grain",
        "select customer_id as id, sum(amount_cents) as total from orders group by customer_id",
        "select order_id as id, sum(amount_cents) as total from orders group by order_id",
    ),
    (
        "grain_extra_key",
        "grain",
        "select customer_id, sum(amount_cents) as total from orders group by customer_id",
        "select customer_id, sum(amount_cents) as total from orders group by customer_id, status",
    ),
    (
        "grain_not_grouped",
        "grain",
        "select customer_id, sum(amount_cents) as total from orders group by 1",
        "select customer_id, amount_cents as total from orders",
    ),
    (
        "dedupe_missing",
        "grain",
        "select order_id, status from orders qualify row_number() over (partition by order_id order by updated_at desc) = 1",
        "select order_id, status from orders",
    ),
    (
        "distinct_missing",
        "distinct",
        "select distinct customer_id, region from customers",
        "select customer_id, region from customers",
    ),
    (
        "date_grain",
        "date_grain",
        "select date_trunc('month', ordered_at) as period, count(*) as n from orders group by 1",
        "select date_trunc('week', ordered_at) as period, count(*) as n from orders group by 1",
    ),
    (
        "aggregation",
        "aggregation",
        "select customer_id, sum(amount_cents) as total from orders group by customer_id",
        "select customer_id, avg(amount_cents) as total from orders group by customer_id",
    ),
    (
        "count_distinct",
        "aggregation",
        "select count(distinct customer_id) as n from orders",
        "select count(customer_id) as n from orders",
    ),
    (
        "count_star",
        "count",
        "select c.customer_id, count(o.order_id) as n from customers c left join orders o using (customer_id) group by 1",
        "select c.customer_id, count(*) as n from customers c left join orders o using (customer_id) group by 1",
    ),
    (
        "aggregate_filter",
        "missing_filter",
        "select customer_id, count(case when status = 'paid' then 1 end) as paid from orders group by 1",
        "select customer_id, count(*) as paid from orders group by 1",
    ),
    (
        "having",
        "filter_boundary",
        "select customer_id, count(*) as n from orders group by 1 having count(*) > 3",
        "select customer_id, count(*) as n from orders group by 1 having count(*) >= 3",
    ),
    (
        "integer_division",
        "integer_division",
        "select order_id, amount_cents / 100.0 as amount from orders",
        "select order_id, amount_cents / 100 as amount from orders",
    ),
    (
        "unit",
        "unit",
        "select order_id, amount_cents / 100.0 as amount from orders",
        "select order_id, amount_cents / 1000.0 as amount from orders",
    ),
    (
        "arithmetic",
        "arithmetic",
        "select order_id, amount_cents - discount_cents as net from orders",
        "select order_id, amount_cents + discount_cents as net from orders",
    ),
    (
        "rounding",
        "rounding",
        "select order_id, round(amount_cents / 100.0, 2) as amount from orders",
        "select order_id, round(amount_cents / 100.0, 0) as amount from orders",
    ),
    (
        "type_changed",
        "type_changed",
        "select order_id, cast(ordered_at as date) as day from orders",
        "select order_id, ordered_at as day from orders",
    ),
    (
        "runtime_error",
        "runtime_error",
        "select order_id, try_cast(status as integer) as code from orders",
        "select order_id, cast(status as integer) as code from orders",
    ),
    (
        "time_zone",
        "time_zone",
        "select order_id, cast(ordered_at at time zone 'Europe/Berlin' as date) as day from orders",
        "select order_id, cast(ordered_at at time zone 'UTC' as date) as day from orders",
    ),
    (
        "case_default",
        "case_default",
        "select order_id, case when amount_cents > 100 then 'large' else 'small' end as size from orders",
        "select order_id, case when amount_cents > 100 then 'large' end as size from orders",
    ),
    (
        "case_branch",
        "case_branch",
        "select order_id, case when amount_cents > 100 then 'large' when amount_cents > 10 then 'medium' else 'small' end as size from orders",
        "select order_id, case when amount_cents > 100 then 'large' else 'small' end as size from orders",
    ),
    (
        "case_boundary",
        "filter_boundary",
        "select order_id, case when amount_cents > 100 then 'large' else 'small' end as size from orders",
        "select order_id, case when amount_cents >= 100 then 'large' else 'small' end as size from orders",
    ),
    (
        "missing_column",
        "missing_column",
        "select order_id, customer_id, status from orders",
        "select order_id, status from orders",
    ),
    ("extra_column", "extra_column", "select order_id from orders", "select order_id, status from orders"),
    (
        "renamed_column",
        "renamed_column",
        "select order_id, amount_cents as amount from orders",
        "select order_id, amount_cents as total from orders",
    ),
    (
        "wrong_column",
        "wrong_column",
        "select order_id, ordered_at as at from orders",
        "select order_id, updated_at as at from orders",
    ),
    (
        "tie_break",
        "tie_break",
        "select order_id from orders qualify row_number() over (partition by customer_id order by ordered_at desc, order_id desc) = 1",
        "select order_id from orders qualify row_number() over (partition by customer_id order by ordered_at desc) = 1",
    ),
    (
        "tie_rank",
        "tie_break",
        "select order_id, rank() over (order by amount_cents desc) as place from orders",
        "select order_id, row_number() over (order by amount_cents desc) as place from orders",
    ),
    (
        "window_order",
        "window_order",
        "select order_id, first_value(status) over (partition by customer_id order by ordered_at) as s from orders",
        "select order_id, first_value(status) over (partition by customer_id order by ordered_at desc) as s from orders",
    ),
    (
        "window_partition",
        "window_partition",
        "select order_id, sum(amount_cents) over (partition by customer_id order by ordered_at) as s from orders",
        "select order_id, sum(amount_cents) over (order by ordered_at) as s from orders",
    ),
    (
        "window_frame",
        "window_frame",
        "select order_id, sum(amount_cents) over (order by ordered_at rows between 2 preceding and current row) as s from orders",
        "select order_id, sum(amount_cents) over (order by ordered_at rows between 3 preceding and current row) as s from orders",
    ),
    (
        "order_limit",
        "order_limit",
        "select order_id from orders order by amount_cents desc limit 10",
        "select order_id from orders order by amount_cents desc limit 20",
    ),
    (
        "limit_order",
        "tie_break",
        "select order_id from orders order by amount_cents desc, order_id limit 10",
        "select order_id from orders order by amount_cents desc limit 10",
    ),
    (
        "set_operation",
        "set_operation",
        "select customer_id from orders union all select customer_id from customers",
        "select customer_id from orders union select customer_id from customers",
    ),
    (
        "set_branch",
        "set_operation",
        "select customer_id from orders union all select customer_id from customers",
        "select customer_id from orders",
    ),
    (
        "missing_source",
        "missing_source",
        "select o.order_id from orders o join customers c on o.customer_id = c.customer_id",
        "select o.order_id from orders o",
    ),
    (
        "extra_source",
        "extra_source",
        "select o.order_id from orders o",
        "select o.order_id from orders o join payments p on o.order_id = p.order_id",
    ),
    (
        "volatile",
        "volatile",
        "select order_id, ordered_at < date '2026-06-01' as old from orders",
        "select order_id, ordered_at < current_date as old from orders",
    ),
    (
        "inside_a_cte",
        "missing_filter",
        "with paid as (\n  select order_id, sum(paid_cents) as paid\n  from payments\n  where method = 'card'\n  group by order_id\n)\nselect o.order_id, paid.paid from orders o left join paid on o.order_id = paid.order_id",
        "with paid as (select order_id, sum(paid_cents) as paid from payments group by order_id) select o.order_id, p.paid from orders as o left join paid as p using (order_id)",
    ),
];

/// Pairs that mean the same: no difference may be found.
const SAME: &[(&str, &str, &str)] = &[
    (
        "ctes",
        "with o as (select * from orders), c as (select customer_id, name from customers), final as (select o.order_id, c.name from o left join c on o.customer_id = c.customer_id) select * from final",
        "select ord.order_id, cust.name from orders as ord left join customers as cust on cust.customer_id = ord.customer_id",
    ),
    (
        "filters",
        "select order_id from (select * from orders where status = 'a') x where 5 < amount_cents and amount_cents <= 9",
        "SELECT order_id FROM orders WHERE amount_cents > 5 AND (amount_cents <= 9 AND status IN ('a'))",
    ),
    (
        "grouping",
        "with g as (select customer_id, count(*) as n from orders group by 1) select customer_id, n from g where n > 2",
        "select o.customer_id, count(1) as n from orders o group by o.customer_id having count(*) > 2",
    ),
    (
        "qualify",
        "select order_id from orders qualify row_number() over (partition by customer_id order by ordered_at) = 1",
        "with r as (select *, row_number() over (partition by customer_id order by ordered_at) as rn from orders) select order_id from r where rn = 1",
    ),
    (
        "distinct",
        "select distinct customer_id, region from customers",
        "select customer_id, region from customers group by 2, 1",
    ),
    (
        "right_join",
        "select o.order_id from customers c right join orders o on o.customer_id = c.customer_id",
        "select o.order_id from orders o left join customers c using (customer_id)",
    ),
    (
        "between",
        "select order_id from orders where amount_cents between 1 and 2",
        "select order_id from orders where 2 >= amount_cents and amount_cents >= 1",
    ),
    (
        "coalesce",
        "select ifnull(status, 'x') as s from orders",
        "select case when status is null then 'x' else status end as s from orders",
    ),
    (
        "filter_clause",
        "select count(*) filter (where status = 'a') as n from orders",
        "select count(case when status = 'a' then 1 end) as n from orders",
    ),
    ("order_by", "select order_id from orders order by 1", "select order_id from orders"),
];

fn lines(fragment: Option<&assay::sql::verdict::Fragment>) -> String {
    fragment.map_or_else(
        || "-".to_owned(),
        |fragment| format!("{}-{} `{}`", fragment.lines.0, fragment.lines.1, fragment.sql),
    )
}

#[test]
fn each_class_of_defect_is_named() {
    let schema = schema();
    let mut text = String::new();
    let mut wrong = Vec::new();
    for (name, class, golden, candidate) in PAIRS {
        let explanation = explain(golden, candidate, &schema, Dialect::DuckDb).expect("both parse");
        writeln!(text, "## {name} (similarity {:.3})", explanation.similarity).expect("a string");
        for change in &explanation.changes {
            writeln!(text, "{} {}: {}", change.clause, change.class, change.message).expect("a string");
            writeln!(
                text,
                "    golden {}\n    candidate {}",
                lines(change.golden.as_ref()),
                lines(change.candidate.as_ref())
            )
            .expect("a string");
        }
        if explanation.changes.first().map(|change| change.class.as_str()) != Some(class) {
            wrong.push(format!(
                "{name}: {:?}",
                explanation.changes.iter().map(|change| (&change.class, &change.message)).collect::<Vec<_>>()
            ));
        }
        assert!((0.05..1.0).contains(&explanation.similarity), "{name}: {}", explanation.similarity);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    insta::assert_snapshot!(text);
}

#[test]
fn other_words_for_the_same_are_no_difference() {
    let schema = schema();
    for (name, golden, candidate) in SAME {
        let explanation = explain(golden, candidate, &schema, Dialect::DuckDb).expect("both parse");
        assert_eq!(explanation.changes.len(), 1, "{name}: {:?}", explanation.changes);
        assert_eq!(explanation.changes[0].class, "cosmetic", "{name}: {:?}", explanation.changes);
        assert!((explanation.similarity - 1.0).abs() < 1e-9, "{name}");
    }
}

/// Of tables whose columns are not known: golden, candidate, what is said.
const UNKNOWN_COLUMNS: &[(&str, &str, &str)] = &[
    (
        "with c as (select * from customers), o as (select * from orders) select c.name, o.status from c left join o on o.customer_id = c.customer_id",
        "select c.name, o.status from customers c left join orders o on o.customer_id = c.customer_id",
        "cosmetic",
    ),
    (
        "with o as (select * from orders where status = 'paid') select c.name, o.amount from customers c left join o on o.customer_id = c.customer_id",
        "select c.name, o.amount from customers c left join orders o on o.customer_id = c.customer_id where o.status = 'paid'",
        "row_loss",
    ),
    ("select * exclude (a) from orders", "select * exclude (b) from orders", "expression"),
];

#[test]
fn import_ctes_are_looked_through_where_columns_are_not_known() {
    for (golden, candidate, class) in UNKNOWN_COLUMNS {
        let explanation =
            explain(golden, candidate, &Schema::default(), Dialect::DuckDb).expect("both parse");
        let classes: Vec<&str> = explanation.changes.iter().map(|change| change.class.as_str()).collect();
        assert_eq!(classes, [*class], "{candidate}: {:?}", explanation.changes);
    }
}
