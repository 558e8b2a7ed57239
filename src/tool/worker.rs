//! Warm child processes that answer one JSON line with another: importing dbt or sqlfluff costs more than most of their
//! jobs. A worker that was killed or that crashed is replaced, and so is one that has done its share of jobs.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Semaphore;

use super::process::{KillReason, Limits, Program, Running};

/// A worker is replaced after this many jobs: Python programs leak a little with each.
const JOBS_PER_WORKER: u32 = 50;

/// How long a worker may take until it is ready: its imports, on a busy machine.
const START: Duration = Duration::from_secs(120);

/// How long a worker that closed its stdout may take to end.
const END: Duration = Duration::from_secs(1);

/// Longest answer, bytes.
const MAX_ANSWER: u64 = 4 << 20;

/// How much of a worker's stderr is kept for the message about its end.
const KEPT_STDERR: usize = 4 << 10;

/// How a job ended.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// What happened.
    pub end: End<T>,
    /// Wall time.
    pub duration: Duration,
}

/// What happened to a job.
#[derive(Debug, Clone)]
pub enum End<T> {
    /// The worker answered.
    Finished(T),
    /// We killed it.
    Killed(KillReason),
    /// The process ended in the middle.
    Died {
        /// The signal that ended it.
        signal: Option<i32>,
        /// Its exit code.
        code: Option<i32>,
        /// Its last words.
        stderr: String,
    },
    /// No worker could be started.
    NotStarted(String),
}

/// Warm processes that run the same Python program.
#[derive(Debug)]
pub struct Workers {
    python: PathBuf,
    program: &'static str,
    limits: Limits,
    free: Semaphore,
    idle: Mutex<Vec<Worker>>,
}

#[derive(Debug)]
struct Worker {
    running: Running,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Mutex<Vec<u8>>>,
    stderr_ends: tokio::task::JoinHandle<()>,
    jobs: u32,
}

impl Workers {
    /// At most `size` processes of `program` under this Python, each under `limits` (`wall` and `cpu` come with each job).
    /// None is started before it is needed.
    pub fn new(python: PathBuf, program: &'static str, size: usize, limits: Limits) -> Self {
        Self { python, program, limits, free: Semaphore::new(size.max(1)), idle: Mutex::new(Vec::new()) }
    }

    /// Gives a job to a free worker, or waits for one.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        job: &impl Serialize,
        wall: Duration,
        cpu: Duration,
    ) -> Answer<T> {
        let permit = self.free.acquire().await;
        let started = Instant::now();
        let end = match self.worker().await {
            Err(why) => End::NotStarted(why),
            Ok(mut worker) => {
                let end = worker.ask(job, &Limits { wall, cpu: Some(cpu), ..self.limits.clone() }).await;
                if matches!(end, End::Finished(_)) && worker.jobs < JOBS_PER_WORKER {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
                }
                end
            }
        };
        drop(permit);
        Answer { end, duration: started.elapsed() }
    }

    async fn worker(&self) -> Result<Worker, String> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(worker) => Ok(worker),
            None => Worker::start(&self.python, self.program, &self.limits).await,
        }
    }
}

