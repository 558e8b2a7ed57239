//! What `assay doctor` shows: the tools that were found, what is wrong and how to mend it. Installs nothing.

use std::path::Path;
use std::time::Duration;

use super::v2;
use super::{EnvironmentError, Existing, check_managed, ensure, home, install};
use crate::tool::process::{Limits, Program};
use crate::tool::sandbox;

/// How a tool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// There, and fits.
    Ok,
    /// Not there, and not needed, or made on first use.
    Note,
    /// Missing or unusable.
    Broken,
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was looked for.
    pub name: &'static str,
    /// How it stands.
    pub status: Status,
    /// Version, place, or what is wrong.
    pub detail: String,
    /// How to mend it.
    pub hint: Option<String>,
}

/// All that was looked at, in order.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The lines.
    pub entries: Vec<Entry>,
}

impl Report {
    /// Whether assay can judge with dbt (after an installation on first use, where that is noted).
    pub fn is_usable(&self) -> bool {
        self.entries.iter().all(|entry| entry.status != Status::Broken)
    }

    fn push(&mut self, name: &'static str, status: Status, detail: impl Into<String>, hint: Option<String>) {
        self.entries.push(Entry { name, status, detail: detail.into(), hint });
    }

    fn fault(&mut self, name: &'static str, error: &EnvironmentError) {
        let diagnostic = error.diagnostic();
        self.push(
            name,
            Status::Broken,
            format!("[{}] {}", diagnostic.code, diagnostic.message),
            diagnostic.hint,
        );
    }
}

/// Looks at everything that assay would use in `root`.
pub fn probe(root: &Path, existing: &Existing) -> Report {
    let mut report = Report::default();
    let home = home(root);
    let installed = existing.dbt.is_some() || home.exists();
    if existing.dbt.is_none() {
        match (&existing.python, install::find_python()) {
            (Some(python), _) => report.push("python", Status::Ok, python.display().to_string(), None),
            (None, Ok(python)) => report.push("python", Status::Ok, python.display().to_string(), None),
            // An environment that is whole needs no other Python.
            (None, Err(_)) if check_managed(&home).is_ok() => {}
            (None, Err(error)) => report.fault("python", &error),
        }
        match check_managed(&home) {
            Ok(()) => report.push("environment", Status::Ok, home.display().to_string(), None),
            Err(None) => report.push(
                "environment",
                Status::Note,
                format!("not installed yet: {}", home.display()),
                Some("`assay run` installs it on first use".into()),
            ),
            Err(Some(why)) => report.push(
                "environment",
                Status::Note,
                format!("damaged: {why}"),
                Some("`assay run` makes it anew".into()),
            ),
        }
    }
    if installed && (existing.dbt.is_some() || check_managed(&home).is_ok()) {
        match ensure(root, existing, &|_| {}) {
            Ok(tools) => {
                let versions = &tools.versions;
                let python = tools.python.display();
                report.push("dbt-core", Status::Ok, format!("{} ({python})", versions.dbt_core), None);
                report.push("dbt-duckdb", Status::Ok, versions.dbt_duckdb.clone(), None);
                report.push(
                    "duckdb",
                    Status::Ok,
                    format!("{} ({})", versions.duckdb_cli, tools.duckdb.display()),
                    None,
                );
                for (name, version) in [("sqruff", &versions.sqruff), ("sqlfluff", &versions.sqlfluff)] {
                    match version {
                        Some(version) => report.push(name, Status::Ok, version.clone(), None),
                        None => report.push(
                            name,
                            Status::Note,
                            "not installed: lint is skipped where it is needed",
                            Some(format!("`pip install {name}` in the environment of dbt")),
                        ),
                    }
                }
            }
            Err(error) => report.fault("dbt", &error),
        }
    }
    match v2::find(root) {
        Some(found) => {
            let detail = format!("{} ({})", v2::VERSION, found.binary.display());
            report.push("dbt-core 2", Status::Ok, detail, None);
        }
        None => report.push(
            "dbt-core 2",
            Status::Note,
            "not installed: needed by `--engine v2`, and makes `auto` cheaper",
            Some("`assay doctor --install v2`".into()),
        ),
    }
    let support = sandbox::support();
    match support.gaps() {
        gaps if gaps.is_empty() => report.push("sandbox", Status::Ok, support.to_string(), None),
        gaps => report.push(
            "sandbox",
            Status::Note,
            gaps.join("; "),
            Some(
                "judge drafts that nobody has read on a system that allows user namespaces and has Landlock"
                    .into(),
            ),
        ),
    }
    match Program::new("git").arg("--version").run_blocking(&Limits::wall(Duration::from_secs(10))) {
        Ok(finished) if finished.success() => {
            let text = finished.stdout_text();
            let version = text.trim().trim_start_matches("git version ").to_owned();
            report.push("git", Status::Ok, version, None);
        }
        _ => report.push(
            "git",
            Status::Note,
            "not found: drafts cannot be committed to a branch",
            Some("install git".into()),
        ),
    }
    report
}
