use super::*;
use crate::sql::parse::parse_query;

fn context() -> Context {
    Context::new(Dialect::DuckDb, "orders_daily")
}

fn sql(source: &str) -> String {
    let rendered = render(source, &context()).expect("renders");
    rendered.sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Renders, and holds that the result parses.
fn placed(source: &str) -> String {
    let text = sql(source);
    if let Err(fault) = parse_query(&text, Dialect::DuckDb) {
        panic!("{text}\n{fault}");
    }
    text
}

#[test]
fn text_without_jinja_comes_through_byte_for_byte() {
    let text = "select 'é' as x -- ok\r\nfrom t;\n";
    assert_eq!(render(text, &context()).expect("renders").sql, text);
}

#[test]
fn refs_and_sources_have_stable_names() {
    assert_eq!(sql("select * from {{ ref('stg_orders') }}"), "select * from stg_orders");
    assert_eq!(sql("select * from {{ ref('shop', 'stg_orders') }}"), "select * from stg_orders");
    assert_eq!(sql("select * from {{ ref('orders', v=2) }}"), "select * from orders_v2");
    assert_eq!(sql("select * from {{ source('raw', 'payments') }}"), "select * from raw.payments");
    assert_eq!(sql("select * from {{ source('raw', 'Order') }}"), "select * from raw.\"Order\"");
    assert_eq!(sql("select * from {{ ref('order') }}"), "select * from \"order\"");
    assert_eq!(sql("select max(d) from {{ this }}"), "select max(d) from orders_daily");
    assert_eq!(sql("{{ this.identifier }} {{ this.schema }}"), "orders_daily main");
    let mut bigquery = Context::new(Dialect::BigQuery, "m");
    assert_eq!(render("{{ source('a', 'B-c') }}", &bigquery).expect("renders").sql, "a.`B-c`");
    bigquery.relations.insert("ref:x".to_owned(), "p.d.x".to_owned());
    assert_eq!(render("{{ ref('x') }}", &bigquery).expect("renders").sql, "p.d.x");
}

#[test]
fn what_is_read_is_recorded_by_the_functions() {
    let source = "
        {{ config(materialized='incremental', unique_key=['id', 'day'], tags=[\"x\"]) }}
        {{ config({'on_schema_change': 'fail'}) }}
        {#- {{ ref('in_a_jinja_comment') }} -#}
        {% set models = ['a', 'b'] %}
        -- {{ ref('in_a_sql_comment') }}
        select * from (
        {% for m in models %} select * from {{ ref(m) }} {% if not loop.last %} union all {% endif %} {% endfor %}
        ) where x > {{ var('floor', 3) }} and s = '{{ source('raw', 'y') }}'
        {% if is_incremental() %} and d > (select max(d) from {{ this }}) {% endif %}";
    let rendered = render(source, &context()).expect("renders");
    let refs: Vec<String> = rendered.refs.iter().map(ToString::to_string).collect();
    assert_eq!(refs, ["in_a_sql_comment", "a", "b"]);
    assert_eq!(rendered.sources.iter().map(ToString::to_string).collect::<Vec<_>>(), ["raw.y"]);
    assert_eq!(rendered.config["materialized"], "incremental");
    assert_eq!(rendered.config["unique_key"], serde_json::json!(["id", "day"]));
    assert_eq!(rendered.config["on_schema_change"], "fail");
    assert!(rendered.uses_incremental && !rendered.uses_this && rendered.is_exact());
    let incremental = Context { incremental: true, ..context() };
    let rendered = render(source, &incremental).expect("renders");
    assert!(rendered.uses_this && rendered.sql.contains("max(d) from orders_daily"));
}

#[test]
fn opaque_calls_go_where_sql_has_a_place_for_them() {
    let cases = [
        ("{{ pkg.union_data(table='x') }}", "select * from pkg__union_data(jinja_kwarg('table', 'x'))"),
        ("with a as ({{ m() }}) select * from a", "with a as (select * from m()) select * from a"),
        ("with a as ({{ m() }} where x = 1) select 1", "with a as (select * from m() where x = 1) select 1"),
        ("select * from {{ m('t') }} as x", "select * from m('t') as x"),
        ("select * from a join {{ m() }} b on a.x = b.x", "select * from a join m() b on a.x = b.x"),
        ("select a, {{ m() }} from t", "select a, m() from t"),
        ("select {{ a() }} {{ b() }} from t", "select a() , b() from t"),
        ("select a as b {{ m('p') }} from t", "select a as b , m('p') from t"),
        ("select a {{ m('p') }}, c from t", "select a , m('p'), c from t"),
        ("select {{ m(['a', 'b']) }} as id from t", "select m(jinja_list('a', 'b')) as id from t"),
        ("select count(*) from t {{ dbt_utils.group_by(2) }}", "select count(*) from t group by 1, 2"),
        ("select count(*) from t {{ dbt_utils.group_by(n=2) }}", "select count(*) from t group by 1, 2"),
        ("select * from t where {{ m() }}", "select * from t where m()"),
        ("select * from t where x = {{ m() }} and y", "select * from t where x = m() and y"),
        ("select * from t {{ m() }} and y", "select * from t where m() and y"),
        ("select * from t where x {{ m() }}", "select * from t where x and m()"),
        ("select * from t where x in {{ m() }}", "select * from t where x in (m())"),
        ("select * from t where x in ({{ m() }})", "select * from t where x in (m())"),
        ("select cast(x as {{ dbt.type_string() }}) from t", "select cast(x as varchar) from t"),
        ("select cast(x as {{ m() }}) from t", "select cast(x as m) from t"),
        ("select x::{{ type_int() }} from t", "select x::integer from t"),
        ("select x as {{ m() }} from t", "select x as m from t"),
        ("select x as pre_{{ m() }}_post from t", "select x as pre_m_post from t"),
        ("select * from {{ m() }}.orders", "select * from m.orders"),
        ("select rank() over ({{ m() }}) from t", "select rank() over (partition by m()) from t"),
        (
            "select rank() over (partition by a {{ m() }} order by b) from t",
            "select rank() over (partition by a , m() order by b) from t",
        ),
        ("select '{{ m('x') }}' from t", "select 'm(~x~)' from t"),
        (
            "select * from (select * from t) union all {{ m() }}",
            "select * from (select * from t) union all select * from m()",
        ),
        (
            "with a as (select 1), {{ m() }}, b as (select 2) select 1",
            "with a as (select 1), m as (select * from m()), b as (select 2) select 1",
        ),
        ("select coalesce({{ m() }}, 0) from t", "select coalesce(m(), 0) from t"),
        (
            "{{ m(['a', 'b']) }}, c as (select 1) select * from c",
            "with m__4632e4f98fda as (select * from m(jinja_list('a', 'b'))), c as (select 1) select * from c",
        ),
        ("with a as (select 1) {{ m() }}", "with a as (select 1) select * from m()"),
        ("select t.* {{ m() }} from t", "select t.* , m() from t"),
        ("select * {{ m() }} (a) from t", "select * exclude (a) from t"),
        (
            "select distinct on ({{ m('a') }}) {{ m('a') }} as a, b from t order by {{ m('a') }}",
            "select distinct on (m('a')) m('a') as a, b from t order by m('a')",
        ),
        ("select distinct on (a) b {{ m() }} from t", "select distinct on (a) b , m() from t"),
        (
            "{% if execute %}{% set l = run_query('q').columns[0].values() %}{% else %}{% set l = [] %}{% endif %}select 1{% for x in l %}, '{{ x }}'{% endfor %}",
            "select 1, 'run_query__columns__item__values__each(~q~, ~.columns~, 0, ~.values~, ~.each~)'",
        ),
        ("select 2 * {{ m() }} from t", "select 2 * m() from t"),
        ("select cast({{ m() }}as {{ n() }}) from t", "select cast(m() as n) from t"),
        ("select * from t where a and{{ m() }}", "select * from t where a and m()"),
        ("select {{ a() }}{{ b() }}_c from t", "select ab_c from t"),
        ("select x_{{ a() }}{{ b() }} from t", "select x_ab from t"),
        (
            "select case {{ m() }} else 0 end, case when a then 1 {{ m() }} end from t",
            "select case when m() then m() else 0 end, case when a then 1 when m() then m() end from t",
        ),
        ("select case when a {{ m() }} then 1 end from t", "select case when a and m() then 1 end from t"),
        (
            "select * exclude ({{ m() }}) from a join b using ({{ n() }})",
            "select * exclude (m) from a join b using (n)",
        ),
        (
            "select * from {{ ref(m()) }} join {{ source('a', m()) }} b",
            "select * from ref(m()) join source('a', m()) b",
        ),
        ("select * from t group by a {{ m() }}", "select * from t group by a , m()"),
        (
            "select case when {{ m() }} then 1 else {{ n() }} end from t",
            "select case when m() then 1 else n() end from t",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(placed(source), expected, "{source}");
    }
}

#[test]
fn what_has_no_place_is_left_out_and_said() {
    let rendered = render("{{ setup() }} select * from t {{ m() }}", &context()).expect("renders");
    assert_eq!(rendered.unplaced, ["setup()", "m()"]);
    assert!(!rendered.is_exact());
}

#[test]
fn different_calls_never_render_alike() {
    let calls = [
        "m('a')",
        "m(\"a'\")",
        "m(['a'])",
        "m(x='a')",
        "m('a', 'b')",
        "m(['a', 'b'])",
        "m(1)",
        "m('1')",
        "m(none)",
        "m('null')",
        "m(true)",
        "m({'a': 'b'})",
        "m.a()",
        "m('a').b()",
        "m()['a']",
        "m(n('a'))",
        "m('n(~a~)')",
        "m(ref('a'))",
        "m(\"\\\\\")",
    ];
    let mut texts = indexmap::IndexMap::new();
    for call in calls {
        if let Some(other) = texts.insert(sql(&format!("select {{{{ {call} }}}}")), call) {
            assert!(matches!((other, call), ("m('a')", "m(ref('a'))")), "{other} and {call}");
        }
    }
}

#[test]
fn a_text_that_depends_on_the_unknown_says_so() {
    for source in [
        "{% if m() %}select 1{% else %}select 2{% endif %}",
        "{% set x = m() %}{% set y = x %}select {{ 1 if y == 'a' else 2 }}",
        "select {% for c in pkg.columns() %}{{ c }},{% endfor %} 1",
        "{% if execute %}select 1{% else %}select 2{% endif %}",
        "{% if var('nowhere') %}select 1{% endif %}",
        "select '{{ m() | upper }}'",
        "{% macro f(x) %}{% if x %}1{% endif %}{% endmacro %}select {{ f(m()) }}",
    ] {
        assert!(!render(source, &context()).expect("renders").undecided.is_empty(), "{source}");
    }
    for source in [
        "{% if target.name == 'prod' %}select 1{% else %}select 2{% endif %}",
        "{% for c in ['a', 'b'] %}{{ c | upper }}{% endfor %}",
        "{% if var('x', 1) == 1 %}select 1{% endif %}",
        "{% set c = ['a'] + ['b'] %}{{ c | join(', ') }}",
    ] {
        assert_eq!(render(source, &context()).expect("renders").undecided, [""; 0], "{source}");
    }
}

#[test]
fn calls_behind_comments() {
    // The end of the comment's line is the template's; only a call on the line itself is part of the comment.
    let text = |source: &str| render(source, &context()).expect("renders").sql;
    assert_eq!(text("-- all of them\n{%- set x = 1 -%}\n{{ m() }}"), "-- all of them\nselect * from m()");
    assert_eq!(text("select a --\n{{- m() }}\nfrom t"), "select a --\n, m()\nfrom t");
    assert_eq!(text("select a -- and {{ m() }}\nfrom t"), "select a -- and m()\nfrom t");
}

#[test]
fn faults_say_where() {
    let fault = render("select 1\nfrom {{ ref('x' }}", &context()).expect_err("is no Jinja");
    assert_eq!((fault.kind, fault.line), (JinjaFaultKind::Syntax, Some(2)));
    let fault = render("select\n  {{ 1 + {} }}", &context()).expect_err("cannot add");
    assert_eq!((fault.kind, fault.line, fault.column), (JinjaFaultKind::Render, Some(2), Some(6)));
    let fault = render("{{ exceptions.raise_compiler_error('no') }}", &context()).expect_err("raises");
    assert_eq!(
        (fault.kind, fault.message.as_str()),
        (JinjaFaultKind::Raised, "the model raises an error: no")
    );
    let fault = render("{% do ref('a').columns.append(1) %}", &context()).expect_err("no append");
    assert!(fault.message.contains("append"), "{fault}");
}

#[test]
fn lists_and_maps_change_in_place() {
    let sql = |source: &str| render(source, &context()).map(|rendered| rendered.sql.trim().to_owned());
    let source = "{% set names = [] %}{% for n in ['a', 'b'] %}{% do names.append(n ~ '_id') %}{% endfor %}\
                  select {{ names | join(', ') }}";
    assert_eq!(sql(source).as_deref(), Ok("select a_id, b_id"));
    let source = "{% set m = {'a': 1} %}{% do m.update({'b': 2, 'a': 3}) %}\
                  select {% for k, v in m.items() %}{{ v }} as {{ k }}{{ ', ' if not loop.last }}{% endfor %}";
    assert_eq!(sql(source).as_deref(), Ok("select 3 as a, 2 as b"));
    let source = "{% set x = [1] %}{% do x.extend([2, 3]) %}{% do x.insert(0, 9) %}{% do x.remove(2) %}\
                  select {{ x.pop() }}, {{ x + [4] }}, {{ x | length }}, {{ 9 in x }}";
    assert_eq!(sql(source).as_deref(), Ok("select 3, [9, 1, 4], 2, True"));
    let source = "{% set a = dict(x=1) %}{% do a.update({'y': 2}) %}{% set b = ['p'] | list %}{% do b.append('q') %}\
                  {% set c = b + ['r'] %}{% do c.append('s') %}{% set d = ('u' ~ ',v').split(',') %}{% do d.append('w') %}\
                  {% set e = b[1:] %}{% do e.append('z') %}select {{ [a, b, c, d, e] | map('join') | join(' ') }}";
    assert_eq!(sql(source).as_deref(), Ok("select xy pq pqrs uvw qz"));
    // Nothing may hold itself, however far around.
    for source in [
        "{% set x = [] %}{% do x.append(x) %}{{ x }}",
        "{% set x = [] %}{% set m = {'x': x} %}{% do x.append([m]) %}{{ x }}",
        "{% set x = [] %}{% set y = [x] %}{% do x.extend(y) %}{{ x }}",
        "{% set x = [] %}{% for i in range(9000) %}{% set y = [] %}{% do y.append(x) %}{% do x.append(y) %}{% endfor %}{{ x }}",
        "{% set x = [1] %}{% for i in range(60) %}{% do x.extend(x) %}{% endfor %}{{ x }}",
    ] {
        assert!(sql(source).is_err(), "{source}");
    }
    let source = "{% set a = [1] %}{% set b = a.copy() %}{% do b.append(2) %}select {{ a }}, {{ b }}\
                  {% for x, y in zip(a, ['c']) %}, {{ x }}{{ y }}{% endfor %}";
    assert_eq!(sql(source).as_deref(), Ok("select [1], [1, 2], 1c"));
    assert!(sql("{% set x = [] %}{% do x.append(1) %}{{ x.index(x) }}").is_err());
    let taken = "{% set x = [] %}{% do x.append(m()) %}{% for i in x %}{{ i }}{% endfor %}";
    assert!(!render(taken, &context()).expect("renders").undecided.is_empty(), "what a macro gives decides");
}

#[test]
fn what_comes_of_the_unknown_is_unknown() {
    for (source, expected) in [
        ("select {{ m() - 1 }}", "select jinja__sub(m(), 1)"),
        ("select {{ (m() + n(1)) * 2 }}", "select jinja__mul(jinja__add(m(), n(1)), 2)"),
        (
            "select {{ 7 // m() % 2 }}, {{ -m() }}",
            "select jinja__mod(jinja__floordiv(7, m()), 2), jinja__neg(m())",
        ),
        ("select {{ 'a + ' + m() + ' - b' }}", "select a + m() - b"),
        ("select {{ (now() - days(1)).date() }}", "select jinja__sub__date(now(), days(1), '.date')"),
        ("{% set a, b = m() %}select {{ b }}, {{ a }}", "select m__item(1), m__item(0)"),
        ("{% for a, b in m() %}select {{ b }}{% endfor %}", "select m__each__item('.each', 1)"),
        ("{% for i in range(m()) %}select {{ i }}{% endfor %}", "select range__each(m(), '.each')"),
        ("select {{ m() | int + 1 }}", "select jinja__add(jinja__int(m()), 1)"),
        ("select {{ 'x' | strange('y') }}", "select filter__strange('x', 'y')"),
    ] {
        let rendered = render(source, &context()).expect(source);
        assert_eq!(rendered.sql, expected, "{source}");
        assert!(!rendered.is_exact(), "{source}");
    }
    // Beside it, what is known is what Jinja makes of it.
    for (source, expected) in [
        (
            "select {{ m() - 1 }}, {{ 7 // 2 + 2 ** 3 }}, {{ [1] + [2] }}, {{ 'a' + 'b' }}",
            "select jinja__sub(m(), 1), 11, [1, 2], ab",
        ),
        (
            "select {{ m() - 1 }}, {{ '%s-%02d' % ('a', 3) }}, {{ -(1 - 3) }}",
            "select jinja__sub(m(), 1), a-03, 2",
        ),
        ("select {{ m() - 1 }}{% set a, b = 1, 2 %}, {{ a - (b - (3)) }}", "select jinja__sub(m(), 1), 2"),
    ] {
        assert_eq!(sql(source), expected, "{source}");
    }
    assert!(render("{{ m() - 1 }}{{ 1 - {} }}", &context()).is_err());
    let decided = "{% if 'x' | strange %}select 1{% else %}select 2{% endif %}";
    assert!(!render(decided, &context()).expect("renders").undecided.is_empty());
    let bomb = "{{ m() - 1 }}{% set x = namespace(v='aaaaaaaaaa') %}{% for i in range(60) %}{% set x.v = x.v + x.v %}{% endfor %}";
    assert_eq!(render(bomb, &context()).expect_err("too much").kind, JinjaFaultKind::Limit);
}

#[test]
fn an_error_that_dbt_may_not_raise_ends_nothing() {
    let source = "{% if m() %}{{ exceptions.raise_compiler_error('no') }}{% endif %}select 1";
    let rendered = render(source, &context()).expect("renders");
    assert_eq!(rendered.sql, "select 1");
    assert!(!rendered.undecided.is_empty());
    let source =
        "{% if target.name == 'dev' %}{{ exceptions.raise_compiler_error('no') }}{% endif %}select 1";
    assert!(render(source, &context()).is_err());
}

#[test]
fn names_behind_builtins_and_flags_are_found() {
    assert_eq!(sql("select * from {{ builtins.ref('a') }}"), "select * from a");
    assert_eq!(
        sql("select {{ flags.FULL_REFRESH }}, '{{ '7'.zfill(3) }}', '{{ 'a'.ljust(2, 'x') }}'"),
        "select False, '007', 'ax'"
    );
}

#[test]
fn known_macros_are_what_they_write() {
    let sql = |source: &str, dialect| {
        let rendered = render(source, &Context::new(dialect, "m")).expect("renders");
        assert!(rendered.is_exact(), "{source}: {rendered:?}");
        rendered.sql
    };
    let key = "{{ dbt_utils.generate_surrogate_key(['a', 'b.c']) }}";
    assert_eq!(
        sql(key, Dialect::DuckDb),
        "md5(cast(coalesce(cast(a as varchar), '_dbt_utils_surrogate_key_null_') || '-' || \
         coalesce(cast(b.c as varchar), '_dbt_utils_surrogate_key_null_') as varchar))"
    );
    assert!(sql(key, Dialect::BigQuery).starts_with("to_hex(md5(cast(concat(coalesce(cast(a as string), "));
    for (source, text) in [
        ("{{ dbt.date_trunc('month', 'd') }}", "date_trunc('month', d)"),
        ("{{ dbt.dateadd(datepart='day', interval=-1, from_date_or_timestamp='d') }}", "dateadd(day, -1, d)"),
        ("{{ dbt.datediff('a', 'b', 'day') }}", "datediff(day, a, b)"),
        ("{{ dbt_utils.safe_divide('a', 'b + 1') }}", "(a) / nullif((b + 1), 0)"),
        ("{{ dbt_utils.safe_add(['a', 'b']) }}", "coalesce(a, 0) + coalesce(b, 0)"),
        ("{{ dbt.concat(['a', \"'x'\"]) }}", "a || 'x'"),
        ("{{ dbt.hash(dbt.concat(['a', 'b'])) }}", "md5(cast(a || b as varchar))"),
    ] {
        assert_eq!(sql(source, Dialect::Snowflake), text);
    }
    // Of another form, it is a call like any other.
    for source in [
        "{{ dbt_utils.safe_divide('a') }}",
        "{{ dbt.date_trunc('a b', 'd') }}",
        "{{ dbt_utils.star(ref('a')) }}",
    ] {
        assert!(!render(source, &context()).expect("renders").opaque.is_empty(), "{source}");
    }
}

#[test]
fn hostile_templates_end() {
    let deep_calls = format!("{{{{ {}1{} }}}}", "m(".repeat(5_000), ")".repeat(5_000));
    let long_sum = format!("{{{{ {} }}}}", vec!["1"; 50_000].join(" + "));
    let long_path = format!("{{{{ m{} }}}}", ".a".repeat(50_000));
    let deep_blocks = format!("{}{}", "{% if true %}".repeat(5_000), "{% endif %}".repeat(5_000));
    let deep_lists = format!("{{{{ {}{} }}}}", "[".repeat(5_000), "]".repeat(5_000));
    let nots = format!("{{{{ {} x }}}}", "not ".repeat(50_000));
    let elifs = format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}x".repeat(20_000));
    for source in [
        "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}".to_owned(),
        "{% set x = 'aaaaaaaaaa' %}{% for i in range(60) %}{% set x = x ~ x %}{{ x }}{% endfor %}".to_owned(),
        "{{ 'x' * 1000000000 }}".to_owned(),
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".to_owned(),
        "{{ range(1000000000000) | list | length }}".to_owned(),
        deep_calls,
        long_sum,
        long_path,
        deep_blocks,
        deep_lists,
        nots,
        elifs,
    ] {
        let start: String = source.chars().take(40).collect();
        if let Ok(rendered) = render(&source, &context()) {
            assert!(rendered.sql.len() <= MAX_RENDERED, "{start}");
        }
    }
    assert!(render("select '\u{E0A5}'", &context()).is_err());
}
