//! The policy over SQL.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Ident, ObjectName, Query, Spanned, TableFactor, Value, Visit, Visitor};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::names::{
    ACTION_PREFIXES, ACTIONS, FILE_FUNCTIONS, FILE_PREFIXES, SYSTEM_FUNCTIONS, SYSTEM_PREFIXES,
    SYSTEM_SCHEMAS, TABLE_FUNCTIONS,
};
use super::{Policy, Violation};
use crate::sql::Dialect;
use crate::sql::jinja::Rendered;
use crate::sql::parse::{ParseFault, parse, tokens};
use crate::sql::relations::relations;

/// Statements that act, by first word; only the first word of a text that is no query is looked up.
const STATEMENTS: &[&str] = &[
    "alter",
    "analyze",
    "attach",
    "begin",
    "call",
    "checkpoint",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "delete",
    "describe",
    "detach",
    "do",
    "drop",
    "execute",
    "explain",
    "export",
    "force",
    "get",
    "grant",
    "import",
    "insert",
    "install",
    "list",
    "load",
    "lock",
    "merge",
    "notify",
    "optimize",
    "pragma",
    "prepare",
    "put",
    "refresh",
    "remove",
    "rename",
    "reset",
    "revoke",
    "rollback",
    "set",
    "show",
    "start",
    "summarize",
    "truncate",
    "undrop",
    "unload",
    "unset",
    "update",
    "use",
    "vacuum",
];

/// Judges SQL; `known` holds the relations and macros that may stand in it.
pub(super) fn check(policy: &Policy, sql: &str, known: &Rendered) -> Vec<Violation> {
    let mut found = tokens_only(sql, policy.dialect, &known.opaque);
    match parse(sql, policy.dialect) {
        Ok(parsed) => found.extend(of_tree(policy, &parsed.query, known)),
        Err(ParseFault::TooLarge(message)) => found.push(Violation::new("sql_limit", message, (1, 0))),
        Err(ParseFault::NotAQuery(what)) if !found.iter().any(|v| v.class == "not_a_query") => {
            found.push(Violation::new("not_a_query", format!("{what} is no query"), (1, 0)));
        }
        Err(_) => {}
    }
    found
}

fn place(span: Span) -> (usize, usize) {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    (number(span.start.line).max(1), number(span.start.column))
}

/// What tokens alone show, whether the text parses or not: several statements, statements that act, denied functions, files
/// named in FROM.
pub(super) fn tokens_only(sql: &str, dialect: Dialect, opaque: &[String]) -> Vec<Violation> {
    let tokens = match tokens(sql, dialect) {
        Ok(tokens) => tokens,
        Err(ParseFault::TooLarge(message)) => return vec![Violation::new("sql_limit", message, (1, 0))],
        Err(_) => return loose(sql),
    };
    let mut found = Vec::new();
    let tokens: Vec<&TokenWithSpan> = tokens.iter().filter(|token| token.token != Token::EOF).collect();
    if let Some(semicolon) = tokens.iter().position(|token| token.token == Token::SemiColon) {
        let at = place(tokens[semicolon].span);
        if tokens[semicolon..].iter().all(|token| token.token == Token::SemiColon) {
            let message = "the query ends with `;`, which breaks the statement that dbt puts around it";
            found.push(Violation::new("trailing_semicolon", message, at));
        } else {
            found.push(Violation::new("several_statements", "more than one statement", at));
        }
    }
    for (i, token) in tokens.iter().enumerate() {
        let variable = match &token.token {
            Token::Word(word) => word.value.starts_with("@@"),
            Token::Placeholder(name) => name.starts_with("@@"),
            Token::AtAt => true,
            _ => false,
        };
        if variable {
            found.push(Violation::new("system_function", "reads a system variable", place(token.span)));
        }
        let Token::Word(word) = &token.token else {
            if let (Some(file), true) = (string(&token.token), i > 0) {
                let after = |name: &str| is_word(&tokens, i - 1, name);
                let is_table =
                    after("join") || after("table") || after("from") && !from_of_a_function(&tokens, i - 1);
                if is_table {
                    found.push(Violation::new(
                        "file_function",
                        format!("reads the file '{file}'"),
                        place(token.span),
                    ));
                }
            }
            continue;
        };
        let starts_statement = i == 0 || tokens[i - 1].token == Token::SemiColon;
        let lower = word.value.to_ascii_lowercase();
        if starts_statement && word.quote_style.is_none() && STATEMENTS.contains(&lower.as_str()) {
            found.push(Violation::new(
                "not_a_query",
                format!("{} is no query", word.value.to_uppercase()),
                place(token.span),
            ));
        }
        if word.quote_style.is_none() && acts_in_parentheses(&tokens, i, &lower) {
            found.push(Violation::new(
                "system_relation",
                format!("reads what {} tells of the database", word.value.to_uppercase()),
                place(token.span),
            ));
        }
        let called = tokens.get(i + 1).is_some_and(|next| next.token == Token::LParen);
        let is_macro = || opaque.iter().any(|call| call.split('(').next() == Some(word.value.as_str()));
        let class = denied(&lower).filter(|_| called && !names_a_relation(&tokens, i) && !is_macro());
        if let Some(class) = class {
            found.push(Violation::new(class, format!("calls `{}`", word.value), place(token.span)));
        }
    }
    found
}

