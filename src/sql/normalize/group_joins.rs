//! Joins and grouping: joins that belong outside of a grouping, groupings that belong below a left join.

use super::super::algebra::map::Substitution;
use super::super::algebra::{Aggregate, Block, CmpOp, Col, ColSet, Const, ExprId, Node, Outer, Source};
use super::super::types::Type;
use super::Normalizer;
use super::filters::splice;

impl Normalizer<'_> {
    // rule: group-joins
    /// A table that is joined by its key to a group key belongs outside of the grouping: it neither multiplies the rows of
    /// a group nor splits it.
    pub(super) fn pull_up(&mut self, aggregate: &mut Aggregate, block: &mut Block) {
        let mut at = 0;
        while at < aggregate.input.sources.len() {
            if aggregate.input.sources.len() < 2 || !self.pull_source(aggregate, block, at) {
                at += 1;
            }
        }
        let mut at = 0;
        while at < aggregate.input.outers.len() {
            if !self.pull_outer(aggregate, block, at) {
                at += 1;
            }
        }
    }

    fn pull_source(&mut self, aggregate: &mut Aggregate, block: &mut Block, at: usize) -> bool {
        let mut mine = ColSet::default();
        self.arena.visible_source(&aggregate.input.sources[at], &mut mine);
        if !matches!(aggregate.input.sources[at], Source::Scan(_) | Source::Aggregate(_)) {
            return false;
        }
        let mut inside = ColSet::default();
        self.arena.collect_source(&aggregate.input.sources[at], &mut inside);
        if self.reads_beside(aggregate, inside, &mine) {
            return false;
        }
        // Classes that tie the source to the rest, each with the group key that stands for it.
        let mut ties: Vec<(usize, Col, Col)> = Vec::new();
        for (index, class) in aggregate.input.equal.iter().enumerate() {
            if !class.iter().any(|col| mine.contains(*col)) {
                continue;
            }
            let Some(other) = class.iter().copied().find(|col| !mine.contains(*col)) else { return false };
            let key = aggregate
                .keys
                .iter()
                .find(|(_, e)| matches!(self.arena.node(*e), Node::Col(c) if class.contains(c)));
            let Some((key, _)) = key else { return false };
            ties.push((index, other, *key));
        }
        if ties.is_empty() {
            return false;
        }
        // With the tied columns given there is at most one row.
        let mut known = ColSet::default();
        for (index, ..) in &ties {
            known.extend(&aggregate.input.equal[*index].iter().copied().collect());
        }
        let probe = Block {
            sources: vec![aggregate.input.sources[at].clone()],
            equal: aggregate.input.equal.clone(),
            filters: aggregate.input.filters.clone(),
            ..Block::default()
        };
        let mut facts = Vec::new();
        if !self.closure(&probe, &mut known, &mut facts) {
            return false;
        }
        let tied: ColSet =
            ties.iter().flat_map(|(index, ..)| aggregate.input.equal[*index].iter().copied()).collect();
        // Its columns may be read by keys and single values that read nothing else, and by conditions of its own.
        let alone = |this: &Self, e: ExprId| {
            let used = this.arena.columns_of(e);
            used.is_subset(&mine) && !this.arena.has_sub(e)
        };
        let touches = |this: &Self, e: ExprId| {
            this.arena.columns_of(e).iter().any(|col| mine.contains(col) && !tied.contains(col))
        };
        let is_tie = |this: &Self, e: ExprId| matches!(this.arena.node(e), Node::Col(c) if tied.contains(*c));
        for (_, e) in &aggregate.keys {
            if !is_tie(self, *e) && touches(self, *e) && !alone(self, *e) {
                return false;
            }
        }
        for (_, e) in &aggregate.aggs {
            let Node::Agg(call) = self.arena.node(*e) else { return false };
            let single = self.arena.is(call.func, "the") && call.args.len() == 1 && alone(self, call.args[0]);
            if touches(self, *e) && !single {
                return false;
            }
        }
        for e in &aggregate.input.filters {
            if touches(self, *e) && !alone(self, *e) {
                return false;
            }
        }
        let in_joins = aggregate.input.outers.iter().any(|outer| {
            outer.on.iter().any(|e| touches(self, *e)) || {
                let mut read = ColSet::default();
                self.arena.collect_block(&outer.right, &mut read);
                read.intersects(&mine)
            }
        });
        let mut read_by_sources = ColSet::default();
        for (other, source) in aggregate.input.sources.iter().enumerate() {
            if other != at {
                self.arena.collect_source(source, &mut read_by_sources);
            }
        }
        if in_joins || read_by_sources.intersects(&mine) {
            return false;
        }
        self.arena.used_facts.extend(facts);
        self.changed = true;
        // Inside, another member stands for each class; outside, the group key does.
        let mut inward = Substitution::default();
        let mut classes = Vec::new();
        for (index, class) in std::mem::take(&mut aggregate.input.equal).into_iter().enumerate() {
            let Some((_, other, key)) = ties.iter().find(|(tie, ..)| *tie == index) else {
                classes.push(class);
                continue;
            };
            let column = self.arena.column(*other);
            let (inner, outer): (Vec<Col>, Vec<Col>) = class.iter().partition(|col| !mine.contains(**col));
            for col in class.iter().filter(|col| *col != other) {
                inward.set(*col, column);
            }
            if inner.len() > 1 {
                classes.push(inner);
            }
            // Above, the group key stands for the class: see the classes of the block.
            for col in &class {
                self.subst.remove(*col);
                self.arena.derived.remove(*col);
            }
            // The equality, which rejected NULL, is above now.
            self.arena.derived.remove(*key);
            let of_column = *self.arena.col(*other);
            let info = self.arena.col_mut(*key);
            info.nullable |= of_column.nullable;
            if !info.nullable {
                info.fact = info.fact.or(of_column.fact);
            }
            let mut above = vec![*key];
            above.extend(outer);
            block.equal.push(above);
        }
        aggregate.input.equal = classes;
        let source = aggregate.input.sources.remove(at);
        let mut filters = Vec::new();
        for e in std::mem::take(&mut aggregate.input.filters) {
            let used = self.arena.columns_of(e);
            if used.intersects(&mine) && alone(self, e) && !used.is_subset(&tied) {
                block.filters.push(e);
            } else {
                filters.push(inward.apply(self.arena, e));
            }
        }
        aggregate.input.filters = filters;
        for outer in &mut aggregate.input.outers {
            for e in &mut outer.on {
                *e = inward.apply(self.arena, *e);
            }
        }
        let mut keys = Vec::with_capacity(aggregate.keys.len());
        for (col, e) in std::mem::take(&mut aggregate.keys) {
            let tie = matches!(self.arena.node(e), Node::Col(c) if tied.contains(*c));
            if !tie && self.arena.columns_of(e).intersects(&mine) {
                self.replace(col, e);
            } else {
                keys.push((col, inward.apply(self.arena, e)));
            }
        }
        aggregate.keys = keys;
        let mut aggs = Vec::with_capacity(aggregate.aggs.len());
        for (col, e) in std::mem::take(&mut aggregate.aggs) {
            let single = match self.arena.node(e) {
                Node::Agg(call) if self.arena.is(call.func, "the") => call.args.first().copied(),
                _ => None,
            };
            match single {
                Some(arg) if self.arena.columns_of(arg).intersects(&mine) && alone(self, arg) => {
                    self.replace(col, arg);
                }
                _ => aggs.push((col, inward.apply(self.arena, e))),
            }
        }
        aggregate.aggs = aggs;
        block.sources.push(source);
        true
    }

    /// Whether one of its parts, which reads `read` and offers `mine`, is lateral to another.
    fn reads_beside(&self, aggregate: &Aggregate, mut read: ColSet, mine: &ColSet) -> bool {
        mine.iter().for_each(|col| read.remove(col));
        read.intersects(&self.arena.visible_set(&aggregate.input))
    }

    fn pull_outer(&mut self, aggregate: &mut Aggregate, block: &mut Block, at: usize) -> bool {
        let outer = &aggregate.input.outers[at];
        let mut mine = self.arena.visible_set(&outer.right);
        mine.insert(outer.marker);
        let mut inside = ColSet::default();
        self.arena.collect_block(&outer.right, &mut inside);
        if self.reads_beside(aggregate, inside, &mine) {
            return false;
        }
        // The condition reads group keys and the right side only.
        let mut above = Substitution::default();
        for (key, e) in &aggregate.keys {
            if let Node::Col(col) = *self.arena.node(*e)
                && !mine.contains(col)
            {
                let key = self.arena.column(*key);
                above.set(col, key);
            }
        }
        for e in &outer.on {
            let outside: Vec<Col> =
                self.arena.columns_of(*e).iter().filter(|col| !mine.contains(*col)).collect();
            if self.arena.has_sub(*e) || outside.iter().any(|col| above.get(*col).is_none()) {
                return false;
            }
        }
        let mut probe = outer.right.clone();
        probe.filters.extend_from_slice(&outer.on);
        let mut facts = Vec::new();
        if !self.closure(&probe, &mut ColSet::default(), &mut facts) {
            return false;
        }
        let touches = |this: &Self, e: ExprId| this.arena.columns_of(e).intersects(&mine);
        let alone =
            |this: &Self, e: ExprId| this.arena.columns_of(e).is_subset(&mine) && !this.arena.has_sub(e);
        let keys_fit = aggregate.keys.iter().all(|(_, e)| !touches(self, *e) || alone(self, *e));
        let aggs_fit = aggregate.aggs.iter().all(|(_, e)| {
            !touches(self, *e)
                || matches!(self.arena.node(*e), Node::Agg(call)
                    if self.arena.is(call.func, "the") && call.args.len() == 1 && alone(self, call.args[0]))
        });
        let others = aggregate.input.filters.iter().any(|e| touches(self, *e))
            || aggregate.input.equal.iter().flatten().any(|col| mine.contains(*col))
            || aggregate
                .input
                .outers
                .iter()
                .enumerate()
                .any(|(other, outer)| other != at && outer.on.iter().any(|e| touches(self, *e)));
        if !keys_fit || !aggs_fit || others {
            return false;
        }
        self.arena.used_facts.extend(facts);
        self.changed = true;
        let mut outer = aggregate.input.outers.remove(at);
        for e in &mut outer.on {
            *e = above.apply(self.arena, *e);
        }
        let mut keys = Vec::with_capacity(aggregate.keys.len());
        for (col, e) in std::mem::take(&mut aggregate.keys) {
            if self.arena.columns_of(e).intersects(&mine) {
                self.replace(col, e);
            } else {
                keys.push((col, e));
            }
        }
        aggregate.keys = keys;
        let mut aggs = Vec::with_capacity(aggregate.aggs.len());
        for (col, e) in std::mem::take(&mut aggregate.aggs) {
            match self.arena.node(e) {
                Node::Agg(call) if self.arena.columns_of(e).intersects(&mine) => {
                    let arg = call.args[0];
                    self.replace(col, arg);
                }
                _ => aggs.push((col, e)),
            }
        }
        aggregate.aggs = aggs;
        block.outers.push(outer);
        true
    }

    /// Grouping by the left row of a left join: the right side may be grouped first.
    pub(super) fn below_left_join(&mut self, aggregate: &mut Aggregate, block: &mut Block) -> bool {
        let [outer] = aggregate.input.outers.as_slice() else { return false };
        let mut mine = self.arena.visible_set(&outer.right);
        mine.insert(outer.marker);
        let left = Block { outers: Vec::new(), ..aggregate.input.clone() };
        let mut known = self.key_columns(&aggregate.keys);
        let mut facts = Vec::new();
        if left.sources.is_empty()
            || aggregate.keys.iter().any(|(_, e)| self.arena.columns_of(*e).intersects(&mine))
            || left.filters.iter().any(|e| self.arena.columns_of(*e).intersects(&mine))
            || !self.closure(&left, &mut known, &mut facts)
        {
            return false;
        }
        // The condition: equalities between the sides, and conditions on the right side alone.
        let mut ties = Vec::new();
        let mut own = Vec::new();
        for e in &outer.on {
            let used = self.arena.columns_of(*e);
            if self.arena.has_sub(*e) {
                return false;
            }
            if used.is_subset(&mine) {
                own.push(*e);
                continue;
            }
            let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(*e) else { return false };
            let (a_used, b_used) = (self.arena.columns_of(a), self.arena.columns_of(b));
            if a_used.is_subset(&mine) && !b_used.intersects(&mine) {
                ties.push((a, b));
            } else if b_used.is_subset(&mine) && !a_used.intersects(&mine) {
                ties.push((b, a));
            } else {
                return false;
            }
        }
        // A left row finds one group.
        let once = |(mine, left): &(ExprId, ExprId)| {
            self.arena.type_of(*mine).equals_once(self.arena.type_of(*left))
        };
        if !ties.iter().all(once) {
            return false;
        }
        if ties.is_empty() {
            return false;
        }
        let mut matched = Substitution::default();
        let holds = self.arena.boolean(true);
        matched.set(outer.marker, holds);
        let mut inner_aggs = Vec::new();
        let mut values = Vec::new();
        let mut singles = Vec::new();
        for (col, e) in &aggregate.aggs {
            let Node::Agg(call) = self.arena.node(*e).clone() else { return false };
            let used = self.arena.columns_of(*e);
            if self.arena.is(call.func, "the") && !used.intersects(&mine) {
                singles.push((*col, call.args[0]));
                continue;
            }
            if !used.is_subset(&mine) || self.arena.has_sub(*e) {
                return false;
            }
            // Without a match the group is one row of NULLs.
            let count = self.arena.is(call.func, "count");
            let skips = matches!(
                self.arena.text(call.func),
                "sum" | "min" | "max" | "count" | "bool_and" | "bool_or"
            );
            let filtered = call.filter.is_some_and(|filter| self.arena.never_true_when(filter, &mine));
            let null_argument = call.args.len() == 1 && self.arena.null_when(call.args[0], &mine);
            let otherwise = match (count, skips, filtered || null_argument) {
                (true, _, true) => Const::Int(0),
                (true, _, false) if call.filter.is_none() && call.args.is_empty() => Const::Int(1),
                (false, true, true) => Const::Null,
                _ => return false,
            };
            let inside = matched.apply(self.arena, *e);
            let info = *self.arena.col(*col);
            let fresh = self.arena.new_col(info.name, info.data_type, info.nullable);
            self.arena.col_mut(fresh).count = count;
            inner_aggs.push((fresh, inside));
            values.push((*col, fresh, otherwise));
        }
        self.arena.used_facts.extend(facts);
        self.changed = true;
        let Some(Outer { right, .. }) = aggregate.input.outers.pop() else { return false };
        let mut inner = right;
        for e in own {
            let e = matched.apply(self.arena, e);
            inner.filters.push(e);
        }
        let name = self.arena.sym("key");
        let mut keys: Vec<(Col, ExprId)> = Vec::with_capacity(ties.len());
        let mut on = Vec::with_capacity(ties.len());
        for (theirs, left) in ties {
            let col = match keys.iter().find(|(_, other)| *other == theirs) {
                Some((col, _)) => *col,
                None => {
                    let col = self.arena.new_col(name, self.arena.type_of(theirs), true);
                    keys.push((col, theirs));
                    col
                }
            };
            let key = self.arena.column(col);
            on.push(self.arena.cmp(CmpOp::Eq, key, left));
        }
        let grouped = Aggregate { input: inner, keys, aggs: inner_aggs, scalar: false };
        let marker_name = self.arena.sym("matched");
        let marker = self.arena.new_col(marker_name, Type::Bool, false);
        for (col, fresh, otherwise) in values {
            let fresh = self.arena.column(fresh);
            let value = match otherwise {
                Const::Null => fresh,
                otherwise => {
                    let otherwise = self.arena.constant(otherwise);
                    self.arena.coalesce(&[fresh, otherwise])
                }
            };
            self.replace(col, value);
        }
        for (col, e) in aggregate.keys.iter().chain(&singles) {
            self.replace(*col, *e);
        }
        splice(self.arena, block, std::mem::take(&mut aggregate.input));
        let right = Block { sources: vec![Source::Aggregate(Box::new(grouped))], ..Block::default() };
        block.outers.push(Outer { right, on, marker });
        true
    }
}
