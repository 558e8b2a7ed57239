//! The plan of a run: cases x prompt versions x trials, in a fixed order, filtered and sharded.

use std::num::NonZeroU32;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::suite::Suite;

/// One thing to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Index into [`Suite::cases`].
    pub case: usize,
    /// Prompt version.
    pub prompt: String,
    /// Repeat, from 0.
    pub trial: u32,
}

/// Which part of the cases this process judges: part `index` (from 1) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: NonZeroU32,
}

impl Shard {
    /// Parses `i/n` with `1 <= i <= n`.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let (index, count) = (index.trim().parse().ok()?, NonZeroU32::new(count.trim().parse().ok()?)?);
            (1..=count.get()).contains(&index).then_some(Self { index, count })
        });
        parsed.ok_or_else(|| format!("`{text}` is no shard, expected i/n with 1 <= i <= n"))
    }

    /// Whether a case belongs to this shard: a stable hash of its id decides, so that adding a case moves no other.
    pub fn holds(self, case_id: &str) -> bool {
        let hash = blake3::hash(case_id.as_bytes());
        let first = u32::from_le_bytes(hash.as_bytes()[..4].try_into().unwrap_or_default());
        first % self.count == self.index - 1
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Lays out the cells: cases in suite order, prompt versions in the given order, trials from 0.
///
/// # Errors
/// `E_NOTHING_SELECTED` when nothing is left.
pub fn plan(
    suite: &Suite,
    prompts: &[String],
    trials: u32,
    shard: Option<Shard>,
) -> Result<Vec<Cell>, Diagnostics> {
    let cells: Vec<Cell> = suite
        .cases
        .iter()
        .enumerate()
        .filter(|(_, case)| shard.is_none_or(|shard| shard.holds(&case.id)))
        .flat_map(|(index, _)| {
            prompts.iter().flat_map(move |prompt| {
                (0..trials).map(move |trial| Cell { case: index, prompt: prompt.clone(), trial })
            })
        })
        .collect();
    // An empty shard of a non-empty plan is fine: the other shards hold the cases.
    if cells.is_empty() && (prompts.is_empty() || shard.is_none()) {
        return Err(Diagnostic::new("E_NOTHING_SELECTED", "there is nothing to judge")
            .hint(
                "no prompt version is selected: check --prompt, --answers and the folder of prompt versions",
            )
            .into());
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_parsed_strictly() {
        assert_eq!(Shard::parse("2/3").map(|shard| shard.to_string()), Ok("2/3".into()));
        for text in ["", "1", "0/3", "4/3", "1/0", "a/b", "-1/2"] {
            assert!(Shard::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_case_is_in_exactly_one_shard(id in ".*", count in 1_u32..20) {
            let holders = (1..=count)
                .filter(|index| Shard::parse(&format!("{index}/{count}")).unwrap().holds(&id))
                .count();
            proptest::prop_assert_eq!(holders, 1);
        }
    }
}
