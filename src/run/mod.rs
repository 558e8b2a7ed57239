//! Plan, runner, events, resume: drives the line from suite to results.

pub mod answers;
pub mod baseline;
pub mod event;
pub mod plan;
pub mod runner;
pub mod store;
