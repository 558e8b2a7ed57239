//! sqruff and sqlfluff in a warm process: 0.05 CPU seconds a text instead of 0.1 and 0.85.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::again::Again;
use super::process::Limits;
use super::sandbox::Access;
use super::worker::{End, Workers};

/// One text is linted in milliseconds; this is for a machine that is busy.
const WALL: Duration = Duration::from_secs(60);
/// How often a text is linted whose linter is killed.
const ATTEMPTS: u32 = 10;
const CPU: Duration = Duration::from_secs(20);

/// Which linter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tool {
    /// Fast; with its own default rules.
    Sqruff,
    /// With the configuration of the project.
    Sqlfluff,
}

impl Tool {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqruff => "sqruff",
            Self::Sqlfluff => "sqlfluff",
        }
    }
}

/// What a linter says about a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Linted {
    error: Option<String>,
    /// What it found, in its own order.
    pub violations: Vec<Violation>,
    /// How much remains after its own fixes.
    pub left: usize,
    /// The text after its own fixes.
    pub fixed: String,
}

/// A violation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Violation {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Rule: `LT01`; `PRS` for SQL that it cannot parse.
    pub code: String,
    /// In words.
    pub message: String,
}

/// Linters of a Python environment.
#[derive(Debug)]
pub struct Linters(Workers);

#[derive(Serialize)]
struct Job<'a> {
    tool: Tool,
    directory: &'a Path,
    dialect: &'a str,
    sql: &'a str,
}

impl Linters {
    /// At most `size` processes of this Python, for texts of these projects.
    pub fn new(python: PathBuf, size: usize, projects: &[PathBuf]) -> Self {
        let limits = Limits { memory: Some(4 << 30), ..Limits::wall(WALL) };
        let read = projects.iter().flat_map(|project| configurations(project)).collect();
        let access = Access { read, ..Access::default() };
        Self(Workers::new(python, include_str!("linter.py"), size, limits, access))
    }

    /// Lints a text without Jinja. `directory` is where sqlfluff looks for its configuration.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn lint(
        &self,
        tool: Tool,
        directory: &Path,
        dialect: &str,
        sql: &str,
    ) -> Result<Linted, String> {
        let job = Job { tool, directory, dialect, sql };
        let mut again = Again::new(ATTEMPTS);
        let end = loop {
            match self.0.ask::<Linted>(&job, &[], WALL, CPU).await.end {
                End::Died { signal: Some(9), .. } if again.pause().await => {}
                end => break end,
            }
        };
        match end {
            End::Finished(Linted { error: Some(error), .. }) => Err(error),
            End::Finished(linted) => Ok(linted),
            End::Killed(_) => Err(format!("{} did not finish", tool.name())),
            End::Died { stderr, .. } => Err(format!("{} crashed: {stderr}", tool.name())),
            End::NotStarted(why) => Err(why),
        }
    }
}

/// Where sqlfluff looks for the configuration of a project: in it, and in files of these names above it.
fn configurations(project: &Path) -> Vec<PathBuf> {
    const NAMES: [&str; 6] =
        [".sqlfluff", ".sqlfluffignore", "pyproject.toml", "setup.cfg", "tox.ini", "pep8.ini"];
    let project = std::path::absolute(project).unwrap_or_else(|_| project.to_owned());
    let above = project.ancestors().skip(1).flat_map(|folder| NAMES.map(|name| folder.join(name)));
    let mut found: Vec<PathBuf> = above.filter(|path| path.is_file()).collect();
    found.push(project);
    found
}
