//! Schema YAML (dbt calls it properties): models, seeds, snapshots and sources with their columns, tests, contracts and
//! unit tests. Reads what it understands and reports what it does not, so that hostile or half-right YAML is a finding,
//! never a failure to look at the rest.

use std::path::Path;

use super::declared::TestDeclaration;
use super::yaml::Node;
use crate::diagnostic::{Diagnostic, Place};

/// One properties file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    /// Models, seeds, snapshots and source tables, in file order.
    pub resources: Vec<Resource>,
    /// Unit tests.
    pub unit_tests: Vec<UnitTest>,
}

/// What an entry describes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// `models:`
    Model,
    /// `seeds:`
    Seed,
    /// `snapshots:`
    Snapshot,
    /// A table of `sources:`.
    Source {
        /// Name of the source.
        source: String,
    },
}

/// A described relation.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// What it is.
    pub kind: ResourceKind,
    /// Name (of a source: the table's).
    pub name: String,
    /// Description, empty when there is none.
    pub description: String,
    /// `config.enabled: false`.
    pub disabled: bool,
    /// `config.materialized`.
    pub materialized: Option<String>,
    /// `config.contract.enforced: true`.
    pub contract: bool,
    /// Columns in file order.
    pub columns: Vec<Column>,
    /// Tests of the relation and of its columns.
    pub tests: Vec<TestDeclaration>,
    /// Constraints of the relation and of its columns.
    pub constraints: Vec<Constraint>,
    /// Line, from 1.
    pub line: usize,
}

/// A described column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// `data_type`, when given.
    pub data_type: Option<String>,
    /// Description, empty when there is none.
    pub description: String,
    /// `meta` marks it as personal data (`pii: true` or `contains_pii: true`).
    pub pii: bool,
    /// Line, from 1.
    pub line: usize,
}

/// A constraint of a model contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// `not_null`, `unique`, `primary_key`, `foreign_key`, `check`, `custom`.
    pub kind: String,
    /// Columns.
    pub columns: Vec<String>,
    /// Line, from 1.
    pub line: usize,
}

/// A unit test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitTest {
    /// Name.
    pub name: String,
    /// The model it tests.
    pub model: String,
    /// Line, from 1.
    pub line: usize,
}

impl Properties {
    /// Reads a file's text; `path` is only for the places of faults. Whatever could be read is returned with the faults.
    pub fn parse(path: &Path, text: &str) -> (Self, Vec<Diagnostic>) {
        let mut reader = Reader { path, text, properties: Self::default(), faults: Vec::new() };
        match Node::parse(text) {
            Ok(root) => reader.document(&root),
            Err(fault) => {
                let place = match fault.line {
                    Some(line) => {
                        let place = Place::line(path, line, text);
                        fault.column.map_or(place.clone(), |column| place.at_column(column))
                    }
                    None => Place::file(path),
                };
                reader.faults.push(
                    Diagnostic::new("E_PROPERTIES_SYNTAX", format!("not valid YAML: {}", fault.message))
                        .at(place),
                );
            }
        }
        (reader.properties, reader.faults)
    }

    /// The model with this name.
    pub fn model(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.kind == ResourceKind::Model && resource.name == name)
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    properties: Properties,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn fault(&mut self, node: &Node, message: String) {
        let place = Place::line(self.path, node.line, self.text).at_column(node.column);
        self.faults.push(Diagnostic::new("E_PROPERTIES_SHAPE", message).at(place));
    }

    fn document(&mut self, root: &Node) {
        if root.is_null() {
            return;
        }
        if root.entries().is_empty() {
            self.fault(root, format!("expected `models:` or `sources:` at the top, found {}", root.kind()));
            return;
        }
        for (section, kind) in [
            ("models", ResourceKind::Model),
            ("seeds", ResourceKind::Seed),
            ("snapshots", ResourceKind::Snapshot),
        ] {
            for item in self.list(root, section) {
                if let Some(resource) = self.resource(&item, kind.clone()) {
                    self.properties.resources.push(resource);
                }
            }
        }
        for source in self.list(root, "sources") {
            let Some(name) = self.name(&source, "source") else { continue };
            for table in self.list(&source, "tables") {
                let kind = ResourceKind::Source { source: name.clone() };
                if let Some(resource) = self.resource(&table, kind) {
                    self.properties.resources.push(resource);
                }
            }
        }
        for test in self.list(root, "unit_tests") {
            let Some(name) = self.name(&test, "unit test") else { continue };
            match test.get("model").and_then(Node::text) {
                Some(model) => {
                    let model = model.to_owned();
                    self.properties.unit_tests.push(UnitTest { name, model, line: test.line });
                }
                None => self.fault(&test, format!("unit test `{name}` names no model")),
            }
        }
    }

