//! Warm child processes that answer one JSON line with another: importing dbt or sqlfluff costs more than most of their
//! jobs. The warm process only imports; each job runs in a fork of it (`serve.py`), under limits and restrictions of its own, so
//! that nothing a job does outlives it. A worker that was killed or that crashed is replaced.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Semaphore;

use super::again::Again;
use super::left;
use super::process::{KillReason, Limits, Program, Running};
use super::sandbox::{self, Access};

/// What stands above every program that is served.
const SERVE: &str = include_str!("serve.py");

/// How long a worker may take until it is ready: its imports, on a busy machine.
const START: Duration = Duration::from_secs(120);

/// How much longer than its job a worker may take to say that it killed it.
const LATE: Duration = Duration::from_secs(10);

/// How long a worker that closed its stdout may take to end.
const END: Duration = Duration::from_secs(60);

/// How often a worker is started that is killed from outside while it starts: it has done nothing yet that could be to blame.
const STARTS: u32 = 20;

const SIGKILL: i32 = 9;

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
    program: String,
    limits: Limits,
    access: Access,
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
}

/// Why a worker is not ready.
struct StartFault {
    why: String,
    was_killed: bool,
}

/// How a worker ended.
#[derive(Debug, PartialEq, Eq)]
struct Ended {
    signal: Option<i32>,
    code: Option<i32>,
    /// Its last words.
    stderr: String,
}

impl Ended {
    fn new(status: Option<ExitStatus>, stderr: String) -> Self {
        let (signal, code) =
            (status.and_then(|status| status.signal()), status.and_then(|status| status.code()));
        // Before util-linux 2.39 `unshare` cannot end by the SIGKILL that ended its child: it complains, and exits with 1
        // (which nobody may have seen: its last words do).
        let hidden =
            |line: &str| line.starts_with("unshare: ") && line.contains("sigprocmask unblock failed");
        match signal {
            None if stderr.lines().last().is_some_and(hidden) => {
                Self { signal: Some(SIGKILL), code: None, stderr }
            }
            _ => Self { signal, code, stderr },
        }
    }
}

/// What was read of a worker.
enum Line {
    Whole(String),
    /// Longer than an answer can be.
    TooLong,
    /// It says no more.
    End,
}

/// What a worker is told at its start.
#[derive(Serialize)]
struct Start<'a> {
    read: Vec<&'a str>,
    /// A folder for its warm-up.
    scratch: Option<PathBuf>,
}

#[derive(Serialize)]
struct Request<'a, T> {
    limits: JobLimits,
    write: &'a [PathBuf],
    job: &'a T,
}

#[derive(Serialize)]
struct JobLimits {
    wall: f64,
    cpu: Option<u64>,
    memory: Option<u64>,
    file_size: Option<u64>,
    open_files: Option<u64>,
}

#[derive(Deserialize)]
struct Reply<T> {
    answer: Option<T>,
    #[serde(default)]
    killed: bool,
    signal: Option<i32>,
    code: Option<i32>,
    cpu: Option<f64>,
}

impl Workers {
    /// At most `size` processes of `program` (what follows `serve.py`) under this Python; each job under `limits` (`wall`
    /// and `cpu` come with it). `access`: what every job may read, and the folders below which all lie that jobs may write.
    /// None is started before it is needed.
    pub fn new(python: PathBuf, program: &str, size: usize, limits: Limits, mut access: Access) -> Self {
        access.read.extend(sandbox::python_folders(&python));
        access.execute.extend(fs_err::canonicalize(&python));
        access.processes = true;
        Self {
            python,
            program: format!("{SERVE}\n\n{program}"),
            limits,
            access,
            free: Semaphore::new(size.max(1)),
            idle: Mutex::default(),
        }
    }

