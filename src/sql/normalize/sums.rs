//! Sums in which some rows stand for nothing.

use super::super::algebra::{AggCall, Aggregate, Block, Col, ColSet, Const, ExprId, Node};
use super::super::types::Type;
use super::Normalizer;

impl Normalizer<'_> {
    // rule: counts
    /// SUM of 1 is the number of rows, and NULL where there are none.
    pub(super) fn sums_of_one(&mut self, aggregate: &mut Aggregate) {
        for at in 0..aggregate.aggs.len() {
            let (col, e) = aggregate.aggs[at];
            let Node::Agg(call) = self.arena.node(e).clone() else { continue };
            let one = call.args.first().and_then(|arg| self.arena.as_const(*arg)) == Some(Const::Int(1));
            // In a group it is a plain count.
            let counted = !aggregate.scalar && call.filter.is_none();
            if !one || counted || !self.arena.is(call.func, "sum") || call.distinct {
                continue;
            }
            let func = self.arena.sym("count");
            let count = AggCall { func, args: Box::new([]), ..call };
            let count = self.arena.aggregate(count);
            let number = self.arena.new_col(func, Type::Int(64), false);
            self.arena.col_mut(number).count = true;
            aggregate.aggs[at] = (number, count);
            let (column, zero) = (self.arena.column(number), self.arena.int(0));
            let value = self.arena.call("nullif", &[column, zero]);
            self.replace(col, value);
        }
    }

    // rule: sum-or-zero
    /// In a group there is at least one row, so a sum in which some rows stand for 0 is never NULL: it is the sum of the
    /// others, or 0.
    pub(super) fn sums_or_zero(&mut self, aggregate: &mut Aggregate, extended: &ColSet) {
        for at in 0..aggregate.aggs.len() {
            let (col, e) = aggregate.aggs[at];
            let Node::Agg(call) = self.arena.node(e).clone() else { continue };
            if !self.arena.is(call.func, "sum") || call.distinct || call.filter.is_some() {
                continue;
            }
            let Some((value, filter)) = self.value_or_zero(call.args[0], extended) else { continue };
            let sum = self.arena.aggregate(AggCall { args: Box::new([value]), filter, ..call });
            let name = self.arena.sym("sum");
            let part: Col = self.arena.new_col(name, self.arena.type_of(sum), true);
            aggregate.aggs[at] = (part, sum);
            let (column, zero) = (self.arena.column(part), self.arena.int(0));
            let value = self.arena.coalesce(&[column, zero]);
            self.replace(col, value);
        }
    }

    /// What is added where it is there or a condition holds, otherwise 0; never NULL.
    fn value_or_zero(&mut self, e: ExprId, extended: &ColSet) -> Option<(ExprId, Option<ExprId>)> {
        let zero = |this: &Self, e: ExprId| this.arena.as_const(e) == Some(Const::Int(0));
        match self.arena.node(e).clone() {
            Node::Coalesce(list) => match *list {
                [value, otherwise] if zero(self, otherwise) => Some((value, None)),
                _ => None,
            },
            Node::Case(arms, otherwise) => {
                let [(condition, result)] = *arms else { return None };
                let (value, condition) = if zero(self, otherwise) {
                    (result, condition)
                } else if zero(self, result) {
                    let holds = self.arena.is_true(condition);
                    let fails = self.arena.not(holds);
                    (otherwise, self.condition(fails, extended))
                } else {
                    return None;
                };
                (!self.arena.nullable(value, extended)).then_some((value, Some(condition)))
            }
            _ => None,
        }
    }

    /// A sum of sums, each 0 where there is nothing to add, is a sum in which each row stands for 0 where it adds nothing.
    pub(super) fn each_or_zero(&mut self, sum: AggCall, input: &Block) -> ExprId {
        let mut extended = ColSet::default();
        self.arena.extended(input, &mut extended);
        let (zero, null) = (self.arena.int(0), self.arena.null());
        let value = sum.args[0];
        let each = match sum.filter {
            Some(filter) if !self.arena.nullable(value, &extended) => {
                self.arena.case(&[(filter, value)], zero)
            }
            Some(filter) => {
                let value = self.arena.case(&[(filter, value)], null);
                self.arena.coalesce(&[value, zero])
            }
            None => self.arena.coalesce(&[value, zero]),
        };
        self.arena.aggregate(AggCall { args: Box::new([each]), filter: None, ..sum })
    }
}
