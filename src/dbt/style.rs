//! The forms that dbt's versions take generic tests in. A schema YAML is rewritten to the form that an engine reads, so that
//! a candidate is judged by what it says and not by the year whose form it says it in.

use serde_json::{Map, Value};

use super::yaml::Node;
use crate::sql::policy::{SQL_TEST_SETTINGS, TEST_SETTINGS};

/// The form that an engine reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestStyle {
    /// Before 1.8: `tests:`, arguments beside each other. `data_tests:` would be passed over in silence.
    Tests,
    /// Before 1.10.5: `data_tests:` too, arguments beside each other.
    Flat,
    /// Up to 1.12: every form.
    Any,
    /// 2.x: arguments under `arguments:`, settings under `config:`.
    Arguments,
}

/// Settings of a test as of any node, beside those of when it fails.
const NODE_SETTINGS: &[&str] =
    &["store_failures", "store_failures_as", "tags", "enabled", "meta", "alias", "database", "schema"];

/// Keys of a test that are neither.
const OWN_KEYS: &[&str] = &["name", "description", "config", "arguments", "test_name", "column_name"];

impl TestStyle {
    /// The form for a dbt-core 1.x.
    pub fn of_version(version: &str) -> Self {
        let mut parts = version.split('.').map(|part| {
            part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0)
        });
        let mut next = || parts.next().unwrap_or(0);
        let version = (next(), next(), next());
        match version {
            _ if version < (1, 8, 0) => Self::Tests,
            _ if version < (1, 10, 5) => Self::Flat,
            _ => Self::Any,
        }
    }

    /// The same schema YAML in this form; `None` where it is in this form already, or is not YAML.
    pub fn rewrite(self, yaml: &str) -> Option<String> {
        if self == Self::Any {
            return None;
        }
        rewrite(yaml, &|owner| self.restyle(owner))
    }

    fn restyle(self, owner: &mut Map<String, Value>) {
        if self == Self::Tests
            && let Some(tests) = owner.remove("data_tests")
        {
            owner.insert("tests".into(), tests);
        }
        for key in ["tests", "data_tests"] {
            let Some(Value::Array(tests)) = owner.get_mut(key) else { continue };
            for test in tests {
                let Value::Object(entry) = test else { continue };
                // `{test_name: unique, ...}`, or `{unique: {...}}`.
                if entry.contains_key("test_name") {
                    self.restyle_test(entry);
                } else if entry.len() == 1
                    && let Some(Value::Object(body)) = entry.values_mut().next()
                {
                    self.restyle_test(body);
                }
            }
        }
    }

    fn restyle_test(self, test: &mut Map<String, Value>) {
        if self != Self::Arguments {
            if let Some(Value::Object(arguments)) = test.remove("arguments") {
                test.extend(arguments);
            }
            return;
        }
        let (mut arguments, mut config) = (Map::new(), Map::new());
        for (key, value) in std::mem::take(test) {
            match key.as_str() {
                key if OWN_KEYS.contains(&key) => drop(test.insert(key.to_owned(), value)),
                key if is_setting(key) => drop(config.insert(key.to_owned(), value)),
                _ => drop(arguments.insert(key, value)),
            }
        }
        for (key, more) in [("arguments", arguments), ("config", config)] {
            match test.get_mut(key) {
                _ if more.is_empty() => {}
                Some(Value::Object(there)) => there.extend(more),
                _ => drop(test.insert(key.into(), Value::Object(more))),
            }
        }
    }
}

/// Whether a key of a test is a setting, as opposed to an argument.
fn is_setting(key: &str) -> bool {
    [TEST_SETTINGS, SQL_TEST_SETTINGS, NODE_SETTINGS].iter().any(|keys| keys.contains(&key))
}

/// The schema YAML without any generic test; `None` where it has none, or is not YAML.
pub fn without_tests(yaml: &str) -> Option<String> {
    rewrite(yaml, &|owner| {
        owner.remove("tests");
        owner.remove("data_tests");
    })
}

/// Applies a change to everything that can have tests. What is changed comes out as JSON, which every YAML reader reads.
fn rewrite(yaml: &str, change: &dyn Fn(&mut Map<String, Value>)) -> Option<String> {
    let before = Node::parse(yaml).ok()?.to_json();
    let mut after = before.clone();
    for section in ["models", "seeds", "snapshots", "sources"] {
        for resource in objects(after.get_mut(section)) {
            change(resource);
            for part in ["columns", "tables"] {
                for part in objects(resource.get_mut(part)) {
                    change(part);
                    objects(part.get_mut("columns")).for_each(change);
                }
            }
        }
    }
    (after != before).then(|| after.to_string())
}

fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        Node::parse(text).expect("YAML").to_json()
    }

    #[test]
    fn each_version_gets_its_form() {
        for (version, style) in [
            ("1.6.19", TestStyle::Tests),
            ("1.8.0", TestStyle::Flat),
            ("1.10.4", TestStyle::Flat),
            ("1.10.5", TestStyle::Any),
            ("1.11.16", TestStyle::Any),
        ] {
            assert_eq!(TestStyle::of_version(version), style, "{version}");
        }
    }

    #[test]
    fn tests_say_the_same_in_every_form() {
        let old = "models:\n- name: m\n  columns:\n  - name: a\n    tests:\n    - unique\n    - accepted_values: {values: [x], severity: warn}\n";
        let new = "models:\n- name: m\n  columns:\n  - name: a\n    data_tests:\n    - unique\n    - accepted_values: {arguments: {values: [x]}, config: {severity: warn}}\n";
        let rewritten = TestStyle::Arguments.rewrite(old).expect("changed");
        assert_eq!(json(&rewritten), json(&new.replace("data_tests", "tests")));
        assert_eq!(TestStyle::Arguments.rewrite(new), None);
        let rewritten = TestStyle::Tests.rewrite(new).expect("changed");
        assert_eq!(json(&rewritten), json(&old.replace("severity: warn", "config: {severity: warn}")));
        assert_eq!(TestStyle::Flat.rewrite(old), None);
        assert_eq!(TestStyle::Any.rewrite(new), None);
        let bare = without_tests(new).expect("changed");
        assert_eq!(json(&bare), json("models:\n- name: m\n  columns:\n  - name: a\n"));
    }

    #[test]
    fn what_is_not_a_schema_is_left_alone() {
        for text in [
            "",
            "models: [",
            "models: 3",
            "- a",
            "models: [{name: m, columns: 1, tests: [[1], {a: 1, b: 2}]}]",
        ] {
            for style in [TestStyle::Tests, TestStyle::Flat, TestStyle::Arguments] {
                assert_eq!(style.rewrite(text), None, "{text}");
            }
        }
    }
}
