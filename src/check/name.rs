//! `name`: the model has the name that was asked for, to the letter.

use super::{CheckId, CheckResult, Finding};

/// Compares the candidate's name with the case's.
pub fn check(candidate: &str, wanted: &str) -> CheckResult {
    let findings = if candidate == wanted {
        Vec::new()
    } else {
        vec![
            Finding::new(
                "wrong_name",
                format!("the model is called `{candidate}`, `{wanted}` was asked for"),
            )
            .at("/model_name"),
        ]
    };
    CheckResult::from_findings(CheckId::Name, findings)
}
