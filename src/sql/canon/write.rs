//! Writing a query out in canonical order.

use std::ops::Range;

use super::super::algebra::{
    AggCall, Arena, Block, Branch, CmpOp, Col, Const, ExprId, FrameBound, Node, OrderKey, Source, SubId, Sym,
};
use super::colour::{Colours, commutes};

/// Longest canonical form.
const MAX_BYTES: usize = 1 << 20;

/// Writes queries.
pub(super) struct Writer<'a> {
    arena: &'a Arena,
    colours: Colours<'a>,
    /// Number of the source of each column and what the column is inside it.
    labels: Vec<Option<Label>>,
    next: u32,
    failed: bool,
    written: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// A column of a table, by name.
    Named(u32, Sym),
    /// A column by position in canonical order.
    At(u32, u32),
}

impl<'a> Writer<'a> {
    pub(super) fn new(arena: &'a Arena, colours: Colours<'a>) -> Self {
        Self { arena, colours, labels: Vec::new(), next: 0, failed: false, written: 0 }
    }

    pub(super) fn query(
        mut self,
        block: &Block,
        outputs: &[ExprId],
        names: Option<&[Sym]>,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(1024);
        self.block(block, &mut out);
        for (position, e) in outputs.iter().enumerate() {
            out.push(b'|');
            if let Some(names) = names {
                self.sym(names[position], &mut out);
            }
            self.expr(*e, &mut out);
        }
        if block.empty {
            // No rows: only the columns count.
            out.clear();
            out.push(b'0');
            out.extend((outputs.len() as u32).to_le_bytes());
            for name in names.unwrap_or_default() {
                self.sym(*name, &mut out);
            }
            self.failed = false;
        }
        (!self.failed && !self.arena.overflow).then_some(out)
    }

    fn label(&mut self, col: Col, label: Label) {
        let at = col.0 as usize;
        if at >= self.labels.len() {
            self.labels.resize(at + 32, None);
        }
        self.labels[at] = Some(label);
    }

    fn sym(&self, sym: Sym, out: &mut Vec<u8>) {
        let text = self.arena.text(sym);
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn block(&mut self, block: &Block, out: &mut Vec<u8>) {
        let start = out.len();
        if block.empty {
            out.push(b'E');
        }
        let order = match self.colours.orders.get(&std::ptr::from_ref(block)) {
            Some(order) => order.clone(),
            None => {
                self.failed = true;
                return;
            }
        };
        out.push(b'[');
        for count in [block.sources.len(), block.outers.len(), block.equal.len()] {
            out.extend((count as u32).to_le_bytes());
        }
        for index in &order {
            match block.sources.get(*index) {
                Some(source) => self.source(source, out),
                None => {
                    let outer = &block.outers[*index - block.sources.len()];
                    let number = self.number();
                    self.label(outer.marker, Label::At(number, 0));
                    out.push(b'L');
                    self.block(&outer.right, out);
                }
            }
        }
        // The members of a class as themselves, then one label for all of them.
        let mut classes = Vec::with_capacity(block.equal.len());
        for class in &block.equal {
            let mut members = Vec::with_capacity(class.len());
            for col in class {
                match self.label_of(*col) {
                    Some(label) => {
                        let mut bytes = Vec::with_capacity(16);
                        self.write_label(label, &mut bytes);
                        members.push((bytes, label));
                    }
                    None => self.failed = true,
                }
            }
            members.sort();
            members.dedup();
            if let Some((_, first)) = members.first() {
                for col in class {
                    self.label(*col, *first);
                }
            }
            let mut bytes = vec![b'='];
            bytes.extend((members.len() as u32).to_le_bytes());
            members.iter().for_each(|(member, _)| bytes.extend(member));
            classes.push(bytes);
        }
        classes.sort();
        classes.iter().for_each(|class| out.extend(class));
        for index in order.iter().filter(|index| **index >= block.sources.len()) {
            out.push(b'O');
            self.set(&block.outers[*index - block.sources.len()].on, out);
        }
        out.push(b'F');
        self.set(&block.filters, out);
        out.push(b']');
        self.written += out.len() - start;
        if out.len() > MAX_BYTES || self.written > 64 * MAX_BYTES {
            self.failed = true;
        }
    }

    fn label_of(&self, col: Col) -> Option<Label> {
        self.labels.get(col.0 as usize).copied().flatten()
    }

    fn write_label(&self, label: Label, out: &mut Vec<u8>) {
        match label {
            Label::Named(source, name) => {
                out.push(b'n');
                out.extend(source.to_le_bytes());
                self.sym(name, out);
            }
            Label::At(source, position) => {
                out.push(b'a');
                out.extend(source.to_le_bytes());
                out.extend(position.to_le_bytes());
            }
        }
    }

    fn col(&mut self, col: Col, out: &mut Vec<u8>) {
        match self.label_of(col) {
            Some(label) => self.write_label(label, out),
            None => self.failed = true,
        }
    }

    /// Writes an inner block whose columns nobody outside sees: its numbers are free again afterwards.
    fn closed<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let next = self.next;
        let result = f(self);
        self.next = next;
        result
    }

