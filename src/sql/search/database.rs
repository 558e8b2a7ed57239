//! The tables that a search fills: their constraints, and databases that keep them.

use std::collections::BTreeSet;

use super::aims::{Aims, Relation};
use super::distance::Distance;
use super::values::{Constant, Kind, around_clock, column_type};
use crate::sql::schema::{Schema, Table};

/// A row; `None` is NULL.
pub(super) type Row = Vec<Option<String>>;

/// The contents of the tables of a [`Layout`], in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Database(pub(super) Vec<Vec<Row>>);

impl Database {
    /// All rows of all tables.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The same rows, each table in the opposite order.
    pub(super) fn reversed(&self) -> Self {
        Self(self.0.iter().map(|rows| rows.iter().rev().cloned().collect()).collect())
    }

    /// The same rows, each table rotated by `n`.
    pub(super) fn rotated(&self, n: usize) -> Self {
        let mut copy = self.clone();
        for rows in &mut copy.0 {
            let len = rows.len().max(1);
            rows.rotate_left(n % len);
        }
        copy
    }
}

/// A reference to rows of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) columns: Vec<usize>,
    pub(super) table: usize,
    pub(super) references: Vec<usize>,
}

/// A column with what it may hold and what it should be tried with.
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    pub(super) name: String,
    /// DuckDB's type.
    pub(super) data_type: String,
    /// `None` when values of the type are not generated: always NULL.
    pub(super) kind: Option<Kind>,
    pub(super) nullable: bool,
    /// The class of columns that it is compared with.
    pub(super) class: String,
    /// Values that satisfy comparisons of the queries.
    pub(super) focus: Vec<String>,
    /// Those, their neighbours and awkward values.
    pub(super) near: Vec<String>,
    /// The only values allowed.
    pub(super) accepted: Option<Vec<String>>,
    /// A text that is read as a number.
    pub(super) numeric_text: bool,
    /// Below, above another column in a comparison.
    pub(super) low: bool,
    pub(super) high: bool,
    /// Sums of the column that a query asks for.
    pub(super) sums: Vec<String>,
    /// Neither joins rows nor picks them: a NULL here leaves the row in the result.
    pub(super) value: bool,
}

/// A table with its constraints, columns by position.
#[derive(Debug, Clone)]
pub(super) struct TablePlan {
    /// The key of the schema.
    pub(super) name: String,
    pub(super) columns: Vec<ColumnPlan>,
    pub(super) primary_key: Vec<usize>,
    pub(super) unique: Vec<Vec<usize>>,
    pub(super) references: Vec<Reference>,
}

/// A column: its table and its position there.
pub(super) type Place = (usize, usize);

/// The tables that the queries read, parents before children.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) tables: Vec<TablePlan>,
    /// Types that had to be assumed, as a sentence each.
    pub(super) assumed: Vec<String>,
    /// Pairs of columns, each as table and column, that a query wants this far apart.
    pub(super) gaps: Vec<(Place, Place, Distance)>,
}

impl Layout {
    /// Plans the tables of `schema` that the queries mention.
    ///
    /// # Errors
    /// Why rows cannot be generated.
    pub(super) fn new(schema: &Schema, aims: &Aims) -> Result<Self, String> {
        let mut named: Vec<(&str, &Table)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (name, table) in &schema.tables {
            let parts = name_parts(name);
            let Some(last) = parts.last() else { continue };
            let folded: Vec<String> = parts.iter().map(|part| part.to_lowercase()).collect();
            if aims.identifiers.contains(&last.to_lowercase()) && seen.insert(folded) {
                named.push((name, table));
            }
        }
        let pruned: Vec<(&str, Table)> =
            named.iter().map(|(name, table)| (*name, without_unused(name, table, &named, aims))).collect();
        let named = parents_first(pruned.iter().map(|(name, table)| (*name, table)).collect());
        let mut layout = Self { tables: Vec::new(), assumed: Vec::new(), gaps: Vec::new() };
        for (name, table) in &named {
            layout.plan(name, table, &named, aims)?;
        }
        layout.place_gaps(aims);
        Ok(layout)
    }

