//! Running a child under limits: its own process group, a wall-clock deadline, rlimits, an output cap, a scrubbed
//! environment, and the kernel's restrictions ([`super::sandbox`]) where it touches what a model wrote. A child never
//! outlives its handle: dropping it kills the whole group.
//!
//! The rlimits are set on the running child (`prlimit`), since code between fork and exec would need `unsafe`. The few
//! microseconds in between are spent in exec and the dynamic loader, before anything a model wrote can run.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use super::sandbox::{self, Access};

/// How long a group may take to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(1);

/// How often a child that is waited for is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// Variables that a child inherits; everything else (keys, tokens, dbt's own switches) stays behind.
const INHERITED: &[&str] = &["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// What a child may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wall-clock time; at the deadline the whole process group is killed.
    pub wall: Duration,
    /// CPU time (`RLIMIT_CPU`, soft: SIGXCPU).
    pub cpu: Option<Duration>,
    /// Address space, bytes (`RLIMIT_AS`).
    pub memory: Option<u64>,
    /// Largest file that may be written, bytes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Bytes kept of stdout and of stderr; a child that writes more is killed.
    pub output: usize,
}

impl Limits {
    /// Only a deadline, and 16 MB of output.
    pub fn wall(wall: Duration) -> Self {
        Self { wall, cpu: None, memory: None, file_size: None, open_files: None, output: 16 << 20 }
    }
}

/// Why we killed a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillReason {
    /// Its deadline passed. `cpu` is the CPU time that it had used, where the system says.
    Wall {
        /// CPU time used until then.
        cpu: Option<Duration>,
    },
    /// It wrote more than the output cap.
    Output,
}

/// A program with its arguments, environment and directory.
#[derive(Debug, Clone)]
pub struct Program {
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    cwd: Option<PathBuf>,
    stdin: Vec<u8>,
    access: Option<Access>,
}

