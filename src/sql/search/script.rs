//! The scripts that DuckDB runs, and reading what it prints.
//!
//! Both queries run inside `query('...')`, which accepts exactly one SELECT statement: a text that ends its string,
//! closes a parenthesis or adds a statement is refused by DuckDB's own parser. All databases of a batch lie in the same
//! tables, marked with a number; views of the tables' names show the database whose number is in a variable.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::database::{Database, Layout, name_parts};
use super::shape::{Output, Pairing};
use super::values::clock;

/// A string literal of DuckDB on one line.
pub(super) fn literal(text: &str) -> String {
    if !text.contains('\\') && !text.chars().any(char::is_control) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("E'");
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("''"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// An identifier, quoted where it has to be.
pub(super) fn identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !is_keyword(name) { name.to_owned() } else { quoted(name) }
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_keyword(name: &str) -> bool {
    sqlparser::keywords::ALL_KEYWORDS.binary_search(&name.to_ascii_uppercase().as_str()).is_ok()
}

/// A relation name of the schema, quoted.
pub(super) fn relation(name: &str) -> String {
    name_parts(name).iter().map(|part| identifier(part)).collect::<Vec<_>>().join(".")
}

/// Catalogs and schemas that the tables' names need, and the statements that make them.
pub(super) fn namespaces<'a>(names: impl Iterator<Item = &'a str>) -> (Vec<String>, Vec<String>) {
    let mut catalogs: Vec<String> = Vec::new();
    let mut statements = Vec::new();
    for name in names {
        let parts = name_parts(name);
        match parts.as_slice() {
            [catalog, schema, _] => {
                if !catalogs.contains(&catalog.to_lowercase()) {
                    catalogs.push(catalog.to_lowercase());
                    statements.push(format!("ATTACH IF NOT EXISTS ':memory:' AS {};", quoted(catalog)));
                }
                statements.push(format!(
                    "CREATE SCHEMA IF NOT EXISTS {}.{};",
                    quoted(catalog),
                    quoted(schema)
                ));
            }
            [schema, _] => statements.push(format!("CREATE SCHEMA IF NOT EXISTS {};", quoted(schema))),
            _ => {}
        }
    }
    statements.dedup();
    (catalogs, statements)
}

/// Functions that read the clock, replaced by a fixed moment.
pub(super) fn clock_macros() -> String {
    let moment = clock().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let day = clock().strftime("%Y-%m-%d").to_string();
    let mut out = String::new();
    for name in ["now", "get_current_timestamp", "transaction_timestamp"] {
        let _ = writeln!(out, "CREATE MACRO {name}() AS TIMESTAMPTZ '{moment}+00';");
    }
    for name in ["localtimestamp", "current_localtimestamp"] {
        let _ = writeln!(out, "CREATE MACRO {name}() AS TIMESTAMP '{moment}';");
    }
    for name in ["today", "current_date"] {
        let _ = writeln!(out, "CREATE MACRO {name}() AS DATE '{day}';");
    }
    out
}

/// Rounds to nine significant digits; what is almost nothing is zero.
pub(super) const NUMBER_MACRO: &str = "CREATE MACRO assay_number(x) AS CASE WHEN abs(x) < 1e-9 THEN 0.0::DOUBLE \
     WHEN isfinite(x) THEN round(x, (9 - ceil(log10(abs(x))))::INTEGER) ELSE x END;";

/// An empty catalog for this search, in use.
pub(super) fn fresh_catalog() -> String {
    "USE memory;\nDETACH DATABASE IF EXISTS assay;\nATTACH ':memory:' AS assay;\nUSE assay;\n".to_owned()
}

/// The tables, views and macros of a search, in a fresh catalog.
pub(super) fn setup(layout: &Layout, uses_clock: bool) -> String {
    let mut out = fresh_catalog();
    out.push_str(NUMBER_MACRO);
    out.push('\n');
    if uses_clock {
        out.push_str(&clock_macros());
    }
    for statement in namespaces(layout.tables.iter().map(|table| table.name.as_str())).1 {
        out.push_str(&statement);
        out.push('\n');
    }
    for (at, table) in layout.tables.iter().enumerate() {
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|column| format!("{} {}", quoted(&column.name), one_line(&column.data_type)))
            .collect();
        let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let _ = writeln!(
            out,
            "CREATE TABLE assay_{at} (assay_db INTEGER, {});\n\
             CREATE OR REPLACE VIEW {} AS SELECT {} FROM assay.main.assay_{at} WHERE assay_db = getvariable('assay_db');",
            columns.join(", "),
            relation(&table.name),
            names.join(", "),
        );
    }
    out
}

/// Removes what [`setup`] left.
pub(super) fn teardown(layout: &Layout) -> String {
    let mut out = String::from("USE memory;\nDETACH DATABASE IF EXISTS assay;\n");
    for catalog in namespaces(layout.tables.iter().map(|table| table.name.as_str())).0 {
        if catalog != "memory" {
            let _ = writeln!(out, "DETACH DATABASE IF EXISTS {};", quoted(&catalog));
        }
    }
    for table in &layout.tables {
        if matches!(name_parts(&table.name).as_slice(), [catalog, ..] if catalog.eq_ignore_ascii_case("memory"))
        {
            let name = relation(&table.name);
            // Whichever it is; the other statement fails and that is all.
            let _ = writeln!(out, "DROP VIEW IF EXISTS {name};\nDROP TABLE IF EXISTS {name};");
        }
    }
    out
}

