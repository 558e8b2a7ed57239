//! Scalar expressions.

use sqlparser::ast::{
    BinaryOperator, CastKind, CeilFloorKind, DateTimeField, Expr, TrimWhereField, UnaryOperator, Value,
};

use super::super::algebra::{CmpOp, Const, ExprId, Sub};
use super::super::functions;
use super::super::types::Type;
use super::{BindFault, Lowerer, MAX_EXPR_DEPTH, Result};

impl<'a> Lowerer<'a> {
    pub(super) fn expr(&mut self, expr: &'a Expr) -> Result<ExprId> {
        self.expr_depth += 1;
        if self.expr_depth > MAX_EXPR_DEPTH || self.arena.overflow {
            return Err(BindFault::TooLarge);
        }
        let result = self.any_expr(expr);
        self.expr_depth -= 1;
        result
    }

    fn any_expr(&mut self, expr: &'a Expr) -> Result<ExprId> {
        match expr {
            Expr::Identifier(ident) => {
                let name = self.fold(ident);
                if ident.quote_style.is_none()
                    && matches!(name.as_str(), "current_date" | "current_timestamp" | "localtimestamp")
                {
                    return Ok(self.arena.call(&name, &[]));
                }
                self.resolve(&name, &ident.value)
            }
            Expr::CompoundIdentifier(parts) => self.compound(parts),
            Expr::Nested(inner) => self.expr(inner),
            Expr::Value(value) => self.value(&value.value),
            Expr::TypedString(typed) => {
                let data_type = Type::of(&typed.data_type, self.dialect);
                let text = self.value(&typed.value.value)?;
                let written = self.arena.sym(&typed.data_type.to_string().to_ascii_lowercase());
                Ok(self.arena.cast(text, data_type, written, false))
            }
            Expr::Interval(interval) => self.interval(interval),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op, expr } => {
                let inner = self.expr(expr)?;
                match op {
                    UnaryOperator::Not | UnaryOperator::BangNot => {
                        let inner = self.truth(inner);
                        Ok(self.arena.not(inner))
                    }
                    UnaryOperator::Minus => Ok(self.arena.call("neg", &[inner])),
                    UnaryOperator::Plus => Ok(inner),
                    other => Ok(self.arena.call(&format!("unary {other}"), &[inner])),
                }
            }
            Expr::IsNull(e) | Expr::IsUnknown(e) => {
                let e = self.expr(e)?;
                Ok(self.arena.is_null(e))
            }
            Expr::IsNotNull(e) | Expr::IsNotUnknown(e) => {
                let e = self.expr(e)?;
                let null = self.arena.is_null(e);
                Ok(self.arena.not(null))
            }
            Expr::IsTrue(e) => {
                let e = self.expr(e)?;
                Ok(self.arena.is_true(e))
            }
            Expr::IsNotTrue(e) => {
                let e = self.expr(e)?;
                let holds = self.arena.is_true(e);
                Ok(self.arena.not(holds))
            }
            Expr::IsFalse(e) => {
                let e = self.expr(e)?;
                let negated = self.arena.not(e);
                Ok(self.arena.is_true(negated))
            }
            Expr::IsNotFalse(e) => {
                let e = self.expr(e)?;
                let negated = self.arena.not(e);
                let fails = self.arena.is_true(negated);
                Ok(self.arena.not(fails))
            }
            Expr::IsDistinctFrom(a, b) => {
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                let same = self.arena.same(a, b);
                Ok(self.arena.not(same))
            }
            Expr::IsNotDistinctFrom(a, b) => {
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                Ok(self.arena.same(a, b))
            }
            Expr::Between { expr, negated, low, high } => {
                let (expr, low, high) = (self.expr(expr)?, self.expr(low)?, self.expr(high)?);
                let from = self.arena.cmp(CmpOp::Le, low, expr);
                let to = self.arena.cmp(CmpOp::Le, expr, high);
                let between = self.arena.and(&[from, to]);
                Ok(self.negated(between, *negated))
            }
            Expr::InList { expr, list, negated } => {
                if list.len() > 2000 {
                    return Err(BindFault::TooLarge);
                }
                let left = self.row(expr)?;
                let mut any = Vec::with_capacity(list.len());
                for item in list {
                    let right = self.row(item)?;
                    if left.len() != right.len() {
                        return Err(BindFault::unsupported("rows of different length"));
                    }
                    any.push(self.equal_rows(&left, &right));
                }
                let found = self.arena.or(&any);
                Ok(self.negated(found, *negated))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                let left = self.row(expr)?;
                let query = self.query(subquery)?;
                if query.outputs.len() != left.len() {
                    return Err(BindFault::unsupported("IN over a different number of columns"));
                }
                let outputs = query.outputs.into_iter().map(|(_, e)| e).collect();
                let sub = self.arena.new_sub(Sub { block: query.block, outputs });
                let found = self.arena.in_sub(&left, sub);
                Ok(self.negated(found, *negated))
            }
            Expr::Exists { subquery, negated } => {
                let query = self.query(subquery)?;
                let sub = self.arena.new_sub(Sub { block: query.block, outputs: Vec::new() });
                let exists = self.arena.exists(sub);
                Ok(self.negated(exists, *negated))
            }
            Expr::Subquery(subquery) => {
                let query = self.query(subquery)?;
                let [(_, output)] = query.outputs.as_slice() else {
                    return Err(BindFault::unsupported("a scalar subquery with several columns"));
                };
                let sub = self.arena.new_sub(Sub { outputs: vec![*output], block: query.block });
                Ok(self.arena.scalar(sub))
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => match right.as_ref() {
                Expr::Subquery(subquery) => {
                    let left = vec![self.expr(left)?];
                    let query = self.query(subquery)?;
                    let outputs: Vec<ExprId> = query.outputs.into_iter().map(|(_, e)| e).collect();
                    if outputs.len() != 1 {
                        return Err(BindFault::unsupported("ANY over several columns"));
                    }
                    let sub = self.arena.new_sub(Sub { block: query.block, outputs });
                    Ok(self.arena.in_sub(&left, sub))
                }
                Expr::Array(array) => {
                    let left = self.expr(left)?;
                    let mut any = Vec::with_capacity(array.elem.len());
                    for item in &array.elem {
                        let right = self.expr(item)?;
                        any.push(self.arena.cmp(CmpOp::Eq, left, right));
                    }
                    Ok(self.arena.or(&any))
                }
                list => {
                    let args = [self.expr(left)?, self.expr(list)?];
                    Ok(self.arena.call("= any", &args))
                }
            },
            Expr::AnyOp { left, compare_op, right, .. } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
                let args = [self.expr(left)?, self.expr(right)?];
                Ok(self.arena.call(&format!("{compare_op} any"), &args))
            }
            Expr::AllOp { left, compare_op, right } if !matches!(right.as_ref(), Expr::Subquery(_)) => {
                let args = [self.expr(left)?, self.expr(right)?];
                Ok(self.arena.call(&format!("{compare_op} all"), &args))
            }
            Expr::InUnnest { expr, array_expr, negated } => {
                let left = self.expr(expr)?;
                let found = match array_expr.as_ref() {
                    Expr::Array(array) => {
                        let mut any = Vec::with_capacity(array.elem.len());
                        for item in &array.elem {
                            let right = self.expr(item)?;
                            any.push(self.arena.cmp(CmpOp::Eq, left, right));
                        }
                        self.arena.or(&any)
                    }
                    list => {
                        let list = self.expr(list)?;
                        self.arena.call("in unnest", &[left, list])
                    }
                };
                Ok(self.negated(found, *negated))
            }
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => match right.as_ref() {
                Expr::Subquery(subquery) => {
                    let left = vec![self.expr(left)?];
                    let query = self.query(subquery)?;
                    let outputs: Vec<ExprId> = query.outputs.into_iter().map(|(_, e)| e).collect();
                    if outputs.len() != 1 {
                        return Err(BindFault::unsupported("ALL over several columns"));
                    }
                    let sub = self.arena.new_sub(Sub { block: query.block, outputs });
                    let found = self.arena.in_sub(&left, sub);
                    Ok(self.arena.not(found))
                }
                _ => Err(BindFault::unsupported("ALL")),
            },
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_ref().map(|e| self.expr(e)).transpose()?;
                let mut arms = Vec::with_capacity(conditions.len());
                for arm in conditions {
                    let mut condition = self.expr(&arm.condition)?;
                    if let Some(operand) = operand {
                        condition = self.arena.cmp(CmpOp::Eq, operand, condition);
                    }
                    arms.push((condition, self.expr(&arm.result)?));
                }
                let otherwise = match else_result {
                    Some(e) => self.expr(e)?,
                    None => self.arena.null(),
                };
                Ok(self.arena.case(&arms, otherwise))
            }
            Expr::Cast { kind, expr, data_type, format: None } => {
                let inner = self.expr(expr)?;
                let written = self.arena.sym(&data_type.to_string().to_ascii_lowercase());
                let attempt = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
                Ok(self.arena.cast(inner, Type::of(data_type, self.dialect), written, attempt))
            }
            Expr::Cast { kind, expr, data_type, format: Some(format) } => {
                let inner = self.expr(expr)?;
                let name = format!("{kind:?} as {data_type} format {format}").to_ascii_lowercase();
                Ok(self.arena.call(&name, &[inner]))
            }
            Expr::Lambda(lambda) => self.lambda(lambda),
            Expr::Struct { values, fields } => self.structure(values, fields),
            Expr::Map(map) => {
                let mut args = Vec::with_capacity(map.entries.len() * 2);
                for entry in &map.entries {
                    args.push(self.expr(&entry.key)?);
                    args.push(self.expr(&entry.value)?);
                }
                Ok(self.arena.call("map literal", &args))
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args = vec![self.expr(expr)?, self.expr(overlay_what)?, self.expr(overlay_from)?];
                args.extend(overlay_for.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?);
                Ok(self.arena.call("overlay", &args))
            }
            Expr::Function(function) => self.function(function),
            Expr::Like { negated: false, any: true, expr, pattern, escape_char } => {
                self.any_pattern("like", expr, pattern, escape_char.as_deref())
            }
            Expr::ILike { negated: false, any: true, expr, pattern, escape_char } => {
                self.any_pattern("ilike", expr, pattern, escape_char.as_deref())
            }
            Expr::Convert { is_try, expr, data_type: Some(data_type), charset: None, styles, .. }
                if styles.is_empty() =>
            {
                let inner = self.expr(expr)?;
                let written = self.arena.sym(&data_type.to_string().to_ascii_lowercase());
                Ok(self.arena.cast(inner, Type::of(data_type, self.dialect), written, *is_try))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.pattern("like", *negated, expr, pattern, escape_char.as_deref())
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.pattern("ilike", *negated, expr, pattern, escape_char.as_deref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                self.pattern("similar", *negated, expr, pattern, escape_char.as_deref())
            }
            Expr::RLike { negated, expr, pattern, .. } => {
                let args = [self.expr(expr)?, self.expr(pattern)?];
                let found = self.arena.call("rlike", &args);
                Ok(self.negated(found, *negated))
            }
            Expr::Extract { field, expr, .. } => {
                let part = functions::date_part(&field_name(field));
                let sym = self.arena.sym(&part);
                let part = self.arena.constant(Const::Text(sym));
                let value = self.expr(expr)?;
                Ok(self.arena.call("date_part", &[part, value]))
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                let e = self.expr(expr)?;
                Ok(self.arena.call("ceil", &[e]))
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                let e = self.expr(expr)?;
                Ok(self.arena.call("floor", &[e]))
            }
            Expr::Ceil { expr, field: CeilFloorKind::Scale(scale) } => {
                let args = [self.expr(expr)?, self.value(&scale.value)?];
                Ok(self.arena.call("ceil", &args))
            }
            Expr::Floor { expr, field: CeilFloorKind::Scale(scale) } => {
                let args = [self.expr(expr)?, self.value(&scale.value)?];
                Ok(self.arena.call("floor", &args))
            }
            Expr::Position { expr, r#in } => {
                let args = [self.expr(r#in)?, self.expr(expr)?];
                Ok(self.arena.call("instr", &args))
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut args = vec![self.expr(expr)?];
                match (substring_from, substring_for) {
                    (Some(from), None) => args.push(self.expr(from)?),
                    (Some(from), Some(length)) => {
                        args.push(self.expr(from)?);
                        args.push(self.expr(length)?);
                    }
                    (None, Some(length)) => {
                        args.push(self.arena.int(1));
                        args.push(self.expr(length)?);
                    }
                    (None, None) => return Err(BindFault::unsupported("SUBSTRING without bounds")),
                }
                Ok(self.arena.call("substring", &args))
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let mut args = vec![self.expr(expr)?];
                args.extend(trim_what.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?);
                for item in trim_characters.iter().flatten() {
                    args.push(self.expr(item)?);
                }
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "trim",
                };
                Ok(self.arena.call(name, &args))
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                let args = [self.expr(time_zone)?, self.expr(timestamp)?];
                Ok(self.arena.call("timezone", &args))
            }
            Expr::Collate { expr, collation } => {
                let e = self.expr(expr)?;
                Ok(self.arena.call(&format!("collate {collation}"), &[e]))
            }
            Expr::Array(array) => {
                let items = array.elem.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
                Ok(self.arena.call("list_value", &items))
            }
            Expr::Tuple(items) => {
                let items = items.iter().map(|e| self.expr(e)).collect::<Result<Vec<_>>>()?;
                Ok(self.arena.call("row", &items))
            }
            Expr::Dictionary(fields) => {
                let mut args = Vec::with_capacity(fields.len());
                let mut name = "struct".to_owned();
                for field in fields {
                    name.push(' ');
                    name.push_str(&field.key.value);
                    args.push(self.expr(&field.value)?);
                }
                Ok(self.arena.call(&name, &args))
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.part(root, access_chain),
            Expr::JsonAccess { value, path } => {
                let inner = self.expr(value)?;
                Ok(self.arena.call(&format!("json {path}"), &[inner]))
            }
            _ => Err(BindFault::unsupported(expr_name(expr))),
        }
    }

    /// `x LIKE ANY (a, b)`: one of them.
    fn any_pattern(
        &mut self,
        name: &str,
        expr: &'a Expr,
        patterns: &'a Expr,
        escape: Option<&'a Expr>,
    ) -> Result<ExprId> {
        let list: Vec<&Expr> = match patterns {
            Expr::Tuple(items) => items.iter().collect(),
            Expr::Nested(one) if !matches!(one.as_ref(), Expr::Array(_) | Expr::Subquery(_)) => vec![one],
            _ => return Err(BindFault::unsupported("LIKE ANY of a list")),
        };
        let mut any = Vec::with_capacity(list.len());
        for pattern in list {
            any.push(self.pattern(name, false, expr, pattern, escape)?);
        }
        Ok(self.arena.or(&any))
    }

    /// Whether two rows of one length are equal.
    fn equal_rows(&mut self, a: &[ExprId], b: &[ExprId]) -> ExprId {
        if a.len() > 1 && matches!(self.dialect, super::Dialect::DuckDb | super::Dialect::Generic) {
            // Values of their own, in which NULL equals NULL.
            let (a, b) = (self.arena.call("row", a), self.arena.call("row", b));
            return self.arena.cmp(CmpOp::Eq, a, b);
        }
        let each: Vec<ExprId> = a.iter().zip(b).map(|(a, b)| self.arena.cmp(CmpOp::Eq, *a, *b)).collect();
        self.arena.and(&each)
    }

    fn negated(&mut self, expr: ExprId, negated: bool) -> ExprId {
        if negated { self.arena.not(expr) } else { expr }
    }

    /// An operand of AND, OR and NOT: numbers and texts are converted.
    fn truth(&mut self, expr: ExprId) -> ExprId {
        match self.arena.type_of(expr) {
            Type::Bool | Type::Unknown => expr,
            _ => {
                let written = self.arena.sym("boolean");
                self.arena.cast(expr, Type::Bool, written, false)
            }
        }
    }

    /// The members of a row, or the one expression.
    fn row(&mut self, expr: &'a Expr) -> Result<Vec<ExprId>> {
        match expr {
            Expr::Nested(inner) => self.row(inner),
            Expr::Tuple(items) => items.iter().map(|e| self.expr(e)).collect(),
            other => Ok(vec![self.expr(other)?]),
        }
    }

    fn pattern(
        &mut self,
        name: &str,
        negated: bool,
        expr: &'a Expr,
        pattern: &'a Expr,
        escape: Option<&'a Expr>,
    ) -> Result<ExprId> {
        let mut args = vec![self.expr(expr)?, self.expr(pattern)?];
        if let Some(escape) = escape {
            args.push(self.expr(escape)?);
        }
        let found = self.arena.call(name, &args);
        Ok(self.negated(found, negated))
    }

    pub(super) fn compound(&mut self, parts: &[sqlparser::ast::Ident]) -> Result<ExprId> {
        let folded: Vec<String> = parts.iter().map(|ident| self.fold(ident)).collect();
        let written = parts.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".");
        let [qualifier @ .., name] = folded.as_slice() else {
            return Err(BindFault::unsupported("an empty name"));
        };
        if self.dialect == super::Dialect::Snowflake && name == "nextval" {
            // The next number of a sequence.
            self.arena.volatile = true;
            return Ok(self.arena.null());
        }
        if self.is_parameter(&folded[0]) {
            // A table of that name would be a second way to read it.
            if self
                .scopes
                .iter()
                .any(|scope| scope.entries.iter().any(|entry| entry.names.last() == folded.first()))
            {
                return Err(BindFault::unsupported(format!("{written} in a lambda")));
            }
            return self.field(&folded, &written);
        }
        if let Some(found) = self.resolve_qualified(qualifier, name, &written)? {
            return Ok(found);
        }
        self.field(&folded, &written)
    }

