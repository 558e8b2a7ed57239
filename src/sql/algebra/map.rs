//! Walking and rewriting expressions and blocks.

use super::arena::FastMap;
use super::node::{AggCall, Frame, FrameBound, Node, OrderKey, WindowCall};
use super::{Arena, Block, Branch, Col, ColSet, ExprId, Outer, Source, Sub};

/// Calls `f` with each direct subexpression (not those inside subqueries).
pub fn children(node: &Node, f: &mut dyn FnMut(ExprId)) {
    match node {
        Node::Col(_) | Node::Const(_) | Node::Exists(_) | Node::Scalar(_) => {}
        Node::And(list) | Node::Or(list) | Node::Coalesce(list) | Node::Call(_, list) | Node::In(list, _) => {
            list.iter().for_each(|e| f(*e));
        }
        Node::Not(e) | Node::IsNull(e) | Node::IsTrue(e) | Node::Guard(_, e) | Node::Cast(e, ..) => f(*e),
        Node::Cmp(_, a, b) | Node::Same(a, b) => {
            f(*a);
            f(*b);
        }
        Node::Case(arms, otherwise) => {
            for (condition, result) in arms {
                f(*condition);
                f(*result);
            }
            f(*otherwise);
        }
        Node::Agg(call) => call_children(call, f),
        Node::Window(window) => {
            call_children(&window.call, f);
            window.partition.iter().for_each(|e| f(*e));
            window.order.iter().for_each(|key| f(key.expr));
            if let Some(frame) = &window.frame {
                for bound in [frame.start, frame.end] {
                    if let FrameBound::Preceding(e) | FrameBound::Following(e) = bound {
                        f(e);
                    }
                }
            }
        }
    }
}

fn call_children(call: &AggCall, f: &mut dyn FnMut(ExprId)) {
    call.args.iter().for_each(|e| f(*e));
    call.filter.iter().for_each(|e| f(*e));
    call.order.iter().for_each(|key| f(key.expr));
}

impl Arena {
    /// Rebuilds a node with other subexpressions, through the constructors.
    pub fn rebuild(&mut self, node: Node, f: &mut impl FnMut(&mut Self, ExprId) -> ExprId) -> ExprId {
        match node {
            Node::Col(_) | Node::Const(_) | Node::Exists(_) | Node::Scalar(_) => self.intern(node),
            Node::And(list) => {
                let list = self.each(&list, f);
                self.and(&list)
            }
            Node::Or(list) => {
                let list = self.each(&list, f);
                self.or(&list)
            }
            Node::Not(e) => {
                let e = f(self, e);
                self.not(e)
            }
            Node::Cmp(op, a, b) => {
                let (a, b) = (f(self, a), f(self, b));
                self.cmp(op, a, b)
            }
            Node::Same(a, b) => {
                let (a, b) = (f(self, a), f(self, b));
                self.same(a, b)
            }
            Node::IsNull(e) => {
                let e = f(self, e);
                self.is_null(e)
            }
            Node::IsTrue(e) => {
                let e = f(self, e);
                self.is_true(e)
            }
            Node::Case(arms, otherwise) => {
                let arms: Vec<_> = arms.iter().map(|(c, r)| (f(self, *c), f(self, *r))).collect();
                let otherwise = f(self, otherwise);
                self.case(&arms, otherwise)
            }
            Node::Coalesce(list) => {
                let list = self.each(&list, f);
                self.coalesce(&list)
            }
            Node::Cast(e, data_type, written, attempt) => {
                let e = f(self, e);
                self.cast(e, data_type, written, attempt)
            }
            Node::Call(name, args) => {
                let args = self.each(&args, f);
                let name = self.text(name).to_owned();
                self.call(&name, &args)
            }
            Node::Guard(marker, e) => {
                let e = f(self, e);
                self.guard(marker, e)
            }
            Node::In(left, sub) => {
                let left = self.each(&left, f);
                self.in_sub(&left, sub)
            }
            Node::Agg(call) => {
                let call = self.map_call(&call, f);
                self.aggregate(call)
            }
            Node::Window(window) => {
                let call = self.map_call(&window.call, f);
                let partition = self.each(&window.partition, f).into_boxed_slice();
                let order = self.each_key(&window.order, f);
                let frame = window.frame.map(|frame| Frame {
                    units: frame.units,
                    start: self.map_bound(frame.start, f),
                    end: self.map_bound(frame.end, f),
                });
                self.window(WindowCall { call, ignore_nulls: window.ignore_nulls, partition, order, frame })
            }
        }
    }

