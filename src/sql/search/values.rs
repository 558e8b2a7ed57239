//! Values of columns: what a type can hold, the values next to a constant, and an endless supply of distinct ones.
//! A value is the text that DuckDB casts to the column's type; the same value always has the same text.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, ToSpan};

use super::distance::Distance;

/// What kind of values a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Integer { min: i64, max: i64 },
    Decimal { digits: u8, scale: u8 },
    Float,
    Text { length: Option<usize> },
    Date,
    Timestamp,
    Time,
    Uuid,
    Json,
}

/// A literal of a query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Constant {
    /// A number, as written.
    Number(String),
    /// A string (also of a date or timestamp literal).
    Text(String),
    /// The pattern of LIKE or ILIKE.
    Pattern(String),
    /// TRUE or FALSE.
    Bool(bool),
    /// A length in characters that a text is compared with.
    Length(usize),
}

/// The day on which the clock of a search stands still, and from which dates are generated.
pub(super) fn clock() -> DateTime {
    DateTime::constant(2024, 6, 15, 12, 0, 0, 0)
}

/// The type to create the column with, and its kind; `None` for types that values are not generated for.
/// Names of other warehouses are mapped to DuckDB's.
pub(super) fn column_type(data_type: &str) -> Option<(String, Kind)> {
    let upper = data_type.trim().to_ascii_uppercase();
    let (base, arguments) = match upper.split_once('(') {
        Some((base, rest)) => (base.trim(), rest.trim_end_matches(|c: char| c != ')').trim_end_matches(')')),
        None => (upper.as_str(), ""),
    };
    let argument = |n: usize| arguments.split(',').nth(n).and_then(|text| text.trim().parse::<u8>().ok());
    let integer = |name: &str, min: i64, max: i64| Some((name.to_owned(), Kind::Integer { min, max }));
    let base = base.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    match base.as_str() {
        "BOOLEAN" | "BOOL" | "LOGICAL" => Some(("BOOLEAN".to_owned(), Kind::Bool)),
        "TINYINT" | "INT1" => integer("TINYINT", -128, 127),
        "SMALLINT" | "INT2" | "SHORT" => integer("SMALLINT", -32_768, 32_767),
        "INTEGER" | "INT" | "INT4" | "SIGNED" | "SERIAL" => {
            integer("INTEGER", i64::from(i32::MIN), i64::from(i32::MAX))
        }
        "BIGINT" | "INT8" | "INT64" | "LONG" | "BYTEINT" | "BIGSERIAL" => {
            integer("BIGINT", i64::MIN, i64::MAX)
        }
        "HUGEINT" | "INT128" => integer("HUGEINT", i64::MIN, i64::MAX),
        "UTINYINT" => integer("UTINYINT", 0, 255),
        "USMALLINT" => integer("USMALLINT", 0, 65_535),
        "UINTEGER" => integer("UINTEGER", 0, i64::from(u32::MAX)),
        "UBIGINT" | "UHUGEINT" => integer(&base, 0, i64::MAX),
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" | "BIGNUMERIC" | "BIGDECIMAL" => {
            // Without arguments DuckDB means (18,3), Snowflake (38,0), BigQuery (38,9): three decimals serve all.
            let digits = argument(0).unwrap_or(18).clamp(1, 38);
            let scale = argument(1).unwrap_or(if arguments.is_empty() { 3 } else { 0 }).min(digits);
            Some((format!("DECIMAL({digits},{scale})"), Kind::Decimal { digits, scale }))
        }
        "DOUBLE" | "FLOAT8" | "FLOAT64" | "DOUBLE PRECISION" => Some(("DOUBLE".to_owned(), Kind::Float)),
        "FLOAT" | "REAL" | "FLOAT4" => Some(("FLOAT".to_owned(), Kind::Float)),
        "VARCHAR" | "STRING" | "TEXT" | "CHAR" | "BPCHAR" | "CHARACTER" | "CHARACTER VARYING"
        | "NVARCHAR" | "NCHAR" | "NAME" | "CITEXT" => {
            let length = argument(0).map(usize::from);
            Some(("VARCHAR".to_owned(), Kind::Text { length }))
        }
        "DATE" => Some((base, Kind::Date)),
        "TIMESTAMP"
        | "DATETIME"
        | "TIMESTAMP_NTZ"
        | "TIMESTAMP WITHOUT TIME ZONE"
        | "TIMESTAMPNTZ"
        | "TIMESTAMP_S"
        | "TIMESTAMP_MS"
        | "TIMESTAMP_NS" => Some(("TIMESTAMP".to_owned(), Kind::Timestamp)),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" | "TIMESTAMP_TZ" | "TIMESTAMP_LTZ" => {
            Some(("TIMESTAMPTZ".to_owned(), Kind::Timestamp))
        }
        "TIME" | "TIME WITHOUT TIME ZONE" => Some(("TIME".to_owned(), Kind::Time)),
        "UUID" => Some((base, Kind::Uuid)),
        "JSON" | "JSONB" => Some(("JSON".to_owned(), Kind::Json)),
        _ => None,
    }
}

