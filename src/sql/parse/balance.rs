//! Long chains of AND and OR as balanced trees.
//!
//! The parser builds `a AND b AND c ...` as a tree that is as deep as the chain is long. Both operators are associative, in
//! three-valued logic too, so the same leaves in the same order make an equal condition of logarithmic depth.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Query, Value, VisitMut, VisitorMut};

/// Chains up to this length stay as they are.
pub(super) const SHORT: usize = 16;

/// Balances every long chain of a query.
pub(super) fn balance(query: &mut Query) {
    struct Balance;
    impl VisitorMut for Balance {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = expr {
                let op = op.clone();
                if chain_length(expr, &op) > SHORT {
                    let leaves = take_leaves(expr, &op);
                    *expr = build(leaves, &op);
                }
            }
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Balance);
}

fn chain_length(mut expr: &Expr, chain: &BinaryOperator) -> usize {
    let mut length = 1;
    while let Expr::BinaryOp { left, op, .. } = expr {
        if op != chain {
            break;
        }
        length += 1;
        expr = left;
    }
    length
}

fn placeholder() -> Expr {
    Expr::Value(Value::Null.into())
}

/// Takes the chain apart along its left spine, without recursion.
fn take_leaves(expr: &mut Expr, chain: &BinaryOperator) -> Vec<Expr> {
    let mut leaves = Vec::new();
    let mut rest = std::mem::replace(expr, placeholder());
    loop {
        match rest {
            Expr::BinaryOp { left, op, right } if op == *chain => {
                leaves.push(*right);
                rest = *left;
            }
            leaf => {
                leaves.push(leaf);
                break;
            }
        }
    }
    leaves.reverse();
    leaves
}

fn build(mut leaves: Vec<Expr>, op: &BinaryOperator) -> Expr {
    if leaves.len() == 1 {
        return leaves.pop().unwrap_or_else(placeholder);
    }
    let right = leaves.split_off(leaves.len() / 2);
    Expr::BinaryOp { left: Box::new(build(leaves, op)), op: op.clone(), right: Box::new(build(right, op)) }
}
