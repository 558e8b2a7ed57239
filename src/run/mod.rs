//! Plan, runner, events, resume: drives the line from suite to results.

pub mod answers;
pub mod baseline;
pub mod event;
pub mod keys;
pub mod plan;
pub mod runner;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::check::Judge;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::generate::contract::CONTRACT_JSON;
use crate::generate::request::prompt_hash;
use crate::generate::secrets::Environment;
use crate::generate::{Generator, Mode};
use crate::history::{self, BaselineError, PromptInfo, RunInfo};
use crate::score::{CaseResult, Price};
use crate::suite::{Case, Filter, Suite, prompts};
use crate::tool::{git, sandbox};

use answers::{Answers, BASELINE_PREFIX, Models};
use baseline::Baseline;
use event::Event;
use plan::Shard;
use store::{Manifest, Store};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Request {
    /// Id of the run.
    pub id: String,
    /// When it begins.
    pub started: Timestamp,
    /// Which cases.
    pub filter: Filter,
    /// Which prompt versions; empty: all.
    pub prompts: Vec<String>,
    /// Repeats.
    pub trials: u32,
    /// Where answers come from.
    pub source: Source,
    /// Cells under way at a time, at least 1.
    pub jobs: usize,
    /// Which part of the cases.
    pub shard: Option<Shard>,
    /// What to compare with: a prompt version, or a run of the history.
    pub baseline: Option<String>,
    /// Folder of the run; an earlier, interrupted run of the same plan in it is finished.
    pub folder: PathBuf,
    /// Whether tools may be started; without them the checks are static.
    pub tools: bool,
}

/// Where answers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Answers made elsewhere: a file, or `baseline:NAME`.
    Answers(String),
    /// The prompt versions, from recordings or models.
    Prompts(Mode),
}

/// A run that has come to an end.
#[derive(Debug)]
pub struct Run {
    /// What was run.
    pub info: RunInfo,
    /// Prompt versions, in report order.
    pub prompts: Vec<PromptInfo>,
    /// The cases.
    pub suite: Arc<Suite>,
    /// Results in plan order.
    pub results: Vec<CaseResult>,
    /// Whether it was stopped before the end; it can be resumed.
    pub interrupted: bool,
    /// Whether it belongs into the history: every case, every check, and answers of a prompt version.
    pub is_comparable: bool,
}

/// Loads, plans, judges.
///
/// # Errors
/// All faults of configuration, cases and answers; a run folder that cannot be written.
pub async fn execute(
    config: &Config,
    request: Request,
    events: mpsc::UnboundedSender<Event>,
    stop: watch::Receiver<bool>,
) -> Result<Run, Diagnostics> {
    let suite = Arc::new(Suite::load(config, &request.filter)?);
    for warning in &suite.warnings {
        let _ = events.send(Event::Warning(warning.clone()));
    }
    if matches!(request.source, Source::Prompts(mode) if mode != Mode::Replay) {
        for warning in keys::warnings(&config.root) {
            let _ = events.send(Event::Warning(warning));
        }
    }
    let (answers, prompts) = open_answers(config, &request, &suite)?;
    let prompts = select_prompts(prompts, &request.prompts)?;
    let suite_hash = hash_suite(&suite.cases)?;
    let (baseline, stale) = match &request.baseline {
        Some(wanted) => find_baseline(config, wanted, &prompts, &suite_hash, &events)?,
        None => (None, None),
    };
    let names: Vec<String> = prompts.iter().map(|prompt| prompt.name.clone()).collect();
    let cells = plan::plan(&suite, &names, request.trials, request.shard)?;
    let manifest = Manifest {
        version: store::VERSION,
        fingerprint: fingerprint(config, &request, &suite_hash, &prompts),
        cells: cells.len(),
    };
    let (mut store, finished) = Store::open(&request.folder, &manifest)?;
    let judge = Judge::new(config, &suite.cases, request.tools, |step| {
        let _ = events.send(Event::Preparing(step));
    })
    .await?;
    let versions = judge.versions();
    let answers = Arc::new(answers);
    let is_open = |cell: &&plan::Cell| {
        !finished.contains_key(&(suite.cases[cell.case].id.clone(), cell.prompt.clone(), cell.trial))
    };
    answers.ask_ahead(&suite, cells.iter().filter(is_open));
    let judge = Arc::new(judge);
    let runner = runner::Runner {
        suite: Arc::clone(&suite),
        answers: Arc::clone(&answers),
        judge: Arc::clone(&judge),
        jobs: request.jobs,
        events,
        stop,
    };
    let outcome = runner.run(&cells, finished, &mut store).await.map_err(|error| {
        Diagnostic::new("E_RUN_FOLDER", format!("cannot keep the results: {error}"))
            .at(Place::file(&request.folder))
            .hint("free some space and resume the run")
    })?;
    if !outcome.interrupted {
        answers.finish()?;
    }
    let head = git::head(&config.resolve(Path::new(".")));
    let about_tools = match request.tools {
        // What the system lacks to hold hostile drafts.
        true => sandbox::support().gaps(),
        false => vec!["no tool was run: static checks only".to_owned()],
    };
    let info = RunInfo {
        id: request.id.clone(),
        started: request.started,
        assay: env!("CARGO_PKG_VERSION").to_owned(),
        suite: suite_name(&suite.cases),
        suite_hash,
        mode: match &request.source {
            Source::Answers(source) => source.clone(),
            Source::Prompts(mode) => mode.name().to_owned(),
        },
        complete: !outcome.interrupted && request.shard.is_none(),
        filters: filters(&request),
        versions,
        hashes: [("contract".to_owned(), short_hash(CONTRACT_JSON.as_bytes()))].into(),
        notes: about_tools
            .into_iter()
            .chain(stale)
            .chain(answers.notes())
            .chain(audits(&outcome.results))
            .chain(controls(&judge, &outcome.results))
            .collect(),
        commit: head.as_ref().map(|head| head.commit.clone()),
        branch: head.as_ref().and_then(|head| head.branch.clone()),
        dirty: head.is_some_and(|head| head.dirty),
        baseline,
        ..RunInfo::default()
    };
    let is_comparable =
        info.complete && info.filters.is_empty() && request.tools && !info.mode.starts_with(BASELINE_PREFIX);
    Ok(Run {
        info,
        prompts,
        suite,
        results: outcome.results,
        interrupted: outcome.interrupted,
        is_comparable,
    })
}

