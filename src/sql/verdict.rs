//! What is said about two models: five verdicts, the rung that decided, and the evidence.

use serde::{Deserialize, Serialize};

/// The five verdicts, and no more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The same text, or the same AST but for cosmetics.
    Identical,
    /// Proved equal; [`Comparison::facts`] lists what the proof rests on.
    Equivalent,
    /// The same rows on every database tried; not proved.
    Agrees,
    /// Shown different: a counterexample, or a column that is missing.
    Differs,
    /// Not decided, and [`Comparison::reason`] says why.
    Unknown,
}

/// The rung of the ladder that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Text after white space and comments.
    Text,
    /// Parsed AST without cosmetics.
    Ast,
    /// Equal normal forms.
    NormalForm,
    /// Output columns.
    Shape,
    /// The project's own rows.
    Execution,
    /// Generated databases.
    Search,
}

/// The outcome of comparing two models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Comparison {
    /// What was decided.
    pub verdict: Verdict,
    /// Which rung decided.
    pub method: Method,
    /// One sentence: why, or why not.
    pub reason: String,
    /// Keys, constraints and tests that the verdict rests on, each with its origin; empty for an unconditional one.
    #[serde(default)]
    pub facts: Vec<String>,
    /// With `agrees` or `unknown`: a fact that is not declared and that would prove the pair equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_prove: Option<String>,
    /// The differences in words, most important first.
    #[serde(default)]
    pub explanation: Vec<Change>,
    /// Similarity of the two normal forms, 0 to 1; never decides a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<f64>,
    /// Rows that tell the two apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<Counterexample>,
    /// With `agrees`: what was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
}

impl Comparison {
    /// A comparison with verdict, method and reason only.
    pub fn new(verdict: Verdict, method: Method, reason: impl Into<String>) -> Self {
        Self {
            verdict,
            method,
            reason: reason.into(),
            facts: Vec::new(),
            would_prove: None,
            explanation: Vec::new(),
            similarity: None,
            counterexample: None,
            coverage: None,
        }
    }
}

/// One difference between two models, in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    /// The clause that differs: `columns`, `sources`, `joins`, `filter`, `grain`, `measures`, `windows`, `order`,
    /// `config`, `cosmetic`.
    pub clause: String,
    /// The defect class, as docs/failures.md names them (`join_type`, `fan_out`, `filter_boundary`, ...).
    pub class: String,
    /// The sentence a reviewer reads.
    pub message: String,
    /// The golden's fragment and its lines (first, last; from 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<Fragment>,
    /// The candidate's fragment and its lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Fragment>,
}

/// A piece of source text with its lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fragment {
    /// The SQL.
    pub sql: String,
    /// First and last line, from 1.
    pub lines: (usize, usize),
}

/// Rows that tell two queries apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counterexample {
    /// The input tables.
    pub tables: Vec<Rows>,
    /// What the golden (side A) returns on them.
    pub golden: Rows,
    /// What the candidate (side B) returns on them.
    pub candidate: Rows,
    /// A DuckDB script that shows it again.
    pub script: String,
}

/// A small table; cells as DuckDB prints them, `None` for NULL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rows {
    /// Table name; empty for a result.
    pub name: String,
    /// Column names.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<Option<String>>>,
}

/// What a search that found nothing had tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Coverage {
    /// Databases on which both queries ran.
    pub databases: usize,
    /// Of these, databases on which a result was not empty.
    pub non_empty: usize,
    /// Mutants of the golden that the databases tell apart from it.
    pub mutants_killed: usize,
    /// Mutants of the golden that were tried.
    pub mutants: usize,
}
