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

/// Runs of one database: in each of its [`orders`], and with ties broken both ways.
pub(super) const RUNS: usize = 5;

/// Whether the results on the `at`-th database, run in its [`orders`] and with its ties broken, differ whatever the
/// order: neither side's result changes, or, where only an outermost LIMIT depends on the order (`certain_count`), neither
/// side's number of rows does. Runs with broken ties may be missing.
pub(super) fn stable_difference(
    results: &BTreeMap<usize, (Fingerprint, Fingerprint)>,
    at: usize,
    certain_count: bool,
) -> bool {
    let runs = at * RUNS..(at + 1) * RUNS;
    let seen: Vec<(Fingerprint, Fingerprint)> =
        runs.clone().filter_map(|tag| results.get(&tag)).copied().collect();
    if runs.take(3).any(|tag| !results.contains_key(&tag)) {
        return false;
    }
    let is_one = |results: BTreeSet<Fingerprint>| results.len() == 1;
    let same =
        is_one(seen.iter().map(|pair| pair.0).collect()) && is_one(seen.iter().map(|pair| pair.1).collect());
    if same {
        return seen.first().is_some_and(|(golden, candidate)| golden != candidate);
    }
    let golden: BTreeSet<u64> = seen.iter().map(|pair| pair.0.rows).collect();
    let candidate: BTreeSet<u64> = seen.iter().map(|pair| pair.1.rows).collect();
    certain_count && golden.len() == 1 && candidate.len() == 1 && golden != candidate
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
    fn a_number_of_rows_that_no_order_changes_is_one() {
        let results: BTreeMap<usize, _> =
            (0..RUNS).map(|tag| (tag, (print(1, tag as i128), print(2, 9)))).collect();
        assert!(stable_difference(&results, 0, true));
        assert!(!stable_difference(&results, 0, false));
    }

    #[test]
    fn a_difference_that_depends_on_the_order_is_none() {
        let pair = (print(1, 1), print(1, 2));
        let mut results: BTreeMap<usize, _> = (0..3).map(|number| (number, pair)).collect();
        assert!(stable_difference(&results, 0, false));
        results.insert(4, (print(1, 7), print(1, 2)));
        assert!(!stable_difference(&results, 0, false), "ties decide which row is returned");
        assert!(!stable_difference(&results, 0, true), "each side returns one row");
        results.insert(4, pair);
        results.insert(1, (print(1, 3), print(1, 2)));
        assert!(!stable_difference(&results, 0, false));
        results.remove(&1);
        assert!(!stable_difference(&results, 0, false), "a failed run is no evidence");
    }
}
