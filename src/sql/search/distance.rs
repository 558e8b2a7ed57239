//! How far apart a query wants two columns to be: `b >= a + interval '1 day'`, `date_diff('hour', a, b) > 4`, `a < b`.

use jiff::ToSpan;
use jiff::civil::DateTime;
use sqlparser::ast::{BinaryOperator, DataType, Expr, Value};

use super::reading::{arguments, plain};
use super::values::{clock, parse_timestamp};
use crate::sql::clock::reads_clock;

/// Seconds of a day, which is what a bare number means between dates.
const DAY: i64 = 86_400;

/// A distance in time; between numbers, days stand for ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Distance {
    pub(super) months: i64,
    pub(super) seconds: i64,
}

impl Distance {
    /// No distance at all.
    pub(super) fn is_zero(self) -> bool {
        self == Self::default()
    }

    fn times(self, n: i64) -> Self {
        Self { months: self.months.saturating_mul(n), seconds: self.seconds.saturating_mul(n) }
    }

    /// The same distance the other way.
    pub(super) fn negated(self) -> Self {
        self.times(-1)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            months: self.months.saturating_add(other.months),
            seconds: self.seconds.saturating_add(other.seconds),
        }
    }

    /// The distance as a number, for columns that hold numbers.
    pub(super) fn number(self) -> Option<i64> {
        (self.months == 0 && self.seconds % DAY == 0).then_some(self.seconds / DAY)
    }

    /// The moment that lies this far from another.
    pub(super) fn after(self, moment: DateTime) -> Option<DateTime> {
        let bounded = |n: i64, most: i64| (-most..=most).contains(&n).then_some(n);
        let months = bounded(self.months, 12_000)?;
        let seconds = bounded(self.seconds, 400 * 365 * DAY)?;
        moment.checked_add(months.months()).ok()?.checked_add(seconds.seconds()).ok()
    }

    fn of_unit(unit: &str) -> Option<Self> {
        let unit = unit.trim().trim_matches('\'').to_ascii_lowercase();
        let (months, seconds) = match unit.trim_end_matches('s') {
            "year" | "yr" | "y" => (12, 0),
            "quarter" => (3, 0),
            "month" | "mon" => (1, 0),
            "week" => (0, 7 * DAY),
            "day" | "d" => (0, DAY),
            "hour" | "h" => (0, 3_600),
            "minute" | "min" => (0, 60),
            // The values that are tried are whole seconds.
            "second" | "sec" | "millisecond" | "microsecond" => (0, 1),
            _ => return None,
        };
        Some(Self { months, seconds })
    }

    /// An interval, or a number of days.
    fn constant(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Nested(inner) => Self::constant(inner),
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) => Some(Self { months: 0, seconds: DAY }.times(text.parse().ok()?)),
                _ => None,
            },
            _ => Self::of_interval(expr),
        }
    }

    /// The first number of an interval and its unit.
    fn of_interval(expr: &Expr) -> Option<Self> {
        let Expr::Interval(interval) = expr else { return None };
        let text = interval.to_string().to_ascii_lowercase();
        let text = text.trim_start_matches("interval");
        let number = text
            .split(|c: char| !c.is_ascii_digit() && c != '-')
            .find_map(|word| word.parse::<i64>().ok())
            .unwrap_or(1);
        let unit = text.split(|c: char| !c.is_ascii_alphabetic()).find_map(Self::of_unit)?;
        Some(unit.times(number))
    }
}

