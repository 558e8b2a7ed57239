//! The SQL script that compares two relations as multisets.
//!
//! Both are read into temporary tables with columns `c0..cn` cast to common types, since their files have the same name
//! and cannot be attached together. Rows that only one side has are found by EXCEPT ALL. Where floating-point columns are
//! involved, rows left on both sides that agree but for the tolerance are then taken out in pairs: one against one, so
//! that nothing unequal is ever called equal.

use super::columns::{Pairing, SharedColumn};
use super::rows::{RowOptions, Side, attach, literal, quoted};

/// Keys shown of each kind.
pub(super) const EXAMPLE_KEYS: usize = 3;

pub(super) fn script(
    golden: Side<'_>,
    candidate: Side<'_>,
    pairing: &Pairing,
    options: &RowOptions<'_>,
    examples: usize,
) -> String {
    let mut out = String::new();
    for (table, side) in [("golden", golden), ("candidate", candidate)] {
        let columns = select_list(&pairing.shared, |column| match table {
            "golden" => &column.golden,
            _ => &column.candidate,
        });
        out.push_str(&attach(side.database));
        out.push_str(&format!("CREATE TEMP TABLE {table} AS SELECT {columns} FROM {};\n", side.relation));
        out.push_str(&format!("DETACH {};\n", super::CATALOG));
        out.push_str(&format!("SELECT '{table}' AS t, count(*) AS n FROM {table};\n"));
    }
    if pairing.shared.is_empty() {
        return out;
    }
    for (table, this, other) in [("removed", "golden", "candidate"), ("added", "candidate", "golden")] {
        out.push_str(&format!(
            "CREATE TEMP TABLE {table} AS SELECT *, row_number() OVER () AS id FROM (SELECT * FROM {this} EXCEPT ALL SELECT * FROM {other});\n"
        ));
    }
    let all: Vec<usize> = (0..pairing.shared.len()).collect();
    for (i, column) in pairing.shared.iter().enumerate() {
        out.push_str(&format!(
            "SELECT 'nulls' AS t, {} AS name, (SELECT count(*) FROM golden WHERE c{i} IS NULL) AS n, (SELECT count(*) FROM candidate WHERE c{i} IS NULL) AS m;\n",
            literal(&column.golden)
        ));
    }
    let is_float = |position: &usize| pairing.shared.get(*position).is_some_and(SharedColumn::is_float);
    let (floats, exact): (Vec<usize>, Vec<usize>) = all.iter().partition(|position| is_float(position));
    if !floats.is_empty() {
        out.push_str(&take_out_close_pairs(&floats, &exact, options.float_tolerance));
    }
    let key = key_positions(pairing, options.key);
    if let Some(key) = &key {
        out.push_str(&keys(key));
    }
    match &key {
        Some(key) => out.push_str(&keyed(key, &all, pairing, &floats, options.float_tolerance, examples)),
        None => out.push_str("CREATE TEMP TABLE modified (g BIGINT, c BIGINT);\n"),
    }
    let side = |table: &str, column: &str| {
        format!("SELECT id FROM {table} WHERE id NOT IN (SELECT {column} FROM modified)")
    };
    out.push_str(&format!("SELECT 'removed' AS t, count(*) AS n FROM ({});\n", side("removed", "g")));
    out.push_str(&format!("SELECT 'added' AS t, count(*) AS n FROM ({});\n", side("added", "c")));
    let cells = list(&all, |i| format!("c{i}::VARCHAR"));
    let order = list(&all, |i| format!("c{i}"));
    for (table, label, column) in [("removed", "golden", "g"), ("added", "candidate", "c")] {
        out.push_str(&format!(
            "SELECT 'example' AS t, to_json([{cells}]) AS {label} FROM {table} WHERE id NOT IN (SELECT {column} FROM modified) ORDER BY {order} LIMIT {examples};\n"
        ));
    }
    out
}

pub(super) fn list(positions: &[usize], each: impl Fn(usize) -> String) -> String {
    positions.iter().map(|position| each(*position)).collect::<Vec<_>>().join(", ")
}

pub(super) fn conjunction(positions: &[usize], each: impl Fn(usize) -> String) -> String {
    match positions.is_empty() {
        true => "true".into(),
        false => positions.iter().map(|position| each(*position)).collect::<Vec<_>>().join(" AND "),
    }
}

