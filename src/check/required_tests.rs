//! `required_tests`: every test that was asked for is declared on this model at full strength, in the schema YAML or
//! among the contract's `tests`.

use crate::dbt::properties::Properties;
use crate::dbt::test_syntax::TestEntry;

use super::{CheckId, CheckResult, Finding};

/// Looks for each required test. Entries of `tests` that are no test at all are findings too.
pub fn check(required: &[TestEntry], properties: &Properties, model: &str, tests: &[String]) -> CheckResult {
    let mut findings = Vec::new();
    let mut entries = Vec::new();
    for (index, text) in tests.iter().enumerate() {
        match TestEntry::parse(text) {
            Ok(entry) => entries.push(entry),
            Err(fault) => {
                findings.push(Finding::new("test_syntax", fault.to_string()).at(format!("/tests/{index}")));
            }
        }
    }
    let declared = properties.model(model).map_or(&[][..], |entry| &entry.tests);
    for wanted in required {
        if entries.contains(wanted) || declared.iter().any(|test| test.is_strong() && test.satisfies(wanted))
        {
            continue;
        }
        findings.push(match declared.iter().find(|test| test.satisfies(wanted)) {
            Some(weak) => {
                let reasons: Vec<String> = weak.weakened.iter().map(ToString::to_string).collect();
                Finding::new("test_weakened", format!("`{wanted}` {}", reasons.join(" and ")))
                    .at(format!("yaml:{}", weak.line))
            }
            None => Finding::new("test_missing", format!("`{wanted}` is not declared on `{model}`")),
        });
    }
    CheckResult::from_findings(CheckId::RequiredTests, findings)
}
