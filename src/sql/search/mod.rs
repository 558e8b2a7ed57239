//! The search for rows that tell two queries apart.
//!
//! [`Search`] is a state machine without side effects: it hands out DuckDB scripts, takes what DuckDB printed, and ends
//! with a `Comparison`. It fills the tables that the queries read in many ways (aimed at the constants, joins and
//! row counts of both queries, within keys, nullability and foreign keys), runs both queries on each, compares the
//! results as bags, and shrinks what differs to a few rows.
//!
//! A query of another dialect is executed as DuckDB spells what it means there, or not at all (`dialects`).
//!
//! What counts as evidence: both queries ran; each returns the same bag when the rows of its tables come in another
//! order (so that ties, an unordered LIMIT or `first` decide nothing); the final script was run as it is shown. A query
//! that fails at run time on some rows proves nothing. `agrees` needs a database on which a result was not empty.

mod aims;
mod counterexample;
mod database;
mod dialects;
mod distance;
mod generate;
mod machine;
mod mutants;
mod reading;
mod script;
mod shape;
mod shrink;
mod telling;
mod ties;
mod values;

use std::collections::BTreeMap;

pub use machine::{Search, Step};
pub use mutants::mutants;

/// What a search is given besides the queries and the schema.
#[derive(Debug, Clone, Default)]
pub struct SearchOptions {
    /// The dialect of the queries. DuckDB executes what they mean in it.
    pub dialect: super::Dialect,
    /// Output columns match by name (without case) instead of by position.
    pub by_name: bool,
    /// The project's own rows by table of the schema; cells in the order of the table's columns, as DuckDB prints them.
    pub own_rows: BTreeMap<String, Vec<Vec<Option<String>>>>,
    /// How many databases to try; 0 means the default.
    pub databases: usize,
    /// Whether it matters, where nothing is found, which mutants of the golden the databases would have told from it.
    pub adequacy: bool,
}
