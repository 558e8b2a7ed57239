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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse::parse_query;

    #[track_caller]
    fn is_spelled(dialect: Dialect, expression: &str, spelling: &str) {
        let tables: Schema = serde_json::from_str(
            r#"{"tables": {"t": {"columns": {
                "a": {"type": "BIGINT"}, "b": {"type": "BIGINT"}, "m": {"type": "DECIMAL(18,2)"}, "n": {"type": ""}}}}}"#,
        )
        .unwrap();
        let query = parse_query(&format!("select {expression} as v from t"), dialect).unwrap();
        let found = spelled(&query, &tables, dialect);
        assert!(
            found.as_ref().is_ok_and(|sql| sql.contains(spelling)),
            "{dialect:?} {expression}: {found:?}"
        );
    }

    #[test]
    fn averages_have_the_digits_of_their_dialect() {
        is_spelled(Dialect::Snowflake, "avg(a)", "round(avg(");
        is_spelled(Dialect::Snowflake, "avg(a)", ", 6)");
        is_spelled(Dialect::Snowflake, "avg(m) over (partition by b)", ", 8)");
        is_spelled(Dialect::Redshift, "avg(a)", "CAST(trunc(avg(");
        is_spelled(Dialect::Postgres, "avg(a)", "avg(");
        let unknown = parse_query("select avg(n) as v from t", Dialect::Redshift).unwrap();
        let tables: Schema =
            serde_json::from_str(r#"{"tables": {"t": {"columns": {"n": {"type": ""}}}}}"#).unwrap();
        assert!(spelled(&unknown, &tables, Dialect::Redshift).is_err());
    }

    #[test]
    fn what_is_divided_by_zero_is_zero_in_div0() {
        is_spelled(Dialect::Snowflake, "div0(a, b)", "= 0 THEN CASE WHEN");
    }

    #[test]
    fn decimals_that_are_written_down_are_floats_in_bigquery() {
        is_spelled(Dialect::BigQuery, "a * 0.1", "CAST((0.1) AS DOUBLE)");
        is_spelled(Dialect::Snowflake, "a * 0.1", "(0.1)");
    }
}
