//! What a project's YAML guarantees about its relations, for the SQL judge: keys, not-null columns, value sets and
//! references, each with the line that says so. Only tests at full strength count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::declared::{TestKind, ref_target, source_target};
use super::project::Project;
use super::properties::{Properties, Resource, ResourceKind};
use crate::sql::schema::{Column, ForeignKey, Schema, Table};

/// A relation as dbt names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// `ref('name')`: a model, seed or snapshot.
    Ref(String),
    /// `source('source', 'table')`.
    Source(String, String),
}

impl Relation {
    /// What a node of dbt's artifacts is called in SQL; `None` for nodes that cannot be read from.
    pub fn of_node(unique_id: &str) -> Option<Self> {
        let parts: Vec<&str> = unique_id.split('.').collect();
        match parts.as_slice() {
            ["model" | "seed" | "snapshot", _, name, ..] => Some(Self::Ref((*name).to_owned())),
            ["source", _, source, table] => Some(Self::Source((*source).to_owned(), (*table).to_owned())),
            _ => None,
        }
    }

    /// Its name in SQL that was rendered without dbt.
    pub fn rendered(&self) -> String {
        match self {
            Self::Ref(name) => name.clone(),
            Self::Source(source, table) => format!("{source}.{table}"),
        }
    }
}

/// Columns of a relation in order: name and type, as `DESCRIBE` gives them.
pub type Types = BTreeMap<Relation, Vec<(String, String)>>;

/// The facts of a project, under the names that relations have in rendered SQL.
///
/// Columns are listed only where the list is sure to be complete, since `select *` is expanded with it: from `types`
/// (where the caller has a database), from an enforced contract, or from the header of a seed. Elsewhere the table has
/// no columns, and facts about single columns (not null, accepted values) are left out.
pub fn schema(project: &Project, properties: &[(PathBuf, Properties)], types: &Types) -> Schema {
    let mut schema = Schema::default();
    for (relation, columns) in types {
        let table = schema.tables.entry(relation.rendered()).or_default();
        for (column, data_type) in columns {
            let column = table.columns.entry(column.clone()).or_insert_with(nullable);
            column.data_type.clone_from(data_type);
        }
    }
    let models: BTreeMap<String, PathBuf> =
        project.models().into_iter().map(|file| (file.name, file.path)).collect();
    let seeds: BTreeMap<String, PathBuf> =
        project.seeds().into_iter().map(|file| (file.name, file.path)).collect();
    for (path, properties) in properties {
        for resource in properties.resources.iter().filter(|resource| !resource.disabled) {
            let relation = match &resource.kind {
                ResourceKind::Source { source } => Relation::Source(source.clone(), resource.name.clone()),
                _ => Relation::Ref(resource.name.clone()),
            };
            let known = types.contains_key(&relation);
            let table = schema.tables.entry(relation.rendered()).or_default();
            let facts = Facts { path, resource };
            if !known {
                let header = seeds.get(&resource.name).filter(|_| resource.kind == ResourceKind::Seed);
                facts.columns(
                    table,
                    header.map(|path| header_of(&project.root.join(path))).unwrap_or_default(),
                );
            }
            facts.tests(table);
            if enforces_constraints(project, models.get(&resource.name), resource) {
                facts.constraints(table);
            }
        }
    }
    schema
}

/// The column names of a seed; none when they cannot be read for sure.
fn header_of(path: &Path) -> Vec<String> {
    let Ok(text) = fs_err::read_to_string(path) else { return Vec::new() };
    let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    let plain = line.chars().all(|c| c.is_alphanumeric() || matches!(c, ',' | '_' | ' '));
    match plain {
        true => line.split(',').map(|name| name.trim().to_owned()).collect(),
        false => Vec::new(),
    }
}

/// Whether dbt-duckdb creates this model with its constraints: an enforced contract on a table.
fn enforces_constraints(project: &Project, file: Option<&PathBuf>, resource: &Resource) -> bool {
    let Some(file) = file.filter(|_| resource.contract && resource.kind == ResourceKind::Model) else {
        return false;
    };
    // A `materialized` in the SQL itself would override both; it is not evaluated here.
    let overridden =
        fs_err::read_to_string(project.root.join(file)).is_ok_and(|sql| sql.contains("materialized"));
    let materialized = resource.materialized.clone().unwrap_or_else(|| project.materialized(file));
    !overridden && matches!(materialized.as_str(), "table" | "incremental")
}

struct Facts<'a> {
    path: &'a Path,
    resource: &'a Resource,
}

