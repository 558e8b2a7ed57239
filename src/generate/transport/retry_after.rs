//! What a response's headers say about trying again.

use std::time::Duration;

use crate::generate::wire::HttpReply;

/// The advice of a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RetryAfter {
    /// How long to wait.
    pub(super) delay: Option<Duration>,
    /// `x-should-retry`.
    pub(super) should_retry: Option<bool>,
    /// No request is left: how long until there are some again.
    pub(super) exhausted: Option<Duration>,
}

impl RetryAfter {
    /// Reads `retry-after-ms`, `retry-after` (seconds, fractions too, or a date), `x-should-retry` and
    /// `x-ratelimit-*`. Of several values the longest counts; garbage is no advice.
    pub(super) fn read(http: &HttpReply) -> Self {
        let milliseconds = http.header("retry-after-ms").filter_map(|text| seconds(text, 1000.0)).max();
        let date = http.header("date").find_map(http_date);
        let plain = http
            .header("retry-after")
            .flat_map(|text| if text.contains("GMT") { vec![text] } else { text.split(',').collect() })
            .filter_map(|text| seconds(text, 1.0).or_else(|| until(text, date?)))
            .max();
        let should_retry = http.header("x-should-retry").find_map(|text| text.trim().parse().ok());
        let exhausted = ["requests", "tokens"]
            .into_iter()
            .filter(|kind| {
                let limit = first_number(http, &format!("x-ratelimit-limit-{kind}"));
                let left = first_number(http, &format!("x-ratelimit-remaining-{kind}"));
                // Some servers send limits of -1 or 0: unknown.
                limit.is_none_or(|limit| limit > 0.0) && left == Some(0.0)
            })
            .filter_map(|kind| http.header(&format!("x-ratelimit-reset-{kind}")).find_map(go_duration))
            .max();
        Self { delay: milliseconds.or(plain), should_retry, exhausted }
    }
}

fn first_number(http: &HttpReply, name: &str) -> Option<f64> {
    http.header(name).find_map(|text| text.trim().parse().ok())
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let value: f64 = text.trim().parse().ok()?;
    Duration::try_from_secs_f64(value / unit).ok()
}

fn http_date(text: &str) -> Option<jiff::Timestamp> {
    jiff::fmt::rfc2822::parse(&text.replace("GMT", "+0000")).ok().map(|zoned| zoned.timestamp())
}

/// From the server's own clock to a date; a past date means now.
fn until(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    let seconds = http_date(text)?.as_second() - now.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// Durations such as `12ms`, `1s`, `6m0s`, `1h2m3.5s`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest.get(..digits)?.parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        total += value
            * match &rest[digits..unit_end] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> RetryAfter {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RetryAfter::read(&HttpReply { status: 429, headers, body: Vec::new() })
    }

    #[test]
    fn every_form_is_understood() {
        let delay = |headers: &[(&str, &str)]| read(headers).delay.map(|delay| delay.as_millis());
        assert_eq!(delay(&[]), None);
        assert_eq!(delay(&[("retry-after", "2")]), Some(2000));
        assert_eq!(delay(&[("retry-after", "0.25")]), Some(250));
        assert_eq!(delay(&[("retry-after-ms", "40"), ("retry-after", "9")]), Some(40));
        assert_eq!(
            delay(&[("retry-after", "1"), ("retry-after", "3")]),
            Some(3000),
            "the longest of several"
        );
        assert_eq!(delay(&[("retry-after", "1, 4")]), Some(4000));
        let date = ("date", "Tue, 24 Nov 2026 10:00:00 GMT");
        assert_eq!(delay(&[date, ("retry-after", "Tue, 24 Nov 2026 10:00:07 GMT")]), Some(7000));
        assert_eq!(delay(&[date, ("retry-after", "Tue, 24 Nov 2026 09:00:00 GMT")]), Some(0));
        for garbage in ["soon", "-5", "NaN", "inf", "1e400", ""] {
            assert_eq!(delay(&[("retry-after", garbage)]), None, "{garbage}");
        }
    }

    #[test]
    fn exhausted_limits_say_how_long() {
        let headers = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "6m0s"),
        ];
        assert_eq!(read(&headers).exhausted, Some(Duration::from_secs(360)));
        let garbage = [
            ("x-ratelimit-limit-requests", "-1"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1s"),
        ];
        assert_eq!(read(&garbage).exhausted, None);
        assert_eq!(go_duration("12ms"), Some(Duration::from_millis(12)));
        assert_eq!(go_duration("1h2m3.5s"), Some(Duration::from_millis(3_723_500)));
        assert_eq!(go_duration("5 parsecs"), None);
        assert_eq!(read(&[("x-should-retry", "false")]).should_retry, Some(false));
    }
}
