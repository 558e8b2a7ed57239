//! SQL text to AST, strictly: exactly one query and nothing after it.
//!
//! `sqlparser` reads most of what dbt users write. What it misses or, worse, misreads is mended or refused on the
//! token stream beforehand (`prepass`); docs/sql-reading.md lists what stays unread. SQL is never printed and parsed again:
//! printing loses backslashes.
//!
//! Input is hostile: size, nesting and the length of operator chains are bounded before the parser runs, which also
//! bounds its time, and long `AND`/`OR` chains come back as balanced trees, so that walking the AST needs little stack.

mod balance;
mod dialects;
mod duckdb;
mod idioms;
mod prepass;
mod ranks;
#[cfg(test)]
mod tests;
mod words;

use sqlparser::ast::{Query, SetExpr, Statement, Visit, Visitor};
use sqlparser::dialect as sp;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use super::Dialect;
use dialects::Bounded;

/// Longest text that is parsed, in bytes.
pub const MAX_SQL: usize = 4 << 20;
/// Most tokens, without white space and comments.
const MAX_TOKENS: usize = 200_000;
/// Deepest nesting of parentheses, brackets, braces and CASE.
const MAX_NESTING: usize = 60;
/// Longest chain of operators other than AND and OR.
const MAX_CHAIN: usize = 400;
/// Longest chain of AND and OR.
const MAX_CONJUNCTS: usize = 5_000;
/// The parser's own limit; high enough that [`MAX_NESTING`] decides.
const PARSER_DEPTH: usize = 400;

/// Why a text is not one readable query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// The parser refused it.
    #[error("{0}")]
    Syntax(String),
    /// It is SQL of the dialect, but it is not read (docs/sql-reading.md).
    #[error("{0}")]
    Unsupported(String),
    /// Too long, too deep or too many operators in a row.
    #[error("{0}")]
    TooLarge(String),
    /// No statement at all.
    #[error("there is no statement")]
    Empty,
    /// More than one statement.
    #[error("{0} statements, one expected")]
    Several(usize),
    /// A statement that is not a query.
    #[error("not a query: {0}")]
    NotAQuery(String),
}

impl ParseFault {
    /// Line and column, from 1, as far as the fault has a place.
    pub fn place(&self) -> Option<(usize, usize)> {
        let (Self::Syntax(message) | Self::Unsupported(message)) = self else { return None };
        let (_, after) = message.rsplit_once(" at Line: ")?;
        let (line, column) = after.split_once(", Column: ")?;
        Some((line.parse().ok()?, column.parse().ok()?))
    }
}

/// A text that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The query.
    pub query: Query,
    /// Whether a `;` follows it: readable, but dbt wraps a model's text into a statement of its own, where it is an error.
    pub trailing_semicolon: bool,
}

/// Parses exactly one query in the given dialect.
///
/// # Errors
/// See [`ParseFault`].
pub fn parse_query(sql: &str, dialect: Dialect) -> Result<Query, ParseFault> {
    parse(sql, dialect).map(|parsed| parsed.query)
}

/// Parses exactly one query, and says whether a `;` follows it.
///
/// # Errors
/// See [`ParseFault`].
pub fn parse(sql: &str, dialect: Dialect) -> Result<Parsed, ParseFault> {
    parse_tokens(sql, tokens(sql, dialect)?, dialect)
}

/// [`parse`] for a text whose [`tokens`] are there already.
///
/// # Errors
/// See [`ParseFault`].
pub fn parse_tokens(sql: &str, tokens: Vec<TokenWithSpan>, dialect: Dialect) -> Result<Parsed, ParseFault> {
    // Before, because what is mended is looked for between brackets; after, because some comes back longer.
    check_size(&tokens)?;
    let tokens = prepass::mend(sql, tokens, dialect)?;
    let size = check_size(&tokens)?;
    let trailing_semicolon =
        tokens.iter().rev().find(|t| t.token != Token::EOF).is_some_and(|t| t.token == Token::SemiColon);
    // Databricks SQL is Spark SQL; the parser knows some of it only under that name.
    let again = (dialect == Dialect::Databricks).then(|| tokens.clone());
    let mut statements = match (statements(tokens, dialects::base(dialect)), again) {
        (Err(fault), Some(tokens)) => statements(tokens, &sp::SparkSqlDialect {}).map_err(|_| fault)?,
        (parsed, _) => parsed?,
    };
    if statements.len() > 1 {
        return Err(ParseFault::Several(statements.len()));
    }
    match statements.pop() {
        None => Err(ParseFault::Empty),
        Some(Statement::Query(mut query)) => {
            if size.writes {
                refuse_side_effects(&query)?;
            }
            if size.conjuncts >= balance::SHORT {
                balance::balance(&mut query);
            }
            Ok(Parsed { query: *query, trailing_semicolon })
        }
        Some(other) => Err(ParseFault::NotAQuery(first_word(&other.to_string()))),
    }
}

