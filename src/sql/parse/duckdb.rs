//! Statements and expressions of DuckDB that the parser lacks, written as what they stand for.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::prepass::{is, is_word, item_end, make_word};
use super::ranks::{operand_end, operand_start};

fn single(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(token, span)
}

/// The bracket that closes the one at `open`.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The first of these words at the depth of `start`, or the end of the brackets around it.
fn until(tokens: &[TokenWithSpan], start: usize, words: &[&str]) -> usize {
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].token {
            Token::LParen | Token::LBracket | Token::LBrace => match closing(tokens, at) {
                Some(close) => at = close,
                None => return tokens.len(),
            },
            Token::RParen | Token::RBracket | Token::RBrace | Token::SemiColon | Token::EOF => return at,
            _ if words.iter().any(|word| is_word(tokens, at, word)) => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// The items of a list, by comma.
fn items(tokens: &[TokenWithSpan]) -> Vec<&[TokenWithSpan]> {
    let (mut depth, mut start, mut found) = (0usize, 0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => {
                found.push(&tokens[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&tokens[start..]);
    found
}

/// Whether a statement may begin here, as far as the word before it says.
fn begins_query(tokens: &[TokenWithSpan], at: usize) -> bool {
    at == 0
        || matches!(tokens[at - 1].token, Token::LParen)
        || is(tokens, at - 1, &Token::RParen) && ends_ctes(tokens, at - 1)
        || ["union", "all", "name", "except", "intersect"].iter().any(|word| is_word(tokens, at - 1, word))
}

/// `PIVOT t ON c [IN (..)] USING f(x) [GROUP BY g]` to `SELECT * FROM t PIVOT (f(x), pivot_group(g) FOR c IN (..))`.
/// Several lists become one `pivot_on(c, d)`, the lists in the values.
pub(super) fn pivots(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        let word = is_word(tokens, at, "pivot") || is_word(tokens, at, "pivot_wider");
        if !(word && begins_query(tokens, at)) {
            at += 1;
            continue;
        }
        let on = until(tokens, at + 1, &["on", "using", "select", "pivot", "unpivot", "where"]);
        if on == at + 1 || !is_word(tokens, on, "on") {
            at += 1;
            continue;
        }
        let span = tokens[at].span;
        let ends = ["using", "group", "order", "limit", "union", "except", "intersect"];
        let using = until(tokens, on + 1, &ends);
        let mut end = using;
        let (mut aggregates, mut groups) = (Vec::new(), Vec::new());
        if is_word(tokens, using, "using") {
            end = until(tokens, using + 1, &ends[1..]);
            aggregates = tokens[using + 1..end].to_vec();
        }
        if is_word(tokens, end, "group") && is_word(tokens, end + 1, "by") {
            let stop = until(tokens, end + 2, &ends[2..]);
            groups = tokens[end + 2..stop].to_vec();
            end = stop;
        }
        if aggregates.is_empty() {
            aggregates = call("count", vec![single(Token::Mul, span)], span);
        }
        let Some((columns, values)) = pivot_lists(&tokens[on + 1..using], span) else {
            at += 1;
            continue;
        };
        let mut written = vec![make_word("SELECT", span), single(Token::Mul, span), make_word("FROM", span)];
        written.extend(tokens[at + 1..on].to_vec());
        written.extend([make_word("PIVOT", span), single(Token::LParen, span)]);
        written.extend(aggregates);
        if !groups.is_empty() {
            written.push(single(Token::Comma, span));
            written.extend(call("pivot_group", groups, span));
        }
        written.push(make_word("FOR", span));
        written.extend(columns);
        written.extend([make_word("IN", span), single(Token::LParen, span)]);
        written.extend(values);
        written.extend([single(Token::RParen, span), single(Token::RParen, span)]);
        tokens.splice(at..end, written);
        at += 3;
    }
}

fn call(name: &str, inside: Vec<TokenWithSpan>, span: Span) -> Vec<TokenWithSpan> {
    let mut written = vec![make_word(name, span), single(Token::LParen, span)];
    written.extend(inside);
    written.push(single(Token::RParen, span));
    written
}

/// What is pivoted on, and the values: `c IN ('x', 'y')`, `c`, `c, d IN (1)`.
fn pivot_lists(tokens: &[TokenWithSpan], span: Span) -> Option<(Vec<TokenWithSpan>, Vec<TokenWithSpan>)> {
    let lists = items(tokens);
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for list in &lists {
        let into = until(list, 0, &["in"]);
        columns.push(list[..into].to_vec());
        values.push(match list.get(into + 1).map(|token| &token.token) {
            None if into == list.len() => None,
            Some(Token::LParen) if closing(list, into + 1) == Some(list.len() - 1) => {
                Some(list[into + 2..list.len() - 1].to_vec())
            }
            _ => return None,
        });
    }
    match (columns.as_slice(), values.as_slice()) {
        ([column], [None]) => Some((column.clone(), vec![make_word("ANY", span)])),
        ([column], [Some(values)]) => Some((column.clone(), values.clone())),
        _ => {
            let list = columns.into_iter().reduce(|mut all, next| {
                all.push(single(Token::Comma, span));
                all.extend(next);
                all
            })?;
            let each = values.into_iter().map(|values| match values {
                Some(values) => call("pivot_in", values, span),
                None => call("pivot_any", Vec::new(), span),
            });
            let values = each.reduce(|mut all, next| {
                all.push(single(Token::Comma, span));
                all.extend(next);
                all
            })?;
            Some((call("pivot_on", list, span), values))
        }
    }
}

/// `.. PIVOT (f(x) FOR c IN (..) d IN (..) GROUP BY g)` to the one list that the parser reads.
pub(super) fn pivot_clauses(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let end = if is_word(tokens, at, "pivot") && is(tokens, at + 1, &Token::LParen) {
            closing(tokens, at + 1)
        } else {
            None
        };
        let Some(end) = end else {
            at += 1;
            continue;
        };
        let inside = tokens[at + 2..end].to_vec();
        let span = tokens[at].span;
        let group = until(&inside, 0, &["group"]);
        let on = until(&inside, 0, &["for"]);
        if on < group && group <= inside.len() {
            let lists = split_lists(&inside[on + 1..group], span);
            let groups = inside.get(group + 2..).unwrap_or_default().to_vec();
            if let Some(lists) = lists
                && let Some((columns, values)) = pivot_lists(&lists, span)
            {
                let mut written = inside[..on].to_vec();
                if !groups.is_empty() {
                    written.push(single(Token::Comma, span));
                    written.extend(call("pivot_group", groups, span));
                }
                written.push(make_word("FOR", span));
                written.extend(columns);
                written.extend([make_word("IN", span), single(Token::LParen, span)]);
                written.extend(values);
                written.push(single(Token::RParen, span));
                tokens.splice(at + 2..end, written);
            }
        }
        at += 2;
    }
}

/// `c IN (..) d IN (..)` with commas between.
fn split_lists(tokens: &[TokenWithSpan], span: Span) -> Option<Vec<TokenWithSpan>> {
    let mut written = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let into = until(tokens, at, &["in"]);
        if !is(tokens, into + 1, &Token::LParen) {
            return None;
        }
        let close = closing(tokens, into + 1)?;
        if !written.is_empty() {
            written.push(single(Token::Comma, span));
        }
        written.extend(tokens[at..=close].to_vec());
        at = close + 1;
    }
    Some(written)
}

/// `UNPIVOT t ON a, b [INTO NAME n VALUE v]` to `SELECT * FROM t UNPIVOT (v FOR n IN (a, b))`.
pub(super) fn unpivots(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        let word = is_word(tokens, at, "unpivot") || is_word(tokens, at, "pivot_longer");
        if !(word && begins_query(tokens, at)) {
            at += 1;
            continue;
        }
        let on = until(tokens, at + 1, &["on", "select", "pivot", "unpivot", "where"]);
        if on == at + 1 || !is_word(tokens, on, "on") {
            at += 1;
            continue;
        }
        let span = tokens[at].span;
        let into = until(tokens, on + 1, &["into", "order", "limit", "union", "except", "intersect"]);
        let columns = tokens[on + 1..into].to_vec();
        let (mut name, mut value, mut end) =
            (vec![make_word("name", span)], vec![make_word("value", span)], into);
        if is_word(tokens, into, "into") && is_word(tokens, into + 1, "name") {
            let values = until(tokens, into + 2, &["value"]);
            end = until(tokens, values + 1, &["order", "limit", "union", "except", "intersect"]);
            name = tokens[into + 2..values].to_vec();
            value = tokens.get(values + 1..end).unwrap_or_default().to_vec();
            if items(&value).len() > 1 {
                value.insert(0, single(Token::LParen, span));
                value.push(single(Token::RParen, span));
            }
        }
        let mut written = vec![make_word("SELECT", span), single(Token::Mul, span), make_word("FROM", span)];
        written.extend(tokens[at + 1..on].to_vec());
        written.extend([make_word("UNPIVOT", span), single(Token::LParen, span)]);
        written.extend(value);
        written.push(make_word("FOR", span));
        written.extend(name);
        written.extend([make_word("IN", span), single(Token::LParen, span)]);
        written.extend(columns);
        written.extend([single(Token::RParen, span), single(Token::RParen, span)]);
        tokens.splice(at..end, written);
        at += 3;
    }
}

