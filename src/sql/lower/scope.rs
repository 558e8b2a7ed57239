//! Names in scope.

use sqlparser::ast::Expr;

use super::super::algebra::{Arena, Const, ExprId, Node, ScanId, Sym};
use super::rows::RowMaker;
use super::{BindFault, Dialect, FIELDS, Lowerer, Result, STAR};

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
    /// The element of an array, whose fields, if it has any, are columns too.
    pub(super) element: Option<ExprId>,
    /// What the name of the relation is as a value, where that is no row.
    pub(super) row: Option<ExprId>,
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
    /// Functions of the select list that make rows, or may.
    pub(super) rows: Vec<RowMaker>,
    /// What is read stands where such functions may.
    pub(super) open_to_rows: bool,
    /// Calls of GROUPING met so far.
    pub(super) grouping_calls: Vec<super::grouping::GroupingCall>,
    /// The parameters of a lambda, not the names of a SELECT.
    pub(super) lambda: bool,
    /// Named windows.
    pub(super) named_windows: Vec<(String, &'a sqlparser::ast::NamedWindowExpr)>,
}

impl Entry {
    pub(super) fn new(names: Vec<String>, columns: Columns) -> Self {
        Self { names, columns, hidden: Vec::new(), merged: Vec::new(), element: None, row: None }
    }

