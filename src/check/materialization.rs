//! `materialization`: the model is materialized as it was asked for.

use super::{CheckId, CheckResult, Finding};

/// Compares the materialization that dbt would use with the one asked for.
pub fn check(actual: Option<&str>, wanted: Option<&str>) -> CheckResult {
    let Some(wanted) = wanted else {
        return CheckResult::skipped(CheckId::Materialization, "none was asked for");
    };
    let Some(actual) = actual else {
        return CheckResult::skipped(CheckId::Materialization, "it is not known what dbt would use");
    };
    let findings = if actual.eq_ignore_ascii_case(wanted) {
        Vec::new()
    } else {
        vec![Finding::new(
            "wrong_materialization",
            format!("materialized as {actual}, {wanted} was asked for"),
        )]
    };
    CheckResult::from_findings(CheckId::Materialization, findings)
}
