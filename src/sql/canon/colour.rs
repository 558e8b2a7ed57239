//! Colours of sources and columns.

use std::collections::HashMap;

use super::super::algebra::{
    AggCall, Arena, Block, Branch, Col, ColSet, Const, ExprId, FrameBound, Node, OrderKey, Source, SubId,
};

/// Alternatives tried in all where sources cannot be told apart.
const TRIES: usize = 48;

/// Mixes a value into a hash; order matters.
pub(super) fn mix(hash: u64, value: u64) -> u64 {
    let mut x = hash.rotate_left(23) ^ value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

pub(super) fn text_hash(text: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    mix(hash, text.len() as u64)
}

fn unordered(mut hashes: Vec<u64>, start: u64) -> u64 {
    hashes.sort_unstable();
    hashes.iter().fold(start, |hash, value| mix(hash, *value))
}

/// Colours found so far.
pub(super) struct Colours<'a> {
    arena: &'a Arena,
    /// Colour of each column.
    pub(super) cols: Vec<u64>,
    /// Colours of outer joins and derived sources by the address of nothing but their order: see `block_order`.
    pub(super) orders: HashMap<*const Block, Vec<usize>>,
    /// The class representative's colour covers the whole class.
    tries: usize,
    depth: usize,
}

/// Sources first, then outer joins.
struct Atoms {
    colours: Vec<u64>,
    cols: Vec<ColSet>,
}

impl<'a> Colours<'a> {
    pub(super) fn new(arena: &'a Arena) -> Self {
        Self { arena, cols: vec![0; 64], orders: HashMap::new(), tries: TRIES, depth: 0 }
    }

    pub(super) fn col(&self, col: Col) -> u64 {
        self.cols.get(col.0 as usize).copied().unwrap_or(0)
    }

    fn set(&mut self, col: Col, colour: u64) {
        let at = col.0 as usize;
        if at >= self.cols.len() {
            self.cols.resize(at + 64, 0);
        }
        self.cols[at] = colour;
    }

    /// Colours a block and its columns; returns the colour of the block. `extra` are expressions above the block, with
    /// their roles.
    pub(super) fn block(&mut self, block: &Block, extra: &[(u64, ExprId)]) -> u64 {
        self.depth += 1;
        let mut atoms = Atoms { colours: Vec::new(), cols: Vec::new() };
        for source in &block.sources {
            let mut cols = ColSet::default();
            self.arena.visible_source(source, &mut cols);
            atoms.cols.push(cols);
        }
        // A source that reads its neighbours gets its colour, and is written, after them.
        let dependent: Vec<bool> = block
            .sources
            .iter()
            .enumerate()
            .map(|(index, source)| self.reads_neighbours(source, index, &atoms.cols))
            .collect();
        atoms.colours = vec![0; block.sources.len()];
        for last in [false, true] {
            for (index, source) in block.sources.iter().enumerate() {
                if dependent[index] == last {
                    atoms.colours[index] = self.source(source, extra);
                }
            }
        }
        for outer in &block.outers {
            let inner: Vec<_> = outer.on.iter().map(|e| (7, *e)).collect();
            let colour = self.block(&outer.right, &inner);
            atoms.colours.push(mix(colour, 0x0b));
            let mut cols = self.arena.visible_set(&outer.right);
            cols.insert(outer.marker);
            self.set(outer.marker, 0x33);
            atoms.cols.push(cols);
        }
        // What a column is inside its source.
        let inside: Vec<Vec<(Col, u64)>> =
            atoms.cols.iter().map(|cols| cols.iter().map(|col| (col, self.col(col))).collect()).collect();
        self.paint(&atoms.colours, &inside, block);
        let colours = self.resolve(block, extra, atoms.colours.clone(), &atoms, &inside);
        self.paint(&colours, &inside, block);
        let mut order: Vec<usize> = (0..colours.len()).collect();
        order.sort_by_key(|index| {
            let late = dependent.get(*index).copied().unwrap_or(false);
            (*index >= block.sources.len(), late, colours[*index])
        });
        self.orders.insert(std::ptr::from_ref(block), order);
        let hash = self.block_hash(block, &colours, &[]);
        self.depth -= 1;
        hash
    }

