//! What operators without rules are taken to mean: pairs that are equal and pairs just outside.

use super::super::compare::{Contract, Options, compare};
use super::super::{Comparison, Dialect, Schema, Verdict};

fn schema() -> Schema {
    serde_json::from_str(
        r#"{"tables": {
            "t": {"columns": {
                "id": {"type": "BIGINT", "nullable": false}, "a": {"type": "BIGINT"}, "b": {"type": "BIGINT"},
                "s": {"type": "VARCHAR"}, "l": {"type": "BIGINT[]"}, "k": {"type": ""}},
                "primary_key": ["id"]},
            "u": {"columns": {
                "id": {"type": "BIGINT", "nullable": false}, "a": {"type": "BIGINT"}, "x": {"type": "BIGINT"}},
                "primary_key": ["id"]},
            "o": {"columns": {}}, "p": {"columns": {}}
        }}"#,
    )
    .unwrap()
}

fn compared(dialect: Dialect, a: &str, b: &str) -> Comparison {
    compare(a, b, &schema(), &Options { contract: Contract::Position, dialect })
}

fn proved(dialect: Dialect, a: &str, b: &str) -> bool {
    let comparison = compared(dialect, a, b);
    assert!(!comparison.reason.contains("does not parse"), "{}\n{a}\n{b}", comparison.reason);
    matches!(comparison.verdict, Verdict::Identical | Verdict::Equivalent)
}

#[track_caller]
fn equal_in(dialect: Dialect, a: &str, b: &str) {
    assert!(proved(dialect, a, b), "not proved equal: {}\n{a}\n{b}", compared(dialect, a, b).reason);
}

#[track_caller]
fn open_in(dialect: Dialect, a: &str, b: &str) {
    for (a, b) in [(a, b), (b, a)] {
        let comparison = compared(dialect, a, b);
        assert!(!proved(dialect, a, b), "proved equal, but they differ:\n{a}\n{b}");
        assert_ne!(comparison.verdict, Verdict::Differs, "{}\n{a}\n{b}", comparison.reason);
    }
}

#[track_caller]
fn equal(a: &str, b: &str) {
    equal_in(Dialect::DuckDb, a, b);
}

#[track_caller]
fn open(a: &str, b: &str) {
    open_in(Dialect::DuckDb, a, b);
}

#[test]
fn grouping_sets_are_a_union_of_groupings() {
    let rolled = "select a, b, sum(id) as n from t where id > 1 group by rollup (a, b)";
    equal(
        rolled,
        "select a, b, sum(id) as n from t where not id <= 1 group by grouping sets ((a, b), a, ())",
    );
    equal(
        rolled,
        "select a, b, sum(id) as n from t where id > 1 group by a, b
         union all select a, null, sum(id) from t where id > 1 group by a
         union all select null, null, sum(id) from t where id > 1",
    );
    equal(
        "select a, grouping(a) as g, count(*) as n from t group by cube (a)",
        "select a, 0 as g, count(*) as n from t group by a union all select null, 1, count(*) from t",
    );
    equal("select a, grouping(a) as g from t group by a", "select a, 0 as g from t group by a");
    // A group of NULLs is not the total, nor is the total of no rows nothing.
    open(rolled, "select a, b, sum(id) as n from t where id > 1 group by a, b");
    open(rolled, "select a, b, sum(id) as n from t where id > 1 group by cube (a, b)");
    open(rolled, "select a, b, sum(id) as n from t where id > 1 group by rollup (b, a)");
    open(
        "select a, count(*) as n from t group by grouping sets (a, ())",
        "select a, count(*) as n from t group by grouping sets (a, a, ())",
    );
    // A condition on a key does not move below: it is NULL in the totals.
    open(
        "select a, n from (select a, count(*) as n from t group by rollup (a)) where a = 1 or a is null",
        "select a, count(*) as n from t where a = 1 or a is null group by rollup (a)",
    );
    // Whether there is a total of no rows is known of DuckDB and PostgreSQL only.
    open_in(
        Dialect::Databricks,
        "select a, count(*) as n from t group by rollup (a)",
        "select a, count(*) as n from t group by a union all select null, count(*) from t",
    );
    equal_in(
        Dialect::Databricks,
        "select a, b, count(*) as n from t group by a, b with rollup",
        "select q.a, q.b, count(1) as n from (select * from t) as q group by rollup (q.a, q.b)",
    );
}

