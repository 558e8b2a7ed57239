//! What a paired comparison of a given size can see.

use super::paired::mcnemar;
use super::special::{binomial_pmf, binomial_upper_tail};

/// The smallest difference of rates that the two-sided mid-p test at `alpha` finds with probability `power` on `n`
/// paired cases, when `noise` is the share of cases that flip either way with equal chance.
///
/// Exact: sums over the number of discordant pairs. `None` where not even a change in every quiet case would be found.
pub fn detectable_difference(n: u64, noise: f64, alpha: f64, power: f64) -> Option<f64> {
    let noise = noise.clamp(0.0, 1.0);
    let most = 1.0 - noise;
    if n == 0 || mid_p_power(n, noise, most, alpha) < power {
        return None;
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..24 {
        let middle = 0.5 * (low + high);
        if mid_p_power(n, noise, middle, alpha) < power {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(high)
}

/// Probability that the two-sided mid-p test at `alpha` calls the right side, when a share `change` of the cases moves
/// that way and a share `noise` flips either way.
pub fn mid_p_power(n: u64, noise: f64, change: f64, alpha: f64) -> f64 {
    let discordant = (noise + change).min(1.0);
    if discordant <= 0.0 {
        return 0.0;
    }
    let right_way = (noise / 2.0 + change) / discordant;
    // Beyond nine standard deviations the terms add nothing.
    let mean = n as f64 * discordant;
    let spread = 9.0 * (mean * (1.0 - discordant)).sqrt() + 9.0;
    let first = (mean - spread).max(0.0) as u64;
    let last = ((mean + spread) as u64).min(n);
    (first..=last)
        .map(|pairs| match critical(pairs, alpha) {
            Some(wins) => binomial_pmf(n, pairs, discordant) * binomial_upper_tail(pairs, wins, right_way),
            None => 0.0,
        })
        .sum()
}

/// The fewest wins among `pairs` discordant pairs that the test calls significant.
fn critical(pairs: u64, alpha: f64) -> Option<u64> {
    let significant = |wins: u64| mcnemar::mid_p(wins, pairs - wins) < alpha;
    if !significant(pairs) {
        return None;
    }
    let (mut low, mut high) = (pairs / 2, pairs);
    while low + 1 < high {
        let middle = low.midpoint(high);
        if significant(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;
    use crate::stats::rng::SplitMix64;

    #[test]
    fn without_noise_five_flips_are_needed() {
        assert_eq!(critical(5, 0.05), Some(5));
        assert_eq!(critical(4, 0.05), None);
        assert_eq!(critical(18, 0.05), Some(14));
        // P(Bin(20, d) >= 5) = 0.8
        let smallest = detectable_difference(20, 0.0, 0.05, 0.8).unwrap();
        assert_close(binomial_upper_tail(20, 5, smallest), 0.8, 1e-4);
        assert_eq!(detectable_difference(4, 0.0, 0.05, 0.8), None);
        assert_eq!(detectable_difference(0, 0.0, 0.05, 0.8), None);
    }

    #[test]
    fn the_power_is_what_a_simulation_finds() {
        let (n, noise, change) = (100_u64, 0.10, 0.10);
        let mut rng = SplitMix64::new(3);
        let trials = 4_000;
        let found = (0..trials)
            .filter(|_| {
                let (mut wins, mut losses) = (0, 0);
                for _ in 0..n {
                    match rng.below(1_000) {
                        0..150 => wins += 1,
                        150..200 => losses += 1,
                        _ => {}
                    }
                }
                wins > losses && mcnemar::mid_p(wins, losses) < 0.05
            })
            .count();
        assert_close(mid_p_power(n, noise, change, 0.05), found as f64 / f64::from(trials), 0.03);
    }

    #[test]
    fn larger_suites_see_smaller_changes() {
        let seen: Vec<f64> = [20, 60, 200, 2_000]
            .iter()
            .map(|n| detectable_difference(*n, 0.05, 0.05, 0.8).unwrap())
            .collect();
        assert!(seen.windows(2).all(|w| w[1] < w[0]), "{seen:?}");
    }
}
