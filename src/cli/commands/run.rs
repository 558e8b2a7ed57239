//! `assay run`: judge, write the reports, say what came out.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cli::args::{EngineArg, Mode, RunArgs};
use crate::cli::exit::Exit;
use crate::cli::{output, progress};
use crate::config::{Config, EngineChoice};
use crate::diagnostic::{Diagnostic, Place};
use crate::generate;
use crate::generate::profile::all_secrets;
use crate::generate::secrets::Environment;
use crate::history;
use crate::report::{CaseInfo, CaseRow, Report, terminal, words};
use crate::run::{self, Request, Run, Source};
use crate::suite::{Case, Filter};

/// Runs the line and writes `report.json`, `report.html`, `junit.xml` and `summary.md` into the run's folder.
///
/// # Errors
/// Faults in what was given, and files that cannot be written.
pub fn run(config: &Config, args: &RunArgs) -> anyhow::Result<Exit> {
    let mut config = config.clone();
    if let Some(engine) = args.engine {
        config.dbt.engine = match engine {
            EngineArg::Auto => EngineChoice::Auto,
            EngineArg::Exec => EngineChoice::Exec,
            EngineArg::V1 => EngineChoice::V1,
            EngineArg::V2 => EngineChoice::V2,
            EngineArg::None => EngineChoice::None,
        };
    }
    config.dbt.audit_percent = args.audit.unwrap_or(config.dbt.audit_percent);
    let config = &config;
    let request = request(config, args)?;
    let folder = request.folder.clone();
    let resume = resume_command(&folder, std::env::args_os());
    let started = std::time::Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let mut run = runtime.block_on(async {
        let (events, received) = mpsc::unbounded_channel();
        let (stopper, stop) = watch::channel(false);
        let display = tokio::spawn(progress::show(received));
        let signals = tokio::spawn(watch_signals(stopper));
        let run = run::execute(config, request, events, stop).await;
        signals.abort();
        let _ = display.await;
        run
    })?;
    run.info.seconds = started.elapsed().as_secs_f64();
    if run.interrupted {
        output::talk(&format!("{} results are kept; finish with:\n  {resume}", run.results.len()));
        return Ok(Exit::Interrupted);
    }
    show_disagreements(&run);
    let report = record(config, run, is_own_place(config, &folder))?;
    let secrets = all_secrets(config, &Environment::load(&config.root));
    super::report::write(&folder, "report.json", &report.to_json(), &secrets)?;
    super::report::render(&folder, &report, &secrets)?;
    let html = folder.join("report.html").display().to_string();
    output::data(&terminal::summary(&report, output::width(), Some(&html)));
    Ok(verdict(config, &report))
}

fn request(config: &Config, args: &RunArgs) -> anyhow::Result<Request> {
    let started = now();
    let runs = config.resolve(&config.paths.reports).join("runs");
    let (id, folder) = match (&args.resume, &args.out) {
        (Some(resume), _) => {
            let named = Path::new(resume);
            let folder = if named.is_dir() { named.to_path_buf() } else { runs.join(resume) };
            if !folder.join("manifest.json").is_file() {
                return Err(crate::diagnostic::Diagnostics::from(
                    Diagnostic::new("E_RUN_UNKNOWN", format!("there is no run `{resume}` to resume"))
                        .at(Place::file(&folder)),
                )
                .into());
            }
            (folder.file_name().unwrap_or_default().to_string_lossy().into_owned(), folder)
        }
        (None, Some(out)) => (new_id(started), out.clone()),
        (None, None) => {
            let id = new_id(started);
            let folder = runs.join(&id);
            (id, folder)
        }
    };
    let source = match (&args.answers, args.mode) {
        (Some(answers), _) => Source::Answers(answers.clone()),
        (None, Mode::Replay) => Source::Prompts(generate::Mode::Replay),
        (None, Mode::Record) => Source::Prompts(generate::Mode::Record),
        (None, Mode::Auto) => Source::Prompts(generate::Mode::Auto),
        (None, Mode::Live) => Source::Prompts(generate::Mode::Live),
    };
    let configured = Some(&config.run.baseline).filter(|name| !name.is_empty());
    Ok(Request {
        id,
        baseline: args.baseline.as_ref().or(configured).cloned(),
        started,
        filter: Filter { suites: args.suite.clone(), cases: args.case.clone(), tags: args.tag.clone() },
        prompts: args.prompt.clone(),
        trials: args.trials.unwrap_or(config.run.trials),
        source,
        jobs: args.jobs.map_or(config.run.jobs, usize::from),
        shard: args.shard,
        folder,
        tools: !args.no_dbt,
    })
}

#[expect(clippy::disallowed_methods, reason = "a run begins now; everything below is told the time")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Sortable by time, and unique to the millisecond.
fn new_id(started: Timestamp) -> String {
    started.strftime("%Y-%m-%dT%H-%M-%S-%3f").to_string()
}

