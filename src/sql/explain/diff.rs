//! Two outlines side by side, clause by clause.

use super::Explanation;
use super::outline::{Block, Item, Join, Output, Rel, Source, tree};
use super::pair::{likeness, pair_sources, relabel_block};
use super::term::{Kind, Term, column_name, similarity};
use super::words::{Within, differences};
use crate::sql::verdict::{Change, Fragment};

/// Blocks inside blocks that are looked into.
const MAX_DEPTH: usize = 12;

/// Compares two outlines.
pub(super) fn diff(golden: &Rel, candidate: &Rel) -> Explanation {
    let mut diff = Diff { changes: Vec::new() };
    let similarity = diff.rels(golden, candidate, "", 0);
    let rank = |change: &Change| match change.clause.as_str() {
        "sources" => 0,
        "joins" => 1,
        "grain" => 2,
        "filter" => 3,
        "columns" => 4,
        "measures" => 5,
        "windows" => 6,
        _ => 7,
    };
    diff.changes.sort_by_key(rank);
    diff.changes.dedup();
    Explanation { changes: diff.changes, similarity: (similarity * 1000.0).round() / 1000.0 }
}

pub(super) struct Diff {
    changes: Vec<Change>,
}

/// The place of an item, where it is known.
pub(super) fn fragment(item: &Item) -> Option<Fragment> {
    (item.lines.0 > 0).then(|| Fragment { sql: item.sql.clone(), lines: item.lines })
}

/// A share; 1 of nothing.
pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 { 1.0 } else { number(part) / number(whole) }
}

fn mean(scores: &[f64]) -> f64 {
    if scores.is_empty() {
        1.0
    } else {
        scores.iter().sum::<f64>() / f64::from(u32::try_from(scores.len()).unwrap_or(u32::MAX))
    }
}

impl Diff {
    pub(super) fn add(
        &mut self,
        clause: &str,
        class: &str,
        message: String,
        golden: Option<Fragment>,
        candidate: Option<Fragment>,
    ) {
        self.changes.push(Change {
            clause: clause.to_owned(),
            class: class.to_owned(),
            message,
            golden,
            candidate,
        });
    }

    /// `inside`: which part of the query, for messages; empty for the query itself.
    fn rels(&mut self, golden: &Rel, candidate: &Rel, inside: &str, depth: usize) -> f64 {
        if golden == candidate {
            return 1.0;
        }
        if depth > MAX_DEPTH {
            return similarity(&tree(golden), &tree(candidate));
        }
        match (golden, candidate) {
            (Rel::Block(g), Rel::Block(c)) => self.blocks(g, c, inside, depth),
            (
                Rel::Set { op: op_g, branches: g, lines: lines_g },
                Rel::Set { op: op_c, branches: c, lines: lines_c },
            ) => {
                let at = |op: &str, lines: &(usize, usize)| {
                    (lines.0 > 0).then(|| Fragment { sql: op.to_owned(), lines: *lines })
                };
                if op_g != op_c {
                    let effect = match (op_g.as_str(), op_c.as_str()) {
                        ("UNION ALL", "UNION") => ": equal rows are kept once",
                        ("UNION", "UNION ALL") => ": equal rows are kept as often as they occur",
                        _ => "",
                    };
                    self.add(
                        "set_operation",
                        "set_operation",
                        format!("{op_g} became {op_c}{effect}{inside}"),
                        at(op_g, lines_g),
                        at(op_c, lines_c),
                    );
                }
                self.branches(g, c, inside, depth) * if op_g == op_c { 1.0 } else { 0.8 }
            }
            (Rel::Set { op, branches, lines }, other) | (other, Rel::Set { op, branches, lines }) => {
                let is_golden = matches!(golden, Rel::Set { .. });
                let words = if is_golden { "is missing" } else { "is added" };
                let here = (lines.0 > 0).then(|| Fragment { sql: op.clone(), lines: *lines });
                let (at_golden, at_candidate) = if is_golden { (here, None) } else { (None, here) };
                self.add(
                    "set_operation",
                    "set_operation",
                    format!("{op} of {} parts {words}{inside}", branches.len()),
                    at_golden,
                    at_candidate,
                );
                let other = tree(other);
                branches.iter().map(|branch| similarity(&tree(branch), &other)).fold(0.0, f64::max) / 2.0
            }
            _ => {
                let (g, c) = (tree(golden), tree(candidate));
                let score = similarity(&g, &c);
                self.add(
                    "sources",
                    "source",
                    format!("reads {} instead of {}{inside}", candidate.label(), golden.label()),
                    None,
                    None,
                );
                score / 2.0
            }
        }
    }

