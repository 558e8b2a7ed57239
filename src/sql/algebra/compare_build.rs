//! Construction of comparisons: orientation, literals, ranges of integers and dates.

use jiff::ToSpan;

use super::build::whole;
use super::node::{CmpOp, Const, Node};
use super::{Arena, ExprId, Sym};
use crate::sql::types::Type;

impl Arena {
    /// Whether the expression may be a NaN that is neither equal to itself nor in any order: only BigQuery has these.
    pub fn nan_is_unequal(&self, expr: ExprId) -> bool {
        self.dialect == crate::sql::Dialect::BigQuery
            && matches!(self.type_of(expr), Type::Float(_))
            && self.as_const(expr).is_none()
    }

    /// A comparison in its one form.
    pub fn cmp(&mut self, op: CmpOp, a: ExprId, b: ExprId) -> ExprId {
        if self.is_null_const(a) || self.is_null_const(b) {
            return self.null();
        }
        let (a, b) = (self.comparison_literal(a, b), self.comparison_literal(b, a));
        if let (Some(x), Some(y)) = (self.as_const(a), self.as_const(b))
            && let Some(result) = compare_consts(op, x, y)
        {
            return self.boolean(result);
        }
        if matches!(op, CmpOp::Eq | CmpOp::Ne) {
            for (tested, literal) in [(a, b), (b, a)] {
                if let (Node::Const(Const::Bool(value)), Type::Bool) =
                    (self.node(literal).clone(), self.type_of(tested))
                {
                    return if value == (op == CmpOp::Eq) { tested } else { self.not(tested) };
                }
            }
        }
        if let Some(rewritten) = self.text_comparison(op, a, b) {
            return rewritten;
        }
        if let Some(range) = self.date_range(op, a, b).or_else(|| self.trunc_range(op, a, b)) {
            return range;
        }
        if let Some(rewritten) = self.integer_bound(op, a, b) {
            return rewritten;
        }
        let (a, b) = match op {
            CmpOp::Eq | CmpOp::Ne => (a.min(b), a.max(b)),
            CmpOp::Lt | CmpOp::Le => (a, b),
        };
        self.intern(Node::Cmp(op, a, b))
    }

    // rule: text-literal
    /// A literal as the database reads it beside an operand of this type: text beside a date is a date.
    fn comparison_literal(&mut self, literal: ExprId, other: ExprId) -> ExprId {
        let Some(value) = self.as_const(literal) else { return literal };
        let other_type = self.type_of(other);
        let rewritten = match (value, other_type) {
            // Beside text the type of the literal decides how the text is read.
            (Const::Decimal(digits, scale), Type::Int(_) | Type::Decimal(..) | Type::Float(_)) => {
                // A float of BigQuery, which holds no larger ones.
                let exact = |value: &i128| {
                    self.dialect != crate::sql::Dialect::BigQuery || value.unsigned_abs() <= 1 << 53
                };
                whole(digits, scale).filter(exact).map(|value| self.int(value))
            }
            (Const::Text(text), Type::Date | Type::Timestamp) => self.typed_literal(other_type, text),
            (Const::Typed(Type::Date, text), Type::Timestamp) => self.typed_literal(other_type, text),
            (Const::Text(text), Type::Int(_)) => {
                let text = self.text(text);
                let plain = text.bytes().all(|b| b.is_ascii_digit()) && (1..=9).contains(&text.len());
                if plain { text.parse().ok().map(|value| self.int(value)) } else { None }
            }
            _ => None,
        };
        rewritten.unwrap_or(literal)
    }

    fn day_after(&mut self, day: Sym, days: i64) -> Option<ExprId> {
        let date: jiff::civil::Date = self.text(day).parse().ok()?;
        let bound = date.checked_add(days.days()).ok()?.to_string();
        let bound = self.sym(&bound);
        self.typed_literal(Type::Date, bound)
    }

