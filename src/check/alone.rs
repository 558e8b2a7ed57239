//! What the rows of a model say without a golden beside them.

use crate::dbt::facts::Relation;
use crate::sql::joins::{self, Join};
use crate::suite::Case;

use super::build::join_profile::JoinProfile;
use super::build::profile::{PersonalColumn, Profile};
use super::build::rows::DuckdbFault;
use super::build::{BuildReport, Builder};
use super::built::{GoldenBuild, repeated_keys, side};
use super::{CheckId, CheckResult, Finding};

/// Looks at a model's rows where nothing else does: at all of it where there is no golden, else for personal data in columns
/// that the golden does not have. `None` where there is nothing to look at.
pub(super) async fn profile(
    builder: &Builder,
    case: &Case,
    report: &BuildReport,
    golden: Option<&GoldenBuild>,
) -> Option<Result<Profile, DuckdbFault>> {
    let side = side(report)?;
    let known = golden.map_or(&[][..], GoldenBuild::columns);
    let is_new = |name: &&String| !known.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let new: Vec<String> = side.columns.iter().map(|(name, _)| name).filter(is_new).cloned().collect();
    // What the golden is, is only known where it was built.
    if golden.is_some() && (known.is_empty() || new.is_empty()) {
        return None;
    }
    let (types, relations) = (builder.types(), builder.relations());
    let mut personal = Vec::new();
    for parent in &report.depends_on {
        let (Some(columns), Some(relation)) = (types.get(parent), relations.get(parent)) else { continue };
        for (column, _) in columns.iter().filter(|(column, _)| is_personal(case, column)) {
            let name = match parent {
                Relation::Ref(name) | Relation::Source(_, name) => format!("{name}.{column}"),
            };
            personal.push(PersonalColumn { relation: relation.clone(), column: column.clone(), name });
        }
    }
    Some(builder.duckdb().profile(side, &case.grain, &new, &personal).await)
}

fn is_personal(case: &Case, column: &str) -> bool {
    case.pii.iter().any(|name| name.eq_ignore_ascii_case(column))
}

/// What the joins of a model do, where nothing else says what its rows should be.
pub(super) async fn joins(builder: &Builder, case: &Case, report: &BuildReport) -> Vec<(Join, JoinProfile)> {
    let (Some(side), Some(sql)) = (side(report), &report.compiled_sql) else { return Vec::new() };
    let joins = joins::joins(sql, &builder.compiled_schema(report), case.dialect);
    // What cannot be run by itself says nothing.
    let profiles = builder.duckdb().join_profiles(side, &joins).await.unwrap_or_default();
    joins.into_iter().zip(profiles).collect()
}

/// `rows` where there is no golden: there are some, the grain holds, every column is filled somewhere, and every join finds
/// something. Rows that a join drops or counts twice, and NULLs, are shown: the request may want them.
pub(super) fn rows(profile: &Profile, joins: &[(Join, JoinProfile)], grain: &[String]) -> CheckResult {
    let mut findings = Vec::new();
    if profile.rows == 0 {
        findings.push(Finding::new("no_rows", "the model has no rows on the project's data"));
    }
    let is_repeated = profile.repeated.count > 0;
    if is_repeated {
        findings.push(repeated_keys(&profile.repeated, grain));
    }
    findings.extend(profile.always_null.iter().map(|column| {
        Finding::new(
            "always_null",
            format!("column `{column}` is NULL in every row: a join that never matches?"),
        )
    }));
    let never = |profile: &JoinProfile| profile.rows > 0 && profile.matched == 0;
    findings.extend(joins.iter().filter(|(_, profile)| never(profile)).map(|(join, profile)| {
        let message = format!("none of {} rows finds a partner: {}", profile.rows, words(join));
        Finding::new("join_never_matches", message)
    }));
    let fails = !findings.is_empty();
    for (join, join_profile) in joins.iter().filter(|(join, profile)| join.is_exact && !never(profile)) {
        let several = &join_profile.several;
        // Without a grain nobody knows whether the rows should be so many.
        if several.count > 0 && (join.sums_left || is_repeated || !profile.has_grain) {
            let what = if join.sums_left {
                "what is summed or counted of the left side counts more than once"
            } else {
                "rows are multiplied"
            };
            let examples = several.examples.iter().map(|values| match values.split_last() {
                Some((rows, key)) => format!("{} ({} rows)", cells(key), rows.as_deref().unwrap_or("?")),
                None => String::new(),
            });
            let message = format!(
                "{what}: {}, of which {} several rows: {}",
                words(join),
                if several.count == 1 {
                    "1 value has".to_owned()
                } else {
                    format!("{} values have", several.count)
                },
                list(examples, several.count)
            );
            findings.push(Finding::new("fan_out", message));
        }
        let unmatched = &join_profile.unmatched;
        if join.drops && unmatched.count > 0 {
            let message = format!(
                "rows without a partner are dropped: {}, {} without one: {}",
                words(join),
                if unmatched.count == 1 {
                    "1 value".to_owned()
                } else {
                    format!("{} values", unmatched.count)
                },
                list(unmatched.examples.iter().map(|key| cells(key)), unmatched.count)
            );
            findings.push(Finding::new("row_loss", message));
        }
    }
    if profile.rows > 0 && !profile.nulls.is_empty() {
        let columns: Vec<String> =
            profile.nulls.iter().map(|(column, rows)| format!("{column} in {rows}")).collect();
        let message = format!("NULL, of {} rows: {}", profile.rows, columns.join(", "));
        findings.push(Finding::new("nulls", message));
    }
    match (fails, profile.has_grain) {
        (true, _) => CheckResult::from_findings(CheckId::Rows, findings),
        (false, true) => CheckResult { findings, ..CheckResult::passed(CheckId::Rows) },
        (false, false) => {
            let mut skipped =
                CheckResult::skipped(CheckId::Rows, "there is no golden, and no grain is known");
            skipped.findings.extend(findings);
            skipped
        }
    }
}

/// `stg_orders is joined with stg_lines on order_id`.
fn words(join: &Join) -> String {
    let table = |tables: &[String]| {
        let name = tables.first().map_or("a query", |table| table.rsplit('.').next().unwrap_or(table));
        name.to_owned()
    };
    format!(
        "{} is joined with {} on {}",
        table(&join.left_tables),
        table(&join.right_tables),
        join.on.join(", ")
    )
}

fn cells(key: &[Option<String>]) -> String {
    let cells: Vec<&str> = key.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    match cells.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("({})", several.join(", ")),
    }
}

fn list(examples: impl Iterator<Item = String>, count: u64) -> String {
    let shown: Vec<String> = examples.collect();
    format!("{}{}", shown.join(", "), if count > shown.len() as u64 { ", ..." } else { "" })
}

/// Columns that hold personal data.
pub(super) fn exposed(profile: &Profile) -> Vec<Finding> {
    let findings = profile.personal.iter().map(|(column, what, rows)| {
        Finding::new("pii_values", format!("column `{column}` holds {what} ({rows} values)"))
    });
    findings.collect()
}
