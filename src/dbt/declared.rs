//! Declared data tests, normalised: the many ways of writing one (`- unique`, `- unique: {...}`, `arguments:`, `config:`,
//! `test_name:`) become one form, and what makes a test pass too easily is named.

use super::test_syntax::TestEntry;
use super::yaml::{Node, Value};

/// A data test on a model, seed, snapshot or source table.
#[derive(Debug, Clone, PartialEq)]
pub struct TestDeclaration {
    /// Column; `None` for a test on the whole relation.
    pub column: Option<String>,
    /// Name as written, with its package: `unique`, `dbt_utils.unique_combination_of_columns`.
    pub name: String,
    /// What it asserts.
    pub kind: TestKind,
    /// What makes it weaker than it looks; empty for a test at full strength.
    pub weakened: Vec<Weakening>,
    /// Line of the YAML, from 1.
    pub line: usize,
}

/// What a test asserts.
#[derive(Debug, Clone, PartialEq)]
pub enum TestKind {
    /// No value of the column twice (nulls exempt).
    Unique,
    /// No null in the column.
    NotNull,
    /// Every non-null value is among these.
    AcceptedValues(Vec<String>),
    /// Every non-null value occurs in a column of another relation.
    Relationships {
        /// The other relation as written: `ref('x')`, `source('a', 'b')`.
        to: String,
        /// Its column.
        field: String,
    },
    /// No combination of values twice (`dbt_utils.unique_combination_of_columns`).
    UniqueCombination(Vec<String>),
    /// Anything else.
    Other,
}

/// A setting that lets a test pass where it should fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weakening {
    /// Only some rows are looked at.
    Where(String),
    /// Failures are warnings.
    SeverityWarn,
    /// The test is switched off.
    Disabled,
    /// No failing row is ever counted.
    Limit(String),
    /// Failures are counted in another way than `count(*)`.
    FailCalc(String),
    /// Failures are tolerated up to a threshold.
    ErrorIf(String),
    /// The setting is an expression that is not evaluated here.
    Computed(&'static str),
}

impl std::fmt::Display for Weakening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Where(text) => write!(f, "looks only at rows where `{text}`"),
            Self::SeverityWarn => f.write_str("only warns (severity: warn)"),
            Self::Disabled => f.write_str("is disabled (enabled: false)"),
            Self::Limit(text) => write!(f, "counts no failing row (limit: {text})"),
            Self::FailCalc(text) => write!(f, "counts failures as `{text}`"),
            Self::ErrorIf(text) => write!(f, "fails only if failures {text}"),
            Self::Computed(key) => write!(f, "has a computed `{key}`"),
        }
    }
}

impl TestDeclaration {
    /// Reads one item of `tests:` or `data_tests:`; `None` when it is not a test.
    pub(super) fn read(item: &Node, column: Option<&str>) -> Option<Self> {
        let (name, body) = match &item.value {
            Value::Text(name) => (name.clone(), None),
            Value::Map(entries) => match item.get("test_name").and_then(Node::text) {
                Some(name) => (name.to_owned(), Some(item)),
                // `- unique: {...}`; with further keys at the same level where the indentation slipped.
                None => {
                    let (key, value) = entries.first()?;
                    let name = key.text()?.to_owned();
                    (name, Some(if value.is_null() { item } else { value }))
                }
            },
            _ => return None,
        };
        let argument = |key: &str| {
            let body = body?;
            body.get("arguments").and_then(|arguments| arguments.get(key)).or_else(|| body.get(key))
        };
        let list = |key: &str| -> Vec<String> {
            argument(key).map(Node::items).unwrap_or_default().iter().filter_map(Node::scalar).collect()
        };
        let base = name.rsplit('.').next().unwrap_or(&name);
        let kind = match base {
            "unique" => TestKind::Unique,
            "not_null" => TestKind::NotNull,
            "accepted_values" => TestKind::AcceptedValues(list("values")),
            "relationships" => TestKind::Relationships {
                to: argument("to").and_then(Node::text).unwrap_or_default().trim().to_owned(),
                field: argument("field").and_then(Node::text).unwrap_or_default().trim().to_owned(),
            },
            "unique_combination_of_columns" => TestKind::UniqueCombination(list("combination_of_columns")),
            _ => TestKind::Other,
        };
        let column = match column {
            Some(column) => Some(column.to_owned()),
            None => argument("column_name").and_then(Node::text).map(str::to_owned),
        };
        let weakened = body.map(weakenings).unwrap_or_default();
        Some(Self { column, name, kind, weakened, line: item.line })
    }

