//! pass@k (at least one of k passes) and pass^k (all k pass), unbiased, from `c` passes in `n` trials.

use super::special::ln_choose;

/// 1 - C(n-c, k)/C(n, k); `None` when fewer than `k` trials were made.
pub fn pass_at_k(n: u64, c: u64, k: u64) -> Option<f64> {
    (k >= 1 && k <= n && c <= n).then(|| 1.0 - (ln_choose(n - c, k) - ln_choose(n, k)).exp())
}

/// C(c, k)/C(n, k); `None` when fewer than `k` trials were made.
pub fn pass_hat_k(n: u64, c: u64, k: u64) -> Option<f64> {
    (k >= 1 && k <= n && c <= n).then(|| (ln_choose(c, k) - ln_choose(n, k)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn reference_values() {
        assert_close(pass_at_k(10, 3, 5).unwrap(), 0.916_667, 1e-6);
        assert_close(pass_hat_k(10, 8, 3).unwrap(), 0.466_667, 1e-6);
    }

    #[test]
    fn the_ends() {
        assert_close(pass_at_k(5, 0, 5).unwrap(), 0.0, 1e-12);
        assert_close(pass_at_k(5, 1, 5).unwrap(), 1.0, 1e-12);
        assert_close(pass_hat_k(5, 4, 5).unwrap(), 0.0, 1e-12);
        assert_eq!(pass_at_k(3, 1, 4), None);
        assert_eq!(pass_hat_k(3, 1, 0), None);
    }
}
