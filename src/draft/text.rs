//! What a draft says in words: notes for the reviewer, the commit's message, the pull request's text.

use similar::TextDiff;

use super::{Drafted, Ending, Fix};
use crate::check::{CheckId, CheckResult, Outcome};
use crate::generate::contract::Candidate;
use crate::report::{literal_markdown as literal, visible};
use crate::suite::prompts::PromptVersion;
use crate::suite::spec::{Point, Spec};

/// `notes/<model>.md`.
pub(super) fn notes(candidate: &Candidate, spec: &std::path::Path, prompt: &PromptVersion) -> String {
    let mut out = format!("# Review notes: {}\n\n{}\n", candidate.model_name, origin(spec, prompt));
    out.push_str(&list(&candidate.review_notes, "The draft comes without notes."));
    out
}

fn origin(spec: &std::path::Path, prompt: &PromptVersion) -> String {
    let spec = spec.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "Drafted from {} with prompt version {} ({}).\n",
        literal(&spec),
        literal(&prompt.name),
        literal(&prompt.model)
    )
}

fn list(notes: &[String], none: &str) -> String {
    if notes.is_empty() {
        return format!("{none}\n");
    }
    notes.iter().map(|note| format!("- {}\n", literal(note))).collect()
}

/// The message of the commit.
pub(super) fn commit_message(drafted: &Drafted, spec: &Spec, prompt: &PromptVersion) -> String {
    let question = visible(spec.point(Point::BusinessQuestion)).replace('\n', " ");
    format!("Draft {}\n\n{}\n\n{}", drafted.model, question.trim(), origin(&spec.path, prompt))
}

/// The pull request's text: what was asked, what the model says, what the checks say, what changes.
pub(super) fn pull_request(drafted: &Drafted, spec: &Spec, prompt: &PromptVersion) -> String {
    let mut out = format!("# Draft {}\n\n", literal(&drafted.model));
    out.push_str(&format!("{}\n\n", literal(spec.point(Point::BusinessQuestion))));
    out.push_str(&format!("Grain and time frame: {}\n\n", literal(spec.point(Point::Grain))));
    out.push_str(&origin(&spec.path, prompt));
    let is_assumption = |note: &&String| note.to_lowercase().contains("assum");
    let (assumptions, notes): (Vec<&String>, Vec<&String>) =
        drafted.review_notes.iter().partition(is_assumption);
    let cloned = |notes: Vec<&String>| notes.into_iter().cloned().collect::<Vec<_>>();
    out.push_str("\n## Review notes\n\n");
    out.push_str(&list(&cloned(notes), "None."));
    out.push_str("\n## Assumptions\n\n");
    out.push_str(&list(&cloned(assumptions), "None stated."));
    out.push_str("\n## Checks\n\n| check | outcome | seconds | finding |\n|---|---|--:|---|\n");
    out.push_str(&fix_row(&drafted.fix));
    drafted.checks.iter().for_each(|result| out.push_str(&row(result)));
    out.push_str("\n## Risks\n\n");
    for (label, point) in [
        ("Columns with personal data", Point::Pii),
        ("Additional checks or sample queries", Point::AdditionalChecks),
    ] {
        let text = spec.point(point);
        let text = if text.is_empty() { "not filled in" } else { text };
        out.push_str(&format!("- {label}: {}\n", literal(text)));
    }
    let open = |result: &&CheckResult| match result.outcome {
        Outcome::Passed => false,
        Outcome::Failed | Outcome::Errored => true,
        Outcome::Skipped => matches!(result.check, CheckId::Compile | CheckId::Run | CheckId::Tests),
    };
    for result in drafted.checks.iter().filter(open) {
        let finding = result.findings.first().map_or("", |finding| finding.message.as_str());
        out.push_str(&format!("- {} {}: {}\n", result.check, outcome(result.outcome), literal(finding)));
    }
    // What nobody could decide without knowing more about the request.
    for result in drafted.checks.iter().filter(|result| result.check != CheckId::Lint) {
        let shown = match result.outcome {
            Outcome::Passed => result.findings.as_slice(),
            // The first is the reason.
            Outcome::Skipped => result.findings.get(1..).unwrap_or_default(),
            Outcome::Failed | Outcome::Errored => &[],
        };
        for finding in shown {
            out.push_str(&format!("- {}: {}\n", result.check, literal(&finding.message)));
        }
    }
    if drafted.ending == Ending::NotCommitted {
        out.push_str("- Not committed, since a check did not pass\n");
    }
    out.push_str("\n## Diff\n\n");
    let diff = diff(drafted);
    let fence = "`".repeat(longest_run(&diff, '`').max(2) + 1);
    out.push_str(&format!("{fence}diff\n{diff}{fence}\n"));
    out
}

fn row(result: &CheckResult) -> String {
    let finding = result.findings.first().map_or("", |finding| finding.message.as_str());
    let seconds = if result.seconds > 0.0 { format!("{:.2}", result.seconds) } else { String::new() };
    format!("| {} | {} | {seconds} | {} |\n", result.check, outcome(result.outcome), literal(finding))
}

fn fix_row(fix: &Fix) -> String {
    let (state, why) = match (&fix.refused, fix.summary()) {
        (Some(why), _) => ("skipped", why.clone()),
        (None, Some(summary)) => ("passed", summary),
        (None, None) => return String::new(),
    };
    format!("| fix | {state} | {:.2} | {} |\n", fix.seconds, literal(&why))
}

/// An outcome in words.
fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Skipped => "skipped",
        Outcome::Errored => "errored",
    }
}

/// A unified diff of all files.
fn diff(drafted: &Drafted) -> String {
    let mut out = String::new();
    for file in &drafted.files {
        let (before, after) = (file.before.as_deref(), file.after.as_deref());
        let path = file.path.display();
        let old = if before.is_some() { format!("a/{path}") } else { "/dev/null".to_owned() };
        let new = if after.is_some() { format!("b/{path}") } else { "/dev/null".to_owned() };
        let diff = TextDiff::from_lines(before.unwrap_or_default(), after.unwrap_or_default());
        out.push_str(&visible(&diff.unified_diff().context_radius(3).header(&old, &new).to_string()));
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::File;

    #[test]
    fn what_a_model_wrote_cannot_break_out_of_the_text() {
        let prompt = PromptVersion {
            name: "v1".to_owned(),
            model: "m".to_owned(),
            ..crate::suite::prompts::PromptVersion::read(std::path::Path::new(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/prompts/v2-two-shot"
            )))
            .expect("the example's")
        };
        let spec = Spec::parse(std::path::Path::new("s.md"), "## Intent\n- Business question: <b>how</b>?\n");
        let after = Some("select '````' -- \u{202e}\n</details>\n".to_owned());
        let file = File { path: "models/m.sql".into(), before: None, after, change: "added" };
        let drafted = Drafted {
            model: "m".to_owned(),
            prompt: "v1".to_owned(),
            project: "p".into(),
            files: vec![file],
            checks: vec![CheckResult::skipped(CheckId::Pii, "a | b")],
            fix: Fix { tool: Some("sqruff"), before: 2, after: 1, refused: None, seconds: 0.25 },
            ending: Ending::Written,
            pull_request: None,
            review_notes: vec![
                "Assumes that @team agrees".to_owned(),
                "first\n## Diff\n![x](http://e.vil)".to_owned(),
            ],
            usage: None,
            latency_ms: None,
        };
        insta::assert_snapshot!(pull_request(&drafted, &spec, &prompt));
    }
}
