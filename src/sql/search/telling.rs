//! Values on which functions of texts and of dates show what they do: blanks for those that trim, texts longer than the
//! length that is cut, letters of several bytes, Sundays and Mondays, the ends of years, the hours that clocks skip.

use super::values::Constant;

/// Texts that tell a function of texts from its like; `numbers` and `texts` are its literal arguments.
pub(super) fn texts(function: &str, numbers: &[usize], texts: &[String]) -> Vec<Constant> {
    let mut found: Vec<String> = Vec::new();
    match function {
        "trim" | "ltrim" | "rtrim" | "btrim" => {
            let pads = if texts.is_empty() { vec![" ".to_owned()] } else { texts.to_vec() };
            for pad in pads.iter().take(2) {
                found.extend([format!("{pad}{pad}ab"), format!("ab{pad}"), format!("{pad}ab{pad}")]);
            }
        }
        "left" | "right" | "substring" | "substr" | "mid" | "lpad" | "rpad" | "slice" | "array_slice" => {
            let longest = numbers.iter().copied().max().unwrap_or(3).min(60);
            found.push(letters(longest + 2));
            found.push(letters(longest.saturating_sub(1)));
            found.push(format!("é日{}", letters(longest)));
        }
        "lower" | "upper" | "lcase" | "ucase" | "initcap" => {
            found.extend(["aB cd".to_owned(), "É".to_owned()]);
        }
        "length" | "len" | "char_length" | "character_length" | "octet_length" | "strlen" | "bit_length" => {
            found.extend(["é日".to_owned(), " a ".to_owned()]);
        }
        "reverse" | "md5" | "hash" => found.push("ab".to_owned()),
        "replace" | "translate" => {
            found
                .extend(texts.iter().take(1).flat_map(|from| [format!("{from}x{from}"), format!("x{from}")]));
        }
        "split_part" | "string_split" | "str_split" | "split" => {
            let pieces = numbers.iter().copied().max().unwrap_or(2).clamp(2, 8);
            for delimiter in texts.iter().take(1) {
                let parts: Vec<String> = (0..=pieces).map(|n| letters(n + 1)).collect();
                found.push(parts.join(delimiter));
                found.push(format!("{delimiter}a"));
            }
        }
        _ => {}
    }
    found.into_iter().map(Constant::Text).collect()
}

/// So many letters of which no two beside each other are the same.
pub(super) fn letters(length: usize) -> String {
    (b'm'..=b'z').chain(b'a'..=b'l').cycle().take(length).map(char::from).collect()
}

/// Moments at which it shows what an interval of this unit does: the ends of months, the last hours of a day.
pub(super) fn moments_before(interval: &str) -> Vec<Constant> {
    let interval = interval.to_ascii_lowercase();
    let holds = |units: &[&str]| units.iter().any(|unit| interval.contains(unit));
    let moments: &[&str] = if holds(&["month", "quarter", "year"]) {
        &["2024-01-31", "2024-03-31", "2024-02-29", "2023-02-28", "2023-12-30", "2023-12-31"]
    } else if holds(&["hour", "minute", "second"]) {
        &["2024-01-01 23:30:00", "2024-01-01 23:59:59", "2024-01-02 00:00:00", "2024-01-02 00:30:00"]
    } else {
        &[]
    };
    moments.iter().map(|moment| Constant::Text((*moment).to_owned())).collect()
}

/// Moments that tell a part of a date from its like.
pub(super) fn moments(part: &str) -> Vec<Constant> {
    let part = part.trim_matches('\'').to_ascii_lowercase();
    let days: &[&str] = match part.as_str() {
        "week" | "isoweek" | "weekiso" | "dow" | "isodow" | "dayofweek" | "dayofweekiso" | "weekday"
        | "yearweek" | "isoyear" | "yearofweek" | "yearofweekiso" | "dayname" | "weekofyear" => {
            &["2024-06-16", "2024-06-17", "2023-12-31", "2024-01-01", "2024-12-30", "2021-01-03"]
        }
        "month" | "quarter" | "year" | "day" | "doy" | "dayofyear" | "monthname" | "last_day" => {
            &["2023-12-31", "2024-01-01", "2024-02-29", "2024-03-31", "2024-04-01"]
        }
        "hour" | "minute" | "second" | "millisecond" => &["2024-01-01 23:59:59", "2024-01-02 00:00:00"],
        // The hours around the change of clocks, in Europe and in America.
        "timezone" => &[
            "2024-03-31 01:30:00",
            "2024-10-27 01:30:00",
            "2024-03-10 07:30:00",
            "2024-11-03 05:30:00",
            "2024-07-01 23:30:00",
            "2024-01-01 00:30:00",
        ],
        // A format of a date: anything may be in it.
        part if part.contains('%') => &["2023-12-31", "2024-01-01", "2024-06-09 08:05:03", "2024-12-30"],
        _ => &[],
    };
    days.iter().map(|day| Constant::Text((*day).to_owned())).collect()
}
