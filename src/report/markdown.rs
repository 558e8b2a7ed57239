//! summary.md: for the step summary of a CI job and for comments on a change.

use super::comparison::Verdict;
use super::model::Report;
use super::text::{cut, one_line};
use super::words;
use crate::score::{CaseResult, Status};

/// Failures listed; the HTML report has all of them.
const MOST_FAILURES: usize = 30;

impl Report {
    /// summary.md.
    pub fn to_markdown(&self) -> String {
        let mut out = format!("## assay: {}\n\n", escape(&self.run.suite));
        for comparison in &self.comparisons {
            let mark = match comparison.verdict {
                Verdict::Better => "✅",
                Verdict::Worse => "❌",
                Verdict::CannotTell => "➖",
            };
            out.push_str(&format!("{mark} {}\n\n", escape(&words::comparison_with_power(comparison))));
        }
        if let Some(text) = words::undecided(self) {
            out.push_str(&format!("⚠️ {}\n\n", escape(&text)));
        }
        if !self.run.complete {
            out.push_str("⚠️ The run is incomplete\n\n");
        }
        for note in &self.run.notes {
            out.push_str(&format!("⚠️ {}\n\n", escape(note)));
        }
        self.prompt_table(&mut out);
        for sentence in words::tool_use(self) {
            out.push_str(&format!("\n{}\n", escape(&sentence)));
        }
        self.failures(&mut out);
        self.lost_cases(&mut out);
        out.push_str(&format!(
            "\n<sub>run {}, assay {}</sub>\n",
            escape(&self.run.id),
            escape(&self.run.assay)
        ));
        out
    }

    fn prompt_table(&self, out: &mut String) {
        out.push_str(
            "| prompt version | pass rate | 95 % interval | passed | failed | errored | skipped | score | latency p50 |\n",
        );
        out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for p in &self.prompts {
            out.push_str(&format!(
                "| {} | **{}** | {} | {} | {} | {} | {} | {} | {} |\n",
                escape(&p.name),
                words::percent(p.pass_rate),
                words::percent_interval(p.interval),
                p.passed,
                p.failed,
                p.errored,
                p.skipped,
                p.score.map_or_else(|| "–".to_owned(), |s| format!("{s:.2}")),
                p.latency.map_or_else(|| "–".to_owned(), |l| words::milliseconds(l.p50_ms)),
            ));
        }
    }

    fn failures(&self, out: &mut String) {
        let failed: Vec<&CaseResult> =
            self.results.iter().filter(|r| matches!(r.status, Status::Failed | Status::Errored)).collect();
        if failed.is_empty() {
            return;
        }
        let summary = words::count(failed.len() as u64, "result", "results");
        out.push_str(&format!("\n<details><summary>{summary} failed or errored</summary>\n\n"));
        out.push_str("| case | prompt version | check | finding |\n|---|---|---|---|\n");
        for result in failed.iter().take(MOST_FAILURES) {
            let check = result.first_failed_check().or_else(|| result.first_errored_check());
            let message = check.and_then(|c| c.findings.first()).map_or("", |f| f.message.as_str());
            out.push_str(&format!(
                "| {} | {} | {} | {} |\n",
                escape(&result.case),
                escape(&result.prompt),
                check.map_or("", |c| c.check.name()),
                escape(&cut(message, 200)),
            ));
        }
        if failed.len() > MOST_FAILURES {
            out.push_str(&format!("\n{} more in report.html\n", failed.len() - MOST_FAILURES));
        }
        out.push_str("\n</details>\n");
    }

    fn lost_cases(&self, out: &mut String) {
        for c in self.comparisons.iter().filter(|c| !c.lost.is_empty()) {
            let lost: Vec<String> = c.lost.iter().take(MOST_FAILURES).map(|id| escape(id)).collect();
            let more = c.lost.len().saturating_sub(MOST_FAILURES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            out.push_str(&format!(
                "\n{} loses to {}: {}{more}\n",
                escape(&c.candidate),
                escape(&words::baseline_name(c)),
                lost.join(", ")
            ));
        }
    }
}

/// Text that Markdown and the HTML in it take literally; mentions notify nobody.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_mentions_are_literal() {
        assert_eq!(escape("a|b\n<img> @team [x](y) `c`"), "a\\|b &lt;img&gt; &#64;team \\[x\\](y) \\`c\\`");
    }
}
