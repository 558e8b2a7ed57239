//! From outcomes to a status, a score and counts. Pure.
//!
//! - **Status**: failed where a check failed; else errored where a check could not decide; else passed where a check
//!   passed; else skipped. Advisory checks (lint) change nothing. So an infrastructure fault is never counted against
//!   a prompt, and it cannot hide a failure that was seen.
//! - **First failed**: the first failed check in reporting order.
//! - **Score**: see [`score`]. For reading only; no gate looks at it.

mod summary;

use serde::{Deserialize, Serialize};

pub use self::summary::{Cost, Latency, Price, PromptScore, Tally, Tokens, slices};
use crate::check::outcome::{Audit, CheckId, CheckResult, MutationScore, Outcome};
use crate::generate::answers::{ToolCallRecord, Usage};
use crate::sql::Comparison;

/// The status of a result. `errored` means that it could not be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every check that applies passed, and what the SQL means was decided.
    Passed,
    /// A check failed.
    Failed,
    /// The infrastructure failed before anything decided against the candidate.
    Errored,
    /// Not decided: no answer for this case and prompt, or no tool that could tell what the SQL means.
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
    /// The raw text of the answer, where no candidate could be extracted from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Tool calls that the model made on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallRecord>,
    /// `stop`, `length`, `refusal`, ...: how the answer ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// `exec`, `v1`, `v2`: the engine that built it; absent when it was not built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What another engine says, where the run asked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// How many small errors in the golden its tests notice; absent where that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<MutationScore>,
}

impl CaseResult {
    /// A result from its checks, which are put into reporting order; the rest is left for the caller to fill in.
    pub fn new(
        case: impl Into<String>,
        prompt: impl Into<String>,
        trial: u32,
        mut checks: Vec<CheckResult>,
    ) -> Self {
        checks.sort_by_key(|c| c.check);
        Self {
            case: case.into(),
            prompt: prompt.into(),
            trial,
            status: status(&checks),
            first_failed: first_failed(&checks).map(|c| c.check),
            score: score(&checks),
            checks,
            golden: None,
            usage: None,
            latency_ms: None,
            tags: Vec::new(),
            cluster: None,
            candidate_sql: None,
            candidate_yaml: None,
            review_notes: Vec::new(),
            answer: None,
            tool_calls: Vec::new(),
            finish_reason: None,
            engine: None,
            audit: None,
            mutation: None,
        }
    }

    /// The first failed check, with its findings.
    pub fn first_failed_check(&self) -> Option<&CheckResult> {
        first_failed(&self.checks)
    }

    /// The first check that could not decide.
    pub fn first_errored_check(&self) -> Option<&CheckResult> {
        deciding(&self.checks).filter(|c| c.outcome == Outcome::Errored).min_by_key(|c| c.check)
    }
}

/// Whether nothing said what the SQL means: no proof, and no rows. All other checks together do not make a model right.
fn is_undecided(checks: &[CheckResult]) -> bool {
    checks.iter().any(|c| c.check == CheckId::Rows && c.outcome == Outcome::Skipped)
}

/// The status that a set of checks amounts to.
pub fn status(checks: &[CheckResult]) -> Status {
    let any = |outcome| deciding(checks).any(|c| c.outcome == outcome);
    if any(Outcome::Failed) {
        Status::Failed
    } else if any(Outcome::Errored) {
        Status::Errored
    } else if any(Outcome::Passed) && !is_undecided(checks) {
        Status::Passed
    } else {
        Status::Skipped
    }
}

/// The weighted share of checks passed, 0 to 1; `None` where nothing was decided.
///
/// Weights ([`weight`]): `rows` 6; `safety`, `sources`, `compile`, `run`, `tests`, `columns`, `idempotent`, `pii` 2;
/// the others 1; advisory checks 0. An answer that breaks the contract scores 0. Where safety, compile or run failed,
/// the checks of the built model that had to be skipped count as not passed. Errored checks are left out.
pub fn score(checks: &[CheckResult]) -> Option<f64> {
    if checks.iter().any(|c| c.check == CheckId::Contract && c.outcome == Outcome::Failed) {
        return Some(0.0);
    }
    let build_stopped = checks.iter().any(|c| {
        matches!(c.check, CheckId::Safety | CheckId::Compile | CheckId::Run) && c.outcome == Outcome::Failed
    });
    let needs_build = |check| {
        matches!(check, CheckId::Compile | CheckId::Run | CheckId::Tests | CheckId::Columns | CheckId::Rows)
    };
    let (mut passed, mut all) = (0.0, 0.0);
    for result in deciding(checks) {
        let weight = weight(result.check);
        match result.outcome {
            Outcome::Passed => {
                passed += weight;
                all += weight;
            }
            Outcome::Failed => all += weight,
            Outcome::Skipped if build_stopped && needs_build(result.check) => all += weight,
            Outcome::Skipped | Outcome::Errored => {}
        }
    }
    (all > 0.0).then(|| passed / all)
}

