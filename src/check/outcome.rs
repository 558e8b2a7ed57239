//! What a check says. Pure data, shared with `score`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The checks, in the order in which the first failure is reported.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// The answer keeps to the contract.
    Contract,
    /// The model has the name that was asked for.
    Name,
    /// Nothing in it reaches outside: files, environment, network, other relations.
    Safety,
    /// Only approved refs and sources are read.
    Sources,
    /// The schema YAML parses and documents this model.
    Yaml,
    /// The required tests are declared, unweakened.
    RequiredTests,
    /// Lint (advisory: never decides pass or fail).
    Lint,
    /// dbt compiles it.
    Compile,
    /// dbt builds it.
    Run,
    /// Its dbt tests ran and pass.
    Tests,
    /// Output columns: names and types.
    Columns,
    /// Output rows, as a multiset.
    Rows,
    /// An incremental model built twice is the same as built once.
    Idempotent,
    /// Materialized as asked.
    Materialization,
    /// No personal data is exposed.
    Pii,
}

impl CheckId {
    /// All checks in reporting order.
    pub const ALL: [Self; 15] = [
        Self::Contract,
        Self::Name,
        Self::Safety,
        Self::Sources,
        Self::Yaml,
        Self::RequiredTests,
        Self::Lint,
        Self::Compile,
        Self::Run,
        Self::Tests,
        Self::Columns,
        Self::Rows,
        Self::Idempotent,
        Self::Materialization,
        Self::Pii,
    ];

    /// The id in reports and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Name => "name",
            Self::Safety => "safety",
            Self::Sources => "sources",
            Self::Yaml => "yaml",
            Self::RequiredTests => "required_tests",
            Self::Lint => "lint",
            Self::Compile => "compile",
            Self::Run => "run",
            Self::Tests => "tests",
            Self::Columns => "columns",
            Self::Rows => "rows",
            Self::Idempotent => "idempotent",
            Self::Materialization => "materialization",
            Self::Pii => "pii",
        }
    }

    /// Advisory checks are shown but decide nothing.
    pub fn is_advisory(self) -> bool {
        self == Self::Lint
    }
}

impl std::fmt::Display for CheckId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The four outcomes of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Nothing wrong.
    Passed,
    /// The candidate is at fault; the findings say why.
    Failed,
    /// Does not apply, or an earlier failure makes it pointless; the finding says which.
    Skipped,
    /// The harness or the infrastructure could not decide. Never counted against a prompt.
    Errored,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Stable class, e.g. `unapproved_source`, `missing_ref`, `truncated`.
    pub class: String,
    /// What is wrong, in words.
    pub message: String,
    /// Where: `sql:3:15`, `yaml:7`, `/tests/2` (JSON pointer into the answer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

impl Finding {
    /// A finding without a place.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into(), place: None }
    }

    /// The same finding at a place.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }
}

/// How many small errors in the golden, of those that change its rows, a candidate's tests notice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MutationScore {
    /// Errors on whose rows a test fails.
    pub noticed: u64,
    /// Errors that were tried.
    pub mutants: u64,
    /// Errors that no test notices, by the class that a wrong model of this kind has.
    pub missed: BTreeMap<String, u64>,
    /// Tests that notice none.
    pub vacuous: Vec<String>,
}

/// What another engine says about the same candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Audit {
    /// The other engine.
    pub engine: String,
    /// Where the two do not say the same; empty when they agree.
    pub disagreements: Vec<Disagreement>,
}

/// A check on which two engines differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Disagreement {
    /// Which check.
    pub check: CheckId,
    /// The outcome that counts, with the class of its first finding.
    pub judged: String,
    /// That of the other engine.
    pub other: String,
}