#[test]
fn recursive_ctes_are_their_anchor_and_step() {
    let counted =
        "with recursive r(n) as (select 1 union all select n + 1 from r where n < 10) select n from r";
    equal(
        counted,
        "with recursive q(m) as (select 1 union all select z.m + 1 from q as z where not z.m >= 10)
         select m as n from q",
    );
    open(counted, "with recursive r(n) as (select 1 union select n + 1 from r where n < 10) select n from r");
    open(
        counted,
        "with recursive r(n) as (select 1 union all select n + 1 from r where n < 11) select n from r",
    );
    open(
        counted,
        "with recursive r(n) as (select 2 union all select n + 1 from r where n < 10) select n from r",
    );
    // A condition on the rows is no condition in the step.
    open(
        "with recursive r(n, m) as (select id, a from t union all select n, m + 1 from r where m < 5) select n from r where n = 1",
        "with recursive r(n, m) as (select id, a from t where id = 1 union all select n, m + 1 from r where m < 5) select n from r",
    );
    // Without RECURSIVE the name is a table's.
    open(
        "with recursive t(id) as (select 1 union all select id + 1 from t where id < 3) select id from t",
        "with t(id) as (select 1 union all select id + 1 from t where id < 3) select id from t",
    );
    equal_in(
        Dialect::Snowflake,
        "with r(n) as (select 1 union all select n + 1 from r where n < 10) select n from r",
        "with recursive r(n) as (select 1 union all select n + 1 from r where n < 10) select n from r",
    );
}

#[test]
fn pivots_are_tables_of_their_input_and_arguments() {
    let pivoted = "select * from (select a, s, id from t) pivot (sum(id) for s in ('x', 'y'))";
    for dialect in [Dialect::Snowflake, Dialect::BigQuery, Dialect::Databricks] {
        equal_in(
            dialect,
            pivoted,
            "with q as (select z.a, z.s, z.id from t as z), r as (select * from q pivot (sum(id) for s in ('x', 'y'))) select * from r",
        );
        for other in [
            "select * from (select a, s, id from t) pivot (sum(id) for s in ('x', 'z'))",
            "select * from (select a, s, id from t) pivot (max(id) for s in ('x', 'y'))",
            "select * from (select b as a, s, id from t) pivot (sum(id) for s in ('x', 'y'))",
            "select * from (select a, b, s, id from t) pivot (sum(id) for s in ('x', 'y'))",
            "select * from (select a, s, id from t where id > 1) pivot (sum(id) for s in ('x', 'y'))",
            // Over no rows the one is NULL and the other 0.
            "select * from (select a, s, id from t) pivot (count(id) for s in ('x', 'y'))",
        ] {
            open_in(dialect, pivoted, other);
        }
        // Below the pivot a condition on a cell's value is another condition.
        open_in(
            dialect,
            "select x from (select a, s, id as x from t) pivot (sum(x) for s in ('x', 'y')) where x > 1",
            "select x from (select a, s, id as x from t where id > 1) pivot (sum(x) for s in ('x', 'y'))",
        );
    }
    equal(
        "pivot t on s using sum(id) group by a",
        "select * from (with q as (select * from t) pivot q on s using sum(id) group by a)",
    );
    open("pivot t on s using sum(id) group by a", "pivot t on s using sum(id) group by b");
    open("pivot t on s in ('x') using sum(id) group by a", "pivot t on s using sum(id) group by a");
}

