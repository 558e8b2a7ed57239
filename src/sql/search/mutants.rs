//! Small changes to the golden. Databases that do not tell them from the golden would not tell a wrong candidate from
//! it either: how many they tell apart is the coverage of a search that found nothing.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    JoinOperator, ObjectName, ObjectNamePart, OrderByExpr, OrderBySort, Query, Select, SetExpr,
    SetQuantifier, Value, VisitMut, VisitorMut,
};

/// Up to `most` mutants, spread over the query; texts, all different from the query's own.
pub fn mutants(query: &Query, most: usize) -> Vec<String> {
    let mut counter = Mutator { target: usize::MAX, sites: 0 };
    let _ = query.clone().visit(&mut counter);
    let sites = counter.sites;
    let original = query.to_string();
    let mut texts = Vec::new();
    let chosen = sites.min(most);
    for n in 0..chosen {
        let mut copy = query.clone();
        let mut mutator = Mutator { target: n * sites / chosen, sites: 0 };
        let _ = copy.visit(&mut mutator);
        let text = copy.to_string();
        if text != original && !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

struct Mutator {
    target: usize,
    sites: usize,
}

impl Mutator {
    /// Counts a place where a change is possible; true at the one to change.
    fn here(&mut self) -> bool {
        self.sites += 1;
        self.sites - 1 == self.target
    }
}

impl VisitorMut for Mutator {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let SetExpr::SetOperation { set_quantifier, .. } = query.body.as_mut()
            && matches!(set_quantifier, SetQuantifier::All | SetQuantifier::None | SetQuantifier::Distinct)
            && self.here()
        {
            *set_quantifier = match set_quantifier {
                SetQuantifier::All => SetQuantifier::None,
                _ => SetQuantifier::All,
            };
        }
        if query.limit_clause.is_some() && self.here() {
            query.limit_clause = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.distinct.is_some() && self.here() {
            select.distinct = None;
        }
        for clause in [&mut select.selection, &mut select.having, &mut select.qualify] {
            if clause.is_some() && self.here() {
                *clause = None;
            }
        }
        for table in &mut select.from {
            for join in &mut table.joins {
                let other = match &join.join_operator {
                    JoinOperator::Join(on) | JoinOperator::Inner(on) => JoinOperator::Left(on.clone()),
                    JoinOperator::Left(on)
                    | JoinOperator::LeftOuter(on)
                    | JoinOperator::Right(on)
                    | JoinOperator::RightOuter(on)
                    | JoinOperator::FullOuter(on) => JoinOperator::Join(on.clone()),
                    _ => continue,
                };
                if self.here() {
                    join.join_operator = other;
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_order_by_expr(&mut self, order: &mut OrderByExpr) -> ControlFlow<()> {
        if self.here() {
            order.options.sort = match order.options.sort {
                Some(OrderBySort::Desc) => None,
                _ => Some(OrderBySort::Desc),
            };
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let replacement = match expr {
            Expr::BinaryOp { left, op, right } => {
                let other = match op {
                    BinaryOperator::Lt => BinaryOperator::LtEq,
                    BinaryOperator::LtEq => BinaryOperator::Lt,
                    BinaryOperator::Gt => BinaryOperator::GtEq,
                    BinaryOperator::GtEq => BinaryOperator::Gt,
                    BinaryOperator::Eq => BinaryOperator::NotEq,
                    BinaryOperator::NotEq => BinaryOperator::Eq,
                    BinaryOperator::Plus => BinaryOperator::Minus,
                    BinaryOperator::Minus => BinaryOperator::Plus,
                    BinaryOperator::Multiply => BinaryOperator::Plus,
                    BinaryOperator::Or => BinaryOperator::And,
                    BinaryOperator::And => {
                        if self.here() {
                            *expr = *left.clone();
                        } else if self.here() {
                            *expr = *right.clone();
                        }
                        return ControlFlow::Continue(());
                    }
                    _ => return ControlFlow::Continue(()),
                };
                if self.here() {
                    *op = other;
                }
                None
            }
            Expr::IsNull(inner) => self.here().then(|| Expr::IsNotNull(inner.clone())),
            Expr::IsNotNull(inner) => self.here().then(|| Expr::IsNull(inner.clone())),
            Expr::InList { negated, .. }
            | Expr::InSubquery { negated, .. }
            | Expr::Exists { negated, .. }
            | Expr::Between { negated, .. }
            | Expr::Like { negated, .. } => {
                if self.here() {
                    *negated = !*negated;
                }
                None
            }
            Expr::Case { else_result, .. } => {
                if else_result.is_some() && self.here() {
                    *else_result = None;
                }
                None
            }
            Expr::Value(value) => {
                match &mut value.value {
                    Value::Number(text, _) => {
                        if let Ok(number) = text.parse::<i64>()
                            && self.here()
                        {
                            *text = number.saturating_add(1).to_string();
                        }
                    }
                    Value::SingleQuotedString(text) if self.here() => {
                        text.push('x');
                    }
                    _ => {}
                }
                None
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_lowercase();
                let rename = |name: &str| ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]);
                let FunctionArguments::List(list) = &mut function.args else {
                    return ControlFlow::Continue(());
                };
                if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
                    if self.here() {
                        list.duplicate_treatment = None;
                    }
                    return ControlFlow::Continue(());
                }
                match name.as_str() {
                    "coalesce" | "ifnull" | "nvl" => match list.args.first() {
                        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) => {
                            let first = first.clone();
                            self.here().then_some(first)
                        }
                        _ => None,
                    },
                    "count" => {
                        if matches!(
                            list.args.as_slice(),
                            [FunctionArg::Unnamed(FunctionArgExpr::Expr(
                                Expr::Identifier(_) | Expr::CompoundIdentifier(_)
                            ))]
                        ) && self.here()
                        {
                            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
                        }
                        None
                    }
                    "sum" | "avg" | "min" | "max" | "rank" | "dense_rank" | "row_number" | "lag" | "lead" => {
                        if self.here() {
                            function.name = rename(match name.as_str() {
                                "sum" | "avg" | "min" => "max",
                                "max" => "min",
                                "lag" => "lead",
                                "lead" => "lag",
                                "rank" => "dense_rank",
                                "dense_rank" => "row_number",
                                _ => "rank",
                            });
                        }
                        None
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(replacement) = replacement {
            *expr = replacement;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;
    use crate::sql::parse::parse_query;

    #[test]
    fn each_mutant_is_another_readable_query() {
        let query = parse_query(
            "select distinct a, count(b) n from t left join u on t.id = u.id where x > 5 and y in ('p') \
             group by a having sum(coalesce(c, 0)) >= 2 limit 3",
            Dialect::DuckDb,
        )
        .expect("the test's SQL parses");
        let mutants = mutants(&query, 50);
        assert!(mutants.len() >= 12, "{mutants:#?}");
        for mutant in &mutants {
            parse_query(mutant, Dialect::DuckDb).expect("a mutant parses");
        }
        assert!(super::mutants(&query, 5).len() <= 5);
    }
}
