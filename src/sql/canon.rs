//! Canonical form: one sequence of bytes for all queries that differ only in the order of sources, conjuncts and
//! columns or in the names of aliases, and its hash.
//!
//! First every source gets a colour, a hash of what it is; sources that look alike are told apart by how they are used
//! (colour refinement), and where that does not suffice one of them is picked and the rest refined again, each pick
//! tried within a budget. Then the query is written out in the order of the colours with sources numbered as they come.
//! Only the second step carries meaning: colours that collide or a budget that runs out can lose a proof, not make one.

// rule: alike
mod colour;
mod write;

use super::algebra::{Arena, Query};

/// The canonical form of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    bytes: Vec<u8>,
}

impl Canonical {
    /// Two queries with equal hashes have equal canonical forms.
    pub fn hash(&self) -> blake3::Hash {
        blake3::hash(&self.bytes)
    }

    /// The form itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The canonical form of a query in normal form; `None` when it cannot be written (too large).
/// With `by_name` outputs are a set of named columns, otherwise a list.
pub(crate) fn canonical(arena: &Arena, query: &Query, by_name: bool) -> Option<Canonical> {
    let mut outputs = query.outputs.clone();
    if by_name {
        // Stable: columns of one name keep their order.
        outputs.sort_by(|(a, _), (b, _)| arena.text(*a).cmp(arena.text(*b)));
    }
    let roots: Vec<_> = outputs.iter().map(|(_, expr)| *expr).collect();
    let mut colours = colour::Colours::new(arena);
    let extra: Vec<_> = roots.iter().enumerate().map(|(position, e)| (position as u64 + 1, *e)).collect();
    colours.block(&query.block, &extra);
    let names = by_name.then(|| outputs.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let bytes = write::Writer::new(arena, colours).query(&query.block, &roots, names.as_deref())?;
    Some(Canonical { bytes })
}
