//! Reading single expressions and joins of a query's AST, for [`super::aims`].

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, JoinConstraint, JoinOperator, Query,
    SelectItem, SetExpr, UnaryOperator, Value,
};

use super::values::Constant;

/// Functions that look for a text in another.
pub(super) fn is_text_test(name: &str) -> bool {
    name.starts_with("regexp")
        || matches!(
            name,
            "contains"
                | "starts_with"
                | "startswith"
                | "ends_with"
                | "endswith"
                | "prefix"
                | "suffix"
                | "strpos"
                | "instr"
                | "position"
                | "charindex"
                | "split_part"
                | "string_split"
        )
}

/// The days of the first interval in an expression.
pub(super) fn interval_days(expr: &Expr) -> Option<i64> {
    let mut found = None;
    let _ = sqlparser::ast::visit_expressions(expr, |expr| {
        if let Expr::Interval(interval) = expr {
            let text = interval.to_string().to_ascii_lowercase();
            let number = text
                .split(|c: char| !c.is_ascii_digit())
                .find_map(|word| word.parse::<i64>().ok())
                .unwrap_or(1)
                .min(10_000);
            let unit = [("week", 7), ("month", 30), ("quarter", 91), ("year", 365)]
                .into_iter()
                .find_map(|(unit, days)| text.contains(unit).then_some(days))
                .unwrap_or(1);
            found = Some(number * unit);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

pub(super) fn is_natural(operator: &JoinOperator) -> bool {
    match operator {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on)
        | JoinOperator::CrossJoin(on)
        | JoinOperator::Semi(on)
        | JoinOperator::LeftSemi(on)
        | JoinOperator::RightSemi(on)
        | JoinOperator::Anti(on)
        | JoinOperator::LeftAnti(on)
        | JoinOperator::RightAnti(on)
        | JoinOperator::StraightJoin(on)
        | JoinOperator::AsOf { constraint: on, .. } => matches!(on, JoinConstraint::Natural),
        // Joins of other systems.
        _ => true,
    }
}

pub(super) fn is_length(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_length(inner),
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            matches!(name.as_str(), "length" | "len" | "char_length" | "strlen" | "character_length")
        }
        _ => false,
    }
}

pub(super) fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    list.args
        .iter()
        .filter_map(|argument| match argument {
            FunctionArg::Named { arg, .. }
            | FunctionArg::ExprNamed { arg, .. }
            | FunctionArg::Unnamed(arg) => match arg {
                FunctionArgExpr::Expr(expr) => Some(expr),
                _ => None,
            },
        })
        .collect()
}

/// The one column that an expression is, under casts, functions of a single column and scalar subqueries.
pub(super) fn plain(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.to_lowercase()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.to_lowercase()),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::Collate { expr: inner, .. } => {
            plain(inner)
        }
        Expr::Trim { expr, .. } => plain(expr),
        Expr::Subquery(query) => first_column(query),
        Expr::Function(function) => match arguments(function).as_slice() {
            [argument] => plain(argument),
            [Expr::Value(_), argument] => plain(argument),
            _ => None,
        },
        _ => None,
    }
}

pub(super) fn first_column(query: &Query) -> Option<String> {
    let mut body = query.body.as_ref();
    loop {
        body = match body {
            SetExpr::Select(select) => {
                return match select.projection.first()? {
                    SelectItem::UnnamedExpr(expr) => plain(expr),
                    SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_lowercase()),
                    _ => None,
                };
            }
            SetExpr::Query(query) => query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => left.as_ref(),
            _ => return None,
        };
    }
}

/// All column names in an expression.
pub(super) fn columns(expr: &Expr, into: &mut BTreeSet<String>) {
    let _ = sqlparser::ast::visit_expressions(expr, |expr| {
        match expr {
            Expr::Identifier(ident) => {
                into.insert(ident.value.to_lowercase());
            }
            Expr::CompoundIdentifier(parts) => {
                if let Some(ident) = parts.last() {
                    into.insert(ident.value.to_lowercase());
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}

/// The constants that an expression is made of, without those in subqueries.
pub(super) fn constants(expr: &Expr) -> Vec<Constant> {
    match expr {
        Expr::Value(value) => constant(&value.value).into_iter().collect(),
        Expr::TypedString(string) => constant(&string.value.value).into_iter().collect(),
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::Collate { expr: inner, .. } => {
            constants(inner)
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => constants(expr)
            .into_iter()
            .map(|constant| match constant {
                Constant::Number(text) => Constant::Number(format!("-{text}")),
                other => other,
            })
            .collect(),
        Expr::BinaryOp { left, right, .. } => {
            let mut all = constants(left);
            all.extend(constants(right));
            all
        }
        Expr::Function(function) => arguments(function).into_iter().flat_map(constants).collect(),
        Expr::Tuple(items) => items.iter().flat_map(constants).collect(),
        Expr::Array(array) => array.elem.iter().flat_map(constants).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn constant(value: &Value) -> Option<Constant> {
    match value {
        Value::Number(text, _) => Some(Constant::Number(text.clone())),
        Value::Boolean(value) => Some(Constant::Bool(*value)),
        Value::SingleQuotedString(text)
        | Value::DoubleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::TripleSingleQuotedString(text)
        | Value::TripleDoubleQuotedString(text)
        | Value::NationalStringLiteral(text)
        | Value::SingleQuotedRawStringLiteral(text)
        | Value::DoubleQuotedRawStringLiteral(text) => Some(Constant::Text(text.chars().take(300).collect())),
        _ => None,
    }
}
