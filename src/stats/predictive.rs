//! What the stored runs of a baseline predict for a new run (beta-binomial): the basis of a gate that knows which
//! cases are flaky.

use super::special::ln_beta;

/// A case's history, and what came out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseHistory {
    /// Passes among the stored runs.
    pub passed: u64,
    /// Stored runs that decided.
    pub runs: u64,
    /// Passes now.
    pub now_passed: u64,
    /// Runs now.
    pub now_runs: u64,
}

/// Beta parameters for a case: its own record, and one observation's worth of the suite's mean.
fn posterior(passed: u64, runs: u64, suite_mean: f64) -> (f64, f64) {
    // Kept off the ends, where the distribution has no density.
    let mean = suite_mean.clamp(1e-6, 1.0 - 1e-6);
    (passed as f64 + mean, runs.saturating_sub(passed) as f64 + 1.0 - mean)
}

/// P(Y = y) for `runs` new runs of a case with this record.
pub fn pmf(y: u64, runs: u64, passed: u64, stored: u64, suite_mean: f64) -> f64 {
    if y > runs {
        return 0.0;
    }
    let (a, b) = posterior(passed, stored, suite_mean);
    let (yf, rest) = (y as f64, (runs - y) as f64);
    (super::special::ln_choose(runs, y) + ln_beta(yf + a, rest + b) - ln_beta(a, b)).exp()
}

/// P(Y <= now_passed): how surprising so few passes are for this case.
pub fn case_p(case: CaseHistory, suite_mean: f64) -> f64 {
    (0..=case.now_passed.min(case.now_runs))
        .map(|y| pmf(y, case.now_runs, case.passed, case.runs, suite_mean))
        .sum::<f64>()
        .min(1.0)
}

/// Share of passes over all stored runs; `None` without any.
pub fn suite_mean(cases: &[CaseHistory]) -> Option<f64> {
    let runs: u64 = cases.iter().map(|c| c.runs).sum();
    let passed: u64 = cases.iter().map(|c| c.passed).sum();
    (runs > 0).then(|| passed as f64 / runs as f64)
}

/// The z value of the whole suite's passes against what the history predicts; below -1.645 is an alarm at 5 %.
///
/// `None` without history or where the prediction leaves no room for chance.
pub fn suite_z(cases: &[CaseHistory]) -> Option<f64> {
    let mean = suite_mean(cases)?;
    let (mut expected, mut variance, mut seen) = (0.0, 0.0, 0.0);
    for case in cases.iter().filter(|c| c.now_runs > 0) {
        let (a, b) = posterior(case.passed, case.runs, mean);
        let (k, total) = (case.now_runs as f64, a + b);
        expected += k * a / total;
        variance += k * a * b * (total + k) / (total * total * (total + 1.0));
        seen += case.now_passed as f64;
    }
    (variance > 0.0).then(|| (seen + 0.5 - expected) / variance.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;
    use crate::stats::rng::SplitMix64;

    #[test]
    fn pmf_reference_values() {
        let expected = [0.000_307_69, 0.004_531_47, 0.044_559_44, 0.950_601_40];
        for (y, value) in expected.into_iter().enumerate() {
            assert_close(pmf(y as u64, 3, 10, 10, 0.8), value, 1e-8);
        }
        assert_eq!(pmf(4, 3, 10, 10, 0.8), 0.0);
    }

    #[test]
    fn a_solid_case_that_fails_is_a_surprise_and_a_flaky_one_is_not() {
        let solid = CaseHistory { passed: 10, runs: 10, now_passed: 0, now_runs: 1 };
        let flaky = CaseHistory { passed: 5, ..solid };
        assert!(case_p(solid, 0.8) < 0.05 && case_p(flaky, 0.8) > 0.4);
    }

    /// The simulation behind the design: solid passes, solid failures, flaky cases; nothing changed against 10 broken.
    #[test]
    fn the_suite_test_keeps_its_level_and_has_power() {
        let mut rng = SplitMix64::new(5);
        let mut chance = move |p: f64| (rng.below(1_000_000) as f64) < p * 1e6;
        let mut alarms = |broken: usize| {
            let runs = 200;
            let fired = (0..runs)
                .filter(|_| {
                    let cases: Vec<CaseHistory> = (0..100)
                        .map(|i| {
                            let before = match i {
                                0..70 => 0.995,
                                70..80 => 0.01,
                                _ => 0.3 + 0.6 * (i - 80) as f64 / 20.0,
                            };
                            let now = if i < broken { 0.01 } else { before };
                            let passed = (0..10).filter(|_| chance(before)).count() as u64;
                            CaseHistory { passed, runs: 10, now_passed: u64::from(chance(now)), now_runs: 1 }
                        })
                        .collect();
                    suite_z(&cases).is_some_and(|z| z < -1.645)
                })
                .count();
            fired as f64 / f64::from(runs)
        };
        assert!(alarms(0) < 0.09);
        assert!(alarms(10) > 0.9);
    }

    #[test]
    fn no_history_no_number() {
        assert_eq!(suite_z(&[]), None);
        assert_eq!(suite_z(&[CaseHistory { passed: 0, runs: 0, now_passed: 1, now_runs: 1 }]), None);
    }
}