    fn branches(&mut self, golden: &[Rel], candidate: &[Rel], inside: &str, depth: usize) -> f64 {
        let mut rest: Vec<&Rel> = candidate.iter().collect();
        let mut scores = Vec::new();
        let mut missing = Vec::new();
        // Equal branches first, so that only what differs is paired by likeness.
        let mut open: Vec<&Rel> = Vec::new();
        for branch in golden {
            match rest.iter().position(|other| *other == branch) {
                Some(i) => {
                    rest.remove(i);
                    scores.push(1.0);
                }
                None => open.push(branch),
            }
        }
        for branch in open {
            let this = tree(branch);
            let best = (0..rest.len())
                .map(|i| (similarity(&this, &tree(rest[i])), i))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            match best {
                Some((score, i)) if score > 0.25 => {
                    let other = rest.remove(i);
                    let inside = format!("{inside}, in the part over {}", branch.label());
                    scores.push(self.rels(branch, other, &inside, depth + 1));
                }
                _ => missing.push(branch),
            }
        }
        for branch in missing {
            scores.push(0.0);
            self.add(
                "set_operation",
                "set_operation",
                format!("the part over {} is missing{inside}", branch.label()),
                place(branch),
                None,
            );
        }
        for branch in rest {
            scores.push(0.0);
            self.add(
                "set_operation",
                "set_operation",
                format!("a part over {} is added{inside}", branch.label()),
                None,
                place(branch),
            );
        }
        mean(&scores)
    }

    fn blocks(&mut self, golden: &Block, candidate: &Block, inside: &str, depth: usize) -> f64 {
        let pairs = pair_sources(&golden.sources, &candidate.sources);
        let renamed: Vec<(String, String)> = pairs
            .iter()
            .filter(|(g, c)| golden.sources[*g].label != candidate.sources[*c].label)
            .map(|(g, c)| (candidate.sources[*c].label.clone(), golden.sources[*g].label.clone()))
            .collect();
        let candidate = &relabel_block(candidate, &renamed);
        let mut parts: Vec<(f64, f64)> = Vec::new();
        parts.push((0.2, self.sources(golden, candidate, &pairs, inside, depth)));
        if let Some(score) = self.conditions(golden, candidate, &pairs, inside) {
            parts.push((0.2, score));
        }
        if let Some(score) = self.grain(golden, candidate, inside) {
            parts.push((0.15, score));
        }
        parts.push((0.35, self.columns(golden, candidate, inside)));
        if let Some(score) = self.rows(golden, candidate, inside) {
            parts.push((0.1, score));
        }
        let weights: f64 = parts.iter().map(|(weight, _)| weight).sum();
        parts.iter().map(|(weight, score)| weight * score).sum::<f64>() / weights
    }

