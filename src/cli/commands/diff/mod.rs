//! `assay diff`: how two models differ in meaning.

mod pairs;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use crate::check::golden::GoldenOptions;
use crate::cli::exit::Exit;
use crate::sql::Dialect;
use crate::sql::compare::Contract;
use crate::sql::verdict::Verdict;
use crate::tool::duckdb::{Pool, SessionLimits};

/// `assay diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Pairs to compare, one JSON object a line: {"id", "dialect", "schema", "contract", "sql_a", "sql_b"}.
    #[arg(long, value_name = "FILE", required = true)]
    pub pairs: Option<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// The dialect of both sides, as dbt adapters name it.
    #[arg(long, value_name = "NAME", default_value = "duckdb", value_parser = dialect)]
    pub dialect: Dialect,
    /// How output columns are matched.
    #[arg(long, value_enum, default_value_t)]
    pub contract: ContractArg,
    /// The duckdb command to search for counterexamples with [default: that of assay's tools environment].
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
        } else if self.unknown > 0 || self.same == 0 {
            Exit::Undecided
        } else {
            Exit::Fine
        }
    }
}

/// Compares and prints.
///
/// # Errors
/// Files that cannot be read, wrong usage.
pub fn run(args: &DiffArgs) -> anyhow::Result<Exit> {
    let options = GoldenOptions {
        dialect: args.dialect,
        contract: match args.contract {
            ContractArg::Name => Contract::Name,
            ContractArg::Position => Contract::Position,
        },
        ..GoldenOptions::default()
    };
    let Some(pairs) = &args.pairs else { bail!("nothing to compare") };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("failed to start")?;
    let pool = args.duckdb.as_ref().map(|path| {
        let size = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new(Pool::new(path, &SessionLimits::default(), size))
    });
    let tally = runtime.block_on(pairs::run(pairs, &options, pool.as_deref()))?;
    Ok(tally.exit())
}
