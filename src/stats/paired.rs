//! Two systems on the same cases: McNemar, Newcombe's interval, the sign-flip permutation test.
//!
//! An unpaired test on paired data throws most of the power away; nothing here is unpaired.

use rayon::prelude::*;

use super::interval::{Interval, wilson};
use super::rng::SplitMix64;
use super::special::{binomial_pmf, binomial_upper_tail};

/// The four counts of two systems on the same cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Both pass.
    pub both: u64,
    /// Only the first passes.
    pub first_only: u64,
    /// Only the second passes.
    pub second_only: u64,
    /// Neither passes.
    pub neither: u64,
}

impl Pairs {
    /// Number of pairs.
    pub fn total(self) -> u64 {
        self.both + self.first_only + self.second_only + self.neither
    }

    /// Rate of the first less rate of the second; `None` without pairs.
    pub fn difference(self) -> Option<f64> {
        let n = self.total();
        (n > 0).then(|| (self.first_only as f64 - self.second_only as f64) / n as f64)
    }

    /// Newcombe's hybrid score interval (his method 10) for the difference of the two rates; `None` without pairs.
    pub fn newcombe(self, level: f64) -> Option<Interval> {
        let n = self.total();
        let difference = self.difference()?;
        let first = wilson(self.both + self.first_only, n, level)?;
        let second = wilson(self.both + self.second_only, n, level)?;
        let [a, b, c, d] = [self.both, self.first_only, self.second_only, self.neither].map(|v| v as f64);
        let p1 = (a + b) / n as f64;
        let p2 = (a + c) / n as f64;
        let root = ((a + b) * (c + d) * (a + c) * (b + d)).sqrt();
        let mut product = a * d - b * c;
        if product > 0.0 {
            product = (product - n as f64 / 2.0).max(0.0);
        }
        let phi = if root == 0.0 { 0.0 } else { product / root };
        let side = |x: f64, y: f64| (x * x - 2.0 * phi * x * y + y * y).max(0.0).sqrt();
        Some(Interval {
            lower: (difference - side(p1 - first.lower, second.upper - p2)).max(-1.0),
            upper: (difference + side(first.upper - p1, p2 - second.lower)).min(1.0),
        })
    }
}

/// McNemar's test on the discordant pairs.
pub mod mcnemar {
    use super::{binomial_pmf, binomial_upper_tail};

    /// P(X >= b) for X ~ Bin(b + c, 1/2): the exact one-sided p that `b` is not the larger by chance.
    pub fn exact_one_sided(b: u64, c: u64) -> f64 {
        binomial_upper_tail(b + c, b, 0.5)
    }

    /// One-sided mid-p: the exact one less half the probability of what was seen.
    pub fn mid_p_one_sided(b: u64, c: u64) -> f64 {
        exact_one_sided(b, c) - 0.5 * binomial_pmf(b + c, b, 0.5)
    }

    /// Exact two-sided p (conservative).
    pub fn exact(b: u64, c: u64) -> f64 {
        (2.0 * exact_one_sided(b.max(c), b.min(c))).min(1.0)
    }

    /// Two-sided mid-p: keeps its level where the exact test is needlessly conservative. 1 without discordant pairs.
    pub fn mid_p(b: u64, c: u64) -> f64 {
        if b + c == 0 {
            return 1.0;
        }
        (2.0 * mid_p_one_sided(b.max(c), b.min(c))).min(1.0)
    }
}

/// Two-sided sign-flip permutation test on differences (one a case, or one a cluster).
///
/// Exact for up to 20 differences that are not zero, otherwise 100,000 seeded flips with p = (hits + 1)/(draws + 1).
/// Differences that are not finite are left out; without any left p is 1.
pub fn sign_flip(differences: &[f64], seed: u64) -> f64 {
    const EXACT: usize = 20;
    const CHUNKS: u64 = 100;
    const DRAWS_A_CHUNK: u64 = 1_000;
    let moved: Vec<f64> = differences.iter().copied().filter(|d| d.is_finite() && *d != 0.0).collect();
    if moved.is_empty() {
        return 1.0;
    }
    // Sums in another order differ in the last bits; a tie with the observed sum has to count as one.
    let scale: f64 = moved.iter().map(|d| d.abs()).sum();
    let observed = moved.iter().sum::<f64>().abs() - 1e-12 * scale;
    if moved.len() <= EXACT {
        let all = 1_u64 << moved.len();
        let hits = (0..all).filter(|signs| flipped_sum(&moved, &[*signs]).abs() >= observed).count();
        return hits as f64 / all as f64;
    }
    let words = moved.len().div_ceil(64);
    let hits: u64 = (0..CHUNKS)
        .into_par_iter()
        .map(|chunk| {
            let mut rng = SplitMix64::for_chunk(seed, chunk);
            let mut signs = vec![0_u64; words];
            let mut hits = 0;
            for _ in 0..DRAWS_A_CHUNK {
                signs.iter_mut().for_each(|word| *word = rng.next_u64());
                hits += u64::from(flipped_sum(&moved, &signs).abs() >= observed);
            }
            hits
        })
        .sum();
    (hits + 1) as f64 / (CHUNKS * DRAWS_A_CHUNK + 1) as f64
}

