//! Sets of columns.

use super::Col;

/// A set of columns, as bits: those of most queries without a place in the heap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColSet {
    first: u128,
    /// Columns from [`FIRST`] on.
    rest: Vec<u64>,
}

/// How many columns are in `first`.
const FIRST: u32 = u128::BITS;

/// The word in `rest` and the bit in it of a column that is not in `first`.
fn place(col: Col) -> (usize, u64) {
    let at = col.0 - FIRST;
    (at as usize / 64, 1 << (at % 64))
}

impl ColSet {
    /// Adds a column; true when it was not there.
    #[inline]
    pub fn insert(&mut self, col: Col) -> bool {
        if col.0 >= FIRST {
            return self.insert_into_rest(col);
        }
        let bit = 1 << col.0;
        let fresh = self.first & bit == 0;
        self.first |= bit;
        fresh
    }

    #[cold]
    fn insert_into_rest(&mut self, col: Col) -> bool {
        let (word, bit) = place(col);
        if word >= self.rest.len() {
            self.rest.resize(word + 1, 0);
        }
        let fresh = self.rest[word] & bit == 0;
        self.rest[word] |= bit;
        fresh
    }

    /// Removes a column.
    pub fn remove(&mut self, col: Col) {
        if col.0 < FIRST {
            self.first &= !(1 << col.0);
            return;
        }
        let (word, bit) = place(col);
        if let Some(word) = self.rest.get_mut(word) {
            *word &= !bit;
        }
    }

    /// Whether the column is in the set.
    pub fn contains(&self, col: Col) -> bool {
        if col.0 < FIRST {
            return self.first & 1 << col.0 != 0;
        }
        let (word, bit) = place(col);
        self.rest.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Adds all of the other set.
    pub fn extend(&mut self, other: &Self) {
        self.first |= other.first;
        if other.rest.len() > self.rest.len() {
            self.rest.resize(other.rest.len(), 0);
        }
        for (word, more) in self.rest.iter_mut().zip(&other.rest) {
            *word |= more;
        }
    }

    /// Whether the two sets have a column in common.
    pub fn intersects(&self, other: &Self) -> bool {
        self.first & other.first != 0 || self.rest.iter().zip(&other.rest).any(|(a, b)| a & b != 0)
    }

    /// Whether every column of this set is in the other.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.first & !other.first == 0
            && self
                .rest
                .iter()
                .enumerate()
                .all(|(i, word)| word & !other.rest.get(i).copied().unwrap_or(0) == 0)
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        let rest: u32 = self.rest.iter().map(|word| word.count_ones()).sum();
        (self.first.count_ones() + rest) as usize
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.first == 0 && self.rest.iter().all(|word| *word == 0)
    }

    /// The columns in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Col> + '_ {
        let rest = self.rest.iter().enumerate();
        bits(self.first)
            .chain(
                rest.flat_map(|(i, word)| {
                    bits(u128::from(*word)).map(move |bit| FIRST + i as u32 * 64 + bit)
                }),
            )
            .map(Col)
    }
}

/// The numbers of the bits that are set.
fn bits(mut word: u128) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_both_parts_are_found_again() {
        let cols: Vec<Col> = [0, 5, 127, 128, 190, 191, 192, 1000].map(Col).to_vec();
        let mut set: ColSet = cols.iter().copied().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), cols);
        assert!(
            cols.iter().all(|col| set.contains(*col)) && !set.contains(Col(129)) && !set.contains(Col(1))
        );
        let low: ColSet = [Col(5)].into_iter().collect();
        let high: ColSet = [Col(191)].into_iter().collect();
        assert!(low.is_subset(&set) && high.is_subset(&set) && !set.is_subset(&low) && !set.is_subset(&high));
        assert!(set.intersects(&high) && set.intersects(&low) && !low.intersects(&high));
        let mut both = low;
        both.extend(&high);
        assert_eq!(both.iter().collect::<Vec<_>>(), [Col(5), Col(191)]);
        assert!(!both.insert(Col(191)) && both.insert(Col(192)));
        cols.iter().for_each(|col| set.remove(*col));
        assert!(set.is_empty() && !both.is_empty());
    }
}
