//! Child processes: dbt, duckdb, sqlfluff, git; limits of time and memory. The only module that starts a process.

pub mod again;
pub mod dbt;
pub mod duckdb;
pub mod environment;
pub mod executor;
pub mod git;
mod left;
pub mod lint;
pub mod process;
pub mod progress;
pub mod sandbox;
pub mod state;
pub mod v2;
pub mod worker;
