//! Reads of one table beside each other: those that are one, and those that the others imply.

use super::super::algebra::map::Substitution;
use super::super::algebra::{Block, CmpOp, Col, ColSet, Const, ExprId, Node, ScanId, Source};
use super::super::types::Type;
use super::Normalizer;

impl Normalizer<'_> {
    /// Pairs of equal columns of two reads.
    fn scan_pairs(&self, block: &Block, from: ScanId, target: ScanId) -> Vec<(Col, Col)> {
        let mut pairs = Vec::new();
        for class in &block.equal {
            for (_, mine) in self.arena.scan(from).cols.iter().filter(|(_, col)| class.contains(col)) {
                for (_, theirs) in self.arena.scan(target).cols.iter().filter(|(_, col)| class.contains(col))
                {
                    pairs.push((*mine, *theirs));
                }
            }
        }
        pairs
    }

    /// The reads that a block offers: its own and those in the windows and limits among its sources, whose columns stay
    /// visible; for the block's own also where they are.
    fn offered_reads(block: &Block) -> Vec<(ScanId, Option<usize>)> {
        fn inside(source: &Source, found: &mut Vec<(ScanId, Option<usize>)>) {
            match source {
                Source::Scan(scan) => found.push((*scan, None)),
                Source::Window(window) => window.input.sources.iter().for_each(|s| inside(s, found)),
                Source::Limit(limit) => limit.input.sources.iter().for_each(|s| inside(s, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        for (at, source) in block.sources.iter().enumerate() {
            match source {
                Source::Scan(scan) => found.push((*scan, Some(at))),
                source => inside(source, &mut found),
            }
        }
        found
    }

    // rule: one-read
    /// Two reads of one table with equal keys are one.
    pub(super) fn self_joins(&mut self, block: &mut Block) {
        while self.self_join(block) {}
    }

    fn self_join(&mut self, block: &mut Block) -> bool {
        let reads = Self::offered_reads(block);
        for (number, (first, first_at)) in reads.iter().copied().enumerate() {
            for (other_number, (second, second_at)) in reads.iter().copied().enumerate() {
                // A read inside a window or limit stays; of two of the block's own the first does.
                let Some(gone_at) = second_at else { continue };
                if first == second
                    || (first_at.is_some() && other_number < number)
                    || self.arena.scan(first).table != self.arena.scan(second).table
                {
                    continue;
                }
                let pairs = self.scan_pairs(block, first, second);
                let unique = self.arena.table_of(first).facts.unique.clone();
                let one = self.arena.scan(first).cols.clone();
                let two = self.arena.scan(second).cols.clone();
                let same = unique.iter().find(|(positions, _)| {
                    positions.iter().all(|position| {
                        let a = one.iter().find(|(at, _)| at == position);
                        let b = two.iter().find(|(at, _)| at == position);
                        match (a, b) {
                            (Some((_, a)), Some((_, b))) => {
                                pairs.contains(&(*a, *b)) || self.both_bound(block, *a, *b)
                            }
                            _ => false,
                        }
                    })
                });
                let Some((_, fact)) = same else { continue };
                self.arena.use_fact(Some(*fact));
                block.sources.remove(gone_at);
                let gone: ColSet = two.iter().map(|(_, col)| *col).collect();
                // The columns of the second read are those of the first, also in the classes.
                let mut local = Substitution::default();
                let mut renamed = Vec::new();
                for (position, col) in two {
                    let stays = self.arena.scan_col(first, position);
                    let column = self.arena.column(stays);
                    local.set(col, column);
                    renamed.push((col, stays));
                }
                for class in std::mem::take(&mut block.equal) {
                    let mut class: Vec<Col> = class
                        .into_iter()
                        .map(|col| renamed.iter().find(|(from, _)| *from == col).map_or(col, |(_, to)| *to))
                        .collect();
                    class.sort_unstable();
                    class.dedup();
                    if let [only] = class.as_slice() {
                        let test = self.arena.intern_not_null(*only);
                        block.filters.push(test);
                    } else {
                        block.equal.push(class);
                    }
                }
                for (col, stays) in renamed {
                    let column = self.arena.column(stays);
                    // A representative may have been replaced by a column that is gone.
                    if let Some(to) = self.subst.get(stays) {
                        let used = self.arena.columns_of(to);
                        if used.intersects(&gone) {
                            self.subst.remove(stays);
                        }
                    }
                    self.replace(col, column);
                }
                self.apply_everywhere(block, &mut local);
                return true;
            }
        }
        false
    }

    fn both_bound(&self, block: &Block, a: Col, b: Col) -> bool {
        let literal = |col: Col| {
            let mut literals = block.filters.iter().filter_map(|e| self.literal_of(*e));
            literals.find(|(bound, _)| *bound == col).map(|(_, literal)| literal)
        };
        matches!((literal(a), literal(b)), (Some(x), Some(y)) if x == y)
    }

    // rule: folded-read
    /// Where duplicates do not matter, a read of a table that another read of it satisfies as well adds nothing.
    pub(super) fn folded(&mut self, block: &mut Block, above: &ColSet) {
        let mut at = 0;
        'sources: while at < block.sources.len() {
            let Source::Scan(second) = block.sources[at] else {
                at += 1;
                continue;
            };
            let mine: ColSet = self.arena.scan(second).cols.iter().map(|(_, col)| *col).collect();
            for other in 0..block.sources.len() {
                let Source::Scan(first) = block.sources[other] else { continue };
                if other == at || self.arena.scan(first).table != self.arena.scan(second).table {
                    continue;
                }
                let mut read_above = self.resolved(above);
                block.sources.iter().for_each(|source| self.arena.collect_source(source, &mut read_above));
                for outer in &block.outers {
                    self.arena.collect_block(&outer.right, &mut read_above);
                }
                let mut to = Substitution::default();
                let mut renamed = Vec::new();
                for (position, col) in self.arena.scan(second).cols.clone() {
                    let stays = self.arena.scan_col(first, position);
                    let column = self.arena.column(stays);
                    to.set(col, column);
                    renamed.push((col, stays));
                }
                // Columns that others stand for are read through them.
                let free = mine.iter().all(|col| {
                    let class = block.equal.iter().find(|class| class.contains(&col));
                    match class {
                        Some(class) => {
                            let stays = renamed.iter().find(|(from, _)| *from == col).map(|(_, to)| *to);
                            class.iter().any(|member| Some(*member) == stays)
                        }
                        None => !read_above.contains(col),
                    }
                });
                let holds = self.arena.boolean(true);
                let conditions = block.filters.clone();
                for outer in &block.outers {
                    if outer.on.iter().any(|e| self.arena.columns_of(*e).intersects(&mine)) {
                        at += 1;
                        continue 'sources;
                    }
                }
                let implied = block.filters.iter().all(|e| {
                    !self.arena.columns_of(*e).intersects(&mine) || {
                        let mapped = to.apply(self.arena, *e);
                        conditions.contains(&mapped) || mapped == holds
                    }
                });
                if free && implied {
                    block.filters.retain(|e| !self.arena.columns_of(*e).intersects(&mine));
                    block.sources.remove(at);
                    self.drop_members(block, &mine);
                    self.changed = true;
                    continue 'sources;
                }
            }
            at += 1;
        }
    }

    // rule: own-match
    /// An EXISTS that the row itself satisfies: its reads are reads of the block, and its conditions hold for those.
    pub(super) fn own_matches(&mut self, block: &mut Block) {
        self.each_exists(block, |this, block, sub| {
            let present = this.matches_itself(block, &sub);
            let matches = present.is_some();
            block.filters.extend(present.into_iter().flatten());
            matches
        });
    }

    fn matches_itself(&mut self, block: &Block, sub: &Block) -> Option<Vec<ExprId>> {
        const MOST: usize = 4;
        if sub.empty || !sub.outers.is_empty() || sub.sources.is_empty() || sub.sources.len() > MOST {
            return None;
        }
        let reads: Vec<ScanId> = block
            .sources
            .iter()
            .filter_map(|source| if let Source::Scan(scan) = source { Some(*scan) } else { None })
            .collect();
        let mut inner = Vec::with_capacity(sub.sources.len());
        let mut choices = Vec::with_capacity(sub.sources.len());
        for source in &sub.sources {
            let Source::Scan(scan) = *source else { return None };
            let table = self.arena.scan(scan).table;
            let same: Vec<ScanId> =
                reads.iter().copied().filter(|read| self.arena.scan(*read).table == table).collect();
            if same.is_empty() || same.len() > MOST {
                return None;
            }
            inner.push(scan);
            choices.push(same);
        }
        if sub.filters.iter().any(|e| self.arena.has_sub(*e)) {
            return None;
        }
        // Every way to take the reads of the block for those of the subquery.
        let mut pick = vec![0; inner.len()];
        loop {
            let mut to = Substitution::default();
            for (at, scan) in inner.iter().enumerate() {
                for (position, col) in self.arena.scan(*scan).cols.clone() {
                    let stays = self.arena.scan_col(choices[at][pick[at]], position);
                    let column = self.arena.column(stays);
                    to.set(col, column);
                }
            }
            let present = self.holds_here(block, sub, &mut to);
            if present.is_some() {
                return present;
            }
            let at = (0..pick.len()).find(|at| pick[*at] + 1 < choices[*at].len())?;
            pick[at] += 1;
            pick[..at].fill(0);
        }
    }

    /// What must not be NULL for the conditions of `sub`, read through `to`, to hold on a row of the block; `None` where
    /// they may fail otherwise. What is given is as necessary as it is sufficient.
    fn holds_here(&mut self, block: &Block, sub: &Block, to: &mut Substitution) -> Option<Vec<ExprId>> {
        let mut extended = ColSet::default();
        self.arena.extended(block, &mut extended);
        // A member of a class is read through its first; a column with a literal is that literal.
        let mut known = Substitution::default();
        for class in &block.equal {
            let first = self.arena.column(class[0]);
            class[1..].iter().for_each(|col| known.set(*col, first));
        }
        for e in &block.filters {
            if let Some((col, literal)) = self.literal_of(*e) {
                let fits = self.arena.col(col).data_type;
                if fits.is_int() || fits == Type::Text {
                    known.set(col, literal);
                }
            }
        }
        let mut conditions = Vec::new();
        for e in &sub.filters {
            conditions.push((*e, to.apply(self.arena, *e)));
        }
        for class in &sub.equal {
            for pair in class.windows(2) {
                let (a, b) = (self.arena.column(pair[0]), self.arena.column(pair[1]));
                let equal = self.arena.cmp(CmpOp::Eq, a, b);
                conditions.push((equal, to.apply(self.arena, equal)));
            }
        }
        let mut facts = Vec::new();
        let mut needed = Vec::new();
        for (written, e) in conditions {
            let mut each = Vec::new();
            self.split(e, &mut each);
            for e in each {
                if block.filters.contains(&e) {
                    continue;
                }
                let e = known.apply(self.arena, e);
                if block.filters.contains(&e) {
                    continue;
                }
                let tested = match *self.arena.node(e) {
                    Node::Const(Const::Bool(true)) => continue,
                    Node::Cmp(CmpOp::Eq | CmpOp::Le, a, b) if a == b && !self.arena.nan_is_unequal(a) => a,
                    Node::Not(inner) => match *self.arena.node(inner) {
                        Node::IsNull(tested) => tested,
                        _ => return None,
                    },
                    _ => return None,
                };
                if self.present(block, tested, &extended, &mut facts) {
                    continue;
                }
                // The EXISTS itself says that a column of the block is there, where its condition rejects NULL in it.
                let Node::Col(col) = *self.arena.node(tested) else { return None };
                let one: ColSet = [col].into_iter().collect();
                if !self.arena.never_true_when(written, &one) {
                    return None;
                }
                needed.push(self.arena.intern_not_null(col));
            }
        }
        self.arena.used_facts.extend(facts);
        Some(needed)
    }

    /// Whether an expression is never NULL on the rows of the block.
    fn present(&mut self, block: &Block, e: ExprId, extended: &ColSet, facts: &mut Vec<usize>) -> bool {
        if let Node::Col(col) = *self.arena.node(e) {
            if block.equal.iter().any(|class| class.contains(&col)) {
                return true;
            }
            let one: ColSet = [col].into_iter().collect();
            if block.filters.iter().any(|e| self.arena.never_true_when(*e, &one)) {
                return true;
            }
        }
        let before = self.arena.used_facts.clone();
        let present = !self.arena.nullable(e, extended);
        facts.extend(self.arena.used_facts.difference(&before).copied());
        self.arena.used_facts = before;
        present
    }
}
