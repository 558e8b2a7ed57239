//! Simplification of expressions that needs to know what may be NULL, and of conditions, where only TRUE counts.

use super::super::algebra::{CmpOp, ColSet, Const, ExprId, Node};
use super::super::types::Type;
use super::Normalizer;

impl Normalizer<'_> {
    /// Simplifies an expression whose value matters. `extended` are the columns that outer joins may set to NULL.
    pub(super) fn value(&mut self, e: ExprId, extended: &ColSet) -> ExprId {
        match self.arena.node(e).clone() {
            Node::Col(_) | Node::Const(_) => e,
            Node::Exists(sub) => self.exists(sub, extended),
            Node::In(left, sub) => {
                let left: Vec<_> = left.iter().map(|e| self.value(*e, extended)).collect();
                self.in_value(&left, sub, extended)
            }
            Node::Scalar(sub) => self.scalar(sub, extended),
            Node::IsNull(inner) => {
                let inner = self.value(inner, extended);
                if self.arena.nullable(inner, extended) {
                    self.arena.is_null(inner)
                } else {
                    self.arena.boolean(false)
                }
            }
            Node::Coalesce(list) => {
                let mut kept: Vec<_> = list.iter().map(|e| self.value(*e, extended)).collect();
                let facts = self.arena.used_facts.clone();
                if let Some(at) = kept.iter().position(|e| !self.arena.nullable(*e, extended)) {
                    let before = kept.len();
                    self.arena.cut_coalesce(&mut kept, at + 1);
                    if kept.len() == before {
                        self.arena.used_facts = facts;
                    }
                }
                self.arena.coalesce(&kept)
            }
            Node::Same(a, b) => {
                let (a, b) = (self.value(a, extended), self.value(b, extended));
                let a_null = self.arena.nullable(a, extended);
                let b_null = self.arena.nullable(b, extended);
                if a_null && b_null {
                    return self.arena.same(a, b);
                }
                let equal = self.arena.cmp(CmpOp::Eq, a, b);
                if a_null || b_null { self.arena.is_true(equal) } else { equal }
            }
            Node::IsTrue(inner) => {
                let inner = self.condition(inner, extended);
                if self.arena.nullable(inner, extended) { self.arena.is_true(inner) } else { inner }
            }
            Node::Guard(marker, inner) => {
                let inner = self.value(inner, extended);
                if !extended.contains(marker) && self.arena.derived.contains(marker) {
                    return inner;
                }
                self.arena.guard(marker, inner)
            }
            Node::Case(arms, otherwise) => {
                let mut simplified = Vec::with_capacity(arms.len());
                for (condition, result) in &*arms {
                    simplified.push((self.condition(*condition, extended), self.value(*result, extended)));
                }
                let otherwise = self.value(otherwise, extended);
                if let [(condition, result)] = simplified.as_slice() {
                    // A condition that is never NULL may be negated: one of the two forms is taken.
                    if self.prefers_negation(*condition) && !self.arena.nullable(*condition, extended) {
                        let negated = self.arena.not(*condition);
                        return self.arena.case(&[(negated, otherwise)], *result);
                    }
                }
                self.arena.case(&simplified, otherwise)
            }
            Node::Agg(mut call) => {
                if let Some(filter) = call.filter {
                    call.filter = Some(self.condition(filter, extended));
                }
                call.args = call.args.iter().map(|e| self.value(*e, extended)).collect();
                call.order.iter_mut().for_each(|key| key.expr = self.value(key.expr, extended));
                self.arena.aggregate(call)
            }
            node => {
                let mut rebuilt = Vec::new();
                super::super::algebra::map::children(&node, &mut |child| rebuilt.push(child));
                let mapped: Vec<_> = rebuilt.iter().map(|child| self.value(*child, extended)).collect();
                if mapped == rebuilt {
                    return e;
                }
                self.arena.rebuild(node, &mut |_, child| {
                    rebuilt.iter().position(|other| *other == child).map_or(child, |at| mapped[at])
                })
            }
        }
    }

    fn prefers_negation(&self, condition: ExprId) -> bool {
        match *self.arena.node(condition) {
            Node::Cmp(CmpOp::Ne, ..) | Node::Not(_) => true,
            Node::Cmp(CmpOp::Le, a, b) => match (self.arena.as_const(a), self.arena.as_const(b)) {
                // Integer bounds are written with <=: the literal goes to the right.
                (Some(_), None) => true,
                (None, Some(Const::Int(_))) if self.arena.type_of(a).is_int() => false,
                (None, Some(Const::Typed(Type::Date, _))) if self.arena.type_of(a) == Type::Date => false,
                _ => true,
            },
            _ => false,
        }
    }

    /// Simplifies a condition: what is true stays true, FALSE and NULL may be exchanged.
    pub(super) fn condition(&mut self, e: ExprId, extended: &ColSet) -> ExprId {
        match self.arena.node(e).clone() {
            Node::Const(Const::Null) => self.arena.boolean(false),
            Node::IsTrue(inner) => self.condition(inner, extended),
            Node::And(list) => {
                let each: Vec<_> = list.iter().map(|e| self.condition(*e, extended)).collect();
                self.arena.and(&each)
            }
            Node::Or(list) => {
                let each: Vec<_> = list.iter().map(|e| self.condition(*e, extended)).collect();
                self.disjunction(&each, extended)
            }
            Node::In(left, sub) => {
                let left: Vec<_> = left.iter().map(|e| self.value(*e, extended)).collect();
                let exists = self.in_condition(&left, sub, extended);
                self.arena.condition(exists)
            }
            Node::Exists(sub) => {
                let exists = self.exists(sub, extended);
                self.arena.condition(exists)
            }
            Node::Not(inner) => match self.arena.node(inner).clone() {
                Node::In(left, sub) => {
                    let left: Vec<_> = left.iter().map(|e| self.value(*e, extended)).collect();
                    self.not_in_condition(&left, sub, extended)
                }
                _ => {
                    let inner = self.value(inner, extended);
                    self.arena.not(inner)
                }
            },
            Node::Cmp(op, a, b) => {
                let (a, b) = (self.value(a, extended), self.value(b, extended));
                self.comparison(op, a, b, extended)
            }
            _ => self.value(e, extended),
        }
    }

    fn disjunction(&mut self, list: &[ExprId], extended: &ColSet) -> ExprId {
        // x <> 1 OR x <> 2 is true for every x but NULL.
        for (at, first) in list.iter().enumerate() {
            let Some((tested, literal)) = self.unequal_to_const(*first) else { continue };
            for second in &list[at + 1..] {
                if let Some((other, different)) = self.unequal_to_const(*second)
                    && other == tested
                    && self.certainly_unequal(tested, literal, different)
                {
                    let mut rest: Vec<_> =
                        list.iter().copied().filter(|e| e != first && e != second).collect();
                    rest.push(self.not_null(tested, extended));
                    return self.arena.or(&rest);
                }
            }
        }
        self.arena.or(list)
    }

    fn unequal_to_const(&self, e: ExprId) -> Option<(ExprId, Const)> {
        let Node::Cmp(CmpOp::Ne, a, b) = *self.arena.node(e) else { return None };
        match (self.arena.as_const(a), self.arena.as_const(b)) {
            (None, Some(value)) => Some((a, value)),
            (Some(value), None) => Some((b, value)),
            _ => None,
        }
    }

    fn certainly_unequal(&self, tested: ExprId, a: Const, b: Const) -> bool {
        match (a, b) {
            (Const::Int(x), Const::Int(y)) => x != y && self.arena.type_of(tested) != Type::Bool,
            (Const::Text(x), Const::Text(y)) => {
                x != y && self.arena.reads_as_text(tested, a) && self.arena.reads_as_text(tested, b)
            }
            (Const::Typed(a_type, a), Const::Typed(b_type, b)) => {
                a_type == b_type && matches!(a_type, Type::Date | Type::Timestamp) && a != b
            }
            _ => false,
        }
    }

    /// `IS NOT NULL`.
    pub(super) fn not_null(&mut self, e: ExprId, extended: &ColSet) -> ExprId {
        if !self.arena.nullable(e, extended) {
            return self.arena.boolean(true);
        }
        let null = self.arena.is_null(e);
        self.arena.not(null)
    }

    fn comparison(&mut self, op: CmpOp, a: ExprId, b: ExprId, extended: &ColSet) -> ExprId {
        if a == b && !self.arena.nan_is_unequal(a) {
            return match op {
                CmpOp::Eq | CmpOp::Le => self.not_null(a, extended),
                CmpOp::Ne | CmpOp::Lt => self.arena.boolean(false),
            };
        }
        for (subject, other, left) in [(a, b, true), (b, a, false)] {
            match self.arena.node(subject).clone() {
                // coalesce(x, 'd') = y is x = y OR (x IS NULL AND 'd' = y).
                Node::Coalesce(list)
                    if self.arena.as_const(other).is_some()
                        && list.len() == 2
                        && self.compare_alike(list[0], list[1], other) =>
                {
                    let first = self.oriented(op, list[0], other, left);
                    let second = self.oriented(op, list[1], other, left);
                    let second = self.condition(second, extended);
                    let null = self.arena.is_null(list[0]);
                    let second = self.arena.and(&[null, second]);
                    let first = self.condition(first, extended);
                    return self.disjunction(&[first, second], extended);
                }
                // A CASE over literals compared with a literal is a condition.
                Node::Case(arms, otherwise)
                    if self.arena.as_const(other).is_some()
                        && self.arena.as_const(otherwise).is_some()
                        && arms.iter().all(|(_, result)| self.arena.as_const(*result).is_some()) =>
                {
                    let arms: Vec<_> = arms
                        .iter()
                        .map(|(condition, result)| (*condition, self.oriented(op, *result, other, left)))
                        .collect();
                    let otherwise = self.oriented(op, otherwise, other, left);
                    let folded = self.arena.case(&arms, otherwise);
                    if !matches!(self.arena.node(folded), Node::Case(..)) {
                        return self.condition(folded, extended);
                    }
                }
                _ => {}
            }
        }
        // A count is never negative.
        if let (CmpOp::Le, Some(Const::Int(low)), Node::Col(col)) =
            (op, self.arena.as_const(a), self.arena.node(b))
            && low <= 0
            && self.arena.col(*col).count
        {
            return self.not_null(b, extended);
        }
        if let Some(range) = self.year_range(op, a, b) {
            return range;
        }
        self.arena.cmp(op, a, b)
    }

    /// Whether two expressions beside each other, of which one is the literal, are compared as each is by itself.
    fn compare_alike(&self, a: ExprId, b: ExprId, literal: ExprId) -> bool {
        let number = |kind: Type| kind.is_exact() || matches!(kind, Type::Float(_));
        let (a, b) = (self.arena.type_of(a), self.arena.type_of(b));
        a == b && a != Type::Unknown
            || number(a) && number(b)
            || b == self.arena.type_of(literal) && !(a == Type::Text && b != Type::Text)
    }

    fn oriented(&mut self, op: CmpOp, subject: ExprId, other: ExprId, left: bool) -> ExprId {
        if left { self.arena.cmp(op, subject, other) } else { self.arena.cmp(op, other, subject) }
    }

    /// `year(d) = 2024` is a range of `d`. Other comparisons are not: infinite dates have no year.
    fn year_range(&mut self, op: CmpOp, a: ExprId, b: ExprId) -> Option<ExprId> {
        let (call, year) = match (op, self.arena.as_const(a), self.arena.as_const(b)) {
            (CmpOp::Eq, None, Some(Const::Int(year))) => (a, year),
            (CmpOp::Eq, Some(Const::Int(year)), None) => (b, year),
            _ => return None,
        };
        let Node::Call(name, args) = self.arena.node(call).clone() else { return None };
        let [part, date] = *args else { return None };
        let Some(Const::Text(part)) = self.arena.as_const(part) else { return None };
        let kind = self.arena.type_of(date);
        if !self.arena.is(name, "date_part")
            || !self.arena.is(part, "year")
            || !matches!(kind, Type::Date | Type::Timestamp)
            || !(1000..=9000).contains(&year)
        {
            return None;
        }
        let first_day = |this: &mut Self, year: i128| {
            let text = this.arena.sym(&format!("{year:04}-01-01"));
            this.arena.typed_literal(kind, text)
        };
        let (start, end) = (first_day(self, year)?, first_day(self, year + 1)?);
        let from = self.arena.cmp(CmpOp::Le, start, date);
        let to = self.arena.cmp(CmpOp::Lt, date, end);
        Some(self.arena.and(&[from, to]))
    }

    /// Whether a condition is never true.
    pub(super) fn never(&self, e: ExprId) -> bool {
        matches!(self.arena.node(e), Node::Const(Const::Null | Const::Bool(false)))
    }

    /// Adds the conjuncts of a condition, without those that are always true.
    pub(super) fn split(&self, e: ExprId, into: &mut Vec<ExprId>) {
        match self.arena.node(e) {
            Node::And(list) => into.extend_from_slice(list),
            Node::Const(Const::Bool(true)) => {}
            _ => into.push(e),
        }
    }
}
