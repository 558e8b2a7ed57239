//! From the parsed query to the algebra: names are resolved, `*` is expanded, derived tables and CTEs dissolve into the
//! blocks that read them.

mod aggregate;
mod asof;
mod call;
mod expr;
mod from;
mod grouping;
mod nested;
mod pivot;
mod pivot_groups;
mod query;
mod recursion;
mod relation;
mod rows;
mod scope;
mod select;

use std::collections::HashMap;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::algebra::{Arena, Block, Col, ColSet, ExprId, Query, Sym, TableId, TableInfo};
use super::facts::FactSet;
use super::types::Type;
use super::{Dialect, Schema};
use scope::Scope;

/// The name of the column that stands for all columns of a table whose columns are not known; no identifier is like it.
pub(crate) const STAR: &str = "\u{1}*";
/// The call that stands for all fields of a value.
const FIELDS: &str = "fields of";

/// Queries nested deeper than this are not read.
const MAX_QUERY_DEPTH: usize = 24;
/// Expressions nested deeper than this are not read.
const MAX_EXPR_DEPTH: usize = 64;
/// More reads of tables than this (CTEs count once for each use) are not compared.
const MAX_SCANS: usize = 400;

/// Why a query cannot be bound to the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindFault {
    /// A table that the schema does not have.
    #[error("table {name} is not in the schema")]
    MissingTable {
        /// As written.
        name: String,
    },
    /// A column that none of the tables in scope has.
    #[error("column {name} does not exist in {}", if .tables.is_empty() { "any table of the query".to_owned() } else { .tables.join(", ") })]
    MissingColumn {
        /// As written.
        name: String,
        /// Tables that were looked into.
        tables: Vec<String>,
    },
    /// A column name that several tables in scope have.
    #[error("column {name} is ambiguous: {} have it", .tables.join(" and "))]
    AmbiguousColumn {
        /// As written.
        name: String,
        /// Tables that have it.
        tables: Vec<String>,
    },
    /// A column outside an aggregate that is not grouped by.
    #[error("column {name} is neither grouped by nor inside an aggregate")]
    NotGrouped {
        /// The column.
        name: String,
    },
    /// Something that is not read.
    #[error("{what} is not understood")]
    Unsupported {
        /// What it is.
        what: String,
    },
    /// Too large or too deep.
    #[error("the query is too large to be compared")]
    TooLarge,
}

impl BindFault {
    /// A construct that is not read.
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    /// Whether a database with exactly this schema would refuse the query.
    pub fn cannot_run(&self) -> bool {
        matches!(self, Self::MissingColumn { .. } | Self::AmbiguousColumn { .. } | Self::NotGrouped { .. })
    }
}

type Result<T> = std::result::Result<T, BindFault>;

// rule: names
/// Binds a query to a schema and turns it into the algebra.
///
/// # Errors
/// See [`BindFault`].
pub fn lower(
    query: &sqlparser::ast::Query,
    schema: &Schema,
    facts: &FactSet,
    dialect: Dialect,
) -> Result<(Arena, Query)> {
    let mut lowerer = Lowerer {
        arena: Arena::new(dialect),
        schema,
        facts,
        dialect,
        ctes: Vec::new(),
        cte_head: None,
        scopes: Vec::new(),
        table_ids: HashMap::new(),
        query_depth: 0,
        expr_depth: 0,
        parameters: 0,
        recursions: Vec::new(),
        scans_apart: 0,
        orders: Orders::default(),
        as_values: false,
    };
    let lowered = lowerer.query(query)?;
    // rule: order-below
    if lowerer.orders.below && lowerer.orders.taken {
        return Err(BindFault::unsupported("what is taken in the order of a subquery"));
    }
    if lowerer.arena.overflow {
        return Err(BindFault::TooLarge);
    }
    Ok((lowerer.arena, lowered))
}

#[derive(Clone)]
struct CteEntry<'a> {
    name: String,
    cte: &'a sqlparser::ast::Cte,
    previous: Option<usize>,
    scope_depth: usize,
    used: bool,
    recursive: bool,
}

struct Lowerer<'a> {
    arena: Arena,
    schema: &'a Schema,
    facts: &'a FactSet,
    dialect: Dialect,
    ctes: Vec<CteEntry<'a>>,
    cte_head: Option<usize>,
    scopes: Vec<Scope<'a>>,
    table_ids: HashMap<String, TableId>,
    query_depth: usize,
    expr_depth: usize,
    /// Parameters of the lambdas that are open.
    parameters: usize,
    /// Recursive CTEs that are open.
    recursions: Vec<Recursion>,
    /// Reads of tables inside made tables, made tables, and copies of rows for grouping sets.
    scans_apart: usize,
    orders: Orders,
    /// The rows of the next SELECT are values and no columns.
    as_values: bool,
}

