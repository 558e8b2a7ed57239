//! Warm processes that build a model and run its tests straight in DuckDB, without dbt: on a database of the candidate's
//! own, with files, network and settings locked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::Limits;
use super::sandbox::Access;
use super::worker::{Answer, Workers};

/// What to build and test.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// The database file.
    pub database: PathBuf,
    /// Options that it is opened with.
    pub config: BTreeMap<&'static str, String>,
    /// Quoted relations that are taken out first.
    pub drop: Vec<String>,
    /// Quoted relations whose rows are put in reverse then; views among them are passed over.
    pub reverse: Vec<String>,
    /// Rows that are taken out before anything else.
    pub withhold: Option<Withhold>,
    /// The one `create` statement.
    pub create: String,
    /// The quoted relation that it makes.
    pub relation: String,
    /// One query each, with the number of failing rows in the first column of its only row.
    pub tests: Vec<String>,
    /// A file that is there once the model is built, whatever becomes of the job then.
    pub built: PathBuf,
}

/// Rows of relations that a model does not see yet.
#[derive(Debug, Clone, Serialize)]
pub struct Withhold {
    /// They make the temporary tables that follow.
    pub statements: Vec<String>,
    /// Quoted relations, each with the temporary table that takes its place.
    pub replace: Vec<(String, String)>,
    /// Counts what is withheld.
    pub count: String,
}

/// What came of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Executed {
    /// Why nothing was decided: a text is not one statement of its kind.
    pub refused: Option<String>,
    /// Why the model was not built.
    pub error: Option<String>,
    /// Seconds of building.
    pub seconds: f64,
    /// What the job's `count` counted.
    pub withheld: Vec<u64>,
    /// Columns of the relation: name and type.
    pub columns: Vec<(String, String)>,
    /// In the order of the job; none when the model was not built.
    pub tests: Vec<TestExecuted>,
}

/// What came of a test.
#[derive(Debug, Clone, Deserialize)]
pub struct TestExecuted {
    /// Failing rows; `None` when it could not run.
    pub failures: Option<i64>,
    /// Why it could not run.
    pub error: Option<String>,
    /// Seconds.
    pub seconds: f64,
}

/// A model's tests on other rows than its own.
#[derive(Debug, Clone, Serialize)]
pub struct Variants {
    /// The database file.
    pub database: PathBuf,
    /// Options that it is opened with.
    pub config: BTreeMap<&'static str, String>,
    /// Quoted relations that are taken out first.
    pub drop: Vec<String>,
    /// The quoted relation that the tests read.
    pub relation: String,
    /// The expressions by which rows are compared.
    pub compared: String,
    /// Queries that give its rows; the others are compared with the first.
    pub variants: Vec<String>,
    /// One query each, with the number of failing rows in the first column of its only row.
    pub tests: Vec<String>,
    /// How long it may take.
    pub seconds: f64,
}

/// What came of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Varied {
    /// Why nothing was tried: a test is not one query.
    pub refused: Option<String>,
    /// Not all were tried in time.
    pub stopped: bool,
    /// In the order of the job; `None` where it does not run.
    pub variants: Vec<Option<Variant>>,
}

/// What one variant shows.
#[derive(Debug, Clone, Deserialize)]
pub struct Variant {
    /// Whether its rows are others than those of the first.
    pub differs: bool,
    /// Failing rows of each test, where they were run; `None` where one could not.
    pub failures: Vec<Option<i64>>,
}

/// Warm processes.
#[derive(Debug)]
pub struct Executor(Workers);

impl Executor {
    /// At most `size` processes of a Python that holds `duckdb`, each job under `limits`. All jobs write below the folders
    /// `write`.
    pub fn new(python: PathBuf, size: usize, limits: Limits, write: Vec<PathBuf>) -> Self {
        let access = Access { write, ..Access::default() };
        Self(Workers::new(python, include_str!("executor.py"), size, limits, access))
    }

    /// Runs a job in a free process, or waits for one. It writes below `write` only, where its database is.
    pub async fn run(&self, job: &Job, write: &Path, wall: Duration, cpu: Duration) -> Answer<Executed> {
        self.0.ask(job, &[write.to_owned()], wall, cpu).await
    }

    /// Like [`Self::run`], for tests on other rows.
    pub async fn vary(&self, job: &Variants, write: &Path, wall: Duration, cpu: Duration) -> Answer<Varied> {
        self.0.ask(job, &[write.to_owned()], wall, cpu).await
    }
}
