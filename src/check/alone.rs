//! What the rows of a model say without a golden beside them.

use crate::dbt::facts::Relation;
use crate::suite::Case;

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

/// `rows` where there is no golden: there are some, the grain holds, and every column is filled somewhere.
pub(super) fn rows(profile: &Profile, grain: &[String]) -> CheckResult {
    let mut findings = Vec::new();
    if profile.rows == 0 {
        findings.push(Finding::new("no_rows", "the model has no rows on the project's data"));
    }
    if profile.repeated.count > 0 {
        findings.push(repeated_keys(&profile.repeated, grain));
    }
    findings.extend(profile.always_null.iter().map(|column| {
        Finding::new(
            "always_null",
            format!("column `{column}` is NULL in every row: a join that never matches?"),
        )
    }));
    match findings.is_empty() && !profile.has_grain {
        true => CheckResult::skipped(CheckId::Rows, "there is no golden, and no grain is known"),
        false => CheckResult::from_findings(CheckId::Rows, findings),
    }
}

/// Columns that hold personal data.
pub(super) fn exposed(profile: &Profile) -> Vec<Finding> {
    let findings = profile.personal.iter().map(|(column, what, rows)| {
        Finding::new("pii_values", format!("column `{column}` holds {what} ({rows} values)"))
    });
    findings.collect()
}
