//! SELECT: from FROM to DISTINCT.

use sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, GroupByExpr, Ident, OrderBy, RenameSelectItem, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TopQuantity, Value, ValueTableMode, WildcardAdditionalOptions,
};

use super::super::algebra::{
    AggCall, Block, ExprId, Frame, FrameBound, Node, OrderKey, Query, Source, Sym, Window, WindowCall,
};
use super::from::cross;
use super::grouping::Grouping;
use super::query::{Ordered, limited};
use super::scope::Scope;
use super::{BindFault, Lowerer, Result, Type};

impl<'a> Lowerer<'a> {
    pub(super) fn select(&mut self, select: &'a Select, order: Option<&'a OrderBy>) -> Result<Ordered> {
        if select.into.is_some()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || select.value_table_mode.is_some() && !std::mem::take(&mut self.as_values)
            || select.exclude.is_some()
        {
            return Err(BindFault::unsupported("a clause of SELECT"));
        }
        let depth = self.scopes.len();
        self.scopes.push(Scope::default());
        let result = self.select_in_scope(select, order);
        self.scopes.truncate(depth);
        result
    }

    fn select_in_scope(&mut self, select: &'a Select, order: Option<&'a OrderBy>) -> Result<Ordered> {
        let mut block = self.from(&select.from)?;
        for view in &select.lateral_views {
            let more = self.lateral_view(view)?;
            block = cross(block, more);
        }
        let aliases = self.aliases(&select.projection);
        let named_windows =
            select.named_window.iter().map(|window| (self.fold(&window.0), &window.1)).collect();
        if let Some(scope) = self.scopes.last_mut() {
            scope.aliases = aliases;
            scope.named_windows = named_windows;
        }
        if let Some(condition) = &select.selection {
            let condition = self.expr(condition)?;
            if self.scopes.last().is_some_and(|scope| !scope.aggs.is_empty() || !scope.windows.is_empty()) {
                return Err(BindFault::unsupported("an aggregate or window function in WHERE"));
            }
            block.filters.extend(self.conjuncts(condition));
        }
        self.open_to_rows(true);
        let mut outputs = self.projection(&select.projection, &select.from)?;
        match &select.value_table_mode {
            None | Some(ValueTableMode::AsValue) => {}
            Some(ValueTableMode::AsStruct) => outputs = vec![self.struct_of(&outputs)?],
            Some(_) => return Err(BindFault::unsupported("this SELECT AS")),
        }
        let group = self.grouping(&select.group_by, &outputs)?;
        self.open_to_rows(false);
        self.refuse_rows_as_keys(&group)?;
        let having = select.having.as_ref().map(|e| self.expr(e)).transpose()?;
        let qualify = select.qualify.as_ref().map(|e| self.expr(e)).transpose()?;
        self.open_to_rows(true);
        let mut distinct_on = Vec::new();
        if let Some(Distinct::On(list)) = &select.distinct {
            for item in list {
                distinct_on.push(self.output_or_expr(item, &outputs)?);
            }
        }
        let mut keys = match order {
            Some(order) => self.order_keys(order, &outputs)?,
            None => Vec::new(),
        };
        self.open_to_rows(false);
        let (aggs, mut windows, mut rows, calls) = match self.scopes.last_mut() {
            Some(scope) => (
                std::mem::take(&mut scope.aggs),
                std::mem::take(&mut scope.windows),
                std::mem::take(&mut scope.rows),
                std::mem::take(&mut scope.grouping_calls),
            ),
            None => Default::default(),
        };
        let aggregated = !matches!(group, Grouping::Keys(None))
            || having.is_some()
            || !aggs.is_empty()
            || !calls.is_empty();
        let mut filters = Vec::new();
        filters.extend(having);
        let mut after: Vec<ExprId> = qualify.into_iter().collect();
        if aggregated {
            let mut above: Vec<&mut ExprId> = Vec::new();
            above.extend(outputs.iter_mut().map(|(_, e)| e));
            above.extend(filters.iter_mut());
            above.extend(after.iter_mut());
            above.extend(windows.iter_mut().map(|(_, e)| e));
            above.extend(keys.iter_mut().map(|key| &mut key.expr));
            above.extend(distinct_on.iter_mut());
            above.extend(rows.iter_mut().flat_map(|maker| &mut maker.args));
            block = match group {
                Grouping::Keys(Some(keys)) if !calls.is_empty() => {
                    self.grouping_sets(&block, &[keys], &aggs, &calls, above)?
                }
                Grouping::Keys(keys) => self.aggregate_block(block, keys, aggs, above)?,
                Grouping::Sets(sets) => self.grouping_sets(&block, &sets, &aggs, &calls, above)?,
            };
            block.filters.extend(filters.iter().flat_map(|e| self.conjuncts(*e)));
        }
        if !windows.is_empty() {
            let source = Source::Window(Box::new(Window { input: block, funcs: windows }));
            block = Block { sources: vec![source], ..Block::default() };
        }
        block.filters.extend(after.iter().flat_map(|e| self.conjuncts(*e)));
        if !rows.is_empty() {
            block.sources.push(self.rows_beside(rows));
        }
        let mut query = Query { block, outputs };
        match &select.distinct {
            None | Some(Distinct::All) => {}
            Some(Distinct::Distinct) => {
                let before: Vec<ExprId> = query.outputs.iter().map(|(_, e)| *e).collect();
                query = self.distinct(query);
                for key in &mut keys {
                    match before.iter().position(|e| *e == key.expr) {
                        Some(position) => key.expr = query.outputs[position].1,
                        None if self.arena.as_const(key.expr).is_some() => {}
                        None => return Err(BindFault::unsupported("ORDER BY outside SELECT DISTINCT")),
                    }
                }
            }
            Some(Distinct::On(_)) => query.block = self.distinct_on(query.block, distinct_on, &keys),
        }
        if let Some(top) = &select.top {
            if top.with_ties || top.percent {
                return Err(BindFault::unsupported("TOP with ties or percent"));
            }
            let limit = match &top.quantity {
                Some(TopQuantity::Constant(n)) => self.arena.int(i128::from(*n)),
                Some(TopQuantity::Expr(e)) => self.expr(e)?,
                None => return Err(BindFault::unsupported("TOP without number")),
            };
            query.block = limited(query.block, keys.clone(), Some(limit), None, None);
        }
        Ok(Ordered { query, order: keys })
    }

