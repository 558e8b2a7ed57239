//! What a pair of queries is sensitive to: the constants that each column is compared with, the columns that are
//! compared with each other, row counts that matter, and functions whose result is not determined by the rows.
//!
//! Columns are followed by name, through aliases and equalities; that two unrelated columns of one name fall together
//! costs nothing but aim, since no verdict rests on it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, Ident, JoinOperator, Query, Select, SelectItem, SetExpr, TableFactor,
    Visit, Visitor,
};

use super::distance::{Distance, linear, moment, whole};
use super::reading::{
    arguments, columns, constant, constants, first_column, interval_days, is_length, is_natural,
    is_text_test, plain,
};
use super::telling;
use super::values::Constant;
use crate::sql::clock::{reads_clock, volatile};

/// How a column relates to a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    Equal,
    Less,
    Greater,
    Unequal,
    /// An argument of the same function, an arm of the same CASE.
    Loose,
}

/// Columns that are compared with each other, and what they are compared with.
#[derive(Debug, Clone, Default)]
pub(super) struct Class {
    pub(super) hints: BTreeSet<(Relation, Constant)>,
    /// Cast to a number or a date, or computed with.
    pub(super) numeric: bool,
    pub(super) date: bool,
    /// Its values are added up or counted.
    pub(super) summed: bool,
    /// Compared for equality with another column: what joins rows.
    pub(super) joined: bool,
    /// Below, above another column in a comparison.
    pub(super) low: bool,
    pub(super) high: bool,
}

impl Class {
    /// A comparison for equality with a constant decides which rows are looked at.
    pub(super) fn picks(&self) -> bool {
        self.hints.iter().any(|(relation, _)| *relation == Relation::Equal)
    }
}

/// Two columns of which a query asks how far they lie apart: `high >= low + distance`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gap {
    pub(super) low: String,
    pub(super) high: String,
    pub(super) distance: Distance,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Aims {
    parents: BTreeMap<String, String>,
    classes: BTreeMap<String, Class>,
    /// Every identifier in either query, lower case.
    pub(super) identifiers: BTreeSet<String>,
    /// Row counts that LIMIT, HAVING, rank or frame clauses mention.
    pub(super) counts: BTreeSet<usize>,
    /// Distances between dates, in days.
    pub(super) days: BTreeSet<i64>,
    /// Distances between columns.
    pub(super) gaps: BTreeSet<Gap>,
    /// A function that returns something else each time.
    pub(super) volatile: Option<String>,
    /// `current_date` and the like; the search fixes the clock.
    pub(super) uses_clock: bool,
    /// Some expression reads all columns of a table: `*`, NATURAL, a table's name as a value.
    pub(super) wildcard: bool,
    /// Names and aliases of tables.
    relations: BTreeSet<String>,
    /// Names that stand alone in expressions.
    alone: BTreeSet<String>,
    /// String or number constants that belong to no column.
    pub(super) loose: BTreeSet<Constant>,
}

impl Aims {
    /// The aims of both queries.
    pub(super) fn of(queries: &[&Query]) -> Self {
        let mut aims = Self::default();
        for query in queries {
            let _ = query.visit(&mut aims);
        }
        // `select t from t` reads whole rows of t.
        aims.wildcard |= aims.alone.intersection(&aims.relations).next().is_some();
        aims
    }

    /// The class of a column name.
    pub(super) fn class(&self, column: &str) -> (String, Class) {
        let root = self.root(&column.to_lowercase());
        let class = self.classes.get(&root).cloned().unwrap_or_default();
        (root, class)
    }

    fn root(&self, name: &str) -> String {
        let mut at = name;
        while let Some(parent) = self.parents.get(at) {
            at = parent;
        }
        at.to_owned()
    }