/// The tokens of a text, without white space and comments.
///
/// # Errors
/// [`ParseFault::TooLarge`] or [`ParseFault::Syntax`].
pub fn tokens(sql: &str, dialect: Dialect) -> Result<Vec<TokenWithSpan>, ParseFault> {
    if sql.len() > MAX_SQL {
        return Err(ParseFault::TooLarge(format!("the text is longer than {MAX_SQL} bytes")));
    }
    let mut tokens = tokenize(sql, dialect)?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    Ok(tokens)
}

/// Bytes that are read again and again, at most, because of names like those below.
const MAX_REREAD: usize = 64 << 20;

/// The tokens. A field that begins with an underscore (`x[0]._id`) is one only to us: the tokenizer wants a space before it.
fn tokenize(sql: &str, dialect: Dialect) -> Result<Vec<TokenWithSpan>, ParseFault> {
    let mut text = std::borrow::Cow::Borrowed(sql);
    let mut spaces: Vec<Location> = Vec::new();
    loop {
        // A token for about each two bytes: white space is one each.
        let mut tokens = Vec::with_capacity((text.len() / 2).min(MAX_TOKENS));
        let fault = match Tokenizer::new(dialects::base(dialect), &text)
            .tokenize_with_location_into_buf(&mut tokens)
        {
            Ok(()) => {
                for token in tokens.iter_mut().filter(|_| !spaces.is_empty()) {
                    token.span =
                        Span::new(without(&spaces, token.span.start), without(&spaces, token.span.end));
                }
                return Ok(tokens);
            }
            Err(fault) => fault,
        };
        let after = fault.location;
        let place = prepass::Source::new(&text)
            .offset(after)
            .filter(|_| fault.message.starts_with("Unexpected character '_'"));
        match place {
            Some(at) if text[at..].starts_with("._") && (spaces.len() + 1) * text.len() < MAX_REREAD => {
                text.to_mut().insert(at + 1, ' ');
                spaces.push(after);
            }
            _ => return Err(ParseFault::Syntax(fault.to_string())),
        }
    }
}

/// A place in the text without the spaces that stand after these places of it.
fn without(spaces: &[Location], at: Location) -> Location {
    let before = spaces.iter().filter(|space| space.line == at.line && space.column < at.column).count();
    Location::new(at.line, at.column - before as u64)
}

fn statements(
    tokens: Vec<TokenWithSpan>,
    dialect: &'static dyn sp::Dialect,
) -> Result<Vec<Statement>, ParseFault> {
    let bounded = Bounded::new(dialect, tokens.len());
    let trailing_commas = dialect.is::<sp::DatabricksDialect>() || dialect.is::<sp::SparkSqlDialect>();
    let options = ParserOptions {
        trailing_commas: trailing_commas || dialect.supports_trailing_commas(),
        ..ParserOptions::new()
    };
    let mut parser = Parser::new(&bounded)
        .with_recursion_limit(PARSER_DEPTH)
        .with_options(options)
        .with_tokens_with_locations(tokens);
    let statements = parser.parse_statements().map_err(|error| match error {
        ParserError::RecursionLimitExceeded if bounded.is_spent() => {
            ParseFault::TooLarge("it takes too long to parse".to_owned())
        }
        ParserError::RecursionLimitExceeded => ParseFault::TooLarge("nested too deeply".to_owned()),
        other => ParseFault::Syntax(other.to_string()),
    })?;
    // The parser takes a stray END for the end of a block and leaves the rest unread.
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(ParseFault::Syntax(format!(
            "unexpected {} after the statement{}",
            rest.token, rest.span.start
        )));
    }
    Ok(statements)
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or("").to_owned()
}

/// What [`check_size`] has seen.
#[derive(Default)]
struct Size {
    /// ANDs and ORs in all.
    conjuncts: usize,
    /// Words without which nothing is written.
    writes: bool,
}