impl Kind {
    /// The `n`-th of a series of distinct plain values (booleans repeat).
    pub(super) fn nth(self, n: usize, numeric_text: bool) -> String {
        let number = i64::try_from(n).unwrap_or(i64::MAX - 1).saturating_add(1);
        match self {
            Self::Bool => if n.is_multiple_of(2) { "true" } else { "false" }.to_owned(),
            Self::Integer { max, .. } => number.min(max).to_string(),
            Self::Decimal { digits, scale } => decimal(i128::from(number), 0, digits, scale),
            // Quarters: sums and products of a few of them are exact in binary.
            Self::Float => format!("{number}.{}", ["0", "5", "25", "75"][n % 4]),
            Self::Text { .. } if numeric_text => number.to_string(),
            Self::Text { length } => {
                let mut text = String::new();
                let mut rest = n;
                loop {
                    text.insert(0, char::from(b'a' + u8::try_from(rest % 26).unwrap_or(0)));
                    rest /= 26;
                    if rest == 0 {
                        break;
                    }
                    rest -= 1;
                }
                cut(&text, length)
            }
            Self::Date => date_text(series_day(n)),
            Self::Timestamp => {
                let hour = i8::try_from((n * 7) % 24).unwrap_or(0);
                timestamp_text(series_day(n).at(hour, 0, 0, 0))
            }
            Self::Time => format!("{:02}:{:02}:00", (8 + n / 60) % 24, n % 60),
            Self::Uuid => format!("00000000-0000-0000-0000-{:012}", n + 1),
            Self::Json => format!("{{\"a\":{number}}}"),
        }
    }