    /// Not a table: a field of a column.
    fn field(&mut self, folded: &[String], written: &str) -> Result<ExprId> {
        let written = written.to_owned();
        let mut value = match self.resolve(&folded[0], &written) {
            Ok(value) => value,
            Err(BindFault::MissingColumn { .. }) => {
                return Err(BindFault::MissingColumn { name: written, tables: Vec::new() });
            }
            Err(other) => return Err(other),
        };
        for field in &folded[1..] {
            value = self.arena.call(&format!(".{field}"), &[value]);
        }
        Ok(value)
    }

    fn value(&mut self, value: &Value) -> Result<ExprId> {
        let constant = match value {
            Value::Null => Const::Null,
            Value::Boolean(value) => Const::Bool(*value),
            Value::Number(text, _) => return Ok(self.number(text)),
            Value::SingleQuotedString(text) | Value::NationalStringLiteral(text) => {
                Const::Text(self.arena.sym(text))
            }
            Value::DollarQuotedString(text) => Const::Text(self.arena.sym(&text.value)),
            Value::DoubleQuotedString(text)
                if matches!(self.dialect, super::Dialect::BigQuery | super::Dialect::Databricks) =>
            {
                Const::Text(self.arena.sym(text))
            }
            Value::Placeholder(text)
                if self.dialect == super::Dialect::Snowflake
                    && text.strip_prefix('$').is_some_and(|n| n.parse::<u16>().is_ok()) =>
            {
                let number = text.strip_prefix('$').and_then(|n| n.parse().ok());
                return self.column_at(number.map(Const::Int));
            }
            Value::Placeholder(text) => {
                return Err(BindFault::unsupported(format!("the placeholder {text}")));
            }
            other => Const::Raw(self.arena.sym(&other.to_string())),
        };
        Ok(self.arena.constant(constant))
    }

