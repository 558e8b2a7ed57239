//! Declared facts about tables: keys, not null, foreign keys, accepted values, each by number so that a proof can say
//! which ones it used.

use super::Schema;
use super::algebra::{Arena, Sym};
use super::types::Type;

/// One declared fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The column is never NULL.
    NotNull {
        /// Table, as the schema names it.
        table: String,
        /// Column.
        column: String,
    },
    /// No two rows have the same non-null values.
    Unique {
        /// Table, as the schema names it.
        table: String,
        /// Columns.
        columns: Vec<String>,
    },
    /// Each non-null combination occurs in the referred table.
    ForeignKey {
        /// Referring table.
        table: String,
        /// Referring columns.
        columns: Vec<String>,
        /// Referred table.
        to: String,
        /// Referred columns.
        references: Vec<String>,
    },
}

impl Fact {
    /// The table that the fact is about.
    pub fn table(&self) -> &str {
        match self {
            Self::NotNull { table, .. } | Self::Unique { table, .. } | Self::ForeignKey { table, .. } => {
                table
            }
        }
    }

    /// As a verdict cites it, without origin.
    pub fn describe(&self) -> String {
        match self {
            Self::NotNull { table, column } => format!("not_null {table}.{column}"),
            Self::Unique { table, columns } => match columns.as_slice() {
                [one] => format!("unique {table}.{one}"),
                several => format!("unique {table} ({})", several.join(", ")),
            },
            Self::ForeignKey { table, columns, to, references } => {
                format!("foreign key {table} ({}) -> {to} ({})", columns.join(", "), references.join(", "))
            }
        }
    }
}

/// The facts that a proof may use.
#[derive(Debug, Clone, Default)]
pub struct FactSet {
    facts: Vec<(usize, Fact)>,
}

impl FactSet {
    /// No facts: what is proved holds for all tables with these columns.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every fact that the schema declares.
    pub fn declared(schema: &Schema) -> Self {
        let mut facts = Vec::new();
        for (name, table) in &schema.tables {
            let not_null = |column: &String| Fact::NotNull { table: name.clone(), column: column.clone() };
            let mut push = |fact: Fact| {
                if !facts.contains(&fact) {
                    facts.push(fact);
                }
            };
            for (column, info) in &table.columns {
                if !info.nullable || table.primary_key.contains(column) {
                    push(not_null(column));
                }
            }
            for columns in std::iter::once(&table.primary_key).chain(&table.unique) {
                if !columns.is_empty() {
                    push(Fact::Unique { table: name.clone(), columns: columns.clone() });
                }
            }
            for key in &table.foreign_keys {
                if !key.columns.is_empty() && key.columns.len() == key.references.len() {
                    push(Fact::ForeignKey {
                        table: name.clone(),
                        columns: key.columns.clone(),
                        to: key.table.clone(),
                        references: key.references.clone(),
                    });
                }
            }
        }
        Self { facts: facts.into_iter().enumerate().collect() }
    }

    /// Only these of the facts, by number.
    #[must_use]
    pub fn only(&self, numbers: &[usize]) -> Self {
        Self { facts: self.facts.iter().filter(|(number, _)| numbers.contains(number)).cloned().collect() }
    }

    /// With one more; its number is returned.
    #[must_use]
    pub fn with(&self, fact: Fact) -> (Self, usize) {
        let number = self.facts.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        let mut facts = self.facts.clone();
        facts.push((number, fact));
        (Self { facts }, number)
    }

    /// Whether the fact is among them.
    pub fn contains(&self, fact: &Fact) -> bool {
        self.facts.iter().any(|(_, other)| other == fact)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// The fact with this number.
    pub fn get(&self, number: usize) -> Option<&Fact> {
        self.facts.iter().find(|(other, _)| *other == number).map(|(_, fact)| fact)
    }

    /// The facts about one table, by position of its columns.
    pub(super) fn of_table(&self, table: &str, columns: &[(Sym, Type)], arena: &Arena) -> TableFacts {
        let position = |name: &String| {
            columns
                .iter()
                .position(|(column, _)| arena.text(*column).eq_ignore_ascii_case(name))
                .map(|position| position as u32)
        };
        let positions = |names: &[String]| names.iter().map(position).collect::<Option<Vec<_>>>();
        let mut found = TableFacts::default();
        for (number, fact) in &self.facts {
            if !fact.table().eq_ignore_ascii_case(table) {
                continue;
            }
            match fact {
                Fact::NotNull { column, .. } => {
                    if let Some(at) = position(column) {
                        found.not_null.push((at, *number));
                    }
                }
                Fact::Unique { columns, .. } => {
                    if let Some(columns) = positions(columns) {
                        found.unique.push((columns, *number));
                    }
                }
                Fact::ForeignKey { columns, to, references, .. } => {
                    if let Some(columns) = positions(columns) {
                        let references = references.iter().map(|name| name.to_ascii_lowercase()).collect();
                        found.foreign_keys.push((columns, to.to_ascii_lowercase(), references, *number));
                    }
                }
            }
        }
        found
    }
}

/// Facts about one table, columns by position, each with its number.
#[derive(Debug, Clone, Default)]
pub struct TableFacts {
    not_null: Vec<(u32, usize)>,
    /// Unique sets of columns.
    pub unique: Vec<(Vec<u32>, usize)>,
    /// Referring columns, referred table and columns (lower case).
    pub foreign_keys: Vec<(Vec<u32>, String, Vec<String>, usize)>,
}

impl TableFacts {
    /// The fact that the column at this position is not NULL.
    pub fn not_null(&self, position: u32) -> Option<usize> {
        self.not_null.iter().find(|(at, _)| *at == position).map(|(_, number)| *number)
    }
}