    fn sources(
        &mut self,
        golden: &Block,
        candidate: &Block,
        pairs: &[(usize, usize)],
        inside: &str,
        depth: usize,
    ) -> f64 {
        let at = |source: &Source| {
            let label = source.rel.label();
            let sql =
                if source.join == Join::Inner { label } else { format!("{} {label}", source.join.words()) };
            (source.lines.0 > 0).then_some(Fragment { sql, lines: source.lines })
        };
        let mut scores = Vec::new();
        let turned = pairs
            .iter()
            .any(|(g, c)| golden.sources[*g].join == Join::Inner && candidate.sources[*c].join == Join::Left)
            && pairs.iter().any(|(g, c)| {
                golden.sources[*g].join == Join::Left && candidate.sources[*c].join == Join::Inner
            });
        for (g, c) in pairs {
            let (source_g, source_c) = (&golden.sources[*g], &candidate.sources[*c]);
            let mut score = match (&source_g.rel, &source_c.rel) {
                (Rel::Block(block), Rel::Table(table)) if block.group.is_some() => {
                    let message = format!(
                        "{table} is joined row by row instead of grouped first: rows are multiplied{inside}"
                    );
                    self.add("grain", "fan_out", message, place(&source_g.rel), at(source_c));
                    0.5
                }
                (Rel::Table(table), Rel::Block(block)) if block.group.is_some() => {
                    let message = format!("{table} is grouped before it is joined{inside}");
                    self.add("grain", "grain", message, at(source_g), place(&source_c.rel));
                    0.5
                }
                (Rel::Block(block), Rel::Table(table)) => {
                    let message =
                        format!("{table} is read as it is; {} is missing{inside}", what_it_does(block));
                    self.add("grain", "grain", message, place(&source_g.rel), at(source_c));
                    0.5
                }
                (Rel::Table(table), Rel::Block(block)) => {
                    let message = format!("{} of {table} is added{inside}", what_it_does(block));
                    self.add("grain", "grain", message, at(source_g), place(&source_c.rel));
                    0.5
                }
                (rel_g, rel_c) => self.rels(
                    rel_g,
                    rel_c,
                    &format!("{inside}, in the part over {}", rel_g.label()),
                    depth + 1,
                ),
            };
            if source_g.join != source_c.join && !turned {
                score *= 0.6;
                self.add(
                    "joins",
                    "join_type",
                    format!("{}{inside}", join_words(source_g, source_c.join)),
                    at(source_g),
                    at(source_c),
                );
            }
            scores.push(score);
        }
        if turned {
            let kept = |block: &Block| {
                block
                    .sources
                    .iter()
                    .find(|source| source.join == Join::Inner)
                    .map(|source| source.label.clone())
                    .unwrap_or_default()
            };
            let message = format!(
                "the LEFT JOIN is turned around: all rows of {} are kept instead of all rows of {}{inside}",
                kept(candidate),
                kept(golden)
            );
            self.add(
                "joins",
                "join_type",
                message,
                golden.sources.iter().find_map(at),
                candidate.sources.iter().find_map(at),
            );
            scores.push(0.3);
        }
        for (i, source) in golden.sources.iter().enumerate() {
            if !pairs.iter().any(|(g, _)| *g == i) {
                scores.push(0.0);
                self.add(
                    "sources",
                    "missing_source",
                    format!("{} is not read{inside}", source.label),
                    at(source),
                    None,
                );
            }
        }
        for (i, source) in candidate.sources.iter().enumerate() {
            if !pairs.iter().any(|(_, c)| *c == i) {
                scores.push(0.0);
                self.add(
                    "sources",
                    "extra_source",
                    format!("{} is read too{inside}", source.label),
                    None,
                    at(source),
                );
            }
        }
        mean(&scores)
    }

    fn grain(&mut self, golden: &Block, candidate: &Block, inside: &str) -> Option<f64> {
        let words = |keys: &[Item]| {
            if keys.is_empty() {
                return "nothing".to_owned();
            }
            keys.iter().map(|key| key.term.to_string()).collect::<Vec<_>>().join(", ")
        };
        let first = |keys: &[Item]| keys.iter().find_map(fragment);
        match (&golden.group, &candidate.group) {
            (None, None) => None,
            (Some(keys), None) => {
                let (class, message) = if golden.is_distinct {
                    ("distinct", format!("DISTINCT is missing: equal rows are kept{inside}"))
                } else {
                    ("grain", format!("the rows are not grouped by {}{inside}", words(keys)))
                };
                self.add("grain", class, message, first(keys), None);
                Some(0.0)
            }
            (None, Some(keys)) => {
                let (class, message) = if candidate.is_distinct {
                    ("distinct", format!("DISTINCT is added: equal rows are kept once{inside}"))
                } else {
                    ("grain", format!("the rows are grouped by {}{inside}", words(keys)))
                };
                self.add("grain", class, message, None, first(keys));
                Some(0.0)
            }
            (Some(g), Some(c)) => {
                let missing: Vec<&Item> =
                    g.iter().filter(|key| !c.iter().any(|other| other.term == key.term)).collect();
                let extra: Vec<&Item> =
                    c.iter().filter(|key| !g.iter().any(|other| other.term == key.term)).collect();
                let shared = g.len() - missing.len();
                // Keys that are output columns of one name are compared as columns.
                let named = |block: &Block, key: &Item| {
                    block
                        .outputs
                        .iter()
                        .find(|output| output.item.term == key.term)
                        .map(|output| output.name.clone())
                };
                let as_columns = missing.len() == extra.len()
                    && missing.iter().all(|key| key.term.kind != Kind::Column)
                    && missing.iter().all(|key| {
                        named(golden, key).is_some_and(|name| {
                            extra.iter().any(|other| named(candidate, other).as_ref() == Some(&name))
                        })
                    });
                let by_distinct = golden.is_distinct && candidate.is_distinct;
                if !missing.is_empty() && !extra.is_empty() && !as_columns {
                    let message =
                        format!("grain changed: grouped by {} instead of {}{inside}", words(c), words(g));
                    self.add("grain", "grain", message, fragment(missing[0]), fragment(extra[0]));
                } else if !as_columns && !by_distinct {
                    if !missing.is_empty() {
                        let message = format!(
                            "grain changed: the key {} is missing{inside}",
                            words(&missing.iter().map(|item| (*item).clone()).collect::<Vec<_>>())
                        );
                        self.add("grain", "grain", message, fragment(missing[0]), first(c));
                    }
                    if !extra.is_empty() {
                        let message = format!(
                            "grain changed: grouped by {} too{inside}",
                            words(&extra.iter().map(|item| (*item).clone()).collect::<Vec<_>>())
                        );
                        self.add("grain", "grain", message, first(g), fragment(extra[0]));
                    }
                }
                Some(ratio(shared, g.len() + c.len() - shared))
            }
        }
    }

