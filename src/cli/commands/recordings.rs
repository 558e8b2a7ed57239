//! `assay recordings`: look at stored exchanges and keep them in order.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::generate::drift::{Drift, DriftKind, drift};
use crate::generate::recordings::{self, Listed, Slot, Store};
use crate::generate::secrets::Environment;
use crate::generate::slot_of;
use crate::suite::{DRAFT_PREFIX, Filter, Suite, matches_glob, prompts};

/// `assay recordings`.
#[derive(Debug, Args)]
pub struct RecordingsArgs {
    #[command(subcommand)]
    command: RecordingsCommand,
}

#[derive(Debug, Subcommand)]
enum RecordingsCommand {
    /// One line a recording: prompt version, model, case, trials, when.
    List(Which),
    /// The whole recordings as JSON, one a line.
    Show(Which),
    /// Remove recordings of cases and prompt versions that are not there any more; drafts stay as long as their prompt version.
    Prune {
        /// Only say which.
        #[arg(long)]
        dry_run: bool,
    },
    /// Put single files into a few sorted JSONL files; for suites of many thousand cases.
    Pack,
    /// Check every file: readable, in its place, with turns that lead to an end.
    #[command(after_help = "Examples:
  assay recordings verify                      every file
  assay recordings verify --max-age 30         and which recordings are older than 30 days
  assay recordings verify --sample 5           and ask for five of them again: does the model still answer so?")]
    Verify {
        /// Ask the model for this many recordings again and compare; needs the key, and costs what the calls cost.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
        sample: Option<u16>,
        /// Name recordings that are older than this many days.
        #[arg(long, value_name = "DAYS")]
        max_age: Option<u16>,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// Only cases whose id matches (`*` and `?`).
    #[arg(value_name = "GLOB", default_value = "*")]
    case: String,
    /// Only this prompt version.
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
}

impl Which {
    fn wants(&self, slot: &Slot) -> bool {
        matches_glob(&self.case, &slot.case) && self.prompt.as_ref().is_none_or(|name| *name == slot.prompt)
    }
}

/// Runs the command.
///
/// # Errors
/// Files that are not recordings or cannot be changed; faults in the suite when it is needed.
pub fn run(config: &Path, args: &RecordingsArgs) -> anyhow::Result<Exit> {
    let config = Config::load(Some(config))?;
    let root = config.resolve(&config.paths.recordings);
    match &args.command {
        RecordingsCommand::List(which) => {
            let listed = recordings::list(&root)?;
            let wanted: Vec<&Listed> = listed.iter().filter(|one| which.wants(&one.slot)).collect();
            wanted.iter().for_each(|one| output::data(&line(one)));
            output::talk(&format!("{} recordings", wanted.len()));
            Ok(if wanted.is_empty() { Exit::Usage } else { Exit::Fine })
        }
        RecordingsCommand::Show(which) => {
            let store = Store::read_only(&root);
            let mut shown = 0;
            for one in recordings::list(&root)?.iter().filter(|one| which.wants(&one.slot)) {
                if let Some(recording) = store.load(&one.slot)? {
                    output::data(&recordings::to_json(&recording).to_string());
                    shown += 1;
                }
            }
            if shown == 0 {
                output::talk("nothing is recorded for that");
            }
            Ok(if shown == 0 { Exit::Usage } else { Exit::Fine })
        }
        RecordingsCommand::Prune { dry_run } => {
            let suite = Suite::load(&config, &Filter::default())?;
            let versions = prompts::load(&config, &[])?;
            let cases: BTreeSet<&str> = suite.cases.iter().map(|case| case.id.as_str()).collect();
            let is_used = |slot: &Slot| {
                (cases.contains(slot.case.as_str()) || slot.case.starts_with(DRAFT_PREFIX))
                    && versions.iter().any(|prompt| slot_of(&slot.case, prompt) == *slot)
            };
            let removed = recordings::prune(&root, is_used, *dry_run)?;
            for slot in &removed {
                output::data(&slot.path().display().to_string());
            }
            let verb = if *dry_run { "would be removed" } else { "removed" };
            output::talk(&format!("{} recordings {verb}", removed.len()));
            Ok(Exit::Fine)
        }
        RecordingsCommand::Pack => {
            let report = recordings::pack(&root)?;
            output::talk(&format!("{} recordings in {} packs", report.recordings, report.packs));
            Ok(Exit::Fine)
        }
        RecordingsCommand::Verify { sample, max_age } => {
            let (count, faults) = recordings::verify(&root);
            for fault in &faults {
                output::data(&format!("{}: {}", fault.path.display(), fault.message));
            }
            output::talk(&format!("{count} recordings, {} faults", faults.len()));
            if !faults.is_empty() {
                return Ok(Exit::Usage);
            }
            if let Some(days) = max_age {
                old(&recordings::list(&root)?, *days);
            }
            sample.map_or(Ok(Exit::Fine), |sample| again(&config, usize::from(sample)))
        }
    }
}

/// Names recordings that are older than so many days.
fn old(listed: &[Listed], days: u16) {
    #[expect(clippy::disallowed_methods, reason = "an age is measured from now")]
    let limit = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * i64::from(days));
    let is_old = |one: &&Listed| one.recorded.is_some_and(|(oldest, _)| oldest < limit);
    let old: Vec<&Listed> = listed.iter().filter(is_old).collect();
    old.iter().for_each(|one| output::data(&format!("old\t{}", line(one))));
    output::talk(&format!("{} older than {days} days", old.len()));
}

/// Asks for some recordings again and shows how the answers stand to the recorded ones.
fn again(config: &Config, sample: usize) -> anyhow::Result<Exit> {
    let suite = Suite::load(config, &Filter::default())?;
    let versions = prompts::load(config, &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let environment = Environment::load(&config.root);
    let found = runtime.block_on(drift(config, &environment, &suite.cases, &versions, sample))?;
    for Drift { slot, kind, detail } in &found {
        output::data(&format!("{}\t{}\t{}\t{detail}", kind.name(), slot.prompt, slot.case));
    }
    let count = |kind: DriftKind| found.iter().filter(|one| one.kind == kind).count();
    output::talk(&format!(
        "{} asked again: {} the same, {} other, {} stale, {} errored",
        found.len(),
        count(DriftKind::Same),
        count(DriftKind::Other),
        count(DriftKind::Stale),
        count(DriftKind::Errored)
    ));
    Ok(if count(DriftKind::Errored) > 0 { Exit::Undecided } else { Exit::Fine })
}

fn line(one: &Listed) -> String {
    let Slot { prompt, provider, model, case } = &one.slot;
    let when = one.recorded.map_or_else(String::new, |(_, newest)| newest.strftime("%Y-%m-%d").to_string());
    let answered: Vec<&str> = one.models.iter().map(String::as_str).filter(|name| name != model).collect();
    let by = if answered.is_empty() { String::new() } else { format!(" ({})", answered.join(", ")) };
    format!("{prompt}\t{provider}/{model}{by}\t{case}\t{} trials\t{when}", one.trials)
}