/// How a child ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Why we killed it; `None` when it ended by itself.
    pub killed: Option<KillReason>,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Wall time.
    pub duration: Duration,
    /// What it wrote to stdout, up to the cap.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, up to the cap.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Whether it ended by itself with exit code 0.
    pub fn success(&self) -> bool {
        self.killed.is_none() && self.code == Some(0)
    }

    /// stdout as text, invalid UTF-8 replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text, invalid UTF-8 replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Program {
    /// A program with an empty argument list and the scrubbed environment.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let mut this = Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            stdin: Vec::new(),
            access: None,
        };
        for name in INHERITED {
            this = this.inherit(name);
        }
        this
    }

    /// The program's path.
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Passes on one of our own environment variables, when it is set.
    #[must_use]
    pub fn inherit(mut self, name: &str) -> Self {
        if let Some(value) = std::env::var_os(name) {
            self.env.insert(name.into(), value);
        }
        self
    }

    /// Passes on every variable of ours whose name starts with `prefix`.
    #[must_use]
    pub fn inherit_prefix(mut self, prefix: &str) -> Self {
        for (name, value) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(prefix) {
                self.env.insert(name, value);
            }
        }
        self
    }

    /// Starts in this directory.
    #[must_use]
    pub fn directory(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// Writes these bytes to its stdin, then closes it.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Restricts it: no network, and of files only what is named. For every child that touches what a model wrote.
    #[must_use]
    pub fn sandboxed(mut self, access: Access) -> Self {
        self.access = Some(access);
        self
    }

    /// Starts it with piped stdin, stdout and stderr, in a process group of its own, under the rlimits of `limits`
    /// (the deadline and the output cap are the caller's to keep). For children that are talked to; see [`Program::run`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, limits: &Limits) -> io::Result<Running> {
        let wrapped = self.access.as_ref().and_then(sandbox::wrapped);
        let is_behind = wrapped.is_some() && self.access.as_ref().is_some_and(|access| access.processes);
        let program = wrapped.as_ref().map_or(&self.program, |(program, _)| program);
        #[expect(clippy::disallowed_methods, reason = "the one place that starts children")]
        let mut command = tokio::process::Command::new(program);
        if let Some((_, before)) = &wrapped {
            command.args(before).arg(&self.program);
        }
        command
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let mut child = match &self.access {
            None => command.spawn()?,
            Some(access) => {
                let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
                sandbox::restricted(&self.program, access, || {
                    let _inside = runtime.enter();
                    command.spawn()
                })?
            }
        };
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let running = Running {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            group,
        };
        if !is_behind {
            running.limit(limits);
        }
        Ok(running)
    }

    /// Runs it to its end, or to a limit.
    ///
    /// # Errors
    /// When it cannot be started or waited for.
    pub async fn run(&self, limits: &Limits) -> io::Result<Finished> {
        self.run_with(limits, &mut |_| {}).await
    }

    async fn run_with(
        &self,
        limits: &Limits,
        on_stdout: &mut (dyn FnMut(&[u8]) + Send),
    ) -> io::Result<Finished> {
        let started = Instant::now();
        let mut running = self.spawn(limits)?;
        let input = running.stdin.take();
        let feed = async {
            if let Some(mut pipe) = input {
                // A child may end without reading its input; that is not a fault of its own.
                let _ = pipe.write_all(&self.stdin).await;
            }
        };
        let mut stdout = Vec::new();
        let mut stderr = Vec::new();
        let mut ignore = |_: &[u8]| {};
        let out = running.stdout.take();
        let err = running.stderr.take();
        let mut killed = None;
        {
            let read = async {
                let reads = async {
                    tokio::try_join!(
                        read_capped(out, &mut stdout, limits.output, on_stdout),
                        read_capped(err, &mut stderr, limits.output, &mut ignore)
                    )
                };
                tokio::join!(feed, reads).1
            };
            let exit = async {
                running.wait().await?;
                // A grandchild may keep the pipes open: give it a moment, no more.
                tokio::time::sleep(GRACE).await;
                io::Result::Ok(())
            };
            tokio::select! {
                read = read => if read.is_err() { killed = Some(KillReason::Output) },
                exit = exit => exit?,
                () = tokio::time::sleep(limits.wall) => killed = Some(KillReason::Wall { cpu: None }),
            }
        }
        if let Some(KillReason::Wall { cpu }) = &mut killed {
            *cpu = running.cpu_time();
        }
        let status = if killed.is_some() {
            running.end().await?
        } else {
            let left = limits.wall.saturating_sub(started.elapsed());
            match tokio::time::timeout(left, running.wait()).await {
                Ok(status) => status?,
                Err(_) => {
                    killed = Some(KillReason::Wall { cpu: running.cpu_time() });
                    running.end().await?
                }
            }
        };
        Ok(Finished {
            killed,
            code: status.code(),
            signal: status.signal(),
            duration: started.elapsed(),
            stdout,
            stderr,
        })
    }

    /// [`Program::run`] for callers outside the async runtime (or in a blocking task of it).
    ///
    /// # Errors
    /// When it cannot be started or waited for.
    pub fn run_blocking(&self, limits: &Limits) -> io::Result<Finished> {
        self.run_blocking_lines(limits, |_| {})
    }

    /// [`Program::run_blocking`] that shows every line of stdout as it comes.
    ///
    /// # Errors
    /// When it cannot be started or waited for.
    pub fn run_blocking_lines(&self, limits: &Limits, mut on_line: impl FnMut(&str)) -> io::Result<Finished> {
        let (sender, chunks) = std::sync::mpsc::channel::<Vec<u8>>();
        std::thread::scope(|scope| {
            // A thread of its own, since a runtime cannot be started inside another.
            let run = scope.spawn(move || {
                tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.run_with(
                    limits,
                    &mut |chunk| {
                        let _ = sender.send(chunk.to_vec());
                    },
                ))
            });
            let mut pending = Vec::new();
            for chunk in chunks {
                pending.extend(chunk);
                while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = pending.drain(..=end).collect();
                    on_line(String::from_utf8_lossy(&line).trim_end());
                }
            }
            run.join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that waited for a child panicked")))
        })
    }
}

