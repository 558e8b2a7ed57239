//! The Rust dbt (dbt-core 2.x): a process for each job, since it starts in a few hundredths of a second. Its database
//! driver is DuckDB's own library, found through the loader's path.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::dbt::{End, Finished, Job};
use super::left;
use super::process::{Limits, Program};
use super::sandbox::Access;

/// A Rust dbt with its driver.
#[derive(Debug)]
pub struct RustDbt {
    binary: PathBuf,
    library: PathBuf,
    limits: Limits,
    free: Semaphore,
}

/// How a job ended, and what dbt said.
#[derive(Debug)]
pub struct Ended {
    /// What happened. There is never an exception: what went wrong is among the log lines.
    pub end: End,
    /// JSON log lines, as far as it came.
    pub log: String,
    /// Wall time.
    pub duration: Duration,
}

impl RustDbt {
    /// The dbt `binary` with the folder of `libduckdb.so`; at most `size` processes at a time, each under `limits`
    /// (`wall` and `cpu` come with each job).
    pub fn new(binary: PathBuf, library: PathBuf, size: usize, limits: Limits) -> Self {
        Self { binary, library, limits, free: Semaphore::new(size.max(1)) }
    }

    /// Runs a job, when fewer than the allowed number run.
    pub async fn run(&self, job: &Job) -> Ended {
        let _permit = self.free.acquire().await;
        let limits = Limits { wall: job.wall, cpu: Some(job.cpu), ..self.limits.clone() };
        let program = Program::new(&self.binary)
            .args(&job.arguments)
            .env("LD_LIBRARY_PATH", &self.library)
            .env("HOME", "/nonexistent")
            .env("DO_NOT_TRACK", "1")
            .env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
            // Otherwise every error of a user carries the addresses of its stack.
            .env("RUST_BACKTRACE", "0")
            .directory(&job.directory)
            .sandboxed(Access {
                read: vec![self.library.clone()],
                write: vec![job.write.clone()],
                ..Access::default()
            });
        let ended = program.run(&limits).await;
        left::disarm(std::slice::from_ref(&job.write)).await;
        match ended {
            Err(error) => Ended {
                end: End::NotStarted(format!("{}: {error}", self.binary.display())),
                log: String::new(),
                duration: Duration::ZERO,
            },
            Ok(finished) => {
                let end = match (finished.killed, finished.code) {
                    (Some(reason), _) => End::Killed(reason),
                    // 2 is a fault in the arguments, which are ours.
                    (None, Some(code @ (0 | 1))) => {
                        End::Finished(Finished { success: code == 0, exception: None })
                    }
                    (None, code) => {
                        End::Died { signal: finished.signal, code, stderr: finished.stderr_text() }
                    }
                };
                Ended { end, log: finished.stdout_text(), duration: finished.duration }
            }
        }
    }
}
