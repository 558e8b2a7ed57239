//! The configuration file `assay.toml`. The commented default file is embedded, is what `assay init` writes, and is
//! the documentation; a test holds it equal to the defaults in code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, io_reason};
use crate::sql::Dialect;

/// The commented default file.
pub const DEFAULT: &str = include_str!("default.toml");

/// The name of the configuration file.
pub const FILE_NAME: &str = "assay.toml";

/// What `assay.toml` says, with the folder that its paths are relative to.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the file: every relative path starts here.
    #[serde(skip)]
    pub root: PathBuf,
    /// Where things are.
    pub paths: Paths,
    /// How a run goes.
    pub run: Run,
    /// What the checks accept.
    pub checks: Checks,
    /// How dbt is run.
    pub dbt: Dbt,
    /// Installed tools to use instead of the own environment.
    pub tools: ToolPaths,
    /// What `assay draft` does unless told otherwise.
    pub draft: Draft,
    /// dbt projects by name, in the order of the file.
    pub projects: IndexMap<String, ProjectConfig>,
    /// Providers by name; read by `generate`.
    pub providers: BTreeMap<String, toml::Table>,
    /// Prices by model.
    pub prices: BTreeMap<String, Price>,
}

/// Folders, relative to the configuration file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// Cases.
    pub evals: PathBuf,
    /// Prompt versions.
    pub prompts: PathBuf,
    /// Recordings.
    pub recordings: PathBuf,
    /// Reports and history.
    pub reports: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            evals: "evals".into(),
            prompts: "prompts".into(),
            recordings: "recordings".into(),
            reports: "reports".into(),
        }
    }
}

/// `[run]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    /// Candidates under way at a time.
    pub jobs: usize,
    /// Repeats of each case and prompt version.
    pub trials: u32,
    /// Prompt version that others are compared with; empty: the first by name.
    pub baseline: String,
    /// Lowest acceptable pass rate of the best prompt version, 0 to 1.
    pub floor: f64,
    /// Largest acceptable share of errored results, 0 to 1.
    pub max_errored: f64,
}

impl Default for Run {
    fn default() -> Self {
        Self { jobs: 16, trials: 1, baseline: String::new(), floor: 0.0, max_errored: 0.05 }
    }
}

/// Whether the verdict `agrees` is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgreesPolicy {
    /// Same rows on every database tried is enough.
    #[default]
    Pass,
    /// Only a proof is enough.
    Fail,
}

/// What it amounts to when an incremental model loses or repeats rows that arrive late, which the golden does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LateRows {
    /// `idempotent` fails.
    #[default]
    Fail,
    /// It is shown.
    Warn,
    /// Nobody looks.
    Off,
}

/// `[checks]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checks {
    /// Whether `agrees` passes.
    pub agrees: AgreesPolicy,
    /// Relative tolerance between floating-point numbers.
    pub float_tolerance: f64,
    /// Package macros that candidates may call; `*` at the end matches any rest.
    pub macros: Vec<String>,
    /// Limit of one counterexample search, seconds.
    pub search_seconds: f64,
    /// What lost or repeated late rows of an incremental model amount to.
    pub late_rows: LateRows,
    /// Small errors in the golden that a candidate's tests are tried on.
    pub mutants: usize,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            agrees: AgreesPolicy::Pass,
            float_tolerance: 1e-9,
            macros: Vec::new(),
            search_seconds: 2.0,
            late_rows: LateRows::Fail,
            mutants: 24,
        }
    }
}

/// Which engine builds candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The cheapest that is right for the project.
    #[default]
    Auto,
    /// Warm dbt-core 1.x workers.
    V1,
    /// The Rust dbt, dbt-core 2.x: a process for each candidate.
    V2,
    /// Compiled by dbt in batches, executed by DuckDB; what is not simple is left to `v1`.
    Exec,
    /// No dbt: static checks only.
    None,
}

/// `[dbt]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dbt {
    /// Engine.
    pub engine: EngineChoice,
    /// dbt processes; 0: one a core.
    pub workers: usize,
    /// Wall clock for building one candidate, seconds.
    pub timeout_seconds: u64,
    /// Memory for one dbt process, MiB: its address space is twice that, the database gets a quarter.
    pub memory_mb: u64,
    /// Share of the candidates that another engine judges too, percent.
    pub audit_percent: f64,
}

