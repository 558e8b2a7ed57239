//! Queries and tables of other dialects, for DuckDB.

use sqlparser::ast::Query;

use crate::sql::Dialect;
use crate::sql::algebra::to_sql;
use crate::sql::facts::FactSet;
use crate::sql::lower::lower;
use crate::sql::schema::Schema;
use crate::sql::types::Type;

/// What a query of another dialect means there, as a query of DuckDB.
///
/// # Errors
/// What DuckDB has no spelling for, or none that is known to mean the same.
pub(super) fn spelled(query: &Query, schema: &Schema, dialect: Dialect) -> Result<String, String> {
    let (arena, query) =
        lower(query, schema, &FactSet::none(), dialect).map_err(|fault| fault.to_string())?;
    to_sql(&arena, &query)
}

/// The tables with the types that DuckDB has for those of a dialect: what a bare NUMBER or FLOAT holds differs.
pub(super) fn schema(schema: &Schema, dialect: Dialect) -> Schema {
    let mut schema = schema.clone();
    for table in schema.tables.values_mut() {
        for column in table.columns.values_mut() {
            match Type::parse(&column.data_type, dialect) {
                Type::Decimal(precision, scale) => {
                    column.data_type = format!("DECIMAL({},{})", precision.min(38), scale.min(38));
                }
                Type::Float(64) => column.data_type = "DOUBLE".to_owned(),
                _ => {}
            }
        }
    }
    schema
}