    /// Gives a job to a free worker, or waits for one. The job may write below `write` only.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        job: &impl Serialize,
        write: &[PathBuf],
        wall: Duration,
        cpu: Duration,
    ) -> Answer<T> {
        let permit = self.free.acquire().await;
        let started = Instant::now();
        let limits = JobLimits {
            wall: wall.as_secs_f64(),
            // Whole seconds, rounded up.
            cpu: Some(cpu.as_secs() + u64::from(cpu.subsec_nanos() > 0)),
            memory: self.limits.memory,
            file_size: self.limits.file_size,
            open_files: self.limits.open_files,
        };
        let end = match serde_json::to_vec(&Request { limits, write, job }) {
            Err(error) => End::NotStarted(error.to_string()),
            Ok(line) => match self.worker(write).await {
                Err(why) => End::NotStarted(why),
                Ok(mut worker) => {
                    let (end, is_usable) = worker.ask(line, wall).await;
                    left::disarm(write).await;
                    if is_usable {
                        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
                    }
                    end
                }
            },
        };
        drop(permit);
        Answer { end, duration: started.elapsed() }
    }

    async fn worker(&self, write: &[PathBuf]) -> Result<Worker, String> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut worker) = idle else { return self.start(write).await };
            // It may have been killed while it waited.
            if !worker.running.has_ended() {
                return Ok(worker);
            }
        }
    }

    async fn start(&self, write: &[PathBuf]) -> Result<Worker, String> {
        let mut read: Vec<&str> = sandbox::system_paths().collect();
        let own: Vec<String> = self.access.read.iter().map(|path| path.display().to_string()).collect();
        read.extend(own.iter().map(String::as_str));
        let scratch = write.first().map(|folder| folder.join("warm-up"));
        let start = serde_json::to_string(&Start { read, scratch: scratch.clone() })
            .map_err(|error| error.to_string())?;
        // Isolated (-I): neither the user's packages nor modules in the job's directory are imported.
        let program = Program::new(&self.python)
            .args(["-I", "-c", &self.program, &start])
            .env("HOME", "/nonexistent")
            .env("PYTHONHASHSEED", "0")
            .env("DO_NOT_TRACK", "1")
            .env("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
            .directory("/")
            .sandboxed(self.access.clone());
        let mut again = Again::new(STARTS);
        loop {
            let worker = Worker::start(&program).await;
            if let Some(scratch) = &scratch {
                let _ = fs_err::remove_dir_all(scratch);
            }
            match worker {
                Err(fault) if fault.was_killed && again.pause().await => {}
                worker => return worker.map_err(|fault| fault.why),
            }
        }
    }
}

