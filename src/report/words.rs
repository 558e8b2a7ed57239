//! The sentences that every form of the report shares.

use std::collections::BTreeMap;

use super::comparison::{Comparison, Verdict};
use super::model::{PromptSummary, Report};
use crate::check::outcome::Outcome;
use crate::score::{CaseResult, Cost, Tokens};
use crate::sql::verdict::{Comparison as SqlComparison, Method, Verdict as SqlVerdict};
use crate::stats::interval::Interval;

/// `78.3 %`; an en dash where there is no number.
pub fn percent(rate: Option<f64>) -> String {
    match rate {
        Some(rate) if rate.is_finite() => format!("{:.1} %", rate * 100.0),
        _ => "–".to_owned(),
    }
}

/// `66.4–86.9 %`; an en dash where there is none.
pub fn percent_interval(interval: Option<Interval>) -> String {
    interval.map_or_else(|| "–".to_owned(), |i| format!("{:.1}–{:.1} %", i.lower * 100.0, i.upper * 100.0))
}

/// `+6.2`, `−3.0`: percentage points with a sign.
pub fn points(delta: f64) -> String {
    let value = format!("{:.1}", (delta * 100.0).abs());
    if value == "0.0" {
        return "0.0".to_owned();
    }
    format!("{}{value}", if delta < 0.0 { "−" } else { "+" })
}

/// `1 win`, `2 wins`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `p = 0.031`, `p < 0.001`.
pub fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") }
}

/// `412 ms`, `1.3 s`, `2 min 5 s`.
pub fn milliseconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1e3),
        _ => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
    }
}

/// What the baseline is called: the prompt version, or the run where only the run differs.
pub fn baseline_name(c: &Comparison) -> String {
    match &c.baseline_run {
        Some(run) if c.baseline == c.candidate => format!("itself in run {run}"),
        Some(run) => format!("{} in run {run}", c.baseline),
        None => c.baseline.clone(),
    }
}

/// What a comparison says, without numbers.
pub fn comparison_verdict(c: &Comparison) -> String {
    let before = baseline_name(c);
    if c.delta.is_none() {
        return format!("{} and {before} have no judged case in common", c.candidate);
    }
    match c.verdict {
        Verdict::Better => format!("{} is better than {before}", c.candidate),
        Verdict::Worse => format!("{} is worse than {before}", c.candidate),
        Verdict::CannotTell => format!("Can't tell {} from {before}", c.candidate),
    }
}

/// The numbers behind it; `None` without common cases.
pub fn comparison_numbers(c: &Comparison) -> Option<String> {
    let delta = c.delta?;
    let interval = c
        .interval
        .map_or_else(String::new, |i| format!(" (95 % interval {} to {})", points(i.lower), points(i.upper)));
    Some(format!(
        "{} points{interval}, {}, {}, {}, {}",
        points(delta),
        count(c.wins, "win", "wins"),
        count(c.losses, "loss", "losses"),
        count(c.ties, "tie", "ties"),
        adjusted_p_value(c),
    ))
}

/// Says so where other comparisons of the report raised it: the interval beside it is of this comparison alone.
fn adjusted_p_value(c: &Comparison) -> String {
    if c.p_adjusted > c.p_value { format!("{} (Holm)", p_value(c.p_adjusted)) } else { p_value(c.p_adjusted) }
}

/// A comparison in one sentence, without full stop.
pub fn comparison(c: &Comparison) -> String {
    match comparison_numbers(c) {
        Some(numbers) => format!("{}: {numbers}", comparison_verdict(c)),
        None => comparison_verdict(c),
    }
}

/// A comparison in one sentence, with what the suite could have shown where it decides nothing.
pub fn comparison_with_power(c: &Comparison) -> String {
    match power_note(c) {
        Some(note) => format!("{}; {note}", comparison(c)),
        None => comparison(c),
    }
}

/// The failed and errored checks of a result, a line a finding: `rows: 2 rows are missing [join_type, sql:31]`.
pub fn findings(result: &CaseResult) -> Vec<String> {
    let mut lines = Vec::new();
    for check in &result.checks {
        if !matches!(check.outcome, Outcome::Failed | Outcome::Errored) {
            continue;
        }
        let errored = if check.outcome == Outcome::Errored { " (errored)" } else { "" };
        for finding in &check.findings {
            let place = finding.place.as_deref().map(|p| format!(", {p}")).unwrap_or_default();
            lines.push(format!("{}{errored}: {} [{}{place}]", check.check, finding.message, finding.class));
        }
    }
    lines
}

/// A SQL verdict with the reason: `differs (search): 2 rows tell them apart`.
pub fn sql_verdict(comparison: &SqlComparison) -> String {
    format!(
        "{} ({}): {}",
        sql_verdict_word(comparison.verdict),
        sql_method(comparison.method),
        comparison.reason
    )
}

/// The word for a SQL verdict.
pub fn sql_verdict_word(verdict: SqlVerdict) -> &'static str {
    match verdict {
        SqlVerdict::Identical => "identical",
        SqlVerdict::Equivalent => "equivalent",
        SqlVerdict::Agrees => "agrees",
        SqlVerdict::Differs => "differs",
        SqlVerdict::Unknown => "unknown",
    }
}

/// The words for the rung that decided.
pub fn sql_method(method: Method) -> &'static str {
    match method {
        Method::Text => "text",
        Method::Ast => "ast",
        Method::NormalForm => "normal form",
        Method::Shape => "columns",
        Method::Execution => "execution",
        Method::Search => "search",
    }
}

