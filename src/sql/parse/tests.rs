use super::*;

fn print(sql: &str, dialect: Dialect) -> String {
    match parse_query(sql, dialect) {
        Ok(query) => query.to_string(),
        Err(fault) => panic!("{sql}: {fault}"),
    }
}

#[test]
fn what_dialects_users_write_is_mended() {
    use Dialect::{BigQuery, Databricks, DuckDb, Postgres, Redshift, Snowflake};
    let cases = [
        (Databricks, "select date'2024-01-01', x from t", "SELECT DATE '2024-01-01', x FROM t"),
        (
            DuckDb,
            "select case when a then'x'else'y'end from t",
            "SELECT CASE WHEN a THEN 'x' ELSE 'y' END FROM t",
        ),
        (
            Postgres,
            "select a from t where a isnull or b notnull",
            "SELECT a FROM t WHERE a IS NULL OR b IS NOT NULL",
        ),
        (Redshift, "select isnull(a, b) from t", "SELECT isnull(a, b) FROM t"),
        (
            BigQuery,
            "select array<struct<a int64>>[(1)], array<int64>[] from t",
            "SELECT CAST([(1)] AS ARRAY<STRUCT<a INT64>>), CAST([] AS ARRAY<INT64>) FROM t",
        ),
        (Databricks, "select * from values 1, 'a' as v(x)", "SELECT * FROM (VALUES (1), ('a')) AS v (x)"),
        (Databricks, "select s.a?::int from t", "SELECT TRY_CAST(s.a AS INT) FROM t"),
        (DuckDb, "select j -> 'a' ->> 'b' from t", "SELECT j -> 'a' ->> 'b' FROM t"),
        (
            DuckDb,
            "select * from t asof left join u on t.id = u.id and t.ts >= u.ts where t.a = 1",
            "SELECT * FROM t ASOF JOIN u MATCH_CONDITION (asof_left(t.id = u.id AND t.ts >= u.ts) > 0) WHERE t.a = 1",
        ),
        (
            DuckDb,
            "select * from t asof join u using (id, ts)",
            "SELECT * FROM t ASOF JOIN u MATCH_CONDITION (asof_using((id, ts)) > 0)",
        ),
        (DuckDb, "select sum(x) filter (y > 1) from t", "SELECT sum(x) FILTER (WHERE y > 1) FROM t"),
        (
            DuckDb,
            "with a as not materialized (select 1) select * from a",
            "WITH a AS (SELECT 1) SELECT * FROM a",
        ),
        (
            DuckDb,
            "select a: 1, b: f(x, 2) + 1 from z: t where a > 1",
            "SELECT 1 AS a, f(x, 2) + 1 AS b FROM t AS z WHERE a > 1",
        ),
        (
            DuckDb,
            "select c: x is distinct from y, {'a': 1} from t",
            "SELECT x IS DISTINCT FROM y AS c, {'a': 1} FROM t",
        ),
        (DuckDb, r"select e'a\tb' from t", "SELECT 'a\tb' FROM t"),
        (DuckDb, "select 0x1F + 1_000", "SELECT 31 + 1000"),
        (DuckDb, "select last(x ignore nulls) over () from t", "SELECT last(x) IGNORE NULLS OVER () FROM t"),
        (
            DuckDb,
            "select list_filter(l, x -> x > 1), (j ->> 'a') = 'b' from t",
            "SELECT list_filter(l, x -> x > 1), (j ->> 'a') = 'b' FROM t",
        ),
        (
            DuckDb,
            "select x::int ^ 2, f(x)[1] ^ (y + 1) from t",
            "SELECT (x::INT ^ 2), (f(x)[1] ^ (y + 1)) FROM t",
        ),
        (
            Redshift,
            "select approximate count(distinct x) from t",
            "SELECT approximate_count(DISTINCT x) FROM t",
        ),
        (Redshift, "select a from t group by rollup (a, b)", "SELECT a FROM t GROUP BY ROLLUP (a, b)"),
        (Redshift, "select extract(qtr from d) from t", "SELECT EXTRACT(QUARTER FROM d) FROM t"),
        (Databricks, "select a div b, c, from t", "SELECT a DIV b, c FROM t"),
        (
            Databricks,
            "select a[0]._id, f(x)._id, '._x' from t where b[1]._c = 1\nand d[0]._e",
            "SELECT a[0]._id, f(x)._id, '._x' FROM t WHERE b[1]._c = 1 AND d[0]._e",
        ),
        (
            BigQuery,
            "select * from ml.predict(model `d.m`, table d.t, struct(1 as x))",
            "SELECT * FROM ml.predict('MODEL `d.m`', (SELECT * FROM d.t), STRUCT(1 AS x))",
        ),
        (Snowflake, "select date_part(year from d) from t", "SELECT date_part(year, d) FROM t"),
        (Snowflake, "select m!predict(a) from t", "SELECT m!predict(a) FROM t"),
        (BigQuery, "select t.2022, t.2022_total, 1.5 from t", "SELECT t.2022, t.2022_total, 1.5 FROM t"),
        (DuckDb, "select x ** 2 from t", "SELECT (x ^ 2) FROM t"),
        (Databricks, r"select r'\d+' from t", r"SELECT '\d+' FROM t"),
        (
            BigQuery,
            "select 1 as a full outer union all by name select 2 as a left union distinct strict corresponding select 3 as a",
            "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS a UNION DISTINCT BY NAME SELECT 3 AS a",
        ),
        (
            BigQuery,
            "select a << 1, array<array<int64>>[] from t",
            "SELECT a << 1, CAST([] AS ARRAY<ARRAY<INT64>>) FROM t",
        ),
        (Snowflake, "select {*}, {t.*} from t", "SELECT object_of_all(*), object_of_all(t.*) FROM t"),
        (
            Snowflake,
            "select x::array(int), cast(y as object(a int)) from t",
            "SELECT x::array ( int ), CAST(y AS object ( a int )) FROM t",
        ),
        (Snowflake, "select count(*) filter (where a) from t", "SELECT count(*) FILTER (WHERE a) FROM t"),
        (Redshift, "select t.a from t, u where t.a = u.a (+)", "SELECT t.a FROM t, u WHERE t.a = u.a (+)"),
        (
            Databricks,
            "with v as (values (1, 'a'), (2, 'b') as q(x, y)) select * from v",
            "WITH v AS (SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS q (x, y)) SELECT * FROM v",
        ),
        (
            DuckDb,
            "select * rename (a as b) from t tablesample 10%",
            "SELECT * RENAME (a AS b) FROM t TABLESAMPLE (10 PERCENT)",
        ),
        (
            DuckDb,
            "select 1 - (1 / (10 ^ (-( a - b )::real/400)+1)) from t",
            "SELECT 1 - (1 / ((10 ^ (-(a - b)::REAL / 400)) + 1)) FROM t",
        ),
        (DuckDb, "select 2 * x ^ 2 - y ^ 2 ^ -1", "SELECT 2 * (x ^ 2) - ((y ^ 2) ^ -1)"),
        (
            DuckDb,
            "pivot t on c in ('x', 'y') using sum(a) as s, count(*) group by b order by b limit 1",
            "SELECT * FROM t PIVOT(sum(a) AS s, count(*), pivot_group(b) FOR c IN ('x', 'y')) ORDER BY b LIMIT 1",
        ),
        (
            DuckDb,
            "with q as (select 1 as a) pivot q on a, b in (1)",
            "WITH q AS (SELECT 1 AS a) SELECT * FROM q PIVOT(count(*) FOR pivot_on(a, b) IN (pivot_any(), pivot_in(1)))",
        ),
        (
            DuckDb,
            "select * from t pivot (sum(a) for c in ('x') d in (1, 2) group by b) as p",
            "SELECT * FROM t PIVOT(sum(a), pivot_group(b) FOR pivot_on(c, d) IN (pivot_in('x'), pivot_in(1, 2))) AS p",
        ),
        (
            DuckDb,
            "select * from (unpivot (select 1) on a, b) where c = 1",
            "SELECT * FROM (SELECT * FROM (SELECT 1) UNPIVOT(value FOR name IN (a, b))) WHERE c = 1",
        ),
        (
            DuckDb,
            "select [f(x) for x in l if x > 1], [k + v for k, v in m], [1, 2]",
            "SELECT list_transform(list_filter(l, x -> (x > 1)), x -> (f(x))), list_transform(m, (k, v) -> (k + v)), [1, 2]",
        ),
        (
            DuckDb,
            "select j ->> 'a' = 'b', j -> 'a' ->> 'b' in ('c') from t where j ->> 'a' is null or b",
            "SELECT (j ->> 'a') = 'b', (j -> 'a' ->> 'b') IN ('c') FROM t WHERE (j ->> 'a') IS NULL OR b",
        ),
        (
            DuckDb,
            "select s || a + b * 2 || c - 1, a + b || s",
            "SELECT s || (a + b * 2) || (c - 1), a + b || s",
        ),
        (Postgres, "select s || a + b", "SELECT s || a + b"),
        (Postgres, "select 1 - x ^ 2", "SELECT 1 - x ^ 2"),
        (
            DuckDb,
            "select #2, #1 + 1 from t",
            "SELECT positional_reference(2), positional_reference(1) + 1 FROM t",
        ),
        (DuckDb, "select a from t limit 10%", "SELECT a FROM t LIMIT percent_of_rows(10)"),
        (DuckDb, "select a glob 'x*' and b from t", "SELECT a SIMILAR TO glob('x*') AND b FROM t"),
        (
            DuckDb,
            "select a in l, a in [1, 2], a in (1, 2) from t",
            "SELECT list_contains(l, a), list_contains([1, 2], a), a IN (1, 2) FROM t",
        ),
        (
            DuckDb,
            "from t where exists (from u where u.a = t.a)",
            "SELECT * FROM t WHERE EXISTS (SELECT * FROM u WHERE u.a = t.a)",
        ),
        (DuckDb, "select extract(year from d) from t", "SELECT EXTRACT(YEAR FROM d) FROM t"),
        (DuckDb, "(table t) union all table u", "(SELECT * FROM t) UNION ALL SELECT * FROM u"),
        (
            DuckDb,
            "select * from a using sample 10% limit 1",
            "SELECT * FROM a QUALIFY using_sample('10 %') LIMIT 1",
        ),
        (
            DuckDb,
            "select * from a positional join b as c where x = 1",
            "SELECT * FROM a ASOF JOIN b AS c MATCH_CONDITION (positional_rows() > 0) WHERE x = 1",
        ),
        (Databricks, "select first(x ignore nulls) from t", "SELECT first(x) IGNORE NULLS FROM t"),
        (
            Snowflake,
            "select * from a inner directed join b on a.x = b.x",
            "SELECT * FROM a INNER JOIN b ON a.x = b.x",
        ),
        (Snowflake, "select x::timestamp with local time zone from t", "SELECT x::TIMESTAMP_LTZ FROM t"),
    ];
    for (dialect, sql, expected) in cases {
        assert_eq!(print(sql, dialect), expected, "{sql}");
    }
}

