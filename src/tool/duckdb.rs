//! One long-lived `duckdb` command as a child, for SQL that a model wrote: no files, no network, no extensions, capped
//! memory, one thread, its own process group, a deadline on every request.
//!
//! A request is a script; its reply is everything that the child prints until an end mark appears on stdout and on
//! stderr. The mark is derived from a secret for each request, so no output can forge it. A child that misses its
//! deadline, dies, or prints too much is killed; the next request starts a fresh one.

use std::hash::{BuildHasher, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::process::{Limits, Program, Running};
use super::sandbox::Access;

/// Wall-clock time that a request may take, as a multiple of its CPU time.
const WALL_PER_CPU: u32 = 10;

/// How long a child that closed its pipes may take to end.
const END: Duration = Duration::from_secs(10);

/// What DuckDB may use.
#[derive(Debug, Clone)]
pub struct SessionLimits {
    /// DuckDB's own memory limit, megabytes.
    pub memory_mb: u32,
    /// Largest reply, bytes on each of stdout and stderr.
    pub output: usize,
    /// Time that the child may take to start.
    pub start: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { memory_mb: 512, output: 16 << 20, start: Duration::from_secs(30) }
    }
}

/// What the child printed for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Result rows, in the `list` mode: cells separated by `|`, no header.
    pub stdout: String,
    /// Error messages of the statements that failed; the others ran.
    pub stderr: String,
}

/// Why a request has no reply. Never says anything about the SQL's meaning.
#[derive(Debug, thiserror::Error)]
pub enum SessionFault {
    /// The binary cannot be started, or does not behave like DuckDB.
    #[error("cannot start {}: {cause}", path.display())]
    Start {
        /// The binary.
        path: PathBuf,
        /// What went wrong.
        cause: String,
    },
    /// It used more CPU time than allowed.
    #[error("DuckDB did not finish within {} seconds of CPU time", .0.as_secs_f64())]
    Deadline(Duration),
    /// More output than allowed.
    #[error("DuckDB printed more than {0} bytes")]
    Output(usize),
    /// The child was killed from outside.
    #[error("DuckDB was killed from outside (is the machine out of memory?)")]
    Killed,
    /// The child ended (crashed, or ran out of memory).
    #[error("DuckDB ended: {0}")]
    Ended(String),
}

/// A DuckDB child that is started on first use and restarted after a fault.
#[derive(Debug)]
pub struct Session {
    binary: PathBuf,
    limits: SessionLimits,
    secret: [u8; 32],
    requests: u64,
    child: Option<Running>,
}

impl Session {
    /// A session of this `duckdb` command; nothing is started yet.
    pub fn new(binary: impl Into<PathBuf>, limits: SessionLimits) -> Self {
        // `RandomState` is seeded by the operating system.
        let mut secret = [0; 32];
        for chunk in secret.chunks_mut(8) {
            let word = std::collections::hash_map::RandomState::new().build_hasher().finish();
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self { binary: binary.into(), limits, secret, requests: 0, child: None }
    }

    /// Runs a script of complete statements and returns what they printed. State (tables, variables) stays for the
    /// next request, until a fault. `deadline` is CPU time, so that a busy machine changes no verdict; the wall-clock
    /// limit is many times that.
    ///
    /// # Errors
    /// See [`SessionFault`]; the child is gone then, and the next request starts a fresh one.
    pub async fn execute(&mut self, script: &str, deadline: Duration) -> Result<Reply, SessionFault> {
        if self.child.is_none() {
            self.start().await?;
        }
        let reply = self.request(script, deadline).await;
        if reply.is_err() {
            self.child = None;
        }
        reply
    }

    /// Ends the child; the next request starts with an empty database.
    pub fn reset(&mut self) {
        self.child = None;
    }

    async fn start(&mut self) -> Result<(), SessionFault> {
        let fault = |cause: String| SessionFault::Start { path: self.binary.clone(), cause };
        let limits = Limits {
            wall: self.limits.start,
            cpu: None,
            memory: None,
            // Nothing may be written at all, and few files are needed to read the binary's own libraries.
            file_size: Some(0),
            open_files: Some(64),
            output: self.limits.output,
        };
        let child = Program::new(&self.binary)
            .args(["-batch", "-no-init", "-list", "-noheader", ":memory:"])
            .sandboxed(Access::default())
            .spawn(&limits)
            .map_err(|error| fault(error.to_string()))?;
        self.child = Some(child);
        // `.safe_mode` closes files and the network, forbids dot commands that reach outside, and locks the settings.
        let setup = format!(
            "SET temp_directory='';\nSET autoinstall_known_extensions=false;\nSET autoload_known_extensions=false;\n\
             SET allow_community_extensions=false;\nSET threads=1;\nSET memory_limit='{}MB';\n\
             SET TimeZone='UTC';\nSET lambda_syntax='ENABLE_SINGLE_ARROW';\n.safe_mode\n\
             SELECT current_setting('enable_external_access'), current_setting('lock_configuration');",
            self.limits.memory_mb
        );
        let reply = self.request(&setup, self.limits.start).await;
        let closed = matches!(&reply, Ok(reply) if reply.stdout.trim() == "false|true");
        if !closed {
            self.child = None;
            let cause = match reply {
                Err(SessionFault::Killed) => return Err(SessionFault::Killed),
                Ok(reply) => format!("it did not lock itself down: {}", excerpt(&reply.stderr)),
                Err(error) => error.to_string(),
            };
            return Err(SessionFault::Start { path: self.binary.clone(), cause });
        }
        Ok(())
    }

    async fn request(&mut self, script: &str, deadline: Duration) -> Result<Reply, SessionFault> {
        self.requests += 1;
        let mark = blake3::keyed_hash(&self.secret, &self.requests.to_le_bytes()).to_hex();
        let cap = self.limits.output;
        let ended = || SessionFault::Ended("its pipes are closed".to_owned());
        let Some(child) = self.child.as_mut() else { return Err(ended()) };
        let input = format!("{script}\n;\n.print {mark}\nSELECT error('{mark}');\n");
        let budget = Limits { cpu: Some(deadline), ..Limits::wall(deadline) };
        child.limit(&budget);
        let before = child.cpu_time().unwrap_or_default();
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.as_mut(), child.stdout.as_mut(), child.stderr.as_mut())
        else {
            return Err(ended());
        };
        let exchange = async {
            let write = async {
                stdin.write_all(input.as_bytes()).await.map_err(Stop::Pipe)?;
                stdin.flush().await.map_err(Stop::Pipe)
            };
            let ((), out, err) =
                tokio::try_join!(write, read_until(stdout, &mark, cap), read_until(stderr, &mark, cap))?;
            Ok::<_, Stop>((out, err))
        };
        match tokio::time::timeout(deadline * WALL_PER_CPU, exchange).await {
            Err(_) => Err(SessionFault::Deadline(deadline)),
            Ok(Err(Stop::Full)) => Err(SessionFault::Output(cap)),
            Ok(Err(Stop::Pipe(error))) => {
                // The kernel ends a child that has used up its CPU time.
                let used = child.cpu_time().unwrap_or_default().saturating_sub(before);
                if used >= deadline {
                    return Err(SessionFault::Deadline(deadline));
                }
                let status = tokio::time::timeout(END, child.wait()).await;
                Err(match status {
                    Ok(Ok(status)) if status.signal() == Some(9) => SessionFault::Killed,
                    _ => SessionFault::Ended(error.to_string()),
                })
            }
            Ok(Ok((stdout, stderr))) => Ok(Reply { stdout, stderr }),
        }
    }
}

