//! What the kernel closes to children that touch what a model wrote: namespaces without a network, without other
//! processes' memory and signals, and a list of the files that may be read and written (Landlock). It is the second
//! line of defence; the first is the static policy, the third DuckDB's own lock.
//!
//! Nothing here needs privileges or `unsafe`: namespaces come from the `unshare` command, which then becomes the program
//! itself; Landlock restricts one short-lived thread of ours, and a child inherits the restrictions of the thread that
//! starts it. What the system does not offer is left out and named, never silently assumed.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What a restricted child may reach. Everything else is closed as far as the system allows: see [`support`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Files and folders that it may read, beyond the system's libraries.
    pub read: Vec<PathBuf>,
    /// Folders that it may read and write.
    pub write: Vec<PathBuf>,
    /// Programs that it may start, beyond itself.
    pub execute: Vec<PathBuf>,
    /// Whether it starts further processes: then it gets a process namespace, and all of them end with it. Its exit comes
    /// through `unshare`, its process id is not the one that we see.
    pub processes: bool,
}

/// What the system offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// The `unshare` command, where user and network namespaces can be made with it.
    unshare: Option<PathBuf>,
    /// Version of Landlock's interface; 0 where there is none.
    landlock: u32,
}

/// Read by every program that is linked to shared libraries, and by Python: libraries, time zones, names of users.
const SYSTEM: &[&str] = &[
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/usr/share/locale",
    "/usr/lib/locale",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/passwd",
    "/etc/nsswitch.conf",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
    "/dev/zero",
    "/dev/urandom",
    "/dev/random",
    // DuckDB looks at the limits of its control group, and fails where they exist but cannot be read. What other processes hold
    // stays closed: namespaces and Landlock forbid looking into them.
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
];

impl Support {
    /// Whether children have no network at all.
    pub fn closes_network(&self) -> bool {
        self.unshare.is_some()
    }

    /// Whether children reach only the files of their list.
    pub fn closes_files(&self) -> bool {
        self.landlock > 0
    }

    /// What is missing, in words; empty when nothing is.
    pub fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        match (&self.unshare, self.landlock) {
            (Some(_), _) => {}
            (None, 4..) => gaps.push(
                "namespaces are not allowed here: of the network only TCP is closed to children".to_owned(),
            ),
            (None, _) => gaps.push(
                "namespaces are not allowed here: the network is closed to children only by DuckDB's own lock".to_owned(),
            ),
        }
        if self.landlock == 0 {
            gaps.push(
                "the kernel has no Landlock: files are closed to children only by DuckDB's own lock"
                    .to_owned(),
            );
        }
        gaps
    }
}

impl std::fmt::Display for Support {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.closes_network().then(|| "no network, own processes (namespaces)".to_owned()));
        parts.extend(self.closes_files().then(|| format!("only listed files (Landlock {})", self.landlock)));
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// What every restricted child may read.
pub(super) fn system_paths() -> impl Iterator<Item = &'static str> {
    SYSTEM.iter().copied()
}

/// What this system offers; looked at once.
pub fn support() -> &'static Support {
    static SUPPORT: OnceLock<Support> = OnceLock::new();
    SUPPORT.get_or_init(system::probe)
}

/// The command line that starts `program` inside namespaces; `None` where there are none.
pub(super) fn wrapped(access: &Access) -> Option<(PathBuf, Vec<&'static str>)> {
    let unshare = support().unshare.clone()?;
    // No ids are mapped: the child keeps its rights to files, and has none over the namespaces.
    let mut args = vec!["--user", "--net", "--ipc"];
    if access.processes {
        args.extend(["--pid", "--fork", "--kill-child"]);
    }
    args.push("--");
    Some((unshare, args))
}