    fn columns(&mut self, golden: &Block, candidate: &Block, inside: &str) -> f64 {
        let is_star = |block: &Block| block.outputs.iter().any(|output| output.name == "*");
        let mut scores = Vec::new();
        let mut missing: Vec<&Output> = Vec::new();
        for output in &golden.outputs {
            match candidate.output(&output.name) {
                Some(other) => scores.push(self.column(output, other, golden, inside)),
                None if is_star(candidate) => {}
                None => missing.push(output),
            }
        }
        let mut extra: Vec<&Output> = candidate
            .outputs
            .iter()
            .filter(|output| golden.output(&output.name).is_none() && !is_star(golden))
            .collect();
        for output in missing {
            let same =
                extra.iter().position(|other| other.item.term == output.item.term && output.name != "*");
            if let Some(i) = same {
                let other = extra.remove(i);
                scores.push(0.5);
                let message = format!("column `{}` is called `{}`{inside}", output.name, other.name);
                self.add("columns", "renamed_column", message, fragment(&output.item), fragment(&other.item));
            } else {
                scores.push(0.0);
                self.add(
                    "columns",
                    "missing_column",
                    format!("column `{}` is missing{inside}", output.name),
                    fragment(&output.item),
                    None,
                );
            }
        }
        for output in extra {
            scores.push(0.0);
            self.add(
                "columns",
                "extra_column",
                format!("column `{}` is added{inside}", output.name),
                None,
                fragment(&output.item),
            );
        }
        mean(&scores)
    }

    fn column(&mut self, golden: &Output, candidate: &Output, block: &Block, inside: &str) -> f64 {
        let (g, c) = (&golden.item.term, &candidate.item.term);
        if g == c {
            return 1.0;
        }
        let clause = if g.has(Kind::Window) || c.has(Kind::Window) {
            "windows"
        } else if g.has(Kind::Aggregate) || c.has(Kind::Aggregate) {
            "measures"
        } else if block.group.is_some() {
            "grain"
        } else {
            "columns"
        };
        for difference in differences(g, c, Within::Column) {
            let message = format!("column `{}`: {}{inside}", golden.name, difference.message);
            self.add(clause, difference.class, message, fragment(&golden.item), fragment(&candidate.item));
        }
        similarity(g, c) * 0.8
    }

