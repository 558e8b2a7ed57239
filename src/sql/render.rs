//! Two texts as lines for a terminal or a page: side by side, or unified. Colour is the caller's.
//!
//! Text comes from models: control characters, which a terminal would obey, are shown as `�`.

use similar::{ChangeTag, DiffOp, TextDiff};

/// A piece of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The text, without line break, tabs and control characters.
    pub text: String,
    /// Whether this part of a changed line is what changed.
    pub emphasised: bool,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// In both texts.
    Same,
    /// Only in the first.
    Removed,
    /// Only in the second.
    Added,
    /// Stands for lines that are left out.
    Gap,
}

/// A line of a unified diff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub kind: LineKind,
    /// Its number in the first text, from 1.
    pub old: Option<usize>,
    /// Its number in the second text, from 1.
    pub new: Option<usize>,
    /// Its text.
    pub spans: Vec<Span>,
}

/// One side of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What the line is.
    pub kind: LineKind,
    /// Its number; `None` for the rest of a wrapped line.
    pub number: Option<usize>,
    /// Its text, at most [`SideBySide::width`] characters.
    pub spans: Vec<Span>,
}

impl Cell {
    /// Characters in it.
    pub fn width(&self) -> usize {
        self.spans.iter().map(|span| span.text.chars().count()).sum()
    }
}

/// Two texts beside each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideBySide {
    /// Rows; `None` where a side has no line.
    pub rows: Vec<(Option<Cell>, Option<Cell>)>,
    /// Characters of text a side.
    pub width: usize,
    /// Characters of a line number.
    pub gutter: usize,
}

/// Narrowest column of text.
const MIN_WIDTH: usize = 16;
/// Unchanged lines shown around a change.
const CONTEXT: usize = 3;

/// A unified diff with three lines of context; empty when the texts are the same.
pub fn unified(old: &str, new: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for (i, group) in diff.grouped_ops(CONTEXT).into_iter().enumerate() {
        if i > 0 {
            lines.push(Line { kind: LineKind::Gap, old: None, new: None, spans: Vec::new() });
        }
        for op in group {
            for (kind, old, new, spans) in changes(&diff, &op) {
                lines.push(Line { kind, old, new, spans });
            }
        }
    }
    lines
}

/// Both texts in full, side by side in `width` characters: two columns of line numbers and text with ` │ ` between. Long lines are
/// wrapped.
pub fn side_by_side(old: &str, new: &str, width: usize) -> SideBySide {
    let longest = old.lines().count().max(new.lines().count()).max(1);
    let gutter = longest.to_string().len();
    let width = (width.saturating_sub(2 * (gutter + 1) + 3) / 2).max(MIN_WIDTH);
    let diff = TextDiff::from_lines(old, new);
    let mut rows = Vec::new();
    for op in diff.ops() {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (kind, old, new, spans) in changes(&diff, op) {
            match kind {
                LineKind::Same => {
                    left.push(wrap(kind, old, spans.clone(), width));
                    right.push(wrap(kind, new, spans, width));
                }
                LineKind::Removed => left.push(wrap(kind, old, spans, width)),
                LineKind::Added => right.push(wrap(kind, new, spans, width)),
                LineKind::Gap => {}
            }
        }
        for i in 0..left.len().max(right.len()) {
            let (left, right) = (left.get(i), right.get(i));
            let height = left.map_or(0, Vec::len).max(right.map_or(0, Vec::len));
            for part in 0..height {
                let cell = |side: Option<&Vec<Cell>>| side.and_then(|cells| cells.get(part)).cloned();
                rows.push((cell(left), cell(right)));
            }
        }
    }
    SideBySide { rows, width, gutter }
}

type Change = (LineKind, Option<usize>, Option<usize>, Vec<Span>);