#[test]
fn listed_pivots_are_groupings() {
    let pivoted = "select * from (select a, s, id from t) pivot (sum(id) for s in ('x', 'y'))";
    equal(
        pivoted,
        "select a, sum(case when s = 'x' then id end) as x, sum(id) filter (where s = 'y') as y from t group by a",
    );
    equal(
        "pivot t on s in ('x', 'y') using sum(id) as n, count(*) as c group by b",
        "select b, sum(id) filter (s = 'x') as x_n, count(*) filter (s = 'x') as x_c,
                sum(id) filter (s = 'y') as y_n, count(*) filter (s = 'y') as y_c from t group by b",
    );
    equal(
        "select * from (select a, id from t) pivot (coalesce(sum(id), 0) for a in (1 as one))",
        "select coalesce(sum(id) filter (a = 1), 0) as one from t",
    );
    // A value that no row has is no reason to leave a group out.
    open(
        pivoted,
        "select a, sum(id) filter (s = 'x') as x, sum(id) filter (s = 'y') as y from t where s in ('x', 'y') group by a",
    );
    open(
        pivoted,
        "select a, sum(case when s = 'x' then id else 0 end) as x, sum(case when s = 'y' then id else 0 end) as y from t group by a",
    );
    // What nothing reads is grouped by.
    open(
        "select * from (select a, b, s, id from t) pivot (sum(id) for s in ('x'))",
        "select a, null as b, sum(id) filter (s = 'x') as x from t group by a",
    );
    // In other dialects a cell without rows may count NULL.
    open_in(
        Dialect::Databricks,
        "select * from (select a, s, id from t) pivot (count(id) for s in ('x', 'y'))",
        "select a, count(case when s = 'x' then id end) as x, count(case when s = 'y' then id end) as y from t group by a",
    );
}

#[test]
fn unpivots_keep_the_names_of_their_columns() {
    let long = "select id, k, v from (select id, a, b from t) unpivot (v for k in (a, b))";
    equal(
        long,
        "select q.id, q.k, q.v from (select x.id, x.a, x.b from t as x) unpivot (v for k in (a, b)) as q",
    );
    equal("unpivot t on a, b into name k2 value v", "select * from (unpivot t on a, b into name k2 value v)");
    open(long, "select id, k, v from (select id, a, b from t) unpivot include nulls (v for k in (a, b))");
    open(long, "select id, k, v from (select id, b as a, a as b from t) unpivot (v for k in (a, b))");
    open(long, "select id, k, v from (select id, a as c, b from t) unpivot (v for k in (c, b))");
}

#[test]
fn lambdas_do_not_depend_on_the_names_of_their_parameters() {
    equal(
        "select list_transform(l, x -> x + 1) as m from t",
        "select list_transform(l, y -> y + 1) as m from t",
    );
    equal(
        "select list_transform(l, x -> x + a) as m from t",
        "select list_transform(l, lambda y: y + q.a) as m from (select l, a from t) as q",
    );
    equal(
        "select [x + 1 for x in l if x > 1] as m from t",
        "select list_transform(list_filter(l, y -> y > 1), z -> z + 1) as m from t",
    );
    // A parameter hides the column of its name.
    open(
        "select list_transform(l, x -> x + a) as m from t",
        "select list_transform(l, a -> a + a) as m from t",
    );
    open(
        "select list_transform(l, (x, i) -> x - i) as m from t",
        "select list_transform(l, (x, i) -> i - x) as m from t",
    );
    open(
        "select list_transform(l, x -> list_transform(l, y -> x - y)) as m from t",
        "select list_transform(l, x -> list_transform(l, y -> y - x)) as m from t",
    );
    // A parameter may be NULL, whatever the column beside it is.
    open("select list_filter(l, x -> x = x) as m from t", "select list_filter(l, x -> true) as m from t");
    open(
        "select list_filter(l, x -> x is null) as m from t",
        "select list_filter(l, x -> false) as m from t",
    );
}

#[test]
fn structs_are_their_fields() {
    equal_in(
        Dialect::BigQuery,
        "select struct(a, b as c) as m from t",
        "select struct(q.a as a, q.b as c) as m from t as q",
    );
    open_in(Dialect::BigQuery, "select struct(a, b) as m from t", "select struct(b, a) as m from t");
    open_in(Dialect::BigQuery, "select struct(a as x) as m from t", "select struct(a as y) as m from t");
    open("select {'x': a, 'y': b} as m from t", "select {'x': b, 'y': a} as m from t");
    open("select map {'x': a} as m from t", "select {'x': a} as m from t");
    open("select l[1] as m from t", "select l[1:1] as m from t");
    open("select l[1:] as m from t", "select l[:1] as m from t");
    // Rows are equal where their NULLs are; two conditions are not.
    open("select id from t where (a, b) = (1, null)", "select id from t where a = 1 and b = null");
    equal_in(
        Dialect::Postgres,
        "select id from t where (a, b) in ((1, 2), (3, 4))",
        "select id from t where a = 1 and b = 2 or a = 3 and b = 4",
    );
}

