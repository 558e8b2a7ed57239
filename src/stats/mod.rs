//! Intervals, paired tests, multiple comparisons, seeded randomness. Pure.
