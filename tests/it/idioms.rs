//! The idioms that dbt users write, one a line: which are read, and which are taken into proofs.
//!
//! Lines of `sql/idioms.txt`: what is expected, dialect, statement. `proved`: the statement inside a derived table is proved equal to
//! the statement. `read`: it parses, and is compared only where the AST is the same. `unread`: it is refused.
//! `ASSAY_IDIOMS=<file> cargo test --test it idioms` tries a file of statements without expectations and writes what is
//! found beside it.

use std::fmt::Write as _;

use assay::sql::compare::{Contract, Options, compare};
use assay::sql::parse::parse_query;
use assay::sql::schema::{Column, Table};
use assay::sql::{Dialect, Schema, Verdict};

fn schema() -> Schema {
    let tables = [
        (
            "t",
            "a INTEGER, b INTEGER, c VARCHAR, d DATE, ts TIMESTAMP, j JSON, l INTEGER[], m MAP(VARCHAR,INTEGER), s STRUCT(k INTEGER,v VARCHAR), x VARIANT, event_params ARRAY",
        ),
        ("u", "a INTEGER, b INTEGER, e INTEGER, f VARCHAR, d DATE, ts TIMESTAMP"),
    ];
    let mut schema = Schema::default();
    for (name, columns) in tables {
        let mut table = Table::default();
        for column in columns.split(", ") {
            if let Some((column, data_type)) = column.split_once(' ') {
                let info = Column { data_type: data_type.to_owned(), nullable: true, ..Column::default() };
                table.columns.insert(column.to_owned(), info);
            }
        }
        schema.tables.insert(name.to_owned(), table);
    }
    schema
}

/// What becomes of a statement, and why.
fn found(dialect: Dialect, sql: &str, schema: &Schema) -> (&'static str, String) {
    if let Err(fault) = parse_query(sql, dialect) {
        return ("unread", fault.to_string());
    }
    let options = Options { dialect, contract: Contract::Position };
    let wrapped = format!("select * from ({sql}\n) as wrapped_once");
    let comparison = compare(sql, &wrapped, schema, &options);
    match comparison.verdict {
        Verdict::Identical | Verdict::Equivalent => ("proved", String::new()),
        verdict => ("read", format!("{verdict:?}: {}", comparison.reason)),
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split('\t').collect::<Vec<_>>())
}

#[test]
fn what_is_read_and_what_is_proved() {
    let schema = schema();
    let mut wrong = Vec::new();
    for line in lines(include_str!("sql/idioms.txt")) {
        let [expected, dialect, sql] = line[..] else { panic!("{line:?}") };
        let dialect = Dialect::from_name(dialect).expect("a dialect");
        let (found, why) = found(dialect, sql, &schema);
        if found != expected {
            wrong.push(format!("{}: {sql}\n  expected {expected}, found {found} {why}", dialect.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn idioms_of_a_file() {
    let Ok(path) = std::env::var("ASSAY_IDIOMS") else { return };
    run_file(&path);
}

pub(crate) fn run_file(path: &str) {
    let schema = schema();
    let text = fs_err::read_to_string(path).expect("readable");
    let mut out = String::new();
    for line in lines(&text) {
        let [dialect, sql] = line[..] else { panic!("{line:?}") };
        let dialect = Dialect::from_name(dialect).expect("a dialect");
        let (found, why) = found(dialect, sql, &schema);
        let _ = writeln!(out, "{found}\t{}\t{sql}\t{}", dialect.name(), why.replace('\n', " "));
    }
    fs_err::write(format!("{path}.found"), out).expect("writable");
}
