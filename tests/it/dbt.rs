//! dbt as the judge of candidates: a small project written here, one pool of workers for all tests of this file.

use std::path::PathBuf;
use std::sync::LazyLock;

use assay::check::Outcome;
use assay::check::build::classify::FailureClass as C;
use assay::check::build::{BuildLimits, BuildReport, BuildRequest, Builder, pool};
use assay::dbt::project::Project;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// One runtime, since workers belong to the runtime that started them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});
static SHOP: OnceCell<Builder> = OnceCell::const_new();

/// The package is called like one of its models, as often happens.
const FILES: &[(&str, &str)] = &[
    (
        "dbt_project.yml",
        "name: shop\nprofile: shop\nmodels:\n  shop:\n    +materialized: table\n    staging: {+materialized: view}\n",
    ),
    (
        "seeds/raw_orders.csv",
        "order_id,customer_id,status,amount,ordered_on\n1,1,placed,10.50,2026-01-01\n2,1,shipped,20.00,2026-01-02\n3,2,placed,5.25,2026-01-03\n4,2,shipped,7.75,2026-01-04\n",
    ),
    ("seeds/raw_customers.csv", "customer_id,name\n1,Ada\n2,Ben\n3,Cyd\n"),
    ("models/staging/stg_orders.sql", "select * from {{ source('raw', 'raw_orders') }}"),
    ("models/staging/stg_customers.sql", "select * from {{ ref('raw_customers') }}"),
    ("models/staging/broken_upstream.sql", "select no_such_column from {{ ref('raw_customers') }}"),
    (
        "models/staging/staging.yml",
        "\
sources:
  - {name: raw, schema: main, tables: [{name: raw_orders}]}
models:
  - name: stg_orders
    columns: [{name: order_id, data_tests: [unique, not_null]}]
  - name: stg_customers
    columns:
      - {name: customer_id, data_tests: [unique, not_null]}
      - {name: name, data_tests: [{accepted_values: {arguments: {values: [Ada, Ben]}}}]}
",
    ),
    ("models/marts/fct_existing.sql", "select 1 as id"),
    (
        "models/marts/marts.yml",
        "models:\n  - name: fct_existing\n    columns: [{name: id, data_tests: [unique]}]\n  - name: dim_kept\n    columns: [{name: id, data_tests: [not_null]}]\n",
    ),
    ("models/marts/dim_kept.sql", "select 1 as id"),
    ("macros/shout.sql", "{% macro shout(x) %}upper({{ x }}){% endmacro %}"),
];

async fn shop() -> &'static Builder {
    SHOP.get_or_init(async || {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dbt");
        let project = root.join("shop");
        let _ = fs_err::remove_dir_all(&project);
        for (path, text) in FILES {
            let path = project.join(path);
            fs_err::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs_err::write(path, text).expect("file");
        }
        let tools = super::tool::tools();
        let project = Project::read(&project).expect("a project");
        let limits = BuildLimits { cpu: std::time::Duration::from_secs(6), ..BuildLimits::default() };
        let pool = pool(&tools, 2, &limits);
        Builder::new(&root, project, &tools, pool, limits, &|_| {}).await.expect("the project builds")
    })
    .await
}

fn request(model: &str, sql: &str, yaml: &str) -> BuildRequest {
    BuildRequest {
        model_name: model.into(),
        sql_path: format!("models/marts/{model}.sql").into(),
        sql: sql.into(),
        yaml_path: format!("models/marts/{model}.yml").into(),
        yaml: yaml.into(),
        ..BuildRequest::default()
    }
}

/// Tests of a model's only column `id`.
fn yaml(model: &str, tests: &str) -> String {
    format!("models:\n  - name: {model}\n    columns:\n      - name: id\n        data_tests: {tests}\n")
}

/// The first step that did not pass, with its outcome and class.
fn verdict(report: &BuildReport) -> (&'static str, Outcome, Option<C>) {
    for (name, step) in [("compile", &report.compile), ("run", &report.run), ("tests", &report.tests)] {
        if step.outcome != Outcome::Passed {
            return (name, step.outcome, step.class);
        }
    }
    ("all", Outcome::Passed, None)
}

const GOOD: &str = "select order_id as id, amount from {{ ref('stg_orders') }}";

