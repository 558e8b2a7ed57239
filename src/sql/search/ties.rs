//! Queries that leave it open which of equal rows they return: a LIMIT whose order ties, a `row_number` over groups.
//!
//! Another order of the input rows shows most of that, but not what is grouped or joined first: DuckDB returns groups and
//! matches in an order of its own. So each query also runs with its ties broken one way and the other.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, Function, GroupByExpr, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, OrderBySort,
    Query, Select, SelectItem, SetExpr, Value, Visit, VisitMut, Visitor, VisitorMut, WindowFrameUnits,
    WindowType,
};

/// The query with its ties broken upwards and downwards; `None` where there is nothing to break.
pub(super) fn broken(query: &Query) -> Option<[String; 2]> {
    let broken = |sort: OrderBySort| {
        let mut copy = query.clone();
        let mut breaker = Breaker { sort, changed: false };
        let _ = VisitMut::visit(&mut copy, &mut breaker);
        breaker.changed.then(|| copy.to_string())
    };
    Some([broken(OrderBySort::Asc)?, broken(OrderBySort::Desc)?])
}

/// Whether nothing but an outermost LIMIT depends on the order of rows, so that the number of rows does not.
pub(super) fn has_certain_count(query: &Query) -> bool {
    let mut outer = query.clone();
    outer.limit_clause = None;
    outer.fetch = None;
    outer.order_by = None;
    let mut finder = Finder;
    Visit::visit(&outer, &mut finder).is_continue()
}

struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if query.limit_clause.is_some() || query.fetch.is_some() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if matches!(select.distinct, Some(Distinct::On(_))) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        const OPEN: [&str; 14] = [
            "first",
            "last",
            "any_value",
            "arbitrary",
            "arg_max",
            "arg_min",
            "max_by",
            "min_by",
            "string_agg",
            "group_concat",
            "listagg",
            "list",
            "array_agg",
            "mode",
        ];
        if let Expr::Function(function) = expr
            && (function.over.is_some()
                || OPEN.contains(&function.name.to_string().to_ascii_lowercase().as_str()))
        {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

struct Breaker {
    sort: OrderBySort,
    changed: bool,
}

impl Breaker {
    fn by(&self, expr: Expr) -> OrderByExpr {
        // DuckDB puts NULLs last both ways.
        let nulls_first = (self.sort == OrderBySort::Desc).then_some(true);
        let options = OrderByOptions { sort: Some(self.sort.clone()), nulls_first };
        OrderByExpr { expr, options, with_fill: None }
    }

    /// Orders by every output column last.
    fn order(&mut self, query: &mut Query) {
        let Some(width) = width(&query.body) else { return };
        let last: Vec<OrderByExpr> = (1..=width)
            .map(|position| self.by(Expr::Value(Value::Number(position.to_string(), false).into())))
            .collect();
        match &mut query.order_by {
            Some(OrderBy { kind: OrderByKind::Expressions(orders), .. }) => orders.extend(last),
            Some(_) => return,
            None => {
                let kind = OrderByKind::Expressions(last);
                query.order_by = Some(OrderBy { kind, interpolate: None });
            }
        }
        self.changed = true;
    }
}

/// The number of columns, where no `*` hides it.
fn width(body: &SetExpr) -> Option<usize> {
    match body {
        SetExpr::Select(select) => select
            .projection
            .iter()
            .all(|item| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }))
            .then_some(select.projection.len()),
        SetExpr::Query(query) => width(&query.body),
        SetExpr::SetOperation { left, .. } => width(left),
        _ => None,
    }
}

/// The expressions of GROUP BY, positions resolved.
fn grouped_by(select: &Select) -> Vec<Expr> {
    let GroupByExpr::Expressions(exprs, _) = &select.group_by else { return Vec::new() };
    let resolved = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => {
                match select.projection.get(text.parse::<usize>().ok()?.checked_sub(1)?)? {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                        Some(expr.clone())
                    }
                    _ => None,
                }
            }
            _ => None,
        },
        other => Some(other.clone()),
    };
    exprs.iter().filter_map(resolved).collect()
}

impl VisitorMut for Breaker {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if query.limit_clause.is_some() || query.fetch.is_some() {
            self.order(query);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let groups = grouped_by(select);
        // What is alike in all that the query reads of a row is alike in the result, whichever comes first.
        let keys = if groups.is_empty() { Columns::of(select) } else { groups };
        if keys.is_empty() {
            return ControlFlow::Continue(());
        }
        let last: Vec<OrderByExpr> = keys.into_iter().map(|expr| self.by(expr)).collect();
        let mut windows = Windows { last, depth: 0, changed: false };
        for item in &mut select.projection {
            let _ = VisitMut::visit(item, &mut windows);
        }
        let _ = VisitMut::visit(&mut select.qualify, &mut windows);
        self.changed |= windows.changed;
        ControlFlow::Continue(())
    }
}