    /// DATE_TRUNC compared with a moment: a half-open range.
    fn trunc_range(&mut self, op: CmpOp, a: ExprId, b: ExprId) -> Option<ExprId> {
        let (call, literal, reversed) = match (self.as_const(a), self.as_const(b)) {
            (None, Some(literal)) => (a, literal, false),
            (Some(literal), None) => (b, literal, true),
            _ => return None,
        };
        let Const::Typed(Type::Date | Type::Timestamp, written) = literal else { return None };
        let Node::Call(name, args) = self.node(call).clone() else { return None };
        let [unit, moment] = *args else { return None };
        let Some(Const::Text(unit)) = self.as_const(unit) else { return None };
        let kind = self.type_of(moment);
        let result = self.type_of(call);
        if !self.is(name, "date_trunc")
            || !matches!(kind, Type::Date | Type::Timestamp)
            || !matches!(result, Type::Date | Type::Timestamp)
        {
            return None;
        }
        let at: jiff::civil::DateTime = self.text(written).parse().ok()?;
        let day = at.date();
        let midnight = |date: jiff::civil::Date| date.at(0, 0, 0, 0);
        let (start, end) = match self.text(unit) {
            "year" => (midnight(day.first_of_year()), midnight(day.first_of_year()).checked_add(1.year())),
            "quarter" => {
                let month = (day.month() - 1) / 3 * 3 + 1;
                let first = midnight(jiff::civil::Date::new(day.year(), month, 1).ok()?);
                (first, first.checked_add(3.months()))
            }
            "month" => {
                (midnight(day.first_of_month()), midnight(day.first_of_month()).checked_add(1.month()))
            }
            "day" => (midnight(day), midnight(day).checked_add(1.day())),
            "hour" if kind == Type::Timestamp => {
                let hour = day.at(at.hour(), 0, 0, 0);
                (hour, hour.checked_add(1.hour()))
            }
            _ => return None,
        };
        let (aligned, end) = (start == at, end.ok()?);
        let bound = |this: &mut Self, at: jiff::civil::DateTime| {
            let text = match kind {
                Type::Date => at.date().to_string(),
                _ => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            };
            let text = this.sym(&text);
            this.typed_literal(kind, text)
        };
        let (start, end) = (bound(self, start)?, bound(self, end)?);
        Some(match (op, reversed) {
            (CmpOp::Eq | CmpOp::Ne, _) if !aligned => return None,
            (CmpOp::Eq, _) => {
                let (from, to) = (self.cmp(CmpOp::Le, start, moment), self.cmp(CmpOp::Lt, moment, end));
                self.and(&[from, to])
            }
            (CmpOp::Ne, _) => {
                let (before, after) = (self.cmp(CmpOp::Lt, moment, start), self.cmp(CmpOp::Le, end, moment));
                self.or(&[before, after])
            }
            (CmpOp::Lt, false) if aligned => self.cmp(CmpOp::Lt, moment, start),
            (CmpOp::Le, true) if aligned => self.cmp(CmpOp::Le, start, moment),
            (CmpOp::Lt | CmpOp::Le, false) => self.cmp(CmpOp::Lt, moment, end),
            (CmpOp::Lt | CmpOp::Le, true) => self.cmp(CmpOp::Le, end, moment),
        })
    }

