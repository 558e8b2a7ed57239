use super::*;

fn classes(sql: &str) -> Vec<&'static str> {
    let policy = Policy {
        model: "m".to_owned(),
        macros: vec!["dbt_utils.*".to_owned(), "shop.cents".to_owned()],
        project_macros: ["to_currency".to_owned()].into(),
        ..Policy::default()
    };
    let mut classes: Vec<&str> = policy.query(sql).into_iter().map(|violation| violation.class).collect();
    classes.dedup();
    classes
}

#[test]
fn ordinary_models_pass() {
    for sql in [
        "{{ config(materialized='incremental', unique_key=['a', 'b'], incremental_strategy='merge', on_schema_change='fail', tags=['x']) }}
         select a, extract(year from d) as y, trim(both 'x' from s) from {{ ref('t') }} as read_counts (a, d, s)
         {% if is_incremental() %} where d > (select max(d) from {{ this }}) {% endif %}",
        "{{ config({'materialized': 'table', 'cluster_by': ['a', \"date_trunc('day', b)\"]}) }} with read_x (a, b) as (select 1, 2) select * from read_x",
        "{% set cols = ['a', 'b'] %}select {% for c in cols %}{{ c | upper }}{% if not loop.last %},{% endif %}{% endfor %} from {{ source('raw', 't') }}",
        "select {{ dbt_utils.generate_surrogate_key(['a']) }}, {{ to_currency('x') }}, {{ shop.cents('y') }}, {{ dbt.date_trunc('day', 'd') }} from {{ ref('t') }}",
        "select cast(a as {{ dbt.type_string() }}) from {{ ref('t') }} where a is distinct from 'x' and '{{ target.name }}' = 'prod'",
        "select * from {{ ref('t') }}, unnest([1, 2]) as u(x), generate_series(1, 3) g, (values (1)) v",
        "{% macro half(x) %}{{ x }} / 2{% endmacro %}select {{ half('a') }} from {{ ref('t') }}",
        "select * from {{ dbt_utils.date_spine(datepart='day', start_date='x', end_date='y') }}",
        "select {{ no_such_macro('a') }} from {{ ref('t') }}",
        "select '; drop table x' as a, \"select\" from {{ ref('t') }} -- ; read_csv('x')",
        "select {{ ref('a') }",
        "select * from {{ ref('read_orders') }} as read_text",
        "with a as (select 1), read_x (a, b) as not materialized (select 1, 2) select * from read_x",
        "{% set c = [] %}{% do c.append('a') %}{{ c | join(', ') }}{% for k, v in {'a': 1}.items() %}{{ k.upper() }}{% endfor %} select 1",
        "{% set r = ref('t') %}select '{{ r.identifier }}' from {{ r.include(database=false) }}",
        "{% if false %}{{ exceptions.raise_compiler_error('use read_csv(x)') }}{% endif %}select 1 as show, (describe) as d",
        "{{ config(description='see read_csv(x)', meta={'a': 'version(2)'}) }}select 1",
        "\u{feff}select 1",
        "with temp as (select * from {{ ref('t') }}), pg_orders as (select * from temp) select * from pg_orders",
        "{% set kinds = ['Version (old)', 'Query (SQL)'] %}select * from {{ ref('t') }} where kind in ('{{ kinds | join(\"', '\") }}')",
    ] {
        assert_eq!(classes(sql), [""; 0], "{sql}");
    }
}

