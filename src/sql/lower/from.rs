//! FROM: tables, derived tables, joins.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, TableAlias, TableFactor,
    TableWithJoins,
};

use super::super::Dialect;
use super::super::algebra::{Block, CmpOp, Col, Const, ExprId, Full, Node, Opaque, Outer, Source, Sub, Sym};
use super::pivot::{Pivot, Unpivot};
use super::scope::{Columns, Entry};
use super::{BindFault, Lowerer, MAX_SCANS, Result, STAR, Type};

// rule: inner-joins
/// The cross product of two blocks.
pub(super) fn cross(mut a: Block, b: Block) -> Block {
    a.sources.extend(b.sources);
    a.outers.extend(b.outers);
    a.filters.extend(b.filters);
    a.equal.extend(b.equal);
    a.empty |= b.empty;
    a
}

impl<'a> Lowerer<'a> {
    /// The rows of FROM; its names are added to the innermost scope.
    pub(super) fn from(&mut self, from: &'a [TableWithJoins]) -> Result<Block> {
        let mut block = Block::default();
        for item in from {
            let more = self.table_with_joins(item)?;
            block = cross(block, more);
        }
        Ok(block)
    }

    pub(super) fn entries(&mut self) -> &mut Vec<Entry> {
        if self.scopes.is_empty() {
            self.scopes.push(Default::default());
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last].entries
    }

    fn table_with_joins(&mut self, item: &'a TableWithJoins) -> Result<Block> {
        let first = self.entries().len();
        let mut block = self.factor(&item.relation)?;
        for join in &item.joins {
            block = self.join(block, join, first)?;
        }
        Ok(block)
    }

