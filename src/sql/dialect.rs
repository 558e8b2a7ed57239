//! The SQL dialects that projects are written in.

use serde::{Deserialize, Serialize};

/// A SQL dialect, named as dbt adapters name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// DuckDB, the default and the one that candidates are executed in.
    #[default]
    DuckDb,
    /// Snowflake.
    Snowflake,
    /// BigQuery.
    BigQuery,
    /// Redshift.
    Redshift,
    /// Databricks and Spark.
    Databricks,
    /// PostgreSQL.
    Postgres,
    /// No particular dialect: the union of what `sqlparser` accepts.
    Generic,
}

impl Dialect {
    /// The dialect with this name; case does not matter, `postgresql` and `spark` are understood.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "duckdb" => Self::DuckDb,
            "snowflake" => Self::Snowflake,
            "bigquery" => Self::BigQuery,
            "redshift" => Self::Redshift,
            "databricks" | "spark" => Self::Databricks,
            "postgres" | "postgresql" => Self::Postgres,
            "generic" | "ansi" => Self::Generic,
            _ => return None,
        })
    }

    /// The name used in configuration, cases and pairs files.
    pub fn name(self) -> &'static str {
        match self {
            Self::DuckDb => "duckdb",
            Self::Snowflake => "snowflake",
            Self::BigQuery => "bigquery",
            Self::Redshift => "redshift",
            Self::Databricks => "databricks",
            Self::Postgres => "postgres",
            Self::Generic => "generic",
        }
    }
}
