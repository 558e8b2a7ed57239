//! What a person is shown: the rows, both results, and a script that shows it again.

use std::fmt::Write as _;

use super::database::{Database, Layout};
use super::script::{
    NUMBER_MACRO, clock_macros, identifier, literal, namespaces, one_line, quoted, relation,
};
use super::shape::Pairing;
use crate::sql::verdict::{Counterexample, Rows};

/// Rows of a result that are kept.
const SHOWN: usize = 200;

/// What a counterexample is made of.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) layout: &'a Layout,
    pub(super) uses_clock: bool,
    pub(super) golden: &'a str,
    pub(super) candidate: &'a str,
    pub(super) pairing: &'a Pairing,
}

/// A counterexample with what its results say.
pub(super) struct Found {
    pub(super) counterexample: Counterexample,
    only_golden: usize,
    only_candidate: usize,
}

impl Found {
    /// One sentence.
    pub(super) fn reason(&self, pairing: &Pairing) -> String {
        let rows = |n: usize| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
        let inputs: usize = self.counterexample.tables.iter().map(|table| table.rows.len()).sum();
        let mut parts = Vec::new();
        if self.only_golden > 0 {
            parts.push(format!("{} only in the golden's result", rows(self.only_golden)));
        }
        if self.only_candidate > 0 {
            parts.push(format!("{} only in the candidate's", rows(self.only_candidate)));
        }
        let mut reason = match inputs {
            0 => format!("on empty tables, {}", parts.join(" and ")),
            1 => format!("with 1 input row, {}", parts.join(" and ")),
            n => format!("with {n} input rows, {}", parts.join(" and ")),
        };
        if let Some(clash) = pairing.clash() {
            let _ = write!(reason, "; {clash}");
        }
        reason
    }
}

/// A script for an empty DuckDB.
pub(super) fn script(parts: Parts<'_>, database: &Database) -> String {
    let mut out =
        String::from("-- Shows the rows in which two queries differ: duckdb < this file\n.safe_mode\n");
    for statement in namespaces(parts.layout.tables.iter().map(|table| table.name.as_str())).1 {
        let _ = writeln!(out, "{statement}");
    }
    if parts.uses_clock {
        out.push_str("-- The clock stands still.\n");
        out.push_str(&clock_macros());
    }
    for (table, rows) in parts.layout.tables.iter().zip(&database.0) {
        let mut lines: Vec<String> = table
            .columns
            .iter()
            .map(|column| {
                let null = if column.nullable { "" } else { " NOT NULL" };
                format!("{} {}{null}", identifier(&column.name), one_line(&column.data_type))
            })
            .collect();
        for set in &table.unique {
            let names: Vec<String> = set.iter().map(|&at| identifier(&table.columns[at].name)).collect();
            let keyword = if *set == table.primary_key { "PRIMARY KEY" } else { "UNIQUE" };
            lines.push(format!("{keyword} ({})", names.join(", ")));
        }
        let name = relation(&table.name);
        let _ = writeln!(out, "CREATE TABLE {name} ({});", lines.join(", "));
        if !rows.is_empty() {
            let rows: Vec<String> = rows
                .iter()
                .map(|row| {
                    let cells: Vec<String> = row
                        .iter()
                        .map(|cell| match cell {
                            Some(text) => literal(text),
                            None => "NULL".to_owned(),
                        })
                        .collect();
                    format!("({})", cells.join(", "))
                })
                .collect();
            let _ = writeln!(out, "INSERT INTO {name} VALUES\n  {};", rows.join(",\n  "));
        }
    }
    let _ = write!(
        out,
        "CREATE TABLE golden_result AS\n{}\n;\nCREATE TABLE candidate_result AS\n{}\n;\n",
        parts.golden, parts.candidate
    );
    out.push_str("SELECT 'golden' AS side, * FROM golden_result;\nSELECT 'candidate' AS side, * FROM candidate_result;\n");
    let pairing = parts.pairing;
    let cells = |position: fn(&(usize, usize, super::shape::Form)) -> usize,
                 names: &[super::shape::Output]| {
        pairing
            .pairs
            .iter()
            .map(|pair| {
                let name = names.get(position(pair)).map_or("", |output| output.name.as_str());
                match pair.2 {
                    super::shape::Form::Clash { .. } => {
                        format!("typeof({0}) || ' ' || {0}::VARCHAR AS {0}", quoted(name))
                    }
                    _ => quoted(name),
                }
            })
            .collect::<Vec<_>>()
            .join(", ")
    };
    let golden = cells(|pair| pair.0, &pairing.golden);
    let candidate = cells(|pair| pair.1, &pairing.candidate);
    let _ = write!(
        out,
        "SELECT 'only golden' AS rows, * FROM (SELECT {golden} FROM golden_result EXCEPT ALL SELECT {candidate} FROM candidate_result);\n\
         SELECT 'only candidate' AS rows, * FROM (SELECT {candidate} FROM candidate_result EXCEPT ALL SELECT {golden} FROM golden_result);\n"
    );
    out
}