    fn number(&mut self, text: &str) -> ExprId {
        let plain = text.replace('_', "");
        if let Ok(value) = plain.parse::<i128>() {
            return self.arena.int(value);
        }
        if let Some((whole, fraction)) = plain.split_once('.') {
            let digits = format!("{whole}{fraction}");
            let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if all_digits
                && digits.len() <= 36
                && let (Ok(digits), Ok(scale)) = (digits.parse(), u8::try_from(fraction.len()))
            {
                return self.arena.constant(Const::Decimal(digits, scale));
            }
        }
        let raw = self.arena.sym(&plain.to_ascii_lowercase());
        self.arena.constant(Const::Raw(raw))
    }

    fn interval(&mut self, interval: &'a sqlparser::ast::Interval) -> Result<ExprId> {
        if let (Some(first), Some(last)) = (&interval.leading_field, &interval.last_field)
            && interval.leading_precision.is_none()
            && interval.fractional_seconds_precision.is_none()
        {
            let value = self.expr(&interval.value)?;
            let name = format!("interval {} to {}", field_name(first), field_name(last));
            return Ok(self.arena.call(&name, &[value]));
        }
        if interval.last_field.is_some()
            || interval.leading_precision.is_some()
            || interval.fractional_seconds_precision.is_some()
        {
            return Err(BindFault::unsupported("this interval"));
        }
        let value = self.expr(&interval.value)?;
        let unit = interval.leading_field.as_ref().map(|field| functions::date_part(&field_name(field)));
        let text = match self.arena.as_const(value) {
            Some(Const::Text(text)) => Some(self.arena.text(text).trim().to_ascii_lowercase()),
            Some(Const::Int(number)) => Some(number.to_string()),
            _ => None,
        };
        let spelled = match (text, &unit) {
            (Some(text), Some(unit)) => Some(format!("{text} {unit}")),
            (Some(text), None) => text
                .split_once(' ')
                .map(|(number, unit)| format!("{number} {}", functions::date_part(unit.trim()))),
            (None, _) => None,
        };
        match (spelled, unit) {
            (Some(spelled), _) => {
                let spelled = functions::interval(&spelled, self.dialect);
                let sym = self.arena.sym(&spelled);
                Ok(self.arena.constant(Const::Typed(Type::Interval, sym)))
            }
            (None, Some(unit)) => Ok(self.arena.call(&format!("interval {unit}"), &[value])),
            (None, None) => Ok(self.arena.call("interval", &[value])),
        }
    }