    /// Finds the columns that the distances of the queries are between.
    fn place_gaps(&mut self, aims: &Aims) {
        const MOST: usize = 24;
        let places = |name: &str| -> Vec<(usize, usize)> {
            let (class, _) = aims.class(name);
            let in_table = |at: usize, table: &TablePlan| {
                let found = |column: &usize| {
                    table.columns[*column].class == class
                        && !table.unique.iter().any(|set| set.contains(column))
                        && !table.references.iter().any(|reference| reference.columns.contains(column))
                };
                (0..table.columns.len()).filter(found).map(|column| (at, column)).collect::<Vec<_>>()
            };
            self.tables.iter().enumerate().flat_map(|(at, table)| in_table(at, table)).collect()
        };
        let mut gaps = Vec::new();
        for gap in &aims.gaps {
            for low in places(&gap.low) {
                for high in places(&gap.high) {
                    if low != high {
                        gaps.push((low, high, gap.distance));
                    }
                }
            }
        }
        gaps.truncate(MOST);
        self.gaps = gaps;
    }

    fn plan(
        &mut self,
        name: &str,
        table: &Table,
        named: &[(&str, &Table)],
        aims: &Aims,
    ) -> Result<(), String> {
        if table.columns.is_empty() {
            return Err(format!("the columns of {name} are not known"));
        }
        if name_parts(name).len() > 3 {
            return Err(format!("the table name {name} has too many parts"));
        }
        let position = |column: &String| {
            table.columns.keys().position(|candidate| candidate.eq_ignore_ascii_case(column))
        };
        let positions = |columns: &[String]| columns.iter().map(position).collect::<Option<Vec<usize>>>();
        let primary_key = positions(&table.primary_key).unwrap_or_default();
        let mut unique: Vec<Vec<usize>> = table.unique.iter().filter_map(|set| positions(set)).collect();
        unique.push(primary_key.clone());
        unique.retain(|set| !set.is_empty());
        unique.sort();
        unique.dedup();
        let in_key = |at: usize| {
            unique.iter().any(|set| set.contains(&at))
                || table
                    .foreign_keys
                    .iter()
                    .any(|key| key.columns.iter().any(|name| position(name) == Some(at)))
        };
        let mut columns = Vec::new();
        for (at, (column, declared)) in table.columns.iter().enumerate() {
            let (class, hints) = aims.class(column);
            let (data_type, kind) = match column_type(&declared.data_type) {
                Some((data_type, kind)) => (data_type, Some(kind)),
                None if declared.data_type.trim().is_empty() => {
                    let assumed = assumed_type(column, &hints);
                    self.assumed.push(format!("assumed that {name}.{column} is {assumed}"));
                    match column_type(assumed) {
                        Some((data_type, kind)) => (data_type, Some(kind)),
                        None => return Err(format!("the type of {name}.{column} is not known")),
                    }
                }
                None => (declared.data_type.clone(), None),
            };
            let nullable = declared.nullable && !primary_key.contains(&at);
            if kind.is_none() && !nullable {
                return Err(format!("no values of the type of {name}.{column} ({data_type}) are generated"));
            }
            let mut plan = ColumnPlan {
                name: column.clone(),
                data_type,
                kind,
                nullable,
                class,
                focus: Vec::new(),
                near: Vec::new(),
                accepted: declared.accepted_values.clone().filter(|values| !values.is_empty()),
                low: hints.low,
                high: hints.high,
                sums: Vec::new(),
                value: nullable && !hints.joined && !in_key(at) && !hints.picks(),
                numeric_text: matches!(kind, Some(Kind::Text { .. })) && hints.numeric,
            };
            if let Some(kind) = kind {
                plan.aim(kind, &hints, aims);
            }
            columns.push(plan);
        }
        let references = table
            .foreign_keys
            .iter()
            .filter_map(|key| {
                let at = named.iter().position(|(other, _)| other.eq_ignore_ascii_case(&key.table))?;
                let parent = named.get(at)?.1;
                let references = key
                    .references
                    .iter()
                    .map(|column| parent.columns.keys().position(|other| other.eq_ignore_ascii_case(column)))
                    .collect::<Option<Vec<usize>>>()?;
                let columns = positions(&key.columns)?;
                (columns.len() == references.len() && !columns.is_empty()).then_some(Reference {
                    columns,
                    table: at,
                    references,
                })
            })
            .collect();
        self.tables.push(TablePlan { name: name.to_owned(), columns, primary_key, unique, references });
        Ok(())
    }

