//! ASOF JOIN: to each row of the left side the one row of the right side that an inequality puts nearest.

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint, Value,
};

use super::super::Dialect;
use super::super::algebra::{Block, CmpOp, ExprId, OrderKey};
use super::from::Kind;
use super::query::limited;
use super::{BindFault, Lowerer, Result};

/// How an ASOF JOIN is written.
struct Written<'a> {
    /// Rows without a match stay.
    outer: bool,
    /// Conjuncts: one inequality, and equalities.
    conjuncts: Vec<&'a Expr>,
    /// Columns of USING.
    using: Vec<String>,
    /// The last column of USING is the inequality, `left >= right`.
    last_is_nearest: bool,
}

impl<'a> Lowerer<'a> {
    // rule: asof
    /// The first row of the right side, in the order of the inequality, among those that meet the conditions.
    pub(super) fn asof(
        &mut self,
        left: Block,
        mut right: Block,
        (condition, constraint): (&'a Expr, &'a JoinConstraint),
        first: usize,
        middle: usize,
    ) -> Result<Block> {
        let unsupported = || BindFault::unsupported("this ASOF JOIN");
        let written = self.asof_written(condition, constraint)?.ok_or_else(unsupported)?;
        let mut pairs: Vec<(CmpOp, ExprId, ExprId)> = Vec::new();
        for conjunct in written.conjuncts {
            let Expr::BinaryOp { left, op, right } = bare(conjunct) else { return Err(unsupported()) };
            let (left, right) = (self.expr(left)?, self.expr(right)?);
            pairs.push(match op {
                BinaryOperator::Eq => (CmpOp::Eq, left, right),
                BinaryOperator::Lt => (CmpOp::Lt, left, right),
                BinaryOperator::LtEq => (CmpOp::Le, left, right),
                BinaryOperator::Gt => (CmpOp::Lt, right, left),
                BinaryOperator::GtEq => (CmpOp::Le, right, left),
                _ => return Err(unsupported()),
            });
        }
        let last = self.entries().len();
        for (index, name) in written.using.iter().enumerate() {
            let (_, on_left) = self.using_side(name, first, middle)?;
            let (_, on_right) = self.using_side(name, middle, last)?;
            let nearest = written.last_is_nearest && index + 1 == written.using.len();
            pairs.push((if nearest { CmpOp::Le } else { CmpOp::Eq }, on_right, on_left));
        }
        // Each condition compares something of the one side with something of the other; where one speaks of a single side, systems
        // differ in whether it is tried before the nearest row is taken or after.
        let columns = self.arena.visible_set(&right);
        let mut order = None;
        for (op, a, b) in pairs {
            let side = |expr: ExprId| {
                let read = self.arena.columns_of(expr);
                let inside = read.iter().filter(|col| columns.contains(*col)).count();
                (read.iter().count() > 0 && !self.arena.has_sub(expr))
                    .then_some(inside)
                    .filter(|inside| *inside == 0 || *inside == read.iter().count())
            };
            let (key, desc) = match (side(a), side(b)) {
                (Some(0), Some(n)) if n > 0 => (b, false),
                (Some(n), Some(0)) if n > 0 => (a, true),
                _ => return Err(unsupported()),
            };
            if op != CmpOp::Eq && order.replace(OrderKey { expr: key, desc, nulls_first: false }).is_some() {
                return Err(unsupported());
            }
            let filter = self.arena.cmp(op, a, b);
            right.filters.push(filter);
        }
        let order = order.ok_or_else(unsupported)?;
        // Of several nearest rows any may be taken, and not the one that LIMIT takes: a cut of its own.
        let (one, cut) = (self.arena.int(1), self.arena.sym("nearest"));
        let nearest = limited(right, vec![order], Some(one), None, Some(cut));
        let kind = if written.outer { Kind::Left } else { Kind::Inner };
        let block = self.combine(kind, left, nearest, Vec::new(), first, middle);
        self.merge_names(&written.using, kind, first, middle)?;
        Ok(block)
    }

    /// Reads the two ways to write it: Snowflake's, which keeps all rows of the left side, and DuckDB's, in the form that it is
    /// parsed in.
    fn asof_written(
        &mut self,
        condition: &'a Expr,
        constraint: &'a JoinConstraint,
    ) -> Result<Option<Written<'a>>> {
        if self.dialect == Dialect::Snowflake {
            let mut conjuncts = vec![condition];
            let mut using = Vec::new();
            match constraint {
                JoinConstraint::On(on) => flatten(on, &mut conjuncts),
                JoinConstraint::Using(names) => {
                    using = names.iter().map(|name| self.last_part(name)).collect::<Result<Vec<_>>>()?;
                }
                JoinConstraint::None => {}
                JoinConstraint::Natural => return Ok(None),
            }
            return Ok(Some(Written { outer: true, conjuncts, using, last_is_nearest: false }));
        }
        let Expr::BinaryOp { left, op: BinaryOperator::Gt, right } = condition else { return Ok(None) };
        let (Expr::Function(function), Expr::Value(zero)) = (left.as_ref(), right.as_ref()) else {
            return Ok(None);
        };
        let (true, FunctionArguments::List(list), JoinConstraint::None) =
            (matches!(&zero.value, Value::Number(n, _) if n == "0"), &function.args, constraint)
        else {
            return Ok(None);
        };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else {
            return Ok(None);
        };
        let name = function.name.to_string();
        let (kind, by_name) = match name.strip_suffix("_using") {
            Some(kind) => (kind, true),
            None => (name.as_str(), false),
        };
        let outer = match kind {
            "asof" | "asof_inner" => false,
            "asof_left" | "asof_left_outer" => true,
            _ => return Ok(None),
        };
        if !by_name {
            let mut conjuncts = Vec::new();
            flatten(argument, &mut conjuncts);
            return Ok(Some(Written { outer, conjuncts, using: Vec::new(), last_is_nearest: false }));
        }
        let names: Vec<&Expr> = match argument {
            Expr::Tuple(names) => names.iter().collect(),
            one => vec![bare(one)],
        };
        let mut using = Vec::with_capacity(names.len());
        for name in names {
            let Expr::Identifier(name) = name else { return Ok(None) };
            using.push(self.fold(name));
        }
        Ok(Some(Written { outer, conjuncts: Vec::new(), using, last_is_nearest: true }))
    }
}

/// Without the brackets around it.
fn bare(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn flatten<'a>(expr: &'a Expr, into: &mut Vec<&'a Expr>) {
    match bare(expr) {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            flatten(left, into);
            flatten(right, into);
        }
        other => into.push(other),
    }
}
