//! Mends on the token stream what the parser does not read, and refuses what it would read wrongly.
//!
//! Each change keeps the meaning exactly; where that cannot be seen from the tokens, the text is refused.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Word};

use super::ParseFault;
use super::idioms::{
    asof_joins, attempts, bare_values, date_parts, may_touch_a_string, model_methods, named_values,
    null_tests, objects_of_all, relation_arguments, structured_types, typed_arrays, unions_by_name,
};
use super::words::Words;
use super::{duckdb, ranks};
use crate::sql::Dialect;

/// Mends the tokens (without white space) of a text.
pub(super) fn mend(
    sql: &str,
    mut tokens: Vec<TokenWithSpan>,
    dialect: Dialect,
) -> Result<Vec<TokenWithSpan>, ParseFault> {
    let source = Source::new(sql);
    if matches!(dialect, Dialect::BigQuery | Dialect::Databricks) {
        numbered_names(&source, &mut tokens);
    }
    if dialect == Dialect::DuckDb {
        powers(&mut tokens);
        duckdb::samples(&mut tokens);
    }
    literals(&source, &mut tokens, dialect)?;
    let words = Words::of(&tokens);
    if words.any(JOIN_WORDS) || words.any(&["sample"]) {
        refuse_misreadings(&tokens, dialect)?;
    }
    let (first, then): (&[Pass], &[Pass]) = match dialect {
        Dialect::DuckDb => (DUCKDB_FIRST, DUCKDB_THEN),
        Dialect::Redshift => (
            &[],
            &[
                (NULL_TESTS, null_tests),
                (&["approximate"], approximate),
                (&["extract"], |tokens| extract_units(tokens)),
                (&["nulls"], |tokens| null_treatment(tokens)),
            ],
        ),
        Dialect::Snowflake => (
            &[],
            &[
                (&["directed"], directed_joins),
                (&["date_part"], |tokens| date_parts(tokens)),
                (&["!"], model_methods),
                (&["{"], objects_of_all),
                (&["array", "object", "map"], structured_types),
                (&["local"], local_time_zone),
            ],
        ),
        Dialect::Databricks => (
            &[],
            &[
                (&["values"], bare_values),
                (&["values"], named_values),
                (&["?"], attempts),
                (&["local"], local_time_zone),
                (&["nulls"], |tokens| null_treatment(tokens)),
            ],
        ),
        Dialect::BigQuery => (
            &[],
            &[
                (&["array"], typed_arrays),
                (&["table", "model"], relation_arguments),
                (&["union"], unions_by_name),
            ],
        ),
        Dialect::Postgres => (&[(&["table"], duckdb::tables)], &[(NULL_TESTS, null_tests)]),
        Dialect::Generic => (&[], &[]),
    };
    let run = |passes: &[Pass], words: &Words, tokens: &mut Vec<TokenWithSpan>| {
        passes.iter().filter(|(of, _)| words.any(of)).for_each(|(_, pass)| pass(tokens));
    };
    run(first, &words, &mut tokens);
    let words = Words::of(&tokens);
    if words.any(ranks::RANKED) {
        ranks::mend(&mut tokens, dialect)?;
    }
    run(then, &words, &mut tokens);
    Ok(tokens)
}

/// A change, and the words without any of which it changes nothing.
type Pass = (&'static [&'static str], fn(&mut Vec<TokenWithSpan>));

