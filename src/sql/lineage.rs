//! From which columns of which tables the values of a query come.

use std::collections::{BTreeSet, HashMap};

use super::algebra::map::{children, walk_block};
use super::algebra::{Arena, Block, CmpOp, Col, ExprId, Node, Query, ScanId, Source};
use super::facts::FactSet;
use super::lower::lower;
use super::parse::parse_query;
use super::types::Type;
use super::{Dialect, Schema};

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BaseColumn {
    /// The table, as the schema names it, in lower case.
    pub table: String,
    /// The column, folded.
    pub column: String,
}

/// The column of an input by which an incremental query takes what is new: it compares it with something that is stored in
/// `this` already. `None` where it does not, or cannot be read.
pub fn water_mark(sql: &str, this: &str, schema: &Schema, dialect: Dialect) -> Option<BaseColumn> {
    let ast = parse_query(sql, dialect).ok()?;
    let (arena, query) = lower(&ast, schema, &FactSet::none(), dialect).ok()?;
    let lineage = Lineage::new(&arena, &query);
    let is_stored = |scan: &ScanId| arena.text(arena.table_of(*scan).name).eq_ignore_ascii_case(this);
    let mut found = Vec::new();
    for comparison in lineage.comparisons() {
        let Node::Cmp(CmpOp::Lt | CmpOp::Le, a, b) = *arena.node(comparison) else { continue };
        for (stored, new) in [(a, b), (b, a)] {
            let new = lineage.bases(new);
            let from_stored = lineage.bases(stored).iter().any(|(scan, _)| is_stored(scan));
            if from_stored && new.len() == 1 {
                found.extend(new.into_iter().filter(|(scan, _)| !is_stored(scan)));
            }
        }
    }
    let is_time = |(scan, position): &&(ScanId, u32)| {
        let columns = &arena.table_of(*scan).columns;
        let column = usize::try_from(*position).ok().and_then(|position| columns.get(position));
        column.is_some_and(|(_, data_type)| {
            matches!(data_type, Type::Date | Type::Timestamp | Type::TimestampTz)
        })
    };
    let (scan, position) = found.iter().find(is_time).or(found.first())?;
    lineage.base(*scan, *position)
}

/// The columns of a query, with what they are made of.
struct Lineage<'a> {
    arena: &'a Arena,
    query: &'a Query,
    /// What each column is made of that is not a table's own.
    made: HashMap<Col, Vec<ExprId>>,
}

impl<'a> Lineage<'a> {
    fn new(arena: &'a Arena, query: &'a Query) -> Self {
        let mut lineage = Self { arena, query, made: HashMap::new() };
        for block in lineage.blocks() {
            lineage.read(block);
        }
        lineage
    }

