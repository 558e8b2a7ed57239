//! What another dialect means by a function, an operator, a cast or a comparison, spelled for DuckDB.
//!
//! Only what is known to give the same value is spelled; of the rest, execution says nothing. Where a dialect fails,
//! DuckDB has to fail as well (`error()`), or give what the dialect gives when it does not fail: rows on which a query
//! fails prove nothing. Texts are compared byte by byte, as all the dialects do in their plainest collation.

use super::print::is_name;
use super::{AggCall, Arena, Const, ExprId, Node};
use crate::sql::types::Type;
use crate::sql::{Dialect, functions};

/// Whether both sides are of one kind, so that nothing is converted by a rule of the dialect.
pub(super) fn comparable(arena: &Arena, a: ExprId, b: ExprId) -> bool {
    let (a, b) = (Kind::of(arena, a), Kind::of(arena, b));
    a == b || a.is_any() || b.is_any() || a.reads(b) || b.reads(a)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not known, or NULL.
    Any,
    Bool,
    Number,
    Text,
    /// A text that is written down: it takes the type of what it stands beside.
    TextLiteral,
    Date,
    Timestamp,
    Other,
}

impl Kind {
    fn of(arena: &Arena, expr: ExprId) -> Self {
        match arena.type_of(expr) {
            Type::Unknown => Self::Any,
            Type::Bool => Self::Bool,
            Type::Int(_) | Type::Decimal(..) | Type::Float(_) => Self::Number,
            Type::Text if matches!(arena.as_const(expr), Some(Const::Text(_))) => Self::TextLiteral,
            Type::Text => Self::Text,
            Type::Date => Self::Date,
            Type::Timestamp => Self::Timestamp,
            Type::TimestampTz | Type::Time | Type::Interval => Self::Other,
        }
    }

    fn is_any(self) -> bool {
        self == Self::Any
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Any | Self::Number)
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::TextLiteral)
    }

    fn is_moment(self) -> bool {
        matches!(self, Self::Date | Self::Timestamp)
    }

    /// A written text beside a text or a moment, a date beside a timestamp.
    fn reads(self, other: Self) -> bool {
        match self {
            Self::TextLiteral => other.is_text() || other.is_moment(),
            Self::Date => other == Self::Timestamp,
            _ => false,
        }
    }
}

/// Whether a cast gives the same value in DuckDB.
pub(super) fn casts(arena: &Arena, from: ExprId, to: Type) -> bool {
    use Dialect::{BigQuery, Databricks, Postgres, Snowflake};
    let dialect = arena.dialect;
    if matches!(arena.as_const(from), Some(Const::Null)) {
        return to != Type::Unknown;
    }
    match (arena.type_of(from), to) {
        (Type::Unknown, _) | (_, Type::Unknown | Type::TimestampTz | Type::Interval) => false,
        (from, to) if from == to => true,
        (Type::Int(_), Type::Int(_) | Type::Decimal(..) | Type::Float(64) | Type::Text) => true,
        (Type::Decimal(..), Type::Float(64)) => true,
        // Half away from zero; Redshift cuts, and Databricks too where it comes to integers.
        (Type::Decimal(_, a), Type::Decimal(_, b)) => {
            a <= b || matches!(dialect, Snowflake | Postgres | Databricks)
        }
        (Type::Decimal(..), Type::Int(_)) => matches!(dialect, Snowflake | Postgres | BigQuery),
        (Type::Decimal(..), Type::Text) => matches!(dialect, Snowflake | Postgres),
        (Type::Float(32), Type::Float(64)) => true,
        (Type::Bool, Type::Text) | (Type::Text, Type::Date | Type::Timestamp) => true,
        (Type::Bool, Type::Int(_)) => matches!(dialect, Snowflake | Postgres | BigQuery),
        (Type::Date, Type::Timestamp | Type::Text) | (Type::Timestamp, Type::Date) => true,
        _ => false,
    }
}