/// Before the ranks of operators are looked at. None writes what a later one changes.
const DUCKDB_FIRST: &[Pass] = &[
    (&["filter"], filter_without_where),
    (&["materialized"], drop_materialized),
    (&["pivot", "pivot_wider"], duckdb::pivots),
    (&["unpivot", "pivot_longer"], duckdb::unpivots),
    (&["pivot", "pivot_wider"], duckdb::pivot_clauses),
    (&["table"], duckdb::tables),
    (&["from"], duckdb::from_alone),
    (&[":"], prefix_aliases),
    (&["for"], duckdb::comprehensions),
    (&["#"], duckdb::positions),
    (&["limit"], duckdb::shares),
    (&["glob"], duckdb::globs),
    (&["in"], duckdb::in_lists),
];
/// And after.
const DUCKDB_THEN: &[Pass] = &[
    (NULL_TESTS, null_tests),
    (&["positional"], duckdb::positional_joins),
    (&["asof", "positional"], asof_joins),
    (&["tablesample"], duckdb::sampled_shares),
    (&["map"], structured_types),
    (&["reservoir"], |tokens| reservoir(tokens)),
    (&["nulls"], |tokens| null_treatment(tokens)),
    (&["trim", "substring", "ceil", "floor", "position"], |tokens| duckdb::chained_calls(tokens)),
];
const NULL_TESTS: &[&str] = &["isnull", "notnull"];

/// Access to the text by line and column.
pub(super) struct Source<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines }
    }

    pub(super) fn offset(&self, at: Location) -> Option<usize> {
        let start = *self.lines.get(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let columns = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let line = self.text.get(start..)?;
        Some(line.char_indices().nth(columns).map_or(self.text.len(), |(offset, _)| start + offset))
    }

    /// The text of a span; its end is exclusive.
    fn slice(&self, span: Span) -> Option<&'a str> {
        self.text.get(self.offset(span.start)?..self.offset(span.end)?)
    }
}

pub(super) fn unsupported<T>(what: &str, at: &TokenWithSpan) -> Result<T, ParseFault> {
    Err(ParseFault::Unsupported(format!("{what}{}", at.span.start)))
}

/// An unquoted word, as lower case; `None` for everything else.
fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value.to_ascii_lowercase()),
        _ => None,
    }
}

pub(super) fn is_word(tokens: &[TokenWithSpan], at: usize, expected: &str) -> bool {
    matches!(
        tokens.get(at).map(|t| &t.token),
        Some(Token::Word(Word { value, quote_style: None, .. })) if value.eq_ignore_ascii_case(expected)
    )
}

pub(super) fn is(tokens: &[TokenWithSpan], at: usize, expected: &Token) -> bool {
    tokens.get(at).is_some_and(|t| t.token == *expected)
}

pub(super) fn make_word(value: &str, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(Token::make_word(value, None), span)
}

pub(super) fn is_string(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_) | Token::TripleSingleQuotedString(_) | Token::DollarQuotedString(_)
    )
}

/// `t.2022`: a name that begins with a digit, which the tokenizer takes for a fraction.
fn numbered_names(source: &Source<'_>, tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at < tokens.len() {
        let follows = |a: usize, b: usize| tokens[a].span.end == tokens[b].span.start;
        let is_name = matches!(&tokens[at].token, Token::Number(digits, _) if digits.starts_with('.'))
            && matches!(tokens[at - 1].token, Token::Word(_))
            && follows(at - 1, at);
        if is_name {
            let mut end = at;
            while end + 1 < tokens.len()
                && follows(end, end + 1)
                && matches!(&tokens[end + 1].token, Token::Word(word) if word.quote_style.is_none())
            {
                end += 1;
            }
            let span = Span::new(tokens[at].span.start, tokens[end].span.end);
            if let Some(name) = source.slice(span).and_then(|text| text.strip_prefix('.')) {
                let name = Token::Word(Word {
                    value: name.to_owned(),
                    quote_style: None,
                    keyword: Keyword::NoKeyword,
                });
                let dot = TokenWithSpan::new(Token::Period, span);
                tokens.splice(at..=end, [dot, TokenWithSpan::new(name, span)]);
                at += 1;
            }
        }
        at += 1;
    }
}

/// `a ** b`, which is `a ^ b`.
fn powers(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        if is(tokens, at, &Token::Mul)
            && is(tokens, at + 1, &Token::Mul)
            && tokens[at].span.end == tokens[at + 1].span.start
        {
            tokens[at].token = Token::Caret;
            tokens.remove(at + 1);
        }
        at += 1;
    }
}

