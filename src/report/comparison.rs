//! Two prompt versions, or two runs, on the same cases.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::history::{HistoryRecord, cluster_of};
use crate::score::{CaseResult, Status};
use crate::stats::bootstrap::{Cluster, bca_mean, t_mean};
use crate::stats::interval::Interval;
use crate::stats::multiple::holm;
use crate::stats::paired::{Pairs, mcnemar, sign_flip};
use crate::stats::power::detectable_difference;

/// Level of the intervals, and 1 - level of the tests.
pub(crate) const LEVEL: f64 = 0.95;
/// Power that the power note speaks of.
const POWER: f64 = 0.80;
/// Below this, a bootstrap over clusters is too sure of itself.
const FEW_CLUSTERS: usize = 20;
/// Seed of resampling: fixed, so that a report says the same when it is made again.
const SEED: u64 = 0x00A5_5A41;

/// Passed and judged trials.
type Counts = (u64, u64);

/// Passed and judged trials by case.
pub type OutcomeMap = BTreeMap<String, Counts>;

/// Cluster of each case that has one. Cases of a cluster tend to come out alike, so they count as less than as many.
pub type ClusterMap = BTreeMap<String, String>;

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The candidate passes more, beyond chance.
    Better,
    /// The candidate passes less, beyond chance.
    Worse,
    /// The cases do not decide it.
    CannotTell,
}

/// How interval and p-value were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// One trial a case: Newcombe's paired interval, McNemar's test with mid-p.
    McnemarMidP,
    /// Several trials a case: BCa bootstrap over cases, sign-flip permutation test.
    SignFlip,
    /// Cases in clusters: sign-flip permutation test on whole clusters, BCa bootstrap over them or, below 20, Student's t.
    /// Neither is ever surer than if the cases stood each for itself.
    Clusters,
}

/// A candidate against a baseline, on the cases that both were judged on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Comparison {
    /// Prompt version compared with.
    pub baseline: String,
    /// Run of the baseline; `None` for this run.
    #[serde(default)]
    pub baseline_run: Option<String>,
    /// Prompt version judged.
    pub candidate: String,
    /// Cases that both sides were judged on.
    pub cases: u64,
    /// Cases left out because a side was not judged on them.
    pub left_out: u64,
    /// Cases on which the candidate does better.
    pub wins: u64,
    /// Cases on which it does worse.
    pub losses: u64,
    /// Cases on which they do the same.
    pub ties: u64,
    /// Pass rate of the candidate less that of the baseline, -1 to 1; `None` without common cases.
    pub delta: Option<f64>,
    /// 95 % interval of the difference.
    pub interval: Option<Interval>,
    /// Two-sided p-value.
    pub p_value: f64,
    /// The p-value after Holm's correction for all comparisons of the report; the verdict rests on it.
    pub p_adjusted: f64,
    /// How interval and p-value were computed.
    pub method: Method,
    /// Clusters among these cases; `None` where each stands for itself.
    #[serde(default)]
    pub clusters: Option<u64>,
    /// Better, worse, or not decided.
    pub verdict: Verdict,
    /// The smallest difference of pass rates that these cases would show with 80 % power; `None` where they show none.
    pub detectable: Option<f64>,
    /// Cases won, in order of their ids.
    pub won: Vec<String>,
    /// Cases lost, in order of their ids.
    pub lost: Vec<String>,
}

/// Outcomes of one prompt version among results.
pub(crate) fn outcomes_of(results: &[CaseResult], prompt: &str) -> OutcomeMap {
    let mut map = OutcomeMap::new();
    for result in results.iter().filter(|r| r.prompt == prompt) {
        let (passed, judged) = map.entry(result.case.clone()).or_default();
        *passed += u64::from(result.status == Status::Passed);
        *judged += u64::from(matches!(result.status, Status::Passed | Status::Failed));
    }
    map
}

/// Clusters of the cases of results.
pub(crate) fn clusters_of(results: &[CaseResult]) -> ClusterMap {
    results.iter().filter_map(|r| Some((r.case.clone(), r.cluster.clone()?))).collect()
}

/// Outcomes of a stored run.
pub(crate) fn outcomes_of_record(record: &HistoryRecord) -> OutcomeMap {
    record.cases.iter().map(|(case, outcomes)| (case.clone(), outcomes.counts())).collect()
}

