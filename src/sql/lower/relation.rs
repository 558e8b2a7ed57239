//! Rows that no rule looks into: made tables, named by the canonical form of what they are made of.
//!
//! An operator like PIVOT or a recursive CTE gives the same rows whenever its inputs and arguments are the same. So it is a
//! table of which nothing is known but its name, and two texts read the same one exactly when what they give to it has
//! one canonical form. No rule may push anything through it: to the rules it is a table without facts.

use super::super::algebra::{Block, Branch, ExprId, Opaque, Query, Source, Sym, TableId, TableInfo};
use super::super::canon::canonical;
use super::super::facts::TableFacts;
use super::super::normalize::{normalize, open_choices};
use super::super::types::Type;
use super::scope::{Columns, Entry};
use super::{Arena, BindFault, CteEntry, Lowerer, MAX_SCANS, Result, STAR};

impl<'a> Lowerer<'a> {
    /// The name of a made table: of its operator and of the canonical form of its inputs, which are lowered for themselves and
    /// may not read columns from outside.
    pub(super) fn made_of(
        &mut self,
        operator: &str,
        inputs: impl FnOnce(&mut Lowerer<'a>) -> Result<Vec<Branch>>,
    ) -> Result<String> {
        let mut inner = Lowerer {
            arena: Arena::new(self.dialect),
            schema: self.schema,
            facts: self.facts,
            dialect: self.dialect,
            ctes: self.ctes.iter().map(|entry| CteEntry { scope_depth: 0, ..entry.clone() }).collect(),
            cte_head: self.cte_head,
            scopes: Vec::new(),
            table_ids: Default::default(),
            query_depth: self.query_depth,
            expr_depth: self.expr_depth,
            parameters: 0,
            recursions: self.recursions.clone(),
            scans_apart: 0,
            orders: super::Orders::default(),
            as_values: false,
        };
        let inputs = inputs(&mut inner);
        for (mine, theirs) in self.ctes.iter_mut().zip(&inner.ctes) {
            mine.used |= theirs.used;
        }
        self.orders.below |= inner.orders.below;
        self.orders.taken |= inner.orders.taken;
        // It is work, too, where it reads no table.
        self.scans_apart += inner.scans_apart + inner.arena.scan_count() + 1;
        let inputs = inputs.map_err(|fault| {
            let correlated = self.scopes.iter().any(|scope| !scope.entries.is_empty());
            // The column may be one of the row outside.
            if correlated && fault.cannot_run() { BindFault::unsupported(operator) } else { fault }
        })?;
        if inner.arena.overflow || self.scans_apart > MAX_SCANS {
            return Err(BindFault::TooLarge);
        }
        self.arena.volatile |= inner.arena.volatile;
        let kind = inner.arena.sym(operator);
        let made = Opaque { kind, cols: Vec::new(), args: Vec::new(), inputs };
        let block = Block { sources: vec![Source::Opaque(Box::new(made))], ..Block::default() };
        let mut query = Query { block, outputs: Vec::new() };
        normalize(&mut inner.arena, &mut query);
        let canonical = canonical(&inner.arena, &query, false).ok_or(BindFault::TooLarge)?;
        let choices = open_choices(&mut inner.arena, &query);
        self.arena.open_choices.extend(choices);
        self.arena.used_facts.extend(&inner.arena.used_facts);
        Ok(format!("{operator} {}", canonical.hash()))
    }

    /// A made table.
    fn made_table(&mut self, name: &str, columns: Vec<Sym>, open: bool) -> TableId {
        if let Some(id) = self.table_ids.get(name) {
            return *id;
        }
        let sym = self.arena.sym(name);
        let columns = columns.into_iter().map(|column| (column, Type::Unknown)).collect();
        let id = TableId(self.arena.tables.len() as u32);
        let facts = TableFacts::default();
        self.arena.tables.push(TableInfo { name: sym, written: sym, columns, open, facts, made: true });
        self.table_ids.insert(name.to_owned(), id);
        id
    }

    /// A read of a made table with these columns, as a query.
    pub(super) fn read_made(&mut self, name: &str, columns: &[String]) -> Query {
        // Columns by position: what they are called does not matter.
        let positions = (0..columns.len()).map(|position| self.arena.sym(&position.to_string())).collect();
        let table = self.made_table(name, positions, false);
        let scan = self.arena.new_scan(table);
        let mut outputs = Vec::with_capacity(columns.len());
        for (position, column) in columns.iter().enumerate() {
            let col = self.arena.scan_col(scan, position as u32);
            outputs.push((self.arena.sym(column), self.arena.column(col)));
        }
        Query { block: Block { sources: vec![Source::Scan(scan)], ..Block::default() }, outputs }
    }

    /// A read of a made table whose columns only the database knows.
    pub(super) fn read_open(&mut self, name: &str, relation: Vec<String>) -> Block {
        let table = self.made_table(name, Vec::new(), true);
        let scan = self.arena.new_scan(table);
        self.entries().push(Entry::new(relation, Columns::Scan(scan)));
        Block { sources: vec![Source::Scan(scan)], ..Block::default() }
    }

    /// A branch with the outputs of a query and more expressions over its rows.
    pub(super) fn branch_of(query: Query, more: Vec<ExprId>) -> Branch {
        let outputs = query.outputs.into_iter().map(|(_, e)| e).chain(more).collect();
        Branch { block: query.block, outputs }
    }

    /// The names of a query's outputs, which some operators look at.
    pub(super) fn names_of(&self, query: &Query) -> String {
        let names: Vec<&str> = query.outputs.iter().map(|(name, _)| self.arena.text(*name)).collect();
        names.join(",")
    }

    /// Refuses outputs of which it is not known which and how many they are.
    pub(super) fn closed(&self, outputs: &[(Sym, ExprId)], what: &str) -> Result<()> {
        if outputs.iter().any(|(name, _)| self.arena.text(*name) == STAR) {
            return Err(BindFault::unsupported(format!("{what} over columns that are not known")));
        }
        Ok(())
    }
}
