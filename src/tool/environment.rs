//! The tools environment: dbt, its DuckDB adapter, the `duckdb` command and the linters, pinned and hashed in
//! `requirements.txt`, installed on first use under `.assay/tools/<hash>/`; or an environment that the user already has.
//!
//! What is there is read from the names of `*.dist-info` directories: `dbt --version` costs two CPU seconds and asks
//! the network.

mod install;
mod probe;
pub mod v2;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use probe::{Entry, Report, Status, probe};

use super::process::{Limits, Program};
use super::progress::Progress;
use super::state;
use crate::diagnostic::Diagnostic;

/// The lock file: every package with its version and hashes.
pub const REQUIREMENTS: &str = include_str!("requirements.txt");

/// dbt versions that the worker speaks: at least this, and below [`DBT_BELOW`].
const DBT_AT_LEAST: (u32, u32) = (1, 6);
const DBT_BELOW: (u32, u32) = (1, 13);

/// The first DuckDB whose command is a package of its own.
const FIRST_COMMAND: [u32; 3] = [1, 4, 4];

/// Python versions that the lock file covers: at least this, and below [`PYTHON_BELOW`].
const PYTHON_AT_LEAST: (u32, u32) = (3, 10);
const PYTHON_BELOW: (u32, u32) = (3, 14);

/// Tools that the user has already and wants used, from the configuration.
#[derive(Debug, Clone, Default)]
pub struct Existing {
    /// The `dbt` command of an environment that holds dbt-core and dbt-duckdb.
    pub dbt: Option<PathBuf>,
    /// The `duckdb` command; must have the version of that environment's `duckdb` package.
    pub duckdb: Option<PathBuf>,
    /// The Python that the tools environment is made with; default: the first suitable one on `PATH`.
    pub python: Option<PathBuf>,
}

/// Versions as installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions {
    /// dbt-core.
    pub dbt_core: String,
    /// dbt-duckdb.
    pub dbt_duckdb: String,
    /// The `duckdb` Python package: what dbt writes files with.
    pub duckdb: String,
    /// The `duckdb` command: what reads them.
    pub duckdb_cli: String,
    /// sqlfluff, when there.
    pub sqlfluff: Option<String>,
    /// sqruff, when there.
    pub sqruff: Option<String>,
}

/// Where the tools are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The Python that holds dbt (and, when there, sqlfluff and sqruff).
    pub python: PathBuf,
    /// The `duckdb` command (the binary itself).
    pub duckdb: PathBuf,
    /// What is installed.
    pub versions: Versions,
    /// Whether assay made this environment.
    pub managed: bool,
}

