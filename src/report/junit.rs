//! junit.xml: a suite a prompt version, a test a case under its own id, the first failed check and the diff as text.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::model::Report;
use super::text::{cut, visible};
use super::words;
use crate::check::outcome::{CheckId, CheckResult};
use crate::score::{CaseResult, Status};

/// Longest text of a test: some viewers give up on more.
const MOST_CHARS: usize = 20_000;

impl Report {
    /// junit.xml. Names are case ids and stay the same from run to run; trials after the first carry their number.
    pub fn to_junit(&self) -> String {
        let mut junit = quick_junit::Report::new(visible(&self.run.suite));
        for prompt in &self.prompts {
            let mut suite = TestSuite::new(visible(&prompt.name));
            for result in self.results.iter().filter(|r| r.prompt == prompt.name) {
                suite.add_test_case(test_case(self, result));
            }
            junit.add_test_suite(suite);
        }
        junit.to_string().unwrap_or_default()
    }
}

fn test_case(report: &Report, result: &CaseResult) -> TestCase {
    let name = match result.trial {
        0 => visible(&result.case),
        trial => format!("{} [{}]", visible(&result.case), trial + 1),
    };
    let status = match result.status {
        Status::Passed => TestCaseStatus::success(),
        Status::Skipped => {
            let mut status = TestCaseStatus::skipped();
            let reason = result.checks.iter().find(|c| c.check == CheckId::Rows);
            let reason = reason.and_then(|c| c.findings.first()).map(|finding| finding.message.as_str());
            status.set_message(match reason {
                Some(reason) => format!("what the SQL means was not decided: {reason}"),
                None => "no answer for this case and prompt version".to_owned(),
            });
            status
        }
        Status::Failed => non_success(NonSuccessKind::Failure, report, result, result.first_failed_check()),
        Status::Errored => non_success(NonSuccessKind::Error, report, result, result.first_errored_check()),
    };
    let mut test = TestCase::new(name, status);
    test.set_classname(format!("{}.{}", visible(&report.run.suite), visible(&result.prompt)));
    let seconds: f64 = result.checks.iter().map(|c| c.seconds).filter(|s| s.is_finite() && *s > 0.0).sum();
    test.set_time(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    if let Some(row) = report.case(&result.case).and_then(|c| c.row.as_ref()) {
        test.extra.insert("file".into(), visible(&row.file).into());
        test.extra.insert("line".into(), row.line.to_string().into());
    }
    test
}

fn non_success(
    kind: NonSuccessKind,
    report: &Report,
    result: &CaseResult,
    check: Option<&CheckResult>,
) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    if let Some(check) = check {
        let finding = check.findings.first();
        let message = finding.map_or("no finding", |f| f.message.as_str());
        status.set_message(cut(&visible(&format!("{}: {message}", check.check)), 500));
        status.set_type(visible(finding.map_or(check.check.name(), |f| f.class.as_str())));
    }
    status.set_description(cut(&visible(&details(report, result)), MOST_CHARS));
    status
}

/// All failed and errored checks with their findings, the SQL verdict, and the diff.
fn details(report: &Report, result: &CaseResult) -> String {
    let mut text = String::new();
    for line in words::findings(result) {
        text.push_str(&line);
        text.push('\n');
    }
    if let Some(golden) = &result.golden {
        text.push_str(&format!("\nSQL: {}\n", words::sql_verdict(golden)));
        for change in &golden.explanation {
            text.push_str(&format!("- {}\n", change.message));
        }
    }
    let golden = report.case(&result.case).map(|c| c.golden_sql.as_str()).filter(|s| !s.is_empty());
    if let (Some(golden), Some(candidate)) = (golden, result.candidate_sql.as_deref())
        && golden != candidate
        && golden.len().max(candidate.len()) <= 200_000
    {
        let diff = similar::TextDiff::from_lines(golden, candidate);
        text.push('\n');
        text.push_str(&diff.unified_diff().context_radius(3).header("golden", "candidate").to_string());
    }
    text
}
