//! Groups that a condition keeps, and groups that window functions over whole partitions are.

use super::super::algebra::map::Substitution;
use super::super::algebra::{
    AggCall, Aggregate, Block, CmpOp, Col, ColSet, Const, ExprId, Frame, FrameBound, Node, OrderKey, Source,
    WindowCall,
};
use super::super::types::Type;
use super::Normalizer;

/// What a condition on a group says of its rows.
struct Present {
    /// Some row meets all of these.
    rows: Vec<ExprId>,
    /// Among such rows alone the condition always holds.
    always: bool,
    /// The value it looks at is the same among such rows alone.
    decided: bool,
}

impl Normalizer<'_> {
    // rule: kept-groups
    /// A condition that holds only for groups with a row of some kind keeps those rows alone, where nothing that is computed
    /// looks at the others.
    pub(super) fn kept_groups(&mut self, block: &mut Block) {
        let mut at = 0;
        while at < block.filters.len() {
            let e = block.filters[at];
            if self.keep_groups(&mut block.sources, e) {
                block.filters.remove(at);
                self.changed = true;
            } else {
                at += 1;
            }
        }
    }

    /// Whether the condition has become one that always holds.
    fn keep_groups(&mut self, sources: &mut [Source], e: ExprId) -> bool {
        let read = self.arena.columns_of(e);
        if self.arena.has_sub(e) {
            return false;
        }
        for source in sources {
            let Source::Aggregate(aggregate) = source else { continue };
            if aggregate.scalar {
                continue;
            }
            let mut extended = ColSet::default();
            self.arena.extended(&aggregate.input, &mut extended);
            for (col, agg) in aggregate.aggs.clone() {
                let Node::Agg(call) = self.arena.node(agg).clone() else { continue };
                if !read.contains(col) {
                    continue;
                }
                for present in self.said_of_rows(e, col, &call, &extended) {
                    if present.rows.is_empty() && present.always {
                        return true;
                    }
                    if self.keep_rows(aggregate, col, &present, &extended) {
                        return present.always;
                    }
                }
            }
        }
        false
    }

    /// What the condition on this aggregate says of the rows, the most telling first.
    fn said_of_rows(&mut self, e: ExprId, col: Col, call: &AggCall, extended: &ColSet) -> Vec<Present> {
        let name = self.arena.text(call.func).to_owned();
        let mut rows = Vec::new();
        call.filter.iter().for_each(|filter| self.split(*filter, &mut rows));
        let mut found = Vec::new();
        let int = |this: &Self, e: ExprId| match this.arena.as_const(e) {
            Some(Const::Int(value)) => Some(value),
            _ => None,
        };
        let is_col = |this: &Self, e: ExprId| *this.arena.node(e) == Node::Col(col);
        let column = self.arena.column(col);
        let node = self.arena.node(e).clone();
        if name == "count" && call.args.is_empty() {
            // At least one: whether it is exactly that much does not matter only where nothing more is asked for.
            let least = match node {
                Node::Cmp(CmpOp::Le, low, tested) if is_col(self, tested) => int(self, low),
                Node::Cmp(CmpOp::Lt, low, tested) if is_col(self, tested) => {
                    int(self, low).map(|low| low + 1)
                }
                Node::Cmp(CmpOp::Ne, a, b) if is_col(self, a) && int(self, b) == Some(0) => Some(1),
                Node::Cmp(CmpOp::Ne, a, b) if is_col(self, b) && int(self, a) == Some(0) => Some(1),
                Node::Cmp(CmpOp::Eq, a, b) if is_col(self, a) => int(self, b),
                Node::Cmp(CmpOp::Eq, a, b) if is_col(self, b) => int(self, a),
                _ => None,
            };
            if let Some(least) = least.filter(|least| *least >= 1) {
                let always = least == 1 && !matches!(node, Node::Cmp(CmpOp::Eq, ..));
                found.push(Present { rows, always, decided: false });
            }
            return found;
        }
        let [arg] = *call.args else { return found };
        if self.arena.has_sub(arg) {
            return found;
        }
        let bound = match (name.as_str(), node) {
            ("max", Node::Cmp(op @ (CmpOp::Lt | CmpOp::Le), low, tested))
                if is_col(self, tested) && self.arena.as_const(low).is_some() =>
            {
                Some(self.arena.cmp(op, low, arg))
            }
            ("min", Node::Cmp(op @ (CmpOp::Lt | CmpOp::Le), tested, high))
                if is_col(self, tested) && self.arena.as_const(high).is_some() =>
            {
                Some(self.arena.cmp(op, arg, high))
            }
            ("bool_or", Node::Col(_)) => Some(arg),
            _ => None,
        };
        // Some engines compare NaN one way and aggregate it another.
        if let Some(bound) = bound
            && !matches!(self.arena.type_of(arg), Type::Float(_))
        {
            let bound = self.condition(bound, extended);
            let mut rows = rows.clone();
            self.split(bound, &mut rows);
            found.push(Present { rows, always: true, decided: true });
        }
        let of_values = matches!(name.as_str(), "sum" | "min" | "max" | "avg" | "bool_and" | "bool_or");
        let one: ColSet = [col].into_iter().collect();
        if of_values && self.arena.never_true_when(e, &one) {
            let present = self.not_null(arg, extended);
            self.split(present, &mut rows);
            let null = self.arena.is_null(column);
            let always = self.arena.not(null) == e;
            found.push(Present { rows, always, decided: false });
        }
        found
    }

    /// Takes the rows that are not of this kind out, where no aggregate looks at them.
    fn keep_rows(
        &mut self,
        aggregate: &mut Aggregate,
        asked: Col,
        present: &Present,
        extended: &ColSet,
    ) -> bool {
        let mut kept = Vec::with_capacity(aggregate.aggs.len());
        for (col, e) in &aggregate.aggs {
            let Node::Agg(mut call) = self.arena.node(*e).clone() else { return false };
            let name = self.arena.text(call.func);
            if name == "the" {
                kept.push((*col, *e));
                continue;
            }
            let skips = super::super::functions::skips_null(name);
            let mut own = Vec::new();
            call.filter.iter().for_each(|filter| self.split(*filter, &mut own));
            let mut looks_at = own.clone();
            if let ([arg], true) = (&*call.args, skips) {
                let there = self.not_null(*arg, extended);
                self.split(there, &mut looks_at);
            }
            let decided = present.decided && *col == asked;
            if !decided && !present.rows.iter().all(|e| looks_at.contains(e)) {
                return false;
            }
            own.retain(|e| !present.rows.contains(e));
            let rest = self.arena.and(&own);
            call.filter = (!own.is_empty()).then_some(rest);
            kept.push((*col, self.arena.aggregate(call)));
        }
        if present.rows.iter().any(|e| self.arena.has_sub(*e)) {
            return false;
        }
        let fresh: Vec<ExprId> =
            present.rows.iter().copied().filter(|e| !aggregate.input.filters.contains(e)).collect();
        self.changed |= !fresh.is_empty() || kept != aggregate.aggs;
        aggregate.input.filters.extend(fresh);
        aggregate.aggs = kept;
        true
    }

    // rule: grouped-partitions
    /// Where duplicates do not matter, aggregates over whole partitions, of which only the partition is read besides, are a
    /// grouping.
    pub(super) fn grouped_partitions(&mut self, block: &mut Block, above: &ColSet) {
        for at in 0..block.sources.len() {
            if let Source::Window(_) = &block.sources[at] {
                self.grouped_partition(block, above, at);
            }
        }
    }

    fn grouped_partition(&mut self, block: &mut Block, above: &ColSet, at: usize) {
        let own = self.arena.visible_set(block);
        let source = block.sources.remove(at);
        let Source::Window(window) = &source else { return };
        let Some(partition) = self.whole_partition(&window.funcs) else {
            block.sources.insert(at, source);
            return;
        };
        let mut read = self.read_elsewhere(block, above, None);
        block.equal.iter().flatten().for_each(|col| {
            read.insert(*col);
        });
        let mut deeper = ColSet::default();
        for other in &block.sources {
            self.arena.collect_source(other, &mut deeper);
        }
        for outer in &block.outers {
            self.arena.collect_block(&outer.right, &mut deeper);
        }
        let in_partition = |this: &Self, col: Col| {
            partition.iter().any(|e| *this.arena.node(*e) == Node::Col(col)) && !deeper.contains(col)
        };
        let rows = self.arena.visible_set(&window.input);
        if rows.iter().any(|col| read.contains(col) && !in_partition(self, col)) {
            block.sources.insert(at, source);
            return;
        }
        let Source::Window(window) = source else { return };
        let mut local = Substitution::default();
        let mut keys = Vec::with_capacity(partition.len());
        for e in partition {
            let name = self.arena.sym("key");
            let key = self.arena.new_col(name, self.arena.type_of(e), true);
            keys.push((key, e));
            if let Node::Col(col) = *self.arena.node(e) {
                let column = self.arena.column(key);
                local.set(col, column);
                self.replace(col, column);
                // What stood for its class, or another for it, is now the key.
                for class in block.equal.iter_mut().filter(|class| class.contains(&col)) {
                    for member in class.iter_mut() {
                        if *member == col {
                            *member = key;
                        } else if own.contains(*member) {
                            self.subst.set(*member, column);
                            local.set(*member, column);
                        }
                    }
                }
            }
        }
        let mut aggs = Vec::with_capacity(window.funcs.len());
        for (col, e) in window.funcs {
            let Node::Window(call) = self.arena.node(e).clone() else { continue };
            let e = self.arena.aggregate(call.call);
            let count = matches!(self.arena.node(e), Node::Agg(call) if self.arena.is(call.func, "count"));
            if count {
                let info = self.arena.col_mut(col);
                (info.nullable, info.count) = (false, true);
            }
            aggs.push((col, e));
        }
        self.apply_local(block, &mut local);
        let grouped = Aggregate { input: window.input, keys, aggs, scalar: false };
        block.sources.insert(at, Source::Aggregate(Box::new(grouped)));
        self.changed = true;
    }

    /// The one partition that all these aggregates are over, without an order.
    fn whole_partition(&self, funcs: &[(Col, ExprId)]) -> Option<Vec<ExprId>> {
        let mut found: Option<&[ExprId]> = None;
        for (_, e) in funcs {
            let Node::Window(call) = self.arena.node(*e) else { return None };
            let same = found.is_none_or(|partition| partition == &*call.partition);
            if !same || call.partition.is_empty() || !self.is_whole(call) {
                return None;
            }
            found = Some(&call.partition);
        }
        found.map(<[ExprId]>::to_vec)
    }

    fn is_whole(&self, call: &WindowCall) -> bool {
        let whole = Frame { units: 'g', start: FrameBound::Start, end: FrameBound::End };
        call.frame == Some(whole)
            && call.order.is_empty()
            && !call.ignore_nulls
            && matches!(
                self.arena.text(call.call.func),
                "count" | "sum" | "min" | "max" | "avg" | "bool_and" | "bool_or"
            )
    }

    // rule: one-row-partitions
    /// Where the partition determines the row, a window function sees one row.
    pub(super) fn alone_in_partition(&mut self, input: &Block, e: ExprId) -> Option<ExprId> {
        let Node::Window(call) = self.arena.node(e).clone() else { return None };
        let number = matches!(self.arena.text(call.call.func), "row_number" | "rank" | "dense_rank");
        if !number && !self.is_whole(&call) {
            return None;
        }
        let mut known = ColSet::default();
        for item in &*call.partition {
            if let Node::Col(col) = *self.arena.node(*item) {
                known.insert(col);
            }
        }
        let mut facts = Vec::new();
        if known.iter().next().is_none() || !self.closure(input, &mut known, &mut facts) {
            return None;
        }
        let value = if number {
            self.arena.int(1)
        } else {
            let over_the_row = self.arena.aggregate(call.call);
            self.of_one_row(over_the_row)?
        };
        self.arena.used_facts.extend(facts);
        Some(value)
    }

    // rule: greatest-rows
    /// The rows that have the greatest or the least value of their partition are those of the first rank.
    pub(super) fn greatest_rows(&mut self, block: &mut Block) {
        for at in 0..block.sources.len() {
            let Source::Window(window) = &block.sources[at] else { continue };
            for (col, e) in window.funcs.clone() {
                let Node::Window(call) = self.arena.node(e).clone() else { continue };
                let [arg] = *call.call.args else { continue };
                let Node::Col(value) = *self.arena.node(arg) else { continue };
                let desc = self.arena.is(call.call.func, "max");
                let tied = block.equal.iter().any(|class| class.contains(&col) && class.contains(&value));
                if !(desc || self.arena.is(call.call.func, "min"))
                    || !tied
                    || !self.is_whole(&call)
                    || call.call.filter.is_some()
                {
                    continue;
                }
                let rank = AggCall {
                    func: self.arena.sym("rank"),
                    args: Box::new([]),
                    distinct: false,
                    filter: None,
                    order: Box::new([]),
                };
                let order = Box::new([OrderKey { expr: arg, desc, nulls_first: false }]);
                let func = rank.func;
                let ranked = self.arena.window(WindowCall { call: rank, order, frame: None, ..call });
                let number = self.arena.new_col(func, Type::Int(64), false);
                if let Source::Window(window) = &mut block.sources[at] {
                    window.funcs.push((number, ranked));
                }
                let (column, one) = (self.arena.column(number), self.arena.int(1));
                let first = self.arena.cmp(CmpOp::Eq, column, one);
                block.filters.push(first);
                self.drop_members(block, &[col].into_iter().collect());
                self.changed = true;
                return;
            }
        }
    }
}
