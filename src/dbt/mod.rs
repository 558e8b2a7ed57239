//! dbt's words in Rust: project, manifest, schema YAML, selection. Reads files, starts nothing.

pub mod test_syntax;
