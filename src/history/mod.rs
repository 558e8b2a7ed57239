//! Run records, baselines and trends, append-only.
