//! Construction of CASE and COALESCE.

use super::node::{CmpOp, Const, Node};
use super::{Arena, ExprId};
use crate::sql::types::Type;

impl Arena {
    // rule: case
    /// Searched CASE.
    pub fn case(&mut self, arms: &[(ExprId, ExprId)], otherwise: ExprId) -> ExprId {
        let mut flat: Vec<(ExprId, ExprId)> = Vec::with_capacity(arms.len());
        let written = otherwise;
        let mut otherwise = otherwise;
        let mut dropped = Vec::new();
        for (at, (condition, result)) in arms.iter().enumerate() {
            let condition = self.condition(*condition);
            let condition = self.after_earlier(condition, &flat);
            match self.as_bool(condition) {
                Some(false) => {
                    dropped.push(*result);
                    continue;
                }
                Some(true) => {
                    dropped.extend(arms[at + 1..].iter().map(|(_, result)| *result).chain([written]));
                    otherwise = *result;
                    break;
                }
                None => {}
            }
            match flat.last_mut() {
                Some((last, same)) if *same == *result => {
                    let both = [*last, condition];
                    *last = self.or(&both);
                }
                _ => flat.push((condition, *result)),
            }
        }
        if !dropped.is_empty() {
            let kept = self.common_type(flat.iter().map(|(_, result)| *result).chain([otherwise]));
            if !dropped.iter().all(|e| self.keeps_type(kept, *e)) {
                return self.intern(Node::Case(arms.into(), written));
            }
        }
        if let Node::Case(more, last) = self.node(otherwise).clone() {
            for (condition, result) in more {
                flat.push((self.after_earlier(condition, &flat), result));
            }
            otherwise = last;
        }
        while flat.last().is_some_and(|(_, result)| *result == otherwise) {
            flat.pop();
        }
        if flat.is_empty() {
            return otherwise;
        }
        if let [(condition, result)] = flat.as_slice() {
            return self.single_case(*condition, *result, otherwise);
        }
        if self.arms_exclude_each_other(&flat) {
            flat.sort_unstable();
        }
        self.intern(Node::Case(flat.into_boxed_slice(), otherwise))
    }

    /// What a condition is where only TRUE counts.
    pub fn condition(&mut self, expr: ExprId) -> ExprId {
        match self.node(expr).clone() {
            Node::IsTrue(inner) => self.condition(inner),
            Node::Const(Const::Null) => self.boolean(false),
            Node::And(list) => {
                let each: Vec<_> = list.iter().map(|e| self.condition(*e)).collect();
                let kept: Vec<_> = each.iter().copied().filter(|e| !self.implied_test(*e, &each)).collect();
                match self.and(&kept) {
                    joined if matches!(self.node(joined), Node::And(_)) => joined,
                    other => self.condition(other),
                }
            }
            Node::Or(list) => {
                let each: Vec<_> = list.iter().map(|e| self.condition(*e)).collect();
                self.or(&each)
            }
            _ => expr,
        }
    }

    /// Whether this says of a column that it is not NULL, where another conjunct is not true of a NULL.
    fn implied_test(&self, e: ExprId, conjuncts: &[ExprId]) -> bool {
        let Node::Not(inner) = *self.node(e) else { return false };
        let Node::IsNull(tested) = *self.node(inner) else { return false };
        let Node::Col(col) = *self.node(tested) else { return false };
        let null = [col].into_iter().collect();
        conjuncts.iter().any(|other| *other != e && self.never_true_when(*other, &null))
    }

