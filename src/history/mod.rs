//! Run records, baselines and trends, append-only.
//!
//! `reports/history.jsonl` holds one line per run and prompt version: what was run and how each case came out. Rates
//! are derived when they are read, so a line can never disagree with itself. The file is made to be committed: lines
//! are self-contained, sorted inside, and merge by union.

mod baseline;
mod record;
mod store;
mod trend;

pub use baseline::{BaselineError, find_baseline};
pub use record::{
    CaseOutcomes, FORMAT, HistoryRecord, PromptInfo, RunInfo, TrialOutcome, by_cluster, cluster_of,
};
pub use store::{History, HistoryError, append, load};
pub use trend::{TrendPoint, case_strips, trend};