/// String and number literals that the parser splits or takes for something else.
fn literals(
    source: &Source<'_>,
    tokens: &mut Vec<TokenWithSpan>,
    dialect: Dialect,
) -> Result<(), ParseFault> {
    let mut at = 0;
    while at < tokens.len() {
        let next_is_string = tokens.get(at + 1).is_some_and(|next| is_string(&next.token));
        let adjacent = tokens.get(at + 1).is_some_and(|next| next.span.start == tokens[at].span.end);
        match &tokens[at].token {
            Token::Number(digits, long) if digits.contains('_') => {
                tokens[at].token = Token::Number(digits.replace('_', ""), *long);
            }
            Token::HexStringLiteral(digits) => {
                let is_number = source
                    .slice(tokens[at].span)
                    .is_some_and(|text| text.starts_with("0x") || text.starts_with("0X"));
                match u64::from_str_radix(digits, 16) {
                    Ok(number) if is_number => tokens[at].token = Token::Number(number.to_string(), false),
                    _ if is_number => {
                        return unsupported("a hexadecimal number this long is not read", &tokens[at]);
                    }
                    _ => {}
                }
            }
            Token::Word(prefix)
                if prefix.quote_style.is_none()
                    && next_is_string
                    && adjacent
                    && !may_touch_a_string(&prefix.value.to_ascii_lowercase()) =>
            {
                let value = match prefix.value.to_ascii_lowercase().as_str() {
                    // DuckDB's escape strings; the others have a token of their own.
                    "e" if dialect == Dialect::DuckDb => escaped(&tokens[at + 1].token),
                    // Spark's raw strings: the text between the quotes as it stands.
                    "r" if dialect == Dialect::Databricks => raw(source, &tokens[at + 1]),
                    _ => None,
                };
                let Some(value) = value else {
                    return unsupported(
                        &format!("the string prefix `{}` is not read here", prefix.value),
                        &tokens[at],
                    );
                };
                let span = Span::new(tokens[at].span.start, tokens[at + 1].span.end);
                tokens[at] = TokenWithSpan::new(Token::SingleQuotedString(value), span);
                tokens.remove(at + 1);
            }
            // Read as an alias; in some dialects it is an error, in others concatenation.
            token if is_string(token) && next_is_string => {
                return unsupported("two string literals in a row are not read", &tokens[at + 1]);
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// The value of `e'..'`, whose text was read without escapes.
fn escaped(token: &Token) -> Option<String> {
    let Token::SingleQuotedString(text) = token else { return None };
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        value.push(match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '\\' => '\\',
            _ => return None,
        });
    }
    Some(value)
}

/// The text of a raw string, where no backslash stands before a quote (which the tokenizer has taken for an escape).
fn raw(source: &Source<'_>, token: &TokenWithSpan) -> Option<String> {
    let text = source.slice(token.span)?.strip_prefix('\'')?.strip_suffix('\'')?;
    (!text.contains('\'')).then(|| text.to_owned())
}

/// Words before JOIN that the parser takes for the alias of the table before them.
const JOIN_WORDS: &[&str] =
    &["positional", "paste", "any", "all", "global", "directed", "straight", "broadcast"];

fn refuse_misreadings(tokens: &[TokenWithSpan], dialect: Dialect) -> Result<(), ParseFault> {
    for at in 0..tokens.len() {
        let joins = is_word(tokens, at + 1, "join");
        if !joins && !is_word(tokens, at + 1, "sample") {
            continue;
        }
        let Some(text) = word(&tokens[at]) else { continue };
        if JOIN_WORDS.contains(&text.as_str()) && joins && !is_word(tokens, at.wrapping_sub(1), "as") {
            let kept = text == "directed" && dialect == Dialect::Snowflake
                || text == "positional" && dialect == Dialect::DuckDb;
            if !kept {
                return unsupported(&format!("{} JOIN is not read", text.to_uppercase()), &tokens[at]);
            }
        }
        if text == "using" && !joins {
            return unsupported("USING SAMPLE picks rows at random, which cannot be compared", &tokens[at]);
        }
    }
    Ok(())
}

/// `FILTER (p)` to `FILTER (WHERE p)`.
fn filter_without_where(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let is_filter = is_word(tokens, at, "filter")
            && is(tokens, at - 1, &Token::RParen)
            && is(tokens, at + 1, &Token::LParen);
        if is_filter && !is_word(tokens, at + 2, "where") {
            let span = tokens[at + 1].span;
            tokens.insert(at + 2, make_word("WHERE", span));
        }
        at += 1;
    }
}

/// `AS [NOT] MATERIALIZED (` to `AS (`: how a CTE is computed, not what.
fn drop_materialized(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        if is_word(tokens, at, "materialized") && is(tokens, at + 1, &Token::LParen) {
            if is_word(tokens, at - 1, "as") {
                tokens.remove(at);
            } else if at >= 2 && is_word(tokens, at - 1, "not") && is_word(tokens, at - 2, "as") {
                tokens.drain(at - 1..=at);
            }
        }
        at += 1;
    }
}