/// Why there are no usable tools.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// No Python at all.
    #[error("no Python was found on PATH")]
    PythonMissing,
    /// Only Pythons outside the supported range.
    #[error("no suitable Python was found: {found}; {} to {} is needed", version(PYTHON_AT_LEAST), version((PYTHON_BELOW.0, PYTHON_BELOW.1 - 1)))]
    PythonVersion {
        /// What was found.
        found: String,
    },
    /// The installation failed.
    #[error("the tools environment could not be installed: {what}")]
    Install {
        /// The step and its last lines.
        what: String,
        /// What may be done.
        hint: &'static str,
    },
    /// No space for about 350 MB.
    #[error("the disk is full: the tools environment needs about 350 MB under {}", at.display())]
    DiskFull {
        /// Where.
        at: PathBuf,
    },
    /// dbt is there in a version that cannot be used.
    #[error("{what}")]
    DbtVersion {
        /// Which, and where.
        what: String,
    },
    /// The `duckdb` command does not fit dbt's `duckdb` package, or is missing.
    #[error("{what}")]
    Duckdb {
        /// What does not fit.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A file or directory of the environment could not be used.
    #[error("the tools environment cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

impl EnvironmentError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::PythonMissing => "E_PYTHON_MISSING",
            Self::PythonVersion { .. } => "E_PYTHON_VERSION",
            Self::Install { .. } => "E_TOOLS_INSTALL",
            Self::DiskFull { .. } => "E_DISK_FULL",
            Self::DbtVersion { .. } => "E_DBT_VERSION",
            Self::Duckdb { .. } => "E_DUCKDB_VERSION",
            Self::Io(_) => "E_TOOLS_IO",
        }
    }

    /// The fault as shown to a person.
    pub fn diagnostic(&self) -> Diagnostic {
        let hint = match self {
            Self::PythonMissing => format!(
                "install Python {} to {}, or run without dbt: `--no-dbt`",
                version(PYTHON_AT_LEAST),
                version((PYTHON_BELOW.0, PYTHON_BELOW.1 - 1))
            ),
            Self::PythonVersion { .. } => {
                "install a supported Python beside it, or name one in assay.toml: `[tools] python = \"...\"`"
                    .into()
            }
            Self::Install { hint, .. } => (*hint).into(),
            Self::DiskFull { .. } => "free some space and run the command again".into(),
            Self::DbtVersion { .. } => format!(
                "use dbt-core {} to {}, or remove `dbt` from `[tools]` in assay.toml to have one installed",
                version(DBT_AT_LEAST),
                version((DBT_BELOW.0, DBT_BELOW.1 - 1))
            ),
            Self::Duckdb { hint, .. } => hint.clone(),
            Self::Io(_) => "check that the directory can be written, or delete `.assay/tools`".into(),
        };
        Diagnostic::new(self.code(), self.to_string()).hint(hint)
    }
}