    /// The items under a key that should hold a list.
    fn list(&mut self, node: &Node, key: &str) -> Vec<Node> {
        match node.get(key) {
            None => Vec::new(),
            Some(value) if value.is_null() => Vec::new(),
            Some(value) => {
                if !matches!(value.value, super::yaml::Value::List(_)) {
                    self.fault(value, format!("`{key}` must be a list, found {}", value.kind()));
                }
                value.items().to_vec()
            }
        }
    }

    fn name(&mut self, node: &Node, what: &str) -> Option<String> {
        match node.get("name").and_then(Node::scalar) {
            Some(name) => Some(name),
            None => {
                self.fault(node, format!("a {what} without a name"));
                None
            }
        }
    }

    fn resource(&mut self, node: &Node, kind: ResourceKind) -> Option<Resource> {
        let what = match &kind {
            ResourceKind::Model => "model",
            ResourceKind::Seed => "seed",
            ResourceKind::Snapshot => "snapshot",
            ResourceKind::Source { .. } => "source table",
        };
        let name = self.name(node, what)?;
        let config = |key: &str| node.get("config").and_then(|config| config.get(key));
        let mut resource = Resource {
            kind,
            name,
            description: description(node),
            disabled: config("enabled").and_then(Node::bool) == Some(false),
            materialized: config("materialized").and_then(Node::text).map(str::to_owned),
            contract: config("contract").and_then(|c| c.get("enforced")).and_then(Node::bool) == Some(true),
            columns: Vec::new(),
            tests: Vec::new(),
            constraints: Vec::new(),
            line: node.line,
        };
        self.tests(node, None, &mut resource);
        self.constraints(node, None, &mut resource);
        for column in self.list(node, "columns") {
            let Some(name) = self.name(&column, "column") else { continue };
            self.tests(&column, Some(&name), &mut resource);
            self.constraints(&column, Some(&name), &mut resource);
            let meta = [column.get("meta"), column.get("config").and_then(|config| config.get("meta"))];
            let pii = meta.iter().flatten().any(|meta| {
                ["pii", "contains_pii"].iter().any(|key| meta.get(key).and_then(Node::bool) == Some(true))
            });
            resource.columns.push(Column {
                name,
                data_type: column.get("data_type").and_then(Node::scalar),
                description: description(&column),
                pii,
                line: column.line,
            });
        }
        Some(resource)
    }

    fn tests(&mut self, node: &Node, column: Option<&str>, into: &mut Resource) {
        for key in ["data_tests", "tests"] {
            for item in self.list(node, key) {
                match TestDeclaration::read(&item, column) {
                    Some(test) => into.tests.push(test),
                    None => self.fault(&item, format!("not a test: {}", item.kind())),
                }
            }
        }
    }

    fn constraints(&mut self, node: &Node, column: Option<&str>, into: &mut Resource) {
        for item in self.list(node, "constraints") {
            let Some(kind) = item.get("type").and_then(Node::text) else {
                self.fault(&item, "a constraint without a type".into());
                continue;
            };
            let columns = match column {
                Some(column) => vec![column.to_owned()],
                None => item
                    .get("columns")
                    .map(Node::items)
                    .unwrap_or_default()
                    .iter()
                    .filter_map(Node::scalar)
                    .collect(),
            };
            into.constraints.push(Constraint { kind: kind.to_ascii_lowercase(), columns, line: item.line });
        }
    }
}

fn description(node: &Node) -> String {
    node.get("description").and_then(Node::scalar).unwrap_or_default().trim().to_owned()
}

