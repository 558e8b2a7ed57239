//! The tools environment. It is installed once, at the repository root, and shared by every test that needs dbt.

use std::cell::RefCell;
use std::path::Path;

use assay::tool::environment::{Existing, Status, Tools, ensure, probe};

/// The shared tools of the integration tests.
pub(crate) fn tools() -> Tools {
    ensure(root(), &Existing::default(), &|_| {}).expect("the tools can be installed")
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
    ensure(root(), &Existing::default(), &|line| lines.borrow_mut().push(line.to_owned())).expect("found");
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
