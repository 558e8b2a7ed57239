//! GitHub workflow commands that put a finding beside the row of its case.

use super::model::Report;
use super::text::{cut, visible};
use crate::score::{CaseResult, Status};

impl Report {
    /// One `::error` a case that a prompt version lost against its baseline (without a baseline: that it failed), and
    /// one `::warning` a case that could not be judged, at most `most` in all. Lines end with a line feed.
    pub fn to_annotations(&self, most: usize) -> String {
        let mut lines: Vec<String> = Vec::new();
        for result in &self.results {
            match result.status {
                Status::Failed if self.is_regression(result) => lines.push(self.annotation("error", result)),
                Status::Errored => lines.push(self.annotation("warning", result)),
                _ => {}
            }
        }
        // Errors first: what is cut off should be the least of it.
        lines.sort_by_key(|line| !line.starts_with("::error"));
        lines.into_iter().take(most).collect()
    }

    fn is_regression(&self, result: &CaseResult) -> bool {
        self.comparisons.is_empty()
            || self.comparisons.iter().any(|c| c.candidate == result.prompt && c.lost.contains(&result.case))
    }

    fn annotation(&self, level: &str, result: &CaseResult) -> String {
        let check = result.first_failed_check().or_else(|| result.first_errored_check());
        let message = check.map_or_else(
            || "no finding".to_owned(),
            |c| format!("{}: {}", c.check, c.findings.first().map_or("no finding", |f| f.message.as_str())),
        );
        let place = self
            .case(&result.case)
            .and_then(|c| c.row.as_ref())
            .map_or_else(String::new, |row| format!("file={},line={},", property(&row.file), row.line));
        let title = property(&format!("{} ({})", result.case, result.prompt));
        format!("::{level} {place}title={title}::{}\n", data(&cut(&message, 1_000)))
    }
}

fn data(text: &str) -> String {
    visible(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