/// `[f(x) for x in l if p(x)]` to `list_transform(list_filter(l, x -> (p(x))), x -> (f(x)))`, which is how DuckDB has it.
pub(super) fn comprehensions(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let end = if is(tokens, at, &Token::LBracket) { closing(tokens, at) } else { None };
        let Some(end) = end else {
            at += 1;
            continue;
        };
        let inside = &tokens[at + 1..end];
        let (on, span) = (until(inside, 0, &["for"]), tokens[at].span);
        let into = until(inside, on + 1, &["in"]);
        let test = until(inside, into + 1, &["if"]);
        if on == 0 || into >= inside.len() || into < on + 2 || test < into + 2 {
            at += 1;
            continue;
        }
        let lambda = |body: &[TokenWithSpan]| {
            let names = inside[on + 1..into].to_vec();
            let several = names.len() > 1;
            let mut written = Vec::new();
            written.extend(several.then(|| single(Token::LParen, span)));
            written.extend(names);
            written.extend(several.then(|| single(Token::RParen, span)));
            written.extend([single(Token::Arrow, span), single(Token::LParen, span)]);
            written.extend(body.to_vec());
            written.push(single(Token::RParen, span));
            written
        };
        let mut list = inside[into + 1..test].to_vec();
        if test < inside.len() {
            list.push(single(Token::Comma, span));
            list.extend(lambda(&inside[test + 1..]));
            list = call("list_filter", list, span);
        }
        list.push(single(Token::Comma, span));
        list.extend(lambda(&inside[..on]));
        let written = call("list_transform", list, span);
        tokens.splice(at..=end, written);
        at += 1;
    }
}

