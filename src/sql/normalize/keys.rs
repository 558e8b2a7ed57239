//! What determines what: keys and functional dependencies through the algebra.

use super::super::algebra::{Block, CmpOp, Col, ColSet, ExprId, Node, Outer, Source};
use super::Normalizer;

/// A block, or an outer join with its condition as if it were one.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    sources: &'a [Source],
    outers: &'a [Outer],
    filters: &'a [ExprId],
    equal: &'a [Vec<Col>],
}

impl<'a> From<&'a Block> for Rows<'a> {
    fn from(block: &'a Block) -> Self {
        let Block { sources, outers, filters, equal, empty: _ } = block;
        Self { sources, outers, filters, equal }
    }
}

impl Normalizer<'_> {
    /// Adds to `known` every column of the block that is determined by the columns in it (and by columns that are not of
    /// the block), and returns whether the rows themselves are: at most one row for each combination of `known`.
    /// Facts that this rests on are added to `facts`.
    pub(super) fn closure<'a>(
        &self,
        rows: impl Into<Rows<'a>>,
        known: &mut ColSet,
        facts: &mut Vec<usize>,
    ) -> bool {
        let (sources, outers) = self.determined(rows, known, facts);
        sources.iter().all(|done| *done) && outers.iter().all(|done| *done)
    }

    /// Like [`Self::closure`], for each source and each outer join.
    pub(super) fn determined<'a>(
        &self,
        rows: impl Into<Rows<'a>>,
        known: &mut ColSet,
        facts: &mut Vec<usize>,
    ) -> (Vec<bool>, Vec<bool>) {
        let rows = rows.into();
        let mut own = ColSet::default();
        rows.sources.iter().for_each(|source| self.arena.visible_source(source, &mut own));
        for outer in rows.outers {
            self.arena.visible(&outer.right, &mut own);
            own.insert(outer.marker);
        }
        // A lateral source has a row, or a key, for each row of what it reads.
        let beside = |mut read: ColSet, offered: &ColSet| {
            offered.iter().for_each(|col| read.remove(col));
            read.iter().filter(|col| own.contains(*col)).collect::<ColSet>()
        };
        let lateral: Vec<ColSet> = rows
            .sources
            .iter()
            .map(|source| {
                let (mut read, mut offered) = (ColSet::default(), ColSet::default());
                self.arena.collect_source(source, &mut read);
                self.arena.visible_source(source, &mut offered);
                beside(read, &offered)
            })
            .collect();
        let mut sources = vec![false; rows.sources.len()];
        let mut outers = vec![false; rows.outers.len()];
        loop {
            let before = known.len();
            let done_before =
                sources.iter().filter(|done| **done).count() + outers.iter().filter(|done| **done).count();
            self.close_equalities(rows, &own, known);
            for ((source, done), read) in rows.sources.iter().zip(&mut sources).zip(&lateral) {
                if !*done && read.is_subset(known) && self.source_determined(source, rows, known, facts) {
                    *done = true;
                    self.arena.visible_source(source, known);
                }
            }
            for (outer, done) in rows.outers.iter().zip(&mut outers) {
                if *done {
                    continue;
                }
                // Only rows that match count here: the condition equates columns of the right side with known ones.
                let right = self.arena.visible_set(&outer.right);
                let mut read = ColSet::default();
                self.arena.collect_block(&outer.right, &mut read);
                if !beside(read, &right).is_subset(known) {
                    continue;
                }
                let mut inside = known.clone();
                for e in &outer.on {
                    if let Some((col, _)) = self.literal_of(*e)
                        && right.contains(col)
                    {
                        inside.insert(col);
                    }
                    if let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(*e) {
                        for (mine, theirs) in [(a, b), (b, a)] {
                            if let Node::Col(col) = *self.arena.node(mine) {
                                let others = self.arena.columns_of(theirs);
                                if right.contains(col)
                                    && self.arena.type_of(mine).equals_once(self.arena.type_of(theirs))
                                    && !others.intersects(&right)
                                    && others
                                        .iter()
                                        .all(|other| known.contains(other) || !own.contains(other))
                                    && !self.arena.has_sub(theirs)
                                {
                                    inside.insert(col);
                                }
                            }
                        }
                    }
                }
                // Inside, what the block offers is as given as what encloses it: only what is known of it may be read.
                let (on, unknown): (Vec<ExprId>, Vec<ExprId>) = outer
                    .on
                    .iter()
                    .partition(|e| beside(self.arena.columns_of(**e), &right).is_subset(known));
                // Where it is not known whether there is a match, a column that every match has tells.
                let mut used = Vec::new();
                let told = unknown.is_empty()
                    || known.contains(outer.marker)
                    || right
                        .iter()
                        .any(|col| known.contains(col) && self.in_every_match(outer, col, &mut used));
                let matches = Rows { filters: &on, equal: &[], ..Rows::from(&outer.right) };
                if told && self.closure(matches, &mut inside, &mut used) {
                    facts.extend(used);
                    *done = true;
                    known.extend(&right);
                    known.insert(outer.marker);
                }
            }
            let done_after =
                sources.iter().filter(|done| **done).count() + outers.iter().filter(|done| **done).count();
            if known.len() == before && done_after == done_before {
                break;
            }
        }
        (sources, outers)
    }

    /// Whether the column is not NULL where the outer join finds a match.
    fn in_every_match(&self, outer: &Outer, col: Col, facts: &mut Vec<usize>) -> bool {
        let matches = Rows { filters: &outer.on, equal: &[], ..Rows::from(&outer.right) };
        if self.bound(matches, col) {
            return true;
        }
        // A column of a further outer join inside is NULL where that finds none.
        let plain = |source: &Source| {
            let mut offered = ColSet::default();
            self.arena.visible_source(source, &mut offered);
            offered.contains(col)
        };
        let info = self.arena.col(col);
        let present = !info.nullable && outer.right.sources.iter().any(plain);
        if present {
            facts.extend(info.fact);
        }
        present
    }

    fn close_equalities(&self, rows: Rows<'_>, own: &ColSet, known: &mut ColSet) {
        for class in rows.equal {
            if class.iter().any(|col| known.contains(*col) || !own.contains(*col)) {
                class.iter().for_each(|col| {
                    known.insert(*col);
                });
            }
        }
        for e in rows.filters {
            if let Some((col, _)) = self.literal_of(*e) {
                known.insert(col);
            }
            let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(*e) else { continue };
            for (mine, theirs) in [(a, b), (b, a)] {
                if let Node::Col(col) = *self.arena.node(mine)
                    && self.arena.type_of(mine).equals_once(self.arena.type_of(theirs))
                    && !self.arena.has_sub(theirs)
                    && self.arena.columns_of(theirs).iter().all(|o| known.contains(o) || !own.contains(o))
                {
                    known.insert(col);
                }
            }
        }
    }

    /// Whether the known columns determine the row of this source.
    fn source_determined(
        &self,
        source: &Source,
        rows: Rows<'_>,
        known: &ColSet,
        facts: &mut Vec<usize>,
    ) -> bool {
        match source {
            Source::Scan(scan) => {
                let info = self.arena.scan(*scan);
                for (columns, fact) in &self.arena.table_of(*scan).facts.unique {
                    let mut used = vec![*fact];
                    let all = columns.iter().all(|position| {
                        let Some((_, col)) = info.cols.iter().find(|(at, _)| at == position) else {
                            return false;
                        };
                        if !known.contains(*col) {
                            return false;
                        }
                        // A key does not bind rows with NULL in it.
                        if self.bound(rows, *col) || self.arena.derived.contains(*col) {
                            return true;
                        }
                        used.extend(self.arena.col(*col).fact);
                        !self.arena.col(*col).nullable
                    });
                    if all {
                        facts.extend(used);
                        return true;
                    }
                }
                false
            }
            Source::Values(values) => values.rows.len() <= 1,
            Source::Aggregate(aggregate) => aggregate.keys.iter().all(|(col, _)| known.contains(*col)),
            Source::Window(window) => {
                let mut inside = known.clone();
                if self.closure(&window.input, &mut inside, facts) {
                    return true;
                }
                // The number of a row in its partition, and the partition: one row.
                window.funcs.iter().any(|(col, e)| match self.arena.node(*e) {
                    Node::Window(call) => {
                        self.arena.is(call.call.func, "row_number")
                            && known.contains(*col)
                            && call
                                .partition
                                .iter()
                                .all(|e| self.arena.columns_of(*e).iter().all(|c| inside.contains(c)))
                    }
                    _ => false,
                })
            }
            Source::Limit(limit) => {
                let one = limit.limit.and_then(|e| self.arena.as_const(e));
                if matches!(one, Some(super::super::algebra::Const::Int(0 | 1))) && limit.extra.is_none() {
                    return true;
                }
                let mut inside = known.clone();
                self.closure(&limit.input, &mut inside, facts)
            }
            Source::Union(_) | Source::SetOp(_) | Source::Full(_) | Source::Opaque(_) => false,
        }
    }

    /// Whether the block rejects NULL in this column by an equality.
    fn bound(&self, rows: Rows<'_>, col: Col) -> bool {
        if rows.equal.iter().any(|class| class.contains(&col)) {
            return true;
        }
        let one: ColSet = [col].into_iter().collect();
        rows.filters.iter().any(|e| self.arena.never_true_when(*e, &one))
    }
}
