//! Two texts side by side: which lines are equal, changed, or on one side only, and what changed within a line.

use serde::Serialize;
use similar::{Algorithm, ChangeTag, DiffOp, TextDiff};

/// Texts longer than this are shown without a diff: its cost grows with their product.
const MOST_BYTES: usize = 200_000;
const MOST_LINES: usize = 5_000;
/// Lines longer than this are compared as a whole.
const MOST_LINE_BYTES: usize = 2_000;
/// Changed lines at least this similar stand side by side.
const SIMILAR: f32 = 0.4;
/// Blocks of changed lines with more pairs than this are paired in order.
const MOST_PAIRS: usize = 900;

/// A step of the diff, in order of the lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Step {
    /// `["=" | "-" | "+", n]`: n lines that are equal, only left, only right.
    Lines(&'static str, usize),
    /// `["~", left, right]`: a line that changed, with the changed ranges of each side in UTF-16 units.
    Changed(&'static str, Vec<Range>, Vec<Range>),
}

/// Start and end, in UTF-16 units, as scripts of a page count.
pub(crate) type Range = (usize, usize);

/// The diff of two texts; `None` where they are too large for one. Lines end at line feeds.
pub(crate) fn diff(left: &str, right: &str) -> Option<Vec<Step>> {
    let too_large = |text: &str| text.len() > MOST_BYTES || text.lines().count() > MOST_LINES;
    if too_large(left) || too_large(right) {
        return None;
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (lines(left), lines(right));
    let mut steps = Vec::new();
    for op in similar::capture_diff_slices(Algorithm::Patience, &a, &b) {
        match op {
            DiffOp::Equal { len, .. } => push(&mut steps, "=", len),
            DiffOp::Delete { old_len, .. } => push(&mut steps, "-", old_len),
            DiffOp::Insert { new_len, .. } => push(&mut steps, "+", new_len),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                let (old, new) = (&a[old_index..old_index + old_len], &b[new_index..new_index + new_len]);
                replace(&mut steps, old, new);
            }
        }
    }
    Some(steps)
}

/// Lines as a page splits them: at line feeds, without an empty one after the last.
fn lines(text: &str) -> Vec<&str> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() { Vec::new() } else { text.split('\n').collect() }
}

fn push(steps: &mut Vec<Step>, kind: &'static str, n: usize) {
    if n == 0 {
        return;
    }
    if let Some(Step::Lines(last, count)) = steps.last_mut()
        && *last == kind
    {
        *count += n;
        return;
    }
    steps.push(Step::Lines(kind, n));
}

fn replace(steps: &mut Vec<Step>, old: &[&str], new: &[&str]) {
    let (mut i, mut j) = (0, 0);
    for (a, b) in pairs(old, new) {
        push(steps, "-", a - i);
        push(steps, "+", b - j);
        let (left, right) = within(old[a], new[b]);
        steps.push(Step::Changed("~", left, right));
        (i, j) = (a + 1, b + 1);
    }
    push(steps, "-", old.len() - i);
    push(steps, "+", new.len() - j);
}