    fn join(&mut self, left: Block, join: &'a Join, first: usize) -> Result<Block> {
        let middle = self.entries().len();
        let right = self.factor(&join.relation)?;
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Join(c)
            | JoinOperator::Inner(c)
            | JoinOperator::CrossJoin(c)
            | JoinOperator::StraightJoin(c) => (Kind::Inner, c),
            JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (Kind::Left, c),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (Kind::Right, c),
            JoinOperator::FullOuter(c) => (Kind::Full, c),
            JoinOperator::Semi(c) | JoinOperator::LeftSemi(c) => (Kind::Semi { anti: false }, c),
            JoinOperator::Anti(c) | JoinOperator::LeftAnti(c) => (Kind::Semi { anti: true }, c),
            JoinOperator::AsOf { match_condition, constraint } => {
                return self.asof(left, right, (match_condition, constraint), first, middle);
            }
            other => return Err(BindFault::unsupported(join_name(other))),
        };
        let mut merged_names = Vec::new();
        let on = match constraint {
            JoinConstraint::On(expr) => {
                let on = self.expr(expr)?;
                self.conjuncts(on)
            }
            JoinConstraint::None => Vec::new(),
            JoinConstraint::Using(names) => {
                let names = names.iter().map(|name| self.last_part(name)).collect::<Result<Vec<_>>>()?;
                merged_names = names;
                self.using(&merged_names, first, middle)?
            }
            JoinConstraint::Natural => {
                merged_names = self.common_names(first, middle)?;
                self.using(&merged_names, first, middle)?
            }
        };
        let block = self.combine(kind, left, right, on, first, middle);
        // Only now: beyond an outer join the columns of the nullable side are other expressions.
        if !matches!(kind, Kind::Semi { .. }) {
            self.merge_names(&merged_names, kind, first, middle)?;
        }
        Ok(block)
    }

    pub(super) fn combine(
        &mut self,
        kind: Kind,
        left: Block,
        right: Block,
        on: Vec<ExprId>,
        first: usize,
        middle: usize,
    ) -> Block {
        let name = self.arena.sym("matched");
        match kind {
            Kind::Inner => {
                let mut block = cross(left, right);
                block.filters.extend(on);
                block
            }
            Kind::Left => {
                let marker = self.arena.new_col(name, Type::Bool, false);
                let last = self.entries().len();
                self.guard_entries(middle, last, marker, &right);
                self.outer(left, right, on, marker)
            }
            Kind::Right => {
                let marker = self.arena.new_col(name, Type::Bool, false);
                self.guard_entries(first, middle, marker, &left);
                self.outer(right, left, on, marker)
            }
            Kind::Full => {
                let left_marker = self.arena.new_col(name, Type::Bool, false);
                let right_marker = self.arena.new_col(name, Type::Bool, false);
                let last = self.entries().len();
                self.guard_entries(first, middle, left_marker, &left);
                self.guard_entries(middle, last, right_marker, &right);
                let full = Full { left, left_marker, right, right_marker, on };
                Block { sources: vec![Source::Full(Box::new(full))], ..Block::default() }
            }
            Kind::Semi { anti } => {
                self.entries().truncate(middle);
                let mut block = right;
                block.filters.extend(on);
                let sub = self.arena.new_sub(Sub { block, outputs: Vec::new() });
                let mut filter = self.arena.exists(sub);
                if anti {
                    filter = self.arena.not(filter);
                }
                let mut block = left;
                block.filters.push(filter);
                block
            }
        }
    }

    // rule: join-order
    fn outer(&mut self, mut left: Block, mut right: Block, mut on: Vec<ExprId>, marker: Col) -> Block {
        on.append(&mut right.filters);
        left.outers.push(Outer { right, on, marker });
        left
    }

    // rule: guards
    /// Beyond an outer join a computed column of the nullable side is NULL where there is no match.
    fn guard_entries(&mut self, from: usize, to: usize, marker: Col, side: &Block) {
        let visible = self.arena.visible_set(side);
        let mut entries = std::mem::take(self.entries());
        for entry in &mut entries[from..to] {
            let list = match &mut entry.columns {
                Columns::List(list) => list,
                Columns::Scan(_) => &mut Vec::new(),
            };
            for (_, expr) in list.iter_mut().chain(&mut entry.merged) {
                if !self.arena.null_when(*expr, &visible) {
                    *expr = self.arena.guard(marker, *expr);
                }
            }
        }
        *self.entries() = entries;
    }

    /// The conjuncts of a condition.
    pub(super) fn conjuncts(&self, expr: ExprId) -> Vec<ExprId> {
        match self.arena.node(expr) {
            Node::And(list) => list.to_vec(),
            _ => vec![expr],
        }
    }

    fn common_names(&mut self, first: usize, middle: usize) -> Result<Vec<String>> {
        let entries = self.entries().clone();
        let mut names = |range: &[Entry]| -> Result<Vec<Sym>> {
            let mut found = Vec::new();
            for entry in range {
                for (name, _) in entry.all(&mut self.arena)? {
                    if !entry.hidden.contains(&name) {
                        found.push(name);
                    }
                }
            }
            Ok(found)
        };
        let left = names(&entries[first..middle])?;
        let right = names(&entries[middle..])?;
        if left.iter().chain(&right).any(|name| self.arena.text(*name) == STAR) {
            return Err(BindFault::unsupported("a natural join over columns that are not known"));
        }
        Ok(right
            .into_iter()
            .filter(|name| left.contains(name))
            .map(|name| self.arena.text(name).to_owned())
            .collect())
    }

    /// The equalities that USING stands for.
    fn using(&mut self, names: &[String], first: usize, middle: usize) -> Result<Vec<ExprId>> {
        let last = self.entries().len();
        let mut on = Vec::with_capacity(names.len());
        for name in names {
            let (_, left) = self.using_side(name, first, middle)?;
            let (_, right) = self.using_side(name, middle, last)?;
            on.push(self.arena.cmp(CmpOp::Eq, left, right));
        }
        Ok(on)
    }

    /// The one column of this name among some of the entries, and which of them has it.
    pub(super) fn using_side(&mut self, name: &str, from: usize, to: usize) -> Result<(usize, ExprId)> {
        let sym = self.arena.sym(name);
        let entries = std::mem::take(self.entries());
        let mut found = Vec::new();
        for (index, entry) in entries.iter().enumerate().take(to).skip(from) {
            if entry.hidden.contains(&sym) {
                continue;
            }
            match entry.merged.iter().find(|(merged, _)| *merged == sym) {
                Some((_, expr)) => found.push((index, *expr)),
                None => found.extend(entry.find(&mut self.arena, name).into_iter().map(|expr| (index, expr))),
            }
        }
        *self.entries() = entries;
        let name = name.to_owned();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(BindFault::MissingColumn { name, tables: Vec::new() }),
            _ => Err(BindFault::AmbiguousColumn { name, tables: Vec::new() }),
        }
    }

    /// Unqualified, a column of USING is one column.
    pub(super) fn merge_names(
        &mut self,
        names: &[String],
        kind: Kind,
        first: usize,
        middle: usize,
    ) -> Result<()> {
        let last = self.entries().len();
        for name in names {
            let sym = self.arena.sym(name);
            let (left_at, left) = self.using_side(name, first, middle)?;
            let (right_at, right) = self.using_side(name, middle, last)?;
            let merged = match kind {
                Kind::Right => right,
                Kind::Full => self.arena.coalesce(&[left, right]),
                _ => left,
            };
            let entries = self.entries();
            entries[right_at].hidden.push(sym);
            entries[right_at].merged.retain(|(other, _)| *other != sym);
            entries[left_at].merged.retain(|(other, _)| *other != sym);
            entries[left_at].merged.push((sym, merged));
        }
        Ok(())
    }

    pub(super) fn factor(&mut self, factor: &'a TableFactor) -> Result<Block> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints: _,
            } => {
                if !with_hints.is_empty() || !partitions.is_empty() || json_path.is_some() || sample.is_some()
                {
                    return Err(BindFault::unsupported(format!("a modifier of table {name}")));
                }
                if let Some(version) = version {
                    if args.is_some() || *with_ordinality {
                        return Err(BindFault::unsupported(format!("a modifier of table {name}")));
                    }
                    return self.past(name, version, alias.as_ref());
                }
                if let (Some(args), true) = (args, *with_ordinality) {
                    let function = self.last_part(name)?;
                    return self.numbered_rows(&function, &args.args, alias.as_ref());
                }
                if *with_ordinality {
                    return Err(BindFault::unsupported(format!("a modifier of table {name}")));
                }
                if let Some(args) = args {
                    let function = self.last_part(name)?;
                    return self.table_function(&function, &args.args, alias.as_ref());
                }
                if let [sqlparser::ast::ObjectNamePart::Identifier(ident)] = name.0.as_slice() {
                    let folded = self.fold(ident);
                    if let Some(query) = self.cte(&folded)? {
                        return self.derived(query, alias.as_ref(), Some(folded));
                    }
                }
                if let Some(block) = self.elements(name, alias.as_ref())? {
                    return Ok(block);
                }
                let table = self.table(name)?;
                if self.arena.scan_count() + self.scans_apart >= MAX_SCANS {
                    return Err(BindFault::TooLarge);
                }
                let scan = self.arena.new_scan(table);
                let block = Block { sources: vec![Source::Scan(scan)], ..Block::default() };
                match alias {
                    None => {
                        let mut names = Vec::with_capacity(name.0.len());
                        for part in &name.0 {
                            if let sqlparser::ast::ObjectNamePart::Identifier(ident) = part {
                                names.push(self.fold(ident));
                            }
                        }
                        self.entries().push(Entry::new(names, Columns::Scan(scan)));
                    }
                    Some(alias) if alias.columns.is_empty() => {
                        let names = vec![self.fold(&alias.name)];
                        self.entries().push(Entry::new(names, Columns::Scan(scan)));
                    }
                    Some(alias) => {
                        let all = Entry::new(Vec::new(), Columns::Scan(scan)).all(&mut self.arena)?;
                        self.push_list(all, Some(alias), None)?;
                    }
                }
                Ok(block)
            }
            TableFactor::Derived { lateral: _, subquery, alias, sample: None } => {
                let query = self.query(subquery)?;
                self.derived(query, alias.as_ref(), None)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.nested(|lowerer| lowerer.table_with_joins(table_with_joins))
            }
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                let name = self.last_part(&function.name)?;
                match &function.args {
                    sqlparser::ast::FunctionArguments::List(list) if list.clauses.is_empty() => {
                        self.table_function(&name, &list.args, alias.as_ref())
                    }
                    _ => Err(BindFault::unsupported(format!("table function {name}"))),
                }
            }
            TableFactor::Function { name, args, alias, with_ordinality, lateral: _ } => {
                let function = self.last_part(name)?;
                if *with_ordinality {
                    return self.numbered_rows(&function, args, alias.as_ref());
                }
                self.table_function(&function, args, alias.as_ref())
            }
            TableFactor::Pivot {
                table,
                aggregate_functions,
                value_column,
                value_source,
                default_on_null,
                alias,
            } => self.pivot(&Pivot {
                table,
                aggregates: aggregate_functions,
                columns: value_column,
                values: value_source,
                default: default_on_null.as_ref(),
                alias: alias.as_ref(),
            }),
            TableFactor::Unpivot { table, value, name, columns, null_inclusion, alias } => {
                self.unpivot(&Unpivot {
                    table,
                    value,
                    name,
                    columns,
                    nulls: null_inclusion.as_ref(),
                    alias: alias.as_ref(),
                })
            }
            TableFactor::UnpivotExpr { expression, value_alias, attribute_alias } => {
                let args = vec![self.expr(expression)?];
                let mut names = vec![self.fold(value_alias)];
                names.extend(attribute_alias.iter().map(|alias| self.fold(alias)));
                let function = if names.len() == 1 { "unpivot" } else { "unpivot with key" };
                Ok(self.opaque_rows(function, args, &names, Vec::new()))
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, with_ordinality } => {
                let args = array_exprs.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
                if *with_ordinality {
                    return self.numbered("unnest", args, alias.as_ref());
                }
                if self.dialect != Dialect::BigQuery {
                    if *with_offset {
                        return Err(BindFault::unsupported("UNNEST with offset"));
                    }
                    return self.opaque_function("unnest", args, alias.as_ref());
                }
                // In BigQuery the alias is the element: a column, whose fields are behind its name.
                let mut names = vec![alias.as_ref().map_or(STAR.to_owned(), |alias| self.fold(&alias.name))];
                if *with_offset {
                    names
                        .push(with_offset_alias.as_ref().map_or("offset".to_owned(), |name| self.fold(name)));
                }
                let function = if *with_offset { "unnest with offset" } else { "unnest" };
                let scalar = args.iter().all(|e| self.holds_scalars(*e));
                let relation = names[..1].iter().filter(|name| !scalar && *name != STAR).cloned().collect();
                let block = self.opaque_rows(function, args, &names, relation);
                if let Some(Entry { columns: Columns::List(list), element, .. }) = self.entries().last_mut() {
                    *element = list.first().map(|(_, e)| *e).filter(|_| !scalar);
                }
                Ok(block)
            }
            other => Err(BindFault::unsupported(factor_name(other))),
        }
    }

    /// Whether the elements of an array are known to have no fields.
    fn holds_scalars(&self, array: ExprId) -> bool {
        match self.arena.node(array) {
            Node::Call(name, args) => match self.arena.text(*name) {
                "generate_array" | "generate_date_array" | "generate_timestamp_array" | "split" => true,
                "list_value" => args.iter().all(|e| self.arena.as_const(*e).is_some()),
                _ => false,
            },
            _ => false,
        }
    }

    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.expr_depth += 1;
        if self.expr_depth > super::MAX_EXPR_DEPTH {
            return Err(BindFault::TooLarge);
        }
        let result = f(self);
        self.expr_depth -= 1;
        result
    }

    pub(super) fn derived(
        &mut self,
        query: super::Query,
        alias: Option<&'a TableAlias>,
        name: Option<String>,
    ) -> Result<Block> {
        self.push_list(query.outputs, alias, name)?;
        Ok(query.block)
    }

    fn push_list(
        &mut self,
        mut list: Vec<(Sym, ExprId)>,
        alias: Option<&'a TableAlias>,
        name: Option<String>,
    ) -> Result<()> {
        if let Some(alias) = alias {
            if !alias.columns.is_empty() {
                self.closed(&list, "names of columns")?;
            }
            if alias.columns.len() > list.len() {
                return Err(BindFault::unsupported("an alias with more columns than its table"));
            }
            for (column, (name, _)) in alias.columns.iter().zip(&mut list) {
                let folded = self.fold(&column.name);
                *name = self.arena.sym(&folded);
            }
        }
        let names = match (alias, name) {
            (Some(alias), _) => vec![self.fold(&alias.name)],
            (None, Some(name)) => vec![name],
            (None, None) => Vec::new(),
        };
        self.entries().push(Entry::new(names, Columns::List(list)));
        Ok(())
    }

    fn table_function(
        &mut self,
        name: &str,
        args: &'a [FunctionArg],
        alias: Option<&'a TableAlias>,
    ) -> Result<Block> {
        let mut lowered = Vec::with_capacity(args.len());
        let mut named = Vec::new();
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => lowered.push(self.expr(expr)?),
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                    named.push((self.fold(name), self.expr(expr)?));
                }
                _ => return Err(BindFault::unsupported(format!("an argument of table function {name}"))),
            }
        }
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, value) in named {
            let name = self.arena.sym(&name);
            let name = self.arena.constant(Const::Text(name));
            lowered.push(self.arena.call("named_argument", &[name, value]));
        }
        if crate::sql::clock::volatile(name) {
            self.arena.volatile = true;
        }
        self.opaque_function(name, lowered, alias)
    }

    /// A table function: one column, unless the alias names more.
    fn opaque_function(
        &mut self,
        name: &str,
        args: Vec<ExprId>,
        alias: Option<&'a TableAlias>,
    ) -> Result<Block> {
        let names: Vec<String> = match alias {
            Some(alias) if !alias.columns.is_empty() => {
                alias.columns.iter().map(|column| self.fold(&column.name)).collect()
            }
            // In PostgreSQL a function's alias names its column too, or the value of its only column.
            Some(alias)
                if matches!(self.dialect, Dialect::Postgres | Dialect::Redshift)
                    && matches!(
                        name,
                        "generate_series" | "unnest" | "regexp_split_to_table" | "string_to_table"
                    ) =>
            {
                vec![self.fold(&alias.name)]
            }
            alias
                if self.dialect == Dialect::Postgres
                    && matches!(
                        name,
                        "json_array_elements"
                            | "json_array_elements_text"
                            | "jsonb_array_elements"
                            | "jsonb_array_elements_text"
                    ) =>
            {
                let relation = alias.map_or(name.to_owned(), |alias| self.fold(&alias.name));
                let block = self.opaque_rows(name, args, &["value".to_owned()], vec![relation]);
                if let Some(Entry { columns: Columns::List(list), row, .. }) = self.entries().last_mut() {
                    *row = list.first().map(|(_, e)| *e);
                }
                return Ok(block);
            }
            _ if matches!(name, "generate_series" | "range" | "unnest") => vec![name.to_owned()],
            _ if self.dialect == Dialect::Snowflake
                && matches!(name, "split_to_table" | "strtok_split_to_table") =>
            {
                ["seq", "index", "value"].map(|name| self.fold(&Ident::new(name))).to_vec()
            }
            _ if self.dialect == Dialect::Snowflake && name.eq_ignore_ascii_case("flatten") => {
                let columns = ["seq", "key", "path", "index", "value", "this"];
                columns.map(|name| self.fold(&Ident::new(name))).to_vec()
            }
            _ if self.dialect == Dialect::Snowflake && name.eq_ignore_ascii_case("generator") => Vec::new(),
            _ => return self.rows_of_unknown_columns(name, &args, alias),
        };
        let relation = alias.map_or(name.to_owned(), |alias| self.fold(&alias.name));
        Ok(self.opaque_rows(name, args, &names, vec![relation]))
    }

    /// Rows that only the function's name and arguments say, under this relation's name, if it has one.
    pub(super) fn opaque_rows(
        &mut self,
        function: &str,
        args: Vec<ExprId>,
        names: &[String],
        relation: Vec<String>,
    ) -> Block {
        let kind = self.arena.sym(&format!("{function}()"));
        let mut cols = Vec::with_capacity(names.len());
        let mut list = Vec::with_capacity(names.len());
        for name in names {
            let sym = self.arena.sym(name);
            let col = self.arena.new_col(sym, Type::Unknown, true);
            cols.push(col);
            list.push((sym, self.arena.column(col)));
        }
        self.entries().push(Entry::new(relation, Columns::List(list)));
        let opaque = Opaque { kind, cols, args, inputs: Vec::new() };
        Block { sources: vec![Source::Opaque(Box::new(opaque))], ..Block::default() }
    }

    /// Every column that `*` or `t.*` lists.
    pub(super) fn star(&mut self, qualifier: Option<&[String]>) -> Result<Vec<(Sym, ExprId)>> {
        let entries = self.entries().clone();
        let mut columns = Vec::new();
        let mut met = false;
        for entry in &entries {
            if qualifier.is_some_and(|qualifier| !entry.names.ends_with(qualifier)) {
                continue;
            }
            met = true;
            for (name, expr) in entry.all(&mut self.arena)? {
                if qualifier.is_none() {
                    if entry.hidden.contains(&name) {
                        continue;
                    }
                    if let Some((_, merged)) = entry.merged.iter().find(|(other, _)| *other == name) {
                        columns.push((name, *merged));
                        continue;
                    }
                }
                columns.push((name, expr));
            }
        }
        if !met {
            return Err(match qualifier {
                Some(qualifier) => BindFault::MissingTable { name: qualifier.join(".") },
                None => BindFault::unsupported("* without FROM"),
            });
        }
        Ok(columns)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Inner,
    Left,
    Right,
    Full,
    Semi { anti: bool },
}

fn join_name(operator: &JoinOperator) -> &'static str {
    match operator {
        JoinOperator::CrossApply | JoinOperator::OuterApply => "APPLY",
        JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => "RIGHT SEMI or ANTI JOIN",
        _ => "this kind of join",
    }
}

fn factor_name(factor: &TableFactor) -> &'static str {
    match factor {
        TableFactor::MatchRecognize { .. } => "MATCH_RECOGNIZE",
        TableFactor::Derived { .. } => "a sampled subquery",
        TableFactor::NestedJoin { .. } => "an alias of a join",
        _ => "this item of FROM",
    }
}
