//! Several tests at once: Holm (any false alarm) and Benjamini-Hochberg (share of false alarms).

/// Holm's adjusted p-values, in the order of the input.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut adjusted = vec![0.0; m];
    let mut running = 0.0_f64;
    for (rank, index) in ascending(p_values).into_iter().enumerate() {
        running = running.max((m - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = running;
    }
    adjusted
}

/// Benjamini-Hochberg adjusted p-values, in the order of the input: reject where the value is at most q.
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    let m = p_values.len();
    let mut adjusted = vec![0.0; m];
    let mut running = 1.0_f64;
    for (rank, index) in ascending(p_values).into_iter().enumerate().rev() {
        running = running.min(m as f64 / (rank + 1) as f64 * p_values[index]);
        adjusted[index] = running;
    }
    adjusted
}

fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn holm_reference_values() {
        for (actual, expected) in holm(&[0.01, 0.04, 0.03]).into_iter().zip([0.03, 0.06, 0.06]) {
            assert_close(actual, expected, 1e-12);
        }
        assert_eq!(holm(&[]), Vec::<f64>::new());
        assert_eq!(holm(&[0.7, 0.9]), vec![1.0, 1.0]);
    }

    #[test]
    fn benjamini_hochberg_by_hand() {
        // i/m·q for q = .05, m = 4: .0125, .025, .0375, .05; the first two are rejected.
        let adjusted = benjamini_hochberg(&[0.2, 0.01, 0.04, 0.02]);
        for (actual, expected) in adjusted.iter().zip([0.2, 0.04, 0.16 / 3.0, 0.04]) {
            assert_close(*actual, expected, 1e-12);
        }
    }
}
