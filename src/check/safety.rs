//! `safety`: the draft reads its relations and does nothing else. Jinja and SQL of the model and its singular tests, and every
//! text, config and test of the schema YAML, are held against [`Policy`].

use crate::dbt::test_syntax::TestEntry;
use crate::dbt::yaml::{Node, Value};
use crate::generate::contract::Candidate;
use crate::sql::policy::{Policy, SQL_TEST_SETTINGS, Violation, hidden};

use super::{CheckId, CheckResult, Finding};

/// Judges a candidate.
pub fn check(candidate: &Candidate, policy: &Policy) -> CheckResult {
    let mut findings = Vec::new();
    if let Some(line) = candidate.sql.lines().position(|line| line.trim_start().starts_with("def model(")) {
        let message = "a Python model runs any code";
        findings.push(Finding::new("python_model", message).at(format!("sql:{}", line + 1)));
    }
    for violation in policy.query(&candidate.sql) {
        let place = if violation.column > 0 {
            format!("sql:{}:{}", violation.line, violation.column)
        } else {
            format!("sql:{}", violation.line)
        };
        findings.push(Finding::new(violation.class, violation.message).at(place));
    }
    findings.extend(schema_yaml(&candidate.schema_yaml, policy));
    for (i, test) in candidate.tests.iter().enumerate() {
        let violations = match TestEntry::parse(test) {
            Ok(entry) if !entry.is_sql() => {
                policy.fragment(test).into_iter().chain(policy.jinja(test)).collect()
            }
            _ => policy.query(test),
        };
        findings.extend(
            violations
                .into_iter()
                .map(|violation| Finding::new(violation.class, violation.message).at(format!("/tests/{i}"))),
        );
    }
    for (i, note) in candidate.review_notes.iter().enumerate() {
        let hidden = hidden(note, false).into_iter();
        findings.extend(
            hidden.map(|found| Finding::new(found.class, found.message).at(format!("/review_notes/{i}"))),
        );
    }
    CheckResult::from_findings(CheckId::Safety, findings)
}

/// Keys below which texts become SQL.
const SQL_KEYS: &[&str] = &["tests", "data_tests", "constraints", "unit_tests"];
/// Keys whose own text becomes SQL.
const SQL_TEXTS: &[&str] = &["data_type", "expression", "name"];

fn schema_yaml(text: &str, policy: &Policy) -> Vec<Finding> {
    let mut walk = Walk { policy, findings: Vec::new() };
    walk.add(hidden(text, false), 0);
    match Node::parse(text) {
        Ok(node) => walk.node(&node, "", false),
        // That it is no YAML is the yaml check's business; what Jinja it holds is still looked at.
        Err(_) => walk.add(policy.yaml_text(text), 0),
    }
    walk.findings
}

