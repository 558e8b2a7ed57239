//! Tables that nobody describes, as the queries use them. A proof takes any column of such a table to exist; a search for rows
//! needs their columns, and its verdict lists what was assumed.

use super::facts::FactSet;
use super::lower::{STAR, lower};
use super::parse::parse_query;
use super::relations::relations;
use super::schema::{Column, Schema, Table};
use super::{Dialect, algebra::Arena};

/// The schema and, without columns, the tables that it lacks.
pub fn with_open_tables(queries: &[&str], schema: &Schema, dialect: Dialect) -> Schema {
    let mut opened = schema.clone();
    for sql in queries {
        let Ok(query) = parse_query(sql, dialect) else { continue };
        for relation in relations(&query, dialect) {
            let parts: Vec<&str> = relation.name.split('.').collect();
            if !(0..parts.len()).any(|start| opened.table(&parts[start..].join(".")).is_some()) {
                opened.tables.insert(relation.name, Table::default());
            }
        }
    }
    opened
}

/// The schema with the columns that the queries take from its tables without any; `None` where that is not clear: a `*` over
/// such a table, a name that two of them could have.
pub fn with_assumed_columns(queries: &[&str], schema: &Schema, dialect: Dialect) -> Option<Schema> {
    let mut assumed = schema.clone();
    for sql in queries {
        let (arena, _) = lower(&parse_query(sql, dialect).ok()?, schema, &FactSet::none(), dialect).ok()?;
        for (table, column) in used_of_open_tables(&arena) {
            if column == STAR {
                return None;
            }
            let key = assumed.table(table)?.0.to_owned();
            let columns = &mut assumed.tables.get_mut(&key)?.columns;
            columns
                .entry(column.to_owned())
                .or_insert_with(|| Column { nullable: true, ..Column::default() });
        }
    }
    Some(assumed)
}

fn used_of_open_tables(arena: &Arena) -> impl Iterator<Item = (&str, &str)> {
    arena.tables.iter().filter(|table| table.open && !table.made).flat_map(move |table| {
        let column = |name| arena.text(name).trim_start_matches('"');
        table.columns.iter().map(move |(name, _)| (arena.text(table.name), column(*name)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(queries: &[&str]) -> Option<Vec<String>> {
        let opened = with_open_tables(queries, &Schema::default(), Dialect::DuckDb);
        let assumed = with_assumed_columns(queries, &opened, Dialect::DuckDb)?;
        let names = assumed
            .tables
            .iter()
            .flat_map(|(table, known)| known.columns.keys().map(move |column| format!("{table}.{column}")));
        Some(names.collect())
    }

    #[test]
    fn columns_are_those_that_the_queries_name() {
        let found = columns(&[
            "select o.id, c.name from raw.orders as o join customers c on c.id = o.customer_id where status = 'x'",
            "select 1",
        ]);
        assert_eq!(found, None, "status may be a column of either");
        let found = columns(&[
            "with paid as (select id, amount from raw.orders where status = 'paid') select id, amount from paid",
            "select O.ID, o.amount, c.name from RAW.orders as o join customers as c on c.id = o.customer_id",
        ]);
        let expected = [
            "customers.id",
            "customers.name",
            "raw.orders.id",
            "raw.orders.amount",
            "raw.orders.status",
            "raw.orders.customer_id",
        ];
        let mut found = found.expect("clear");
        let mut expected: Vec<String> = expected.map(str::to_owned).to_vec();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(columns(&["select * from orders"]), None);
    }
}
