//! Queries: WITH, set operations, ORDER BY and LIMIT.

use sqlparser::ast::{
    Cte, Expr, LimitClause, OrderBy, OrderByExpr, OrderByKind, OrderBySort, Query as Ast, SetExpr,
    SetOperator, SetQuantifier, Value, Values as AstValues,
};

use super::super::algebra::{
    Aggregate, Block, Branch, ExprId, Limit, OrderKey, Query, SetOp, Source, Sub, Sym, Union, Values,
};
use super::scope::{Columns, Entry, Scope};
use super::{BindFault, CteEntry, Dialect, Lowerer, MAX_QUERY_DEPTH, Result};

/// A query with the sort keys that a LIMIT would need.
pub(super) struct Ordered {
    pub(super) query: Query,
    pub(super) order: Vec<OrderKey>,
}

impl<'a> Lowerer<'a> {
    /// A query with everything around it.
    pub(super) fn query(&mut self, ast: &'a Ast) -> Result<Query> {
        self.ordered_query(ast).map(|ordered| ordered.query)
    }

    /// A query and its sort keys, which are over the columns of its rows.
    pub(super) fn ordered_query(&mut self, ast: &'a Ast) -> Result<Ordered> {
        self.query_depth += 1;
        if self.query_depth > MAX_QUERY_DEPTH || self.arena.overflow {
            return Err(BindFault::TooLarge);
        }
        self.orders.below |= self.query_depth > 1
            && ast.order_by.is_some()
            && ast.limit_clause.is_none()
            && ast.fetch.is_none();
        let head = self.cte_head;
        let first = self.ctes.len();
        if let Some(with) = &ast.with {
            for cte in &with.cte_tables {
                self.push_cte(cte, with.recursive)?;
            }
        }
        let result = self.query_body(ast);
        if result.is_ok() && ast.with.is_some() {
            // The database binds CTEs that nobody reads, too.
            for index in first..self.ctes.len() {
                if !self.ctes[index].used && self.ctes[index].scope_depth <= self.scopes.len() {
                    self.lower_cte(index)?;
                }
            }
        }
        self.cte_head = head;
        self.query_depth -= 1;
        result
    }

    fn push_cte(&mut self, cte: &'a Cte, recursive: bool) -> Result<()> {
        if cte.from.is_some() {
            return Err(BindFault::unsupported("WITH .. FROM"));
        }
        let name = self.fold(&cte.alias.name);
        self.ctes.push(CteEntry {
            name,
            cte,
            previous: self.cte_head,
            scope_depth: self.scopes.len(),
            used: false,
            recursive,
        });
        self.cte_head = Some(self.ctes.len() - 1);
        Ok(())
    }

    /// The query of the CTE with this name, lowered anew for each use.
    pub(super) fn cte(&mut self, name: &str) -> Result<Option<Query>> {
        let mut at = self.cte_head;
        while let Some(index) = at {
            if self.ctes[index].name == name {
                return match self.recursion(index) {
                    Some(query) => Ok(Some(query)),
                    None => self.lower_cte(index).map(Some),
                };
            }
            at = self.ctes[index].previous;
        }
        Ok(None)
    }

    fn lower_cte(&mut self, index: usize) -> Result<Query> {
        let entry = &mut self.ctes[index];
        entry.used = true;
        let (cte, previous, scope_depth) = (entry.cte, entry.previous, entry.scope_depth);
        if self.is_recursive(index) {
            return self.recursive(index);
        }
        let head = std::mem::replace(&mut self.cte_head, previous);
        let hidden: Vec<Scope<'a>> = self.scopes.drain(scope_depth.min(self.scopes.len())..).collect();
        let result = self.query(&cte.query);
        self.scopes.truncate(scope_depth);
        self.scopes.extend(hidden);
        self.cte_head = head;
        let mut query = result?;
        if cte.alias.columns.len() > query.outputs.len() {
            return Err(BindFault::unsupported("a CTE with more names than columns"));
        }
        if !cte.alias.columns.is_empty() {
            self.closed(&query.outputs, "names of columns")?;
        }
        for (column, (name, _)) in cte.alias.columns.iter().zip(&mut query.outputs) {
            let folded = self.fold(&column.name);
            *name = self.arena.sym(&folded);
        }
        Ok(query)
    }

