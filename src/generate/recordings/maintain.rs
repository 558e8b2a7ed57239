//! Looking after recordings: list, prune, pack, verify.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{GenerateError, Recording, Slot, format, read_limited, replace, storage};

/// How many packs a folder is spread over, by hash of the case: fewer conflicts between branches.
const SHARDS: u8 = 16;

/// A recording as `assay recordings list` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it belongs.
    pub slot: Slot,
    /// The file, or the pack that it is in.
    pub path: PathBuf,
    /// Trials.
    pub trials: usize,
    /// The oldest and the newest exchange.
    pub recorded: Option<(jiff::Timestamp, jiff::Timestamp)>,
    /// Models that answered.
    pub models: BTreeSet<String>,
}

/// Something wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFault {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
}

/// What packing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackReport {
    /// Recordings that are in packs now.
    pub recordings: usize,
    /// Pack files.
    pub packs: usize,
}

/// All files of recordings below a folder, sorted; packs are `true`.
fn files(root: &Path) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    let children = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .map(|entry| entry.path())
            .collect();
        paths.sort();
        paths
    };
    for prompt in children(root).iter().filter(|path| path.is_dir()) {
        for model in children(prompt).iter().filter(|path| path.is_dir()) {
            for file in children(model) {
                match file.extension().and_then(|extension| extension.to_str()) {
                    Some("json") => found.push((file, false)),
                    Some("jsonl") => found.push((file, true)),
                    _ => {}
                }
            }
        }
    }
    found
}

/// The recordings in one file.
fn contents(path: &Path, packed: bool) -> Result<Vec<Recording>, GenerateError> {
    let text = read_limited(path).map_err(|error| storage(path, &error.to_string()))?;
    if !packed {
        return Ok(vec![format::read(&text).map_err(|message| storage(path, &message))?]);
    }
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            format::read(line).map_err(|message| storage(path, &format!("line {}: {message}", index + 1)))
        })
        .collect()
}

/// The recordings in the packs of one folder, by case.
pub(super) fn read_packs(folder: &Path) -> Result<BTreeMap<String, Recording>, GenerateError> {
    let mut recordings = BTreeMap::new();
    for shard in 0..SHARDS {
        let path = pack_path(folder, shard);
        if path.is_file() {
            recordings.extend(contents(&path, true)?.into_iter().map(|one| (one.slot.case.clone(), one)));
        }
    }
    Ok(recordings)
}

fn pack_path(folder: &Path, shard: u8) -> PathBuf {
    folder.join(format!("pack-{shard:x}.jsonl"))
}

/// Every recording below a folder, in order of its path.
///
/// # Errors
/// `Storage` for the first file that is not a recording.
pub fn list(root: &Path) -> Result<Vec<Listed>, GenerateError> {
    let mut listed = Vec::new();
    for (path, packed) in files(root) {
        for recording in contents(&path, packed)? {
            let turns = || recording.trials.values().flatten();
            let times = || turns().map(|turn| turn.meta.recorded_at);
            listed.push(Listed {
                path: path.clone(),
                trials: recording.trials.len(),
                recorded: times().min().zip(times().max()),
                models: turns().filter_map(|turn| turn.reply.model.clone()).collect(),
                slot: recording.slot,
            });
        }
    }
    Ok(listed)
}

/// Removes recordings that are not used; with `dry_run` only says which.
///
/// # Errors
/// `Storage` when a file cannot be read or removed.
pub fn prune(
    root: &Path,
    is_used: impl Fn(&Slot) -> bool,
    dry_run: bool,
) -> Result<Vec<Slot>, GenerateError> {
    let mut removed = Vec::new();
    for (path, packed) in files(root) {
        let recordings = contents(&path, packed)?;
        let (keep, drop): (Vec<_>, Vec<_>) = recordings.into_iter().partition(|one| is_used(&one.slot));
        if drop.is_empty() {
            continue;
        }
        removed.extend(drop.into_iter().map(|one| one.slot));
        if dry_run {
            continue;
        }
        if keep.is_empty() {
            fs_err::remove_file(&path).map_err(|error| storage(&path, &error.to_string()))?;
        } else {
            write_pack(root, &path, &keep)?;
        }
    }
    Ok(removed)
}

fn write_pack(root: &Path, path: &Path, recordings: &[Recording]) -> Result<(), GenerateError> {
    let text: String = recordings.iter().map(|one| format::write_line(one) + "\n").collect();
    replace(root, path, text.as_bytes()).map_err(|error| storage(path, &error.to_string()))
}

/// Puts the recordings of every folder into a few sorted JSONL files; for suites of many thousand cases.
///
/// # Errors
/// `Storage` when a file cannot be read, written or removed. Files are removed only after the packs are written.
pub fn pack(root: &Path) -> Result<PackReport, GenerateError> {
    let mut folders: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for (path, packed) in files(root) {
        let folder = path.parent().unwrap_or(root).to_path_buf();
        let single = folders.entry(folder).or_default();
        if !packed {
            single.push(path);
        }
    }
    let mut report = PackReport::default();
    for (folder, single) in folders {
        let mut recordings = read_packs(&folder)?;
        for path in &single {
            recordings.extend(contents(path, false)?.into_iter().map(|one| (one.slot.case.clone(), one)));
        }
        report.recordings += recordings.len();
        let mut shards: BTreeMap<u8, Vec<Recording>> = BTreeMap::new();
        for (case, recording) in recordings {
            let shard = blake3::hash(case.as_bytes()).as_bytes()[0] % SHARDS;
            shards.entry(shard).or_default().push(recording);
        }
        report.packs += shards.len();
        for (shard, recordings) in shards {
            write_pack(root, &pack_path(&folder, shard), &recordings)?;
        }
        for path in single {
            fs_err::remove_file(&path).map_err(|error| storage(&path, &error.to_string()))?;
        }
    }
    Ok(report)
}

/// Checks every file: that it is a recording, stands where it belongs, and has turns that lead to an end.
pub fn verify(root: &Path) -> (usize, Vec<VerifyFault>) {
    let mut faults = Vec::new();
    let mut count = 0;
    for (path, packed) in files(root) {
        let mut fault = |message: String| faults.push(VerifyFault { path: path.clone(), message });
        let recordings = match contents(&path, packed) {
            Ok(recordings) => recordings,
            Err(error) => {
                fault(error.message);
                continue;
            }
        };
        for recording in recordings {
            count += 1;
            let place = root.join(recording.slot.path());
            if !packed && place != path {
                fault(format!("it belongs to {}", place.display()));
            }
            if packed && path.parent() != place.parent() {
                fault(format!("case `{}` belongs to another folder", recording.slot.case));
            }
            for (trial, turns) in &recording.trials {
                if turns.is_empty() {
                    fault(format!("trial {trial} of case `{}` has no turns", recording.slot.case));
                }
            }
        }
    }
    (count, faults)
}
