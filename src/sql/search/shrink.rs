//! Making a database that tells two queries apart smaller.

use std::collections::{BTreeMap, BTreeSet};

use super::database::{Database, Layout};
use super::script::Fingerprint;

/// Attempts per round.
const TRIES: usize = 28;

/// The orders of rows in which a difference has to show: as it is, reversed, rotated.
pub(super) fn orders(database: &Database) -> Vec<Database> {
    vec![database.clone(), database.reversed(), database.rotated(1)]
}

/// Whether the results on the `at`-th database, run in its [`orders`], are stable and differ.
pub(super) fn stable_difference(results: &BTreeMap<usize, (Fingerprint, Fingerprint)>, at: usize) -> bool {
    let mut seen = BTreeSet::new();
    for number in at * 3..at * 3 + 3 {
        match results.get(&number) {
            Some(pair) => {
                seen.insert(*pair);
            }
            None => return false,
        }
    }
    seen.len() == 1 && seen.first().is_some_and(|(golden, candidate)| golden != candidate)
}

/// Databases with fewer rows: without a table, a half, a quarter, one row. `removable` are rows whose removal alone
/// kept the difference the last time; removing them together is tried first.
pub(super) fn smaller(
    layout: &Layout,
    database: &Database,
    removable: Option<&[(usize, usize)]>,
) -> Vec<Database> {
    let rows: Vec<(usize, usize)> = database
        .0
        .iter()
        .enumerate()
        .flat_map(|(table, rows)| (0..rows.len()).map(move |row| (table, row)))
        .collect();
    let mut removals: Vec<BTreeSet<(usize, usize)>> = Vec::new();
    if let Some(removable) = removable
        && removable.len() > 1
    {
        removals.push(removable.iter().copied().collect());
        removals.push(removable.iter().copied().step_by(2).collect());
        removals.push(removable.iter().copied().skip(1).step_by(2).collect());
    }
    for table in 0..database.0.len() {
        removals.push(rows.iter().copied().filter(|(at, _)| *at == table).collect());
    }
    let mut chunk = rows.len() / 2;
    while chunk > 1 && removals.len() + rows.len().div_ceil(chunk) < TRIES {
        for part in rows.chunks(chunk) {
            removals.push(part.iter().copied().collect());
        }
        chunk /= 2;
    }
    // Single rows, from large tables first.
    let mut single = rows;
    single.sort_by_key(|(table, row)| (std::cmp::Reverse(database.0[*table].len()), *table, *row));
    removals.extend(single.into_iter().map(|row| BTreeSet::from([row])));
    let mut seen = BTreeSet::new();
    let mut tries = Vec::new();
    for removal in removals {
        if removal.is_empty() || !seen.insert(removal.clone()) {
            continue;
        }
        let mut smaller = Database(
            database
                .0
                .iter()
                .enumerate()
                .map(|(table, rows)| {
                    rows.iter()
                        .enumerate()
                        .filter(|(row, _)| !removal.contains(&(table, *row)))
                        .map(|(_, row)| row.clone())
                        .collect()
                })
                .collect(),
        );
        layout.repair(&mut smaller);
        if !tries.contains(&smaller) {
            tries.push(smaller);
        }
        if tries.len() >= TRIES {
            break;
        }
    }
    tries
}

/// Rows of `best` that some other successful attempt did without.
pub(super) fn removed_rows(best: &Database, current: &Database, good: &[&Database]) -> Vec<(usize, usize)> {
    let mut removable = Vec::new();
    for (table, rows) in best.0.iter().enumerate() {
        for (at, row) in rows.iter().enumerate() {
            let count = |database: &Database| {
                database.0.get(table).map_or(0, |rows| rows.iter().filter(|other| *other == row).count())
            };
            let full = count(current);
            if good.iter().any(|other| count(other) < full) {
                removable.push((table, at));
            }
        }
    }
    removable
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(rows: u64, hash: i128) -> Fingerprint {
        Fingerprint { rows, hash }
    }

    #[test]
    fn a_difference_that_depends_on_the_order_is_none() {
        let pair = (print(1, 1), print(1, 2));
        let mut results: BTreeMap<usize, _> = (0..3).map(|number| (number, pair)).collect();
        assert!(stable_difference(&results, 0));
        results.insert(1, (print(1, 3), print(1, 2)));
        assert!(!stable_difference(&results, 0));
        results.remove(&1);
        assert!(!stable_difference(&results, 0), "a failed run is no evidence");
    }
}
