//! Hostile candidates, one file each in `attacks/`: the model, then optionally `=== yaml` and `=== test`. Each must be
//! refused by the static policy, so that dbt never sees it.

use std::path::Path;

use assay::check::{Outcome, safety};
use assay::generate::contract::Candidate;
use assay::sql::Dialect;
use assay::sql::policy::Policy;

/// Set in the environment of every test; its value stands for a key.
const ENV: &str = "CARGO_MANIFEST_DIR";

/// A hostile candidate.
pub(crate) struct Attack {
    pub(crate) name: String,
    pub(crate) sql: String,
    pub(crate) yaml: String,
    pub(crate) test: Option<String>,
}

/// All of them, with their marks replaced.
pub(crate) fn attacks(replace: &[(&str, &str)]) -> Vec<Attack> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/attacks");
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).expect("attacks") {
        let path = entry.expect("an entry").path();
        let mut text = fs_err::read_to_string(&path).expect("an attack");
        for (mark, value) in replace {
            text = text.replace(mark, value);
        }
        let (rest, test) = match text.split_once("=== test\n") {
            Some((rest, test)) => (rest.to_owned(), Some(test.to_owned())),
            None => (text, None),
        };
        let (sql, yaml) = rest.split_once("=== yaml\n").unwrap_or((&rest, ""));
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        found.push(Attack { name, sql: sql.to_owned(), yaml: yaml.to_owned(), test });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() >= 40, "only {} attacks", found.len());
    found
}

#[test]
fn every_attack_is_refused_before_anything_runs() {
    let replace = [
        ("@SECRET@", "/etc/secret"),
        ("@DROP@", "/tmp/drop"),
        ("@TEMPLATE@", "/tmp/t.duckdb"),
        ("@PORT@", "80"),
        ("@ENV@", ENV),
    ];
    let policy = Policy {
        dialect: Dialect::DuckDb,
        model: "m".into(),
        macros: Vec::new(),
        project_macros: ["shout".to_owned()].into(),
    };
    let mut passed = Vec::new();
    for attack in attacks(&replace) {
        let candidate = Candidate {
            model_name: "m".into(),
            sql: attack.sql,
            schema_yaml: attack.yaml,
            tests: attack.test.into_iter().collect(),
            review_notes: Vec::new(),
        };
        if safety::check(&candidate, &policy).outcome != Outcome::Failed {
            passed.push(attack.name);
        }
    }
    assert_eq!(passed, Vec::<String>::new(), "not refused");
}
