//! Queries to outlines.

use std::cell::RefCell;

use sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, GroupByExpr, JoinConstraint, JoinOperator, LimitClause,
    NamedWindowExpr, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, Spanned, TableAlias, TableFactor, WildcardAdditionalOptions, WindowSpec,
};

use super::expr::conjuncts;
use super::merge::{bounded, finish, relabel};
use super::outline::{Block, Item, Join, Output, Rel, Source};
use super::scope::{Entry, Scope};
use super::term::{Kind, Term};
use crate::sql::Schema;

/// Blocks that one relation may hold; a CTE beyond that is kept by name.
const MAX_BLOCKS: usize = 64;
/// Lowers the queries of one text.
pub(super) struct Lower<'a> {
    schema: &'a Schema,
    ctes: RefCell<Vec<(String, Rel)>>,
    windows: RefCell<Vec<(String, WindowSpec)>>,
}

fn lines(span: sqlparser::tokenizer::Span) -> (usize, usize) {
    let number = |n: u64| usize::try_from(n).unwrap_or(0);
    (number(span.start.line), number(span.end.line).max(number(span.start.line)))
}

fn blocks(rel: &Rel) -> usize {
    match rel {
        Rel::Table(_) | Rel::Other(_) => 0,
        Rel::Block(block) => 1 + block.sources.iter().map(|source| blocks(&source.rel)).sum::<usize>(),
        Rel::Set { branches, .. } => 1 + branches.iter().map(blocks).sum::<usize>(),
    }
}

/// A select list, FROM and WHERE on their way to a block.
struct Building<'s> {
    block: Block,
    scope: Scope<'s>,
}

