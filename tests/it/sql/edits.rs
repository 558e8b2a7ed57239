//! Edits of queries over chains of joins: join kinds and their order, conditions between ON, WHERE and derived tables,
//! subqueries and the joins that look like them, tests for NULL, joins that look as if they added nothing.

use super::chains::{Chains, Condition, Join, Rows, Select, reads};

const KINDS: [&str; 5] = ["left", "left", "inner", "full", "right"];

impl Chains<'_> {
    pub(super) fn change(&mut self, query: &mut Select) -> Option<&'static str> {
        match self.below(16) {
            0..=5 => self.change_join(query),
            6 => {
                let at = self.any_filter(query)?;
                query.filter.remove(at);
                Some("condition dropped")
            }
            7 => {
                let column = self.pick(&query.from.columns());
                query.filter.push(Condition::Null(column, self.chance(30)));
                Some("test for NULL")
            }
            8 | 9 => {
                let at = self.any_filter(query)?;
                let (changed, name) = self.change_condition(&query.filter[at].clone(), query)?;
                query.filter[at] = changed;
                Some(name)
            }
            10 => self.filter_inside(query),
            11 => self.join_of_subquery(query),
            12 => self.subquery_of_join(query),
            13 => {
                // Along a key.
                let columns = query.from.columns();
                let keys: Vec<String> =
                    columns.into_iter().filter(|c| c.ends_with(".t_id") || c.ends_with(".u_id")).collect();
                if keys.is_empty() {
                    return None;
                }
                let key = self.pick(&keys);
                let right = self.table(if key.ends_with(".t_id") { "t" } else { "u" });
                let on = vec![Condition::Equal(key, right.columns()[0].clone())];
                let kind = self.pick(&["left", "left", "inner"]);
                let left = std::mem::replace(&mut query.from, Rows::Table("t", String::new()));
                query.from = Rows::Join(Box::new(Join { kind, left, right, on }));
                Some("join along a key")
            }
            14 if !query.grouped => {
                query.distinct = !query.distinct;
                Some("distinct")
            }
            _ => {
                // An equal column.
                let Condition::Equal(a, b) = self.any_tie(query)? else { return None };
                let (from, to) = if self.chance(50) { (a, b) } else { (b, a) };
                if self.chance(50) {
                    let at = self.any_filter(query)?;
                    query.filter[at] = query.filter[at].replaced(&from, &to);
                } else {
                    query.items.iter_mut().for_each(|(item, _)| *item = item.replace(&from, &to));
                }
                Some("equal column")
            }
        }
    }

    fn any_filter(&mut self, query: &Select) -> Option<usize> {
        if query.filter.is_empty() { None } else { Some(self.below(query.filter.len())) }
    }

    fn any_join<'q>(&mut self, query: &'q mut Select) -> Option<&'q mut Rows> {
        let joins = query.from.joins();
        if joins.is_empty() {
            return None;
        }
        let path = self.pick(&joins);
        Some(query.from.at(&path))
    }

    fn any_tie(&mut self, query: &mut Select) -> Option<Condition> {
        let Rows::Join(join) = self.any_join(query)? else { return None };
        join.on.iter().find(|condition| matches!(condition, Condition::Equal(..))).cloned()
    }

    fn change_join(&mut self, query: &mut Select) -> Option<&'static str> {
        let which = self.below(8);
        let written = query.clone();
        let filter = self.any_filter(query);
        let kind = self.pick(&KINDS);
        let any = self.below(8);
        let rows = self.any_join(query)?;
        let Rows::Join(join) = rows else { return None };
        match which {
            0 | 1 => {
                if join.kind == kind {
                    return None;
                }
                join.kind = kind;
                Some("kind of join")
            }
            2 => {
                std::mem::swap(&mut join.left, &mut join.right);
                join.kind = match join.kind {
                    "left" => "right",
                    "right" => "left",
                    kind => kind,
                };
                Some("sides swapped")
            }
            3 => {
                // (a x b) y c: a x (b y c), or (a y c) x b.
                let Rows::Join(inner) = join.left.clone() else { return None };
                let (of_a, of_b) = (inner.left.columns(), inner.right.columns());
                let (a, b) = (join.on.iter().any(|c| c.reads(&of_a)), join.on.iter().any(|c| c.reads(&of_b)));
                let (first, second) = if !a { (inner.right, inner.left) } else { (inner.left, inner.right) };
                if a && b {
                    return None;
                }
                let near = Rows::Join(Box::new(Join { left: first, ..(**join).clone() }));
                let (left, right) = if a { (near, second) } else { (second, near) };
                **join = Join { kind: inner.kind, left, right, on: inner.on };
                Some("joins regrouped")
            }
            4 => {
                // a x (b y c): (a x b) y c.
                let Rows::Join(inner) = join.right.clone() else { return None };
                if join.on.iter().any(|condition| condition.reads(&inner.right.columns())) {
                    return None;
                }
                let near = Rows::Join(Box::new(Join { right: inner.left, ..(**join).clone() }));
                **join = Join { kind: inner.kind, left: near, right: inner.right, on: inner.on };
                Some("joins regrouped")
            }
            5 => {
                if join.on.len() < 2 {
                    return None;
                }
                let moved = join.on.remove(1);
                if any > 1 {
                    query.filter.push(moved);
                    return Some("on into where");
                }
                Some("condition of a join dropped")
            }
            6 => {
                let at = filter?;
                let mut inside = join.left.columns();
                inside.extend(join.right.columns());
                let elsewhere: Vec<String> =
                    written.from.columns().into_iter().filter(|column| !inside.contains(column)).collect();
                if written.filter[at].reads(&elsewhere) {
                    return None;
                }
                join.on.push(written.filter[at].clone());
                query.filter.remove(at);
                Some("where into on")
            }
            _ => {
                let gone = join.right.columns();
                *rows = join.left.clone();
                if reads(&query.sql(), &gone) {
                    *query = written;
                    return None;
                }
                Some("join dropped")
            }
        }
    }

    /// A condition on one table moves into a derived table in its place.
    fn filter_inside(&mut self, query: &mut Select) -> Option<&'static str> {
        let joins = query.from.joins();
        let on = if joins.is_empty() { None } else { Some(self.pick(&joins)) }.filter(|_| self.chance(50));
        let at = if on.is_some() { None } else { self.any_filter(query) };
        let condition = match (&on, at) {
            (Some(path), _) => {
                let Rows::Join(join) = query.from.at(path) else { return None };
                join.on.get(1)?.clone()
            }
            (None, at) => query.filter[at?].clone(),
        };
        if matches!(condition, Condition::In(..) | Condition::Exists(..) | Condition::Or(..)) {
            return None;
        }
        let mut leaves = vec![Vec::new()];
        for path in &joins {
            for right in [false, true] {
                let mut leaf = path.clone();
                leaf.push(right);
                leaves.push(leaf);
            }
        }
        let columns = query.from.columns();
        for leaf in leaves {
            let rows = query.from.at(&leaf);
            let Rows::Table(table, alias) = rows.clone() else { continue };
            let mine = rows.columns();
            let others: Vec<String> =
                columns.iter().filter(|column| !mine.contains(column)).cloned().collect();
            if !condition.reads(&mine) || condition.reads(&others) {
                continue;
            }
            let inner = self.alias("i");
            let items = mine.iter().map(|column| {
                let name = column.trim_start_matches(&format!("{alias}.")).to_owned();
                (format!("{inner}.{name}"), name)
            });
            let derived = Select {
                items: items.collect(),
                distinct: false,
                grouped: false,
                from: Rows::Table(table, inner.clone()),
                filter: vec![condition.replaced(&format!("{alias}."), &format!("{inner}."))],
            };
            *rows = Rows::Derived(Box::new(derived), alias);
            match (&on, at) {
                (Some(path), _) => {
                    let Rows::Join(join) = query.from.at(path) else { return None };
                    join.on.remove(1);
                }
                (None, Some(at)) => {
                    query.filter.remove(at);
                }
                (None, None) => {}
            }
            return Some("condition into a derived table");
        }
        None
    }

    /// A subquery becomes a join, its negation a left join without a match.
    fn join_of_subquery(&mut self, query: &mut Select) -> Option<&'static str> {
        let at = query.filter.iter().position(|c| matches!(c, Condition::In(..) | Condition::Exists(..)))?;
        let (sub, negated, tie) = match query.filter[at].clone() {
            Condition::In(column, sub, negated) => {
                let tie = Condition::Equal(column, sub.items[0].0.clone());
                (sub, negated, Some(tie))
            }
            Condition::Exists(sub, negated) => (sub, negated, None),
            _ => return None,
        };
        query.filter.remove(at);
        let on: Vec<Condition> = tie.into_iter().chain(sub.filter).collect();
        if negated {
            query.filter.push(Condition::Null(self.pick(&sub.from.columns()), true));
        }
        let left = std::mem::replace(&mut query.from, Rows::Table("t", String::new()));
        let kind = if negated { "left" } else { "inner" };
        query.from = Rows::Join(Box::new(Join { kind, left, right: sub.from, on }));
        Some("subquery into join")
    }

    /// A join becomes EXISTS, a left join without a match NOT EXISTS.
    fn subquery_of_join(&mut self, query: &mut Select) -> Option<&'static str> {
        let Rows::Join(join) = query.from.clone() else { return None };
        if !matches!(join.kind, "left" | "inner") {
            return None;
        }
        let gone = join.right.columns();
        let before = query.filter.len();
        let filter: Vec<Condition> = query.filter.iter().filter(|c| !c.reads(&gone)).cloned().collect();
        let negated = join.kind == "left" && filter.len() < before;
        let mut changed = Select { from: join.left, filter, ..query.clone() };
        if reads(&changed.sql(), &gone) {
            return None;
        }
        let sub = Select {
            items: vec![("1".to_owned(), "c0".to_owned())],
            distinct: false,
            grouped: false,
            from: join.right,
            filter: join.on,
        };
        changed.filter.push(Condition::Exists(Box::new(sub), negated));
        *query = changed;
        Some("join into subquery")
    }

    fn change_condition(&mut self, from: &Condition, query: &Select) -> Option<(Condition, &'static str)> {
        Some(match from {
            Condition::Null(column, yes) => {
                let table = column.split('.').next().unwrap_or_default();
                let columns = query.from.columns();
                let same: Vec<String> =
                    columns.into_iter().filter(|c| c.starts_with(&format!("{table}."))).collect();
                match self.below(3) {
                    0 => (Condition::Null(column.clone(), !yes), "test for NULL negated"),
                    1 if !same.is_empty() => {
                        (Condition::Null(self.pick(&same), *yes), "test of another column")
                    }
                    _ => (Condition::Not(Box::new(Condition::Null(column.clone(), !yes))), "negated twice"),
                }
            }
            Condition::In(column, sub, negated) => {
                let mut sub = sub.clone();
                let item = sub.items[0].0.clone();
                match self.below(4) {
                    0 => (Condition::In(column.clone(), sub, !negated), "in negated"),
                    1 => {
                        sub.filter.push(Condition::Null(item, false));
                        (Condition::In(column.clone(), sub, *negated), "no NULL in the subquery")
                    }
                    2 => (
                        Condition::Not(Box::new(Condition::In(column.clone(), sub, !negated))),
                        "negated twice",
                    ),
                    _ => {
                        sub.filter.push(Condition::Equal(column.clone(), item));
                        (Condition::Exists(sub, *negated), "in into exists")
                    }
                }
            }
            Condition::Exists(sub, negated) => {
                let mut sub = sub.clone();
                let own = sub.from.columns();
                let tie = sub
                    .filter
                    .iter()
                    .position(|c| matches!(c, Condition::Equal(a, b) if own.contains(a) && !own.contains(b)));
                match (tie, self.below(4)) {
                    (_, 0) => (Condition::Exists(sub, !negated), "exists negated"),
                    (_, 1) => {
                        sub.items[0].0 = "count(*)".to_owned();
                        let op = if *negated { "=" } else { ">" };
                        (Condition::Plain(format!("({}) {op} 0", sub.sql())), "exists into count")
                    }
                    (Some(at), _) => {
                        let Condition::Equal(a, b) = sub.filter.remove(at) else { return None };
                        sub.items[0].0 = a;
                        (Condition::In(b, sub, *negated), "exists into in")
                    }
                    _ => return None,
                }
            }
            Condition::Or(a, b) => match self.below(3) {
                0 => ((**a).clone(), "or dropped"),
                1 => ((**b).clone(), "or dropped"),
                _ => (Condition::Or(b.clone(), a.clone()), "or swapped"),
            },
            Condition::Not(inner) => ((**inner).clone(), "not dropped"),
            Condition::Plain(_) | Condition::Equal(..) => {
                let text = from.sql();
                match self.below(4) {
                    0 => (Condition::Plain(format!("({text}) is true")), "is true"),
                    1 => (Condition::Plain(format!("coalesce({text}, false)")), "coalesced to false"),
                    2 => {
                        let column = text
                            .split(' ')
                            .next()
                            .filter(|first| first.contains('.') && !first.contains('('))?
                            .to_owned();
                        let null = Condition::Null(column, true);
                        (Condition::Or(Box::new(from.clone()), Box::new(null)), "or is null")
                    }
                    _ => (
                        Condition::Not(Box::new(Condition::Plain(format!("({text}) is not true")))),
                        "is not true",
                    ),
                }
            }
        })
    }
}
