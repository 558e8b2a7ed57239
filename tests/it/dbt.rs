//! dbt as the judge of candidates: a small project written here, one pool of workers for all tests of this file.
//!
//! Each way in which dbt passes or fails a model silently and wrongly, and the test that it does so no longer:
//!
//! | trap | test |
//! |---|---|
//! | the Rust dbt takes a linked `dbt_project.yml` for the project that it lies in, and follows no links below `models/` | `workspace::a_copy_holds_no_links` |
//! | a warm dbt writes into the first database that it opened | `candidates_do_not_see_each_other` |
//! | tests of one name of several candidates overwrite each other | `candidates_of_one_batch_are_told_apart`, `.._with_v2` |
//! | the Rust dbt reports a test that could not run as failed | `engine::a_test_that_could_not_run_is_told_from_one_that_failed`, row "test cannot run" |
//! | an old dbt ignores `data_tests:` | `the_oldest_dbt_judges_alike` |
//! | exit code 0 though no test ran: another model's YAML, a test that is not selected | row "yaml for another model", `singular_tests_of_the_contract_are_run` |
//! | a database of another DuckDB version; views that name another catalog | `template::a_template_belongs_to_its_tools_and_its_files`, `environment::a_duckdb_command_of_another_version_is_refused` |
//! | profiles that differ make dbt parse everything for each candidate | `candidates_do_not_see_each_other` |
//! | artifacts of a dbt that was stopped | `judge::what_a_stopped_call_left_behind_is_not_read`, rows "endless .." |
//! | `dbt --version` is slow and asks the network | `tool::a_second_call_finds_the_tools_without_installing` |
//! | a model named like its package or folder selects all of it | `a_model_named_like_its_package_is_selected_alone` |
//! | seeds that are read as sources are not built before | `candidates_do_not_see_each_other` (`raw_orders`) |
//! | disabled and ephemeral models: exit code 0, nothing built | rows "disabled", "ephemeral", "empty" |
//! | a golden that is left in the project | `the_golden_in_the_project_makes_way` |
//! | a `ref` in an SQL comment is a dependency, one in a Jinja comment is none | `sources::other_relations_do_not`, `sources::approved_relations_pass_however_they_are_written` |
//! | rows of a seed that are longer than its header | `a_ragged_seed_is_a_fault_of_the_project` |
//! | rows that the tests of the project rule out tell apart what is the same | `sql::keys_are_honoured` |

use std::path::PathBuf;
use std::sync::LazyLock;

use assay::check::Outcome;
use assay::check::build::classify::FailureClass as C;
use assay::check::build::columns::TypeMatch;
use assay::check::build::rows::{DuckdbFault, RowComparison, RowOptions, Side};
use assay::check::build::{BuildLimits, BuildReport, BuildRequest, Builder, Engines};
use assay::dbt::facts::Relation;
use assay::dbt::project::Project;
use assay::tool::environment::{Existing, Tools, ensure};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// One runtime, since workers belong to the runtime that started them.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
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
        "models:\n  - name: fct_existing\n    columns: [{name: id, data_tests: [unique]}]\n  - name: dim_kept\n    columns:\n      - name: id\n        data_tests:\n          - relationships: {arguments: {to: ref('fct_existing'), field: id}}\n",
    ),
    ("models/marts/dim_kept.sql", "select 1 as id"),
    ("macros/shout.sql", "{% macro shout(x) %}upper({{ x }}){% endmacro %}"),
];

/// A way to run Python, for attacks that start where everything else has failed. A project that builds in ways of its own is not
/// judged by `exec`.
const ACT: (&str, &str) = (
    "macros/act.sql",
    "{% materialization act, adapter='duckdb' %}{% call statement('main', language='python') %}{{ compiled_code }}{% endcall %}{% do return({'relations': []}) %}{% endmaterialization %}",
);

