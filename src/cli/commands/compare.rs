//! `assay compare`: two runs against each other, case by case.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::report::{find, read};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::report::RunComparison;

/// `assay compare`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  assay compare 2026-11-17T09-30-00-000 2026-11-24T09-30-00-000     by run ids
  assay compare main/report.json branch/report.json --format markdown
  assay compare reports/runs/a reports/runs/b --format json

Exit codes: 0 nothing is confirmed worse, 1 a prompt version is worse beyond chance,
3 no case was judged in both runs.")]
pub struct CompareArgs {
    /// The earlier run: its folder, its report.json, or its id.
    pub baseline: String,
    /// The later run.
    pub candidate: String,
    /// Form of the output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Form of the output of `assay compare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For comments and step summaries.
    Markdown,
}

/// Compares two runs on the cases that both judged.
///
/// # Errors
/// Runs that cannot be found, read or paired.
pub fn run(config: &Path, args: &CompareArgs) -> anyhow::Result<Exit> {
    let baseline = read(&find(config, &args.baseline)?)?;
    let candidate = read(&find(config, &args.candidate)?)?;
    let comparison = RunComparison::new(&baseline, &candidate)
        .map_err(|cause| Diagnostics::from(Diagnostic::new("E_COMPARE_PROMPTS", cause)))?;
    output::data(&match args.format {
        Format::Text => comparison.to_text(),
        Format::Json => comparison.to_json(),
        Format::Markdown => comparison.to_markdown(),
    });
    Ok(if comparison.is_regression() {
        Exit::Regression
    } else if comparison.is_empty() {
        Exit::Undecided
    } else {
        Exit::Fine
    })
}