/// A type name from a schema file goes into a statement of ours: it must not end it.
pub(super) fn one_line(data_type: &str) -> String {
    data_type.chars().filter(|c| !c.is_control() && *c != ';').collect()
}

/// Asks for names and types of a query's columns.
pub(super) fn describe(side: &str, sql: &str) -> String {
    format!(
        "SELECT '{side}', to_json(list({{n: column_name, t: column_type}})) FROM (DESCRIBE FROM query({}));\n",
        literal(sql)
    )
}

/// Reads the answer to [`describe`].
pub(super) fn described(stdout: &str, side: &str) -> Option<Vec<Output>> {
    let line = stdout.lines().find_map(|line| line.strip_prefix(side)?.strip_prefix('|'))?;
    serde_json::from_str(line).ok()
}

/// Replaces all rows by those of the databases, numbered from 0.
pub(super) fn load(layout: &Layout, databases: &[Database]) -> String {
    let mut out = String::new();
    for (at, _) in layout.tables.iter().enumerate() {
        let _ = writeln!(out, "DELETE FROM assay.main.assay_{at};");
        let mut first = true;
        for (number, database) in databases.iter().enumerate() {
            for row in database.0.get(at).map_or(&[] as &[_], Vec::as_slice) {
                out.push_str(if first { "INSERT INTO assay.main." } else { ",(" });
                if first {
                    let _ = write!(out, "assay_{at} VALUES (");
                    first = false;
                }
                let _ = write!(out, "{number}");
                for cell in row {
                    out.push(',');
                    match cell {
                        Some(text) => out.push_str(&literal(text)),
                        None => out.push_str("NULL"),
                    }
                }
                out.push(')');
            }
        }
        if !first {
            out.push_str(";\n");
        }
    }
    out
}

/// A result as a bag: the number of rows and a sum of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fingerprint {
    pub(super) rows: u64,
    pub(super) hash: i128,
}

/// Runs both queries on database `number`; the answer is marked with `tag`.
pub(super) fn compare(tag: usize, number: usize, golden: &str, candidate: &str, pairing: &Pairing) -> String {
    format!(
        "SET VARIABLE assay_db = {number};\nSELECT 'r', {tag}, a.n, a.h, b.n, b.h FROM {} a, {} b;\n",
        fingerprint(golden, pairing.golden.len(), &pairing.golden_cells()),
        fingerprint(candidate, pairing.candidate.len(), &pairing.candidate_cells()),
    )
}

/// Runs one query, which returns columns as the golden's, on database `number`.
pub(super) fn run(number: usize, tag: usize, sql: &str, pairing: &Pairing) -> String {
    format!(
        "SET VARIABLE assay_db = {number};\nSELECT 'm', {number}, {tag}, a.n, a.h FROM {} a;\n",
        fingerprint(sql, pairing.golden.len(), &pairing.golden_cells()),
    )
}

/// Runs each query by itself on database `number`: the golden under the tag 0, the candidate under 1.
pub(super) fn alone(number: usize, golden: &str, candidate: &str, pairing: &Pairing) -> String {
    let candidate = fingerprint(candidate, pairing.candidate.len(), &pairing.candidate_cells());
    format!("{}SELECT 'm', {number}, 1, a.n, a.h FROM {candidate} a;\n", run(number, 0, golden, pairing))
}

fn fingerprint(sql: &str, width: usize, cells: &[String]) -> String {
    format!(
        "(SELECT count(*) AS n, coalesce(sum(hash({})), 0) AS h FROM {} )",
        cells.join(", "),
        aliased(sql, width)
    )
}

fn aliased(sql: &str, width: usize) -> String {
    let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
    format!("query({}) AS q({})", literal(sql), names.join(", "))
}

/// The answers to [`compare`], by tag.
pub(super) fn compared(stdout: &str) -> BTreeMap<usize, (Fingerprint, Fingerprint)> {
    let mut results = BTreeMap::new();
    for line in stdout.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        if let ["r", number, rows_a, hash_a, rows_b, hash_b] = cells.as_slice()
            && let Ok(number) = number.parse()
            && let Some(a) = parse_fingerprint(rows_a, hash_a)
            && let Some(b) = parse_fingerprint(rows_b, hash_b)
        {
            results.insert(number, (a, b));
        }
    }
    results
}

/// The answers to [`run`] and [`alone`], by database and tag.
pub(super) fn ran(stdout: &str) -> BTreeMap<(usize, usize), Fingerprint> {
    let mut results = BTreeMap::new();
    for line in stdout.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        if let ["m", number, tag, rows, hash] = cells.as_slice()
            && let (Ok(number), Ok(tag)) = (number.parse(), tag.parse())
            && let Some(fingerprint) = parse_fingerprint(rows, hash)
        {
            results.insert((number, tag), fingerprint);
        }
    }
    results
}

fn parse_fingerprint(rows: &str, hash: &str) -> Option<Fingerprint> {
    Some(Fingerprint { rows: rows.parse().ok()?, hash: hash.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_stay_on_one_line() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\n'\\"), "E'a\\n''\\\\'");
    }

    #[test]
    fn identifiers_are_quoted_where_needed() {
        assert_eq!(identifier("order_id"), "order_id");
        assert_eq!(identifier("order"), "\"order\"");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(relation("\"Raw\".orders"), "\"Raw\".orders");
    }

    #[test]
    fn lines_that_are_no_answers_are_ignored() {
        let results = compared("noise\nr|x|1|2|3|4\nr|0|1|2|3|4\nr|1|1|2\n");
        assert_eq!(results.len(), 1);
        assert_eq!(results[&0].0, Fingerprint { rows: 1, hash: 2 });
    }
}
