//! Values with parts: lambdas over lists and maps, structs.

use sqlparser::ast::{
    AccessExpr, Expr, Ident, LambdaFunction, ObjectName, OneOrManyWithParens, Query, StructField, Subscript,
};

use super::super::algebra::{AggCall, Aggregate, Block, ExprId, Source, Sub, Sym};
use super::super::types::Type;
use super::scope::{Columns, Entry, Scope};
use super::{BindFault, FIELDS, Lowerer, Result, STAR};

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

    // rule: array-subquery
    /// `ARRAY(query)`: the one row of an aggregate over the query's rows, in its order; without rows the array is empty and not NULL.
    pub(super) fn array_of(&mut self, query: &'a Query) -> Result<ExprId> {
        self.as_values = true;
        let ordered = self.ordered_query(query);
        self.as_values = false;
        let ordered = ordered?;
        self.closed(&ordered.query.outputs, "an array")?;
        let [(_, value)] = ordered.query.outputs.as_slice() else {
            return Err(BindFault::unsupported("an array of several columns"));
        };
        self.orders.taken |= ordered.order.is_empty();
        let func = self.arena.sym("array of");
        let call = AggCall {
            func,
            args: Box::new([*value]),
            distinct: false,
            filter: None,
            order: ordered.order.into_boxed_slice(),
        };
        let values = self.arena.aggregate(call);
        let col = self.arena.new_col(func, Type::Unknown, true);
        let grouping = Aggregate {
            input: ordered.query.block,
            keys: Vec::new(),
            aggs: vec![(col, values)],
            scalar: true,
        };
        let block = Block { sources: vec![Source::Aggregate(Box::new(grouping))], ..Block::default() };
        let output = self.arena.column(col);
        let sub = self.arena.new_sub(Sub { block, outputs: vec![output] });
        let array = self.arena.scalar(sub);
        Ok(self.arena.call("array or empty", &[array]))
    }

    /// The columns of a row as one struct.
    pub(super) fn struct_of(&mut self, outputs: &[(Sym, ExprId)]) -> Result<(Sym, ExprId)> {
        self.closed(outputs, "a struct")?;
        let mut operator = "struct".to_owned();
        for (name, _) in outputs {
            operator.push_str(&format!(" {}", self.arena.text(*name)));
        }
        let values: Vec<ExprId> = outputs.iter().map(|(_, e)| *e).collect();
        Ok((self.arena.sym("struct"), self.arena.call(&operator, &values)))
    }

    /// `value[i].field`, with any number of steps.
    pub(super) fn part(&mut self, root: &'a Expr, mut steps: &'a [AccessExpr]) -> Result<ExprId> {
        let mut value = match (root, steps) {
            // What has a table's name in front is that table's column, as in `q.l`.
            (Expr::Identifier(table), [AccessExpr::Dot(Expr::Identifier(column)), rest @ ..])
                if self.is_relation(table) =>
            {
                steps = rest;
                self.compound(&[table.clone(), column.clone()])?
            }
            _ => self.expr(root)?,
        };
        for step in steps {
            value = match step {
                AccessExpr::Dot(Expr::Identifier(ident)) => {
                    self.arena.call(&format!(".{}", ident.value), &[value])
                }
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.expr(index)?;
                    self.arena.call("[]", &[value, index])
                }
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                    let bounds = [lower_bound, upper_bound, stride];
                    let mut args = vec![value];
                    let mut name = "slice".to_owned();
                    for bound in bounds {
                        name.push_str(if bound.is_some() { " x" } else { " -" });
                        args.extend(bound.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?);
                    }
                    self.arena.call(&name, &args)
                }
                AccessExpr::Dot(_) => {
                    return Err(BindFault::unsupported("this access to a part of a value"));
                }
            };
        }
        Ok(value)
    }

    /// Whether a table of the innermost FROM that has tables is called so.
    fn is_relation(&self, name: &Ident) -> bool {
        let name = self.fold(name);
        let scope = self.scopes.iter().rev().find(|scope| !scope.entries.is_empty());
        scope.is_some_and(|scope| scope.entries.iter().any(|entry| entry.names.last() == Some(&name)))
    }

    // rule: struct-star
    /// `value.*`: one column that stands for all fields.
    pub(super) fn fields_of(&mut self, value: ExprId) -> Vec<(Sym, ExprId)> {
        vec![(self.arena.sym(STAR), self.arena.call(FIELDS, &[value]))]
    }

    /// `column.*`, where no table is called so.
    pub(super) fn fields_of_column(&mut self, path: &ObjectName) -> Result<Vec<(Sym, ExprId)>> {
        let parts: Vec<Ident> = path.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        let value = match parts.as_slice() {
            [one] => {
                let name = self.fold(one);
                self.resolve(&name, &one.value)
            }
            several => self.compound(several),
        };
        match value {
            Ok(value) => Ok(self.fields_of(value)),
            Err(BindFault::MissingColumn { .. }) => Err(BindFault::MissingTable { name: path.to_string() }),
            Err(other) => Err(other),
        }
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
