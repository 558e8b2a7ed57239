//! The record format, version 1.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::check::outcome::CheckId;
use crate::score::{CaseResult, Price, Status};

/// The version that this program writes, and the newest that it reads.
///
/// New optional fields do not raise it: an old reader ignores them, a new reader defaults them. It is raised when an
/// old reader would misunderstand a line.
pub const FORMAT: u32 = 1;

/// What a run was: the manifest that the report and the history share. Whoever runs passes the time in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunInfo {
    /// Id, unique and sortable by time.
    pub id: String,
    /// When it began.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// Wall time, seconds.
    pub seconds: f64,
    /// Version of `assay`.
    pub assay: String,
    /// Name of the suite.
    pub suite: String,
    /// Hash over cases, specs, goldens and projects: two runs with the same one judged the same thing.
    pub suite_hash: String,
    /// `replay`, `record`, `auto`, `live`, or the answers file.
    pub mode: String,
    /// Commit of the evaluated repository.
    #[serde(default)]
    pub commit: Option<String>,
    /// Its branch.
    #[serde(default)]
    pub branch: Option<String>,
    /// Whether it had uncommitted changes.
    #[serde(default)]
    pub dirty: bool,
    /// Whether every planned result is there.
    pub complete: bool,
    /// What this run is compared with: a run, or one of its prompt versions.
    #[serde(default)]
    pub baseline: Option<String>,
    /// What was selected (`case=orders_*`, `tag=finance`); empty for everything.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Versions of the tools that judged: dbt, adapter, duckdb, sqlfluff.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// Further hashes: configuration, contract, goldens.
    #[serde(default)]
    pub hashes: BTreeMap<String, String>,
    /// What a reader has to know: faults of cases, tools that were missing.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a prompt version is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PromptInfo {
    /// Name, unique in a run.
    pub name: String,
    /// What is new in it, in a sentence.
    #[serde(default)]
    pub description: Option<String>,
    /// Provider (`openai`, `local`, `answers`, ...).
    pub provider: String,
    /// Model.
    pub model: String,
    /// Hash of everything that the prompt version sends but the case.
    pub hash: String,
    /// Price of the model, where it is configured.
    #[serde(default)]
    pub price: Option<Price>,
}

/// A line of the history: one run of one prompt version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// Version of this format.
    pub format: u32,
    /// Run id.
    pub run: String,
    /// When the run began.
    pub started: Timestamp,
    /// Name of the suite.
    pub suite: String,
    /// Hash of the suite.
    pub suite_hash: String,
    /// Prompt version.
    pub prompt: String,
    /// Hash of the prompt version.
    pub prompt_hash: String,
    /// Provider.
    pub provider: String,
    /// Model.
    pub model: String,
    /// Version of `assay`.
    pub assay: String,
    /// Commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether every planned result is there.
    pub complete: bool,
    /// Outcomes by case.
    pub cases: BTreeMap<String, CaseOutcomes>,
    /// Cluster of each case that has one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clusters: BTreeMap<String, String>,
}

impl HistoryRecord {
    /// The records of a run: one a prompt version, in the order given; results of other prompt versions are left out.
    pub fn from_run(run: &RunInfo, prompts: &[PromptInfo], results: &[CaseResult]) -> Vec<Self> {
        prompts
            .iter()
            .map(|prompt| Self {
                format: FORMAT,
                run: run.id.clone(),
                started: run.started,
                suite: run.suite.clone(),
                suite_hash: run.suite_hash.clone(),
                prompt: prompt.name.clone(),
                prompt_hash: prompt.hash.clone(),
                provider: prompt.provider.clone(),
                model: prompt.model.clone(),
                assay: run.assay.clone(),
                commit: run.commit.clone(),
                branch: run.branch.clone(),
                complete: run.complete,
                cases: outcomes(results.iter().filter(|r| r.prompt == prompt.name)),
                clusters: results
                    .iter()
                    .filter(|r| r.prompt == prompt.name)
                    .filter_map(|r| Some((r.case.clone(), r.cluster.clone()?)))
                    .collect(),
            })
            .collect()
    }

    /// Passed and judged trials by cluster.
    pub fn counts_by_cluster(&self) -> Vec<(u64, u64)> {
        by_cluster(self.cases.iter().map(|(case, outcomes)| (case, outcomes.counts())), &self.clusters)
    }
}

/// Passed and judged trials of cases, added up by cluster; a case without one is its own.
pub fn by_cluster<'a>(
    cases: impl Iterator<Item = (&'a String, (u64, u64))>,
    clusters: &'a BTreeMap<String, String>,
) -> Vec<(u64, u64)> {
    let mut sums: BTreeMap<(bool, &String), (u64, u64)> = BTreeMap::new();
    for (case, counts) in cases {
        let sum = sums.entry(cluster_of(case, clusters)).or_default();
        *sum = (sum.0 + counts.0, sum.1 + counts.1);
    }
    sums.into_values().collect()
}