impl Worker {
    async fn start(python: &PathBuf, source: &str, limits: &Limits) -> Result<Self, String> {
        // Isolated (-I): neither the user's packages nor modules in the job's directory are imported.
        let program = Program::new(python)
            .args(["-I", "-c", source])
            .env("HOME", "/nonexistent")
            .env("PYTHONHASHSEED", "0")
            .env("DO_NOT_TRACK", "1")
            .env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
            .directory("/");
        // Imports are not charged to the first job.
        let limits = Limits { cpu: None, ..limits.clone() };
        let mut running = program.spawn(&limits).map_err(|error| format!("{}: {error}", python.display()))?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (running.stdin.take(), running.stdout.take(), running.stderr.take())
        else {
            return Err("a worker without pipes".into());
        };
        let kept = Arc::new(Mutex::new(Vec::new()));
        let tail = Arc::clone(&kept);
        let stderr_ends = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend_from_slice(buffer.get(..n).unwrap_or_default());
                let excess = tail.len().saturating_sub(KEPT_STDERR);
                tail.drain(..excess);
            }
        });
        let mut worker =
            Self { running, stdin, stdout: BufReader::new(stdout), stderr: kept, stderr_ends, jobs: 0 };
        match tokio::time::timeout(START, worker.line()).await {
            Ok(Some(line)) if line.contains("\"ready\"") => Ok(worker),
            Ok(_) => {
                let (_, words) = worker.ended().await;
                Err(format!("a worker did not start: {words}"))
            }
            Err(_) => Err(format!("a worker was not ready after {} s", START.as_secs())),
        }
    }

    async fn ask<T: DeserializeOwned>(&mut self, job: &impl Serialize, limits: &Limits) -> End<T> {
        self.jobs += 1;
        self.running.limit(limits);
        let before = self.running.cpu_time();
        let mut line = match serde_json::to_vec(job) {
            Ok(line) => line,
            Err(error) => return End::NotStarted(error.to_string()),
        };
        line.push(b'\n');
        let talk = async {
            // A worker that died is seen at the read.
            let _ = self.stdin.write_all(&line).await;
            let _ = self.stdin.flush().await;
            self.line().await
        };
        match tokio::time::timeout(limits.wall, talk).await {
            Err(_) => {
                // Of this job alone.
                let cpu = self.running.cpu_time().and_then(|cpu| cpu.checked_sub(before?));
                let _ = self.running.end().await;
                End::Killed(KillReason::Wall { cpu })
            }
            Ok(line) => match line.and_then(|line| serde_json::from_str(&line).ok()) {
                Some(answer) => End::Finished(answer),
                None => {
                    let (status, stderr) = self.ended().await;
                    End::Died {
                        signal: status.and_then(|status| status.signal()),
                        code: status.and_then(|status| status.code()),
                        stderr,
                    }
                }
            },
        }
    }

    /// How a worker that broke off ended, and its last words. One that did not end is ended.
    async fn ended(&mut self) -> (Option<ExitStatus>, String) {
        let status = match tokio::time::timeout(END, self.running.wait()).await {
            Ok(status) => status,
            Err(_) => self.running.end().await,
        };
        let _ = tokio::time::timeout(END, &mut self.stderr_ends).await;
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        (status.ok(), String::from_utf8_lossy(&tail).trim().to_owned())
    }

    /// The next line; `None` at the end, or when it is longer than a worker's answer can be.
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = (&mut self.stdout).take(MAX_ANSWER).read_line(&mut line).await;
        matches!(read, Ok(1..) if line.ends_with('\n')).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::wall(Duration::from_secs(20))
    }

    async fn ask(workers: &Workers) -> End<serde_json::Value> {
        workers.ask(&serde_json::json!({}), Duration::from_millis(500), Duration::from_secs(10)).await.end
    }

    /// A stand-in for Python: a script that gets the worker's arguments and may do anything.
    fn workers(script: &str) -> (tempfile::TempDir, Workers) {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("python");
        fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).expect("script");
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let workers = Workers::new(path, "", 1, limits());
        (dir, workers)
    }

    #[tokio::test]
    async fn a_worker_that_cannot_start_says_why() {
        let (_dir, pool) = workers("echo 'No module named dbt' >&2; exit 1");
        let End::NotStarted(why) = ask(&pool).await else { panic!("started") };
        assert!(why.contains("No module named dbt"), "{why}");
        let pool = Workers::new("/nonexistent/python".into(), "", 1, limits());
        assert!(matches!(ask(&pool).await, End::NotStarted(_)));
    }

    #[tokio::test]
    async fn a_worker_that_hangs_is_killed_and_replaced() {
        let (dir, pool) = workers(
            "echo $$ >> started; echo '{\"ready\":true}'; read line; if [ $(wc -l < started) = 1 ]; then sleep 60; fi
             echo '{\"id\":1,\"success\":true,\"exception\":null,\"cpu\":0.1}'; read line",
        );
        // The script starts in `/`; count starts in a file beside it instead.
        let count = dir.path().join("started");
        let script = fs_err::read_to_string(dir.path().join("python")).expect("script");
        fs_err::write(dir.path().join("python"), script.replace("started", &count.display().to_string()))
            .expect("script");
        assert!(matches!(ask(&pool).await, End::Killed(KillReason::Wall { .. })));
        assert!(matches!(ask(&pool).await, End::Finished(_)));
    }

    #[tokio::test]
    async fn a_worker_that_dies_or_talks_nonsense_is_told_apart() {
        let (_dir, dying) = workers("echo '{\"ready\":true}'; read line; echo bye >&2; kill -9 $$");
        let End::Died { signal, stderr, .. } = ask(&dying).await else { panic!("not dead") };
        assert_eq!((signal, stderr.as_str()), (Some(9), "bye"));
        let (_dir, other) = workers("echo '{\"ready\":true}'; read line; echo nonsense; read line");
        assert!(matches!(ask(&other).await, End::Died { .. }));
    }
}