enum Stop {
    Full,
    Pipe(std::io::Error),
}

/// Reads up to the line that holds the mark; the text before that line.
async fn read_until(pipe: &mut (impl AsyncRead + Unpin), mark: &str, cap: usize) -> Result<String, Stop> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = pipe.read(&mut buffer).await.map_err(Stop::Pipe)?;
        if n == 0 {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return Err(Stop::Pipe(std::io::Error::other(format!("it ended: {}", excerpt(&text)))));
        }
        // The mark may span two reads.
        let searched = bytes.len().saturating_sub(mark.len());
        bytes.extend_from_slice(&buffer[..n]);
        let tail = bytes.get(searched..).unwrap_or_default();
        if let Some(at) = tail.windows(mark.len()).position(|window| window == mark.as_bytes()) {
            let end = searched + at;
            // The rest of the mark's line follows in this read or a later one.
            let mut complete = bytes.get(end..).is_some_and(|rest| rest.contains(&b'\n'));
            while !complete {
                let n = pipe.read(&mut buffer).await.map_err(Stop::Pipe)?;
                complete = n == 0 || buffer[..n].contains(&b'\n');
            }
            let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let line = text.rfind('\n').map_or(0, |newline| newline + 1);
            return Ok(text[..line].to_owned());
        }
        if bytes.len() > cap {
            return Err(Stop::Full);
        }
    }
}

fn excerpt(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    line.chars().take(200).collect()
}

/// A fixed number of sessions, lent out one at a time.
#[derive(Debug, Clone)]
pub struct Pool {
    idle: Arc<Mutex<Vec<Session>>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    /// `size` sessions (at least one) of the same binary; children start on first use.
    pub fn new(binary: impl Into<PathBuf>, limits: &SessionLimits, size: usize) -> Self {
        let binary = binary.into();
        let size = size.max(1);
        let sessions = (0..size).map(|_| Session::new(&binary, limits.clone())).collect();
        Self { idle: Arc::new(Mutex::new(sessions)), permits: Arc::new(Semaphore::new(size)) }
    }

    /// Waits for a free session. It returns to the pool when the lease is dropped.
    pub async fn lease(&self) -> Lease {
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let session = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lease { session, pool: Arc::clone(&self.idle), _permit: permit }
    }
}

/// A session on loan from a [`Pool`].
#[derive(Debug)]
pub struct Lease {
    session: Option<Session>,
    pool: Arc<Mutex<Vec<Session>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// See [`Session::execute`].
    ///
    /// # Errors
    /// See [`SessionFault`].
    pub async fn execute(&mut self, script: &str, deadline: Duration) -> Result<Reply, SessionFault> {
        match &mut self.session {
            Some(session) => session.execute(script, deadline).await,
            None => Err(SessionFault::Ended("the pool is empty".to_owned())),
        }
    }

    /// See [`Session::reset`].
    pub fn reset(&mut self) {
        if let Some(session) = &mut self.session {
            session.reset();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(session);
        }
    }
}
