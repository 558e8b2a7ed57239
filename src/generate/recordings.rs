//! Recordings: one readable JSON file for each prompt version, model and case, with its trials and their turns.
//!
//! ```text
//! recordings/<prompt>/<provider>--<model>/<case>.json
//! recordings/.journal/pending.jsonl     replies that were paid for and are not in their file yet
//! ```
//!
//! An exchange is found by its place (prompt, provider, model, case, trial, turn) and accepted only if its key, a hash
//! of the request, is the one that would be sent now. Otherwise the recording is stale, and the error names the part
//! of the request that changed. Only what a model did is recorded, never a fault on the way.

mod format;
mod journal;
mod maintain;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use maintain::{Listed, PackReport, VerifyFault, list, pack, prune, verify};

use super::answers::Usage;
use super::error::{ErrorClass, GenerateError};
use super::request::{Components, LlmReply, Outcome, ToolCall};
use super::secrets::Secrets;
use journal::Journal;

/// The version of the file format.
pub const FORMAT_VERSION: u32 = 1;

/// The largest recording that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// What happens between recordings and the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only recordings; no key is needed and no client exists. A missing or stale one is an error.
    #[default]
    Replay,
    /// Call the model for everything and overwrite what is recorded. After an interruption the same command goes on.
    Record,
    /// Call the model for what is missing or stale. Refused in CI.
    Auto,
    /// Call the model for everything; read and write no recordings.
    Live,
}

impl Mode {
    /// The mode on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Record => "record",
            Self::Auto => "auto",
            Self::Live => "live",
        }
    }
}

/// Where a recording belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// Prompt version.
    pub prompt: String,
    /// Provider.
    pub provider: String,
    /// Model asked for.
    pub model: String,
    /// Case id.
    pub case: String,
}

impl Slot {
    /// The folder of the prompt version and model, relative to the store.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(slug(&self.prompt)).join(format!("{}--{}", slug(&self.provider), slug(&self.model)))
    }

    /// The file, relative to the store.
    pub fn path(&self) -> PathBuf {
        self.folder().join(format!("{}.json", slug(&self.case)))
    }
}

/// A name as a file name on every system: `[a-z0-9._-]`, with a hash where something had to be changed.
fn slug(name: &str) -> String {
    const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "com1", "lpt1"];
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-') { c } else { '-' }
        })
        .take(80)
        .collect();
    let stem = plain.split('.').next().unwrap_or_default();
    let odd = plain != name || plain.starts_with('.') || plain.is_empty() || RESERVED.contains(&stem);
    if !odd && !plain.starts_with("pack-") {
        return plain;
    }
    let lower: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(60)
        .collect();
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("{}-{}", lower.trim_matches('-'), &hash[..8]).trim_start_matches('-').to_owned()
}

/// All trials of a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Where it belongs.
    pub slot: Slot,
    /// Hashes of what the requests were made of.
    pub components: Components,
    /// Trials by number.
    pub trials: BTreeMap<u32, Vec<Turn>>,
}

/// One exchange with a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Hash of the request.
    pub key: String,
    /// What this turn added to the conversation, for the reader.
    pub added: Vec<Added>,
    /// The reply.
    pub reply: RecordedReply,
    /// How it was got.
    pub meta: Meta,
}

/// What a turn added to the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Added {
    /// `user`, or the name of the tool whose result it is.
    pub from: String,
    /// The text.
    #[serde(with = "format::lines")]
    pub text: String,
    /// Code of the tool's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A reply without what is only of use on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedReply {
    /// How it ended.
    pub outcome: Outcome,
    /// The text, byte for byte.
    pub text: Option<String>,
    /// Tool calls.
    pub tool_calls: Vec<ToolCall>,
    /// Tokens.
    pub usage: Usage,
    /// Model that answered.
    pub model: Option<String>,
    /// Provider's id of the response.
    pub response_id: Option<String>,
    /// Fingerprint of the serving stack.
    pub system_fingerprint: Option<String>,
    /// Tier that served.
    pub service_tier: Option<String>,
}