/// The moment that an expression without columns is: a date literal, the clock, truncated, moved by intervals.
pub(super) fn moment(expr: &Expr) -> Option<DateTime> {
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => {
            let found = moment(inner)?;
            let is_date = matches!(expr, Expr::Cast { data_type, .. } if *data_type == DataType::Date);
            Some(if is_date { found.date().at(0, 0, 0, 0) } else { found })
        }
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => parse_timestamp(text),
            _ => None,
        },
        Expr::TypedString(string) => match &string.value.value {
            Value::SingleQuotedString(text) => parse_timestamp(text),
            _ => None,
        },
        Expr::BinaryOp { left, op: BinaryOperator::Plus, right } => {
            Distance::constant(right)?.after(moment(left)?)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
            Distance::constant(right)?.negated().after(moment(left)?)
        }
        Expr::Identifier(ident) if reads_clock(&ident.value.to_lowercase()) => clock_of(&ident.value),
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            match (name.as_str(), arguments(function).as_slice()) {
                ("date_trunc" | "datetrunc", [unit, inner]) => truncated(&unit.to_string(), moment(inner)?),
                ("date", [inner]) => Some(moment(inner)?.date().at(0, 0, 0, 0)),
                (name, []) if reads_clock(name) => clock_of(name),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The whole number that an expression without columns is: `extract(year from date '2024-06-06') - 2`.
pub(super) fn whole(expr: &Expr) -> Option<i64> {
    let part = |field: &str, inner: &Expr| {
        let day = moment(inner)?.date();
        match field.trim_matches('\'').to_ascii_lowercase().as_str() {
            "year" => Some(i64::from(day.year())),
            "quarter" => Some(i64::from((day.month() - 1) / 3 + 1)),
            "month" => Some(i64::from(day.month())),
            "day" => Some(i64::from(day.day())),
            _ => None,
        }
    };
    match expr {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => whole(inner),
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::Plus => whole(left)?.checked_add(whole(right)?),
            BinaryOperator::Minus => whole(left)?.checked_sub(whole(right)?),
            BinaryOperator::Multiply => whole(left)?.checked_mul(whole(right)?),
            _ => None,
        },
        Expr::Extract { field, expr, .. } => part(&field.to_string(), expr),
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            match arguments(function).as_slice() {
                [field, inner] if matches!(name.as_str(), "date_part" | "datepart") => {
                    part(&field.to_string(), inner)
                }
                [inner] => part(&name, inner),
                _ => None,
            }
        }
        _ => None,
    }
}

fn clock_of(name: &str) -> Option<DateTime> {
    let name = name.to_ascii_lowercase();
    let is_date = matches!(name.as_str(), "current_date" | "today");
    Some(if is_date { clock().date().at(0, 0, 0, 0) } else { clock() })
}

fn truncated(unit: &str, moment: DateTime) -> Option<DateTime> {
    let day = moment.date();
    let unit = unit.trim().trim_matches('\'').to_ascii_lowercase();
    Some(match unit.as_str() {
        "year" => day.first_of_year().at(0, 0, 0, 0),
        "quarter" => {
            let month = (day.month() - 1) / 3 * 3 + 1;
            jiff::civil::Date::new(day.year(), month, 1).ok()?.at(0, 0, 0, 0)
        }
        "month" => day.first_of_month().at(0, 0, 0, 0),
        "week" => {
            let back = i64::from(day.weekday().to_monday_zero_offset());
            day.checked_sub(back.days()).ok()?.at(0, 0, 0, 0)
        }
        "day" => day.at(0, 0, 0, 0),
        "hour" => day.at(moment.hour(), 0, 0, 0),
        "minute" => day.at(moment.hour(), moment.minute(), 0, 0),
        _ => return None,
    })
}

/// A sum of columns and distances.
#[derive(Debug, Clone, Default)]
pub(super) struct Linear {
    plus: Vec<String>,
    minus: Vec<String>,
    distance: Distance,
    /// A bare number, of the unit of a `date_diff` on either side.
    number: i64,
    unit: Option<Distance>,
}

impl Linear {
    /// This side less the other.
    pub(super) fn minus(mut self, other: Self) -> Self {
        self.plus.extend(other.minus);
        self.minus.extend(other.plus);
        self.distance = self.distance.plus(other.distance.times(-1));
        self.number = self.number.saturating_sub(other.number);
        self.unit = self.unit.or(other.unit);
        self
    }

    fn plus(self, other: Self) -> Self {
        let negated = Self {
            plus: other.minus,
            minus: other.plus,
            distance: other.distance.times(-1),
            number: other.number.saturating_neg(),
            unit: other.unit,
        };
        self.minus(negated)
    }

    /// The two columns and the distance at which the difference of the two sides turns.
    pub(super) fn gap(self) -> Option<(String, String, Distance)> {
        let unit = self.unit.unwrap_or(Distance { months: 0, seconds: DAY });
        let distance = self.distance.plus(unit.times(self.number)).times(-1);
        match (self.minus.as_slice(), self.plus.as_slice()) {
            ([low], [high]) => Some((low.clone(), high.clone(), distance)),
            _ => None,
        }
    }
}

