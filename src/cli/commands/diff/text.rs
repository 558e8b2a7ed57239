//! A comparison as a person reads it in a terminal.

use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

use super::inputs::Item;
use crate::sql::verdict::{Comparison, Counterexample, Method, Rows, Verdict};

/// Lines of unchanged text around a change.
const CONTEXT: usize = 3;
/// Rows of a table that are shown.
const ROWS: usize = 20;
/// Widest cell of a table.
const CELL: usize = 40;

/// The word for a verdict.
pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Identical => "identical",
        Verdict::Equivalent => "equivalent",
        Verdict::Agrees => "agrees",
        Verdict::Differs => "differs",
        Verdict::Unknown => "unknown",
    }
}

/// The phrase for the rung that decided.
pub(super) fn method(method: Method) -> &'static str {
    match method {
        Method::Text => "by text",
        Method::Ast => "by syntax tree",
        Method::NormalForm => "by normal form",
        Method::Shape => "by output columns",
        Method::Execution => "by the project's own rows",
        Method::Search => "by a search for rows",
    }
}

/// The whole report on one pair of models, `width` columns wide.
pub(super) fn report(
    item: &Item,
    comparison: &Comparison,
    reproduce: Option<&str>,
    width: usize,
    colour: bool,
) -> String {
    let mut out = String::new();
    let paint = |code: &str, text: &str| {
        if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    };
    let code = match comparison.verdict {
        Verdict::Identical | Verdict::Equivalent => "1;32",
        Verdict::Agrees => "32",
        Verdict::Differs => "1;31",
        Verdict::Unknown => "1;33",
    };
    let _ = writeln!(
        out,
        "{} {} ({})",
        paint(code, verdict(comparison.verdict)),
        item.name,
        method(comparison.method)
    );
    let _ = writeln!(out, "  {}", comparison.reason);
    for fact in &comparison.facts {
        let _ = writeln!(out, "  given: {fact}");
    }
    if let Some(fact) = &comparison.would_prove {
        let _ = writeln!(out, "  would be proved equal by: {fact}");
    }
    if let Some(coverage) = &comparison.coverage {
        let _ = writeln!(
            out,
            "  tried {} databases; they tell {} of {} mutants of the golden from it",
            coverage.databases, coverage.mutants_killed, coverage.mutants
        );
    }
    if !comparison.explanation.is_empty() {
        out.push('\n');
        for change in &comparison.explanation {
            let place = change.candidate.as_ref().or(change.golden.as_ref()).map(|fragment| fragment.lines);
            let place = match place {
                Some((first, last)) if first == last => format!(" (line {first})"),
                Some((first, last)) => format!(" (lines {first}-{last})"),
                None => String::new(),
            };
            let _ = writeln!(out, "  - {}{place}", change.message);
        }
    }
    if let (Some(golden), Some(candidate)) = (&item.golden, &item.candidate)
        && comparison.verdict != Verdict::Identical
    {
        out.push('\n');
        out.push_str(&side_by_side(golden, candidate, width, colour));
    }
    if let Some(found) = &comparison.counterexample {
        out.push('\n');
        out.push_str(&counterexample(found));
        if let Some(reproduce) = reproduce {
            let _ = writeln!(out, "\nshow it again: {reproduce}");
        }
    }
    out
}

/// Input tables and both results.
pub(super) fn counterexample(found: &Counterexample) -> String {
    let mut out = String::from("With these rows:\n");
    for rows in &found.tables {
        out.push_str(&table(&rows.name, rows));
    }
    out.push_str(&table("the golden returns", &found.golden));
    out.push_str(&table("the candidate returns", &found.candidate));
    out
}

