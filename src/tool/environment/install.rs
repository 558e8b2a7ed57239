//! Making the managed environment: into a sibling directory, under a lock, renamed when it is complete.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{EnvironmentError, PYTHON_AT_LEAST, PYTHON_BELOW, REQUIREMENTS, check_managed, supported};
use crate::tool::process::{Finished, Limits, Program};
use crate::tool::progress::Progress;
use crate::tool::state;

/// Variables that pip and venv may need: its own settings, proxies and certificates.
const FOR_PIP: &[&str] = &[
    "HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

pub(super) fn install(
    root: &Path,
    home: &Path,
    python: Option<&Path>,
    broken: Option<&str>,
    progress: &dyn Fn(Progress),
) -> Result<(), EnvironmentError> {
    state::create(root, "tools")?;
    let lock = fs_err::File::create(home.with_extension("lock"))?;
    match lock.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress("another assay is installing the tools; waiting for it".into());
            lock.file().lock()?;
            if check_managed(home).is_ok() {
                return Ok(());
            }
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    match broken {
        Some(why) => progress(format!("the tools environment is damaged ({why}); making it anew").into()),
        None => progress("installing dbt, duckdb and sqlfluff (once, about 350 MB)".into()),
    }
    let python = match python {
        Some(python) => suitable(python).map_err(|found| EnvironmentError::PythonVersion { found })?,
        None => find_python()?,
    };
    // Left behind by a run that was killed; the lock says that nobody works in it.
    let partial = home.with_extension("partial");
    remove(&partial)?;
    let made = make(&python, &partial, progress);
    if made.is_err() {
        remove(&partial)?;
    }
    made?;
    relocate_scripts(&partial, home)?;
    remove(home)?;
    fs_err::rename(&partial, home)?;
    progress("the tools are installed".into());
    Ok(())
}

pub(super) fn remove(dir: &Path) -> Result<(), EnvironmentError> {
    if dir.symlink_metadata().is_ok() {
        fs_err::remove_dir_all(dir)?;
    }
    Ok(())
}

fn make(python: &Path, dir: &Path, progress: &dyn Fn(Progress)) -> Result<(), EnvironmentError> {
    let finished = with_pip_environment(Program::new(python))
        .args(["-m", "venv"])
        .arg(dir)
        .run_blocking(&Limits::wall(Duration::from_secs(300)))?;
    check(&finished, "python -m venv", dir)?;

    let requirements = dir.join("requirements.txt");
    fs_err::write(&requirements, REQUIREMENTS)?;
    let total = REQUIREMENTS.lines().filter(|line| line.contains("==") && !line.starts_with('#')).count();
    let mut done = 0;
    let finished = with_pip_environment(Program::new(dir.join("bin/python")))
        .args(["-m", "pip", "install", "--no-deps", "--require-hashes", "--only-binary", ":all:"])
        .args(["--progress-bar", "off", "--no-input", "--disable-pip-version-check", "-r"])
        .arg(&requirements)
        .run_blocking_lines(&Limits::wall(Duration::from_secs(1800)), |line| {
            if let Some(package) = line.strip_prefix("Collecting ") {
                done += 1;
                let name = package.split([' ', '=']).next().unwrap_or(package);
                progress(Progress::of("fetching", format!("fetching {name} ({done} of at most {total})")));
            } else if line.starts_with("Installing") {
                progress("unpacking".into());
            }
        })?;
    check(&finished, "pip install", dir)
}

pub(super) fn with_pip_environment(mut program: Program) -> Program {
    for name in FOR_PIP {
        program = program.inherit(name);
    }
    program.inherit_prefix("PIP_")
}

/// Turns a failed step into the error that says what to do.
pub(super) fn check(finished: &Finished, step: &str, dir: &Path) -> Result<(), EnvironmentError> {
    if finished.success() {
        return Ok(());
    }
    let text = format!("{}\n{}", finished.stdout_text(), finished.stderr_text());
    if text.contains("No space left on device") {
        return Err(EnvironmentError::DiskFull { at: dir.parent().unwrap_or(dir).to_owned() });
    }
    let network =
        ["ConnectionError", "NewConnectionError", "name resolution", "ConnectTimeout", "ReadTimeout"]
            .iter()
            .any(|word| text.contains(word))
            || text.contains("from versions: none")
            || text.contains("Network is unreachable");
    let hint = if finished.killed.is_some() {
        "it took too long; check the connection and run the command again"
    } else if text.contains("ensurepip is not") {
        "install Python's venv module (on Debian and Ubuntu: `apt install python3-venv`)"
    } else if network {
        "the package index cannot be reached; check the network, the proxy or PIP_INDEX_URL, or run with `--no-dbt`"
    } else {
        "mend what pip names, or name an existing dbt in assay.toml: `[tools] dbt = \"...\"`"
    };
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let last = lines.iter().skip(lines.len().saturating_sub(8)).copied().collect::<Vec<_>>().join("\n  ");
    Err(EnvironmentError::Install { what: format!("{step} failed\n  {last}"), hint })
}

/// Scripts name their Python by its full path, which the rename changes.
fn relocate_scripts(from: &Path, to: &Path) -> Result<(), EnvironmentError> {
    let from = std::path::absolute(from)?.display().to_string();
    let to = std::path::absolute(to)?.display().to_string();
    for entry in fs_err::read_dir(Path::new(&from).join("bin"))? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let Ok(text) = String::from_utf8(fs_err::read(entry.path())?) else { continue };
        if text.contains(&from) {
            fs_err::write(entry.path(), text.replace(&from, &to))?;
        }
    }
    Ok(())
}

