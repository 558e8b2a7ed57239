//! The SQL script that compares what an incremental model holds after late rows with what a build on all rows has.

use super::columns::{SharedColumn, pair_columns};
use super::late::Histories;
use super::row_script::{EXAMPLE_KEYS, close, conjunction, key_positions, list, select_list};
use super::rows::{RowOptions, attach, literal};

pub(super) struct Script {
    pub(super) text: String,
    /// The columns that rows are named by.
    pub(super) named_by: Vec<String>,
}

pub(super) fn script(
    model: Histories<'_>,
    golden: Option<Histories<'_>>,
    options: &RowOptions<'_>,
) -> Script {
    let pairing = pair_columns(golden.map_or(model, |golden| golden).whole.columns, model.whole.columns);
    let mut text = String::new();
    let sides = [("whole", model.whole, false), ("late", model.late, false)].into_iter();
    let of_golden =
        golden.map(|golden| [("golden_whole", golden.whole, true), ("golden_late", golden.late, true)]);
    for (table, side, is_golden) in sides.chain(of_golden.into_iter().flatten()) {
        let columns = select_list(&pairing.shared, |column| match is_golden {
            true => &column.golden,
            false => &column.candidate,
        });
        text.push_str(&attach(side.database));
        text.push_str(&format!(
            "CREATE TEMP TABLE {table} AS SELECT {columns} FROM {};\nDETACH {};\n",
            side.relation,
            super::CATALOG
        ));
    }
    let is_float = |position: &usize| pairing.shared.get(*position).is_some_and(SharedColumn::is_float);
    let (floats, exact): (Vec<usize>, Vec<usize>) = (0..pairing.shared.len()).partition(is_float);
    let key = key_positions(&pairing, options.key);
    let id = match &key {
        Some(key) => key.clone(),
        None if exact.is_empty() => floats.clone(),
        None => exact,
    };
    let named_by = id.iter().filter_map(|position| pairing.shared.get(*position));
    let named_by = named_by.map(|column| column.candidate.clone()).collect();
    if id.is_empty() {
        return Script { text, named_by };
    }
    let columns = list(&id, |i| format!("c{i}"));
    let cells = list(&id, |i| format!("c{i}::VARCHAR"));
    let less = |what: &str, except: &str, but_for_golden: String| match golden {
        Some(_) => format!("{what} {except} {but_for_golden}"),
        None => what.to_owned(),
    };
    let few = |what: &str, query: String| {
        format!(
            "SELECT '{what}' AS t, count(*) OVER () AS n, to_json([{cells}]) AS golden FROM ({query}) ORDER BY {columns} LIMIT {EXAMPLE_KEYS};\n"
        )
    };
    let missing =
        |a: &str, b: &str| format!("(SELECT {columns} FROM {a} EXCEPT ALL SELECT {columns} FROM {b})");
    text.push_str(&few(
        "lost",
        less(&missing("whole", "late"), "EXCEPT ALL", missing("golden_whole", "golden_late")),
    ));
    text.push_str(&format!(
        "CREATE TEMP TABLE more AS {};\n",
        less(&missing("late", "whole"), "EXCEPT ALL", missing("golden_late", "golden_whole"))
    ));
    let in_whole = conjunction(&id, |i| format!("whole.c{i} IS NOT DISTINCT FROM more.c{i}"));
    let more = |not: &str| {
        format!("SELECT {columns} FROM more WHERE {not} EXISTS (SELECT 1 FROM whole WHERE {in_whole})")
    };
    text.push_str(&few("repeated", more("")));
    text.push_str(&few("added", more("NOT")));
    if let Some(key) = key {
        let rest: Vec<usize> = (0..pairing.shared.len()).filter(|position| !key.contains(position)).collect();
        let equal = |i: usize| {
            let (a, b) = (format!("w.c{i}"), format!("l.c{i}"));
            match floats.contains(&i) {
                true => close(&a, &b, options.float_tolerance),
                false => format!("{a} IS NOT DISTINCT FROM {b}"),
            }
        };
        let once = |table: &str| {
            format!("(SELECT * FROM {table} QUALIFY count(*) OVER (PARTITION BY {columns}) = 1)")
        };
        let pairs = |whole: &str, late: &str| {
            let same = conjunction(&key, |i| format!("w.c{i} IS NOT DISTINCT FROM l.c{i}"));
            format!("{} w JOIN {} l ON {same}", once(whole), once(late))
        };
        let stale = |whole: &str, late: &str| {
            let own = list(&key, |i| format!("w.c{i}"));
            let same = conjunction(&rest, equal);
            format!("(SELECT {own} FROM {} WHERE NOT ({same}))", pairs(whole, late))
        };
        let all = less(&stale("whole", "late"), "EXCEPT", stale("golden_whole", "golden_late"));
        text.push_str(&format!("CREATE TEMP TABLE stale AS {all};\n"));
        text.push_str(&few("stale", format!("SELECT {columns} FROM stale")));
        let is_stale = conjunction(&key, |i| format!("stale.c{i} IS NOT DISTINCT FROM w.c{i}"));
        for i in rest {
            let name = pairing.shared.get(i).map_or("", |column| column.candidate.as_str());
            text.push_str(&format!(
                "SELECT 'stale_column' AS t, {} AS name, count(*) AS n FROM {} JOIN stale ON {is_stale} WHERE NOT {};\n",
                literal(name),
                pairs("whole", "late"),
                equal(i)
            ));
        }
    }
    Script { text, named_by }
}
