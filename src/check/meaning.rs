//! The SQL verdict of a candidate against its golden, and what it means for `rows`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::AgreesPolicy;
use crate::generate::contract::Candidate;
use crate::sql::compare::{Options, compare as compare_sql};
use crate::sql::model::{self, Branch, Model};
use crate::sql::schema::{Column, Table};
use crate::sql::{Comparison, Dialect, Method, Schema, Verdict, relations};
use crate::suite::{Case, context};
use crate::tool::duckdb::Pool;

use super::golden::{self, GoldenOptions};
use super::{CheckResult, Finding, Outcome};

/// dbt's own compiled SQL of the two, as far as dbt compiled them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compiled<'a> {
    /// The golden's.
    pub golden: Option<&'a str>,
    /// The candidate's.
    pub candidate: Option<&'a str>,
}

/// Compares the two models: by proof, then, where there is a pool, by searching for rows that differ. A model that asks
/// `is_incremental()` is compared in both branches; `columns` are those of the golden's relation, which the incremental
/// branch may read as `this`. Where a text calls macros that only dbt can expand, dbt's compiled SQL takes its place, and the
/// reason says so.
pub async fn compare(
    case: &Case,
    candidate: &Candidate,
    schema: &Schema,
    columns: &[(String, String)],
    compiled: Compiled<'_>,
    pool: Option<&Pool>,
    deadline: Duration,
) -> Comparison {
    let context = context(&case.project, case.dialect, &case.model);
    let read = |sql: &str, side: &str| {
        Model::read(sql, &context).map_err(|fault| {
            let reason = format!("the {side}'s Jinja cannot be rendered: {}", fault.message);
            Box::new(Comparison::new(Verdict::Unknown, Method::Text, reason))
        })
    };
    let (golden, drafted) = match (read(&case.golden.sql, "golden"), read(&candidate.sql, "candidate")) {
        (Ok(golden), Ok(drafted)) => (golden, drafted),
        (Err(unread), _) | (_, Err(unread)) => return *unread,
    };
    let options = GoldenOptions { dialect: case.dialect, deadline, ..GoldenOptions::default() };
    let proof = Options { dialect: case.dialect, contract: options.contract };
    let with_this = with_this(schema, &case.model, columns);
    let mut comparisons = Vec::new();
    for pair in model::pairs(&golden, &drafted) {
        let full = pair.branch == Branch::Full;
        let schema = if full { schema } else { &with_this };
        let comparison = match (pair.settled(), compiled.golden, compiled.candidate) {
            (None, ..) => golden::judge(&pair.golden.sql, &pair.candidate.sql, schema, &options, pool).await,
            // A source may stand for a relation of another name, of which the facts are not known: no search.
            (Some(settled), Some(golden), Some(candidate)) if full && settled.verdict == Verdict::Unknown => {
                let mut names = Names { schema, taken: BTreeMap::new() };
                let mut text = |sql: &str| names.as_in_schema(sql, case.dialect);
                let (golden, drafted) = (text(golden), text(candidate));
                let mut found = compare_sql(&golden, &drafted, schema, &proof);
                found.reason = format!("as dbt compiled them: {}", found.reason);
                found
            }
            (Some(settled), ..) => settled,
        };
        let decided = comparison.verdict == Verdict::Differs;
        comparisons.push(comparison);
        if decided {
            break;
        }
    }
    model::combine(&golden, &drafted, comparisons, &with_this, &proof)
}

/// The names that the schema has for the relations of dbt's compiled SQL: a source's table behind its schema, a model alone.
struct Names<'a> {
    schema: &'a Schema,
    /// The relation that a name of the schema stands for, in either text.
    taken: BTreeMap<String, String>,
}

impl Names<'_> {
    /// The text with those names. A relation that may be another keeps its own, of which nothing is known.
    fn as_in_schema(&mut self, sql: &str, dialect: Dialect) -> String {
        let taken = RefCell::new(&mut self.taken);
        relations::renamed(sql, dialect, |name| {
            let known = name_in(self.schema, name)?;
            let relation = name.to_lowercase();
            let mut taken = taken.borrow_mut();
            let stands_for = taken.entry(known.clone()).or_insert_with(|| relation.clone());
            (*stands_for == relation).then_some(known)
        })
    }
}

fn name_in(schema: &Schema, name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let last = parts.last()?;
    let same_last =
        |known: &str| known.rsplit('.').next().is_some_and(|table| table.eq_ignore_ascii_case(last));
    (0..parts.len()).find_map(|from| {
        let wanted = parts[from..].join(".");
        let known = schema.tables.keys().find(|known| known.eq_ignore_ascii_case(&wanted))?;
        // A table of any schema has a model's name; where a source has such a table, which of the two it is is not known.
        let other = schema.tables.keys().any(|name| name.contains('.') && same_last(name));
        (known.contains('.') || !other).then(|| known.clone())
    })
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
    let class = comparison
        .explanation
        .iter()
        .find(|change| change.class != "cosmetic")
        .map_or("rows_differ", |change| change.class.as_str());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_names_become_those_of_the_schema() {
        let mut schema = Schema::default();
        for name in ["stg_orders", "raw.customers"] {
            schema.tables.insert(name.to_owned(), Table::default());
        }
        let compiled = "with o as (\n  select é.id from \"dev\".\"main\".\"stg_orders\" as é\n)\nselect o.id, 'dev.main.stg_orders' as s\n\
                        from o join \"dev\".\"raw\".\"customers\" c using (id), \"dev\".\"main\".\"other\"";
        let mut names = Names { schema: &schema, taken: BTreeMap::new() };
        assert_eq!(
            names.as_in_schema(compiled, Dialect::DuckDb),
            "with o as (\n  select é.id from stg_orders as é\n)\nselect o.id, 'dev.main.stg_orders' as s\n\
             from o join raw.customers c using (id), \"dev\".\"main\".\"other\""
        );
        assert_eq!(names.as_in_schema("select from where", Dialect::DuckDb), "select from where");
        // One name for two relations would make them one table.
        let other = "select id from dev.staging.stg_orders";
        assert_eq!(names.as_in_schema(other, Dialect::DuckDb), other);
        // `customers` may be the source's table under its real schema, or the model.
        schema.tables.insert("customers".to_owned(), Table::default());
        assert_eq!(name_in(&schema, "dev.raw_eu.customers"), None);
        assert_eq!(name_in(&schema, "dev.raw.customers").as_deref(), Some("raw.customers"));
    }
}
