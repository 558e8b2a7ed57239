//! The tools environment. It is installed once, at the repository root, and shared by every test that needs dbt.

use std::cell::RefCell;
use std::path::Path;

use std::sync::Arc;

use assay::check::lint::Linter;
use assay::check::{CheckResult, Outcome};
use assay::dbt::project::Project;
use assay::sql::Dialect;
use assay::tool::environment::{Existing, Status, Tools, ensure, probe, v2};
use assay::tool::lint::Linters;

use super::harness::Harness;

/// The shared tools of the integration tests.
pub(crate) fn tools() -> Tools {
    ensure(root(), &Existing::default(), &|_| {}).expect("the tools can be installed")
}

/// The second engine, installed where it is not there yet.
pub(crate) fn v2() -> v2::V2 {
    v2::ensure(root(), &tools().python, &|_| {}).expect("the second engine can be installed")
}

/// Lets the binary find the shared tools in a folder of its own.
pub(crate) fn lend(harness: &Harness) {
    tools();
    fs_err::create_dir_all(harness.path(".assay")).expect("folder");
    let shared = root().join(".assay/tools");
    fs_err::os::unix::fs::symlink(shared, harness.path(".assay/tools")).expect("linked");
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_second_call_finds_the_tools_without_installing() {
    let tools = tools();
    assert!(tools.managed && tools.python.exists() && tools.duckdb.exists());
    assert_eq!(tools.versions.duckdb, tools.versions.duckdb_cli);

    let lines = RefCell::new(Vec::new());
    ensure(root(), &Existing::default(), &|step| lines.borrow_mut().push(step.text)).expect("found");
    assert_eq!(*lines.borrow(), Vec::<String>::new());

    let report = probe(root(), &Existing::default());
    assert!(report.is_usable(), "{report:?}");
    let dbt = report.entries.iter().find(|entry| entry.name == "dbt-core").expect("dbt is reported");
    assert!(dbt.status == Status::Ok && dbt.detail.starts_with(&tools.versions.dbt_core), "{dbt:?}");
}

#[test]
fn the_script_of_the_environment_can_be_named_as_an_existing_dbt() {
    let dbt = tools().python.with_file_name("dbt");
    let existing = Existing { dbt: Some(dbt), ..Existing::default() };
    let found = ensure(root(), &existing, &|_| {}).expect("an existing environment");
    assert!(!found.managed);
    assert_eq!(found.versions, tools().versions);
}

fn codes(result: &CheckResult) -> Vec<&str> {
    result.findings.iter().skip(1).map(|finding| finding.class.as_str()).collect()
}

#[tokio::test]
async fn lint_uses_the_projects_configuration_and_is_not_confused_by_macros() {
    let tools = tools();
    let dir = tempfile::tempdir().expect("temp dir");
    let linters = Arc::new(Linters::new(tools.python.clone(), 1, &[dir.path().to_owned()]));
    fs_err::write(dir.path().join("dbt_project.yml"), "name: shop").expect("project");
    let project = Project::read(dir.path()).expect("a project");
    let bad = "select id, name FROM {{ ref('a') }} where name  = 1\n";
    let good = "{{ config(materialized='table') }}\n\nselect\n    {{ dbt_utils.generate_surrogate_key(['a', 'b']) }} as id,\n    name\nfrom {{ ref('a') }}\n{% if is_incremental() %}\nwhere id > (select max(t.id) from {{ this }} as t)\n{% endif %}\n";

    let sqruff = Linter::new(&tools, &linters, &project);
    assert_eq!(sqruff.check(good, Dialect::DuckDb).await.outcome, Outcome::Passed);
    let found = sqruff.check(bad, Dialect::DuckDb).await;
    assert_eq!(found.outcome, Outcome::Failed);
    assert!(found.findings[0].message.starts_with("sqruff: "), "{found:?}");
    assert!(codes(&found).contains(&"CP01") && codes(&found).contains(&"LT01"), "{found:?}");

    fs_err::write(dir.path().join(".sqlfluff"), "[sqlfluff]\ndialect = duckdb\nexclude_rules = CP01\n")
        .expect("config");
    let sqlfluff = Linter::new(&tools, &linters, &project);
    let found = sqlfluff.check(bad, Dialect::DuckDb).await;
    assert!(!codes(&found).contains(&"CP01") && codes(&found).contains(&"LT01"), "{found:?}");
    let lt01 = found.findings.iter().find(|finding| finding.class == "LT01").expect("LT01");
    assert_eq!(lt01.place.as_deref(), Some("sql:1:47"));
    assert_eq!(sqlfluff.check(good, Dialect::DuckDb).await.outcome, Outcome::Passed);
}
