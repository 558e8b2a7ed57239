//! Filling the tables: many styles, since each finds differences that the others miss.

use std::collections::{BTreeMap, BTreeSet};

use super::database::{Database, Layout, Row, TablePlan, key};
use super::values::Kind;
use crate::stats::rng::SplitMix64;

/// Rows in the largest table that is generated.
const MAX_ROWS: usize = 210;

/// How a database is filled. Shares are in percent.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Fewest and most rows of a table.
    rows: (usize, usize),
    /// Cells that satisfy a comparison of the queries.
    focus: usize,
    /// Cells at or beside a constant.
    near: usize,
    /// NULLs, where allowed.
    null: usize,
    /// NULLs in columns that neither join rows nor pick them, where allowed.
    null_values: usize,
    /// Rows that are copies of an earlier one with a column or two changed.
    copies: usize,
    /// Distinct plain values to choose from.
    domain: usize,
    /// Row `i` of every table gets the `i`-th value, so that joins match one to one.
    diagonal: bool,
    /// Row `i` of every table gets the `i`-th value that the queries compare with: all of them occur, and children
    /// refer to any of them.
    cover: bool,
    /// Every cell of a class of columns has the same value.
    alike: bool,
    /// A table without rows: all, one, none.
    empty: Empty,
}

/// How the copies of a group's first row differ from it.
#[derive(Debug, Clone, Copy)]
enum Copies {
    /// In nothing but their keys.
    Alike,
    /// In what is compared with nothing, or only with bounds.
    Varied,
    /// Each row in everything that is free.
    Distinct,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Empty {
    None,
    One,
    All,
}

const SINGLE: Style = Style {
    rows: (1, 1),
    focus: 100,
    near: 0,
    null: 0,
    null_values: 0,
    copies: 0,
    domain: 1,
    diagonal: false,
    cover: false,
    alike: false,
    empty: Empty::None,
};
const SMALL: Style = Style { rows: (2, 3), focus: 70, near: 20, null: 8, copies: 60, domain: 2, ..SINGLE };
const MIDDLE: Style = Style { rows: (4, 7), focus: 50, near: 25, null: 10, copies: 45, domain: 3, ..SINGLE };
const DIAGONAL: Style =
    Style { rows: (4, 6), focus: 80, near: 10, null: 0, copies: 0, domain: 6, diagonal: true, ..SINGLE };
const PLAIN: Style = Style { rows: (3, 6), focus: 25, near: 15, null: 20, copies: 30, domain: 3, ..SINGLE };
const NEAR: Style = Style { rows: (3, 6), focus: 35, near: 60, null: 5, copies: 50, domain: 3, ..SINGLE };
const NULLS: Style = Style { rows: (1, 4), focus: 50, near: 10, null: 50, copies: 30, domain: 2, ..SINGLE };
const ONE_EMPTY: Style = Style { empty: Empty::One, ..SMALL };
const ALL_EMPTY: Style = Style { empty: Empty::All, ..SINGLE };
const COVER: Style =
    Style { rows: (3, 7), focus: 80, near: 5, null: 4, copies: 0, domain: 3, cover: true, ..SINGLE };
const LARGE: Style = Style { rows: (10, 24), focus: 45, near: 25, null: 10, copies: 35, domain: 5, ..SINGLE };
const TIES: Style = Style { rows: (4, 9), focus: 85, near: 10, null: 3, copies: 85, domain: 1, ..SINGLE };
const NULL_VALUES: Style =
    Style { rows: (2, 4), focus: 95, near: 5, null_values: 40, copies: 50, domain: 3, ..SINGLE };
const ALIKE: Style = Style { alike: true, ..SINGLE };

/// The styles in the order of trying; after the last they repeat with other random numbers. Their number shares no
/// divisor with the rhythms of the special databases, so that each style has its turn.
const STYLES: [Style; 17] = [
    SMALL,
    MIDDLE,
    ALL_EMPTY,
    COVER,
    NEAR,
    DIAGONAL,
    ONE_EMPTY,
    TIES,
    NULLS,
    PLAIN,
    SINGLE,
    LARGE,
    NULL_VALUES,
    COVER,
    SMALL,
    NEAR,
    MIDDLE,
];
/// Every so many databases, one is built around a sum that a query asks for.
const SUMS: usize = 5;

/// Makes the databases of a search, one after the other.
#[derive(Debug)]
pub(super) struct Generator<'a> {
    pub(super) layout: &'a Layout,
    /// Row counts that matter.
    pub(super) counts: &'a BTreeSet<usize>,
    /// Distances between dates that matter.
    pub(super) days: &'a BTreeSet<i64>,
    /// The project's own rows, which satisfy the constraints.
    pub(super) own: Option<&'a Database>,
    pub(super) seed: u64,
}