/// Whether an aggregate or window function means the same in DuckDB.
pub(super) fn aggregates(arena: &Arena, call: &AggCall, ignore_nulls: bool) -> bool {
    let kinds: Vec<Kind> = call.args.iter().map(|arg| Kind::of(arena, *arg)).collect();
    match (arena.text(call.func), kinds.as_slice()) {
        ("row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist", []) => true,
        ("ntile" | "lag" | "lead" | "first_value" | "last_value" | "nth_value", _) => true,
        ("count", [] | [_]) => !ignore_nulls,
        ("min" | "max", [_]) => !ignore_nulls,
        ("sum" | "stddev_samp" | "stddev_pop" | "var_samp" | "var_pop", [kind]) => kind.is_number(),
        // Of integers it is an integer in Redshift: what is not known may be one.
        ("avg", [kind]) => {
            kind.is_number()
                && (arena.dialect != Dialect::Redshift || arena.type_of(call.args[0]) != Type::Unknown)
        }
        ("bool_and" | "bool_or", [kind]) => matches!(kind, Kind::Bool | Kind::Any),
        ("string_agg", [text, Kind::TextLiteral]) => text.is_text(),
        _ => false,
    }
}

/// A call as DuckDB spells it; `printed` are its arguments. `None` where none is known to mean the same.
pub(super) fn call(arena: &Arena, name: &str, args: &[ExprId], printed: &[String]) -> Option<String> {
    let call = Call { arena, dialect: arena.dialect, args, printed };
    call.operator(name).or_else(|| call.text_function(name)).or_else(|| call.date_function(name))
}

struct Call<'a> {
    arena: &'a Arena,
    dialect: Dialect,
    args: &'a [ExprId],
    printed: &'a [String],
}