/// `INNER DIRECTED JOIN` to `INNER JOIN`: the order of joining, not the result.
fn directed_joins(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let after_kind = ["inner", "left", "right", "full", "outer", "cross"]
            .iter()
            .any(|kind| is_word(tokens, at - 1, kind));
        if after_kind && is_word(tokens, at, "directed") && is_word(tokens, at + 1, "join") {
            tokens.remove(at);
        }
        at += 1;
    }
}

/// `TIMESTAMP WITH LOCAL TIME ZONE` to its other name, `TIMESTAMP_LTZ`.
fn local_time_zone(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 4 < tokens.len() {
        let words = ["timestamp", "with", "local", "time", "zone"];
        if words.iter().enumerate().all(|(i, expected)| is_word(tokens, at + i, expected)) {
            let span = tokens[at].span;
            tokens.splice(at..at + 5, [make_word("TIMESTAMP_LTZ", span)]);
        }
        at += 1;
    }
}

/// `TABLESAMPLE RESERVOIR (..)`: the parser has no such method; BLOCK is one that DuckDB lacks, so nothing else reads the same.
fn reservoir(tokens: &mut [TokenWithSpan]) {
    for at in 1..tokens.len() {
        if is_word(tokens, at - 1, "tablesample") && is_word(tokens, at, "reservoir") {
            tokens[at] = make_word("BLOCK", tokens[at].span);
        }
    }
}

/// `APPROXIMATE f(..)` to a function of its own: an estimate is not the exact count.
fn approximate(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        if is_word(tokens, at, "approximate")
            && is(tokens, at + 2, &Token::LParen)
            && let Some(function) = word(&tokens[at + 1])
        {
            let span = tokens[at].span;
            tokens.splice(at..at + 2, [make_word(&format!("approximate_{function}"), span)]);
        }
        at += 1;
    }
}

/// Redshift's short names of date parts inside EXTRACT.
fn extract_units(tokens: &mut [TokenWithSpan]) {
    for at in 2..tokens.len() {
        if !(is_word(tokens, at - 2, "extract")
            && is(tokens, at - 1, &Token::LParen)
            && is_word(tokens, at + 1, "from"))
        {
            continue;
        }
        let unit = match word(&tokens[at]).as_deref() {
            Some("qtr" | "qtrs" | "quarters") => "QUARTER",
            Some("mon" | "mons" | "months") => "MONTH",
            Some("yr" | "yrs" | "y" | "years") => "YEAR",
            Some("w" | "weeks") => "WEEK",
            Some("d" | "days") => "DAY",
            Some("h" | "hr" | "hrs" | "hours") => "HOUR",
            Some("m" | "min" | "mins" | "minutes") => "MINUTE",
            Some("s" | "sec" | "secs" | "seconds") => "SECOND",
            Some("dayofweek" | "dw" | "weekday") => "DOW",
            Some("dayofyear" | "dy" | "yearday") => "DOY",
            _ => continue,
        };
        tokens[at] = make_word(unit, tokens[at].span);
    }
}

