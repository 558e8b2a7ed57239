//! Values with parts: lambdas over lists and maps, structs.

use sqlparser::ast::{Expr, Ident, LambdaFunction, OneOrManyWithParens, StructField};

use super::super::algebra::ExprId;
use super::scope::{Columns, Entry, Scope};
use super::{BindFault, Lowerer, Result};

impl<'a> Lowerer<'a> {
    // rule: lambda
    /// A lambda: its parameters are numbered, so that what they are called does not matter.
    pub(super) fn lambda(&mut self, lambda: &'a LambdaFunction) -> Result<ExprId> {
        let parameters: Vec<_> = match &lambda.params {
            OneOrManyWithParens::One(one) => vec![one],
            OneOrManyWithParens::Many(list) => list.iter().collect(),
        };
        let mut operator = format!("lambda {}", parameters.len());
        for (at, parameter) in parameters.iter().enumerate() {
            if let Some(data_type) = &parameter.data_type {
                operator.push_str(&format!(" {at} {data_type}").to_ascii_lowercase());
            }
        }
        let first = self.parameters;
        let mut list = Vec::with_capacity(parameters.len());
        for parameter in &parameters {
            let name = self.fold(&parameter.name);
            let number = self.arena.int(self.parameters as i128);
            // A call of its own and no literal: nothing is known of its value.
            let value = self.arena.call("lambda parameter", &[number]);
            list.push((self.arena.sym(&name), value));
            self.parameters += 1;
        }
        let scope = Scope {
            entries: vec![Entry::new(Vec::new(), Columns::List(list))],
            lambda: true,
            ..Scope::default()
        };
        let depth = self.scopes.len();
        self.scopes.push(scope);
        let body = self.expr(&lambda.body);
        let untouched = self
            .scopes
            .get(depth)
            .is_some_and(|scope| scope.aggs.is_empty() && scope.windows.is_empty() && scope.rows.is_empty());
        self.scopes.truncate(depth);
        self.parameters = first;
        let body = body?;
        if !untouched || self.arena.has_sub(body) {
            return Err(BindFault::unsupported("an aggregate, window function or subquery in a lambda"));
        }
        Ok(self.arena.call(&operator, &[body]))
    }

    // rule: structs
    /// A struct: its values and the names of its fields.
    pub(super) fn structure(&mut self, values: &'a [Expr], fields: &'a [StructField]) -> Result<ExprId> {
        let mut args = Vec::with_capacity(values.len());
        let mut name = "struct".to_owned();
        for field in fields {
            name.push_str(&format!(" {field}").to_ascii_lowercase());
        }
        for value in values {
            let (value, field) = match value {
                Expr::Named { expr, name } => (expr.as_ref(), Some(name)),
                value => (value, plain_name(value)),
            };
            if fields.is_empty() {
                name.push(' ');
                name.push_str(&field.map_or_else(|| "_".to_owned(), |field| self.fold(field)));
            }
            args.push(self.expr(value)?);
        }
        Ok(self.arena.call(&name, &args))
    }
}

/// The name that a field without alias has: that of the column it is.
fn plain_name(value: &Expr) -> Option<&Ident> {
    match value {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}