/// Where two engines differ, one of them is wrong: that is said at once.
fn show_disagreements(run: &Run) {
    for result in &run.results {
        let Some(audit) = &result.audit else { continue };
        let judge = result.engine.as_deref().unwrap_or("none");
        for differs in &audit.disagreements {
            output::talk(&format!(
                "engines disagree on {} of {} {} #{}: {judge} says {}, {} says {}",
                differs.check,
                result.case,
                result.prompt,
                result.trial,
                differs.judged,
                audit.engine,
                differs.other
            ));
        }
    }
}

/// The command that finishes a run: what was given, with the run's folder instead of a new one.
fn resume_command(folder: &Path, given: impl Iterator<Item = OsString>) -> String {
    let mut words = vec!["assay".to_owned()];
    let mut given = given.skip(1).map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = given.next() {
        match word.as_str() {
            "--out" | "--resume" => drop(given.next()),
            _ if word.starts_with("--out=") || word.starts_with("--resume=") => {}
            _ => words.push(word),
        }
    }
    words.extend(["--resume".to_owned(), folder.display().to_string()]);
    output::shell(&words)
}

/// The first Ctrl-C (or SIGTERM, as a CI job that is cancelled sends) lets what is under way finish, the second ends the
/// process at once.
async fn watch_signals(stopper: watch::Sender<bool>) {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    let mut asked = false;
    loop {
        tokio::select! {
            asked = tokio::signal::ctrl_c() => if asked.is_err() { return },
            _ = terminate.recv() => {}
        }
        if asked {
            #[expect(clippy::disallowed_methods, clippy::exit, reason = "the second Ctrl-C means at once")]
            std::process::exit(Exit::Interrupted.code().into());
        }
        asked = true;
        let _ = stopper.send(true);
    }
}

/// Whether the run's folder is where runs are kept: one that was put elsewhere stays apart when it is taken up again, too.
fn is_own_place(config: &Config, folder: &Path) -> bool {
    let runs = fs_err::canonicalize(config.resolve(&config.paths.reports).join("runs")).ok();
    let folder = fs_err::canonicalize(folder).ok();
    runs.is_some() && folder.as_deref().and_then(Path::parent) == runs.as_deref()
}

/// Adds the run to the history, where it belongs there, and builds its report. A run that was put elsewhere (`--out`) leaves
/// the history alone.
fn record(config: &Config, run: Run, own_place: bool) -> anyhow::Result<Report> {
    let path = config.history();
    if run.is_comparable && own_place {
        let records = history::HistoryRecord::from_run(&run.info, &run.prompts, &run.results);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        history::append(&path, &records).context("failed to add to the history")?;
    }
    let known = history::load(&path).context("failed to read the history")?;
    let cases = run.suite.cases.iter().map(case_info).collect();
    Ok(Report::new(run.info, run.prompts, cases, run.results, &known.records))
}

fn case_info(case: &Case) -> CaseInfo {
    CaseInfo {
        id: case.id.clone(),
        title: case.spec.point(crate::suite::spec::Point::BusinessQuestion).to_owned(),
        project: case.project.name.clone(),
        model: case.model.clone(),
        tags: case.tags.clone(),
        cluster: case.cluster.clone(),
        spec: case.spec.text.clone(),
        golden_sql: case.golden.sql.clone(),
        golden_yaml: case.golden.yaml.as_ref().map(|(_, text)| text.clone()),
        row: case
            .place
            .line
            .map(|line| CaseRow { file: case.place.path.display().to_string(), line: line as u64 }),
        ..CaseInfo::default()
    }
}

/// The exit code, with the reason on standard error when it is not 0.
fn verdict(config: &Config, report: &Report) -> Exit {
    let tally = report.tally();
    let judged = tally.passed + tally.failed;
    let undecided = tally.errored as f64 / (judged + tally.errored).max(1) as f64;
    if judged == 0 || undecided > config.run.max_errored {
        output::talk(&format!(
            "could not be judged: {} of {} results errored or were skipped",
            tally.errored + tally.skipped,
            tally.total()
        ));
        return Exit::Undecided;
    }
    let regressions = report.regressions();
    if !regressions.is_empty() {
        for comparison in regressions {
            output::talk(&format!("regression: {}", words::comparison(comparison)));
        }
        return Exit::Regression;
    }
    let best = report.prompts.iter().filter_map(|prompt| prompt.pass_rate).fold(0.0_f64, f64::max);
    if best < config.run.floor {
        output::talk(&format!(
            "below the floor: the best prompt version passes {:.1} %, run.floor asks for {:.1} %",
            best * 100.0,
            config.run.floor * 100.0
        ));
        return Exit::Regression;
    }
    Exit::Fine
}