#[test]
fn unions_by_name() {
    let both = "select a, b from t union all by name select x as b, id as a from u";
    equal(both, "select a, b from t union all select id, x from u");
    equal(
        "select a from t union all by name select x from u",
        "select a, null as x from t union all select null, x from u",
    );
    open(both, "select a, b from t union all select x, id from u");
    open(both, "select a, b from t union by name select x as b, id as a from u");
}

#[test]
fn columns_that_are_not_known() {
    equal("select * from o", "with q as (select * from o) select * from q");
    equal("with q as (select * from o) select q.c from q where q.d = 1", "select c from o where 1 = d");
    open("select * from o", "select * from p");
    open("select * from o", "select distinct * from o");
    open("select * from o", "select c from o");
    open("select *, 1 as c from o", "select 1 as c, * from o");
    // One column of USING is there once.
    open("select * from o join p using (c)", "select o.*, p.* from o join p on o.c = p.c");
    open("select c from (select *, a as c from o)", "select c from (select a as c, * from o)");
    // Whose column it is, is not known.
    open(
        "select c from (select * from o) as q, (select * from p) as r",
        "select q.c from (select * from o) as q, (select * from p) as r",
    );
}

#[test]
fn rows_of_arrays() {
    let big = Dialect::BigQuery;
    equal_in(
        big,
        "select id, (select value from unnest(k) where name = 'x') as m from t",
        "select id, (select e.value from unnest(q.k) as e where e.name = 'x') as m from t as q",
    );
    equal_in(
        big,
        "select t.id, e.x from t, unnest(t.k) as e",
        "select q.id, z.x from t as q cross join q.k as z",
    );
    open_in(
        big,
        "select t.id, e.x from t, unnest(t.k) as e",
        "select t.id, e.x from t left join unnest(t.k) as e on true",
    );
    // `a` may be a field of the element.
    open_in(
        big,
        "select id, (select count(*) from unnest(k) as e where e.y = a) as m from t",
        "select id, (select count(*) from unnest(k) as e where e.y = t.a) as m from t",
    );
    let spark = Dialect::Databricks;
    equal_in(
        spark,
        "select id, e from t lateral view explode(l) q as e",
        "select z.id, y.c as e from (select id, l from t) z lateral view explode(z.l) y as c",
    );
    open_in(
        spark,
        "select id, e from t lateral view explode(l) q as e",
        "select id, e from t lateral view outer explode(l) q as e",
    );
}

#[test]
fn an_order_below_is_kept_to() {
    let ordered = "select id, a from (select id, a from t order by b)";
    equal(ordered, "select id, a from t");
    equal(
        "select id, row_number() over (order by a) as n from (select id, a from t order by b)",
        "select id, row_number() over (order by a) as n from t",
    );
    open(&format!("{ordered} limit 3"), "select id, a from t limit 3");
    for call in ["list(a)", "string_agg(s, ',')", "any_value(a)", "row_number() over ()", "lag(a) over ()"] {
        open(
            &format!("select {call} as m from (select * from t order by b)"),
            &format!("with q as (select * from t order by b desc) select {call} as m from q"),
        );
    }
}

#[test]
fn default_frames_of_dialects() {
    let last = "select last_value(a) over (partition by b order by id) as m from t";
    let whole = "select last_value(a) over (partition by b order by id rows between unbounded preceding and unbounded following) as m from t";
    let running =
        "select last_value(a) over (partition by b order by id range unbounded preceding) as m from t";
    equal_in(Dialect::Snowflake, last, whole);
    open_in(Dialect::Snowflake, last, running);
    equal(last, running);
    open(last, whole);
}

