//! What became of a candidate, step by step.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Workspace;
use super::classify::{self, Failure, FailureClass};
use crate::check::outcome::Outcome;
use crate::dbt::facts::Relation;
use crate::sql::policy::Violation;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Passed, failed, skipped or errored.
    pub outcome: Outcome,
    /// The class of the failure.
    pub class: Option<FailureClass>,
    /// In words; empty when passed.
    pub message: String,
    /// Seconds that dbt spent on it.
    pub seconds: f64,
}

impl Step {
    pub(super) fn passed(seconds: f64) -> Self {
        Self { outcome: Outcome::Passed, class: None, message: String::new(), seconds }
    }

    pub(super) fn skipped(message: &str) -> Self {
        Self { outcome: Outcome::Skipped, class: None, message: message.into(), seconds: 0.0 }
    }

    pub(super) fn failed(failure: Failure, seconds: f64) -> Self {
        let outcome = match failure.class.is_infrastructure() {
            true => Outcome::Errored,
            false => Outcome::Failed,
        };
        Self { outcome, class: Some(failure.class), message: failure.message, seconds }
    }
}

/// A test of the candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestOutcome {
    /// dbt's unique id.
    pub unique_id: String,
    /// Name: `unique`, `accepted_values`, or that of a singular or unit test.
    pub name: String,
    /// Column, where it has one.
    pub column: Option<String>,
    /// Failing rows.
    pub failures: Option<i64>,
    /// The query that dbt compiled, which finds the failing rows; only of a data test of the model that stops a build when it finds one.
    pub sql: Option<String>,
    /// How it ended.
    pub step: Step,
}

/// What became of a candidate.
#[derive(Debug)]
pub struct BuildReport {
    /// dbt parsed and compiled it.
    pub compile: Step,
    /// dbt built it, and its relation is there.
    pub run: Step,
    /// All of its tests ran and pass; skipped when it has none.
    pub tests: Step,
    /// Each test that was declared for the model.
    pub test_outcomes: Vec<TestOutcome>,
    /// The SQL that dbt compiled.
    pub compiled_sql: Option<String>,
    /// Quoted relation.
    pub relation: Option<String>,
    /// Columns of the relation: name and type.
    pub columns: Vec<(String, String)>,
    /// Materialization that dbt used.
    pub materialized: Option<String>,
    /// What the model reads.
    pub depends_on: Vec<Relation>,
    /// What its compiled SQL does beyond reading relations: it is not run, or what was run does not count.
    pub violations: Vec<Violation>,
    /// Relations that its compiled SQL reads though dbt does not know that it does.
    pub unknown_relations: Vec<String>,
    /// Database after the (first) build; there as long as `workspace` is. `None` when nothing was built.
    pub database: Option<PathBuf>,
    /// The second build of an incremental model.
    pub second_run: Option<SecondRun>,
    /// How often it was tried: 2 after an infrastructure fault.
    pub attempts: u32,
    /// The engine that judged.
    pub engine: &'static str,
    /// Holds the files; `None` when there are none.
    pub workspace: Option<Workspace>,
}

/// The second build of an incremental model.
#[derive(Debug, Clone)]
pub struct SecondRun {
    /// How it ended.
    pub run: Step,
    /// The SQL that dbt compiled for it: the incremental query.
    pub compiled_sql: Option<String>,
    /// Database after it.
    pub database: PathBuf,
}

impl BuildReport {
    /// A build that ended before dbt could say anything about the model.
    pub(super) fn stopped(gate: classify::Gate, failure: Failure, engine: &'static str) -> Self {
        let step = Step::failed(failure, 0.0);
        let before = Step::skipped("an earlier step did not pass");
        let (compile, run, tests) = match gate {
            classify::Gate::Compile => (step, before.clone(), before),
            classify::Gate::Run => (Step::passed(0.0), step, before),
            classify::Gate::Tests => (Step::passed(0.0), Step::passed(0.0), step),
        };
        Self {
            compile,
            run,
            tests,
            test_outcomes: Vec::new(),
            compiled_sql: None,
            relation: None,
            columns: Vec::new(),
            materialized: None,
            depends_on: Vec::new(),
            violations: Vec::new(),
            unknown_relations: Vec::new(),
            database: None,
            second_run: None,
            attempts: 1,
            engine,
            workspace: None,
        }
    }

    /// A candidate whose compiled SQL may not be run.
    pub(super) fn refused(violations: Vec<Violation>, engine: &'static str) -> Self {
        let message = violations.first().map_or("", |violation| &violation.message);
        let message = format!("as dbt compiles it, it is not safe to run: {message}");
        let failure = Failure::new(FailureClass::PolicyViolation, message);
        Self { violations, ..Self::stopped(classify::Gate::Run, failure, engine) }
    }

    /// Whether the infrastructure, not the candidate, decided a step.
    pub fn is_errored(&self) -> bool {
        self.steps().any(|step| step.outcome == Outcome::Errored)
    }

    /// Whether another attempt may decide what this one could not.
    pub fn is_undecided(&self) -> bool {
        self.steps().any(|step| step.class.is_some_and(FailureClass::is_transient))
    }

    /// Whether it ran into a limit of time or memory.
    pub fn was_stopped(&self) -> bool {
        let limits = [FailureClass::Timeout, FailureClass::ResourceLimit];
        self.steps().any(|step| step.class.is_some_and(|class| limits.contains(&class)))
    }

    pub(super) fn was_killed(&self) -> bool {
        self.steps().any(|step| step.class == Some(FailureClass::Killed))
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        let second = self.second_run.as_ref().map(|second| &second.run);
        [Some(&self.compile), Some(&self.run), Some(&self.tests), second].into_iter().flatten()
    }
}
