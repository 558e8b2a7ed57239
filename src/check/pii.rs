//! `pii`: columns with personal data do not come out, unless the golden shows them too.

use super::{CheckId, CheckResult, Finding};

/// An output column that was seen to hold personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// The output column.
    pub column: String,
    /// How it was seen: `its values look like mail addresses`.
    pub evidence: String,
}

/// Judges the output columns by name, and what was seen in their values.
pub fn check(
    pii: &[String],
    columns: Option<&[String]>,
    golden_columns: &[String],
    exposures: &[Exposure],
) -> CheckResult {
    let in_golden = |name: &str| golden_columns.iter().any(|column| column.eq_ignore_ascii_case(name));
    let mut findings: Vec<Finding> = Vec::new();
    for column in columns.unwrap_or_default().iter().filter(|column| !in_golden(column)) {
        if pii.iter().any(|name| name.eq_ignore_ascii_case(column)) {
            findings.push(Finding::new("pii_column", format!("column `{column}` holds personal data")));
        } else if let Some(seen) = exposures.iter().find(|seen| seen.column.eq_ignore_ascii_case(column)) {
            findings.push(Finding::new("pii_values", format!("column `{column}`: {}", seen.evidence)));
        }
    }
    match (columns, findings.is_empty()) {
        (None, true) => CheckResult::skipped(CheckId::Pii, "the output columns are not known"),
        _ => CheckResult::from_findings(CheckId::Pii, findings),
    }
}