/// Compares a candidate with a baseline; the p-value is not yet corrected for others.
///
/// Errored and skipped trials are missing data: a case without a judged trial on a side is left out.
pub fn compare(
    baseline: (&str, Option<&str>, &OutcomeMap),
    candidate: (&str, &OutcomeMap),
    clusters: &ClusterMap,
) -> Comparison {
    let (before, after) = (baseline.2, candidate.1);
    let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut pairs: Vec<(&String, Counts, Counts)> = Vec::new();
    for case in &all {
        if let (Some(old), Some(new)) = (before.get(*case), after.get(*case))
            && old.1 > 0
            && new.1 > 0
        {
            pairs.push((case, *old, *new));
        }
    }
    let rate = |(passed, judged): Counts| passed as f64 / judged as f64;
    // Compared as whole numbers: 1/3 + 1/3 and 2/3 must tie.
    let order = |old: Counts, new: Counts| (new.0 * old.1).cmp(&(old.0 * new.1));
    let ids = |wanted: std::cmp::Ordering| -> Vec<String> {
        pairs.iter().filter(|p| order(p.1, p.2) == wanted).map(|p| p.0.clone()).collect()
    };
    let (won, lost) = (ids(std::cmp::Ordering::Greater), ids(std::cmp::Ordering::Less));
    let (wins, losses, cases) = (won.len() as u64, lost.len() as u64, pairs.len() as u64);

    let single_trials = pairs.iter().all(|p| p.1.1 == 1 && p.2.1 == 1);
    let differences: Vec<f64> =
        pairs.iter().map(|p| if order(p.1, p.2).is_eq() { 0.0 } else { rate(p.2) - rate(p.1) }).collect();
    let delta = (cases > 0).then(|| differences.iter().sum::<f64>() / cases as f64);
    let mut grouped: BTreeMap<(bool, &String), Cluster> = BTreeMap::new();
    for ((case, ..), difference) in pairs.iter().zip(&differences) {
        let cluster = grouped.entry(cluster_of(case, clusters)).or_insert(Cluster { sum: 0.0, size: 0 });
        *cluster = Cluster { sum: cluster.sum + difference, size: cluster.size + 1 };
    }
    let groups = grouped.len() as u64;
    let grouped: Vec<Cluster> = grouped.into_values().collect();
    let (method, interval, p_value) = if single_trials {
        let both = pairs.iter().filter(|p| p.1.0 == 1 && p.2.0 == 1).count() as u64;
        let counts =
            Pairs { both, first_only: wins, second_only: losses, neither: cases - both - wins - losses };
        (Method::McnemarMidP, counts.newcombe(LEVEL), mcnemar::mid_p(wins, losses))
    } else {
        let alone: Vec<Cluster> = differences.iter().map(|d| Cluster { sum: *d, size: 1 }).collect();
        (Method::SignFlip, bca_mean(&alone, LEVEL, SEED), sign_flip(&differences, SEED))
    };
    let (method, interval, p_value) = if groups == cases {
        (method, interval, p_value)
    } else {
        let clustered = match grouped.len() {
            ..FEW_CLUSTERS => t_mean(&grouped, LEVEL),
            _ => bca_mean(&grouped, LEVEL, SEED),
        };
        let sums: Vec<f64> = grouped.iter().map(|cluster| cluster.sum).collect();
        let wider = interval.zip(clustered).map(|(a, b)| Interval {
            lower: a.lower.min(b.lower).max(-1.0),
            upper: a.upper.max(b.upper).min(1.0),
        });
        (Method::Clusters, wider, p_value.max(sign_flip(&sums, SEED)))
    };
    // Flips that cancel are what nothing changing looks like; the rest may be the change itself.
    let noise = if cases > 0 { 2.0 * wins.min(losses) as f64 / cases as f64 } else { 0.0 };
    let mut comparison = Comparison {
        baseline: baseline.0.to_owned(),
        baseline_run: baseline.1.map(str::to_owned),
        candidate: candidate.0.to_owned(),
        cases,
        left_out: all.len() as u64 - cases,
        wins,
        losses,
        ties: cases - wins - losses,
        delta,
        interval,
        p_value,
        p_adjusted: p_value,
        method,
        clusters: (groups < cases).then_some(groups),
        verdict: Verdict::CannotTell,
        // As if a cluster were worth no more than one case: what is said here holds at least.
        detectable: detectable_difference(groups, noise, 1.0 - LEVEL, POWER),
        won,
        lost,
    };
    comparison.decide();
    comparison
}

impl Comparison {
    fn decide(&mut self) {
        let delta = self.delta.unwrap_or(0.0);
        self.verdict = if self.p_adjusted >= 1.0 - LEVEL || delta == 0.0 {
            Verdict::CannotTell
        } else if delta > 0.0 {
            Verdict::Better
        } else {
            Verdict::Worse
        };
    }
}