    fn reads_neighbours(&self, source: &Source, index: usize, cols: &[ColSet]) -> bool {
        if matches!(source, Source::Scan(_)) || cols.len() < 2 {
            return false;
        }
        let mut read = ColSet::default();
        self.arena.collect_source(source, &mut read);
        cols.iter().enumerate().any(|(other, cols)| other != index && cols.intersects(&read))
    }

    /// Columns get the colour of their source mixed with what they are inside it; equal columns get one colour.
    fn paint(&mut self, colours: &[u64], inside: &[Vec<(Col, u64)>], block: &Block) {
        for (colour, cols) in colours.iter().zip(inside) {
            for (col, own) in cols {
                self.set(*col, mix(*colour, *own));
            }
        }
        let classes: Vec<(Vec<Col>, u64)> = block
            .equal
            .iter()
            .map(|class| (class.clone(), unordered(class.iter().map(|col| self.col(*col)).collect(), 0x0e)))
            .collect();
        for (class, colour) in classes {
            for col in class {
                self.set(col, colour);
            }
        }
    }

    /// Refines until the colours are all different or the tries are used up.
    fn resolve(
        &mut self,
        block: &Block,
        extra: &[(u64, ExprId)],
        mut colours: Vec<u64>,
        atoms: &Atoms,
        inside: &[Vec<(Col, u64)>],
    ) -> Vec<u64> {
        for _ in 0..atoms.colours.len() {
            let Some(_) = tie(&colours) else { return colours };
            let before = distinct(&colours);
            let refined = self.refine(block, extra, &colours, atoms, inside);
            if distinct(&refined) == before {
                break;
            }
            colours = refined;
            self.paint(&colours, inside, block);
        }
        let Some(tied) = tie(&colours) else { return colours };
        let mut best: Option<(u64, Vec<u64>)> = None;
        for index in tied {
            if best.is_some() && self.tries == 0 {
                break;
            }
            self.tries = self.tries.saturating_sub(1);
            let mut picked = colours.clone();
            picked[index] = mix(picked[index], 0x91c);
            self.paint(&picked, inside, block);
            let resolved = self.resolve(block, extra, picked, atoms, inside);
            self.paint(&resolved, inside, block);
            let hash = self.block_hash(block, &resolved, extra);
            if best.as_ref().is_none_or(|(other, _)| hash < *other) {
                best = Some((hash, resolved));
            }
        }
        best.map_or(colours, |(_, resolved)| resolved)
    }

    fn refine(
        &mut self,
        block: &Block,
        extra: &[(u64, ExprId)],
        colours: &[u64],
        atoms: &Atoms,
        inside: &[Vec<(Col, u64)>],
    ) -> Vec<u64> {
        let mut refined = colours.to_vec();
        for (index, colour) in colours.iter().enumerate() {
            if colours.iter().filter(|other| *other == colour).count() == 1 {
                continue;
            }
            // The columns of this source stand out while everything around them is hashed.
            let mut marked = colours.to_vec();
            marked[index] = mix(marked[index], 0x5e1f);
            self.paint(&marked, inside, block);
            let mut uses = Vec::new();
            let touches = |this: &Self, e: ExprId| this.arena.columns_of(e).intersects(&atoms.cols[index]);
            for e in &block.filters {
                if touches(self, *e) {
                    uses.push(mix(1, self.expr(*e)));
                }
            }
            for class in &block.equal {
                if class.iter().any(|col| atoms.cols[index].contains(*col)) {
                    // Painted with the class colour: hash the members as they are inside their sources.
                    let mut members: Vec<u64> = Vec::with_capacity(class.len());
                    for member in class {
                        let owner = inside
                            .iter()
                            .enumerate()
                            .find_map(|(i, cols)| {
                                cols.iter()
                                    .find(|(col, _)| col == member)
                                    .map(|(_, own)| mix(marked[i], *own))
                            })
                            .unwrap_or_else(|| self.col(*member));
                        members.push(owner);
                    }
                    uses.push(unordered(members, 2));
                }
            }
            for (at, outer) in block.outers.iter().enumerate() {
                let own = at + block.sources.len() == index;
                for e in &outer.on {
                    if own || touches(self, *e) {
                        let place = marked[at + block.sources.len()];
                        uses.push(mix(mix(3, place), self.expr(*e)));
                    }
                }
            }
            for (role, e) in extra {
                if touches(self, *e) {
                    uses.push(mix(mix(4, *role), self.expr(*e)));
                }
            }
            refined[index] = unordered(uses, mix(*colour, 0x4ef1));
        }
        self.paint(colours, inside, block);
        refined
    }