fn open_answers(
    config: &Config,
    request: &Request,
    suite: &Suite,
) -> Result<(Answers, Vec<PromptInfo>), Diagnostics> {
    let source = match &request.source {
        Source::Answers(source) => source,
        Source::Prompts(mode) => return open_prompts(config, request, *mode),
    };
    if let Some(name) = source.strip_prefix(BASELINE_PREFIX) {
        let baseline = Baseline::from_name(name).ok_or_else(|| {
            Diagnostic::new("E_BASELINE_UNKNOWN", format!("there is no built-in system `{name}`"))
                .hint("baseline:null, baseline:golden, baseline:shuffled-golden")
        })?;
        let prompt = PromptInfo {
            name: source.clone(),
            provider: "built-in".to_owned(),
            model: baseline.name().to_owned(),
            ..PromptInfo::default()
        };
        return Ok((Answers::Baseline(baseline), vec![prompt]));
    }
    let path = Path::new(source);
    let (answers, prompts) = answers::read_file(path)?;
    answers.check_cases(path, suite)?;
    let infos = prompts
        .into_iter()
        .map(|name| PromptInfo {
            hash: answers.hash_of(&name),
            name,
            provider: "answers".to_owned(),
            model: "unknown".to_owned(),
            ..PromptInfo::default()
        })
        .collect();
    Ok((answers, infos))
}

fn open_prompts(
    config: &Config,
    request: &Request,
    mode: Mode,
) -> Result<(Answers, Vec<PromptInfo>), Diagnostics> {
    let prompts = prompts::load(config, &request.prompts)?;
    let generator = Generator::new(config, &prompts, mode, &Environment::load(&config.root))?;
    let infos = prompts
        .iter()
        .map(|prompt| PromptInfo {
            name: prompt.name.clone(),
            description: Some(prompt.description.clone()).filter(|text| !text.is_empty()),
            provider: prompt.provider.clone(),
            model: prompt.model.clone(),
            hash: prompt_hash(prompt),
            price: config.prices.get(&prompt.model).map(|price| Price {
                input: price.input,
                cached_input: price.cached_input,
                output: price.output,
            }),
        })
        .collect();
    Ok((Answers::Models(Models::new(generator, prompts)), infos))
}

fn select_prompts(known: Vec<PromptInfo>, wanted: &[String]) -> Result<Vec<PromptInfo>, Diagnostics> {
    if wanted.is_empty() {
        return Ok(known);
    }
    let mut faults = Diagnostics::default();
    for name in wanted.iter().filter(|name| !known.iter().any(|prompt| prompt.name == **name)) {
        let names: Vec<&str> = known.iter().map(|prompt| prompt.name.as_str()).collect();
        faults.push(
            Diagnostic::new("E_PROMPT_UNKNOWN", format!("prompt version `{name}` is unknown"))
                .hint(format!("prompt versions: {}", names.join(", "))),
        );
    }
    faults.into_result(known.into_iter().filter(|prompt| wanted.contains(&prompt.name)).collect())
}

