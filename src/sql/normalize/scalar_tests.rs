//! Rules of single expressions: each with pairs that it proves and pairs just outside of its condition.

use super::super::compare::{Contract, Options, compare};
use super::super::{Dialect, Schema, Verdict};

fn proved(dialect: Dialect, a: &str, b: &str) -> bool {
    let schema: Schema = serde_json::from_str(
        r#"{"tables": {"t": {"columns": {
            "id": {"type": "BIGINT", "nullable": false}, "a": {"type": "BIGINT"}, "b": {"type": "BIGINT"},
            "s": {"type": "VARCHAR"}, "u": {"type": "VARCHAR"}, "c": {"type": "VARCHAR", "nullable": false},
            "ts": {"type": "TIMESTAMP"}, "d": {"type": "DATE"}, "f": {"type": "BOOLEAN"}, "n": {"type": ""},
            "x": {"type": "DOUBLE"}}, "primary_key": ["id"]}}}"#,
    )
    .unwrap();
    let options = Options { contract: Contract::Position, dialect };
    let verdicts = [(a, b), (b, a)].map(|(a, b)| {
        let comparison = compare(
            &format!("select {a} as v from t"),
            &format!("select {b} as v from t"),
            &schema,
            &options,
        );
        matches!(comparison.verdict, Verdict::Identical | Verdict::Equivalent)
    });
    assert_eq!(verdicts[0], verdicts[1], "{a}\n{b}");
    verdicts[0]
}

#[track_caller]
fn equal(a: &str, b: &str) {
    assert!(proved(Dialect::DuckDb, a, b), "not proved equal:\n{a}\n{b}");
}

#[track_caller]
fn open(a: &str, b: &str) {
    assert!(!proved(Dialect::DuckDb, a, b), "proved equal, but they differ:\n{a}\n{b}");
}

#[test]
fn tests_for_null_beside_a_comparison() {
    equal("a is distinct from 1", "a <> 1 or a is null");
    equal("a is not distinct from 1", "a = 1 and a is not null");
    equal("not (a is distinct from 1)", "a is not distinct from 1");
    equal("coalesce(a <> 1, true)", "a is distinct from 1");
    equal("coalesce(f, false)", "f is true");
    equal("coalesce(f, true)", "f is not false");
    equal("case when a is distinct from 1 then b else 0 end", "case when a = 1 then 0 else b end");
    open("a is distinct from 1", "a <> 1");
    open("a <> b or a is null", "a is distinct from b");
    open("coalesce(f, true)", "f is true");
    open("a = b and a is not null", "(a = b) is true");
}

#[test]
fn results_that_are_null_with_their_condition() {
    equal("nullif(s, '')", "case when s <> '' then s end");
    equal("nullif(a, 0)", "case when a <> 0 then a end");
    equal("a / nullif(b, 0)", "case when b <> 0 then a / b end");
    equal("round(a / nullif(b, 0), 2)", "case when b = 0 then null else round(a / b, 2) end");
    equal("coalesce(nullif(s, ''), 'n')", "case when s is null or s = '' then 'n' else s end");
    equal("coalesce(a / nullif(b, 0), 0) is null", "false");
    open("nullif(s, u)", "case when s <> u then s end");
    open("case when a = 0 then null else b end", "case when a <> 0 then b end");
    open("coalesce(nullif(s, ''), u)", "case when s = '' then u else s end");
    open("coalesce(case when a > 1 then b end, 0)", "case when a > 1 then b else 0 end");
}

#[test]
fn conditions_after_those_of_earlier_arms() {
    equal(
        "case when a > 10 then 'x' when a > 5 and a <= 10 then 'y' else 'z' end",
        "case when a > 10 then 'x' when a > 5 then 'y' else 'z' end",
    );
    equal(
        "case when a > 10 or s = 'q' then 1 when a between 6 and 10 then 2 end",
        "case when a > 10 or s = 'q' then 1 when a >= 6 then 2 end",
    );
    open(
        "case when a > 10 then 'x' when b > 5 and a <= 10 then 'y' else 'z' end",
        "case when a > 10 then 'x' when b > 5 then 'y' else 'z' end",
    );
    open("case when a > 10 then 'x' when a <= 10 then 'y' end", "case when a > 10 then 'x' else 'y' end");
    open(
        "case when a > 10 and b = 1 then 'x' when a > 5 and a <= 10 then 'y' end",
        "case when a > 10 and b = 1 then 'x' when a > 5 then 'y' end",
    );
}

