//! `assay` decides whether a prompt change made an LLM that drafts dbt models better or worse, and shows why.
//!
//! One direction, and the modules below stand in that order:
//!
//! ```text
//! suite ─► generate ─► check ─► score ─► stats ─► history ─► report
//!                       │ uses sql, dbt, tool
//! ```
//!
//! [`run`] drives the line and emits events; [`report`] and the progress display only consume them; [`review`] sits
//! beside [`history`]; [`draft`] takes one request through generation and checks into a dbt project; [`cli`] is the only
//! printer. ARCHITECTURE.md holds the table of who may use whom, and a test holds the code to it.

pub mod cli;
pub mod config;
pub mod diagnostic;
pub mod suite;

pub mod generate;

pub mod dbt;
pub mod sql;
pub mod tool;

pub mod check;
pub mod score;
pub mod stats;

pub mod history;
pub mod report;
pub mod review;
pub mod run;

pub mod draft;

// Here, so that tests and benchmarks run with it too. Reading and proving make more than a thousand small things a query and drop
// them again, on which the system's allocator spends a quarter of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