/// Every class that a candidate can provoke, with the step that names it.
#[test]
fn every_failure_is_named() {
    let m = "m";
    let long = "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}select 1 as id";
    #[rustfmt::skip]
    type Row = (&'static str, &'static str, String, &'static str, Outcome, Option<C>);
    let table: Vec<Row> = vec![
        ("good", GOOD, yaml(m, "[unique, not_null]"), "all", Outcome::Passed, None),
        ("no tests", GOOD, String::new(), "tests", Outcome::Skipped, None),
        ("yaml syntax", GOOD, "models: [\n".into(), "compile", Outcome::Failed, Some(C::YamlInvalid)),
        ("yaml shape", GOOD, "models:\n  - nme: m\n".into(), "compile", Outcome::Failed, Some(C::YamlInvalid)),
        ("jinja syntax", "select {{ ref('stg_orders') ", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::JinjaSyntax)),
        ("jinja block", "{% if true %} select 1 as id", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::JinjaSyntax)),
        ("unknown macro", "select {{ no_such_macro('a') }} as id", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::UnknownMacro)),
        ("missing ref", "select * from {{ ref('nope') }}", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::MissingRef)),
        ("missing source", "select * from {{ source('raw', 'nope') }}", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::MissingSource)),
        ("cycle", "select * from {{ ref('m') }}", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::Cycle)),
        ("missing env", "select '{{ env_var('NO_SUCH_VAR') }}' as id", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::EnvMissing)),
        ("raise", "{{ exceptions.raise_compiler_error('not today') }}", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::CompileRaise)),
        ("sql syntax", "selec 1 as id", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::DbParse)),
        ("fence", "```sql\nselect 1 as id\n```", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::DbParse)),
        ("semicolon", "select 1 as id;", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::DbParse)),
        ("missing column", "select nope as id from {{ ref('stg_orders') }}", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::DbBind)),
        ("missing table", "select * from nowhere", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::DbBind)),
        ("bad cast", "select cast(status as integer) as id from {{ ref('stg_orders') }}", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::DbRuntime)),
        ("file access", "select * from read_text('/etc/hostname')", yaml(m, "[]"), "run", Outcome::Failed, Some(C::PolicyViolation)),
        ("contract", "select 1 as id", "models:\n  - name: m\n    config: {contract: {enforced: true}}\n    columns: [{name: id, data_type: varchar}]\n".into(), "run", Outcome::Failed, Some(C::ContractViolation)),
        ("disabled", "{{ config(enabled=false) }} select 1 as id", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::NothingBuilt)),
        ("ephemeral", "{{ config(materialized='ephemeral') }} select 1 as id", yaml(m, "[]"), "run", Outcome::Failed, Some(C::NothingBuilt)),
        ("empty", "", yaml(m, "[unique]"), "run", Outcome::Failed, Some(C::NothingBuilt)),
        ("no materialization", "{{ config(materialized='nope') }} select 1 as id", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::CompileRaise)),
        ("upstream", "select * from {{ ref('broken_upstream') }}", yaml(m, "[]"), "run", Outcome::Errored, Some(C::UpstreamFailed)),
        ("test fails", "select customer_id as id from {{ ref('stg_orders') }}", yaml(m, "[unique]"), "tests", Outcome::Failed, Some(C::TestFail)),
        ("test warns", "select customer_id as id from {{ ref('stg_orders') }}", yaml(m, "[{unique: {config: {severity: warn}}}]"), "all", Outcome::Passed, None),
        ("test cannot run", "select 1 as other", yaml(m, "[unique]"), "tests", Outcome::Failed, Some(C::TestError)),
        ("view fails when read", "{{ config(materialized='view') }} select cast(status as integer) as id from {{ ref('stg_orders') }}", yaml(m, "[unique]"), "tests", Outcome::Failed, Some(C::TestError)),
        ("unknown test", GOOD, yaml(m, "[nosuchtest]"), "tests", Outcome::Failed, Some(C::UnknownTest)),
        ("yaml for another model", GOOD, yaml("stg_customers_x", "[unique]"), "tests", Outcome::Skipped, None),
        ("unit test fails", "select order_id as id from {{ ref('stg_orders') }}", "unit_tests:\n  - name: u\n    model: m\n    given:\n      - input: ref('stg_orders')\n        rows: [{order_id: 1}]\n    expect: {rows: [{id: 2}]}\n".into(), "tests", Outcome::Failed, Some(C::UnitTestFail)),
        ("endless query", "with recursive r(i) as (select 1 union all select (i + 1) % 1000 from r) select sum(i) as id from r", yaml(m, "[]"), "run", Outcome::Failed, Some(C::ResourceLimit)),
        ("endless jinja", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}select 1 as id", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::ResourceLimit)),
        ("doubling string", long, yaml(m, "[]"), "compile", Outcome::Failed, Some(C::ResourceLimit)),
    ];
    RUNTIME.block_on(async {
        let shop = shop().await;
        let builds = table.iter().map(|(_, sql, yaml, ..)| {
            let request = request(m, sql, yaml);
            tokio::spawn(async move { shop.build(&request).await })
        });
        let builds: Vec<_> = builds.collect();
        let mut wrong = Vec::new();
        for ((name, _, _, step, outcome, class), build) in table.iter().zip(builds) {
            let report = build.await.expect("no panic");
            let found = verdict(&report);
            if found != (*step, *outcome, *class) {
                wrong.push(format!(
                    "{name}: {found:?}\n  {:#?}\n  {:#?}\n  {:#?}",
                    report.compile, report.run, report.tests
                ));
            }
            for message in [&report.compile.message, &report.run.message, &report.tests.message] {
                assert!(
                    !message.contains(env!("CARGO_TARGET_TMPDIR")),
                    "{name}: a path of this machine: {message}"
                );
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
