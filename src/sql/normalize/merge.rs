//! One read instead of several: branches of a union and aggregates that look at the same rows.

use super::super::algebra::map::Substitution;
use super::super::algebra::{
    Aggregate, Arena, Block, Branch, Col, ColSet, Const, ExprId, Node, Source, Union,
};
use super::Normalizer;

/// Two blocks that read the same tables with the same equalities and differ only in conditions.
struct Overlap {
    /// From the columns of the second block to those of the first.
    to: Substitution,
    /// Conditions that both have.
    common: Vec<ExprId>,
    /// Conditions of the first block alone, and of the second, in columns of the first.
    rests: [Vec<ExprId>; 2],
}

impl Normalizer<'_> {
    /// How the second block overlaps the first, for blocks of plain reads.
    fn overlap(&mut self, first: &Block, second: &Block) -> Option<Overlap> {
        if !first.outers.is_empty()
            || !second.outers.is_empty()
            || first.sources.len() != second.sources.len()
            || first.sources.is_empty()
            || first.equal.len() != second.equal.len()
            || first.filters.iter().chain(&second.filters).any(|e| self.arena.has_sub(*e))
        {
            return None;
        }
        let scans = |block: &Block| -> Option<Vec<_>> {
            block
                .sources
                .iter()
                .map(|source| if let Source::Scan(scan) = source { Some(*scan) } else { None })
                .collect()
        };
        let (ours, mut theirs) = (scans(first)?, scans(second)?);
        let mut to = Substitution::default();
        for scan in ours {
            let at = theirs
                .iter()
                .position(|other| self.arena.scan(*other).table == self.arena.scan(scan).table)?;
            for (position, col) in self.arena.scan(theirs.remove(at)).cols.clone() {
                let stays = self.arena.scan_col(scan, position);
                let column = self.arena.column(stays);
                to.set(col, column);
            }
        }
        let mut classes: Vec<Vec<Col>> = Vec::with_capacity(second.equal.len());
        for class in &second.equal {
            let mut mapped = Vec::with_capacity(class.len());
            for col in class {
                let column = self.arena.column(*col);
                let column = to.apply(self.arena, column);
                let Node::Col(col) = *self.arena.node(column) else { return None };
                mapped.push(col);
            }
            mapped.sort_unstable();
            classes.push(mapped);
        }
        let same = first.equal.iter().all(|class| {
            let mut sorted = class.clone();
            sorted.sort_unstable();
            classes.contains(&sorted)
        });
        if !same {
            return None;
        }
        // The first member of a class stands for it, and need not be the same one on both sides.
        let mut one = Substitution::default();
        for class in &first.equal {
            let column = self.arena.column(class[0]);
            class[1..].iter().for_each(|col| one.set(*col, column));
        }
        let mut theirs = Vec::with_capacity(second.filters.len());
        for e in &second.filters {
            let mapped = to.apply(self.arena, *e);
            theirs.push(one.apply(self.arena, mapped));
        }
        let (common, ours): (Vec<_>, Vec<_>) =
            first.filters.iter().copied().partition(|e| theirs.contains(e));
        theirs.retain(|e| !common.contains(e));
        for (from, class) in second.equal.iter().flat_map(|class| class.iter().map(move |col| (*col, class)))
        {
            let column = self.arena.column(class[0]);
            let mapped = to.apply(self.arena, column);
            let mapped = one.apply(self.arena, mapped);
            to.set(from, mapped);
        }
        Some(Overlap { to, common, rests: [ours, theirs] })
    }

    // rule: union-of-parts
    /// Branches of a union that read the same rows under different conditions are one branch under either condition:
    /// where duplicates do not matter, or where no row meets both.
    pub(super) fn merge_branches(&mut self, union: &mut Union, set: bool) {
        let mut at = 0;
        while at < union.branches.len() {
            let mut other = at + 1;
            while other < union.branches.len() {
                let (head, tail) = union.branches.split_at_mut(other);
                match self.merged_branch(&head[at], &tail[0], set) {
                    Some(branch) => {
                        union.branches[at] = branch;
                        union.branches.remove(other);
                        self.changed = true;
                        other = at + 1;
                    }
                    None => other += 1,
                }
            }
            at += 1;
        }
    }

    fn merged_branch(&mut self, first: &Branch, second: &Branch, set: bool) -> Option<Branch> {
        let mut overlap = self.overlap(&first.block, &second.block)?;
        let [ours, theirs] = &overlap.rests;
        if !set && !ours.iter().any(|a| theirs.iter().any(|b| self.exclude_each_other(*a, *b))) {
            return None;
        }
        let mut outputs = Vec::with_capacity(first.outputs.len());
        for (a, b) in first.outputs.iter().zip(&second.outputs) {
            if self.arena.has_sub(*a) || self.arena.has_sub(*b) {
                return None;
            }
            let mapped = overlap.to.apply(self.arena, *b);
            if mapped == *a {
                outputs.push(*a);
                continue;
            }
            // A column that holds both: bound to a literal by a condition, or itself.
            let fits = |col: Col, e: ExprId| self.arena.col(col).data_type.same_values(self.arena.type_of(e));
            let holds = |col: Col, e: ExprId, rest: &[ExprId]| {
                *self.arena.node(e) == Node::Col(col)
                    || fits(col, e) && rest.iter().any(|other| self.literal_of(*other) == Some((col, e)))
            };
            let mut candidates = ours.iter().filter_map(|e| Some(self.literal_of(*e)?.0)).chain(
                [*a, mapped].into_iter().filter_map(|e| match *self.arena.node(e) {
                    Node::Col(col) => Some(col),
                    _ => None,
                }),
            );
            let col = candidates.find(|col| holds(*col, *a, ours) && holds(*col, mapped, theirs))?;
            outputs.push(self.arena.column(col));
        }
        // What the conditions of the first branch alone said about its columns no longer holds.
        for e in ours {
            let bound = match (self.literal_of(*e), self.arena.node(*e)) {
                (Some((col, _)), _) => Some(col),
                (None, Node::IsNull(tested)) => match self.arena.node(*tested) {
                    Node::Col(col) => Some(*col),
                    _ => None,
                },
                _ => None,
            };
            bound.into_iter().for_each(|col| self.subst.remove(col));
        }
        for col in self.arena.visible_set(&first.block).iter() {
            self.arena.derived.remove(col);
        }
        let either: Vec<ExprId> = overlap.rests.iter().map(|rest| self.arena.and(rest)).collect();
        let either = self.arena.or(&either);
        let mut block = first.block.clone();
        block.filters = overlap.common;
        self.split(either, &mut block.filters);
        Some(Branch { block, outputs })
    }

    /// Whether no row can meet both conditions.
    fn exclude_each_other(&mut self, a: ExprId, b: ExprId) -> bool {
        if self.arena.not(a) == b || self.arena.not(b) == a {
            return true;
        }
        let null_beside = |arena: &Arena, test: ExprId, other: ExprId| {
            let Node::IsNull(tested) = *arena.node(test) else { return false };
            let Node::Col(col) = *arena.node(tested) else { return false };
            arena.never_true_when(other, &[col].into_iter().collect::<ColSet>())
        };
        if null_beside(self.arena, a, b) || null_beside(self.arena, b, a) {
            return true;
        }
        match (self.literal_of(a), self.literal_of(b)) {
            (Some((x, a)), Some((y, b))) if x == y => {
                match (self.arena.as_const(a), self.arena.as_const(b)) {
                    (Some(Const::Int(a)), Some(Const::Int(b))) => a != b,
                    (Some(Const::Text(a)), Some(Const::Text(b))) => {
                        a != b && self.arena.col(x).data_type == super::super::types::Type::Text
                    }
                    (Some(Const::Typed(kind, a)), Some(Const::Typed(other, b))) => kind == other && a != b,
                    _ => false,
                }
            }
            _ => false,
        }
    }

    // rule: side-by-side
    /// Aggregates over the same rows stand side by side in one grouping: without keys under different conditions, which
    /// become filters of the aggregates; with keys that are all equated under the same conditions only.
    pub(super) fn merge_aggregates(&mut self, block: &mut Block) {
        let mut at = 0;
        'sources: while at < block.sources.len() {
            for other in at + 1..block.sources.len() {
                let (Source::Aggregate(first), Source::Aggregate(second)) =
                    (&block.sources[at], &block.sources[other])
                else {
                    continue;
                };
                let (first, second) = (first.clone(), second.clone());
                let Some((merged, renamed)) = self.merged_aggregate(block, &first, &second) else { continue };
                block.sources[at] = Source::Aggregate(Box::new(merged));
                block.sources.remove(other);
                let mut local = Substitution::default();
                let gone: ColSet = renamed.iter().map(|(from, _)| *from).collect();
                for (from, to) in renamed {
                    let to = self.arena.column(to);
                    local.set(from, to);
                    self.replace(from, to);
                }
                self.drop_members(block, &gone);
                self.apply_everywhere(block, &mut local);
                self.changed = true;
                continue 'sources;
            }
            at += 1;
        }
    }

    /// The one grouping, and which column of the second each key of the first stands for.
    fn merged_aggregate(
        &mut self,
        block: &Block,
        first: &Aggregate,
        second: &Aggregate,
    ) -> Option<(Aggregate, Vec<(Col, Col)>)> {
        if first.scalar != second.scalar || first.keys.len() != second.keys.len() {
            return None;
        }
        let has_sub = |this: &Self, list: &[(Col, ExprId)]| list.iter().any(|(_, e)| this.arena.has_sub(*e));
        if has_sub(self, &first.aggs) || has_sub(self, &second.aggs) {
            return None;
        }
        let mut overlap = self.overlap(&first.input, &second.input)?;
        if !first.scalar && (first.keys.is_empty() || overlap.rests.iter().any(|rest| !rest.is_empty())) {
            return None;
        }
        let mut renamed = Vec::with_capacity(first.keys.len());
        for (col, e) in &second.keys {
            let mapped = overlap.to.apply(self.arena, *e);
            let (key, _) = first.keys.iter().find(|(_, own)| *own == mapped)?;
            let equated = block.equal.iter().any(|class| class.contains(key) && class.contains(col));
            if !equated {
                return None;
            }
            renamed.push((*col, *key));
        }
        let mut merged = first.clone();
        merged.input.filters = overlap.common;
        let [ours, theirs] = &overlap.rests;
        let conditions = [self.arena.and(ours), self.arena.and(theirs)];
        let none = [ours.is_empty(), theirs.is_empty()];
        let mut aggs = Vec::with_capacity(first.aggs.len() + second.aggs.len());
        for (side, list) in [&first.aggs, &second.aggs].into_iter().enumerate() {
            for (col, e) in list {
                let e = if side == 0 { *e } else { overlap.to.apply(self.arena, *e) };
                let Node::Agg(mut call) = self.arena.node(e).clone() else { return None };
                if !none[side] {
                    let own: Vec<ExprId> = call.filter.into_iter().chain([conditions[side]]).collect();
                    call.filter = Some(self.arena.and(&own));
                }
                aggs.push((*col, self.arena.aggregate(call)));
            }
        }
        merged.aggs = aggs;
        Some((merged, renamed))
    }
}
