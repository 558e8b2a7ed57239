//! Function calls: scalar functions, aggregates, window functions.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, Ident, NamedWindowExpr, NullTreatment, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec, WindowType,
};

use super::super::Dialect;
use super::super::algebra::{AggCall, Const, ExprId, Frame, FrameBound, Node, OrderKey, Sym, WindowCall};
use super::super::functions::{self, MakesRows};
use super::super::normalize::takes_one;
use super::super::types::Type;
use super::select::frame_or_default;
use super::{BindFault, Lowerer, Result};

impl<'a> Lowerer<'a> {
    pub(super) fn function(&mut self, function: &'a Function) -> Result<ExprId> {
        self.called(function, function.null_treatment)
    }

    /// A call with this treatment of NULLs.
    fn called(
        &mut self,
        function: &'a Function,
        mut null_treatment: Option<NullTreatment>,
    ) -> Result<ExprId> {
        let name = match function.name.0.as_slice() {
            [_] => self.last_part(&function.name)?,
            // What stands before the point may be a column, whose function it is: `name.lower()`.
            [schema, ..]
                if matches!(self.dialect, Dialect::DuckDb | Dialect::Generic)
                    && !matches!(
                        schema.to_string().to_ascii_lowercase().as_str(),
                        "main" | "pg_catalog" | "information_schema" | "system"
                    ) =>
            {
                return Err(BindFault::unsupported(format!("the call {}()", function.name)));
            }
            _ => function.name.to_string().to_ascii_lowercase(),
        };
        let name = name.trim_start_matches('"');
        let name = functions::synonym(name).to_owned();
        if !matches!(function.parameters, FunctionArguments::None) || function.uses_odbc_syntax {
            return Err(BindFault::unsupported(format!("parameters of {name}")));
        }
        let mut args = Vec::new();
        let mut distinct = false;
        let mut order_items = Vec::new();
        let mut limit = None;
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) if name == "array" => return self.array_of(query),
            FunctionArguments::Subquery(_) => {
                return Err(BindFault::unsupported(format!("a subquery as argument of {name}")));
            }
            FunctionArguments::List(list) => {
                distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
                for (at, arg) in list.args.iter().enumerate() {
                    match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(word)))
                            if self.is_date_part(&name, word, at, list.args.len()) =>
                        {
                            if matches!(self.dialect, Dialect::DuckDb | Dialect::Postgres) {
                                return Err(BindFault::unsupported(format!("the date part {word}")));
                            }
                            args.push(Argument::Part(functions::date_part(&word.value)));
                        }
                        // `array_agg(if(..) ignore nulls)`: what the parser gives to the call inside is the outer one's.
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(inner)))
                            if inner.null_treatment.is_some() && inner.over.is_none() =>
                        {
                            null_treatment = inner.null_treatment;
                            args.push(Argument::Call(inner));
                        }
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(Argument::Expr(expr)),
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => {}
                        FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                            if name != "columns" && !functions::aggregate(&name) =>
                        {
                            args.push(Argument::Star);
                        }
                        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), .. } => {
                            args.push(Argument::Named(self.fold(name), expr));
                        }
                        _ => return Err(BindFault::unsupported(format!("an argument of {name}"))),
                    }
                }
                for clause in &list.clauses {
                    match clause {
                        FunctionArgumentClause::OrderBy(items) => order_items.extend(items),
                        FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                            null_treatment = Some(*treatment);
                        }
                        FunctionArgumentClause::Limit(expr) => limit = Some(expr),
                        _ => return Err(BindFault::unsupported(format!("a clause inside {name}"))),
                    }
                }
            }
        }
        order_items.extend(&function.within_group);
        let ignore_nulls = matches!(null_treatment, Some(NullTreatment::IgnoreNulls));
        if let Some(over) = &function.over {
            if limit.is_some() {
                return Err(BindFault::unsupported(format!("LIMIT inside {name}")));
            }
            return self.closed_to_rows(|this| {
                let call = this.agg_call(&name, &args, distinct, function.filter.as_deref(), &order_items)?;
                this.window_call(call, over, ignore_nulls)
            });
        }
        if functions::window_only(&name) {
            return Err(BindFault::unsupported(format!("{name} without OVER")));
        }
        if functions::aggregate(&name) {
            if name.starts_with("grouping") {
                let plain = !distinct && function.filter.is_none() && order_items.is_empty();
                let asked = self.arguments(&args)?;
                if !plain || asked.is_empty() || asked.len() > 60 {
                    return Err(BindFault::unsupported("this call of GROUPING"));
                }
                return self.grouping_call(asked);
            }
            let mut name = name;
            if limit.is_some() || ignore_nulls {
                // What it takes of which rows is part of what it is.
                let count = limit.map(|e| self.expr(e)).transpose()?;
                if count.is_some_and(|count| self.arena.as_const(count).is_none()) {
                    return Err(BindFault::unsupported(format!("a clause inside {name}")));
                }
                let nulls = if ignore_nulls { " ignore nulls" } else { "" };
                let number = match count.and_then(|count| self.arena.as_const(count)) {
                    Some(Const::Int(number)) => format!(" limit {number}"),
                    Some(_) => return Err(BindFault::unsupported(format!("a clause inside {name}"))),
                    None => String::new(),
                };
                name = format!("{name}{nulls}{number}");
            }
            let before = self.scopes.last().map_or(0, |scope| scope.aggs.len());
            let call = self.closed_to_rows(|this| {
                this.agg_call(&name, &args, distinct, function.filter.as_deref(), &order_items)
            })?;
            if self.scopes.last().map_or(0, |scope| scope.aggs.len()) != before {
                return Err(BindFault::unsupported("an aggregate inside an aggregate"));
            }
            return self.aggregate_call(call);
        }
        if distinct || function.filter.is_some() || !order_items.is_empty() || limit.is_some() || ignore_nulls
        {
            // Only aggregates have these: an aggregate that is not in the list.
            return Err(BindFault::unsupported(format!("the function {name} with aggregate clauses")));
        }
        match functions::makes_rows(&name, self.dialect) {
            Some(MakesRows::One) if args.len() == 1 || !matches!(name.as_str(), "unnest" | "explode") => {
                let args = self.closed_to_rows(|this| this.arguments(&args))?;
                let name = if name == "explode" { "unnest" } else { &name };
                return Ok(self.add_rows(name, args, 1)?[0]);
            }
            Some(_) => return Err(BindFault::unsupported(format!("{name} in an expression"))),
            None => {}
        }
        if functions::may_aggregate(&name, args.len()) {
            return Err(BindFault::unsupported(format!("the aggregate {name}")));
        }
        if self.may_make_rows(&name) {
            let args = self.closed_to_rows(|this| this.arguments(&args))?;
            return self.maybe_rows(&name, args);
        }
        let args = self.arguments(&args)?;
        if name == "positional_reference" {
            return self.column_at(args.first().and_then(|e| self.arena.as_const(*e)));
        }
        Ok(self.scalar_call(&name, &args))
    }

    /// The column at a position of FROM, from 1.
    pub(super) fn column_at(&mut self, position: Option<Const>) -> Result<ExprId> {
        let columns = self.star(None)?;
        self.closed(&columns, "a position")?;
        let found = match position {
            Some(Const::Int(number)) => usize::try_from(number - 1).ok().and_then(|at| columns.get(at)),
            _ => None,
        };
        found.map(|(_, e)| *e).ok_or_else(|| BindFault::unsupported("a position out of range"))
    }

    /// Whether the argument at this place of so many is a date part and not a column: it stands where the dialect wants
    /// one, or it is a word that is missing in the schema for good reason.
    fn is_date_part(&mut self, function: &str, word: &Ident, at: usize, of: usize) -> bool {
        if word.quote_style.is_some()
            || !functions::takes_date_part(function)
            || !functions::names_date_part(&word.value)
        {
            return false;
        }
        let wanted = match self.dialect {
            Dialect::BigQuery => at > 0 && at + 1 == of,
            Dialect::Snowflake | Dialect::Redshift | Dialect::Databricks => {
                at == 0 && (of == 3 || of == 2 && (function.ends_with("trunc") || function.ends_with("part")))
            }
            _ => false,
        };
        let name = self.fold(word);
        wanted || self.resolve(&name, &word.value).is_err()
    }

    fn arguments(&mut self, args: &[Argument<'a>]) -> Result<Vec<ExprId>> {
        let mut lowered = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                Argument::Expr(expr) => lowered.push(self.expr(expr)?),
                Argument::Call(function) => lowered.push(self.called(function, None)?),
                Argument::Part(part) => lowered.push(self.text_const(part)),
                Argument::Star => {
                    for (name, value) in self.star(None)? {
                        let name = self.arena.constant(Const::Text(name));
                        lowered.push(self.arena.call("named_argument", &[name, value]));
                    }
                }
                Argument::Named(name, expr) => {
                    let value = self.expr(expr)?;
                    let name = self.arena.sym(name);
                    let name = self.arena.constant(Const::Text(name));
                    lowered.push(self.arena.call("named_argument", &[name, value]));
                }
            }
        }
        Ok(lowered)
    }

    /// GROUPING of these keys, which gets its value from each set of keys.
    fn grouping_call(&mut self, asked: Vec<ExprId>) -> Result<ExprId> {
        let name = self.arena.sym("grouping");
        let col = self.arena.new_col(name, Type::Int(64), false);
        match self.scopes.last_mut() {
            Some(scope) if !scope.lambda => scope.grouping_calls.push((col, asked)),
            _ => return Err(BindFault::unsupported("GROUPING here")),
        }
        Ok(self.arena.column(col))
    }

    /// A function of the select list whose rows have several columns.
    pub(super) fn rows_of_several(
        &mut self,
        function: &'a Function,
        names: &[String],
    ) -> Result<Vec<(Sym, ExprId)>> {
        let name = self.last_part(&function.name)?;
        let FunctionArguments::List(list) = &function.args else {
            return Err(BindFault::unsupported(format!("{name} with several names")));
        };
        let plain = list.clauses.is_empty()
            && list.duplicate_treatment.is_none()
            && function.over.is_none()
            && function.filter.is_none()
            && function.within_group.is_empty();
        if !plain || functions::makes_rows(&name, self.dialect).is_none() {
            return Err(BindFault::unsupported(format!("{name} with several names")));
        }
        let mut args = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.expr(expr)?),
                _ => return Err(BindFault::unsupported(format!("an argument of {name}"))),
            }
        }
        let columns = self.add_rows(&name, args, names.len())?;
        Ok(names.iter().map(|name| self.arena.sym(name)).zip(columns).collect())
    }

    // rule: synonyms
    /// A scalar function by its folded name, synonyms and date parts resolved.
    pub(super) fn scalar_call(&mut self, name: &str, args: &[ExprId]) -> ExprId {
        let name = functions::synonym(name);
        if let ([value], Some(part)) = (args, functions::date_part_function(name)) {
            let part = self.text_const(part);
            return self.arena.call("date_part", &[part, *value]);
        }
        match (name, args) {
            ("date_trunc" | "date_part" | "date_diff", [unit, rest @ ..]) => {
                let mut args = vec![self.date_unit(*unit)];
                args.extend_from_slice(rest);
                self.arena.call(name, &args)
            }
            ("date", [value]) => {
                let written = self.arena.sym("date");
                self.arena.cast(*value, Type::Date, written, false)
            }
            ("now" | "transaction_timestamp" | "get_current_timestamp", []) => {
                self.arena.call("current_timestamp", &[])
            }
            ("today" | "curdate", []) => self.arena.call("current_date", &[]),
            // NULL where any part is, but in DuckDB and PostgreSQL.
            ("concat", [_, _, ..])
                if matches!(
                    self.dialect,
                    Dialect::Snowflake | Dialect::BigQuery | Dialect::Redshift | Dialect::Databricks
                ) =>
            {
                self.arena.call("||", args)
            }
            ("zeroifnull", [value]) if matches!(self.dialect, Dialect::Snowflake | Dialect::Databricks) => {
                let zero = self.arena.int(0);
                self.arena.call("coalesce", &[*value, zero])
            }
            ("nullifzero", [value]) if matches!(self.dialect, Dialect::Snowflake | Dialect::Databricks) => {
                let zero = self.arena.int(0);
                self.arena.call("nullif", &[*value, zero])
            }
            ("nvl2", [tested, present, absent])
                if matches!(self.dialect, Dialect::Snowflake | Dialect::Redshift | Dialect::Databricks) =>
            {
                let null = self.arena.is_null(*tested);
                self.arena.case(&[(null, *absent)], *present)
            }
            // NULL finds NULL.
            ("decode", [value, rest @ ..])
                if rest.len() >= 2
                    && matches!(
                        self.dialect,
                        Dialect::Snowflake | Dialect::Redshift | Dialect::Databricks
                    ) =>
            {
                let mut arms = Vec::with_capacity(rest.len() / 2);
                for pair in rest.chunks_exact(2) {
                    arms.push((self.arena.same(*value, pair[0]), pair[1]));
                }
                let otherwise = match rest.chunks_exact(2).remainder() {
                    [otherwise] => *otherwise,
                    _ => self.arena.null(),
                };
                self.arena.case(&arms, otherwise)
            }
            ("to_date", [moment])
                if matches!(self.dialect, Dialect::Snowflake | Dialect::Databricks)
                    && matches!(self.arena.type_of(*moment), Type::Date | Type::Timestamp) =>
            {
                let written = self.arena.sym("date");
                self.arena.cast(*moment, Type::Date, written, false)
            }
            ("trunc", [moment])
                if self.dialect == Dialect::Redshift && self.arena.type_of(*moment) == Type::Timestamp =>
            {
                let written = self.arena.sym("date");
                self.arena.cast(*moment, Type::Date, written, false)
            }
            // What overflows fails in the one and is NULL in the other.
            ("safe_divide", [value, by]) if self.dialect == Dialect::BigQuery => {
                let zero = self.arena.int(0);
                let by = self.arena.call("nullif", &[*by, zero]);
                self.arena.call("/", &[*value, by])
            }
            _ => self.arena.call(name, args),
        }
    }

    fn text_const(&mut self, text: &str) -> ExprId {
        let sym = self.arena.sym(text);
        self.arena.constant(Const::Text(sym))
    }

    /// A unit of time given as text, in its one spelling.
    fn date_unit(&mut self, unit: ExprId) -> ExprId {
        match self.arena.as_const(unit) {
            Some(Const::Text(text)) => {
                let spelled = functions::date_part(self.arena.text(text));
                self.text_const(&spelled)
            }
            _ => unit,
        }
    }

    fn agg_call(
        &mut self,
        name: &str,
        args: &[Argument<'a>],
        distinct: bool,
        filter: Option<&'a Expr>,
        order: &[&'a sqlparser::ast::OrderByExpr],
    ) -> Result<AggCall> {
        let args = self.arguments(args)?;
        let filter = filter.map(|e| self.expr(e)).transpose()?;
        let mut keys: Vec<OrderKey> = Vec::with_capacity(order.len());
        for item in order {
            let expr = self.expr(&item.expr)?;
            keys.push(self.order_key(item, expr)?);
        }
        let func = self.arena.sym(name);
        Ok(AggCall { func, args: args.into(), distinct, filter, order: keys.into() })
    }

    // rule: average
    /// AVG of integers or doubles is a sum divided by a count, to the last digit; of decimals it is not.
    fn aggregate_call(&mut self, call: AggCall) -> Result<ExprId> {
        self.orders.taken |= call.order.is_empty() && takes_one(self.arena.text(call.func));
        if self.arena.is(call.func, "avg") && call.args.len() == 1 {
            let kind = self.arena.type_of(call.args[0]);
            let exact = match self.dialect {
                Dialect::DuckDb => kind.is_int() || kind == Type::Float(64),
                Dialect::BigQuery | Dialect::Databricks => kind.is_int(),
                _ => false,
            };
            if exact {
                let (sum, count) = (self.arena.sym("sum"), self.arena.sym("count"));
                let sum = self.add_aggregate(AggCall { func: sum, ..call.clone() })?;
                let count = self.add_aggregate(AggCall { func: count, ..call })?;
                return Ok(self.arena.call("/", &[sum, count]));
            }
        }
        self.add_aggregate(call)
    }

    fn add_aggregate(&mut self, call: AggCall) -> Result<ExprId> {
        let expr = self.arena.aggregate(call);
        let Node::Agg(call) = self.arena.node(expr).clone() else { return Ok(expr) };
        let count = self.arena.is(call.func, "count");
        let data_type = self.arena.type_of(expr);
        let Some(scope) = self.scopes.last_mut() else {
            return Err(BindFault::unsupported("an aggregate here"));
        };
        if let Some((col, _)) = scope.aggs.iter().find(|(_, other)| *other == expr) {
            let col = *col;
            return Ok(self.arena.column(col));
        }
        let col = self.arena.new_col(call.func, data_type, !count);
        self.arena.col_mut(col).count = count;
        if let Some(scope) = self.scopes.last_mut() {
            scope.aggs.push((col, expr));
        }
        Ok(self.arena.column(col))
    }

    fn window_call(&mut self, call: AggCall, over: &'a WindowType, ignore_nulls: bool) -> Result<ExprId> {
        let mut partition = Vec::new();
        let mut order = Vec::new();
        let mut frame = None;
        let mut hops = 0;
        // A window may build on a named one.
        let mut spec = Some(match over {
            WindowType::WindowSpec(spec) => spec,
            WindowType::NamedWindow(name) => self.named_window(name)?,
        });
        while let Some(found) = spec {
            hops += 1;
            if hops > 8 {
                return Err(BindFault::unsupported("windows that refer to each other"));
            }
            for item in &found.partition_by {
                partition.push(self.expr(item)?);
            }
            for item in &found.order_by {
                let expr = self.expr(&item.expr)?;
                order.push(self.order_key(item, expr)?);
            }
            if let Some(found) = &found.window_frame {
                frame = Some(self.frame(found)?);
            }
            spec = match &found.window_name {
                Some(name) => Some(self.named_window(name)?),
                None => None,
            };
        }
        let name = self.arena.text(call.func);
        let of_rows = matches!(name, "first_value" | "last_value" | "nth_value");
        self.orders.taken |= order.is_empty()
            && (of_rows
                || matches!(name, "row_number" | "ntile" | "lag" | "lead")
                || takes_one(name)
                || frame.is_some_and(|frame: Frame| frame.units == 'r'));
        let frame = if functions::ignores_frame(name) {
            None
        } else {
            // Snowflake's default for these is the whole partition, also beside ORDER BY.
            let ordered = !(order.is_empty() || of_rows && self.dialect == Dialect::Snowflake);
            Some(frame_or_default(frame, ordered))
        };
        self.add_window(WindowCall {
            call,
            ignore_nulls,
            partition: partition.into(),
            order: order.into(),
            frame,
        })
    }

    fn named_window(&self, name: &sqlparser::ast::Ident) -> Result<&'a WindowSpec> {
        let name = self.fold(name);
        let scope = self.scopes.last();
        match scope.and_then(|scope| scope.named_windows.iter().find(|(other, _)| *other == name)) {
            Some((_, NamedWindowExpr::WindowSpec(named))) => Ok(named),
            _ => Err(BindFault::unsupported(format!("the window {name}"))),
        }
    }

    fn frame(&mut self, frame: &'a WindowFrame) -> Result<Frame> {
        let units = match frame.units {
            WindowFrameUnits::Rows => 'r',
            WindowFrameUnits::Range => 'g',
            WindowFrameUnits::Groups => 'G',
        };
        let mut bound = |bound: &'a WindowFrameBound| -> Result<FrameBound> {
            Ok(match bound {
                WindowFrameBound::CurrentRow => FrameBound::Current,
                WindowFrameBound::Preceding(None) => FrameBound::Start,
                WindowFrameBound::Following(None) => FrameBound::End,
                WindowFrameBound::Preceding(Some(e)) => FrameBound::Preceding(self.expr(e)?),
                WindowFrameBound::Following(Some(e)) => FrameBound::Following(self.expr(e)?),
            })
        };
        let start = bound(&frame.start_bound)?;
        let end = match &frame.end_bound {
            Some(end) => bound(end)?,
            None => FrameBound::Current,
        };
        Ok(Frame { units, start, end })
    }
}

enum Argument<'a> {
    Expr(&'a Expr),
    /// A call without the treatment of NULLs behind it.
    Call(&'a Function),
    /// A date part as a bare word: what the dialect says, the text of it says as well.
    Part(String),
    /// Every column, by name.
    Star,
    Named(String, &'a Expr),
}
