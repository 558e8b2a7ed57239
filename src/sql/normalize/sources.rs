//! Sources: what is inside them is normalized, and those that add nothing dissolve into the block.

use super::super::algebra::map::Substitution;
use super::super::algebra::{
    Block, Branch, Col, ColSet, ExprId, Full, Node, Opaque, SetOp, Source, Union, Values, Window,
};
use super::super::types::Type;
use super::Normalizer;
use super::filters::splice;

impl Normalizer<'_> {
    /// Normalizes a source and adds it, or what it has turned out to be, to the block.
    pub(super) fn source(&mut self, source: Source, block: &mut Block, above: &ColSet, set: bool) {
        match source {
            Source::Scan(_) => block.sources.push(source),
            Source::Values(values) => self.values(values, block),
            Source::Aggregate(aggregate) => self.aggregate(aggregate, block, set),
            Source::Window(window) => self.window(window, block, above),
            Source::Union(union) => self.union(union, block, set),
            Source::SetOp(op) => self.set_op(op, block),
            Source::Full(full) => self.full(full, block, above, set),
            Source::Limit(limit) => self.limit(limit, block, above),
            Source::Opaque(opaque) => self.opaque(opaque, block),
        }
    }

    fn values(&mut self, mut values: Box<Values>, block: &mut Block) {
        let extended = ColSet::default();
        for e in values.rows.iter_mut().flatten() {
            *e = self.mapped_value(*e, &extended);
        }
        match values.rows.as_slice() {
            [] => {
                let null = self.arena.null();
                values.cols.iter().for_each(|col| self.replace(*col, null));
                block.empty = true;
            }
            [row] => {
                for (col, e) in values.cols.iter().zip(row) {
                    self.replace(*col, *e);
                }
            }
            _ => block.sources.push(Source::Values(values)),
        }
    }

    fn window(&mut self, mut window: Box<Window>, block: &mut Block, above: &ColSet) {
        let mut inside = above.clone();
        window.funcs.iter().for_each(|(_, e)| self.arena.collect_columns(*e, &mut inside));
        self.block(&mut window.input, &inside, false);
        let mut extended = ColSet::default();
        self.arena.extended(&window.input, &mut extended);
        let mut exprs: Vec<ExprId> =
            window.funcs.iter().map(|(_, e)| self.mapped_value(*e, &extended)).collect();
        self.attach(&mut window.input, &mut exprs);
        let mut kept: Vec<(super::super::algebra::Col, ExprId)> = Vec::with_capacity(exprs.len());
        for ((col, _), e) in window.funcs.iter().zip(exprs) {
            if let Some(value) = self.alone_in_partition(&window.input, e) {
                self.replace(*col, value);
                continue;
            }
            let e = self.mirrored(&window.input, e);
            let e = self.total_order(&window.input, e);
            match kept.iter().find(|(_, other)| *other == e) {
                Some((same, _)) => {
                    let same = self.arena.column(*same);
                    self.replace(*col, same);
                }
                None => kept.push((*col, e)),
            }
        }
        window.funcs = kept;
        if window.input.empty {
            let null = self.arena.null();
            window.funcs.iter().for_each(|(col, _)| self.replace(*col, null));
            block.empty = true;
            return;
        }
        if window.funcs.is_empty() {
            self.changed = true;
            splice(self.arena, block, std::mem::take(&mut window.input));
            return;
        }
        // Window functions over window functions that do not read them are computed side by side.
        let stacked = window.input.outers.is_empty()
            && window.input.filters.is_empty()
            && window.input.equal.is_empty()
            && matches!(window.input.sources.as_slice(), [Source::Window(_)]);
        if stacked && let Some(Source::Window(mut inner)) = window.input.sources.pop() {
            let made: ColSet = inner.funcs.iter().map(|(col, _)| *col).collect();
            let (dependent, independent): (Vec<_>, Vec<_>) =
                window.funcs.iter().partition(|(_, e)| self.arena.columns_of(*e).intersects(&made));
            if !independent.is_empty() {
                self.changed = true;
                inner.funcs.extend(independent);
                window.funcs = dependent;
            }
            window.input.sources.push(Source::Window(inner));
            if window.funcs.is_empty() {
                splice(self.arena, block, std::mem::take(&mut window.input));
                return;
            }
        }
        block.sources.push(Source::Window(window));
    }

    fn branch(&mut self, branch: &mut Branch, set: bool) {
        let mut above = ColSet::default();
        branch.outputs.iter().for_each(|e| self.arena.collect_columns(*e, &mut above));
        self.block(&mut branch.block, &above, set);
        let mut extended = ColSet::default();
        self.arena.extended(&branch.block, &mut extended);
        let mut outputs: Vec<ExprId> =
            branch.outputs.iter().map(|e| self.mapped_value(*e, &extended)).collect();
        self.attach(&mut branch.block, &mut outputs);
        branch.outputs = outputs;
    }

    fn union(&mut self, mut union: Box<Union>, block: &mut Block, set: bool) {
        let mut branches = Vec::with_capacity(union.branches.len());
        for mut branch in std::mem::take(&mut union.branches) {
            self.branch(&mut branch, set);
            if branch.block.empty {
                self.changed = true;
                continue;
            }
            self.flatten(branch, &mut branches);
        }
        union.branches = branches;
        self.merge_branches(&mut union, set);
        let mut branches = std::mem::take(&mut union.branches);
        match branches.len() {
            0 => {
                let null = self.arena.null();
                union.cols.iter().for_each(|col| self.replace(*col, null));
                block.empty = true;
                return;
            }
            1 => {
                let compatible =
                    branches[0].outputs.iter().zip(&union.cols).all(|(e, col)| self.has_type_of(*e, *col));
                if compatible {
                    if let Some(branch) = branches.pop() {
                        for (col, e) in union.cols.iter().zip(&branch.outputs) {
                            self.replace(*col, *e);
                        }
                        splice(self.arena, block, branch.block);
                    }
                    return;
                }
            }
            _ => {}
        }
        union.branches = branches;
        self.shared_outputs(&mut union);
        for (position, col) in union.cols.iter().enumerate() {
            let nullable = union.branches.iter().any(|branch| {
                let mut extended = ColSet::default();
                self.arena.extended(&branch.block, &mut extended);
                self.arena.nullable(branch.outputs[position], &extended)
            });
            if !nullable {
                self.arena.derived.insert(*col);
            }
        }
        block.sources.push(Source::Union(union));
    }

    // rule: set-operations
    /// A branch that is itself a union is its branches.
    fn flatten(&mut self, mut branch: Branch, into: &mut Vec<Branch>) {
        let nested = branch.block.outers.is_empty()
            && branch.block.filters.is_empty()
            && branch.block.equal.is_empty()
            && matches!(branch.block.sources.as_slice(), [Source::Union(_)])
            && !branch.outputs.iter().any(|e| self.arena.has_sub(*e));
        if !nested || !self.keeps_types(&branch) {
            into.push(branch);
            return;
        }
        let Some(Source::Union(inner)) = branch.block.sources.pop() else { return };
        self.changed = true;
        for deeper in inner.branches {
            let mut inward = Substitution::default();
            for (col, e) in inner.cols.iter().zip(&deeper.outputs) {
                inward.set(*col, *e);
            }
            let outputs = branch.outputs.iter().map(|e| inward.apply(self.arena, *e)).collect();
            into.push(Branch { block: deeper.block, outputs });
        }
    }

    /// Whether what the branch computes from the columns of the union that it reads (`cast(n as varchar)`) is the same over
    /// the members of that union: a column of it has the type that all of them have in common.
    fn keeps_types(&self, branch: &Branch) -> bool {
        let [Source::Union(inner)] = branch.block.sources.as_slice() else { return false };
        let mut computed = ColSet::default();
        let is_column = |e: ExprId| matches!(self.arena.node(e), Node::Col(_));
        branch
            .outputs
            .iter()
            .filter(|e| !is_column(**e))
            .for_each(|e| self.arena.collect_columns(*e, &mut computed));
        let fits = |(col, e): (&Col, &ExprId)| !computed.contains(*col) || self.has_type_of(*e, *col);
        inner.branches.iter().all(|deeper| inner.cols.iter().zip(&deeper.outputs).all(fits))
    }

    /// Whether an expression may stand for a column of a set operation, also inside of what shows its type.
    pub(super) fn has_type_of(&self, e: ExprId, col: Col) -> bool {
        let (own, kind) = (self.arena.type_of(e), self.arena.col(col).data_type);
        (own == kind && kind != Type::Unknown)
            || (own.is_int() && kind.is_int())
            || self.arena.is_null_const(e)
    }

    /// A column that is one literal in all branches is that literal; two columns that agree in all branches are one.
    fn shared_outputs(&mut self, union: &mut Union) {
        let mut at = 0;
        while at < union.cols.len() {
            let first = union.branches[0].outputs[at];
            let literal = self.arena.as_const(first).is_some()
                && union.branches.iter().all(|branch| branch.outputs[at] == first);
            let twin = (0..at).find(|other| {
                self.arena.col(union.cols[*other]).data_type == self.arena.col(union.cols[at]).data_type
                    && union.branches.iter().all(|branch| branch.outputs[*other] == branch.outputs[at])
            });
            let instead = match (literal, twin) {
                (true, _) => first,
                (false, Some(other)) => self.arena.column(union.cols[other]),
                (false, None) => {
                    at += 1;
                    continue;
                }
            };
            self.replace(union.cols[at], instead);
            union.cols.remove(at);
            union.branches.iter_mut().for_each(|branch| {
                branch.outputs.remove(at);
            });
        }
    }

    fn set_op(&mut self, mut op: Box<SetOp>, block: &mut Block) {
        self.branch(&mut op.left, false);
        self.branch(&mut op.right, false);
        if op.left.block.empty || (op.right.block.empty && !op.except) {
            let null = self.arena.null();
            op.cols.iter().for_each(|col| self.replace(*col, null));
            block.empty = true;
            return;
        }
        let fits = |(col, e): (&Col, &ExprId)| self.has_type_of(*e, *col);
        if op.right.block.empty && op.except && op.cols.iter().zip(&op.left.outputs).all(fits) {
            for (col, e) in op.cols.iter().zip(&op.left.outputs) {
                self.replace(*col, *e);
            }
            splice(self.arena, block, op.left.block);
            return;
        }
        block.sources.push(Source::SetOp(op));
    }

    fn full(&mut self, mut full: Box<Full>, block: &mut Block, above: &ColSet, set: bool) {
        let mut inside = above.clone();
        full.on.iter().for_each(|e| self.arena.collect_columns(*e, &mut inside));
        let mut marks = Vec::with_capacity(2);
        for (side, marker) in [(&mut full.left, full.left_marker), (&mut full.right, full.right_marker)] {
            let mark = self.subst.len();
            self.block(side, &inside, set);
            let learnt = self.subst.since(mark);
            marks.push((learnt, marker, self.arena.visible_set(side)));
        }
        let mut extended = ColSet::default();
        self.arena.extended(&full.left, &mut extended);
        self.arena.extended(&full.right, &mut extended);
        let mut on = Vec::with_capacity(full.on.len());
        for e in &full.on {
            let mapped = self.subst.apply(self.arena, *e);
            let simplified = self.condition(mapped, &extended);
            self.split(simplified, &mut on);
        }
        full.on = on;
        for (learnt, marker, visible) in marks {
            for col in learnt {
                let column = self.arena.column(col);
                let mapped = self.subst.apply(self.arena, column);
                if !self.arena.null_when(mapped, &visible) {
                    let guarded = self.arena.guard(marker, mapped);
                    self.subst.set(col, guarded);
                }
            }
        }
        match (full.left.empty, full.right.empty) {
            (false, false) => block.sources.push(Source::Full(full)),
            (left, right) => {
                let (null, holds) = (self.arena.null(), self.arena.boolean(true));
                self.replace(full.left_marker, if left { null } else { holds });
                self.replace(full.right_marker, if right { null } else { holds });
                match (left, right) {
                    (true, true) => block.empty = true,
                    (true, false) => splice(self.arena, block, full.right),
                    _ => splice(self.arena, block, full.left),
                }
            }
        }
    }

    fn opaque(&mut self, mut opaque: Box<Opaque>, block: &mut Block) {
        for input in &mut opaque.inputs {
            self.branch(input, false);
        }
        block.sources.push(Source::Opaque(opaque));
    }
}
