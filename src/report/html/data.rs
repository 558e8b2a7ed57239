//! What the script draws from: cases and results, each text once.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::MOST_CHARS;
use crate::check::outcome::CheckResult;
use crate::report::diff::diff;
use crate::report::model::{CaseInfo, Report};
use crate::report::text::{cut, visible};
use crate::score::CaseResult;

/// Texts by content: prompt versions often agree, and then a text stands in the page once.
#[derive(Default)]
struct Texts(IndexMap<String, usize>);

impl Texts {
    /// The index of a text; `None` for an absent or empty one.
    fn add(&mut self, text: Option<&str>) -> Option<usize> {
        let text = text.filter(|t| !t.is_empty())?;
        let next = self.0.len();
        Some(*self.0.entry(shown(text)).or_insert(next))
    }
}

/// A text as the page shows it; diffs are taken of these, so that their lines and columns fit.
pub(super) fn shown(text: &str) -> String {
    cut(&visible(text), MOST_CHARS)
}

pub(super) fn data(report: &Report) -> Value {
    let mut texts = Texts::default();
    let cases: Vec<Value> = report.cases.iter().map(|c| case(c, &mut texts)).collect();
    let results: Vec<Value> =
        report.results.iter().map(|r| result(r, report.case(&r.case), &mut texts)).collect();
    json!({
        "prompts": report.prompts.iter().map(|p| &p.name).collect::<Vec<_>>(),
        "cases": cases,
        "results": results,
        "texts": texts.0.into_keys().collect::<Vec<_>>(),
    })
}

fn case(case: &CaseInfo, texts: &mut Texts) -> Value {
    json!({
        "id": case.id,
        "title": case.title,
        "project": case.project,
        "model": case.model,
        "tags": case.tags,
        "cluster": case.cluster,
        "row": case.row.as_ref().map(|r| format!("{}:{}", r.file, r.line)),
        "history": case.history,
        "spec": texts.add(Some(&case.spec)),
        "sql": texts.add(Some(&case.golden_sql)),
        "yaml": texts.add(case.golden_yaml.as_deref()),
    })
}

fn result(result: &CaseResult, case: Option<&CaseInfo>, texts: &mut Texts) -> Value {
    let against = |golden: Option<&str>, candidate: Option<&str>| {
        let (golden, candidate) = (golden.filter(|t| !t.is_empty())?, candidate?);
        diff(&shown(golden), &shown(candidate))
    };
    let (sql, yaml) = (result.candidate_sql.as_deref(), result.candidate_yaml.as_deref());
    compact(json!({
        "case": result.case,
        "prompt": result.prompt,
        "trial": result.trial,
        "status": result.status,
        "first": result.first_failed,
        "score": result.score,
        "checks": result.checks.iter().map(check).collect::<Vec<_>>(),
        "golden": result.golden,
        "usage": result.usage,
        "latency": result.latency_ms,
        "finish": result.finish_reason,
        "engine": result.engine,
        "audit": result.audit,
        "mutation": result.mutation,
        "tools": result.tool_calls,
        "notes": result.review_notes,
        "tags": result.tags,
        "cluster": result.cluster,
        "sql": texts.add(sql),
        "yaml": texts.add(yaml),
        "answer": texts.add(result.answer.as_deref()),
        "diff": against(case.map(|c| c.golden_sql.as_str()), sql),
        "yamlDiff": against(case.and_then(|c| c.golden_yaml.as_deref()), yaml),
    }))
}

fn check(check: &CheckResult) -> Value {
    compact(json!({
        "check": check.check,
        "outcome": check.outcome,
        "findings": check.findings,
        "seconds": (check.seconds * 1e4).round() / 1e4,
    }))
}

/// An object without the fields that say nothing: a page of a thousand results is mostly such fields.
pub(super) fn compact(value: Value) -> Value {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, value)| says_something(value)).collect())
        }
        other => other,
    }
}