    fn query_body(&mut self, ast: &'a Ast) -> Result<Ordered> {
        if !ast.pipe_operators.is_empty() {
            return Err(BindFault::unsupported("pipe syntax"));
        }
        if !ast.locks.is_empty()
            || ast.for_clause.is_some()
            || ast.settings.is_some()
            || ast.format_clause.is_some()
        {
            return Err(BindFault::unsupported("a clause behind the query"));
        }
        if let SetExpr::Select(select) = ast.body.as_ref()
            && !(select.sort_by.is_empty() && select.cluster_by.is_empty())
            && (ast.limit_clause.is_some() || ast.fetch.is_some())
        {
            return Err(BindFault::unsupported("SORT BY below LIMIT"));
        }
        let mut ordered = self.set_expr(&ast.body, ast.order_by.as_ref())?;
        let (limit, offset) = match &ast.limit_clause {
            None => (None, None),
            Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
                if !limit_by.is_empty() {
                    return Err(BindFault::unsupported("LIMIT BY"));
                }
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        };
        let mut limit = limit.map(|e| self.expr(e)).transpose()?;
        let offset = offset.map(|e| self.expr(e)).transpose()?;
        let mut extra = None;
        if let Some(fetch) = &ast.fetch {
            if fetch.percent || limit.is_some() {
                return Err(BindFault::unsupported("FETCH .. PERCENT"));
            }
            limit = match &fetch.quantity {
                Some(quantity) => Some(self.expr(quantity)?),
                None => Some(self.arena.int(1)),
            };
            if fetch.with_ties {
                extra = Some(self.arena.sym("with ties"));
            }
        }
        if limit.is_some() || offset.is_some() {
            self.orders.taken |= ordered.order.is_empty();
            ordered.query.block = limited(ordered.query.block, ordered.order.clone(), limit, offset, extra);
        }
        Ok(ordered)
    }

    pub(super) fn set_expr(&mut self, body: &'a SetExpr, order: Option<&'a OrderBy>) -> Result<Ordered> {
        match body {
            SetExpr::Select(select) => self.select(select, order),
            SetExpr::Query(query) => {
                let query = self.query(query)?;
                self.order_outputs(query, order)
            }
            SetExpr::Values(values) => {
                let query = self.values(values)?;
                self.order_outputs(query, order)
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let query = self.set_operation(left, *op, *set_quantifier, right)?;
                self.order_outputs(query, order)
            }
            SetExpr::Table(table) => {
                Err(BindFault::unsupported(format!("TABLE {}", table.table_name.as_deref().unwrap_or(""))))
            }
            _ => Err(BindFault::unsupported("a statement inside a query")),
        }
    }

    /// ORDER BY of a query whose only names are its outputs.
    fn order_outputs(&mut self, query: Query, order: Option<&'a OrderBy>) -> Result<Ordered> {
        let Some(order) = order else { return Ok(Ordered { query, order: Vec::new() }) };
        let mut scope = Scope::default();
        scope.entries.push(Entry::new(Vec::new(), Columns::List(query.outputs.clone())));
        self.scopes.push(scope);
        let keys = self.order_keys(order, &query.outputs);
        self.scopes.pop();
        Ok(Ordered { order: keys?, query })
    }

    /// The sort keys of ORDER BY: ordinals and bare output names first, then expressions.
    pub(super) fn order_keys(
        &mut self,
        order: &'a OrderBy,
        outputs: &[(Sym, ExprId)],
    ) -> Result<Vec<OrderKey>> {
        if order.interpolate.is_some() {
            return Err(BindFault::unsupported("INTERPOLATE"));
        }
        let mut keys = Vec::new();
        match &order.kind {
            OrderByKind::All(options) => {
                for (_, expr) in outputs {
                    let desc = matches!(options.sort, Some(OrderBySort::Desc));
                    let nulls_first = options.nulls_first.unwrap_or_else(|| self.default_nulls_first(desc));
                    keys.push(OrderKey { expr: *expr, desc, nulls_first });
                }
            }
            OrderByKind::Expressions(list) => {
                for item in list {
                    let output = match &item.expr {
                        Expr::Value(value) => match &value.value {
                            Value::Number(number, _) => {
                                let position: usize = number.parse().unwrap_or(0);
                                self.closed(outputs.get(..position).unwrap_or_default(), "an ordinal")?;
                                let found = outputs.get(position.wrapping_sub(1));
                                Some(
                                    found.ok_or_else(|| BindFault::unsupported("an ordinal out of range"))?.1,
                                )
                            }
                            _ => None,
                        },
                        Expr::Identifier(ident) => {
                            let name = self.fold(ident);
                            outputs
                                .iter()
                                .find(|(output, _)| self.arena.text(*output) == name)
                                .map(|(_, expr)| *expr)
                        }
                        _ => None,
                    };
                    let expr = match output {
                        Some(expr) => expr,
                        None => self.expr(&item.expr)?,
                    };
                    keys.push(self.order_key(item, expr)?);
                }
            }
        }
        Ok(keys)
    }

