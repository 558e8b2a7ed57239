//! Rows that functions, views over them and versions of tables give.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, LateralView, ObjectName, ObjectNamePart,
    TableAlias, TableVersion,
};

use super::super::Dialect;
use super::super::algebra::{Block, Col, ExprId, Opaque, Source, Sym};
use super::super::functions;
use super::super::types::Type;
use super::grouping::Grouping;
use super::scope::{Columns, Entry};
use super::{BindFault, Lowerer, Result};

/// A function in a select list that makes rows of each row, or may.
#[derive(Debug)]
pub(super) struct RowMaker {
    name: Sym,
    cols: Vec<Col>,
    pub(super) args: Vec<ExprId>,
    /// It does, as opposed to it may.
    certain: bool,
}

impl<'a> Lowerer<'a> {
    /// A function that makes rows of so many columns, once in a select list.
    pub(super) fn add_rows(&mut self, name: &str, args: Vec<ExprId>, width: usize) -> Result<Vec<ExprId>> {
        let sym = self.arena.sym(name);
        let cols: Vec<_> = (0..width).map(|_| self.arena.new_col(sym, Type::Unknown, true)).collect();
        match self.scopes.last_mut() {
            Some(scope) if width > 0 && !scope.rows.iter().any(|maker| maker.certain) => {
                scope.rows.push(RowMaker { name: sym, cols: cols.clone(), args, certain: true });
            }
            _ => return Err(BindFault::unsupported(format!("{name} here"))),
        }
        Ok(cols.into_iter().map(|col| self.arena.column(col)).collect())
    }

    /// Whether a function may make rows where it stands: one that is not known, in a select list of PostgreSQL.
    pub(super) fn may_make_rows(&self, name: &str) -> bool {
        self.dialect == Dialect::Postgres
            && self.scopes.last().is_some_and(|scope| scope.open_to_rows)
            && !functions::postgres::gives_one_value(name)
    }

    /// A call that may make rows, the same one once.
    pub(super) fn maybe_rows(&mut self, name: &str, args: Vec<ExprId>) -> Result<ExprId> {
        let sym = self.arena.sym(name);
        let Some(scope) = self.scopes.last_mut() else {
            return Err(BindFault::unsupported(format!("{name} here")));
        };
        let same = scope.rows.iter().find(|maker| !maker.certain && maker.name == sym && maker.args == args);
        let col = match same {
            Some(maker) => maker.cols[0],
            None => {
                let col = self.arena.new_col(sym, Type::Unknown, true);
                scope.rows.push(RowMaker { name: sym, cols: vec![col], args, certain: false });
                col
            }
        };
        Ok(self.arena.column(col))
    }