/// The cluster, or the case itself.
pub fn cluster_of<'a>(case: &'a String, clusters: &'a BTreeMap<String, String>) -> (bool, &'a String) {
    clusters.get(case).map_or((false, case), |cluster| (true, cluster))
}

fn outcomes<'a>(results: impl Iterator<Item = &'a CaseResult>) -> BTreeMap<String, CaseOutcomes> {
    let mut trials: BTreeMap<String, BTreeMap<u32, TrialOutcome>> = BTreeMap::new();
    for result in results {
        let outcome = TrialOutcome { status: result.status, first_failed: result.first_failed };
        trials.entry(result.case.clone()).or_default().insert(result.trial, outcome);
    }
    trials.into_iter().map(|(case, trials)| (case, CaseOutcomes(trials.into_values().collect()))).collect()
}

/// How one trial of a case came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrialOutcome {
    /// Status.
    pub status: Status,
    /// First failed check.
    pub first_failed: Option<CheckId>,
}

/// How a case came out, trial by trial. Written as text: `p`, `f:rows`, `e`, `s`; several trials joined by commas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CaseOutcomes(pub Vec<TrialOutcome>);

impl CaseOutcomes {
    /// Passed and judged trials.
    pub fn counts(&self) -> (u64, u64) {
        let count = |status| self.0.iter().filter(|t| t.status == status).count() as u64;
        let passed = count(Status::Passed);
        (passed, passed + count(Status::Failed))
    }

    /// One letter for the case: `p` all judged trials passed, `f` all failed, `m` mixed, `e` errored, `s` skipped.
    pub fn letter(&self) -> char {
        let (passed, judged) = self.counts();
        if judged == 0 {
            return if self.0.iter().any(|t| t.status == Status::Errored) { 'e' } else { 's' };
        }
        if passed == judged {
            'p'
        } else if passed == 0 {
            'f'
        } else {
            'm'
        }
    }
}

impl fmt::Display for CaseOutcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, trial) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(match trial.status {
                Status::Passed => "p",
                Status::Failed => "f",
                Status::Errored => "e",
                Status::Skipped => "s",
            })?;
            if let Some(check) = trial.first_failed {
                write!(f, ":{check}")?;
            }
        }
        Ok(())
    }
}

impl From<CaseOutcomes> for String {
    fn from(outcomes: CaseOutcomes) -> Self {
        outcomes.to_string()
    }
}

impl TryFrom<String> for CaseOutcomes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for CaseOutcomes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(trial).collect::<Result<_, _>>().map(Self)
    }
}

fn trial(text: &str) -> Result<TrialOutcome, String> {
    let (letter, check) = match text.split_once(':') {
        Some((letter, check)) => (letter, Some(check)),
        None => (text, None),
    };
    let status = match letter {
        "p" => Status::Passed,
        "f" => Status::Failed,
        "e" => Status::Errored,
        "s" => Status::Skipped,
        _ => return Err(format!("`{text}` is not an outcome (p, f:check, e, s)")),
    };
    // A check that a later version added is no reason to lose the line.
    let first_failed = check.and_then(|name| CheckId::ALL.into_iter().find(|c| c.name() == name));
    Ok(TrialOutcome { status, first_failed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::outcome::{CheckResult, Finding};

    #[test]
    fn outcomes_round_trip_as_text() {
        for text in ["p", "f:rows", "p,f:rows,e,s", ""] {
            let outcomes: CaseOutcomes = text.parse().unwrap();
            assert_eq!(outcomes.to_string(), text);
        }
        assert!("x".parse::<CaseOutcomes>().is_err());
        let unknown_check: CaseOutcomes = "f:a_check_of_the_future".parse().unwrap();
        assert_eq!(unknown_check.counts(), (0, 1));
    }

    #[test]
    fn letters() {
        for (text, letter) in
            [("p,p", 'p'), ("f:rows", 'f'), ("p,f:rows", 'm'), ("e", 'e'), ("s", 's'), ("p,e", 'p')]
        {
            assert_eq!(text.parse::<CaseOutcomes>().unwrap().letter(), letter, "{text}");
        }
    }

    #[test]
    fn a_run_becomes_one_record_a_prompt_version_with_trials_in_order() {
        let failed = CheckResult::from_findings(CheckId::Rows, vec![Finding::new("c", "m")]);
        let results = [
            CaseResult::new("b", "v1", 1, vec![failed]),
            CaseResult::new("b", "v1", 0, vec![CheckResult::passed(CheckId::Rows)]),
            CaseResult::new("a", "v2", 0, vec![]),
        ];
        let prompts = ["v1", "v2"].map(|name| PromptInfo { name: name.into(), ..PromptInfo::default() });
        let records = HistoryRecord::from_run(&RunInfo::default(), &prompts, &results);
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].cases["b"].to_string(), "p,f:rows");
        assert_eq!(records[1].cases["a"].to_string(), "s");
    }
}