impl<'a> Lower<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self { schema, ctes: RefCell::default(), windows: RefCell::default() }
    }

    pub(super) fn named_window(&self, name: &str) -> Option<WindowSpec> {
        let windows = self.windows.borrow();
        windows.iter().rev().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, spec)| spec.clone())
    }

    /// The outline of a query.
    pub(super) fn query(&self, query: &Query, outer: Option<&Scope<'_>>) -> Rel {
        let known = self.ctes.borrow().len();
        if let Some(with) = &query.with {
            for cte in &with.cte_tables {
                let name = cte.alias.name.value.to_lowercase();
                let rel = if with.recursive && reads(&cte.query, &name) {
                    Rel::Other(format!("recursive {}", cte.query.to_string().to_lowercase()))
                } else {
                    renamed(self.query(&cte.query, outer), Some(&cte.alias))
                };
                self.ctes.borrow_mut().push((name, rel));
            }
        }
        let rel = self.body(&query.body, query, outer);
        self.ctes.borrow_mut().truncate(known);
        rel
    }

    fn body(&self, body: &SetExpr, query: &Query, outer: Option<&Scope<'_>>) -> Rel {
        match body {
            SetExpr::Select(select) => self.select(select, query, outer),
            SetExpr::Query(inner) => self.query(inner, outer),
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
                let name = match op {
                    SetOperator::Union => "UNION",
                    SetOperator::Except | SetOperator::Minus => "EXCEPT",
                    SetOperator::Intersect => "INTERSECT",
                };
                let op = if all { format!("{name} ALL") } else { name.to_owned() };
                let mut branches = Vec::new();
                // The ORDER BY and LIMIT of the whole are not those of a branch.
                let bare = Query { order_by: None, limit_clause: None, with: None, ..query.clone() };
                for side in [left, right] {
                    match self.body(side, &bare, outer) {
                        Rel::Set { op: inner, branches: more, .. } if inner == op && name != "EXCEPT" => {
                            branches.extend(more);
                        }
                        other => branches.push(other),
                    }
                }
                Rel::Set { op, branches, lines: lines(body.span()) }
            }
            other => Rel::Other(other.to_string().to_lowercase()),
        }
    }

    fn item(&self, expr: &Expr, scope: &Scope<'_>) -> Item {
        Item {
            term: bounded(self.expr(expr, scope, 0)),
            sql: one_line(&expr.to_string()),
            lines: lines(expr.span()),
        }
    }

    /// A condition as its conjuncts.
    fn conditions(&self, condition: &Expr, scope: &Scope<'_>) -> Vec<Item> {
        let mut items = Vec::new();
        for part in conjuncts(condition) {
            let item = self.item(part, scope);
            if item.term.kind == Kind::Operator && item.term.label == "and" {
                // BETWEEN is two conditions.
                items.extend(
                    item.term.children.iter().map(|term| Item { term: term.clone(), ..item.clone() }),
                );
            } else {
                items.push(item);
            }
        }
        items
    }

    fn select(&self, select: &Select, query: &Query, outer: Option<&Scope<'_>>) -> Rel {
        let windows = self.windows.borrow().len();
        for named in &select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &named.1 {
                self.windows.borrow_mut().push((named.0.value.clone(), spec.clone()));
            }
        }
        let mut building = Building {
            block: Block { lines: lines(select.span()), ..Block::default() },
            scope: Scope { outer, ..Scope::default() },
        };
        for table in &select.from {
            self.factor(&mut building, &table.relation, Join::Inner, None);
            for join in &table.joins {
                let (kind, constraint) = join_kind(&join.join_operator);
                self.factor(&mut building, &join.relation, kind, constraint);
            }
        }
        if let Some(condition) = &select.selection {
            building.block.filters.extend(self.conditions(condition, &building.scope));
        }
        for item in &select.projection {
            self.output(&mut building, item);
        }
        let Building { mut block, mut scope } = building;
        scope.aliases =
            block.outputs.iter().map(|output| (output.name.clone(), output.item.term.clone())).collect();
        self.grouping(&mut block, &scope, select);
        block.having =
            select.having.iter().flat_map(|condition| self.conditions(condition, &scope)).collect();
        block.qualify =
            select.qualify.iter().flat_map(|condition| self.conditions(condition, &scope)).collect();
        self.order_and_limit(&mut block, &scope, query);
        self.windows.borrow_mut().truncate(windows);
        Rel::Block(Box::new(finish(block)))
    }

    fn grouping(&self, block: &mut Block, scope: &Scope<'_>, select: &Select) {
        let ordinal = |block: &Block, item: Item| {
            let position = match (item.term.kind, item.term.label.parse::<usize>()) {
                (Kind::Literal, Ok(position)) => position,
                _ => return item,
            };
            block.outputs.get(position.wrapping_sub(1)).map_or(item, |output| output.item.clone())
        };
        let has_aggregates = block.outputs.iter().any(|output| output.item.term.has(Kind::Aggregate))
            || select.having.is_some();
        match &select.group_by {
            GroupByExpr::All(_) => {
                let keys = block.outputs.iter().filter(|output| !output.item.term.has(Kind::Aggregate));
                block.group = Some(keys.map(|output| output.item.clone()).collect());
            }
            GroupByExpr::Expressions(keys, _) if !keys.is_empty() => {
                let keys = keys.iter().map(|key| ordinal(block, self.item(key, scope))).collect();
                block.group = Some(keys);
            }
            GroupByExpr::Expressions(..) if has_aggregates => block.group = Some(Vec::new()),
            GroupByExpr::Expressions(..) => {}
        }
        match &select.distinct {
            Some(Distinct::Distinct) => {
                block.is_distinct = true;
                if block.group.is_none() {
                    block.group = Some(block.outputs.iter().map(|output| output.item.clone()).collect());
                }
            }
            Some(Distinct::On(keys)) => {
                block.distinct_on = keys.iter().map(|key| self.item(key, scope)).collect();
            }
            Some(Distinct::All) | None => {}
        }
    }

    fn order_and_limit(&self, block: &mut Block, scope: &Scope<'_>, query: &Query) {
        if let Some(order) = &query.order_by
            && let OrderByKind::Expressions(keys) = &order.kind
        {
            for key in keys {
                let term = self.order_key(key, scope, 0);
                block.order.push(Item { term, sql: one_line(&key.to_string()), lines: lines(key.span()) });
            }
        }
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                block.limit = limit.as_ref().map(|limit| self.item(limit, scope));
                block.offset = offset.as_ref().map(|offset| self.item(&offset.value, scope));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                block.limit = Some(self.item(limit, scope));
                block.offset = Some(self.item(offset, scope));
            }
            None => {}
        }
        if let Some(fetch) = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref()) {
            block.limit = Some(self.item(fetch, scope));
        }
    }

    fn factor(
        &self,
        building: &mut Building<'_>,
        factor: &TableFactor,
        join: Join,
        constraint: Option<&JoinConstraint>,
    ) {
        let (rel, alias, default) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let parts: Vec<String> = name
                    .0
                    .iter()
                    .map(|part| {
                        part.as_ident()
                            .map_or_else(|| part.to_string(), |ident| ident.value.clone())
                            .to_lowercase()
                    })
                    .collect();
                let last = parts.last().cloned().unwrap_or_default();
                let cte = match parts.as_slice() {
                    [only] => self
                        .ctes
                        .borrow()
                        .iter()
                        .rev()
                        .find(|(known, _)| known == only)
                        .map(|(_, rel)| rel.clone()),
                    _ => None,
                };
                let rel = cte
                    .filter(|rel| blocks(rel) <= MAX_BLOCKS)
                    .unwrap_or_else(|| Rel::Table(parts.join(".")));
                (rel, alias.as_ref(), last)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                (self.query(subquery, Some(&building.scope)), alias.as_ref(), String::new())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } if join == Join::Inner => {
                self.factor(building, &table_with_joins.relation, Join::Inner, None);
                for inner in &table_with_joins.joins {
                    let (kind, constraint) = join_kind(&inner.join_operator);
                    self.factor(building, &inner.relation, kind, constraint);
                }
                self.constrain(building, join, constraint, 0);
                return;
            }
            TableFactor::Function { name, alias, .. } => (
                Rel::Other(factor.to_string().to_lowercase()),
                alias.as_ref(),
                name.to_string().to_lowercase(),
            ),
            TableFactor::Table { name, alias, .. } => (
                Rel::Other(without_alias(factor, alias.as_ref())),
                alias.as_ref(),
                name.to_string().to_lowercase(),
            ),
            other => {
                let alias = match other {
                    TableFactor::UNNEST { alias, .. } | TableFactor::TableFunction { alias, .. } => {
                        alias.as_ref()
                    }
                    _ => None,
                };
                (Rel::Other(without_alias(other, alias)), alias, String::new())
            }
        };
        let rel = renamed(rel, alias);
        let alias = alias.map_or(default, |alias| alias.name.value.to_lowercase());
        let before = building.scope.entries.len();
        self.attach(building, rel, alias, join, lines(factor.span()));
        self.constrain(building, join, constraint, before);
    }

    /// Adds a relation to FROM: merged where it only projects and filters, else as a source of its own.
    fn attach(
        &self,
        building: &mut Building<'_>,
        rel: Rel,
        alias: String,
        join: Join,
        lines: (usize, usize),
    ) {
        let block = &mut building.block;
        let mergeable = match &rel {
            Rel::Block(inner)
                if inner.is_simple()
                    && (inner.outputs.iter().all(|output| output.name != "*") || inner.passes_all()) =>
            {
                match join {
                    Join::Inner => true,
                    // Null-extended rows: only plain columns are the same before and after the join.
                    Join::Left => {
                        inner.sources.len() == 1
                            && inner.outputs.iter().all(|output| output.item.term.kind == Kind::Column)
                    }
                    _ => false,
                }
            }
            _ => false,
        };
        let unique = |block: &Block, label: &str| {
            let taken = |label: &str| block.sources.iter().any(|source| source.label == label);
            let mut candidate = label.to_owned();
            let mut number = 1;
            while taken(&candidate) {
                number += 1;
                candidate = format!("{label}#{number}");
            }
            candidate
        };
        match rel {
            Rel::Block(inner) if mergeable => {
                let mut names: Vec<(String, String)> = Vec::new();
                for source in &inner.sources {
                    let base = source.label.split('#').next().unwrap_or(&source.label);
                    let label = unique(block, base);
                    names.push((source.label.clone(), label.clone()));
                    block.sources.push(Source { label, rel: source.rel.clone(), ..source.clone() });
                }
                let rename = |term: &Term| relabel(term, &names);
                let rename_item = |item: &Item| Item { term: rename(&item.term), ..item.clone() };
                let added = block.sources.len() - inner.sources.len();
                for source in &mut block.sources[added..] {
                    source.on = source.on.iter().map(rename_item).collect();
                }
                if join == Join::Left {
                    let filters: Vec<Item> = inner.filters.iter().map(rename_item).collect();
                    if let Some(source) = block.sources.last_mut() {
                        source.join = Join::Left;
                        source.on.extend(filters);
                        source.lines = lines;
                    }
                } else {
                    block.filters.extend(inner.filters.iter().map(rename_item));
                    if let Some(source) = block.sources.get_mut(added) {
                        source.lines = lines;
                    }
                }
                let entry = if inner.passes_all() {
                    let label = names.swap_remove(0).1;
                    Entry { alias, columns: None, label }
                } else {
                    let columns = inner
                        .outputs
                        .iter()
                        .map(|output| (output.name.clone(), rename(&output.item.term)))
                        .collect();
                    Entry { alias, columns: Some(columns), label: String::new() }
                };
                building.scope.entries.push(entry);
            }
            rel => {
                let label = unique(block, &rel.label());
                let names = match &rel {
                    Rel::Table(name) => self
                        .schema
                        .table(name)
                        .map(|(_, table)| table.columns.keys().map(|column| column.to_lowercase()).collect()),
                    other => other.names(),
                };
                let columns = names.map(|names: Vec<String>| {
                    names
                        .into_iter()
                        .map(|name| (name.clone(), Term::leaf(Kind::Column, format!("{label}.{name}"))))
                        .collect()
                });
                building.scope.entries.push(Entry { alias, columns, label: label.clone() });
                block.sources.push(Source { label, rel, join, on: Vec::new(), lines });
            }
        }
    }

    fn constrain(
        &self,
        building: &mut Building<'_>,
        join: Join,
        constraint: Option<&JoinConstraint>,
        before: usize,
    ) {
        let mut items = Vec::new();
        match constraint {
            Some(JoinConstraint::On(condition)) => {
                items = self.conditions(condition, &building.scope);
            }
            Some(JoinConstraint::Using(columns)) => {
                for column in columns {
                    let name = column
                        .0
                        .last()
                        .and_then(|part| part.as_ident())
                        .map(|ident| ident.value.clone())
                        .unwrap_or_default();
                    let side = |entries: &[Entry]| {
                        Scope { entries: entries.to_vec(), ..Scope::default() }.resolve(None, &name)
                    };
                    let (left, right) =
                        building.scope.entries.split_at(before.min(building.scope.entries.len()));
                    let term = super::expr::comparison("=", side(left), side(right));
                    items.push(Item { term, sql: format!("using ({name})"), lines: (0, 0) });
                }
            }
            _ => {}
        }
        let block = &mut building.block;
        if join == Join::Inner {
            block.filters.extend(items);
            return;
        }
        let count = block.sources.len();
        if let Some(source) = block.sources.last_mut() {
            source.on.extend(items);
        }
        // `a RIGHT JOIN b` is `b LEFT JOIN a`.
        if join == Join::Right && count == 2 && block.sources[0].join == Join::Inner {
            block.sources.swap(0, 1);
            block.sources[1].on = std::mem::take(&mut block.sources[0].on);
            block.sources[1].join = Join::Left;
            block.sources[0].join = Join::Inner;
        }
    }

    fn output(&self, building: &mut Building<'_>, item: &SelectItem) {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let item = self.item(expr, &building.scope);
                let name = match expr {
                    Expr::Identifier(ident) => ident.value.to_lowercase(),
                    Expr::CompoundIdentifier(parts) => {
                        parts.last().map(|part| part.value.to_lowercase()).unwrap_or_default()
                    }
                    other => item_name(other),
                };
                building.block.outputs.push(Output { name, item });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let mut item = self.item(expr, &building.scope);
                item.sql = format!("{} as {}", item.sql, alias.value);
                let name = alias.value.to_lowercase();
                // Later items may use the alias, where no column has that name.
                building.scope.aliases.push((name.clone(), item.term.clone()));
                building.block.outputs.push(Output { name, item });
            }
            SelectItem::Wildcard(options) => self.wildcard(building, None, options),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                let alias =
                    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.to_lowercase());
                self.wildcard(building, alias.as_deref(), options);
            }
            other => {
                let text = other.to_string();
                let item = Item {
                    term: Term::leaf(Kind::Other, text.to_lowercase()),
                    sql: text,
                    lines: lines(other.span()),
                };
                building.block.outputs.push(Output { name: "*".to_owned(), item });
            }
        }
    }

    fn wildcard(
        &self,
        building: &mut Building<'_>,
        alias: Option<&str>,
        options: &WildcardAdditionalOptions,
    ) {
        let mut excluded: Vec<String> = Vec::new();
        match &options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => excluded.push(name.to_string().to_lowercase()),
            Some(ExcludeSelectItem::Multiple(names)) => {
                excluded.extend(names.iter().map(|name| name.to_string().to_lowercase()));
            }
            None => {}
        }
        if let Some(except) = &options.opt_except {
            excluded.push(except.first_element.value.to_lowercase());
            excluded.extend(except.additional_elements.iter().map(|name| name.value.to_lowercase()));
        }
        let replaced: Vec<(String, Item)> = options
            .opt_replace
            .iter()
            .flat_map(|replace| &replace.items)
            .map(|element| {
                (element.column_name.value.to_lowercase(), self.item(&element.expr, &building.scope))
            })
            .collect();
        let lines = lines(options.wildcard_token.0.span);
        let mut outputs = Vec::new();
        for entry in
            building.scope.entries.iter().filter(|entry| alias.is_none_or(|alias| entry.alias == alias))
        {
            match &entry.columns {
                Some(columns) => {
                    for (name, term) in columns.iter().filter(|(name, _)| !excluded.contains(name)) {
                        let item = replaced.iter().find(|(column, _)| column == name).map_or_else(
                            || Item { term: term.clone(), sql: name.clone(), lines },
                            |(_, item)| item.clone(),
                        );
                        outputs.push(Output { name: name.clone(), item });
                    }
                }
                None => {
                    let all = Term::leaf(Kind::Column, format!("{}.*", entry.label));
                    // What is taken out of columns that are not known, or replaced, stays text.
                    let but = one_line(&options.to_string());
                    let (term, sql) = if but.is_empty() {
                        (all, "*".to_owned())
                    } else {
                        (Term::new(Kind::Other, but.to_lowercase(), vec![all]), format!("* {but}"))
                    };
                    outputs.push(Output { name: "*".to_owned(), item: Item { term, sql, lines } });
                }
            }
        }
        building.block.outputs.extend(outputs);
    }
}

