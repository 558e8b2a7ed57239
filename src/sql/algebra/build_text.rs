//! Construction of expressions over text: patterns without wildcards inside, parts, trimming, concatenation.

use super::node::{Const, Node};
use super::{Arena, CmpOp, ExprId};
use crate::sql::Dialect;
use crate::sql::types::Type;

// rule: texts
impl Arena {
    pub(super) fn natural(&self, expr: ExprId) -> bool {
        matches!(self.as_const(expr), Some(Const::Int(number)) if number >= 0)
    }

    /// Whether two texts are equal only where they are the same.
    fn compares_bytes(&self, text: ExprId) -> bool {
        self.type_of(text) == Type::Text && self.dialect != Dialect::Redshift
    }

    /// `LTRIM(RTRIM(x))` is `TRIM(x)`.
    pub(super) fn trimmed(&mut self, name: &str, text: ExprId) -> ExprId {
        if let Node::Call(inner, args) = self.node(text).clone()
            && let [inside] = *args
            && self.dialect != Dialect::Redshift
        {
            match self.text(inner) {
                inner if inner == name || inner == "trim" => return text,
                "ltrim" | "rtrim" => return self.trimmed("trim", inside),
                _ => {}
            }
        }
        self.plain_call(name, &[text])
    }

    /// LIKE with a pattern that has `%` at its ends only, or no wildcard.
    pub(super) fn plain_pattern(&mut self, text: ExprId, pattern: ExprId) -> Option<ExprId> {
        let Some(Const::Text(written)) = self.as_const(pattern) else { return None };
        let written = self.text(written).to_owned();
        let part = written.trim_matches('%').to_owned();
        if !self.compares_bytes(text) || part.contains(['%', '_', '\\']) {
            return None;
        }
        let (open_start, open_end) = (written.starts_with('%'), written.ends_with('%'));
        if part.is_empty() && open_start {
            return None;
        }
        let part = self.sym(&part);
        let part = self.constant(Const::Text(part));
        Some(match (open_start, open_end) {
            (false, false) => self.cmp(CmpOp::Eq, text, part),
            (false, true) => self.call("starts_with", &[text, part]),
            (true, false) => self.call("ends_with", &[text, part]),
            (true, true) => self.call("contains", &[text, part]),
        })
    }

    /// CONCAT where it takes NULL for an empty text.
    pub(super) fn concatenated(&mut self, args: &[ExprId]) -> Option<ExprId> {
        if !matches!(self.dialect, Dialect::DuckDb | Dialect::Postgres) || args.is_empty() {
            return None;
        }
        let mut parts = Vec::with_capacity(args.len());
        let empty = self.sym("");
        let empty = self.constant(Const::Text(empty));
        for arg in args {
            if self.type_of(*arg) != Type::Text {
                return None;
            }
            parts.push(self.coalesce(&[*arg, empty]));
        }
        Some(match parts.as_slice() {
            [one] => *one,
            parts => self.call("||", parts),
        })
    }

    /// Comparisons of the length of a text with nothing, of its first characters with as many, of a whole number as text.
    pub(super) fn text_comparison(&mut self, op: CmpOp, a: ExprId, b: ExprId) -> Option<ExprId> {
        if let Some(found) = self.number_as_text(op, a, b).or_else(|| self.number_as_text(op, b, a)) {
            return Some(found);
        }
        for (tested, literal, left) in [(a, b, true), (b, a, false)] {
            let Node::Call(name, args) = self.node(tested) else { continue };
            let (text, name) = (*args.first()?, *name);
            if !self.compares_bytes(text) {
                continue;
            }
            match (self.text(name), &**args, self.as_const(literal)) {
                ("length", [_], Some(Const::Int(number))) => {
                    let op = match (op, left, number) {
                        (CmpOp::Eq | CmpOp::Ne, _, 0) => op,
                        (CmpOp::Le, true, 0) => CmpOp::Eq,
                        (CmpOp::Le, false, 1) => CmpOp::Ne,
                        _ => continue,
                    };
                    let empty = self.sym("");
                    let empty = self.constant(Const::Text(empty));
                    return Some(self.cmp(op, text, empty));
                }
                ("substring", [_, from, length], Some(Const::Text(part)))
                    if matches!(op, CmpOp::Eq | CmpOp::Ne) =>
                {
                    let part = self.text(part);
                    let whole = part.is_ascii()
                        && !part.is_empty()
                        && self.as_const(*from) == Some(Const::Int(1))
                        && self.as_const(*length) == Some(Const::Int(part.len() as i128));
                    if whole {
                        let starts = self.call("starts_with", &[text, literal]);
                        return Some(if op == CmpOp::Eq { starts } else { self.not(starts) });
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn number_as_text(&mut self, op: CmpOp, cast: ExprId, literal: ExprId) -> Option<ExprId> {
        let Node::Cast(number, Type::Text, ..) = *self.node(cast) else { return None };
        let Some(Const::Text(text)) = self.as_const(literal) else { return None };
        let text = self.text(text);
        let value: i64 = text.parse().ok()?;
        let fits = matches!(op, CmpOp::Eq | CmpOp::Ne) && self.type_of(number).is_int();
        if !fits || value.to_string() != text {
            return None;
        }
        let value = self.int(i128::from(value));
        Some(self.cmp(op, number, value))
    }
}
