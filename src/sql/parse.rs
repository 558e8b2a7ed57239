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