#[test]
fn functions_that_may_make_rows() {
    let pg = Dialect::Postgres;
    // A user's own function may return a set: then it decides how many rows there are.
    open_in(pg, "select id from (select id, util.parts(a) as p from t) q", "select id from t");
    open_in(pg, "select count(*) as n from (select parts(a) as p from t) q", "select count(*) as n from t");
    open_in(pg, "select id from t order by parts(a)", "select id from t");
    open_in(
        pg,
        "select parts(a) as p, halves(a) as h from t",
        "select parts(a) as p, h from (select a, halves(a) as h from t) q",
    );
    open_in(pg, "select id, parts(a) as p from t", "select distinct id, parts(a) as p from t");
    open_in(
        pg,
        "select parts(a) as p, count(*) as n from t group by 1",
        "select parts(a) as p, 1 as n from t",
    );
    // What it is called with, and from where, is compared all the same.
    equal_in(
        pg,
        "select id, upper(util.label(a)) as p from t where b = 1",
        "with q as (select b, id, util.label(a) as l from t) select id, upper(l) as p from q where b = 1",
    );
    equal_in(
        pg,
        "select halves(a) as h, parts(a) as p, parts(a) as q from t",
        "select h, p, p as q from (select parts(a) as p, halves(a) as h from t) q",
    );
    equal_in(
        pg,
        "select label(sum(a)) as p, b from t where fits(a) group by b",
        "select label(n) as p, b from (select sum(a) as n, b from t where fits(a) group by b) q",
    );
    equal_in(
        pg,
        "select sum(cents(a)) as n, max(cents(b)) over () as m from t group by b",
        "select sum(cents(q.a)) as n, max(cents(q.b)) over () as m from t as q group by q.b",
    );
    // What is known to give one value, and any function elsewhere.
    equal_in(pg, "select id from (select id, round(a) as p from t) q", "select id from t");
    equal_in(Dialect::DuckDb, "select id from (select id, parts(a) as p from t) q", "select id from t");
}

#[test]
fn arrays_of_subqueries() {
    let of = "select t.id, array(select x from u where u.a = t.a order by x) as m from t";
    for dialect in [Dialect::DuckDb, Dialect::BigQuery, Dialect::Postgres] {
        equal_in(
            dialect,
            of,
            "select q.id, array(select v.x from (select * from u) as v where q.a = v.a order by v.x) as m from t as q",
        );
        for other in [
            "select t.id, array(select x from u where u.a = t.a order by x desc) as m from t",
            "select t.id, array(select x from u where u.a = t.a) as m from t",
            "select t.id, array(select distinct x from u where u.a = t.a order by x) as m from t",
            "select t.id, array(select x from u order by x) as m from t",
            // NULL and not empty without a match.
            "select t.id, (select array_agg(x order by x) from u where u.a = t.a) as m from t",
            "select t.id, v.m from t left join (select a, array_agg(x order by x) as m from u group by a) as v on v.a = t.a",
            "select t.id, v.m from t left join (select distinct a, array(select x from u as w where w.a = u.a order by x) as m from u) as v on v.a = t.a",
        ] {
            open_in(dialect, of, other);
        }
    }
    equal_in(
        Dialect::BigQuery,
        "select id, array(select as struct e.x, e.y from unnest(k) as e order by e.x) as m from t",
        "select id, array(select struct(z.x as x, z.y) from unnest(q.k) as z order by z.x) as m from t as q",
    );
}

#[test]
fn work_that_doubles_with_each_level_is_bounded() {
    let levels = |body: &str| {
        let ctes: Vec<String> =
            (1..20).map(|n| format!("q{n} as ({})", body.replace('#', &(n - 1).to_string()))).collect();
        format!("with q0 as (select 1 as a, 2 as b, 'x' as s), {} select a from q19", ctes.join(", "))
    };
    for body in [
        "select a, b, s from q# group by cube (a, b, s)",
        "select x.a, y.b, x.s from (select * from q#) unpivot (v for k in (b)) as x, (select * from q#) unpivot (v for k in (a)) as y",
        "select x.k as a, x.v as b, y.k as s from q# unpivot (v for k in (a, b)) as x, q# unpivot (v for k in (a, b)) as y",
        "select x.a, x.b, y.s from q# as x, q# as y group by rollup (x.a, x.b, y.s)",
    ] {
        let sql = levels(body);
        let comparison = compared(Dialect::Snowflake, &sql, &format!("select * from ({sql})"));
        assert_eq!(comparison.verdict, Verdict::Unknown, "{}", comparison.reason);
    }
}