impl Call<'_> {
    fn kind(&self, at: usize) -> Kind {
        self.args.get(at).map_or(Kind::Other, |arg| Kind::of(self.arena, *arg))
    }

    fn all(&self, holds: impl Fn(Kind) -> bool) -> bool {
        (0..self.args.len()).all(|at| holds(self.kind(at)))
    }

    fn data_type(&self, at: usize) -> Type {
        self.args.get(at).map_or(Type::Unknown, |arg| self.arena.type_of(*arg))
    }

    fn number(&self, at: usize) -> Option<i128> {
        match self.arena.as_const(*self.args.get(at)?)? {
            Const::Int(number) => Some(number),
            _ => None,
        }
    }

    fn literal(&self, at: usize) -> Option<&str> {
        match self.arena.as_const(*self.args.get(at)?)? {
            Const::Text(text) => Some(self.arena.text(text)),
            _ => None,
        }
    }

    fn infix(&self, operator: &str) -> String {
        format!("({})", self.printed.join(&format!(" {operator} ")))
    }

    fn plain(&self, name: &str) -> String {
        format!("{name}({})", self.printed.join(", "))
    }

    /// The value where the divisor is not zero.
    fn divided(&self, value: String, divisor: &str) -> String {
        match self.args.get(1).and_then(|arg| self.arena.as_const(*arg)) {
            Some(Const::Int(number) | Const::Decimal(number, _)) if number != 0 => value,
            _ => format!("(CASE WHEN {divisor} = 0 THEN error('division by zero') ELSE {value} END)"),
        }
    }

    fn operator(&self, name: &str) -> Option<String> {
        match (name, self.printed) {
            ("+" | "-" | "*", _) if self.all(Kind::is_number) => Some(self.infix(name)),
            ("+" | "-", [_, _]) => self.moment_arithmetic(name),
            ("/", [a, b]) => self.division(a, b),
            ("%", [_, b]) if self.all(Kind::is_number) => Some(self.divided(self.infix("%"), b)),
            ("neg", [a]) if self.all(Kind::is_number) => Some(format!("(- {a})")),
            ("abs" | "sign" | "floor" | "ceil", [_]) if self.all(Kind::is_number) => Some(self.plain(name)),
            // Halves away from zero; of floats, PostgreSQL rounds them to even.
            ("round", [_] | [_, _]) if is_exact(self.arena, self.args[0]) => {
                (self.args.len() == 1 || self.number(1).is_some_and(|n| n >= 0)).then(|| self.plain(name))
            }
            ("greatest" | "least", [_, ..]) => {
                let first = self.kind(0);
                if first == Kind::Other || !self.all(|kind| kind == first || kind.is_any()) {
                    return None;
                }
                // NULL where any is in these; elsewhere NULL is passed over.
                if matches!(self.dialect, Dialect::Snowflake | Dialect::BigQuery) {
                    let null: Vec<String> = self.printed.iter().map(|arg| format!("{arg} IS NULL")).collect();
                    return Some(format!(
                        "(CASE WHEN {} THEN NULL ELSE {} END)",
                        null.join(" OR "),
                        self.plain(name)
                    ));
                }
                Some(self.plain(name))
            }
            // Of NULL divided by zero nothing is known.
            ("div0", [a, b]) if self.dialect == Dialect::Snowflake => {
                let quotient = self.division(a, b)?;
                Some(format!(
                    "(CASE WHEN {b} = 0 THEN CASE WHEN {a} IS NULL THEN error('NULL by zero') ELSE 0 END ELSE {quotient} END)"
                ))
            }
            _ => None,
        }
    }

    fn division(&self, a: &str, b: &str) -> Option<String> {
        let (left, right) = (self.data_type(0), self.data_type(1));
        let value = match (self.dialect, left, right) {
            (Dialect::Postgres | Dialect::Redshift, Type::Int(_), Type::Int(_)) => format!("({a} // {b})"),
            (Dialect::BigQuery | Dialect::Databricks, Type::Int(_), Type::Int(_)) => format!("({a} / {b})"),
            (_, Type::Float(64), Type::Float(64) | Type::Int(_)) | (_, Type::Int(_), Type::Float(64)) => {
                format!("({a} / {b})")
            }
            // Sixteen digits or more.
            (Dialect::Postgres, Type::Int(_) | Type::Decimal(..), Type::Int(_) | Type::Decimal(..)) => {
                format!("({a} / {b})")
            }
            (Dialect::Snowflake, _, Type::Int(_) | Type::Decimal(..)) => {
                format!("round({a} / {b}, {})", functions::division_scale(left)?)
            }
            _ => return None,
        };
        Some(self.divided(value, b))
    }

    /// Days and intervals added to dates and timestamps, in either order.
    fn moment_arithmetic(&self, operator: &str) -> Option<String> {
        use Dialect::{BigQuery, Databricks, Postgres, Redshift, Snowflake};
        let (left, right) = (self.kind(0), self.kind(1));
        let days = matches!(self.dialect, Postgres | Redshift | Snowflake);
        match (left, right) {
            (Kind::Date, Kind::Date) if operator == "-" && days => return Some(self.infix(operator)),
            (Kind::Date, _) | (_, Kind::Date)
                if days && [0, 1].iter().any(|at| self.data_type(*at).is_int()) =>
            {
                return (operator == "+" || left == Kind::Date).then(|| self.infix(operator));
            }
            _ => {}
        }
        let (moment, interval) = if left.is_moment() { (0, 1) } else { (1, 0) };
        if !self.kind(moment).is_moment() || operator == "-" && moment == 1 {
            return None;
        }
        let whole_days = self
            .interval_unit(interval)
            .map(|unit| ["year", "quarter", "month", "week", "day"].contains(&unit.trim_end_matches('s')))?;
        match (self.kind(moment), self.dialect) {
            (Kind::Timestamp, _) | (Kind::Date, Postgres | Redshift | BigQuery) => Some(self.infix(operator)),
            (Kind::Date, Snowflake | Databricks) if whole_days => {
                Some(format!("CAST({} AS DATE)", self.infix(operator)))
            }
            _ => None,
        }
    }

    /// The unit of an interval that has only one.
    fn interval_unit(&self, at: usize) -> Option<String> {
        let expr = *self.args.get(at)?;
        match self.arena.node(expr) {
            Node::Const(Const::Typed(Type::Interval, text)) => {
                let mut words = self.arena.text(*text).split_ascii_whitespace();
                match (words.next(), words.next(), words.next()) {
                    (Some(_), Some(unit), None) => Some(unit.to_owned()),
                    _ => None,
                }
            }
            Node::Call(func, _) => self.arena.text(*func).strip_prefix("interval ").map(str::to_owned),
            _ => None,
        }
    }

    fn text_function(&self, name: &str) -> Option<String> {
        use Dialect::{BigQuery, Databricks, Postgres, Redshift, Snowflake};
        let dialect = self.dialect;
        let text = |at: usize| self.kind(at).is_text();
        let from_one = |at: usize| self.number(at).is_some_and(|number| number >= 1);
        let not_empty = |at: usize| self.literal(at).is_some_and(|text| !text.is_empty());
        match (name, self.printed) {
            ("||", [_, _, ..]) if self.all(|kind| kind.is_text()) => Some(self.infix("||")),
            // NULL where any is, but in PostgreSQL.
            ("concat", [_, ..]) if self.all(|kind| kind.is_text()) => Some(match dialect {
                Postgres => self.plain(name),
                _ => self.infix("||"),
            }),
            ("lower" | "upper" | "length" | "reverse", [_]) if text(0) => Some(self.plain(name)),
            ("md5", [_]) if text(0) && dialect != BigQuery => Some(self.plain(name)),
            ("trim" | "ltrim" | "rtrim", [_])
                if text(0) && matches!(dialect, Snowflake | Postgres | Databricks) =>
            {
                Some(self.plain(name))
            }
            ("substring", [_, _]) if text(0) && from_one(1) => Some(self.plain(name)),
            ("substring", [_, _, _])
                if text(0) && from_one(1) && self.number(2).is_some_and(|length| length >= 0) =>
            {
                Some(self.plain(name))
            }
            ("left" | "right", [_, _]) if text(0) && self.number(1).is_some_and(|length| length >= 0) => {
                Some(self.plain(name))
            }
            ("replace", [_, _, _]) if text(0) && text(2) && not_empty(1) => Some(self.plain(name)),
            ("split_part", [_, _, _]) if text(0) && not_empty(1) && from_one(2) && dialect != BigQuery => {
                Some(self.plain(name))
            }
            ("starts_with" | "ends_with" | "contains", [_, _]) if text(0) && text(1) => {
                Some(self.plain(name))
            }
            ("instr", [_, _]) if text(0) && not_empty(1) => Some(self.plain(name)),
            // A backslash escapes in some.
            ("like" | "ilike", [_, _]) if text(0) && self.literal(1).is_some_and(|p| !p.contains('\\')) => {
                Some(self.infix(name))
            }
            ("to_date", [value]) if text(0) && matches!(dialect, Snowflake | Databricks | Redshift) => {
                Some(format!("CAST({value} AS DATE)"))
            }
            _ => None,
        }
    }

    fn date_function(&self, name: &str) -> Option<String> {
        use Dialect::{BigQuery, Databricks, Postgres, Redshift, Snowflake};
        let dialect = self.dialect;
        match (name, self.printed) {
            ("current_date", []) => Some("current_date".to_owned()),
            (_, [number]) if name.starts_with("interval ") => {
                let unit = name.trim_start_matches("interval ");
                (is_name(unit) && self.data_type(0).is_int()).then(|| format!("to_{unit}s({number})"))
            }
            ("date_trunc", [a, b]) => {
                // BigQuery has the unit last, and weeks that begin on Sunday.
                let (at, unit, value) =
                    if dialect == BigQuery { (0, self.literal(1)?, a) } else { (1, self.literal(0)?, b) };
                let sunday = dialect == BigQuery && unit == "week";
                let unit = match unit {
                    "year" | "quarter" | "month" | "week" | "day" | "hour" | "minute" | "second" => unit,
                    "isoweek" | "week(monday)" if dialect == BigQuery => "week",
                    _ => return None,
                };
                let result = match (self.data_type(at), dialect) {
                    (Type::Date, Snowflake | BigQuery) => "DATE",
                    (Type::Date, Redshift | Databricks) | (Type::Timestamp, _) => "TIMESTAMP",
                    // With a time zone, in PostgreSQL.
                    _ => return None,
                };
                Some(if sunday {
                    format!("CAST(date_trunc('week', {value} + to_days(1)) - to_days(1) AS {result})")
                } else {
                    format!("CAST(date_trunc('{unit}', {value}) AS {result})")
                })
            }
            ("date_part", [_, value]) if self.kind(1).is_moment() => {
                let part = match self.literal(0)? {
                    part @ ("year" | "quarter" | "month" | "day" | "doy") => part,
                    part @ ("hour" | "minute") if self.data_type(1) == Type::Timestamp => part,
                    "week" if dialect != BigQuery => "week",
                    "dow" if matches!(dialect, Postgres | Redshift | Snowflake) => "dow",
                    "dow" if matches!(dialect, BigQuery | Databricks) => {
                        return Some(format!("(date_part('dow', {value}) + 1)"));
                    }
                    _ => return None,
                };
                Some(format!("date_part('{part}', {value})"))
            }
            ("date_diff", [_, from, to]) if matches!(dialect, Snowflake | Redshift) => {
                let unit = boundary(self.literal(0)?)?;
                (self.kind(1).is_moment() && self.kind(2).is_moment())
                    .then(|| format!("date_diff('{unit}', {from}, {to})"))
            }
            ("date_diff", [to, from, _]) if dialect == BigQuery => {
                let unit = boundary(self.literal(2)?)?;
                (self.kind(0) == Kind::Date && self.kind(1) == Kind::Date)
                    .then(|| format!("date_diff('{unit}', {from}, {to})"))
            }
            ("date_diff", [to, from]) if dialect == Databricks => (self.kind(0) == Kind::Date
                && self.kind(1) == Kind::Date)
                .then(|| format!("date_diff('day', {from}, {to})")),
            ("dateadd", [_, number, value]) if matches!(dialect, Snowflake | Redshift) => {
                let unit = self.literal(0)?;
                let whole_days = ["year", "quarter", "month", "week", "day"].contains(&unit);
                if !self.data_type(1).is_int()
                    || !(whole_days || ["hour", "minute", "second"].contains(&unit))
                {
                    return None;
                }
                let sum = format!("({value} + to_{unit}s({number}))");
                match (self.data_type(2), dialect) {
                    (Type::Date, Snowflake) if whole_days => Some(format!("CAST({sum} AS DATE)")),
                    (Type::Date | Type::Timestamp, _) => Some(sum),
                    _ => None,
                }
            }
            ("date_add" | "date_sub", [value, interval]) if self.data_type(0) == Type::Date => {
                let sign = if name == "date_add" { "+" } else { "-" };
                let interval = match dialect {
                    Databricks if self.data_type(1).is_int() => format!("to_days({interval})"),
                    BigQuery => {
                        self.interval_unit(1)?;
                        interval.clone()
                    }
                    _ => return None,
                };
                Some(format!("CAST({value} {sign} {interval} AS DATE)"))
            }
            ("last_day", [_]) if self.kind(0).is_moment() && dialect != Postgres => Some(self.plain(name)),
            _ => None,
        }
    }
}

/// Whether a number is no float: the type of decimal arithmetic is not followed, but its kind is.
fn is_exact(arena: &Arena, expr: ExprId) -> bool {
    match arena.node(expr) {
        Node::Call(func, args) => match arena.text(*func) {
            "+" | "-" | "*" | "neg" => args.iter().all(|arg| is_exact(arena, *arg)),
            "/" if arena.dialect == Dialect::Snowflake => args.iter().all(|arg| is_exact(arena, *arg)),
            _ => arena.type_of(expr).is_exact(),
        },
        _ => arena.type_of(expr).is_exact(),
    }
}

/// Units whose boundaries are counted between two moments.
fn boundary(unit: &str) -> Option<&str> {
    ["year", "quarter", "month", "day", "hour", "minute", "second"].contains(&unit).then_some(unit)
}