    /// DISTINCT ON keeps the first row of each group in the order of the query.
    fn distinct_on(&mut self, block: Block, on: Vec<ExprId>, order: &[OrderKey]) -> Block {
        let func = self.arena.sym("row_number");
        let call = AggCall { func, args: Box::new([]), distinct: false, filter: None, order: Box::new([]) };
        let number = self.arena.window(WindowCall {
            call,
            ignore_nulls: false,
            partition: on.into_boxed_slice(),
            order: order.into(),
            frame: None,
        });
        let col = self.arena.new_col(func, Type::Int(64), false);
        let source = Source::Window(Box::new(Window { input: block, funcs: vec![(col, number)] }));
        let (number, one) = (self.arena.column(col), self.arena.int(1));
        let first = self.arena.cmp(super::super::algebra::CmpOp::Eq, number, one);
        Block { sources: vec![source], filters: vec![first], ..Block::default() }
    }

    fn aliases(&self, projection: &'a [SelectItem]) -> Vec<(String, &'a Expr)> {
        projection
            .iter()
            .filter_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } => Some((self.fold(alias), expr)),
                _ => None,
            })
            .collect()
    }

    fn projection(
        &mut self,
        projection: &'a [SelectItem],
        from: &[sqlparser::ast::TableWithJoins],
    ) -> Result<Vec<(Sym, ExprId)>> {
        if projection.is_empty() {
            if from.is_empty() {
                return Err(BindFault::unsupported("SELECT without columns"));
            }
            return self.star(None);
        }
        let mut outputs = Vec::with_capacity(projection.len());
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = self.output_name(expr);
                    outputs.push((name, self.expr(expr)?));
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let name = self.fold(alias);
                    let name = self.arena.sym(&name);
                    outputs.push((name, self.expr(expr)?));
                }
                SelectItem::Wildcard(options) => {
                    let columns = self.star(None)?;
                    outputs.extend(self.star_options(columns, options)?);
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let mut qualifier = Vec::with_capacity(name.0.len());
                    for part in &name.0 {
                        match part {
                            sqlparser::ast::ObjectNamePart::Identifier(ident) => {
                                qualifier.push(self.fold(ident));
                            }
                            sqlparser::ast::ObjectNamePart::Function(_) => {
                                return Err(BindFault::unsupported(format!("{name}.*")));
                            }
                        }
                    }
                    let columns = match self.star(Some(&qualifier)) {
                        Err(BindFault::MissingTable { .. }) => self.fields_of_column(name)?,
                        columns => columns?,
                    };
                    outputs.extend(self.star_options(columns, options)?);
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(value), options) => {
                    let value = self.expr(value)?;
                    let columns = self.fields_of(value);
                    outputs.extend(self.star_options(columns, options)?);
                }
                SelectItem::ExprWithAliases { expr: Expr::Function(function), aliases } => {
                    let names: Vec<String> = aliases.iter().map(|alias| self.fold(alias)).collect();
                    outputs.extend(self.rows_of_several(function, &names)?);
                }
                SelectItem::ExprWithAliases { .. } => {
                    return Err(BindFault::unsupported("this item of the select list"));
                }
            }
        }
        Ok(outputs)
    }

    /// The name of an output without alias: of a column its name, otherwise its text.
    pub(super) fn output_name(&mut self, expr: &Expr) -> Sym {
        let name = match expr {
            Expr::Identifier(ident) => self.fold(ident),
            Expr::CompoundIdentifier(parts) => parts.last().map(|ident| self.fold(ident)).unwrap_or_default(),
            Expr::Nested(inner) => return self.output_name(inner),
            other => other.to_string().to_lowercase(),
        };
        self.arena.sym(&name)
    }

    fn star_options(
        &mut self,
        mut columns: Vec<(Sym, ExprId)>,
        options: &'a WildcardAdditionalOptions,
    ) -> Result<Vec<(Sym, ExprId)>> {
        if options.opt_ilike.is_some() || options.opt_alias.is_some() {
            return Err(BindFault::unsupported("* ILIKE"));
        }
        let mut excluded: Vec<String> = Vec::new();
        match &options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => excluded.push(self.last_part(name)?),
            Some(ExcludeSelectItem::Multiple(names)) => {
                for name in names {
                    excluded.push(self.last_part(name)?);
                }
            }
            None => {}
        }
        if let Some(except) = &options.opt_except {
            excluded.push(self.fold(&except.first_element));
            excluded.extend(except.additional_elements.iter().map(|ident| self.fold(ident)));
        }
        let named = !excluded.is_empty() || options.opt_replace.is_some() || options.opt_rename.is_some();
        if named {
            self.closed(&columns, "a change of *")?;
        }
        for name in &excluded {
            if !columns.iter().any(|(column, _)| self.arena.text(*column) == name) {
                return Err(BindFault::MissingColumn { name: name.clone(), tables: Vec::new() });
            }
        }
        columns.retain(|(column, _)| !excluded.iter().any(|name| self.arena.text(*column) == name));
        if let Some(replace) = &options.opt_replace {
            for item in &replace.items {
                let name = self.fold(&item.column_name);
                let expr = self.expr(&item.expr)?;
                let Some(found) = columns.iter_mut().find(|(column, _)| self.arena.text(*column) == name)
                else {
                    return Err(BindFault::MissingColumn { name, tables: Vec::new() });
                };
                found.1 = expr;
            }
        }
        let renames: Vec<(String, &Ident)> = match &options.opt_rename {
            Some(RenameSelectItem::Single(item)) => vec![(self.fold(&item.ident), &item.alias)],
            Some(RenameSelectItem::Multiple(items)) => {
                items.iter().map(|item| (self.fold(&item.ident), &item.alias)).collect()
            }
            None => Vec::new(),
        };
        for (from, to) in renames {
            let to = self.fold(to);
            let to = self.arena.sym(&to);
            let Some(found) = columns.iter_mut().find(|(column, _)| self.arena.text(*column) == from) else {
                return Err(BindFault::MissingColumn { name: from, tables: Vec::new() });
            };
            found.0 = to;
        }
        Ok(columns)
    }

    /// The keys of GROUP BY; `None` where there is no such clause.
    pub(super) fn group_keys(
        &mut self,
        group_by: &'a GroupByExpr,
        outputs: &[(Sym, ExprId)],
    ) -> Result<Option<Vec<ExprId>>> {
        match group_by {
            GroupByExpr::All(modifiers) => {
                if !modifiers.is_empty() {
                    return Err(BindFault::unsupported("a modifier of GROUP BY"));
                }
                let aggs = self.scopes.last().map(|scope| scope.aggs.clone()).unwrap_or_default();
                Ok(Some(
                    outputs
                        .iter()
                        .map(|(_, e)| *e)
                        .filter(|e| {
                            let used = self.arena.columns_of(*e);
                            !aggs.iter().any(|(col, _)| used.contains(*col))
                                && self.arena.as_const(*e).is_none()
                        })
                        .collect(),
                ))
            }
            GroupByExpr::Expressions(list, _) => {
                // GROUP BY () is one group, also over no rows.
                if list.is_empty() {
                    return Ok(None);
                }
                if list.iter().all(|item| matches!(item, Expr::Tuple(items) if items.is_empty())) {
                    if self.scopes.last().is_some_and(|scope| scope.aggs.is_empty()) {
                        return Err(BindFault::unsupported("GROUP BY () without an aggregate"));
                    }
                    return Ok(None);
                }
                let mut keys = Vec::with_capacity(list.len());
                for item in list {
                    match item {
                        Expr::Tuple(items) => {
                            for item in items {
                                keys.push(self.group_key(item, outputs)?);
                            }
                        }
                        item => keys.push(self.group_key(item, outputs)?),
                    }
                }
                Ok(Some(keys))
            }
        }
    }

    pub(super) fn group_key(&mut self, item: &'a Expr, outputs: &[(Sym, ExprId)]) -> Result<ExprId> {
        if let Expr::Value(value) = item
            && let Value::Number(number, _) = &value.value
        {
            let position: usize = number.parse().unwrap_or(0);
            self.closed(outputs.get(..position).unwrap_or_default(), "an ordinal")?;
            return outputs
                .get(position.wrapping_sub(1))
                .map(|(_, e)| *e)
                .ok_or_else(|| BindFault::unsupported("an ordinal out of range"));
        }
        self.expr(item)
    }

    fn output_or_expr(&mut self, item: &'a Expr, outputs: &[(Sym, ExprId)]) -> Result<ExprId> {
        if let Expr::Identifier(ident) = item {
            let name = self.fold(ident);
            if let Some((_, e)) = outputs.iter().find(|(output, _)| self.arena.text(*output) == name) {
                return Ok(*e);
            }
        }
        self.group_key(item, outputs)
    }

    /// A window function as a column of the window source that the SELECT will get.
    pub(super) fn add_window(&mut self, call: WindowCall) -> Result<ExprId> {
        let name = call.call.func;
        let expr = self.arena.window(call);
        let Some(scope) = self.scopes.last_mut() else {
            return Err(BindFault::unsupported("a window function here"));
        };
        if let Some((col, _)) = scope.windows.iter().find(|(_, other)| *other == expr) {
            let col = *col;
            return Ok(self.arena.column(col));
        }
        let data_type = self.arena.type_of(expr);
        let nullable = match self.arena.node(expr) {
            Node::Window(call) => !super::super::functions::numbering(self.arena.text(call.call.func)),
            _ => true,
        };
        let col = self.arena.new_col(name, data_type, nullable);
        if let Some(scope) = self.scopes.last_mut() {
            scope.windows.push((col, expr));
        }
        Ok(self.arena.column(col))
    }
}

/// The frame as it works: the default where none is written, and one spelling for the whole partition.
pub(super) fn frame_or_default(frame: Option<Frame>, has_order: bool) -> Frame {
    frame.unwrap_or(Frame {
        units: 'g',
        start: FrameBound::Start,
        end: if has_order { FrameBound::Current } else { FrameBound::End },
    })
}
