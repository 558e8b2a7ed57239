//! The joins of a query, each as two queries for the values that it compares: what it is joined to, and what is joined. On rows
//! they show whether a join multiplies, drops or never finds.

use super::algebra::{Aggregate, Arena, Block, CmpOp, ColSet, ExprId, Node, Query, Source, to_sql};
use super::facts::FactSet;
use super::lower::lower;
use super::parse::parse_query;
use super::{Dialect, Schema};

/// A join on equal values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The values on the side that it is joined to, a row each: columns `k0`, `k1` and so on.
    pub left: String,
    /// The values on the joined side.
    pub right: String,
    /// Tables of the left side, as the schema names them.
    pub left_tables: Vec<String>,
    /// Tables of the joined side.
    pub right_tables: Vec<String>,
    /// Columns of the left side that are compared, for people.
    pub on: Vec<String>,
    /// Rows of the left side without a partner are dropped.
    pub drops: bool,
    /// Something of the left side alone is summed or counted after the join: what the join multiplies counts more than once.
    pub sums_left: bool,
    /// Nothing but equal values decides; otherwise rows that these pair may still not be partners.
    pub is_exact: bool,
}

/// The joins of a query that compare equal values; none where it cannot be read.
pub fn joins(sql: &str, schema: &Schema, dialect: Dialect) -> Vec<Join> {
    let Ok(ast) = parse_query(sql, dialect) else { return Vec::new() };
    let Ok((arena, query)) = lower(&ast, schema, &FactSet::none(), dialect) else { return Vec::new() };
    let mut reader = Reader { arena, found: Vec::new() };
    reader.block(&query.block, None);
    reader.found
}

struct Reader {
    arena: Arena,
    found: Vec<Join>,
}

/// One side of a join beside the rest of its block.
struct Side {
    own: Block,
    rest: Block,
    /// Conditions that pair the two.
    on: Vec<ExprId>,
    visible: ColSet,
    drops: bool,
    is_exact: bool,
}

impl Reader {
    /// `above`: the grouping that reads the block.
    fn block(&mut self, block: &Block, above: Option<&Aggregate>) {
        let inner_count = block.sources.len().saturating_sub(1);
        for place in 0..inner_count {
            let side = self.inner(block, place + 1);
            self.join(side, above);
        }
        for place in 0..block.outers.len() {
            let side = self.outer(block, place);
            self.join(side, above);
        }
        for source in &block.sources {
            match source {
                Source::Aggregate(aggregate) => self.block(&aggregate.input, Some(aggregate)),
                Source::Window(window) => self.block(&window.input, None),
                Source::Limit(limit) => self.block(&limit.input, None),
                Source::Union(union) => {
                    union.branches.iter().for_each(|branch| self.block(&branch.block, None));
                }
                _ => {}
            }
        }
        for outer in &block.outers {
            self.block(&outer.right, None);
        }
    }

    /// An inner join: the source at a place beside all others.
    fn inner(&self, block: &Block, place: usize) -> Side {
        let mut visible = ColSet::default();
        let mut own = Block::default();
        let mut rest = Block { empty: block.empty, ..Block::default() };
        for (i, source) in block.sources.iter().enumerate() {
            if i == place {
                self.arena.visible_source(source, &mut visible);
                own.sources.push(source.clone());
            } else {
                rest.sources.push(source.clone());
            }
        }
        rest.outers.clone_from(&block.outers);
        self.divide(block, visible, own, rest, None)
    }

    /// A left join beside the rest of its block.
    fn outer(&self, block: &Block, place: usize) -> Side {
        let mut rest = Block { sources: block.sources.clone(), empty: block.empty, ..Block::default() };
        let (mut visible, mut own, mut on) = (ColSet::default(), Block::default(), Vec::new());
        for (i, outer) in block.outers.iter().enumerate() {
            if i == place {
                visible = self.arena.visible_set(&outer.right);
                visible.insert(outer.marker);
                own = outer.right.clone();
                on.clone_from(&outer.on);
            }
        }
        rest.outers.extend(
            block.outers.iter().enumerate().filter(|(i, _)| *i != place).map(|(_, outer)| outer.clone()),
        );
        self.divide(block, visible, own, rest, Some(&on))
    }

