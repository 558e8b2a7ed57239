//! What is known about the tables that queries read: columns, types, keys and the origin of each fact.
//!
//! The JSON form is the `schema` of a pairs file: `{"tables": {"t": {"columns": {"c": {"type": "VARCHAR",
//! "nullable": false}}, "primary_key": ["c"], "unique": [["c"]], "foreign_keys": [...], ...}}}`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Tables by name. Names keep their spelling; look-ups fold case (see [`Schema::table`]).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Tables by name; for a dbt project the key is the relation as the rendered SQL names it.
    #[serde(default)]
    pub tables: BTreeMap<String, Table>,
}

/// A table, view or model that a query may read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Columns in declared order.
    #[serde(default)]
    pub columns: ColumnMap,
    /// Columns of the primary key; empty when there is none. A primary key is unique and not null.
    #[serde(default)]
    pub primary_key: Vec<String>,
    /// Sets of columns that are unique (rows with a NULL in the set are exempt, as in SQL and in dbt's test).
    #[serde(default)]
    pub unique: Vec<Vec<String>>,
    /// References to other tables.
    #[serde(default)]
    pub foreign_keys: Vec<ForeignKey>,
    /// Where a fact comes from, for citation in verdicts: fact (`unique order_id`) to origin (`models/schema.yml:12`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, String>,
}

/// Columns in declared order (`serde_json` keeps the order of the file).
pub type ColumnMap = IndexMap<String, Column>;

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Type as the database writes it (`DECIMAL(18,2)`), or empty when unknown.
    #[serde(rename = "type", default)]
    pub data_type: String,
    /// Whether NULL may occur; `true` unless a constraint or test forbids it.
    #[serde(default = "yes")]
    pub nullable: bool,
    /// The complete set of values that may occur (`accepted_values`), as text; `None` when not declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_values: Option<Vec<String>>,
}

/// A foreign key: every non-null combination of `columns` occurs in `references` of `table`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Referring columns.
    pub columns: Vec<String>,
    /// Referred table.
    pub table: String,
    /// Referred columns, in the order of `columns`.
    pub references: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Schema {
    /// The table with this name, exact spelling first, then without regard to case.
    pub fn table(&self, name: &str) -> Option<(&str, &Table)> {
        self.tables
            .get_key_value(name)
            .or_else(|| self.tables.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)))
            .map(|(key, table)| (key.as_str(), table))
    }
}
