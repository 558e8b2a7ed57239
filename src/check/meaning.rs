//! The SQL verdict of a candidate against its golden, and what it means for `rows`.

use std::time::Duration;

use crate::config::AgreesPolicy;
use crate::generate::contract::Candidate;
use crate::sql::jinja::{self, Rendered};
use crate::sql::schema::{Column, Table};
use crate::sql::{Comparison, Method, Schema, Verdict};
use crate::suite::{Case, context};
use crate::tool::duckdb::Pool;

use super::golden::{self, GoldenOptions};
use super::{CheckResult, Finding, Outcome};

/// Compares the rendered SQL of both: by proof, then, where there is a pool, by searching for rows that differ. A model
/// that asks `is_incremental()` is compared in both branches; `columns` are those of the golden's relation, which the
/// incremental branch may read as `this`.
pub async fn compare(
    case: &Case,
    candidate: &Candidate,
    schema: &Schema,
    columns: &[(String, String)],
    pool: Option<&Pool>,
    deadline: Duration,
) -> Comparison {
    let options = GoldenOptions { dialect: case.dialect, deadline, ..GoldenOptions::default() };
    let (golden, drafted) = match render(case, candidate, false) {
        Ok(both) => both,
        Err(unread) => return *unread,
    };
    let first = golden::judge(&golden.sql, &drafted.sql, schema, &options, pool).await;
    if first.verdict == Verdict::Differs || !(golden.uses_incremental || drafted.uses_incremental) {
        return first;
    }
    let (golden, drafted) = match render(case, candidate, true) {
        Ok(both) => both,
        Err(unread) => return *unread,
    };
    let schema = with_this(schema, &case.model, columns);
    let mut second = golden::judge(&golden.sql, &drafted.sql, &schema, &options, pool).await;
    if strength(second.verdict) < strength(first.verdict) {
        second.reason = format!("on an incremental run: {}", second.reason);
        return second;
    }
    let mut both = first;
    for fact in second.facts {
        if !both.facts.contains(&fact) {
            both.facts.push(fact);
        }
    }
    both
}

fn render(
    case: &Case,
    candidate: &Candidate,
    incremental: bool,
) -> Result<(Rendered, Rendered), Box<Comparison>> {
    let context = jinja::Context { incremental, ..context(&case.project, case.dialect, &case.model) };
    let side = |sql: &str, side: &str| {
        jinja::render(sql, &context).map_err(|fault| {
            let reason = format!("the {side}'s Jinja cannot be rendered: {}", fault.message);
            Box::new(Comparison::new(Verdict::Unknown, Method::Text, reason))
        })
    };
    Ok((side(&case.golden.sql, "golden")?, side(&candidate.sql, "candidate")?))
}

/// The schema with the model itself in it, as an incremental run finds it.
fn with_this(schema: &Schema, model: &str, columns: &[(String, String)]) -> Schema {
    let mut schema = schema.clone();
    let mut this = Table::default();
    for (name, data_type) in columns {
        let column = Column { data_type: data_type.clone(), nullable: true, accepted_values: None };
        this.columns.insert(name.clone(), column);
    }
    schema.tables.insert(model.to_owned(), this);
    schema
}

/// Of two branches the weaker verdict counts.
fn strength(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Differs => 0,
        Verdict::Unknown => 1,
        Verdict::Agrees => 2,
        Verdict::Equivalent => 3,
        Verdict::Identical => 4,
    }
}

/// Lets what the project's own rows say weigh on the verdict: rows that differ settle what was open, and rows that are
/// the same are a database on which both agree. Rows that contradict a proof are a fault of this program: then nothing is known.
pub fn learn(comparison: &mut Comparison, same_rows: Option<bool>) {
    let (verdict, reason) = match (same_rows, comparison.verdict) {
        (Some(false), Verdict::Agrees | Verdict::Unknown) => {
            (Verdict::Differs, "the rows differ on the project's data".to_owned())
        }
        (Some(false), Verdict::Identical | Verdict::Equivalent) => (
            Verdict::Unknown,
            format!("the rows on the project's data contradict the proof ({})", comparison.reason),
        ),
        (Some(true), Verdict::Unknown) => (
            Verdict::Agrees,
            format!("the same rows on the project's data; otherwise: {}", comparison.reason),
        ),
        _ => return,
    };
    comparison.verdict = verdict;
    comparison.method = Method::Execution;
    comparison.reason = reason;
}

/// Lets the verdict weigh on `rows`: rows that are the same on the project's data do not make a model right that is
/// shown to differ, and a proof stands where dbt was not run.
pub fn weigh(rows: &mut CheckResult, comparison: &Comparison, agrees: AgreesPolicy) {
    let class = comparison.explanation.first().map_or("rows_differ", |change| change.class.as_str());
    match (rows.outcome, comparison.verdict) {
        (Outcome::Failed, _) => {
            for finding in rows.findings.iter_mut().filter(|finding| finding.class == "rows_differ") {
                class.clone_into(&mut finding.class);
            }
        }
        (Outcome::Passed | Outcome::Skipped, Verdict::Differs) => {
            rows.outcome = Outcome::Failed;
            rows.findings = vec![Finding::new(class, comparison.reason.clone())];
        }
        (Outcome::Skipped, Verdict::Identical | Verdict::Equivalent) => {
            rows.outcome = Outcome::Passed;
            rows.findings.clear();
        }
        (Outcome::Passed, Verdict::Agrees | Verdict::Unknown) if agrees == AgreesPolicy::Fail => {
            rows.outcome = Outcome::Failed;
            rows.findings =
                vec![Finding::new("not_proved", "the rows are the same, but equality is not proved")];
        }
        _ => {}
    }
}