/// How much a check counts in [`score`].
pub fn weight(check: CheckId) -> f64 {
    match check {
        CheckId::Rows => 6.0,
        CheckId::Safety
        | CheckId::Sources
        | CheckId::Compile
        | CheckId::Run
        | CheckId::Tests
        | CheckId::Columns
        | CheckId::Idempotent
        | CheckId::Pii => 2.0,
        CheckId::Contract
        | CheckId::Name
        | CheckId::Yaml
        | CheckId::RequiredTests
        | CheckId::Materialization => 1.0,
        CheckId::Lint => 0.0,
    }
}

fn deciding(checks: &[CheckResult]) -> impl Iterator<Item = &CheckResult> {
    checks.iter().filter(|c| !c.check.is_advisory())
}

fn first_failed(checks: &[CheckResult]) -> Option<&CheckResult> {
    deciding(checks).filter(|c| c.outcome == Outcome::Failed).min_by_key(|c| c.check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::outcome::Finding;

    fn failed(check: CheckId) -> CheckResult {
        CheckResult::from_findings(check, vec![Finding::new("class", "message")])
    }

    fn errored(check: CheckId) -> CheckResult {
        CheckResult::errored(check, "timeout", "dbt was stopped after 60 s")
    }

    #[test]
    fn a_failure_that_was_seen_is_not_hidden_by_an_error() {
        let result = CaseResult::new("c", "v1", 0, vec![errored(CheckId::Run), failed(CheckId::Sources)]);
        assert_eq!((result.status, result.first_failed), (Status::Failed, Some(CheckId::Sources)));
        let order: Vec<CheckId> = result.checks.iter().map(|c| c.check).collect();
        assert_eq!(order, [CheckId::Sources, CheckId::Run]);
    }

    #[test]
    fn an_error_is_not_a_failure() {
        let result = CaseResult::new(
            "c",
            "v1",
            0,
            vec![CheckResult::passed(CheckId::Contract), errored(CheckId::Run)],
        );
        assert_eq!((result.status, result.first_failed), (Status::Errored, None));
        assert_eq!(result.first_errored_check().map(|c| c.check), Some(CheckId::Run));
    }

    #[test]
    fn lint_decides_nothing() {
        let lint =
            CaseResult::new("c", "v1", 0, vec![CheckResult::passed(CheckId::Rows), failed(CheckId::Lint)]);
        assert_eq!((lint.status, lint.first_failed, lint.score), (Status::Passed, None, Some(1.0)));
        let broken_linter =
            CaseResult::new("c", "v1", 0, vec![CheckResult::passed(CheckId::Rows), errored(CheckId::Lint)]);
        assert_eq!(broken_linter.status, Status::Passed);
    }

    #[test]
    fn nothing_judged_is_skipped_and_has_no_score() {
        let none = CaseResult::new("c", "v1", 0, vec![]);
        assert_eq!((none.status, none.score), (Status::Skipped, None));
        let skipped =
            CaseResult::new("c", "v1", 0, vec![CheckResult::skipped(CheckId::Contract, "no answer")]);
        assert_eq!(skipped.status, Status::Skipped);
        let undecided = vec![
            CheckResult::passed(CheckId::Contract),
            CheckResult::skipped(CheckId::Rows, "dbt is not run"),
        ];
        assert_eq!(CaseResult::new("c", "v1", 0, undecided).status, Status::Skipped);
    }

    #[test]
    fn scores() {
        let passed = CheckResult::passed;
        let all: Vec<CheckResult> = CheckId::ALL.into_iter().map(passed).collect();
        assert_eq!(score(&all), Some(1.0));

        let mut contract = all;
        contract[0] = failed(CheckId::Contract);
        assert_eq!(score(&contract), Some(0.0));

        let wrong_rows = [passed(CheckId::Compile), passed(CheckId::Run), failed(CheckId::Rows)];
        assert_eq!(score(&wrong_rows), Some(0.4));

        // Not compiled: what needs a build is lost with it. Not run at all (no dbt): it is left out.
        let skipped = |c| CheckResult::skipped(c, "not built");
        let broken = [
            passed(CheckId::Sources),
            failed(CheckId::Compile),
            skipped(CheckId::Run),
            skipped(CheckId::Rows),
        ];
        assert_eq!(score(&broken), Some(2.0 / 12.0));
        assert_eq!(score(&[passed(CheckId::Sources), skipped(CheckId::Run)]), Some(1.0));
        assert_eq!(score(&[passed(CheckId::Sources), errored(CheckId::Run)]), Some(1.0));
    }
}
