//! SQL text to AST, strictly: exactly one query and nothing after it.

use sqlparser::ast::{Query, Statement};
use sqlparser::dialect as sp;
use sqlparser::parser::Parser;

use super::Dialect;

/// Why a text is not one readable query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseFault {
    /// The parser refused it.
    #[error("{0}")]
    Syntax(String),
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

/// Parses exactly one query in the given dialect.
///
/// # Errors
/// See [`ParseFault`].
pub fn parse_query(sql: &str, dialect: Dialect) -> Result<Query, ParseFault> {
    let parser_dialect: &dyn sp::Dialect = match dialect {
        Dialect::DuckDb => &sp::DuckDbDialect {},
        Dialect::Snowflake => &sp::SnowflakeDialect {},
        Dialect::BigQuery => &sp::BigQueryDialect {},
        Dialect::Redshift => &sp::RedshiftSqlDialect {},
        Dialect::Databricks => &sp::DatabricksDialect {},
        Dialect::Postgres => &sp::PostgreSqlDialect {},
        Dialect::Generic => &sp::GenericDialect {},
    };
    let mut statements =
        Parser::parse_sql(parser_dialect, sql).map_err(|error| ParseFault::Syntax(error.to_string()))?;
    match statements.len() {
        0 => Err(ParseFault::Empty),
        1 => match statements.remove(0) {
            Statement::Query(query) => Ok(*query),
            other => Err(ParseFault::NotAQuery(
                other.to_string().split_whitespace().next().unwrap_or("").to_owned(),
            )),
        },
        n => Err(ParseFault::Several(n)),
    }
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
