//! What the template shows, as text ready to be placed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::outcome::{CheckId, Outcome};
use crate::report::comparison::{Comparison, Method, Verdict};
use crate::report::model::{PromptSummary, Report, SliceKind};
use crate::report::words;
use crate::score::{CaseResult, Status, Tally};
use crate::stats::interval::Interval;

/// Slices with fewer judged results are greyed: they say little.
const FEW: u64 = 10;

#[derive(Serialize)]
pub(super) struct Page {
    suite: String,
    run: String,
    started: String,
    verdict: Headline,
    counts: Tally,
    total: u64,
    prompts: Vec<PromptRow>,
    comparisons: Vec<ComparisonRow>,
    grid: Vec<CaseLine>,
    checks: Vec<CheckRow>,
    classes: Vec<ClassRow>,
    slices: Vec<SliceRow>,
    provenance: Vec<(String, String)>,
    runs_recorded: usize,
}

/// The verdict strip: the finding that matters most, then the others.
#[derive(Serialize)]
struct Headline {
    kind: &'static str,
    title: String,
    numbers: String,
    lines: Vec<Line>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    kind: &'static str,
    title: String,
    numbers: String,
}

#[derive(Serialize)]
struct PromptRow {
    name: String,
    description: String,
    model: String,
    provider: String,
    tally: Tally,
    rate: String,
    interval: String,
    bar: Option<Bar>,
    bounds: Option<String>,
    score: String,
    mutation: String,
    cost: String,
    tokens: String,
    latency: String,
    series: usize,
}

/// Ends and middle of a bar, in percent of its width.
#[derive(Serialize)]
struct Bar {
    from: f64,
    width: f64,
    at: f64,
}

#[derive(Serialize)]
struct ComparisonRow {
    baseline: String,
    candidate: String,
    kind: &'static str,
    verdict: &'static str,
    delta: String,
    interval: String,
    bar: Option<Bar>,
    wins: u64,
    losses: u64,
    ties: u64,
    left_out: u64,
    p_value: String,
    adjusted: String,
    in_this_run: bool,
    method: &'static str,
    power: Option<String>,
    won: String,
    lost: String,
}

#[derive(Serialize)]
struct CaseLine {
    id: String,
    title: String,
    tags: Vec<String>,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    prompt: String,
    href: String,
    kind: &'static str,
    letter: String,
    note: String,
}

#[derive(Serialize)]
struct CheckRow {
    name: &'static str,
    advisory: bool,
    cells: Vec<CheckCell>,
}

/// Counts of one check for one prompt version; widths in percent.
#[derive(Serialize)]
struct CheckCell {
    tally: Tally,
    passed: f64,
    failed: f64,
    errored: f64,
}

#[derive(Serialize)]
struct ClassRow {
    name: String,
    cells: Vec<ClassCell>,
}

#[derive(Serialize)]
struct ClassCell {
    n: u64,
    width: f64,
}

#[derive(Serialize)]
struct SliceRow {
    kind: &'static str,
    name: String,
    cells: Vec<SliceCell>,
}

#[derive(Serialize)]
struct SliceCell {
    rate: String,
    counts: String,
    few: bool,
    width: f64,
}

pub(super) fn page(report: &Report) -> Page {
    Page {
        suite: report.run.suite.clone(),
        run: report.run.id.clone(),
        started: report.run.started.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        verdict: headline(report),
        counts: report.tally(),
        total: report.results.len() as u64,
        prompts: report.prompts.iter().enumerate().map(|(i, p)| prompt_row(i, p)).collect(),
        comparisons: report.comparisons.iter().map(comparison_row).collect(),
        grid: grid(report),
        checks: checks(report),
        classes: classes(report),
        slices: slices(report),
        provenance: provenance(report),
        runs_recorded: report.trend.iter().map(|p| &p.run).collect::<std::collections::BTreeSet<_>>().len(),
    }
}

fn kind(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::CannotTell => "open",
    }
}

fn headline(report: &Report) -> Headline {
    let weight = |c: &Comparison| match c.verdict {
        Verdict::Worse => 2,
        Verdict::Better => 1,
        Verdict::CannotTell => 0,
    };
    let mut ordered: Vec<&Comparison> = report.comparisons.iter().collect();
    ordered.sort_by(|a, b| {
        let size = |c: &Comparison| c.delta.unwrap_or(0.0).abs();
        weight(b).cmp(&weight(a)).then(size(b).total_cmp(&size(a)))
    });
    let mut lines: Vec<Line> = ordered
        .iter()
        .map(|c| Line {
            kind: kind(c.verdict),
            title: words::comparison_verdict(c),
            numbers: [words::comparison_numbers(c), words::power_note(c)]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join("; "),
        })
        .collect();
    if lines.is_empty() {
        lines.extend(report.prompts.iter().map(|p| Line {
            kind: "open",
            title: words::prompt(p),
            numbers: String::new(),
        }));
    }
    let mut notes: Vec<String> = Vec::new();
    notes.extend(words::tool_use(report));
    notes.extend(words::undecided(report));
    if !report.run.complete {
        notes.push("the run is incomplete".to_owned());
    }
    notes.extend(report.run.notes.iter().cloned());
    let first = if lines.is_empty() {
        Line { kind: "open", title: "Nothing was judged".to_owned(), numbers: String::new() }
    } else {
        lines.remove(0)
    };
    Headline { kind: first.kind, title: first.title, numbers: first.numbers, lines, notes }
}

