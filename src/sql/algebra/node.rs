//! Expression nodes.

use super::{Col, ExprId, SubId, Sym};
use crate::sql::types::Type;

/// A literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Const {
    /// NULL.
    Null,
    /// TRUE or FALSE.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A decimal: digits and scale, without trailing zeros removed (the scale is part of the type).
    Decimal(i128, u8),
    /// Text, byte for byte.
    Text(Sym),
    /// A literal of another type, as text in canonical form (`DATE '2024-01-31'`).
    Typed(Type, Sym),
    /// Anything else that is written as one token, compared as text.
    Raw(Sym),
}

/// A comparison; `>` and `>=` are written the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CmpOp {
    /// `=`, operands in any order.
    Eq,
    /// `<>`, operands in any order.
    Ne,
    /// `<`.
    Lt,
    /// `<=`.
    Le,
}

/// A sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey {
    /// What is sorted by.
    pub expr: ExprId,
    /// Descending.
    pub desc: bool,
    /// NULLs come first.
    pub nulls_first: bool,
}

/// A call of an aggregate function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AggCall {
    /// Name, folded. `count` without arguments counts rows.
    pub func: Sym,
    /// Arguments.
    pub args: Box<[ExprId]>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER: only rows where this is true.
    pub filter: Option<ExprId>,
    /// ORDER BY inside the call.
    pub order: Box<[OrderKey]>,
}

/// A bound of a window frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameBound {
    /// UNBOUNDED PRECEDING.
    Start,
    /// `n PRECEDING`.
    Preceding(ExprId),
    /// CURRENT ROW.
    Current,
    /// `n FOLLOWING`.
    Following(ExprId),
    /// UNBOUNDED FOLLOWING.
    End,
}

/// A window frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// `r` for ROWS, `g` for RANGE, `G` for GROUPS.
    pub units: char,
    /// First row.
    pub start: FrameBound,
    /// Last row.
    pub end: FrameBound,
}

/// A call of a window function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowCall {
    /// Name, arguments, DISTINCT, FILTER, ORDER BY inside the call.
    pub call: AggCall,
    /// IGNORE NULLS.
    pub ignore_nulls: bool,
    /// PARTITION BY: a set.
    pub partition: Box<[ExprId]>,
    /// ORDER BY.
    pub order: Box<[OrderKey]>,
    /// Frame; `None` where the function does not look at it.
    pub frame: Option<Frame>,
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    /// A column.
    Col(Col),
    /// A literal.
    Const(Const),
    /// Conjunction of at least two, sorted, without repeats.
    And(Box<[ExprId]>),
    /// Disjunction of at least two, sorted, without repeats.
    Or(Box<[ExprId]>),
    /// Negation.
    Not(ExprId),
    /// Comparison.
    Cmp(CmpOp, ExprId, ExprId),
    /// `IS NOT DISTINCT FROM`; operands in any order; never NULL.
    Same(ExprId, ExprId),
    /// `IS NULL`; never NULL.
    IsNull(ExprId),
    /// `IS TRUE`; never NULL.
    IsTrue(ExprId),
    /// Searched CASE with its ELSE.
    Case(Box<[(ExprId, ExprId)]>, ExprId),
    /// COALESCE of at least two.
    Coalesce(Box<[ExprId]>),
    /// Cast; `true` for TRY_CAST.
    Cast(ExprId, Type, Sym, bool),
    /// Arithmetic or a scalar function by its folded name.
    Call(Sym, Box<[ExprId]>),
    /// The expression where the marker is TRUE, otherwise NULL.
    Guard(Col, ExprId),
    /// EXISTS; never NULL.
    Exists(SubId),
    /// `(a, b) IN (subquery)`.
    In(Box<[ExprId]>, SubId),
    /// A scalar subquery.
    Scalar(SubId),
    /// An aggregate; only in the list of an aggregate source.
    Agg(AggCall),
    /// A window function; only in the list of a window source.
    Window(WindowCall),
}
