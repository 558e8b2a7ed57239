//! `assay report`: make the reports of a run again from its report.json.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::generate::secrets::Secrets;
use crate::report::{Report, terminal};

/// `assay report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  assay report reports/runs/2026-11-24T09-30-00-000     write report.html, junit.xml and summary.md again
  assay report 2026-11-24T09-30-00-000                  the same, by the run's id
  assay report reports/runs/2026-11-24T09-30-00-000 --annotations
                                                        print GitHub annotations that point at the rows of the cases")]
pub struct ReportArgs {
    /// The run: its folder, its report.json, or its id.
    pub run: String,
    /// Print GitHub workflow commands for lost and errored cases, at most ten, instead of the summary.
    #[arg(long)]
    pub annotations: bool,
}

/// Reads a run's report.json and writes the other forms beside it.
///
/// # Errors
/// No such run, a report that cannot be read, files that cannot be written.
pub fn run(config: &Path, args: &ReportArgs) -> anyhow::Result<Exit> {
    let path = find(config, &args.run)?;
    let report = read(&path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    render(folder, &report, &Secrets::default())?;
    if args.annotations {
        output::data(&report.to_annotations(10));
    } else {
        let html = folder.join("report.html").display().to_string();
        output::data(&terminal::summary(&report, output::width(), Some(&html)));
    }
    Ok(Exit::Fine)
}

/// Writes report.html, junit.xml and summary.md into a folder.
///
/// # Errors
/// Files that cannot be written.
pub(super) fn render(folder: &Path, report: &Report, secrets: &Secrets) -> anyhow::Result<()> {
    write(folder, "report.html", &report.to_html(), secrets)?;
    write(folder, "junit.xml", &report.to_junit(), secrets)?;
    write(folder, "summary.md", &report.to_markdown(), secrets)
}

/// Writes beside and renames: a reader never sees half a report. The last guard against a key in it, whatever the way that it
/// came.
///
/// # Errors
/// Files that cannot be written.
pub(super) fn write(folder: &Path, name: &str, text: &str, secrets: &Secrets) -> anyhow::Result<()> {
    let partial = folder.join(format!(".{name}.partial"));
    fs_err::write(&partial, secrets.redact(text)).context("failed to write a report")?;
    fs_err::rename(&partial, folder.join(name)).context("failed to write a report")?;
    Ok(())
}

/// The report.json that a person means by a folder, a file, or the id of a run. Only an id needs the configuration.
///
/// # Errors
/// Where there is none, and a configuration that cannot be read.
pub(super) fn find(config: &Path, named: &str) -> anyhow::Result<PathBuf> {
    let given = PathBuf::from(named);
    if given.is_file() {
        return Ok(given);
    }
    let inside = given.join("report.json");
    if inside.is_file() {
        return Ok(inside);
    }
    let mut fault = Diagnostic::new("E_REPORT_UNKNOWN", format!("there is no report of a run `{named}`"))
        .at(Place::file(given))
        .hint("give a folder with a report.json");
    if config.is_file() {
        let config = Config::load(Some(config))?;
        let runs = config.resolve(&config.paths.reports).join("runs");
        let path = runs.join(named).join("report.json");
        if path.is_file() {
            return Ok(path);
        }
        fault =
            fault.hint(format!("give a folder with a report.json, or the id of a run in {}", runs.display()));
    }
    Err(Diagnostics::from(fault).into())
}

/// Reads a report.json.
///
/// # Errors
/// I/O faults, text that is not a report, a report in a newer format.
pub(super) fn read(path: &Path) -> anyhow::Result<Report> {
    let text = fs_err::read_to_string(path)?;
    Report::from_json(&text).map_err(|cause| {
        Diagnostics::from(Diagnostic::new("E_REPORT_READ", cause).at(Place::file(path))).into()
    })
}