    /// For integers and days `x < 5` is `x <= 4`, and `x < 4.5` too.
    fn integer_bound(&mut self, op: CmpOp, a: ExprId, b: ExprId) -> Option<ExprId> {
        let int = |arena: &Self, e: ExprId| arena.type_of(e).is_int() && arena.as_const(e).is_none();
        let below = |digits: i128, scale: u8| Some(digits.div_euclid(10i128.checked_pow(u32::from(scale))?));
        match (op, self.as_const(a), self.as_const(b)) {
            (CmpOp::Lt, Some(Const::Int(value)), None) if int(self, b) => {
                let bound = self.int(value.checked_add(1)?);
                Some(self.cmp(CmpOp::Le, bound, b))
            }
            (CmpOp::Lt, None, Some(Const::Int(value))) if int(self, a) => {
                let bound = self.int(value.checked_sub(1)?);
                Some(self.cmp(CmpOp::Le, a, bound))
            }
            (CmpOp::Lt, Some(Const::Typed(Type::Date, day)), None) if self.type_of(b) == Type::Date => {
                let bound = self.day_after(day, 1)?;
                Some(self.cmp(CmpOp::Le, bound, b))
            }
            (CmpOp::Lt, None, Some(Const::Typed(Type::Date, day))) if self.type_of(a) == Type::Date => {
                let bound = self.day_after(day, -1)?;
                Some(self.cmp(CmpOp::Le, a, bound))
            }
            (CmpOp::Lt | CmpOp::Le, Some(Const::Decimal(digits, scale)), None) if int(self, b) => {
                let bound = self.int(below(digits, scale)?.checked_add(1)?);
                Some(self.cmp(CmpOp::Le, bound, b))
            }
            (CmpOp::Lt | CmpOp::Le, None, Some(Const::Decimal(digits, scale))) if int(self, a) => {
                let bound = self.int(below(digits, scale)?);
                Some(self.cmp(CmpOp::Le, a, bound))
            }
            _ => None,
        }
    }

    // rule: day-range
    /// A timestamp cast to DATE and compared with a day is a timestamp in a half-open range.
    fn date_range(&mut self, op: CmpOp, a: ExprId, b: ExprId) -> Option<ExprId> {
        let (moment, day, reversed) = match (self.node(a).clone(), self.node(b).clone()) {
            (Node::Cast(inner, Type::Date, _, false), Node::Const(Const::Typed(Type::Date, day))) => {
                (inner, day, false)
            }
            (Node::Const(Const::Typed(Type::Date, day)), Node::Cast(inner, Type::Date, _, false)) => {
                (inner, day, true)
            }
            _ => return None,
        };
        if self.type_of(moment) != Type::Timestamp {
            return None;
        }
        let date: jiff::civil::Date = self.text(day).parse().ok()?;
        let next = date.checked_add(1.day()).ok()?;
        let start = self.sym(&format!("{date} 00:00:00"));
        let start = self.constant(Const::Typed(Type::Timestamp, start));
        let end = self.sym(&format!("{next} 00:00:00"));
        let end = self.constant(Const::Typed(Type::Timestamp, end));
        Some(match (op, reversed) {
            (CmpOp::Eq, _) => {
                let from = self.cmp(CmpOp::Le, start, moment);
                let to = self.cmp(CmpOp::Lt, moment, end);
                self.and(&[from, to])
            }
            (CmpOp::Ne, _) => {
                let before = self.cmp(CmpOp::Lt, moment, start);
                let after = self.cmp(CmpOp::Le, end, moment);
                self.or(&[before, after])
            }
            (CmpOp::Lt, false) => self.cmp(CmpOp::Lt, moment, start),
            (CmpOp::Le, false) => self.cmp(CmpOp::Lt, moment, end),
            (CmpOp::Lt, true) => self.cmp(CmpOp::Le, end, moment),
            (CmpOp::Le, true) => self.cmp(CmpOp::Le, start, moment),
        })
    }
}

/// Compares two literals where the result is certain.
fn compare_consts(op: CmpOp, x: Const, y: Const) -> Option<bool> {
    let ordering = match (x, y) {
        (Const::Int(x), Const::Int(y)) => x.cmp(&y),
        (Const::Text(x), Const::Text(y)) => match (op, x == y) {
            (CmpOp::Eq, equal) => return Some(equal),
            (CmpOp::Ne, equal) => return Some(!equal),
            _ => return None,
        },
        (Const::Bool(x), Const::Bool(y)) => x.cmp(&y),
        _ => return None,
    };
    Some(match op {
        CmpOp::Eq => ordering.is_eq(),
        CmpOp::Ne => ordering.is_ne(),
        CmpOp::Lt => ordering.is_lt(),
        CmpOp::Le => ordering.is_le(),
    })
}
