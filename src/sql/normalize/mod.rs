//! Bringing a query into normal form: rounds of rules until nothing changes.
//!
//! A round works from the innermost blocks outwards. What a block learns about its columns (equal to another, to a
//! literal, to an expression) is kept as a substitution and applied to everything above it. docs/sql-rules.md lists every
//! rule with its condition.

mod aggregates;
mod averages;
mod conditions;
mod filters;
mod group_joins;
mod groups_kept;
mod joins;
mod keys;
mod limits;
mod merge;
mod mirror;
mod prune;
mod reads;
mod sources;
mod subqueries;
mod sums;
mod ties;

pub(super) use ties::{open_choices, takes_one};

use super::algebra::map::Substitution;
use super::algebra::{Arena, Block, ColSet, ExprId, Outer, Query};

/// Rounds after which the form is taken as it is.
const MAX_ROUNDS: usize = 10;
/// Blocks nested deeper than this are left alone.
const MAX_DEPTH: usize = 48;

/// Brings a query into normal form.
pub fn normalize(arena: &mut Arena, query: &mut Query) {
    let mut normalizer = Normalizer { arena, subst: Substitution::default(), changed: false, depth: 0 };
    for _ in 0..MAX_ROUNDS {
        normalizer.changed = false;
        normalizer.round(query);
        if !normalizer.changed || normalizer.arena.overflow {
            break;
        }
    }
}

pub(super) struct Normalizer<'a> {
    arena: &'a mut Arena,
    /// What columns below have turned out to be.
    subst: Substitution,
    changed: bool,
    depth: usize,
}