/// Bounds what makes parsers and tree walks slow or deep. A chain is what stands between two commas, keywords of clauses or brackets
/// of the same level.
fn check_size(tokens: &[TokenWithSpan]) -> Result<Size, ParseFault> {
    if tokens.len() > MAX_TOKENS {
        return Err(ParseFault::TooLarge(format!("more than {MAX_TOKENS} tokens")));
    }
    // For each open bracket: operators, and AND/OR, of the chain so far.
    let mut levels = vec![(0usize, 0usize)];
    let mut cases = 0usize;
    let mut unions = 0usize;
    let mut prefixes = 0usize;
    let mut size = Size::default();
    for token in tokens {
        let Some(level) = levels.last_mut() else { break };
        let mut is_prefix = false;
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => levels.push((0, 0)),
            Token::RParen | Token::RBracket | Token::RBrace => {
                if levels.len() > 1 {
                    levels.pop();
                }
            }
            Token::Comma | Token::SemiColon => *level = (0, 0),
            Token::Word(word) if word.quote_style.is_none() => match word.keyword {
                Keyword::CASE => cases += 1,
                Keyword::END => cases = cases.saturating_sub(1),
                Keyword::AND | Keyword::OR => {
                    size.conjuncts += 1;
                    level.1 += 1;
                    level.0 = 0;
                }
                Keyword::INSERT | Keyword::UPDATE | Keyword::DELETE | Keyword::MERGE | Keyword::INTO => {
                    size.writes = true;
                }
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::MINUS => {
                    unions += 1;
                    *level = (0, 0);
                }
                Keyword::SELECT
                | Keyword::FROM
                | Keyword::WHERE
                | Keyword::GROUP
                | Keyword::HAVING
                | Keyword::ORDER
                | Keyword::ON
                | Keyword::WHEN
                | Keyword::THEN
                | Keyword::ELSE
                | Keyword::JOIN => {
                    level.0 = 0;
                    level.1 = 0;
                }
                Keyword::NOT | Keyword::INTERVAL | Keyword::PRIOR => is_prefix = true,
                Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::DIV => level.0 += 1,
                _ => {}
            },
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::EOF => {}
            Token::Minus | Token::Plus | Token::Tilde | Token::ExclamationMark => {
                level.0 += 1;
                is_prefix = true;
            }
            _ => level.0 += 1,
        }
        prefixes = if is_prefix { prefixes + 1 } else { 0 };
        let (chain, conjuncts) = levels.last().copied().unwrap_or_default();
        let fault = if levels.len() + cases > MAX_NESTING || prefixes > MAX_NESTING {
            format!("nested deeper than {MAX_NESTING} levels")
        } else if chain > MAX_CHAIN || unions > MAX_CHAIN {
            format!("more than {MAX_CHAIN} operators in a row")
        } else if conjuncts > MAX_CONJUNCTS {
            format!("more than {MAX_CONJUNCTS} conditions in a row")
        } else {
            continue;
        };
        return Err(ParseFault::TooLarge(fault));
    }
    Ok(size)
}

/// Refuses queries that write: `SELECT .. INTO`, and INSERT, UPDATE, DELETE or MERGE inside a CTE.
fn refuse_side_effects(query: &Query) -> Result<(), ParseFault> {
    struct Writes(Option<&'static str>);
    impl Writes {
        fn body(&mut self, body: &SetExpr) {
            match body {
                SetExpr::Insert(_) => self.0 = Some("INSERT"),
                SetExpr::Update(_) => self.0 = Some("UPDATE"),
                SetExpr::Delete(_) => self.0 = Some("DELETE"),
                SetExpr::Merge(_) => self.0 = Some("MERGE"),
                SetExpr::Select(select) if select.into.is_some() => self.0 = Some("SELECT INTO"),
                SetExpr::SetOperation { left, right, .. } => {
                    self.body(left);
                    self.body(right);
                }
                _ => {}
            }
        }
    }
    impl Visitor for Writes {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> std::ops::ControlFlow<()> {
            self.body(&query.body);
            std::ops::ControlFlow::Continue(())
        }
    }
    let mut writes = Writes(None);
    let _ = query.visit(&mut writes);
    writes.0.map_or(Ok(()), |what| Err(ParseFault::NotAQuery(what.to_owned())))
}

/// A name as an identifier of the dialect: as it stands where that is a plain lower-case word, else quoted.
pub fn quote_identifier(name: &str, dialect: Dialect) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !is_reserved(name);
    if plain {
        return name.to_owned();
    }
    let quote = if matches!(dialect, Dialect::BigQuery | Dialect::Databricks) { '`' } else { '"' };
    let doubled: String =
        name.chars().flat_map(|c| std::iter::repeat_n(c, if c == quote { 2 } else { 1 })).collect();
    format!("{quote}{doubled}{quote}")
}

/// Whether a word needs quotes to be a table name in some dialect.
fn is_reserved(word: &str) -> bool {
    use sqlparser::keywords::{
        ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_IDENTIFIER, RESERVED_FOR_TABLE_ALIAS,
    };
    let upper = word.to_ascii_uppercase();
    ALL_KEYWORDS.binary_search(&upper.as_str()).is_ok_and(|index| {
        let keyword = ALL_KEYWORDS_INDEX[index];
        RESERVED_FOR_TABLE_ALIAS.contains(&keyword)
            || RESERVED_FOR_IDENTIFIER.contains(&keyword)
            || matches!(upper.as_str(), "SELECT" | "TABLE" | "USER" | "VALUES" | "ALL" | "DISTINCT" | "CASE")
    })
}