    /// Values that stand for a constant: those that make a comparison with it true.
    pub(super) fn exactly(self, constant: &Constant) -> Vec<String> {
        match (self, constant) {
            (Self::Bool, Constant::Bool(value)) => vec![value.to_string()],
            (Self::Bool, Constant::Number(text) | Constant::Text(text)) => {
                match text.to_ascii_lowercase().as_str() {
                    "1" | "true" | "t" => vec!["true".to_owned()],
                    "0" | "false" | "f" => vec!["false".to_owned()],
                    _ => Vec::new(),
                }
            }
            (Self::Integer { min, max }, Constant::Number(text) | Constant::Text(text)) => {
                // 2.5 stands for 2 and 3.
                match text.trim().parse::<i64>() {
                    Ok(number) => in_range(number, min, max),
                    Err(_) => match text.trim().parse::<f64>() {
                        Ok(number) if number.abs() < 9e15 => {
                            let mut values = in_range(number.floor() as i64, min, max);
                            values.extend(in_range(number.ceil() as i64, min, max));
                            values
                        }
                        _ => Vec::new(),
                    },
                }
            }
            (Self::Integer { .. }, Constant::Bool(value)) => vec![i64::from(*value).to_string()],
            (Self::Decimal { digits, scale }, Constant::Number(text) | Constant::Text(text)) => {
                parse_decimal(text)
                    .map(|(number, at)| vec![decimal(number, at, digits, scale)])
                    .unwrap_or_default()
            }
            (Self::Float, Constant::Number(text) | Constant::Text(text)) => {
                match text.trim().parse::<f64>() {
                    Ok(number) if number.is_finite() => vec![float_text(number)],
                    _ => Vec::new(),
                }
            }
            (Self::Text { length }, Constant::Number(text) | Constant::Text(text)) => vec![cut(text, length)],
            (Self::Text { .. }, Constant::Bool(value)) => vec![value.to_string()],
            (Self::Text { length }, Constant::Pattern(pattern)) => {
                let mut values = vec![
                    cut(&pattern.replace('%', "").replace('_', "a"), length),
                    cut(&pattern.replace('%', "x").replace('_', "b"), length),
                ];
                values.dedup();
                values
            }
            (Self::Text { .. }, Constant::Length(length)) => {
                vec![super::telling::letters((*length).min(300))]
            }
            (Self::Date, constant) => dates(constant).into_iter().map(date_text).collect(),
            (Self::Timestamp, Constant::Text(text)) => match parse_timestamp(text) {
                Some(moment) => vec![timestamp_text(moment)],
                None => dates(constant).into_iter().map(|day| timestamp_text(day.at(10, 30, 0, 0))).collect(),
            },
            (Self::Timestamp, constant) => {
                dates(constant).into_iter().map(|day| timestamp_text(day.at(10, 30, 0, 0))).collect()
            }
            (Self::Time, Constant::Text(text)) => match text.trim().parse::<Time>() {
                Ok(time) => vec![time_text(time)],
                Err(_) => Vec::new(),
            },
            (Self::Uuid | Self::Json, Constant::Text(text)) if self == Self::Uuid && text.len() == 36 => {
                vec![text.to_ascii_lowercase()]
            }
            _ => Vec::new(),
        }
    }

    /// Values just beside a value: one less, one more, another case, a space, the ends of its day or month.
    pub(super) fn beside(self, value: &str) -> Vec<String> {
        let mut values = match self {
            Self::Bool => vec![if value == "true" { "false" } else { "true" }.to_owned()],
            Self::Integer { min, max } => match value.parse::<i64>() {
                Ok(number) => [number.saturating_sub(1), number.saturating_add(1), -number.max(i64::MIN + 1)]
                    .into_iter()
                    .take(if number == 0 { 2 } else { 3 })
                    .flat_map(|number| in_range(number, min, max))
                    .collect(),
                Err(_) => Vec::new(),
            },
            Self::Decimal { digits, scale } => match parse_decimal(value) {
                Some((number, at)) => {
                    let one = 10_i128.pow(u32::from(at.min(30)));
                    [number + 1, number - 1, number + one, number - one, number + one / 2]
                        .into_iter()
                        .map(|number| decimal(number, at, digits, scale))
                        .collect()
                }
                None => Vec::new(),
            },
            Self::Float => match value.parse::<f64>() {
                Ok(number) => [number + 0.25, number - 0.25, number + 1.0, number - 1.0]
                    .into_iter()
                    .map(float_text)
                    .collect(),
                Err(_) => Vec::new(),
            },
            Self::Text { length } => {
                let mut values = Vec::new();
                if let Ok(number) = value.trim().parse::<i64>() {
                    values.push(number.saturating_add(1).to_string());
                    values.push(number.saturating_sub(1).to_string());
                }
                if let Some(day) = parse_date(value) {
                    values.extend([1, -1, 40].iter().filter_map(|n| Some(date_text(plus(day, n.days())?))));
                }
                values.push(swap_case(value));
                values.push(value.to_lowercase());
                values.push(value.to_uppercase());
                values.push(cut(&format!("{value}x"), length));
                values.push(cut(&format!(" {value}"), length));
                let mut chars = value.chars();
                chars.next();
                values.push(chars.as_str().to_owned());
                values
            }
            Self::Date => match parse_date(value) {
                Some(day) => {
                    let mut days: Vec<Date> =
                        [1.day(), -1.day(), 1.month(), -1.month(), 1.year(), 7.days(), -1.year()]
                            .into_iter()
                            .filter_map(|span| plus(day, span))
                            .collect();
                    days.push(day.first_of_month());
                    days.push(day.last_of_month());
                    days.into_iter().map(date_text).collect()
                }
                None => Vec::new(),
            },
            Self::Timestamp => match parse_timestamp(value) {
                Some(moment) => {
                    let mut moments: Vec<DateTime> = [
                        1.second(),
                        -1.second(),
                        1.day(),
                        -1.day(),
                        1.hour(),
                        30.minutes(),
                        1.month(),
                        -1.month(),
                        1.year(),
                        7.days(),
                    ]
                    .into_iter()
                    .filter_map(|span| moment.checked_add(span).ok())
                    .collect();
                    moments.push(moment.date().at(0, 0, 0, 0));
                    moments.push(moment.date().at(23, 59, 59, 0));
                    moments.push(moment.date().at(12, 0, 0, 0));
                    moments.push(moment.date().last_of_month().at(18, 0, 0, 0));
                    moments.into_iter().map(timestamp_text).collect()
                }
                None => Vec::new(),
            },
            Self::Time => match value.parse::<Time>() {
                Ok(time) => [1.second(), -1.second(), 1.hour()]
                    .into_iter()
                    .filter_map(|span| time.checked_add(span).ok())
                    .map(time_text)
                    .collect(),
                Err(_) => Vec::new(),
            },
            Self::Uuid | Self::Json => Vec::new(),
        };
        values.retain(|other| other != value);
        values
    }