    fn map_bound(
        &mut self,
        bound: FrameBound,
        f: &mut impl FnMut(&mut Self, ExprId) -> ExprId,
    ) -> FrameBound {
        match bound {
            FrameBound::Preceding(e) => FrameBound::Preceding(f(self, e)),
            FrameBound::Following(e) => FrameBound::Following(f(self, e)),
            other => other,
        }
    }

    fn map_call(&mut self, call: &AggCall, f: &mut impl FnMut(&mut Self, ExprId) -> ExprId) -> AggCall {
        AggCall {
            func: call.func,
            args: self.each(&call.args, f).into_boxed_slice(),
            distinct: call.distinct,
            filter: call.filter.map(|filter| f(self, filter)),
            order: self.each_key(&call.order, f),
        }
    }

    fn each(&mut self, list: &[ExprId], f: &mut impl FnMut(&mut Self, ExprId) -> ExprId) -> Vec<ExprId> {
        list.iter().map(|e| f(self, *e)).collect()
    }

    fn each_key(
        &mut self,
        keys: &[OrderKey],
        f: &mut impl FnMut(&mut Self, ExprId) -> ExprId,
    ) -> Box<[OrderKey]> {
        keys.iter().map(|key| OrderKey { expr: f(self, key.expr), ..*key }).collect()
    }

    /// Adds the columns that an expression reads, also inside subqueries (their own columns included).
    pub fn collect_columns(&self, expr: ExprId, into: &mut ColSet) {
        match self.node(expr) {
            Node::Col(col) => {
                into.insert(*col);
            }
            Node::Guard(marker, inner) => {
                into.insert(*marker);
                self.collect_columns(*inner, into);
            }
            Node::Exists(sub) | Node::Scalar(sub) => self.collect_sub(self.sub(*sub), into),
            Node::In(left, sub) => {
                left.iter().for_each(|e| self.collect_columns(*e, into));
                self.collect_sub(self.sub(*sub), into);
            }
            node => children(node, &mut |child| self.collect_columns(child, into)),
        }
    }

    /// The columns that an expression reads.
    pub fn columns_of(&self, expr: ExprId) -> ColSet {
        let mut set = ColSet::default();
        self.collect_columns(expr, &mut set);
        set
    }

    fn collect_sub(&self, sub: &Sub, into: &mut ColSet) {
        self.collect_block(&sub.block, into);
        sub.outputs.iter().for_each(|e| self.collect_columns(*e, into));
    }

    /// Adds every column that is read anywhere inside a block.
    pub fn collect_block(&self, block: &Block, into: &mut ColSet) {
        walk_block(block, &mut |e| self.collect_columns(e, into));
        collect_equal(block, into);
    }

    /// Adds every column that is read anywhere inside a source, also those of the sources beside it.
    pub fn collect_source(&self, source: &Source, into: &mut ColSet) {
        walk_source(source, &mut |e| self.collect_columns(e, into));
        source_blocks(source).into_iter().for_each(|block| collect_equal(block, into));
    }

    /// The columns that a block offers to expressions above it.
    pub fn visible(&self, block: &Block, into: &mut ColSet) {
        for source in &block.sources {
            self.visible_source(source, into);
        }
        for outer in &block.outers {
            self.visible(&outer.right, into);
            into.insert(outer.marker);
        }
    }

    /// The columns that a source offers.
    pub fn visible_source(&self, source: &Source, into: &mut ColSet) {
        match source {
            Source::Scan(scan) => self.scan(*scan).cols.iter().for_each(|(_, col)| {
                into.insert(*col);
            }),
            Source::Values(values) => into.extend(&values.cols.iter().copied().collect()),
            Source::Aggregate(aggregate) => {
                for (col, _) in aggregate.keys.iter().chain(&aggregate.aggs) {
                    into.insert(*col);
                }
            }
            Source::Window(window) => {
                self.visible(&window.input, into);
                for (col, _) in &window.funcs {
                    into.insert(*col);
                }
            }
            Source::Union(union) => into.extend(&union.cols.iter().copied().collect()),
            Source::SetOp(op) => into.extend(&op.cols.iter().copied().collect()),
            Source::Full(full) => {
                self.visible(&full.left, into);
                self.visible(&full.right, into);
                into.insert(full.left_marker);
                into.insert(full.right_marker);
            }
            Source::Limit(limit) => self.visible(&limit.input, into),
            Source::Opaque(opaque) => into.extend(&opaque.cols.iter().copied().collect()),
        }
    }