fn percent_of(interval: Option<Interval>, at: Option<f64>, low: f64, high: f64) -> Option<Bar> {
    let scale = |v: f64| ((v - low) / (high - low) * 100.0).clamp(0.0, 100.0);
    let (interval, at) = (interval?, at?);
    if !(interval.lower.is_finite() && interval.upper.is_finite() && at.is_finite()) {
        return None;
    }
    let from = scale(interval.lower);
    Some(Bar { from: round(from), width: round(scale(interval.upper) - from), at: round(scale(at)) })
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn prompt_row(index: usize, p: &PromptSummary) -> PromptRow {
    let dash = || "–".to_owned();
    PromptRow {
        name: p.name.clone(),
        description: p.description.clone().unwrap_or_default(),
        model: p.model.clone(),
        provider: p.provider.clone(),
        tally: p.tally(),
        rate: words::percent(p.pass_rate),
        interval: words::percent_interval(p.interval),
        bar: percent_of(p.interval, p.pass_rate, 0.0, 1.0),
        bounds: p.bounds.map(|b| words::percent_interval(Some(b))),
        score: p.score.map_or_else(dash, |s| format!("{s:.2}")),
        mutation: words::percent(p.mutation),
        cost: p.cost.map_or_else(dash, |c| words::usd_each(&c)),
        tokens: p.tokens.map_or_else(dash, |t| words::tokens_each(&t)),
        latency: p.latency.map_or_else(dash, |l| {
            format!("{} / {}", words::milliseconds(l.p50_ms), words::milliseconds(l.p95_ms))
        }),
        series: index.min(5) + 1,
    }
}

fn comparison_row(c: &Comparison) -> ComparisonRow {
    ComparisonRow {
        baseline: match &c.baseline_run {
            Some(run) => format!("{} in {run}", c.baseline),
            None => c.baseline.clone(),
        },
        candidate: c.candidate.clone(),
        kind: kind(c.verdict),
        verdict: match c.verdict {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::CannotTell => "can't tell",
        },
        delta: c.delta.map_or_else(|| "–".to_owned(), words::points),
        interval: c.interval.map_or_else(
            || "–".to_owned(),
            |i| format!("{} to {}", words::points(i.lower), words::points(i.upper)),
        ),
        bar: percent_of(c.interval, c.delta, -1.0, 1.0),
        wins: c.wins,
        losses: c.losses,
        ties: c.ties,
        left_out: c.left_out,
        p_value: words::p_value(c.p_value),
        adjusted: words::p_value(c.p_adjusted),
        in_this_run: c.baseline_run.is_none(),
        method: match c.method {
            Method::McnemarMidP => "McNemar mid-p, Newcombe interval",
            Method::Clusters => "sign-flip test and interval over clusters",
            Method::SignFlip => "sign-flip test, BCa bootstrap over cases",
        },
        power: words::power_note(c),
        won: c.won.join(", "),
        lost: c.lost.join(", "),
    }
}

fn grid(report: &Report) -> Vec<CaseLine> {
    let mut by_cell: BTreeMap<(&str, &str), Vec<&CaseResult>> = BTreeMap::new();
    for result in &report.results {
        by_cell.entry((&result.case, &result.prompt)).or_default().push(result);
    }
    let mut ids: Vec<&str> = report.cases.iter().map(|c| c.id.as_str()).collect();
    for result in &report.results {
        if report.case(&result.case).is_none() && ids.last() != Some(&result.case.as_str()) {
            ids.push(&result.case);
        }
    }
    ids.into_iter()
        .map(|id| {
            let case = report.case(id);
            CaseLine {
                id: id.to_owned(),
                title: case.map(|c| c.title.clone()).unwrap_or_default(),
                tags: case.map(|c| c.tags.clone()).unwrap_or_default(),
                cells: report
                    .prompts
                    .iter()
                    .map(|p| {
                        cell(id, &p.name, by_cell.get(&(id, p.name.as_str())).map_or(&[], Vec::as_slice))
                    })
                    .collect(),
            }
        })
        .collect()
}

fn cell(case: &str, prompt: &str, results: &[&CaseResult]) -> Cell {
    let tally = Tally::of(results.iter().copied());
    let (kind, letter) = match (tally.passed, tally.failed, tally.errored, tally.skipped) {
        (0, 0, 0, 0) => ("none", String::new()),
        (0, 0, 0, _) => ("skipped", "S".to_owned()),
        (0, 0, _, _) => ("errored", "E".to_owned()),
        (p, 0, _, _) => ("passed", if p == 1 { "P".to_owned() } else { format!("{p}/{p}") }),
        (0, f, _, _) => ("failed", if f == 1 { "F".to_owned() } else { format!("0/{f}") }),
        (p, f, _, _) => ("mixed", format!("{p}/{}", p + f)),
    };
    let note = results.iter().find_map(|r| match r.status {
        Status::Failed => r.first_failed.map(|c| c.name().to_owned()),
        Status::Errored => r.first_errored_check().map(|c| c.check.name().to_owned()),
        Status::Passed | Status::Skipped => None,
    });
    // The script looks results up by their names as the page shows them.
    let encoded = |name: &str| super::percent_encode(&super::cut(&super::visible(name), super::MOST_CHARS));
    let href = format!("#case={}&prompt={}", encoded(case), encoded(prompt));
    Cell { prompt: prompt.to_owned(), href, kind, letter, note: note.unwrap_or_default() }
}

fn checks(report: &Report) -> Vec<CheckRow> {
    CheckId::ALL
        .into_iter()
        .map(|check| CheckRow {
            name: check.name(),
            advisory: check.is_advisory(),
            cells: report.prompts.iter().map(|p| check_cell(report, check, &p.name)).collect(),
        })
        .collect()
}

fn check_cell(report: &Report, check: CheckId, prompt: &str) -> CheckCell {
    let mut tally = Tally::default();
    let results = report.results.iter().filter(|r| r.prompt == prompt);
    for outcome in results.flat_map(|r| &r.checks).filter(|c| c.check == check).map(|c| c.outcome) {
        tally.add(match outcome {
            Outcome::Passed => Status::Passed,
            Outcome::Failed => Status::Failed,
            Outcome::Skipped => Status::Skipped,
            Outcome::Errored => Status::Errored,
        });
    }
    let share = |n: u64| round(n as f64 / tally.total().max(1) as f64 * 100.0);
    CheckCell {
        tally,
        passed: share(tally.passed),
        failed: share(tally.failed),
        errored: share(tally.errored),
    }
}

fn classes(report: &Report) -> Vec<ClassRow> {
    let count = |p: &PromptSummary, class: &str| p.failure_classes.get(class).copied().unwrap_or(0);
    let mut names: Vec<&str> =
        report.prompts.iter().flat_map(|p| p.failure_classes.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let total = |class: &str| report.prompts.iter().map(|p| count(p, class)).sum::<u64>();
    names.sort_by(|a, b| total(b).cmp(&total(a)).then(a.cmp(b)));
    let most = report.prompts.iter().flat_map(|p| p.failure_classes.values()).copied().max().unwrap_or(1);
    names
        .into_iter()
        .map(|class| ClassRow {
            name: class.to_owned(),
            cells: report
                .prompts
                .iter()
                .map(|p| {
                    let n = count(p, class);
                    ClassCell { n, width: round(n as f64 / most.max(1) as f64 * 100.0) }
                })
                .collect(),
        })
        .collect()
}

fn slices(report: &Report) -> Vec<SliceRow> {
    report
        .slices
        .iter()
        .map(|slice| SliceRow {
            kind: match slice.kind {
                SliceKind::Tag => "tag",
                SliceKind::Cluster => "cluster",
            },
            name: slice.name.clone(),
            cells: slice
                .prompts
                .iter()
                .map(|p| SliceCell {
                    rate: words::percent(p.tally.pass_rate()),
                    counts: format!("{}/{}", p.tally.passed, p.tally.judged()),
                    few: p.tally.judged() < FEW,
                    width: round(p.tally.pass_rate().unwrap_or(0.0) * 100.0),
                })
                .collect(),
        })
        .collect()
}

fn provenance(report: &Report) -> Vec<(String, String)> {
    let run = &report.run;
    let mut rows = vec![
        ("run".to_owned(), run.id.clone()),
        ("started".to_owned(), run.started.to_string()),
        ("wall time".to_owned(), words::milliseconds((run.seconds.max(0.0) * 1e3) as u64)),
        ("assay".to_owned(), run.assay.clone()),
        ("suite".to_owned(), format!("{} ({})", run.suite, run.suite_hash)),
        ("mode".to_owned(), run.mode.clone()),
    ];
    if let Some(commit) = &run.commit {
        let branch = run.branch.as_deref().map(|b| format!(" on {b}")).unwrap_or_default();
        let dirty = if run.dirty { ", with uncommitted changes" } else { "" };
        rows.push(("commit".to_owned(), format!("{commit}{branch}{dirty}")));
    }
    if let Some(baseline) = &run.baseline {
        rows.push(("baseline run".to_owned(), baseline.clone()));
    }
    if !run.filters.is_empty() {
        rows.push(("selected".to_owned(), run.filters.join(" ")));
    }
    rows.extend(run.versions.iter().map(|(tool, version)| (tool.clone(), version.clone())));
    rows.extend(run.hashes.iter().map(|(what, hash)| (format!("{what} hash"), hash.clone())));
    rows.extend(report.prompts.iter().map(|p| (format!("prompt {}", p.name), p.hash.clone())));
    rows
}