/// The shop with the engine that most tests use.
async fn shop() -> &'static Builder {
    SHOP.get_or_init(|| builder("v1", "v1")).await
}

/// Writes the shop into a folder of its own.
fn write_shop(name: &str, files: &[(&str, &str)], change: &dyn Fn(&str) -> String) -> (PathBuf, Project) {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dbt").join(name);
    let project = root.join("shop");
    let _ = fs_err::remove_dir_all(&project);
    for (path, text) in files {
        let path = project.join(path);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs_err::write(path, change(text)).expect("file");
    }
    (root, Project::read(&project).expect("a project"))
}

/// The shop with an engine, in a folder of its own.
pub(crate) async fn builder(folder: &str, engine: &str) -> Builder {
    let quick = engine.starts_with("exec");
    let files = [FILES, if quick { &[] } else { &[ACT] }].concat();
    let (root, project) = write_shop(folder, &files, &|text| text.to_owned());
    let tools = super::tool::tools();
    // On a busy machine the CPU limit must come first.
    let seconds = std::time::Duration::from_secs;
    let limits = BuildLimits { cpu: seconds(6), wall: seconds(600), ..BuildLimits::default() };
    let engines = match engine {
        "v2" => Engines::v2(&root, &tools, &super::tool::v2(), 2, &limits),
        "exec" => Engines::v1(&root, &tools, 2, &limits).with_exec(None),
        "exec-v2" => Engines::v1(&root, &tools, 2, &limits).with_exec(Some(&super::tool::v2())),
        _ => Engines::v1(&root, &tools, 2, &limits),
    };
    let shop = Builder::new(&root, project, &engines, &|_| {}).await.expect("the project builds");
    assert_eq!(shop.is_quick(), quick, "{engine}");
    shop
}