    /// The columns that a block offers, as a set.
    pub fn visible_set(&self, block: &Block) -> ColSet {
        let mut set = ColSet::default();
        self.visible(block, &mut set);
        set
    }

    /// The columns among the visible ones that an outer join inside the block may have set to NULL.
    pub fn extended(&self, block: &Block, into: &mut ColSet) {
        for source in &block.sources {
            match source {
                Source::Window(window) => self.extended(&window.input, into),
                Source::Limit(limit) => self.extended(&limit.input, into),
                Source::Full(_) => self.visible_source(source, into),
                _ => {}
            }
        }
        for outer in &block.outers {
            self.visible(&outer.right, into);
            into.insert(outer.marker);
        }
    }
}

/// Adds the members of the equality classes of a block and of the blocks inside it.
fn collect_equal(block: &Block, into: &mut ColSet) {
    into.extend(&block.equal.iter().flatten().copied().collect());
    for inner in inner_blocks(block) {
        collect_equal(inner, into);
    }
}

/// The blocks directly inside a block.
pub fn inner_blocks(block: &Block) -> Vec<&Block> {
    let outers = block.outers.iter().map(|outer| &outer.right);
    outers.chain(block.sources.iter().flat_map(source_blocks)).collect()
}

fn source_blocks(source: &Source) -> Vec<&Block> {
    match source {
        Source::Scan(_) | Source::Values(_) => Vec::new(),
        Source::Aggregate(aggregate) => vec![&aggregate.input],
        Source::Window(window) => vec![&window.input],
        Source::Union(union) => union.branches.iter().map(|branch| &branch.block).collect(),
        Source::SetOp(op) => vec![&op.left.block, &op.right.block],
        Source::Full(full) => vec![&full.left, &full.right],
        Source::Limit(limit) => vec![&limit.input],
        Source::Opaque(opaque) => opaque.inputs.iter().map(|branch| &branch.block).collect(),
    }
}

/// Calls `f` with every expression root of a block and of the blocks inside its sources (not those of subqueries).
pub fn walk_block(block: &Block, f: &mut dyn FnMut(ExprId)) {
    for source in &block.sources {
        walk_source(source, f);
    }
    for outer in &block.outers {
        walk_block(&outer.right, f);
        outer.on.iter().for_each(|e| f(*e));
    }
    block.filters.iter().for_each(|e| f(*e));
}

/// Calls `f` with every expression root of a source.
fn walk_source(source: &Source, f: &mut dyn FnMut(ExprId)) {
    let branch = |branch: &Branch, f: &mut dyn FnMut(ExprId)| {
        walk_block(&branch.block, &mut |e| f(e));
        branch.outputs.iter().for_each(|e| f(*e));
    };
    match source {
        Source::Scan(_) => {}
        Source::Values(values) => values.rows.iter().flatten().for_each(|e| f(*e)),
        Source::Aggregate(aggregate) => {
            walk_block(&aggregate.input, f);
            aggregate.keys.iter().chain(&aggregate.aggs).for_each(|(_, e)| f(*e));
        }
        Source::Window(window) => {
            walk_block(&window.input, f);
            window.funcs.iter().for_each(|(_, e)| f(*e));
        }
        Source::Union(union) => union.branches.iter().for_each(|b| branch(b, f)),
        Source::SetOp(op) => {
            branch(&op.left, f);
            branch(&op.right, f);
        }
        Source::Full(full) => {
            walk_block(&full.left, f);
            walk_block(&full.right, f);
            full.on.iter().for_each(|e| f(*e));
        }
        Source::Limit(limit) => {
            walk_block(&limit.input, f);
            limit.order.iter().for_each(|key| f(key.expr));
            limit.limit.iter().chain(&limit.offset).for_each(|e| f(*e));
        }
        Source::Opaque(opaque) => {
            opaque.args.iter().for_each(|e| f(*e));
            opaque.inputs.iter().for_each(|b| branch(b, f));
        }
    }
}

