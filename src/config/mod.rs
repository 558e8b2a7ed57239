//! The configuration file `assay.toml`.
