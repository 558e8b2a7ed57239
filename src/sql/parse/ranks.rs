//! Operators that bind otherwise in the dialect than in the parser: brackets are put around what belongs together, and what
//! cannot be seen from the tokens is refused.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::ParseFault;
use super::prepass::{is, is_string, is_word, unsupported};
use crate::sql::Dialect;

/// Operators that a change looks for.
pub(super) const RANKED: &[&str] = &["->", "->>", "^", "&", "|", "<<", "||", "~", "@"];

/// Puts brackets where the dialect ranks operators otherwise.
pub(super) fn mend(tokens: &mut Vec<TokenWithSpan>, dialect: Dialect) -> Result<(), ParseFault> {
    match dialect {
        Dialect::DuckDb => {
            json_paths(tokens);
            powers_first(tokens);
            sums_in_concatenations(tokens);
            refuse(tokens, dialect)?;
            prefixes(tokens)
        }
        Dialect::Redshift => {
            powers_first(tokens);
            sums_in_concatenations(tokens);
            refuse(tokens, dialect)?;
            prefixes(tokens)
        }
        Dialect::Postgres => {
            signed_powers(tokens)?;
            prefixes(tokens)
        }
        _ => Ok(()),
    }
}

fn bracket(tokens: &mut Vec<TokenWithSpan>, start: usize, end: usize, span: Span) {
    tokens.insert(end, TokenWithSpan::new(Token::RParen, span));
    tokens.insert(start, TokenWithSpan::new(Token::LParen, span));
}

/// Whether an expression begins behind this token.
fn begins_expression(tokens: &[TokenWithSpan], before: Option<usize>) -> bool {
    let Some(at) = before else { return true };
    match &tokens[at].token {
        Token::LParen | Token::LBracket | Token::Comma => true,
        Token::Word(word) if word.quote_style.is_none() => matches!(
            word.keyword,
            Keyword::SELECT
                | Keyword::DISTINCT
                | Keyword::WHERE
                | Keyword::ON
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE
                | Keyword::CASE
                | Keyword::HAVING
                | Keyword::QUALIFY
                | Keyword::BY
        ),
        _ => false,
    }
}

/// `j ->> 'k' = 'x'` at the beginning of an expression to `(j ->> 'k') = 'x'`: the arrow takes all that is on its left, but
/// nothing weaker than arithmetic on its right.
fn json_paths(tokens: &mut Vec<TokenWithSpan>) {
    const WEAKER: &[&str] = &["is", "in", "like", "ilike", "between", "not"];
    let mut at = 1;
    while at + 1 < tokens.len() {
        if !is(tokens, at, &Token::LongArrow) {
            at += 1;
            continue;
        }
        let mut start = operand_start(tokens, at);
        while start > 1 && matches!(tokens[start - 1].token, Token::Arrow | Token::LongArrow) {
            start = operand_start(tokens, start - 1);
        }
        let end = operand_end(tokens, at + 1);
        let weaker = tokens.get(end).is_some_and(|next| match next.token {
            Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq => true,
            Token::StringConcat => true,
            Token::Word(_) => WEAKER.iter().any(|word| is_word(tokens, end, word)),
            _ => false,
        });
        if start < at && weaker && begins_expression(tokens, start.checked_sub(1)) {
            let span = tokens[at].span;
            bracket(tokens, start, end, span);
            at += 2;
        }
        at += 1;
    }
}

/// `a || b + c` to `a || (b + c)`.
fn sums_in_concatenations(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        if !is(tokens, at, &Token::StringConcat) {
            at += 1;
            continue;
        }
        let mut end = operand_end(tokens, at + 1);
        let mut sum = false;
        while let Some(token) = tokens.get(end) {
            match token.token {
                Token::Plus | Token::Minus => sum = true,
                Token::Mul | Token::Div | Token::Mod | Token::DuckIntDiv | Token::Caret => {}
                _ => break,
            }
            end = operand_end(tokens, end + 1);
        }
        if sum && end <= tokens.len() {
            let span = tokens[at].span;
            bracket(tokens, at + 1, end, span);
        }
        at += 1;
    }
}

/// `- a ^ b`, which is `(- a) ^ b`.
fn signed_powers(tokens: &[TokenWithSpan]) -> Result<(), ParseFault> {
    for at in 1..tokens.len() {
        if is(tokens, at, &Token::Caret) {
            let start = operand_start(tokens, at);
            if start < at && is_signed(tokens, start) {
                return unsupported("`^` behind a sign needs parentheses", &tokens[at]);
            }
        }
    }
    Ok(())
}

/// Whether a sign stands before the operand that is no operator between two.
fn is_signed(tokens: &[TokenWithSpan], start: usize) -> bool {
    let signed = start > 0 && matches!(tokens[start - 1].token, Token::Minus | Token::Plus | Token::Tilde);
    signed && !(start > 1 && ends_operand(&tokens[start - 2].token))
}

fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.quote_style.is_some() || word.keyword == Keyword::NoKeyword,
        Token::Number(..) | Token::RParen | Token::RBracket | Token::SingleQuotedString(_) => true,
        _ => false,
    }
}

/// `~a + b`, which is `~(a + b)`.
fn prefixes(tokens: &[TokenWithSpan]) -> Result<(), ParseFault> {
    for at in 0..tokens.len() {
        let prefix = matches!(tokens[at].token, Token::Tilde | Token::AtSign)
            && !(at > 0 && ends_operand(&tokens[at - 1].token));
        if prefix {
            let end = operand_end(tokens, at + 1);
            let arithmetic = tokens.get(end).is_some_and(|token| {
                matches!(
                    token.token,
                    Token::Plus
                        | Token::Minus
                        | Token::Mul
                        | Token::Div
                        | Token::Mod
                        | Token::DuckIntDiv
                        | Token::Caret
                )
            });
            if arithmetic {
                return unsupported(
                    "a prefix operator beside another operator needs parentheses",
                    &tokens[at],
                );
            }
        }
    }
    Ok(())
}