/// Rewrites every expression root of a block and of the blocks inside its sources.
pub fn map_block(block: &mut Block, f: &mut dyn FnMut(ExprId) -> ExprId) {
    for source in &mut block.sources {
        map_source(source, f);
    }
    for Outer { right, on, .. } in &mut block.outers {
        map_block(right, f);
        on.iter_mut().for_each(|e| *e = f(*e));
    }
    block.filters.iter_mut().for_each(|e| *e = f(*e));
}

/// Rewrites every expression root of a source.
pub fn map_source(source: &mut Source, f: &mut dyn FnMut(ExprId) -> ExprId) {
    let branch = |branch: &mut Branch, f: &mut dyn FnMut(ExprId) -> ExprId| {
        map_block(&mut branch.block, &mut |e| f(e));
        branch.outputs.iter_mut().for_each(|e| *e = f(*e));
    };
    match source {
        Source::Scan(_) => {}
        Source::Values(values) => values.rows.iter_mut().flatten().for_each(|e| *e = f(*e)),
        Source::Aggregate(aggregate) => {
            map_block(&mut aggregate.input, f);
            aggregate.keys.iter_mut().chain(&mut aggregate.aggs).for_each(|(_, e)| *e = f(*e));
        }
        Source::Window(window) => {
            map_block(&mut window.input, f);
            window.funcs.iter_mut().for_each(|(_, e)| *e = f(*e));
        }
        Source::Union(union) => union.branches.iter_mut().for_each(|b| branch(b, f)),
        Source::SetOp(op) => {
            branch(&mut op.left, f);
            branch(&mut op.right, f);
        }
        Source::Full(full) => {
            map_block(&mut full.left, f);
            map_block(&mut full.right, f);
            full.on.iter_mut().for_each(|e| *e = f(*e));
        }
        Source::Limit(limit) => {
            map_block(&mut limit.input, f);
            limit.order.iter_mut().for_each(|key| key.expr = f(key.expr));
            limit.limit.iter_mut().chain(&mut limit.offset).for_each(|e| *e = f(*e));
        }
        Source::Opaque(opaque) => {
            opaque.args.iter_mut().for_each(|e| *e = f(*e));
            opaque.inputs.iter_mut().for_each(|b| branch(b, f));
        }
    }
}

/// A substitution of columns by expressions, applied also inside subqueries.
#[derive(Debug, Default, Clone)]
pub struct Substitution {
    map: FastMap<Col, ExprId>,
    /// Replacement of whole subexpressions, tried first.
    exprs: FastMap<ExprId, ExprId>,
    memo: FastMap<ExprId, ExprId>,
    order: Vec<Col>,
    depth: usize,
}

impl Substitution {
    /// Replaces a column. Replacements may hold columns that are replaced in turn.
    pub fn set(&mut self, col: Col, expr: ExprId) {
        self.map.insert(col, expr);
        self.order.push(col);
        self.memo.clear();
    }

    /// Forgets the replacement of a column.
    pub fn remove(&mut self, col: Col) {
        self.map.remove(&col);
        self.memo.clear();
    }

    /// Replaces a whole subexpression. The replacement may hold columns that are replaced in turn.
    pub fn set_expr(&mut self, from: ExprId, to: ExprId) {
        self.exprs.insert(from, to);
        self.memo.clear();
    }

    /// Forgets the replacements of whole subexpressions that read one of the columns.
    pub fn forget_exprs(&mut self, arena: &Arena, cols: &ColSet) {
        self.exprs.retain(|from, _| !arena.columns_of(*from).intersects(cols));
        self.memo.clear();
    }

