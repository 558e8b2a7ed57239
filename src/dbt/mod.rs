//! dbt's words in Rust: project, manifest, schema YAML, selection. Reads files, starts nothing.

pub mod declared;
pub mod properties;
pub mod test_syntax;
pub mod yaml;
