//! The contract: what an answer must be, and the candidate that is extracted from one that keeps to it.

use serde::{Deserialize, Serialize};

/// The model SQL, YAML, tests and notes extracted from an answer that keeps to the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Name of the model, `^[a-z0-9_]+$`.
    pub model_name: String,
    /// dbt SQL of the model.
    pub sql: String,
    /// Schema YAML that documents and tests it.
    pub schema_yaml: String,
    /// Further tests in the contract's syntax, at most ten.
    pub tests: Vec<String>,
    /// Assumptions and risks for the reviewer.
    pub review_notes: Vec<String>,
}