    /// The condition of an arm without what the arms before it say: none of their conditions is true.
    fn after_earlier(&mut self, condition: ExprId, earlier: &[(ExprId, ExprId)]) -> ExprId {
        let Node::And(list) = self.node(condition).clone() else { return condition };
        let mut kept = list.to_vec();
        for (before, _) in earlier {
            let members = match self.node(*before) {
                Node::Or(list) => list.to_vec(),
                _ => vec![*before],
            };
            for member in members {
                let Node::Cmp(_, a, b) = *self.node(member) else { continue };
                let fails = self.not(member);
                let Some(at) = kept.iter().position(|e| *e == fails) else { continue };
                let others: Vec<_> = kept.iter().copied().filter(|e| *e != fails).collect();
                // Not true may be NULL as well, unless the other conjuncts rule that out.
                let known = |operand: ExprId| match self.node(operand) {
                    Node::Col(col) => {
                        let null = [*col].into_iter().collect();
                        others.iter().any(|e| self.never_true_when(*e, &null))
                    }
                    _ => others.iter().any(
                        |e| matches!(self.node(*e), Node::Cmp(_, a, b) if *a == operand || *b == operand),
                    ),
                };
                if !others.is_empty() && self.null_covered(a, &known) && self.null_covered(b, &known) {
                    kept.remove(at);
                }
            }
        }
        if kept.len() == list.len() { condition } else { self.and(&kept) }
    }

    fn single_case(&mut self, condition: ExprId, result: ExprId, otherwise: ExprId) -> ExprId {
        if let Node::Not(inner) = *self.node(condition)
            && self.two_valued(inner)
        {
            return self.case(&[(inner, otherwise)], result);
        }
        if let Node::IsNull(tested) = *self.node(condition)
            && tested == otherwise
        {
            return self.coalesce(&[tested, result]);
        }
        let truth = |arena: &mut Self| arena.is_true(condition);
        let boolean = |arena: &Self, e: ExprId| arena.type_of(e) == Type::Bool;
        match (self.as_bool(result), self.as_bool(otherwise)) {
            (Some(true), Some(false)) => return truth(self),
            (Some(false), Some(true)) => {
                let holds = truth(self);
                return self.not(holds);
            }
            (Some(true), None) if boolean(self, otherwise) => {
                let holds = truth(self);
                return self.or(&[holds, otherwise]);
            }
            (Some(false), None) if boolean(self, otherwise) => {
                let holds = truth(self);
                let fails = self.not(holds);
                return self.and(&[fails, otherwise]);
            }
            (None, Some(false)) if boolean(self, result) => {
                let holds = truth(self);
                return self.and(&[holds, result]);
            }
            (None, Some(true)) if boolean(self, result) => {
                let holds = truth(self);
                let fails = self.not(holds);
                return self.or(&[fails, result]);
            }
            _ => {}
        }
        // `x <> 1 OR x IS NULL` is never NULL: its negation is shorter.
        let decided = self.two_valued(condition);
        if decided
            && let Node::Or(list) = self.node(condition)
            && list.iter().any(|e| !self.two_valued(*e))
        {
            let negated = self.not(condition);
            return self.case(&[(negated, otherwise)], result);
        }
        // NULLIF: where the condition is NULL, so is the other result.
        if !decided
            && self.is_null_const(result)
            && !self.is_null_const(otherwise)
            && self.null_covered(condition, &|e| self.null_with(otherwise, e))
        {
            let negated = self.not(condition);
            return self.case(&[(negated, otherwise)], result);
        }
        self.intern(Node::Case(Box::new([(condition, result)]), otherwise))
    }

    /// Every condition compares the same expression with another literal.
    fn arms_exclude_each_other(&self, arms: &[(ExprId, ExprId)]) -> bool {
        let mut subject = None;
        let mut seen = Vec::with_capacity(arms.len());
        arms.iter().all(|(condition, _)| {
            let Node::Cmp(CmpOp::Eq, a, b) = *self.node(*condition) else { return false };
            let (tested, literal) = match (self.as_const(a), self.as_const(b)) {
                (None, Some(literal)) => (a, literal),
                (Some(literal), None) => (b, literal),
                _ => return false,
            };
            let comparable = match literal {
                Const::Int(_) => self.type_of(tested).is_int(),
                Const::Text(_) => self.reads_as_text(tested, literal),
                _ => false,
            };
            let same_kind = seen
                .first()
                .is_none_or(|first| std::mem::discriminant(first) == std::mem::discriminant(&literal));
            let fresh = !seen.contains(&literal);
            seen.push(literal);
            comparable && same_kind && fresh && *subject.get_or_insert(tested) == tested
        })
    }