    /// Whether there is nothing to replace.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty() && self.exprs.is_empty()
    }

    /// How many columns were given a replacement so far.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The columns replaced since the count was `mark`.
    pub fn since(&self, mark: usize) -> Vec<Col> {
        self.order.get(mark..).unwrap_or_default().to_vec()
    }

    /// What a column is replaced by.
    pub fn get(&self, col: Col) -> Option<ExprId> {
        self.map.get(&col).copied()
    }

    /// Applies the substitution.
    pub fn apply(&mut self, arena: &mut Arena, expr: ExprId) -> ExprId {
        if self.is_empty() {
            return expr;
        }
        if let Some(done) = self.memo.get(&expr) {
            return *done;
        }
        if self.depth > super::arena::MAX_REPLACEMENTS {
            arena.overflow = true;
            return expr;
        }
        self.depth += 1;
        let result = if let Some(to) = self.exprs.get(&expr).copied() {
            self.apply(arena, to)
        } else {
            match arena.node(expr).clone() {
                Node::Col(col) => match self.map.get(&col).copied() {
                    Some(to) if to != expr => self.apply(arena, to),
                    _ => expr,
                },
                Node::Const(_) => expr,
                Node::Exists(sub) => match self.apply_sub(arena, sub) {
                    Some(sub) => arena.exists(sub),
                    None => expr,
                },
                Node::Scalar(sub) => match self.apply_sub(arena, sub) {
                    Some(sub) => arena.scalar(sub),
                    None => expr,
                },
                Node::In(left, sub) => {
                    let left: Vec<_> = left.iter().map(|e| self.apply(arena, *e)).collect();
                    let sub = self.apply_sub(arena, sub).unwrap_or(sub);
                    arena.in_sub(&left, sub)
                }
                Node::Guard(marker, inner) => {
                    let inner = self.apply(arena, inner);
                    match self.map.get(&marker).copied().map(|to| self.apply(arena, to)) {
                        None => arena.guard(marker, inner),
                        Some(to) => match *arena.node(to) {
                            Node::Col(marker) => arena.guard(marker, inner),
                            _ => {
                                let null = arena.null();
                                arena.case(&[(to, inner)], null)
                            }
                        },
                    }
                }
                node => arena.rebuild(node, &mut |arena, e| self.apply(arena, e)),
            }
        };
        self.depth -= 1;
        self.memo.insert(expr, result);
        result
    }

    fn apply_sub(&mut self, arena: &mut Arena, sub: super::SubId) -> Option<super::SubId> {
        let mut copy = arena.sub(sub).clone();
        let mut changed = false;
        self.apply_block(arena, &mut copy.block, &mut changed);
        for output in &mut copy.outputs {
            let mapped = self.apply(arena, *output);
            changed |= mapped != *output;
            *output = mapped;
        }
        changed.then(|| arena.new_sub(copy))
    }

    /// Applies the substitution to a block; `changed` is set when anything changed.
    pub fn apply_block(&mut self, arena: &mut Arena, block: &mut Block, changed: &mut bool) {
        if self.is_empty() {
            return;
        }
        map_block(block, &mut |e| {
            let mapped = self.apply(arena, e);
            *changed |= mapped != e;
            mapped
        });
        self.apply_classes(arena, block, changed);
    }

    /// A class with a member that is replaced is written out as equalities again.
    fn apply_classes(&mut self, arena: &mut Arena, block: &mut Block, changed: &mut bool) {
        for class in std::mem::take(&mut block.equal) {
            if !class.iter().any(|col| self.map.contains_key(col)) {
                block.equal.push(class);
                continue;
            }
            *changed = true;
            let members: Vec<ExprId> = class
                .iter()
                .map(|col| {
                    let column = arena.column(*col);
                    self.apply(arena, column)
                })
                .collect();
            for member in &members[1..] {
                let equal = arena.cmp(super::CmpOp::Eq, members[0], *member);
                block.filters.push(equal);
            }
        }
        for outer in &mut block.outers {
            self.apply_classes(arena, &mut outer.right, changed);
        }
        for source in &mut block.sources {
            match source {
                Source::Scan(_) | Source::Values(_) => {}
                Source::Aggregate(aggregate) => self.apply_classes(arena, &mut aggregate.input, changed),
                Source::Window(window) => self.apply_classes(arena, &mut window.input, changed),
                Source::Union(union) => {
                    for branch in &mut union.branches {
                        self.apply_classes(arena, &mut branch.block, changed);
                    }
                }
                Source::SetOp(op) => {
                    self.apply_classes(arena, &mut op.left.block, changed);
                    self.apply_classes(arena, &mut op.right.block, changed);
                }
                Source::Full(full) => {
                    self.apply_classes(arena, &mut full.left, changed);
                    self.apply_classes(arena, &mut full.right, changed);
                }
                Source::Limit(limit) => self.apply_classes(arena, &mut limit.input, changed),
                Source::Opaque(opaque) => {
                    for input in &mut opaque.inputs {
                        self.apply_classes(arena, &mut input.block, changed);
                    }
                }
            }
        }
    }
}