fn version((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

/// Finds the tools, and installs them under `root/.assay/tools/` when they are not there yet. `progress` gets each
/// step of an installation, and nothing when all is there.
///
/// # Errors
/// See [`EnvironmentError`].
pub fn ensure(
    root: &Path,
    existing: &Existing,
    progress: &dyn Fn(Progress),
) -> Result<Tools, EnvironmentError> {
    if let Some(dbt) = &existing.dbt {
        return open_existing(dbt, existing.duckdb.as_deref());
    }
    let home = home(root);
    let python = home.join("bin/python");
    if let Err(why) = check_managed(&home) {
        install::install(root, &home, existing.python.as_deref(), why.as_deref(), progress)?;
        if let Err(Some(why)) = check_managed(&home) {
            return Err(EnvironmentError::Install {
                what: why,
                hint: "delete `.assay/tools` and run the command again",
            });
        }
    }
    let packages = packages(&site_packages(&python)?)?;
    let bundled = bundled_duckdb(&site_packages(&python)?);
    tools(python, &packages, existing.duckdb.as_deref(), bundled, true)
}

/// The directory of the managed environment for this lock file on this system.
pub(super) fn home(root: &Path) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for part in [REQUIREMENTS, std::env::consts::OS, std::env::consts::ARCH] {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    let hash = hasher.finalize().to_hex();
    state::folder(root, "tools").join(hash.get(..12).unwrap_or("current"))
}

/// `Ok` when the managed environment is whole; else why it is not (`None`: there is none yet).
fn check_managed(home: &Path) -> Result<(), Option<String>> {
    if !home.exists() {
        return Err(None);
    }
    let python = home.join("bin/python");
    if !python.exists() {
        return Err(Some("its Python is gone".into()));
    }
    let site = site_packages(&python).map_err(|error| Some(error.to_string()))?;
    let found = packages(&site).map_err(|error| Some(error.to_string()))?;
    for (name, version) in pins() {
        if found.get(name).map(String::as_str) != Some(version) {
            return Err(Some(format!("{name} {version} is missing")));
        }
    }
    if bundled_duckdb(&site).is_none() {
        return Err(Some("the duckdb command is missing".into()));
    }
    Ok(())
}

/// The packages that assay itself calls, with their pinned versions.
fn pins() -> impl Iterator<Item = (&'static str, &'static str)> {
    const CALLED: [&str; 6] = ["dbt-core", "dbt-duckdb", "duckdb", "duckdb-cli", "sqlfluff", "sqruff"];
    REQUIREMENTS.lines().filter_map(|line| {
        let (name, rest) = line.split_once("==")?;
        let version = rest.split([' ', ';', '\\']).next()?;
        CALLED.contains(&name).then_some((name, version))
    })
}

/// Tools in an environment of the user.
fn open_existing(dbt: &Path, duckdb: Option<&Path>) -> Result<Tools, EnvironmentError> {
    let python = python_of(dbt)?;
    let site = site_packages(&python)?;
    tools(python, &packages(&site)?, duckdb, bundled_duckdb(&site), false)
}

/// The Python that runs a `dbt` script.
fn python_of(dbt: &Path) -> Result<PathBuf, EnvironmentError> {
    let bytes = fs_err::read(dbt).map_err(|error| EnvironmentError::DbtVersion {
        what: format!("the configured dbt cannot be read: {error}"),
    })?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    // pip writes `#!/path/python`; for long paths `#!/bin/sh` with the Python on the next line.
    let beside = dbt.with_file_name("python");
    match line.strip_prefix("#!").map(str::trim) {
        Some(interpreter) if Path::new(interpreter).is_file() && interpreter.contains("python") => {
            Ok(interpreter.into())
        }
        Some(_) if beside.is_file() => Ok(beside),
        _ => Err(EnvironmentError::DbtVersion {
            what: format!(
                "{} is not the dbt of a Python environment (the Rust dbt, 2.x, is not supported here)",
                dbt.display()
            ),
        }),
    }
}

fn tools(
    python: PathBuf,
    packages: &BTreeMap<String, String>,
    duckdb: Option<&Path>,
    bundled: Option<PathBuf>,
    managed: bool,
) -> Result<Tools, EnvironmentError> {
    let get = |name: &str| packages.get(name).cloned();
    let place = python.parent().and_then(Path::parent).unwrap_or(&python).display().to_string();
    let dbt_core = get("dbt-core").ok_or_else(|| EnvironmentError::DbtVersion {
        what: format!("dbt-core is not installed in {place}"),
    })?;
    if !supported(&dbt_core, DBT_AT_LEAST, DBT_BELOW) {
        return Err(EnvironmentError::DbtVersion {
            what: format!("dbt-core {dbt_core} in {place} is not supported"),
        });
    }
    let dbt_duckdb = get("dbt-duckdb").ok_or_else(|| EnvironmentError::DbtVersion {
        what: format!("dbt-core {dbt_core} in {place} has no DuckDB adapter (dbt-duckdb)"),
    })?;
    let library = get("duckdb").unwrap_or_default();
    let (duckdb, cli) = match (duckdb, bundled) {
        (Some(path), _) => (path.to_owned(), command_version(path)?),
        (None, Some(path)) => (path, get("duckdb-cli").unwrap_or_default()),
        (None, None) => {
            return Err(EnvironmentError::Duckdb {
                what: format!("there is no duckdb command in {place}"),
                hint: format!("install it there: `pip install duckdb-cli=={library}`"),
            });
        }
    };
    if !fits(&cli, &library) {
        return Err(EnvironmentError::Duckdb {
            what: format!(
                "the duckdb command is {cli}, but dbt writes its files with duckdb {library} in {place}"
            ),
            hint: format!("use the same version: `pip install duckdb-cli=={library}`"),
        });
    }
    let versions = Versions {
        dbt_core,
        dbt_duckdb,
        duckdb: library,
        duckdb_cli: cli,
        sqlfluff: get("sqlfluff"),
        sqruff: get("sqruff"),
    };
    Ok(Tools { python, duckdb, versions, managed })
}

/// Whether this `duckdb` command may read what dbt writes with that `duckdb` package: it has the same version. There is no
/// package of the command for the oldest ones; a newer command reads their files.
fn fits(command: &str, package: &str) -> bool {
    let number =
        |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap_or(0)).collect() };
    command == package
        || (number(package) < FIRST_COMMAND.to_vec() && number(command) >= FIRST_COMMAND.to_vec())
}