    /// Gives each condition of the block to the side that it is about. `on`: of a left join.
    fn divide(&self, block: &Block, visible: ColSet, own: Block, rest: Block, on: Option<&[ExprId]>) -> Side {
        let mut side = Side { own, rest, on: Vec::new(), visible, drops: on.is_none(), is_exact: true };
        let all = self.arena.visible_set(block);
        let reads_joined = |e: ExprId| self.arena.columns_of(e).intersects(&side.visible);
        // What is joined to the joined side is not there without it.
        side.rest.outers.retain(|outer| !outer.on.iter().any(|e| reads_joined(*e)));
        let left = self.arena.visible_set(&side.rest);
        let reads_left = |e: ExprId| self.arena.columns_of(e).intersects(&left);
        let mut conditions: Vec<ExprId> = on.unwrap_or_default().to_vec();
        for e in &block.filters {
            let columns = self.arena.columns_of(*e);
            let known = columns
                .iter()
                .all(|col| !all.contains(col) || side.visible.contains(col) || left.contains(col));
            match (known, reads_joined(*e), &on) {
                (false, ..) => side.is_exact = false,
                (true, false, _) => side.rest.filters.push(*e),
                (true, true, None) => conditions.push(*e),
                (true, true, Some(_)) => {
                    side.drops = side.drops || self.arena.never_true_when(*e, &side.visible);
                }
            }
        }
        for e in conditions {
            match reads_left(e) {
                true => side.on.push(e),
                false if reads_joined(e) => side.own.filters.push(e),
                false => side.is_exact = false,
            }
        }
        side
    }

    fn join(&mut self, side: Side, above: Option<&Aggregate>) {
        let (mut left, mut right, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_exact = side.is_exact;
        for e in &side.on {
            let pair = match *self.arena.node(*e) {
                Node::Cmp(CmpOp::Eq, a, b) => [(a, b), (b, a)].into_iter().find(|(mine, theirs)| {
                    let (mine, theirs) = (self.arena.columns_of(*mine), self.arena.columns_of(*theirs));
                    !mine.is_empty()
                        && mine.is_subset(&side.visible)
                        && !theirs.is_empty()
                        && !theirs.intersects(&side.visible)
                }),
                _ => None,
            };
            let Some((mine, theirs)) = pair else {
                is_exact = false;
                continue;
            };
            let name = match *self.arena.node(theirs) {
                Node::Col(col) => {
                    self.arena.text(self.arena.col(col).name).trim_start_matches('"').to_owned()
                }
                _ => "an expression".to_owned(),
            };
            let sym = self.arena.sym(&format!("k{}", left.len()));
            left.push((sym, theirs));
            right.push((sym, mine));
            names.push(name);
        }
        let sums_left = above.is_some_and(|aggregate| {
            aggregate.aggs.iter().any(|(_, e)| match self.arena.node(*e) {
                Node::Agg(call) => {
                    let mut columns = ColSet::default();
                    call.args
                        .iter()
                        .chain(&call.filter)
                        .for_each(|e| self.arena.collect_columns(*e, &mut columns));
                    let counts = ["sum", "avg", "count"].contains(&self.arena.text(call.func));
                    counts && !call.distinct && !columns.is_empty() && !columns.intersects(&side.visible)
                }
                _ => false,
            })
        });
        let (left_tables, right_tables) = (self.tables(&side.rest), self.tables(&side.own));
        let print = |block: Block, outputs| to_sql(&self.arena, &Query { block, outputs });
        let queries = (print(side.rest, left), print(side.own, right));
        if let (false, (Ok(left), Ok(right))) = (names.is_empty(), queries) {
            let (on, drops) = (names, side.drops);
            self.found.push(Join { left, right, left_tables, right_tables, on, drops, sums_left, is_exact });
        }
    }

    /// Tables that a block reads, those of its first source first.
    fn tables(&self, block: &Block) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_tables(block, &mut found);
        found
    }

