//! Spellings of single dialects that are rewritten to the one that the parser reads.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::prepass::{is, is_word, make_word};

/// Words that may stand directly before a string without a space: types and keywords. Anything else there is a string
/// prefix that the dialect lacks.
pub(super) fn may_touch_a_string(word: &str) -> bool {
    matches!(
        word,
        "date"
            | "time"
            | "timestamp"
            | "datetime"
            | "interval"
            | "numeric"
            | "decimal"
            | "bignumeric"
            | "json"
            | "timestamptz"
            | "timestamp_ntz"
            | "timestamp_ltz"
            | "select"
            | "then"
            | "else"
            | "when"
            | "in"
            | "like"
            | "ilike"
            | "and"
            | "or"
            | "not"
            | "by"
            | "between"
            | "is"
            | "as"
            | "on"
            | "where"
            | "having"
            | "rlike"
            | "regexp"
            | "similar"
            | "to"
            | "escape"
            | "from"
            | "zone"
            | "all"
            | "distinct"
    )
}

/// `x ISNULL` and `x NOTNULL` to `x IS NULL` and `x IS NOT NULL`.
pub(super) fn null_tests(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at < tokens.len() {
        let words: &[&str] = if is_word(tokens, at, "isnull") {
            &["IS", "NULL"]
        } else if is_word(tokens, at, "notnull") {
            &["IS", "NOT", "NULL"]
        } else {
            &[]
        };
        let after_operand = match &tokens[at - 1].token {
            Token::RParen | Token::RBracket | Token::Number(..) | Token::SingleQuotedString(_) => true,
            Token::Word(w) => w.quote_style.is_some() || w.keyword == sqlparser::keywords::Keyword::NoKeyword,
            _ => false,
        };
        if !words.is_empty() && after_operand && !is(tokens, at + 1, &Token::LParen) {
            let span = tokens[at].span;
            tokens.splice(at..=at, words.iter().map(|word| make_word(word, span)));
        }
        at += 1;
    }
}

/// `ARRAY<T>[..]`, which would be read as comparisons, to `CAST([..] AS ARRAY<T>)`.
pub(super) fn typed_arrays(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at < tokens.len() {
        let list = if is_word(tokens, at, "array") && is(tokens, at + 1, &Token::Lt) {
            closing(tokens, at + 1).filter(|close| is(tokens, close + 1, &Token::LBracket))
        } else {
            None
        };
        let Some(close) = list else {
            at += 1;
            continue;
        };
        let Some(end) = closing(tokens, close + 1) else { return };
        let span = tokens[at].span;
        let single = |token: Token| TokenWithSpan::new(token, span);
        let kind: Vec<TokenWithSpan> = tokens[at..=close].to_vec();
        let items: Vec<TokenWithSpan> = tokens[close + 1..=end].to_vec();
        let mut cast = vec![make_word("CAST", span), single(Token::LParen)];
        cast.extend(items);
        cast.push(make_word("AS", span));
        cast.extend(kind);
        cast.push(single(Token::RParen));
        tokens.splice(at..=end, cast);
        at += 2;
    }
}

/// The position of the bracket that closes the one at `open`: `<` or any other.
fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let angles = is(tokens, open, &Token::Lt);
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::Lt if angles => depth += 1,
            Token::Gt if angles => depth = depth.checked_sub(1)?,
            Token::ShiftRight if angles => depth = depth.checked_sub(2)?,
            Token::LParen | Token::LBracket | Token::LBrace if !angles => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace if !angles => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// `FROM VALUES 1, 2` to `FROM VALUES (1), (2)`: each value is a row.
pub(super) fn bare_values(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let bare = is_word(tokens, at, "values")
            && matches!(tokens[at + 1].token, Token::Number(..) | Token::SingleQuotedString(_));
        if bare {
            let mut item = at + 1;
            while matches!(
                tokens.get(item).map(|t| &t.token),
                Some(Token::Number(..) | Token::SingleQuotedString(_))
            ) {
                let span = tokens[item].span;
                tokens.insert(item + 1, TokenWithSpan::new(Token::RParen, span));
                tokens.insert(item, TokenWithSpan::new(Token::LParen, span));
                item += 3;
                if !is(tokens, item, &Token::Comma) {
                    break;
                }
                item += 1;
            }
        }
        at += 1;
    }
}

