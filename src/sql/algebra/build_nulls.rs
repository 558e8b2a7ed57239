//! Construction of tests for NULL and for truth, and what is known of where NULLs come from.

use super::node::{Const, Node};
use super::{Arena, Col, ExprId};
use crate::sql::types::Type;
use crate::sql::{Dialect, functions};

impl Arena {
    /// `IS NULL`.
    pub fn is_null(&mut self, expr: ExprId) -> ExprId {
        match self.node(expr).clone() {
            Node::Const(Const::Raw(_)) => self.intern(Node::IsNull(expr)),
            Node::Const(value) => self.boolean(value == Const::Null),
            Node::Same(..) | Node::IsNull(_) | Node::IsTrue(_) | Node::Exists(_) => self.boolean(false),
            Node::Not(inner) => self.is_null(inner),
            Node::Cast(inner, to, _, false) if self.cast_keeps_null(inner, to) => self.is_null(inner),
            Node::Cmp(_, a, b) => self.any_null(&[a, b]),
            Node::Call(name, args) if functions::total(self.text(name)) => self.any_null(&args),
            Node::Guard(marker, inner) => {
                let marker = self.column(marker);
                self.any_null(&[marker, inner])
            }
            Node::Coalesce(list) => {
                let all: Vec<_> = list.iter().map(|e| self.is_null(*e)).collect();
                self.and(&all)
            }
            Node::Case(arms, otherwise) => {
                let arms: Vec<_> =
                    arms.iter().map(|(condition, result)| (*condition, self.is_null(*result))).collect();
                let otherwise = self.is_null(otherwise);
                self.case(&arms, otherwise)
            }
            _ => self.intern(Node::IsNull(expr)),
        }
    }

    /// `col IS NOT NULL`, also where the column is known not to be NULL.
    pub fn intern_not_null(&mut self, col: Col) -> ExprId {
        let column = self.column(col);
        let test = self.intern(Node::IsNull(column));
        self.intern(Node::Not(test))
    }

    fn any_null(&mut self, list: &[ExprId]) -> ExprId {
        let any: Vec<_> = list.iter().map(|e| self.is_null(*e)).collect();
        self.or(&any)
    }

    /// Whether the expression is never NULL whatever its columns hold.
    pub fn two_valued(&self, expr: ExprId) -> bool {
        match self.node(expr) {
            Node::Same(..) | Node::IsNull(_) | Node::IsTrue(_) | Node::Exists(_) => true,
            Node::Const(value) => matches!(value, Const::Bool(_)),
            Node::Not(inner) => self.two_valued(*inner),
            Node::And(list) => self.decided(list, true),
            Node::Or(list) => self.decided(list, false),
            _ => false,
        }
    }

    /// Whether a conjunction or disjunction is never NULL: what may be NULL in it is tested for NULL beside it.
    fn decided(&self, list: &[ExprId], and: bool) -> bool {
        let tests = self.null_tests(list, and);
        let covered = |e: ExprId| tests.iter().any(|(_, tested)| *tested == e);
        list.iter().all(|e| self.two_valued(*e) || !tests.is_empty() && self.null_covered(*e, &covered))
    }

    /// The members of a disjunction that are `x IS NULL`, of a conjunction `x IS NOT NULL`, and what they test.
    fn null_tests(&self, list: &[ExprId], and: bool) -> Vec<(ExprId, ExprId)> {
        let tested = |e: ExprId| match *self.node(e) {
            Node::IsNull(tested) => Some(tested),
            _ => None,
        };
        let found = list.iter().filter_map(|e| match *self.node(*e) {
            Node::Not(inner) if and => Some((*e, tested(inner)?)),
            _ if and => None,
            _ => Some((*e, tested(*e)?)),
        });
        found.collect()
    }

    /// Whether the expression is NULL only where something that is `covered` is.
    pub(super) fn null_covered(&self, expr: ExprId, covered: &dyn Fn(ExprId) -> bool) -> bool {
        if covered(expr) {
            return true;
        }
        match self.node(expr) {
            Node::Const(value) => !matches!(value, Const::Null | Const::Raw(_)),
            Node::Cmp(_, a, b) => self.null_covered(*a, covered) && self.null_covered(*b, covered),
            Node::Not(inner) => self.null_covered(*inner, covered),
            Node::Cast(inner, to, _, false) => {
                self.cast_keeps_null(*inner, *to) && self.null_covered(*inner, covered)
            }
            Node::Call(name, args) => {
                functions::total(self.text(*name)) && args.iter().all(|e| self.null_covered(*e, covered))
            }
            _ => self.two_valued(expr),
        }
    }

