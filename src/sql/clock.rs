//! Queries whose rows depend on when, or how often, they are run: rows of such a query prove nothing.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Visit, Visitor};

/// The first call in a query that reads the clock or gives another value each time, as it is written there in lower
/// case.
pub fn unsteady_call(query: &Query) -> Option<String> {
    struct Calls;
    impl Visitor for Calls {
        type Break = String;
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
            let name = match expr {
                Expr::Function(call) => call.name.to_string().to_lowercase(),
                // Without parentheses only the standard's own names are calls, and only unquoted.
                Expr::Identifier(word) if word.quote_style.is_none() => {
                    let word = word.value.to_lowercase();
                    if !word.starts_with("current_") && !word.starts_with("local") {
                        return ControlFlow::Continue(());
                    }
                    word
                }
                _ => return ControlFlow::Continue(()),
            };
            if reads_clock(&name) || volatile(&name) {
                return ControlFlow::Break(name);
            }
            ControlFlow::Continue(())
        }
    }
    match query.visit(&mut Calls) {
        ControlFlow::Break(name) => Some(name),
        ControlFlow::Continue(()) => None,
    }
}

/// Functions whose value is the time of the query.
pub(crate) fn reads_clock(name: &str) -> bool {
    matches!(
        name,
        "current_date"
            | "current_time"
            | "current_timestamp"
            | "current_datetime"
            | "current_localtime"
            | "current_localtimestamp"
            | "localtime"
            | "localtimestamp"
            | "now"
            | "today"
            | "getdate"
            | "get_current_time"
            | "get_current_timestamp"
            | "sysdate"
            | "systimestamp"
            | "sysdatetime"
            | "transaction_timestamp"
            | "statement_timestamp"
            | "curdate"
            | "curtime"
            | "unix_timestamp"
    )
}

/// Functions that give another value on each call, or one that nobody but the session knows.
pub(crate) fn volatile(name: &str) -> bool {
    matches!(
        name,
        "random"
            | "rand"
            | "uuid"
            | "gen_random_uuid"
            | "newid"
            | "generate_uuid"
            | "uuid_string"
            | "nextval"
            | "setseed"
            | "uuidv4"
            | "uuidv7"
            | "using_sample"
            | "seq1"
            | "seq2"
            | "seq4"
            | "seq8"
            | "randstr"
            | "normal"
            | "uniform"
            | "clock_timestamp"
            | "timeofday"
            | "txid_current"
            | "currval"
            | "getvariable"
            | "current_setting"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;
    use crate::sql::parse::parse_query;

    fn found(sql: &str) -> Option<String> {
        unsteady_call(&parse_query(sql, Dialect::DuckDb).expect("it parses"))
    }

    #[test]
    fn clocks_and_dice_are_found_wherever_they_stand() {
        assert_eq!(found("select current_date as day from t").as_deref(), Some("current_date"));
        assert_eq!(
            found("select 1 from t where d > CURRENT_TIMESTAMP - interval 1 day").as_deref(),
            Some("current_timestamp")
        );
        assert_eq!(found("with a as (select now() as n) select n from a").as_deref(), Some("now"));
        assert_eq!(
            found("select * from t where a in (select b from u order by random() limit 1)").as_deref(),
            Some("random")
        );
    }

    #[test]
    fn columns_and_fixed_dates_are_no_clocks() {
        assert_eq!(found("select \"current_date\", t.now, today from t where d = date '2026-01-01'"), None);
        assert_eq!(found("select date_trunc('day', ordered_at) from t"), None);
    }
}
