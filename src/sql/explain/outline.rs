//! The outline of a query: what each block selects, from where, under which conditions and by which grain.
//!
//! CTEs and derived tables that only project and filter are merged into their readers, so that two queries that are built
//! in other steps get outlines that can be laid side by side. The outline serves words and similarity; it decides nothing, and
//! what it does not know it carries as text.

use super::term::{Kind, Term};

/// An expression with its place in the source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) term: Term,
    /// As written, white space aside.
    pub(super) sql: String,
    /// First and last line, from 1; 0 when not known.
    pub(super) lines: (usize, usize),
}

/// An output column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Output {
    /// Name, folded to lower case; `*` for columns that are not known.
    pub(super) name: String,
    pub(super) item: Item,
}

/// How a source is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Join {
    /// First in FROM, inner or cross.
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
    /// ASOF, APPLY and what else there is.
    Other,
}

impl Join {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Inner => "INNER JOIN",
            Self::Left => "LEFT JOIN",
            Self::Right => "RIGHT JOIN",
            Self::Full => "FULL JOIN",
            Self::Semi => "SEMI JOIN",
            Self::Anti => "ANTI JOIN",
            Self::Other => "another kind of join",
        }
    }
}

/// A relation in FROM.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    /// Name that columns carry: the table, or a description of the block; the second occurrence has `#2`.
    pub(super) label: String,
    pub(super) rel: Rel,
    pub(super) join: Join,
    /// Conditions of an outer join; those of inner joins are filters.
    pub(super) on: Vec<Item>,
    pub(super) lines: (usize, usize),
}

/// A relation.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rel {
    /// A table, lower-case name.
    Table(String),
    /// A SELECT.
    Block(Box<Block>),
    /// A set operation.
    Set {
        /// `UNION ALL`, `EXCEPT`, ...
        op: String,
        branches: Vec<Rel>,
        lines: (usize, usize),
    },
    /// VALUES, a table function, recursion: by text.
    Other(String),
}

/// A SELECT.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Block {
    pub(super) sources: Vec<Source>,
    pub(super) filters: Vec<Item>,
    /// Group keys; `Some` of nothing for an aggregate over everything.
    pub(super) group: Option<Vec<Item>>,
    /// The grouping was written as DISTINCT.
    pub(super) is_distinct: bool,
    pub(super) having: Vec<Item>,
    pub(super) qualify: Vec<Item>,
    pub(super) outputs: Vec<Output>,
    pub(super) order: Vec<Item>,
    pub(super) limit: Option<Item>,
    pub(super) offset: Option<Item>,
    pub(super) distinct_on: Vec<Item>,
    pub(super) lines: (usize, usize),
}

impl Block {
    /// It projects and filters; nothing else.
    pub(super) fn is_simple(&self) -> bool {
        self.group.is_none()
            && self.having.is_empty()
            && self.qualify.is_empty()
            && self.limit.is_none()
            && self.offset.is_none()
            && self.distinct_on.is_empty()
            && !self.has_windows()
            && !self.sources.is_empty()
    }

    /// It returns every column of its one source, which are not known.
    pub(super) fn passes_all(&self) -> bool {
        match (self.sources.as_slice(), self.outputs.as_slice()) {
            ([source], [output]) => {
                output.name == "*" && output.item.term.label == format!("{}.*", source.label)
            }
            _ => false,
        }
    }

    pub(super) fn has_windows(&self) -> bool {
        self.outputs.iter().any(|output| output.item.term.has(Kind::Window))
    }

    pub(super) fn output(&self, name: &str) -> Option<&Output> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

impl Rel {
    /// Describes the relation by what it reads; the same for both sides when they read the same.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Table(name) => name.clone(),
            Self::Block(block) => {
                let mut tables: Vec<String> = block.sources.iter().map(|source| source.rel.label()).collect();
                tables.sort();
                let how = if block.group.is_some() {
                    "grouped "
                } else if block.has_windows() || !block.qualify.is_empty() {
                    "ranked "
                } else if block.limit.is_some() {
                    "limited "
                } else {
                    ""
                };
                format!("{how}{}", tables.join(" and "))
            }
            Self::Set { branches, .. } => {
                let mut labels: Vec<String> = branches.iter().map(Self::label).collect();
                labels.sort();
                labels.dedup();
                format!("union of {}", labels.join(" and "))
            }
            Self::Other(text) => text.clone(),
        }
    }

    /// Names of its columns, where they are known.
    pub(super) fn names(&self) -> Option<Vec<String>> {
        match self {
            Self::Block(block) if block.outputs.iter().all(|output| output.name != "*") => {
                Some(block.outputs.iter().map(|output| output.name.clone()).collect())
            }
            Self::Set { branches, .. } => branches.first().and_then(Self::names),
            _ => None,
        }
    }

    pub(super) fn lines(&self) -> (usize, usize) {
        match self {
            Self::Block(block) => block.lines,
            Self::Set { lines, .. } => *lines,
            _ => (0, 0),
        }
    }

    /// Base tables below it, sorted, with repeats.
    pub(super) fn tables(&self) -> Vec<String> {
        let mut tables = match self {
            Self::Table(name) => vec![name.clone()],
            Self::Block(block) => block.sources.iter().flat_map(|source| source.rel.tables()).collect(),
            Self::Set { branches, .. } => branches.iter().flat_map(Self::tables).collect(),
            Self::Other(_) => Vec::new(),
        };
        tables.sort();
        tables
    }
}

/// The outline as one tree, for subqueries inside expressions.
pub(super) fn tree(rel: &Rel) -> Term {
    let clause = |name: &str, items: Vec<Term>| Term::new(Kind::Clause, name, items);
    match rel {
        Rel::Table(name) => Term::leaf(Kind::Other, name.clone()),
        Rel::Other(text) => Term::leaf(Kind::Other, text.clone()),
        Rel::Set { op, branches, .. } => {
            Term::new(Kind::Query, op.to_lowercase(), branches.iter().map(tree).collect())
        }
        Rel::Block(block) => {
            let terms = |items: &[Item]| {
                let mut terms: Vec<Term> = items.iter().map(|item| item.term.clone()).collect();
                terms.sort();
                terms
            };
            let mut parts =
                vec![clause("select", block.outputs.iter().map(|output| output.item.term.clone()).collect())];
            parts.push(clause("from", block.sources.iter().map(|source| tree(&source.rel)).collect()));
            if !block.filters.is_empty() {
                parts.push(clause("where", terms(&block.filters)));
            }
            if let Some(keys) = &block.group {
                parts.push(clause("group", terms(keys)));
            }
            let columns: Vec<String> =
                block.outputs.iter().map(|output| output.item.term.to_string()).collect();
            let text = format!("select {} from {}", columns.join(", "), rel.label());
            Term::new(Kind::Query, text, parts)
        }
    }
}