    /// Removes rows until every constraint holds.
    pub(super) fn repair(&self, database: &mut Database) {
        for (rows, table) in database.0.iter_mut().zip(&self.tables) {
            rows.retain(|row| {
                row.len() == table.columns.len()
                    && row.iter().zip(&table.columns).all(|(cell, column)| column.allows(cell.as_deref()))
            });
            for set in &table.unique {
                let mut seen = BTreeSet::new();
                rows.retain(|row| match key(row, set) {
                    Some(key) => seen.insert(key),
                    None => true,
                });
            }
        }
        loop {
            let before = database.size();
            for (at, table) in self.tables.iter().enumerate() {
                for reference in &table.references {
                    let parents: BTreeSet<Vec<String>> =
                        database.0.get(reference.table).map_or_else(BTreeSet::new, |rows| {
                            rows.iter().filter_map(|row| key(row, &reference.references)).collect()
                        });
                    if let Some(rows) = database.0.get_mut(at) {
                        rows.retain(|row| {
                            key(row, &reference.columns).is_none_or(|key| parents.contains(&key))
                        });
                    }
                }
            }
            if database.size() == before {
                return;
            }
        }
    }
}

impl ColumnPlan {
    /// Whether the column may hold the cell.
    pub(super) fn allows(&self, cell: Option<&str>) -> bool {
        match (cell, &self.accepted) {
            (None, _) => self.nullable,
            (Some(value), Some(accepted)) => accepted.iter().any(|other| other == value),
            (Some(_), None) => true,
        }
    }

    fn aim(&mut self, kind: Kind, hints: &super::aims::Class, aims: &Aims) {
        let summed = hints.summed;
        let mut hints: Vec<(Relation, Constant)> = hints.hints.iter().cloned().collect();
        if aims.uses_clock && matches!(kind, Kind::Date | Kind::Timestamp) {
            for days in aims.days.iter().copied().chain([0]) {
                hints.extend(around_clock(days).into_iter().map(|constant| (Relation::Loose, constant)));
            }
        }
        hints.truncate(60);
        for (relation, constant) in &hints {
            for value in kind.exactly(constant) {
                if *relation != Relation::Loose {
                    // The bound itself, too: whether it belongs is what goes wrong most.
                    self.focus.push(value.clone());
                }
                match relation {
                    Relation::Greater => self.focus.extend(kind.beyond(&value, true)),
                    Relation::Less => self.focus.extend(kind.beyond(&value, false)),
                    // The constant and two others.
                    Relation::Unequal => self.focus.extend([kind.nth(0, false), kind.nth(1, false)]),
                    Relation::Equal | Relation::Loose => {}
                }
                if summed && *relation != Relation::Loose {
                    self.sums.push(value.clone());
                    // Parts that add up to a threshold.
                    self.focus.extend(kind.parts(&value).into_iter().take(2));
                }
                self.near.extend(kind.beside(&value));
                self.near.push(value);
            }
        }
        if self.near.is_empty() {
            // A constant that is compared with no column at all may be about this one.
            for constant in aims.loose.iter().take(8) {
                self.near.extend(kind.exactly(constant));
            }
        }
        self.near.extend(kind.awkward());
        if let Some(accepted) = &mut self.accepted {
            let canonical: Vec<String> =
                accepted.iter().flat_map(|value| kind.exactly(&Constant::Text(value.clone()))).collect();
            self.focus.retain(|value| canonical.contains(value));
            self.near.clone_from(&canonical);
            *accepted = canonical;
        }
        for list in [&mut self.focus, &mut self.near] {
            let mut seen = BTreeSet::new();
            list.retain(|value| seen.insert(value.clone()));
            list.truncate(80);
        }
    }

    /// The `n`-th plain value of the column.
    pub(super) fn nth(&self, n: usize) -> Option<String> {
        match &self.accepted {
            Some(accepted) => accepted.get(n % accepted.len().max(1)).cloned(),
            None => self.kind.map(|kind| kind.nth(n, self.numeric_text)),
        }
    }
}

