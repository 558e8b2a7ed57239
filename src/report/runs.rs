//! Two runs against each other, prompt version by prompt version.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::comparison::{Comparison, Verdict, adjust, clusters_of, compare, outcomes_of};
use super::markdown::escape;
use super::model::{Report, SCHEMA};
use super::text::{cut, one_line};
use super::words;
use crate::score::{CaseResult, Status};

/// Cases named under a comparison in text and Markdown.
const MOST_CASES: usize = 20;

/// A later run against an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RunComparison {
    /// Version of this format, that of report.json.
    pub schema: u32,
    /// Run compared with.
    pub baseline: String,
    /// Run judged.
    pub candidate: String,
    /// Cases left out because their spec or golden is not the same in both runs.
    pub changed_cases: Vec<String>,
    /// One comparison a prompt version.
    pub comparisons: Vec<Comparison>,
    /// Why each lost case fails in the candidate run, in the order of the comparisons.
    pub losses: Vec<Loss>,
}

/// A case that a prompt version passed more often in the earlier run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Loss {
    /// Prompt version.
    pub prompt: String,
    /// Case id.
    pub case: String,
    /// First failed check and its first finding.
    pub reason: String,
}

impl RunComparison {
    /// Compares the prompt versions that both runs have; where they have none in common and one each, these two.
    ///
    /// # Errors
    /// Where no pair can be made; the message names the prompt versions.
    pub fn new(baseline: &Report, candidate: &Report) -> Result<Self, String> {
        let changed = changed_cases(baseline, candidate);
        let unchanged = |report: &Report| -> Vec<CaseResult> {
            report.results.iter().filter(|r| !changed.contains(&r.case)).cloned().collect()
        };
        let (before, after) = (unchanged(baseline), unchanged(candidate));
        let clusters = clusters_of(&after);
        let mut comparisons: Vec<Comparison> = pairs(baseline, candidate)?
            .into_iter()
            .map(|(old, new)| {
                let run = Some(baseline.run.id.as_str());
                compare((old, run, &outcomes_of(&before, old)), (new, &outcomes_of(&after, new)), &clusters)
            })
            .collect();
        adjust(&mut comparisons);
        let losses = comparisons
            .iter()
            .flat_map(|c| {
                c.lost.iter().map(|case| Loss {
                    prompt: c.candidate.clone(),
                    case: case.clone(),
                    reason: reason(&after, &c.candidate, case),
                })
            })
            .collect();
        Ok(Self {
            schema: SCHEMA,
            baseline: baseline.run.id.clone(),
            candidate: candidate.run.id.clone(),
            changed_cases: changed.into_iter().collect(),
            comparisons,
            losses,
        })
    }

    /// Whether a prompt version is worse, beyond chance.
    pub fn is_regression(&self) -> bool {
        self.comparisons.iter().any(|c| c.verdict == Verdict::Worse)
    }

    /// Whether there was nothing to compare: no case judged in both runs.
    pub fn is_empty(&self) -> bool {
        self.comparisons.iter().all(|c| c.cases == 0)
    }

    /// The comparison as JSON.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The comparison as plain text.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for c in &self.comparisons {
            out.push_str(&format!("{}\n", one_line(&words::comparison_with_power(c))));
            list(&mut out, "  lost  ", &self.lost_lines(c, one_line));
            list(&mut out, "  won   ", &c.won.iter().map(|case| one_line(case)).collect::<Vec<_>>());
        }
        if let Some(note) = self.changed_note() {
            out.push_str(&format!("{}\n", one_line(&note)));
        }
        out
    }

    /// The comparison as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("## assay: {} against {}\n", escape(&self.candidate), escape(&self.baseline));
        for c in &self.comparisons {
            out.push_str(&format!("\n{}\n\n", escape(&words::comparison_with_power(c))));
            list(&mut out, "- lost: ", &self.lost_lines(c, escape));
            list(&mut out, "- won: ", &c.won.iter().map(|case| escape(case)).collect::<Vec<_>>());
        }
        if let Some(note) = self.changed_note() {
            out.push_str(&format!("\n{}\n", escape(&note)));
        }
        out
    }

    fn lost_lines(&self, c: &Comparison, shown: impl Fn(&str) -> String) -> Vec<String> {
        self.losses
            .iter()
            .filter(|l| l.prompt == c.candidate)
            .map(|l| format!("{}: {}", shown(&l.case), shown(&cut(&l.reason, 200))))
            .collect()
    }

    fn changed_note(&self) -> Option<String> {
        (!self.changed_cases.is_empty()).then(|| {
            format!(
                "left out, because spec or golden changed between the runs: {}",
                self.changed_cases.join(", ")
            )
        })
    }
}

fn list(out: &mut String, prefix: &str, lines: &[String]) {
    for line in lines.iter().take(MOST_CASES) {
        out.push_str(&format!("{prefix}{line}\n"));
    }
    if lines.len() > MOST_CASES {
        out.push_str(&format!("{prefix}{} more\n", lines.len() - MOST_CASES));
    }
}

fn changed_cases(baseline: &Report, candidate: &Report) -> BTreeSet<String> {
    let asks = |report: &Report, id: &str| {
        report
            .case(id)
            .map(|c| (c.spec.clone(), c.golden_sql.clone(), c.golden_yaml.clone(), c.model.clone()))
    };
    candidate
        .cases
        .iter()
        .filter(|c| baseline.case(&c.id).is_some() && asks(baseline, &c.id) != asks(candidate, &c.id))
        .map(|c| c.id.clone())
        .collect()
}

fn pairs<'a>(baseline: &'a Report, candidate: &'a Report) -> Result<Vec<(&'a str, &'a str)>, String> {
    let names = |report: &'a Report| report.prompts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>();
    let (old, new) = (names(baseline), names(candidate));
    let common: Vec<(&str, &str)> = new.iter().filter(|n| old.contains(n)).map(|n| (*n, *n)).collect();
    if !common.is_empty() {
        return Ok(common);
    }
    if let ([old], [new]) = (old.as_slice(), new.as_slice()) {
        return Ok(vec![(*old, *new)]);
    }
    Err(format!(
        "the runs have no prompt version in common: {} has {}, {} has {}",
        baseline.run.id,
        or_none(&old),
        candidate.run.id,
        or_none(&new)
    ))
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn reason(results: &[CaseResult], prompt: &str, case: &str) -> String {
    results
        .iter()
        .filter(|r| r.prompt == prompt && r.case == case && r.status == Status::Failed)
        .find_map(|r| {
            let check = r.first_failed_check()?;
            let message = check.findings.first().map_or("no finding", |f| f.message.as_str());
            Some(format!("{}: {message}", check.check))
        })
        .unwrap_or_default()
}