/// `#2` to `positional_reference(2)`.
pub(super) fn positions(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        if is(tokens, at, &Token::Sharp) && matches!(tokens[at + 1].token, Token::Number(..)) {
            let span = tokens[at].span;
            let number = vec![tokens[at + 1].clone()];
            tokens.splice(at..at + 2, call("positional_reference", number, span));
        }
        at += 1;
    }
}

/// `x GLOB p` to `x SIMILAR TO glob(p)`, which nothing else reads.
pub(super) fn globs(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let infix = is_word(tokens, at, "glob")
            && !is(tokens, at + 1, &Token::LParen)
            && !matches!(tokens[at - 1].token, Token::Comma | Token::Period | Token::LParen)
            && !is_word(tokens, at - 1, "select");
        if infix {
            let end = operand_end(tokens, at + 1);
            let span = tokens[at].span;
            let pattern = tokens[at + 1..end].to_vec();
            let mut written = vec![make_word("SIMILAR", span), make_word("TO", span)];
            written.extend(call("glob", pattern, span));
            tokens.splice(at..end, written);
        }
        at += 1;
    }
}

/// `x IN l` without parentheses to `list_contains(l, x)`: a list, not a list of values.
pub(super) fn in_lists(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let bare = is_word(tokens, at, "in")
            && match &tokens[at + 1].token {
                Token::Word(_) => !is_word(tokens, at + 1, "unnest"),
                Token::LBracket => true,
                _ => false,
            };
        if !bare || is_word(tokens, at - 1, "not") {
            at += 1;
            continue;
        }
        let start = operand_start(tokens, at);
        let end = operand_end(tokens, at + 1);
        let beside = |i: usize| {
            tokens.get(i).is_some_and(|token| {
                matches!(
                    token.token,
                    Token::Plus
                        | Token::Minus
                        | Token::Mul
                        | Token::Div
                        | Token::StringConcat
                        | Token::Mod
                        | Token::DuckIntDiv
                        | Token::Arrow
                        | Token::LongArrow
                )
            })
        };
        if start == at || beside(end) || start > 0 && beside(start - 1) {
            at += 1;
            continue;
        }
        let span = tokens[at].span;
        let mut inside = tokens[at + 1..end].to_vec();
        inside.push(single(Token::Comma, span));
        inside.extend(tokens[start..at].to_vec());
        tokens.splice(start..end, call("list_contains", inside, span));
        at += 2;
    }
}

