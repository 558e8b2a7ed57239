//! `assay tools`: the assistant's tools for any other program, as JSON.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::spec::project_of;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::generate::tools::{E_TIMEOUT, Names, ToolOutput, Toolbox, serve};
use crate::suite::spec::Spec;

/// `assay tools`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  assay tools list-models
  assay tools fetch-source-columns raw orders
  assay tools list-models --spec request.md        only what the spec approves
  assay tools serve --spec request.md              the same for an agent, by the Model Context Protocol

The result is one line of JSON. An error is {\"error\": CODE, \"message\": ...} with exit code 2 (3 for E_TIMEOUT).")]
pub struct ToolsArgs {
    #[command(subcommand)]
    command: ToolsCommand,
    /// dbt project: a name of the configuration [default: the first].
    #[arg(long, global = true, value_name = "NAME")]
    project: Option<String>,
    /// Show only what this spec approves.
    #[arg(long, global = true, value_name = "FILE")]
    spec: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ToolsCommand {
    /// The models that ref() may name, as a JSON array of strings (within 3 s).
    ListModels,
    /// The columns of a source table, as a JSON array of {name, data_type, tests} (within 5 s).
    FetchSourceColumns {
        /// The source, first argument of source().
        source: String,
        /// The table, second argument of source().
        table: String,
    },
    /// Offer both to an agent as a Model Context Protocol server on standard input and output.
    Serve {
        /// Call them as the nearest tools of dbt's own server are called: list, get_node_details_dev.
        #[arg(long)]
        dbt_names: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// Faults in configuration or spec.
pub fn run(config: &Path, args: &ToolsArgs) -> anyhow::Result<Exit> {
    let config = Config::load(Some(config))?;
    let name = match &args.project {
        Some(name) => {
            project_of(&config, Some(name))?;
            name.clone()
        }
        None => config.projects.keys().next().cloned().ok_or_else(|| {
            crate::diagnostic::Diagnostics::from(
                Diagnostic::new("E_PROJECT_UNKNOWN", "no dbt project is configured")
                    .hint("add a table `[projects.NAME]` with its path to assay.toml"),
            )
        })?,
    };
    let root = config.resolve(&config.projects[&name].path);
    let toolbox = match &args.spec {
        Some(path) => {
            let text = fs_err::read_to_string(path).context("failed to read the spec")?;
            Toolbox::new(&root, &Spec::parse(path, &text).approved())
        }
        None => Toolbox::unrestricted(&root),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .context("failed to start the runtime")?;
    let ToolOutput { text, error } = match &args.command {
        ToolsCommand::ListModels => runtime.block_on(toolbox.list_models()),
        ToolsCommand::FetchSourceColumns { source, table } => {
            runtime.block_on(toolbox.fetch_source_columns(source, table))
        }
        ToolsCommand::Serve { dbt_names } => {
            let names = if *dbt_names { Names::Dbt } else { Names::Own };
            let served = runtime.block_on(serve(toolbox, names, tokio::io::stdin(), tokio::io::stdout()));
            // Whoever reads standard input may hang in it: nobody waits for that thread.
            runtime.shutdown_background();
            served.map_err(|error| anyhow::anyhow!("the conversation broke off: {error}"))?;
            return Ok(Exit::Fine);
        }
    };
    output::data(&text);
    Ok(match error {
        None => Exit::Fine,
        Some(E_TIMEOUT) => Exit::Undecided,
        Some(_) => Exit::Usage,
    })
}
