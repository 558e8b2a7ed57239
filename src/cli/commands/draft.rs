//! `assay draft`: from a filled-in spec to a model in the dbt project, or on a branch of its own.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use console::Style;

use crate::check::Outcome;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::diagnostic::Diagnostics;
use crate::draft::{DraftError, Drafted, Ending, Order, Plan, exists};
use crate::generate::{ErrorClass, Mode};
use crate::run::keys;

/// `assay draft`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  assay draft request.md                       draft, check, write into the dbt project
  assay draft request.md --commit              commit to the branch assist/MODEL; the work tree stays as it is
  assay draft request.md --from-recording      the recorded answer again: no key, no network
  assay draft evals/specs/stg_fares.md --prompt v2-two-shot --from-recording=stg_fares

Exit codes: 0 all checks pass, 1 a check fails, 2 usage or configuration, 3 no answer or a check could not be run.")]
pub struct DraftArgs {
    /// The filled-in spec; `assay spec new` writes the form.
    #[arg(value_name = "SPEC")]
    spec: PathBuf,
    /// Prompt version [default: draft.prompt of the configuration, else the only one].
    #[arg(long, value_name = "NAME")]
    prompt: Option<String>,
    /// dbt project: a name of the configuration [default: the first].
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Folder of the model in the project [default: where the model is, else the first model path].
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Use the recorded answer, this draft's own or that of a case.
    #[arg(long, value_name = "CASE", num_args = 0..=1, require_equals = true)]
    from_recording: Option<Option<String>>,
    /// Commit to the branch assist/MODEL and leave the work tree alone; only if every check passes.
    #[arg(long, conflicts_with = "no_dbt")]
    commit: bool,
    /// Replace files that exist, go on from a branch that exists.
    #[arg(long)]
    force: bool,
    /// Run no tool at all: no fixes, static checks only.
    #[arg(long)]
    no_dbt: bool,
    /// File for the pull request's text [default: .assay/drafts/MODEL.md].
    #[arg(long, value_name = "FILE")]
    pull_request: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Drafts and shows what came of it.
///
/// # Errors
/// Faults in what was given, and files that cannot be written.
pub fn run(config: &Path, args: &DraftArgs) -> anyhow::Result<Exit> {
    let config = Config::load(Some(config))?;
    let order = Order {
        spec: args.spec.clone(),
        prompt: args.prompt.clone(),
        project: args.project.clone(),
        folder: args.folder.clone(),
        mode: if args.from_recording.is_some() { Mode::Replay } else { Mode::Record },
        recording: args.from_recording.clone().flatten(),
        tools: !args.no_dbt,
        commit: args.commit,
        force: args.force,
        pull_request: args.pull_request.clone(),
    };
    if order.mode != Mode::Replay {
        keys::warnings(&config.root).iter().for_each(output::warning);
    }
    let mut plan = Plan::new(&config, order)?;
    plan.warnings.iter().for_each(output::warning);
    if plan.must_ask() {
        if !may_replace(&plan) {
            let mut faults = Diagnostics::default();
            plan.existing.iter().for_each(|path| faults.push(exists(&plan.root().join(path))));
            return Err(faults.into());
        }
        plan = plan.replacing();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    match runtime.block_on(plan.make(&config, |step| output::talk(&step.text))) {
        Ok(drafted) => {
            if args.json {
                output::data(&serde_json::to_string(&drafted).context("failed to write JSON")?);
            } else {
                output::data(&screen(&drafted));
            }
            Ok(exit(&drafted))
        }
        Err(DraftError::Faults(faults)) => Err(faults.into()),
        Err(DraftError::Answer(error)) => {
            output::talk(&format!("error: no answer: {error}"));
            Ok(match error.class {
                ErrorClass::Config | ErrorClass::Auth | ErrorClass::Quota => Exit::Usage,
                _ => Exit::Undecided,
            })
        }
    }
}

/// Asks on a terminal; elsewhere nobody can agree.
fn may_replace(plan: &Plan) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    plan.existing.iter().for_each(|path| output::talk(&plan.root().join(path).display().to_string()));
    output::talk("these files exist already; replace them? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn exit(drafted: &Drafted) -> Exit {
    if drafted.has(Outcome::Failed) {
        Exit::Regression
    } else if drafted.has(Outcome::Errored) {
        Exit::Undecided
    } else {
        Exit::Fine
    }
}

/// Findings shown of one check.
const SHOWN: usize = 5;

fn screen(drafted: &Drafted) -> String {
    let mut out = format!("{} by {}\n\n", drafted.model, drafted.prompt);
    let fix = &drafted.fix;
    match (&fix.refused, fix.summary()) {
        (Some(why), _) => out.push_str(&line("fix", Outcome::Skipped, fix.seconds, why)),
        (None, Some(summary)) => out.push_str(&line("fix", Outcome::Passed, fix.seconds, &summary)),
        (None, None) => {}
    }
    for result in &drafted.checks {
        let mut findings = result.findings.iter().map(|finding| match &finding.place {
            Some(place) => format!("{place}: {}", finding.message),
            None => finding.message.clone(),
        });
        let first = findings.next().unwrap_or_default();
        out.push_str(&line(result.check.name(), result.outcome, result.seconds, &first));
        findings.take(SHOWN - 1).for_each(|finding| out.push_str(&indented(&finding)));
        let more = result.findings.len().saturating_sub(SHOWN);
        if more > 0 {
            out.push_str(&indented(&format!("and {more} more")));
        }
    }
    out.push('\n');
    for file in &drafted.files {
        out.push_str(&format!("  {:<9} {}\n", file.change, drafted.project.join(&file.path).display()));
    }
    if !drafted.files.is_empty() {
        out.push('\n');
    }
    out.push_str(&match &drafted.ending {
        Ending::Written => "written; review the diff before you commit it\n".to_owned(),
        Ending::Committed { branch, commit } => {
            format!(
                "committed to {branch} ({}); the work tree is as it was\n",
                &commit[..commit.len().min(10)]
            )
        }
        Ending::NotCommitted => "written, but not committed: a check did not pass\n".to_owned(),
        Ending::Refused => {
            "nothing was written: a draft that fails contract, name, safety or sources is not for the project\n"
                .to_owned()
        }
    });
    if let Some(path) = &drafted.pull_request {
        out.push_str(&format!("pull request text: {}\n", path.display()));
    }
    for note in &drafted.review_notes {
        out.push_str(&format!("note: {}\n", one_line(note)));
    }
    out
}

fn line(name: &str, outcome: Outcome, seconds: f64, finding: &str) -> String {
    let (word, style) = match outcome {
        Outcome::Passed => ("passed", Style::new().green()),
        Outcome::Failed => ("failed", Style::new().red()),
        Outcome::Skipped => ("skipped", Style::new().dim()),
        Outcome::Errored => ("errored", Style::new().yellow()),
    };
    let seconds = if seconds > 0.0 { format!("{seconds:.2} s") } else { String::new() };
    let word = style.apply_to(format!("{word:<7}"));
    let text = format!("  {word} {name:<15} {seconds:>8}  {}", one_line(finding));
    format!("{}\n", text.trim_end())
}

fn indented(text: &str) -> String {
    format!("{:36}{}\n", "", one_line(text))
}

/// Model output on a terminal: one line, nothing that a terminal obeys.
fn one_line(text: &str) -> String {
    crate::report::visible(text.trim()).replace(['\n', '\t'], " ")
}