    // rule: null-tests
    /// `x = 1 AND x IS NOT NULL` is `(x = 1) IS TRUE`.
    pub(super) fn join_null_tests(&mut self, flat: &mut Vec<ExprId>) {
        let tests = self.null_tests(flat, true);
        if tests.is_empty() {
            return;
        }
        let members: Vec<_> =
            flat.iter().copied().filter(|e| matches!(self.node(*e), Node::Cmp(..))).collect();
        for e in members {
            let used = std::cell::RefCell::new(Vec::new());
            let covered = |operand: ExprId| match tests.iter().find(|(_, tested)| *tested == operand) {
                Some((test, _)) => {
                    used.borrow_mut().push(*test);
                    true
                }
                None => false,
            };
            if self.null_covered(e, &covered) {
                let used = used.into_inner();
                flat.retain(|other| *other != e && !used.contains(other));
                flat.push(self.is_true(e));
            }
        }
        flat.sort_unstable();
        flat.dedup();
    }

    /// Whether `p IS TRUE` stands beside its negation, which is `NOT p OR x IS NULL`.
    pub(super) fn decided_by_truth(&mut self, flat: &[ExprId], and: bool) -> bool {
        flat.iter().any(|member| {
            let Node::IsTrue(inner) = *self.node(*member) else { return false };
            if !matches!(self.node(inner), Node::Cmp(..)) {
                return false;
            }
            let negated = self.not(*member);
            match self.node(negated) {
                Node::Or(list) if !and => list.iter().all(|e| flat.contains(e)),
                _ => flat.contains(&negated),
            }
        })
    }

    /// Whether the expression is NULL wherever the other one is.
    pub(super) fn null_with(&self, expr: ExprId, other: ExprId) -> bool {
        expr == other
            || match self.node(other) {
                Node::Col(col) => self.null_when(expr, &[*col].into_iter().collect()),
                _ => match self.node(expr) {
                    Node::Cast(inner, ..) => self.null_with(*inner, other),
                    Node::Call(name, args) => {
                        functions::strict(self.text(*name)) && args.iter().any(|e| self.null_with(*e, other))
                    }
                    _ => false,
                },
            }
    }

    /// `IS TRUE`.
    pub fn is_true(&mut self, expr: ExprId) -> ExprId {
        if self.is_null_const(expr) {
            return self.boolean(false);
        }
        if self.two_valued(expr) {
            return expr;
        }
        match self.node(expr).clone() {
            Node::And(list) => {
                let each: Vec<_> = list.iter().map(|e| self.is_true(*e)).collect();
                self.and(&each)
            }
            Node::Or(list) => {
                let each: Vec<_> = list.iter().map(|e| self.is_true(*e)).collect();
                self.or(&each)
            }
            _ => self.intern(Node::IsTrue(expr)),
        }
    }

    /// Whether a cast is NULL only where its operand is: not so of a JSON null, which a value of a type that is not known
    /// may be, nor where a cast that fails may give NULL.
    pub fn cast_keeps_null(&self, operand: ExprId, to: Type) -> bool {
        let from = self.type_of(operand);
        let gives_null = self.dialect == Dialect::Databricks
            && (from == Type::Text || matches!(to, Type::Decimal(..) | Type::Unknown));
        !gives_null && (from != Type::Unknown || self.is_plain(operand))
    }

    /// Whether a value of a type that is not known is at least a plain number, date or text: no JSON.
    fn is_plain(&self, expr: ExprId) -> bool {
        match self.node(expr) {
            Node::Const(_) => true,
            Node::Call(name, _) => functions::arithmetic(self.text(*name)),
            Node::Case(arms, otherwise) => {
                self.is_plain_or_typed(*otherwise)
                    && arms.iter().all(|(_, result)| self.is_plain_or_typed(*result))
            }
            Node::Coalesce(list) => list.iter().all(|e| self.is_plain_or_typed(*e)),
            Node::Guard(_, inner) => self.is_plain_or_typed(*inner),
            _ => false,
        }
    }

    fn is_plain_or_typed(&self, expr: ExprId) -> bool {
        self.type_of(expr) != Type::Unknown || self.is_plain(expr)
    }
}
