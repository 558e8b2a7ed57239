//! What a query leaves open: which of the rows with equal sort keys come first, which value an aggregate takes of several.

use std::collections::BTreeSet;

use super::super::algebra::map::{children, inner_blocks, walk_block};
use super::super::algebra::{
    AggCall, Arena, Block, ColSet, ExprId, Frame, FrameBound, Limit, Node, OrderKey, Query, Source, SubId,
    WindowCall,
};
use super::{Normalizer, Substitution};

/// The clauses and functions of a query in normal form whose result the rows do not determine, by name.
pub(in crate::sql) fn open_choices(arena: &mut Arena, query: &Query) -> BTreeSet<String> {
    let normalizer = Normalizer { arena, subst: Substitution::default(), changed: false, depth: 0 };
    let mut finder = Finder { normalizer, found: BTreeSet::new(), seen: BTreeSet::new() };
    finder.block(&query.block);
    for (_, e) in &query.outputs {
        finder.subqueries(*e);
    }
    finder.found.append(&mut finder.normalizer.arena.open_choices.clone());
    finder.found
}

struct Finder<'a> {
    normalizer: Normalizer<'a>,
    found: BTreeSet<String>,
    seen: BTreeSet<SubId>,
}

impl Finder<'_> {
    fn block(&mut self, block: &Block) {
        let mut roots = Vec::new();
        walk_block(block, &mut |e| roots.push(e));
        roots.into_iter().for_each(|e| self.subqueries(e));
        self.sources(block);
    }

    fn sources(&mut self, block: &Block) {
        for source in &block.sources {
            match source {
                Source::Limit(limit) => self.limit(limit),
                Source::Window(window) => {
                    for (_, e) in &window.funcs {
                        if let Node::Window(call) = self.normalizer.arena.node(*e).clone() {
                            self.window(&window.input, &call);
                        }
                    }
                }
                Source::Aggregate(aggregate) => {
                    for (_, e) in &aggregate.aggs {
                        if let Node::Agg(call) = self.normalizer.arena.node(*e).clone() {
                            self.aggregate(&aggregate.input, &call);
                        }
                    }
                }
                _ => {}
            }
        }
        inner_blocks(block).into_iter().for_each(|inner| self.sources(inner));
    }

    fn subqueries(&mut self, e: ExprId) {
        let sub = match self.normalizer.arena.node(e) {
            Node::Exists(sub) | Node::Scalar(sub) | Node::In(_, sub) => Some(*sub),
            _ => None,
        };
        let mut below = Vec::new();
        children(self.normalizer.arena.node(e), &mut |child| below.push(child));
        below.into_iter().for_each(|child| self.subqueries(child));
        if let Some(sub) = sub
            && self.seen.insert(sub)
        {
            let sub = self.normalizer.arena.sub(sub).clone();
            self.block(&sub.block);
            sub.outputs.iter().for_each(|e| self.subqueries(*e));
        }
    }

    /// Whether no two rows of the block agree on all of these.
    fn tells_rows_apart(&mut self, block: &Block, by: &mut dyn Iterator<Item = ExprId>) -> bool {
        let mut known = ColSet::default();
        for e in by {
            if let Node::Col(col) = *self.normalizer.arena.node(e) {
                known.insert(col);
            }
        }
        self.normalizer.closure(block, &mut known, &mut Vec::new())
    }

    fn note(&mut self, what: &str) {
        self.found.insert(what.to_owned());
    }

    fn limit(&mut self, limit: &Limit) {
        let ties = limit.extra.is_some_and(|extra| self.normalizer.arena.is(extra, "with ties"));
        if !ties && !self.tells_rows_apart(&limit.input, &mut limit.order.iter().map(|key| key.expr)) {
            self.note("LIMIT");
        }
    }

    fn window(&mut self, input: &Block, call: &WindowCall) {
        let name = self.normalizer.arena.text(call.call.func).to_owned();
        let by_row = match name.as_str() {
            "row_number" | "ntile" | "lag" | "lead" => true,
            "rank" | "dense_rank" | "percent_rank" | "cume_dist" => false,
            "first_value" | "last_value" | "nth_value" => true,
            _ => call.frame.is_some_and(|frame| counts_rows(&frame)) || takes_one(&name),
        };
        if by_row {
            let keys = call.partition.iter().copied().chain(call.order.iter().map(|key: &OrderKey| key.expr));
            let keys: Vec<ExprId> = keys.collect();
            if !self.tells_rows_apart(input, &mut keys.into_iter()) {
                self.note(&name);
            }
        }
    }

    fn aggregate(&mut self, input: &Block, call: &AggCall) {
        let name = self.normalizer.arena.text(call.func).to_owned();
        if takes_one(&name) {
            let keys: Vec<ExprId> = call.order.iter().map(|key| key.expr).collect();
            if keys.is_empty() || !self.tells_rows_apart(input, &mut keys.into_iter()) {
                self.note(&name);
            }
        }
    }
}

/// Frames of ROWS end between rows that the order does not tell apart, unless they are the whole partition.
fn counts_rows(frame: &Frame) -> bool {
    frame.units == 'r' && !(frame.start == FrameBound::Start && frame.end == FrameBound::End)
}

/// Aggregates of which the order of rows decides the result.
pub(in crate::sql) fn takes_one(name: &str) -> bool {
    // Behind the name may stand what it ignores and how many it takes.
    matches!(
        name.split(' ').next().unwrap_or(name),
        "any_value"
            | "first"
            | "last"
            | "arg_max"
            | "arg_min"
            | "mode"
            | "string_agg"
            | "array_agg"
            | "list"
            | "collect_list"
            | "object_agg"
            | "json_agg"
            | "jsonb_agg"
            | "json_group_array"
            | "array_concat_agg"
            | "array"
    )
}
