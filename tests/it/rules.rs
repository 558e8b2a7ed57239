//! docs/sql-rules.md, the code and the tests name the same rules.

use std::collections::BTreeSet;
use std::path::Path;

fn sources(folder: &Path, into: &mut String) {
    let mut entries: Vec<_> = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs_err::read_to_string(&path).unwrap());
        }
    }
}

/// The names in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_rule_stands_in_the_table_with_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    sources(&root.join("src/sql"), &mut code);
    let table = fs_err::read_to_string(root.join("docs/sql-rules.md")).unwrap();
    let mut listed = BTreeSet::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let line = line.replace("\\|", "");
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, rule, condition, _, tests] = cells.as_slice() else { panic!("five cells expected: {line}") };
        assert!(!rule.is_empty() && !condition.is_empty(), "a rule and its condition: {line}");
        let id = quoted(id)[0].to_owned();
        let tests = quoted(tests);
        assert!(!tests.is_empty(), "{id} names no test");
        for test in tests {
            assert!(code.contains(&format!("fn {test}()")), "{id}: there is no test {test}");
        }
        assert!(listed.insert(id.clone()), "{id} stands twice");
    }
    let marked: BTreeSet<String> =
        code.lines().filter_map(|line| line.trim().strip_prefix("// rule: ")).map(str::to_owned).collect();
    assert_eq!(listed, marked, "docs/sql-rules.md (left) and the code (right)");
}