#[test]
fn attacks_are_refused() {
    let cases = [
        // environment, secrets, settings
        ("select '{{ env_var(\"SECRET\") }}'", "env_var"),
        ("{% set e = env_var %}select '{{ e(\"SECRET\") }}'", "env_var"),
        ("{% if false %}{{ env_var('SECRET') }}{% endif %}select 1", "env_var"),
        ("-- {{ env_var('SECRET') }}\nselect 1", "env_var"),
        ("select '{{ target.password }}'", "target_secret"),
        ("select '{{ target | tojson }}'", "target_secret"),
        ("select '{{ target[\"password\"] }}'", "target_secret"),
        ("select '{{ target|attr(\"password\") }}'", "jinja_internal"),
        ("select getenv('HOME')", "system_function"),
        ("select GETENV ('HOME')", "system_function"),
        ("select \"getenv\"('HOME')", "system_function"),
        ("select 'HOME'.getenv()", "system_function"),
        ("select current_setting('home_directory')", "system_function"),
        ("select * from duckdb_secrets()", "system_function"),
        ("select * from duckdb_settings", "system_relation"),
        ("select * from pragma_database_list", "system_relation"),
        ("select * from information_schema.tables", "system_relation"),
        (
            "with a as (with sqlite_master as (select 1) select * from sqlite_master) select * from sqlite_master",
            "system_relation",
        ),
        ("select * from sqlite_master", "system_relation"),
        ("select @@version from {{ ref('t') }}", "system_function"),
        // files and network
        ("select * from read_csv('/etc/passwd')", "file_function"),
        ("select * from READ_TEXT ('/etc/passwd')", "file_function"),
        ("select * from \"read_text\"('/etc/passwd')", "file_function"),
        ("select * from main.read_blob('/etc/passwd')", "file_function"),
        ("select * from read_/**/text('/etc/passwd'), read_parquet('x')", "file_function"),
        ("select * from '/etc/passwd'", "file_function"),
        ("select * from \"data.csv\"", "file_function"),
        ("select * from \"https://example.com/x.parquet\"", "file_function"),
        ("from 'x.parquet'", "file_function"),
        ("select * from {{ ref('t') }} join 's3://bucket/x.json' j on true", "file_function"),
        ("select * from glob('/*')", "file_function"),
        ("select (select max(content) from read_text('/etc/hosts'))", "file_function"),
        (
            "with a as (select * from {{ ref('t') }}) select * from a where x in (select file from glob('*'))",
            "file_function",
        ),
        ("select * from parquet_scan('x')", "file_function"),
        ("select * from some_new_function('x')", "table_function"),
        ("select * from query('select 1')", "denied_function"),
        ("select * from query_table('t')", "denied_function"),
        // statements
        ("drop table t", "not_a_query"),
        ("select 1; drop table t", "several_statements"),
        ("select 1; -- x\n;", "trailing_semicolon"),
        ("copy t to 'x.csv'", "not_a_query"),
        ("attach 'x.db' as y", "not_a_query"),
        ("install httpfs", "not_a_query"),
        ("pragma enable_profiling", "not_a_query"),
        ("set threads = 1", "not_a_query"),
        ("select * into x from {{ ref('t') }}", "not_a_query"),
        ("select 1; pragma x; select ! syntax", "several_statements"),
        // dbt
        ("{% do run_query('drop table t') %}select 1", "run_query"),
        ("{% call statement('x') %}drop table t{% endcall %}select 1", "run_query"),
        ("{{ statement('x') }}select 1", "run_query"),
        ("{% set x = load_result('x') %}select 1", "run_query"),
        ("{% do adapter.drop_relation(this) %}select 1", "adapter"),
        ("{% set a = adapter %}{% do a.execute('x') %}select 1", "adapter"),
        ("{{ builtins['run_query']('x') }}select 1", "jinja_internal"),
        ("{{ context['run_query']('x') }}select 1", "jinja_internal"),
        ("{{ modules.os.system('x') }}select 1", "jinja_internal"),
        ("{{ graph.nodes }}select 1", "jinja_internal"),
        ("{{ drop_relation(this) }}select 1", "internal_macro"),
        ("{{ duckdb__drop_relation(this) }}select 1", "internal_macro"),
        ("{{ dbt.run_query('x') }}select 1", "macro_not_allowed"),
        ("{{ other_package.anything() }}select 1", "macro_not_allowed"),
        ("{% import 'x' as y %}select 1", "jinja_import"),
        ("{% include 'x' %}select 1", "jinja_import"),
        ("{% for x in [1] %}{% set run_query = 1 %}{% endfor %}{{ run_query('x') }}select 1", "run_query"),
        ("{{ config(post_hook='drop table t') }}select 1", "hook"),
        ("{{ config({'pre-hook': 'drop table t'}) }}select 1", "hook"),
        ("{{ config(**{'post_hook': 'drop table t'}) }}select 1", "config_key"),
        ("{% set k = 'post_hook' %}{{ config({k: 'drop table t'}) }}select 1", "config_key"),
        ("{% set c = {'post_hook': 'drop table t'} %}{{ config(c) }}select 1", "config_key"),
        ("{{ builtins.config(post_hook='x') }}select 1", "hook"),
        ("{{ config(sql_header='create function f() ...') }}select 1", "hook"),
        ("{{ config(schema='other') }}select 1", "relocated"),
        ("{{ config(database='other') }}select 1", "relocated"),
        ("{{ config(alias='other') }}select 1", "relocated"),
        ("{{ config(location='/x') }}select 1", "relocated"),
        ("{{ config(grants={'select': ['all']}) }}select 1", "grants"),
        ("{{ config(materialized='external') }}select 1", "materialization"),
        ("{{ config(materialized='exter' ~ 'nal') }}select 1", "materialization"),
        ("{{ config(plugin='x') }}select 1", "config_key"),
        ("{{ config(unique_key='a; drop table t') }}select 1", "several_statements"),
        (
            "{{ config(incremental_predicates=[\"x in (select content from read_text('/x'))\"]) }}select 1",
            "file_function",
        ),
        // bombs
        ("{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}", "jinja_limit"),
        ("{% set x = 'a' * 1000000000 %}select 1", "jinja_limit"),
        // what only one branch holds, or only a name that is put together
        ("{% if execute %}select * from read_csv('x'){% endif %}select 1", "file_function"),
        ("{% if project_name == 'a' %}select * from read_csv('x'){% endif %}select 1", "file_function"),
        ("{% if not execute %}select * from read_csv('x'){% endif %}select 1", "file_function"),
        ("select * from {{ 'read_' ~ 'csv' if execute else 'unnest' }}('x')", "file_function"),
        ("select * from {{ 'unnest' if execute else 'read_' ~ 'csv' }}('x')", "file_function"),
        ("{{ \"(select max(x) from read_csv('x'))\" if a is defined else 'x' }}", "file_function"),
        ("{% if is_incremental() and execute %}select * from {{ 'glob' }}('x'){% endif %}", "file_function"),
        // names that are not written in the usual way
        ("select * from $$x.csv$$", "file_function"),
        ("table 'x.csv'", "file_function"),
        ("select * from e'x.csv'", "file_function"),
        ("select * from data.csv", "file_function"),
        ("select * from read_text('x') as (content varchar)", "file_function"),
        ("select (select max(content) from read_text('x') as (select 1))", "file_function"),
        ("select * from json_execute_serialized_sql(x)", "denied_function"),
        ("select write_log('x')", "denied_function"),
        ("select * from (show all tables)", "system_relation"),
        ("select * from t join (describe t) d on true", "system_relation"),
        ("select 1 as x\u{202e}y", "hidden_character"),
        ("select 1 as x\u{200b}y", "hidden_character"),
        ("\u{feff}drop table x", "not_a_query"),
        // relations that become others
        ("select * from {{ ref('a').incorporate(path={'identifier': 'b'}) }}", "jinja_internal"),
        ("select * from {{ ref('a').replace(path=x) }}", "jinja_internal"),
        ("select * from {{ ref('a')['incorporate'](path={}) }}", "jinja_internal"),
        ("{% set f = ref('a').incorporate %}select * from {{ f(path={}) }}", "jinja_internal"),
        ("select * from {{ (ref('a') | list)[0](path={}) }}", "jinja_internal"),
        // form, and what cannot be read
        ("{% docs x %}{% enddocs %}select 1", "jinja_import"),
        ("{% set x = [ %}{{ config(post_hook='x') }}select 1", "config_key"),
        ("{% set x = [ %}{{ config(**x) }}select 1", "config_key"),
        ("{% set x = [ %}{{ config({'ali' ~ 'as': 'x'}) }}select 1", "config_key"),
        ("{% set x = [ %}{{ config(materialized='external') }}select 1", "config_key"),
        ("```sql\nselect 1\n```", "fenced_sql"),
        ("{% set x = [ %}{{ env_var('SECRET') }}select 1", "env_var"),
        ("{{ ref('a' }} {{ adapter.execute('x') }}", "adapter"),
        ("{{ 1 + no_such() }} select * from read_csv('x')", "file_function"),
        ("select 'open from read_csv('x')", "file_function"),
        ("select ) from read_csv('x')", "file_function"),
    ];
    assert!(cases.len() >= 80);
    for (sql, class) in cases {
        let found = classes(sql);
        assert!(found.contains(&class), "{sql}\n{found:?}, not {class}");
    }
}

#[test]
fn violations_stand_where_they_are_written() {
    let policy = Policy::default();
    let found = policy.query(
        "{% set a = 1 %}\n{# x #}\nselect *\nfrom read_csv('x')\nwhere '{{ env_var(\"A\") }}' = 'b'\n",
    );
    let places: Vec<(&str, usize)> =
        found.iter().map(|violation| (violation.class, violation.line)).collect();
    assert_eq!(places, [("file_function", 4), ("env_var", 5)]);
}

#[test]
fn hostile_nesting_is_survived() {
    let policy = Policy::default();
    for sql in [
        format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000)),
        "{{".repeat(5_000),
        "{% if a %}".repeat(5_000),
        "{{ '".to_owned() + &"é".repeat(3_000),
        "{#".to_owned(),
        "{%".to_owned(),
        "é{{é".to_owned(),
    ] {
        let _ = policy.query(&sql);
        let _ = policy.yaml_text(&sql);
        let _ = policy.fragment(&sql);
    }
}
