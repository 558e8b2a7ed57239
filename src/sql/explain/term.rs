//! Expressions as labelled trees, and the distance between two of them.

use std::collections::BTreeMap;
use std::fmt;

/// A node: operator, function, column or literal, with its operands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    pub(super) kind: Kind,
    /// What it is: `+`, `sum`, `orders.amount`, `'paid'`.
    pub(super) label: String,
    pub(super) children: Vec<Term>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// A column, `source.column`.
    Column,
    /// A constant, as SQL writes it.
    Literal,
    /// `and`, `or`, `not`, comparisons, arithmetic.
    Operator,
    /// A scalar function.
    Function,
    /// An aggregate; label `count distinct` for DISTINCT; a filter is a last child of kind [`Kind::Clause`].
    Aggregate,
    /// A window call: the function, then clauses `partition`, `order`, `frame`.
    Window,
    /// `case`: clauses `when` (condition, result) and `else`.
    Case,
    /// A cast; the label is the type.
    Cast,
    /// A part of a node that has a name of its own.
    Clause,
    /// A subquery.
    Query,
    /// Anything else, by its text.
    Other,
}

impl Term {
    pub(super) fn new(kind: Kind, label: impl Into<String>, children: Vec<Term>) -> Self {
        Self { kind, label: label.into(), children }
    }

    pub(super) fn leaf(kind: Kind, label: impl Into<String>) -> Self {
        Self::new(kind, label, Vec::new())
    }

    pub(super) fn size(&self) -> usize {
        1 + self.children.iter().map(Self::size).sum::<usize>()
    }

    pub(super) fn any(&self, test: &dyn Fn(&Term) -> bool) -> bool {
        test(self) || self.children.iter().any(|child| child.any(test))
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        self.any(&|term| term.kind == kind)
    }

    /// Columns in it, each once, in order.
    pub(super) fn columns(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.each(&mut |term| {
            if term.kind == Kind::Column && !found.contains(&term.label.as_str()) {
                found.push(term.label.as_str());
            }
        });
        found
    }

    fn each<'a>(&'a self, visit: &mut dyn FnMut(&'a Term)) {
        visit(self);
        for child in &self.children {
            child.each(visit);
        }
    }

    /// The same tree with columns replaced; `None` keeps a column.
    pub(super) fn replace(&self, with: &dyn Fn(&str) -> Option<Term>) -> Term {
        if self.kind == Kind::Column
            && let Some(term) = with(&self.label)
        {
            return term;
        }
        if self.children.is_empty() {
            return self.clone();
        }
        let children = self.children.iter().map(|child| child.replace(with)).collect();
        super::expr::rebuild(self.kind, &self.label, children)
    }
}

/// The label without the source: `amount` of `orders.amount`.
pub(super) fn column_name(label: &str) -> &str {
    label.rsplit('.').next().unwrap_or(label)
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Term], between: &str| -> fmt::Result {
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    f.write_str(between)?;
                }
                write!(f, "{item}")?;
            }
            Ok(())
        };
        match self.kind {
            Kind::Column => f.write_str(column_name(&self.label)),
            Kind::Literal | Kind::Other => f.write_str(&self.label),
            // `is null`, `desc`: after their operand.
            Kind::Operator
                if self.children.len() == 1
                    && ["is ", "desc", "nulls "].iter().any(|start| self.label.starts_with(start)) =>
            {
                write!(f, "{} {}", self.children[0], self.label)
            }
            Kind::Operator if self.children.len() == 1 => write!(f, "{} {}", self.label, self.children[0]),
            Kind::Operator if self.label == "in" => {
                write!(f, "{} in (", self.children[0])?;
                list(f, &self.children[1..], ", ")?;
                f.write_str(")")
            }
            Kind::Operator => list(f, &self.children, &format!(" {} ", self.label)),
            Kind::Function | Kind::Aggregate => {
                match self.label.strip_suffix(" distinct") {
                    Some(name) => write!(f, "{name}(distinct ")?,
                    None => write!(f, "{}(", self.label)?,
                }
                list(f, &self.children, ", ")?;
                f.write_str(")")
            }
            Kind::Window => {
                if let Some((function, clauses)) = self.children.split_first() {
                    write!(f, "{function} over (")?;
                    list(f, clauses, " ")?;
                    f.write_str(")")?;
                }
                Ok(())
            }
            Kind::Case => {
                f.write_str("case ")?;
                list(f, &self.children, " ")?;
                f.write_str(" end")
            }
            Kind::Cast => {
                f.write_str("cast(")?;
                list(f, &self.children, ", ")?;
                write!(f, " as {})", self.label)
            }
            Kind::Clause => match self.label.as_str() {
                "when" if self.children.len() == 2 => {
                    write!(f, "when {} then {}", self.children[0], self.children[1])
                }
                "partition" | "order" => {
                    write!(f, "{} by ", self.label)?;
                    list(f, &self.children, ", ")
                }
                "frame" => list(f, &self.children, " "),
                label => {
                    write!(f, "{label} ")?;
                    list(f, &self.children, ", ")
                }
            },
            Kind::Query => write!(f, "({})", self.label),
        }
    }
}

/// Trees larger than this are compared by the labels they hold.
const MAX_TREE: usize = 160;