impl Normalizer<'_> {
    fn round(&mut self, query: &mut Query) {
        self.subst = Substitution::default();
        self.arena.derived = ColSet::default();
        let mut above = ColSet::default();
        for (_, e) in &query.outputs {
            self.arena.collect_columns(*e, &mut above);
        }
        self.prune(&mut query.block, &above);
        self.block(&mut query.block, &above, false);
        let mut extended = ColSet::default();
        self.arena.extended(&query.block, &mut extended);
        let mut outputs: Vec<ExprId> = query.outputs.iter().map(|(_, e)| *e).collect();
        for e in &mut outputs {
            *e = self.mapped_value(*e, &extended);
            *e = self.bare_output(*e);
        }
        self.attach(&mut query.block, &mut outputs);
        self.output_averages(&mut query.block, &mut outputs);
        for ((_, e), mapped) in query.outputs.iter_mut().zip(outputs) {
            if *e != mapped && !self.arena.has_sub(*e) {
                self.changed = true;
            }
            *e = mapped;
        }
    }

    // rule: bare-output
    /// A cast of an integer to a wider integer changes no value.
    fn bare_output(&mut self, e: ExprId) -> ExprId {
        use super::algebra::Node;
        use super::types::Type;
        match *self.arena.node(e) {
            Node::Cast(inner, Type::Int(to), _, _) => match self.arena.type_of(inner) {
                Type::Int(from) if from <= to => self.bare_output(inner),
                _ => e,
            },
            _ => e,
        }
    }

    /// Applies what was learnt below and simplifies.
    fn mapped_value(&mut self, e: ExprId, extended: &ColSet) -> ExprId {
        let mapped = self.subst.apply(self.arena, e);
        self.value(mapped, extended)
    }

    // rule: empty
    /// Normalizes a block. `above` are the columns that anything above it reads; in a `set` context its duplicates do
    /// not matter.
    fn block(&mut self, block: &mut Block, above: &ColSet, set: bool) {
        if self.depth >= MAX_DEPTH || self.arena.overflow {
            return;
        }
        self.depth += 1;
        let mut inside = above.clone();
        for e in block.filters.iter().chain(block.outers.iter().flat_map(|outer| &outer.on)) {
            self.arena.collect_columns(*e, &mut inside);
        }
        block.equal.iter().flatten().for_each(|col| {
            inside.insert(*col);
        });
        // What dissolves into this block is in normal form already: what was learnt from its conditions must not be applied
        // to them.
        let conditions = std::mem::take(&mut block.filters);
        // So are its outer joins, which come before those of the block: these may read their columns.
        let outers = std::mem::take(&mut block.outers);
        for source in std::mem::take(&mut block.sources) {
            self.source(source, block, &inside, set);
        }
        // A function that produces rows reads the columns of its neighbours.
        for source in &mut block.sources {
            if let super::algebra::Source::Opaque(opaque) = source {
                for e in &mut opaque.args {
                    *e = self.subst.apply(self.arena, *e);
                }
            }
        }
        for outer in outers {
            self.outer(outer, block, &inside, set);
        }
        for e in conditions {
            let mapped = self.subst.apply(self.arena, e);
            block.filters.push(mapped);
        }
        if !block.empty {
            self.filters(block);
        }
        if !block.empty {
            self.joins(block, above, set);
        }
        if block.empty {
            let empty = Block { empty: true, ..Block::default() };
            let visible = self.arena.visible_set(block);
            let null = self.arena.null();
            for col in visible.iter() {
                self.replace(col, null);
            }
            if !block.sources.is_empty() || !block.filters.is_empty() {
                self.changed = true;
            }
            *block = empty;
        }
        self.depth -= 1;
    }

    /// Notes what a column turned out to be.
    fn replace(&mut self, col: super::algebra::Col, expr: ExprId) {
        self.subst.set(col, expr);
        self.changed = true;
    }

    /// The columns in `set` after what was learnt.
    fn resolved(&mut self, set: &ColSet) -> ColSet {
        if self.subst.is_empty() {
            return set.clone();
        }
        let mut resolved = set.clone();
        for col in set.iter() {
            if self.subst.get(col).is_some() {
                let column = self.arena.column(col);
                let mapped = self.subst.apply(self.arena, column);
                self.arena.collect_columns(mapped, &mut resolved);
                resolved.remove(col);
            }
        }
        resolved
    }

    fn outer(&mut self, mut outer: Outer, block: &mut Block, inside: &ColSet, set: bool) {
        // Where the match is looked for, a test for NULL does not ask whether there is one.
        let tested = self.all_columns(&outer.right);
        self.subst.forget_exprs(self.arena, &tested);
        let mark = self.subst.len();
        let mut own = self.open_right(&mut outer.right);
        outer.on.append(&mut own);
        self.block(&mut outer.right, inside, set);
        // What has dissolved into the right side is in normal form already: what was learnt from its conditions must not be
        // applied to them.
        let dissolved = self.open_right(&mut outer.right);
        if outer.right.empty {
            self.unmatched(&outer, mark);
            return;
        }
        // The columns of an outer join without partners depend on both sides: its condition is mapped plainly, what is
        // above it sees NULL where there is no match.
        let mut extended = ColSet::default();
        self.arena.extended(&outer.right, &mut extended);
        self.arena.extended(block, &mut extended);
        let marker_true = self.arena.boolean(true);
        let mut local = Substitution::default();
        local.set(outer.marker, marker_true);
        let mut written = Vec::with_capacity(outer.on.len());
        for e in &outer.on {
            let e = self.subst.apply(self.arena, *e);
            let e = local.apply(self.arena, e);
            self.split(e, &mut written);
        }
        for e in dissolved {
            self.split(e, &mut written);
        }
        self.forget_tested(&written);
        let mut on = Vec::with_capacity(written.len());
        for e in written {
            let e = self.condition(e, &extended);
            self.split(e, &mut on);
        }
        let visible = self.arena.visible_set(&outer.right);
        if on.iter().any(|e| self.never(*e)) {
            self.unmatched(&outer, mark);
            return;
        }
        on.sort_unstable();
        on.dedup();
        outer.on = on;
        for col in self.subst.since(mark) {
            let column = self.arena.column(col);
            let mapped = self.subst.apply(self.arena, column);
            if !self.arena.null_when(mapped, &visible) {
                let guarded = self.arena.guard(outer.marker, mapped);
                self.subst.set(col, guarded);
            }
        }
        block.outers.push(outer);
    }

    /// Nothing ever matches: the columns of the nullable side are NULL, also what was learnt of them since `mark`.
    fn unmatched(&mut self, outer: &Outer, mark: usize) {
        let null = self.arena.null();
        let visible = self.arena.visible_set(&outer.right);
        let learnt = self.subst.since(mark);
        for col in learnt.into_iter().chain(visible.iter()).chain([outer.marker]) {
            self.replace(col, null);
        }
    }

    /// Takes the conditions inside the nullable side, which are part of the join condition.
    fn open_right(&mut self, right: &mut Block) -> Vec<ExprId> {
        let mut conditions = std::mem::take(&mut right.filters);
        for class in std::mem::take(&mut right.equal) {
            for pair in class.windows(2) {
                let (a, b) = (self.arena.column(pair[0]), self.arena.column(pair[1]));
                conditions.push(self.arena.cmp(super::algebra::CmpOp::Eq, a, b));
            }
        }
        self.forget_tested(&conditions);
        conditions
    }
}

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod scalar_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod traps;
