//! Counts over results: a prompt version, a tag, a cluster. Every rate is derived from rows, never stored.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{CaseResult, Status};
use crate::check::outcome::CheckId;
use crate::generate::answers::Usage;

/// Results by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tally {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
    /// Could not be judged.
    pub errored: u64,
    /// No answer.
    pub skipped: u64,
}

impl Tally {
    /// Counts results.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a CaseResult>) -> Self {
        let mut tally = Self::default();
        results.into_iter().for_each(|r| tally.add(r.status));
        tally
    }

    /// Counts one more.
    pub fn add(&mut self, status: Status) {
        match status {
            Status::Passed => self.passed += 1,
            Status::Failed => self.failed += 1,
            Status::Errored => self.errored += 1,
            Status::Skipped => self.skipped += 1,
        }
    }

    /// Passed or failed: what a rate is taken over.
    pub fn judged(self) -> u64 {
        self.passed + self.failed
    }

    /// All results.
    pub fn total(self) -> u64 {
        self.judged() + self.errored + self.skipped
    }

    /// Passed of judged; `None` where nothing was judged.
    pub fn pass_rate(self) -> Option<f64> {
        (self.judged() > 0).then(|| self.passed as f64 / self.judged() as f64)
    }
}

/// What a provider charges, US dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Price {
    /// Prompt tokens.
    pub input: f64,
    /// Prompt tokens read from the provider's cache; as [`Price::input`] when not given.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// Generated tokens, reasoning included.
    pub output: f64,
}

/// Tokens of the answers whose provider reported them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Tokens {
    /// Prompt tokens.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Answers that these are the sum of.
    pub answers: u64,
}

/// Money spent on the answers whose tokens are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cost {
    /// US dollars.
    pub usd: f64,
    /// Answers that this is the sum of.
    pub answers: u64,
}

/// Latency of the model, without queueing, over the answers that have one (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Latency {
    /// Median, milliseconds.
    pub p50_ms: u64,
    /// 95th percentile, milliseconds.
    pub p95_ms: u64,
    /// Answers measured.
    pub answers: u64,
}

/// What the results of one prompt version amount to.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptScore {
    /// Results by status.
    pub tally: Tally,
    /// Mean score of the judged results.
    pub score: Option<f64>,
    /// Share of the mutants of goldens that the tests notice, over the results whose tests were measured.
    pub mutation: Option<f64>,
    /// Tokens, where reported.
    pub tokens: Option<Tokens>,
    /// Cost, where tokens and price are known.
    pub cost: Option<Cost>,
    /// Latency, where measured.
    pub latency: Option<Latency>,
    /// Failed results by first failed check, in reporting order.
    pub first_failed: IndexMap<CheckId, u64>,
    /// Failed results by the finding classes of their first failed check, commonest first.
    pub failure_classes: IndexMap<String, u64>,
}

fn mutation(results: &[&CaseResult]) -> Option<f64> {
    let scores = || results.iter().filter_map(|r| r.mutation.as_ref());
    let (noticed, all): (u64, u64) =
        (scores().map(|score| score.noticed).sum(), scores().map(|score| score.mutants).sum());
    (all > 0).then(|| noticed as f64 / all as f64)
}

impl PromptScore {
    /// Sums up the results of one prompt version.
    pub fn of(results: &[&CaseResult], price: Option<Price>) -> Self {
        let scores: Vec<f64> = results
            .iter()
            .filter(|r| matches!(r.status, Status::Passed | Status::Failed))
            .filter_map(|r| r.score)
            .collect();
        let usages: Vec<&Usage> = results.iter().filter_map(|r| r.usage.as_ref()).collect();
        Self {
            tally: Tally::of(results.iter().copied()),
            score: (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64),
            mutation: mutation(results),
            tokens: tokens(&usages),
            cost: price.and_then(|price| cost(&usages, price)),
            latency: latency(results.iter().filter_map(|r| r.latency_ms).collect()),
            first_failed: first_failed(results),
            failure_classes: failure_classes(results),
        }
    }
}

fn tokens(usages: &[&Usage]) -> Option<Tokens> {
    let known: Vec<(u64, u64)> = usages.iter().filter_map(|u| Some((u.input?, u.output?))).collect();
    (!known.is_empty()).then(|| Tokens {
        input: known.iter().map(|k| k.0).sum(),
        output: known.iter().map(|k| k.1).sum(),
        answers: known.len() as u64,
    })
}

fn cost(usages: &[&Usage], price: Price) -> Option<Cost> {
    let known: Vec<f64> = usages
        .iter()
        .filter_map(|u| {
            let (input, output) = (u.input?, u.output?);
            let cached = u.cached_input.unwrap_or(0).min(input);
            let cached_price = price.cached_input.unwrap_or(price.input);
            let fresh = (input - cached) as f64 * price.input;
            Some((fresh + cached as f64 * cached_price + output as f64 * price.output) / 1e6)
        })
        .collect();
    (!known.is_empty()).then(|| Cost { usd: known.iter().sum(), answers: known.len() as u64 })
}

fn latency(mut milliseconds: Vec<u64>) -> Option<Latency> {
    milliseconds.sort_unstable();
    let rank = |share: f64| {
        let rank = (share * milliseconds.len() as f64).ceil() as usize;
        milliseconds.get(rank.saturating_sub(1)).copied()
    };
    Some(Latency { p50_ms: rank(0.50)?, p95_ms: rank(0.95)?, answers: milliseconds.len() as u64 })
}