#[test]
fn nulls_are_ignored_by_the_outer_call() {
    let big = Dialect::BigQuery;
    let ignored = "select array_agg(if(a > 1, b, null) ignore nulls order by id) as m from t";
    equal_in(
        big,
        ignored,
        "select array_agg(case when q.a > 1 then q.b end ignore nulls order by q.id) as m from t as q",
    );
    open_in(big, ignored, "select array_agg(if(a > 1, b, null) order by id) as m from t");
    open_in(
        big,
        ignored,
        "select array_agg(if(a > 1, b, null) ignore nulls order by id limit 1) as m from t",
    );
    open_in(
        Dialect::Snowflake,
        "select s.nextval as m from t",
        "select (s.nextval) as m from (select * from t)",
    );
}

#[test]
fn asof_joins_take_the_nearest_row() {
    let nearest = "select t.id, u.x from t asof join u on t.a = u.a and t.b >= u.x where t.id > 1";
    equal(
        nearest,
        "select c.id, r.x from (select * from t where id > 1) c asof join u r on r.x <= c.b and r.a = c.a",
    );
    for other in [
        "select t.id, u.x from t asof join u on t.a = u.a and t.b > u.x where t.id > 1",
        "select t.id, u.x from t asof join u on t.a = u.a and t.b <= u.x where t.id > 1",
        "select t.id, u.x from t asof join u on t.b >= u.x where t.id > 1",
        "select t.id, u.x from t asof left join u on t.a = u.a and t.b >= u.x where t.id > 1",
        "select t.id, u.x from t join u on t.a = u.a and t.b >= u.x where t.id > 1",
        "select t.id, u.x from u asof join t on t.a = u.a and t.b >= u.x where t.id > 1",
        // Of equals each takes one of its own.
        "select t.id, q.x from t, lateral (select x from u where u.a = t.a and x <= t.b order by x desc limit 1) q where t.id > 1",
    ] {
        open(nearest, other);
    }
    // A condition on the rows that are left is not one on the rows to choose from.
    open(
        "select t.id, u.x from t asof join u on t.a = u.a and t.b >= u.x where u.x > 1",
        "select t.id, q.x from t asof join (select * from u where x > 1) q on t.a = q.a and t.b >= q.x",
    );
    equal(
        "select a, id, x from t asof left join u using (a, id)",
        "select t.a, t.id, u.x from t asof left join u on t.a = u.a and t.id >= u.id",
    );
    // A condition on one side, or two inequalities.
    for condition in ["t.a = u.a and t.b >= u.x and u.id > 1", "t.b >= u.x and t.a >= u.a", "t.a = u.a"] {
        let query = format!("select t.id from t asof join u on {condition}");
        open(&query, &format!("select * from ({query}) q"));
    }
    let snow = Dialect::Snowflake;
    let nearest = "select t.id, u.x from t asof join u match_condition (t.b >= u.x) on t.a = u.a";
    equal_in(
        snow,
        nearest,
        "with r as (select a as k, x from u) select t.id, x from t asof join r match_condition (t.b >= r.x) on r.k = t.a",
    );
    // There it keeps the rows without a match.
    open_in(snow, nearest, &format!("{nearest} where u.x is not null"));
}

#[test]
fn all_fields_of_a_struct() {
    let big = Dialect::BigQuery;
    let latest = "select r.* from (select array_agg(q order by x desc limit 1)[offset(0)] as r from u as q group by a)";
    equal_in(
        big,
        latest,
        "with p as (select array_agg(y order by y.x desc limit 1)[offset(0)] as l from u as y group by y.a) select p.l.* from p",
    );
    for other in [
        "select r.* from (select array_agg(q order by x limit 1)[offset(0)] as r from u as q group by a)",
        "select r.* from (select array_agg(q order by x desc limit 1)[offset(0)] as r from u as q group by id)",
        "select r from (select array_agg(q order by x desc limit 1)[offset(0)] as r from u as q group by a)",
        "select * from u qualify row_number() over (partition by a order by x desc) = 1",
    ] {
        open_in(big, latest, other);
    }
    equal_in(
        big,
        &format!("select id from ({latest})"),
        "select array_agg(q order by x desc limit 1)[offset(0)].id from u as q group by a",
    );
    // NULL is another value than a struct of NULLs.
    open_in(
        big,
        "select count(*) as n from (select distinct k from t)",
        "select count(*) as n from (select distinct t.k.* from t)",
    );
    open("select id, k.x from t", "select id, k.* from t");
}
