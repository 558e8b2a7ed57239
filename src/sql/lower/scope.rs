//! Names in scope.

use sqlparser::ast::Expr;

use super::super::algebra::{Arena, ExprId, ScanId, Sym};
use super::{BindFault, Lowerer, Result};

/// The columns that one item of FROM offers.
#[derive(Debug, Clone)]
pub(super) enum Columns {
    /// The columns of a table, made on demand.
    Scan(ScanId),
    /// Named expressions.
    List(Vec<(Sym, ExprId)>),
}

/// One item of FROM.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Alias or table name, folded; with the qualifiers in front of it for a table without alias.
    pub(super) names: Vec<String>,
    pub(super) columns: Columns,
    /// Columns that `*` skips because USING merged them into another.
    pub(super) hidden: Vec<Sym>,
    /// Columns that unqualified names and `*` see in another form because USING merged them.
    pub(super) merged: Vec<(Sym, ExprId)>,
}

/// The names of one SELECT.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) entries: Vec<Entry>,
    /// Aliases of the select list, usable where no column has the name.
    pub(super) aliases: Vec<(String, &'a Expr)>,
    /// Aliases being looked through, against cycles.
    pub(super) open_aliases: Vec<usize>,
    /// Aggregates met so far; `None` where none may stand.
    pub(super) aggs: Vec<(super::Col, ExprId)>,
    /// Window functions met so far.
    pub(super) windows: Vec<(super::Col, ExprId)>,
    /// A function of the select list that produces rows.
    pub(super) rows: Option<(super::Col, Vec<ExprId>)>,
    /// Named windows.
    pub(super) named_windows: Vec<(String, &'a sqlparser::ast::NamedWindowExpr)>,
}

impl Entry {
    pub(super) fn new(names: Vec<String>, columns: Columns) -> Self {
        Self { names, columns, hidden: Vec::new(), merged: Vec::new() }
    }

    /// The column with this name.
    pub(super) fn find(&self, arena: &mut Arena, name: &str) -> Vec<ExprId> {
        match &self.columns {
            Columns::List(list) => {
                let mut found: Vec<_> = list
                    .iter()
                    .filter(|(column, _)| arena.text(*column) == name)
                    .map(|(_, expr)| *expr)
                    .collect();
                if arena.dialect == super::Dialect::DuckDb {
                    // DuckDB gives the second of two columns of one name another name.
                    found.truncate(1);
                }
                found
            }
            Columns::Scan(scan) => match scan_position(arena, *scan, name) {
                Some(position) => {
                    let col = arena.scan_col(*scan, position);
                    vec![arena.column(col)]
                }
                None => Vec::new(),
            },
        }
    }

    /// All columns, as `*` lists them when nothing is merged.
    pub(super) fn all(&self, arena: &mut Arena) -> Result<Vec<(Sym, ExprId)>> {
        match &self.columns {
            Columns::List(list) => Ok(list.clone()),
            Columns::Scan(scan) => {
                let table = arena.table_of(*scan);
                if table.open {
                    let name = arena.text(table.name).to_owned();
                    return Err(BindFault::unsupported(format!(
                        "* over {name}, whose columns are not known,"
                    )));
                }
                let names: Vec<Sym> = table.columns.iter().map(|(name, _)| *name).collect();
                let mut columns = Vec::with_capacity(names.len());
                for (position, name) in names.into_iter().enumerate() {
                    let col = arena.scan_col(*scan, position as u32);
                    columns.push((name, arena.column(col)));
                }
                Ok(columns)
            }
        }
    }
}

/// The position of a column in the table of a scan; in a table whose columns are not known it is added.
fn scan_position(arena: &mut Arena, scan: ScanId, name: &str) -> Option<u32> {
    let id = arena.scan(scan).table;
    let exact = name.strip_prefix('"');
    let table = &arena.tables[id.0 as usize];
    let wanted = exact.unwrap_or(name);
    let found = table.columns.iter().position(|(column, _)| arena.text(*column).eq_ignore_ascii_case(wanted));
    if found.is_none() && table.open {
        let sym = arena.sym(name);
        let table = &mut arena.tables[id.0 as usize];
        table.columns.push((sym, super::Type::Unknown));
        return Some(table.columns.len() as u32 - 1);
    }
    found.map(|position| position as u32)
}

impl<'a> Lowerer<'a> {
    /// An unqualified name: a column of the innermost SELECT that has it, then an alias, then outer SELECTs.
    pub(super) fn resolve(&mut self, name: &str, written: &str) -> Result<ExprId> {
        let mut tables = Vec::new();
        for level in (0..self.scopes.len()).rev() {
            if let Some(found) = self.resolve_at(level, name, written)? {
                return Ok(found);
            }
            if level + 1 == self.scopes.len() {
                if let Some(found) = self.resolve_alias(name)? {
                    return Ok(found);
                }
                tables = self.scopes[level].entries.iter().filter_map(|e| e.names.last().cloned()).collect();
            }
        }
        Err(BindFault::MissingColumn { name: written.to_owned(), tables })
    }

    fn resolve_at(&mut self, level: usize, name: &str, written: &str) -> Result<Option<ExprId>> {
        let scope = &self.scopes[level];
        let mut found: Option<ExprId> = None;
        let mut open = None;
        let mut owners = Vec::new();
        for (index, entry) in scope.entries.iter().enumerate() {
            if let Some((_, merged)) = entry.merged.iter().find(|(sym, _)| self.arena.text(*sym) == name) {
                return Ok(Some(*merged));
            }
            if entry.hidden.iter().any(|sym| self.arena.text(*sym) == name) {
                continue;
            }
            if let Columns::Scan(scan) = entry.columns {
                let table = self.arena.table_of(scan);
                let known = table.columns.iter().any(|(column, _)| self.arena.text(*column) == name);
                if table.open && !known {
                    open = if open.is_none() { Some(index) } else { Some(usize::MAX) };
                    continue;
                }
            }
            for expr in entry.find(&mut self.arena, name) {
                owners.push(entry.names.last().cloned().unwrap_or_default());
                found = Some(expr);
            }
        }
        if owners.len() > 1 {
            owners.dedup();
            return Err(BindFault::AmbiguousColumn { name: written.to_owned(), tables: owners });
        }
        match (found, open) {
            (Some(expr), None) => Ok(Some(expr)),
            (None, None) => Ok(None),
            (None, Some(index)) if index != usize::MAX && self.scopes[level].entries.len() == 1 => {
                let entry = &self.scopes[level].entries[index];
                Ok(entry.find(&mut self.arena, name).first().copied())
            }
            _ => Err(BindFault::unsupported(format!(
                "the unqualified column {written} beside a table whose columns are not known"
            ))),
        }
    }

    /// An alias of the select list of the innermost SELECT.
    pub(super) fn resolve_alias(&mut self, name: &str) -> Result<Option<ExprId>> {
        let Some(scope) = self.scopes.last() else { return Ok(None) };
        let Some(index) = scope.aliases.iter().position(|(alias, _)| alias == name) else { return Ok(None) };
        if scope.open_aliases.contains(&index) {
            return Ok(None);
        }
        let expr = scope.aliases[index].1;
        if let Some(scope) = self.scopes.last_mut() {
            scope.open_aliases.push(index);
        }
        let lowered = self.expr(expr);
        if let Some(scope) = self.scopes.last_mut() {
            scope.open_aliases.pop();
        }
        lowered.map(Some)
    }

    /// A qualified name.
    pub(super) fn resolve_qualified(
        &mut self,
        qualifier: &[String],
        name: &str,
        written: &str,
    ) -> Result<Option<ExprId>> {
        for level in (0..self.scopes.len()).rev() {
            let scope = &self.scopes[level];
            let matching: Vec<usize> = scope
                .entries
                .iter()
                .enumerate()
                .filter(|(_, entry)| entry.names.ends_with(qualifier))
                .map(|(index, _)| index)
                .collect();
            match matching.as_slice() {
                [] => continue,
                [index] => {
                    let entry = &self.scopes[level].entries[*index];
                    let found = entry.find(&mut self.arena, name);
                    return match found.as_slice() {
                        [one] => Ok(Some(*one)),
                        [] => Err(BindFault::MissingColumn {
                            name: written.to_owned(),
                            tables: vec![qualifier.join(".")],
                        }),
                        _ => Err(BindFault::AmbiguousColumn {
                            name: written.to_owned(),
                            tables: vec![qualifier.join(".")],
                        }),
                    };
                }
                _ => {
                    return Err(BindFault::AmbiguousColumn {
                        name: written.to_owned(),
                        tables: vec![qualifier.join(".")],
                    });
                }
            }
        }
        Ok(None)
    }
}
