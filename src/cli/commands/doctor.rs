//! `assay doctor`: the tools that were found, what is wrong, and how to mend it.

use std::path::Path;

use crate::check::existing_tools;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::tool::environment::{Report, Status, probe};

/// Looks and reports; installs nothing. Works without a configuration.
///
/// # Errors
/// A configuration that is there and wrong.
pub fn run(path: &Path) -> anyhow::Result<Exit> {
    let config = if path.exists() { Config::load(Some(path))? } else { Config::default() };
    let root = if config.root.as_os_str().is_empty() { Path::new(".") } else { &config.root };
    let report = probe(root, &existing_tools(&config));
    output::data(&text(&report));
    Ok(if report.is_usable() { Exit::Fine } else { Exit::Usage })
}

fn text(report: &Report) -> String {
    let width = report.entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for entry in &report.entries {
        let mark = match entry.status {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Broken => "bad",
        };
        out.push_str(&format!("{mark:<5} {:<width$}  {}\n", entry.name, entry.detail));
        if let Some(hint) = &entry.hint {
            out.push_str(&format!("{:width$}hint: {hint}\n", "", width = width + 8));
        }
    }
    out
}
