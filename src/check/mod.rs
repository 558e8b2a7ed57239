//! Judging a candidate: one file a check, in the order in which the first failure is reported.

pub mod outcome;

pub use outcome::{CheckId, CheckResult, Finding, Outcome};
