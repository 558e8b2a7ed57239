//! Intervals, paired tests, multiple comparisons, agreement, power, seeded randomness. Pure.
//!
//! Every function is checked against values computed with scipy or exact arithmetic. Nothing here knows a case or a
//! prompt: counts and differences in, numbers out. A result never depends on the number of threads.

pub mod agreement;
pub mod bootstrap;
pub mod interval;
pub mod multiple;
pub mod paired;
pub mod pass_at_k;
pub mod power;
pub mod predictive;
pub mod rng;
mod special;

pub use interval::Interval;

#[cfg(test)]
pub(crate) fn assert_close(actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{actual} is not within {tolerance} of {expected}");
}
