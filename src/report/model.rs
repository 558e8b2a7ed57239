//! `report.json` as a type.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::comparison::{
    Comparison, LEVEL, Verdict, adjust, clusters_of, compare, outcomes_of, outcomes_of_record,
};
use crate::check::outcome::CheckId;
use crate::history::{HistoryRecord, PromptInfo, RunInfo, TrendPoint, by_cluster, case_strips, trend};
use crate::score::{CaseResult, Cost, Latency, PromptScore, Status, Tally, Tokens, slices};
use crate::stats::interval::{Interval, effective_size, wilson_effective};

/// Version of report.json. Raised when a reader would misunderstand it; new fields do not raise it.
pub const SCHEMA: u32 = 1;

/// Runs in a case's strip.
const STRIP: usize = 20;

/// Everything that a report shows. Sorted: prompts and cases as given, results by case, prompt and trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(title = "assay report")]
pub struct Report {
    /// Version of this format.
    pub schema: u32,
    /// The run.
    pub run: RunInfo,
    /// Prompt versions.
    pub prompts: Vec<PromptSummary>,
    /// Comparisons with the baseline.
    pub comparisons: Vec<Comparison>,
    /// Results by tag and by cluster.
    pub slices: Vec<Slice>,
    /// Pass rates over the recorded runs, oldest first.
    pub trend: Vec<TrendPoint>,
    /// Cases, with what is needed to read a result.
    pub cases: Vec<CaseInfo>,
    /// One judged answer each.
    pub results: Vec<CaseResult>,
}

/// A prompt version and what its results amount to. Rates are over passed and failed results only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PromptSummary {
    /// Name.
    pub name: String,
    /// What is new in it.
    #[serde(default)]
    pub description: Option<String>,
    /// Provider.
    pub provider: String,
    /// Model.
    pub model: String,
    /// Hash of everything that it sends but the case.
    pub hash: String,
    /// Passed results.
    pub passed: u64,
    /// Failed results.
    pub failed: u64,
    /// Results that could not be judged.
    pub errored: u64,
    /// Results without an answer.
    pub skipped: u64,
    /// Passed of passed and failed, 0 to 1; `None` where nothing was judged.
    pub pass_rate: Option<f64>,
    /// 95 % Wilson interval of the pass rate; repeats of a case and cases of a cluster count as what they are worth.
    pub interval: Option<Interval>,
    /// The pass rate if everything undecided had failed, and if it had passed; `None` where everything was decided.
    #[serde(default)]
    pub bounds: Option<Interval>,
    /// Mean score of the judged results.
    pub score: Option<f64>,
    /// Share of the small errors in the goldens that the answers' tests notice; absent where none were tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutation: Option<f64>,
    /// Money, where tokens and price are known.
    pub cost: Option<Cost>,
    /// Tokens, where reported.
    pub tokens: Option<Tokens>,
    /// Model latency, where measured.
    pub latency: Option<Latency>,
    /// Failed results by first failed check, in reporting order.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub first_failed: IndexMap<CheckId, u64>,
    /// Failed results by finding class of the first failed check, commonest first.
    #[schemars(with = "BTreeMap<String, u64>")]
    pub failure_classes: IndexMap<String, u64>,
}

impl PromptSummary {
    /// The counts.
    pub fn tally(&self) -> Tally {
        Tally { passed: self.passed, failed: self.failed, errored: self.errored, skipped: self.skipped }
    }