#[test]
fn what_would_be_misread_is_refused() {
    use Dialect::{DuckDb, Postgres, Redshift};
    for (dialect, sql) in [
        (DuckDb, "select 'a' 'b'"),
        (Postgres, "select 'a' 'b' from t"),
        (DuckDb, r"select e'\x41'"),
        (DuckDb, "select j -> 'a' = 'b' from t"),
        (DuckDb, "select a = 1 and j ->> 'a' = 'b' from t"),
        (DuckDb, "select not j ->> 'a' = 'b' from t"),
        (DuckDb, "select ~a + 1 from t"),
        (Postgres, "select - x ^ 2 from t"),
        (Redshift, "select @ a * 2 from t"),
        (DuckDb, "select a = j ->> 'b' from t"),
        (Postgres, "select * from a positional join b"),
        (DuckDb, "select - x ^ 2 from t"),
        (DuckDb, "select case when a then - x ^ 2 end from t"),
        (DuckDb, "select a | b & c from t"),
        (Redshift, "select - x ^ 2 from t"),
        (DuckDb, "select 1 end union select 2"),
        (DuckDb, "select a from t limit 1 join u"),
    ] {
        let fault = parse_query(sql, dialect).expect_err(sql);
        assert!(matches!(fault, ParseFault::Unsupported(_) | ParseFault::Syntax(_)), "{sql}: {fault:?}");
        assert!(fault.place().is_some(), "{sql}: {fault}");
    }
}