/// `x?::T` to `TRY_CAST`'s operator: a cast of a path that gives NULL where it fails. Only for plain paths.
pub(super) fn attempts(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 2 < tokens.len() {
        let cast = is(tokens, at, &Token::Placeholder("?".into())) || is(tokens, at, &Token::Question);
        if !(cast
            && is(tokens, at + 1, &Token::DoubleColon)
            && matches!(tokens[at + 2].token, Token::Word(_)))
        {
            at += 1;
            continue;
        }
        let mut start = at;
        while start > 0
            && matches!(&tokens[start - 1].token, Token::Word(w) if w.quote_style.is_some() || w.keyword == sqlparser::keywords::Keyword::NoKeyword)
        {
            start -= 1;
            if start > 0 && matches!(tokens[start - 1].token, Token::Period | Token::Colon) {
                start -= 1;
            } else {
                break;
            }
        }
        if start == at {
            at += 1;
            continue;
        }
        let span = tokens[at].span;
        let operand: Vec<TokenWithSpan> = tokens[start..at].to_vec();
        let kind = tokens[at + 2].clone();
        let mut cast = vec![make_word("TRY_CAST", span), TokenWithSpan::new(Token::LParen, span)];
        cast.extend(operand);
        cast.extend([make_word("AS", span), kind, TokenWithSpan::new(Token::RParen, span)]);
        tokens.splice(start..at + 3, cast);
        at = start + 1;
    }
}

/// `ASOF [LEFT|..] JOIN x ON c` and `.. USING (c)` to the form with MATCH_CONDITION that the parser reads; the kind of join
/// and the columns become a call around the condition, so that different joins stay different.
pub(super) fn asof_joins(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        if !is_word(tokens, at, "asof") {
            at += 1;
            continue;
        }
        let mut join = at + 1;
        let mut kind = String::from("asof");
        while ["left", "right", "inner", "full", "outer"].iter().any(|word| is_word(tokens, join, word)) {
            kind.push('_');
            kind.push_str(&tokens[join].token.to_string().to_ascii_lowercase());
            join += 1;
        }
        if !is_word(tokens, join, "join") {
            at += 1;
            continue;
        }
        // The condition, at the depth of the join.
        let mut depth = 0usize;
        let mut condition = None;
        for i in join + 1..tokens.len() {
            match &tokens[i].token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                Token::SemiColon | Token::EOF => break,
                Token::Word(_) if depth == 0 && (is_word(tokens, i, "on") || is_word(tokens, i, "using")) => {
                    condition = Some(i);
                    break;
                }
                Token::Word(_)
                    if depth == 0
                        && (is_word(tokens, i, "match_condition") || is_word(tokens, i, "join")) =>
                {
                    break;
                }
                _ => {}
            }
        }
        let Some(condition) = condition else {
            at = join + 1;
            continue;
        };
        let using = is_word(tokens, condition, "using");
        let end = super::prepass::item_end(tokens, condition + 1);
        let span = tokens[condition].span;
        let single = |token: Token| TokenWithSpan::new(token, span);
        let name = if using { format!("{kind}_using") } else { kind };
        let inside: Vec<TokenWithSpan> = tokens[condition + 1..end].to_vec();
        let mut call = vec![
            make_word("MATCH_CONDITION", span),
            single(Token::LParen),
            make_word(&name, span),
            single(Token::LParen),
        ];
        call.extend(inside);
        call.extend([
            single(Token::RParen),
            single(Token::Gt),
            single(Token::Number("0".into(), false)),
            single(Token::RParen),
        ]);
        tokens.splice(condition..end, call);
        tokens.drain(at + 1..join);
        at += 2;
    }
}

/// `DATE_PART(unit FROM x)` to `DATE_PART(unit, x)`.
pub(super) fn date_parts(tokens: &mut [TokenWithSpan]) {
    for at in 3..tokens.len() {
        if is_word(tokens, at, "from")
            && is_word(tokens, at - 3, "date_part")
            && is(tokens, at - 2, &Token::LParen)
            && matches!(tokens[at - 1].token, Token::Word(_) | Token::SingleQuotedString(_))
        {
            tokens[at].token = Token::Comma;
        }
    }
}

/// `model!METHOD(..)` to one name.
pub(super) fn model_methods(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 2 < tokens.len() {
        if is(tokens, at, &Token::ExclamationMark)
            && is(tokens, at + 2, &Token::LParen)
            && let (Token::Word(model), Token::Word(method)) = (&tokens[at - 1].token, &tokens[at + 1].token)
        {
            let name = sqlparser::tokenizer::Word {
                value: format!("{}!{}", model.value, method.value),
                quote_style: model.quote_style,
                keyword: sqlparser::keywords::Keyword::NoKeyword,
            };
            tokens[at - 1].token = Token::Word(name);
            tokens.drain(at..at + 2);
        }
        at += 1;
    }
}