/// The first suitable Python on `PATH`.
pub(super) fn find_python() -> Result<PathBuf, EnvironmentError> {
    let mut names = vec!["python3".to_owned(), "python".to_owned()];
    names.extend((PYTHON_AT_LEAST.1..PYTHON_BELOW.1).rev().map(|minor| format!("python3.{minor}")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut unsuitable = Vec::new();
    for name in names {
        for dir in std::env::split_paths(&path) {
            let program = dir.join(&name);
            if program.is_file() {
                match suitable(&program) {
                    Ok(python) => return Ok(python),
                    Err(found) => unsuitable.push(found),
                }
            }
        }
    }
    unsuitable.dedup();
    match unsuitable.is_empty() {
        true => Err(EnvironmentError::PythonMissing),
        false => Err(EnvironmentError::PythonVersion { found: unsuitable.join(", ") }),
    }
}

/// The real path of a Python in the supported range; else what it is.
fn suitable(program: &Path) -> Result<PathBuf, String> {
    let finished = Program::new(program)
        .args(["-c", "import sys; print(sys.version.split()[0]); print(sys.executable)"])
        .inherit("HOME")
        .run_blocking(&Limits::wall(Duration::from_secs(20)))
        .map_err(|error| format!("{} ({error})", program.display()))?;
    let text = finished.stdout_text();
    let mut lines = text.lines();
    match (lines.next(), lines.next()) {
        (Some(version), Some(executable)) if finished.success() => {
            match supported(version, PYTHON_AT_LEAST, PYTHON_BELOW) {
                true => Ok(PathBuf::from(executable)),
                false => Err(format!("{} is Python {version}", program.display())),
            }
        }
        _ => Err(format!("{} does not start", program.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stderr: &str) -> EnvironmentError {
        let finished = Finished {
            killed: None,
            code: Some(1),
            signal: None,
            duration: Duration::ZERO,
            stdout: Vec::new(),
            stderr: stderr.as_bytes().to_vec(),
        };
        check(&finished, "pip install", Path::new(".assay/tools/x")).expect_err("failed")
    }

    #[test]
    fn a_failed_step_says_what_to_do() {
        assert_eq!(failed("OSError: [Errno 28] No space left on device").code(), "E_DISK_FULL");
        let offline =
            failed("WARNING: Retrying\nERROR: No matching distribution found (from versions: none)");
        assert_eq!(offline.code(), "E_TOOLS_INSTALL");
        let shown = offline.diagnostic().to_string();
        assert!(shown.contains("No matching distribution") && shown.contains("network"), "{shown}");
        assert!(
            failed("The virtual environment: ensurepip is not available")
                .diagnostic()
                .to_string()
                .contains("venv")
        );
    }

    #[test]
    fn scripts_follow_the_rename() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (from, to) = (dir.path().join("a.partial"), dir.path().join("a"));
        fs_err::create_dir_all(from.join("bin")).expect("bin");
        fs_err::write(from.join("bin/dbt"), format!("#!{}/bin/python\n", from.display())).expect("script");
        relocate_scripts(&from, &to).expect("relocated");
        let script = fs_err::read_to_string(from.join("bin/dbt")).expect("script");
        assert_eq!(script, format!("#!{}/bin/python\n", to.display()));
    }

    #[test]
    fn a_python_that_does_not_start_is_not_suitable() {
        assert!(suitable(Path::new("/bin/false")).expect_err("no Python").contains("does not start"));
    }
}