    /// Several values on one side of a bound, so that a group can hold different ones.
    pub(super) fn beyond(self, value: &str, above: bool) -> Vec<String> {
        let sign: i64 = if above { 1 } else { -1 };
        match self {
            Self::Integer { min, max } => match value.parse::<i64>() {
                Ok(number) => [1, 2, 3, 5]
                    .into_iter()
                    .flat_map(|step| in_range(number.saturating_add(step * sign), min, max))
                    .collect(),
                Err(_) => Vec::new(),
            },
            Self::Decimal { digits, scale } => match parse_decimal(value) {
                Some((number, at)) => [1, 2, 3, 5]
                    .into_iter()
                    .map(|step: i64| {
                        let one = 10_i128.pow(u32::from(at.min(30)));
                        decimal(number + one * i128::from(step * sign), at, digits, scale)
                    })
                    .collect(),
                None => Vec::new(),
            },
            Self::Float => match value.parse::<f64>() {
                Ok(number) => [1, 2, 3, 5]
                    .into_iter()
                    .map(|step: i32| float_text(number + f64::from(step) * if above { 1.0 } else { -1.0 }))
                    .collect(),
                Err(_) => Vec::new(),
            },
            Self::Date | Self::Timestamp => match parse_timestamp(value) {
                Some(moment) => [1, 40, 400]
                    .into_iter()
                    .filter_map(|days: i64| plus(moment.date(), (days * sign).days()))
                    .map(|day| {
                        if self == Self::Date { date_text(day) } else { timestamp_text(day.at(9, 15, 0, 0)) }
                    })
                    .collect(),
                None => Vec::new(),
            },
            _ => self.beside(value).into_iter().take(2).collect(),
        }
    }

    /// Exactly `n` values that add up to the value, or to `off` of its smallest units more.
    pub(super) fn split(self, value: &str, n: usize, off: i128) -> Vec<String> {
        let Some((number, at)) = parse_decimal(value) else { return Vec::new() };
        let count = i128::try_from(n.max(1)).unwrap_or(1);
        let number = number.saturating_add(off);
        (0..count)
            .map(|part| number / count + if part == 0 { number % count } else { 0 })
            .flat_map(|part| match self {
                Self::Integer { min, max } => {
                    i64::try_from(part).map(|part| in_range(part, min, max)).unwrap_or_default()
                }
                Self::Decimal { digits, scale } => vec![decimal(part, at, digits, scale)],
                Self::Float => vec![float_text(part as f64 / 10_f64.powi(i32::from(at)))],
                _ => Vec::new(),
            })
            .collect()
    }

