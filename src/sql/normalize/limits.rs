//! Row numbers and LIMIT: orders without ties, the first rows.

use super::super::algebra::{
    Block, CmpOp, Col, ColSet, Const, ExprId, Limit, Node, OrderKey, Source, Window,
};
use super::Normalizer;
use super::filters::splice;

impl Normalizer<'_> {
    // rule: limit
    pub(super) fn limit(&mut self, mut limit: Box<Limit>, block: &mut Block, above: &ColSet) {
        let mut inside = above.clone();
        limit.order.iter().for_each(|key| self.arena.collect_columns(key.expr, &mut inside));
        self.block(&mut limit.input, &inside, false);
        let mut extended = ColSet::default();
        self.arena.extended(&limit.input, &mut extended);
        let mut order: Vec<OrderKey> = Vec::with_capacity(limit.order.len());
        for key in &limit.order {
            let mut key = OrderKey { expr: self.mapped_value(key.expr, &extended), ..*key };
            if self.arena.as_const(key.expr).is_some() || order.iter().any(|other| other.expr == key.expr) {
                continue;
            }
            if !self.arena.nullable(key.expr, &extended) {
                key.nulls_first = false;
            }
            order.push(key);
        }
        limit.order = self.needed_keys(&limit.input, order);
        let rows = limit.limit.and_then(|e| self.arena.as_const(e));
        let plain = limit.offset.is_none_or(|e| self.arena.as_const(e) == Some(Const::Int(0)));
        if limit.input.empty || rows == Some(Const::Int(0)) {
            let mut visible = self.arena.visible_set(&limit.input);
            let null = self.arena.null();
            for col in std::mem::take(&mut visible).iter() {
                self.replace(col, null);
            }
            block.empty = true;
            return;
        }
        if plain {
            limit.offset = None;
        }
        let mut facts = Vec::new();
        let unlimited = match rows {
            None => limit.limit.is_none_or(|e| self.arena.is_null_const(e)),
            Some(Const::Null) => true,
            Some(Const::Int(_)) => self.closure(&limit.input, &mut ColSet::default(), &mut facts),
            _ => false,
        };
        if plain && unlimited && limit.extra.is_none() {
            self.arena.used_facts.extend(facts);
            self.changed = true;
            splice(self.arena, block, std::mem::take(&mut limit.input));
            return;
        }
        block.sources.push(Source::Limit(limit));
    }

    // rule: total-order
    /// Where the order has no ties, sort keys behind the last that matters say nothing, all ways to number rows are one,
    /// and ROWS and RANGE mean the same.
    pub(super) fn total_order(&mut self, input: &Block, e: ExprId) -> ExprId {
        let Node::Window(mut call) = self.arena.node(e).clone() else { return e };
        let mut extended = ColSet::default();
        self.arena.extended(input, &mut extended);
        let mut e = e;
        for key in &mut call.order {
            key.nulls_first &= self.arena.nullable(key.expr, &extended);
        }
        if Node::Window(call.clone()) != *self.arena.node(e) {
            e = self.arena.window(call.clone());
        }
        let mut known = ColSet::default();
        for item in &*call.partition {
            if let Node::Col(col) = *self.arena.node(*item) {
                known.insert(col);
            }
        }
        let mut facts = Vec::new();
        let mut prefix = None;
        let mut keys = Vec::with_capacity(call.order.len());
        for (at, key) in call.order.iter().enumerate() {
            let mut closed = known.clone();
            facts.clear();
            if self.closure(input, &mut closed, &mut facts) {
                prefix = Some(at);
                break;
            }
            keys.push(*key);
            if let Node::Col(col) = *self.arena.node(key.expr) {
                known.insert(col);
            }
        }
        if prefix.is_none() {
            facts.clear();
            if !self.closure(input, &mut known.clone(), &mut facts) {
                return e;
            }
        }
        if keys.is_empty() {
            return e;
        }
        let name = self.arena.text(call.call.func).to_owned();
        let mut changed = keys.len() < call.order.len();
        call.order = keys.into();
        if matches!(name.as_str(), "rank" | "dense_rank") {
            call.call.func = self.arena.sym("row_number");
            changed = true;
        }
        if let Some(frame) = &mut call.frame {
            use super::super::algebra::FrameBound::{Current, End, Start};
            if frame.units == 'g'
                && matches!((frame.start, frame.end), (Start, Current) | (Current, End) | (Current, Current))
            {
                frame.units = 'r';
                changed = true;
            }
        }
        if !changed {
            return e;
        }
        self.arena.used_facts.extend(facts);
        self.arena.window(call)
    }

    /// Sort keys behind the last that matters say nothing: no two rows agree on those before.
    fn needed_keys(&mut self, input: &Block, order: Vec<OrderKey>) -> Vec<OrderKey> {
        let mut known = ColSet::default();
        let mut kept = Vec::with_capacity(order.len());
        for key in order {
            let mut facts = Vec::new();
            if !kept.is_empty() && self.closure(input, &mut known.clone(), &mut facts) {
                self.arena.used_facts.extend(facts);
                break;
            }
            if let Node::Col(col) = *self.arena.node(key.expr) {
                known.insert(col);
            }
            kept.push(key);
        }
        kept
    }

    // rule: first-rows
    /// The first rows of each partition are the same by RANK and DENSE_RANK, and `<= 1` is `= 1`. Of all rows, those whose
    /// number is at most `n` are those that LIMIT n keeps, ties resolved alike.
    pub(super) fn numbered(&mut self, block: &mut Block, above: &ColSet) {
        for at in 0..block.sources.len() {
            let Source::Window(window) = &block.sources[at] else { continue };
            let numbers: Vec<(Col, ExprId)> = window
                .funcs
                .iter()
                .copied()
                .filter(|(_, e)| match self.arena.node(*e) {
                    Node::Window(call) => {
                        matches!(self.arena.text(call.call.func), "row_number" | "rank" | "dense_rank")
                            && call.call.args.is_empty()
                            && call.call.filter.is_none()
                    }
                    _ => false,
                })
                .collect();
            for (col, e) in numbers {
                self.number(block, above, at, col, e);
            }
        }
    }

    fn number(&mut self, block: &mut Block, above: &ColSet, at: usize, col: Col, e: ExprId) {
        let bound = |this: &Self, e: ExprId| -> Option<i128> {
            let Node::Cmp(op @ (CmpOp::Eq | CmpOp::Le), a, b) = *this.arena.node(e) else { return None };
            let (tested, literal) = match (op, this.arena.as_const(a), this.arena.as_const(b)) {
                (_, None, Some(Const::Int(value))) => (a, value),
                (CmpOp::Eq, Some(Const::Int(value)), None) => (b, value),
                _ => return None,
            };
            let fits = *this.arena.node(tested) == Node::Col(col)
                && literal >= 1
                && (op == CmpOp::Le || literal == 1);
            fits.then_some(literal)
        };
        let bounds: Vec<(usize, i128)> =
            block.filters.iter().enumerate().filter_map(|(at, e)| Some((at, bound(self, *e)?))).collect();
        let [(filter, rows)] = bounds.as_slice() else { return };
        let (filter, rows) = (*filter, *rows);
        if rows == 1 {
            let (column, one) = (self.arena.column(col), self.arena.int(1));
            let first = self.arena.cmp(CmpOp::Eq, column, one);
            if block.filters[filter] != first {
                block.filters[filter] = first;
                self.changed = true;
            }
        }
        let Node::Window(mut call) = self.arena.node(e).clone() else { return };
        if rows == 1 && self.arena.is(call.call.func, "dense_rank") {
            call.call.func = self.arena.sym("rank");
            let ranked = self.arena.window(call);
            let Source::Window(window) = &mut block.sources[at] else { return };
            window.funcs.iter_mut().filter(|(other, _)| *other == col).for_each(|(_, e)| *e = ranked);
            self.changed = true;
            return;
        }
        if !self.arena.is(call.call.func, "row_number") || !call.partition.is_empty() {
            return;
        }
        // Nothing else may read the number.
        let condition = block.filters.remove(filter);
        let read = self.read_elsewhere(block, above, None);
        if read.contains(col) || block.equal.iter().flatten().any(|other| *other == col) {
            block.filters.insert(filter, condition);
            return;
        }
        let Source::Window(window) = block.sources.remove(at) else { return };
        let Window { input, mut funcs } = *window;
        funcs.retain(|(other, _)| *other != col);
        let mut inner = Block::default();
        if funcs.is_empty() {
            inner = input;
        } else {
            inner.sources.push(Source::Window(Box::new(Window { input, funcs })));
        }
        let rows = self.arena.int(rows);
        let limit =
            Limit { input: inner, order: call.order.to_vec(), limit: Some(rows), offset: None, extra: None };
        block.sources.insert(at, Source::Limit(Box::new(limit)));
        self.changed = true;
    }
}
