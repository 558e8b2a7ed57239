//! Construction of aggregate and window calls.

use super::node::{AggCall, Const, Frame, FrameBound, Node, WindowCall};
use super::{Arena, ExprId};
use crate::sql::functions;

impl Arena {
    // rule: windows
    /// A window function call, its parts brought into one form.
    pub fn window(&mut self, mut call: WindowCall) -> ExprId {
        let mut partition: Vec<_> =
            call.partition.iter().copied().filter(|e| self.as_const(*e).is_none()).collect();
        partition.sort_unstable();
        partition.dedup();
        let mut order = Vec::with_capacity(call.order.len());
        for key in &call.order {
            let seen = order.iter().any(|other: &super::OrderKey| other.expr == key.expr);
            if !seen && self.as_const(key.expr).is_none() && !partition.contains(&key.expr) {
                order.push(*key);
            }
        }
        call.partition = partition.into_boxed_slice();
        call.order = order.into_boxed_slice();
        call.call = self.tidy_call(call.call);
        if !call.ignore_nulls {
            self.reach_of_one_end(&mut call);
        }
        call.frame = call.frame.map(|frame| self.tidy_frame(frame, &call.order));
        let whole = call.frame.is_some_and(|f| f.start == FrameBound::Start && f.end == FrameBound::End);
        if whole && matches!(self.text(call.call.func), "count" | "sum" | "min" | "max" | "avg") {
            call.order = Box::new([]);
        }
        self.intern(Node::Window(call))
    }

    /// The first row of a frame that begins with the partition does not depend on where behind the row it ends; nor does the
    /// last the other way round.
    fn reach_of_one_end(&self, call: &mut WindowCall) {
        let Some(frame) = &mut call.frame else { return };
        match self.text(call.call.func) {
            "first_value" if frame.start == FrameBound::Start && frame.end == FrameBound::Current => {
                frame.end = FrameBound::End;
            }
            "last_value" if frame.end == FrameBound::End && frame.start == FrameBound::Current => {
                frame.start = FrameBound::Start;
            }
            _ => {}
        }
    }

    /// Without ORDER BY all rows are peers: a RANGE up to the current row is the whole partition. Units do not matter
    /// for the whole partition.
    fn tidy_frame(&self, frame: Frame, order: &[super::OrderKey]) -> Frame {
        let mut frame = frame;
        if order.is_empty() && frame.units == 'g' {
            if frame.start == FrameBound::Current {
                frame.start = FrameBound::Start;
            }
            if frame.end == FrameBound::Current {
                frame.end = FrameBound::End;
            }
        }
        if frame.start == FrameBound::Start && frame.end == FrameBound::End {
            frame.units = 'g';
        }
        frame
    }

    /// An aggregate call, its parts brought into one form.
    pub fn aggregate(&mut self, call: AggCall) -> ExprId {
        let call = self.tidy_call(call);
        self.intern(Node::Agg(call))
    }

    fn tidy_call(&mut self, mut call: AggCall) -> AggCall {
        if self.is(call.func, "count_if") && call.args.len() == 1 && !call.distinct {
            call = if self.dialect == crate::sql::Dialect::DuckDb {
                // A sum of ones and zeros: NULL where no condition is known.
                let condition = call.args[0];
                let (one, zero, null) = (self.int(1), self.int(0), self.null());
                let unknown = self.is_null(condition);
                let number = self.case(&[(condition, one), (unknown, null)], zero);
                AggCall { func: self.sym("sum"), args: Box::new([number]), ..call }
            } else {
                AggCall {
                    func: self.sym("count"),
                    filter: Some(self.merge_filter(call.filter, call.args[0])),
                    args: Box::new([]),
                    ..call
                }
            };
        }
        let name = self.text(call.func).to_owned();
        if functions::ignores_duplicates(&name) {
            call.distinct = false;
        }
        if matches!(name.as_str(), "count" | "sum" | "avg" | "min" | "max" | "bool_and" | "bool_or") {
            call.order = Box::new([]);
        }
        // COUNT of a literal counts rows; of a CASE without ELSE, the rows where a condition holds.
        if name == "count" && !call.distinct && call.args.len() == 1 {
            match self.node(call.args[0]).clone() {
                Node::Const(value) if !matches!(value, Const::Null | Const::Raw(_)) => {
                    call.args = Box::new([]);
                }
                Node::Const(_) => {}
                _ => {
                    let null = self.is_null(call.args[0]);
                    let present = self.not(null);
                    call.filter = Some(self.merge_filter(call.filter, present));
                    call.args = Box::new([]);
                }
            }
        }
        // An aggregate that skips NULLs: the condition of a CASE without ELSE is a filter.
        if matches!(name.as_str(), "sum" | "avg" | "min" | "max" | "count" | "bool_and" | "bool_or")
            && call.args.len() == 1
            && let Node::Case(arms, otherwise) = self.node(call.args[0]).clone()
            && let ([(condition, result)], true) = (&*arms, self.is_null_const(otherwise))
        {
            call.filter = Some(self.merge_filter(call.filter, *condition));
            call.args = Box::new([*result]);
        }
        if let Some(filter) = call.filter {
            let mut filter = self.condition(filter);
            // What skips NULL needs no filter against it.
            if functions::skips_null(&name)
                && let [arg] = *call.args
            {
                let null = self.is_null(arg);
                let present = self.not(null);
                filter = self.without(filter, present);
            }
            call.filter = (self.as_bool(filter) != Some(true)).then_some(filter);
        }
        call
    }

    /// The conjuncts of the first condition that the second does not have.
    fn without(&mut self, e: ExprId, gone: ExprId) -> ExprId {
        let conjuncts = |arena: &Self, e: ExprId| match arena.node(e) {
            Node::And(list) => list.to_vec(),
            _ => vec![e],
        };
        let gone = conjuncts(self, gone);
        let mut kept = conjuncts(self, e);
        kept.retain(|e| !gone.contains(e));
        self.and(&kept)
    }

    fn merge_filter(&mut self, filter: Option<ExprId>, more: ExprId) -> ExprId {
        match filter {
            Some(filter) => self.and(&[filter, more]),
            None => more,
        }
    }
}