impl Facts<'_> {
    fn origin(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    fn columns(&self, table: &mut Table, header: Vec<String>) {
        for name in header {
            table.columns.insert(name, nullable());
        }
        let contract = self.resource.contract && self.resource.kind == ResourceKind::Model;
        for declared in &self.resource.columns {
            let column = match contract {
                true => Some(table.columns.entry(declared.name.clone()).or_insert_with(nullable)),
                false => column_of(table, &declared.name),
            };
            if let (Some(column), Some(data_type)) = (column, &declared.data_type) {
                column.data_type.clone_from(data_type);
            }
        }
    }

    fn tests(&self, table: &mut Table) {
        for test in self.resource.tests.iter().filter(|test| test.is_strong()) {
            let origin = self.origin(test.line);
            match (&test.kind, &test.column) {
                (TestKind::Unique, Some(column)) => unique(table, vec![column.clone()], origin),
                (TestKind::UniqueCombination(columns), _) if !columns.is_empty() => {
                    unique(table, columns.clone(), origin);
                }
                (TestKind::NotNull, Some(column)) => not_null(table, column, origin),
                (TestKind::AcceptedValues(values), Some(column)) => {
                    if let Some(found) = column_of(table, column) {
                        found.accepted_values = Some(values.clone());
                        table.origins.insert(format!("accepted_values {column}"), origin);
                    }
                }
                (TestKind::Relationships { to, field }, Some(column)) => {
                    let to = ref_target(to)
                        .map(Relation::Ref)
                        .or_else(|| source_target(to).map(|(source, table)| Relation::Source(source, table)));
                    if let Some(to) = to.filter(|_| !field.is_empty()) {
                        table.foreign_keys.push(ForeignKey {
                            columns: vec![column.clone()],
                            table: to.rendered(),
                            references: vec![field.clone()],
                        });
                        table.origins.insert(format!("foreign_key {column}"), origin);
                    }
                }
                _ => {}
            }
        }
    }

    fn constraints(&self, table: &mut Table) {
        for constraint in self.resource.constraints.iter().filter(|constraint| !constraint.columns.is_empty())
        {
            let origin = self.origin(constraint.line);
            match constraint.kind.as_str() {
                "primary_key" => {
                    for column in &constraint.columns {
                        not_null(table, column, origin.clone());
                    }
                    unique(table, constraint.columns.clone(), origin);
                }
                "unique" => unique(table, constraint.columns.clone(), origin),
                "not_null" => {
                    for column in &constraint.columns {
                        not_null(table, column, origin.clone());
                    }
                }
                _ => {}
            }
        }
    }
}

fn nullable() -> Column {
    Column { nullable: true, ..Column::default() }
}

fn column_of<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Column> {
    let spelled = table.columns.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()?;
    table.columns.get_mut(&spelled)
}

fn not_null(table: &mut Table, column: &str, origin: String) {
    if let Some(found) = column_of(table, column) {
        found.nullable = false;
        table.origins.entry(format!("not_null {column}")).or_insert(origin);
    }
}

fn unique(table: &mut Table, columns: Vec<String>, origin: String) {
    let exists = |column: &String| table.columns.keys().any(|key| key.eq_ignore_ascii_case(column));
    if !table.columns.is_empty() && !columns.iter().all(exists) {
        return;
    }
    table.origins.entry(format!("unique {}", columns.join(", "))).or_insert(origin);
    if !table.unique.contains(&columns) {
        table.unique.push(columns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_at_full_strength_become_facts() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs_err::create_dir_all(dir.path().join("models")).expect("models");
        fs_err::write(dir.path().join("dbt_project.yml"), "name: shop\nmodels: {+materialized: table}\n")
            .expect("project");
        fs_err::write(dir.path().join("models/orders.sql"), "select 1").expect("model");
        fs_err::write(dir.path().join("models/lines.sql"), "{{ config(materialized='view') }} select 1")
            .expect("model");
        let project = Project::read(dir.path()).expect("a project");
        let text = "\
models:
  - name: orders
    config: {contract: {enforced: true}}
    constraints: [{type: primary_key, columns: [line]}, {type: unique, columns: [typo]}]
    columns:
      - name: ORDER_ID
        data_tests: [unique, not_null]
      - name: status
        data_tests:
          - accepted_values: {values: [open, closed]}
          - not_null: {where: 1=0}
      - name: customer_id
        data_tests:
          - relationships: {to: \"source('raw', 'customers')\", field: id}
          - unique: {severity: warn}
  - name: lines
    config: {contract: {enforced: true}}
    columns:
      - name: id
        data_type: int
        constraints: [{type: not_null}]
  - name: partly_described
    columns: [{name: id, tests: [unique, not_null]}]
  - name: off
    config: {enabled: false}
    columns: [{name: id, tests: [unique]}]
seeds:
  - name: raw_t
    columns: [{name: id, data_type: integer, tests: [not_null]}]
";
        fs_err::create_dir_all(dir.path().join("seeds")).expect("seeds");
        fs_err::write(dir.path().join("seeds/raw_t.csv"), "id,name\n1,a\n").expect("seed");
        let (properties, faults) = Properties::parse(Path::new("models/s.yml"), text);
        assert_eq!(faults, []);
        let types = Types::from([(
            Relation::Ref("orders".into()),
            vec![
                ("order_id".into(), "INTEGER".into()),
                ("status".into(), "VARCHAR".into()),
                ("line".into(), "INTEGER".into()),
            ],
        )]);
        let schema = schema(&project, &[("models/s.yml".into(), properties)], &types);
        insta::assert_json_snapshot!(schema);
    }
}