impl Worker {
    async fn start(program: &Program) -> Result<Self, StartFault> {
        let fault = |why: String| StartFault { why, was_killed: false };
        // Only jobs have limits: the warm process does nothing but import.
        let mut running = program
            .spawn(&Limits::wall(START))
            .map_err(|error| fault(format!("{}: {error}", program.path().display())))?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (running.stdin.take(), running.stdout.take(), running.stderr.take())
        else {
            return Err(fault("a worker without pipes".to_owned()));
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
        let mut worker = Self { running, stdin, stdout: BufReader::new(stdout), stderr: kept, stderr_ends };
        let fault = |why, was_killed| Err(StartFault { why, was_killed });
        match tokio::time::timeout(START, worker.line()).await {
            Ok(Line::Whole(line)) if line.contains("\"ready\"") => Ok(worker),
            Ok(_) => {
                let ended = worker.ended().await;
                let was_killed = ended.signal == Some(SIGKILL);
                fault(format!("a worker did not start: {}", ended.stderr), was_killed)
            }
            Err(_) => fault(format!("a worker was not ready after {} s", START.as_secs()), false),
        }
    }

    /// How a job ended, and whether the worker can take another one.
    async fn ask<T: DeserializeOwned>(&mut self, mut line: Vec<u8>, wall: Duration) -> (End<T>, bool) {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let before = self.running.cpu_time();
        line.push(b'\n');
        let talk = async {
            // A worker that died is seen at the read.
            let _ = self.stdin.write_all(&line).await;
            let _ = self.stdin.flush().await;
            self.line().await
        };
        match tokio::time::timeout(wall + LATE, talk).await {
            Err(_) => {
                let cpu = self.running.cpu_time().and_then(|cpu| cpu.checked_sub(before?));
                self.running.kill();
                (End::Killed(KillReason::Wall { cpu }), false)
            }
            Ok(Line::End) => {
                let Ended { signal, code, stderr } = self.ended().await;
                (End::Died { signal, code, stderr }, false)
            }
            Ok(Line::TooLong) => (self.turned("its answer is too long"), false),
            Ok(Line::Whole(line)) => match serde_json::from_str::<Reply<T>>(&line) {
                Ok(Reply { answer: Some(answer), .. }) => (End::Finished(answer), true),
                Ok(Reply { killed: true, cpu, .. }) => {
                    let cpu = cpu.and_then(|cpu| Duration::try_from_secs_f64(cpu).ok());
                    (End::Killed(KillReason::Wall { cpu }), true)
                }
                Ok(Reply { signal, code, .. }) => {
                    // Its last words are on their way.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
                    let stderr = String::from_utf8_lossy(&tail).trim().to_owned();
                    (End::Died { signal, code, stderr }, true)
                }
                Err(_) => (self.turned("its answer cannot be read"), false),
            },
        }
    }

    /// Ends a worker that is there and does not answer as one: whatever the job did to it, nobody killed it.
    fn turned<T>(&mut self, why: &str) -> End<T> {
        self.running.kill();
        End::Died { signal: None, code: None, stderr: why.to_owned() }
    }

    /// How a worker that broke off ended. One that did not end is ended.
    async fn ended(&mut self) -> Ended {
        let status = tokio::time::timeout(END, self.running.wait()).await;
        if status.is_err() {
            let _ = self.running.end().await;
        }
        let _ = tokio::time::timeout(END, &mut self.stderr_ends).await;
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = String::from_utf8_lossy(&tail).trim().to_owned();
        match status {
            Ok(status) => Ended::new(status.ok(), stderr),
            // It is gone, and on a machine that is too busy nobody says how: it did not end by itself.
            Err(_) => Ended { signal: Some(SIGKILL), code: None, stderr },
        }
    }

    async fn line(&mut self) -> Line {
        let mut line = String::new();
        match (&mut self.stdout).take(MAX_ANSWER).read_line(&mut line).await {
            Ok(_) if line.ends_with('\n') => Line::Whole(line),
            Ok(n) if n as u64 == MAX_ANSWER => Line::TooLong,
            // Not UTF-8: no worker says that.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Line::TooLong,
            _ => Line::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(workers: &Workers, job: &str) -> End<String> {
        // A busy machine may take long for a second of CPU time.
        let wall = Duration::from_secs(if job.contains("sleep") { 1 } else { 60 });
        workers.ask(&job, &[], wall, Duration::from_secs(1)).await.end
    }

    fn python() -> PathBuf {
        crate::tool::environment::python()
    }

    /// Jobs are Python.
    fn workers() -> Workers {
        let program = "
def alive(process):
    try:
        os.kill(process, 0)
        return True
    except OSError:
        return False

def forge(text):
    for descriptor in range(3, 16):
        try:
            os.write(descriptor, text)
        except OSError:
            pass
    os._exit(0)

serve(lambda scratch: None, lambda job: str(eval(job)))";
        let limits = Limits { memory: Some(1 << 30), file_size: Some(1 << 20), ..Limits::wall(LATE) };
        Workers::new(python(), program, 1, limits, Access::default())
    }

    #[tokio::test]
    async fn a_worker_that_cannot_start_says_why() {
        let workers = |program| Workers::new(python(), program, 1, Limits::wall(LATE), Access::default());
        let End::NotStarted(why) = ask(&workers("import nosuchmodule"), "1").await else { panic!("started") };
        assert!(why.contains("No module named 'nosuchmodule'"), "{why}");
        let pool = Workers::new("/nonexistent/python".into(), "", 1, Limits::wall(LATE), Access::default());
        assert!(matches!(ask(&pool, "1").await, End::NotStarted(_)));
    }

    #[tokio::test]
    async fn a_job_that_fails_in_any_way_leaves_the_worker_usable() {
        let workers = workers();
        let End::Finished(id) = ask(&workers, "os.getppid()").await else { panic!("no answer") };
        let End::Died { code: Some(1), stderr, .. } = ask(&workers, "1 / 0").await else {
            panic!("no error")
        };
        assert_eq!(stderr, "ZeroDivisionError: division by zero");
        let end = ask(&workers, "os.kill(os.getpid(), 9)").await;
        assert!(matches!(end, End::Died { signal: Some(9), .. }), "{end:?}");
        let end = ask(&workers, "time.sleep(60)").await;
        assert!(
            matches!(end, End::Killed(KillReason::Wall { cpu: Some(cpu) }) if cpu.as_secs() == 0),
            "{end:?}"
        );
        let end = ask(&workers, "any(iter(int, 1))").await;
        assert!(matches!(end, End::Died { signal: Some(24), .. }), "{end:?}");
        let end = ask(&workers, "'x' * (2 << 30)").await;
        assert!(matches!(&end, End::Died { stderr, .. } if stderr.contains("MemoryError")), "{end:?}");
        // A job changes nothing for the next one, and cannot answer in its place.
        let end = ask(&workers, "[globals().update(time=None), os.write(1, b'{}\\n')]").await;
        assert!(matches!(end, End::Finished(_)), "{end:?}");
        let End::Finished(again) = ask(&workers, "os.getppid()").await else { panic!("no answer") };
        assert_eq!(id, again);
    }

    /// It was not killed: nothing is to be tried again and again.
    #[tokio::test]
    async fn a_job_that_forges_an_answer_has_ended_by_itself() {
        let workers = workers();
        let end = ask(&workers, "forge(b'[1]\\n')").await;
        assert!(matches!(end, End::Died { signal: None, code: None, .. }), "{end:?}");
        assert!(matches!(ask(&workers, "1").await, End::Finished(_)));
    }

    /// Also where `unshare` stands between, and has an end of its own.
    #[tokio::test]
    async fn a_worker_that_is_killed_during_a_job_counts_as_killed() {
        let workers = workers();
        assert!(matches!(ask(&workers, "1").await, End::Finished(_)));
        let id = workers.idle.lock().expect("idle")[0].running.id().expect("it runs");
        let below = fs_err::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let worker = below.split_whitespace().next().and_then(|id| id.parse().ok());
        let worker = worker.or_else(|| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            rustix::process::kill_process(worker.expect("an id"), rustix::process::Signal::KILL)
                .expect("killed");
        };
        let (end, ()) = tokio::join!(ask(&workers, "select.select([], [], [], 30)"), kill);
        assert!(matches!(end, End::Died { signal: Some(SIGKILL), .. }), "{end:?}");
        assert!(matches!(ask(&workers, "1").await, End::Finished(_)), "the next one is another worker");
    }

    /// What a job starts ends with it, even when it hides in a session of its own.
    #[tokio::test]
    async fn nothing_outlives_its_job() {
        if !sandbox::support().closes_network() {
            return;
        }
        let workers = workers();
        let hide = "os.fork() or (os.setsid(), os.fork() or select.select([], [], [], 60), os._exit(0))";
        assert!(matches!(ask(&workers, hide).await, End::Finished(_)));
        let End::Finished(left) = ask(&workers, "[n for n in range(1, 1000) if alive(n)]").await else {
            panic!("no answer")
        };
        assert_eq!(left.matches(',').count(), 1, "only the worker and the job itself: {left}");
    }
}
