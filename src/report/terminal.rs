//! The summary that ends a run, as plain text.

use super::model::{PromptSummary, Report};
use super::text::one_line;
use super::words;
use crate::check::outcome::CheckId;

/// The summary, at most `width` characters wide where names allow it, readable without colour; `html` is the path of
/// the report to point to. Ends with a line feed.
pub fn summary(report: &Report, width: usize, html: Option<&str>) -> String {
    let width = width.max(40);
    let mut blocks = vec![prompts(&report.prompts, width)];
    blocks.extend(first_failed(&report.prompts, width));
    blocks.push(sentences(report, width));
    if let Some(path) = html {
        blocks.push(format!("report: {}\n", one_line(path)));
    }
    blocks.retain(|b| !b.is_empty());
    blocks.join("\n")
}

fn prompts(prompts: &[PromptSummary], width: usize) -> String {
    let mut rows = vec![
        ["prompt version", "passed", "failed", "errored", "skipped", "pass rate", "95 % interval"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for p in prompts {
        rows.push(vec![
            one_line(&p.name),
            p.passed.to_string(),
            p.failed.to_string(),
            p.errored.to_string(),
            p.skipped.to_string(),
            words::percent(p.pass_rate),
            words::percent_interval(p.interval),
        ]);
    }
    // What a narrow terminal can do without, the least needed first.
    for column in [4, 5] {
        if table_width(&rows) > width {
            rows.iter_mut().for_each(|row| {
                row.remove(column);
            });
        }
    }
    table(&rows, width)
}

fn first_failed(prompts: &[PromptSummary], width: usize) -> Option<String> {
    let failing: Vec<CheckId> = CheckId::ALL
        .into_iter()
        .filter(|c| prompts.iter().any(|p| p.first_failed.get(c).is_some_and(|n| *n > 0)))
        .collect();
    if failing.is_empty() {
        return None;
    }
    let mut head = vec!["first failed".to_owned()];
    head.extend(prompts.iter().map(|p| one_line(&p.name)));
    let mut rows = vec![head];
    for check in failing {
        let mut row = vec![check.name().to_owned()];
        row.extend(prompts.iter().map(|p| match p.first_failed.get(&check) {
            Some(n) if *n > 0 => n.to_string(),
            _ => "·".to_owned(),
        }));
        rows.push(row);
    }
    Some(table(&rows, width))
}

fn sentences(report: &Report, width: usize) -> String {
    let mut sentences: Vec<String> = report.comparisons.iter().map(words::comparison_with_power).collect();
    sentences.extend(words::tool_use(report));
    sentences.extend(words::undecided(report));
    if !report.run.complete {
        sentences.push("the run is incomplete".to_owned());
    }
    sentences.extend(report.run.notes.iter().cloned());
    sentences.iter().map(|s| wrap(&one_line(s), width)).collect()
}

const GAP: usize = 2;

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    (0..columns)
        .map(|i| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0))
        .collect()
}

fn table_width(rows: &[Vec<String>]) -> usize {
    let widths = widths(rows);
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Columns padded to their widest cell, the first to the left, the others to the right; long names are shortened.
fn table(rows: &[Vec<String>], width: usize) -> String {
    let over = table_width(rows).saturating_sub(width);
    let mut widths = widths(rows);
    if let Some(first) = widths.first_mut() {
        *first = first.saturating_sub(over).max(12.min(*first));
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if i == 0 {
                line.push_str(&format!("{:<width$}", shorten(cell, *width)));
            } else {
                line.push_str(&format!("{:GAP$}{cell:>width$}", ""));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// The sentence on lines of at most `width` characters, later ones indented.
fn wrap(sentence: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out.push_str("\n  ");
            used = 2;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_wrap_and_indent() {
        assert_eq!(wrap("one two three", 8), "one two\n  three\n");
        assert_eq!(wrap("averyveryverylongword x", 8), "averyveryverylongword\n  x\n");
    }

    #[test]
    fn long_names_are_shortened_and_numbers_never() {
        let rows = vec![vec!["a_very_long_prompt_version_name".to_owned(), "12345".to_owned()]];
        assert_eq!(table(&rows, 24), "a_very_long_prom…  12345\n");
    }
}