/// Which changed lines belong together: the order-preserving pairing with the largest sum of similarities.
fn pairs(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let (n, m) = (old.len(), new.len());
    if n * m > MOST_PAIRS {
        return (0..n.min(m)).map(|i| (i, i)).collect();
    }
    let (left, right): (Vec<_>, Vec<_>) =
        (old.iter().map(|a| Line::new(a)).collect(), new.iter().map(|b| Line::new(b)).collect());
    let ratio: Vec<Vec<f32>> = left.iter().map(|a| right.iter().map(|b| a.similarity(b)).collect()).collect();
    let mut best = vec![vec![0.0_f32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            let paired = if ratio[i][j] >= SIMILAR { ratio[i][j] + best[i + 1][j + 1] } else { 0.0 };
            best[i][j] = paired.max(best[i + 1][j]).max(best[i][j + 1]);
        }
    }
    let mut found = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < n && j < m {
        if ratio[i][j] >= SIMILAR && best[i][j] <= ratio[i][j] + best[i + 1][j + 1] {
            found.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if best[i + 1][j] >= best[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

/// A line as its pairs of neighbouring characters, sorted: comparing two takes a walk over both, where a diff of their
/// characters, for every pair of changed lines, was most of what a report cost.
struct Line<'a> {
    text: &'a str,
    bigrams: Vec<(char, char)>,
}

impl<'a> Line<'a> {
    fn new(line: &'a str) -> Self {
        let text = line.trim();
        let mut bigrams: Vec<(char, char)> = match text.len() > MOST_LINE_BYTES {
            true => Vec::new(),
            false => text.chars().zip(text.chars().skip(1)).collect(),
        };
        bigrams.sort_unstable();
        Self { text, bigrams }
    }

    /// Dice's coefficient, 0 to 1.
    fn similarity(&self, other: &Self) -> f32 {
        if self.bigrams.is_empty() || other.bigrams.is_empty() {
            return if self.text == other.text { 1.0 } else { 0.0 };
        }
        let (mut i, mut j, mut common) = (0, 0, 0_usize);
        while let (Some(a), Some(b)) = (self.bigrams.get(i), other.bigrams.get(j)) {
            let order = a.cmp(b);
            common += usize::from(order.is_eq());
            i += usize::from(order.is_le());
            j += usize::from(order.is_ge());
        }
        2.0 * common as f32 / (self.bigrams.len() + other.bigrams.len()) as f32
    }
}

fn within(left: &str, right: &str) -> (Vec<Range>, Vec<Range>) {
    if left.len() > MOST_LINE_BYTES || right.len() > MOST_LINE_BYTES {
        return (Vec::new(), Vec::new());
    }
    let (mut old, mut new) = (Ranges::default(), Ranges::default());
    let (a, b) = (tokens(left), tokens(right));
    for change in TextDiff::from_slices(&a, &b).iter_all_changes() {
        let units = change.value().encode_utf16().count();
        match change.tag() {
            ChangeTag::Equal => {
                old.skip(units);
                new.skip(units);
            }
            ChangeTag::Delete => old.mark(units),
            ChangeTag::Insert => new.mark(units),
        }
    }
    (old.found, new.found)
}

/// Identifiers and numbers, runs of white space, single other characters: `a.b` is three tokens.
fn tokens(line: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut found = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in line.char_indices() {
        let this = kind(c);
        if last.is_some_and(|last| last != this || this == 2) {
            found.push(&line[start..at]);
            start = at;
        }
        last = Some(this);
    }
    if start < line.len() {
        found.push(&line[start..]);
    }
    found
}

#[derive(Default)]
struct Ranges {
    at: usize,
    found: Vec<Range>,
}

impl Ranges {
    fn skip(&mut self, units: usize) {
        self.at += units;
    }

    fn mark(&mut self, units: usize) {
        match self.found.last_mut() {
            Some(last) if last.1 == self.at => last.1 += units,
            _ => self.found.push((self.at, self.at + units)),
        }
        self.at += units;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changed_lines_stand_side_by_side_around_an_inserted_one() {
        let left = "from a\nleft join b\n    on a.id = b.id\n";
        let right = "from a\ninner join b\nleft join c\n    on a.id = c.id\n";
        let steps = diff(left, right).unwrap();
        let kinds: Vec<&str> = steps
            .iter()
            .map(|s| match s {
                Step::Lines(kind, _) | Step::Changed(kind, ..) => *kind,
            })
            .collect();
        assert_eq!(kinds.iter().filter(|k| **k == "~").count(), 2, "{steps:?}");
        assert_eq!(kinds[0], "=");
    }

    #[test]
    fn ranges_count_as_a_page_does() {
        let steps = diff("select '𝄞' as a\n", "select '𝄞' as b\n").unwrap();
        assert_eq!(steps, [Step::Changed("~", vec![(15, 16)], vec![(15, 16)])]);
    }

    #[test]
    fn only_the_part_of_a_qualified_name_that_changed_is_marked() {
        let steps = diff("orders.order_day\n", "o.order_day\n").unwrap();
        assert_eq!(steps, [Step::Changed("~", vec![(0, 6)], vec![(0, 1)])]);
    }

    #[test]
    fn huge_texts_have_no_diff() {
        assert_eq!(diff(&"x".repeat(1_000_000), "y"), None);
        assert_eq!(diff(&"x\n".repeat(6_000), "y"), None);
    }

    proptest! {
        #[test]
        fn the_steps_cover_both_texts(left in "[ab\n]{0,60}", right in "[abc\n]{0,60}") {
            let (mut old, mut new) = (0, 0);
            for step in diff(&left, &right).unwrap() {
                match step {
                    Step::Lines("=", n) => {
                        prop_assert_eq!(&lines(&left)[old..old + n], &lines(&right)[new..new + n]);
                        (old, new) = (old + n, new + n);
                    }
                    Step::Lines("-", n) => old += n,
                    Step::Lines(_, n) => new += n,
                    Step::Changed(..) => (old, new) = (old + 1, new + 1),
                }
            }
            prop_assert_eq!((old, new), (lines(&left).len(), lines(&right).len()));
        }
    }
}
