//! The folder of a run, `runs/<id>/`: a manifest that says what was planned and an append-only log of results, one
//! JSON line each, written as each result is there. An interrupted run loses nothing that was finished.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::score::{CaseResult, Status};

/// What was planned. A run is resumed only under the same plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version of the folder.
    pub version: u32,
    /// Hash over everything that decides a result: cases, specs, goldens, answers' origin, judge settings.
    pub fingerprint: String,
    /// Cells in the plan.
    pub cells: usize,
}

/// The format version that this program writes.
pub const VERSION: u32 = 1;

/// The key of a result: case, prompt version, trial.
pub type Key = (String, String, u32);

/// The open folder of a run.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    log: fs_err::File,
}

impl Store {
    /// Opens the folder of a run, new or to be resumed, and returns what was finished before (errored results are
    /// left out: they are tried again).
    ///
    /// # Errors
    /// `E_RUN_FOLDER` when the folder cannot be written, `E_RUN_CHANGED` when it was planned differently.
    pub fn open(
        folder: &Path,
        manifest: &Manifest,
    ) -> Result<(Self, BTreeMap<Key, CaseResult>), Diagnostics> {
        let fault = |error: std::io::Error| {
            Diagnostic::new("E_RUN_FOLDER", format!("cannot keep the results: {error}"))
                .at(Place::file(folder))
        };
        fs_err::create_dir_all(folder).map_err(fault)?;
        let manifest_path = folder.join("manifest.json");
        let log_path = folder.join("results.jsonl");
        let mut finished = BTreeMap::new();
        if let Ok(text) = fs_err::read_to_string(&manifest_path) {
            let earlier: Option<Manifest> = serde_json::from_str(&text).ok();
            if earlier.as_ref() != Some(manifest) {
                return Err(Diagnostic::new("E_RUN_CHANGED", "the run was planned differently")
                    .at(Place::file(&manifest_path))
                    .hint("cases, goldens, answers or settings have changed since: start a new run")
                    .into());
            }
            finished = read_log(&log_path);
        } else {
            let text = serde_json::to_string_pretty(manifest).unwrap_or_default();
            fs_err::write(&manifest_path, text).map_err(fault)?;
        }
        let mut log = fs_err::OpenOptions::new().create(true).append(true).open(&log_path).map_err(fault)?;
        // A line that was torn by a crash must not swallow the next one.
        if fs_err::metadata(&log_path).is_ok_and(|metadata| metadata.len() > 0) {
            log.write_all(b"\n").map_err(fault)?;
        }
        Ok((Self { folder: folder.to_path_buf(), log }, finished))
    }

    /// Appends one result with a single write.
    ///
    /// # Errors
    /// The write's error.
    pub fn append(&mut self, result: &CaseResult) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(result)?;
        line.push(b'\n');
        self.log.write_all(&line)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Reads a log; lines that are blank or torn are passed over, later lines win.
fn read_log(path: &Path) -> BTreeMap<Key, CaseResult> {
    let text = fs_err::read(path).unwrap_or_default();
    text.split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<CaseResult>(line).ok())
        .filter(|result| result.status != Status::Errored)
        .map(|result| ((result.case.clone(), result.prompt.clone(), result.trial), result))
        .collect()
}