fn changes(diff: &TextDiff<'_, '_, str>, op: &DiffOp) -> Vec<Change> {
    diff.iter_inline_changes(op)
        .map(|change| {
            let kind = match change.tag() {
                ChangeTag::Equal => LineKind::Same,
                ChangeTag::Delete => LineKind::Removed,
                ChangeTag::Insert => LineKind::Added,
            };
            let mut spans: Vec<Span> = Vec::new();
            for (emphasised, text) in change.iter_strings_lossy() {
                let text = printable(&text);
                if text.is_empty() {
                    continue;
                }
                match spans.last_mut() {
                    Some(last) if last.emphasised == emphasised => last.text.push_str(&text),
                    _ => spans.push(Span { text, emphasised }),
                }
            }
            (kind, change.old_index().map(|i| i + 1), change.new_index().map(|i| i + 1), spans)
        })
        .collect()
}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => {}
            '\t' => out.push_str("    "),
            // Control characters, and those that turn the direction of text.
            c if c.is_control()
                || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{FFFD}');
            }
            c => out.push(c),
        }
    }
    out
}

/// Cuts a line into cells of at most `width` characters; an empty line is one empty cell.
fn wrap(kind: LineKind, number: Option<usize>, spans: Vec<Span>, width: usize) -> Vec<Cell> {
    let mut cells = vec![Cell { kind, number, spans: Vec::new() }];
    let mut room = width;
    for span in spans {
        let mut rest = span.text.as_str();
        while !rest.is_empty() {
            if room == 0 {
                cells.push(Cell { kind, number: None, spans: Vec::new() });
                room = width;
            }
            let end = rest.char_indices().nth(room).map_or(rest.len(), |(at, _)| at);
            let (part, after) = rest.split_at(end);
            room -= part.chars().count();
            if let Some(cell) = cells.last_mut() {
                cell.spans.push(Span { text: part.to_owned(), emphasised: span.emphasised });
            }
            rest = after;
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(spans: &[Span]) -> String {
        spans
            .iter()
            .map(|span| if span.emphasised { format!("[{}]", span.text) } else { span.text.clone() })
            .collect()
    }

    const OLD: &str = "select\n  a,\n  sum(b) as total\nfrom t\ngroup by 1\n";
    const NEW: &str = "select\n  a,\n  avg(b) as total\nfrom t\ngroup by 1\nlimit 3\n";

    #[test]
    fn changed_parts_of_a_line_are_emphasised() {
        let lines = unified(OLD, NEW);
        let shown: Vec<String> =
            lines.iter().map(|line| format!("{:?} {}", line.kind, text(&line.spans))).collect();
        assert_eq!(
            shown,
            [
                "Same select",
                "Same   a,",
                "Removed   [sum](b) as total",
                "Added   [avg](b) as total",
                "Same from t",
                "Same group by 1",
                "Added limit 3",
            ]
        );
        assert_eq!((lines[2].old, lines[3].new), (Some(3), Some(3)));
        assert!(unified(OLD, OLD).is_empty());
    }

    #[test]
    fn sides_stand_beside_each_other() {
        let view = side_by_side(OLD, NEW, 60);
        let row = |i: usize| {
            let (left, right) = &view.rows[i];
            (left.as_ref().map(|cell| text(&cell.spans)), right.as_ref().map(|cell| text(&cell.spans)))
        };
        assert_eq!(row(2), (Some("  [sum](b) as total".to_owned()), Some("  [avg](b) as total".to_owned())));
        assert_eq!(row(5), (None, Some("limit 3".to_owned())));
        assert_eq!(view.rows.len(), 6);
    }

    #[test]
    fn terminals_are_not_spoken_to() {
        let view = side_by_side("select 1", "select '\u{1b}[2J\u{202e}\t'", 80);
        let (_, right) = &view.rows[0];
        let shown: String =
            right.iter().flat_map(|cell| &cell.spans).map(|span| span.text.as_str()).collect();
        assert_eq!(shown, "select '\u{FFFD}[2J\u{FFFD}    '");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_wide(old in "[a-cé\n ]{0,60}", new in "[a-cé\n ]{0,60}", width in 0usize..120) {
            let view = side_by_side(&old, &new, width);
            let mut sides = [String::new(), String::new()];
            for (left, right) in &view.rows {
                for (side, cell) in sides.iter_mut().zip([left, right]) {
                    if let Some(cell) = cell {
                        prop_assert!(cell.width() <= view.width);
                        side.extend(cell.spans.iter().map(|span| span.text.as_str()));
                    }
                }
            }
            let joined = |text: &str| text.lines().collect::<String>();
            prop_assert_eq!(&sides[0], &joined(&old));
            prop_assert_eq!(&sides[1], &joined(&new));
        }
    }
}
