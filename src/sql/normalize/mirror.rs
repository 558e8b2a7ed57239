//! Window functions over the reversed order.

use super::super::algebra::{Block, ColSet, ExprId, Frame, FrameBound, Node};
use super::super::types::Type;
use super::Normalizer;

impl Normalizer<'_> {
    // rule: mirrored-window
    /// What stands before a row stands behind it in the reversed order: LAG is LEAD, the first value the last, a frame up to
    /// the row a frame from it. The order that begins ascending is taken.
    pub(super) fn mirrored(&mut self, input: &Block, e: ExprId) -> ExprId {
        let Node::Window(mut call) = self.arena.node(e).clone() else { return e };
        if !call.order.first().is_some_and(|key| key.desc) || !call.call.order.is_empty() {
            return e;
        }
        let name = self.arena.text(call.call.func).to_owned();
        let peers = call.frame.is_some_and(|frame| frame.units != 'r');
        let (other, by_row) = match name.as_str() {
            "lag" => ("lead", true),
            "lead" => ("lag", true),
            "first_value" => ("last_value", true),
            "last_value" => ("first_value", true),
            "count" | "min" | "max" | "bool_and" | "bool_or" => (name.as_str(), !peers),
            "sum" | "avg" if self.added_exactly(&call.call.args) => (name.as_str(), !peers),
            _ => return e,
        };
        // Where rows are told apart by nothing, they do not stand the other way round.
        if by_row {
            let mut known = ColSet::default();
            let items = call.partition.iter().copied().chain(call.order.iter().map(|key| key.expr));
            for item in items {
                if let Node::Col(col) = *self.arena.node(item) {
                    known.insert(col);
                }
            }
            let mut facts = Vec::new();
            if !self.closure(input, &mut known, &mut facts) {
                return e;
            }
            self.arena.used_facts.extend(facts);
        }
        call.call.func = self.arena.sym(other);
        for key in &mut call.order {
            key.desc = !key.desc;
            key.nulls_first = !key.nulls_first;
        }
        call.frame =
            call.frame.map(|frame| Frame { start: opposite(frame.end), end: opposite(frame.start), ..frame });
        self.changed = true;
        self.arena.window(call)
    }

    /// Whether sums of these do not depend on the order in which they are added.
    fn added_exactly(&self, args: &[ExprId]) -> bool {
        args.iter().all(|arg| matches!(self.arena.type_of(*arg), Type::Int(_) | Type::Decimal(..)))
    }
}

fn opposite(bound: FrameBound) -> FrameBound {
    match bound {
        FrameBound::Start => FrameBound::End,
        FrameBound::Preceding(by) => FrameBound::Following(by),
        FrameBound::Current => FrameBound::Current,
        FrameBound::Following(by) => FrameBound::Preceding(by),
        FrameBound::End => FrameBound::Start,
    }
}