    fn union(&mut self, a: &str, b: &str) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let moved = self.classes.remove(&b).unwrap_or_default();
        let class = self.classes.entry(a.clone()).or_default();
        class.hints.extend(moved.hints);
        class.numeric |= moved.numeric;
        class.date |= moved.date;
        class.summed |= moved.summed;
        class.joined |= moved.joined;
        class.low |= moved.low;
        class.high |= moved.high;
        self.parents.insert(b, a);
    }

    fn class_mut(&mut self, name: &str) -> &mut Class {
        let root = self.root(name);
        self.classes.entry(root).or_default()
    }

    /// Ties the constants of `with` to the columns of `expr`.
    fn relate(&mut self, expr: &Expr, relation: Relation, with: &Expr) {
        let mut constants: Vec<(Relation, Constant)> =
            constants(with).into_iter().map(|constant| (relation, constant)).collect();
        // `date '2024-06-06' - interval '1' week` is about the days on the way.
        if let Some(days) = interval_days(with) {
            let moved: Vec<(Relation, Constant)> = constants
                .iter()
                .flat_map(|(relation, constant)| {
                    super::values::moved(constant, days).into_iter().map(|constant| (*relation, constant))
                })
                .collect();
            constants.extend(moved);
        }
        if !matches!(with, Expr::Value(_))
            && let Some(bound) = moment(with)
                .map(super::values::moment_constant)
                .or_else(|| whole(with).map(|number| Constant::Number(number.to_string())))
        {
            // Where the bound is known, what it is made of lies beside it.
            for (relation, _) in &mut constants {
                *relation = Relation::Loose;
            }
            constants.push((relation, bound));
        }
        if constants.is_empty() {
            return;
        }
        let mut names = BTreeSet::new();
        columns(expr, &mut names);
        let length = is_length(expr);
        for (relation, constant) in constants {
            if let Constant::Number(text) = &constant
                && let Ok(number) = text.parse::<usize>()
                && number <= 200
            {
                self.counts.insert(number);
                if names.len() > 1 {
                    self.days.insert(i64::try_from(number).unwrap_or(0));
                }
            }
            for name in &names {
                let class = self.class_mut(name);
                if let (true, Constant::Number(text)) = (length, &constant) {
                    if let Ok(length) = text.parse::<usize>() {
                        for length in [length.saturating_sub(1), length, length + 1] {
                            class.hints.insert((Relation::Loose, Constant::Length(length)));
                        }
                    }
                } else {
                    class.hints.insert((relation, constant.clone()));
                }
            }
            if names.is_empty() {
                self.loose.insert(constant);
            }
        }
    }

    fn compare(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) {
        let (forward, backward) = match op {
            BinaryOperator::Eq | BinaryOperator::Spaceship => (Relation::Equal, Relation::Equal),
            BinaryOperator::Lt | BinaryOperator::LtEq => (Relation::Less, Relation::Greater),
            BinaryOperator::Gt | BinaryOperator::GtEq => (Relation::Greater, Relation::Less),
            _ => (Relation::Unequal, Relation::Unequal),
        };
        self.relate(left, forward, right);
        self.relate(right, backward, left);
        if let (Some(left), Some(right)) = (linear(left), linear(right))
            && let Some((low, high, distance)) = left.minus(right).gap()
        {
            let is_equality = forward == Relation::Equal && distance.is_zero();
            if low != high && !is_equality {
                self.gaps.insert(Gap { low, high, distance });
            }
        }
        if let (Some(a), Some(b)) = (plain(left), plain(right)) {
            match forward {
                Relation::Equal => {
                    self.union(&a, &b);
                    self.class_mut(&a).joined = true;
                }
                Relation::Less => {
                    self.class_mut(&a).low = true;
                    self.class_mut(&b).high = true;
                }
                Relation::Greater => {
                    self.class_mut(&a).high = true;
                    self.class_mut(&b).low = true;
                }
                Relation::Unequal | Relation::Loose => {}
            }
        }
    }
}

