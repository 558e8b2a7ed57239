//! Constructors that bring expressions into scalar normal form. Every rewrite here holds in every context, in
//! three-valued logic; rules that hold only where a condition filters rows are in [`crate::sql::normalize`].

use super::node::{CmpOp, Const, Node};
use super::{Arena, Col, ExprId, SubId, Sym};
use crate::sql::types::Type;
use crate::sql::{Dialect, clock, functions};

impl Arena {
    /// A column.
    pub fn column(&mut self, col: Col) -> ExprId {
        self.intern(Node::Col(col))
    }

    /// A literal.
    pub fn constant(&mut self, value: Const) -> ExprId {
        self.intern(Node::Const(value))
    }

    /// TRUE or FALSE.
    pub fn boolean(&mut self, value: bool) -> ExprId {
        self.constant(Const::Bool(value))
    }

    /// NULL.
    pub fn null(&mut self) -> ExprId {
        self.constant(Const::Null)
    }

    /// An integer.
    pub fn int(&mut self, value: i128) -> ExprId {
        self.constant(Const::Int(value))
    }

    /// The literal that an expression is, if it is one.
    pub fn as_const(&self, expr: ExprId) -> Option<Const> {
        match self.node(expr) {
            Node::Const(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn as_bool(&self, expr: ExprId) -> Option<bool> {
        match self.node(expr) {
            Node::Const(Const::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// Whether this is the literal NULL.
    pub fn is_null_const(&self, expr: ExprId) -> bool {
        matches!(self.node(expr), Node::Const(Const::Null))
    }

    /// Conjunction.
    pub fn and(&mut self, list: &[ExprId]) -> ExprId {
        self.junction(list, true)
    }

    /// Disjunction.
    pub fn or(&mut self, list: &[ExprId]) -> ExprId {
        self.junction(list, false)
    }

    // rule: logic
    /// Flattens, drops neutral members and repeats, absorbs, and factors out what all branches share.
    fn junction(&mut self, list: &[ExprId], and: bool) -> ExprId {
        let mut flat = Vec::with_capacity(list.len());
        for member in list {
            match self.node(*member) {
                Node::And(inner) if and => flat.extend_from_slice(inner),
                Node::Or(inner) if !and => flat.extend_from_slice(inner),
                Node::Const(Const::Bool(value)) => {
                    if *value != and {
                        return *member;
                    }
                }
                _ => flat.push(*member),
            }
        }
        flat.sort_unstable();
        flat.dedup();
        if flat.len() > 1 {
            self.join_comparisons(&mut flat, and);
            self.absorb(&mut flat, and);
            if and {
                self.join_null_tests(&mut flat);
            }
        }
        let excluded = |e: &ExprId| match *self.node(*e) {
            Node::Not(inner) => self.two_valued(inner) && flat.contains(&inner),
            _ => false,
        };
        if flat.iter().any(excluded) || self.decided_by_truth(&flat, and) {
            return self.boolean(!and);
        }
        match flat.as_slice() {
            [] => return self.boolean(and),
            [one] => return *one,
            _ => {}
        }
        if !and && let Some(factored) = self.factor(&flat) {
            return factored;
        }
        let list = flat.into_boxed_slice();
        self.intern(if and { Node::And(list) } else { Node::Or(list) })
    }

    /// `a < b OR b < a` is `a <> b`, `a < b OR a = b` is `a <= b`, `a <= b AND b <= a` is `a = b`.
    fn join_comparisons(&mut self, flat: &mut Vec<ExprId>, and: bool) {
        let mut at = 0;
        'members: while at < flat.len() {
            if let Node::Cmp(op, a, b) = *self.node(flat[at]) {
                for other in at + 1..flat.len() {
                    let Node::Cmp(other_op, c, d) = *self.node(flat[other]) else { continue };
                    let crossed = (a, b) == (d, c);
                    let aligned = (a, b) == (c, d) || crossed;
                    let joined = match (and, op, other_op) {
                        (false, CmpOp::Lt, CmpOp::Lt)
                            if crossed && !self.nan_is_unequal(a) && !self.nan_is_unequal(b) =>
                        {
                            self.cmp(CmpOp::Ne, a, b)
                        }
                        (true, CmpOp::Le, CmpOp::Le) if crossed => self.cmp(CmpOp::Eq, a, b),
                        (false, CmpOp::Lt, CmpOp::Eq) if aligned => self.cmp(CmpOp::Le, a, b),
                        (false, CmpOp::Eq, CmpOp::Lt) if aligned => self.cmp(CmpOp::Le, c, d),
                        _ => continue,
                    };
                    flat.remove(other);
                    flat[at] = joined;
                    flat.sort_unstable();
                    flat.dedup();
                    at = 0;
                    continue 'members;
                }
            }
            at += 1;
        }
    }

    /// `p AND (p OR q)` is `p`, and the other way round; both hold in three-valued logic.
    fn absorb(&self, flat: &mut Vec<ExprId>, and: bool) {
        let all = flat.clone();
        flat.retain(|member| {
            let inner: &[ExprId] = match self.node(*member) {
                Node::Or(inner) if and => inner,
                Node::And(inner) if !and => inner,
                _ => return true,
            };
            !all.iter().any(|other| {
                other != member
                    && (inner.contains(other)
                        || match self.node(*other) {
                            Node::Or(less) if and => less.iter().all(|e| inner.contains(e)),
                            Node::And(less) if !and => less.iter().all(|e| inner.contains(e)),
                            _ => false,
                        })
            })
        });
    }

    /// `(p AND q) OR (p AND r)` is `p AND (q OR r)`.
    fn factor(&mut self, branches: &[ExprId]) -> Option<ExprId> {
        let conjuncts = |arena: &Self, branch: ExprId| match arena.node(branch) {
            Node::And(inner) => inner.to_vec(),
            _ => vec![branch],
        };
        let mut common = conjuncts(self, branches[0]);
        for branch in &branches[1..] {
            let other = conjuncts(self, *branch);
            common.retain(|e| other.contains(e));
            if common.is_empty() {
                return None;
            }
        }
        let mut rests = Vec::with_capacity(branches.len());
        for branch in branches {
            let rest: Vec<_> = conjuncts(self, *branch).into_iter().filter(|e| !common.contains(e)).collect();
            rests.push(self.and(&rest));
        }
        let rest = self.or(&rests);
        common.push(rest);
        Some(self.and(&common))
    }

    /// Negation, pushed inwards.
    pub fn not(&mut self, expr: ExprId) -> ExprId {
        match self.node(expr).clone() {
            Node::Const(Const::Bool(value)) => self.boolean(!value),
            Node::Const(Const::Null) => expr,
            Node::Not(inner) => inner,
            Node::And(list) => {
                let negated: Vec<_> = list.iter().map(|e| self.not(*e)).collect();
                self.or(&negated)
            }
            Node::Or(list) => {
                let negated: Vec<_> = list.iter().map(|e| self.not(*e)).collect();
                self.and(&negated)
            }
            Node::Cmp(CmpOp::Lt | CmpOp::Le, a, b) if self.nan_is_unequal(a) || self.nan_is_unequal(b) => {
                self.intern(Node::Not(expr))
            }
            Node::Cmp(op, a, b) => match op {
                CmpOp::Eq => self.cmp(CmpOp::Ne, a, b),
                CmpOp::Ne => self.cmp(CmpOp::Eq, a, b),
                CmpOp::Lt => self.cmp(CmpOp::Le, b, a),
                CmpOp::Le => self.cmp(CmpOp::Lt, b, a),
            },
            // `x IS DISTINCT FROM 1` is `x <> 1 OR x IS NULL`.
            Node::IsTrue(inner) if matches!(self.node(inner), Node::Cmp(..)) => {
                let (fails, null) = (self.not(inner), self.is_null(inner));
                self.or(&[fails, null])
            }
            _ => self.intern(Node::Not(expr)),
        }
    }

    /// `IS NOT DISTINCT FROM`.
    pub fn same(&mut self, a: ExprId, b: ExprId) -> ExprId {
        if a == b {
            return self.boolean(true);
        }
        if self.is_null_const(a) {
            return self.is_null(b);
        }
        if self.is_null_const(b) {
            return self.is_null(a);
        }
        if self.as_const(a).is_some_and(|v| !matches!(v, Const::Raw(_)))
            || self.as_const(b).is_some_and(|v| !matches!(v, Const::Raw(_)))
        {
            let equal = self.cmp(CmpOp::Eq, a, b);
            return self.is_true(equal);
        }
        self.intern(Node::Same(a.min(b), a.max(b)))
    }

    /// A cast.
    pub fn cast(&mut self, expr: ExprId, data_type: Type, written: Sym, attempt: bool) -> ExprId {
        if self.is_null_const(expr) {
            return expr;
        }
        let from = self.type_of(expr);
        if from == data_type && data_type != Type::Unknown && self.as_const(expr).is_none() {
            return expr;
        }
        if let Some(value) = self.as_const(expr)
            && let Some(folded) = self.cast_const(value, data_type)
        {
            return folded;
        }
        self.intern(Node::Cast(expr, data_type, written, attempt))
    }

    fn cast_const(&mut self, value: Const, data_type: Type) -> Option<ExprId> {
        match (value, data_type) {
            (Const::Int(number), Type::Int(bits)) => {
                let limit = 1i128 << (u32::from(bits.clamp(8, 127)) - 1);
                (-limit..limit).contains(&number).then(|| self.int(number))
            }
            (Const::Bool(_), Type::Bool) | (Const::Text(_), Type::Text) => Some(self.constant(value)),
            (Const::Text(text), Type::Date | Type::Timestamp) => self.typed_literal(data_type, text),
            (Const::Typed(Type::Date, text), Type::Date | Type::Timestamp)
            | (Const::Typed(Type::Timestamp, text), Type::Timestamp) => self.typed_literal(data_type, text),
            _ => None,
        }
    }

    /// A literal of a date type in its one spelling; `None` when the text is not in a plain form.
    pub fn typed_literal(&mut self, data_type: Type, text: Sym) -> Option<ExprId> {
        let text = self.text(text).trim().to_owned();
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if !matches!(shape.as_str(), "0000-00-00" | "0000-00-00 00:00:00" | "0000-00-00T00:00:00") {
            return None;
        }
        let canonical = match data_type {
            Type::Date => text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10)?.to_string(),
            Type::Timestamp => match text.len() {
                10 => format!("{} 00:00:00", text.parse::<jiff::civil::Date>().ok()?),
                19 => text.parse::<jiff::civil::DateTime>().ok()?.strftime("%Y-%m-%d %H:%M:%S").to_string(),
                _ => return None,
            },
            _ => return None,
        };
        let sym = self.sym(&canonical);
        Some(self.constant(Const::Typed(data_type, sym)))
    }

    /// A call of a scalar function under its one name; arithmetic is folded where that is exact.
    pub fn call(&mut self, name: &str, args: &[ExprId]) -> ExprId {
        if clock::volatile(name) {
            self.volatile = true;
        }
        if functions::strict(name) && args.iter().any(|arg| self.is_null_const(*arg)) {
            return self.null();
        }
        match (name, args) {
            ("+" | "*", args) => self.sum_or_product(name, args),
            ("-", [a, b]) => {
                if let (Some(Const::Int(x)), Some(Const::Int(y))) = (self.as_const(*a), self.as_const(*b))
                    && let Some(value) = small(x.checked_sub(y))
                {
                    return self.int(value);
                }
                if let (Type::Int(_), Some(Const::Int(y))) = (self.type_of(*a), self.as_const(*b))
                    && let Some(value) = small(y.checked_neg())
                {
                    let negated = self.int(value);
                    return self.call("+", &[*a, negated]);
                }
                self.plain_call(name, args)
            }
            ("neg", [a]) => match self.as_const(*a) {
                Some(Const::Int(value)) => self.int(-value),
                Some(Const::Decimal(digits, scale)) => self.constant(Const::Decimal(-digits, scale)),
                _ => match self.node(*a).clone() {
                    Node::Call(inner, inner_args) if self.is(inner, "neg") && self.type_of(*a).is_exact() => {
                        inner_args[0]
                    }
                    _ if self.type_of(*a).is_int() => {
                        let minus_one = self.int(-1);
                        self.call("*", &[minus_one, *a])
                    }
                    _ => self.plain_call(name, args),
                },
            },
            ("/" | "//" | "%", [a, b]) => {
                let (mut a, mut b) = (*a, *b);
                if name == "/" && functions::double_division(self, a, b) {
                    (a, b) = (self.float_operand(a), self.float_operand(b));
                }
                match self.null_unless(b) {
                    Some((condition, divisor)) => {
                        let quotient = self.call(name, &[a, divisor]);
                        let null = self.null();
                        self.case(&[(condition, quotient)], null)
                    }
                    None => self.plain_call(name, &[a, b]),
                }
            }
            ("round", [value, digits @ ..]) if digits.iter().all(|e| self.as_const(*e).is_some()) => {
                match self.null_unless(*value) {
                    Some((condition, value)) => {
                        let mut args = vec![value];
                        args.extend_from_slice(digits);
                        let rounded = self.call(name, &args);
                        let null = self.null();
                        self.case(&[(condition, rounded)], null)
                    }
                    None => self.plain_call(name, args),
                }
            }
            ("left", [text, length]) if self.natural(*length) => {
                let one = self.int(1);
                self.call("substring", &[*text, one, *length])
            }
            ("trim" | "ltrim" | "rtrim", [text]) => self.trimmed(name, *text),
            ("like", [text, pattern]) => match self.plain_pattern(*text, *pattern) {
                Some(found) => found,
                None => self.plain_call(name, args),
            },
            ("concat", args) => match self.concatenated(args) {
                Some(text) => text,
                None => self.plain_call(name, args),
            },
            ("||", args) => {
                // In PostgreSQL it also appends to lists, where it matters what is put together first.
                let lists = self.dialect == Dialect::Postgres
                    && args.iter().any(|arg| self.type_of(*arg) == Type::Unknown);
                let mut flat = Vec::with_capacity(args.len());
                for arg in args {
                    match self.node(*arg) {
                        Node::Call(inner, more) if self.is(*inner, "||") && !lists => {
                            flat.extend_from_slice(more);
                        }
                        _ => flat.push(*arg),
                    }
                }
                self.plain_call(name, &flat)
            }
            ("if", [condition, result, otherwise]) => self.case(&[(*condition, *result)], *otherwise),
            ("if", [condition, result]) => {
                let otherwise = self.null();
                self.case(&[(*condition, *result)], otherwise)
            }
            ("nullif", [a, b]) => {
                let equal = self.cmp(CmpOp::Eq, *a, *b);
                let null = self.null();
                self.case(&[(equal, null)], *a)
            }
            ("coalesce", args) => self.coalesce(args),
            ("greatest" | "least", args) => {
                let mut sorted = args.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                self.plain_call(name, &sorted)
            }
            _ => self.plain_call(name, args),
        }
    }

    // rule: case
    /// The condition and the value of a CASE of one arm without ELSE. What is NULL with it moves inside.
    fn null_unless(&self, expr: ExprId) -> Option<(ExprId, ExprId)> {
        match self.node(expr) {
            Node::Case(arms, otherwise) if self.is_null_const(*otherwise) => match **arms {
                [arm] => Some(arm),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn plain_call(&mut self, name: &str, args: &[ExprId]) -> ExprId {
        let name = self.sym(name);
        self.intern(Node::Call(name, args.into()))
    }

    // rule: float-division
    /// In front of or behind a floating point division a cast of an exact number to DOUBLE and a factor 1.0 change
    /// nothing: the operands are converted in any case.
    fn float_operand(&mut self, expr: ExprId) -> ExprId {
        match self.node(expr).clone() {
            Node::Cast(inner, Type::Float(64), _, false)
                if self.type_of(inner).is_int()
                    || self.type_of(inner) == Type::Float(64)
                    || (self.type_of(inner).is_exact() && self.dialect == crate::sql::Dialect::DuckDb) =>
            {
                self.float_operand(inner)
            }
            // Elsewhere 1.0 is of another type than 1.
            _ if self.dialect != crate::sql::Dialect::DuckDb => expr,
            Node::Const(Const::Decimal(digits, scale)) => match whole(digits, scale) {
                Some(value) => self.int(value),
                None => expr,
            },
            Node::Call(name, args) if self.is(name, "*") => {
                let mut kept: Vec<_> = args.iter().map(|arg| self.float_operand(*arg)).collect();
                kept.retain(|arg| self.as_const(*arg) != Some(Const::Int(1)));
                let changed = kept.len() < args.len() || kept.iter().zip(&args).any(|(a, b)| a != b);
                let counts = kept.iter().all(|arg| match self.node(*arg) {
                    Node::Col(col) => self.col(*col).count,
                    Node::Const(Const::Int(value)) => value.unsigned_abs() <= 1000,
                    _ => false,
                });
                match kept.as_slice() {
                    [] => self.int(1),
                    [one] if changed => self.float_operand(*one),
                    kept if changed && counts => {
                        let kept = kept.to_vec();
                        self.call("*", &kept)
                    }
                    _ => expr,
                }
            }
            _ => expr,
        }
    }

    // rule: arithmetic
    /// `+` and `*`: operands in any order; flattened and folded for integers only (overflow aside), since sums of
    /// floating point numbers depend on their order.
    fn sum_or_product(&mut self, name: &str, args: &[ExprId]) -> ExprId {
        let product = name == "*";
        if !args.iter().all(|arg| self.type_of(*arg).is_int()) {
            let mut sorted = args.to_vec();
            sorted.sort_unstable();
            return self.plain_call(name, &sorted);
        }
        let mut rest = Vec::with_capacity(args.len());
        let mut folded: i128 = i128::from(product);
        let mut constants = Vec::new();
        for arg in args {
            let inner = match self.node(*arg) {
                Node::Call(inner, more) if self.is(*inner, name) => more.to_vec(),
                _ => vec![*arg],
            };
            for e in inner {
                match self.as_const(e) {
                    Some(Const::Int(value)) => {
                        constants.push(e);
                        let next =
                            if product { folded.checked_mul(value) } else { folded.checked_add(value) };
                        match small(next) {
                            Some(next) => folded = next,
                            None => {
                                // Would overflow in the database too: leave it as written.
                                let mut sorted = args.to_vec();
                                sorted.sort_unstable();
                                return self.plain_call(name, &sorted);
                            }
                        }
                    }
                    _ => rest.push(e),
                }
            }
        }
        if rest.is_empty() || folded != i128::from(product) {
            let value = self.int(folded);
            rest.push(value);
        }
        if let [one] = rest.as_slice() {
            return *one;
        }
        rest.sort_unstable();
        self.plain_call(name, &rest)
    }

    /// The expression where the marker is TRUE, otherwise NULL.
    pub fn guard(&mut self, marker: Col, expr: ExprId) -> ExprId {
        match self.node(expr) {
            Node::Const(Const::Null) => return expr,
            Node::Const(Const::Bool(true)) => return self.column(marker),
            Node::Guard(inner, _) if *inner == marker => return expr,
            Node::Col(col) if *col == marker => return expr,
            _ => {}
        }
        self.intern(Node::Guard(marker, expr))
    }

    /// EXISTS.
    pub fn exists(&mut self, sub: SubId) -> ExprId {
        self.intern(Node::Exists(sub))
    }

    /// `IN (subquery)`.
    pub fn in_sub(&mut self, left: &[ExprId], sub: SubId) -> ExprId {
        self.intern(Node::In(left.into(), sub))
    }

    /// A scalar subquery.
    pub fn scalar(&mut self, sub: SubId) -> ExprId {
        self.intern(Node::Scalar(sub))
    }
}

/// An integer that fits the narrowest type of a literal, so that folding cannot hide an overflow.
pub(super) fn small(value: Option<i128>) -> Option<i128> {
    value.filter(|value| i32::try_from(*value).is_ok())
}

/// The integer that a decimal is equal to, if it is whole.
pub(super) fn whole(digits: i128, scale: u8) -> Option<i128> {
    let unit = 10i128.checked_pow(u32::from(scale))?;
    (digits % unit == 0).then_some(digits / unit)
}
