//! Intervals of a mean over clusters: BCa bootstrap, and Student's t where there are few.

use rayon::prelude::*;

use super::interval::Interval;
use super::rng::SplitMix64;
use super::special::{beta_quantile, normal_cdf, normal_quantile};

/// A cluster: the sum of its values and how many there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cluster {
    /// Sum of the values.
    pub sum: f64,
    /// Number of values.
    pub size: usize,
}

/// Bias-corrected and accelerated interval for the mean of all values, resampling whole clusters 10,000 times.
///
/// `None` with fewer than two clusters. Where all clusters agree the interval is the estimate itself: the data show
/// no spread.
pub fn bca_mean(clusters: &[Cluster], level: f64, seed: u64) -> Option<Interval> {
    const CHUNKS: u64 = 20;
    const DRAWS_A_CHUNK: usize = 500;
    let clusters: Vec<Cluster> =
        clusters.iter().copied().filter(|c| c.size > 0 && c.sum.is_finite()).collect();
    if clusters.len() < 2 {
        return None;
    }
    let estimate = mean(clusters.iter().copied());
    let mut replicates: Vec<f64> = (0..CHUNKS)
        .into_par_iter()
        .flat_map_iter(|chunk| {
            let mut rng = SplitMix64::for_chunk(seed, chunk);
            let clusters = &clusters;
            (0..DRAWS_A_CHUNK)
                .map(move |_| mean((0..clusters.len()).map(|_| clusters[rng.below(clusters.len())])))
        })
        .collect();
    replicates.sort_by(f64::total_cmp);

    // Replicates equal to the estimate count half: a discrete statistic ties with it often.
    let tolerance = 1e-12 * estimate.abs().max(1.0);
    let below = replicates.partition_point(|r| *r < estimate - tolerance);
    let not_above = replicates.partition_point(|r| *r <= estimate + tolerance);
    let share = (below as f64 + not_above as f64) / 2.0 / replicates.len() as f64;
    let bias = normal_quantile(share);
    if !bias.is_finite() {
        return Some(Interval { lower: estimate, upper: estimate });
    }

    let (sum, size) = clusters.iter().fold((0.0, 0), |(s, n), c| (s + c.sum, n + c.size));
    let without: Vec<f64> = clusters.iter().map(|c| (sum - c.sum) / (size - c.size).max(1) as f64).collect();
    let centre = without.iter().sum::<f64>() / without.len() as f64;
    let squares: f64 = without.iter().map(|m| (centre - m).powi(2)).sum();
    let cubes: f64 = without.iter().map(|m| (centre - m).powi(3)).sum();
    let acceleration = if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 };

    let end = |p: f64| {
        let z = bias + normal_quantile(p);
        let adjusted = normal_cdf(bias + z / (1.0 - acceleration * z));
        let index = (adjusted * replicates.len() as f64).floor() as usize;
        replicates[index.min(replicates.len() - 1)]
    };
    let tail = (1.0 - level) / 2.0;
    Some(Interval { lower: end(tail), upper: end(1.0 - tail) })
}

/// Student's t interval for the mean of all values, with one degree of freedom less than clusters: wide where there are
/// few, where a bootstrap would be too sure. `None` with fewer than two.
pub fn t_mean(clusters: &[Cluster], level: f64) -> Option<Interval> {
    if clusters.len() < 2 {
        return None;
    }
    let (estimate, count) = (mean(clusters.iter().copied()), clusters.len() as f64);
    let size: usize = clusters.iter().map(|c| c.size).sum();
    let squares: f64 = clusters.iter().map(|c| (c.sum - estimate * c.size as f64).powi(2)).sum();
    let error = (squares * count / (count - 1.0)).sqrt() / size as f64;
    // T² = f (1 - X) / X where X is Beta(f/2, 1/2): its lower quantile is T's outer one.
    let freedom = count - 1.0;
    let x = beta_quantile(1.0 - level, freedom / 2.0, 0.5);
    let reach = (freedom * (1.0 - x) / x).sqrt() * error;
    Some(Interval { lower: estimate - reach, upper: estimate + reach })
}

fn mean(clusters: impl Iterator<Item = Cluster>) -> f64 {
    let (sum, size) = clusters.fold((0.0, 0), |(s, n), c| (s + c.sum, n + c.size));
    sum / size as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;
    use crate::stats::interval::wilson;

    fn singles(passed: usize, n: usize) -> Vec<Cluster> {
        (0..n).map(|i| Cluster { sum: if i < passed { 1.0 } else { 0.0 }, size: 1 }).collect()
    }

    #[test]
    fn on_independent_values_it_is_close_to_wilson() {
        let interval = bca_mean(&singles(79, 100), 0.95, 3).unwrap();
        let score = wilson(79, 100, 0.95).unwrap();
        assert_close(interval.lower, score.lower, 0.02);
        assert_close(interval.upper, score.upper, 0.02);
    }

    #[test]
    fn t_has_one_degree_of_freedom_less_than_clusters() {
        // Five values 1..5: mean 3, standard error sqrt(2.5 / 5), t(4) = 2.776445.
        let values: Vec<Cluster> = (1..=5).map(|v| Cluster { sum: f64::from(v), size: 1 }).collect();
        let found = t_mean(&values, 0.95).unwrap();
        assert_close(found.upper - 3.0, 2.776_445_105 * 0.5_f64.sqrt(), 1e-6);
        assert_close(found.lower, 6.0 - found.upper, 1e-9);
        assert_eq!(t_mean(&values[..1], 0.95), None);
    }

    #[test]
    fn clusters_widen_it() {
        let clustered: Vec<Cluster> =
            (0..20).map(|i| Cluster { sum: if i < 14 { 5.0 } else { 0.0 }, size: 5 }).collect();
        let wide = bca_mean(&clustered, 0.95, 3).unwrap();
        let narrow = bca_mean(&singles(70, 100), 0.95, 3).unwrap();
        assert!(wide.upper - wide.lower > 1.8 * (narrow.upper - narrow.lower));
    }

    #[test]
    fn without_spread_and_without_data() {
        let flat = bca_mean(&singles(5, 5), 0.95, 3).unwrap();
        assert!(flat.contains(1.0) && flat.lower == flat.upper);
        assert_eq!(bca_mean(&singles(1, 1), 0.95, 3), None);
    }

    #[test]
    fn the_seed_fixes_it() {
        assert_eq!(bca_mean(&singles(7, 30), 0.95, 9), bca_mean(&singles(7, 30), 0.95, 9));
    }

    #[test]
    fn it_covers_the_truth_about_as_often_as_it_says() {
        let mut rng = SplitMix64::new(11);
        let trials = 150;
        let covered = (0..trials)
            .filter(|t| {
                let values: Vec<Cluster> = (0..60)
                    .map(|_| Cluster { sum: if rng.below(10) < 7 { 1.0 } else { 0.0 }, size: 1 })
                    .collect();
                bca_mean(&values, 0.95, *t).unwrap().contains(0.7)
            })
            .count();
        assert!(covered as f64 / trials as f64 > 0.88, "covered {covered} of {trials}");
    }
}
