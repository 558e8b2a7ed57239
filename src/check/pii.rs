//! `pii`: columns with personal data do not come out, unless the golden shows them too.

use super::{CheckId, CheckResult, Finding};

/// Judges the output columns by name, and takes over what their values show. `golden`: the golden's output columns, name and
/// type.
pub fn check(
    pii: &[String],
    columns: Option<&[String]>,
    golden: &[(String, String)],
    exposed: &[Finding],
) -> CheckResult {
    let Some(columns) = columns else {
        return CheckResult::skipped(CheckId::Pii, "the output columns are not known");
    };
    let in_golden = |name: &str| golden.iter().any(|(column, _)| column.eq_ignore_ascii_case(name));
    let findings = columns
        .iter()
        .filter(|column| pii.iter().any(|name| name.eq_ignore_ascii_case(column)) && !in_golden(column))
        .map(|column| Finding::new("pii_column", format!("column `{column}` holds personal data")))
        .chain(exposed.iter().cloned())
        .collect();
    CheckResult::from_findings(CheckId::Pii, findings)
}