    fn block_hash(&mut self, block: &Block, colours: &[u64], extra: &[(u64, ExprId)]) -> u64 {
        let (sources, outers) = colours.split_at(block.sources.len());
        let mut hash = unordered(sources.to_vec(), u64::from(block.empty) + 0xb10c);
        let filters = block.filters.iter().map(|e| self.expr(*e)).collect();
        hash = unordered(filters, hash);
        let classes =
            block.equal.iter().filter_map(|class| class.first()).map(|col| self.col(*col)).collect();
        hash = unordered(classes, hash);
        let joins = block
            .outers
            .iter()
            .zip(outers)
            .map(|(outer, colour)| {
                let on = outer.on.iter().map(|e| self.expr(*e)).collect();
                unordered(on, *colour)
            })
            .collect();
        hash = unordered(joins, hash);
        for (role, e) in extra {
            hash = mix(hash, mix(*role, self.expr(*e)));
        }
        hash
    }

    fn source(&mut self, source: &Source, extra: &[(u64, ExprId)]) -> u64 {
        match source {
            Source::Scan(scan) => {
                for (_, col) in &self.arena.scan(*scan).cols {
                    let name = self.arena.text(self.arena.col(*col).name);
                    self.set(*col, text_hash(name));
                }
                text_hash(self.arena.text(self.arena.table_of(*scan).written))
            }
            Source::Values(values) => {
                let rows: Vec<Vec<u64>> =
                    values.rows.iter().map(|row| row.iter().map(|e| self.expr(*e)).collect()).collect();
                for (position, col) in values.cols.iter().enumerate() {
                    let column = rows.iter().map(|row| row.get(position).copied().unwrap_or(0)).collect();
                    self.set(*col, unordered(column, 0xc1));
                }
                unordered(rows.into_iter().map(|row| unordered(row, 0xc2)).collect(), 0xc3)
            }
            Source::Aggregate(aggregate) => {
                let exprs = aggregate.keys.iter().chain(&aggregate.aggs);
                let inner: Vec<_> = exprs.map(|(_, e)| (u64::from(self.is_agg(*e)), *e)).collect();
                let mut hash = mix(self.block(&aggregate.input, &inner), u64::from(aggregate.scalar) + 0xa6);
                for (list, tag) in [(&aggregate.keys, 0xa7), (&aggregate.aggs, 0xa8)] {
                    let hashes: Vec<u64> = list.iter().map(|(_, e)| mix(tag, self.expr(*e))).collect();
                    for ((col, _), hash) in list.iter().zip(&hashes) {
                        self.set(*col, *hash);
                    }
                    hash = unordered(hashes, hash);
                }
                hash
            }
            Source::Window(window) => {
                let mut inner: Vec<_> = extra.to_vec();
                inner.extend(window.funcs.iter().map(|(_, e)| (8, *e)));
                let hash = mix(self.block(&window.input, &inner), 0xd1);
                let hashes: Vec<u64> = window.funcs.iter().map(|(_, e)| self.expr(*e)).collect();
                for ((col, _), hash) in window.funcs.iter().zip(&hashes) {
                    self.set(*col, *hash);
                }
                unordered(hashes, hash)
            }
            Source::Union(union) => {
                let mut hashes = Vec::new();
                let mut columns = vec![Vec::new(); union.cols.len()];
                for branch in &union.branches {
                    let (hash, outputs) = self.branch(branch);
                    for (column, output) in columns.iter_mut().zip(&outputs) {
                        column.push(mix(hash, *output));
                    }
                    hashes.push(unordered(outputs, hash));
                }
                for (col, column) in union.cols.iter().zip(columns) {
                    self.set(*col, unordered(column, 0xe1));
                }
                unordered(hashes, 0xe2)
            }
            Source::SetOp(op) => {
                let (left, left_outputs) = self.branch(&op.left);
                let (right, right_outputs) = self.branch(&op.right);
                for ((col, a), b) in op.cols.iter().zip(left_outputs).zip(right_outputs) {
                    self.set(*col, mix(a, b));
                }
                mix(mix(left, right), u64::from(op.except) + 0xe4)
            }
            Source::Full(full) => {
                let on: Vec<_> = full.on.iter().map(|e| (9, *e)).collect();
                let (left, right) = (self.block(&full.left, &on), self.block(&full.right, &on));
                for (block, marker, side) in
                    [(&full.left, full.left_marker, left), (&full.right, full.right_marker, right)]
                {
                    for col in self.arena.visible_set(block).iter() {
                        self.set(col, mix(side, self.col(col)));
                    }
                    self.set(marker, mix(side, 0x33));
                }
                let on = full.on.iter().map(|e| self.expr(*e)).collect();
                unordered(on, unordered(vec![left, right], 0xf1))
            }
            Source::Limit(limit) => {
                let mut inner: Vec<_> = extra.to_vec();
                inner.extend(limit.order.iter().map(|key| (10, key.expr)));
                let mut hash = mix(self.block(&limit.input, &inner), 0xf3);
                for key in &limit.order {
                    hash = mix(hash, self.key(*key));
                }
                for e in limit.limit.iter().chain(&limit.offset) {
                    hash = mix(hash, self.expr(*e));
                }
                mix(hash, limit.extra.map_or(0, |extra| text_hash(self.arena.text(extra))))
            }
            Source::Opaque(opaque) => {
                let mut hash = text_hash(self.arena.text(opaque.kind));
                for e in &opaque.args {
                    hash = mix(hash, self.expr(*e));
                }
                for input in &opaque.inputs {
                    let (block, outputs) = self.branch(input);
                    hash = outputs.into_iter().fold(mix(hash, block), mix);
                }
                for (position, col) in opaque.cols.iter().enumerate() {
                    self.set(*col, position as u64);
                }
                hash
            }
        }
    }

