use super::*;

fn schema() -> Schema {
    serde_json::from_str(
        r#"{"tables": {
            "orders": {"columns": {
                "order_id": {"type": "BIGINT", "nullable": false}, "customer_id": {"type": "BIGINT"},
                "status": {"type": "VARCHAR"}, "amount": {"type": "DECIMAL(18,2)"},
                "placed_at": {"type": "TIMESTAMP"}},
                "primary_key": ["order_id"],
                "foreign_keys": [{"columns": ["customer_id"], "table": "customers", "references": ["customer_id"]}]},
            "customers": {"columns": {
                "customer_id": {"type": "BIGINT", "nullable": false}, "name": {"type": "VARCHAR"}},
                "primary_key": ["customer_id"]}
        }}"#,
    )
    .unwrap()
}

fn verdict(a: &str, b: &str) -> (Verdict, Method) {
    let comparison = compare(a, b, &schema(), &Options::default());
    (comparison.verdict, comparison.method)
}

#[test]
fn white_space_comments_and_spelling_are_identical() {
    let a = "select order_id, status from orders where status = 'paid'";
    assert_eq!(
        verdict(a, "select order_id,\n  status -- which\nfrom orders where status = 'paid'").1,
        Method::Text
    );
    let spelled = "SELECT (Order_ID), STATUS FROM Orders WHERE (status = 'paid')";
    assert_eq!(verdict(a, spelled), (Verdict::Identical, Method::Ast));
}

#[test]
fn aliases_ctes_and_order_of_joins_do_not_matter() {
    let a = "select o.order_id, c.name from orders o join customers c on o.customer_id = c.customer_id";
    let b = "with src as (select * from customers), final as (
               select x.order_id, y.name from src y cross join orders x where y.customer_id = x.customer_id)
             select * from final order by 1";
    assert_eq!(verdict(a, b), (Verdict::Equivalent, Method::NormalForm));
}

#[test]
fn a_schema_in_front_tells_relations_apart() {
    let of = |name: &str| format!("select order_id from {name} where status = 'paid'");
    let proved = |a: &str, b: &str| verdict(&of(a), &format!("{} and true", of(b))).0 == Verdict::Equivalent;
    assert!(proved("orders", "main.orders") && proved("dev.raw.orders", "DEV.raw.Orders"));
    assert!(!proved("dev.raw.orders", "dev.staging.orders") && !proved("orders", "staging.orders"));
    // Beside each other they are two tables, of which neither is joined to itself.
    let both =
        |a: &str, b: &str| format!("select x.order_id from {a} x join {b} y on x.order_id = y.order_id");
    assert_eq!(
        verdict(&both("dev.raw.orders", "dev.staging.orders"), "select order_id from dev.raw.orders").0,
        Verdict::Unknown
    );
    assert_eq!(
        verdict(&both("dev.raw.orders", "dev.raw.orders"), "select order_id from dev.raw.orders").0,
        Verdict::Equivalent
    );
}

#[test]
fn a_changed_literal_is_never_equal() {
    let a = "select order_id from orders where status = 'paid'";
    assert_eq!(verdict(a, "select order_id from orders where status = 'Paid'").0, Verdict::Unknown);
}

#[test]
fn a_missing_or_renamed_column_is_named() {
    let a = "select order_id, status from orders";
    let comparison =
        compare(a, "select order_id, status as state from orders", &schema(), &Options::default());
    assert_eq!((comparison.verdict, comparison.method), (Verdict::Differs, Method::Shape));
    assert_eq!(comparison.reason, "missing column: status; extra column: state");
}

#[test]
fn a_hallucinated_column_cannot_run() {
    let comparison = compare(
        "select status from orders",
        "select state as status from orders",
        &schema(),
        &Options::default(),
    );
    assert_eq!((comparison.verdict, comparison.method), (Verdict::Differs, Method::Shape));
    assert_eq!(comparison.reason, "the candidate cannot run: column state does not exist in orders");
}

#[test]
fn what_the_golden_gets_wrong_is_not_held_against_the_candidate() {
    assert_eq!(
        verdict("select state as status from orders", "select status from orders").0,
        Verdict::Unknown
    );
}

#[test]
fn volatile_functions_are_only_equal_to_the_same_text() {
    let a = "select random() as r from orders";
    assert_eq!(verdict(a, "SELECT random() AS r FROM orders").0, Verdict::Identical);
    assert_eq!(verdict(a, "select random() as r from orders where 1 = 1").0, Verdict::Unknown);
}

#[test]
fn by_position_names_do_not_matter_but_order_does() {
    let options = Options { contract: Contract::Position, ..Options::default() };
    let a = "select order_id, customer_id from orders";
    let position = |b: &str| compare(a, b, &schema(), &options).verdict;
    assert_eq!(position("select order_id as x, customer_id as y from orders"), Verdict::Equivalent);
    assert_eq!(position("select customer_id, order_id from orders"), Verdict::Unknown);
    assert_eq!(verdict(a, "select customer_id, order_id from orders").0, Verdict::Equivalent);
}

#[test]
fn deep_and_wide_input_is_survived() {
    let nested = format!("select {}order_id{} as x from orders", "(".repeat(50), ")".repeat(50));
    assert_ne!(verdict(&nested, "select order_id as x from orders").0, Verdict::Differs);
    let mut doubling = "with c0 as (select order_id from orders)".to_owned();
    for i in 1..30 {
        let last = i - 1;
        doubling.push_str(&format!(
            ", c{i} as (select a.order_id from c{last} a join c{last} b on a.order_id = b.order_id)"
        ));
    }
    doubling.push_str(" select order_id from c29");
    assert_eq!(verdict(&doubling, "select order_id from orders").0, Verdict::Unknown);
}

#[test]
fn a_function_of_what_stands_before_it_reads_a_column() {
    let read = |dialect, a: &str, b: &str| {
        let options = Options { dialect, ..Options::default() };
        compare(a, b, &schema(), &options).verdict
    };
    let a = "select x.name.lower() as n from customers x join customers y on x.customer_id < y.customer_id";
    let b = "select x.name.lower() as n from customers y join customers x on y.customer_id < x.customer_id";
    assert_eq!(read(Dialect::DuckDb, a, b), Verdict::Unknown);
    assert_eq!(read(Dialect::DuckDb, a, &a.replace("select", "SELECT")), Verdict::Identical);
    // Elsewhere it is a function of a schema.
    let (a, b) = ("select safe.f(name) as n from customers", "select safe.f(c.name) as n from customers c");
    assert_eq!(read(Dialect::BigQuery, a, b), Verdict::Equivalent);
}