    /// From here on functions that may make rows may stand, or not.
    pub(super) fn open_to_rows(&mut self, open: bool) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.open_to_rows = open;
        }
    }

    /// Inside aggregates, windows and other such functions no function may make rows of the SELECT.
    pub(super) fn closed_to_rows<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let open = self.scopes.last().is_some_and(|scope| scope.open_to_rows);
        self.open_to_rows(false);
        let result = read(self);
        self.open_to_rows(open);
        result
    }

    /// Rows that are made before they are grouped are not understood.
    pub(super) fn refuse_rows_as_keys(&self, group: &Grouping) -> Result<()> {
        let keys: Vec<ExprId> = match group {
            Grouping::Keys(keys) => keys.iter().flatten().copied().collect(),
            Grouping::Sets(sets) => sets.iter().flatten().copied().collect(),
        };
        let made = self.scopes.last().into_iter().flat_map(|scope| &scope.rows);
        for maker in made {
            if keys.iter().any(|e| maker.cols.iter().any(|col| self.arena.columns_of(*e).contains(*col))) {
                let name = self.arena.text(maker.name);
                return Err(BindFault::unsupported(format!("{name}, which may make rows, as a group key")));
            }
        }
        Ok(())
    }

    // rule: rows-in-step
    /// The rows that the functions of one select list make, as if joined laterally. They go in step: one source for all.
    pub(super) fn rows_beside(&mut self, mut makers: Vec<RowMaker>) -> Source {
        makers.sort_by(|a, b| self.arena.text(a.name).cmp(self.arena.text(b.name)));
        let kind: Vec<String> = match makers.as_slice() {
            [one] => vec![format!("{}()", self.arena.text(one.name))],
            several => several
                .iter()
                .map(|maker| format!("{}({})", self.arena.text(maker.name), maker.args.len()))
                .collect(),
        };
        let kind = self.arena.sym(&kind.join(" "));
        let cols = makers.iter().flat_map(|maker| &maker.cols).copied().collect();
        let args = makers.iter().flat_map(|maker| &maker.args).copied().collect();
        Source::Opaque(Box::new(Opaque { kind, cols, args, inputs: Vec::new() }))
    }

    /// A table as it was: another table, of which nothing is known but its columns.
    pub(super) fn past(
        &mut self,
        name: &ObjectName,
        version: &TableVersion,
        alias: Option<&'a TableAlias>,
    ) -> Result<Block> {
        let table = self.table(name)?;
        let info = &self.arena.tables[table.0 as usize];
        if info.open {
            return Err(BindFault::unsupported(format!("a version of {name}, whose columns are not known,")));
        }
        let columns: Vec<String> =
            info.columns.iter().map(|(column, _)| self.arena.text(*column).to_owned()).collect();
        let operator = format!("{} {version}", self.arena.text(info.name));
        let query = self.read_made(&operator, &columns);
        let last = self.last_part(name)?;
        self.derived(query, alias, Some(last))
    }

    /// `LATERAL VIEW f(x) v AS a, b`: the rows of a function beside those before it.
    pub(super) fn lateral_view(&mut self, view: &'a LateralView) -> Result<Block> {
        let Expr::Function(function) = &view.lateral_view else {
            return Err(BindFault::unsupported("this LATERAL VIEW"));
        };
        let mut name = self.last_part(&function.name)?;
        let args = self.plain_arguments(&name, function)?;
        let relation = vec![self.last_part(&view.lateral_view_name)?];
        let mut names: Vec<String> = view.lateral_col_alias.iter().map(|alias| self.fold(alias)).collect();
        if names.is_empty() {
            // A view without columns of its own calls the element `col`, or is written `AS c`.
            match name.as_str() {
                "explode" => names.push("col".to_owned()),
                "posexplode" => names.extend(["pos".to_owned(), "col".to_owned()]),
                _ => return Err(BindFault::unsupported("a LATERAL VIEW without names of columns")),
            }
        }
        if name == "explode" && names.len() == 1 && !view.outer {
            name = "unnest".to_owned();
        }
        if view.outer {
            name.push_str(" outer");
        }
        if names.len() > 1 {
            name.push_str(&format!(" of {}", names.len()));
        }
        Ok(self.opaque_rows(&name, args, &names, relation))
    }

    fn plain_arguments(&mut self, name: &str, function: &'a Function) -> Result<Vec<ExprId>> {
        let FunctionArguments::List(list) = &function.args else {
            return Err(BindFault::unsupported(format!("table function {name}")));
        };
        if !list.clauses.is_empty() || list.duplicate_treatment.is_some() || function.filter.is_some() {
            return Err(BindFault::unsupported(format!("table function {name}")));
        }
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.expr(expr)?),
                _ => return Err(BindFault::unsupported(format!("an argument of table function {name}"))),
            }
        }
        Ok(args)
    }

    /// `FROM t, t.items e`: the elements of a column of a row before it, in dialects with nested data.
    pub(super) fn elements(
        &mut self,
        name: &ObjectName,
        alias: Option<&'a TableAlias>,
    ) -> Result<Option<Block>> {
        let nested = matches!(self.dialect, Dialect::BigQuery | Dialect::Redshift);
        let [ObjectNamePart::Identifier(first), .., ObjectNamePart::Identifier(last)] = name.0.as_slice()
        else {
            return Ok(None);
        };
        let first = self.fold(first);
        let is_row = self
            .scopes
            .iter()
            .any(|scope| scope.entries.iter().any(|entry| entry.names.last() == Some(&first)));
        if !nested || !is_row {
            return Ok(None);
        }
        let mut parts = Vec::with_capacity(name.0.len());
        for part in &name.0 {
            match part {
                ObjectNamePart::Identifier(ident) => parts.push(ident.clone()),
                ObjectNamePart::Function(_) => {
                    return Err(BindFault::unsupported(format!("the name {name}")));
                }
            }
        }
        let list = self.compound(&parts)?;
        let element = alias.map_or_else(|| self.fold(last), |alias| self.fold(&alias.name));
        if alias.is_some_and(|alias| !alias.columns.is_empty()) {
            return Err(BindFault::unsupported("names of columns here"));
        }
        let mut names = vec![element];
        let position = alias.and_then(|alias| alias.at.as_ref()).map(|at| self.fold(at));
        let function = if position.is_some() { "unnest with offset" } else { "unnest" };
        names.extend(position);
        let relation = vec![names[0].clone()];
        let block = self.opaque_rows(function, vec![list], &names, relation);
        if let Some(Entry { columns: Columns::List(list), element, .. }) = self.entries().last_mut() {
            *element = list.first().map(|(_, e)| *e);
        }
        Ok(Some(block))
    }

    /// The rows of a function with their number.
    pub(super) fn numbered_rows(
        &mut self,
        name: &str,
        args: &'a [FunctionArg],
        alias: Option<&'a TableAlias>,
    ) -> Result<Block> {
        let mut lowered = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => lowered.push(self.expr(expr)?),
                _ => return Err(BindFault::unsupported(format!("an argument of table function {name}"))),
            }
        }
        self.numbered(name, lowered, alias)
    }

    /// The rows of a function with their number, under the names of an alias.
    pub(super) fn numbered(
        &mut self,
        name: &str,
        args: Vec<ExprId>,
        alias: Option<&'a TableAlias>,
    ) -> Result<Block> {
        let Some(alias) = alias.filter(|alias| alias.columns.len() > 1) else {
            return Err(BindFault::unsupported(format!("{name} with ordinality without names of columns")));
        };
        if crate::sql::clock::volatile(name) {
            self.arena.volatile = true;
        }
        let names: Vec<String> = alias.columns.iter().map(|column| self.fold(&column.name)).collect();
        let relation = vec![self.fold(&alias.name)];
        Ok(self.opaque_rows(&format!("{name} with ordinality of {}", names.len()), args, &names, relation))
    }

    /// The rows of a function of which only the database knows the columns; it may not read the rows beside it.
    pub(super) fn rows_of_unknown_columns(
        &mut self,
        name: &str,
        args: &[ExprId],
        alias: Option<&'a TableAlias>,
    ) -> Result<Block> {
        let reads = args.iter().any(|e| !self.arena.columns_of(*e).is_empty() || self.arena.has_sub(*e));
        if reads {
            return Err(BindFault::unsupported(format!("table function {name} without column names")));
        }
        let words: Vec<String> = args.iter().map(|e| self.literal_text(*e)).collect::<Result<_>>()?;
        let made = format!("{name}({})", words.join(", "));
        let relation = alias.map_or_else(|| vec![name.to_owned()], |alias| vec![self.fold(&alias.name)]);
        Ok(self.read_open(&made, relation))
    }

    /// An expression without columns as one text for equal expressions.
    fn literal_text(&self, e: ExprId) -> Result<String> {
        use super::super::algebra::{Const, Node};
        Ok(match self.arena.node(e) {
            Node::Const(Const::Text(text)) => format!("{:?}", self.arena.text(*text)),
            Node::Const(Const::Typed(kind, text)) => format!("{kind:?} {:?}", self.arena.text(*text)),
            Node::Const(Const::Raw(text)) => format!("raw {:?}", self.arena.text(*text)),
            Node::Const(constant) => format!("{constant:?}"),
            Node::Call(name, args) => {
                let args: Vec<String> = args.iter().map(|e| self.literal_text(*e)).collect::<Result<_>>()?;
                format!("{:?}({})", self.arena.text(*name), args.join(", "))
            }
            _ => return Err(BindFault::unsupported("this argument of a table function")),
        })
    }
}
