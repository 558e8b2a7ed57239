//! The arguments. No clap type goes deeper than `cli`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "assay",
    version,
    about = "Evaluate LLM-drafted dbt models: what the SQL means, whether dbt accepts it, and whether a prompt change helped",
    after_help = "Examples:
  assay run                                       judge every case with every prompt version, from recordings
  assay run --case 'stg_*' --prompt v2            only some of them
  assay run --answers answers.jsonl               judge answers that were made elsewhere
  assay run --answers baseline:golden             calibrate: the goldens must score 100 %
  assay draft request.md                          draft the model that a spec asks for, behind the same checks
  assay diff golden.sql draft.sql                 how two models differ in meaning
  assay doctor                                    what is installed, what is wrong, how to mend it

Exit codes: 0 fine, 1 confirmed regression or below the floor, 2 usage or configuration,
3 could not be judged, 130 interrupted (resumable)."
)]
pub struct Cli {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "assay.toml")]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay cases against prompt versions, judge every answer, write reports.
    Run(Box<RunArgs>),
    /// Two runs against each other, case by case: better, worse, or can't tell.
    Compare(super::commands::compare::CompareArgs),
    /// Make the reports of a run again from its report.json.
    Report(super::commands::report::ReportArgs),
    /// Look at stored exchanges with models and keep them in order.
    Recordings(super::commands::recordings::RecordingsArgs),
    /// Write the form for requests, or report what is wrong with filled-in ones.
    Spec(super::commands::spec::SpecArgs),
    /// The assistant's tools for any other program: models and source columns as JSON.
    Tools(super::commands::tools::ToolsArgs),
    /// Compare models in meaning: files, folders, git revisions, or a file of pairs.
    Diff(Box<crate::cli::commands::diff::DiffArgs>),
    /// Draft the model that a filled-in spec asks for: generate, check, write or commit.
    Draft(super::commands::draft::DraftArgs),
    /// Show which tools are installed, or what a provider honours, and how to mend what is wrong.
    Doctor(super::commands::doctor::DoctorArgs),
    /// Write a commented assay.toml and the folders it names.
    Init(InitArgs),
}

/// Where answers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mode {
    /// Recordings only; a missing or stale one is an error. Needs no key and no network.
    #[default]
    Replay,
    /// Call the model and store every exchange.
    Record,
    /// Replay what is recorded, record what is not.
    Auto,
    /// Call the model, store nothing.
    Live,
}

/// `assay run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  assay run                                    all cases, all prompt versions, from recordings
  assay run --suite shop --tag marts           one CSV file, one tag
  assay run --prompt v1 --prompt v2 --trials 3 --mode record
  assay run --answers drafts.jsonl --no-dbt    judge a file of answers without running dbt
  assay run --baseline latest --mode auto      exit 1 when a prompt version is worse than in the last run
  assay run --engine v2 --audit 10             the Rust dbt, every tenth candidate checked by dbt 1.x
  assay run --shard 1/4 --out reports/shard-1  a quarter of the cases, on one of four machines
  assay run --resume 2026-11-24T09-30-00       finish an interrupted run")]
pub struct RunArgs {
    /// Only cases of this CSV file (its name without `.csv`); repeatable.
    #[arg(long, value_name = "NAME")]
    pub suite: Vec<String>,
    /// Only cases whose id matches (`*` and `?`); repeatable.
    #[arg(long, value_name = "GLOB")]
    pub case: Vec<String>,
    /// Only cases with this tag; repeatable.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// Only this prompt version; repeatable.
    #[arg(long, value_name = "NAME")]
    pub prompt: Vec<String>,
    /// Repeats of each case and prompt version [default: run.trials of the configuration].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub trials: Option<u32>,
    /// Where answers come from.
    #[arg(long, value_enum, default_value_t, conflicts_with = "answers")]
    pub mode: Mode,
    /// Judge the answers of this JSONL file, or of a built-in system: baseline:null, baseline:golden,
    /// baseline:shuffled-golden.
    #[arg(long, value_name = "FILE")]
    pub answers: Option<String>,
    /// Who builds the candidates [default: dbt.engine of the configuration].
    #[arg(long, value_enum, conflicts_with = "no_dbt")]
    pub engine: Option<EngineArg>,
    /// Let another engine judge this share of the candidates too, and report where the two differ.
    #[arg(long, value_name = "PERCENT", conflicts_with = "no_dbt", value_parser = percent)]
    pub audit: Option<f64>,
    /// Candidates under way at a time; how many processes judge them is dbt.workers [default: 16].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Judge part i of n of the cases.
    #[arg(long, value_name = "I/N", value_parser = crate::run::plan::Shard::parse)]
    pub shard: Option<crate::run::plan::Shard>,
    /// Finish an interrupted run: its id, or its folder.
    #[arg(long, value_name = "RUN")]
    pub resume: Option<String>,
    /// Prompt version, or run (id, branch, commit or `latest`), to compare with: exit 1 when one is worse beyond chance.
    #[arg(long, value_name = "RUN|PROMPT")]
    pub baseline: Option<String>,
    /// Run no tool at all: static checks only.
    #[arg(long)]
    pub no_dbt: bool,
    /// Folder for this run's results and reports; the history is left alone [default: reports/runs/ID].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Who builds the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EngineArg {
    /// The cheapest that is right for the project.
    Auto,
    /// dbt compiles in batches, DuckDB executes; what is not simple is left to v1.
    Exec,
    /// dbt-core 1.x in warm processes.
    V1,
    /// dbt-core 2.x, a process for each candidate; installed on first use.
    V2,
    /// Nobody: static checks only.
    None,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 100 is needed".to_owned()),
    }
}

/// `assay init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder to write to.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
}