fn command_version(duckdb: &Path) -> Result<String, EnvironmentError> {
    let unusable = |what: String| EnvironmentError::Duckdb {
        what,
        hint: "name a working duckdb command in assay.toml, or leave `duckdb` out of `[tools]`".into(),
    };
    let finished = Program::new(duckdb)
        .arg("--version")
        .run_blocking(&Limits::wall(Duration::from_secs(10)))
        .map_err(|error| unusable(format!("{} cannot be started: {error}", duckdb.display())))?;
    let text = finished.stdout_text();
    match text.split_whitespace().next().and_then(|word| word.strip_prefix('v')) {
        Some(version) if finished.success() => Ok(version.to_owned()),
        _ => Err(unusable(format!("{} does not say its version", duckdb.display()))),
    }
}

/// Whether `version` (`1.11.16`, `1.12.0rc1`) lies in the half-open range of minor versions.
fn supported(version: &str, at_least: (u32, u32), below: (u32, u32)) -> bool {
    let mut parts = version.split('.').map(|part| {
        part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0)
    });
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    at_least <= found && found < below
}

/// The directory of installed packages of a Python.
fn site_packages(python: &Path) -> Result<PathBuf, EnvironmentError> {
    let prefix = python.parent().and_then(Path::parent);
    if let Some(prefix) = prefix.filter(|prefix| prefix.join("pyvenv.cfg").exists()) {
        let mut found: Vec<PathBuf> = fs_err::read_dir(prefix.join("lib"))?
            .filter_map(|entry| Some(entry.ok()?.path().join("site-packages")))
            .filter(|path| path.is_dir())
            .collect();
        found.sort();
        if let Some(site) = found.pop() {
            return Ok(site);
        }
    }
    let finished = Program::new(python)
        .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
        .run_blocking(&Limits::wall(Duration::from_secs(20)))?;
    Ok(PathBuf::from(finished.stdout_text().trim()))
}

/// Installed packages by normalised name (`dbt-core`), with their versions.
fn packages(site: &Path) -> Result<BTreeMap<String, String>, EnvironmentError> {
    let mut found = BTreeMap::new();
    for entry in fs_err::read_dir(site)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if let Some((name, version)) = name.strip_suffix(".dist-info").and_then(|name| name.rsplit_once('-'))
        {
            found.insert(name.to_lowercase().replace(['_', '.'], "-"), version.to_owned());
        }
    }
    Ok(found)
}

/// The binary inside the `duckdb-cli` package; its script would start a Python first.
fn bundled_duckdb(site: &Path) -> Option<PathBuf> {
    let path = site.join("duckdb_cli").join("duckdb");
    path.is_file().then_some(path)
}