    fn new(info: PromptInfo, results: &[CaseResult]) -> Self {
        let own: Vec<&CaseResult> = results.iter().filter(|r| r.prompt == info.name).collect();
        let score = PromptScore::of(&own, info.price);
        let (outcomes, clusters) = (outcomes_of(results, &info.name), clusters_of(results));
        let clusters = by_cluster(outcomes.iter().map(|(case, counts)| (case, *counts)), &clusters);
        let tally = score.tally;
        let pass_rate = tally.pass_rate();
        let undecided = tally.errored + tally.skipped;
        Self {
            name: info.name,
            description: info.description,
            provider: info.provider,
            model: info.model,
            hash: info.hash,
            passed: tally.passed,
            failed: tally.failed,
            errored: tally.errored,
            skipped: tally.skipped,
            pass_rate,
            interval: pass_rate.map(|rate| wilson_effective(rate, effective_size(&clusters), LEVEL)),
            bounds: (undecided > 0).then(|| {
                let all = tally.total() as f64;
                Interval { lower: tally.passed as f64 / all, upper: (tally.passed + undecided) as f64 / all }
            }),
            score: score.score,
            mutation: score.mutation,
            cost: score.cost,
            tokens: score.tokens,
            latency: score.latency,
            first_failed: score.first_failed,
            failure_classes: score.failure_classes,
        }
    }
}

/// By what results are sliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SliceKind {
    /// A tag of the case.
    Tag,
    /// The cluster of the case.
    Cluster,
}

/// Results that share a tag or a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Slice {
    /// By what.
    pub kind: SliceKind,
    /// The tag or the cluster.
    pub name: String,
    /// Counts by prompt version, in the order of `prompts`.
    pub prompts: Vec<SliceTally>,
}

/// Counts of one prompt version in a slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SliceTally {
    /// Prompt version.
    pub prompt: String,
    /// Results by status.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A case, as far as a reader of its results needs it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CaseInfo {
    /// Id.
    pub id: String,
    /// Title of the spec.
    #[serde(default)]
    pub title: String,
    /// dbt project.
    #[serde(default)]
    pub project: String,
    /// Name of the model that is asked for.
    pub model: String,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Cluster.
    #[serde(default)]
    pub cluster: Option<String>,
    /// The spec, as text.
    #[serde(default)]
    pub spec: String,
    /// The golden's SQL, as text.
    #[serde(default)]
    pub golden_sql: String,
    /// The golden's schema YAML.
    #[serde(default)]
    pub golden_yaml: Option<String>,
    /// Where the case is written.
    #[serde(default)]
    pub row: Option<CaseRow>,
    /// Outcomes in the last runs by prompt version, a letter a run, oldest first. Filled in from the history.
    #[serde(default)]
    pub history: BTreeMap<String, String>,
}

/// The row of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CaseRow {
    /// CSV file, relative to the repository.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
}

impl Report {
    /// Builds the report of a run. `history` holds earlier runs and, where it has been recorded, this one.
    ///
    /// Prompt versions are compared with the first one, or with the one that [`RunInfo::baseline`] names; where it
    /// names a run of the history, each is compared with itself in that run instead.
    pub fn new(
        run: RunInfo,
        prompts: Vec<PromptInfo>,
        mut cases: Vec<CaseInfo>,
        mut results: Vec<CaseResult>,
        history: &[HistoryRecord],
    ) -> Self {
        sort_results(&mut results, &cases, &prompts);
        let prompts: Vec<PromptSummary> =
            prompts.into_iter().map(|info| PromptSummary::new(info, &results)).collect();
        let mut strips = case_strips(history, STRIP);
        for case in &mut cases {
            case.history = strips.remove(&case.id).unwrap_or_default();
        }
        Self {
            schema: SCHEMA,
            comparisons: comparisons(&run, &prompts, &results, history),
            slices: all_slices(&prompts, &results),
            trend: trend(history),
            run,
            prompts,
            cases,
            results,
        }
    }

