//! PIVOT with its values listed, as the grouping that it is.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments, PivotValueSource};

use super::super::Dialect;
use super::super::algebra::map::Substitution;
use super::super::algebra::{Block, CmpOp, Const, ExprId, Node, Query, Sym};
use super::super::normalize::takes_one;
use super::super::types::Type;
use super::pivot::Pivot;
use super::{Lowerer, Result};

/// A value that is pivoted on: what the columns are called by it, and the literal.
type Listed<'a> = (String, &'a Expr);

impl<'a> Lowerer<'a> {
    // rule: listed-pivot
    /// In DuckDB: a grouping by the named columns, or by all that nothing else reads, with a filtered aggregate for each value.
    /// `None` where more than that has to be known.
    pub(super) fn listed_pivot(&mut self, pivot: &Pivot<'a>) -> Result<Option<Query>> {
        let (Dialect::DuckDb, [column], None) = (self.dialect, pivot.columns, pivot.default) else {
            return Ok(None);
        };
        let Some(values) = listed(pivot.values) else { return Ok(None) };
        let (groups, aggregates): (Vec<_>, Vec<_>) =
            pivot.aggregates.iter().partition(|aggregate| named_groups(&aggregate.expr).is_some());
        let unnamed = aggregates.iter().any(|aggregate| aggregate.alias.is_none());
        if aggregates.is_empty() || unnamed && aggregates.len() > 1 || is_call(column, "pivot_on") {
            return Ok(None);
        }
        let depth = self.scopes.len();
        self.scopes.push(Default::default());
        let result = self.listed_in_scope(pivot, column, &values, &groups, &aggregates);
        self.scopes.truncate(depth);
        result
    }

    fn listed_in_scope(
        &mut self,
        pivot: &Pivot<'a>,
        column: &'a Expr,
        values: &[Listed<'a>],
        groups: &[&'a sqlparser::ast::ExprWithAlias],
        aggregates: &[&'a sqlparser::ast::ExprWithAlias],
    ) -> Result<Option<Query>> {
        let input = self.input_of(pivot.table)?;
        if self.closed(&input.outputs, "PIVOT").is_err() {
            return Ok(None);
        }
        let on = self.expr(column)?;
        let mut conditions = Vec::with_capacity(values.len());
        for (name, value) in values {
            let value = self.expr(value)?;
            let comparable = matches!(
                (self.arena.type_of(on), self.arena.as_const(value)),
                (Type::Text, Some(Const::Text(_))) | (Type::Int(_), Some(Const::Int(_)))
            );
            if !comparable {
                return Ok(None);
            }
            conditions.push((name.clone(), self.arena.cmp(CmpOp::Eq, on, value)));
        }
        let mut keys: Vec<(Sym, ExprId)> = Vec::new();
        for group in groups {
            for key in named_groups(&group.expr).unwrap_or_default() {
                let name = self.output_name(key);
                keys.push((name, self.expr(key)?));
            }
        }
        if groups.is_empty() {
            let mut read = BTreeSet::new();
            for e in aggregates.iter().map(|aggregate| &aggregate.expr).chain([column]) {
                names_in(e, &mut read);
            }
            keys.extend(input.outputs.iter().filter(|(name, _)| !read.contains(self.arena.text(*name))));
        }
        let mut lowered = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            lowered
                .push((aggregate.alias.as_ref().map(|alias| self.fold(alias)), self.expr(&aggregate.expr)?));
        }
        let (calls, windows) = match self.scopes.last_mut() {
            Some(scope) => (std::mem::take(&mut scope.aggs), !scope.windows.is_empty()),
            None => return Ok(None),
        };
        let mut outputs = keys.clone();
        let mut aggs = Vec::with_capacity(calls.len() * conditions.len());
        for (value, condition) in conditions {
            let mut filtered = Substitution::default();
            for (col, call) in &calls {
                let Node::Agg(mut call) = self.arena.node(*call).clone() else { return Ok(None) };
                if takes_one(self.arena.text(call.func)) || !call.order.is_empty() {
                    return Ok(None);
                }
                let both: Vec<ExprId> = call.filter.into_iter().chain([condition]).collect();
                call.filter = Some(self.arena.and(&both));
                let info = *self.arena.col(*col);
                let fresh = self.arena.new_col(info.name, info.data_type, info.nullable);
                *self.arena.col_mut(fresh) = info;
                aggs.push((fresh, self.arena.aggregate(call)));
                let column = self.arena.column(fresh);
                filtered.set(*col, column);
            }
            for (alias, e) in &lowered {
                let name = alias.as_ref().map_or_else(|| value.clone(), |alias| format!("{value}_{alias}"));
                outputs.push((self.arena.sym(&name), filtered.apply(&mut self.arena, *e)));
            }
        }
        if windows || calls.is_empty() {
            return Ok(None);
        }
        let group = (!keys.is_empty()).then(|| keys.iter().map(|(_, e)| *e).collect());
        let above = outputs.iter_mut().map(|(_, e)| e).collect();
        let block: Block = self.aggregate_block(input.block, group, aggs, above)?;
        Ok(Some(Query { block, outputs }))
    }
}

/// The values, where they are listed.
fn listed(values: &PivotValueSource) -> Option<Vec<Listed<'_>>> {
    let PivotValueSource::List(values) = values else { return None };
    let mut found: Vec<Listed<'_>> = Vec::with_capacity(values.len());
    for value in values {
        let Expr::Value(literal) = &value.expr else { return None };
        let name = match (&value.alias, &literal.value) {
            (Some(alias), _) => alias.value.to_ascii_lowercase(),
            (None, sqlparser::ast::Value::SingleQuotedString(text)) => text.to_ascii_lowercase(),
            (None, sqlparser::ast::Value::Number(text, _)) => text.clone(),
            _ => return None,
        };
        if found.iter().any(|(other, _)| *other == name) {
            return None;
        }
        found.push((name, &value.expr));
    }
    Some(found)
}

fn is_call(e: &Expr, name: &str) -> bool {
    matches!(e, Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case(name))
}

/// What `pivot_group(..)` names.
fn named_groups(e: &Expr) -> Option<Vec<&Expr>> {
    let Expr::Function(function) = e else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    if !is_call(e, "pivot_group") {
        return None;
    }
    list.args
        .iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(
                e @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
            )) => Some(e),
            _ => None,
        })
        .collect()
}

/// The names of columns in an expression.
fn names_in(e: &Expr, into: &mut BTreeSet<String>) {
    let _ = sqlparser::ast::visit_expressions(e, |e| {
        match e {
            Expr::Identifier(ident) => {
                into.insert(ident.value.to_ascii_lowercase());
            }
            Expr::CompoundIdentifier(parts) => {
                into.extend(parts.last().map(|ident| ident.value.to_ascii_lowercase()));
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}