fn item_name(expr: &Expr) -> String {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => item_name(expr),
        Expr::Identifier(ident) => ident.value.to_lowercase(),
        Expr::CompoundIdentifier(parts) => {
            parts.last().map(|part| part.value.to_lowercase()).unwrap_or_default()
        }
        other => one_line(&other.to_string().to_lowercase()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn without_alias(factor: &TableFactor, alias: Option<&TableAlias>) -> String {
    let text = factor.to_string().to_lowercase();
    let Some(alias) = alias else { return text };
    let suffix = alias.to_string().to_lowercase();
    text.strip_suffix(&suffix).map_or(text.clone(), |rest| rest.trim_end().to_owned())
}

/// The relation with the column names of its alias, `t (a, b)`.
fn renamed(rel: Rel, alias: Option<&TableAlias>) -> Rel {
    let names: Vec<String> = alias
        .iter()
        .flat_map(|alias| &alias.columns)
        .map(|column| column.name.value.to_lowercase())
        .collect();
    match rel {
        Rel::Block(mut block) if !names.is_empty() => {
            for (output, name) in block.outputs.iter_mut().zip(names) {
                output.name = name;
            }
            Rel::Block(block)
        }
        other => other,
    }
}

fn join_kind(operator: &JoinOperator) -> (Join, Option<&JoinConstraint>) {
    use JoinOperator as J;
    match operator {
        J::Join(c) | J::Inner(c) | J::CrossJoin(c) | J::StraightJoin(c) => (Join::Inner, Some(c)),
        J::Left(c) | J::LeftOuter(c) => (Join::Left, Some(c)),
        J::Right(c) | J::RightOuter(c) => (Join::Right, Some(c)),
        J::FullOuter(c) => (Join::Full, Some(c)),
        J::Semi(c) | J::LeftSemi(c) => (Join::Semi, Some(c)),
        J::Anti(c) | J::LeftAnti(c) => (Join::Anti, Some(c)),
        J::AsOf { constraint, .. } | J::RightSemi(constraint) | J::RightAnti(constraint) => {
            (Join::Other, Some(constraint))
        }
        _ => (Join::Other, None),
    }
}

/// Whether a query names a relation.
fn reads(query: &Query, name: &str) -> bool {
    crate::sql::relations::relations(query, crate::sql::Dialect::Generic)
        .iter()
        .any(|relation| relation.name.eq_ignore_ascii_case(name))
}