/// The table without the columns that neither query reads: what they hold changes no result. Columns of references
/// between the tables stay, so that a child has its parent; a unique set with a column that is gone can always be kept.
fn without_unused(name: &str, table: &Table, named: &[(&str, &Table)], aims: &Aims) -> Table {
    let mut kept = table.clone();
    if aims.wildcard {
        return kept;
    }
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let referring = |column: &str| {
        table.foreign_keys.iter().any(|key| {
            key.columns.iter().any(|other| same(other, column))
                && named.iter().any(|(other, _)| same(other, &key.table))
        })
    };
    let referred = |column: &str| {
        named
            .iter()
            .flat_map(|(_, other)| &other.foreign_keys)
            .any(|key| same(&key.table, name) && key.references.iter().any(|other| same(other, column)))
    };
    kept.columns.retain(|column, _| {
        aims.identifiers.contains(&column.to_lowercase()) || referring(column) || referred(column)
    });
    if kept.columns.is_empty() {
        // `count(*)` reads no column; a table needs one.
        let first = table.primary_key.first().or_else(|| table.columns.keys().next());
        kept.columns.clone_from(&table.columns);
        kept.columns.retain(|column, _| first.is_some_and(|first| same(first, column)));
    }
    let has =
        |set: &Vec<String>| set.iter().all(|column| kept.columns.keys().any(|other| same(other, column)));
    kept.unique.retain(has);
    if !has(&kept.primary_key) {
        // Its columns are still never NULL.
        for (column, declared) in &mut kept.columns {
            declared.nullable &= !table.primary_key.iter().any(|other| same(other, column));
        }
        kept.primary_key.clear();
    }
    kept
}

/// The values of a set of columns; `None` when one is NULL (exempt from uniqueness and references).
pub(super) fn key(row: &Row, columns: &[usize]) -> Option<Vec<String>> {
    columns.iter().map(|&column| row.get(column).cloned().flatten()).collect()
}

/// The parts of a relation name, without quotes.
pub(super) fn name_parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quote = None;
    for c in name.chars() {
        match (c, quote) {
            ('"' | '`', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('.', None) => parts.push(std::mem::take(&mut part)),
            _ => part.push(c),
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

fn parents_first<'a>(mut named: Vec<(&'a str, &'a Table)>) -> Vec<(&'a str, &'a Table)> {
    let mut ordered: Vec<(&str, &Table)> = Vec::new();
    while !named.is_empty() {
        let free = named.iter().position(|(name, table)| {
            table.foreign_keys.iter().all(|key| {
                key.table.eq_ignore_ascii_case(name)
                    || !named.iter().any(|(other, _)| other.eq_ignore_ascii_case(&key.table))
            })
        });
        // In a cycle some child has to come first; repairing drops what finds no parent.
        ordered.push(named.remove(free.unwrap_or(0)));
    }
    ordered
}

fn assumed_type(column: &str, hints: &super::aims::Class) -> &'static str {
    let mut text = false;
    let mut number = hints.numeric;
    for (_, constant) in &hints.hints {
        match constant {
            Constant::Text(text) if text.parse::<jiff::civil::Date>().is_ok() => return "DATE",
            Constant::Text(_) | Constant::Pattern(_) | Constant::Length(_) => text = true,
            Constant::Number(_) => number = true,
            Constant::Bool(_) => return "BOOLEAN",
        }
    }
    let column = column.to_ascii_lowercase();
    if hints.date || column.ends_with("_at") {
        "TIMESTAMP"
    } else if text {
        "VARCHAR"
    } else if number {
        "BIGINT"
    } else if column.ends_with("_date") || column == "date" {
        "DATE"
    } else if column.starts_with("is_") || column.starts_with("has_") {
        "BOOLEAN"
    } else {
        "VARCHAR"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_at_dots_outside_quotes() {
        assert_eq!(name_parts("orders"), ["orders"]);
        assert_eq!(name_parts("\"db\".\"my.schema\".t"), ["db", "my.schema", "t"]);
    }
}