/// The sum that an expression is; `None` for anything else.
pub(super) fn linear(expr: &Expr) -> Option<Linear> {
    match expr {
        Expr::Nested(inner) => linear(inner),
        Expr::BinaryOp { left, op: BinaryOperator::Plus, right } => Some(linear(left)?.plus(linear(right)?)),
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
            Some(linear(left)?.minus(linear(right)?))
        }
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => Some(Linear { number: text.parse().ok()?, ..Linear::default() }),
            _ => None,
        },
        Expr::Interval(_) => Some(Linear { distance: Distance::of_interval(expr)?, ..Linear::default() }),
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            let difference = ["date_diff", "datediff", "date_sub", "datesub", "timestampdiff"];
            if difference.contains(&name.as_str())
                && let [unit, from, to] = arguments(function).as_slice()
            {
                return Some(Linear {
                    plus: vec![plain(to)?],
                    minus: vec![plain(from)?],
                    unit: Distance::of_unit(&unit.to_string()),
                    ..Linear::default()
                });
            }
            Some(Linear { plus: vec![plain(expr)?], ..Linear::default() })
        }
        _ => Some(Linear { plus: vec![plain(expr)?], ..Linear::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Dialect;
    use crate::sql::parse::parse_query;
    use sqlparser::ast::SetExpr;

    fn gap(condition: &str) -> Option<(String, String, Distance)> {
        let query =
            parse_query(&format!("select 1 from t where {condition}"), Dialect::DuckDb).expect("parses");
        let SetExpr::Select(select) = *query.body else { panic!("a SELECT") };
        let Some(Expr::BinaryOp { left, right, .. }) = select.selection else { panic!("a comparison") };
        linear(&left)?.minus(linear(&right)?).gap()
    }

    #[test]
    fn constant_moments_are_computed() {
        let value = |text: &str| {
            let query = parse_query(&format!("select {text}"), Dialect::DuckDb).expect("parses");
            let SetExpr::Select(mut select) = *query.body else { panic!("a SELECT") };
            let sqlparser::ast::SelectItem::UnnamedExpr(expr) = select.projection.remove(0) else {
                panic!("an expression")
            };
            moment(&expr).map(|moment| moment.to_string())
        };
        let week = "date_trunc('week', cast('2024-06-06' as date)) - interval '1' week";
        assert_eq!(value(week).as_deref(), Some("2024-05-27T00:00:00"));
        assert_eq!(value("current_date - 30").as_deref(), Some("2024-05-16T00:00:00"));
        assert_eq!(
            value("timestamp '2024-01-31 10:00:00' + interval 1 month").as_deref(),
            Some("2024-02-29T10:00:00")
        );
        assert_eq!(value("a - interval 1 day"), None);
        assert_eq!(value("date '9999-12-31' + interval 999999 year"), None);
    }

    #[test]
    fn constant_numbers_are_computed() {
        let query =
            parse_query("select extract(year from date '2024-06-06') - 2", Dialect::DuckDb).expect("parses");
        let SetExpr::Select(mut select) = *query.body else { panic!("a SELECT") };
        let sqlparser::ast::SelectItem::UnnamedExpr(expr) = select.projection.remove(0) else {
            panic!("an expression")
        };
        assert_eq!(whole(&expr), Some(2022));
    }

    #[test]
    fn distances_are_read_from_either_side() {
        let expected = |months, seconds| Some(("a".to_owned(), "b".to_owned(), Distance { months, seconds }));
        assert_eq!(gap("b >= a + interval '2 days'"), expected(0, 2 * DAY));
        assert_eq!(gap("t.b - interval 3 month < t.a"), expected(3, 0));
        assert_eq!(gap("date_diff('hour', a, b) > 4"), expected(0, 4 * 3_600));
        assert_eq!(gap("b - a > 30"), expected(0, 30 * DAY));
        assert_eq!(gap("b > a"), expected(0, 0));
        assert_eq!(gap("a > 3"), None);
        assert_eq!(gap("lower(a || b) > c"), None);
    }
}
