//! Averages of decimals.

use super::super::Dialect;
use super::super::algebra::map::Substitution;
use super::super::algebra::{AggCall, Block, Col, ColSet, ExprId, Node, Source};
use super::super::types::Type;
use super::Normalizer;

impl Normalizer<'_> {
    // rule: output-average
    /// AVG of decimals that goes into an output as it is, or multiplied and divided, is SUM / COUNT: the two differ in the
    /// last digits at most, which no comparison of floating-point outputs looks at. Elsewhere these digits may decide.
    pub(super) fn output_averages(&mut self, block: &mut Block, outputs: &mut [ExprId]) {
        if self.arena.dialect != Dialect::DuckDb {
            return;
        }
        let mut found: Vec<(usize, Col, AggCall)> = Vec::new();
        for (at, source) in block.sources.iter().enumerate() {
            let Source::Aggregate(aggregate) = source else { continue };
            for (col, e) in &aggregate.aggs {
                if let Node::Agg(call) = self.arena.node(*e)
                    && self.arena.is(call.func, "avg")
                    && let [arg] = *call.args
                    && matches!(self.arena.type_of(arg), Type::Decimal(..))
                {
                    found.push((at, *col, call.clone()));
                }
            }
        }
        for (at, col, call) in found {
            let mut read = ColSet::default();
            self.arena.collect_block(block, &mut read);
            let plain =
                outputs.iter().all(|e| !self.arena.columns_of(*e).contains(col) || self.scaled(*e, col));
            if read.contains(col) || !plain {
                continue;
            }
            let Source::Aggregate(aggregate) = &mut block.sources[at] else { continue };
            aggregate.aggs.retain(|(other, _)| *other != col);
            let mut parts = Vec::with_capacity(2);
            for name in ["sum", "count"] {
                let func = self.arena.sym(name);
                let e = self.arena.aggregate(AggCall { func, ..call.clone() });
                let part = match aggregate.aggs.iter().find(|(_, other)| *other == e) {
                    Some((part, _)) => *part,
                    None => {
                        let part = self.arena.new_col(func, self.arena.type_of(e), name == "sum");
                        self.arena.col_mut(part).count = name == "count";
                        aggregate.aggs.push((part, e));
                        part
                    }
                };
                parts.push(self.arena.column(part));
            }
            let quotient = self.arena.call("/", &parts);
            let mut local = Substitution::default();
            local.set(col, quotient);
            for e in outputs.iter_mut() {
                *e = local.apply(self.arena, *e);
            }
            self.changed = true;
        }
    }

    /// Whether an expression is the column, or a product or quotient with it.
    fn scaled(&self, e: ExprId, col: Col) -> bool {
        let touched = |e: ExprId| self.arena.columns_of(e).contains(col);
        match self.arena.node(e) {
            Node::Col(other) => *other == col,
            Node::Cast(inner, Type::Float(64), _, false) => self.scaled(*inner, col),
            Node::Call(name, args) if matches!(self.arena.text(*name), "*" | "/") => {
                args.iter().all(|arg| !touched(*arg) || self.scaled(*arg, col))
            }
            _ => false,
        }
    }
}