    /// Whether it runs at full strength.
    pub fn is_strong(&self) -> bool {
        self.weakened.is_empty()
    }

    /// Whether this test, at full strength, guarantees what `entry` asks for. Raw SQL is never matched.
    pub fn satisfies(&self, entry: &TestEntry) -> bool {
        let on = |column: &str| self.column.as_deref().is_some_and(|name| same_name(name, column));
        match (entry, &self.kind) {
            (TestEntry::Unique(column), TestKind::Unique)
            | (TestEntry::NotNull(column), TestKind::NotNull) => on(column),
            (TestEntry::Unique(column), TestKind::UniqueCombination(columns)) => {
                matches!(columns.as_slice(), [only] if same_name(only, column))
            }
            (TestEntry::AcceptedValues(column, wanted), TestKind::AcceptedValues(values)) => {
                on(column) && !values.is_empty() && values.iter().all(|value| wanted.contains(value))
            }
            (TestEntry::Relationships { column, model, field }, TestKind::Relationships { to, field: f }) => {
                on(column)
                    && same_name(field, f)
                    && ref_target(to).is_some_and(|name| same_name(&name, model))
            }
            _ => false,
        }
    }
}

/// Column and model names: without quotes and without regard to case.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    a.trim_matches(['"', '`']).eq_ignore_ascii_case(b.trim_matches(['"', '`']))
}

/// The model named by `ref('x')` or `ref('package', 'x')`, with or without braces.
pub fn ref_target(text: &str) -> Option<String> {
    let arguments = call_arguments(text, "ref")?;
    arguments.last().cloned()
}

/// Source and table named by `source('a', 'b')`.
pub fn source_target(text: &str) -> Option<(String, String)> {
    match call_arguments(text, "source")?.as_slice() {
        [source, table] => Some((source.clone(), table.clone())),
        _ => None,
    }
}

fn call_arguments(text: &str, function: &str) -> Option<Vec<String>> {
    let text = text.trim().trim_start_matches('{').trim_end_matches('}').trim();
    let inner = text.strip_prefix(function)?.trim_start().strip_prefix('(')?.strip_suffix(')')?;
    inner
        .split(',')
        .map(|argument| {
            let argument = argument.trim();
            let quote = argument.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            argument.strip_prefix(quote)?.strip_suffix(quote).map(str::to_owned)
        })
        .collect()
}

fn weakenings(body: &Node) -> Vec<Weakening> {
    let mut found = Vec::new();
    // `config:` counts first; dbt still takes the same keys beside the arguments.
    let setting = |key: &str| {
        body.get("config")
            .and_then(|config| config.get(key))
            .or_else(|| body.get(key))
            .filter(|n| !n.is_null())
    };
    let text = |node: &Node| node.scalar().unwrap_or_default().trim().to_owned();
    if let Some(node) = setting("where") {
        let condition = text(node);
        if !condition.is_empty() {
            found.push(Weakening::Where(condition));
        }
    }
    if let Some(node) = setting("severity") {
        match text(node).to_ascii_lowercase().as_str() {
            "error" => {}
            "warn" => found.push(Weakening::SeverityWarn),
            _ => found.push(Weakening::Computed("severity")),
        }
    }
    if let Some(node) = setting("enabled") {
        match node.bool() {
            Some(true) => {}
            Some(false) => found.push(Weakening::Disabled),
            None => found.push(Weakening::Computed("enabled")),
        }
    }
    if let Some(node) = setting("limit") {
        // dbt counts the rows of the limited query: only a limit above zero lets one failure through.
        let limit = text(node);
        if !limit.parse::<u64>().is_ok_and(|limit| limit > 0) {
            found.push(Weakening::Limit(limit));
        }
    }
    if let Some(node) = setting("fail_calc") {
        let calc = text(node);
        if !squeeze(&calc).eq_ignore_ascii_case("count(*)") {
            found.push(Weakening::FailCalc(calc));
        }
    }
    if let Some(node) = setting("error_if") {
        let condition = text(node);
        if !matches!(squeeze(&condition).as_str(), "!=0" | "<>0" | ">0" | ">=1") {
            found.push(Weakening::ErrorIf(condition));
        }
    }
    found
}

fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(yaml: &str) -> TestDeclaration {
        TestDeclaration::read(&Node::parse(yaml).expect("YAML"), Some("c")).expect("a test")
    }

    #[test]
    fn every_way_of_writing_a_test_means_the_same() {
        for yaml in [
            "accepted_values: {values: [a, b]}",
            "accepted_values: {arguments: {values: [a, b]}}",
            "{test_name: accepted_values, name: mine, values: [a, b]}",
            "{test_name: accepted_values, arguments: {values: [a, b]}, config: {severity: error}}",
            "accepted_values:\nvalues: [a, b]",
            "dbt.accepted_values: {values: [a, b], quote: true}",
        ] {
            let test = one(yaml);
            assert_eq!(test.kind, TestKind::AcceptedValues(vec!["a".into(), "b".into()]), "{yaml}");
            assert!(test.is_strong(), "{yaml}");
        }
        assert_eq!(one("unique").kind, TestKind::Unique);
        assert_eq!(one("my_package.fancy: {x: 1}").name, "my_package.fancy");
    }

    #[test]
    fn what_weakens_a_test_is_named() {
        for (yaml, expected) in [
            ("unique: {where: 1=0}", Weakening::Where("1=0".into())),
            ("unique: {config: {where: 'a > 1'}}", Weakening::Where("a > 1".into())),
            ("unique: {severity: WARN}", Weakening::SeverityWarn),
            ("unique: {config: {severity: warn}}", Weakening::SeverityWarn),
            ("unique: {config: {severity: \"{{ var('s') }}\"}}", Weakening::Computed("severity")),
            ("unique: {enabled: false}", Weakening::Disabled),
            ("unique: {config: {enabled: 'false'}}", Weakening::Disabled),
            ("unique: {config: {limit: 0}}", Weakening::Limit("0".into())),
            ("unique: {config: {fail_calc: 0}}", Weakening::FailCalc("0".into())),
            ("unique: {config: {error_if: '> 1000'}}", Weakening::ErrorIf("> 1000".into())),
        ] {
            assert_eq!(one(yaml).weakened, [expected], "{yaml}");
        }
        for yaml in ["unique: {limit: 500}", "unique: {config: {error_if: '!= 0', tags: [x]}}", "unique:"] {
            assert!(one(yaml).is_strong(), "{yaml}");
        }
    }

    #[test]
    fn a_required_test_is_satisfied_by_the_same_or_a_stronger_one() {
        let entry = |text| TestEntry::parse(text).expect("an entry");
        assert!(one("unique").satisfies(&entry("unique:C")));
        assert!(!one("unique").satisfies(&entry("unique:d")));
        assert!(!one("not_null").satisfies(&entry("unique:c")));
        let values = one("accepted_values: {values: [a, b]}");
        assert!(values.satisfies(&entry("accepted_values:c[a|b|x]")), "fewer values are stronger");
        assert!(!values.satisfies(&entry("accepted_values:c[a]")), "more values are weaker");
        assert!(!one("accepted_values: {values: []}").satisfies(&entry("accepted_values:c[a]")));
        for to in ["ref('m')", "{{ ref(\"m\") }}", "ref('pkg', 'm')"] {
            let test = one(&format!("relationships: {{to: {to:?}, field: id}}"));
            assert!(test.satisfies(&entry("relationships:c->ref(m).id")), "{to}");
            assert!(!test.satisfies(&entry("relationships:c->ref(n).id")), "{to}");
        }
    }

    #[test]
    fn what_is_not_a_test_is_none() {
        for yaml in ["1", "[]", "{}", "~", "? [a]\n: b"] {
            assert_eq!(TestDeclaration::read(&Node::parse(yaml).expect("YAML"), None), None, "{yaml}");
        }
    }
}
