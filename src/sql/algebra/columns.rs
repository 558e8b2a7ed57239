//! Sets of columns.

use super::Col;

/// A set of columns, as bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColSet {
    words: Vec<u64>,
}

impl ColSet {
    /// Adds a column; true when it was not there.
    pub fn insert(&mut self, col: Col) -> bool {
        let (word, bit) = (col.0 as usize / 64, 1u64 << (col.0 % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let fresh = self.words[word] & bit == 0;
        self.words[word] |= bit;
        fresh
    }

    /// Removes a column.
    pub fn remove(&mut self, col: Col) {
        if let Some(word) = self.words.get_mut(col.0 as usize / 64) {
            *word &= !(1u64 << (col.0 % 64));
        }
    }

    /// Whether the column is in the set.
    pub fn contains(&self, col: Col) -> bool {
        self.words.get(col.0 as usize / 64).is_some_and(|word| word & (1u64 << (col.0 % 64)) != 0)
    }

    /// Adds all of the other set.
    pub fn extend(&mut self, other: &Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Whether the two sets have a column in common.
    pub fn intersects(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Whether every column of this set is in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.words.iter().enumerate().all(|(i, word)| word & !other.words.get(i).copied().unwrap_or(0) == 0)
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The columns in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Col> + '_ {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let word = *word;
            (0..64u32).filter(move |bit| word & (1 << bit) != 0).map(move |bit| Col(i as u32 * 64 + bit))
        })
    }
}

impl FromIterator<Col> for ColSet {
    fn from_iter<I: IntoIterator<Item = Col>>(cols: I) -> Self {
        let mut set = Self::default();
        for col in cols {
            set.insert(col);
        }
        set
    }
}
