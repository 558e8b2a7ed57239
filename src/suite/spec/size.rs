//! Numbers of rows in prose: `40M rows`, `2 million rows`, `more than 1,000,000 rows`.

/// Whether a text says that there are more than `limit` rows. What it calls an upper bound says nothing.
pub(super) fn exceeds(text: &str, limit: u64) -> bool {
    let lower = text.to_lowercase();
    let words: Vec<&str> = lower.split_whitespace().collect();
    words.iter().enumerate().any(|(at, word)| {
        is_rows(word)
            && number_before(&words[..at]).is_some_and(|(number, bound)| match bound {
                Bound::Least => number >= limit as f64,
                Bound::Most => false,
                Bound::None => number > limit as f64,
            })
    })
}

enum Bound {
    Least,
    Most,
    None,
}

fn is_rows(word: &str) -> bool {
    matches!(word.trim_end_matches([',', ';', '.', ')']), "rows" | "records")
}

/// The number that ends a text, at most two words back, and the words before it.
fn number_before(words: &[&str]) -> Option<(f64, Bound)> {
    let (last, before) = words.split_last()?;
    let (number, before) = match unit(last) {
        Some(unit) => {
            let (number, before) = before.split_last()?;
            (parse(number)? * unit, before)
        }
        None => (parse(last)?, before),
    };
    let glued = words.get(before.len())?;
    let end = before.get(before.len().saturating_sub(2)..).unwrap_or_default().join(" ");
    let bound = if glued.starts_with('>')
        || [">", "over", "above", "more than", "at least"].iter().any(|start| ends_with(&end, start))
    {
        Bound::Least
    } else if glued.starts_with('<')
        || ["<", "under", "below", "less than", "fewer than", "at most", "up to"]
            .iter()
            .any(|start| ends_with(&end, start))
    {
        Bound::Most
    } else {
        Bound::None
    };
    Some((number, bound))
}

fn ends_with(text: &str, word: &str) -> bool {
    text.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with(' '))
}

fn unit(word: &str) -> Option<f64> {
    match word {
        "k" | "thousand" => Some(1e3),
        "m" | "million" | "millions" => Some(1e6),
        "b" | "bn" | "billion" | "billions" => Some(1e9),
        _ => None,
    }
}

/// `1,500,000`, `1_500_000`, `2.5m`, `>1M`, `~40m`.
fn parse(word: &str) -> Option<f64> {
    let word = word.trim_start_matches(['(', '>', '<', '=', '~', '≈', '+']).trim_end_matches('+');
    let digits = word.trim_end_matches(|c: char| c.is_alphabetic());
    let factor = match &word[digits.len()..] {
        "" => 1.0,
        suffix => unit(suffix)?,
    };
    let plain: String = digits.chars().filter(|c| !matches!(c, ',' | '_')).collect();
    if !plain.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    plain.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_rows_are_read_in_prose() {
        for text in [
            "one row per `a`; more than 1M rows in production",
            "40M rows",
            "about 2 million rows a day",
            "~1,500,000 rows",
            ">1M rows",
            "> 1 000 rows, over 1_000_000 records.",
            "1.5 bn rows",
        ] {
            assert!(exceeds(text, 1_000_000), "{text}");
        }
        for text in [
            "one row per `a`; all time",
            "1M rows",
            "under 5M rows",
            "up to 40M rows",
            "<2M rows",
            "500k rows",
            "the last 2 million seconds",
            "m rows",
            "rows",
            "million rows",
        ] {
            assert!(!exceeds(text, 1_000_000), "{text}");
        }
    }
}
