//! The store of expressions, columns, tables and names of one query.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use indexmap::IndexSet;

use super::node::{Const, Node};
use super::{Col, ColSet, ExprId, ScanId, Sub, SubId, Sym, TableId};
use crate::sql::Dialect;
use crate::sql::facts::TableFacts;
use crate::sql::functions;
use crate::sql::types::Type;

/// Expressions nested deeper than this are not compared.
pub const MAX_DEPTH: u16 = 160;
/// Replacements nested deeper than this are in a circle: never expected, and nothing is concluded from it.
pub const MAX_REPLACEMENTS: usize = 2 * MAX_DEPTH as usize;
/// More expressions than this are not compared.
pub const MAX_NODES: usize = 60_000;

/// A fast hasher for short keys; the tables it serves are never iterated.
#[derive(Default)]
pub struct FastHasher(u64);

impl Hasher for FastHasher {
    fn finish(&self) -> u64 {
        // The tables look at the lowest bits, and multiplication mixes the highest best.
        self.0.rotate_left(26)
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// A map of short keys, never iterated.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;
type FastSet<T> = IndexSet<T, BuildHasherDefault<FastHasher>>;

/// What is known about a column.
#[derive(Debug, Clone, Copy)]
pub struct ColInfo {
    /// Its type.
    pub data_type: Type,
    /// Whether it may be NULL where it is made (outer joins above may add NULLs).
    pub nullable: bool,
    /// The fact that it is not NULL rests on, if on a declared one.
    pub fact: Option<usize>,
    /// It counts rows: a small natural number.
    pub count: bool,
    /// The read of a table and the position of the column in it.
    pub scan: Option<(ScanId, u32)>,
    /// A name for people.
    pub name: Sym,
}

/// A table of the schema, as far as the query needs it.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Folded name, as the schema has it.
    pub name: Sym,
    /// Folded name, as the query has it where that says more: tables are the same where these are.
    pub written: Sym,
    /// Folded names and types of the columns, in order.
    pub columns: Vec<(Sym, Type)>,
    /// The columns are not known: any name is taken to exist.
    pub open: bool,
    /// Declared facts that may be used.
    pub facts: TableFacts,
    /// No table of the schema: rows that an operator without rules makes, named by what it is made of.
    pub made: bool,
}

/// One read of a table: the columns that are used so far.
#[derive(Debug, Clone)]
pub struct ScanInfo {
    /// The table.
    pub table: TableId,
    /// Position in the table and column.
    pub cols: Vec<(u32, Col)>,
}

/// The store.
#[derive(Debug)]
pub struct Arena {
    /// Dialect of the query.
    pub dialect: Dialect,
    /// By id.
    nodes: FastSet<Node>,
    depths: Vec<u16>,
    /// By number.
    syms: FastSet<Box<str>>,
    /// Tables by id.
    pub tables: Vec<TableInfo>,
    scans: Vec<ScanInfo>,
    cols: Vec<ColInfo>,
    subs: Vec<Sub>,
    /// A call of a function that gives another value each time was met.
    pub volatile: bool,
    /// Too deep or too large: nothing is concluded from what is in here.
    pub overflow: bool,
    /// Columns that a filter below keeps free of NULL, as seen from above that filter.
    pub derived: ColSet,
    /// Columns from outside the subquery at hand that an outer join there may have set to NULL.
    pub outside: ColSet,
    /// Declared facts that a rule made use of, by index.
    pub used_facts: std::collections::BTreeSet<usize>,
    /// What the inputs of made tables leave open (ties).
    pub open_choices: std::collections::BTreeSet<String>,
}

impl Arena {
    /// An empty store.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            nodes: FastSet::with_capacity_and_hasher(256, BuildHasherDefault::default()),
            depths: Vec::with_capacity(256),
            syms: FastSet::with_capacity_and_hasher(64, BuildHasherDefault::default()),
            tables: Vec::new(),
            scans: Vec::new(),
            cols: Vec::with_capacity(64),
            subs: Vec::new(),
            volatile: false,
            overflow: false,
            derived: ColSet::default(),
            outside: ColSet::default(),
            used_facts: std::collections::BTreeSet::new(),
            open_choices: std::collections::BTreeSet::new(),
        }
    }

    /// Interns a text.
    pub fn sym(&mut self, text: &str) -> Sym {
        let number = match self.syms.get_index_of(text) {
            Some(number) => number,
            None => self.syms.insert_full(text.into()).0,
        };
        Sym(number as u32)
    }

    /// The text of a symbol.
    pub fn text(&self, sym: Sym) -> &str {
        self.syms.get_index(sym.0 as usize).map_or("", |text| text)
    }

    /// Whether the symbol is this text.
    pub fn is(&self, sym: Sym, text: &str) -> bool {
        self.text(sym) == text
    }

    /// The node of an expression.
    pub fn node(&self, expr: ExprId) -> &Node {
        &self.nodes[expr.0 as usize]
    }

    /// Stores a node as it is; [`super::build`] has the constructors that bring it into normal form first.
    pub(super) fn intern(&mut self, node: Node) -> ExprId {
        let (index, fresh) = self.nodes.insert_full(node);
        let id = ExprId(index as u32);
        if !fresh {
            return id;
        }
        let mut depth = 0;
        super::map::children(&self.nodes[index], &mut |child| {
            depth = depth.max(self.depths[child.0 as usize]);
        });
        if depth >= MAX_DEPTH || index >= MAX_NODES {
            self.overflow = true;
            if let Some(null) = self.existing(&Node::Const(Const::Null)).filter(|null| *null != id) {
                self.nodes.pop();
                return null;
            }
        }
        self.depths.push(depth + 1);
        id
    }

    /// The expression with this node, if there is one.
    pub fn existing(&self, node: &Node) -> Option<ExprId> {
        self.nodes.get_index_of(node).map(|index| ExprId(index as u32))
    }

    /// Number of expressions so far: a measure of the work done.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Makes a column.
    pub fn new_col(&mut self, name: Sym, data_type: Type, nullable: bool) -> Col {
        self.cols.push(ColInfo { data_type, nullable, fact: None, count: false, scan: None, name });
        Col(self.cols.len() as u32 - 1)
    }

    /// What is known about a column.
    pub fn col(&self, col: Col) -> &ColInfo {
        &self.cols[col.0 as usize]
    }

    /// To change what is known about a column.
    pub fn col_mut(&mut self, col: Col) -> &mut ColInfo {
        &mut self.cols[col.0 as usize]
    }

    /// Starts a read of a table.
    pub fn new_scan(&mut self, table: TableId) -> ScanId {
        self.scans.push(ScanInfo { table, cols: Vec::new() });
        ScanId(self.scans.len() as u32 - 1)
    }

    /// A read of a table.
    pub fn scan(&self, scan: ScanId) -> &ScanInfo {
        &self.scans[scan.0 as usize]
    }

    /// Number of reads so far.
    pub fn scan_count(&self) -> usize {
        self.scans.len()
    }

    /// The table of a read.
    pub fn table_of(&self, scan: ScanId) -> &TableInfo {
        &self.tables[self.scan(scan).table.0 as usize]
    }

    /// The column at this position of the table that the scan reads.
    pub fn scan_col(&mut self, scan: ScanId, position: u32) -> Col {
        let info = &self.scans[scan.0 as usize];
        if let Some((_, col)) = info.cols.iter().find(|(at, _)| *at == position) {
            return *col;
        }
        let table = &self.tables[info.table.0 as usize];
        let (name, data_type) =
            table.columns.get(position as usize).copied().unwrap_or((table.name, Type::Unknown));
        let fact = table.facts.not_null(position);
        let col = self.new_col(name, data_type, fact.is_none());
        let info = self.col_mut(col);
        info.scan = Some((scan, position));
        info.fact = fact;
        self.scans[scan.0 as usize].cols.push((position, col));
        col
    }

    /// Stores a subquery.
    pub fn new_sub(&mut self, sub: Sub) -> SubId {
        self.subs.push(sub);
        SubId(self.subs.len() as u32 - 1)
    }

    /// The subquery with this number, if there is one.
    pub fn try_sub(&self, number: u32) -> Option<&Sub> {
        self.subs.get(number as usize)
    }

    /// A subquery.
    pub fn sub(&self, sub: SubId) -> &Sub {
        &self.subs[sub.0 as usize]
    }

    /// Notes that a declared fact was made use of.
    pub fn use_fact(&mut self, fact: Option<usize>) {
        if let Some(fact) = fact {
            self.used_facts.insert(fact);
        }
    }

    /// The type of an expression.
    pub fn type_of(&self, expr: ExprId) -> Type {
        match self.node(expr) {
            Node::Col(col) => self.col(*col).data_type,
            Node::Const(constant) => match constant {
                Const::Null | Const::Raw(_) => Type::Unknown,
                Const::Bool(_) => Type::Bool,
                Const::Int(value) if i32::try_from(*value).is_ok() => Type::Int(32),
                Const::Int(value) if i64::try_from(*value).is_ok() => Type::Int(64),
                Const::Int(_) => Type::Int(128),
                Const::Decimal(..) if self.dialect == Dialect::BigQuery => Type::Float(64),
                Const::Decimal(digits, scale) => {
                    let length = digits.unsigned_abs().checked_ilog10().map_or(1, |n| n + 1) as u8;
                    Type::Decimal(length.max(*scale), *scale)
                }
                Const::Text(_) => Type::Text,
                Const::Typed(data_type, _) => *data_type,
            },
            Node::And(_)
            | Node::Or(_)
            | Node::Not(_)
            | Node::Cmp(..)
            | Node::Same(..)
            | Node::IsNull(_)
            | Node::IsTrue(_)
            | Node::Exists(_)
            | Node::In(..) => Type::Bool,
            Node::Case(arms, otherwise) => {
                self.common_type(arms.iter().map(|(_, result)| *result).chain([*otherwise]))
            }
            Node::Coalesce(list) => self.common_type(list.iter().copied()),
            Node::Cast(_, data_type, _, _) => *data_type,
            Node::Call(name, args) => functions::result_type(self, *name, args),
            Node::Guard(_, inner) => self.type_of(*inner),
            Node::Scalar(sub) => {
                self.sub(*sub).outputs.first().map_or(Type::Unknown, |output| self.type_of(*output))
            }
            Node::Agg(call) => functions::aggregate_type(self, call),
            Node::Window(call) => functions::aggregate_type(self, &call.call),
        }
    }

    /// Whether the expression holds a subquery anywhere.
    pub fn has_sub(&self, expr: ExprId) -> bool {
        match self.node(expr) {
            Node::Exists(_) | Node::Scalar(_) | Node::In(..) => true,
            node => {
                let mut found = false;
                super::map::children(node, &mut |child| found = found || self.has_sub(child));
                found
            }
        }
    }

    /// Whether one expression is part of another, subqueries aside.
    pub fn occurs(&self, part: ExprId, expr: ExprId) -> bool {
        let mut found = part == expr;
        super::map::children(self.node(expr), &mut |child| found = found || self.occurs(part, child));
        found
    }

    /// The type that all expressions share (integers: the widest); NULLs have no say.
    pub fn common_type(&self, list: impl Iterator<Item = ExprId>) -> Type {
        let mut found: Option<Type> = None;
        for expr in list.filter(|expr| !self.is_null_const(*expr)) {
            found = Some(match (found, self.type_of(expr)) {
                (None, next) => next,
                (Some(Type::Int(a)), Type::Int(b)) => Type::Int(a.max(b)),
                (Some(same), next) if same == next => same,
                _ => Type::Unknown,
            });
        }
        found.unwrap_or(Type::Unknown)
    }

    /// Whether a value of this type stays what it is when an expression beside it no longer has a say in the type of both:
    /// `coalesce(1, 0.5)` is `1.0`, which is not `1` where it becomes a text or is divided.
    pub fn keeps_type(&self, kept: Type, dropped: ExprId) -> bool {
        if self.is_null_const(dropped) {
            return true;
        }
        match (kept, self.type_of(dropped)) {
            // Columns of which nothing is known are of one type; what is computed may be of another.
            (Type::Unknown, Type::Unknown) => matches!(self.node(dropped), Node::Col(_)),
            // Only how wide it is.
            (Type::Unknown | Type::Int(_) | Type::Decimal(..), Type::Int(_)) => true,
            (Type::Decimal(_, kept), Type::Decimal(_, dropped)) => dropped <= kept,
            (Type::Float(64), dropped) if dropped.is_exact() => true,
            (Type::Float(64), Type::Float(_)) | (Type::Timestamp, Type::Date) => true,
            // A literal takes the type of what stands beside it.
            (_, Type::Text) if self.as_const(dropped).is_some() => true,
            (kept, dropped) => kept == dropped,
        }
    }

    /// Whether the expression may be NULL, where `extended` are the columns that outer joins may have set to NULL.
    /// Facts that the answer "no" rests on are noted.
    pub fn nullable(&mut self, expr: ExprId, extended: &ColSet) -> bool {
        let mut facts = Vec::new();
        let nullable = self.may_be_null(expr, extended, &mut facts);
        if !nullable {
            self.used_facts.extend(facts);
        }
        nullable
    }

    fn may_be_null(&self, expr: ExprId, extended: &ColSet, facts: &mut Vec<usize>) -> bool {
        match self.node(expr) {
            Node::Col(col) => {
                let info = self.col(*col);
                if extended.contains(*col) || self.outside.contains(*col) {
                    return true;
                }
                if self.derived.contains(*col) {
                    return false;
                }
                facts.extend(info.fact);
                info.nullable
            }
            Node::Const(constant) => matches!(constant, Const::Null | Const::Raw(_)),
            Node::Same(..) | Node::IsNull(_) | Node::IsTrue(_) | Node::Exists(_) => false,
            Node::And(list) | Node::Or(list) => {
                !self.two_valued(expr) && list.iter().any(|e| self.may_be_null(*e, extended, facts))
            }
            Node::Not(inner) => self.may_be_null(*inner, extended, facts),
            Node::Cmp(_, a, b) => {
                self.may_be_null(*a, extended, facts) || self.may_be_null(*b, extended, facts)
            }
            Node::Case(arms, otherwise) => {
                self.may_be_null(*otherwise, extended, facts)
                    || arms.iter().any(|(_, result)| self.may_be_null(*result, extended, facts))
            }
            Node::Coalesce(list) => list.iter().all(|e| self.may_be_null(*e, extended, facts)),
            Node::Cast(inner, to, _, false) => {
                !self.cast_keeps_null(*inner, *to) || self.may_be_null(*inner, extended, facts)
            }
            Node::Call(name, args) => {
                !functions::total(self.text(*name))
                    || args.iter().any(|e| self.may_be_null(*e, extended, facts))
            }
            Node::Guard(marker, inner) => {
                extended.contains(*marker)
                    || self.outside.contains(*marker)
                    || self.may_be_null(*inner, extended, facts)
            }
            Node::Agg(call) => !self.is(call.func, "count"),
            Node::Window(call) => !functions::numbering(self.text(call.call.func)),
            Node::Cast(..) | Node::In(..) | Node::Scalar(_) => true,
        }
    }

    /// Whether the expression is NULL whenever all of `cols` are NULL.
    pub fn null_when(&self, expr: ExprId, cols: &ColSet) -> bool {
        match self.node(expr) {
            Node::Col(col) => cols.contains(*col),
            Node::Const(constant) => matches!(constant, Const::Null),
            Node::Not(inner) | Node::Cast(inner, ..) => self.null_when(*inner, cols),
            Node::Cmp(_, a, b) => self.null_when(*a, cols) || self.null_when(*b, cols),
            Node::And(list) | Node::Or(list) => list.iter().all(|e| self.null_when(*e, cols)),
            Node::Coalesce(list) => list.iter().all(|e| self.null_when(*e, cols)),
            Node::Case(arms, otherwise) => {
                // Arms whose condition cannot be true then do not matter.
                self.null_when(*otherwise, cols)
                    && arms.iter().all(|(condition, result)| {
                        self.never_true_when(*condition, cols) || self.null_when(*result, cols)
                    })
            }
            Node::Call(name, args) => {
                functions::strict(self.text(*name)) && args.iter().any(|e| self.null_when(*e, cols))
            }
            Node::Guard(marker, inner) => cols.contains(*marker) || self.null_when(*inner, cols),
            Node::Same(..)
            | Node::IsNull(_)
            | Node::IsTrue(_)
            | Node::Exists(_)
            | Node::In(..)
            | Node::Scalar(_)
            | Node::Agg(_)
            | Node::Window(_) => false,
        }
    }

    /// Whether the condition is not true whenever all of `cols` are NULL.
    pub fn never_true_when(&self, expr: ExprId, cols: &ColSet) -> bool {
        match self.node(expr) {
            Node::Const(constant) => matches!(constant, Const::Null | Const::Bool(false)),
            Node::And(list) => list.iter().any(|e| self.never_true_when(*e, cols)),
            Node::Or(list) => list.iter().all(|e| self.never_true_when(*e, cols)),
            Node::IsTrue(inner) => self.never_true_when(*inner, cols),
            Node::Not(inner) => match self.node(*inner) {
                Node::IsNull(tested) => self.null_when(*tested, cols),
                _ => self.null_when(*inner, cols),
            },
            _ => self.null_when(expr, cols),
        }
    }
}