impl Audit {
    /// Compares what two engines say, check by check. What either could not decide, or skipped for that, is no disagreement;
    /// nor is which limit of time ended a candidate first: that depends on how busy the machine is.
    pub fn compare(engine: &str, judged: &[CheckResult], other: &[CheckResult]) -> Self {
        let said = |result: &CheckResult| match (result.outcome, result.findings.first()) {
            (Outcome::Failed, Some(finding)) => format!("failed ({})", finding.class),
            (Outcome::Failed, None) => "failed".to_owned(),
            (Outcome::Passed, _) => "passed".to_owned(),
            (Outcome::Skipped, _) => "skipped".to_owned(),
            (Outcome::Errored, _) => "errored".to_owned(),
        };
        let is_decided = |result: &CheckResult, all: &[CheckResult]| match result.outcome {
            Outcome::Errored => false,
            Outcome::Skipped => all.iter().all(|result| result.outcome != Outcome::Errored),
            Outcome::Passed | Outcome::Failed => true,
        };
        let (all_judged, all_other) = (judged, other);
        let disagreements = judged.iter().filter_map(|judged| {
            let other = other.iter().find(|other| other.check == judged.check)?;
            let decided = is_decided(judged, all_judged) && is_decided(other, all_other);
            let (judged_said, other_said) = (said(judged), said(other));
            let timed_out = |said: &str| matches!(said, "failed (timeout)" | "failed (resource_limit)");
            let alike = judged_said == other_said || timed_out(&judged_said) && timed_out(&other_said);
            (decided && !alike).then_some(Disagreement {
                check: judged.check,
                judged: judged_said,
                other: other_said,
            })
        });
        Self { engine: engine.to_owned(), disagreements: disagreements.collect() }
    }
}

/// The result of one check on one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CheckResult {
    /// Which check.
    pub check: CheckId,
    /// What it says.
    pub outcome: Outcome,
    /// Why.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Wall time, seconds.
    pub seconds: f64,
}

impl CheckResult {
    /// Passed, without findings.
    pub fn passed(check: CheckId) -> Self {
        Self { check, outcome: Outcome::Passed, findings: Vec::new(), seconds: 0.0 }
    }

    /// Failed with findings, or passed when there are none.
    pub fn from_findings(check: CheckId, findings: Vec<Finding>) -> Self {
        let outcome = if findings.is_empty() { Outcome::Passed } else { Outcome::Failed };
        Self { check, outcome, findings, seconds: 0.0 }
    }

    /// Adds findings, which make it fail.
    pub fn add(&mut self, findings: &[Finding]) {
        if !findings.is_empty() {
            if self.outcome == Outcome::Skipped {
                self.findings.clear();
            }
            self.outcome = Outcome::Failed;
            self.findings.extend_from_slice(findings);
        }
    }

    /// Skipped, with the reason.
    pub fn skipped(check: CheckId, reason: impl Into<String>) -> Self {
        Self {
            check,
            outcome: Outcome::Skipped,
            findings: vec![Finding::new("skipped", reason)],
            seconds: 0.0,
        }
    }

    /// Errored, with the class and the cause.
    pub fn errored(check: CheckId, class: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { check, outcome: Outcome::Errored, findings: vec![Finding::new(class, cause)], seconds: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_decided_is_no_disagreement() {
        let failed = |check| CheckResult::from_findings(check, vec![Finding::new("timeout", "stopped")]);
        let judged = [CheckResult::passed(CheckId::Compile), failed(CheckId::Run)];
        let busy = [
            CheckResult::errored(CheckId::Compile, "infra", "too busy"),
            CheckResult::skipped(CheckId::Run, "an earlier step did not pass"),
        ];
        assert_eq!(Audit::compare("v1", &judged, &busy).disagreements, []);
        let sooner =
            CheckResult::from_findings(CheckId::Run, vec![Finding::new("resource_limit", "stopped")]);
        let sooner = [CheckResult::passed(CheckId::Compile), sooner];
        assert_eq!(Audit::compare("v1", &judged, &sooner).disagreements, []);
        let other = [CheckResult::passed(CheckId::Compile), CheckResult::passed(CheckId::Run)];
        let found = Audit::compare("v1", &judged, &other).disagreements;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].check, found[0].judged.as_str()), (CheckId::Run, "failed (timeout)"));
    }
}