impl Default for Dbt {
    fn default() -> Self {
        Self {
            engine: EngineChoice::Auto,
            workers: 0,
            timeout_seconds: 60,
            memory_mb: 2048,
            audit_percent: 0.0,
        }
    }
}

/// `[tools]`: empty paths mean the own tools environment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolPaths {
    /// The dbt command of an environment that holds dbt-core and the adapter.
    pub dbt: PathBuf,
    /// The duckdb command.
    pub duckdb: PathBuf,
    /// The Python that the own environment is made with.
    pub python: PathBuf,
}

/// `[draft]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Draft {
    /// Prompt version; empty: the only one.
    pub prompt: String,
}

/// `[projects.NAME]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectConfig {
    /// Folder with `dbt_project.yml`.
    pub path: PathBuf,
    /// SQL dialect of its models.
    #[serde(default)]
    pub dialect: Dialect,
    /// Further data that models are compared on: a name, and a folder of CSV files that take the place of seeds.
    #[serde(default)]
    pub datasets: BTreeMap<String, PathBuf>,
}

/// `[prices."MODEL"]`: currency units per million tokens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Date on which the price was looked up, `YYYY-MM-DD`.
    pub as_of: String,
    /// Input tokens.
    pub input: f64,
    /// Cached input tokens; `None`: the price of input.
    pub cached_input: Option<f64>,
    /// Output tokens.
    pub output: f64,
}

impl Config {
    /// Reads `path`, or `assay.toml` of the current folder when `path` is `None`.
    ///
    /// # Errors
    /// `E_CONFIG_MISSING`, `E_CONFIG_INVALID` with the place.
    pub fn load(path: Option<&Path>) -> Result<Self, Diagnostics> {
        let path = path.unwrap_or_else(|| Path::new(FILE_NAME));
        let text = fs_err::read_to_string(path).map_err(|error| {
            Diagnostic::new(
                "E_CONFIG_MISSING",
                format!("cannot read the configuration: {}", io_reason(&error)),
            )
            .at(Place::file(path))
            .hint("run `assay init` to write one, or name another with --config")
        })?;
        let mut config = Self::parse(path, &text)?;
        config.root = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(config)
    }

    /// Parses the text of a configuration file; `root` stays empty.
    ///
    /// # Errors
    /// `E_CONFIG_INVALID` with the place.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Diagnostics> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let place =
                error.span().map_or_else(|| Place::file(path), |span| place_of(path, text, span.start));
            Diagnostic::new("E_CONFIG_INVALID", error.message().trim().replace('\n', " "))
                .at(place)
                .hint("every key is described in the file that `assay init` writes")
        })?;
        let mut faults = Diagnostics::default();
        for (name, share) in [("run.floor", config.run.floor), ("run.max_errored", config.run.max_errored)] {
            if !(0.0..=1.0).contains(&share) {
                faults.push(
                    Diagnostic::new(
                        "E_CONFIG_INVALID",
                        format!("{name} is {share}, a share from 0 to 1 expected"),
                    )
                    .at(Place::file(path)),
                );
            }
        }
        config.run.trials = config.run.trials.max(1);
        config.run.jobs = config.run.jobs.max(1);
        faults.into_result(config)
    }

    /// The file that remembers complete runs.
    pub fn history(&self) -> PathBuf {
        self.resolve(&self.paths.reports).join("history.jsonl")
    }

    /// A path of this configuration, from the current folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        if self.root.as_os_str().is_empty() { path.to_path_buf() } else { self.root.join(path) }
    }
}

/// The line and column of a byte offset.
fn place_of(path: &Path, text: &str, offset: usize) -> Place {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    Place::line(path, line, text).at_column(column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_file_states_the_defaults() {
        let embedded = Config::parse(Path::new("default.toml"), DEFAULT).expect("the embedded file parses");
        assert_eq!(embedded, Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let faults = Config::parse(Path::new("assay.toml"), "[run]\njobs = 2\njosb = 3\n").unwrap_err();
        let place = faults.0[0].place.clone().expect("place");
        assert_eq!((place.line, place.column), (Some(3), Some(1)));
        assert!(faults.0[0].message.contains("josb"), "{faults}");
    }

    #[test]
    fn shares_out_of_range_are_refused() {
        let faults = Config::parse(Path::new("assay.toml"), "[run]\nfloor = 80.0\n").unwrap_err();
        assert!(faults.0[0].message.contains("run.floor"));
    }
}