fn table(title: &str, rows: &Rows) -> String {
    let mut out = format!("\n  {title}\n");
    let shown: Vec<Vec<String>> = rows
        .rows
        .iter()
        .take(ROWS)
        .map(|row| row.iter().map(|cell| printable(cell.as_deref().unwrap_or("NULL"))).collect())
        .collect();
    let names: Vec<String> = rows.columns.iter().map(|name| printable(name)).collect();
    let widths: Vec<usize> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells = shown.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.chain([name.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let mut line = |cells: &[String]| {
        let cells: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "    {}", cells.join("  ").trim_end());
    };
    line(&names);
    line(&widths.iter().map(|&width| "-".repeat(width)).collect::<Vec<_>>());
    for row in &shown {
        line(row);
    }
    if rows.rows.is_empty() {
        out.push_str("    (no rows)\n");
    } else if rows.rows.len() > ROWS {
        let _ = writeln!(out, "    ... {} more rows", rows.rows.len() - ROWS);
    }
    out
}

/// Text from a model or its data must not move the cursor or change colours.
fn printable(text: &str) -> String {
    let mut shown: String =
        text.chars().take(CELL + 1).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if shown.chars().count() > CELL {
        shown = shown.chars().take(CELL - 3).collect::<String>() + "...";
    }
    if shown.is_empty() { "''".to_owned() } else { shown }
}

/// Both texts beside each other; on a narrow terminal below each other.
fn side_by_side(golden: &str, candidate: &str, width: usize, colour: bool) -> String {
    let diff = TextDiff::from_lines(golden, candidate);
    let half = width.saturating_sub(7) / 2;
    let narrow = half < 32;
    let mut out = String::new();
    for (n, group) in diff.grouped_ops(CONTEXT).into_iter().enumerate() {
        if n > 0 {
            out.push_str("  ...\n");
        }
        for op in group {
            let mut left = Vec::new();
            let mut right = Vec::new();
            for change in diff.iter_changes(&op) {
                let line = printable_line(change.value());
                match change.tag() {
                    ChangeTag::Equal => {
                        left.push((' ', line.clone()));
                        right.push((' ', line));
                    }
                    ChangeTag::Delete => left.push(('-', line)),
                    ChangeTag::Insert => right.push(('+', line)),
                }
            }
            if narrow {
                let added = right.iter().filter(|(mark, _)| *mark == '+');
                for (mark, line) in left.iter().chain(added) {
                    let _ = writeln!(out, "  {}", painted(*mark, line, colour));
                }
                continue;
            }
            for row in 0..left.len().max(right.len()) {
                let cell = |side: &[(char, String)]| match side.get(row) {
                    Some((mark, line)) => (*mark, fitted(line, half)),
                    None => (' ', " ".repeat(half)),
                };
                let (left_mark, left) = cell(&left);
                let (right_mark, right) = cell(&right);
                let line = format!(
                    "  {}|{}",
                    painted(left_mark, &left, colour),
                    painted(right_mark, right.trim_end(), colour)
                );
                let _ = writeln!(out, "{}", line.trim_end());
            }
        }
    }
    out
}

fn painted(mark: char, line: &str, colour: bool) -> String {
    match (mark, colour) {
        ('-', true) => format!("\u{1b}[31m- {line}\u{1b}[0m"),
        ('+', true) => format!("\u{1b}[32m+ {line}\u{1b}[0m"),
        _ => format!("{mark} {line}"),
    }
}

fn printable_line(line: &str) -> String {
    line.trim_end_matches(['\n', '\r'])
        .replace('\t', "  ")
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn fitted(line: &str, width: usize) -> String {
    let length = line.chars().count();
    if length > width {
        line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
    } else {
        format!("{line}{}", " ".repeat(width - length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_cells_stay_in_their_cell() {
        let rows = Rows {
            name: String::new(),
            columns: vec!["a\u{1b}[31m".to_owned()],
            rows: vec![vec![Some("x\ny".repeat(50))], vec![None], vec![Some(String::new())]],
        };
        let text = table("t", &rows);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(text.contains("NULL") && text.contains("''"));
    }

    #[test]
    fn both_sides_fit_the_width() {
        let golden =
            "select a,\n  b\nfrom t\nwhere a > 1 and a_rather_long_column_name = another_rather_long_name\n";
        let candidate = "select a,\n  b\nfrom t\nwhere a >= 1\n";
        for width in [40, 80, 120] {
            let text = side_by_side(golden, candidate, width, false);
            if width >= 80 {
                assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            }
            assert!(text.contains("where a >= 1"), "{text}");
        }
    }
}
