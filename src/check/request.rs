//! From a case and a candidate to what dbt is asked to build.

use std::path::{Path, PathBuf};

use crate::dbt::properties::Properties;
use crate::dbt::test_syntax::TestEntry;
use crate::generate::contract::Candidate;
use crate::suite::Case;

use super::build::BuildRequest;

/// The candidate in place of the golden. Entries of the contract's `tests` become singular tests, unless the schema YAML
/// declares the same test.
pub fn of(case: &Case, candidate: &Candidate) -> BuildRequest {
    let entries = candidate.tests.iter().filter_map(|text| TestEntry::parse(text).ok());
    let singular_tests = undeclared(&case.model, &candidate.schema_yaml, entries);
    BuildRequest {
        model_name: case.model.clone(),
        sql_path: case.target_sql.clone(),
        sql: candidate.sql.clone(),
        yaml_path: case.target_yaml.clone(),
        yaml: candidate.schema_yaml.clone(),
        singular_tests,
        unit_tests: case.golden.unit_tests.clone().unwrap_or_default(),
        remove: files_of_the_golden(case),
        twice: true,
        held: None,
    }
}

/// Entries that the schema YAML does not declare at full strength, as singular tests.
fn undeclared(model: &str, yaml: &str, entries: impl Iterator<Item = TestEntry>) -> Vec<(String, String)> {
    let (properties, _) = Properties::parse(Path::new("schema.yml"), yaml);
    let declared = properties.model(model).map_or(&[][..], |entry| &entry.tests);
    entries
        .filter(|entry| !declared.iter().any(|test| test.is_strong() && test.satisfies(entry)))
        .enumerate()
        .map(|(index, entry)| (format!("{model}_test_{index}"), entry.to_sql(model)))
        .collect()
}

/// The golden, as what dbt is asked to build. It is held to the tests that are required of candidates.
pub fn of_golden(case: &Case) -> BuildRequest {
    let yaml = case.golden.yaml.as_ref().map(|(_, text)| text.clone()).unwrap_or_default();
    BuildRequest {
        model_name: case.model.clone(),
        sql_path: case.target_sql.clone(),
        sql: case.golden.sql.clone(),
        yaml_path: case.target_yaml.clone(),
        singular_tests: undeclared(&case.model, &yaml, case.required_tests.iter().cloned()),
        yaml,
        unit_tests: case.golden.unit_tests.clone().unwrap_or_default(),
        remove: files_of_the_golden(case),
        twice: true,
        held: None,
    }
}

/// What of the project must go before a candidate is put in: a golden left behind would let a wrong name pass.
fn files_of_the_golden(case: &Case) -> Vec<PathBuf> {
    let project = &case.project;
    let mut files: Vec<PathBuf> = [&case.target_sql, &case.target_yaml]
        .into_iter()
        .filter(|path| project.path.join(path).is_file())
        .cloned()
        .collect();
    for model in project.dbt.models().into_iter().filter(|model| model.name == case.model) {
        if !files.contains(&model.path) {
            files.push(model.path);
        }
    }
    files
}