/// Statements that print both results of [`script`], which has just run.
pub(super) fn outputs(pairing: &Pairing) -> String {
    let side = |table: &str, width: usize, cells: &[String]| {
        let names: Vec<String> = (0..width).map(|column| format!("c{column}")).collect();
        let shown: Vec<String> = names.iter().map(|name| format!("{name}::VARCHAR")).collect();
        let compared: Vec<String> = cells.iter().map(|cell| format!("({cell})::VARCHAR")).collect();
        format!(
            "SELECT 'output {table}', to_json([(SELECT list([{}]) FROM (SELECT * FROM {table}_result AS q({names}) ORDER BY ALL)), \
             (SELECT list([{}]) FROM (SELECT * FROM {table}_result AS q({names}) ORDER BY ALL))]);\n",
            shown.join(", "),
            compared.join(", "),
            names = names.join(", "),
        )
    };
    format!(
        "{NUMBER_MACRO}\n{}{}",
        side("golden", pairing.golden.len(), &pairing.golden_cells()),
        side("candidate", pairing.candidate.len(), &pairing.candidate_cells())
    )
}

type Cells = Vec<Vec<Option<String>>>;

/// Reads what [`outputs`] printed; `None` when the two results are the same after all (within the tolerance of
/// floats), or the script failed.
pub(super) fn read(parts: Parts<'_>, database: &Database, stdout: &str) -> Option<Found> {
    let side = |name: &str| -> Option<(Cells, Cells)> {
        let prefix = format!("output {name}|");
        let line = stdout.lines().rev().find_map(|line| line.strip_prefix(&prefix))?;
        let mut both: Vec<Option<Cells>> = serde_json::from_str(line).ok()?;
        let compared = both.pop()?.unwrap_or_default();
        let shown = both.pop()?.unwrap_or_default();
        Some((shown, compared))
    };
    let (golden_rows, golden) = side("golden")?;
    let (candidate_rows, candidate) = side("candidate")?;
    let (only_golden, only_candidate) = unmatched(parts.pairing, &golden, &candidate);
    if only_golden == 0 && only_candidate == 0 {
        return None;
    }
    let tables = parts
        .layout
        .tables
        .iter()
        .zip(&database.0)
        .map(|(table, rows)| Rows {
            name: table.name.clone(),
            columns: table.columns.iter().map(|column| column.name.clone()).collect(),
            rows: rows.clone(),
        })
        .collect();
    let result = |outputs: &[super::shape::Output], mut rows: Cells| {
        rows.truncate(SHOWN);
        Rows {
            name: String::new(),
            columns: outputs.iter().map(|output| output.name.clone()).collect(),
            rows,
        }
    };
    Some(Found {
        counterexample: Counterexample {
            tables,
            golden: result(&parts.pairing.golden, golden_rows),
            candidate: result(&parts.pairing.candidate, candidate_rows),
            script: script(parts, database),
        },
        only_golden,
        only_candidate,
    })
}

/// Rows of each side that find no partner on the other.
fn unmatched(pairing: &Pairing, golden: &Cells, candidate: &Cells) -> (usize, usize) {
    let mut free: Vec<&Vec<Option<String>>> = candidate.iter().collect();
    let mut only_golden = 0;
    for row in golden {
        let partner = free.iter().position(|other| {
            row.len() == other.len()
                && row
                    .iter()
                    .zip(other.iter())
                    .zip(&pairing.pairs)
                    .all(|((a, b), (_, _, form))| form.same(a.as_deref(), b.as_deref()))
        });
        match partner {
            Some(at) => {
                free.swap_remove(at);
            }
            None => only_golden += 1,
        }
    }
    (only_golden, free.len())
}