/// The text without the entries of one model under `models:` and of its unit tests; `None` when it has none. Works on
/// lines, so that comments and the order of the rest stay as they are.
pub fn without_model(text: &str, model: &str) -> Option<String> {
    let root = Node::parse(text).ok()?;
    let mut cut: Vec<std::ops::Range<usize>> = Vec::new();
    let mut emptied: Vec<(usize, &str)> = Vec::new();
    for (section, key) in [("models", "name"), ("unit_tests", "model")] {
        let Some(position) = root.entries().iter().position(|(name, _)| name.text() == Some(section)) else {
            continue;
        };
        let (name, list) = root.entries().get(position)?;
        // Lines from 1; the section ends where the next top-level key starts.
        let end = root
            .entries()
            .iter()
            .map(|(name, _)| name.line)
            .filter(|line| *line > name.line)
            .min()
            .unwrap_or_else(|| text.lines().count() + 1);
        let items = list.items();
        let hit = |item: &Node| item.get(key).and_then(Node::text) == Some(model);
        if items.iter().any(|item| item.line == name.line) && items.iter().any(hit) {
            // A flow list on the line of its key: not cut by lines.
            return None;
        }
        for (i, item) in items.iter().enumerate() {
            if hit(item) {
                cut.push(item.line..items.get(i + 1).map_or(end, |next| next.line));
            }
        }
        if !items.is_empty() && items.iter().all(hit) {
            emptied.push((name.line, section));
        }
    }
    if cut.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let number = i + 1;
        if cut.iter().any(|range| range.contains(&number)) {
            continue;
        }
        match emptied.iter().find(|(at, _)| *at == number) {
            Some((_, section)) => {
                out.push_str(section);
                out.push_str(": []\n");
            }
            None => out.push_str(line),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbt::declared::TestKind;

    const SCHEMA: &str = "\
version: 2
models:
  - name: orders  # the facts
    description: Orders.
    config:
      materialized: table
      contract: {enforced: true}
    constraints:
      - {type: primary_key, columns: [order_id]}
    data_tests:
      - dbt_utils.unique_combination_of_columns:
          arguments: {combination_of_columns: [order_id, line]}
    columns:
      - name: order_id
        data_type: integer
        data_tests: [unique, not_null]
      - name: email
        meta: {pii: true}
        tests:
          - not_null: {where: 1=0}
  - name: other
sources:
  - name: raw
    tables:
      - name: t
        columns:
          - {name: id, tests: [unique]}
unit_tests:
  - name: u
    model: orders
";

    fn parse(text: &str) -> (Properties, Vec<Diagnostic>) {
        Properties::parse(Path::new("models/schema.yml"), text)
    }

    #[test]
    fn everything_is_read_with_its_line() {
        let (properties, faults) = parse(SCHEMA);
        assert_eq!(faults, []);
        let orders = properties.model("orders").expect("orders");
        assert_eq!((orders.line, orders.contract, orders.materialized.as_deref()), (3, true, Some("table")));
        let tests: Vec<_> =
            orders.tests.iter().map(|test| (test.column.as_deref(), test.name.as_str(), test.line)).collect();
        assert_eq!(
            tests,
            [
                (None, "dbt_utils.unique_combination_of_columns", 11),
                (Some("order_id"), "unique", 16),
                (Some("order_id"), "not_null", 16),
                (Some("email"), "not_null", 20),
            ]
        );
        assert!(!orders.tests[3].is_strong());
        assert_eq!(orders.constraints[0].columns, ["order_id"]);
        assert!(orders.columns[1].pii && !orders.columns[0].pii);
        let source = properties.resources.last().expect("a source");
        assert_eq!(source.kind, ResourceKind::Source { source: "raw".into() });
        assert_eq!(source.tests[0].kind, TestKind::Unique);
        assert_eq!(properties.unit_tests[0].model, "orders");
    }

    #[test]
    fn faults_are_collected_and_the_rest_is_read() {
        let (properties, faults) =
            parse("models:\n  - description: x\n  - name: ok\n    columns: 3\n    tests: [1]\nsources: x\n");
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 4, "{shown:#?}");
        assert!(
            shown[0].starts_with("models/schema.yml:2:5: [E_PROPERTIES_SHAPE] a model without a name"),
            "{shown:#?}"
        );
        assert!(properties.model("ok").is_some());
        let (_, faults) = parse("models: [\n");
        assert_eq!(faults[0].code, "E_PROPERTIES_SYNTAX");
        assert!(!parse("just text").1.is_empty());
        assert!(parse("").1.is_empty());
    }

    #[test]
    fn a_model_is_taken_out_of_a_shared_file() {
        let cut = without_model(SCHEMA, "orders").expect("it was there");
        let (properties, faults) = parse(&cut);
        assert_eq!(faults, []);
        assert!(properties.model("orders").is_none() && properties.model("other").is_some());
        assert!(properties.unit_tests.is_empty());
        assert_eq!(properties.resources.len(), 2);
        assert_eq!(without_model(SCHEMA, "nobody"), None);
        let only = without_model("models:\n  - name: a\n    columns: []\n", "a").expect("it was there");
        assert_eq!(only, "models: []\n");
        assert_eq!(without_model("models: [{name: a}]\n", "a"), None);
    }
}
