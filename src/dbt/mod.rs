//! dbt's words in Rust: project, manifest, schema YAML, selection. Reads files, starts nothing.

pub mod artifacts;
pub mod catalog;
pub mod declared;
pub mod facts;
pub(crate) mod files;
pub mod project;
pub mod properties;
pub mod style;
pub mod test_syntax;
pub mod yaml;