    fn is_agg(&self, expr: ExprId) -> bool {
        matches!(self.arena.node(expr), Node::Agg(_))
    }

    fn branch(&mut self, branch: &Branch) -> (u64, Vec<u64>) {
        let extra: Vec<_> = branch.outputs.iter().map(|e| (11, *e)).collect();
        let hash = self.block(&branch.block, &extra);
        (hash, branch.outputs.iter().map(|e| self.expr(*e)).collect())
    }

    fn key(&mut self, key: OrderKey) -> u64 {
        mix(self.expr(key.expr), u64::from(key.desc) * 2 + u64::from(key.nulls_first))
    }

    fn list(&mut self, list: &[ExprId], start: u64) -> u64 {
        list.iter().fold(start, |hash, e| mix(hash, self.expr(*e)))
    }

    fn set_of(&mut self, list: &[ExprId], start: u64) -> u64 {
        let hashes = list.iter().map(|e| self.expr(*e)).collect();
        unordered(hashes, start)
    }

    fn call(&mut self, call: &AggCall) -> u64 {
        let mut hash = mix(text_hash(self.arena.text(call.func)), u64::from(call.distinct));
        hash = self.list(&call.args, hash);
        if let Some(filter) = call.filter {
            hash = mix(hash, self.expr(filter));
        }
        call.order.iter().fold(hash, |hash, key| mix(hash, self.key(*key)))
    }

    fn sub(&mut self, sub: SubId) -> u64 {
        let arena = self.arena;
        let sub = arena.sub(sub);
        let extra: Vec<_> = sub.outputs.iter().map(|e| (12, *e)).collect();
        let hash = self.block(&sub.block, &extra);
        self.list(&sub.outputs, hash)
    }