/// `LIMIT 10%` and `LIMIT 10 PERCENT` to `LIMIT percent_of_rows(10)`.
pub(super) fn shares(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        let share = is_word(tokens, at, "limit")
            && matches!(tokens[at + 1].token, Token::Number(..))
            && (is(tokens, at + 2, &Token::Mod) || is_word(tokens, at + 2, "percent"));
        if share {
            let span = tokens[at].span;
            let number = vec![tokens[at + 1].clone()];
            tokens.splice(at + 1..at + 3, call("percent_of_rows", number, span));
        }
        at += 1;
    }
}

/// `USING SAMPLE ..` at the end of a SELECT to a condition that is another on each run.
pub(super) fn samples(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        if is_word(tokens, at, "using") && is_word(tokens, at + 1, "sample") {
            let end = until(tokens, at + 2, &["order", "limit", "union", "except", "intersect", "offset"]);
            let span = tokens[at].span;
            let text: Vec<String> = tokens[at + 2..end].iter().map(|token| token.token.to_string()).collect();
            let mut written = vec![make_word("QUALIFY", span)];
            let inside = vec![single(Token::SingleQuotedString(text.join(" ")), span)];
            written.extend(call("using_sample", inside, span));
            tokens.splice(at..end, written);
        }
        at += 1;
    }
}

/// `FROM t WHERE ..`, which selects everything, to `SELECT * FROM t WHERE ..`.
pub(super) fn from_alone(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let begins = is_word(tokens, at, "from")
            && (at == 0
                || is(tokens, at - 1, &Token::LParen) && !is_call(tokens, at - 1)
                || is(tokens, at - 1, &Token::RParen) && ends_ctes(tokens, at - 1)
                || ["union", "all", "except", "intersect"].iter().any(|word| is_word(tokens, at - 1, word)));
        if begins {
            let ends = ["select", "union", "except", "intersect"];
            let end = until(tokens, at + 1, &ends);
            if !is_word(tokens, end, "select") {
                let span = tokens[at].span;
                tokens.splice(at..at, [make_word("SELECT", span), single(Token::Mul, span)]);
                at += 2;
            }
        }
        at += 1;
    }
}