    fn binary(&mut self, left: &'a Expr, op: &'a BinaryOperator, right: &'a Expr) -> Result<ExprId> {
        // Long chains of one operator nest to the left: walk them without recursion.
        let chain = matches!(
            op,
            BinaryOperator::And
                | BinaryOperator::Or
                | BinaryOperator::Plus
                | BinaryOperator::Multiply
                | BinaryOperator::StringConcat
        );
        if chain {
            let mut operands = vec![right];
            let mut first = left;
            while let Expr::BinaryOp { left, op: inner, right } = first {
                if inner != op {
                    break;
                }
                operands.push(right);
                first = left;
            }
            operands.push(first);
            if operands.len() > 4000 {
                return Err(BindFault::TooLarge);
            }
            let mut lowered = Vec::with_capacity(operands.len());
            for operand in operands.iter().rev() {
                lowered.push(self.expr(operand)?);
            }
            if matches!(op, BinaryOperator::And | BinaryOperator::Or) {
                lowered = lowered.into_iter().map(|operand| self.truth(operand)).collect();
            }
            return Ok(match op {
                BinaryOperator::And => self.arena.and(&lowered),
                BinaryOperator::Or => self.arena.or(&lowered),
                other => {
                    let name = operator_name(other);
                    let mut value = lowered[0];
                    for operand in &lowered[1..] {
                        value = self.arena.call(&name, &[value, *operand]);
                    }
                    value
                }
            });
        }
        if let (Expr::Tuple(_), Expr::Tuple(_)) = (left, right) {
            let (a, b) = (self.row(left)?, self.row(right)?);
            let comparable = a.len() == b.len() && matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq);
            if !comparable {
                return Err(BindFault::unsupported("a comparison of rows"));
            }
            let equal = self.equal_rows(&a, &b);
            return Ok(self.negated(equal, *op == BinaryOperator::NotEq));
        }
        let (a, b) = (self.expr(left)?, self.expr(right)?);
        Ok(match op {
            BinaryOperator::Eq => self.arena.cmp(CmpOp::Eq, a, b),
            BinaryOperator::NotEq => self.arena.cmp(CmpOp::Ne, a, b),
            BinaryOperator::Lt => self.arena.cmp(CmpOp::Lt, a, b),
            BinaryOperator::LtEq => self.arena.cmp(CmpOp::Le, a, b),
            BinaryOperator::Gt => self.arena.cmp(CmpOp::Lt, b, a),
            BinaryOperator::GtEq => self.arena.cmp(CmpOp::Le, b, a),
            BinaryOperator::Spaceship => self.arena.same(a, b),
            other => {
                let name = operator_name(other);
                self.arena.call(&name, &[a, b])
            }
        })
    }
}

fn operator_name(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::DuckIntegerDivide | BinaryOperator::MyIntegerDivide => "//".to_owned(),
        BinaryOperator::PGRegexMatch => "regexp ~".to_owned(),
        BinaryOperator::PGLikeMatch => "like".to_owned(),
        BinaryOperator::PGILikeMatch => "ilike".to_owned(),
        other => other.to_string().to_ascii_lowercase(),
    }
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string().trim_matches('\'').to_ascii_lowercase()
}

fn expr_name(expr: &Expr) -> &'static str {
    match expr {
        Expr::Lambda(_) => "a lambda",
        Expr::AnyOp { .. } | Expr::AllOp { .. } => "ANY or ALL",
        Expr::Struct { .. } | Expr::Named { .. } => "a STRUCT",
        Expr::Map(_) => "a MAP",
        Expr::InUnnest { .. } => "IN UNNEST",
        Expr::Cast { .. } | Expr::Convert { .. } => "this cast",
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => "* as an expression",
        _ => "an expression",
    }
}