    /// The colour of an expression under the present colours of columns.
    pub(super) fn expr(&mut self, expr: ExprId) -> u64 {
        let arena = self.arena;
        match arena.node(expr) {
            Node::Col(col) => self.col(*col),
            Node::Const(value) => match value {
                Const::Null => 0x10,
                Const::Bool(value) => 0x11 + u64::from(*value),
                Const::Int(value) => mix(0x13, *value as u64),
                Const::Decimal(digits, scale) => mix(mix(0x14, *digits as u64), u64::from(*scale)),
                Const::Text(text) => mix(0x15, text_hash(arena.text(*text))),
                Const::Typed(_, text) => mix(0x16, text_hash(arena.text(*text))),
                Const::Raw(text) => mix(0x17, text_hash(arena.text(*text))),
            },
            Node::And(list) => self.set_of(list, 0x20),
            Node::Or(list) => self.set_of(list, 0x21),
            Node::Not(e) => mix(0x22, self.expr(*e)),
            Node::Cmp(op, a, b) => {
                let start = 0x30 + *op as u64;
                match op {
                    super::super::algebra::CmpOp::Eq | super::super::algebra::CmpOp::Ne => {
                        self.set_of(&[*a, *b], start)
                    }
                    _ => self.list(&[*a, *b], start),
                }
            }
            Node::Same(a, b) => self.set_of(&[*a, *b], 0x38),
            Node::IsNull(e) => mix(0x39, self.expr(*e)),
            Node::IsTrue(e) => mix(0x3a, self.expr(*e)),
            Node::Case(arms, otherwise) => {
                let mut hash = 0x3b;
                for (condition, result) in arms {
                    hash = mix(mix(hash, self.expr(*condition)), self.expr(*result));
                }
                mix(hash, self.expr(*otherwise))
            }
            Node::Coalesce(list) => self.list(list, 0x3c),
            Node::Cast(e, _, written, attempt) => {
                mix(mix(self.expr(*e), text_hash(arena.text(*written))), u64::from(*attempt) + 0x3d)
            }
            Node::Call(name, args) => {
                let start = text_hash(arena.text(*name));
                if commutes(arena.text(*name)) { self.set_of(args, start) } else { self.list(args, start) }
            }
            Node::Guard(marker, e) => mix(mix(0x40, self.col(*marker)), self.expr(*e)),
            Node::Exists(sub) => mix(0x41, self.sub(*sub)),
            Node::In(left, sub) => {
                let hash = self.sub(*sub);
                self.list(left, mix(0x42, hash))
            }
            Node::Scalar(sub) => mix(0x43, self.sub(*sub)),
            Node::Agg(call) => mix(0x44, self.call(call)),
            Node::Window(window) => {
                let mut hash = mix(self.call(&window.call), u64::from(window.ignore_nulls) + 0x45);
                hash = self.set_of(&window.partition, hash);
                hash = window.order.iter().fold(hash, |hash, key| mix(hash, self.key(*key)));
                if let Some(frame) = window.frame {
                    hash = mix(hash, frame.units as u64);
                    for bound in [frame.start, frame.end] {
                        hash = match bound {
                            FrameBound::Start => mix(hash, 1),
                            FrameBound::Preceding(e) => mix(mix(hash, 2), self.expr(e)),
                            FrameBound::Current => mix(hash, 3),
                            FrameBound::Following(e) => mix(mix(hash, 4), self.expr(e)),
                            FrameBound::End => mix(hash, 5),
                        };
                    }
                }
                hash
            }
        }
    }
}

/// Operators and functions whose operands may come in any order.
pub(super) fn commutes(name: &str) -> bool {
    matches!(name, "+" | "*" | "greatest" | "least")
}

fn distinct(colours: &[u64]) -> usize {
    let mut sorted = colours.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len()
}

/// The members of the smallest colour that several share.
fn tie(colours: &[u64]) -> Option<Vec<usize>> {
    let mut sorted = colours.to_vec();
    sorted.sort_unstable();
    let shared = sorted.windows(2).find(|pair| pair[0] == pair[1])?[0];
    Some((0..colours.len()).filter(|index| colours[*index] == shared).collect())
}