impl From<LlmReply> for RecordedReply {
    fn from(reply: LlmReply) -> Self {
        Self {
            outcome: reply.outcome,
            text: reply.text,
            tool_calls: reply.tool_calls,
            usage: reply.usage,
            model: reply.model,
            response_id: reply.response_id,
            system_fingerprint: reply.system_fingerprint,
            service_tier: reply.service_tier,
        }
    }
}

/// How a reply was got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// When.
    pub recorded_at: jiff::Timestamp,
    /// Time of the last attempt, milliseconds.
    pub latency_ms: u64,
    /// Attempts made; those before the last may have cost something too.
    pub attempts: u32,
    /// Provider's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Version of the program that recorded it.
    pub client: String,
    /// The body ended in the middle, in every attempt, but behind the answer; what followed is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_off: bool,
}

/// The recordings below a folder.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    secrets: Secrets,
    packs: Mutex<HashMap<PathBuf, std::sync::Arc<BTreeMap<String, Recording>>>>,
    /// One writer at a time: files are read, changed and replaced.
    writer: Option<Mutex<Journal>>,
}

impl Store {
    /// Opens recordings for reading only.
    pub fn read_only(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), secrets: Secrets::default(), packs: Mutex::default(), writer: None }
    }

    /// Opens recordings for writing: takes the lock, and puts what an interrupted run left in the journal where it belongs.
    ///
    /// # Errors
    /// `Storage` when another process holds the lock or a file cannot be written.
    pub fn writable(root: impl Into<PathBuf>, secrets: Secrets) -> Result<Self, GenerateError> {
        let root = root.into();
        let journal = Journal::open(&root)?;
        let store = Self { root, secrets, packs: Mutex::default(), writer: Some(Mutex::new(journal)) };
        let whole = store.journal()?.whole_trials();
        for (slot, components, trial, turns) in whole {
            store.write_trial(&slot, &components, trial, turns)?;
        }
        Ok(store)
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The recording of a slot, from its own file or a pack; `None` when there is none.
    ///
    /// # Errors
    /// `Storage` when the file is not a recording, or not of this slot.
    pub fn load(&self, slot: &Slot) -> Result<Option<Recording>, GenerateError> {
        let path = self.root.join(slot.path());
        let recording = match read_limited(&path) {
            Ok(text) => Some(format::read(&text).map_err(|message| storage(&path, &message))?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.pack_of(&slot.folder())?.get(&slot.case).cloned()
            }
            Err(error) => return Err(storage(&path, &error.to_string())),
        };
        match recording {
            Some(recording) if recording.slot != *slot => {
                let of = &recording.slot;
                let message =
                    format!("it is of case `{}`, prompt `{}`, model `{}`", of.case, of.prompt, of.model);
                Err(storage(&path, &message))
            }
            found => Ok(found),
        }
    }

    fn pack_of(&self, folder: &Path) -> Result<std::sync::Arc<BTreeMap<String, Recording>>, GenerateError> {
        let mut packs = self.packs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pack) = packs.get(folder) {
            return Ok(pack.clone());
        }
        let pack = std::sync::Arc::new(maintain::read_packs(&self.root.join(folder))?);
        packs.insert(folder.to_path_buf(), pack.clone());
        Ok(pack)
    }

    /// A reply of an interrupted run that is still in the journal.
    pub(super) fn journaled(&self, slot: &Slot, trial: u32, turn: usize, key: &str) -> Option<Turn> {
        self.journal().ok()?.find(slot, trial, turn, key)
    }

    /// Puts a reply that was just paid for into the journal: from here on a crash does not lose it.
    pub(super) fn keep(
        &self,
        slot: &Slot,
        components: &Components,
        trial: u32,
        index: usize,
        turn: &Turn,
    ) -> Result<(), GenerateError> {
        self.journal()?.append(slot, components, trial, index, turn, &self.secrets)
    }

    /// Puts a whole trial into its file. Trials of another prompt, spec or contract in the same file are dropped.
    pub(super) fn write_trial(
        &self,
        slot: &Slot,
        components: &Components,
        trial: u32,
        turns: Vec<Turn>,
    ) -> Result<(), GenerateError> {
        let mut journal = self.journal()?;
        let known = self.load(slot).ok().flatten().filter(|known| known.components == *components);
        let mut recording = known.unwrap_or_else(|| Recording {
            slot: slot.clone(),
            components: components.clone(),
            trials: BTreeMap::new(),
        });
        recording.trials.insert(trial, turns);
        let (path, text) = (self.root.join(slot.path()), format::write(&recording));
        if self.secrets.leaks(text.as_bytes()) {
            return Err(storage(&path, "not written: a secret would be in it"));
        }
        replace(journal.folder(), &path, text.as_bytes())
            .map_err(|error| storage(&path, &error.to_string()))?;
        journal.written(slot, trial);
        Ok(())
    }

    /// Ends a run that was not interrupted: the journal keeps only replies of trials that did not come to an end.
    ///
    /// # Errors
    /// `Storage` when the journal cannot be replaced.
    pub fn finish(&self) -> Result<(), GenerateError> {
        match &self.writer {
            Some(_) => self.journal()?.finish(),
            None => Ok(()),
        }
    }

    fn journal(&self) -> Result<std::sync::MutexGuard<'_, Journal>, GenerateError> {
        let writer = self.writer.as_ref();
        let writer = writer
            .ok_or_else(|| GenerateError::new(ErrorClass::Storage, "recordings are open for reading only"))?;
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn storage(path: &Path, message: &str) -> GenerateError {
    GenerateError::new(ErrorClass::Storage, format!("{}: {message}", path.display()))
}