/// Calls `start` so that the child that it starts is restricted to `access`; where the kernel cannot, just calls it.
pub(super) fn restricted<T: Send>(
    program: &Path,
    access: &Access,
    start: impl FnOnce() -> std::io::Result<T> + Send,
) -> std::io::Result<T> {
    if support().landlock == 0 {
        return start();
    }
    let mut access = access.clone();
    // A script, as an installed Python command is one, is started by what its first line names.
    if let Some(interpreter) = interpreter(program) {
        let folders = python_folders(&interpreter);
        access.read.extend(folders.iter().cloned());
        access.execute.extend(folders);
        access.execute.push(interpreter);
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            system::restrict_thread(program, &access)?;
            start()
        });
        thread
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread that starts children panicked")))
    })
}

/// The program that a script's first line names; `None` where the program is no script.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut head = Vec::new();
    fs_err::File::open(program).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = std::str::from_utf8(line).ok()?.split_whitespace().next()?;
    Some(word.into())
}

/// The folders that a Python needs to read: of its environment and of the Python that the environment was made with.
pub fn python_folders(python: &Path) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let prefix = python.parent().and_then(Path::parent);
    if let Some(prefix) = prefix {
        found.insert(prefix.to_owned());
        // `home = /usr/bin`: the folder of the Python below it.
        let base = fs_err::read_to_string(prefix.join("pyvenv.cfg")).ok().and_then(|text| {
            let line =
                text.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == "home"));
            line.and_then(|(_, home)| Path::new(home.trim()).parent().map(Path::to_owned))
        });
        found.extend(base);
    }
    // Through the links to the binary itself: `<prefix>/bin/python3.11`.
    let real = fs_err::canonicalize(python).ok();
    found.extend(real.as_deref().and_then(Path::parent).and_then(Path::parent).map(Path::to_owned));
    // Of a Python of the system only its own folders are needed, which are open to all children.
    found.remove(Path::new("/"));
    let mut folders: Vec<PathBuf> = Vec::new();
    for prefix in found {
        if [Path::new("/usr"), Path::new("/usr/local")].contains(&prefix.as_path()) {
            folders.push(prefix.join("lib"));
            folders.push(prefix.join("bin"));
        } else {
            folders.push(prefix);
        }
    }
    folders
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
        Scope, path_beneath_rules,
    };

    use super::super::process::{Limits, Program};
    use super::{Access, SYSTEM, Support};

    /// The newest interface that was looked through; older kernels enforce what they know of it.
    const NEWEST: ABI = ABI::V9;

    pub(super) fn probe() -> Support {
        // Whether it works is only known by doing it, for which a thread of its own is thrown away.
        let tried = std::thread::spawn(|| {
            let rules = Ruleset::default().handle_access(AccessFs::MakeBlock)?.create()?;
            rules.restrict_self().map(|status| status.landlock)
        });
        let landlock = match tried.join() {
            Ok(Ok(LandlockStatus::Available { effective_abi, .. })) => effective_abi as u32,
            _ => 0,
        };
        Support { unshare: find("unshare").filter(|path| makes_namespaces(path)), landlock }
    }

    fn makes_namespaces(unshare: &Path) -> bool {
        let Some(r#true) = find("true") else { return false };
        let limits = Limits::wall(Duration::from_secs(10));
        // Some systems allow the command and then take its rights away: try all of it.
        Program::new(unshare)
            .args(["--user", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--"])
            .arg(r#true)
            .run_blocking(&limits)
            .is_ok_and(|finished| finished.success())
    }

    fn find(name: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
    }

    pub(super) fn restrict_thread(program: &Path, access: &Access) -> io::Result<()> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let all = AccessFs::from_all(NEWEST);
        let starts = [Some(program.to_owned()), super::support().unshare.clone()];
        // A program is started together with the loader beside the system's libraries.
        let starts = starts.into_iter().flatten().chain(access.execute.iter().cloned());
        let loaders = SYSTEM.iter().map(PathBuf::from).filter(|path| path.is_dir());
        let make = || {
            Ruleset::default()
                .handle_access(all)?
                .handle_access(AccessNet::from_all(NEWEST))?
                .scope(Scope::from_all(NEWEST))?
                .create()?
                .add_rules(path_beneath_rules(SYSTEM, read))?
                .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
                .add_rules(path_beneath_rules(starts.chain(loaders), AccessFs::Execute | AccessFs::ReadFile))?
                .add_rules(path_beneath_rules(&access.read, read))?
                .add_rules(path_beneath_rules(&access.write, all & !AccessFs::Execute))?
                .restrict_self()
        };
        make().map(|_| ()).map_err(io::Error::other)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::path::Path;

    use super::{Access, Support};

    pub(super) fn probe() -> Support {
        Support { unshare: None, landlock: 0 }
    }

    pub(super) fn restrict_thread(_: &Path, _: &Access) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::process::{Finished, Limits, Program};
    use super::*;

    fn sh(script: &str, access: Access) -> Finished {
        let execute = ["/bin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from).to_vec();
        Program::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .sandboxed(Access { execute, ..access })
            .run_blocking(&Limits::wall(Duration::from_secs(20)))
            .expect("sh starts")
    }

    #[test]
    fn only_listed_files_are_reached() {
        if !support().closes_files() {
            return;
        }
        let dir = tempfile::tempdir().expect("temp dir");
        let [own, other] = ["own", "other"].map(|name| dir.path().join(name));
        for folder in [&own, &other] {
            fs_err::create_dir_all(folder).expect("folder");
            fs_err::write(folder.join("file"), "content").expect("file");
        }
        let (own, other) = (own.display(), other.display());
        let try_all = format!(
            "cat {own}/file; cat {other}/file; echo x > {own}/new; echo x > {other}/new; rm {other}/file; ln {other}/file {own}/link; ln -s {other} {own}/way; cat {own}/way/file; true"
        );
        let access = Access { write: vec![dir.path().join("own")], ..Access::default() };
        let finished = sh(&try_all, access);
        assert_eq!(finished.stdout_text(), "content", "{}", finished.stderr_text());
        assert!(dir.path().join("own/new").exists());
        let left: Vec<_> = fs_err::read_dir(dir.path().join("other")).expect("other").collect();
        assert_eq!(left.len(), 1);
        let access = Access { read: vec![dir.path().join("own")], ..Access::default() };
        let finished = sh(&format!("cat {own}/file; echo y > {own}/file; true"), access);
        assert_eq!(finished.stdout_text(), "content");
        assert_eq!(fs_err::read_to_string(dir.path().join("own/file")).expect("file"), "content");
    }

    #[test]
    fn no_network_no_other_process() {
        if !support().closes_network() {
            return;
        }
        let access = Access { processes: true, ..Access::default() };
        let us = std::process::id();
        let finished = sh(
            &format!(
                "kill -0 {us} 2>&- && echo reached; cat /proc/{us}/environ 2>&-; cat /proc/net/route; true"
            ),
            access,
        );
        let text = finished.stdout_text();
        assert!(!text.contains("reached") && !text.contains("CARGO"), "{text}");
        assert!(text.lines().count() <= 1, "a way into a network: {text}");
    }

    #[test]
    fn the_end_of_a_program_is_seen_through_its_namespace() {
        let access = || Access { processes: true, ..Access::default() };
        assert_eq!(sh("exit 3", access()).code, Some(3));
        assert_eq!(sh("exit 3", Access::default()).code, Some(3));
        if support().closes_network() {
            let finished = sh("sleep 60 & echo $!; exit 0", access());
            assert!(finished.success() && finished.duration < Duration::from_secs(10), "{finished:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let bare = Support { unshare: None, landlock: 0 };
        assert_eq!((bare.gaps().len(), bare.to_string().as_str()), (2, "none"));
        let whole = Support { unshare: Some("/usr/bin/unshare".into()), landlock: 7 };
        assert!(whole.gaps().is_empty(), "{whole}");
    }
}
