//! `assay spec`: the form for requests, and what is wrong with a filled-in one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::dbt::project::Project;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::suite::lint::{Relations, unnamed_columns};
use crate::suite::spec::{Spec, TEMPLATE};
use crate::suite::{Filter, Suite};

/// `assay spec`.
#[derive(Debug, Args)]
pub struct SpecArgs {
    #[command(subcommand)]
    command: SpecCommand,
}

#[derive(Debug, Subcommand)]
enum SpecCommand {
    /// Write the empty form, to a file or to standard output.
    New {
        /// File to write; an existing one is kept.
        file: Option<PathBuf>,
    },
    /// Report missing and empty points, unknown sources, and golden columns that no spec names.
    #[command(after_help = "Examples:
  assay spec lint                              every case: its spec, its project, its golden
  assay spec lint request.md --project shop    one spec against one dbt project")]
    Lint {
        /// Specs; without any, those of all cases.
        files: Vec<PathBuf>,
        /// dbt project that the specs draw on: a name of the configuration [default: the first].
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
}

/// Runs the command.
///
/// # Errors
/// Faults in specs, cases or configuration; a file that cannot be written.
pub fn run(config: &Path, args: &SpecArgs) -> anyhow::Result<Exit> {
    match &args.command {
        SpecCommand::New { file: None } => {
            output::data(TEMPLATE);
            Ok(Exit::Fine)
        }
        SpecCommand::New { file: Some(path) } => {
            let mut file = fs_err::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .context("failed to write the form")?;
            file.write_all(TEMPLATE.as_bytes()).context("failed to write the form")?;
            output::talk(&format!(
                "wrote {}; fill it in and check it with `assay spec lint {}`",
                path.display(),
                path.display()
            ));
            Ok(Exit::Fine)
        }
        SpecCommand::Lint { files, project } if files.is_empty() => {
            lint_suite(&Config::load(Some(config))?, project.as_deref())
        }
        SpecCommand::Lint { files, project } => {
            lint_files(&Config::load(Some(config))?, files, project.as_deref())
        }
    }
}

fn lint_suite(config: &Config, project: Option<&str>) -> anyhow::Result<Exit> {
    let suite = Suite::load(config, &Filter::default())?;
    let mut faults = Diagnostics::default();
    for case in suite.cases.iter().filter(|case| project.is_none_or(|name| case.project.name == name)) {
        Relations::read(&case.project.dbt)?
            .unknown(&case.spec)
            .into_iter()
            .for_each(|fault| faults.push(fault));
        unnamed_columns(case).into_iter().for_each(|fault| faults.push(fault));
    }
    suite.warnings.iter().for_each(output::warning);
    faults.into_result(())?;
    output::talk(&format!("{} cases: nothing wrong", suite.cases.len()));
    Ok(Exit::Fine)
}

fn lint_files(config: &Config, files: &[PathBuf], project: Option<&str>) -> anyhow::Result<Exit> {
    let mut faults = Diagnostics::default();
    let relations = project_of(config, project)?.map(|(_, project)| Relations::read(&project)).transpose()?;
    if relations.is_none() {
        output::talk("note: no dbt project is configured, so sources are not looked up");
    }
    for path in files {
        let text = fs_err::read_to_string(path).map_err(|error| {
            Diagnostics::from(
                Diagnostic::new("E_SPEC_MISSING", format!("cannot read the spec: {}", error.kind()))
                    .at(Place::file(path)),
            )
        })?;
        let spec = Spec::parse(path, &text);
        spec.faults().into_iter().for_each(|fault| faults.push(fault));
        spec.warnings().iter().for_each(output::warning);
        let unknown = relations.as_ref().map_or(Vec::new(), |relations| relations.unknown(&spec));
        unknown.into_iter().for_each(|fault| faults.push(fault));
    }
    faults.into_result(())?;
    let noun = if files.len() == 1 { "spec" } else { "specs" };
    output::talk(&format!("{} {noun}: nothing wrong", files.len()));
    Ok(Exit::Fine)
}

/// The named project of the configuration, or the first one; `None` when there is none and none is named.
///
/// # Errors
/// `E_PROJECT_UNKNOWN`, and faults of its `dbt_project.yml`.
pub(super) fn project_of(
    config: &Config,
    name: Option<&str>,
) -> Result<Option<(String, Project)>, Diagnostics> {
    let found = match name {
        Some(name) => config.projects.get_key_value(name),
        None => config.projects.first(),
    };
    match (found, name) {
        (Some((name, project)), _) => {
            Ok(Some((name.clone(), Project::read(&config.resolve(&project.path))?)))
        }
        (None, Some(name)) => {
            let known: Vec<&str> = config.projects.keys().map(String::as_str).collect();
            Err(Diagnostic::new("E_PROJECT_UNKNOWN", format!("project `{name}` is unknown"))
                .hint(format!("projects in assay.toml: {}", known.join(", ")))
                .into())
        }
        (None, None) => Ok(None),
    }
}