    fn collect_tables(&self, block: &Block, into: &mut Vec<String>) {
        for source in &block.sources {
            if let Source::Scan(scan) = source {
                let name = self.arena.text(self.arena.table_of(*scan).name).to_owned();
                if !into.contains(&name) {
                    into.push(name);
                }
            }
        }
        for inner in super::algebra::map::inner_blocks(block) {
            self.collect_tables(inner, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::schema::{Column, Table};

    fn found(sql: &str) -> Vec<Join> {
        let mut schema = Schema::default();
        for (table, columns) in
            [("o", ["id", "c_id", "total"]), ("l", ["o_id", "n", "price"]), ("c", ["id", "name", "country"])]
        {
            let mut entry = Table::default();
            for name in columns {
                let column = Column { data_type: "INTEGER".into(), nullable: true, accepted_values: None };
                entry.columns.insert(name.into(), column);
            }
            schema.tables.insert(table.into(), entry);
        }
        joins(sql, &schema, Dialect::DuckDb)
    }

    #[test]
    fn a_left_join_keeps_rows_unless_a_condition_drops_them() {
        for (sql, drops) in [
            ("select o.id, c.name from o left join c on c.id = o.c_id", false),
            ("select o.id, c.name from o left join c on c.id = o.c_id where c.country = 1", true),
            (
                "select o.id, c.name from o left join c on c.id = o.c_id where c.country = 1 or c.id is null",
                false,
            ),
            ("select o.id, c.name from o left join c on c.id = o.c_id and c.country = 1", false),
            ("select o.id, c.name from o join c on c.id = o.c_id", true),
            (
                "with a as (select * from c where country = 1) select o.id from o join a on a.id = o.c_id",
                true,
            ),
        ] {
            let [join] = &found(sql)[..] else { panic!("one join: {sql}") };
            assert_eq!((join.drops, join.is_exact), (drops, true), "{sql}");
            assert_eq!(
                (&join.left_tables[..], &join.right_tables[..]),
                (&["o".to_owned()][..], &["c".to_owned()][..])
            );
            assert_eq!(join.on, ["c_id"], "{sql}");
        }
    }

    #[test]
    fn what_is_summed_after_a_join_is_seen() {
        for (sql, sums) in [
            ("select o.id, sum(o.total) from o join l on l.o_id = o.id group by o.id", true),
            (
                "select o.id, l.n, sum(o.total) as t from o inner join l on o.id = l.o_id group by o.id, l.n",
                true,
            ),
            ("select o.id, count(o.c_id) from o left join l on l.o_id = o.id group by o.id", true),
            ("select o.id, sum(l.price) from o join l on l.o_id = o.id group by o.id", false),
            ("select o.id, sum(o.total * l.n) from o join l on l.o_id = o.id group by o.id", false),
            ("select o.id, max(o.total) from o join l on l.o_id = o.id group by o.id", false),
            ("select o.id, count(distinct o.c_id) from o join l on l.o_id = o.id group by o.id", false),
            ("select o.id, o.total from o join l on l.o_id = o.id", false),
        ] {
            let [join] = &found(sql)[..] else { panic!("one join: {sql}") };
            assert_eq!(join.sums_left, sums, "{sql}");
        }
    }

    #[test]
    fn conditions_beside_equal_values_make_it_inexact() {
        for (sql, exact) in [
            ("select o.id from o join l on l.o_id = o.id and l.n < o.total", false),
            ("select o.id from o left join l on l.o_id = o.id and o.total > 3", false),
            ("select o.id from o left join l on l.o_id = o.id and l.n > 3 where o.total > 3", true),
        ] {
            let [join] = &found(sql)[..] else { panic!("one join: {sql}") };
            assert_eq!(join.is_exact, exact, "{sql}");
        }
        assert_eq!(found("select o.id from o cross join l"), []);
        assert_eq!(found("select o.id from o, nowhere"), []);
        // A chain: what is joined to the joined side is not there without it.
        let chain = found("select o.id from o left join l on l.o_id = o.id left join c on c.id = l.n");
        let tables: Vec<_> = chain.iter().map(|join| (join.left_tables.len(), join.on.concat())).collect();
        assert_eq!(tables, [(1, "id".to_owned()), (2, "n".to_owned())]);
    }
}