/// `f(TABLE t)` to `f((SELECT * FROM t))`, which reads the same rows, and `f(MODEL m)` to `f('MODEL m')`, which nothing else reads.
pub(super) fn relation_arguments(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let begins = matches!(tokens[at - 1].token, Token::LParen | Token::Comma | Token::RArrow);
        let (table, model) = (is_word(tokens, at, "table"), is_word(tokens, at, "model"));
        if !(begins && (table || model) && matches!(tokens[at + 1].token, Token::Word(_))) {
            at += 1;
            continue;
        }
        let mut end = at + 2;
        while is(tokens, end, &Token::Period)
            && matches!(tokens.get(end + 1).map(|t| &t.token), Some(Token::Word(_)))
        {
            end += 2;
        }
        if !(is(tokens, end, &Token::Comma) || is(tokens, end, &Token::RParen)) {
            at += 1;
            continue;
        }
        let span = tokens[at].span;
        let single = |token: Token| TokenWithSpan::new(token, span);
        let name: Vec<TokenWithSpan> = tokens[at + 1..end].to_vec();
        let written = if table {
            let mut query = vec![
                single(Token::LParen),
                make_word("SELECT", span),
                single(Token::Mul),
                make_word("FROM", span),
            ];
            query.extend(name);
            query.push(single(Token::RParen));
            query
        } else {
            let name: String = name.iter().map(|token| token.token.to_string()).collect();
            vec![single(Token::SingleQuotedString(format!("MODEL {name}")))]
        };
        let length = written.len();
        tokens.splice(at..end, written);
        at += length;
    }
}

/// `FULL OUTER UNION ALL BY NAME` and `.. CORRESPONDING` to `UNION ALL BY NAME`: the same where all branches have the same
/// names, and only there a union BY NAME is taken into proofs.
pub(super) fn unions_by_name(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        if !is_word(tokens, at, "union") {
            at += 1;
            continue;
        }
        let quantified = is_word(tokens, at + 1, "all") || is_word(tokens, at + 1, "distinct");
        let mut next = at + 1 + usize::from(quantified);
        if is_word(tokens, next, "strict") && is_word(tokens, next + 1, "corresponding") {
            tokens.remove(next);
        }
        if is_word(tokens, next, "corresponding") && !is_word(tokens, next + 1, "by") {
            let span = tokens[next].span;
            tokens.splice(next..=next, [make_word("BY", span), make_word("NAME", span)]);
        }
        if is_word(tokens, next, "by") && is_word(tokens, next + 1, "name") {
            while at > 0
                && ["full", "left", "inner", "outer"].iter().any(|word| is_word(tokens, at - 1, word))
            {
                tokens.remove(at - 1);
                at -= 1;
                next -= 1;
            }
        }
        at = next;
    }
}

/// `{*}` and `{t.*}` to a call of its own with the same columns.
pub(super) fn objects_of_all(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 2 < tokens.len() {
        let star = if is(tokens, at + 1, &Token::Mul) { at + 1 } else { at + 3 };
        let all = is(tokens, at, &Token::LBrace)
            && is(tokens, star, &Token::Mul)
            && is(tokens, star + 1, &Token::RBrace)
            && (star == at + 1 || is(tokens, at + 2, &Token::Period));
        if all {
            let span = tokens[at].span;
            tokens[star + 1].token = Token::RParen;
            tokens
                .splice(at..=at, [make_word("object_of_all", span), TokenWithSpan::new(Token::LParen, span)]);
        }
        at += 1;
    }
}

/// Types with parts (`ARRAY(INT)`, `OBJECT(a INT)`, `MAP(INT, INT)`) to types of that name.
pub(super) fn structured_types(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        let typed = is(tokens, at - 1, &Token::DoubleColon) || is_word(tokens, at - 1, "as");
        let named = ["array", "object", "map"].iter().any(|word| is_word(tokens, at, word));
        if typed
            && named
            && is(tokens, at + 1, &Token::LParen)
            && let Some(end) = closing(tokens, at + 1)
        {
            let text: Vec<String> =
                tokens[at..=end].iter().map(|token| token.token.to_string().to_ascii_lowercase()).collect();
            let span = tokens[at].span;
            tokens.splice(at..=end, [make_word(&text.join(" "), span)]);
        }
        at += 1;
    }
}

/// `VALUES (1), (2) AS t(a)` as a query to `SELECT * FROM VALUES ..`.
pub(super) fn named_values(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let begins = at == 0 || is(tokens, at - 1, &Token::LParen);
        if begins && is_word(tokens, at, "values") && is(tokens, at + 1, &Token::LParen) {
            let mut end = at + 1;
            while is(tokens, end, &Token::LParen) {
                let Some(close) = closing(tokens, end) else { return };
                end = close + 1;
                if is(tokens, end, &Token::Comma) {
                    end += 1;
                }
            }
            let named = is_word(tokens, end, "as")
                || matches!(tokens.get(end).map(|token| &token.token), Some(Token::Word(word)) if word.keyword == sqlparser::keywords::Keyword::NoKeyword);
            if named && !(at > 1 && is_word(tokens, at - 2, "from")) {
                let span = tokens[at].span;
                let select = [
                    make_word("SELECT", span),
                    TokenWithSpan::new(Token::Mul, span),
                    make_word("FROM", span),
                ];
                tokens.splice(at..at, select);
                at += 3;
            }
        }
        at += 1;
    }
}
