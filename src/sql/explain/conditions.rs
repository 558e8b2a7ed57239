//! Filters and join conditions of two blocks.

use super::diff::{Diff, fragment};
use super::merge::source_of;
use super::outline::{Block, Item, Join, Source};
use super::pair::{joined, likeness};
use super::words::{Within, differences};

impl Diff {
    /// Filters and conditions of joins, in one pool: which rows meet and which stay.
    pub(super) fn conditions(
        &mut self,
        golden: &Block,
        candidate: &Block,
        pairs: &[(usize, usize)],
        inside: &str,
    ) -> Option<f64> {
        let pool = |block: &Block| {
            let mut pool: Vec<(Option<String>, Item)> =
                block.filters.iter().map(|item| (None, item.clone())).collect();
            for source in &block.sources {
                pool.extend(source.on.iter().map(|item| (Some(source.label.clone()), item.clone())));
            }
            pool
        };
        let (all_g, mut rest_c) = (pool(golden), pool(candidate));
        if all_g.is_empty() && rest_c.is_empty() {
            return None;
        }
        let total = all_g.len().max(rest_c.len());
        let mut matched = 0.0;
        let mut rest_g = Vec::new();
        for (place_g, item_g) in all_g {
            let Some(i) = rest_c.iter().position(|(_, item)| item.term == item_g.term) else {
                rest_g.push((place_g, item_g));
                continue;
            };
            let (place_c, item_c) = rest_c.remove(i);
            matched += 1.0;
            // The same condition in ON or in WHERE, where the join is the same: it decides otherwise.
            let kind = |block: &Block, label: &str| {
                block.sources.iter().find(|source| source.label == label).map(|source| source.join)
            };
            match (&place_g, &place_c) {
                (Some(label), None) if kind(candidate, label) == Some(Join::Left) => {
                    let message = format!(
                        "`{}` moved from the join to WHERE: rows without {label} are dropped{inside}",
                        item_g.sql
                    );
                    self.add("filter", "row_loss", message, fragment(&item_g), fragment(&item_c));
                    matched -= 0.5;
                }
                (None, Some(label)) if kind(golden, label) == Some(Join::Left) => {
                    let message = format!(
                        "`{}` moved from WHERE to the join: rows that it dropped stay{inside}",
                        item_g.sql
                    );
                    self.add("filter", "missing_filter", message, fragment(&item_g), fragment(&item_c));
                    matched -= 0.5;
                }
                _ => {}
            }
        }
        let mut missing = Vec::new();
        for (place_g, item_g) in rest_g {
            let best = rest_c
                .iter()
                .enumerate()
                .map(|(i, (_, item))| (likeness(&item_g.term, &item.term), i))
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            match best {
                Some((score, i)) if score >= 0.5 => {
                    let (_, item_c) = rest_c.remove(i);
                    matched += score * 0.7;
                    self.changed_condition(&item_g, &item_c, inside);
                }
                _ => missing.push((place_g, item_g)),
            }
        }
        // `a or b` that fell apart into `a and b`.
        missing.retain(|(_, item): &(Option<String>, Item)| {
            let parts = if item.term.label == "or" { item.term.children.as_slice() } else { &[] };
            let taken: Vec<usize> = parts
                .iter()
                .filter_map(|part| rest_c.iter().position(|(_, other)| other.term == *part))
                .collect();
            if parts.is_empty() || taken.len() != parts.len() {
                return true;
            }
            let at = rest_c.get(taken[0]).and_then(|(_, other)| fragment(other));
            rest_c = rest_c
                .iter()
                .enumerate()
                .filter(|(i, _)| !taken.contains(i))
                .map(|(_, pair)| pair.clone())
                .collect();
            let message = format!("OR became AND in `{}`: all conditions must hold{inside}", item.sql);
            self.add("filter", "filter", message, fragment(item), at);
            matched += 0.5;
            false
        });
        let unmatched = |label: &str, sources: &[Source], used: &dyn Fn(usize) -> bool| {
            sources.iter().position(|source| source.label == label).is_some_and(|i| !used(i))
        };
        for (_, item) in missing {
            // Without the source there is no condition on it; that it is not read has been said.
            if item.term.columns().iter().any(|column| {
                unmatched(source_of(column), &golden.sources, &|i| pairs.iter().any(|(g, _)| *g == i))
            }) {
                continue;
            }
            let (class, message) = match joined(&item.term) {
                Some((a, b)) => {
                    let message = format!(
                        "the join condition `{}` is missing: rows of {a} and {b} are multiplied{inside}",
                        item.sql
                    );
                    ("fan_out", message)
                }
                None if item.term.label == "is not null" => {
                    ("null_semantics", format!("the filter `{}` is missing{inside}", item.sql))
                }
                None => ("missing_filter", format!("the filter `{}` is missing{inside}", item.sql)),
            };
            self.add(
                if class == "fan_out" { "joins" } else { "filter" },
                class,
                message,
                fragment(&item),
                None,
            );
        }
        for (place, item) in rest_c {
            if item.term.columns().iter().any(|column| {
                unmatched(source_of(column), &candidate.sources, &|i| pairs.iter().any(|(_, c)| *c == i))
            }) {
                continue;
            }
            let on_left = candidate.sources.iter().find(|source| {
                place.is_none()
                    && source.join == Join::Left
                    && item.term.label != "is null"
                    && item.term.columns().iter().any(|column| source_of(column) == source.label)
            });
            let (class, message) = match (joined(&item.term), on_left) {
                (Some(_), None) => {
                    ("join_key", format!("the join has a further condition `{}`{inside}", item.sql))
                }
                (_, Some(source)) => {
                    let message = format!(
                        "`{}` in WHERE is on the LEFT-joined {}: rows without it are dropped{inside}",
                        item.sql, source.label
                    );
                    ("row_loss", message)
                }
                _ if item.term.label == "is not null" => {
                    ("null_semantics", format!("there is a further filter `{}`{inside}", item.sql))
                }
                _ => ("extra_filter", format!("there is a further filter `{}`{inside}", item.sql)),
            };
            self.add(
                if class == "join_key" { "joins" } else { "filter" },
                class,
                message,
                None,
                fragment(&item),
            );
        }
        Some((matched / f64::from(u32::try_from(total).unwrap_or(u32::MAX))).clamp(0.0, 1.0))
    }

    fn changed_condition(&mut self, golden: &Item, candidate: &Item, inside: &str) {
        if joined(&golden.term).is_some() && joined(&candidate.term).is_some() {
            let message = format!("joined on `{}` instead of `{}`{inside}", candidate.sql, golden.sql);
            self.add("joins", "join_key", message, fragment(golden), fragment(candidate));
            return;
        }
        for difference in differences(&golden.term, &candidate.term, Within::Filter) {
            let message = format!("in the filter `{}`: {}{inside}", golden.sql, difference.message);
            self.add("filter", difference.class, message, fragment(golden), fragment(candidate));
        }
    }
}