fn flipped_sum(values: &[f64], signs: &[u64]) -> f64 {
    values
        .chunks(64)
        .zip(signs)
        .map(|(chunk, bits)| {
            chunk.iter().enumerate().map(|(i, v)| if bits >> i & 1 == 0 { *v } else { -*v }).sum::<f64>()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn mcnemar_reference_values() {
        assert_close(mcnemar::exact(14, 4), 0.030_883_789, 1e-9);
        assert_close(mcnemar::mid_p(14, 4), 0.019_210_815, 1e-9);
        assert_close(mcnemar::exact_one_sided(14, 4), 0.015_441_895, 1e-9);
        assert_close(mcnemar::mid_p_one_sided(14, 4), 0.009_605_408, 1e-9);
        assert_close(mcnemar::exact(5, 0), 0.0625, 1e-12);
        assert_close(mcnemar::mid_p(5, 0), 0.031_25, 1e-12);
        assert_close(mcnemar::exact(3, 3), 1.0, 1e-12);
        assert_close(mcnemar::mid_p(3, 3), 1.0, 1e-12);
        assert_close(mcnemar::mid_p_one_sided(3, 3), 0.5, 1e-12);
        assert_close(mcnemar::exact(1, 0), 1.0, 1e-12);
        assert_close(mcnemar::mid_p(1, 0), 0.5, 1e-12);
        assert_close(mcnemar::mid_p(0, 0), 1.0, 0.0);
    }

    #[test]
    fn newcombe_reference_values() {
        let pairs = Pairs { both: 80, first_only: 14, second_only: 4, neither: 22 };
        let interval = pairs.newcombe(0.95).unwrap();
        assert_close(pairs.difference().unwrap(), 0.083_333, 1e-6);
        assert_close(interval.lower, 0.013_413, 1e-6);
        assert_close(interval.upper, 0.153_706, 1e-6);
        assert_eq!(Pairs::default().newcombe(0.95), None);
    }

    #[test]
    fn sign_flip_on_single_runs_is_the_exact_mcnemar_test() {
        let mut differences = vec![1.0; 14];
        differences.extend([-1.0; 4]);
        differences.extend([0.0; 40]);
        assert_close(sign_flip(&differences, 1), mcnemar::exact(14, 4), 1e-12);
    }

    #[test]
    fn sign_flip_by_simulation_is_close_and_repeatable() {
        let mut differences = vec![1.0; 30];
        differences.extend([-1.0; 14]);
        let p = sign_flip(&differences, 42);
        assert_close(p, mcnemar::exact(30, 14), 0.003);
        assert_eq!(p.to_bits(), sign_flip(&differences, 42).to_bits());
        assert_close(sign_flip(&[0.0, f64::NAN], 1), 1.0, 0.0);
    }

    proptest! {
        #[test]
        fn swapping_the_systems_mirrors_everything(a in 0_u64..60, b in 0_u64..30, c in 0_u64..30, d in 0_u64..60) {
            prop_assume!(a + b + c + d > 0);
            let pairs = Pairs { both: a, first_only: b, second_only: c, neither: d };
            let mirrored = Pairs { first_only: c, second_only: b, ..pairs };
            let (left, right) = (pairs.newcombe(0.95).unwrap(), mirrored.newcombe(0.95).unwrap());
            prop_assert!((left.lower + right.upper).abs() < 1e-12 && (left.upper + right.lower).abs() < 1e-12);
            prop_assert!(left.contains(pairs.difference().unwrap()));
            prop_assert!((mcnemar::mid_p(b, c) - mcnemar::mid_p(c, b)).abs() < 1e-12);
            prop_assert!(mcnemar::mid_p(b, c) <= mcnemar::exact(b, c) + 1e-12);
        }
    }
}