/// A child that runs. Dropping it kills its whole group.
#[derive(Debug)]
pub struct Running {
    /// Its stdin, until taken; closing it tells a worker to end.
    pub stdin: Option<ChildStdin>,
    /// Its stdout, until taken.
    pub stdout: Option<ChildStdout>,
    /// Its stderr, until taken.
    pub stderr: Option<ChildStderr>,
    child: Child,
    group: Option<Pid>,
}

impl Running {
    /// Process id; `None` once it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it has come to its end.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// CPU time used so far by the process and all below it, where the system says.
    pub fn cpu_time(&self) -> Option<Duration> {
        let mut total = Duration::ZERO;
        let mut open = vec![(self.child.id()?, 0)];
        while let Some((id, depth)) = open.pop() {
            match cpu_of(id) {
                Some(cpu) => total += cpu,
                None if depth == 0 => return None,
                // It ended since; its time is now its parent's.
                None => continue,
            }
            let children =
                fs_err::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            if depth < 8 {
                open.extend(
                    children.split_ascii_whitespace().filter_map(|id| Some((id.parse().ok()?, depth + 1))),
                );
            }
        }
        Some(total)
    }

    /// Sets the rlimits of a running child. The CPU limit counts from now, so that a worker gets its share per job.
    pub fn limit(&self, limits: &Limits) {
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{Resource, Rlimit, prlimit};
            let Some(pid) = self.group else { return };
            let set = |resource, current, maximum| {
                // A child that is gone already, or a hard limit of the system below ours: either way nothing to do.
                let _ = prlimit(Some(pid), resource, Rlimit { current, maximum });
            };
            set(Resource::Core, Some(0), Some(0));
            if let Some(cpu) = limits.cpu {
                let used = self.cpu_time().unwrap_or_default();
                // Whole seconds, rounded up. Soft only: the hard limit could never be raised for the next job.
                set(Resource::Cpu, Some((used + cpu).as_secs() + 1), None);
            }
            for (resource, value) in [
                (Resource::As, limits.memory),
                (Resource::Fsize, limits.file_size),
                (Resource::Nofile, limits.open_files),
            ] {
                if value.is_some() {
                    set(resource, value, value);
                }
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = limits;
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When the system cannot wait for it.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            // Among many kills a zombie was seen that nobody was told of: we look for ourselves now and then.
            match tokio::time::timeout(LOOK, self.child.wait()).await {
                Ok(status) => return status,
                Err(_) => {
                    if let Some(status) = self.child.try_wait()? {
                        return Ok(status);
                    }
                }
            }
        }
    }

    /// Ends the whole group: SIGTERM, a moment, SIGKILL.
    ///
    /// # Errors
    /// When the system cannot wait for it.
    pub async fn end(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(GRACE, self.child.wait()).await;
        self.signal(Signal::KILL);
        match ended {
            Ok(status) => status,
            Err(_) => self.wait().await,
        }
    }