/// The columns that a SELECT without grouping reads, outside of its subqueries.
#[derive(Default)]
struct Columns {
    found: Vec<Expr>,
    depth: usize,
    aggregates: bool,
}

impl Columns {
    fn of(select: &Select) -> Vec<Expr> {
        let mut columns = Self::default();
        let _ = Visit::visit(&select.projection, &mut columns);
        let _ = Visit::visit(&select.selection, &mut columns);
        let _ = Visit::visit(&select.qualify, &mut columns);
        let _ = Visit::visit(&select.from, &mut columns);
        if columns.aggregates {
            return Vec::new();
        }
        let is_alias = |expr: &Expr| {
            matches!(expr, Expr::Identifier(name) if select.projection.iter().any(|item| {
                matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value.eq_ignore_ascii_case(&name.value))
            }))
        };
        columns.found.retain(|expr| !is_alias(expr));
        columns.found
    }
}

impl Visitor for Columns {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) if !self.found.contains(expr) => {
                self.found.push(expr.clone());
            }
            Expr::Function(function) if function.over.is_none() => {
                let name = function.name.to_string().to_ascii_lowercase();
                self.aggregates |= crate::sql::functions::aggregate(&name);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Adds to the order of window functions that number rows.
struct Windows {
    last: Vec<OrderByExpr>,
    /// Subqueries around what is visited: their windows number other rows.
    depth: usize,
    changed: bool,
}

impl Windows {
    fn add(&mut self, function: &mut Function) {
        let name = function.name.to_string().to_ascii_lowercase();
        let numbers = matches!(name.as_str(), "row_number" | "lag" | "lead" | "first_value" | "ntile");
        let Some(WindowType::WindowSpec(window)) = &mut function.over else { return };
        // A frame of RANGE or GROUPS takes rows with equal keys together.
        let counts_rows =
            window.window_frame.as_ref().is_some_and(|frame| frame.units == WindowFrameUnits::Rows);
        if numbers || counts_rows {
            window.order_by.extend(self.last.clone());
            self.changed = true;
        }
    }
}

impl VisitorMut for Windows {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Function(function) = expr
        {
            self.add(function);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;
    use crate::sql::parse::parse_query;

    fn query(sql: &str) -> Query {
        parse_query(sql, Dialect::DuckDb).expect("the test's SQL parses")
    }

    #[test]
    fn ties_are_broken_by_the_output() {
        let [up, down] = broken(&query("select s, count(*) from t group by s order by 2 desc limit 1"))
            .expect("has a limit");
        assert!(up.ends_with("ORDER BY 2 DESC, 1 ASC, 2 ASC LIMIT 1"), "{up}");
        assert!(down.ends_with("ORDER BY 2 DESC, 1 DESC NULLS FIRST, 2 DESC NULLS FIRST LIMIT 1"), "{down}");
        let window = "select s, row_number() over (order by count(*)) from t group by 1";
        assert!(broken(&query(window)).expect("numbers groups")[0].contains("count(*), s ASC"));
        let plain = "select s, row_number() over (partition by s order by a) as n from t where b > 1";
        assert!(
            broken(&query(plain)).expect("numbers rows")[1]
                .contains("a, s DESC NULLS FIRST, a DESC NULLS FIRST, b DESC")
        );
        let inner =
            "select s, (select max(r) from (select row_number() over (order by x) r from u) q) from t";
        assert!(broken(&query(inner)).expect("numbers rows")[0].contains("ORDER BY x, x ASC"));
        let running = "select sum(a) over (order by s rows unbounded preceding) from t";
        assert!(broken(&query(running)).expect("counts rows")[0].contains("s, a ASC, s ASC ROWS"));
        assert!(broken(&query("select sum(a) over (order by s) from t")).is_none());
        let over_all = "select sum(a), row_number() over (order by sum(a)) from t";
        assert!(broken(&query(over_all)).is_none());
        assert!(broken(&query("select s, rank() over (order by count(*)) from t group by 1")).is_none());
        assert!(broken(&query("select s from t order by 1")).is_none());
        assert!(broken(&query("select * from t limit 1")).is_none());
    }

    #[test]
    fn only_an_outer_limit_leaves_the_count_certain() {
        for (sql, certain) in [
            ("select s from t order by 1 limit 3", true),
            ("select s from (select * from t limit 2) x limit 3", false),
            ("select s from t qualify row_number() over (order by s) = 1", false),
            ("select distinct on (s) s, a from t", false),
            ("select s, first(a) from t group by 1 limit 1", false),
        ] {
            assert_eq!(has_certain_count(&query(sql)), certain, "{sql}");
        }
    }
}
