//! Intervals for a proportion. Never the normal approximation: it is too narrow below a few hundred items.

use serde::{Deserialize, Serialize};

use super::special::{beta_quantile, normal_quantile};

/// A closed interval, both ends between the extremes of what it estimates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Interval {
    /// Whether the value lies inside, ends included.
    pub fn contains(self, value: f64) -> bool {
        (self.lower..=self.upper).contains(&value)
    }
}

/// z of a two-sided interval at a level such as 0.95.
pub(super) fn two_sided_z(level: f64) -> f64 {
    normal_quantile(0.5 + level / 2.0)
}

/// Wilson score interval for `x` of `n`; `None` for `n` = 0, because nothing was measured.
pub fn wilson(x: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    Some(wilson_effective(x as f64 / n as f64, n as f64, level))
}

/// Wilson score interval for a rate `p` that is worth `n` independent observations (`n` > 0 need not be whole).
pub fn wilson_effective(p: f64, n: f64, level: f64) -> Interval {
    let z = two_sided_z(level);
    let z2 = z * z;
    let denominator = 1.0 + z2 / n;
    let centre = (p + z2 / (2.0 * n)) / denominator;
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / denominator;
    // At the ends the formula gives 0 or 1 up to rounding.
    let lower = if p <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
    let upper = if p >= 1.0 { 1.0 } else { (centre + half).min(1.0) };
    Interval { lower, upper }
}

/// How many independent observations clustered ones are worth: `n` over the design effect, which is never taken below
/// one. Each pair is (passed, observed) of one cluster: repeats of a case, cases of one family.
///
/// Where every observation agrees the variance says nothing, and each cluster counts once.
pub fn effective_size(clusters: &[(u64, u64)]) -> f64 {
    let n: u64 = clusters.iter().map(|c| c.1).sum();
    let passed: u64 = clusters.iter().map(|c| c.0).sum();
    let groups = clusters.iter().filter(|c| c.1 > 0).count();
    if n == 0 || groups < 2 {
        return groups as f64;
    }
    if passed == 0 || passed == n {
        return groups as f64;
    }
    let (n, groups) = (n as f64, groups as f64);
    let p = passed as f64 / n;
    let between: f64 = clusters.iter().map(|&(x, m)| (x as f64 - p * m as f64).powi(2)).sum();
    let clustered = between * groups / (groups - 1.0) / (n * n);
    let independent = p * (1.0 - p) / (n - 1.0);
    (n / (clustered / independent).max(1.0)).max(1.0)
}

/// Clopper-Pearson ("exact") interval for `x` of `n`; `None` for `n` = 0.
pub fn clopper_pearson(x: u64, n: u64, level: f64) -> Option<Interval> {
    if n == 0 || x > n {
        return None;
    }
    let tail = (1.0 - level) / 2.0;
    let (xf, rest) = (x as f64, (n - x) as f64);
    let lower = if x == 0 { 0.0 } else { beta_quantile(tail, xf, rest + 1.0) };
    let upper = if x == n { 1.0 } else { beta_quantile(1.0 - tail, xf + 1.0, rest) };
    Some(Interval { lower, upper })
}

/// Jeffreys interval: the central part of Beta(x + 1/2, n - x + 1/2). Defined without data too, where it is wide.
pub fn jeffreys(x: u64, n: u64, level: f64) -> Interval {
    let tail = (1.0 - level) / 2.0;
    let (a, b) = (x as f64 + 0.5, n.saturating_sub(x) as f64 + 0.5);
    Interval { lower: beta_quantile(tail, a, b), upper: beta_quantile(1.0 - tail, a, b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::assert_close;

    fn assert_interval(actual: Interval, lower: f64, upper: f64) {
        assert_close(actual.lower, lower, 1e-6);
        assert_close(actual.upper, upper, 1e-6);
    }

    #[test]
    fn wilson_reference_values() {
        for (x, n, lower, upper) in [
            (17, 20, 0.639_581, 0.947_631),
            (850, 1000, 0.826_531, 0.870_790),
            (79, 100, 0.700_200, 0.858_343),
            (0, 10, 0.0, 0.277_533),
            (10, 10, 0.722_467, 1.0),
        ] {
            assert_interval(wilson(x, n, 0.95).unwrap(), lower, upper);
        }
        assert_eq!(wilson(0, 0, 0.95), None);
    }

    #[test]
    fn clopper_pearson_reference_values() {
        assert_interval(clopper_pearson(17, 20, 0.95).unwrap(), 0.621_073, 0.967_929);
        assert_interval(clopper_pearson(0, 10, 0.95).unwrap(), 0.0, 0.308_497);
    }

    #[test]
    fn jeffreys_without_data_is_wide() {
        let interval = jeffreys(0, 0, 0.95);
        assert!(interval.lower < 0.01 && interval.upper > 0.99);
    }

    #[test]
    fn repeats_that_always_agree_count_once() {
        let perfectly_correlated: Vec<(u64, u64)> =
            (0..20).map(|i| (if i < 12 { 5 } else { 0 }, 5)).collect();
        assert_close(effective_size(&perfectly_correlated), 20.0 * 95.0 / 99.0, 1e-9);
        let single: Vec<(u64, u64)> = (0..20).map(|i| (u64::from(i < 12), 1)).collect();
        assert_close(effective_size(&single), 20.0, 1e-9);
        let all_pass = vec![(5, 5); 20];
        assert_close(effective_size(&all_pass), 20.0, 1e-9);
        let alternating = vec![(2, 4); 20];
        assert_close(effective_size(&alternating), 80.0, 1e-9);
    }

    proptest! {
        #[test]
        fn intervals_hold_the_estimate(n in 1_u64..400, share in 0.0_f64..=1.0) {
            let x = (share * n as f64).round() as u64;
            let p = x as f64 / n as f64;
            let score = wilson(x, n, 0.95).unwrap();
            let exact = clopper_pearson(x, n, 0.95).unwrap();
            prop_assert!(score.contains(p) && exact.contains(p));
            prop_assert!(exact.upper - exact.lower + 1e-9 >= score.upper - score.lower - 0.02);
            prop_assert!(score.lower >= 0.0 && score.upper <= 1.0);
        }
    }
}