    /// The outermost block, and those of all subqueries.
    fn blocks(&self) -> Vec<&'a Block> {
        let arena = self.arena;
        let subs = (0..).map_while(|number| arena.try_sub(number)).map(|sub| &sub.block);
        std::iter::once(&self.query.block).chain(subs).collect()
    }

    fn read(&mut self, block: &'a Block) {
        for source in &block.sources {
            let mut made = |col: Col, exprs: &mut dyn Iterator<Item = ExprId>| {
                self.made.entry(col).or_default().extend(exprs);
            };
            match source {
                Source::Aggregate(aggregate) => {
                    aggregate
                        .keys
                        .iter()
                        .chain(&aggregate.aggs)
                        .for_each(|(col, e)| made(*col, &mut std::iter::once(*e)));
                }
                Source::Window(window) => {
                    window.funcs.iter().for_each(|(col, e)| made(*col, &mut std::iter::once(*e)));
                }
                Source::Values(values) => {
                    for (i, col) in values.cols.iter().enumerate() {
                        made(*col, &mut values.rows.iter().filter_map(|row| row.get(i).copied()));
                    }
                }
                Source::Union(union) => {
                    for (i, col) in union.cols.iter().enumerate() {
                        made(
                            *col,
                            &mut union.branches.iter().filter_map(|branch| branch.outputs.get(i).copied()),
                        );
                    }
                }
                Source::SetOp(op) => {
                    for (i, col) in op.cols.iter().enumerate() {
                        made(
                            *col,
                            &mut [&op.left, &op.right]
                                .into_iter()
                                .filter_map(|branch| branch.outputs.get(i).copied()),
                        );
                    }
                }
                Source::Opaque(opaque) => {
                    for col in &opaque.cols {
                        made(*col, &mut opaque.args.iter().copied());
                        opaque.inputs.iter().for_each(|input| made(*col, &mut input.outputs.iter().copied()));
                    }
                }
                Source::Scan(_) | Source::Full(_) | Source::Limit(_) => {}
            }
        }
        for inner in super::algebra::map::inner_blocks(block) {
            self.read(inner);
        }
    }

    /// The columns of tables that an expression's value is made of; conditions inside subqueries do not count.
    fn bases(&self, expr: ExprId) -> BTreeSet<(ScanId, u32)> {
        let (mut found, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![expr]);
        while let Some(expr) = open.pop() {
            if !seen.insert(expr) {
                continue;
            }
            match self.arena.node(expr) {
                Node::Col(col) => {
                    found.extend(self.arena.col(*col).scan);
                    open.extend(self.made.get(col).into_iter().flatten());
                }
                Node::Scalar(sub) => open.extend(&self.arena.sub(*sub).outputs),
                node => children(node, &mut |child| open.push(child)),
            }
        }
        found
    }

    /// All comparisons of the query, wherever they stand.
    fn comparisons(&self) -> Vec<ExprId> {
        let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), Vec::new());
        for block in self.blocks() {
            walk_block(block, &mut |expr| open.push(expr));
        }
        open.reverse();
        while let Some(expr) = open.pop() {
            if seen.insert(expr) {
                let node = self.arena.node(expr);
                if matches!(node, Node::Cmp(..)) {
                    found.push(expr);
                }
                children(node, &mut |child| open.push(child));
            }
        }
        found
    }

    fn base(&self, scan: ScanId, position: u32) -> Option<BaseColumn> {
        let table = self.arena.table_of(scan);
        let (column, _) = table.columns.get(usize::try_from(position).ok()?)?;
        let text = |sym| self.arena.text(sym).trim_start_matches('"').to_owned();
        Some(BaseColumn { table: text(table.name), column: text(*column) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::schema::{Column, Table};

    fn schema() -> Schema {
        let mut schema = Schema::default();
        for (table, columns) in [
            (
                "w.main.orders",
                &[("id", "INTEGER"), ("day", "DATE"), ("changed", "TIMESTAMP"), ("n", "INTEGER")][..],
            ),
            ("w.main.lines", &[("order_id", "INTEGER"), ("price", "INTEGER")]),
            ("w.main.m", &[("id", "INTEGER"), ("at", "TIMESTAMP"), ("n", "INTEGER")]),
        ] {
            let mut entry = Table::default();
            for (name, data_type) in columns {
                let column = Column { data_type: (*data_type).into(), nullable: true, accepted_values: None };
                entry.columns.insert((*name).into(), column);
            }
            schema.tables.insert(table.into(), entry);
        }
        schema
    }

    #[test]
    fn the_column_that_is_compared_with_what_is_stored_is_found() {
        let this = r#""w"."main"."m""#;
        let orders = r#""w"."main"."orders""#;
        for (sql, expected) in [
            (
                format!(
                    "select id, changed as at from {orders} where changed > (select max(at) from {this})"
                ),
                Some("changed"),
            ),
            (
                format!(
                    "with o as (select id, cast(day as timestamp) as t from {orders}) select id, t as at from o where t >= (select coalesce(max(at), '1900-01-01') - interval 3 day from {this})"
                ),
                Some("day"),
            ),
            (
                format!(
                    "with stored as (select max(n) as n from {this}) select o.id, o.changed as at from {orders} o cross join stored where o.n > stored.n"
                ),
                Some("n"),
            ),
            (
                format!(
                    "select o.id, o.changed from {orders} o left join {this} t on t.id = o.id where t.id is null or o.changed > t.at"
                ),
                Some("changed"),
            ),
            // A number and a time: the time is what rows arrive by.
            (
                format!(
                    "select id from {orders} where n > (select max(n) from {this}) or changed > (select max(at) from {this})"
                ),
                Some("changed"),
            ),
            (format!("select id from {orders} where id not in (select id from {this})"), None),
            (format!("select id from {orders} where changed > '2026-01-01'"), None),
            (format!("select id from {orders} where changed > (select max(changed) from {orders})"), None),
            (format!("select id from {orders}"), None),
            ("select".to_owned(), None),
        ] {
            let found = water_mark(&sql, "w.main.m", &schema(), Dialect::DuckDb);
            assert_eq!(found.as_ref().map(|mark| mark.column.as_str()), expected, "{sql}");
            assert!(found.is_none_or(|mark| mark.table == "w.main.orders"));
        }
    }
}