    fn source(&mut self, source: &Source, out: &mut Vec<u8>) {
        match source {
            Source::Scan(scan) => {
                let number = self.number();
                out.push(b'T');
                self.sym(self.arena.table_of(*scan).written, out);
                for (_, col) in &self.arena.scan(*scan).cols {
                    self.label(*col, Label::Named(number, self.arena.col(*col).name));
                }
            }
            Source::Values(values) => {
                let columns = self.in_order(&values.cols);
                out.push(b'V');
                self.bag(&values.rows, out, |this, row, out| {
                    columns.iter().for_each(|position| this.expr(row[*position], out));
                });
                self.number_columns(&columns.iter().map(|at| values.cols[*at]).collect::<Vec<_>>());
            }
            Source::Aggregate(aggregate) => {
                out.push(if aggregate.scalar { b'S' } else { b'G' });
                let mut order = Vec::new();
                self.closed(|this| {
                    this.block(&aggregate.input, out);
                    for list in [&aggregate.keys, &aggregate.aggs] {
                        this.columns(list, &mut order, out);
                    }
                });
                self.number_columns(&order);
            }
            Source::Window(window) => {
                out.push(b'W');
                self.block(&window.input, out);
                let mut order = Vec::new();
                self.columns(&window.funcs, &mut order, out);
                self.number_columns(&order);
            }
            Source::Union(union) => {
                out.push(b'U');
                let columns = self.in_order(&union.cols);
                self.bag(&union.branches, out, |this, branch, out| this.branch(branch, &columns, out));
                self.number_columns(&columns.iter().map(|at| union.cols[*at]).collect::<Vec<_>>());
            }
            Source::SetOp(op) => {
                out.push(if op.except { b'X' } else { b'I' });
                let columns = self.in_order(&op.cols);
                let mut sides = Items::of(self, &[&op.left, &op.right], |this, side, out| {
                    this.branch(side, &columns, out);
                });
                if !op.except {
                    sides.sort();
                }
                sides.write(out);
                self.number_columns(&columns.iter().map(|at| op.cols[*at]).collect::<Vec<_>>());
            }
            Source::Full(full) => {
                out.push(b'J');
                let left = full.left_marker;
                let right = full.right_marker;
                let swap = self.colours.col(right) < self.colours.col(left);
                let mut sides = [(&full.left, left), (&full.right, right)];
                if swap {
                    sides.reverse();
                }
                for (block, marker) in sides {
                    let number = self.number();
                    self.label(marker, Label::At(number, 0));
                    self.block(block, out);
                }
                self.set(&full.on, out);
            }
            Source::Limit(limit) => {
                out.push(b'M');
                self.block(&limit.input, out);
                out.extend((limit.order.len() as u32).to_le_bytes());
                for key in &limit.order {
                    self.key(*key, out);
                }
                for (e, tag) in [(limit.limit, b'l'), (limit.offset, b'o')] {
                    out.push(tag);
                    if let Some(e) = e {
                        self.expr(e, out);
                    }
                }
                if let Some(extra) = limit.extra {
                    self.sym(extra, out);
                }
            }
            Source::Opaque(opaque) => {
                out.push(b'?');
                self.sym(opaque.kind, out);
                for e in &opaque.args {
                    self.expr(*e, out);
                }
                let all: Vec<Vec<usize>> =
                    opaque.inputs.iter().map(|input| (0..input.outputs.len()).collect()).collect();
                for (input, order) in opaque.inputs.iter().zip(&all) {
                    self.branch(input, order, out);
                }
                self.number_columns(&opaque.cols);
            }
        }
    }

