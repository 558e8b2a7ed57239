//! `assay diff`: how two models differ in meaning.

mod inputs;
mod pairs;
mod project;
mod text;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::check::golden::{self, GoldenOptions};
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::report::{Compared, comparisons_to_html};
use crate::sql::compare::Contract;
use crate::sql::verdict::{Comparison, Method, Verdict};
use crate::sql::{Dialect, Schema, jinja, model::Model};
use crate::tool::duckdb::{Pool, SessionLimits};
use crate::tool::environment::{self, Existing};
use crate::tool::state;

/// `assay diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  assay diff --rev main..HEAD models/                      in a dbt project: what a branch changes, in meaning
  assay diff golden.sql draft.sql --project shop           two files that belong to a project of assay.toml
  assay diff goldens/ drafts/ --schema schema.json         two folders, by file name
  assay diff --pairs pairs.jsonl --json                    many pairs, one JSON object a line in and out
  assay diff a.sql b.sql --repro repro/                    write a DuckDB script that shows the difference

Exit codes: 0 all the same, 1 some differ, 3 some could not be decided, 2 wrong usage.")]
pub struct DiffArgs {
    /// The golden and the candidate: two files or two folders; with --rev, paths to look at.
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Compare the .sql files that changed between two git revisions.
    #[arg(long, value_name = "A..B", conflicts_with = "pairs")]
    pub rev: Option<String>,
    /// Compare the pairs of this file, one JSON object a line: {"id", "dialect", "schema", "contract", "sql_a", "sql_b"}.
    #[arg(long, value_name = "FILE", conflicts_with = "paths", requires = "json")]
    pub pairs: Option<PathBuf>,
    /// Write one JSON object a pair.
    #[arg(long)]
    pub json: bool,
    /// Write an HTML page as well.
    #[arg(long, value_name = "FILE", conflicts_with = "pairs")]
    pub html: Option<PathBuf>,
    /// Write a DuckDB script for each counterexample into this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "pairs")]
    pub repro: Option<PathBuf>,
    /// The dbt project that the models belong to, a name in the configuration or a folder: its YAML says what the tables are,
    /// its catalog (`dbt docs generate`) or an earlier `assay run` which columns they have [default: the project that the
    /// files lie in].
    #[arg(long, value_name = "NAME|DIR", conflicts_with = "pairs")]
    pub project: Option<String>,
    /// Tables, types and keys that are not in the project: {"tables": {"t": {"columns": {"c": {"type": "VARCHAR"}}, ...}}}.
    #[arg(long, value_name = "FILE", conflicts_with = "pairs")]
    pub schema: Option<PathBuf>,
    /// The dialect of both sides, as dbt adapters name it [default: the project's in the configuration, else duckdb].
    #[arg(long, value_name = "NAME", value_parser = dialect)]
    pub dialect: Option<Dialect>,
    /// How output columns are matched.
    #[arg(long, value_enum, default_value_t)]
    pub contract: ContractArg,
    /// The duckdb command to search for rows with [default: that of assay's tools environment, when it is there].
    #[arg(long, value_name = "PATH")]
    pub duckdb: Option<PathBuf>,
}

/// How output columns are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ContractArg {
    /// By name, in any order: what a dbt model promises.
    #[default]
    Name,
    /// By position; names do not matter.
    Position,
}

fn dialect(name: &str) -> Result<Dialect, String> {
    Dialect::from_name(name).ok_or_else(|| {
        "expected duckdb, snowflake, bigquery, redshift, databricks, postgres or generic".to_owned()
    })
}

/// How many pairs have which verdict.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    differ: usize,
    unknown: usize,
}

impl Tally {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Identical | Verdict::Equivalent | Verdict::Agrees => self.same += 1,
            Verdict::Differs => self.differ += 1,
            Verdict::Unknown => self.unknown += 1,
        }
    }

    fn exit(&self) -> Exit {
        if self.differ > 0 {
            Exit::Regression
        } else if self.unknown > 0 {
            Exit::Undecided
        } else {
            Exit::Fine
        }
    }
}

