//! A comparison as a person reads it in a terminal.

use std::fmt::Write as _;

use crate::report::{Compared, Step, diff_of_lines, words};
use crate::sql::verdict::{Counterexample, Rows, Verdict};

/// Lines of unchanged text around a change.
const CONTEXT: usize = 3;
/// Rows of a table that are shown.
const ROWS: usize = 20;
/// Widest cell of a table.
const CELL: usize = 40;

/// The whole report on one pair of models, `width` columns wide.
pub(super) fn report(item: &Compared, reproduce: Option<&str>, width: usize, colour: bool) -> String {
    let comparison = &item.comparison;
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
        "{} {} (by {})",
        paint(code, words::sql_verdict_word(comparison.verdict)),
        item.name,
        words::sql_method(comparison.method)
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

/// A row of the diff: a mark and a line on each side; `None` where a side has none.
type Row<'a> = [Option<(char, &'a str)>; 2];

/// Both texts beside each other; on a narrow terminal below each other.
fn side_by_side(golden: &str, candidate: &str, width: usize, colour: bool) -> String {
    let Some(steps) = diff_of_lines(golden, candidate) else {
        return "  (too long to show side by side)\n".to_owned();
    };
    let rows = rows(golden, candidate, &steps);
    let changed = |row: &Row| row.iter().flatten().any(|(mark, _)| *mark != ' ') || row.contains(&None);
    let half = width.saturating_sub(7) / 2;
    let narrow = half < 32;
    let mut out = String::new();
    let mut left_out = false;
    for (at, row) in rows.iter().enumerate() {
        let near = &rows[at.saturating_sub(CONTEXT)..rows.len().min(at + CONTEXT + 1)];
        if !near.iter().any(changed) {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            out.push_str("  ...\n");
        }
        if narrow {
            let sides = if changed(row) { &row[..] } else { &row[1..] };
            for (mark, line) in sides.iter().flatten() {
                let _ = writeln!(out, "  {}", painted(*mark, &printable_line(line), colour));
            }
            continue;
        }
        let [left, right] = row.map(|side| match side {
            Some((mark, line)) => (mark, wrapped(&printable_line(line), half)),
            None => (' ', Vec::new()),
        });
        for n in 0..left.1.len().max(right.1.len()) {
            let cell = |(mark, lines): &(char, Vec<String>)| {
                let mark = if n < lines.len() { *mark } else { ' ' };
                painted(mark, &format!("{:<half$}", lines.get(n).map_or("", String::as_str)), colour)
            };
            let _ = writeln!(out, "{}", format!("  {}|{}", cell(&left), cell(&right)).trim_end());
        }
    }
    out
}

fn rows<'a>(golden: &'a str, candidate: &'a str, steps: &[Step]) -> Vec<Row<'a>> {
    let (mut left, mut right) = (golden.lines(), candidate.lines());
    let mut rows = Vec::new();
    for step in steps {
        match step {
            Step::Lines("-", n) => rows.extend(left.by_ref().take(*n).map(|line| [Some(('-', line)), None])),
            Step::Lines("+", n) => rows.extend(right.by_ref().take(*n).map(|line| [None, Some(('+', line))])),
            Step::Lines(_, n) => {
                let both = left.by_ref().zip(right.by_ref()).take(*n);
                rows.extend(both.map(|(left, right)| [Some((' ', left)), Some((' ', right))]));
            }
            Step::Changed(..) => {
                rows.push([left.next().map(|line| ('-', line)), right.next().map(|line| ('+', line))]);
            }
        }
    }
    rows
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

/// A line in pieces of at most `width` characters, cut between words where it can be; what follows is indented.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let indent = line.chars().take_while(|c| *c == ' ').count().min(width / 3) + 2;
    let mut pieces = Vec::new();
    let mut rest: Vec<char> = line.chars().collect();
    while rest.len() > width {
        let start = rest.iter().take_while(|c| **c == ' ').count();
        let breaks = [&[' '][..], &[',', '(', '.']]
            .map(|after| (start + 1..width).rev().find(|&at| after.contains(&rest[at])));
        let cut = breaks.into_iter().flatten().next().map_or(width, |at| at + 1);
        let tail = rest.split_off(cut);
        pieces.push(rest.iter().collect());
        rest = std::iter::repeat_n(' ', indent).chain(tail).collect();
    }
    pieces.push(rest.into_iter().collect());
    pieces
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
            let words = text.replace('|', " ");
            assert!(
                words.split_whitespace().any(|word| word == "another_rather_long_name"),
                "nothing is cut off: {text}"
            );
        }
    }
}