    /// The column with this name.
    pub(super) fn find(&self, arena: &mut Arena, name: &str) -> Vec<ExprId> {
        if name == STAR {
            return Vec::new();
        }
        match &self.columns {
            Columns::List(list) => {
                let mut found: Vec<_> = list
                    .iter()
                    .filter(|(column, _)| arena.text(*column) == name)
                    .map(|(_, expr)| *expr)
                    .collect();
                let position = |name: &str| list.iter().position(|(column, _)| arena.text(*column) == name);
                if arena.dialect == super::Dialect::DuckDb
                    && position(STAR) < position(name)
                    && self.has_star(arena)
                {
                    // The one behind the star would be the first, if there is one.
                    return Vec::new();
                }
                if arena.dialect == super::Dialect::DuckDb {
                    // DuckDB gives the second of two columns of one name another name.
                    found.truncate(1);
                }
                if found.is_empty() {
                    found.extend(
                        list.iter()
                            .filter_map(|(column, expr)| (arena.text(*column) == STAR).then_some(*expr)),
                    );
                    found = found.into_iter().filter_map(|star| behind_star(arena, star, name)).collect();
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

    /// Whether a column of this name is listed.
    fn lists(&self, arena: &Arena, name: &str) -> bool {
        match &self.columns {
            Columns::List(list) => list.iter().any(|(column, _)| arena.text(*column) == name),
            Columns::Scan(_) => false,
        }
    }

    /// Whether it offers columns of which it is not known which they are.
    pub(super) fn has_star(&self, arena: &Arena) -> bool {
        match &self.columns {
            Columns::List(list) => list.iter().any(|(column, _)| arena.text(*column) == STAR),
            Columns::Scan(_) => false,
        }
    }

    /// All columns, as `*` lists them when nothing is merged.
    pub(super) fn all(&self, arena: &mut Arena) -> Result<Vec<(Sym, ExprId)>> {
        match &self.columns {
            Columns::List(list) => {
                let mut list = list.clone();
                if let Some(element) = self.element {
                    let star = arena.sym(STAR);
                    for (name, e) in list.iter_mut().filter(|(_, e)| *e == element) {
                        (*name, *e) = (star, element);
                    }
                }
                Ok(list)
            }
            Columns::Scan(scan) => {
                let table = arena.table_of(*scan);
                if table.open {
                    // One column that stands for all of them.
                    if !self.hidden.is_empty() || !self.merged.is_empty() {
                        let name = arena.text(table.name).to_owned();
                        return Err(BindFault::unsupported(format!(
                            "* over {name}, whose columns are not known,"
                        )));
                    }
                    let star = arena.sym(STAR);
                    let col = star_col(arena, *scan);
                    return Ok(vec![(star, arena.column(col))]);
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

/// Columns that tables have beside those that `*` lists, and variables.
fn is_hidden_column(dialect: Dialect, name: &str) -> bool {
    match dialect {
        Dialect::DuckDb => name == "rowid",
        Dialect::BigQuery => {
            name.starts_with('@')
                || matches!(name, "_table_suffix" | "_partitiontime" | "_partitiondate" | "_file_name")
        }
        Dialect::Snowflake => name.contains('$'),
        Dialect::Databricks => name == "_metadata",
        Dialect::Postgres | Dialect::Redshift => {
            matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid" | "oid")
        }
        Dialect::Generic => false,
    }
}

// rule: open-columns
/// The column that stands for all columns of an open table.
fn star_col(arena: &mut Arena, scan: ScanId) -> super::Col {
    let id = arena.scan(scan).table;
    let star = arena.sym(STAR);
    let table = &mut arena.tables[id.0 as usize];
    let position = table.columns.iter().position(|(column, _)| *column == star).unwrap_or_else(|| {
        table.columns.push((star, super::Type::Unknown));
        table.columns.len() - 1
    });
    arena.scan_col(scan, position as u32)
}

/// A column of the table that `*` was written over.
fn behind_star(arena: &mut Arena, star: ExprId, name: &str) -> Option<ExprId> {
    match *arena.node(star) {
        Node::Col(col) => {
            let (scan, _) = arena.col(col).scan?;
            let position = scan_position(arena, scan, name)?;
            let col = arena.scan_col(scan, position);
            Some(arena.column(col))
        }
        Node::Guard(marker, inner) => {
            let column = behind_star(arena, inner, name)?;
            Some(arena.guard(marker, column))
        }
        Node::Call(call, ref args) if arena.text(call) == FIELDS => {
            let value = *args.first()?;
            Some(arena.call(&format!(".{name}"), &[value]))
        }
        _ => None,
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
        let mut elements = Vec::new();
        let innermost = self.scopes.iter().rposition(|scope| !scope.lambda);
        for level in (0..self.scopes.len()).rev() {
            if let Some(found) = self.resolve_at(level, name, written)? {
                if !elements.is_empty() {
                    // A field of the element would come first.
                    return Err(BindFault::unsupported(format!("{written}, which an element may have too,")));
                }
                return Ok(found);
            }
            elements.extend(self.scopes[level].entries.iter().filter_map(|entry| entry.element));
            if Some(level) == innermost {
                if let Some(found) = self.resolve_alias(level, name)? {
                    return Ok(found);
                }
                tables = self.scopes[level].entries.iter().filter_map(|e| e.names.last().cloned()).collect();
            }
        }
        match elements.as_slice() {
            [] => {}
            [element] => return Ok(self.arena.call(&format!(".{name}"), &[*element])),
            _ => return Err(BindFault::unsupported(format!("{written}, which several elements may have,"))),
        }
        if let Some(value) = self.row_of(name)? {
            return Ok(value);
        }
        if let Some(call) = self.call_without_parentheses(name) {
            return Ok(call);
        }
        if is_hidden_column(self.dialect, name) {
            return Err(BindFault::unsupported(format!("the column {written}")));
        }
        if self.scopes.iter().flat_map(|scope| &scope.entries).any(|entry| entry.has_star(&self.arena)) {
            return Err(BindFault::unsupported(format!(
                "the column {written} of columns that are not known"
            )));
        }
        Err(BindFault::MissingColumn { name: written.to_owned(), tables })
    }

    /// The row of a relation as a value: its columns with their names.
    fn row_of(&mut self, name: &str) -> Result<Option<ExprId>> {
        let named = |entry: &&Entry| entry.names.last().is_some_and(|table| table == name);
        let entry = self.scopes.iter().rev().find_map(|scope| scope.entries.iter().find(named)).cloned();
        let Some(entry) = entry else { return Ok(None) };
        if let Some(value) = entry.row {
            return Ok(Some(value));
        }
        let mut args = Vec::new();
        for (column, value) in entry.all(&mut self.arena)? {
            let column = self.arena.constant(Const::Text(column));
            args.push(self.arena.call("named_argument", &[column, value]));
        }
        Ok(Some(self.arena.call("row of", &args)))
    }

    /// What is no column but a call without parentheses.
    fn call_without_parentheses(&mut self, name: &str) -> Option<ExprId> {
        let known = match name {
            "current_time" | "localtime" | "current_user" | "session_user" | "current_role"
            | "current_schema" | "current_catalog" => true,
            "sysdate" => self.dialect == Dialect::Redshift,
            _ => false,
        };
        known.then(|| self.arena.call(name, &[]))
    }

    /// Whether a name is a parameter of a lambda.
    pub(super) fn is_parameter(&self, name: &str) -> bool {
        let mut lambdas = self.scopes.iter().rev().take_while(|scope| scope.lambda);
        lambdas.any(|scope| scope.entries.iter().any(|entry| entry.lists(&self.arena, name)))
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
            if entry.element.is_some() && !entry.lists(&self.arena, name) {
                continue;
            }
            if entry.has_star(&self.arena) && !entry.lists(&self.arena, name) {
                open = if open.is_none() { Some(index) } else { Some(usize::MAX) };
                continue;
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
    pub(super) fn resolve_alias(&mut self, level: usize, name: &str) -> Result<Option<ExprId>> {
        let scope = &self.scopes[level];
        let Some(index) = scope.aliases.iter().position(|(alias, _)| alias == name) else { return Ok(None) };
        if scope.open_aliases.contains(&index) {
            return Ok(None);
        }
        let expr = scope.aliases[index].1;
        self.scopes[level].open_aliases.push(index);
        // The parameters of lambdas that are open are not seen there.
        let hidden: Vec<Scope<'a>> = self.scopes.drain(level + 1..).collect();
        let lowered = self.expr(expr);
        self.scopes.truncate(level + 1);
        self.scopes[level].open_aliases.pop();
        self.scopes.extend(hidden);
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
                        [] if entry.element.is_some() => {
                            let element = entry.element;
                            Ok(element.map(|element| self.arena.call(&format!(".{name}"), &[element])))
                        }
                        [] if is_hidden_column(self.dialect, name) => {
                            Err(BindFault::unsupported(format!("the column {written}")))
                        }
                        [] if entry.has_star(&self.arena) => Err(BindFault::unsupported(format!(
                            "the column {written} of columns that are not known"
                        ))),
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