/// `a ^ b` to `(a ^ b)`, from left to right: it binds stronger than what may stand beside it, but for a sign.
fn powers_first(tokens: &mut Vec<TokenWithSpan>) {
    let mut at = 1;
    while at + 1 < tokens.len() {
        if !is(tokens, at, &Token::Caret) {
            at += 1;
            continue;
        }
        let (start, end) = (operand_start(tokens, at), operand_end(tokens, at + 1));
        if start == at || end <= at + 1 || is_signed(tokens, start) {
            at += 1;
            continue;
        }
        let span = tokens[at].span;
        bracket(tokens, start, end, span);
        at += 2;
    }
}

/// Operators that bind otherwise in the dialect than in the parser: beside another operator, without parentheses, they
/// are refused. In DuckDB `->` and `->>` bind weaker than comparisons; there and in Redshift `^` is a power and binds stronger
/// than `*`; and `&`, `|`, `<<`, `>>` have one rank.
fn refuse(tokens: &[TokenWithSpan], dialect: Dialect) -> Result<(), ParseFault> {
    for at in 1..tokens.len() {
        let what = match tokens[at].token {
            Token::Arrow if dialect == Dialect::DuckDb && !is_lambda(tokens, at) => "->",
            Token::LongArrow if dialect == Dialect::DuckDb => "->>",
            Token::Caret => "^",
            Token::Ampersand => "&",
            Token::Pipe => "|",
            Token::ShiftLeft => "<<",
            _ => continue,
        };
        let before = operand_start(tokens, at).checked_sub(1);
        let after = operand_end(tokens, at + 1);
        let is_path = |at: usize| matches!(tokens[at].token, Token::Arrow | Token::LongArrow);
        // Arrows in a row go from left to right in either reading.
        let beside = |i: usize| is_operator(tokens, i) && !(is_path(at) && is_path(i));
        if beside(after) || before.is_some_and(beside) {
            return unsupported(&format!("`{what}` beside another operator needs parentheses"), &tokens[at]);
        }
    }
    Ok(())
}

fn is_operator(tokens: &[TokenWithSpan], at: usize) -> bool {
    const WORDS: &[&str] = &["like", "ilike", "in", "is", "between", "similar", "glob", "div"];
    tokens.get(at).is_some_and(|token| match &token.token {
        Token::Eq
        | Token::DoubleEq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::DuckIntDiv
        | Token::Mod
        | Token::StringConcat
        | Token::Caret
        | Token::Ampersand
        | Token::Pipe
        | Token::ShiftLeft
        | Token::ShiftRight
        | Token::Arrow
        | Token::LongArrow => true,
        Token::Word(_) => {
            WORDS.iter().any(|w| is_word(tokens, at, w))
                || is_word(tokens, at, "not") && is_operator(tokens, at + 1)
        }
        _ => false,
    })
}

/// `x -> ..` as an argument, or `(x, y) -> ..`.
fn is_lambda(tokens: &[TokenWithSpan], at: usize) -> bool {
    let start = operand_start(tokens, at);
    is(tokens, at - 1, &Token::RParen) && is(tokens, start, &Token::LParen)
        || start + 1 == at && start > 0 && matches!(tokens[start - 1].token, Token::LParen | Token::Comma)
}

/// Where the operand that ends before `end` begins: a literal, a path, a call, something in brackets, with casts.
pub(super) fn operand_start(tokens: &[TokenWithSpan], end: usize) -> usize {
    let mut at = end;
    loop {
        let mut brackets = false;
        while at > 0 && matches!(tokens[at - 1].token, Token::RParen | Token::RBracket | Token::RBrace) {
            let mut depth = 0usize;
            while at > 0 {
                at -= 1;
                match tokens[at].token {
                    Token::RParen | Token::RBracket | Token::RBrace => depth += 1,
                    Token::LParen | Token::LBracket | Token::LBrace => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
            brackets = true;
        }
        let is_name = at > 0
            && matches!(&tokens[at - 1].token, Token::Word(w) if !brackets || w.keyword == Keyword::NoKeyword || is(tokens, at, &Token::LBracket) || w.quote_style.is_some());
        let is_literal = at > 0
            && !brackets
            && (matches!(tokens[at - 1].token, Token::Number(..)) || is_string(&tokens[at - 1].token));
        if is_name || is_literal {
            at -= 1;
        }
        if at > 0 && matches!(tokens[at - 1].token, Token::Period | Token::DoubleColon) {
            at -= 1;
            continue;
        }
        return at;
    }
}

/// Where the operand that begins at `start` ends.
pub(super) fn operand_end(tokens: &[TokenWithSpan], start: usize) -> usize {
    let mut at = start;
    while matches!(tokens.get(at).map(|t| &t.token), Some(Token::Minus | Token::Plus)) {
        at += 1;
    }
    if !matches!(tokens.get(at).map(|t| &t.token), Some(Token::LParen | Token::LBracket | Token::LBrace)) {
        at += 1;
    }
    loop {
        match tokens.get(at).map(|t| &t.token) {
            Some(Token::LParen | Token::LBracket | Token::LBrace) => {
                let mut depth = 0usize;
                while let Some(token) = tokens.get(at) {
                    match token.token {
                        Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                        Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    at += 1;
                    if depth == 0 {
                        break;
                    }
                }
            }
            Some(Token::Period | Token::DoubleColon) => at += 2,
            _ => return at,
        }
    }
}