impl Arena {
    /// Gives a subquery new columns, so that it may stand beside another copy of itself.
    pub fn refresh(&mut self, sub: &mut Sub) {
        let mut renamed = Substitution::default();
        self.rename_block(&mut sub.block, &mut renamed);
        let mut changed = false;
        renamed.apply_block(self, &mut sub.block, &mut changed);
        for e in &mut sub.outputs {
            *e = renamed.apply(self, *e);
        }
    }

    fn rename(&mut self, col: &mut Col, renamed: &mut Substitution) {
        let info = *self.col(*col);
        let fresh = self.new_col(info.name, info.data_type, info.nullable);
        *self.col_mut(fresh) = info;
        if self.derived.contains(*col) {
            self.derived.insert(fresh);
        }
        let column = self.column(fresh);
        renamed.set(*col, column);
        *col = fresh;
    }

    fn rename_block(&mut self, block: &mut Block, renamed: &mut Substitution) {
        for source in &mut block.sources {
            match source {
                Source::Scan(scan) => {
                    let old = self.scan(*scan).clone();
                    *scan = self.new_scan(old.table);
                    for (position, col) in old.cols {
                        let fresh = self.scan_col(*scan, position);
                        if self.derived.contains(col) {
                            self.derived.insert(fresh);
                        }
                        let column = self.column(fresh);
                        renamed.set(col, column);
                    }
                }
                Source::Values(values) => values.cols.iter_mut().for_each(|col| self.rename(col, renamed)),
                Source::Aggregate(aggregate) => {
                    self.rename_block(&mut aggregate.input, renamed);
                    for (col, _) in aggregate.keys.iter_mut().chain(&mut aggregate.aggs) {
                        self.rename(col, renamed);
                    }
                }
                Source::Window(window) => {
                    self.rename_block(&mut window.input, renamed);
                    window.funcs.iter_mut().for_each(|(col, _)| self.rename(col, renamed));
                }
                Source::Union(union) => {
                    union
                        .branches
                        .iter_mut()
                        .for_each(|branch| self.rename_block(&mut branch.block, renamed));
                    union.cols.iter_mut().for_each(|col| self.rename(col, renamed));
                }
                Source::SetOp(op) => {
                    self.rename_block(&mut op.left.block, renamed);
                    self.rename_block(&mut op.right.block, renamed);
                    op.cols.iter_mut().for_each(|col| self.rename(col, renamed));
                }
                Source::Full(full) => {
                    self.rename_block(&mut full.left, renamed);
                    self.rename_block(&mut full.right, renamed);
                    self.rename(&mut full.left_marker, renamed);
                    self.rename(&mut full.right_marker, renamed);
                }
                Source::Limit(limit) => self.rename_block(&mut limit.input, renamed),
                Source::Opaque(opaque) => {
                    opaque.inputs.iter_mut().for_each(|input| self.rename_block(&mut input.block, renamed));
                    opaque.cols.iter_mut().for_each(|col| self.rename(col, renamed));
                }
            }
        }
        for outer in &mut block.outers {
            self.rename_block(&mut outer.right, renamed);
            self.rename(&mut outer.marker, renamed);
        }
    }

    /// Whether a column is made inside a subquery of the block's expressions (rather than outside the block).
    pub fn is_local_to_sub(&self, col: Col, block: &Block) -> bool {
        let mut found = false;
        walk_block(block, &mut |e| found = found || self.made_in_subs(e, col));
        found
    }

    fn made_in_subs(&self, e: ExprId, col: Col) -> bool {
        let made = |sub: &Sub| {
            let mut set = ColSet::default();
            self.made_in_block(&sub.block, &mut set);
            set.contains(col)
                || self.is_local_to_sub(col, &sub.block)
                || sub.outputs.iter().any(|e| self.made_in_subs(*e, col))
        };
        match self.node(e) {
            Node::Exists(sub) | Node::Scalar(sub) => made(self.sub(*sub)),
            Node::In(left, sub) => made(self.sub(*sub)) || left.iter().any(|e| self.made_in_subs(*e, col)),
            node => {
                let mut found = false;
                children(node, &mut |child| found = found || self.made_in_subs(child, col));
                found
            }
        }
    }

    fn made_in_block(&self, block: &Block, into: &mut ColSet) {
        self.visible(block, into);
        for inner in inner_blocks(block) {
            self.made_in_block(inner, into);
        }
    }
}
