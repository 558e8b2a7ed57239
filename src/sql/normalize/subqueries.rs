//! Subqueries in expressions.

use super::super::algebra::map::Substitution;
use super::super::algebra::{Block, CmpOp, Col, ColSet, Const, ExprId, Node, Outer, Source, Sub, SubId};
use super::super::functions;
use super::Normalizer;
use super::filters::splice;

impl Normalizer<'_> {
    /// Normalizes a subquery on its own: what is learnt inside stays inside. `around`: the columns outside of it that may be
    /// NULL where it stands, because nothing matched.
    fn sub(&mut self, mut sub: Sub, around: &ColSet, set: bool) -> Sub {
        let further = self.arena.outside.clone();
        self.arena.outside.extend(around);
        let outside = std::mem::take(&mut self.subst);
        let derived = self.arena.derived.clone();
        let mut above = ColSet::default();
        sub.outputs.iter().for_each(|e| self.arena.collect_columns(*e, &mut above));
        self.prune(&mut sub.block, &above);
        self.block(&mut sub.block, &above, set);
        let mut extended = ColSet::default();
        self.arena.extended(&sub.block, &mut extended);
        for e in &mut sub.outputs {
            *e = self.mapped_value(*e, &extended);
        }
        self.subst = outside;
        self.arena.derived = derived;
        self.arena.outside = further;
        sub
    }

    /// EXISTS in normal form, as a value: conditions on outer columns alone stand outside.
    pub(super) fn exists(&mut self, sub: SubId, around: &ColSet) -> ExprId {
        let mut copy = self.arena.sub(sub).clone();
        copy.outputs.clear();
        self.exists_of(copy, around)
    }

    fn exists_of(&mut self, sub: Sub, around: &ColSet) -> ExprId {
        let mut sub = self.sub(sub, around, true);
        if sub.block.empty {
            return self.arena.boolean(false);
        }
        let own = self.arena.visible_set(&sub.block);
        let mut outside = Vec::new();
        let arena = &self.arena;
        sub.block.filters.retain(|e| {
            let local = arena.columns_of(*e).intersects(&own);
            if !local {
                outside.push(*e);
            }
            local
        });
        for class in std::mem::take(&mut sub.block.equal) {
            let external: Vec<Col> = class.iter().copied().filter(|col| !own.contains(*col)).collect();
            for pair in external.windows(2) {
                let (a, b) = (self.arena.column(pair[0]), self.arena.column(pair[1]));
                outside.push(self.arena.cmp(CmpOp::Eq, a, b));
            }
            let kept: Vec<Col> =
                class.into_iter().filter(|col| own.contains(*col) || external.first() == Some(col)).collect();
            if kept.len() > 1 {
                sub.block.equal.push(kept);
            }
        }
        let always = sub.block.filters.is_empty()
            && sub.block.equal.is_empty()
            && sub.block.sources.iter().all(|source| match source {
                Source::Aggregate(aggregate) => aggregate.scalar,
                Source::Values(values) => !values.rows.is_empty(),
                _ => false,
            });
        if !always {
            let id = self.arena.new_sub(sub);
            let exists = self.arena.exists(id);
            if outside.is_empty() {
                return exists;
            }
            let holds = self.arena.and(&outside);
            let holds = self.arena.is_true(holds);
            return self.arena.and(&[holds, exists]);
        }
        let holds = self.arena.and(&outside);
        self.arena.is_true(holds)
    }

    /// `IN (subquery)` as a value: EXISTS where nothing can be NULL.
    pub(super) fn in_value(&mut self, left: &[ExprId], sub: SubId, extended: &ColSet) -> ExprId {
        let copy = self.arena.sub(sub).clone();
        let copy = self.sub(copy, extended, true);
        if copy.block.empty {
            return self.arena.boolean(false);
        }
        let mut inside = ColSet::default();
        self.arena.extended(&copy.block, &mut inside);
        let certain = left.iter().all(|e| !self.arena.nullable(*e, extended))
            && copy.outputs.iter().all(|e| !self.arena.nullable(*e, &inside));
        if certain {
            return self.in_condition(left, sub, extended);
        }
        let id = self.arena.new_sub(copy);
        self.arena.in_sub(left, id)
    }

    // rule: in-exists
    /// `IN (subquery)` where only TRUE counts.
    pub(super) fn in_condition(&mut self, left: &[ExprId], sub: SubId, around: &ColSet) -> ExprId {
        let mut copy = self.arena.sub(sub).clone();
        for (a, b) in left.iter().zip(std::mem::take(&mut copy.outputs)) {
            let equal = self.arena.cmp(CmpOp::Eq, *a, b);
            copy.block.filters.push(equal);
        }
        self.exists_of(copy, around)
    }

    /// `NOT IN (subquery)` where only TRUE counts: no row that is equal or, because of a NULL, might be.
    pub(super) fn not_in_condition(&mut self, left: &[ExprId], sub: SubId, around: &ColSet) -> ExprId {
        let mut copy = self.arena.sub(sub).clone();
        for (a, b) in left.iter().zip(std::mem::take(&mut copy.outputs)) {
            let equal = self.arena.cmp(CmpOp::Eq, *a, b);
            let (a_null, b_null) = (self.arena.is_null(*a), self.arena.is_null(b));
            let possible = self.arena.or(&[equal, a_null, b_null]);
            copy.block.filters.push(possible);
        }
        let exists = self.exists_of(copy, around);
        self.arena.not(exists)
    }

    /// A scalar subquery.
    pub(super) fn scalar(&mut self, sub: SubId, around: &ColSet) -> ExprId {
        let copy = self.arena.sub(sub).clone();
        let copy = self.sub(copy, around, false);
        if copy.block.empty {
            return self.arena.null();
        }
        let block = &copy.block;
        if block.sources.is_empty() && block.filters.is_empty() && block.outers.is_empty() {
            return copy.outputs.first().copied().unwrap_or_else(|| self.arena.null());
        }
        let id = self.arena.new_sub(copy);
        self.arena.scalar(id)
    }

    // rule: scalar-join
    /// Scalar subqueries of at most one row become sources of the block over which the expressions are evaluated.
    pub(super) fn attach(&mut self, block: &mut Block, exprs: &mut [ExprId]) {
        if block.empty || !exprs.iter().any(|e| self.arena.has_sub(*e)) {
            return;
        }
        let mut found = Vec::new();
        for e in exprs.iter() {
            self.find_scalars(*e, &mut found);
        }
        let mut replaced = Substitution::default();
        for (e, sub) in found {
            let sub = self.arena.sub(sub).clone();
            if let Some(value) = self.attach_one(block, sub) {
                replaced.set_expr(e, value);
                self.changed = true;
            }
        }
        for e in exprs.iter_mut() {
            *e = replaced.apply(self.arena, *e);
        }
    }

    /// The scalar subqueries in an expression, not those inside other subqueries.
    fn find_scalars(&self, e: ExprId, found: &mut Vec<(ExprId, SubId)>) {
        match self.arena.node(e) {
            Node::Scalar(sub) => {
                if !found.iter().any(|(other, _)| *other == e) {
                    found.push((e, *sub));
                }
            }
            Node::Case(..) => {
                // A subquery behind a condition is evaluated only there; one row at most makes no difference.
                super::super::algebra::map::children(self.arena.node(e), &mut |child| {
                    self.find_scalars(child, found);
                });
            }
            node => super::super::algebra::map::children(node, &mut |child| self.find_scalars(child, found)),
        }
    }

    fn attach_one(&mut self, block: &mut Block, mut sub: Sub) -> Option<ExprId> {
        let mut copy = Sub { outputs: sub.outputs.clone(), block: std::mem::take(&mut sub.block) };
        self.arena.refresh(&mut copy);
        let output = *copy.outputs.first()?;
        let own = self.all_columns(&copy.block);
        let mut read = ColSet::default();
        self.arena.collect_block(&copy.block, &mut read);
        self.arena.collect_columns(output, &mut read);
        let correlated =
            read.iter().any(|col| !own.contains(col) && !self.arena.is_local_to_sub(col, &copy.block));
        if !correlated {
            let exactly_one = copy.block.filters.is_empty()
                && copy.block.equal.is_empty()
                && copy
                    .block
                    .sources
                    .iter()
                    .all(|source| matches!(source, Source::Aggregate(aggregate) if aggregate.scalar));
            if exactly_one {
                splice(self.arena, block, copy.block);
                return Some(output);
            }
            let mut facts = Vec::new();
            let mut known = ColSet::default();
            if !self.closure(&copy.block, &mut known, &mut facts) {
                return None;
            }
            self.arena.used_facts.extend(facts);
            return Some(self.attach_left(block, copy.block, output, None));
        }
        self.attach_correlated(block, copy.block, output)
    }

    fn attach_left(
        &mut self,
        block: &mut Block,
        right: Block,
        output: ExprId,
        otherwise: Option<ExprId>,
    ) -> ExprId {
        let name = self.arena.sym("matched");
        let marker = self.arena.new_col(name, super::super::types::Type::Bool, false);
        let visible = self.arena.visible_set(&right);
        let mut outer = Outer { right, on: Vec::new(), marker };
        outer.on = self.open_right(&mut outer.right);
        block.outers.push(outer);
        match otherwise {
            Some(otherwise) if !self.arena.is_null_const(otherwise) => {
                let matched = self.arena.column(marker);
                let null = self.arena.is_null(matched);
                self.arena.case(&[(null, otherwise)], output)
            }
            _ if self.arena.null_when(output, &visible) => output,
            _ => self.arena.guard(marker, output),
        }
    }

    /// A grouping of everything that is tied to the outer row by equalities is a left join with the groups.
    fn attach_correlated(&mut self, block: &mut Block, inner: Block, output: ExprId) -> Option<ExprId> {
        let Block { mut sources, outers, filters, equal, .. } = inner;
        if sources.len() != 1 || !outers.is_empty() || !filters.is_empty() || !equal.is_empty() {
            return None;
        }
        let Some(Source::Aggregate(mut aggregate)) = sources.pop() else { return None };
        if !aggregate.scalar {
            return None;
        }
        let own = self.all_columns(&aggregate.input);
        let local = |this: &Self, e: ExprId| this.arena.columns_of(e).iter().all(|col| own.contains(col));
        let foreign = |this: &Self, e: ExprId| !this.arena.columns_of(e).intersects(&own);
        let mut ties: Vec<(ExprId, ExprId)> = Vec::new();
        let mut kept = Vec::new();
        for e in &aggregate.input.filters {
            if self.arena.has_sub(*e) {
                return None;
            }
            if local(self, *e) {
                kept.push(*e);
                continue;
            }
            let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(*e) else { return None };
            if local(self, a) && foreign(self, b) {
                ties.push((a, b));
            } else if local(self, b) && foreign(self, a) {
                ties.push((b, a));
            } else {
                return None;
            }
        }
        let once = |(mine, left): &(ExprId, ExprId)| {
            self.arena.type_of(*mine).equals_once(self.arena.type_of(*left))
        };
        if !ties.iter().all(once) {
            return None;
        }
        let mut classes = Vec::new();
        for class in &aggregate.input.equal {
            let (mine, others): (Vec<Col>, Vec<Col>) = class.iter().partition(|col| own.contains(**col));
            if let (Some(first), Some(other)) = (mine.first(), others.first()) {
                let (a, b) = (self.arena.column(*first), self.arena.column(*other));
                ties.push((a, b));
            }
            if mine.len() > 1 {
                classes.push(mine);
            }
        }
        // Every use of an outer column inside must be one of these ties.
        let mut probe = aggregate.input.clone();
        probe.filters.clone_from(&kept);
        probe.equal.clone_from(&classes);
        let mut read = ColSet::default();
        self.arena.collect_block(&probe, &mut read);
        // Class members stand for each other: an outer column may have taken the place of an inner one.
        let mut inward = Substitution::default();
        for (mine, theirs) in &ties {
            if let Node::Col(col) = *self.arena.node(*theirs)
                && self.arena.type_of(*theirs).same_values(self.arena.type_of(*mine))
            {
                inward.set(col, *mine);
            }
        }
        for (_, e) in &mut aggregate.aggs {
            *e = inward.apply(self.arena, *e);
            self.arena.collect_columns(*e, &mut read);
        }
        if ties.is_empty() || read.iter().any(|col| !own.contains(col)) {
            return None;
        }
        aggregate.input = probe;
        aggregate.scalar = false;
        let name = self.arena.sym("key");
        let mut on = Vec::with_capacity(ties.len());
        for (mine, theirs) in ties {
            let data_type = self.arena.type_of(mine);
            let key = self.arena.new_col(name, data_type, true);
            aggregate.keys.push((key, mine));
            let key = self.arena.column(key);
            on.push(self.arena.cmp(CmpOp::Eq, key, theirs));
        }
        // Without a match the aggregate is over no rows.
        let mut nothing = Substitution::default();
        for (col, e) in &aggregate.aggs {
            let value = self.over_nothing(*e)?;
            nothing.set(*col, value);
        }
        let otherwise = nothing.apply(self.arena, output);
        let right = Block { sources: vec![Source::Aggregate(aggregate)], filters: on, ..Block::default() };
        Some(self.attach_left(block, right, output, Some(otherwise)))
    }

    /// What an aggregate gives over no rows, where that is known.
    pub(super) fn over_nothing(&mut self, e: ExprId) -> Option<ExprId> {
        let Node::Agg(call) = self.arena.node(e) else { return None };
        let name = self.arena.text(call.func);
        let value = if name == "count" {
            Const::Int(0)
        } else if functions::null_over_nothing(name, self.arena.dialect) {
            Const::Null
        } else {
            return None;
        };
        Some(self.arena.constant(value))
    }

    /// Every column made anywhere inside a block.
    pub(super) fn all_columns(&self, block: &Block) -> ColSet {
        let mut set = self.arena.visible_set(block);
        for inner in super::super::algebra::map::inner_blocks(block) {
            set.extend(&self.all_columns(inner));
        }
        set
    }
}
