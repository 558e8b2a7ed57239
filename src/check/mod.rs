//! Judging a candidate: one file a check, in the order in which the first failure is reported.
//!
//! [`Judge::assess`] runs them all. What can be seen without running anything comes first (contract, name, safety,
//! sources, YAML, tests, the SQL's meaning); a candidate that is unsafe is never given to dbt.

mod alone;
pub mod build;
pub mod built;
pub mod contract;
pub mod golden;
mod idempotent;
mod judge;
mod late;
pub mod lint;
pub mod materialization;
pub mod meaning;
mod mutation;
pub mod name;
pub mod outcome;
pub mod pii;
pub mod request;
pub mod required_tests;
pub mod safety;
pub mod sources;
pub mod yaml;

use crate::generate::answers::Answer;
use crate::generate::contract::Candidate;
use crate::sql::Comparison;
use crate::suite::Case;

pub use judge::{Judge, existing_tools};
pub use outcome::{Audit, CheckId, CheckResult, Finding, MutationScore, Outcome};

/// What is known about one answer after all checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// Checks in reporting order.
    pub checks: Vec<CheckResult>,
    /// The SQL verdict against the golden; `None` when no SQL could be extracted.
    pub golden: Option<Comparison>,
    /// The candidate; `None` when the answer breaks the contract.
    pub candidate: Option<Candidate>,
    /// The engine that built it; `None` when it was not built.
    pub engine: Option<&'static str>,
    /// What another engine says, where it was asked.
    pub audit: Option<Audit>,
    /// How much its tests notice, where that was measured.
    pub mutation: Option<MutationScore>,
}

impl Assessment {
    /// One check's result, everything else skipped because of it.
    pub fn only(result: CheckResult) -> Self {
        let reason = format!(
            "`{}` {}",
            result.check,
            if result.outcome == Outcome::Errored { "errored" } else { "failed" }
        );
        let mut checks: Vec<CheckResult> = CheckId::ALL
            .into_iter()
            .filter(|&check| check != result.check)
            .map(|check| CheckResult::skipped(check, reason.clone()))
            .collect();
        checks.push(result);
        checks.sort_by_key(|result| result.check);
        Self { checks, golden: None, candidate: None, engine: None, audit: None, mutation: None }
    }
}

/// Somebody who judges answers: [`Judge`], or a fake in tests of the runner.
pub trait Assess: Send + Sync + 'static {
    /// Runs every check on an answer.
    fn assess(&self, case: &Case, answer: &Answer) -> impl Future<Output = Assessment> + Send;
}