    /// A sort key with the direction and the place of NULLs spelled out.
    pub(super) fn order_key(&mut self, item: &OrderByExpr, expr: ExprId) -> Result<OrderKey> {
        if item.with_fill.is_some() || matches!(item.options.sort, Some(OrderBySort::Using(_))) {
            return Err(BindFault::unsupported("this ORDER BY"));
        }
        let desc = matches!(item.options.sort, Some(OrderBySort::Desc));
        let nulls_first = item.options.nulls_first.unwrap_or_else(|| self.default_nulls_first(desc));
        Ok(OrderKey { expr, desc, nulls_first })
    }

    fn default_nulls_first(&self, desc: bool) -> bool {
        match self.dialect {
            Dialect::DuckDb => false,
            Dialect::BigQuery | Dialect::Databricks => !desc,
            Dialect::Postgres | Dialect::Redshift | Dialect::Snowflake | Dialect::Generic => desc,
        }
    }

    fn values(&mut self, values: &'a AstValues) -> Result<Query> {
        let mut rows = Vec::with_capacity(values.rows.len());
        for row in &values.rows {
            rows.push(row.content.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?);
        }
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) || rows.len() > 2000 {
            return Err(BindFault::unsupported("VALUES of this shape"));
        }
        let names: Vec<Sym> = (0..width)
            .map(|i| {
                let name = match self.dialect {
                    Dialect::Snowflake | Dialect::Postgres | Dialect::Redshift => format!("column{}", i + 1),
                    Dialect::Databricks => format!("col{}", i + 1),
                    _ => format!("col{i}"),
                };
                self.arena.sym(&name)
            })
            .collect();
        if let [row] = rows.as_slice() {
            return Ok(Query {
                block: Block::default(),
                outputs: names.into_iter().zip(row.iter().copied()).collect(),
            });
        }
        let mut cols = Vec::with_capacity(width);
        let mut outputs = Vec::with_capacity(width);
        for (position, name) in names.into_iter().enumerate() {
            let column: Vec<ExprId> = rows.iter().map(|row| row[position]).collect();
            let data_type = self.arena.common_type(column.iter().copied());
            let nullable = column.iter().any(|expr| self.may_be_null(*expr, &Block::default()));
            let col = self.arena.new_col(name, data_type, nullable);
            cols.push(col);
            outputs.push((name, self.arena.column(col)));
        }
        let block =
            Block { sources: vec![Source::Values(Box::new(Values { cols, rows }))], ..Block::default() };
        Ok(Query { block, outputs })
    }

    fn set_operation(
        &mut self,
        left: &'a SetExpr,
        op: SetOperator,
        quantifier: SetQuantifier,
        right: &'a SetExpr,
    ) -> Result<Query> {
        let (all, by_name) = match quantifier {
            SetQuantifier::All => (true, false),
            SetQuantifier::Distinct | SetQuantifier::None => (false, false),
            SetQuantifier::AllByName => (true, true),
            SetQuantifier::ByName | SetQuantifier::DistinctByName => (false, true),
        };
        if by_name && op != SetOperator::Union {
            return Err(BindFault::unsupported("a set operation BY NAME"));
        }
        // A long chain of one operation nests to the left: walk it without recursion.
        let mut operands = vec![right];
        let mut first = left;
        if op == SetOperator::Union {
            while let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier, right } = first {
                if *set_quantifier != quantifier {
                    break;
                }
                operands.push(right);
                first = left;
            }
        }
        operands.push(first);
        operands.reverse();
        let mut queries = Vec::with_capacity(operands.len());
        for operand in operands {
            self.query_depth += 1;
            if self.query_depth > MAX_QUERY_DEPTH {
                return Err(BindFault::TooLarge);
            }
            queries.push(self.set_expr(operand, None)?.query);
            self.query_depth -= 1;
        }
        if by_name {
            self.match_names(&mut queries)?;
        }
        let width = queries[0].outputs.len();
        if queries.iter().any(|query| query.outputs.len() != width) {
            return Err(BindFault::unsupported("a set operation over different numbers of columns"));
        }
        let names: Vec<Sym> = queries[0].outputs.iter().map(|(name, _)| *name).collect();
        let mut cols = Vec::with_capacity(width);
        for (position, name) in names.iter().enumerate() {
            let column: Vec<ExprId> = queries.iter().map(|query| query.outputs[position].1).collect();
            let data_type = self.arena.common_type(column.iter().copied());
            let nullable =
                queries.iter().zip(&column).any(|(query, expr)| self.may_be_null(*expr, &query.block));
            cols.push(self.arena.new_col(*name, data_type, nullable));
        }
        let mut branches: Vec<Branch> = queries
            .into_iter()
            .map(|query| Branch {
                block: query.block,
                outputs: query.outputs.into_iter().map(|(_, expr)| expr).collect(),
            })
            .collect();
        if op == SetOperator::Union {
            let outputs: Vec<(Sym, ExprId)> =
                names.iter().zip(&cols).map(|(name, col)| (*name, self.arena.column(*col))).collect();
            let union = Source::Union(Box::new(Union { cols, branches }));
            let query = Query { block: Block { sources: vec![union], ..Block::default() }, outputs };
            return Ok(if all { query } else { self.distinct(query) });
        }
        let except = op != SetOperator::Intersect;
        let (Some(right), Some(left)) = (branches.pop(), branches.pop()) else {
            return Err(BindFault::TooLarge);
        };
        if all {
            let outputs =
                names.iter().zip(&cols).map(|(name, col)| (*name, self.arena.column(*col))).collect();
            let source = Source::SetOp(Box::new(SetOp { except, cols, left, right }));
            return Ok(Query { block: Block { sources: vec![source], ..Block::default() }, outputs });
        }
        // EXCEPT and INTERSECT of sets are anti- and semi-joins of the distinct left side on "not distinct from".
        let outputs: Vec<(Sym, ExprId)> = names.iter().copied().zip(left.outputs.iter().copied()).collect();
        let mut query = self.distinct(Query { block: left.block, outputs });
        let mut block = right.block;
        for ((_, left), right) in query.outputs.iter().zip(&right.outputs) {
            let (a, b) = (self.arena.type_of(*left), self.arena.type_of(*right));
            let comparable =
                a == b || a.same_values(b) || [*left, *right].iter().any(|e| self.arena.is_null_const(*e));
            if !comparable {
                return Err(BindFault::unsupported("a set operation over different types"));
            }
            let same = self.arena.same(*left, *right);
            block.filters.push(same);
        }
        let sub = self.arena.new_sub(Sub { block, outputs: Vec::new() });
        let mut filter = self.arena.exists(sub);
        if except {
            filter = self.arena.not(filter);
        }
        query.block.filters.push(filter);
        Ok(query)
    }

    // rule: by-name
    /// Brings the outputs of all branches into the order of their names; a name that a branch lacks is NULL in it.
    fn match_names(&mut self, queries: &mut [Query]) -> Result<()> {
        let mut names: Vec<Sym> = Vec::new();
        for query in queries.iter() {
            self.closed(&query.outputs, "a union BY NAME")?;
            for (at, (name, _)) in query.outputs.iter().enumerate() {
                if query.outputs[..at].iter().any(|(other, _)| other == name) {
                    return Err(BindFault::unsupported("a union BY NAME with a name twice"));
                }
                if !names.contains(name) {
                    names.push(*name);
                }
            }
        }
        // Elsewhere a missing name may be an error.
        let padded = matches!(self.dialect, Dialect::DuckDb | Dialect::Snowflake);
        if !padded && queries.iter().any(|query| query.outputs.len() != names.len()) {
            return Err(BindFault::unsupported("a union BY NAME of other names"));
        }
        let null = self.arena.null();
        for query in queries {
            let value = |name: &Sym| query.outputs.iter().find(|(own, _)| own == name).map(|(_, e)| *e);
            query.outputs = names.iter().map(|name| (*name, value(name).unwrap_or(null))).collect();
        }
        Ok(())
    }

    /// DISTINCT: grouping by every output.
    pub(super) fn distinct(&mut self, query: Query) -> Query {
        let mut keys = Vec::with_capacity(query.outputs.len());
        let mut outputs = Vec::with_capacity(query.outputs.len());
        for (name, expr) in query.outputs {
            let col = self.new_col(name, expr, &query.block);
            keys.push((col, expr));
            outputs.push((name, self.arena.column(col)));
        }
        let aggregate = Aggregate { input: query.block, keys, aggs: Vec::new(), scalar: false };
        let block = Block { sources: vec![Source::Aggregate(Box::new(aggregate))], ..Block::default() };
        Query { block, outputs }
    }
}

/// A block cut by LIMIT and OFFSET.
pub(super) fn limited(
    input: Block,
    order: Vec<OrderKey>,
    limit: Option<ExprId>,
    offset: Option<ExprId>,
    extra: Option<Sym>,
) -> Block {
    let source = Source::Limit(Box::new(Limit { input, order, limit, offset, extra }));
    Block { sources: vec![source], ..Block::default() }
}

/// Whether a query reads a table of this name anywhere.
pub(super) fn mentions(part: &impl sqlparser::ast::Visit, name: &str) -> bool {
    use std::ops::ControlFlow;
    sqlparser::ast::visit_relations(part, |relation| match relation.0.as_slice() {
        [sqlparser::ast::ObjectNamePart::Identifier(ident)] if ident.value.eq_ignore_ascii_case(name) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}