    /// The value that lies `distance` after (`ahead`) or before another, `off` units of its own beside that.
    pub(super) fn apart(self, value: &str, distance: Distance, ahead: bool, off: i64) -> Option<String> {
        let distance = if ahead { distance } else { distance.negated() };
        match self {
            Self::Date => {
                let day = distance.after(parse_timestamp(value)?)?.date();
                plus(day, off.days()).map(date_text)
            }
            Self::Timestamp => {
                let moment = distance.after(parse_timestamp(value)?)?;
                let moment = moment.checked_add(off.seconds()).ok()?;
                (1..=9_999).contains(&moment.year()).then(|| timestamp_text(moment))
            }
            Self::Integer { min, max } => {
                let number = value.parse::<i64>().ok()?.checked_add(distance.number()?)?.checked_add(off)?;
                in_range(number, min, max).pop()
            }
            Self::Decimal { digits, scale } => {
                let (number, at) = parse_decimal(value)?;
                let one = 10_i128.pow(u32::from(at.min(30)));
                let number = number + one * i128::from(distance.number()?) + i128::from(off);
                Some(decimal(number, at, digits, scale))
            }
            Self::Float => {
                let number = value.parse::<f64>().ok()? + distance.number()? as f64 + off as f64 * 0.25;
                Some(float_text(number))
            }
            Self::Text { .. } if distance.is_zero() && off == 0 => Some(value.to_owned()),
            _ => None,
        }
    }

    /// Values of which two or three make the value.
    pub(super) fn parts(self, value: &str) -> Vec<String> {
        let Some((number, at)) = parse_decimal(value) else { return Vec::new() };
        if number == 0 {
            return Vec::new();
        }
        [number / 2, number - number / 2, number / 3, number / 4]
            .into_iter()
            .flat_map(|part| match self {
                Self::Integer { min, max } if at == 0 => {
                    i64::try_from(part).map(|part| in_range(part, min, max)).unwrap_or_default()
                }
                Self::Decimal { digits, scale } => vec![decimal(part, at, digits, scale)],
                Self::Float if at <= 2 => vec![float_text(part as f64 / 10_f64.powi(i32::from(at)))],
                _ => Vec::new(),
            })
            .collect()
    }

    /// Values that are often treated wrongly: zero, negative, empty.
    pub(super) fn awkward(self) -> Vec<String> {
        match self {
            Self::Integer { min, max } => [0, -1].into_iter().flat_map(|n| in_range(n, min, max)).collect(),
            Self::Decimal { digits, scale } => {
                [0, -15].into_iter().map(|n| decimal(n, 1, digits, scale)).collect()
            }
            Self::Float => vec!["0.0".to_owned(), "-1.5".to_owned()],
            Self::Text { .. } => vec![String::new(), " ".to_owned(), "A".to_owned()],
            Self::Json => vec!["{}".to_owned(), "[]".to_owned()],
            _ => Vec::new(),
        }
    }
}

fn in_range(number: i64, min: i64, max: i64) -> Vec<String> {
    if (min..=max).contains(&number) { vec![number.to_string()] } else { Vec::new() }
}

/// `number / 10^at` with exactly `scale` decimals, kept within `digits`.
fn decimal(number: i128, at: u8, digits: u8, scale: u8) -> String {
    let shifted = if scale >= at {
        number.saturating_mul(10_i128.pow(u32::from((scale - at).min(30))))
    } else {
        number / 10_i128.pow(u32::from((at - scale).min(30)))
    };
    let limit = 10_i128.pow(u32::from(digits.min(38))) - 1;
    let value = shifted.clamp(-limit, limit);
    if scale == 0 {
        return value.to_string();
    }
    let one = 10_u128.pow(u32::from(scale));
    let sign = if value < 0 { "-" } else { "" };
    let absolute = value.unsigned_abs();
    format!("{sign}{}.{:0width$}", absolute / one, absolute % one, width = usize::from(scale))
}

