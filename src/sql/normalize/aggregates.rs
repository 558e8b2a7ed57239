//! Grouping: keys that say nothing, groups of one row, groups of groups, joins that belong outside.

use super::super::algebra::map::Substitution;
use super::super::algebra::{AggCall, Aggregate, Block, Col, ColSet, Const, ExprId, Node, Source};
use super::super::functions;
use super::super::types::Type;
use super::Normalizer;
use super::filters::splice;

impl Normalizer<'_> {
    pub(super) fn aggregate(&mut self, mut aggregate: Box<Aggregate>, block: &mut Block, set: bool) {
        let mut inside = ColSet::default();
        for (_, e) in aggregate.keys.iter().chain(&aggregate.aggs) {
            self.arena.collect_columns(*e, &mut inside);
        }
        let duplicates_matter = aggregate.aggs.iter().any(|(_, e)| match self.arena.node(*e) {
            Node::Agg(call) => !call.distinct && !functions::ignores_duplicates(self.arena.text(call.func)),
            _ => true,
        });
        self.block(&mut aggregate.input, &inside, !duplicates_matter);
        let mut extended = ColSet::default();
        self.arena.extended(&aggregate.input, &mut extended);
        let mut exprs: Vec<ExprId> = aggregate
            .keys
            .iter()
            .chain(&aggregate.aggs)
            .map(|(_, e)| self.mapped_value(*e, &extended))
            .collect();
        self.attach(&mut aggregate.input, &mut exprs);
        let aggs = exprs.split_off(aggregate.keys.len());
        self.set_keys(&mut aggregate, exprs);
        self.set_aggs(&mut aggregate, aggs);
        if aggregate.input.empty && !aggregate.scalar {
            let null = self.arena.null();
            aggregate.keys.iter().chain(&aggregate.aggs).for_each(|(col, _)| self.replace(*col, null));
            block.empty = true;
            return;
        }
        if aggregate.input.empty {
            let mut values = Vec::with_capacity(aggregate.aggs.len());
            for (col, e) in &aggregate.aggs {
                let Some(value) = self.over_nothing(*e) else {
                    block.sources.push(Source::Aggregate(aggregate));
                    return;
                };
                values.push((*col, value));
            }
            values.into_iter().for_each(|(col, value)| self.replace(col, value));
            return;
        }
        if aggregate.scalar && aggregate.aggs.is_empty() {
            self.changed = true;
            return;
        }
        // Where duplicates do not matter, DISTINCT does nothing.
        if set && aggregate.aggs.is_empty() && !aggregate.keys.is_empty() {
            for (col, e) in &aggregate.keys {
                self.replace(*col, *e);
            }
            splice(self.arena, block, aggregate.input);
            return;
        }
        if !aggregate.scalar {
            self.ties_outside(&mut aggregate, block);
            if self.single_rows(&mut aggregate, block) {
                return;
            }
            if self.semi_join_of(&mut aggregate, block) {
                return;
            }
            self.reduce_keys(&mut aggregate);
            self.counts(&mut aggregate, &extended);
            self.sums_of_one(&mut aggregate);
            self.sums_or_zero(&mut aggregate, &extended);
            if self.below_left_join(&mut aggregate, block) {
                return;
            }
            self.pull_up(&mut aggregate, block);
        }
        if aggregate.scalar {
            self.sums_of_one(&mut aggregate);
            self.shared_filter(&mut aggregate);
        }
        self.distinct_arguments(&mut aggregate);
        self.regroup(&mut aggregate);
        let mut extended = ColSet::default();
        self.arena.extended(&aggregate.input, &mut extended);
        for (col, e) in &aggregate.keys {
            if !self.arena.nullable(*e, &extended) {
                self.arena.derived.insert(*col);
            }
        }
        for (col, e) in &aggregate.aggs {
            let Node::Agg(call) = self.arena.node(*e).clone() else { continue };
            let never_null = !aggregate.scalar
                && call.filter.is_none()
                && matches!(self.arena.text(call.func), "sum" | "min" | "max" | "the")
                && call.args.iter().all(|arg| !self.arena.nullable(*arg, &extended));
            if never_null {
                self.arena.derived.insert(*col);
            }
        }
        block.sources.push(Source::Aggregate(aggregate));
    }

    // rule: ties-outside
    /// A group key that is tied to a column of an enclosing query is tied outside of the grouping instead.
    fn ties_outside(&mut self, aggregate: &mut Aggregate, block: &mut Block) {
        let own = self.all_columns(&aggregate.input);
        let mut at = 0;
        while at < aggregate.input.equal.len() {
            let class = aggregate.input.equal[at].clone();
            let (mine, foreign): (Vec<Col>, Vec<Col>) = class.iter().partition(|col| own.contains(**col));
            let key = aggregate
                .keys
                .iter()
                .find(|(_, e)| matches!(self.arena.node(*e), Node::Col(col) if class.contains(col)));
            let mut read_deeper = ColSet::default();
            for source in &aggregate.input.sources {
                self.arena.collect_source(source, &mut read_deeper);
            }
            for outer in &aggregate.input.outers {
                self.arena.collect_block(&outer.right, &mut read_deeper);
            }
            let deeper = foreign.iter().any(|col| read_deeper.contains(*col));
            let (Some((key, _)), Some(first), false) = (key, mine.first(), foreign.is_empty() || deeper)
            else {
                at += 1;
                continue;
            };
            // Inside, the own column stands for the class: in the groups that are left it is the same.
            let mut inward = Substitution::default();
            let stands = self.arena.column(*first);
            for col in class.iter().filter(|col| *col != first) {
                inward.set(*col, stands);
            }
            let mut outside = foreign;
            outside.push(*key);
            block.equal.push(outside);
            aggregate.input.equal.remove(at);
            let mut changed = false;
            inward.apply_block(self.arena, &mut aggregate.input, &mut changed);
            for (_, e) in aggregate.keys.iter_mut().chain(&mut aggregate.aggs) {
                *e = inward.apply(self.arena, *e);
            }
            if mine.len() > 1 {
                aggregate.input.equal.push(mine);
            }
            self.changed = true;
        }
    }

    /// Keys that are literals or repeat another key go.
    fn set_keys(&mut self, aggregate: &mut Aggregate, exprs: Vec<ExprId>) {
        let mut kept: Vec<(Col, ExprId)> = Vec::with_capacity(exprs.len());
        for ((col, _), e) in aggregate.keys.iter().zip(exprs) {
            if self.arena.as_const(e).is_some() {
                self.replace(*col, e);
            } else if let Some((same, _)) = kept.iter().find(|(_, other)| *other == e) {
                let same = self.arena.column(*same);
                self.replace(*col, same);
            } else {
                kept.push((*col, e));
            }
        }
        aggregate.keys = kept;
    }

    /// Aggregates that repeat another go, and those over nothing or over a key.
    fn set_aggs(&mut self, aggregate: &mut Aggregate, exprs: Vec<ExprId>) {
        let mut kept: Vec<(Col, ExprId)> = Vec::with_capacity(exprs.len());
        for ((col, _), e) in aggregate.aggs.iter().zip(exprs) {
            let mut e = e;
            if let Node::Agg(mut call) = self.arena.node(e).clone()
                && let Some(filter) = call.filter
            {
                if self.never(filter)
                    && let Some(value) = self.over_nothing(e)
                {
                    self.replace(*col, value);
                    continue;
                }
                // What holds on every row need not be said again.
                let mut conjuncts = Vec::new();
                self.split(filter, &mut conjuncts);
                conjuncts.retain(|c| !aggregate.input.filters.contains(c));
                let rest = self.arena.and(&conjuncts);
                call.filter = (!conjuncts.is_empty()).then_some(rest);
                e = self.arena.aggregate(call);
            }
            match kept.iter().find(|(_, other)| *other == e) {
                Some((same, _)) => {
                    let same = self.arena.column(*same);
                    self.replace(*col, same);
                }
                None => kept.push((*col, e)),
            }
        }
        aggregate.aggs = kept;
    }

    /// The columns of the keys, as far as keys are columns.
    pub(super) fn key_columns(&self, keys: &[(Col, ExprId)]) -> ColSet {
        keys.iter()
            .filter_map(|(_, e)| match *self.arena.node(*e) {
                Node::Col(col) => Some(col),
                _ => None,
            })
            .collect()
    }

    /// When the keys determine the row, each group is one row and nothing is aggregated.
    fn single_rows(&mut self, aggregate: &mut Aggregate, block: &mut Block) -> bool {
        let mut known = self.key_columns(&aggregate.keys);
        let mut facts = Vec::new();
        if aggregate.keys.is_empty() || !self.closure(&aggregate.input, &mut known, &mut facts) {
            return false;
        }
        let mut values = Vec::with_capacity(aggregate.aggs.len());
        for (col, e) in &aggregate.aggs {
            let Some(value) = self.of_one_row(*e) else { return false };
            values.push((*col, value));
        }
        self.arena.used_facts.extend(facts);
        for (col, e) in aggregate.keys.iter().chain(&values) {
            self.replace(*col, *e);
        }
        splice(self.arena, block, std::mem::take(&mut aggregate.input));
        true
    }

    // rule: distinct-join
    /// DISTINCT values of some sources, joined with others only to see whether there is a match: a semi-join.
    fn semi_join_of(&mut self, aggregate: &mut Aggregate, block: &mut Block) -> bool {
        let single = |this: &Self, e: ExprId| matches!(this.arena.node(e), Node::Agg(call) if this.arena.is(call.func, "the"));
        if aggregate.keys.is_empty()
            || aggregate.input.sources.len() < 2
            || !aggregate.input.outers.is_empty()
            || !aggregate.aggs.iter().all(|(_, e)| single(self, *e))
        {
            return false;
        }
        let mut known = self.key_columns(&aggregate.keys);
        let mut facts = Vec::new();
        let (done, _) = self.determined(&aggregate.input, &mut known, &mut facts);
        let mut stay = ColSet::default();
        let mut go = ColSet::default();
        for (source, done) in aggregate.input.sources.iter().zip(&done) {
            self.arena.visible_source(source, if *done { &mut stay } else { &mut go });
        }
        if !done.contains(&true) || !done.contains(&false) {
            return false;
        }
        // Where a column that goes stands for one that stays, the latter takes its place.
        let mut outward = Substitution::default();
        let mut inner = Block::default();
        let mut classes = Vec::new();
        for class in &aggregate.input.equal {
            let (going, staying): (Vec<Col>, Vec<Col>) = class.iter().partition(|col| go.contains(**col));
            if let Some(first) = staying.first() {
                let column = self.arena.column(*first);
                for col in class.iter().filter(|col| *col != first) {
                    outward.set(*col, column);
                }
            }
            if staying.len() > 1 {
                classes.push(staying.clone());
            }
            let tied: Vec<Col> = staying.first().copied().into_iter().chain(going.iter().copied()).collect();
            if !going.is_empty() && tied.len() > 1 {
                inner.equal.push(tied);
            }
        }
        let mut filters = Vec::new();
        for e in &aggregate.input.filters {
            let mapped = outward.apply(self.arena, *e);
            if self.arena.columns_of(mapped).intersects(&go) {
                inner.filters.push(mapped);
            } else {
                filters.push(mapped);
            }
        }
        let mut values = Vec::new();
        for (col, e) in aggregate.keys.iter().chain(&aggregate.aggs) {
            let e = match self.arena.node(*e) {
                Node::Agg(call) => call.args[0],
                _ => *e,
            };
            let mapped = outward.apply(self.arena, e);
            if self.arena.columns_of(mapped).intersects(&go) || self.arena.has_sub(mapped) {
                return false;
            }
            values.push((*col, mapped));
        }
        for source in &aggregate.input.sources {
            let mut read = ColSet::default();
            self.arena.collect_source(source, &mut read);
            if read.intersects(&stay) || read.intersects(&go) && matches!(source, Source::Opaque(_)) {
                return false;
            }
        }
        self.arena.used_facts.extend(facts);
        for class in &aggregate.input.equal {
            if let Some(first) = class.iter().copied().find(|col| !go.contains(*col)) {
                let column = self.arena.column(first);
                for col in class {
                    self.subst.remove(*col);
                    if go.contains(*col) {
                        self.subst.set(*col, column);
                    }
                }
            }
        }
        for (col, e) in values {
            self.replace(col, e);
        }
        for (source, done) in std::mem::take(&mut aggregate.input.sources).into_iter().zip(done) {
            if done { block.sources.push(source) } else { inner.sources.push(source) }
        }
        block.equal.extend(classes);
        block.filters.extend(filters);
        let mut copy = super::super::algebra::Sub { block: inner, outputs: Vec::new() };
        self.arena.refresh(&mut copy);
        let id = self.arena.new_sub(copy);
        let exists = self.arena.exists(id);
        block.filters.push(exists);
        true
    }

    // rule: shared-filter
    /// Without GROUP BY a condition that all aggregates share is a condition on the rows. Aggregates that skip NULL have the
    /// condition that their argument is there.
    fn shared_filter(&mut self, aggregate: &mut Aggregate) {
        let mut extended = ColSet::default();
        self.arena.extended(&aggregate.input, &mut extended);
        // For each row of an enclosing query it is a grouping in the end, whose groups do not vanish.
        let own = self.all_columns(&aggregate.input);
        let mut read = ColSet::default();
        self.arena.collect_block(&aggregate.input, &mut read);
        let correlated =
            read.iter().any(|col| !own.contains(col) && !self.arena.is_local_to_sub(col, &aggregate.input));
        let mut shared: Option<Vec<ExprId>> = None;
        for (_, e) in &aggregate.aggs {
            let Node::Agg(call) = self.arena.node(*e).clone() else { return };
            let mut conjuncts = Vec::new();
            call.filter.iter().for_each(|filter| self.split(*filter, &mut conjuncts));
            if !correlated
                && functions::skips_null(self.arena.text(call.func))
                && let [arg] = *call.args
            {
                let present = self.not_null(arg, &extended);
                self.split(present, &mut conjuncts);
            }
            match &mut shared {
                None => shared = Some(conjuncts),
                Some(shared) => shared.retain(|e| conjuncts.contains(e)),
            }
        }
        let Some(mut shared) = shared.filter(|shared| !shared.is_empty()) else { return };
        for (_, e) in &mut aggregate.aggs {
            let Node::Agg(mut call) = self.arena.node(*e).clone() else { continue };
            let mut rest = Vec::new();
            call.filter.iter().for_each(|filter| self.split(*filter, &mut rest));
            let before = rest.len();
            rest.retain(|e| !shared.contains(e));
            if rest.len() == before {
                continue;
            }
            let whole = self.arena.and(&rest);
            call.filter = (!rest.is_empty()).then_some(whole);
            *e = self.arena.aggregate(call);
            self.changed = true;
        }
        shared.retain(|e| !aggregate.input.filters.contains(e));
        self.changed |= !shared.is_empty();
        aggregate.input.filters.extend(shared);
    }

    /// What an aggregate gives over one row.
    pub(super) fn of_one_row(&mut self, e: ExprId) -> Option<ExprId> {
        let Node::Agg(call) = self.arena.node(e).clone() else { return None };
        let null = self.arena.null();
        let value = match (self.arena.text(call.func), &*call.args) {
            ("count", []) => self.arena.int(1),
            ("count", [arg]) => {
                let (zero, one) = (self.arena.int(0), self.arena.int(1));
                let missing = self.arena.is_null(*arg);
                self.arena.case(&[(missing, zero)], one)
            }
            ("sum", [arg]) if self.sums_to_itself(e, *arg) => *arg,
            ("bool_and" | "bool_or", [arg]) if self.arena.type_of(*arg) == Type::Bool => *arg,
            ("min" | "max" | "the" | "any_value" | "first" | "last" | "bit_and" | "bit_or", [arg]) => *arg,
            _ => return None,
        };
        let Some(filter) = call.filter else { return Some(value) };
        let otherwise = if self.arena.is(call.func, "count") { self.arena.int(0) } else { null };
        Some(self.arena.case(&[(filter, value)], otherwise))
    }

    /// Whether the sum of one value is that value, in its type too: of booleans it is a number, of FLOAT a DOUBLE, of BIGINT a
    /// NUMERIC in some dialects.
    fn sums_to_itself(&self, sum: ExprId, arg: ExprId) -> bool {
        match (self.arena.type_of(sum), self.arena.type_of(arg)) {
            (Type::Int(_), Type::Int(_)) => true,
            (Type::Decimal(_, a), Type::Decimal(_, b)) => a == b,
            (a, b) => a == b && a == Type::Float(64) || self.arena.is_null_const(arg),
        }
    }

    // rule: group-keys
    /// A key that the other keys determine is not a key but a value of the group, and so are aggregates of such values.
    fn reduce_keys(&mut self, aggregate: &mut Aggregate) {
        let the = self.arena.sym("the");
        // Columns that are keys of their tables are kept if there is a choice.
        let mut order: Vec<usize> = (0..aggregate.keys.len()).collect();
        order.sort_by_key(|at| self.in_table_key(aggregate.keys[*at].1));
        let mut gone = Vec::new();
        for at in order {
            let others: Vec<(Col, ExprId)> = aggregate
                .keys
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at && !gone.contains(other))
                .map(|(_, key)| *key)
                .collect();
            if others.is_empty() {
                break;
            }
            let mut known = self.key_columns(&others);
            let mut facts = Vec::new();
            self.closure(&aggregate.input, &mut known, &mut facts);
            let (col, e) = aggregate.keys[at];
            if self.arena.has_sub(e) || !self.arena.columns_of(e).is_subset(&known) {
                continue;
            }
            self.arena.used_facts.extend(facts);
            gone.push(at);
            let call = AggCall {
                func: the,
                args: Box::new([e]),
                distinct: false,
                filter: None,
                order: Box::new([]),
            };
            let value = self.arena.aggregate(call);
            let fresh = self.arena.new_col(the, self.arena.type_of(e), true);
            aggregate.aggs.push((fresh, value));
            let column = self.arena.column(fresh);
            self.replace(col, column);
        }
        gone.sort_unstable();
        for at in gone.into_iter().rev() {
            aggregate.keys.remove(at);
        }
        let mut known = self.key_columns(&aggregate.keys);
        let mut facts = Vec::new();
        self.closure(&aggregate.input, &mut known, &mut facts);
        let mut aggs = Vec::with_capacity(aggregate.aggs.len());
        for (col, e) in std::mem::take(&mut aggregate.aggs) {
            let Node::Agg(mut call) = self.arena.node(e).clone() else { continue };
            let name = self.arena.text(call.func);
            let single = matches!(name, "min" | "max" | "any_value" | "first" | "last" | "the")
                || (name == "sum" && call.distinct && self.sums_to_itself(e, call.args[0]));
            if !single || call.filter.is_some() || call.args.len() != 1 {
                aggs.push((col, e));
                continue;
            }
            let arg = call.args[0];
            if let Some((key, _)) = aggregate.keys.iter().find(|(_, key)| *key == arg) {
                let key = self.arena.column(*key);
                self.replace(col, key);
                continue;
            }
            if !self.arena.has_sub(arg) && self.arena.columns_of(arg).is_subset(&known) && name != "the" {
                self.arena.used_facts.extend(facts.iter().copied());
                call.func = the;
                call.distinct = false;
                call.order = Box::new([]);
                aggs.push((col, self.arena.aggregate(call)));
                self.changed = true;
            } else {
                aggs.push((col, e));
            }
        }
        aggregate.aggs = aggs;
    }

    fn in_table_key(&self, e: ExprId) -> bool {
        let Node::Col(col) = self.arena.node(e) else { return false };
        let Some((scan, position)) = self.arena.col(*col).scan else { return false };
        self.arena.table_of(scan).facts.unique.iter().any(|(columns, _)| columns.contains(&position))
    }

    // rule: counts
    /// In a group there is at least one row, so a sum of ones and zeros is a count.
    fn counts(&mut self, aggregate: &mut Aggregate, extended: &ColSet) {
        for (col, e) in &mut aggregate.aggs {
            let Node::Agg(call) = self.arena.node(*e).clone() else { continue };
            if !self.arena.is(call.func, "sum") || call.distinct || call.filter.is_some() {
                continue;
            }
            let filter = match self.arena.node(call.args[0]).clone() {
                Node::Const(Const::Int(1)) => None,
                Node::Case(arms, otherwise) => {
                    let number = |arena: &super::Arena, e: ExprId| match arena.as_const(e) {
                        Some(Const::Int(value)) => Some(value),
                        _ => None,
                    };
                    match (&*arms, number(self.arena, otherwise)) {
                        ([(condition, result)], Some(0)) if number(self.arena, *result) == Some(1) => {
                            Some(*condition)
                        }
                        ([(condition, result)], Some(1)) if number(self.arena, *result) == Some(0) => {
                            let holds = self.arena.is_true(*condition);
                            let fails = self.arena.not(holds);
                            Some(self.condition(fails, extended))
                        }
                        _ => continue,
                    }
                }
                _ => continue,
            };
            let count = AggCall {
                func: self.arena.sym("count"),
                args: Box::new([]),
                distinct: false,
                filter,
                order: Box::new([]),
            };
            *e = self.arena.aggregate(count);
            let info = self.arena.col_mut(*col);
            info.nullable = false;
            info.count = true;
            info.data_type = Type::Int(64);
            self.changed = true;
        }
    }

    // rule: distinct-argument
    /// DISTINCT inside an aggregate does nothing where keys and argument determine the row.
    fn distinct_arguments(&mut self, aggregate: &mut Aggregate) {
        for at in 0..aggregate.aggs.len() {
            let (col, e) = aggregate.aggs[at];
            let Node::Agg(mut call) = self.arena.node(e).clone() else { continue };
            if !call.distinct || call.args.len() != 1 {
                continue;
            }
            let mut known = self.key_columns(&aggregate.keys);
            let Node::Col(arg) = *self.arena.node(call.args[0]) else { continue };
            known.insert(arg);
            // Rows in which the argument is NULL do not count: it may be taken as a key that is not NULL.
            let mut facts = Vec::new();
            if self.closure(&aggregate.input, &mut known, &mut facts) {
                self.arena.used_facts.extend(facts);
                call.distinct = false;
                let mut extended = ColSet::default();
                self.arena.extended(&aggregate.input, &mut extended);
                let plain = self.arena.aggregate(call);
                let plain = self.value(plain, &extended);
                aggregate.aggs[at] = (col, plain);
                self.changed = true;
            }
        }
    }

    // rule: regroup
    /// Groups of groups are groups, where the outer aggregates continue the inner ones.
    fn regroup(&mut self, aggregate: &mut Aggregate) {
        let input = &aggregate.input;
        if !input.outers.is_empty() || !input.filters.is_empty() || !input.equal.is_empty() {
            return;
        }
        let [Source::Aggregate(inner)] = input.sources.as_slice() else { return };
        if inner.scalar {
            return;
        }
        let inner = inner.clone();
        let inner_keys: ColSet = inner.keys.iter().map(|(col, _)| *col).collect();
        let on_keys = |this: &Self, e: ExprId| this.arena.columns_of(e).is_subset(&inner_keys);
        if !aggregate.keys.iter().all(|(_, e)| on_keys(self, *e) && !self.arena.has_sub(*e)) {
            return;
        }
        let outer_keys = self.key_columns(&aggregate.keys);
        let rest: Vec<Col> =
            inner.keys.iter().map(|(col, _)| *col).filter(|col| !outer_keys.contains(*col)).collect();
        let mut inward = Substitution::default();
        for (col, e) in &inner.keys {
            inward.set(*col, *e);
        }
        let mut merged = Vec::with_capacity(aggregate.aggs.len());
        for (col, e) in &aggregate.aggs {
            let Node::Agg(mut call) = self.arena.node(*e).clone() else { return };
            let name = self.arena.text(call.func).to_owned();
            // COUNT(x) was turned into a count of the rows in which x is not NULL.
            if name == "count" && call.args.is_empty() && rest.len() == 1 {
                let counted = self.arena.column(rest[0]);
                let present = self.arena.intern_not_null(rest[0]);
                let key = inner.keys.iter().find(|(col, _)| *col == rest[0]).map(|(_, e)| *e);
                let mut extended = ColSet::default();
                self.arena.extended(&inner.input, &mut extended);
                let certain = key.is_some_and(|key| !self.arena.nullable(key, &extended));
                if call.filter == Some(present) || (call.filter.is_none() && certain) {
                    call.filter = None;
                    call.args = Box::new([counted]);
                }
            }
            if call.filter.is_some() || call.args.len() > 1 || !call.order.is_empty() {
                return;
            }
            let Some(arg) = call.args.first().copied() else { return };
            if on_keys(self, arg) {
                // Over the distinct values of the inner keys.
                let ignores = functions::ignores_duplicates(&name) || call.distinct;
                let only = rest.len() == 1 && matches!(*self.arena.node(arg), Node::Col(c) if c == rest[0]);
                let countable = only && matches!(name.as_str(), "sum" | "count");
                if !ignores && !countable {
                    return;
                }
                call.distinct |= !functions::ignores_duplicates(&name);
                call.args = Box::new([inward.apply(self.arena, arg)]);
                merged.push((*col, self.arena.aggregate(call)));
                continue;
            }
            let (read, or_zero) = match self.arena.node(arg) {
                Node::Col(read) => (*read, false),
                Node::Coalesce(list) => match (self.arena.node(list[0]), self.arena.as_const(list[1])) {
                    (Node::Col(read), Some(Const::Int(0))) if list.len() == 2 => (*read, true),
                    _ => return,
                },
                _ => return,
            };
            let Some((_, below)) = inner.aggs.iter().find(|(other, _)| *other == read) else { return };
            let Node::Agg(below_call) = self.arena.node(*below).clone() else { return };
            let below_name = self.arena.text(below_call.func);
            let continues = match (name.as_str(), below_name) {
                ("sum", "sum") => !below_call.distinct && !call.distinct,
                ("sum", "count") => {
                    let is_count = self.arena.type_of(*e).is_int();
                    !below_call.distinct && !call.distinct && !aggregate.scalar && is_count
                }
                ("min", "min") | ("max", "max") => true,
                _ => false,
            };
            if !continues || or_zero && (below_name, name.as_str()) != ("sum", "sum") {
                return;
            }
            let below = if or_zero { self.each_or_zero(below_call, &inner.input) } else { *below };
            merged.push((*col, below));
        }
        // COUNT(x) over distinct (k, x): the argument was turned into a filter.
        let keys: Vec<(Col, ExprId)> =
            aggregate.keys.iter().map(|(col, e)| (*col, inward.apply(self.arena, *e))).collect();
        for (col, e) in &merged {
            let count = matches!(self.arena.node(*e), Node::Agg(call) if self.arena.is(call.func, "count"));
            if count {
                let info = self.arena.col_mut(*col);
                info.nullable = false;
                info.count = true;
            }
        }
        aggregate.keys = keys;
        aggregate.aggs = merged;
        aggregate.input = inner.input;
        self.changed = true;
    }
}
