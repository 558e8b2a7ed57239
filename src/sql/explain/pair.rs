//! What belongs together on the two sides: sources and conditions.

use super::diff::ratio;
use super::merge::source_of;
use super::outline::{Block, Item, Source};
use super::term::{Kind, Term, similarity};

/// The two sources of a condition that joins them, `a.x = b.y`.
pub(super) fn joined(term: &Term) -> Option<(String, String)> {
    if term.kind != Kind::Operator || term.label != "=" {
        return None;
    }
    let [a, b] = term.children.as_slice() else { return None };
    let source = |term: &Term| {
        let columns = term.columns();
        let first = source_of(columns.first()?).to_owned();
        columns.iter().all(|column| source_of(column) == first).then_some(first)
    };
    let (a, b) = (source(a)?, source(b)?);
    (a != b).then_some((a, b))
}

/// Likeness of two conditions: those on the same columns belong together.
pub(super) fn likeness(a: &Term, b: &Term) -> f64 {
    let (columns_a, columns_b) = (a.columns(), b.columns());
    let shared = columns_a.iter().filter(|column| columns_b.contains(column)).count();
    let overlap = ratio(shared, columns_a.len().max(columns_b.len()));
    let both_join = joined(a).is_some() && joined(b).is_some();
    let base = 0.5 * similarity(a, b) + 0.5 * overlap;
    if both_join { base.max(0.55) } else { base }
}

/// Pairs of sources: the same label, then the same tables below, then the most tables shared.
pub(super) fn pair_sources(golden: &[Source], candidate: &[Source]) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    let mut rank = |accept: &dyn Fn(&Source, &Source) -> bool| {
        for (g, source) in golden.iter().enumerate() {
            if pairs.iter().any(|(known, _)| *known == g) {
                continue;
            }
            let free = |c: &usize| !pairs.iter().any(|(_, known)| known == c);
            if let Some(c) = (0..candidate.len()).filter(free).find(|c| accept(source, &candidate[*c])) {
                pairs.push((g, c));
            }
        }
    };
    rank(&|a, b| a.label == b.label && a.rel == b.rel);
    rank(&|a, b| a.label == b.label);
    rank(&|a, b| a.rel.tables() == b.rel.tables() && !a.rel.tables().is_empty());
    rank(&|a, b| {
        let (a, b) = (a.rel.tables(), b.rel.tables());
        a.iter().any(|table| b.contains(table))
    });
    pairs.sort_unstable();
    pairs
}

pub(super) fn relabel_block(block: &Block, names: &[(String, String)]) -> Block {
    let mut block = block.clone();
    if names.is_empty() {
        return block;
    }
    let rename = |item: &mut Item| {
        item.term = item.term.replace(&|label| {
            let (source, column) = label.rsplit_once('.')?;
            let (_, new) = names.iter().find(|(old, _)| old == source)?;
            Some(Term::leaf(Kind::Column, format!("{new}.{column}")))
        });
    };
    for source in &mut block.sources {
        source.on.iter_mut().for_each(rename);
        if let Some((_, new)) = names.iter().find(|(old, _)| *old == source.label) {
            source.label.clone_from(new);
        }
    }
    block.filters.iter_mut().for_each(rename);
    block.group.iter_mut().flatten().for_each(rename);
    block.having.iter_mut().for_each(rename);
    block.qualify.iter_mut().for_each(rename);
    block.order.iter_mut().for_each(rename);
    block.distinct_on.iter_mut().for_each(rename);
    block.outputs.iter_mut().for_each(|output| rename(&mut output.item));
    block
}
