//! Pass rates over time, and each case's recent outcomes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::HistoryRecord;
use crate::stats::interval::{Interval, effective_size, wilson_effective};

/// One run of one prompt version on a trend chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TrendPoint {
    /// Run id.
    pub run: String,
    /// When it began.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// Prompt version.
    pub prompt: String,
    /// Passed results.
    pub passed: u64,
    /// Judged results.
    pub judged: u64,
    /// Results that could not be judged, or were skipped.
    pub undecided: u64,
    /// Passed of judged; `None` where nothing was judged.
    pub pass_rate: Option<f64>,
    /// 95 % interval of the rate; repeats of a case and cases of a cluster count as what they are worth.
    pub interval: Option<Interval>,
    /// Hash of the suite: where it changes, rates on the two sides measure different things.
    pub suite_hash: String,
    /// Hash of the prompt version.
    pub prompt_hash: String,
    /// Model.
    pub model: String,
}

/// The points of all complete runs, by time, then run, then prompt version; of a run recorded twice the later line.
pub fn trend(records: &[HistoryRecord]) -> Vec<TrendPoint> {
    let mut points: Vec<TrendPoint> = by_time(records).into_iter().map(point).collect();
    points.sort_by(|a, b| (a.started, &a.run, &a.prompt).cmp(&(b.started, &b.run, &b.prompt)));
    points
}

fn point(record: &HistoryRecord) -> TrendPoint {
    let clusters = record.counts_by_cluster();
    let passed: u64 = clusters.iter().map(|c| c.0).sum();
    let judged: u64 = clusters.iter().map(|c| c.1).sum();
    let trials: u64 = record.cases.values().map(|c| c.0.len() as u64).sum();
    let pass_rate = (judged > 0).then(|| passed as f64 / judged as f64);
    TrendPoint {
        run: record.run.clone(),
        started: record.started,
        prompt: record.prompt.clone(),
        passed,
        judged,
        undecided: trials - judged,
        pass_rate,
        interval: pass_rate.map(|rate| wilson_effective(rate, effective_size(&clusters), 0.95)),
        suite_hash: record.suite_hash.clone(),
        prompt_hash: record.prompt_hash.clone(),
        model: record.model.clone(),
    }
}

/// For each case and prompt version one letter a run, oldest first, the last `limit` complete runs: `p` passed,
/// `f` failed, `m` mixed trials, `e` errored, `s` skipped, `-` not in that run.
pub fn case_strips(records: &[HistoryRecord], limit: usize) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut by_prompt: BTreeMap<&str, Vec<&HistoryRecord>> = BTreeMap::new();
    for record in by_time(records) {
        by_prompt.entry(&record.prompt).or_default().push(record);
    }
    let mut strips: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (prompt, runs) in by_prompt {
        let recent = &runs[runs.len().saturating_sub(limit)..];
        let cases: std::collections::BTreeSet<&String> = recent.iter().flat_map(|r| r.cases.keys()).collect();
        for case in cases {
            let strip = recent.iter().map(|r| r.cases.get(case).map_or('-', |c| c.letter())).collect();
            strips.entry(case.clone()).or_default().insert(prompt.to_owned(), strip);
        }
    }
    strips
}

fn by_time(records: &[HistoryRecord]) -> Vec<&HistoryRecord> {
    let mut latest: BTreeMap<(Timestamp, &str, &str), &HistoryRecord> = BTreeMap::new();
    for record in records.iter().filter(|r| r.complete) {
        latest.insert((record.started, &record.run, &record.prompt), record);
    }
    latest.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::{PromptInfo, RunInfo};
    use crate::stats::interval::wilson;

    fn record(run: &str, day: i64, outcomes: &[(&str, &str)]) -> HistoryRecord {
        let info = RunInfo {
            id: run.into(),
            started: Timestamp::from_second(day * 86_400).unwrap(),
            complete: true,
            ..RunInfo::default()
        };
        let prompt = PromptInfo { name: "v1".into(), ..PromptInfo::default() };
        let mut record = HistoryRecord::from_run(&info, &[prompt], &[]).remove(0);
        for (case, text) in outcomes {
            record.cases.insert((*case).into(), text.parse().unwrap());
        }
        record
    }

    #[test]
    fn points_are_derived_and_sorted_by_time() {
        let records = [
            record("late", 2, &[("a", "p"), ("b", "f:rows"), ("c", "e")]),
            record("early", 1, &[("a", "p"), ("b", "p")]),
        ];
        let points = trend(&records);
        assert_eq!(points.iter().map(|p| p.run.as_str()).collect::<Vec<_>>(), ["early", "late"]);
        assert_eq!((points[1].passed, points[1].judged, points[1].undecided), (1, 2, 1));
        assert_eq!(points[1].interval, wilson(1, 2, 0.95));
    }

    #[test]
    fn empty_and_undecided_runs_have_no_rate() {
        assert_eq!(trend(&[]), []);
        let points = trend(&[record("r", 1, &[("a", "e")])]);
        assert_eq!((points[0].pass_rate, points[0].interval), (None, None));
    }

    #[test]
    fn incomplete_runs_are_no_points_and_repeated_lines_count_once() {
        let mut incomplete = record("i", 1, &[("a", "p")]);
        incomplete.complete = false;
        let twice = record("r", 2, &[("a", "f:rows")]);
        let points = trend(&[incomplete, twice.clone(), twice]);
        assert_eq!(points.len(), 1);
    }

    #[test]
    fn strips_show_the_last_runs_oldest_first() {
        let records = [
            record("1", 1, &[("a", "p")]),
            record("2", 2, &[("a", "p,f:rows"), ("b", "p")]),
            record("3", 3, &[("a", "f:rows"), ("b", "e")]),
        ];
        let strips = case_strips(&records, 2);
        assert_eq!(strips["a"]["v1"], "mf");
        assert_eq!(case_strips(&records, 9)["b"]["v1"], "-pe");
    }
}