pub(super) fn select_list<'a>(
    columns: &'a [SharedColumn],
    name: impl Fn(&'a SharedColumn) -> &'a String,
) -> String {
    if columns.is_empty() {
        return "1 AS c0".into();
    }
    let columns = columns.iter().enumerate().map(|(i, column)| match column.common_type() {
        Some(cast) => format!("CAST({} AS {cast}) AS c{i}", quoted(name(column))),
        None => format!("{} AS c{i}", quoted(name(column))),
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// Two float cells that count as equal; infinities and NaN are equal to themselves.
pub(super) fn close(a: &str, b: &str, tolerance: f64) -> String {
    format!(
        "({a} IS NOT DISTINCT FROM {b} OR (isfinite({a}) AND isfinite({b}) AND abs({a} - {b}) <= {tolerance:e} * greatest(1, abs({a}), abs({b}))))"
    )
}

fn take_out_close_pairs(floats: &[usize], exact: &[usize], tolerance: f64) -> String {
    let partition = match exact.is_empty() {
        true => String::new(),
        false => format!("PARTITION BY {}", list(exact, |i| format!("c{i}"))),
    };
    let order = list(floats, |i| format!("c{i}"));
    let numbered = |table: &str| {
        format!("(SELECT *, row_number() OVER ({partition} ORDER BY {order}) AS place FROM {table})")
    };
    let same = conjunction(exact, |i| format!("g.c{i} IS NOT DISTINCT FROM c.c{i}"));
    let near = conjunction(floats, |i| close(&format!("g.c{i}"), &format!("c.c{i}"), tolerance));
    format!(
        "CREATE TEMP TABLE close AS SELECT g.id AS g, c.id AS c FROM {} g JOIN {} c ON g.place = c.place AND {same} AND {near};\n\
         DELETE FROM removed WHERE id IN (SELECT g FROM close);\nDELETE FROM added WHERE id IN (SELECT c FROM close);\n",
        numbered("removed"),
        numbered("added"),
    )
}

/// Positions of the key columns, when all of them are shared.
pub(super) fn key_positions(pairing: &Pairing, key: &[String]) -> Option<Vec<usize>> {
    if key.is_empty() {
        return None;
    }
    key.iter()
        .map(|name| pairing.shared.iter().position(|column| column.golden.eq_ignore_ascii_case(name)))
        .collect()
}

/// Keys that only one side has, and keys of more than one row: a few of each with how many there are.
fn keys(key: &[usize]) -> String {
    let columns = list(key, |i| format!("c{i}"));
    let cells = list(key, |i| format!("c{i}::VARCHAR"));
    let few = |what: &str, query: String| {
        format!(
            "SELECT '{what}' AS t, count(*) OVER () AS n, to_json([{cells}]) AS golden FROM ({query}) ORDER BY {columns} LIMIT {EXAMPLE_KEYS};\n"
        )
    };
    let of = |table: &str| format!("SELECT {columns} FROM {table}");
    let repeated =
        |table: &str| format!("SELECT {columns} FROM {table} GROUP BY {columns} HAVING count(*) > 1");
    [
        few("lost_key", format!("{} EXCEPT {}", of("golden"), of("candidate"))),
        few("new_key", format!("{} EXCEPT {}", of("candidate"), of("golden"))),
        few("golden_repeats", repeated("golden")),
        few("candidate_repeats", repeated("candidate")),
    ]
    .concat()
}

/// Rows that differ are matched by key, where it is unique on both sides.
fn keyed(
    key: &[usize],
    all: &[usize],
    pairing: &Pairing,
    floats: &[usize],
    tolerance: f64,
    examples: usize,
) -> String {
    let columns = list(key, |i| format!("c{i}"));
    let unique = |table: &str| format!("(SELECT count(*) = count(DISTINCT ({columns})) FROM {table})");
    let same = conjunction(key, |i| format!("g.c{i} IS NOT DISTINCT FROM c.c{i}"));
    let order = list(key, |i| format!("g.c{i}"));
    let mut out = format!(
        "CREATE TEMP TABLE usable AS SELECT {} AND {} AS yes;\nSELECT 'keyed' AS t, yes::INTEGER AS n FROM usable;\n\
         CREATE TEMP TABLE modified AS SELECT g.id AS g, c.id AS c FROM removed g JOIN added c ON {same} WHERE (SELECT yes FROM usable);\n\
         SELECT 'modified' AS t, count(*) AS n FROM modified;\n",
        unique("golden"),
        unique("candidate"),
    );
    let joined = "modified m JOIN removed g ON g.id = m.g JOIN added c ON c.id = m.c";
    for (i, column) in pairing.shared.iter().enumerate().filter(|(i, _)| !key.contains(i)) {
        let (a, b) = (format!("g.c{i}"), format!("c.c{i}"));
        let equal = match floats.contains(&i) {
            true => close(&a, &b, tolerance),
            false => format!("{a} IS NOT DISTINCT FROM {b}"),
        };
        out.push_str(&format!(
            "SELECT 'differs' AS t, {} AS name, count(*) FILTER (NOT {equal}) AS n FROM {joined};\n",
            literal(&column.golden)
        ));
    }
    out.push_str(&format!(
        "SELECT 'example' AS t, to_json([{}]) AS golden, to_json([{}]) AS candidate FROM {joined} ORDER BY {order} LIMIT {examples};\n",
        list(all, |i| format!("g.c{i}::VARCHAR")),
        list(all, |i| format!("c.c{i}::VARCHAR")),
    ));
    out
}