#[test]
fn texts_and_their_parts() {
    equal("s like 'abc'", "s = 'abc'");
    equal("s not like 'abc'", "s <> 'abc'");
    equal("s like 'ab%'", "starts_with(s, 'ab')");
    equal("s like '%ab'", "ends_with(s, 'ab')");
    equal("s like '%ab%'", "contains(s, 'ab')");
    equal("left(s, 3)", "substr(s, 1, 3)");
    equal("left(s, 2) = 'ab'", "s like 'ab%'");
    equal("ltrim(rtrim(s))", "trim(s)");
    equal("length(s) > 0", "s <> ''");
    equal("length(s) = 0", "s = ''");
    equal("concat(s, '-', u)", "coalesce(s, '') || '-' || coalesce(u, '')");
    equal("concat(c, '-')", "c || '-'");
    equal("cast(a as varchar) in ('1', '2')", "a in (1, 2)");
    open("s like 'a_c'", "s = 'a_c'");
    open("s like 'a%c'", "starts_with(s, 'a')");
    open("s ilike 'abc'", "s = 'abc'");
    open("s like '%'", "true");
    open("left(s, -1)", "substr(s, 1, -1)");
    open("left(s, 3) = 'ab'", "starts_with(s, 'ab')");
    open("length(s) > 1", "s <> ''");
    open("length(s) >= 0", "s <> ''");
    open("ltrim(s)", "trim(s)");
    open("trim(s, 'x')", "trim(s)");
    open("concat(s, u)", "s || u");
    open("cast(a as varchar) = '01'", "a = 1");
    open("n like '1'", "n = '1'");
    assert!(!proved(Dialect::Redshift, "s like 'abc'", "s = 'abc'"));
    assert!(!proved(Dialect::Snowflake, "concat(s, u)", "coalesce(s, '') || coalesce(u, '')"));
}

#[test]
fn days_and_truncated_moments() {
    equal("d <= '2024-01-31'", "d < '2024-02-01'");
    equal("d between '2024-01-31' and '2024-01-31'", "d = '2024-01-31'");
    equal("date_trunc('month', ts) = '2024-02-01'", "ts >= '2024-02-01' and ts < '2024-03-01'");
    equal("date_trunc('month', d) = date '2024-02-01'", "d between '2024-02-01' and '2024-02-29'");
    equal("cast(date_trunc('month', ts) as date) = '2024-02-01'", "date_trunc('month', ts) = '2024-02-01'");
    equal("date_trunc('day', ts) = '2024-02-01'", "cast(ts as date) = '2024-02-01'");
    equal("date_trunc('quarter', ts) >= '2024-04-01'", "ts >= '2024-04-01'");
    equal("date_trunc('year', ts) <= '2024-01-01'", "ts < '2025-01-01'");
    equal("date_trunc('month', ts) > '2024-01-15'", "ts >= '2024-02-01'");
    equal("d + interval '1 week'", "d + interval 7 day");
    equal("d + interval 1 year", "d + interval '12 months'");
    open("date_trunc('month', ts) = '2024-02-02'", "ts >= '2024-02-01' and ts < '2024-03-01'");
    open("date_trunc('month', ts) > '2024-01-01'", "ts > '2024-01-01'");
    open("date_trunc('month', ts) <= '2024-01-01'", "ts <= '2024-01-01'");
    open("date_trunc('month', ts) = '2024-02-01'", "ts between '2024-02-01' and '2024-03-01'");
    open("ts <= '2024-01-31'", "ts < '2024-02-01'");
    open("d + interval 30 day", "d + interval 1 month");
}

#[test]
fn functions_of_other_dialects_that_are_case() {
    use Dialect::{Databricks, DuckDb, Redshift, Snowflake};
    for dialect in [Snowflake, Redshift, Databricks] {
        assert!(proved(dialect, "nvl2(a, 1, 0)", "case when a is null then 0 else 1 end"));
        assert!(proved(
            dialect,
            "decode(a, 1, 'x', 2, 'y', 'z')",
            "case a when 1 then 'x' when 2 then 'y' else 'z' end"
        ));
        assert!(proved(dialect, "decode(a, null, 0, a)", "coalesce(a, 0)"));
        assert!(!proved(dialect, "decode(a, null, 0, a)", "case a when null then 0 else a end"));
    }
    assert!(!proved(DuckDb, "decode(a, null, 0, a)", "coalesce(a, 0)"));
    assert!(proved(Snowflake, "to_date(ts)", "cast(ts as date)"));
    assert!(proved(Redshift, "trunc(ts)", "cast(ts as date)"));
    assert!(!proved(Snowflake, "to_date(s)", "cast(s as date)"));
}
