//! The journal: every reply that was paid for, the moment it came, as one line of `.journal/pending.jsonl`.
//!
//! A `kill -9` loses nothing that is in it; the next run that writes recordings picks it up, without its torn last line.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{GenerateError, Slot, Turn, WRITING, replace, storage};
use crate::generate::error::ErrorClass;
use crate::generate::request::{Components, Outcome};
use crate::generate::secrets::Secrets;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    slot: Slot,
    trial: u32,
    index: usize,
    components: Components,
    turn: Turn,
}

/// Lines of the journal by what they belong to.
type Left = HashMap<(Slot, u32), Vec<Line>>;

/// The journal, locked for this process.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    path: PathBuf,
    file: fs_err::File,
    /// What was in it when it was opened.
    left: Left,
    /// Trials that are in their files.
    written: HashSet<(Slot, u32)>,
    _lock: std::fs::File,
}

impl Journal {
    pub(super) fn open(root: &Path) -> Result<Self, GenerateError> {
        let folder = root.join(".journal");
        let path = folder.join("pending.jsonl");
        let fault = |error: std::io::Error| storage(&path, &error.to_string());
        fs_err::create_dir_all(&folder).map_err(fault)?;
        // What is pending here is in a recording when the run ends: nothing for git.
        fs_err::write(folder.join(".gitignore"), "*\n").map_err(fault)?;
        let lock = lock(&folder.join("lock"))?;
        for entry in fs_err::read_dir(&folder).map_err(fault)?.flatten() {
            // Half-written files of a run that was killed.
            if entry.file_name().to_string_lossy().starts_with(WRITING) {
                fs_err::remove_file(entry.path()).map_err(fault)?;
            }
        }
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fault(error)),
        };
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let left = by_trial(&String::from_utf8_lossy(&text[..whole]));
        let file = fs_err::OpenOptions::new().create(true).append(true).open(&path).map_err(fault)?;
        file.set_len(whole as u64).map_err(fault)?;
        Ok(Self { folder, path, file, left, written: HashSet::new(), _lock: lock })
    }

    /// Where files are written before they are renamed to their place.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn append(
        &mut self,
        slot: &Slot,
        components: &Components,
        trial: u32,
        index: usize,
        turn: &Turn,
        secrets: &Secrets,
    ) -> Result<(), GenerateError> {
        let line =
            Line { slot: slot.clone(), trial, index, components: components.clone(), turn: turn.clone() };
        let mut text =
            serde_json::to_string(&line).map_err(|error| storage(&self.path, &error.to_string()))?;
        if secrets.leaks(text.as_bytes()) {
            return Err(storage(&self.path, "not written: a secret would be in it"));
        }
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|error| storage(&self.path, &error.to_string()))
    }

    /// A reply that an interrupted run left. Of several the last one counts.
    pub(super) fn find(&self, slot: &Slot, trial: u32, index: usize, key: &str) -> Option<Turn> {
        let lines = self.left.get(&(slot.clone(), trial))?;
        lines
            .iter()
            .rev()
            .find(|line| line.index == index && line.turn.key == key)
            .map(|line| line.turn.clone())
    }

    /// Trials of an interrupted run that came to their end.
    pub(super) fn whole_trials(&self) -> Vec<(Slot, Components, u32, Vec<Turn>)> {
        let mut whole = Vec::new();
        for ((slot, trial), lines) in &self.left {
            let Some(last) = lines.iter().rev().find(|line| line.turn.reply.outcome != Outcome::NeedsTools)
            else {
                continue;
            };
            let of_run = |index: usize| {
                lines.iter().rev().find(|line| line.index == index && line.components == last.components)
            };
            let turns: Option<Vec<Turn>> = (0..last.index)
                .map(of_run)
                .chain([Some(last)])
                .map(|line| Some(line?.turn.clone()))
                .collect();
            if let Some(turns) = turns {
                whole.push((slot.clone(), last.components.clone(), *trial, turns));
            }
        }
        whole.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
        whole
    }

    /// A trial is in its file.
    pub(super) fn written(&mut self, slot: &Slot, trial: u32) {
        self.written.insert((slot.clone(), trial));
    }

    /// Keeps only replies of trials that are not in their files.
    pub(super) fn finish(&mut self) -> Result<(), GenerateError> {
        let fault = |error: std::io::Error| storage(&self.path, &error.to_string());
        let text = fs_err::read_to_string(&self.path).map_err(fault)?;
        let mut open = String::new();
        for line in text.lines() {
            let Ok(parsed) = serde_json::from_str::<Line>(line) else { continue };
            if !self.written.contains(&(parsed.slot, parsed.trial)) {
                open.push_str(line);
                open.push('\n');
            }
        }
        replace(&self.folder, &self.path, open.as_bytes()).map_err(fault)?;
        self.left = by_trial(&open);
        self.written.clear();
        self.file = fs_err::OpenOptions::new().create(true).append(true).open(&self.path).map_err(fault)?;
        Ok(())
    }
}

fn by_trial(text: &str) -> Left {
    let mut left = Left::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        left.entry((line.slot.clone(), line.trial)).or_default().push(line);
    }
    left
}

/// Takes the lock for as long as the file is open; the system gives it back when the process ends, however it ends.
fn lock(path: &Path) -> Result<std::fs::File, GenerateError> {
    let fault = |error: std::io::Error| storage(path, &error.to_string());
    let file = fs_err::OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(fault)?;
    let file = file.into_file();
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(fault)?;
            (&file).write_all(std::process::id().to_string().as_bytes()).map_err(fault)?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let holder = fs_err::read_to_string(path).unwrap_or_default();
            Err(GenerateError::new(
                ErrorClass::Storage,
                format!("process {} is writing these recordings", holder.trim()),
            )
            .hint("wait until it ends"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(fault(error)),
    }
}