    /// Ends the whole group at once.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // ESRCH: nobody is left in the group.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

/// CPU time of one process and of its children that ended.
fn cpu_of(id: u32) -> Option<Duration> {
    // Fields 14 to 17, in ticks of 1/100 s; the command name before them may hold spaces.
    let stat = fs_err::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11).take(4);
    let ticks = fields.map(|field| field.parse::<u64>().ok()).sum::<Option<u64>>()?;
    Some(Duration::from_millis(ticks.checked_mul(10)?))
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn read_capped(
    pipe: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    cap: usize,
    on_chunk: &mut (dyn FnMut(&[u8]) + Send),
) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = pipe.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let room = cap.saturating_sub(into.len());
        let kept = buffer.get(..n.min(room)).unwrap_or_default();
        into.extend_from_slice(kept);
        on_chunk(kept);
        if n > room {
            return Err(io::Error::other("output cap reached"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        Program::new("/bin/sh").arg("-c").arg(script)
    }

    fn limits() -> Limits {
        Limits::wall(Duration::from_secs(20))
    }

    fn alive(pid: &str) -> bool {
        // A killed process may stay as a zombie of init for a moment.
        fs_err::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .is_ok_and(|stat| !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z")))
    }

    #[test]
    fn output_and_exit_code_are_reported() {
        let finished =
            sh("cat; echo oops >&2; exit 3").stdin("in").run_blocking(&limits()).expect("sh starts");
        assert_eq!((finished.code, finished.signal, finished.killed), (Some(3), None, None));
        assert_eq!((finished.stdout_text().as_str(), finished.stderr_text().as_str()), ("in", "oops\n"));
        assert!(!finished.success());
    }

    #[test]
    fn the_whole_group_is_killed_at_the_deadline() {
        let limits = Limits::wall(Duration::from_millis(300));
        let finished =
            sh("sleep 60 & echo $!; trap '' TERM; wait; sleep 60").run_blocking(&limits).expect("sh");
        assert!(matches!(finished.killed, Some(KillReason::Wall { .. })), "{finished:?}");
        std::thread::sleep(Duration::from_millis(100));
        assert!(!alive(&finished.stdout_text()), "the grandchild outlived its deadline");
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hold_us_up() {
        let finished = sh("sleep 60 & echo $!").run_blocking(&limits()).expect("sh starts");
        assert!(finished.success() && finished.duration < Duration::from_secs(10), "{finished:?}");
        std::thread::sleep(Duration::from_millis(100));
        assert!(!alive(&finished.stdout_text()), "the grandchild outlived the handle");
    }

    #[test]
    fn too_much_output_is_cut_and_ends_the_child() {
        let limits = Limits { output: 1000, ..limits() };
        let finished = sh("yes").run_blocking(&limits).expect("sh starts");
        assert_eq!((finished.killed, finished.stdout.len()), (Some(KillReason::Output), 1000));
    }

    #[test]
    fn secrets_stay_behind() {
        // CARGO_MANIFEST_DIR is set in the environment of every test.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let finished = Program::new("/usr/bin/env").env("MINE", "1").run_blocking(&limits()).expect("env");
        let text = finished.stdout_text();
        assert!(text.contains("MINE=1") && text.contains("PATH="), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[test]
    fn rlimits_hold() {
        let spin = sh("while :; do :; done");
        let finished =
            spin.run_blocking(&Limits { cpu: Some(Duration::ZERO), ..limits() }).expect("sh starts");
        assert_eq!((finished.signal, finished.killed), (Some(Signal::XCPU.as_raw()), None));

        let dir = tempfile::tempdir().expect("temp dir");
        let finished = sh("sleep 0.2; head -c 100000 /dev/zero > big")
            .directory(dir.path())
            .run_blocking(&Limits { file_size: Some(1000), ..limits() })
            .expect("sh starts");
        assert!(!finished.success());
        assert!(fs_err::metadata(dir.path().join("big")).expect("big").len() <= 1000);
    }

    #[test]
    fn lines_are_shown_as_they_come() {
        let mut lines = Vec::new();
        sh("echo one; printf 'two\\nthree'")
            .run_blocking_lines(&limits(), |line| lines.push(line.to_owned()))
            .expect("sh starts");
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn a_missing_program_is_an_error() {
        let error =
            Program::new("/nonexistent/program").run_blocking(&limits()).expect_err("no such program");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn dropping_the_handle_kills_the_child() {
        let mut running = sh("sleep 60 & echo $!; wait").spawn(&limits()).expect("sh starts");
        let mut line = [0; 16];
        let n = running.stdout.as_mut().expect("piped").read(&mut line).await.expect("a line");
        let grandchild = String::from_utf8_lossy(&line[..n]).into_owned();
        let child = running.id().expect("running").to_string();
        drop(running);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!alive(&grandchild) && !alive(&child));
    }
}