impl Visitor for Aims {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.wildcard |= matches!(query.body.as_ref(), SetExpr::Table(_));
        let mut limits = Vec::new();
        if let Some(limit) = &query.limit_clause {
            limits.push(limit.to_string());
        }
        if let Some(fetch) = &query.fetch {
            limits.push(fetch.to_string());
        }
        for text in limits {
            for word in text.split(|c: char| !c.is_ascii_digit()) {
                if let Ok(number) = word.parse::<usize>()
                    && number <= 200
                {
                    self.counts.insert(number);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        // `from t` alone means `select * from t`.
        self.wildcard |= select.projection.is_empty();
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    let mut names = BTreeSet::new();
                    columns(expr, &mut names);
                    if let (1, Some(name)) = (names.len(), names.first()) {
                        let alias = alias.value.to_lowercase();
                        self.union(name, &alias);
                    }
                }
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => self.wildcard = true,
                _ => {}
            }
        }
        for table in &select.from {
            for join in &table.joins {
                if let JoinOperator::AsOf { match_condition: Expr::BinaryOp { left, right, .. }, .. } =
                    &join.join_operator
                {
                    self.compare(left, &BinaryOperator::Eq, right);
                }
                self.wildcard |= is_natural(&join.join_operator);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let alias = match factor {
            TableFactor::Table { name, alias, .. } => {
                if let Some(part) = name.0.last().and_then(|part| part.as_ident()) {
                    self.relations.insert(part.value.to_lowercase());
                }
                alias
            }
            TableFactor::Derived { alias, .. } | TableFactor::NestedJoin { alias, .. } => alias,
            // Pivots and the like read columns in ways that are not followed.
            _ => {
                self.wildcard = true;
                return ControlFlow::Continue(());
            }
        };
        if let Some(alias) = alias {
            self.relations.insert(alias.name.value.to_lowercase());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_ident(&mut self, ident: &Ident) -> ControlFlow<()> {
        self.identifiers.insert(ident.value.to_lowercase());
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Spaceship => self.compare(left, op, right),
                BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo => {
                    self.relate(left, Relation::Loose, right);
                    self.relate(right, Relation::Loose, left);
                    for (side, other) in [(left, right), (right, left)] {
                        if let Expr::Interval(interval) = side.as_ref() {
                            self.tell(other, &telling::moments_before(&interval.to_string()));
                        } else if let Some(name) = plain(side) {
                            self.class_mut(&name).numeric = true;
                        }
                    }
                }
                _ => {}
            },
            Expr::IsDistinctFrom(left, right) => self.compare(left, &BinaryOperator::NotEq, right),
            Expr::IsNotDistinctFrom(left, right) => self.compare(left, &BinaryOperator::Eq, right),
            Expr::InList { expr, list, .. } => {
                for item in list {
                    self.compare(expr, &BinaryOperator::Eq, item);
                }
            }
            Expr::InSubquery { expr, subquery, .. } => {
                if let (Some(a), Some(b)) = (plain(expr), first_column(subquery)) {
                    self.union(&a, &b);
                }
            }
            Expr::Between { expr, low, high, .. } => {
                self.compare(expr, &BinaryOperator::GtEq, low);
                self.compare(expr, &BinaryOperator::LtEq, high);
            }
            Expr::Like { expr, pattern, .. }
            | Expr::ILike { expr, pattern, .. }
            | Expr::SimilarTo { expr, pattern, .. } => {
                let mut names = BTreeSet::new();
                columns(expr, &mut names);
                for constant in constants(pattern) {
                    if let Constant::Text(text) = constant {
                        for name in &names {
                            let hints = &mut self.class_mut(name).hints;
                            hints.insert((Relation::Equal, Constant::Pattern(text.clone())));
                        }
                    }
                }
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                for when in conditions {
                    if let Some(operand) = operand {
                        self.compare(operand, &BinaryOperator::Eq, &when.condition);
                    }
                    if let Some(other) = else_result {
                        self.relate(&when.result, Relation::Loose, other);
                        self.relate(other, Relation::Loose, &when.result);
                    }
                }
            }
            Expr::Cast { expr, data_type, .. } => {
                if let Some(name) = plain(expr) {
                    let data_type = data_type.to_string().to_ascii_uppercase();
                    let class = self.class_mut(&name);
                    if data_type.contains("DATE") || data_type.contains("TIME") {
                        class.date = true;
                        if data_type == "DATE" {
                            self.tell(expr, &telling::moments("hour"));
                        }
                    } else if ["INT", "DEC", "NUM", "DOUBLE", "FLOAT", "REAL"]
                        .iter()
                        .any(|part| data_type.contains(part))
                    {
                        class.numeric = true;
                    }
                }
            }
            Expr::Extract { field, expr, .. } => {
                if let Some(name) = plain(expr) {
                    self.class_mut(&name).date = true;
                }
                self.tell(expr, &telling::moments(&field.to_string()));
            }
            Expr::AtTimeZone { timestamp, .. } => self.tell(timestamp, &telling::moments("timezone")),
            Expr::Trim { expr, trim_what, trim_characters, .. } => {
                let mut what: Vec<String> = Vec::new();
                for e in trim_what.iter().map(AsRef::as_ref).chain(trim_characters.iter().flatten()) {
                    what.extend(constants(e).into_iter().filter_map(as_text));
                }
                self.tell(expr, &telling::texts("trim", &[], &what));
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let bounds = [substring_from, substring_for];
                let numbers: Vec<usize> =
                    bounds.into_iter().flatten().flat_map(|e| constants(e)).filter_map(as_number).collect();
                self.tell(expr, &telling::texts("substring", &numbers, &[]));
            }
            Expr::Interval(_) => {
                self.days.extend(interval_days(expr));
            }
            Expr::Function(function) => self.function(function),
            Expr::Identifier(ident) => {
                let name = ident.value.to_lowercase();
                // These may be written without parentheses.
                self.uses_clock |= ident.quote_style.is_none() && reads_clock(&name);
                self.alone.insert(name);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn as_text(constant: Constant) -> Option<String> {
    match constant {
        Constant::Text(text) => Some(text),
        _ => None,
    }
}

fn as_number(constant: Constant) -> Option<usize> {
    match constant {
        Constant::Number(text) => text.trim_start_matches('-').parse().ok(),
        _ => None,
    }
}

impl Aims {
    /// Ties values on which a function shows what it does to the columns that it reads.
    fn tell(&mut self, expr: &Expr, values: &[Constant]) {
        if values.is_empty() {
            return;
        }
        let mut names = BTreeSet::new();
        columns(expr, &mut names);
        for name in &names {
            let hints = &mut self.class_mut(name).hints;
            hints.extend(values.iter().map(|value| (Relation::Loose, value.clone())));
        }
    }

    /// The same for a call, by its name and literals.
    fn tell_call(&mut self, name: &str, arguments: &[&Expr]) {
        let literals: Vec<Constant> = arguments
            .iter()
            .filter(|argument| matches!(argument, Expr::Value(_) | Expr::UnaryOp { .. }))
            .flat_map(|argument| constants(argument))
            .collect();
        let numbers: Vec<usize> = literals.iter().cloned().filter_map(as_number).collect();
        let texts: Vec<String> = literals.into_iter().filter_map(as_text).collect();
        let part = match name {
            "date_trunc" | "datetrunc" | "date_part" | "datepart" | "strftime" | "extract" => {
                texts.first().map_or("", String::as_str)
            }
            other => other,
        };
        let mut values = match (name, arguments) {
            ("dateadd" | "date_add" | "timestampadd", [unit, _, _]) => {
                telling::moments_before(&unit.to_string())
            }
            ("date_add" | "date_sub", [_, interval]) => telling::moments_before(&interval.to_string()),
            ("add_months", _) => telling::moments_before("month"),
            _ => telling::moments(part),
        };
        values.extend(telling::texts(name, &numbers, &texts));
        for argument in arguments {
            self.tell(argument, &values);
        }
    }

    fn function(&mut self, function: &Function) {
        let name = function.name.to_string().to_ascii_lowercase();
        let name = name.rsplit('.').next().unwrap_or_default().trim_matches('"');
        if reads_clock(name) {
            self.uses_clock = true;
        }
        if volatile(name) {
            self.volatile.get_or_insert_with(|| name.to_owned());
        }
        if matches!(name, "sum" | "avg" | "count") {
            for argument in arguments(function) {
                if let Some(column) = plain(argument) {
                    self.class_mut(&column).summed = true;
                }
            }
        }
        let arguments = arguments(function);
        if let [text, Expr::Value(value), ..] = arguments.as_slice()
            && let Some(Constant::Text(pattern)) = constant(&value.value)
            && is_text_test(name)
        {
            let mut names = BTreeSet::new();
            columns(text, &mut names);
            // Of a pattern, the words in it.
            for word in
                pattern.split(|c: char| !c.is_alphanumeric() && c != ' ').filter(|word| !word.is_empty())
            {
                for name in &names {
                    let hints = &mut self.class_mut(name).hints;
                    hints.insert((Relation::Equal, Constant::Text(word.to_owned())));
                    hints.insert((Relation::Loose, Constant::Text(format!("x{word}y"))));
                }
            }
        }
        self.tell_call(name, &arguments);
        for (n, argument) in arguments.iter().enumerate() {
            for other in arguments.iter().skip(n + 1) {
                self.relate(argument, Relation::Loose, other);
                self.relate(other, Relation::Loose, argument);
            }
        }
        if let [argument] = arguments.as_slice()
            && let Some(column) = plain(argument)
        {
            let class = self.class_mut(&column);
            match name {
                "sum" | "avg" | "abs" | "round" | "stddev" | "variance" | "median" => class.numeric = true,
                "year" | "month" | "day" | "quarter" | "dayofweek" | "monthname" | "dayname" | "last_day" => {
                    class.date = true;
                }
                _ => {}
            }
        }
        if matches!(name, "date_trunc" | "date_diff" | "datediff" | "date_part" | "strftime" | "dateadd") {
            for argument in &arguments {
                if let Some(column) = plain(argument) {
                    self.class_mut(&column).date = true;
                }
            }
        }
        self.wildcard |= name == "columns";
        if name == "coalesce" || name == "ifnull" || name == "nvl" || name == "nullif" {
            let names: Vec<String> = arguments.iter().filter_map(|argument| plain(argument)).collect();
            if let [first, rest @ ..] = names.as_slice() {
                for other in rest {
                    self.union(first, other);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;
    use crate::sql::parse::parse_query;

    fn aims(sql: &str) -> Aims {
        Aims::of(&[&parse_query(sql, Dialect::DuckDb).expect("the test's SQL parses")])
    }

    #[test]
    fn constants_reach_columns_through_aliases_and_joins() {
        let aims = aims(
            "with o as (select status as s, sum(amount) as total from orders group by 1) \
             select * from o join c on o.s = c.code where o.s in ('x', 'y') and total > 100",
        );
        let (class, status) = aims.class("STATUS");
        assert_eq!(class, aims.class("code").0);
        assert!(status.hints.contains(&(Relation::Equal, Constant::Text("y".to_owned()))));
        let (_, amount) = aims.class("amount");
        assert!(amount.hints.contains(&(Relation::Greater, Constant::Number("100".to_owned()))));
        assert!(amount.numeric);
    }

    #[test]
    fn clocks_and_volatile_functions_are_seen() {
        let found = aims("select random() r from t where d > current_date - interval '2 weeks' limit 5");
        assert_eq!(found.volatile.as_deref(), Some("random"));
        assert!(found.uses_clock);
        assert!(found.days.contains(&14), "{:?}", found.days);
        assert!(found.counts.contains(&5));
    }
}