#[test]
fn exactly_one_query_and_nothing_else() {
    let parse = |sql| super::parse(sql, Dialect::DuckDb);
    assert!(parse("select 1;").is_ok_and(|parsed| parsed.trailing_semicolon));
    assert!(parse("select 1 -- ;").is_ok_and(|parsed| !parsed.trailing_semicolon));
    assert_eq!(parse("-- nothing"), Err(ParseFault::Empty));
    assert_eq!(parse("select 1; select 2"), Err(ParseFault::Several(2)));
    for (sql, what) in [
        ("drop table t", "DROP"),
        ("select a into u from t", "SELECT INTO"),
        ("copy t to 'x'", "COPY"),
        ("attach 'x' as y", "ATTACH"),
        ("pragma enable_profiling", "PRAGMA"),
        ("set x = 1", "SET"),
        ("explain select 1", "EXPLAIN"),
    ] {
        assert_eq!(parse(sql), Err(ParseFault::NotAQuery(what.to_owned())), "{sql}");
    }
    let insert = "with x as (insert into t values (1) returning *) select * from x";
    assert_eq!(super::parse(insert, Dialect::Postgres), Err(ParseFault::NotAQuery("INSERT".to_owned())));
}

#[test]
fn backslashes_are_read_as_the_dialect_reads_them() {
    let value = |sql: &str, dialect| format!("{:?}", parse_query(sql, dialect).expect(sql).body);
    assert!(value(r"select 'a\'b'", Dialect::BigQuery).contains(r#"SingleQuotedString("a'b")"#));
    assert!(value(r"select 'a\\'", Dialect::Snowflake).contains(r#"SingleQuotedString("a\\")"#));
    assert!(value(r"select 'a\'", Dialect::DuckDb).contains(r#"SingleQuotedString("a\\")"#));
}

#[test]
fn long_conditions_become_balanced_trees() {
    let sql = format!("select 1 from t where a = 0{}", " and a = 1".repeat(4_000));
    let query = parse_query(&sql, Dialect::DuckDb).expect("parses");
    assert_eq!(query.to_string().matches("a = 1").count(), 4_000);
    assert!(query.to_string().starts_with("SELECT 1 FROM t WHERE a = 0 AND a = 1"));
    let short = "select 1 where a and b and c";
    assert_eq!(print(short, Dialect::DuckDb), "SELECT 1 WHERE a AND b AND c");
}

#[test]
fn hostile_text_is_survived() {
    let repeat = |open: &str, inner: &str, close: &str, n: usize| {
        format!("select {}{inner}{}", open.repeat(n), close.repeat(n))
    };
    for n in [20, 55, 3_000] {
        for (open, inner, close) in [
            ("(", "1", ")"),
            ("cast(", "1", " as int)"),
            ("case when ", "1", " then 1 end"),
            ("f(", "1", ")"),
            ("[", "1", "]"),
            ("{'a': ", "1", "}"),
            ("not ", "a", ""),
            ("- ", "1", ""),
            ("interval ", "'1' day", ""),
            ("a in (", "1", ")"),
            ("(select ", "1", ")"),
            ("exists (select ", "1", ")"),
            ("* from (select ", "1", ") x"),
            ("* from (", "t", ")"),
            ("* from a join (", "b", " on 1 = 1)"),
            ("(x) -> ", "1", ""),
            ("((x) -> ", "1", ")"),
            ("1 union (select ", "1", ")"),
            ("with a as (select ", "1", ") select 1"),
            ("a[", "1", "]"),
            ("a.", "b", ""),
            ("1 + ", "1", ""),
            ("x::int::", "int", ""),
            ("1 union select ", "1", ""),
            ("a between ", "1", " and 2"),
            ("row(", "1", ")"),
            ("struct<", "int", ">(1)"),
            ("array[", "1", "]"),
            ("a and (b or ", "c", ")"),
        ] {
            let sql = repeat(open, inner, close, n);
            for dialect in [Dialect::DuckDb, Dialect::Snowflake, Dialect::BigQuery, Dialect::Postgres] {
                if n > 1_000 && dialect != Dialect::DuckDb {
                    continue;
                }
                if let Ok(query) = parse_query(&sql, dialect) {
                    assert!(query.to_string().len() >= n);
                }
            }
        }
    }
    assert!(matches!(parse_query(&"x".repeat(MAX_SQL + 1), Dialect::DuckDb), Err(ParseFault::TooLarge(_))));
}

#[test]
fn a_parse_ends_in_time_that_is_in_proportion_to_the_text() {
    // The parser reads each level twice before it knows what it is.
    let nested = |n: usize| format!("select {}1{} from t", "position(".repeat(n), ", 2)".repeat(n));
    assert!(parse_query(&nested(8), Dialect::DuckDb).is_ok());
    let fault = parse_query(&nested(50), Dialect::DuckDb).expect_err("takes years");
    assert_eq!(fault, ParseFault::TooLarge("it takes too long to parse".to_owned()));
    let long = format!("select {} from t", vec!["coalesce(a, b + 1, f(c))"; 10_000].join(", "));
    assert!(parse_query(&long, Dialect::DuckDb).is_ok());
}

#[test]
fn places_are_those_of_the_text() {
    let fault = parse_query("select a[0]._id, b[0]._id,\n  c[0]._id d e from t", Dialect::Databricks);
    assert_eq!(fault.expect_err("is no SQL").place(), Some((2, 14)));
}

#[test]
fn names_are_quoted_only_where_they_must_be() {
    for (name, expected) in [
        ("orders", "orders"),
        ("order", "\"order\""),
        ("Orders", "\"Orders\""),
        ("a-b", "\"a-b\""),
        ("a\"b", "\"a\"\"b\""),
        ("1a", "\"1a\""),
        ("_x", "_x"),
    ] {
        assert_eq!(quote_identifier(name, Dialect::DuckDb), expected);
    }
    assert_eq!(quote_identifier("group", Dialect::BigQuery), "`group`");
}

#[test]
fn what_is_read_at_once_is_what_the_parser_reads() {
    use Dialect::{BigQuery, Databricks, DuckDb, Generic, Postgres, Redshift, Snowflake};
    let expressions = "a|\"a\"|a.b|a.b.c|a..b|t.*|f(a)|f()|f(*)|f(a, b)|f(+)|f(a)(1)|s.f(a)|f(a)[1]|f(a)[1] 'x'|f(a, 'x', 1) 'x'|\
        f(a) array 'x'|f(a)[1]::int|f(a) over (order by b)|f(a, b, c, d, e, g, h, i, j)[1] 'x'|x[1]|x[1] 'y'|x array 'y'|x array[1] 'y'|\
        x.y[1]|x.y array 'z'|a b|a as b|a 'b'|_a 'b'|a -> a + 1|a int -> a + 1|a.b -> 1|a ->> 'b'|a::int|a[1]::int|a:b|a = 1|a < b|a > 1|1|1.5 x|\
        'x'|'x' 'y'|'x' y|date '2024-01-31'|date|xml '<a/>'|xml|Xml 'a'|interval '1 day'|interval|a || 'b'|a ^ 2|a is null|not a|a in (1)|f(select 1)|\
        f(a => 1)|f(distinct a)|a between b and c|a collate c|a at time zone 'utc'|case a when 1 then b end|a(+)|a.b(+)|count(*)|sum(x) filter (where y)";
    for expression in expressions.split('|') {
        let sql = format!("select {expression} from t where {expression}");
        for dialect in [DuckDb, Snowflake, BigQuery, Redshift, Databricks, Postgres, Generic] {
            let Ok(tokens) = tokens(&sql, dialect) else { continue };
            // What users of the dialect write and its parser lacks.
            let more = dialect == Redshift && expression.contains("(+)")
                || dialect == Snowflake && expression.contains("filter (");
            if more {
                continue;
            }
            let base = dialects::base(dialect);
            let plainly = Parser::new(base).with_tokens_with_locations(tokens.clone()).parse_statements();
            let read = statements(tokens, base);
            assert_eq!(read.ok(), plainly.ok(), "{sql} in {dialect:?}");
        }
    }
}
