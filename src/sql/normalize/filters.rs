//! The conditions of a block: outer joins that they make inner, equality classes, literals, ranges, push-down.

use std::collections::BTreeMap;

use super::super::algebra::map::Substitution;
use super::super::algebra::{Arena, Block, CmpOp, Col, ColSet, Const, ExprId, Node, Source};
use super::super::types::Type;
use super::Normalizer;

impl Normalizer<'_> {
    /// Normalizes the conditions of a block whose sources are in normal form.
    pub(super) fn filters(&mut self, block: &mut Block) {
        let remapped = self.remap_classes(block);
        let mut extended = ColSet::default();
        self.arena.extended(block, &mut extended);
        let mut list = Vec::with_capacity(block.filters.len());
        for e in std::mem::take(&mut block.filters).into_iter().chain(remapped) {
            self.split(e, &mut list);
        }
        self.forget_tested(&list);
        let mut conditions = Vec::with_capacity(list.len());
        for e in list {
            let simplified = self.condition(e, &extended);
            self.split(simplified, &mut conditions);
        }
        block.filters = conditions;
        // What a full join leaves may hold outer joins of its own.
        while self.inner_from_outer(block) || self.inner_from_full(block) {}
        self.equalities(block);
        self.not_null_filters(block);
        self.ranges(block);
        if block.filters.iter().any(|e| self.never(*e)) {
            block.empty = true;
            return;
        }
        self.push_down(block);
        block.filters.sort_unstable();
        block.filters.dedup();
    }

    /// A condition that came up from below does not justify itself: what is said not to be NULL here is not known to be so.
    pub(super) fn forget_tested(&mut self, conditions: &[ExprId]) {
        for e in conditions {
            if let Node::Not(inner) = *self.arena.node(*e)
                && let Node::IsNull(tested) = *self.arena.node(inner)
                && let Node::Col(col) = *self.arena.node(tested)
            {
                self.arena.derived.remove(col);
            }
        }
    }

    /// Members of classes that are no longer columns of the block: what they have turned out to be takes their place.
    fn remap_classes(&mut self, block: &mut Block) -> Vec<ExprId> {
        let own = self.arena.visible_set(block);
        let mut conditions = Vec::new();
        for class in std::mem::take(&mut block.equal) {
            let mut kept: Vec<Col> = Vec::with_capacity(class.len());
            let mut others = Vec::new();
            for col in class {
                if own.contains(col) || self.subst.get(col).is_none() {
                    kept.push(col);
                    continue;
                }
                let column = self.arena.column(col);
                let mapped = self.subst.apply(self.arena, column);
                match *self.arena.node(mapped) {
                    Node::Col(col) => kept.push(col),
                    _ => others.push(mapped),
                }
            }
            kept.sort_unstable();
            kept.dedup();
            if let [only] = kept.as_slice() {
                conditions.push(self.arena.intern_not_null(*only));
            }
            let first = match kept.first() {
                Some(col) => self.arena.column(*col),
                None => others[0],
            };
            for other in others {
                conditions.push(self.arena.cmp(CmpOp::Eq, first, other));
            }
            if kept.len() > 1 {
                block.equal.push(kept);
            }
        }
        conditions
    }

    // rule: outer-to-inner
    /// A condition that is not true on the NULLs of an outer join makes it an inner join.
    fn inner_from_outer(&mut self, block: &mut Block) -> bool {
        for at in 0..block.outers.len() {
            let mut cols = self.arena.visible_set(&block.outers[at].right);
            cols.insert(block.outers[at].marker);
            let rejects = block.filters.iter().any(|e| self.arena.never_true_when(*e, &cols));
            if rejects {
                let outer = block.outers.remove(at);
                let marker_true = self.arena.boolean(true);
                self.replace(outer.marker, marker_true);
                let mut matched = Substitution::default();
                matched.set(outer.marker, marker_true);
                let mut extended = ColSet::default();
                block.sources.extend(outer.right.sources);
                block.outers.splice(at..at, outer.right.outers);
                block.filters.extend(outer.on);
                self.arena.extended(block, &mut extended);
                let list = std::mem::take(&mut block.filters);
                for e in list {
                    let mapped = matched.apply(self.arena, e);
                    let simplified = self.condition(mapped, &extended);
                    self.split(simplified, &mut block.filters);
                }
                return true;
            }
        }
        false
    }

    /// The same for full joins: a left join or an inner join remains.
    fn inner_from_full(&mut self, block: &mut Block) -> bool {
        let mut found = false;
        for source in std::mem::take(&mut block.sources) {
            let Source::Full(full) = source else {
                block.sources.push(source);
                continue;
            };
            let side = |this: &Self, side: &Block, marker: Col| {
                let mut cols = this.arena.visible_set(side);
                cols.insert(marker);
                block.filters.iter().any(|e| this.arena.never_true_when(*e, &cols))
            };
            let left = side(self, &full.left, full.left_marker);
            let right = side(self, &full.right, full.right_marker);
            if !left && !right {
                block.sources.push(Source::Full(full));
                continue;
            }
            found = true;
            self.changed = true;
            let (kept, marker, optional, optional_marker) = if left {
                (full.left, full.left_marker, full.right, full.right_marker)
            } else {
                (full.right, full.right_marker, full.left, full.left_marker)
            };
            let holds = self.arena.boolean(true);
            self.replace(marker, holds);
            // The outer joins of the block may read the columns of both sides.
            let later = std::mem::take(&mut block.outers);
            splice(self.arena, block, kept);
            let mut outer = super::Outer { right: optional, on: full.on, marker: optional_marker };
            outer.on.append(&mut self.open_right(&mut outer.right));
            block.outers.push(outer);
            block.outers.extend(later);
        }
        found
    }

    // rule: equalities
    /// Equal columns become classes, columns equal to a literal that literal.
    fn equalities(&mut self, block: &mut Block) {
        let own = self.arena.visible_set(block);
        // What is NULL because nothing matched is not NULL where the match is looked for.
        let mut optional = ColSet::default();
        for outer in &block.outers {
            self.arena.visible(&outer.right, &mut optional);
            optional.insert(outer.marker);
        }
        let mut local = Substitution::default();
        let mut bindings: Vec<(Col, ExprId)> = Vec::new();
        for _ in 0..8 {
            let mut classes: Vec<Vec<Col>> = Vec::new();
            let mut rest = Vec::with_capacity(block.filters.len());
            for e in std::mem::take(&mut block.filters) {
                match self.equal_columns(e) {
                    Some((a, b)) => merge(&mut classes, a, b),
                    None => rest.push(e),
                }
            }
            for class in std::mem::take(&mut block.equal) {
                class.windows(2).for_each(|pair| merge(&mut classes, pair[0], pair[1]));
            }
            block.filters = rest;
            // Literals: every member of the class is equal to it.
            let mut found = Vec::new();
            let mut rest = Vec::with_capacity(block.filters.len());
            for e in std::mem::take(&mut block.filters) {
                match self.bound_to_const(e) {
                    Some((col, literal)) if self.arena.is_null_const(literal) && optional.contains(col) => {
                        rest.push(e);
                    }
                    // A column that is equal to something is not NULL.
                    Some((col, literal)) if self.arena.is_null_const(literal) => {
                        if classes.iter().any(|class| class.contains(&col)) {
                            block.empty = true;
                            return;
                        }
                        found.push((col, literal));
                    }
                    Some(binding) => found.push(binding),
                    None => rest.push(e),
                }
            }
            block.filters = rest;
            let mut news = false;
            for (col, literal) in found {
                let members = match classes.iter().position(|class| class.contains(&col)) {
                    Some(at) => classes.remove(at),
                    None => vec![col],
                };
                for member in members {
                    match bindings.iter().find(|(other, _)| *other == member) {
                        Some((_, other)) if *other == literal => {}
                        Some((_, other)) => {
                            let equal = self.arena.cmp(CmpOp::Eq, *other, literal);
                            if self.never(equal) {
                                block.empty = true;
                                return;
                            }
                            let member = self.arena.column(member);
                            let kept = self.arena.cmp(CmpOp::Eq, member, literal);
                            block.filters.push(kept);
                        }
                        None => {
                            bindings.push((member, literal));
                            local.set(member, literal);
                            news = true;
                        }
                    }
                }
            }
            for class in &mut classes {
                // Columns of enclosing queries stand for the class where there are any.
                class.sort_unstable_by_key(|col| (own.contains(*col), *col));
                class.dedup();
                let first = self.arena.column(class[0]);
                for col in &class[1..] {
                    if local.get(*col) != Some(first) {
                        local.set(*col, first);
                        news = true;
                    }
                }
            }
            block.equal = classes;
            if !news {
                break;
            }
            let mut extended = ColSet::default();
            self.arena.extended(block, &mut extended);
            let list = std::mem::take(&mut block.filters);
            for e in list {
                let mapped = local.apply(self.arena, e);
                let simplified = self.condition(mapped, &extended);
                self.split(simplified, &mut block.filters);
            }
            for outer in &mut block.outers {
                let mut on = Vec::with_capacity(outer.on.len());
                for e in &outer.on {
                    let mapped = local.apply(self.arena, *e);
                    self.split(mapped, &mut on);
                }
                outer.on = on;
                let mut changed = false;
                local.apply_block(self.arena, &mut outer.right, &mut changed);
            }
            if block.filters.iter().any(|e| self.never(*e)) {
                block.empty = true;
                return;
            }
        }
        for (col, literal) in &bindings {
            let column = self.arena.column(*col);
            let kept = if self.arena.is_null_const(*literal) {
                self.arena.is_null(column)
            } else {
                self.arena.cmp(CmpOp::Eq, column, *literal)
            };
            block.filters.push(kept);
            if own.contains(*col) {
                self.subst.set(*col, *literal);
            }
        }
        for class in &block.equal {
            let first = self.arena.column(class[0]);
            // Inside of what dissolved into this block another member may have stood for it.
            if let Some(to) = self.subst.get(class[0])
                && matches!(*self.arena.node(to), Node::Col(to) if class.contains(&to))
            {
                self.subst.remove(class[0]);
            }
            for col in class[1..].iter().filter(|col| own.contains(**col)) {
                self.subst.set(*col, first);
            }
        }
    }

    /// An equality between two columns whose values then cannot be told apart.
    fn equal_columns(&self, e: ExprId) -> Option<(Col, Col)> {
        let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(e) else { return None };
        let (Node::Col(x), Node::Col(y)) = (self.arena.node(a), self.arena.node(b)) else { return None };
        let (x_type, y_type) = (self.arena.type_of(a), self.arena.type_of(b));
        x_type.same_values(y_type).then_some((*x, *y))
    }

    /// An equality between a column and a literal of its type.
    fn bound_to_const(&mut self, e: ExprId) -> Option<(Col, ExprId)> {
        if let Node::IsNull(tested) = *self.arena.node(e)
            && let Node::Col(col) = *self.arena.node(tested)
        {
            let null = self.arena.null();
            return Some((col, null));
        }
        let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(e) else { return None };
        for (tested, literal) in [(a, b), (b, a)] {
            if let (Node::Col(col), Some(value)) = (self.arena.node(tested), self.arena.as_const(literal)) {
                let fits = match (value, self.arena.type_of(tested)) {
                    (Const::Int(_), kind) => kind.is_int(),
                    (Const::Text(_), Type::Text) => true,
                    (Const::Typed(kind, _), other) => {
                        kind == other && matches!(kind, Type::Date | Type::Timestamp)
                    }
                    _ => false,
                };
                if fits {
                    return Some((*col, literal));
                }
            }
        }
        None
    }

    // rule: null-tests
    /// `x IS NOT NULL` beside a condition that rejects NULL says nothing; what is left is remembered for what is above.
    fn not_null_filters(&mut self, block: &mut Block) {
        let own = self.arena.visible_set(block);
        let mut rejected = ColSet::default();
        for class in &block.equal {
            class.iter().for_each(|col| {
                rejected.insert(*col);
            });
        }
        let tests: Vec<Option<ExprId>> = block
            .filters
            .iter()
            .map(|e| match *self.arena.node(*e) {
                Node::Not(inner) => match *self.arena.node(inner) {
                    Node::IsNull(tested) => Some(tested),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        // What a disjunction rejects may not be used to simplify the disjunction itself.
        let mut plain = rejected.clone();
        for (e, test) in block.filters.iter().zip(&tests) {
            if test.is_none() {
                let found = self.rejects(*e);
                rejected.extend(&found);
                if !matches!(self.arena.node(*e), Node::Or(_)) {
                    plain.extend(&found);
                }
            }
        }
        let mut kept = Vec::with_capacity(block.filters.len());
        for (e, test) in block.filters.iter().zip(&tests) {
            if let Some(Node::Col(col)) = test.map(|tested| self.arena.node(tested))
                && rejected.contains(*col)
            {
                continue;
            }
            kept.push(*e);
        }
        block.filters = kept;
        // Disjunctions may be simplified with what the other conditions say.
        let saved = self.arena.derived.clone();
        for col in plain.iter().filter(|col| own.contains(*col)) {
            self.arena.derived.insert(col);
        }
        let mut extended = ColSet::default();
        self.arena.extended(block, &mut extended);
        plain.iter().for_each(|col| extended.remove(col));
        let mut list = Vec::with_capacity(block.filters.len());
        for e in std::mem::take(&mut block.filters) {
            let simplified = match self.arena.node(e) {
                Node::Or(_) => self.condition(e, &extended),
                _ => e,
            };
            self.split(simplified, &mut list);
        }
        block.filters = list;
        self.arena.derived = saved;
        for e in &block.filters {
            rejected.extend(&self.rejects(*e));
        }
        for col in rejected.iter().filter(|col| own.contains(*col)) {
            self.arena.derived.insert(col);
        }
        self.resolve_disjunctions(block);
    }

    /// The columns whose NULL a condition rejects.
    fn rejects(&self, e: ExprId) -> ColSet {
        let columns = self.arena.columns_of(e);
        columns.iter().filter(|col| self.arena.never_true_when(e, &[*col].into_iter().collect())).collect()
    }

    /// A conjunct that holds makes its negation inside a disjunction impossible.
    fn resolve_disjunctions(&mut self, block: &mut Block) {
        let conjuncts = block.filters.clone();
        let mut negated: Vec<ExprId> = Vec::new();
        for e in &conjuncts {
            if !matches!(self.arena.node(*e), Node::Or(_)) {
                negated.push(self.arena.not(*e));
            }
        }
        for e in &mut block.filters {
            if let Node::Or(list) = self.arena.node(*e).clone() {
                let kept: Vec<_> = list.iter().copied().filter(|branch| !negated.contains(branch)).collect();
                if kept.len() < list.len() {
                    *e = self.arena.or(&kept);
                }
            }
        }
        let whole = self.arena.and(&block.filters.clone());
        let whole = self.arena.condition(whole);
        block.filters.clear();
        self.split(whole, &mut block.filters);
    }

    // rule: bounds
    /// Bounds of one expression: the tightest stay.
    fn ranges(&mut self, block: &mut Block) {
        let mut bounds: BTreeMap<ExprId, Range> = BTreeMap::new();
        let mut rest = Vec::with_capacity(block.filters.len());
        for e in std::mem::take(&mut block.filters) {
            let Node::Cmp(op, a, b) = *self.arena.node(e) else {
                rest.push(e);
                continue;
            };
            let (subject, literal, upper) = match (self.arena.as_const(a), self.arena.as_const(b)) {
                (None, Some(value)) => (a, value, true),
                (Some(value), None) => (b, value, false),
                _ => {
                    rest.push(e);
                    continue;
                }
            };
            let Some(point) = self.point(literal, self.arena.type_of(subject)) else {
                rest.push(e);
                continue;
            };
            let range = bounds.entry(subject).or_default();
            match (op, upper) {
                (CmpOp::Lt | CmpOp::Le, true) => {
                    let bound = (point, op == CmpOp::Lt, e);
                    if range.high.as_ref().is_none_or(|high| tighter(&bound, high, true)) {
                        range.high = Some(bound);
                    }
                }
                (CmpOp::Lt | CmpOp::Le, false) => {
                    let bound = (point, op == CmpOp::Lt, e);
                    if range.low.as_ref().is_none_or(|low| tighter(&bound, low, false)) {
                        range.low = Some(bound);
                    }
                }
                (CmpOp::Ne, _) => range.holes.push((point, e)),
                (CmpOp::Eq, _) => rest.push(e),
            }
        }
        for range in bounds.into_values() {
            if let (Some((low, low_open, _)), Some((high, high_open, _))) = (&range.low, &range.high)
                && (low > high || (low == high && (*low_open || *high_open)))
            {
                let nothing = self.arena.boolean(false);
                rest.push(nothing);
                continue;
            }
            for (hole, e) in range.holes {
                let outside =
                    range.low.as_ref().is_some_and(|(low, open, _)| hole < *low || (hole == *low && *open))
                        || range
                            .high
                            .as_ref()
                            .is_some_and(|(high, open, _)| hole > *high || (hole == *high && *open));
                if !outside {
                    rest.push(e);
                }
            }
            rest.extend(range.low.map(|(_, _, e)| e));
            rest.extend(range.high.map(|(_, _, e)| e));
        }
        block.filters = rest;
    }

    fn point(&self, literal: Const, subject: Type) -> Option<Point> {
        match (literal, subject) {
            (Const::Int(value), kind) if kind.is_exact() || matches!(kind, Type::Float(_)) => {
                Some(Point::Number(value))
            }
            (Const::Typed(kind, text), other)
                if kind == other && matches!(kind, Type::Date | Type::Timestamp) =>
            {
                // Canonical spelling: the order of the text is the order of time.
                Some(Point::Text(self.arena.text(text).to_owned()))
            }
            _ => None,
        }
    }

    // rule: having
    /// Conditions on group keys hold inside the grouping, conditions on partition keys inside the window, conditions on
    /// a union in its branches.
    fn push_down(&mut self, block: &mut Block) {
        if block.sources.iter().all(|source| matches!(source, Source::Scan(_))) {
            return;
        }
        let own = self.arena.visible_set(block);
        let mut kept = Vec::with_capacity(block.filters.len());
        let classes = block.equal.clone();
        for e in std::mem::take(&mut block.filters) {
            let used = self.arena.columns_of(e);
            let mut pushed = false;
            let mine: Vec<Col> = used.iter().filter(|col| own.contains(*col)).collect();
            if !mine.is_empty() {
                for source in &mut block.sources {
                    pushed |= self.push_into(e, &mine, &classes, source);
                }
            }
            if pushed {
                self.changed = true;
            } else {
                kept.push(e);
            }
        }
        block.filters = kept;
    }

    // rule: window-filter
    fn push_into(&mut self, e: ExprId, mine: &[Col], classes: &[Vec<Col>], source: &mut Source) -> bool {
        // A column stands for its class: any member will do.
        let member = |col: Col, offered: &dyn Fn(Col) -> bool| -> Option<Col> {
            if offered(col) {
                return Some(col);
            }
            classes.iter().find(|class| class.contains(&col))?.iter().copied().find(|other| offered(*other))
        };
        match source {
            Source::Aggregate(aggregate) if !aggregate.scalar => {
                let mut inward = Substitution::default();
                for col in mine {
                    let offered = |other: Col| aggregate.keys.iter().any(|(key, _)| *key == other);
                    let Some(found) = member(*col, &offered) else { return false };
                    if let Some((_, key)) = aggregate.keys.iter().find(|(key, _)| *key == found) {
                        inward.set(*col, *key);
                    }
                }
                let pushed = inward.apply(self.arena, e);
                aggregate.input.filters.push(pushed);
                true
            }
            Source::Values(values) => {
                let mut kept = Vec::with_capacity(values.rows.len());
                for row in &values.rows {
                    let mut inward = Substitution::default();
                    for col in mine {
                        let Some(at) = values.cols.iter().position(|other| other == col) else {
                            return false;
                        };
                        inward.set(*col, row[at]);
                    }
                    let outcome = inward.apply(self.arena, e);
                    match self.arena.as_const(outcome) {
                        Some(Const::Bool(true)) => kept.push(row.clone()),
                        Some(Const::Bool(false) | Const::Null) => {}
                        _ => return false,
                    }
                }
                values.rows = kept;
                true
            }
            Source::Window(window) => {
                let partitioned = |arena: &super::Arena, col: Col| {
                    window.funcs.iter().all(|(_, e)| match arena.node(*e) {
                        Node::Window(call) => {
                            call.partition.iter().any(|e| matches!(arena.node(*e), Node::Col(c) if *c == col))
                        }
                        _ => false,
                    })
                };
                let mut inward = Substitution::default();
                for col in mine {
                    let offered = |other: Col| partitioned(self.arena, other);
                    let Some(found) = member(*col, &offered) else { return false };
                    if found != *col {
                        let found = self.arena.column(found);
                        inward.set(*col, found);
                    }
                }
                let pushed = inward.apply(self.arena, e);
                window.input.filters.push(pushed);
                true
            }
            Source::Union(union) => {
                if self.arena.has_sub(e) {
                    return false;
                }
                let mut positions = Vec::with_capacity(mine.len());
                for col in mine {
                    let offered = |other: Col| union.cols.contains(&other);
                    let Some(found) = member(*col, &offered) else { return false };
                    let Some(at) = union.cols.iter().position(|other| *other == found) else { return false };
                    let same =
                        union.branches.iter().all(|branch| self.has_type_of(branch.outputs[at], found));
                    if !same {
                        return false;
                    }
                    positions.push((*col, at));
                }
                for branch in &mut union.branches {
                    let mut inward = Substitution::default();
                    for (col, at) in &positions {
                        inward.set(*col, branch.outputs[*at]);
                    }
                    let pushed = inward.apply(self.arena, e);
                    branch.block.filters.push(pushed);
                }
                true
            }
            _ => false,
        }
    }
}

/// Puts an inner block into the one around it. What the inner filters say of its columns is no longer taken for known:
/// the filters are now the outer block's own, and must not be dropped for what they themselves imply.
pub(super) fn splice(arena: &mut Arena, block: &mut Block, inner: Block) {
    for col in arena.visible_set(&inner).iter() {
        arena.derived.remove(col);
    }
    block.sources.extend(inner.sources);
    block.outers.extend(inner.outers);
    block.filters.extend(inner.filters);
    block.equal.extend(inner.equal);
    block.empty |= inner.empty;
}

fn merge(classes: &mut Vec<Vec<Col>>, a: Col, b: Col) {
    let (at_a, at_b) = (
        classes.iter().position(|class| class.contains(&a)),
        classes.iter().position(|class| class.contains(&b)),
    );
    match (at_a, at_b) {
        (None, None) => classes.push(vec![a, b]),
        (Some(at), None) => classes[at].push(b),
        (None, Some(at)) => classes[at].push(a),
        (Some(x), Some(y)) if x != y => {
            let moved = classes.remove(x.max(y));
            classes[x.min(y)].extend(moved);
        }
        _ => {}
    }
}

/// The value of a bound.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Point {
    Number(i128),
    Text(String),
}

type Bound = (Point, bool, ExprId);

#[derive(Debug, Default)]
struct Range {
    low: Option<Bound>,
    high: Option<Bound>,
    holes: Vec<(Point, ExprId)>,
}

fn tighter(new: &Bound, old: &Bound, upper: bool) -> bool {
    if new.0 == old.0 {
        return new.1 && !old.1;
    }
    (new.0 < old.0) == upper
}