/// What `wanted` names: a prompt version of this run, else the id of an earlier run, with a note where that run judged
/// other cases. `latest` with an empty history is nothing yet: a first run must not fail.
fn find_baseline(
    config: &Config,
    wanted: &str,
    prompts: &[PromptInfo],
    suite_hash: &str,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(Option<String>, Option<String>), Diagnostics> {
    if prompts.iter().any(|prompt| prompt.name == wanted) {
        return Ok((Some(wanted.to_owned()), None));
    }
    let path = config.history();
    let fault = |code, message: String| Diagnostic::new(code, message).at(Place::file(&path));
    let known = history::load(&path).map_err(|error| fault("E_HISTORY", error.to_string()))?;
    match history::find_baseline(&known.records, wanted) {
        Ok(records) => {
            let record = records.first();
            let stale = record.filter(|record| record.suite_hash != suite_hash).map(|record| {
                format!("the baseline run {} judged other cases, specs, goldens or projects", record.run)
            });
            Ok((record.map(|record| record.run.clone()), stale))
        }
        Err(BaselineError::Empty) if wanted == "latest" => {
            let warning = fault("E_BASELINE_NONE", BaselineError::Empty.to_string())
                .hint("this run becomes the first one; nothing is compared");
            let _ = events.send(Event::Warning(warning));
            Ok((None, None))
        }
        Err(error) => {
            let names: Vec<&str> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
            Err(fault("E_BASELINE_UNKNOWN", error.to_string())
                .hint(format!("or name a prompt version: {}", names.join(", ")))
                .into())
        }
    }
}

/// Cases that cannot tell right from wrong: the golden does not pass what it is to decide, or a model without rows would.
fn controls(judge: &Judge, results: &[CaseResult]) -> Vec<String> {
    let named = judge.faulty_goldens();
    let mut notes: Vec<String> =
        named.iter().map(|(case, why)| format!("the golden of `{case}` is no control: {why}")).collect();
    let empty: BTreeSet<&str> = results
        .iter()
        .filter(|result| {
            result
                .checks
                .iter()
                .flat_map(|check| &check.findings)
                .any(|finding| finding.class == "golden_empty")
        })
        .map(|result| result.case.as_str())
        .collect();
    notes.extend(empty.iter().map(|case| format!("the golden of `{case}` is no control: it has no rows")));
    notes
}

/// What a reader of the report has to know about the second engine, where one was asked.
fn audits(results: &[CaseResult]) -> Option<String> {
    let audits: Vec<_> = results.iter().filter_map(|result| result.audit.as_ref()).collect();
    let differ = audits.iter().filter(|audit| !audit.disagreements.is_empty()).count();
    let (audited, all) = (audits.len(), results.len());
    (audited > 0)
        .then(|| format!("a second engine judged {audited} of {all} results too, and disagrees on {differ}"))
}

/// Everything that decides a result, so that a resumed run cannot mix two judges or two suites.
fn fingerprint(config: &Config, request: &Request, suite_hash: &str, prompts: &[PromptInfo]) -> String {
    let prompts: Vec<(&str, &str)> = prompts.iter().map(|p| (p.name.as_str(), p.hash.as_str())).collect();
    let shard = request.shard.map(|shard| shard.to_string());
    let text = format!(
        "{} {suite_hash} {prompts:?} {:?} {} {shard:?} {:?} {:?} {}",
        env!("CARGO_PKG_VERSION"),
        request.source,
        request.trials,
        config.checks,
        config.dbt,
        request.tools
    );
    short_hash(text.as_bytes())
}

/// A hash over cases, specs, goldens and dbt projects: two runs with the same one judged the same thing.
fn hash_suite(cases: &[Case]) -> Result<String, Diagnostics> {
    let mut hasher = blake3::Hasher::new();
    let projects: BTreeMap<_, _> = cases.iter().map(|case| (case.project.id(), &case.project)).collect();
    for (project, dbt) in projects.values().flat_map(|project| {
        let other = project.datasets.iter().map(|(_, dbt)| dbt);
        std::iter::once(&project.dbt).chain(other).map(move |dbt| (project, dbt))
    }) {
        let hash = dbt.hash().map_err(|error| {
            Diagnostic::new("E_PROJECT_READ", error.to_string()).at(Place::file(&project.path))
        })?;
        hasher.update(hash.as_bytes());
    }
    for case in cases {
        let text = format!(
            "{:?}",
            (
                (&case.id, &case.spec.text, &case.model, &case.project.name, &case.golden.sql),
                (&case.golden.yaml.as_ref().map(|(_, text)| text), &case.golden.unit_tests),
                (&case.target_sql, &case.target_yaml),
                (&case.approved, &case.required_tests, &case.grain, &case.materialized, &case.pii),
                (case.dialect, case.weight.to_bits(), &case.project.as_of),
            )
        );
        hasher.update(text.as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

fn short_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// The names of the CSV files, joined by `+`.
fn suite_name(cases: &[Case]) -> String {
    let mut names: Vec<String> = Vec::new();
    for case in cases {
        let name = case.place.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join("+")
}

fn filters(request: &Request) -> Vec<String> {
    let named = |key: &str, values: &[String]| {
        values.iter().map(|value| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let mut filters = named("suite", &request.filter.suites);
    filters.extend(named("case", &request.filter.cases));
    filters.extend(named("tag", &request.filter.tags));
    filters.extend(named("prompt", &request.prompts));
    filters.extend(request.shard.map(|shard| format!("shard={shard}")));
    filters
}