struct Walk<'a> {
    policy: &'a Policy,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    fn add(&mut self, violations: Vec<Violation>, line: usize) {
        for violation in violations {
            let line = if line == 0 { violation.line } else { line };
            let finding = Finding::new(violation.class, violation.message).at(format!("yaml:{line}"));
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }

    /// `key`: the key that leads here; `sql`: whether texts here become SQL.
    fn node(&mut self, node: &Node, key: &str, sql: bool) {
        match &node.value {
            Value::Text(text) => {
                self.add(self.policy.yaml_text(text), node.line);
                let prose = matches!(key, "description" | "docs" | "meta" | "tags");
                if (sql || SQL_TEXTS.contains(&key) || SQL_TEST_SETTINGS.contains(&key)) && !prose {
                    self.add(self.policy.fragment(text), node.line);
                }
            }
            Value::List(items) => {
                for item in items {
                    self.node(item, key, sql);
                }
            }
            Value::Map(entries) => {
                for (name, value) in entries {
                    let text = name.scalar().unwrap_or_default();
                    self.add(self.policy.yaml_text(&text), name.line);
                    // Names of tests and models become those of files; a column may be called anything.
                    let separators = |name: &String| name.contains(['/', '\\', '\0']) || name == "..";
                    if matches!(text.as_str(), "name" | "defined_in")
                        && key != "columns"
                        && value.scalar().is_some_and(|name| separators(&name))
                    {
                        let message = "a name with path separators becomes a path of files that dbt writes";
                        self.findings
                            .push(Finding::new("relocated", message).at(format!("yaml:{}", name.line)));
                    }
                    if text == "external_location" {
                        let message = "`external_location` makes a source of a file or an address";
                        let finding = Finding::new("relocated", message).at(format!("yaml:{}", name.line));
                        self.findings.push(finding);
                    }
                    if sql {
                        // A column of a row, or an argument: both are put into texts.
                        self.add(self.policy.fragment(&text), name.line);
                        if text.contains('=') {
                            let message = format!("`{text}` is no name of an argument");
                            self.findings.push(
                                Finding::new("jinja_in_yaml", message).at(format!("yaml:{}", name.line)),
                            );
                        }
                    }
                    if key.is_empty() && text == "sources" {
                        self.sources(value);
                    }
                    if key == "config" || is_hook(&text) || sql && is_relocation(&text) {
                        self.config(&text, value, name.line);
                    }
                    let prose = matches!(text.as_str(), "description" | "docs" | "meta" | "tags");
                    self.node(value, &text, !prose && (sql || SQL_KEYS.contains(&text.as_str())));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A source that is defined or overridden here may be described, but not put somewhere.
    fn sources(&mut self, node: &Node) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| self.sources(item)),
            Value::Map(entries) => {
                for (name, value) in entries {
                    let text = name.scalar().unwrap_or_default();
                    if matches!(
                        text.as_str(),
                        "overrides" | "database" | "schema" | "identifier" | "quoting" | "loaded_at_query"
                    ) {
                        let message =
                            format!("`{text}` says where a source is, which is not the model's to say");
                        let finding = Finding::new("relocated", message);
                        self.findings.push(finding.at(format!("yaml:{}", name.line)));
                    }
                    self.sources(value);
                }
            }
            _ => {}
        }
    }

    fn config(&mut self, key: &str, value: &Node, line: usize) {
        let key = key.trim_start_matches('+');
        if let Some((class, message)) = self.policy.config_entry(key, &json(value, 0)) {
            let finding = Finding::new(class, message).at(format!("yaml:{line}"));
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }
}

fn is_hook(key: &str) -> bool {
    matches!(
        key.trim_start_matches('+'),
        "pre_hook" | "post_hook" | "pre-hook" | "post-hook" | "on-run-start" | "on-run-end" | "sql_header"
    )
}

/// Config that a test may carry without a `config` block.
fn is_relocation(key: &str) -> bool {
    matches!(key, "store_failures" | "store_failures_as" | "database" | "alias" | "sql_header")
}

fn json(node: &Node, depth: usize) -> serde_json::Value {
    if depth > 32 {
        return serde_json::Value::Null;
    }
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => serde_json::Value::Bool(*value),
        Value::Number(text) | Value::Text(text) => serde_json::Value::String(text.clone()),
        Value::List(items) => items.iter().map(|item| json(item, depth + 1)).collect(),
        Value::Map(entries) => serde_json::Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.scalar().unwrap_or_default(), json(value, depth + 1)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;

    fn candidate(sql: &str, yaml: &str, tests: &[&str]) -> Candidate {
        Candidate {
            model_name: "orders_daily".to_owned(),
            sql: sql.to_owned(),
            schema_yaml: yaml.to_owned(),
            tests: tests.iter().map(|&test| test.to_owned()).collect(),
            review_notes: Vec::new(),
        }
    }

    fn classes(sql: &str, yaml: &str, tests: &[&str]) -> Vec<String> {
        let policy = Policy { model: "orders_daily".to_owned(), ..Policy::default() };
        let result = check(&candidate(sql, yaml, tests), &policy);
        result.findings.into_iter().map(|f| format!("{} {}", f.class, f.place.unwrap_or_default())).collect()
    }

    const SQL: &str = "select * from {{ ref('a') }}";

    #[test]
    fn an_ordinary_schema_yaml_passes() {
        let yaml = "
version: 2
models:
  - name: orders_daily
    description: \"{{ doc('orders') }} One row a day; see read_me(1).\"
    config: {materialized: table, tags: [daily], contract: {enforced: true}}
    data_tests:
      - dbt_utils.unique_combination_of_columns: {combination_of_columns: [a, b]}
    columns:
      - name: orders/day
      - name: status
        data_type: varchar(20)
        data_tests:
          - not_null: {config: {severity: error, where: \"status <> 'x'\"}}
          - accepted_values: {values: ['a', 'b c']}
          - relationships: {to: ref('s'), field: id}
";
        assert_eq!(
            classes(SQL, yaml, &["unique:status", "select 1 from {{ ref('orders_daily') }} where a < 0"]),
            [""; 0]
        );
    }

    #[test]
    fn hostile_schema_yaml_is_refused() {
        let cases = [
            ("models: [{name: m, description: \"{{ env_var('HOME') }}\"}]", "env_var yaml:1"),
            ("models:\n- name: m\n  description: \"\\u007b{ env_var('HOME') }}\"", "env_var yaml:3"),
            ("models: [{name: m, config: {post_hook: 'drop table t'}}]", "hook yaml:1"),
            ("models: [{name: m, config: {'+pre-hook': ['drop table t']}}]", "hook yaml:1"),
            ("models: [{name: m, config: {schema: other}}]", "relocated yaml:1"),
            ("models: [{name: m, config: {alias: other}}]", "relocated yaml:1"),
            ("models: [{name: m, config: {materialized: external}}]", "materialization yaml:1"),
            ("models: [{name: m, config: {grants: {select: [all]}}}]", "grants yaml:1"),
            ("models: [{name: m, config: {location: /x}}]", "relocated yaml:1"),
            (
                "models: [{name: m, columns: [{name: c, tests: [{not_null: {where: \"a in (select content from read_text('/x'))\"}}]}]}]",
                "file_function yaml:1",
            ),
            (
                "models: [{name: m, columns: [{name: c, tests: [{relationships: {to: \"env_var('X')\", field: a}}]}]}]",
                "env_var yaml:1",
            ),
            (
                "models: [{name: m, columns: [{name: c, tests: [{accepted_values: {values: [\"x'); drop table t; select ('\"]}}]}]}]",
                "several_statements yaml:1",
            ),
            ("models: [{name: m, columns: [{name: \"c) from read_csv('/x'\"}]}]", "file_function yaml:1"),
            (
                "models: [{name: m, columns: [{name: c, data_type: \"int; drop table t\"}]}]",
                "several_statements yaml:1",
            ),
            ("models: [{name: m, tests: [{unique: {store_failures: true}}]}]", "config_key yaml:1"),
            ("models: [{name: \"{{ run_query('drop table t') }}\"}]", "jinja_in_yaml yaml:1"),
            (
                "unit_tests: [{name: u, model: m, given: [{input: ref('a'), format: sql, rows: \"select * from 'x.csv'\"}]}]",
                "file_function yaml:1",
            ),
            ("models: [{name: ../m}]", "relocated yaml:1"),
            ("models: [{name: m, versions: [{v: 1, defined_in: ../../x}]}]", "relocated yaml:1"),
            ("models: [{name: m, tests: [{unique: {name: a/b}}]}]", "relocated yaml:1"),
            ("models: [{name: m, tests: [{unique: {\"x=env_var('A'), y\": 1}}]}]", "jinja_in_yaml yaml:1"),
            ("sources: [{name: s, overrides: p, tables: [{name: t}]}]", "relocated yaml:1"),
            ("sources: [{name: s, tables: [{name: t, identifier: \"x\"}]}]", "relocated yaml:1"),
            (
                "unit_tests: [{name: u, given: [{input: ref('a'), rows: [{\"a, read_csv('x')\": 1}]}]}]",
                "file_function yaml:1",
            ),
            ("models: [{name: m, description: \"a\\u202eb\"}]", "hidden_character yaml:1"),
            ("models: [{name: m, description: \"a\\0b\"}]", "hidden_character yaml:1"),
        ];
        for (yaml, expected) in cases {
            let found = classes(SQL, yaml, &[]);
            assert!(found.iter().any(|class| class == expected), "{yaml}: {found:?}");
        }
    }

    #[test]
    fn tests_are_held_to_the_same_policy() {
        assert_eq!(
            classes(SQL, "", &["unique:a", "select * from read_csv('x')"]),
            ["file_function /tests/1"]
        );
        assert_eq!(classes(SQL, "", &["select '{{ env_var(\"X\") }}' from t"]), ["env_var /tests/0"]);
        assert_eq!(classes(SQL, "", &["drop table t"]), ["not_a_query /tests/0"]);
    }

    #[test]
    fn every_golden_of_the_example_passes() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut seen = 0;
        for project in ["ferry", "roastery"] {
            for entry in
                fs_err::read_dir(root.join("goldens").join(project)).expect("the example is there").flatten()
            {
                let path = entry.path();
                if path.extension().is_none_or(|extension| extension != "sql") {
                    continue;
                }
                let sql = fs_err::read_to_string(&path).expect("readable");
                let yaml = fs_err::read_to_string(path.with_extension("yml")).expect("readable");
                let policy =
                    Policy { project_macros: ["to_currency".to_owned()].into(), ..Policy::default() };
                let result = check(&candidate(&sql, &yaml, &[]), &policy);
                assert_eq!(result.outcome, Outcome::Passed, "{}: {:?}", path.display(), result.findings);
                seen += 1;
            }
        }
        assert!(seen > 15);
    }
}
