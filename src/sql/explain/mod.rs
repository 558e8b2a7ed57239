//! What differs between two queries, in the words of a reviewer.

mod conditions;
mod diff;
mod expr;
mod lower;
mod merge;
mod outline;
mod pair;
mod scope;
mod term;
mod words;

use super::parse::parse_query;
use super::verdict::Change;
use super::{Dialect, Schema};
use lower::Lower;

/// The differences and how alike the two are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explanation {
    /// Differences, most important first; one of clause `cosmetic` when there are none but the texts differ.
    pub changes: Vec<Change>,
    /// Similarity, 0 to 1: a weighted mean over clauses. Never decides a verdict.
    pub similarity: f64,
}

/// Explains how the candidate differs from the golden, both rendered SQL. `None` when one of them is not readable.
///
/// The explanation is made to be read, not to decide: no difference found does not mean that there is none.
pub fn explain(golden: &str, candidate: &str, schema: &Schema, dialect: Dialect) -> Option<Explanation> {
    let outline =
        |sql: &str| parse_query(sql, dialect).ok().map(|query| Lower::new(schema).query(&query, None));
    let (golden_rel, candidate_rel) = (outline(golden)?, outline(candidate)?);
    let mut explanation = diff::diff(&golden_rel, &candidate_rel);
    if explanation.changes.is_empty() && golden != candidate {
        explanation.changes.push(words::cosmetic());
    }
    Some(explanation)
}

/// The output columns that a query's text tells, in order and in lower case; `None` where it does not tell all of them.
pub fn columns(sql: &str, dialect: Dialect) -> Option<Vec<String>> {
    let query = parse_query(sql, dialect).ok()?;
    Lower::new(&Schema::default()).query(&query, None).names()
}

/// What is said where there is no difference: `restructured` when more than the spelling differs.
pub fn cosmetic(restructured: bool) -> Change {
    let mut change = words::cosmetic();
    if restructured {
        "the query is written otherwise and means the same".clone_into(&mut change.message);
    }
    change
}
