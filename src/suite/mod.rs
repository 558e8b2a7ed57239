//! What is evaluated: cases (CSV), specs, prompt versions, goldens, projects.

pub mod spec;