/// The text of a string, however it is quoted.
fn string(token: &Token) -> Option<&str> {
    match token {
        Token::SingleQuotedString(text)
        | Token::EscapedStringLiteral(text)
        | Token::UnicodeStringLiteral(text)
        | Token::NationalStringLiteral(text)
        | Token::TripleSingleQuotedString(text)
        | Token::TripleDoubleQuotedString(text)
        | Token::SingleQuotedRawStringLiteral(text) => Some(text),
        Token::DollarQuotedString(text) => Some(&text.value),
        _ => None,
    }
}

fn is_word(tokens: &[&TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(tokens.get(at).map(|t| &t.token), Some(Token::Word(w)) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// `from (show tables)`, `join (describe t) ..`: statements that stand for rows.
fn acts_in_parentheses(tokens: &[&TokenWithSpan], at: usize, word: &str) -> bool {
    matches!(word, "show" | "describe" | "desc" | "summarize" | "pragma" | "call" | "explain")
        && at > 1
        && tokens[at - 1].token == Token::LParen
        && (is_word(tokens, at - 2, "from")
            || is_word(tokens, at - 2, "join")
            || is_word(tokens, at - 2, "as")
            || tokens[at - 2].token == Token::Comma
            || tokens[at - 2].token == Token::LParen)
        && tokens.get(at + 1).is_some_and(|next| matches!(next.token, Token::Word(_)) || string(&next.token).is_some())
        // `as (call integer, show text)` declares columns.
        && !tokens.get(at + 2).is_some_and(|next| is_word(tokens, at - 2, "as") && matches!(next.token, Token::Comma | Token::RParen))
}

/// `as name (a, b)` and `with name (a, b) as (`: a name with the names of its columns, not a call.
fn names_a_relation(tokens: &[&TokenWithSpan], name: usize) -> bool {
    let names = |at: usize| matches!(tokens[at].token, Token::Word(_) | Token::Comma);
    let Some(end) = (name + 2..tokens.len()).find(|&at| !names(at)) else { return false };
    if tokens[end].token != Token::RParen || name == 0 {
        return false;
    }
    let begins = |at: usize| {
        ["select", "with", "values", "from", "table"].iter().any(|word| is_word(tokens, at, word))
            || tokens.get(at).is_some_and(|token| token.token == Token::LParen)
    };
    let begins_cte = is_word(tokens, name - 1, "with")
        || is_word(tokens, name - 1, "recursive")
        || tokens[name - 1].token == Token::Comma;
    let materialized = usize::from(is_word(tokens, end + 2, "not"))
        + usize::from(is_word(tokens, end + 2, "materialized") || is_word(tokens, end + 3, "materialized"));
    is_word(tokens, name - 1, "as")
        || begins_cte
            && is_word(tokens, end + 1, "as")
            && tokens.get(end + 2 + materialized).is_some_and(|token| token.token == Token::LParen)
            && begins(end + 3 + materialized)
}

/// `extract(year from ..)`, `trim(both from ..)`, `is distinct from ..`: FROM that names no table.
fn from_of_a_function(tokens: &[&TokenWithSpan], from: usize) -> bool {
    let word = |at: usize| match tokens.get(at).map(|t| &t.token) {
        Some(Token::Word(word)) => word.value.to_ascii_lowercase(),
        _ => String::new(),
    };
    if from > 0 && word(from - 1) == "distinct" {
        return true;
    }
    let mut depth = 0usize;
    for at in (0..from).rev() {
        match tokens[at].token {
            Token::RParen => depth += 1,
            Token::LParen if depth == 0 => {
                return at > 0
                    && matches!(
                        word(at - 1).as_str(),
                        "extract" | "trim" | "substring" | "overlay" | "position"
                    );
            }
            Token::LParen => depth -= 1,
            _ if depth == 0 && word(at) == "select" => return false,
            _ => {}
        }
    }
    false
}

/// The first function that a text calls to read a file: Jinja can put the text into SQL. The names of others are words too.
pub(super) fn called_in(text: &str) -> Option<(&'static str, String)> {
    let first = loose(text).into_iter().find(|violation| violation.class == "file_function")?;
    Some((first.class, format!("a text in Jinja {}", first.message)))
}

/// For text that has no tokens (an open quote): words before parentheses.
fn loose(sql: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (i, line) in sql.lines().enumerate() {
        for (at, _) in line.match_indices('(') {
            let before = line[..at].trim_end().trim_end_matches(['"', '`']);
            let start =
                before.rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).map_or(0, |p| p + 1);
            let name = before.get(start..).unwrap_or("").to_lowercase();
            if let Some(class) = denied(&name) {
                found.push(Violation::new(class, format!("calls `{name}`"), (i + 1, 0)));
            }
        }
    }
    found
}

/// The class of a function that a model may not call.
fn denied(function: &str) -> Option<&'static str> {
    let is_of = |names: &[&str], prefixes: &[&str]| {
        names.contains(&function) || prefixes.iter().any(|prefix| function.starts_with(prefix))
    };
    if is_of(SYSTEM_FUNCTIONS, SYSTEM_PREFIXES) {
        Some("system_function")
    } else if is_of(ACTIONS, ACTION_PREFIXES) {
        Some("denied_function")
    } else if is_of(FILE_FUNCTIONS, FILE_PREFIXES) || function.ends_with("_scan") {
        Some("file_function")
    } else {
        None
    }
}

/// What relations and expressions of a parsed query show.
fn of_tree(policy: &Policy, query: &Query, known: &Rendered) -> Vec<Violation> {
    let outside = relations(query, policy.dialect).into_iter().map(|relation| relation.name).collect();
    let mut visitor = Relations { model: &policy.model, known, outside, found: Vec::new() };
    let _ = query.visit(&mut visitor);
    visitor.found
}

struct Relations<'a> {
    model: &'a str,
    known: &'a Rendered,
    /// What is read from outside the query: no CTE.
    outside: BTreeSet<String>,
    found: Vec<Violation>,
}

