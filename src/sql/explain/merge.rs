//! Blocks that say the same in fewer blocks: a block around one nested block is merged with it, conditions on windows move to
//! where the windows are, and columns that nobody reads are dropped.

use super::outline::{Block, Item, Join, Output, Rel, Source};
use super::term::{Kind, Term};

/// Largest expression that is put in the place of a column.
const MAX_TERM: usize = 400;

/// The expression, or a stand-in where it has grown too large.
pub(super) fn bounded(term: Term) -> Term {
    if term.size() > MAX_TERM { Term::leaf(Kind::Other, "an expression too long to show") } else { term }
}

/// The source part of a column's label.
pub(super) fn source_of(label: &str) -> &str {
    label.rsplit_once('.').map_or("", |(source, _)| source)
}

pub(super) fn relabel(term: &Term, names: &[(String, String)]) -> Term {
    term.replace(&|label| {
        let (source, column) = label.rsplit_once('.')?;
        let (_, new) = names.iter().find(|(old, new)| old == source && old != new)?;
        Some(Term::leaf(Kind::Column, format!("{new}.{column}")))
    })
}

/// Puts the columns of a nested block in the place of their names.
fn through(item: &Item, label: &str, inner: &Block) -> Item {
    let term = item.term.replace(&|column| {
        let (source, name) = column.rsplit_once('.')?;
        if source != label {
            return None;
        }
        inner.output(name).map(|output| output.item.term.clone())
    });
    Item { term: bounded(term), ..item.clone() }
}

/// Merges a block that only projects or filters what one nested block returns, moves conditions to where windows are, and drops
/// columns of nested blocks that nobody reads.
pub(super) fn finish(mut block: Block) -> Block {
    let wraps = block.sources.len() == 1
        && block.group.is_none()
        && block.qualify.is_empty()
        && block.distinct_on.is_empty()
        && !block.has_windows()
        && block.outputs.iter().all(|output| output.name != "*");
    if wraps
        && let Some(Source { rel: Rel::Block(inner), label, .. }) = block.sources.first()
        && (inner.limit.is_none() && inner.offset.is_none()
            || block.filters.is_empty() && block.limit.is_none())
        && inner.distinct_on.is_empty()
        && (block.filters.is_empty() || !inner.is_distinct)
    {
        let mut merged = (**inner).clone();
        let filters: Vec<Item> = block.filters.iter().map(|item| through(item, label, inner)).collect();
        if merged.has_windows() || !merged.qualify.is_empty() {
            merged.qualify.extend(filters);
        } else {
            merged.having.extend(filters);
        }
        merged.outputs = block
            .outputs
            .iter()
            .map(|output| Output { name: output.name.clone(), item: through(&output.item, label, inner) })
            .collect();
        for output in &mut merged.outputs {
            // What the reviewer wants to see is where the value is computed, not the name it is passed on by.
            if let Some(computed) = inner.outputs.iter().find(|column| column.item.term == output.item.term) {
                output.item = computed.item.clone();
            }
        }
        if !block.order.is_empty() || block.limit.is_some() {
            merged.order = block.order.iter().map(|item| through(item, label, inner)).collect();
            merged.limit = block.limit.clone().or(merged.limit);
            merged.offset = block.offset.clone().or(merged.offset);
        }
        return merged;
    }
    for i in 0..block.sources.len() {
        let source = &block.sources[i];
        let Rel::Block(inner) = &source.rel else { continue };
        if source.join == Join::Inner
            && inner.has_windows()
            && inner.limit.is_none()
            && inner.distinct_on.is_empty()
        {
            let label = source.label.clone();
            let (moved, kept): (Vec<Item>, Vec<Item>) = block.filters.drain(..).partition(|item| {
                let columns = item.term.columns();
                !columns.is_empty()
                    && columns.iter().all(|column| source_of(column) == label)
                    && !item.term.has(Kind::Query)
            });
            block.filters = kept;
            let Rel::Block(inner) = &mut block.sources[i].rel else { continue };
            let moved: Vec<Item> = moved.iter().map(|item| through(item, &label, inner)).collect();
            inner.qualify.extend(moved);
        }
    }
    prune(&mut block);
    block
}

fn prune(block: &mut Block) {
    let mut used: Vec<String> = Vec::new();
    let items = block
        .filters
        .iter()
        .chain(block.group.iter().flatten())
        .chain(&block.having)
        .chain(&block.qualify)
        .chain(&block.order)
        .chain(&block.distinct_on)
        .chain(block.outputs.iter().map(|output| &output.item))
        .chain(block.sources.iter().flat_map(|source| &source.on));
    for item in items {
        used.extend(item.term.columns().into_iter().map(str::to_owned));
    }
    for source in &mut block.sources {
        if used.contains(&format!("{}.*", source.label)) {
            continue;
        }
        let label = source.label.clone();
        if let Rel::Block(inner) = &mut source.rel {
            inner
                .outputs
                .retain(|output| output.name == "*" || used.contains(&format!("{label}.{}", output.name)));
        }
    }
}