/// The Python that a tools environment would be made with, for tests.
#[cfg(test)]
pub(super) fn python() -> PathBuf {
    install::find_python().expect("a Python")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_reads_what_dbt_writes() {
        for (command, package, expected) in [
            ("1.5.6", "1.5.6", true),
            ("1.5.6", "1.4.4", false),
            ("1.4.4", "1.5.6", false),
            ("1.4.4", "1.1.3", true),
            ("1.2.0", "1.1.3", false),
        ] {
            assert_eq!(fits(command, package), expected, "{command} {package}");
        }
    }

    #[test]
    fn the_lock_file_pins_one_duckdb_version_and_hashes_everything() {
        let pins: BTreeMap<_, _> = pins().collect();
        assert_eq!(pins.len(), 6, "{pins:?}");
        assert_eq!(pins["duckdb"], pins["duckdb-cli"]);
        for line in REQUIREMENTS.lines().filter(|line| !line.starts_with('#') && line.contains("==")) {
            assert!(line.ends_with('\\'), "without hashes: {line}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("1.6.19", true),
            ("1.5.9", false),
            ("1.11.16", true),
            ("1.13.0b1", false),
            ("2.0.0a4", false),
            ("", false),
        ] {
            assert_eq!(supported(version, DBT_AT_LEAST, DBT_BELOW), expected, "{version}");
        }
    }

    /// An environment as pip leaves it: dist-info names, a Python, a `dbt` script.
    fn fake(packages: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temp dir");
        let site = dir.path().join("lib/python3.11/site-packages");
        fs_err::create_dir_all(&site).expect("site-packages");
        for (name, version) in packages {
            fs_err::create_dir_all(site.join(format!("{name}-{version}.dist-info"))).expect("dist-info");
        }
        fs_err::create_dir_all(dir.path().join("bin")).expect("bin");
        fs_err::write(dir.path().join("pyvenv.cfg"), "").expect("pyvenv.cfg");
        let python = dir.path().join("bin/python");
        fs_err::write(&python, "").expect("python");
        fs_err::write(dir.path().join("bin/dbt"), format!("#!{}\n", python.display())).expect("dbt");
        dir
    }

    fn existing_error(packages: &[(&str, &str)]) -> Diagnostic {
        let dir = fake(packages);
        let existing = Existing { dbt: Some(dir.path().join("bin/dbt")), ..Existing::default() };
        ensure(dir.path(), &existing, &|_| {}).expect_err("not usable").diagnostic()
    }

    #[test]
    fn an_existing_environment_must_fit() {
        type Packages = &'static [(&'static str, &'static str)];
        let cases: &[(Packages, &str, &str)] = &[
            (&[], "E_DBT_VERSION", "dbt-core is not installed"),
            (&[("dbt_core", "1.5.0")], "E_DBT_VERSION", "dbt-core 1.5.0"),
            (&[("dbt_core", "2.0.0a4")], "E_DBT_VERSION", "2.0.0a4"),
            (&[("dbt_core", "1.11.16")], "E_DBT_VERSION", "no DuckDB adapter"),
            (
                &[("dbt_core", "1.11.16"), ("dbt_duckdb", "1.10.1"), ("duckdb", "1.4.4")],
                "E_DUCKDB_VERSION",
                "no duckdb command",
            ),
        ];
        for (packages, code, words) in cases {
            let diagnostic = existing_error(packages);
            assert_eq!(diagnostic.code, *code, "{diagnostic}");
            assert!(diagnostic.message.contains(words), "{diagnostic}");
        }
    }

    #[test]
    fn a_duckdb_command_of_another_version_is_refused() {
        let packages =
            [("dbt_core", "1.11.16"), ("dbt_duckdb", "1.10.1"), ("duckdb", "1.5.6"), ("duckdb_cli", "1.4.4")];
        let dir = fake(&packages);
        let binary = dir.path().join("lib/python3.11/site-packages/duckdb_cli/duckdb");
        fs_err::create_dir_all(binary.parent().expect("parent")).expect("package");
        fs_err::write(&binary, "").expect("binary");
        let existing = Existing { dbt: Some(dir.path().join("bin/dbt")), ..Existing::default() };
        let error = ensure(dir.path(), &existing, &|_| {}).expect_err("versions differ").diagnostic();
        assert_eq!(error.code, "E_DUCKDB_VERSION");
        assert!(error.message.contains("1.4.4") && error.message.contains("1.5.6"), "{error}");
    }

    #[test]
    fn a_half_made_environment_is_noticed() {
        let packages: Vec<_> = pins().filter(|(name, _)| *name != "dbt-duckdb").collect();
        let dir = fake(&packages);
        assert_eq!(check_managed(dir.path()), Err(Some("dbt-duckdb 1.10.1 is missing".into())));
        assert_eq!(check_managed(&dir.path().join("nothing")), Err(None));
    }
}
