//! Typed relational algebra: bags of rows, three-valued logic, columns by identity instead of name.
//!
//! A query is a [`Block`] (what rows there are) and a list of output expressions over the block's columns. A block is
//! `filter(outer joins(cross product of sources))`: derived tables and CTEs that only select, filter and join have no
//! node of their own, they dissolve into the block that reads them. Expressions live in an [`Arena`], each stored once,
//! so that equal expressions have equal ids; its constructors ([`build`]) already bring them into scalar normal form.

pub mod arena;
pub mod build;
mod build_calls;
mod build_case;
mod build_nulls;
mod build_text;
pub mod columns;
mod compare_build;
mod foreign;
pub mod map;
pub mod node;
pub mod print;

pub use arena::{Arena, ScanInfo, TableInfo};
pub use columns::ColSet;
pub use node::{AggCall, CmpOp, Const, Frame, FrameBound, Node, OrderKey, WindowCall};
pub use print::to_sql;

/// A column, unique in the whole query: two reads of one table have different columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Col(pub u32);

/// An expression in the arena; equal ids mean equal expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExprId(pub u32);

/// A subquery inside an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubId(pub u32);

/// One read of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScanId(pub u32);

/// An interned name or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sym(pub u32);

/// A table of the catalog of this query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// A whole query: rows and named outputs.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// The rows.
    pub block: Block,
    /// Output columns in order: folded name and expression.
    pub outputs: Vec<(Sym, ExprId)>,
}

/// Rows: the cross product of `sources`, then `outers` in order, then `filters`.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Sources, inner joined without condition (conditions are filters). No source means one row without columns.
    pub sources: Vec<Source>,
    /// Left outer joins onto the product of the sources; each reads the columns of the sources and of those before it.
    pub outers: Vec<Outer>,
    /// Conjuncts; a row stays when each is true.
    pub filters: Vec<ExprId>,
    /// Columns that are equal (and not NULL) on every row, taken out of the filters: elsewhere the first member of a
    /// class stands for all of them.
    pub equal: Vec<Vec<Col>>,
    /// There are no rows at all, whatever the tables hold.
    pub empty: bool,
}

/// A left outer join: for each row the matching rows of `right`, or one row of NULLs.
#[derive(Debug, Clone)]
pub struct Outer {
    /// The nullable side.
    pub right: Block,
    /// Conjuncts of the join condition.
    pub on: Vec<ExprId>,
    /// A column that is TRUE on matched rows and NULL on the others.
    pub marker: Col,
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A table.
    Scan(ScanId),
    /// Literal rows.
    Values(Box<Values>),
    /// Grouping.
    Aggregate(Box<Aggregate>),
    /// Window functions over a block; the columns of the block stay visible.
    Window(Box<Window>),
    /// UNION ALL.
    Union(Box<Union>),
    /// INTERSECT ALL or EXCEPT ALL.
    SetOp(Box<SetOp>),
    /// FULL OUTER JOIN; the columns of both sides stay visible.
    Full(Box<Full>),
    /// LIMIT and OFFSET, with the order that gives them meaning; the columns of the block stay visible.
    Limit(Box<Limit>),
    /// Something that no rule understands: compared by structure only.
    Opaque(Box<Opaque>),
}

/// Literal rows.
#[derive(Debug, Clone)]
pub struct Values {
    /// Columns.
    pub cols: Vec<Col>,
    /// Rows, each as long as `cols`.
    pub rows: Vec<Vec<ExprId>>,
}

/// Grouping. DISTINCT is grouping by every output without aggregates.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// The grouped rows.
    pub input: Block,
    /// Keys: output column and expression over the input.
    pub keys: Vec<(Col, ExprId)>,
    /// Aggregates: output column and a [`Node::Agg`] over the input.
    pub aggs: Vec<(Col, ExprId)>,
    /// Without GROUP BY: exactly one row, also over no rows. Otherwise one row a group (with no keys: one row unless
    /// the input is empty).
    pub scalar: bool,
}

/// Window functions.
#[derive(Debug, Clone)]
pub struct Window {
    /// The rows.
    pub input: Block,
    /// Output column and a [`Node::Window`] over the input.
    pub funcs: Vec<(Col, ExprId)>,
}

/// A block with outputs by position.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The rows.
    pub block: Block,
    /// Outputs, in the order of the columns of the set operation.
    pub outputs: Vec<ExprId>,
}

/// UNION ALL of its branches.
#[derive(Debug, Clone)]
pub struct Union {
    /// Columns.
    pub cols: Vec<Col>,
    /// Branches.
    pub branches: Vec<Branch>,
}

/// INTERSECT ALL or EXCEPT ALL.
#[derive(Debug, Clone)]
pub struct SetOp {
    /// EXCEPT, otherwise INTERSECT.
    pub except: bool,
    /// Columns.
    pub cols: Vec<Col>,
    /// Left operand.
    pub left: Branch,
    /// Right operand.
    pub right: Branch,
}

/// FULL OUTER JOIN.
#[derive(Debug, Clone)]
pub struct Full {
    /// One side.
    pub left: Block,
    /// TRUE on rows that have a left side, NULL otherwise.
    pub left_marker: Col,
    /// The other side.
    pub right: Block,
    /// TRUE on rows that have a right side, NULL otherwise.
    pub right_marker: Col,
    /// Conjuncts of the join condition.
    pub on: Vec<ExprId>,
}

/// LIMIT and OFFSET.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The rows.
    pub input: Block,
    /// Sort keys, most significant first.
    pub order: Vec<OrderKey>,
    /// Number of rows; `None` for all.
    pub limit: Option<ExprId>,
    /// Rows to skip.
    pub offset: Option<ExprId>,
    /// Everything else that was written (`WITH TIES`, `PERCENT`), as text.
    pub extra: Option<Sym>,
}

/// Something that no rule understands.
#[derive(Debug, Clone)]
pub struct Opaque {
    /// What it is, as text.
    pub kind: Sym,
    /// Its columns, in order.
    pub cols: Vec<Col>,
    /// Its arguments.
    pub args: Vec<ExprId>,
    /// Its inputs.
    pub inputs: Vec<Branch>,
}

/// A subquery inside an expression.
#[derive(Debug, Clone)]
pub struct Sub {
    /// The rows; may refer to columns of enclosing blocks.
    pub block: Block,
    /// Outputs.
    pub outputs: Vec<ExprId>,
}