    /// What picks rows after grouping: HAVING, QUALIFY, DISTINCT ON, ORDER BY with LIMIT.
    fn rows(&mut self, golden: &Block, candidate: &Block, inside: &str) -> Option<f64> {
        let mut scores = Vec::new();
        for (name, g, c) in
            [("HAVING", &golden.having, &candidate.having), ("QUALIFY", &golden.qualify, &candidate.qualify)]
        {
            if g.is_empty() && c.is_empty() {
                continue;
            }
            let mut rest: Vec<&Item> =
                c.iter().filter(|item| !g.iter().any(|other| other.term == item.term)).collect();
            let mut score = g.len();
            for item in g.iter().filter(|item| !c.iter().any(|other| other.term == item.term)) {
                score -= 1;
                let best = (0..rest.len())
                    .map(|i| (likeness(&item.term, &rest[i].term), i))
                    .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
                if let Some((likeness, i)) = best
                    && likeness >= 0.4
                {
                    let other = rest.remove(i);
                    let clause = if name == "QUALIFY" { "windows" } else { "filter" };
                    for difference in differences(&item.term, &other.term, Within::Filter) {
                        let message = format!("in the choice of rows: {}{inside}", difference.message);
                        self.add(clause, difference.class, message, fragment(item), fragment(other));
                    }
                } else {
                    let class = if name == "QUALIFY" { "grain" } else { "missing_filter" };
                    self.add(
                        if name == "QUALIFY" { "grain" } else { "filter" },
                        class,
                        format!("the choice of rows by `{}` is missing{inside}", item.sql),
                        fragment(item),
                        None,
                    );
                }
            }
            for item in rest {
                let class = if name == "QUALIFY" { "grain" } else { "extra_filter" };
                self.add(
                    if name == "QUALIFY" { "grain" } else { "filter" },
                    class,
                    format!("rows are chosen by `{}`{inside}", item.sql),
                    None,
                    fragment(item),
                );
            }
            scores.push(ratio(score, g.len().max(c.len())));
        }
        let terms = |items: &[Item]| items.iter().map(|item| item.term.clone()).collect::<Vec<Term>>();
        let (on_g, on_c) = (terms(&golden.distinct_on), terms(&candidate.distinct_on));
        if on_g != on_c {
            scores.push(0.0);
            let words = |keys: &[Term]| {
                if keys.is_empty() {
                    "none".to_owned()
                } else {
                    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                }
            };
            let message = format!("DISTINCT ON keys: {} instead of {}{inside}", words(&on_c), words(&on_g));
            self.add(
                "grain",
                "grain",
                message,
                golden.distinct_on.iter().find_map(fragment),
                candidate.distinct_on.iter().find_map(fragment),
            );
        }
        let value = |item: &Option<Item>| item.as_ref().map(|item| item.term.clone());
        for (name, g, c) in
            [("LIMIT", &golden.limit, &candidate.limit), ("OFFSET", &golden.offset, &candidate.offset)]
        {
            if value(g) == value(c) {
                continue;
            }
            scores.push(0.0);
            let message = match (g, c) {
                (Some(g), Some(c)) => format!("{name} {} instead of {}", c.sql, g.sql),
                (Some(g), None) => format!("{name} {} is missing", g.sql),
                (_, c) => format!(
                    "{name} {} is added",
                    c.as_ref().map(|item| item.sql.as_str()).unwrap_or_default()
                ),
            };
            self.add(
                "order",
                "order_limit",
                format!("{message}{inside}"),
                g.as_ref().and_then(fragment),
                c.as_ref().and_then(fragment),
            );
        }
        let picks = |block: &Block| block.limit.is_some() || !block.distinct_on.is_empty();
        if picks(golden) && picks(candidate) && terms(&golden.order) != terms(&candidate.order) {
            scores.push(0.3);
            let words = |keys: &[Item]| keys.iter().map(|key| key.sql.clone()).collect::<Vec<_>>().join(", ");
            let (g, c) = (words(&golden.order), words(&candidate.order));
            let message = match (g.is_empty(), c.is_empty()) {
                (false, true) => format!("ORDER BY {g} is missing: any rows may be picked{inside}"),
                (true, _) => format!("ORDER BY {c} is added{inside}"),
                _ => format!("rows are picked in the order {c} instead of {g}{inside}"),
            };
            self.add(
                "order",
                "tie_break",
                message,
                golden.order.iter().find_map(fragment),
                candidate.order.iter().find_map(fragment),
            );
        }
        (!scores.is_empty() || picks(golden)).then(|| mean(&scores))
    }
}

fn place(rel: &Rel) -> Option<Fragment> {
    let lines = rel.lines();
    (lines.0 > 0).then(|| Fragment { sql: rel.label(), lines })
}

fn what_it_does(block: &Block) -> &'static str {
    if block.group.is_some() {
        "the grouping"
    } else if block.has_windows() || !block.qualify.is_empty() || !block.distinct_on.is_empty() {
        "the choice of one row among several"
    } else if block.limit.is_some() {
        "the limit"
    } else {
        "the subquery"
    }
}

fn join_words(golden: &Source, candidate: Join) -> String {
    let name = column_name(&golden.label);
    let effect = match (golden.join, candidate) {
        (Join::Left, Join::Inner) => format!(": rows without {name} are dropped"),
        (Join::Inner, Join::Left) => format!(": rows without {name} are kept"),
        (Join::Full, Join::Left) => format!(": rows that only {name} has are dropped"),
        (Join::Left, Join::Full) => format!(": rows that only {name} has are kept"),
        (Join::Full, Join::Inner) => ": rows without a partner are dropped".to_owned(),
        (Join::Semi, Join::Inner) => format!(": rows with several {name} are repeated"),
        _ => String::new(),
    };
    format!("{} became {} on {name}{effect}", golden.join.words(), candidate.words())
}