/// Whether the bracket opens the arguments of a call: `extract(..)`, `trim(from ..)`.
fn is_call(tokens: &[TokenWithSpan], open: usize) -> bool {
    open > 0
        && matches!(&tokens[open - 1].token, Token::Word(word)
            if word.quote_style.is_some() || word.keyword == Keyword::NoKeyword
            || ["trim", "ltrim", "rtrim", "substring", "extract", "position", "overlay"]
                .iter().any(|name| word.value.eq_ignore_ascii_case(name)))
}

/// Whether the closing bracket ends a list of CTEs: its opening one stands behind AS.
fn ends_ctes(tokens: &[TokenWithSpan], close: usize) -> bool {
    let mut depth = 0usize;
    for at in (0..=close).rev() {
        match tokens[at].token {
            Token::RParen | Token::RBracket | Token::RBrace => depth += 1,
            Token::LParen | Token::LBracket | Token::LBrace => {
                depth -= 1;
                if depth == 0 {
                    return at > 0
                        && (is_word(tokens, at - 1, "as") || is_word(tokens, at - 1, "materialized"));
                }
            }
            _ => {}
        }
    }
    false
}

/// `TABLE t` as a query to `SELECT * FROM t`.
pub(super) fn tables(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let query = is_word(tokens, at, "table")
            && begins_query(tokens, at)
            && !(at > 0 && is_call(tokens, at - 1))
            && matches!(tokens[at + 1].token, Token::Word(_));
        if query {
            let span = tokens[at].span;
            let select = [make_word("SELECT", span), single(Token::Mul, span), make_word("FROM", span)];
            tokens.splice(at..=at, select);
        }
        at += 1;
    }
}

/// `POSITIONAL JOIN u`, which the parser alone would take for an alias, to a join that is compared by its text only.
pub(super) fn positional_joins(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        if is_word(tokens, at, "positional") && is_word(tokens, at + 1, "join") {
            let end = item_end(tokens, at + 2);
            let span = tokens[at].span;
            let mut condition = vec![make_word("MATCH_CONDITION", span), single(Token::LParen, span)];
            condition.extend(call("positional_rows", Vec::new(), span));
            condition.extend([
                single(Token::Gt, span),
                single(Token::Number("0".into(), false), span),
                single(Token::RParen, span),
            ]);
            tokens.splice(end..end, condition);
            tokens[at] = make_word("ASOF", span);
        }
        at += 1;
    }
}

/// `TABLESAMPLE 10%` to `TABLESAMPLE (10 PERCENT)`.
pub(super) fn sampled_shares(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        let share = is_word(tokens, at, "tablesample")
            && matches!(tokens[at + 1].token, Token::Number(..))
            && is(tokens, at + 2, &Token::Mod);
        if share {
            let span = tokens[at].span;
            tokens[at + 2] = make_word("PERCENT", span);
            tokens.insert(at + 3, single(Token::RParen, span));
            tokens.insert(at + 1, single(Token::LParen, span));
        }
        at += 1;
    }
}

/// `x.trim()` behind a value: the name of a function that has a syntax of its own elsewhere is a plain name there.
pub(super) fn chained_calls(tokens: &mut [TokenWithSpan]) {
    for at in 2..tokens.len().saturating_sub(1) {
        let behind_value = is(tokens, at - 1, &Token::Period)
            && matches!(
                tokens[at - 2].token,
                Token::RParen | Token::RBracket | Token::SingleQuotedString(_) | Token::Word(_)
            );
        if behind_value
            && is(tokens, at + 1, &Token::LParen)
            && let Token::Word(word) = &mut tokens[at].token
            && matches!(
                word.keyword,
                Keyword::TRIM | Keyword::SUBSTRING | Keyword::CEIL | Keyword::FLOOR | Keyword::POSITION
            )
        {
            word.keyword = Keyword::NoKeyword;
        }
    }
}
