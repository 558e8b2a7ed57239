//! PIVOT and UNPIVOT: made tables of their input, arguments and what they call their columns.

use sqlparser::ast::{Expr, ExprWithAlias, Ident, NullInclusion, PivotValueSource, TableAlias, TableFactor};

use super::super::algebra::map::Substitution;
use super::super::algebra::{AggCall, Block, ExprId, Node, Query};
use super::{BindFault, Lowerer, Result};

/// What a PIVOT clause says.
pub(super) struct Pivot<'a> {
    pub(super) table: &'a TableFactor,
    pub(super) aggregates: &'a [ExprWithAlias],
    pub(super) columns: &'a [Expr],
    pub(super) values: &'a PivotValueSource,
    pub(super) default: Option<&'a Expr>,
    pub(super) alias: Option<&'a TableAlias>,
}

/// What an UNPIVOT clause says.
pub(super) struct Unpivot<'a> {
    pub(super) table: &'a TableFactor,
    pub(super) value: &'a Expr,
    pub(super) name: &'a Ident,
    pub(super) columns: &'a [ExprWithAlias],
    pub(super) nulls: Option<&'a NullInclusion>,
    pub(super) alias: Option<&'a TableAlias>,
}

impl<'a> Lowerer<'a> {
    // rule: pivot
    /// PIVOT: which groups there are, what their cells hold and what the columns are called follows from the input, the
    /// aggregates and the values.
    pub(super) fn pivot(&mut self, pivot: &Pivot<'a>) -> Result<Block> {
        if let Some(query) = self.listed_pivot(pivot)? {
            return self.derived(query, pivot.alias, None);
        }
        let mut operator = String::from("pivot");
        for aggregate in pivot.aggregates {
            operator.push_str(&self.label(aggregate, pivot.aggregates.len() > 1));
        }
        for column in pivot.columns {
            operator.push_str(&format!(" for {}", column.to_string().to_lowercase()));
        }
        let mut subquery = None;
        match pivot.values {
            PivotValueSource::List(values) => {
                operator.push_str(" in");
                for value in values {
                    operator.push_str(&self.label(value, false));
                }
            }
            PivotValueSource::Any(order) if order.is_empty() => operator.push_str(" any"),
            PivotValueSource::Any(order) => {
                let order: Vec<String> = order.iter().map(|key| key.to_string().to_lowercase()).collect();
                operator.push_str(&format!(" any by {}", order.join(", ")));
            }
            PivotValueSource::Subquery(query) => {
                operator.push_str(" subquery");
                subquery = Some(query.as_ref());
            }
        }
        operator.push_str(if pivot.default.is_some() { " default" } else { "" });
        let mut names = String::new();
        let seen = &mut names;
        let made = self.made_of(&operator, |inner| {
            let input = inner.input_of(pivot.table)?;
            *seen = inner.names_of(&input);
            let mut more = Vec::new();
            for e in pivot.columns {
                more.push(inner.expr(e)?);
            }
            if let PivotValueSource::List(values) = pivot.values {
                for value in values {
                    more.push(inner.expr(&value.expr)?);
                }
            }
            more.extend(pivot.default.map(|e| inner.expr(e)).transpose()?);
            for aggregate in pivot.aggregates {
                let e = inner.expr(&aggregate.expr)?;
                more.push(inner.described(e)?);
            }
            let mut branches = vec![Self::branch_of(input, more)];
            if let Some(query) = subquery {
                branches.push(Self::branch_of(inner.query(query)?, Vec::new()));
            }
            Ok(branches)
        })?;
        self.read_named(&format!("{made} {names}"), pivot.alias)
    }

    // rule: unpivot
    /// UNPIVOT: the names of the columns become values.
    pub(super) fn unpivot(&mut self, unpivot: &Unpivot<'a>) -> Result<Block> {
        let nulls = match unpivot.nulls {
            Some(NullInclusion::IncludeNulls) => " include nulls",
            _ => "",
        };
        let mut operator = format!(
            "unpivot{nulls} {} for {}",
            unpivot.value.to_string().to_lowercase(),
            self.fold(unpivot.name)
        );
        for column in unpivot.columns {
            operator.push_str(&format!(" {}", column.expr.to_string().to_lowercase()));
            operator.push_str(&self.label(column, false));
        }
        let mut names = String::new();
        let seen = &mut names;
        let made = self.made_of(&operator, |inner| {
            let input = inner.input_of(unpivot.table)?;
            *seen = inner.names_of(&input);
            let mut more = Vec::new();
            for column in unpivot.columns {
                for e in Self::parts_of(&column.expr) {
                    more.push(inner.expr(e)?);
                }
            }
            Ok(vec![Self::branch_of(input, more)])
        })?;
        self.read_named(&format!("{made} {names}"), unpivot.alias)
    }

    fn parts_of(e: &Expr) -> Vec<&Expr> {
        match e {
            Expr::Tuple(items) => items.iter().collect(),
            e => vec![e],
        }
    }

    /// An item of FROM as a query of its own.
    pub(super) fn input_of(&mut self, table: &'a TableFactor) -> Result<Query> {
        let block = self.factor(table)?;
        let outputs = self.star(None)?;
        Ok(Query { block, outputs })
    }

    /// The alias of an argument, and its text where the columns are called by it.
    fn label(&self, argument: &ExprWithAlias, text: bool) -> String {
        match &argument.alias {
            Some(alias) => format!(" as {}", self.fold(alias)),
            None if text => format!(" {}", argument.expr.to_string().to_lowercase()),
            None => " -".to_owned(),
        }
    }

    /// An expression over aggregates, each written as a call that says all of it. The aggregates are not computed over the rows as
    /// they are here, but over parts of them.
    fn described(&mut self, e: ExprId) -> Result<ExprId> {
        let (aggs, windows) = match self.scopes.last_mut() {
            Some(scope) => (std::mem::take(&mut scope.aggs), std::mem::take(&mut scope.windows)),
            None => Default::default(),
        };
        if !windows.is_empty() {
            return Err(BindFault::unsupported("a window function in PIVOT"));
        }
        let mut written = Substitution::default();
        for (col, agg) in aggs {
            if let Node::Agg(call) = self.arena.node(agg).clone() {
                let call = self.described_call(&call);
                written.set(col, call);
            }
        }
        Ok(written.apply(&mut self.arena, e))
    }

    fn described_call(&mut self, call: &AggCall) -> ExprId {
        let mut name = format!("{} of", self.arena.text(call.func));
        let mut args = call.args.to_vec();
        if call.distinct {
            name.push_str(" distinct");
        }
        name.push_str(&format!(" {}", args.len()));
        if let Some(filter) = call.filter {
            name.push_str(" filter");
            args.push(filter);
        }
        for key in &call.order {
            let order = (key.desc, key.nulls_first);
            name.push_str(&format!(" by {order:?}"));
            args.push(key.expr);
        }
        self.arena.call(&name, &args)
    }

    /// A read of a made table under its alias, which may name its columns.
    pub(super) fn read_named(&mut self, made: &str, alias: Option<&'a TableAlias>) -> Result<Block> {
        match alias {
            Some(alias) if !alias.columns.is_empty() => {
                let columns: Vec<String> =
                    alias.columns.iter().map(|column| self.fold(&column.name)).collect();
                let query = self.read_made(made, &columns);
                self.derived(query, Some(alias), None)
            }
            alias => {
                let relation = alias.map(|alias| vec![self.fold(&alias.name)]).unwrap_or_default();
                Ok(self.read_open(made, relation))
            }
        }
    }
}