impl Relations<'_> {
    fn table(&mut self, name: &ObjectName) {
        let parts: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        let plain = parts.iter().map(|part| part.value.as_str()).collect::<Vec<_>>().join(".");
        let is_own = parts.last().is_some_and(|last| last.value.eq_ignore_ascii_case(self.model));
        if is_own || self.known.relations.contains(&plain) || !self.outside.contains(&plain) {
            return;
        }
        let at = place(name.span());
        let file = parts.iter().find(|part| part.quote_style == Some('\'') || is_file(&part.value));
        // `from data.csv` is a file too, where there is no such table.
        let file = file.map(|part| part.value.clone()).or_else(|| is_file(&plain).then(|| plain.clone()));
        if let Some(file) = file {
            self.found.push(Violation::new("file_function", format!("reads the file '{file}'"), at));
            return;
        }
        let lower: Vec<String> = parts.iter().map(|part| part.value.to_lowercase()).collect();
        let system = |part: &String| {
            SYSTEM_SCHEMAS.contains(&part.as_str())
                || ["duckdb_", "pragma_", "pg_", "sqlite_", "stl_", "svl_", "stv_"]
                    .iter()
                    .any(|p| part.starts_with(p))
        };
        if let Some(part) = lower.iter().find(|part| system(part)) {
            self.found.push(Violation::new(
                "system_relation",
                format!("reads `{plain}`, of the database's own (`{part}`)"),
                at,
            ));
        }
    }

    fn table_function(&mut self, name: &ObjectName) {
        let Some(function) = self.function(name) else { return };
        let function = function.to_lowercase();
        if !TABLE_FUNCTIONS.contains(&function.as_str()) && denied(&function).is_none() {
            let message = format!("reads rows from the function `{function}`");
            self.found.push(Violation::new("table_function", message, place(name.span())));
        }
    }

    /// Judges the name of a function that is called; `None` where it stands for a macro.
    fn function(&mut self, name: &ObjectName) -> Option<String> {
        let last = name.0.last()?;
        let function = last.as_ident().map_or_else(|| last.to_string(), |ident| ident.value.clone());
        let is_it =
            |call: &String| call.split('(').next().is_some_and(|of| of.eq_ignore_ascii_case(&function));
        if self.known.opaque.iter().any(is_it) {
            return None;
        }
        if let Some(class) = denied(&function.to_lowercase()) {
            self.found.push(Violation::new(class, format!("calls `{function}`"), place(last.span())));
        }
        Some(function)
    }
}

/// Whether a table's name is a path, an address or a file's name, which databases read as files.
fn is_file(name: &str) -> bool {
    const ENDINGS: &[&str] = &[
        ".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".gz", ".zst", ".xlsx", ".db",
        ".duckdb", ".sqlite", ".avro", ".orc", ".arrow", ".geojson", ".shp",
    ];
    let lower = name.to_lowercase();
    lower.starts_with('@')
        || lower.contains(['/', '\\'])
        || lower.contains("://")
        || ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

impl Visitor for Relations<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.table_function(name);
            }
            TableFactor::Table { name, args: None, .. } => self.table(name),
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => {
                self.table_function(&function.name);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            self.found.push(Violation::new("denied_function", "locks the rows that it reads", (1, 0)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Value(value) if matches!(&value.value, Value::Placeholder(name) if name.starts_with('@') || name.starts_with('?') || name.starts_with(':')) =>
            {
                self.found.push(Violation::new(
                    "system_function",
                    format!("reads the parameter {value}"),
                    place(value.span),
                ));
            }
            Expr::Function(function) => {
                self.function(&function.name);
            }
            Expr::Identifier(ident) if ident.value.starts_with("@@") => {
                self.found.push(Violation::new(
                    "system_function",
                    format!("reads the system variable {ident}"),
                    place(ident.span),
                ));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