/// Corrects the comparisons of one report for each other.
pub(crate) fn adjust(comparisons: &mut [Comparison]) {
    let p_values: Vec<f64> = comparisons.iter().map(|c| c.p_value).collect();
    for (comparison, adjusted) in comparisons.iter_mut().zip(holm(&p_values)) {
        comparison.p_adjusted = adjusted;
        comparison.decide();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(outcomes: &[(&str, u64, u64)]) -> OutcomeMap {
        outcomes.iter().map(|(case, passed, judged)| ((*case).to_owned(), (*passed, *judged))).collect()
    }

    fn numbered(passed: impl Fn(usize) -> bool, n: usize) -> OutcomeMap {
        (0..n).map(|i| (format!("case{i:03}"), (u64::from(passed(i)), 1))).collect()
    }

    fn versus(before: &OutcomeMap, after: &OutcomeMap) -> Comparison {
        compare(("v1", None, before), ("v2", after), &ClusterMap::new())
    }

    #[test]
    fn cases_of_a_cluster_are_not_as_many_independent_ones() {
        let (before, after) = (numbered(|_| false, 12), numbered(|i| i < 6, 12));
        assert_eq!(versus(&before, &after).verdict, Verdict::Better);
        // The six wins are one family: one flip of a coin.
        let family: ClusterMap = (0..6).map(|i| (format!("case{i:03}"), "family".to_owned())).collect();
        let clustered = compare(("v1", None, &before), ("v2", &after), &family);
        assert_eq!((clustered.method, clustered.clusters), (Method::Clusters, Some(7)));
        assert_eq!((clustered.wins, clustered.delta), (6, Some(0.5)));
        assert_eq!((clustered.verdict, clustered.p_value), (Verdict::CannotTell, 1.0));
    }

    #[test]
    fn wins_losses_and_ties_on_common_cases_only() {
        let before = map(&[("a", 1, 1), ("b", 0, 1), ("c", 1, 1), ("d", 0, 0), ("e", 1, 1)]);
        let after = map(&[("a", 1, 1), ("b", 1, 1), ("c", 0, 1), ("d", 1, 1), ("f", 1, 1)]);
        let comparison = versus(&before, &after);
        assert_eq!((comparison.wins, comparison.losses, comparison.ties), (1, 1, 1));
        assert_eq!((comparison.cases, comparison.left_out), (3, 3));
        assert_eq!((comparison.won, comparison.lost), (vec!["b".to_owned()], vec!["c".to_owned()]));
        assert_eq!(comparison.verdict, Verdict::CannotTell);
    }

    #[test]
    fn the_paired_test_decides() {
        let before = numbered(|i| i < 60, 100);
        let better = versus(&before, &numbered(|i| i < 70, 100));
        assert_eq!((better.verdict, better.wins, better.losses), (Verdict::Better, 10, 0));
        assert!(better.interval.unwrap().lower > 0.0 && better.p_value < 0.05);
        assert_eq!(versus(&numbered(|i| i < 70, 100), &before).verdict, Verdict::Worse);
        assert_eq!(versus(&before, &before).verdict, Verdict::CannotTell);
        assert_eq!(versus(&before, &numbered(|i| i < 64, 100)).verdict, Verdict::CannotTell);
    }

    #[test]
    fn repeats_use_means_of_cases() {
        let before = map(&[("a", 1, 3), ("b", 2, 3), ("c", 2, 6)]);
        let after = map(&[("a", 2, 3), ("b", 2, 3), ("c", 1, 3)]);
        let comparison = versus(&before, &after);
        assert_eq!((comparison.method, comparison.wins, comparison.ties), (Method::SignFlip, 1, 2));
        assert!((comparison.delta.unwrap() - 1.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_in_common_decides_nothing() {
        let comparison = versus(&map(&[("a", 1, 1)]), &map(&[("b", 1, 1)]));
        assert_eq!((comparison.cases, comparison.delta, comparison.interval), (0, None, None));
        assert_eq!((comparison.verdict, comparison.p_value), (Verdict::CannotTell, 1.0));
        assert_eq!(comparison.detectable, None);
    }

    #[test]
    fn several_comparisons_are_corrected_for_each_other() {
        let before = numbered(|i| i < 60, 100);
        // Six wins of six: mid-p 0.0156, after Holm for five comparisons 0.078.
        let mut comparisons = vec![versus(&before, &numbered(|i| i < 66, 100))];
        assert_eq!(comparisons[0].verdict, Verdict::Better);
        comparisons.extend((0..4).map(|_| versus(&before, &before)));
        adjust(&mut comparisons);
        assert_eq!(comparisons[0].verdict, Verdict::CannotTell);
        assert!((comparisons[0].p_adjusted - 5.0 * comparisons[0].p_value).abs() < 1e-12);
    }
}
