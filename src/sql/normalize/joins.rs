//! Joins: semi-joins that are joins, anti-joins, joins that add nothing.

use super::super::algebra::map::Substitution;
use super::super::algebra::{Block, CmpOp, Col, ColSet, Const, ExprId, Node, ScanId, Source, Sub};
use super::super::types::Type;
use super::Normalizer;
use super::filters::splice;

impl Normalizer<'_> {
    /// Normalizes the joins of a block whose conditions are in normal form.
    pub(super) fn joins(&mut self, block: &mut Block, above: &ColSet, set: bool) {
        self.attach_filters(block);
        self.semi_joins(block, set);
        self.own_matches(block);
        self.anti_joins(block);
        self.presence(block);
        self.left_joins(block, above, set);
        self.distinct_sources(block);
        self.self_joins(block);
        self.referenced(block, above, set);
        if set {
            self.folded(block, above);
            self.grouped_partitions(block, above);
        }
        self.merge_aggregates(block);
        self.kept_groups(block);
        self.greatest_rows(block);
        self.numbered(block, above);
    }

    fn attach_filters(&mut self, block: &mut Block) {
        if block.filters.iter().any(|e| self.arena.has_sub(*e)) {
            let mut filters = std::mem::take(&mut block.filters);
            let before = filters.clone();
            self.attach(block, &mut filters);
            if filters != before {
                let mut split = Vec::new();
                filters.iter().for_each(|e| self.split(*e, &mut split));
                filters = split;
            }
            block.filters.extend(filters);
        }
    }

    // rule: semi-join
    /// EXISTS of at most one row, or where duplicates do not matter, is a join.
    fn semi_joins(&mut self, block: &mut Block, set: bool) {
        self.each_exists(block, |this, block, sub| {
            let mut facts = Vec::new();
            let one = set || this.closure(&sub, &mut ColSet::default(), &mut facts);
            if !one || sub.sources.is_empty() {
                return false;
            }
            this.arena.used_facts.extend(facts);
            let mut copy = Sub { block: sub, outputs: Vec::new() };
            this.arena.refresh(&mut copy);
            splice(this.arena, block, copy.block);
            true
        });
    }

    /// Offers each EXISTS among the conditions of a block, with that condition taken out; where it is not taken over, it
    /// is put back.
    pub(super) fn each_exists(
        &mut self,
        block: &mut Block,
        take_over: impl Fn(&mut Self, &mut Block, Block) -> bool,
    ) {
        let mut at = 0;
        while at < block.filters.len() {
            let e = block.filters[at];
            let Node::Exists(id) = *self.arena.node(e) else {
                at += 1;
                continue;
            };
            let sub = self.arena.sub(id).block.clone();
            block.filters.remove(at);
            if take_over(self, block, sub) {
                self.changed = true;
            } else {
                block.filters.insert(at, e);
                at += 1;
            }
        }
    }

    // rule: anti-join
    /// A left join whose rows must have no match is an anti-join.
    fn anti_joins(&mut self, block: &mut Block) {
        let mut at = 0;
        while at < block.outers.len() {
            let marker = self.arena.column(block.outers[at].marker);
            let unmatched = self.arena.is_null(marker);
            if !block.filters.contains(&unmatched) {
                at += 1;
                continue;
            }
            let outer = block.outers.remove(at);
            block.filters.retain(|e| *e != unmatched);
            let visible = self.arena.visible_set(&outer.right);
            let mut inner = outer.right;
            inner.filters.extend(outer.on);
            let mut copy = Sub { block: inner, outputs: Vec::new() };
            self.arena.refresh(&mut copy);
            let id = self.arena.new_sub(copy);
            let exists = self.arena.exists(id);
            let none = self.arena.not(exists);
            block.filters.push(none);
            let null = self.arena.null();
            let mut local = Substitution::default();
            for col in visible.iter().chain([outer.marker]) {
                self.replace(col, null);
                local.set(col, null);
            }
            self.apply_local(block, &mut local);
        }
    }

    pub(super) fn apply_local(&mut self, block: &mut Block, local: &mut Substitution) {
        for e in block.filters.iter_mut().chain(block.outers.iter_mut().flat_map(|outer| &mut outer.on)) {
            *e = local.apply(self.arena, *e);
        }
    }

    /// The same where columns are gone: derived tables read their neighbours, too.
    pub(super) fn apply_everywhere(&mut self, block: &mut Block, local: &mut Substitution) {
        let classes = std::mem::take(&mut block.equal);
        local.apply_block(self.arena, block, &mut false);
        block.equal = classes;
    }

    /// A column that every match has tells whether there is a match.
    fn presence(&mut self, block: &mut Block) {
        let mut local = Substitution::default();
        for outer in &block.outers {
            let mut inner = ColSet::default();
            self.arena.extended(&outer.right, &mut inner);
            let marker = self.arena.column(outer.marker);
            let missing = self.arena.is_null(marker);
            for col in self.arena.visible_set(&outer.right).iter() {
                let column = self.arena.column(col);
                let Some(test) = self.arena.existing(&Node::IsNull(column)) else { continue };
                // Where the match is looked for it asks something else.
                if outer.on.iter().any(|e| self.arena.occurs(test, *e)) {
                    continue;
                }
                let one: ColSet = [col].into_iter().collect();
                let required = outer.on.iter().any(|e| self.arena.never_true_when(*e, &one));
                if required || !self.arena.nullable(column, &inner) {
                    self.subst.set_expr(test, missing);
                    local.set_expr(test, missing);
                }
            }
        }
        if !local.is_empty() {
            let before = block.filters.clone();
            self.apply_local(block, &mut local);
            self.changed |= before != block.filters;
        }
    }

    /// The columns that anything but the own conditions of a part of the block reads.
    pub(super) fn read_elsewhere(
        &mut self,
        block: &Block,
        above: &ColSet,
        skip_outer: Option<usize>,
    ) -> ColSet {
        let mut read = self.resolved(above);
        for e in &block.filters {
            self.arena.collect_columns(*e, &mut read);
        }
        for (at, outer) in block.outers.iter().enumerate() {
            if Some(at) != skip_outer {
                outer.on.iter().for_each(|e| self.arena.collect_columns(*e, &mut read));
                self.arena.collect_block(&outer.right, &mut read);
            }
        }
        for source in &block.sources {
            self.arena.collect_source(source, &mut read);
        }
        read
    }

    // rule: unread-join
    /// Left joins that add no row and whose columns nobody reads; left joins that always match.
    fn left_joins(&mut self, block: &mut Block, above: &ColSet, set: bool) {
        let mut at = 0;
        while at < block.outers.len() {
            let read = self.read_elsewhere(block, above, Some(at));
            let outer = &block.outers[at];
            let mut mine = self.arena.visible_set(&outer.right);
            mine.insert(outer.marker);
            let equal_elsewhere = block.equal.iter().flatten().any(|col| mine.contains(*col));
            if !mine.intersects(&read) && !equal_elsewhere {
                let mut probe = outer.right.clone();
                probe.filters.extend_from_slice(&outer.on);
                let mut facts = Vec::new();
                if set || self.closure(&probe, &mut ColSet::default(), &mut facts) {
                    self.arena.used_facts.extend(facts);
                    block.outers.remove(at);
                    self.changed = true;
                    continue;
                }
            }
            if self.only_marker(block, at, &read, &mine, set) {
                continue;
            }
            if self.always_matches(block, at) {
                let outer = block.outers.remove(at);
                let holds = self.arena.boolean(true);
                self.replace(outer.marker, holds);
                block.sources.extend(outer.right.sources);
                block.filters.extend(outer.on);
                continue;
            }
            at += 1;
        }
    }

    /// A left join of which only the marker is read, and that adds no rows, is an EXISTS.
    fn only_marker(&mut self, block: &mut Block, at: usize, read: &ColSet, mine: &ColSet, set: bool) -> bool {
        let outer = &block.outers[at];
        let marker = outer.marker;
        let only = mine.iter().all(|col| (col == marker) == read.contains(col));
        if !only || block.equal.iter().flatten().any(|col| mine.contains(*col)) {
            return false;
        }
        let mut inner = outer.right.clone();
        inner.filters.extend_from_slice(&outer.on);
        let mut facts = Vec::new();
        if !set && !self.closure(&inner, &mut ColSet::default(), &mut facts) {
            return false;
        }
        self.arena.used_facts.extend(facts);
        block.outers.remove(at);
        let mut copy = Sub { block: inner, outputs: Vec::new() };
        self.arena.refresh(&mut copy);
        let id = self.arena.new_sub(copy);
        let exists = self.arena.exists(id);
        let none = self.arena.not(exists);
        let column = self.arena.column(marker);
        let missing = self.arena.is_null(column);
        let (holds, null) = (self.arena.boolean(true), self.arena.null());
        let value = self.arena.case(&[(exists, holds)], null);
        let mut local = Substitution::default();
        for subst in [&mut self.subst, &mut local] {
            subst.set_expr(missing, none);
            subst.set(marker, value);
        }
        self.changed = true;
        self.apply_local(block, &mut local);
        true
    }

    /// The condition is a foreign key that is never NULL, and nothing else.
    fn always_matches(&mut self, block: &Block, at: usize) -> bool {
        let outer = &block.outers[at];
        if !outer.right.outers.is_empty() || !outer.right.filters.is_empty() {
            return false;
        }
        let [Source::Scan(target)] = outer.right.sources.as_slice() else { return false };
        let mut pairs = Vec::with_capacity(outer.on.len());
        for e in &outer.on {
            let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(*e) else { return false };
            let (Node::Col(a), Node::Col(b)) = (self.arena.node(a), self.arena.node(b)) else { return false };
            pairs.push((*a, *b));
        }
        let target = *target;
        let mut extended = ColSet::default();
        self.arena.extended(block, &mut extended);
        match self.reference(block, target, &pairs, Some(&extended)) {
            Some((facts, length)) if length == pairs.len() => {
                self.arena.used_facts.extend(facts);
                true
            }
            _ => false,
        }
    }

    /// The table column whose values a column holds, through groupings.
    fn origin(&self, block: &Block, col: Col) -> Option<(ScanId, u32)> {
        if let Some(found) = self.arena.col(col).scan {
            return Some(found);
        }
        block.sources.iter().find_map(|source| {
            let Source::Aggregate(aggregate) = source else { return None };
            let (_, e) = aggregate.keys.iter().find(|(key, _)| *key == col)?;
            match *self.arena.node(*e) {
                Node::Col(inner) => self.origin(&aggregate.input, inner),
                _ => None,
            }
        })
    }

    /// The facts that make every row find a row of `target` by these pairs of equal columns: a foreign key; also how many
    /// pairs it uses. With `extended`, the columns that an outer join may have set to NULL, only keys that are never NULL.
    fn reference(
        &mut self,
        block: &Block,
        target: ScanId,
        pairs: &[(Col, Col)],
        extended: Option<&ColSet>,
    ) -> Option<(Vec<usize>, usize)> {
        let target_table = self.arena.scan(target).table;
        let target_name = self.arena.text(self.arena.table_of(target).name).to_owned();
        // (referring read, position, referring column, name of the referred column)
        let mut ends = Vec::with_capacity(pairs.len() * 2);
        for (a, b) in pairs {
            for (from, to) in [(*a, *b), (*b, *a)] {
                let Some((scan, position)) = self.arena.col(to).scan else { continue };
                if scan != target || self.arena.scan(scan).table != target_table {
                    continue;
                }
                let name = self.arena.table_of(scan).columns.get(position as usize).map(|(name, _)| *name)?;
                if let Some((from_scan, from_position)) = self.origin(block, from) {
                    ends.push((from_scan, from_position, from, name));
                }
            }
        }
        for (scan, ..) in &ends {
            for (columns, table, references, fact) in self.arena.table_of(*scan).facts.foreign_keys.clone() {
                if table != target_name || *scan == target {
                    continue;
                }
                let mut facts = vec![fact];
                let all = columns.iter().zip(&references).all(|(position, reference)| {
                    let end = ends.iter().find(|(other, at, _, name)| {
                        other == scan && at == position && self.arena.is(*name, reference)
                    });
                    let Some((_, _, from, _)) = end else { return false };
                    let Some(extended) = extended else { return true };
                    facts.extend(self.arena.col(*from).fact);
                    let from = self.arena.column(*from);
                    !self.arena.nullable(from, extended)
                });
                if all {
                    return Some((facts, columns.len()));
                }
            }
        }
        None
    }

    /// Pairs of a column of anything else and one of `target` that are equal, by class or by being the same literal.
    fn pairs(&self, block: &Block, mine: &ColSet) -> Vec<(Col, Col)> {
        let mut pairs = Vec::new();
        for class in &block.equal {
            for theirs in class.iter().filter(|col| mine.contains(**col)) {
                for other in class.iter().filter(|col| !mine.contains(**col)) {
                    pairs.push((*other, *theirs));
                }
            }
        }
        let literals: Vec<(Col, ExprId)> = block.filters.iter().filter_map(|e| self.literal_of(*e)).collect();
        for (theirs, literal) in literals.iter().filter(|(col, _)| mine.contains(*col)) {
            for (other, same) in &literals {
                if same == literal && !mine.contains(*other) {
                    pairs.push((*other, *theirs));
                }
            }
        }
        pairs
    }

    /// `col = literal`, where that leaves the column one value.
    pub(super) fn literal_of(&self, e: ExprId) -> Option<(Col, ExprId)> {
        let Node::Cmp(CmpOp::Eq, a, b) = *self.arena.node(e) else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(tested, literal)| {
            let Node::Col(col) = *self.arena.node(tested) else { return None };
            let value = self.arena.as_const(literal)?;
            let one = match (value, self.arena.type_of(tested)) {
                (Const::Int(_) | Const::Decimal(..), kind) => {
                    kind.is_exact() || matches!(kind, Type::Float(_))
                }
                (Const::Text(_), Type::Text | Type::Unknown) => true,
                (Const::Bool(_), Type::Bool) => true,
                // The text '05' is the number 5, and so is '5'.
                (Const::Typed(kind, _), other) => kind == other,
                _ => false,
            };
            one.then_some((col, literal))
        })
    }

    // rule: foreign-key
    /// An inner join with a referenced table of which nothing but the key is read.
    fn referenced(&mut self, block: &mut Block, above: &ColSet, set: bool) {
        let mut at = 0;
        while at < block.sources.len() {
            let Source::Scan(target) = block.sources[at] else {
                at += 1;
                continue;
            };
            let mine: ColSet = self.arena.scan(target).cols.iter().map(|(_, col)| *col).collect();
            let pairs = self.pairs(block, &mine);
            let found = if pairs.is_empty() { None } else { self.reference(block, target, &pairs, None) };
            let Some((facts, _)) = found else {
                at += 1;
                continue;
            };
            // Conditions that only repeat the literal of the other side.
            let repeats: Vec<ExprId> = block
                .filters
                .iter()
                .copied()
                .filter(|e| {
                    self.literal_of(*e).is_some_and(|(col, _)| {
                        mine.contains(col) && pairs.iter().any(|(_, theirs)| *theirs == col)
                    })
                })
                .collect();
            block.filters.retain(|e| !repeats.contains(e));
            let read = self.read_elsewhere(block, above, None);
            // Only columns that are equal to others are read, and all equalities are those of the key.
            let replaceable =
                mine.iter().all(|col| match block.equal.iter().find(|class| class.contains(&col)) {
                    Some(class) => {
                        pairs.iter().any(|(_, theirs)| *theirs == col)
                            && class.iter().filter(|member| mine.contains(**member)).count() == 1
                    }
                    None => !read.contains(col),
                });
            let tied =
                repeats.len() + block.equal.iter().flatten().filter(|col| mine.contains(**col)).count();
            if !replaceable || !self.covers_key(target, &pairs, &facts, set, tied) {
                block.filters.extend(repeats);
                at += 1;
                continue;
            }
            block.sources.remove(at);
            self.drop_members(block, &mine);
            self.changed = true;
        }
    }

    /// The equated columns are a key, so that the join adds no rows; notes the facts. `tied` is the number of equalities of
    /// the table: all must be part of the reference, or dropping it would lose a condition.
    fn covers_key(
        &mut self,
        target: ScanId,
        pairs: &[(Col, Col)],
        facts: &[usize],
        set: bool,
        tied: usize,
    ) -> bool {
        let unique = self.arena.table_of(target).facts.unique.clone();
        let cols = self.arena.scan(target).cols.clone();
        let key = unique.iter().find(|(positions, _)| {
            positions.iter().all(|position| {
                cols.iter()
                    .find(|(at, _)| at == position)
                    .is_some_and(|(_, col)| pairs.iter().any(|(_, theirs)| theirs == col))
            })
        });
        let (length, fact) = match key {
            Some((positions, fact)) => (positions.len(), Some(*fact)),
            None if set => (tied, None),
            None => return false,
        };
        if tied != length {
            return false;
        }
        self.arena.used_facts.extend(facts.iter().copied().chain(fact));
        true
    }

    /// Takes columns out of the classes: another member stands for them.
    pub(super) fn drop_members(&mut self, block: &mut Block, gone: &ColSet) {
        let own = self.arena.visible_set(block);
        let (mut local, mut elsewhere) = (Substitution::default(), Substitution::default());
        for class in std::mem::take(&mut block.equal) {
            if !class.iter().any(|col| gone.contains(*col)) {
                block.equal.push(class);
                continue;
            }
            let kept: Vec<Col> = class.iter().copied().filter(|col| !gone.contains(*col)).collect();
            let Some(first) = kept.first().copied() else { continue };
            let column = self.arena.column(first);
            self.subst.remove(first);
            for col in class.iter().filter(|col| **col != first) {
                if own.contains(*col) || gone.contains(*col) {
                    self.subst.set(*col, column);
                }
                local.set(*col, column);
                // Inside of its sources the other members are not equal yet.
                if gone.contains(*col) {
                    elsewhere.set(*col, column);
                }
            }
            if kept.len() > 1 {
                block.equal.push(kept);
            } else {
                // The equality also said that the column is not NULL.
                let info = *self.arena.col(first);
                if info.nullable || !own.contains(first) {
                    let test = self.arena.intern_not_null(first);
                    block.filters.push(test);
                } else {
                    self.arena.use_fact(info.fact);
                }
            }
        }
        self.apply_local(block, &mut local);
        self.apply_everywhere(block, &mut elsewhere);
    }

    // rule: distinct-source
    /// A join with the distinct values of a subquery, all of them equated with something, is a semi-join.
    fn distinct_sources(&mut self, block: &mut Block) {
        let mut at = 0;
        while at < block.sources.len() {
            let keys: Vec<(Col, ExprId)> = match &block.sources[at] {
                Source::Aggregate(aggregate) if aggregate.aggs.is_empty() && !aggregate.scalar => {
                    aggregate.keys.clone()
                }
                _ => {
                    at += 1;
                    continue;
                }
            };
            let mine: ColSet = keys.iter().map(|(col, _)| *col).collect();
            let partner = |col: Col| -> Option<Col> {
                let class = block.equal.iter().find(|class| class.contains(&col))?;
                class.iter().copied().find(|other| !mine.contains(*other))
            };
            let partners: Option<Vec<Col>> = keys.iter().map(|(col, _)| partner(*col)).collect();
            let alone = block.sources.len() == 1 && block.outers.is_empty();
            let Some(partners) = partners else {
                at += 1;
                continue;
            };
            if alone || keys.is_empty() && block.sources.len() == 1 {
                at += 1;
                continue;
            }
            let Source::Aggregate(aggregate) = block.sources.remove(at) else { continue };
            let mut inner = aggregate.input;
            for ((_, key), partner) in keys.iter().zip(&partners) {
                let outside = self.arena.column(*partner);
                let equal = self.arena.cmp(CmpOp::Eq, *key, outside);
                inner.filters.push(equal);
            }
            let mut copy = Sub { block: inner, outputs: Vec::new() };
            self.arena.refresh(&mut copy);
            let id = self.arena.new_sub(copy);
            let exists = self.arena.exists(id);
            self.drop_members(block, &mine);
            block.filters.push(exists);
            self.changed = true;
        }
    }
}