    /// Whether different literals like this are different beside the expression: '1' and '01' are one number, 't' and
    /// 'true' one truth value. Where the type is not known, the literal has to be a word that no other type has.
    pub fn reads_as_text(&self, tested: ExprId, literal: Const) -> bool {
        let Const::Text(text) = literal else { return false };
        let word = self.text(text).trim().to_ascii_lowercase();
        match self.type_of(tested) {
            Type::Text => true,
            Type::Unknown => {
                word.starts_with(|c: char| c.is_ascii_alphabetic())
                    && !matches!(
                        word.as_str(),
                        "t" | "f" | "true" | "false" | "y" | "n" | "yes" | "no" | "on" | "off"
                    )
                    && !["inf", "nan", "epoch", "now", "today", "yesterday", "tomorrow"]
                        .iter()
                        .any(|start| word.starts_with(start))
            }
            _ => false,
        }
    }

    /// COALESCE.
    pub fn coalesce(&mut self, list: &[ExprId]) -> ExprId {
        let mut flat: Vec<ExprId> = Vec::with_capacity(list.len());
        for member in list {
            let inner = match self.node(*member) {
                Node::Coalesce(inner) => inner.to_vec(),
                _ => vec![*member],
            };
            for e in inner {
                if !self.is_null_const(e) && !flat.contains(&e) {
                    flat.push(e);
                }
            }
        }
        // COALESCE(NULLIF(n, 0), 0) is COALESCE(n, 0).
        if let [first, second] = *flat.as_slice()
            && let Node::Case(arms, otherwise) = self.node(first).clone()
            && let [(condition, result)] = *arms
            && matches!(self.as_const(second), Some(Const::Int(_)))
        {
            let (op, value) = match (self.is_null_const(result), self.is_null_const(otherwise)) {
                (true, false) => (CmpOp::Eq, otherwise),
                _ => (CmpOp::Ne, result),
            };
            let other = self.is_null_const(result) || self.is_null_const(otherwise);
            if other && self.type_of(value).is_int() && condition == self.cmp(op, value, second) {
                flat[0] = value;
            }
        }
        let certain = |arena: &Self, e: ExprId| {
            arena.two_valued(e) || arena.as_const(e).is_some_and(|v| !matches!(v, Const::Raw(_)))
        };
        if let Some(at) = flat.iter().position(|e| certain(self, *e)) {
            self.cut_coalesce(&mut flat, at + 1);
        }
        match flat.as_slice() {
            [] => return self.null(),
            [one] => return *one,
            [truth, other] if self.type_of(*truth) == Type::Bool => match self.as_bool(*other) {
                Some(false) => return self.is_true(*truth),
                Some(true) => {
                    let fails = self.not(*truth);
                    let fails = self.is_true(fails);
                    return self.not(fails);
                }
                None => {}
            },
            _ => {}
        }
        // A CASE without ELSE that is not NULL where its condition is true.
        if let Node::Case(arms, otherwise) = self.node(flat[0]).clone()
            && let ([(condition, result)], true) = (&*arms, self.is_null_const(otherwise))
            && self.holds_not_null(*condition, *result)
        {
            let rest = self.coalesce(&flat[1..]);
            return self.case(&[(*condition, *result)], rest);
        }
        self.intern(Node::Coalesce(flat.into_boxed_slice()))
    }

    /// Whether the expression is not NULL where the condition is true.
    fn holds_not_null(&self, condition: ExprId, expr: ExprId) -> bool {
        self.null_covered(expr, &|e| match self.node(e) {
            Node::Col(col) => self.never_true_when(condition, &[*col].into_iter().collect()),
            _ => false,
        })
    }

    /// Takes what stands behind the first `length` members, which are never all NULL, out of a COALESCE; not where it
    /// decides the type.
    pub fn cut_coalesce(&self, list: &mut Vec<ExprId>, length: usize) {
        let kept = self.common_type(list[..length].iter().copied());
        if list[length..].iter().all(|e| self.keeps_type(kept, *e)) {
            list.truncate(length);
        }
    }
}