fn parse_decimal(text: &str) -> Option<(i128, u8)> {
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() + fraction.len() > 28 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = format!("{}{fraction}", if whole.is_empty() { "0" } else { whole }).parse().ok()?;
    Some((number, u8::try_from(fraction.len()).ok()?))
}

fn float_text(number: f64) -> String {
    format!("{number:?}")
}

fn cut(text: &str, length: Option<usize>) -> String {
    text.chars().take(length.unwrap_or(300)).collect()
}

fn swap_case(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if first.is_lowercase() => first.to_uppercase().chain(chars).collect(),
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Days near the clock that fall into the same and into different weeks, months and years.
fn series_day(n: usize) -> Date {
    const OFFSETS: [i64; 8] = [0, 1, 17, -31, -3, 200, -366, 8];
    let base = clock().date();
    let lap = i64::try_from(n / OFFSETS.len()).unwrap_or(0).min(3_000);
    plus(base, (OFFSETS[n % OFFSETS.len()] + lap * 41).days()).unwrap_or(base)
}

fn plus(day: Date, span: Span) -> Option<Date> {
    let day = day.checked_add(span).ok()?;
    (1..=9_999).contains(&day.year()).then_some(day)
}

fn date_text(day: Date) -> String {
    day.strftime("%Y-%m-%d").to_string()
}

fn timestamp_text(moment: DateTime) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn time_text(time: Time) -> String {
    time.strftime("%H:%M:%S").to_string()
}

fn parse_date(text: &str) -> Option<Date> {
    let text = text.trim();
    if let Some(moment) = parse_timestamp(text) {
        return Some(moment.date());
    }
    None
}

pub(super) fn parse_timestamp(text: &str) -> Option<DateTime> {
    let text = text.trim().trim_end_matches('Z');
    let text = text.strip_suffix("+00").unwrap_or(text);
    // Also a date, which is its midnight.
    let moment = text.parse::<DateTime>().ok()?;
    (1..=9_999).contains(&moment.year()).then_some(moment)
}

/// Days that a constant may be about: a date, a year, a year and month, a month, a day of the week.
fn dates(constant: &Constant) -> Vec<Date> {
    let text = match constant {
        Constant::Number(text) | Constant::Text(text) => text.trim(),
        Constant::Pattern(text) => text.trim_end_matches('%'),
        _ => return Vec::new(),
    };
    if let Some(day) = parse_date(text) {
        return vec![day];
    }
    if let Some((year, month)) = text.split_once('-')
        && let (Ok(year), Ok(month)) = (year.parse::<i16>(), month.trim_end_matches('-').parse::<i8>())
        && let Ok(day) = Date::new(year, month, 1)
    {
        return vec![day, day.last_of_month()];
    }
    match text.parse::<i16>() {
        Ok(year) if (1900..=2100).contains(&year) => [(1, 1), (6, 15), (12, 31)]
            .into_iter()
            .filter_map(|(month, day)| Date::new(year, month, day).ok())
            .collect(),
        Ok(month) if (1..=12).contains(&month) => {
            let month = i8::try_from(month).unwrap_or(1);
            let year = clock().year();
            // Also the day of that number, for day-of-month and day-of-week comparisons.
            [Date::new(year, month, 1), Date::new(year, month, 28), Date::new(year, 1, month)]
                .into_iter()
                .filter_map(Result::ok)
                .collect()
        }
        Ok(0) => vec![Date::constant(2024, 6, 16)],
        _ => Vec::new(),
    }
}

/// A moment as a constant of a query: a date where it is midnight.
pub(super) fn moment_constant(moment: DateTime) -> Constant {
    let midnight = moment.date().at(0, 0, 0, 0) == moment;
    Constant::Text(if midnight { date_text(moment.date()) } else { timestamp_text(moment) })
}

/// A date or timestamp moved by days: there, just before, half way, and the starts of its week and month.
pub(super) fn moved(constant: &Constant, days: i64) -> Vec<Constant> {
    let Constant::Text(text) = constant else { return Vec::new() };
    let Some(day) = parse_date(text) else { return Vec::new() };
    let mut moved: Vec<Date> = [days, -days, days + 1, -days - 1, -days / 2, days / 2]
        .into_iter()
        .filter(|days| days.abs() < 100_000)
        .filter_map(|days| plus(day, days.days()))
        .collect();
    let monday = i64::from(day.weekday().to_monday_zero_offset());
    moved.extend(plus(day, (-monday).days()));
    moved.extend(plus(day, (-monday - 3).days()));
    moved.push(day.first_of_month());
    moved.extend(plus(day.first_of_month(), (-15).days()));
    moved.into_iter().map(|day| Constant::Text(date_text(day))).collect()
}

/// The clock's day moved by a number of days and months, for `current_date - interval '30 days'`.
pub(super) fn around_clock(days: i64) -> Vec<Constant> {
    [0, days, -days, days + 1, -days - 1, -days + 1, 1, -1]
        .into_iter()
        .filter(|days| days.abs() < 100_000)
        .filter_map(|days| plus(clock().date(), days.days()))
        .map(|day| Constant::Text(date_text(day)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warehouse_types_map_to_duckdb() {
        for (from, to) in [
            ("varchar(10)", "VARCHAR"),
            ("NUMBER(38, 0)", "DECIMAL(38,0)"),
            ("int64", "BIGINT"),
            ("timestamp with time zone", "TIMESTAMPTZ"),
            ("numeric", "DECIMAL(18,3)"),
        ] {
            assert_eq!(column_type(from).map(|(name, _)| name).as_deref(), Some(to), "{from}");
        }
        assert_eq!(column_type("STRUCT(a INTEGER)"), None);
    }

    #[test]
    fn neighbours_stand_beside_the_constant() {
        let integer = Kind::Integer { min: -10, max: 10 };
        assert_eq!(integer.exactly(&Constant::Number("2.5".to_owned())), ["2", "3"]);
        assert_eq!(integer.beside("10"), ["9", "-10"]);
        let decimal = Kind::Decimal { digits: 10, scale: 2 };
        assert_eq!(decimal.exactly(&Constant::Number("100".to_owned())), ["100.00"]);
        assert!(decimal.beside("100.00").contains(&"99.99".to_owned()));
        assert!(Kind::Date.beside("2024-02-29").contains(&"2024-03-01".to_owned()));
        assert!(Kind::Timestamp.beside("2024-01-01 00:00:00").contains(&"2023-12-31 23:59:59".to_owned()));
        let text = Kind::Text { length: None };
        assert_eq!(text.exactly(&Constant::Pattern("%ab_".to_owned())), ["aba", "xabb"]);
    }

    #[test]
    fn the_series_is_distinct() {
        for kind in [
            Kind::Integer { min: 0, max: 1_000 },
            Kind::Decimal { digits: 10, scale: 2 },
            Kind::Float,
            Kind::Text { length: None },
            Kind::Date,
            Kind::Timestamp,
            Kind::Time,
            Kind::Uuid,
        ] {
            let values: std::collections::BTreeSet<String> = (0..200).map(|n| kind.nth(n, false)).collect();
            assert!(values.len() >= 190, "{kind:?}: {}", values.len());
        }
    }

    #[test]
    fn hostile_constants_do_not_panic() {
        for text in [
            "",
            "-",
            "99999999999999999999999999999",
            "-9223372036854775808",
            "9999-12-31",
            "é%_",
            "0001-01-01",
        ] {
            for constant in [
                Constant::Number(text.to_owned()),
                Constant::Text(text.to_owned()),
                Constant::Pattern(text.to_owned()),
            ] {
                for kind in [
                    Kind::Bool,
                    Kind::Integer { min: i64::MIN, max: i64::MAX },
                    Kind::Decimal { digits: 38, scale: 38 },
                    Kind::Decimal { digits: 1, scale: 0 },
                    Kind::Float,
                    Kind::Text { length: Some(1) },
                    Kind::Date,
                    Kind::Timestamp,
                    Kind::Time,
                    Kind::Uuid,
                    Kind::Json,
                ] {
                    for value in kind.exactly(&constant) {
                        kind.beside(&value);
                    }
                    kind.beside(text);
                }
            }
        }
    }
}
