//! Dropping what nobody reads.

use super::super::algebra::{Block, Col, ColSet, Source};
use super::Normalizer;

impl Normalizer<'_> {
    /// Drops aggregates, window functions and columns of unions that nothing above reads.
    pub(super) fn prune(&mut self, block: &mut Block, above: &ColSet) {
        let mut used = above.clone();
        for e in block.filters.iter().chain(block.outers.iter().flat_map(|outer| &outer.on)) {
            self.arena.collect_columns(*e, &mut used);
        }
        block.equal.iter().flatten().for_each(|col| {
            used.insert(*col);
        });
        // A derived table may read its neighbours.
        for source in &block.sources {
            self.arena.collect_source(source, &mut used);
        }
        for outer in &block.outers {
            self.arena.collect_block(&outer.right, &mut used);
        }
        for source in &mut block.sources {
            self.prune_source(source, &used);
        }
        for outer in &mut block.outers {
            self.prune(&mut outer.right, &used);
        }
    }

    fn retain(&mut self, list: &mut Vec<(Col, super::ExprId)>, used: &ColSet) {
        let before = list.len();
        list.retain(|(col, _)| used.contains(*col));
        self.changed |= list.len() < before;
    }

    fn prune_source(&mut self, source: &mut Source, used: &ColSet) {
        match source {
            Source::Aggregate(aggregate) => {
                self.retain(&mut aggregate.aggs, used);
                let mut inner = ColSet::default();
                for (_, e) in aggregate.keys.iter().chain(&aggregate.aggs) {
                    self.arena.collect_columns(*e, &mut inner);
                }
                self.prune(&mut aggregate.input, &inner);
            }
            Source::Window(window) => {
                self.retain(&mut window.funcs, used);
                let mut inner = used.clone();
                for (_, e) in &window.funcs {
                    self.arena.collect_columns(*e, &mut inner);
                }
                self.prune(&mut window.input, &inner);
            }
            Source::Union(union) => {
                let kept: Vec<bool> = union.cols.iter().map(|col| used.contains(*col)).collect();
                if kept.contains(&false) {
                    self.changed = true;
                    keep(&mut union.cols, &kept);
                    union.branches.iter_mut().for_each(|branch| keep(&mut branch.outputs, &kept));
                }
                for branch in &mut union.branches {
                    let mut inner = ColSet::default();
                    branch.outputs.iter().for_each(|e| self.arena.collect_columns(*e, &mut inner));
                    self.prune(&mut branch.block, &inner);
                }
            }
            Source::Values(values) => {
                let kept: Vec<bool> = values.cols.iter().map(|col| used.contains(*col)).collect();
                keep(&mut values.cols, &kept);
                values.rows.iter_mut().for_each(|row| keep(row, &kept));
            }
            Source::SetOp(op) => {
                for side in [&mut op.left, &mut op.right] {
                    let mut inner = ColSet::default();
                    side.outputs.iter().for_each(|e| self.arena.collect_columns(*e, &mut inner));
                    self.prune(&mut side.block, &inner);
                }
            }
            Source::Full(full) => {
                let mut inner = used.clone();
                full.on.iter().for_each(|e| self.arena.collect_columns(*e, &mut inner));
                self.prune(&mut full.left, &inner);
                self.prune(&mut full.right, &inner);
            }
            Source::Limit(limit) => {
                let mut inner = used.clone();
                limit.order.iter().for_each(|key| self.arena.collect_columns(key.expr, &mut inner));
                self.prune(&mut limit.input, &inner);
            }
            Source::Scan(_) | Source::Opaque(_) => {}
        }
    }
}

fn keep<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut flags = kept.iter();
    list.retain(|_| flags.next().copied().unwrap_or(true));
}
