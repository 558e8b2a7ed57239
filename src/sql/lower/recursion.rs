//! Recursive CTEs: a made table of the anchor and of the step, in which the CTE itself is a table that nothing is known of.

use sqlparser::ast::{Query as Ast, SetExpr, SetOperator, SetQuantifier};

use super::super::algebra::Query;
use super::query::mentions;
use super::{BindFault, Dialect, Lowerer, Recursion, Result};

impl<'a> Lowerer<'a> {
    /// Whether the CTE reads itself. Where no RECURSIVE is needed, a table of the schema comes first.
    pub(super) fn is_recursive(&self, index: usize) -> bool {
        let entry = &self.ctes[index];
        let name = &entry.cte.alias.name.value;
        let meant = entry.recursive
            || self.dialect == Dialect::Snowflake
                && parts(&entry.cte.query).is_some_and(|(anchor, _, _)| !mentions(anchor, name))
                && self.schema.table(name).is_none_or(|(_, table)| table.columns.is_empty());
        meant && mentions(&entry.cte.query, name)
    }

    // rule: recursion
    /// A CTE that reads itself.
    pub(super) fn recursive(&mut self, index: usize) -> Result<Query> {
        let entry = &self.ctes[index];
        let cte = entry.cte;
        let name = &cte.alias.name.value;
        let refused = || BindFault::unsupported("this recursive CTE");
        let (anchor, all, step) = parts(&cte.query).ok_or_else(refused)?;
        if mentions(anchor, name) || entry.scope_depth < self.scopes.len() && !self.recursions.is_empty() {
            return Err(refused());
        }
        let operator = if all { "recursive union all" } else { "recursive union" };
        let mut columns: Vec<String> =
            cte.alias.columns.iter().map(|column| self.fold(&column.name)).collect();
        let given = &mut columns;
        let made = self.made_of(operator, |inner| {
            inner.cte_head = inner.ctes[index].previous;
            let anchor = inner.set_expr(anchor, None)?.query;
            inner.closed(&anchor.outputs, "a recursive CTE")?;
            let names = anchor.outputs.iter().map(|(name, _)| inner.arena.text(*name).to_owned());
            let rest: Vec<String> = names.skip(given.len()).collect();
            given.extend(rest);
            if given.len() != anchor.outputs.len() {
                return Err(refused());
            }
            inner.cte_head = Some(index);
            inner.recursions.push(Recursion { cte: index, columns: given.clone() });
            let step = inner.set_expr(step, None)?.query;
            if step.outputs.len() != given.len() {
                return Err(refused());
            }
            Ok(vec![Self::branch_of(anchor, Vec::new()), Self::branch_of(step, Vec::new())])
        })?;
        Ok(self.read_made(&made, &columns))
    }

    /// The rows of a CTE inside its own query.
    pub(super) fn recursion(&mut self, index: usize) -> Option<Query> {
        let depth = self.recursions.iter().position(|open| open.cte == index)?;
        let columns = self.recursions[depth].columns.clone();
        Some(self.read_made(&format!("recursion {depth}"), &columns))
    }
}

/// Anchor, ALL, step.
fn parts(query: &Ast) -> Option<(&SetExpr, bool, &SetExpr)> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.pipe_operators.is_empty();
    match query.body.as_ref() {
        SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } if plain => {
            match set_quantifier {
                SetQuantifier::All => Some((left, true, right)),
                SetQuantifier::Distinct | SetQuantifier::None => Some((left, false, right)),
                _ => None,
            }
        }
        _ => None,
    }
}