/// Similarity of two trees, 0 to 1: one minus the tree edit distance over the size of both.
pub(super) fn similarity(a: &Term, b: &Term) -> f64 {
    if a == b {
        return 1.0;
    }
    let (size_a, size_b) = (a.size(), b.size());
    if size_a > MAX_TREE || size_b > MAX_TREE {
        return label_overlap(a, b);
    }
    let distance = distance(a, b);
    let total = count(size_a + size_b);
    // Two single nodes of one kind are one relabelling apart; they still share what they are.
    (1.0 - distance / (total / 2.0).max(1.0)).clamp(0.0, 1.0)
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

fn label_overlap(a: &Term, b: &Term) -> f64 {
    fn labels(term: &Term) -> BTreeMap<String, usize> {
        let mut labels: BTreeMap<String, usize> = BTreeMap::new();
        term.each(&mut |term| *labels.entry(term.label.clone()).or_default() += 1);
        labels
    }
    let (labels_a, labels_b) = (labels(a), labels(b));
    let shared: usize =
        labels_a.iter().map(|(label, n)| (*n).min(labels_b.get(label).copied().unwrap_or(0))).sum();
    2.0 * count(shared) / count(a.size() + b.size())
}

/// Zhang and Shasha's tree edit distance: inserting or deleting a node costs 1, renaming one costs 1, or a half where
/// the kind stays.
fn distance(a: &Term, b: &Term) -> f64 {
    let (a, b) = (Postorder::of(a), Postorder::of(b));
    let (n, m) = (a.nodes.len(), b.nodes.len());
    let mut trees = vec![vec![0.0f64; m]; n];
    for &i in &a.keyroots {
        for &j in &b.keyroots {
            let (first_i, first_j) = (a.leftmost[i], b.leftmost[j]);
            let (rows, columns) = (i - first_i + 2, j - first_j + 2);
            let mut forest = vec![vec![0.0f64; columns]; rows];
            for x in 1..rows {
                forest[x][0] = forest[x - 1][0] + 1.0;
            }
            for y in 1..columns {
                forest[0][y] = forest[0][y - 1] + 1.0;
            }
            for x in 1..rows {
                for y in 1..columns {
                    let (node_i, node_j) = (first_i + x - 1, first_j + y - 1);
                    let edit = (forest[x - 1][y] + 1.0).min(forest[x][y - 1] + 1.0);
                    if a.leftmost[node_i] == first_i && b.leftmost[node_j] == first_j {
                        let renamed = forest[x - 1][y - 1] + rename(a.nodes[node_i], b.nodes[node_j]);
                        forest[x][y] = edit.min(renamed);
                        trees[node_i][node_j] = forest[x][y];
                    } else {
                        let (p, q) = (a.leftmost[node_i] - first_i, b.leftmost[node_j] - first_j);
                        forest[x][y] = edit.min(forest[p][q] + trees[node_i][node_j]);
                    }
                }
            }
        }
    }
    trees[n - 1][m - 1]
}

fn rename(a: &Term, b: &Term) -> f64 {
    match (a.kind == b.kind, a.label == b.label) {
        (true, true) => 0.0,
        (true, false) => 0.5,
        _ => 1.0,
    }
}

/// Nodes in post-order with what the distance needs.
struct Postorder<'a> {
    nodes: Vec<&'a Term>,
    leftmost: Vec<usize>,
    keyroots: Vec<usize>,
}

impl<'a> Postorder<'a> {
    fn of(root: &'a Term) -> Self {
        let mut order = Self { nodes: Vec::new(), leftmost: Vec::new(), keyroots: Vec::new() };
        order.visit(root);
        let mut seen = std::collections::BTreeSet::new();
        for i in (0..order.nodes.len()).rev() {
            if seen.insert(order.leftmost[i]) {
                order.keyroots.push(i);
            }
        }
        order.keyroots.sort_unstable();
        order
    }

    fn visit(&mut self, term: &'a Term) -> usize {
        let mut leftmost = None;
        for child in &term.children {
            let first = self.visit(child);
            leftmost.get_or_insert(first);
        }
        let here = self.nodes.len();
        self.nodes.push(term);
        self.leftmost.push(leftmost.unwrap_or(here));
        leftmost.unwrap_or(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(column: &str) -> Term {
        Term::new(Kind::Aggregate, "sum", vec![Term::leaf(Kind::Column, column)])
    }

    #[test]
    fn distances_count_edits() {
        let a = Term::new(Kind::Operator, "+", vec![sum("t.x"), Term::leaf(Kind::Literal, "1")]);
        let b = Term::new(Kind::Operator, "+", vec![sum("t.y"), Term::leaf(Kind::Literal, "1")]);
        let c = Term::new(Kind::Function, "round", vec![a.clone()]);
        assert!((distance(&a, &a)).abs() < 1e-9);
        assert!((distance(&a, &b) - 0.5).abs() < 1e-9);
        assert!((distance(&a, &c) - 1.0).abs() < 1e-9);
        assert!((distance(&b, &c) - distance(&c, &b)).abs() < 1e-9);
        assert!(similarity(&a, &b) > similarity(&a, &c) && similarity(&a, &c) > 0.5);
        assert!(similarity(&sum("t.x"), &Term::leaf(Kind::Literal, "'z'")) < 0.5);
    }

    #[test]
    fn large_trees_are_compared_by_labels() {
        let many = |label: &str| Term::new(Kind::Function, "f", vec![Term::leaf(Kind::Literal, label); 400]);
        assert!(similarity(&many("1"), &many("2")) < 0.01);
        assert!((similarity(&many("1"), &many("1")) - 1.0).abs() < 1e-9);
    }
}