/// An ORDER BY of a subquery says nothing of the rows above it, but databases keep to it where nothing else is said there.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// A subquery has an ORDER BY without LIMIT.
    below: bool,
    /// A LIMIT, window function or aggregate takes rows in an order that is not said.
    taken: bool,
}

/// A recursive CTE while its own query is read.
#[derive(Clone)]
struct Recursion {
    /// The CTE.
    cte: usize,
    /// Its columns.
    columns: Vec<String>,
}

impl Lowerer<'_> {
    /// Folds an identifier by the rule of the dialect: names that are the same to the database get the same text.
    fn fold(&self, ident: &Ident) -> String {
        fold(self.dialect, ident)
    }

    /// The last part of a name, folded.
    fn last_part(&self, name: &ObjectName) -> Result<String> {
        match name.0.last() {
            Some(ObjectNamePart::Identifier(ident)) => Ok(self.fold(ident)),
            _ => Err(BindFault::unsupported(format!("the name {name}"))),
        }
    }

    /// A column for the value of an expression over a block's rows.
    fn new_col(&mut self, name: Sym, expr: ExprId, block: &Block) -> Col {
        let data_type = self.arena.type_of(expr);
        let nullable = self.may_be_null(expr, block);
        self.arena.new_col(name, data_type, nullable)
    }

    /// Whether an expression over a block's rows may be NULL: outer joins of the block count, and columns from outside it,
    /// of which nothing is known here.
    fn may_be_null(&mut self, expr: ExprId, block: &Block) -> bool {
        let own = self.arena.visible_set(block);
        if self.arena.columns_of(expr).iter().any(|col| !own.contains(col)) {
            return true;
        }
        let mut extended = ColSet::default();
        self.arena.extended(block, &mut extended);
        self.arena.nullable(expr, &extended)
    }

    /// A name that tells relations apart: the schema's, and in front of it what the query has in front and the schema lacks.
    fn written(&self, parts: &[ObjectNamePart], start: usize, key: &str) -> String {
        let mut front: Vec<String> = parts[..start]
            .iter()
            .map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| self.fold(ident)))
            .collect();
        // Where a name without schema is looked up.
        if self.dialect == Dialect::DuckDb && (front == ["main"] || front == ["memory", "main"]) {
            front.clear();
        }
        front.push(key.to_ascii_lowercase());
        front.join(".")
    }

    /// The table with this name, from the schema.
    fn table(&mut self, name: &ObjectName) -> Result<TableId> {
        let mut parts = Vec::with_capacity(name.0.len());
        for part in &name.0 {
            match part {
                ObjectNamePart::Identifier(ident) => parts.push(ident.value.as_str()),
                ObjectNamePart::Function(_) => {
                    return Err(BindFault::unsupported(format!("the name {name}")));
                }
            }
        }
        for start in 0..parts.len() {
            let joined = parts[start..].join(".");
            if let Some((key, table)) = self.schema.table(&joined) {
                let written = self.written(&name.0, start, key);
                if let Some(id) = self.table_ids.get(&written) {
                    return Ok(*id);
                }
                let mut folded = self.arena.sym(&key.to_ascii_lowercase());
                let written_sym = self.arena.sym(&written);
                // Two relations that the schema's one name may stand for: the second goes by its own.
                if self.arena.tables.iter().any(|other| other.name == folded) {
                    folded = written_sym;
                }
                let columns: Vec<(Sym, Type)> = table
                    .columns
                    .iter()
                    .map(|(column, info)| {
                        (
                            self.arena.sym(&column.to_ascii_lowercase()),
                            Type::parse(&info.data_type, self.dialect),
                        )
                    })
                    .collect();
                let facts = self.facts.of_table(key, &columns, &self.arena);
                let open = columns.is_empty();
                let id = TableId(self.arena.tables.len() as u32);
                let info =
                    TableInfo { name: folded, written: written_sym, columns, open, facts, made: false };
                self.arena.tables.push(info);
                self.table_ids.insert(written, id);
                return Ok(id);
            }
        }
        Err(BindFault::MissingTable { name: name.to_string() })
    }
}

/// Folds an identifier by the rule of the dialect.
pub(crate) fn fold(dialect: Dialect, ident: &Ident) -> String {
    let lower = ident.value.to_ascii_lowercase();
    if ident.quote_style.is_none() {
        return lower;
    }
    let plain = match dialect {
        Dialect::Postgres => ident.value == lower,
        Dialect::Snowflake => ident.value == ident.value.to_ascii_uppercase(),
        _ => true,
    };
    if plain { lower } else { format!("\"{}", ident.value) }
}

#[cfg(test)]
mod tests;
