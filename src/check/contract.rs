//! `contract`: the answer is one JSON object that keeps to the contract, and nothing else.

use crate::generate::answers::Answer;
use crate::generate::contract::{Candidate, extract};

use super::{CheckId, CheckResult, Finding};

/// Extracts the candidate; the findings name every breach.
pub fn check(answer: &Answer) -> (CheckResult, Option<Candidate>) {
    let fault = match extract(answer) {
        Ok(candidate) => return (CheckResult::passed(CheckId::Contract), Some(candidate)),
        Err(fault) => fault,
    };
    let class = fault.class.name();
    let mut findings = vec![Finding::new(class, fault.message)];
    findings.extend(fault.violations.into_iter().map(|violation| {
        Finding::new(format!("{class}_{}", violation.rule), violation.message).at(violation.pointer)
    }));
    if fault.would_pass_unwrapped.is_some() {
        findings.push(Finding::new("would_pass_unwrapped", "what is inside keeps to the contract"));
    }
    (CheckResult::from_findings(CheckId::Contract, findings), None)
}
