//! Agreement of two raters, and the pass rate corrected for a judge that errs.

/// Counts of a square table: `table[i][j]` items that the first rater put into class i and the second into class j.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// Share of items on which the raters agree.
    pub observed: f64,
    /// Cohen's kappa; `None` where chance alone explains everything (all items in one class).
    pub kappa: Option<f64>,
    /// Gwet's AC1, which stays meaningful when one class is rare.
    pub ac1: Option<f64>,
    /// Share of the commonest class (mean of the two raters): what a constant answer would reach.
    pub constant_baseline: f64,
}

/// Agreement from a square table; `None` for an empty or ragged one.
pub fn agreement(table: &[Vec<u64>]) -> Option<Agreement> {
    let classes = table.len();
    if classes == 0 || table.iter().any(|row| row.len() != classes) {
        return None;
    }
    let n: u64 = table.iter().flatten().sum();
    if n == 0 {
        return None;
    }
    let share = |count: u64| count as f64 / n as f64;
    let observed: f64 = (0..classes).map(|i| share(table[i][i])).sum();
    let rows: Vec<f64> = table.iter().map(|row| share(row.iter().sum())).collect();
    let columns: Vec<f64> = (0..classes).map(|j| share(table.iter().map(|row| row[j]).sum())).collect();
    let means: Vec<f64> = rows.iter().zip(&columns).map(|(r, c)| (r + c) / 2.0).collect();
    let by_chance: f64 = rows.iter().zip(&columns).map(|(r, c)| r * c).sum();
    let corrected = |chance: f64| (chance < 1.0).then(|| (observed - chance) / (1.0 - chance));
    let ac1_chance = if classes == 1 {
        1.0
    } else {
        means.iter().map(|q| q * (1.0 - q)).sum::<f64>() / (classes as f64 - 1.0)
    };
    Some(Agreement {
        observed,
        kappa: corrected(by_chance),
        ac1: corrected(ac1_chance),
        constant_baseline: means.iter().copied().fold(0.0, f64::max),
    })
}

/// The pass rate corrected for a judge of known sensitivity and specificity (Rogan-Gladen), clipped to 0..=1.
///
/// `None` where the judge is no better than chance (sensitivity + specificity <= 1).
pub fn rogan_gladen(observed: f64, sensitivity: f64, specificity: f64) -> Option<f64> {
    let informative = sensitivity + specificity - 1.0;
    (informative > 0.0).then(|| ((observed + specificity - 1.0) / informative).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn kappa_and_ac1_reference_values() {
        let balanced = agreement(&[vec![40, 9], vec![6, 45]]).unwrap();
        assert_close(balanced.kappa.unwrap(), 0.699_519, 1e-6);
        assert_close(balanced.ac1.unwrap(), 0.700_748, 1e-6);

        let skewed = agreement(&[vec![90, 4], vec![5, 1]]).unwrap();
        assert_close(skewed.observed, 0.91, 1e-12);
        assert_close(skewed.kappa.unwrap(), 0.134_615, 1e-6);
        assert_close(skewed.ac1.unwrap(), 0.899_559, 1e-6);
        assert_close(skewed.constant_baseline, 0.945, 1e-12);
    }

    #[test]
    fn no_table_no_number() {
        assert_eq!(agreement(&[]), None);
        assert_eq!(agreement(&[vec![0, 0], vec![0, 0]]), None);
        assert_eq!(agreement(&[vec![1, 0], vec![1]]), None);
        assert_eq!(agreement(&[vec![7, 0], vec![0, 0]]).unwrap().kappa, None);
    }

    #[test]
    fn rogan_gladen_reference_value() {
        assert_close(rogan_gladen(0.82, 0.95, 0.90).unwrap(), 0.847_059, 1e-6);
        assert_eq!(rogan_gladen(0.82, 0.5, 0.5), None);
    }
}