/// Compares and prints. `config` is the configuration file, which need not exist.
///
/// # Errors
/// Files that cannot be read, wrong usage.
pub fn run(config: &Path, args: &DiffArgs) -> anyhow::Result<Exit> {
    let config = if config.is_file() { Config::load(Some(config))? } else { Config::default() };
    let known = match args.pairs {
        Some(_) => None,
        None => project::find(&config, args.project.as_deref(), &args.paths)?,
    };
    let options = GoldenOptions {
        dialect: args.dialect.or(known.as_ref().and_then(|known| known.dialect)).unwrap_or_default(),
        contract: match args.contract {
            ContractArg::Name => Contract::Name,
            ContractArg::Position => Contract::Position,
        },
        // A file of pairs says all that is known; beside files on disk there may be no schema at all.
        assume: args.pairs.is_none(),
        ..GoldenOptions::default()
    };
    let pool = duckdb(&config, args)?.map(|path| {
        let size = std::thread::available_parallelism().map_or(2, usize::from);
        Pool::new(path, &SessionLimits::default(), size)
    });
    if pool.is_none() {
        output::talk("hint: no duckdb command is at hand, so only proofs are tried; name one with --duckdb");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start")?;
    if let Some(pairs) = &args.pairs {
        return Ok(runtime.block_on(pairs::run(pairs, &options, pool.as_ref()))?.exit());
    }
    let items = match (&args.rev, args.paths.as_slice()) {
        (Some(range), paths) => inputs::from_revisions(range, paths)?,
        (None, [golden, candidate]) => inputs::from_paths(golden, candidate)?,
        (None, _) => bail!("two files or two folders are needed, or --rev, or --pairs"),
    };
    let mut schema = known.as_ref().map(|known| known.schema.clone()).unwrap_or_default();
    if let Some(path) = &args.schema {
        let text = fs_err::read_to_string(path).context("failed to read the schema")?;
        let own: Schema =
            serde_json::from_str(&text).with_context(|| format!("failed to read {}", path.display()))?;
        schema.tables.extend(own.tables);
    }
    let vars = known.as_ref().map(|known| known.project.vars()).unwrap_or_default();
    if items.is_empty() {
        output::talk("no .sql file changed");
    }
    let mut tally = Tally::default();
    let mut results = Vec::new();
    for item in items {
        let comparison = match (&item.golden, &item.candidate) {
            (Some(golden), Some(candidate)) => {
                let context = jinja::Context {
                    vars: vars.clone(),
                    ..jinja::Context::new(options.dialect, &item.model())
                };
                match (Model::read(golden, &context), Model::read(candidate, &context)) {
                    (Ok(golden), Ok(candidate)) => runtime.block_on(golden::judge_models(
                        &golden,
                        &candidate,
                        &schema,
                        &options,
                        pool.as_ref(),
                    )),
                    (Err(fault), _) => unreadable("golden", &fault),
                    (_, Err(fault)) => unreadable("candidate", &fault),
                }
            }
            (Some(_), None) => missing("the candidate side has no such file"),
            _ => missing("the golden side has no such file"),
        };
        tally.count(comparison.verdict);
        let compared =
            Compared { name: item.name, golden: item.golden, candidate: item.candidate, comparison };
        show(args, &compared)?;
        results.push(compared);
    }
    if let Some(path) = &args.html {
        fs_err::write(path, comparisons_to_html(&results)).context("failed to write")?;
    }
    if tally.unknown > 0
        && let Some(hint) = hint(args, known.as_ref())
    {
        output::talk(&hint);
    }
    Ok(tally.exit())
}

/// What would say more about the tables, where little is known.
fn hint(args: &DiffArgs, known: Option<&project::Known>) -> Option<String> {
    match known {
        _ if args.schema.is_some() => None,
        None => Some(
            "hint: nothing is known about the tables; name their dbt project with --project, or describe them with \
             --schema"
                .to_owned(),
        ),
        Some(known) if !known.has_types => Some(format!(
            "hint: the columns of the tables are not known; `dbt docs generate` in {} tells them, and so does `assay run`",
            known.project.root.display()
        )),
        Some(_) => None,
    }
}

fn unreadable(side: &str, fault: &jinja::JinjaFault) -> Comparison {
    let reason = format!("the {side}'s Jinja cannot be rendered: {fault}");
    Comparison::new(Verdict::Unknown, Method::Text, reason)
}

fn missing(reason: &str) -> Comparison {
    Comparison::new(Verdict::Differs, Method::Text, reason)
}

fn show(args: &DiffArgs, item: &Compared) -> anyhow::Result<()> {
    let comparison = &item.comparison;
    let mut reproduce = comparison
        .counterexample
        .is_some()
        .then(|| "run again with --repro DIR for a DuckDB script".to_owned());
    if let (Some(folder), Some(found)) = (&args.repro, &comparison.counterexample) {
        fs_err::create_dir_all(folder).context("failed to make a folder")?;
        // One flat folder: the name says where the model is.
        let name: String = item
            .name
            .trim_end_matches(".sql")
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '_' || c == '-' { c } else { '-' })
            .collect();
        let path = folder.join(format!("{}.repro.sql", name.trim_matches('-')));
        fs_err::write(&path, &found.script).context("failed to write")?;
        reproduce = Some(format!("duckdb < {}", path.display()));
    }
    if args.json {
        output::data(&pairs::render(serde_json::Value::from(item.name.clone()), comparison));
    } else {
        let colour = std::io::stdout().is_terminal() && output::has_colour();
        output::data(&text::report(item, reproduce.as_deref(), output::width(), colour));
    }
    Ok(())
}

/// The duckdb command: as given, as configured, or that of the tools environment where there is one. A comparison is no
/// reason to install dbt.
fn duckdb(config: &Config, args: &DiffArgs) -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = &args.duckdb {
        if !path.is_file() {
            bail!("there is no duckdb command at {}", path.display());
        }
        return Ok(Some(path.clone()));
    }
    if !config.tools.duckdb.as_os_str().is_empty() {
        return Ok(Some(config.root.join(&config.tools.duckdb)));
    }
    if !state::folder(&config.root, "tools").is_dir() {
        return Ok(None);
    }
    let tools = environment::ensure(&config.root, &Existing::default(), &|step| output::talk(&step.text));
    Ok(tools.ok().map(|tools| tools.duckdb))
}
