//! Warm dbt processes (dbt-core 1.x). Starting dbt costs two CPU seconds of imports and three of parsing its own macros; a
//! job in a fork of a warm process costs half a second.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::Limits;
use super::sandbox::Access;
use super::worker::{self, Answer, Workers};

/// A call of dbt.
#[derive(Debug, Clone, Serialize)]
pub struct Job {
    /// The directory that dbt runs in: holds the project and its profile.
    pub directory: PathBuf,
    /// Arguments, from the subcommand on.
    pub arguments: Vec<String>,
    /// The folder that the call may write below; holds `directory`.
    #[serde(skip)]
    pub write: PathBuf,
    /// Wall time.
    #[serde(skip)]
    pub wall: Duration,
    /// CPU time.
    #[serde(skip)]
    pub cpu: Duration,
}

/// How a call ended.
pub type End = worker::End<Finished>;

/// dbt came to its end.
#[derive(Debug, Clone, Deserialize)]
pub struct Finished {
    /// Whether dbt calls it a success.
    pub success: bool,
    /// The exception that ended it.
    pub exception: Option<Exception>,
}

/// A Python exception that dbt raised.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Exception {
    /// Its class: `ParsingError`, `EnvVarMissingError`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its message.
    pub message: String,
}

/// Warm dbt processes.
#[derive(Debug)]
pub struct Pool(Workers);

impl Pool {
    /// At most `size` processes of this Python, each call under `limits`. All calls write below the folders `write`.
    pub fn new(python: PathBuf, size: usize, limits: Limits, write: Vec<PathBuf>) -> Self {
        let access = Access { write, ..Access::default() };
        Self(Workers::new(python, include_str!("worker.py"), size, limits, access))
    }

    /// Runs a job in a free worker, or waits for one.
    pub async fn run(&self, job: &Job) -> Answer<Finished> {
        self.0.ask(job, std::slice::from_ref(&job.write), job.wall, job.cpu).await
    }
}