impl Generator<'_> {
    /// The `index`-th database; always the same for the same search.
    pub(super) fn database(&self, index: usize) -> Database {
        let mut rng = SplitMix64::for_chunk(self.seed, index as u64);
        let mut maker = Maker { generator: self, rng: &mut rng, focus: BTreeMap::new() };
        let mut database = maker.fill(index);
        self.layout.repair(&mut database);
        database
    }
}

struct Maker<'a> {
    generator: &'a Generator<'a>,
    rng: &'a mut SplitMix64,
    /// The value that a class concentrates on in this database.
    focus: BTreeMap<String, usize>,
}

impl Maker<'_> {
    fn chance(&mut self, percent: usize) -> bool {
        self.rng.below(100) < percent
    }

    /// The number of the value that a class of columns concentrates on.
    fn mark(&mut self, class: &str) -> usize {
        if let Some(&mark) = self.focus.get(class) {
            return mark;
        }
        let mark = self.rng.below(1 << 16);
        self.focus.insert(class.to_owned(), mark);
        mark
    }

    fn fill(&mut self, index: usize) -> Database {
        if let Some(own) = self.generator.own
            && (index == 0 || index % 4 == 3)
        {
            return if index == 0 { own.clone() } else { self.own_changed(own) };
        }
        if index % SUMS == 3
            && let Some(database) = self.sum()
        {
            return database;
        }
        let mut style = STYLES[index % STYLES.len()];
        // Row counts of LIMIT, HAVING and rank need tables of about that many rows.
        let counts: Vec<usize> =
            self.generator.counts.iter().copied().filter(|&n| (2..MAX_ROWS).contains(&n)).collect();
        let mut group = None;
        let mut copies_of_group = Copies::Alike;
        let mut uneven = false;
        if !counts.is_empty() && index % 3 == 1 {
            // Each count has a group of just that many equal rows first, then of more.
            let turn = index / 6;
            let n = counts[turn % counts.len()];
            if index % 2 == 1 {
                style = Style { rows: (n + 1, n + 3), ..DIAGONAL };
                // Few groups, of sizes that leave no tie at either end of an order.
                uneven = n <= 40 && self.chance(50);
            } else {
                group = Some(n + (turn / counts.len()) % 3);
                copies_of_group = match self.rng.below(3) {
                    _ if turn < counts.len() => Copies::Alike,
                    0 => Copies::Alike,
                    1 => Copies::Varied,
                    _ => Copies::Distinct,
                };
            }
        }
        let tables = self.generator.layout.tables.len();
        let empty = self.rng.below(tables.max(1));
        let mut database = Database(vec![Vec::new(); tables]);
        for (at, table) in self.generator.layout.tables.iter().enumerate() {
            let is_empty = match style.empty {
                Empty::None => false,
                Empty::One => at == empty,
                Empty::All => true,
            };
            if is_empty {
                continue;
            }
            let (fewest, most) = style.rows;
            let mut rows = fewest + self.rng.below(most - fewest + 1);
            let mut copies = style.copies;
            if let Some(n) = group
                // The last tables are the children: groups are counted there.
                && (at + 1 == tables || self.chance(40))
            {
                rows = n;
                copies = 100;
            }
            let style = Style { copies, ..style };
            for i in 0..rows.min(MAX_ROWS) {
                let group = group.map(|_| (0, copies_of_group));
                self.add_row(&mut database, at, table, i, &style, group);
            }
            if uneven && at + 1 == tables {
                let last = database.0[at].len().saturating_sub(1);
                for i in 1..=last {
                    for _ in 0..if i == last { 2 } else { 1 } {
                        self.add_row(&mut database, at, table, i, &style, Some((i, Copies::Alike)));
                    }
                }
            }
        }
        database
    }

    /// Rows that add up to exactly what a query compares a sum with, or to a little more or less; all joined to one
    /// another. `None` where no sum is asked for.
    fn sum(&mut self) -> Option<Database> {
        let layout = self.generator.layout;
        let sums: Vec<(usize, usize, &String)> =
            layout
                .tables
                .iter()
                .enumerate()
                .flat_map(|(at, table)| {
                    table.columns.iter().enumerate().flat_map(move |(column, plan)| {
                        plan.sums.iter().map(move |value| (at, column, value))
                    })
                })
                .collect();
        let &(target, column, value) = sums.get(self.rng.below(sums.len().max(1)))?;
        let kind = layout.tables[target].columns[column].kind?;
        let parts = kind.split(value, 1 + self.rng.below(4), [0, 0, 1, -1][self.rng.below(4)]);
        // Children of the summed rows have to be as many, one each.
        let mut many = vec![false; layout.tables.len()];
        many[target] = true;
        for (at, table) in layout.tables.iter().enumerate() {
            many[at] |= table.references.iter().any(|reference| many.get(reference.table) == Some(&true));
        }
        let mut database = Database(vec![Vec::new(); layout.tables.len()]);
        for (at, table) in layout.tables.iter().enumerate() {
            let rows = if many[at] { parts.len() } else { 1 };
            for i in 0..rows {
                let style = Style { diagonal: true, ..ALIKE };
                self.add_row(&mut database, at, table, i, &style, None);
            }
            if at == target {
                for (row, part) in database.0[at].iter_mut().zip(&parts) {
                    row[column] = Some(part.clone());
                }
            }
        }
        Some(database)
    }

    /// Puts a cell as far from another one as a query asks for, or a little off.
    fn space(&mut self, row: &mut Row, database: &Database, at: usize, style: &Style) {
        let layout = self.generator.layout;
        for &(low, high, distance) in &layout.gaps {
            let (here, other, ahead) = match (low.0 == at, high.0 == at) {
                (_, true) => (high, low, true),
                (true, false) => (low, high, false),
                _ => continue,
            };
            if !self.chance(if style.alike { 100 } else { 40 }) {
                continue;
            }
            let anchor = if other.0 == at {
                row.get(other.1).cloned().flatten()
            } else {
                let rows = database.0.get(other.0).map_or(&[] as &[Row], Vec::as_slice);
                let joined =
                    layout.tables[at].references.iter().find(|found| found.table == other.0).and_then(
                        |reference| {
                            let wanted = key(row, &reference.columns);
                            rows.iter().find(|parent| key(parent, &reference.references) == wanted)
                        },
                    );
                let any = rows.get(self.rng.below(rows.len().max(1)));
                joined.or(any).and_then(|row| row.get(other.1).cloned().flatten())
            };
            let Some(anchor) = anchor else { continue };
            let plan = &layout.tables[at].columns[here.1];
            let Some(kind) = plan.kind else { continue };
            let off = [0, 0, 1, -1][self.rng.below(4)];
            if let Some(value) = kind.apart(&anchor, distance, ahead, off)
                && plan.allows(Some(&value))
            {
                row[here.1] = Some(value);
            }
        }
    }

    /// A few of the project's rows with some cells changed.
    fn own_changed(&mut self, own: &Database) -> Database {
        let mut database = own.clone();
        let style = NEAR;
        for (rows, table) in database.0.iter_mut().zip(&self.generator.layout.tables) {
            for row in rows.iter_mut() {
                if self.chance(30) {
                    self.change(row, table, &style, false);
                }
            }
        }
        database
    }

    fn add_row(
        &mut self,
        database: &mut Database,
        at: usize,
        table: &TablePlan,
        i: usize,
        style: &Style,
        group: Option<(usize, Copies)>,
    ) {
        for attempt in 0..6 {
            let existing = database.0.get(at).map_or(0, Vec::len);
            let mut row = if existing > 0
                && (group.is_some_and(|(source, _)| source > 0) || self.chance(style.copies))
            {
                let source =
                    group.map_or_else(|| self.rng.below(existing), |(source, _)| source.min(existing - 1));
                let mut row = database.0[at][source].clone();
                match group.map(|(_, copies)| copies) {
                    None => self.change(&mut row, table, style, true),
                    Some(Copies::Alike) => {}
                    Some(Copies::Varied) if self.chance(10) => {}
                    Some(Copies::Distinct) => self.spread(&mut row, table, existing),
                    Some(Copies::Varied) => self.vary(&mut row, table),
                }
                row
            } else {
                let mut row: Row = Vec::with_capacity(table.columns.len());
                for column in 0..table.columns.len() {
                    let cell = self.cell(table, column, i, style);
                    row.push(cell);
                }
                self.refer(&mut row, database, table, i, style);
                row
            };
            self.space(&mut row, database, at, style);
            self.make_unique(&mut row, database, at, table, i + attempt * 7);
            let fits = table.unique.iter().all(|set| match key(&row, set) {
                Some(candidate) => {
                    database.0[at].iter().all(|other| key(other, set).as_ref() != Some(&candidate))
                }
                None => true,
            });
            if fits {
                database.0[at].push(row);
                return;
            }
        }
    }

    /// Points the row's foreign keys at rows of the parents.
    fn refer(&mut self, row: &mut Row, database: &Database, table: &TablePlan, i: usize, style: &Style) {
        for reference in &table.references {
            let parents = database.0.get(reference.table).map_or(&[] as &[Row], Vec::as_slice);
            let nullable = reference
                .columns
                .iter()
                .copied()
                .find(|&column| table.columns.get(column).is_some_and(|plan| plan.nullable));
            if row
                .iter()
                .enumerate()
                .any(|(column, cell)| reference.columns.contains(&column) && cell.is_none())
            {
                continue;
            }
            let wanted = key(row, &reference.columns);
            let fits = parents.iter().any(|parent| key(parent, &reference.references) == wanted);
            if fits {
                continue;
            }
            if parents.is_empty() {
                if let Some(column) = nullable {
                    row[column] = None;
                }
                continue;
            }
            let parent = if style.diagonal { i % parents.len() } else { self.rng.below(parents.len()) };
            if let Some(values) = key(&parents[parent], &reference.references) {
                for (&column, value) in reference.columns.iter().zip(values) {
                    row[column] = Some(value);
                }
            }
        }
    }

    /// Changes a column of each unique set whose values are taken.
    fn make_unique(
        &mut self,
        row: &mut Row,
        database: &Database,
        at: usize,
        table: &TablePlan,
        start: usize,
    ) {
        for set in &table.unique {
            let taken: BTreeSet<Vec<String>> =
                database.0[at].iter().filter_map(|other| key(other, set)).collect();
            let Some(current) = key(row, set) else { continue };
            if !taken.contains(&current) {
                continue;
            }
            let free = |column: &&usize| {
                !table.references.iter().any(|reference| reference.columns.contains(*column))
                    && table.columns.get(**column).is_some_and(|plan| plan.kind != Some(Kind::Bool))
            };
            let Some(&column) = set.iter().rev().find(free) else {
                // Every column of the set refers to a parent: try other parents.
                for reference in &table.references {
                    if reference.columns.iter().any(|column| set.contains(column))
                        && let Some(parents) = database.0.get(reference.table)
                        && !parents.is_empty()
                        && let Some(values) =
                            key(&parents[self.rng.below(parents.len())], &reference.references)
                    {
                        for (&column, value) in reference.columns.iter().zip(values) {
                            row[column] = Some(value);
                        }
                    }
                }
                continue;
            };
            for n in 0..MAX_ROWS * 2 {
                row[column] = table.columns[column].nth(start + n);
                if key(row, set).is_none_or(|candidate| !taken.contains(&candidate)) {
                    break;
                }
            }
        }
    }

    /// Changes one or two cells that belong to no key.
    fn change(&mut self, row: &mut Row, table: &TablePlan, style: &Style, references: bool) {
        let free: Vec<usize> = (0..table.columns.len())
            .filter(|column| {
                !table.unique.iter().any(|set| set.contains(column))
                    && (references
                        || !table.references.iter().any(|reference| reference.columns.contains(column)))
            })
            .collect();
        if free.is_empty() {
            return;
        }
        for _ in 0..1 + self.rng.below(2) {
            // Columns that the queries compare are worth more than the rest.
            let aimed: Vec<usize> =
                free.iter().copied().filter(|&column| !table.columns[column].focus.is_empty()).collect();
            let from = if !aimed.is_empty() && self.chance(60) { &aimed } else { &free };
            let column = from[self.rng.below(from.len())];
            let changed = Style { focus: style.focus / 2, near: style.near.max(40), domain: 4, ..*style };
            let i = self.rng.below(6);
            if table.references.iter().any(|reference| reference.columns.contains(&column)) {
                // Another parent is chosen by value; a reference that finds none is repaired away.
                row[column] = table.columns[column].nth(self.rng.below(3));
            } else {
                row[column] = self.cell(table, column, i, &changed);
            }
        }
    }

    /// Changes the cells that the queries compare with nothing, or only with bounds.
    fn vary(&mut self, row: &mut Row, table: &TablePlan) {
        for (column, plan) in table.columns.iter().enumerate() {
            let free = !table.unique.iter().any(|set| set.contains(&column))
                && !table.references.iter().any(|reference| reference.columns.contains(&column));
            if free && self.chance(50) {
                row[column] = match plan.focus.len() {
                    0 => plan.nth(self.rng.below(12)),
                    // Mostly it stays; the bound may hold for several values.
                    n => plan.focus.get(self.rng.below(n)).cloned(),
                };
            }
        }
    }

    /// Gives the free cells the `n`-th value that they may have.
    fn spread(&mut self, row: &mut Row, table: &TablePlan, n: usize) {
        for (column, plan) in table.columns.iter().enumerate() {
            let free = plan.value
                && !table.unique.iter().any(|set| set.contains(&column))
                && !table.references.iter().any(|reference| reference.columns.contains(&column));
            if free {
                row[column] = match plan.focus.len() {
                    0 => plan.nth(n),
                    many => plan.focus.get(n % many).cloned(),
                };
            }
        }
    }

    fn cell(&mut self, table: &TablePlan, column: usize, i: usize, style: &Style) -> Option<String> {
        let plan = &table.columns[column];
        let kind = plan.kind?;
        let null = if plan.value { style.null.max(style.null_values) } else { style.null };
        if plan.nullable && self.chance(null) {
            return None;
        }
        let is_time = matches!(kind, Kind::Date | Kind::Timestamp);
        if style.alike {
            let mark = self.mark(&plan.class);
            return match plan.focus.len() {
                0 => plan.nth(0),
                n => plan.focus.get(mark % n).cloned(),
            };
        }
        if plan.focus.is_empty() && (plan.low != plan.high) && self.chance(50) {
            // Mostly on the side of the other column where the comparison holds.
            return match (is_time, plan.low) {
                (true, true) => plan.nth(if self.chance(50) { 6 } else { 3 }),
                (true, false) => plan.nth(if self.chance(50) { 5 } else { 2 }),
                (false, true) => plan.nth(self.rng.below(2)),
                (false, false) => plan.nth(4 + self.rng.below(4)),
            };
        }
        let draw = self.rng.below(100);
        if draw < style.focus {
            let mark = self.mark(&plan.class);
            if style.cover {
                return match plan.focus.len() {
                    0 => plan.nth(if table.primary_key.contains(&column) {
                        i
                    } else {
                        self.rng.below(if is_time { 8 } else { style.domain })
                    }),
                    n => plan.focus.get(i % n).cloned(),
                };
            }
            if !plan.focus.is_empty() {
                // Mostly the same value for the class, so that filters and joins hold together.
                let mark = if self.chance(75) { mark } else { self.rng.below(1 << 16) };
                return plan.focus.get(mark % plan.focus.len()).cloned();
            }
            if !style.diagonal && self.chance(if is_time { 20 } else { 60 }) {
                return plan.nth(mark % 2);
            }
        } else if draw < style.focus + style.near && !plan.near.is_empty() {
            return plan.near.get(self.rng.below(plan.near.len())).cloned();
        }
        if is_time && !self.generator.days.is_empty() && self.chance(40) {
            let days: Vec<i64> = self.generator.days.iter().copied().collect();
            let days = days[self.rng.below(days.len())];
            let shifted = super::values::around_clock([days - 1, days, days + 1][self.rng.below(3)]);
            if let Some(constant) = shifted.get(self.rng.below(shifted.len().max(1)))
                && let Some(value) = kind.exactly(constant).first()
            {
                return Some(value.clone());
            }
        }
        // Dates that are compared with nothing are grouped by month, counted apart: they vary.
        let domain = if is_time { style.domain.max(8) } else { style.domain.max(1) };
        let n = if style.diagonal { i } else { self.rng.below(domain) };
        plan.nth(n)
    }
}
