//! From outcomes to a status and a score. Pure.

use serde::{Deserialize, Serialize};

use crate::check::outcome::{CheckId, CheckResult};
use crate::generate::answers::Usage;
use crate::sql::Comparison;

/// The status of a result. `errored` means that it could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every check that applies passed.
    Passed,
    /// A check failed.
    Failed,
    /// The infrastructure failed before anything decided against the candidate.
    Errored,
    /// Nothing was judged (no answer for this case and prompt).
    Skipped,
}

/// One judged answer: a row of `results[]` in report.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CaseResult {
    /// Case id.
    pub case: String,
    /// Prompt version.
    pub prompt: String,
    /// Repeat, from 0.
    pub trial: u32,
    /// Passed, failed, errored, skipped.
    pub status: Status,
    /// The first check that failed, in reporting order.
    pub first_failed: Option<CheckId>,
    /// 0 to 1: weighted share of checks passed; presentation only, never a gate.
    pub score: Option<f64>,
    /// All checks in reporting order.
    pub checks: Vec<CheckResult>,
    /// The SQL verdict against the golden; `None` when no SQL could be extracted.
    pub golden: Option<Comparison>,
    /// Tokens, as far as known.
    pub usage: Option<Usage>,
    /// Model latency in milliseconds.
    pub latency_ms: Option<u64>,
    /// Tags of the case.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Cluster of the case (domain, model family), for cluster-aware intervals.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The candidate's model SQL, for the report's diff.
    #[serde(default)]
    pub candidate_sql: Option<String>,
    /// The candidate's schema YAML.
    #[serde(default)]
    pub candidate_yaml: Option<String>,
    /// Assumptions and risks that the model noted.
    #[serde(default)]
    pub review_notes: Vec<String>,
}