    /// Positions of columns in the order of their colours.
    fn in_order(&self, cols: &[Col]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..cols.len()).collect();
        order.sort_by_key(|at| self.colours.col(cols[*at]));
        order
    }

    fn number_columns(&mut self, cols: &[Col]) {
        let number = self.number();
        for (position, col) in cols.iter().enumerate() {
            self.label(*col, Label::At(number, position as u32));
        }
    }

    fn branch(&mut self, branch: &Branch, columns: &[usize], out: &mut Vec<u8>) {
        self.closed(|this| {
            this.block(&branch.block, out);
            for position in columns {
                out.push(b',');
                this.expr(branch.outputs[*position], out);
            }
        });
    }

    /// Columns in the order of what they stand for.
    fn columns(&mut self, list: &[(Col, ExprId)], order: &mut Vec<Col>, out: &mut Vec<u8>) {
        let mut items = Items::of(self, list, |this, (_, e), out| this.expr(*e, out));
        items.parts.sort_by_key(|(at, part)| (&items.bytes[part.clone()], list[*at].0));
        items.write(out);
        order.extend(items.parts.iter().map(|(at, _)| list[*at].0));
    }

    /// A set of expressions: sorted, without repeats.
    fn set(&mut self, list: &[ExprId], out: &mut Vec<u8>) {
        let mut items = Items::of(self, list, |this, e, out| this.expr(*e, out));
        items.sort();
        let Items { bytes, parts } = &mut items;
        parts.dedup_by(|(_, a), (_, b)| bytes[a.clone()] == bytes[b.clone()]);
        items.write(out);
    }

    /// Items in any order, repeats kept.
    fn bag<T>(&mut self, list: &[T], out: &mut Vec<u8>, write: impl Fn(&mut Self, &T, &mut Vec<u8>)) {
        let mut items = Items::of(self, list, write);
        items.sort();
        items.write(out);
    }

    fn operands(&mut self, list: &[ExprId], out: &mut Vec<u8>) {
        self.bag(list, out, |this, e, out| this.expr(*e, out));
    }

    fn list(&mut self, list: &[ExprId], out: &mut Vec<u8>) {
        out.extend((list.len() as u32).to_le_bytes());
        for e in list {
            self.expr(*e, out);
        }
    }

    fn key(&mut self, key: OrderKey, out: &mut Vec<u8>) {
        out.push(b'0' + u8::from(key.desc) * 2 + u8::from(key.nulls_first));
        self.expr(key.expr, out);
    }

    fn call(&mut self, call: &AggCall, out: &mut Vec<u8>) {
        self.sym(call.func, out);
        out.push(u8::from(call.distinct));
        self.list(&call.args, out);
        out.push(u8::from(call.filter.is_some()));
        if let Some(filter) = call.filter {
            self.expr(filter, out);
        }
        out.extend((call.order.len() as u32).to_le_bytes());
        for key in &call.order {
            self.key(*key, out);
        }
    }

    fn sub(&mut self, sub: SubId, out: &mut Vec<u8>) {
        let arena = self.arena;
        let sub = arena.sub(sub);
        // Its colours depend on those of the columns around it, which are final only now.
        let extra: Vec<_> = sub.outputs.iter().map(|e| (12, *e)).collect();
        self.colours.block(&sub.block, &extra);
        self.closed(|this| {
            this.block(&sub.block, out);
            this.list(&sub.outputs, out);
        });
    }

    fn expr(&mut self, expr: ExprId, out: &mut Vec<u8>) {
        if self.failed || out.len() > MAX_BYTES {
            self.failed = true;
            return;
        }
        let arena = self.arena;
        match arena.node(expr) {
            Node::Col(col) => self.col(*col, out),
            Node::Const(value) => {
                out.push(b'c');
                match value {
                    Const::Null => out.push(0),
                    Const::Bool(value) => out.push(1 + u8::from(*value)),
                    Const::Int(value) => {
                        out.push(3);
                        out.extend(value.to_le_bytes());
                    }
                    Const::Decimal(digits, scale) => {
                        out.push(4);
                        out.extend(digits.to_le_bytes());
                        out.push(*scale);
                    }
                    Const::Text(text) => {
                        out.push(5);
                        self.sym(*text, out);
                    }
                    Const::Typed(data_type, text) => {
                        out.push(6);
                        out.extend(format!("{data_type:?}").into_bytes());
                        self.sym(*text, out);
                    }
                    Const::Raw(text) => {
                        out.push(7);
                        self.sym(*text, out);
                    }
                }
            }
            Node::And(list) => {
                out.push(b'&');
                self.set(list, out);
            }
            Node::Or(list) => {
                out.push(b'v');
                self.set(list, out);
            }
            Node::Not(e) => {
                out.push(b'!');
                self.expr(*e, out);
            }
            Node::Cmp(op, a, b) => match op {
                CmpOp::Eq | CmpOp::Ne => {
                    out.push(if *op == CmpOp::Eq { b'q' } else { b'Q' });
                    self.operands(&[*a, *b], out);
                }
                CmpOp::Lt | CmpOp::Le => {
                    out.push(if *op == CmpOp::Lt { b'<' } else { b'{' });
                    self.list(&[*a, *b], out);
                }
            },
            Node::Same(a, b) => {
                out.push(b's');
                self.operands(&[*a, *b], out);
            }
            Node::IsNull(e) => {
                out.push(b'N');
                self.expr(*e, out);
            }
            Node::IsTrue(e) => {
                out.push(b't');
                self.expr(*e, out);
            }
            Node::Case(arms, otherwise) => {
                out.push(b'C');
                out.extend((arms.len() as u32).to_le_bytes());
                for (condition, result) in arms {
                    self.expr(*condition, out);
                    self.expr(*result, out);
                }
                self.expr(*otherwise, out);
            }
            Node::Coalesce(list) => {
                out.push(b'K');
                self.list(list, out);
            }
            Node::Cast(e, _, written, attempt) => {
                out.push(if *attempt { b'Y' } else { b'y' });
                self.sym(*written, out);
                self.expr(*e, out);
            }
            Node::Call(name, args) => {
                out.push(b'f');
                self.sym(*name, out);
                if commutes(arena.text(*name)) { self.operands(args, out) } else { self.list(args, out) }
            }
            Node::Guard(marker, e) => {
                out.push(b'g');
                self.col(*marker, out);
                self.expr(*e, out);
            }
            Node::Exists(sub) => {
                out.push(b'x');
                self.sub(*sub, out);
            }
            Node::In(left, sub) => {
                out.push(b'i');
                self.list(left, out);
                self.sub(*sub, out);
            }
            Node::Scalar(sub) => {
                out.push(b'z');
                self.sub(*sub, out);
            }
            Node::Agg(call) => {
                out.push(b'A');
                self.call(call, out);
            }
            Node::Window(window) => {
                out.push(b'w');
                self.call(&window.call, out);
                out.push(u8::from(window.ignore_nulls));
                self.set(&window.partition, out);
                out.extend((window.order.len() as u32).to_le_bytes());
                for key in &window.order {
                    self.key(*key, out);
                }
                if let Some(frame) = window.frame {
                    out.push(frame.units as u8);
                    for bound in [frame.start, frame.end] {
                        match bound {
                            FrameBound::Start => out.push(1),
                            FrameBound::Preceding(e) => {
                                out.push(2);
                                self.expr(e, out);
                            }
                            FrameBound::Current => out.push(3),
                            FrameBound::Following(e) => {
                                out.push(4);
                                self.expr(e, out);
                            }
                            FrameBound::End => out.push(5),
                        }
                    }
                }
            }
        }
    }
}

/// Items of a list as they are written, before it is clear in which order.
struct Items {
    bytes: Vec<u8>,
    /// The place in the list, and the part of the bytes.
    parts: Vec<(usize, Range<usize>)>,
}

impl Items {
    fn of<'a, T>(
        writer: &mut Writer<'a>,
        list: &[T],
        write: impl Fn(&mut Writer<'a>, &T, &mut Vec<u8>),
    ) -> Self {
        let mut bytes = Vec::with_capacity(32 * list.len());
        let mut parts = Vec::with_capacity(list.len());
        for (at, item) in list.iter().enumerate() {
            let start = bytes.len();
            write(writer, item, &mut bytes);
            parts.push((at, start..bytes.len()));
        }
        Self { bytes, parts }
    }

    fn sort(&mut self) {
        self.parts.sort_by_key(|(_, part)| &self.bytes[part.clone()]);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.parts.len() as u32).to_le_bytes());
        for (_, part) in &self.parts {
            out.extend((part.len() as u32).to_le_bytes());
            out.extend(&self.bytes[part.clone()]);
        }
    }
}
