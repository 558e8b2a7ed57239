//! `assay doctor`: the tools that were found, or what a provider honours; what is wrong, and how to mend it.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;

use crate::check::existing_tools;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::generate::probe::{ProbeStatus, Probed, probe as probe_provider};
use crate::generate::profile::Profile;
use crate::generate::secrets::Environment;
use crate::run::keys;
use crate::suite::prompts;
use crate::tool::environment::{Status, ensure, probe, v2};

/// `assay doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  assay doctor --install v2                               the second engine, dbt-core 2.x (72 MB), then the tools
  assay doctor                                            the tools
  assay doctor --provider openai --model gpt-4.1          eight small requests: what the server honours")]
pub struct DoctorArgs {
    /// Probe this provider instead of the tools: sends a handful of small requests.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Model to probe with [default: that of the first prompt version with this provider].
    #[arg(long, value_name = "NAME", requires = "provider")]
    model: Option<String>,
    /// Install something that no run needs, then look.
    #[arg(long, value_enum, value_name = "TOOL", conflicts_with = "provider")]
    install: Option<Installable>,
}

/// What can be installed beside what every run needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Installable {
    /// The Rust dbt (dbt-core 2.x) with its DuckDB driver: the second engine, a download of 72 MB.
    V2,
}

/// Looks and reports; installs only what it is asked to. Works without a configuration.
///
/// # Errors
/// A configuration that is there and wrong; an installation that fails.
pub fn run(path: &Path, args: &DoctorArgs) -> anyhow::Result<Exit> {
    if let Some(name) = &args.provider {
        return provider(path, name, args.model.as_deref());
    }
    let config = if path.exists() { Config::load(Some(path))? } else { Config::default() };
    let root = if config.root.as_os_str().is_empty() { Path::new(".") } else { &config.root };
    if args.install == Some(Installable::V2) {
        let installed = ensure(root, &existing_tools(&config), &|step| output::talk(&step.text))
            .and_then(|tools| v2::ensure(root, &tools.python, &|step| output::talk(&step.text)));
        installed.map_err(|error| Diagnostics::from(error.diagnostic()))?;
    }
    let report = probe(root, &existing_tools(&config));
    let rows = report.entries.iter().map(|entry| {
        let mark = match entry.status {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Broken => "bad",
        };
        (mark, entry.name, entry.detail.as_str(), entry.hint.as_deref())
    });
    output::data(&text(rows.collect()));
    Ok(if report.is_usable() { Exit::Fine } else { Exit::Usage })
}

/// Asks a provider.
fn provider(path: &Path, name: &str, model: Option<&str>) -> anyhow::Result<Exit> {
    let config = if path.exists() { Config::load(Some(path))? } else { Config::default() };
    let profile = Profile::resolve(&config, name)?;
    let first = || {
        let versions = prompts::load(&config, &[]).unwrap_or_default();
        versions.into_iter().find(|version| version.provider == name).map(|version| version.model)
    };
    let Some(model) = model.map(str::to_owned).or_else(first) else {
        let fault = Diagnostic::new("E_PROVIDER_MODEL", format!("no prompt version uses provider `{name}`"));
        return Err(Diagnostics::from(fault.hint("name a model with --model")).into());
    };
    keys::warnings(&config.root).iter().for_each(output::warning);
    let (profile, key) = profile.with_key(&Environment::load(&config.root))?;
    let wire = format!("{:?}", profile.wire).to_lowercase();
    output::talk(&format!("{name}: {} ({wire})", profile.base_url));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let found: Vec<Probed> = runtime.block_on(probe_provider(profile, key, &model))?;
    let rows = found.iter().map(|probed| {
        let mark = match probed.status {
            ProbeStatus::Ok => "ok",
            ProbeStatus::Note => "note",
            ProbeStatus::Bad => "bad",
        };
        (mark, probed.name, probed.detail.as_str(), probed.hint.as_deref())
    });
    output::data(&text(rows.collect()));
    let bad = found.iter().any(|probed| probed.status == ProbeStatus::Bad);
    Ok(if bad { Exit::Usage } else { Exit::Fine })
}

/// Mark, name, detail and hint as a table.
fn text(rows: Vec<(&str, &str, &str, Option<&str>)>) -> String {
    let width = rows.iter().map(|(_, name, ..)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (mark, name, detail, hint) in rows {
        out.push_str(&format!("{mark:<5} {name:<width$}  {detail}\n"));
        if let Some(hint) = hint {
            out.push_str(&format!("{:width$}hint: {hint}\n", "", width = width + 8));
        }
    }
    out
}