/// Cost of one answer, on average: `$0.0021`.
pub fn usd_each(cost: &Cost) -> String {
    format!("${:.4}", cost.usd / cost.answers.max(1) as f64)
}

/// Tokens of one answer, in and out, on average: `1850 / 420`.
pub fn tokens_each(tokens: &Tokens) -> String {
    let each = |n: u64| (n as f64 / tokens.answers.max(1) as f64).round();
    format!("{} / {}", each(tokens.input), each(tokens.output))
}

/// What an undecided comparison could have shown; `None` for a decided one.
pub fn power_note(c: &Comparison) -> Option<String> {
    if c.verdict != Verdict::CannotTell || c.cases == 0 {
        return None;
    }
    Some(match c.detectable {
        Some(d) => {
            format!("this suite can detect >= {} pp with 80 % power ({})", (d * 100.0).ceil(), size(c))
        }
        None => format!("{} cannot show any difference with 80 % power: add cases", size(c)),
    })
}

/// `20 cases`, `20 cases in 7 clusters`.
fn size(c: &Comparison) -> String {
    let cases = count(c.cases, "case", "cases");
    match c.clusters {
        Some(clusters) => format!("{cases} in {}", count(clusters, "cluster", "clusters")),
        None => cases,
    }
}

/// A prompt version's result in one sentence, without full stop.
pub fn prompt(p: &PromptSummary) -> String {
    let judged = p.passed + p.failed;
    if judged == 0 {
        return format!("{}: nothing could be judged", p.name);
    }
    format!(
        "{} passes {} of {judged}: {} (95 % interval {})",
        p.name,
        p.passed,
        percent(p.pass_rate),
        percent_interval(p.interval),
    )
}

/// What could not be decided, in one sentence; `None` where everything was.
pub fn undecided(report: &Report) -> Option<String> {
    let tally = report.tally();
    let mut parts = Vec::new();
    if tally.errored > 0 {
        parts.push(format!("{} could not be judged", count(tally.errored, "result", "results")));
    }
    if tally.skipped > 0 {
        parts.push(format!(
            "{} skipped (no answer, or no tool to decide with)",
            count(tally.skipped, "result", "results")
        ));
    }
    (!parts.is_empty()).then(|| format!("{}; not counted", parts.join(", ")))
}

/// How each prompt version that called tools used them: calls, and failed ones by code.
pub fn tool_use(report: &Report) -> Vec<String> {
    let sentence = |prompt: &str| {
        let own = report.results.iter().filter(|result| result.prompt == prompt);
        let calls: Vec<_> = own.flat_map(|result| &result.tool_calls).collect();
        let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
        for code in calls.iter().filter_map(|call| call.error.as_deref()) {
            *failed.entry(code).or_default() += 1;
        }
        let codes: Vec<String> = failed.iter().map(|(code, n)| format!("{code} {n}")).collect();
        let failed = match failed.values().sum::<u64>() {
            0 => "none failed".to_owned(),
            n => format!("{n} failed ({})", codes.join(", ")),
        };
        let called = count(calls.len() as u64, "tool call", "tool calls");
        (!calls.is_empty()).then(|| format!("{prompt} made {called}, {failed}"))
    };
    report.prompts.iter().filter_map(|prompt| sentence(&prompt.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::comparison::{ClusterMap, OutcomeMap, compare};

    fn versus(before: &[bool], after: &[bool]) -> Comparison {
        let map = |outcomes: &[bool]| -> OutcomeMap {
            outcomes.iter().enumerate().map(|(i, p)| (format!("{i:03}"), (u64::from(*p), 1))).collect()
        };
        compare(("v1", None, &map(before)), ("v2", &map(after)), &ClusterMap::new())
    }

    #[test]
    fn numbers() {
        assert_eq!(percent(Some(0.7834)), "78.3 %");
        assert_eq!(percent(None), "–");
        assert_eq!(percent(Some(f64::NAN)), "–");
        assert_eq!(
            (points(0.062), points(-0.03), points(-0.0001)),
            ("+6.2".into(), "−3.0".into(), "0.0".into())
        );
        assert_eq!((p_value(0.0312), p_value(0.0)), ("p = 0.031".into(), "p < 0.001".into()));
        assert_eq!(milliseconds(125_400), "2 min 5 s");
    }

    #[test]
    fn an_undecided_comparison_says_what_the_suite_could_have_shown() {
        let flat = versus(&[true; 20], &[true; 20]);
        assert_eq!(
            comparison(&flat),
            "Can't tell v2 from v1: 0.0 points (95 % interval −16.1 to +16.1), 0 wins, 0 losses, 20 ties, p = 1.000"
        );
        assert_eq!(power_note(&flat).unwrap(), "this suite can detect >= 32 pp with 80 % power (20 cases)");
        let tiny = versus(&[true; 3], &[false; 3]);
        assert_eq!(
            power_note(&tiny).unwrap(),
            "3 cases cannot show any difference with 80 % power: add cases"
        );
    }

    #[test]
    fn a_decided_comparison_needs_no_power_note() {
        let better = versus(&[false; 12], &[true; 12]);
        assert!(comparison(&better).starts_with("v2 is better than v1: +100.0 points"));
        assert_eq!(power_note(&better), None);
        assert_eq!(comparison(&versus(&[], &[])), "v2 and v1 have no judged case in common");
    }
}