/// A candidate for the marts of the small project.
pub(crate) fn request(model: &str, sql: &str, yaml: &str) -> BuildRequest {
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
pub(crate) fn yaml(model: &str, tests: &str) -> String {
    format!("models:\n  - name: {model}\n    columns:\n      - name: id\n        data_tests: {tests}\n")
}

/// The first step that did not pass, with its outcome and class.
pub(crate) fn verdict(report: &BuildReport) -> (&'static str, Outcome, Option<C>) {
    for (name, step) in [("compile", &report.compile), ("run", &report.run), ("tests", &report.tests)] {
        if step.outcome != Outcome::Passed {
            return (name, step.outcome, step.class);
        }
    }
    ("all", Outcome::Passed, None)
}

/// A candidate that passes.
pub(crate) const GOOD: &str = "select order_id as id, amount from {{ ref('stg_orders') }}";

/// The oldest dbt that is supported, in an environment of its own, named as an existing dbt.
pub(crate) fn oldest() -> Tools {
    let dbt = PathBuf::from(std::env::var_os("ASSAY_OLD_DBT").expect("ASSAY_OLD_DBT names its dbt command"));
    let existing = Existing { duckdb: Some(dbt.with_file_name("duckdb")), dbt: Some(dbt), python: None };
    let tools = ensure(super::tool::root(), &existing, &|_| {});
    let tools = tools.expect("an environment with dbt-core 1.6");
    assert!(tools.versions.dbt_core.starts_with("1.6."), "{:?}", tools.versions);
    tools
}

#[test]
#[ignore = "needs dbt-core 1.6.19 (docs/engines.md): ASSAY_OLD_DBT=.../bin/dbt cargo test --test it -- --ignored the_oldest_dbt"]
fn the_oldest_dbt_judges_alike() {
    let tools = oldest();
    // It knows neither `data_tests:` nor `arguments:` in the project's own files.
    let old = |text: &str| {
        text.replace("data_tests", "tests")
            .replace("arguments: {values: [Ada, Ben]}", "values: [Ada, Ben]")
            .replace("arguments: {to: ref('fct_existing'), field: id}", "to: ref('fct_existing'), field: id")
    };
    for (engine, exec) in [("old", false), ("old-exec", true)] {
        let (root, project) = write_shop(engine, FILES, &old);
        let engines = Engines::v1(&root, &tools, 2, &BuildLimits::default());
        let engines = if exec { engines.with_exec(None) } else { engines };
        RUNTIME.block_on(async {
            let shop = Builder::new(&root, project, &engines, &|_| {}).await.expect("it builds");
            let strict =
                yaml("m", "[unique, not_null, {accepted_values: {arguments: {values: [1, 2, 3, 4]}}}]");
            for (sql, expected, class) in [
                (GOOD, "all", None),
                ("select customer_id as id from {{ ref('stg_orders') }}", "tests", Some(C::TestFail)),
                ("select * from {{ ref('nope') }}", "compile", Some(C::MissingRef)),
                ("select nope as id from {{ ref('stg_orders') }}", "run", Some(C::DbBind)),
            ] {
                let report = shop.build(&request("m", sql, &strict)).await;
                let (step, _, found) = verdict(&report);
                assert_eq!((step, found), (expected, class), "{engine} {sql}: {report:#?}");
                if class.is_none() {
                    assert_eq!(report.test_outcomes.len(), 3, "{:?}", report.test_outcomes);
                    assert_eq!(report.engine, if exec { "exec" } else { "v1" });
                }
            }
        });
    }
}

/// Every class that a candidate can provoke, with the step that names it.
fn every_failure_is_named(shop: &'static Builder) {
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
        ("old form of a test", GOOD, yaml(m, "[{accepted_values: {values: [1, 2, 3, 4], quote: false}}]"), "all", Outcome::Passed, None),
        ("unit test fails", "select order_id as id from {{ ref('stg_orders') }}", "unit_tests:\n  - name: u\n    model: m\n    given:\n      - input: ref('stg_orders')\n        rows: [{order_id: 1}]\n    expect: {rows: [{id: 2}]}\n".into(), "tests", Outcome::Failed, Some(C::UnitTestFail)),
        ("unit test cannot run", "select order_id as id from {{ ref('stg_orders') }}", "unit_tests:\n  - name: u\n    model: m\n    given:\n      - input: ref('stg_orders')\n        rows: [{no_such_column: 1}]\n    expect: {rows: [{id: 2}]}\n".into(), "tests", Outcome::Failed, Some(C::UnitTestError)),
        ("duplicate", "select 1 as id", "models:\n  - name: m\n  - name: stg_orders\n".into(), "compile", Outcome::Failed, Some(C::DuplicateNode)),
        ("endless query", "with recursive r(i) as (select 1 union all select (i + 1) % 1000 from r) select sum(i) as id from r", yaml(m, "[]"), "run", Outcome::Failed, Some(C::ResourceLimit)),
        ("endless jinja", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}select 1 as id", yaml(m, "[]"), "compile", Outcome::Failed, Some(C::ResourceLimit)),
        ("doubling string", long, yaml(m, "[]"), "compile", Outcome::Failed, Some(C::ResourceLimit)),
    ];
    RUNTIME.block_on(async {
        let mut reports = Vec::new();
        // Whatever runs into a limit takes those with it that are compiled in the same call: they come last.
        let bombs = table.iter().position(|row| row.0.starts_with("endless")).expect("some");
        for rows in [&table[..bombs], &table[bombs..]] {
            let builds = rows.iter().map(|(_, sql, yaml, ..)| {
                let request = request(m, sql, yaml);
                tokio::spawn(async move { shop.build(&request).await })
            });
            for build in builds.collect::<Vec<_>>() {
                reports.push(build.await.expect("no panic"));
            }
        }
        let mut wrong = Vec::new();
        for ((name, _, _, step, outcome, class), report) in table.iter().zip(reports) {
            let found = verdict(&report);
            if found != (*step, *outcome, *class) {
                wrong.push(format!(
                    "{name} ({}): {found:?}\n  {:#?}\n  {:#?}\n  {:#?}",
                    report.engine, report.compile, report.run, report.tests
                ));
            }
            // What is simple is done the cheap way, where that is there.
            let simple = [
                "good",
                "no tests",
                "sql syntax",
                "missing column",
                "test fails",
                "test warns",
                "test cannot run",
            ];
            if simple.contains(name) && shop.is_quick() && report.engine != "exec" {
                wrong.push(format!("{name}: judged by {}", report.engine));
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

#[test]
fn every_failure_is_named_on_v1() {
    every_failure_is_named(RUNTIME.block_on(shop()));
}

#[test]
fn every_failure_is_named_on_exec() {
    every_failure_is_named(Box::leak(Box::new(RUNTIME.block_on(builder("exec", "exec")))));
}

#[test]
#[ignore = "installs the second engine: cargo test --test it -- --ignored on_v2"]
fn every_failure_is_named_on_exec_with_v2() {
    every_failure_is_named(Box::leak(Box::new(RUNTIME.block_on(builder("exec-v2", "exec-v2")))));
}

#[test]
#[ignore = "installs the second engine: cargo test --test it -- --ignored on_v2"]
fn every_failure_is_named_on_v2() {
    every_failure_is_named(Box::leak(Box::new(RUNTIME.block_on(builder("v2", "v2")))));
}

async fn compare(
    golden: &BuildReport,
    candidate: &BuildReport,
    key: &[&str],
) -> Result<RowComparison, DuckdbFault> {
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    fn side(report: &BuildReport) -> Side<'_> {
        Side {
            database: report.database.as_deref().expect("it was built"),
            relation: report.relation.as_deref().expect("it was built"),
            columns: &report.columns,
        }
    }
    let options = RowOptions { key: &key, float_tolerance: 1e-9 };
    shop().await.duckdb().compare(side(golden), side(candidate), &options).await
}

async fn built(model: &str, sql: &str) -> BuildReport {
    let report = shop().await.build(&request(model, sql, "")).await;
    assert_eq!(report.run.outcome, Outcome::Passed, "{sql}: {:?} {:?}", report.compile, report.run);
    report
}

#[test]
fn candidates_do_not_see_each_other() {
    RUNTIME.block_on(async {
        let shop = shop().await;
        let before = fs_err::read(shop.database()).expect("the template's database");
        // Warm workers keep the first database they opened unless its connections are closed.
        let builds: Vec<_> = (0..6)
            .map(|n| {
                let sql = format!("select {n} as id from {{{{ ref('stg_orders') }}}}");
                tokio::spawn(async move { built("m", &sql).await })
            })
            .collect();
        for (n, build) in builds.into_iter().enumerate() {
            let report = build.await.expect("no panic");
            let compiled = report.compiled_sql.as_deref().expect("compiled");
            assert!(compiled.starts_with(&format!("select {n} as id from \"warehouse\"")), "{compiled}");
            let same = built("m", &format!("select {n} as id from range(4)")).await;
            let rows = compare(&same, &report, &[]).await.expect("compared");
            assert!(rows.rows_agree() && rows.golden_rows == 4, "{n}: {rows:?}");
            assert_eq!(report.depends_on, [Relation::Ref("stg_orders".into())]);
            let workspace = report.workspace.as_ref().expect("kept").project();
            // Where profiles differ, dbt parses everything anew for each.
            let profile =
                |project: &std::path::Path| fs_err::read(project.join("profiles.yml")).expect("a profile");
            assert!(profile(&workspace) == profile(shop.database().parent().expect("a project")));
            drop(report);
            assert!(!workspace.exists());
        }
        assert!(fs_err::read(shop.database()).expect("the template's database") == before);
        assert_eq!(
            shop.types()[&Relation::Ref("raw_customers".into())][0],
            ("customer_id".into(), "INTEGER".into())
        );
        assert_eq!(shop.types()[&Relation::Source("raw".into(), "raw_orders".into())].len(), 5);
        let faults: Vec<&str> = shop.faults().map(|(id, _)| id).collect();
        assert!(faults.iter().any(|id| id.contains("broken_upstream")), "{faults:?}");
        assert!(faults.iter().any(|id| id.contains("accepted_values_stg_customers")), "{faults:?}");
    });
}

/// One call compiles them all, with tests of the same names.
async fn those_of_one_batch_are_told_apart(shop: &'static Builder) {
    let builds: Vec<_> = (0..6)
        .map(|n| {
            let sql =
                format!("select {n} as id union all select {} as id", if n % 2 == 0 { n } else { n + 10 });
            let request = request("m", &sql, &yaml("m", "[unique, not_null]"));
            tokio::spawn(async move { shop.build(&request).await })
        })
        .collect();
    for (n, build) in builds.into_iter().enumerate() {
        let report = build.await.expect("no panic");
        let expected = match n % 2 {
            0 => ("tests", Outcome::Failed, Some(C::TestFail)),
            _ => ("all", Outcome::Passed, None),
        };
        assert_eq!((verdict(&report), report.engine), (expected, "exec"), "{n}: {report:#?}");
        assert!(
            report.compiled_sql.as_deref().is_some_and(|sql| sql.starts_with(&format!("select {n} as id")))
        );
    }
}

#[test]
fn candidates_of_one_batch_are_told_apart() {
    RUNTIME.block_on(async {
        those_of_one_batch_are_told_apart(Box::leak(Box::new(builder("batch", "exec").await))).await;
    });
}

#[test]
#[ignore = "installs the second engine: cargo test --test it -- --ignored with_v2"]
fn candidates_of_one_batch_are_told_apart_with_v2() {
    RUNTIME.block_on(async {
        those_of_one_batch_are_told_apart(Box::leak(Box::new(builder("batch-v2", "exec-v2").await))).await;
    });
}

/// DuckDB 2.0 refuses rows of another length than the header's; dbt does always.
#[test]
fn a_ragged_seed_is_a_fault_of_the_project() {
    let ragged = |text: &str| text.replace("3,Cyd\n", "3,Cyd,late\n");
    let (root, project) = write_shop("ragged", FILES, &ragged);
    let tools = super::tool::tools();
    RUNTIME.block_on(async {
        let engines = Engines::v1(&root, &tools, 1, &BuildLimits::default());
        let fault = Builder::new(&root, project, &engines, &|_| {}).await.expect_err("it does not build");
        assert_eq!(fault.code, "E_PROJECT_BUILD", "{fault:?}");
        assert!(fault.message.contains("raw_customers"), "{fault:?}");
    });
}

#[test]
fn a_model_named_like_its_package_is_selected_alone() {
    RUNTIME.block_on(async {
        let report = shop().await.build(&request("shop", GOOD, &yaml("shop", "[unique]"))).await;
        assert_eq!(verdict(&report).0, "all", "{report:#?}");
        assert_eq!(report.test_outcomes.len(), 1);
        let again = shop().await.build(&request("stg_orders", GOOD, "")).await;
        assert_eq!(again.compile.class, Some(C::DuplicateNode), "{again:#?}");
    });
}

/// dbt makes the schema of a model; the prepared database has only those of the project's own.
#[test]
fn a_model_may_be_the_first_of_its_schema() {
    RUNTIME.block_on(async {
        let shop = builder("first_of_schema", "exec").await;
        let sql = format!("{{{{ config(schema='reports', materialized='table') }}}} {GOOD}");
        let report = shop.build(&request("first", &sql, &yaml("first", "[unique]"))).await;
        assert_eq!((verdict(&report).0, report.engine), ("all", "exec"), "{report:#?}");
        assert_eq!(report.relation.as_deref(), Some("\"warehouse\".\"main_reports\".\"first\""));
    });
}

#[test]
fn the_golden_in_the_project_makes_way() {
    RUNTIME.block_on(async {
        let shop = shop().await;
        // Its YAML entry, its relation and its rows are gone; the tests of other models that read it do not count.
        let sql = "{{ config(materialized='incremental') }} select 7 as id";
        let report = shop.build(&request("fct_existing", sql, &yaml("fct_existing", "[not_null]"))).await;
        assert_eq!(verdict(&report).0, "all", "{report:#?}");
        let tests: Vec<&str> = report.test_outcomes.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(tests, ["not_null"]);
        let rows = compare(&built("m", "select 7 as id").await, &report, &[]).await.expect("compared");
        assert!(rows.rows_agree(), "{rows:?}");

        // What is left of the golden under another name cannot be taken for the candidate's.
        let mut hidden =
            request("m", "{{ config(alias='fct_existing', materialized='ephemeral') }} select 1 as id", "");
        hidden.remove = vec!["models/marts/fct_existing.sql".into()];
        let report = shop.build(&hidden).await;
        assert_eq!(verdict(&report).1, Outcome::Failed, "{report:#?}");
    });
}

#[test]
fn singular_tests_of_the_contract_are_run() {
    RUNTIME.block_on(async {
        let mut request =
            request("m", GOOD, &yaml("m", "[{relationships: {to: ref('stg_orders'), field: order_id}}]"));
        let test = |name: &str, sql: &str| (name.to_owned(), sql.to_owned());
        request.singular_tests = vec![test("no_negative", "select * from {{ ref('m') }} where amount < 0")];
        let report = shop().await.build(&request).await;
        assert_eq!(verdict(&report).0, "all", "{report:#?}");
        assert_eq!(report.test_outcomes.len(), 2);

        request.singular_tests.push(test("too_much", "select * from {{ ref('m') }} where amount > 9"));
        let report = shop().await.build(&request).await;
        assert_eq!(verdict(&report), ("tests", Outcome::Failed, Some(C::TestFail)));
        assert_eq!(report.tests.message, "too_much: 2 rows fail");

        request.singular_tests = vec![test("elsewhere", "select * from {{ ref('stg_orders') }} where false")];
        assert_eq!(shop().await.build(&request).await.tests.class, Some(C::TestsNotRun));
    });
}

#[test]
fn incremental_models_are_built_twice() {
    RUNTIME.block_on(async {
        for (config, idempotent) in [("unique_key='id'", true), ("incremental_strategy='append'", false)] {
            let sql = format!("{{{{ config(materialized='incremental', {config}) }}}} select order_id as id from {{{{ ref('stg_orders') }}}}");
            let report = shop().await.build(&BuildRequest { twice: true, ..request("m", &sql, "") }).await;
            let second = report.second_run.as_ref().expect("built twice");
            assert_eq!(second.run.outcome, Outcome::Passed, "{:?}", second.run);
            let side = |database| Side { database, relation: "\"warehouse\".\"main\".\"m\"", columns: &report.columns };
            let options = RowOptions { key: &[], float_tolerance: 0.0 };
            let first = report.database.as_deref().expect("kept");
            let rows = shop().await.duckdb().compare(side(first), side(&second.database), &options).await;
            let rows = rows.expect("compared");
            assert_eq!((rows.golden_rows, rows.rows_agree()), (4, idempotent), "{config}: {rows:?}");
        }
    });
}

#[test]
fn rows_are_compared_as_multisets_with_tolerance() {
    let golden = "select * from (values (1, 'a', 1.5::double, date '2026-01-01'), (2, 'b', null, null), (2, 'b', null, null)) t(id, name, x, d)";
    RUNTIME.block_on(async {
        let golden = built("m", golden).await;
        let against = async |sql: &str, key: &[&str]| {
            compare(&golden, &built("m", sql).await, key).await.expect("compared")
        };
        let reordered = "select d, x + 1e-12 as X, name as NAME, id::bigint as id from (values (2, 'b', null, null), (1, 'a', 1.5::double, date '2026-01-01'), (2, 'b', null, null)) t(id, name, x, d)";
        let rows = against(reordered, &["id"]).await;
        assert!(rows.rows_agree() && rows.columns.reordered && rows.key.is_empty(), "{rows:?}");
        assert_eq!(rows.columns.shared[0].types, TypeMatch::Compatible);

        // A set comparison would not see the lost duplicate.
        let rows = against("select * from (values (1, 'a', 1.5::double, date '2026-01-01'), (2, 'b', null, null)) t(id, name, x, d)", &[]).await;
        assert_eq!((rows.removed, rows.added, rows.identical), (1, 0, 2), "{rows:?}");

        // Another type with the same values is a difference of types, not of rows.
        let rows = against("select id::varchar as id, name, x, d::timestamp as d from (values (1, 'a', 1.5::double, date '2026-01-01'), (2, 'b', null, null), (2, 'b', null, null)) t(id, name, x, d)", &[]).await;
        assert!(rows.rows_agree());
        assert_eq!(rows.columns.shared[0].types, TypeMatch::Different);

        let rows = against("select 1 as id, 'a' as name, 'extra' as more", &[]).await;
        assert_eq!((rows.columns.missing.len(), rows.columns.extra.len(), rows.rows_agree()), (2, 1, false));

        let keyed = built("m", "select * from (values (1, 'a', 1.0::double), (2, 'b', 2.0), (3, 'c', 3.0)) t(id, name, x)").await;
        let other = built("m", "select * from (values (1, 'a', 1.0::double), (2, 'B', 2.5), (4, 'd', 3.0)) t(id, name, x)").await;
        let rows = compare(&keyed, &other, &["ID"]).await.expect("compared");
        assert_eq!((rows.modified, rows.removed, rows.added, rows.identical), (1, 1, 1, 1), "{rows:#?}");
        assert_eq!(rows.differing_columns, [("name".to_owned(), 1), ("x".to_owned(), 1)]);
        insta::assert_json_snapshot!(rows.examples);

        let empty = built("m", "select 1 as id where false").await;
        assert_eq!(compare(&empty, &keyed, &[]).await.expect("compared").golden_rows, 0);

        let view = built("m", "{{ config(materialized='view') }} select cast(status as integer) as id from {{ ref('stg_orders') }}").await;
        let fault = compare(&keyed, &view, &[]).await.expect_err("cannot be read");
        assert!(matches!(&fault, DuckdbFault::Candidate(why) if why.contains("Conversion Error")), "{fault:?}");
    });
}

#[test]
fn paths_and_names_that_lead_elsewhere_are_refused() {
    RUNTIME.block_on(async {
        let good = request("m", GOOD, "");
        let bad = [
            BuildRequest { sql_path: "../m.sql".into(), ..good.clone() },
            BuildRequest { sql_path: "/tmp/m.sql".into(), ..good.clone() },
            BuildRequest { sql_path: "models/m.py".into(), ..good.clone() },
            BuildRequest { sql_path: "models/*/m.sql".into(), ..good.clone() },
            BuildRequest { sql_path: "models/n.sql".into(), ..good.clone() },
            BuildRequest { model_name: "M\n".into(), ..good.clone() },
            BuildRequest { yaml_path: "models/../../m.yml".into(), ..good.clone() },
            BuildRequest { remove: vec!["../x.sql".into()], ..good.clone() },
            BuildRequest { singular_tests: vec![("../t".into(), "select 1".into())], ..good.clone() },
        ];
        for request in bad {
            let report = shop().await.build(&request).await;
            assert_eq!(report.compile.class, Some(C::Format), "{request:?}");
        }
    });
}