/// `f(x IGNORE NULLS)` to `f(x) IGNORE NULLS`, which means the same.
fn null_treatment(tokens: &mut [TokenWithSpan]) {
    for at in 0..tokens.len().saturating_sub(2) {
        let treatment = is_word(tokens, at, "ignore") || is_word(tokens, at, "respect");
        if treatment && is_word(tokens, at + 1, "nulls") && is(tokens, at + 2, &Token::RParen) {
            tokens[at..at + 3].rotate_right(1);
        }
    }
}

/// `a: x` in a select list or after FROM to `x AS a`.
fn prefix_aliases(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let begins_item = matches!(tokens[at - 1].token, Token::Comma)
            || ["select", "from", "distinct", "all"].iter().any(|w| is_word(tokens, at - 1, w));
        let is_alias = matches!(&tokens[at].token, Token::Word(_)) && is(tokens, at + 1, &Token::Colon);
        if begins_item && is_alias && in_list(tokens, at) {
            let end = item_end(tokens, at + 2);
            let alias = tokens[at].clone();
            let span = alias.span;
            tokens.splice(end..end, [make_word("AS", span), alias]);
            tokens.drain(at..at + 2);
        }
        at += 1;
    }
}

/// Whether a position is in a list of a query and not inside `{..}` or the arguments of a call.
fn in_list(tokens: &[TokenWithSpan], at: usize) -> bool {
    let mut depth = 0usize;
    for i in (0..at).rev() {
        match &tokens[i].token {
            Token::RParen | Token::RBracket | Token::RBrace => depth += 1,
            Token::LParen | Token::LBracket | Token::LBrace if depth == 0 => return false,
            Token::LParen | Token::LBracket | Token::LBrace => depth -= 1,
            Token::Word(w) if depth == 0 && matches!(w.keyword, Keyword::SELECT | Keyword::FROM) => {
                return true;
            }
            Token::Word(w)
                if depth == 0 && matches!(w.keyword, Keyword::WHERE | Keyword::BY | Keyword::HAVING) =>
            {
                return false;
            }
            _ => {}
        }
    }
    false
}

/// The end of a list item: the comma, clause or bracket after it.
pub(super) fn item_end(tokens: &[TokenWithSpan], start: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => return i,
            Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
            Token::Comma | Token::SemiColon | Token::EOF if depth == 0 => return i,
            Token::Word(w)
                if depth == 0
                    && w.quote_style.is_none()
                    && matches!(
                        w.keyword,
                        Keyword::FROM
                            | Keyword::WHERE
                            | Keyword::GROUP
                            | Keyword::HAVING
                            | Keyword::QUALIFY
                            | Keyword::WINDOW
                            | Keyword::ORDER
                            | Keyword::LIMIT
                            | Keyword::UNION
                            | Keyword::EXCEPT
                            | Keyword::INTERSECT
                            | Keyword::JOIN
                            | Keyword::LEFT
                            | Keyword::RIGHT
                            | Keyword::INNER
                            | Keyword::FULL
                            | Keyword::CROSS
                            | Keyword::NATURAL
                            | Keyword::ASOF
                            | Keyword::SEMI
                            | Keyword::ANTI
                            | Keyword::ON
                            | Keyword::OFFSET
                    ) =>
            {
                // `x IS DISTINCT FROM y` and `extract(.. from ..)`: the first stands at this depth.
                if w.keyword == Keyword::FROM && is_word(tokens, i - 1, "distinct") {
                    continue;
                }
                return i;
            }
            _ => {}
        }
    }
    tokens.len()
}
