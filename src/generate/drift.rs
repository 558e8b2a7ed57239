//! Whether a model still answers as it was recorded: a sample of the recordings is asked for again, and nothing of what
//! comes back is kept.

use crate::config::{Config, Paths};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::suite::Case;
use crate::suite::prompts::PromptVersion;

use super::generator::{Generator, slot_of};
use super::recordings::{Mode, Slot, Store, Turn};
use super::secrets::Environment;

/// What became of one recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Which.
    pub slot: Slot,
    /// How the new answer stands to the recorded one.
    pub kind: DriftKind,
    /// In words.
    pub detail: String,
}

/// How a new answer stands to the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftKind {
    /// The same text.
    Same,
    /// Another text.
    Other,
    /// The request is another one now: the two cannot be compared.
    Stale,
    /// No answer.
    Errored,
}

impl DriftKind {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Other => "other",
            Self::Stale => "stale",
            Self::Errored => "errored",
        }
    }
}

/// Asks again for `sample` recordings of these cases and prompt versions; which ones depends on nothing but their names.
///
/// # Errors
/// Nothing is recorded; providers that cannot be used.
pub async fn drift(
    config: &Config,
    environment: &Environment,
    cases: &[Case],
    prompts: &[PromptVersion],
    sample: usize,
) -> Result<Vec<Drift>, Diagnostics> {
    let store = Store::read_only(config.resolve(&config.paths.recordings));
    let mut chosen: Vec<([u8; 32], &Case, &PromptVersion, Vec<Turn>)> = Vec::new();
    for prompt in prompts {
        for case in cases {
            let slot = slot_of(&case.id, prompt);
            let recording = store.load(&slot).ok().flatten();
            if let Some(turns) = recording.and_then(|mut recording| recording.trials.remove(&0)) {
                let order = blake3::hash(slot.path().to_string_lossy().as_bytes());
                chosen.push((*order.as_bytes(), case, prompt, turns));
            }
        }
    }
    chosen.sort_by_key(|(order, ..)| *order);
    chosen.truncate(sample);
    if chosen.is_empty() {
        return Err(Diagnostic::new("E_NOTHING_SELECTED", "nothing of the suite is recorded").into());
    }
    let scratch = tempfile::tempdir()
        .map_err(|error| Diagnostic::new("E_RECORDINGS", format!("no scratch folder: {error}")))?;
    let paths = Paths { recordings: scratch.path().to_path_buf(), ..config.paths.clone() };
    let aside = Config { paths, ..config.clone() };
    let used: Vec<PromptVersion> = prompts
        .iter()
        .filter(|prompt| chosen.iter().any(|(_, _, used, _)| used.name == prompt.name))
        .cloned()
        .collect();
    let generator = Generator::new(&aside, &used, Mode::Record, environment)?;
    let mut found = Vec::new();
    for (_, case, prompt, before) in chosen {
        let slot = slot_of(&case.id, prompt);
        let (kind, detail) = match generator.answer(case, prompt, 0).await {
            Err(error) => (DriftKind::Errored, error.to_string()),
            Ok(_) => {
                let after = Store::read_only(scratch.path()).load(&slot).ok().flatten();
                let after = after.and_then(|mut recording| recording.trials.remove(&0)).unwrap_or_default();
                compare(&before, &after)
            }
        };
        found.push(Drift { slot, kind, detail });
    }
    Ok(found)
}

fn compare(before: &[Turn], after: &[Turn]) -> (DriftKind, String) {
    let first_key = |turns: &[Turn]| turns.first().map(|turn| turn.key.clone());
    if first_key(before) != first_key(after) {
        return (DriftKind::Stale, "the request has changed since".to_owned());
    }
    let (Some(old), Some(new)) = (before.last(), after.last()) else {
        return (DriftKind::Errored, "no answer was kept".to_owned());
    };
    let date = old.meta.recorded_at.strftime("%Y-%m-%d");
    let mut changes = Vec::new();
    for (what, old, new) in [
        ("model", &old.reply.model, &new.reply.model),
        ("fingerprint", &old.reply.system_fingerprint, &new.reply.system_fingerprint),
    ] {
        if old != new {
            let shown = |name: &Option<String>| name.clone().unwrap_or_else(|| "unknown".to_owned());
            changes.push(format!("{what} {} -> {}", shown(old), shown(new)));
        }
    }
    let same = old.reply.text == new.reply.text && old.reply.outcome == new.reply.outcome;
    let kind = if same { DriftKind::Same } else { DriftKind::Other };
    (kind, format!("recorded {date}{}", changes.iter().map(|one| format!(", {one}")).collect::<String>()))
}