fn read_limited(path: &Path) -> std::io::Result<String> {
    let file = fs_err::File::open(path)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_FILE), &mut text)?;
    Ok(text)
}

/// How the names of half-written files begin.
const WRITING: &str = ".writing-";

/// Writes a file in `scratch`, on the same file system, and renames it to its place: a crash leaves the old or the new one.
fn replace(scratch: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs_err::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    let mut temporary = tempfile::Builder::new();
    temporary.prefix(WRITING);
    // As any other file: others may read it where the umask lets them.
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = temporary.tempfile_in(scratch)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    Ok(())
}

/// The reason why a recorded turn cannot be used: what changed since.
pub(super) fn stale(
    slot: &Slot,
    trial: u32,
    turn: &Turn,
    recorded: &Components,
    now: &Components,
) -> GenerateError {
    let changed = recorded.changed(now);
    let what = match changed.as_slice() {
        [] => "the results of the tools, or the recipe of the key, changed".to_owned(),
        parts => format!("{} changed", parts.join(" and ")),
    };
    let by = turn.reply.model.as_deref().unwrap_or(&slot.model);
    let date = turn.meta.recorded_at.strftime("%Y-%m-%d");
    let message = format!(
        "the recording is stale: case={} prompt={} trial={trial}: {what} (recorded {date}, {by})",
        slot.case, slot.prompt
    );
    GenerateError {
        code: Some("E_RECORDING_STALE".to_owned()),
        ..GenerateError::new(ErrorClass::Stale, message)
    }
    .hint("undo the change, or record again with --mode auto")
}

/// The reason why there is nothing to replay.
pub(super) fn missing(slot: &Slot, trial: u32, recorded: Option<&Recording>) -> GenerateError {
    let have = match recorded {
        Some(recording) => {
            let trials: Vec<String> = recording.trials.keys().map(u32::to_string).collect();
            format!("; recorded are the trials {}", trials.join(", "))
        }
        None => String::new(),
    };
    let message = format!(
        "nothing is recorded: case={} prompt={} provider={} model={} trial={trial}{have}",
        slot.case, slot.prompt, slot.provider, slot.model
    );
    GenerateError {
        code: Some("E_RECORDING_MISSING".to_owned()),
        ..GenerateError::new(ErrorClass::Missing, message)
    }
    .hint("record it with --mode auto")
}

/// A JSON value for `assay recordings show`.
pub fn to_json(recording: &Recording) -> Value {
    serde_json::from_str(&format::write(recording)).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests;