    /// report.json.
    pub fn to_json(&self) -> String {
        // A struct of numbers, strings, lists and maps with string keys always serializes; JSON has no NaN, which
        // serde_json writes as null.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads report.json.
    ///
    /// # Errors
    /// Text that is not a report, and a report in a newer format.
    pub fn from_json(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Header {
            schema: u32,
        }
        let header: Header = serde_json::from_str(text).map_err(|e| format!("not a report: {e}"))?;
        if header.schema > SCHEMA {
            return Err(format!(
                "report format {} is newer than {SCHEMA}, the newest that this version reads",
                header.schema
            ));
        }
        serde_json::from_str(text).map_err(|e| format!("not a report: {e}"))
    }

    /// The JSON Schema of report.json.
    pub fn json_schema() -> String {
        let schema = schemars::schema_for!(Report);
        let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The case of a result.
    pub fn case(&self, id: &str) -> Option<&CaseInfo> {
        self.cases.iter().find(|c| c.id == id)
    }

    /// All results by status.
    pub fn tally(&self) -> Tally {
        Tally::of(&self.results)
    }

    /// Comparisons that found a prompt version worse than the baseline that was named. Without a named one there are none:
    /// prompt versions are then set side by side for information.
    pub fn regressions(&self) -> Vec<&Comparison> {
        let named = self.run.baseline.is_some();
        self.comparisons.iter().filter(|c| named && c.verdict == Verdict::Worse).collect()
    }

    /// Results that could not be judged.
    pub fn errored(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|r| r.status == Status::Errored)
    }
}

fn sort_results(results: &mut [CaseResult], cases: &[CaseInfo], prompts: &[PromptInfo]) {
    let case_order: BTreeMap<&str, usize> =
        cases.iter().enumerate().map(|(i, c)| (c.id.as_str(), i)).collect();
    let prompt_order: BTreeMap<&str, usize> =
        prompts.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect();
    let place = |order: &BTreeMap<&str, usize>, name: &str| order.get(name).copied().unwrap_or(usize::MAX);
    results.sort_by(|a, b| {
        place(&case_order, &a.case)
            .cmp(&place(&case_order, &b.case))
            .then_with(|| a.case.cmp(&b.case))
            .then_with(|| place(&prompt_order, &a.prompt).cmp(&place(&prompt_order, &b.prompt)))
            .then_with(|| a.prompt.cmp(&b.prompt))
            .then_with(|| a.trial.cmp(&b.trial))
    });
}

fn comparisons(
    run: &RunInfo,
    prompts: &[PromptSummary],
    results: &[CaseResult],
    history: &[HistoryRecord],
) -> Vec<Comparison> {
    let stored: Vec<&HistoryRecord> = match &run.baseline {
        Some(baseline) => history.iter().filter(|r| &r.run == baseline).collect(),
        None => Vec::new(),
    };
    let clusters = clusters_of(results);
    let mut comparisons: Vec<Comparison> = Vec::new();
    if stored.is_empty() {
        let named = prompts.iter().find(|p| run.baseline.as_ref() == Some(&p.name));
        if let Some(first) = named.or(prompts.first()) {
            let before = outcomes_of(results, &first.name);
            for prompt in prompts.iter().filter(|p| p.name != first.name) {
                let after = outcomes_of(results, &prompt.name);
                comparisons.push(compare((&first.name, None, &before), (&prompt.name, &after), &clusters));
            }
        }
    } else {
        for prompt in prompts {
            if let Some(record) = stored.iter().find(|r| r.prompt == prompt.name) {
                let (before, after) = (outcomes_of_record(record), outcomes_of(results, &prompt.name));
                comparisons.push(compare(
                    (&prompt.name, Some(&record.run), &before),
                    (&prompt.name, &after),
                    &clusters,
                ));
            }
        }
    }
    adjust(&mut comparisons);
    comparisons
}

fn all_slices(prompts: &[PromptSummary], results: &[CaseResult]) -> Vec<Slice> {
    let tags = slices(results, |r| r.tags.iter().map(String::as_str).collect());
    let clusters = slices(results, |r| r.cluster.as_deref().into_iter().collect());
    let sliced = |kind, found: BTreeMap<String, BTreeMap<String, Tally>>| {
        found.into_iter().map(move |(name, by_prompt)| Slice {
            kind,
            name,
            prompts: prompts
                .iter()
                .map(|p| SliceTally {
                    prompt: p.name.clone(),
                    tally: by_prompt.get(&p.name).copied().unwrap_or_default(),
                })
                .collect(),
        })
    };
    sliced(SliceKind::Tag, tags).chain(sliced(SliceKind::Cluster, clusters)).collect()
}