fn first_failed(results: &[&CaseResult]) -> IndexMap<CheckId, u64> {
    let mut counts: BTreeMap<CheckId, u64> = BTreeMap::new();
    for check in results.iter().filter_map(|r| r.first_failed) {
        *counts.entry(check).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn failure_classes(results: &[&CaseResult]) -> IndexMap<String, u64> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for check in results.iter().filter_map(|r| r.first_failed_check()) {
        let mut classes: Vec<&str> = check.findings.iter().map(|f| f.class.as_str()).collect();
        classes.sort_unstable();
        classes.dedup();
        for class in classes {
            *counts.entry(class).or_default() += 1;
        }
    }
    let mut ordered: Vec<(&str, u64)> = counts.into_iter().collect();
    ordered.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    ordered.into_iter().map(|(class, n)| (class.to_owned(), n)).collect()
}

/// Tallies by label (a tag, a cluster) and prompt version; a result counts under each of its labels.
pub fn slices<'a>(
    results: impl IntoIterator<Item = &'a CaseResult>,
    labels: impl Fn(&'a CaseResult) -> Vec<&'a str>,
) -> BTreeMap<String, BTreeMap<String, Tally>> {
    let mut slices: BTreeMap<String, BTreeMap<String, Tally>> = BTreeMap::new();
    for result in results {
        for label in labels(result) {
            let by_prompt = slices.entry(label.to_owned()).or_default();
            by_prompt.entry(result.prompt.clone()).or_default().add(result.status);
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::outcome::{CheckResult, Finding};

    fn result(case: &str, checks: Vec<CheckResult>) -> CaseResult {
        CaseResult::new(case, "v1", 0, checks)
    }

    fn failing(case: &str, check: CheckId, classes: &[&str]) -> CaseResult {
        let findings = classes.iter().map(|c| Finding::new(*c, "message")).collect();
        result(case, vec![CheckResult::from_findings(check, findings)])
    }

    #[test]
    fn errored_and_skipped_stay_out_of_the_rate() {
        let results = [
            result("a", vec![CheckResult::passed(CheckId::Rows)]),
            failing("b", CheckId::Rows, &["join_type"]),
            result("c", vec![CheckResult::errored(CheckId::Run, "timeout", "stopped")]),
            result("d", vec![]),
        ];
        let tally = Tally::of(&results);
        assert_eq!(tally, Tally { passed: 1, failed: 1, errored: 1, skipped: 1 });
        assert_eq!(tally.pass_rate(), Some(0.5));
        assert_eq!(Tally::default().pass_rate(), None);
    }

    #[test]
    fn failures_by_check_and_class() {
        let results = [
            failing("a", CheckId::Rows, &["join_type", "join_type"]),
            failing("b", CheckId::Rows, &["join_type", "filter"]),
            failing("c", CheckId::Sources, &["unapproved_source"]),
        ];
        let score = PromptScore::of(&results.iter().collect::<Vec<_>>(), None);
        assert_eq!(score.first_failed, IndexMap::from([(CheckId::Sources, 1), (CheckId::Rows, 2)]));
        let classes: Vec<_> = score.failure_classes.iter().map(|(c, n)| (c.as_str(), *n)).collect();
        assert_eq!(classes, [("join_type", 2), ("filter", 1), ("unapproved_source", 1)]);
    }

    #[test]
    fn nothing_is_summed_that_was_not_reported() {
        let mut known = result("a", vec![CheckResult::passed(CheckId::Rows)]);
        known.usage = Some(Usage {
            input: Some(1_000_000),
            cached_input: Some(500_000),
            output: Some(100_000),
            reasoning: None,
        });
        known.latency_ms = Some(250);
        let unknown = result("b", vec![CheckResult::passed(CheckId::Rows)]);
        let price = Price { input: 2.0, cached_input: Some(0.2), output: 10.0 };

        let both = PromptScore::of(&[&known, &unknown], Some(price));
        let cost = both.cost.unwrap();
        assert!((cost.usd - (1.0 + 0.1 + 1.0)).abs() < 1e-12 && cost.answers == 1);
        assert_eq!(both.tokens, Some(Tokens { input: 1_000_000, output: 100_000, answers: 1 }));
        assert_eq!(both.latency, Some(Latency { p50_ms: 250, p95_ms: 250, answers: 1 }));

        let none = PromptScore::of(&[&unknown], Some(price));
        assert_eq!((none.cost, none.tokens, none.latency), (None, None, None));
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let latency = latency((1..=100).rev().collect()).unwrap();
        assert_eq!((latency.p50_ms, latency.p95_ms), (50, 95));
    }

    #[test]
    fn a_result_counts_under_each_of_its_tags() {
        let mut tagged = result("a", vec![CheckResult::passed(CheckId::Rows)]);
        tagged.tags = vec!["finance".into(), "joins".into()];
        let slices = slices([&tagged], |r| r.tags.iter().map(String::as_str).collect());
        assert_eq!(slices.keys().collect::<Vec<_>>(), ["finance", "joins"]);
        assert_eq!(slices["joins"]["v1"].passed, 1);
    }
}
