//! Parts of dates, the functions that take them, and intervals.

use crate::sql::Dialect;

/// Functions that name a part of a date: `year(d)` is `date_part('year', d)`.
pub(crate) fn date_part_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "year" => "year",
        "month" => "month",
        "day" | "dayofmonth" => "day",
        "quarter" => "quarter",
        "hour" => "hour",
        "minute" => "minute",
        "week" | "weekofyear" => "week",
        "dayofweek" => "dow",
        "dayofyear" => "doy",
        "isodow" => "isodow",
        _ => return None,
    })
}

/// Functions that take a date part as a bare word: `dateadd(month, 1, d)`, `date_trunc(d, week(monday))`.
pub(crate) fn takes_date_part(name: &str) -> bool {
    name == "week"
        || name == "last_day"
        || name == "time_slice"
        || ["date", "time", "timestamp", "datetime"].iter().filter_map(|start| name.strip_prefix(start)).any(
            |rest| {
                matches!(rest.trim_start_matches('_'), "add" | "sub" | "diff" | "trunc" | "part" | "bucket")
            },
        )
}

/// Whether a bare word names a date part, or a day that a week begins with.
pub(crate) fn names_date_part(word: &str) -> bool {
    matches!(
        date_part(word).as_str(),
        "year"
            | "month"
            | "day"
            | "quarter"
            | "week"
            | "hour"
            | "minute"
            | "second"
            | "dow"
            | "doy"
            | "isodow"
            | "isoweek"
            | "isoyear"
            | "millisecond"
            | "microsecond"
            | "nanosecond"
            | "milliseconds"
            | "microseconds"
            | "epoch"
            | "epoch_second"
            | "epoch_millisecond"
            | "decade"
            | "century"
            | "weekiso"
            | "yearofweek"
            | "yearofweekiso"
            | "dayofweekiso"
            | "mm"
            | "yy"
            | "yyyy"
            | "dd"
            | "hh"
            | "mi"
            | "ms"
            | "wk"
            | "ww"
            | "q"
            | "qq"
            | "monday"
            | "tuesday"
            | "wednesday"
            | "thursday"
            | "friday"
            | "saturday"
            | "sunday"
    )
}

/// The one spelling of a date part.
pub(crate) fn date_part(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "years" | "yr" | "y" => "year",
        "months" | "mon" | "mons" => "month",
        "days" | "d" | "dayofmonth" => "day",
        "quarters" | "qtr" => "quarter",
        "weeks" | "w" => "week",
        "hours" | "h" | "hr" => "hour",
        "minutes" | "min" | "mins" => "minute",
        "seconds" | "sec" | "secs" | "s" => "second",
        "dayofweek" | "weekday" => "dow",
        "dayofyear" => "doy",
        other => return other.to_owned(),
    }
    .to_owned()
}

/// A number of years, quarters or weeks as months or days, where that is the same interval.
pub(crate) fn interval(text: &str, dialect: Dialect) -> String {
    let months = dialect != Dialect::Databricks;
    let counted = text.split_once(' ').and_then(|(number, unit)| {
        let (times, unit) = match unit {
            "year" if months => (12, "month"),
            "quarter" if months => (3, "month"),
            "week" => (7, "day"),
            _ => return None,
        };
        let number: i32 = number.parse().ok()?;
        Some(format!("{} {unit}", number.checked_mul(times)?))
    });
    counted.unwrap_or_else(|| text.to_owned())
}

/// Parts of a date that are whole numbers in every dialect.
pub(super) fn whole_date_part(part: &str) -> bool {
    matches!(
        part,
        "year" | "month" | "day" | "quarter" | "week" | "hour" | "minute" | "dow" | "doy" | "isodow"
    )
}
