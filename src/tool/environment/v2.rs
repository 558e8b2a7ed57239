//! The second engine: the Rust dbt (dbt-core 2.x) with DuckDB's library as its driver, under `.assay/tools/v2-<version>/`.
//! Installed only when it is asked for: it is 48 MB from the Python index and 24 MB from npm's.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::EnvironmentError;
use super::install::{check, remove, with_pip_environment};
use crate::tool::process::{Limits, Program};
use crate::tool::progress::Progress;
use crate::tool::state;

/// The version of dbt.
pub const VERSION: &str = "2.0.0a4";
/// The version of DuckDB; must be that of the other tools, since they read the files that it writes.
pub const DUCKDB: &str = "1.5.6";

const REQUIREMENT: &str =
    "dbt-core==2.0.0a4 --hash=sha256:bb9524d16e83c389fdbc1cc06a5791a66c5c7c28d7914437afed307575b2e713\n";
const NPM_PACKAGE: &str = "@duckdb/node-bindings-linux-x64@1.5.6-r.1";
/// BLAKE3 of `libduckdb.so` in that package.
const LIBRARY_HASH: &str = "872dca2e156ff7b5cf600fae04978b54d65e5daefa23de8b74e0f26b2d01ad7b";

/// Where the Rust dbt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct V2 {
    /// The `dbt` binary.
    pub binary: PathBuf,
    /// The folder of `libduckdb.so`.
    pub library: PathBuf,
}

fn home(root: &Path) -> PathBuf {
    state::folder(root, "tools").join(format!("v2-{VERSION}-{DUCKDB}"))
}

/// The Rust dbt, where it is installed.
pub fn find(root: &Path) -> Option<V2> {
    let home = home(root);
    let found = V2 { binary: home.join("bin/dbt"), library: home.join("lib") };
    (found.binary.is_file() && found.library.join("libduckdb.so").is_file()).then_some(found)
}

/// The Rust dbt, installed where it is not there yet with the pip of `python` and with npm.
///
/// # Errors
/// When this system has no build of it, npm is missing, or the download fails.
pub fn ensure(root: &Path, python: &Path, progress: &dyn Fn(Progress)) -> Result<V2, EnvironmentError> {
    if let Some(found) = find(root) {
        return Ok(found);
    }
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        return Err(EnvironmentError::Install {
            what: format!("there is no pinned dbt {VERSION} for this system"),
            hint: "use another engine: `--engine auto`",
        });
    }
    let home = home(root);
    state::create(root, "tools")?;
    let lock = fs_err::File::create(home.with_extension("lock"))?;
    match lock.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress("another assay is installing dbt 2; waiting for it".into());
            lock.file().lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    if let Some(found) = find(root) {
        return Ok(found);
    }
    progress("installing dbt 2 and its DuckDB driver (once, a download of 72 MB)".into());
    let partial = home.with_extension("partial");
    remove(&partial)?;
    fs_err::create_dir_all(partial.join("lib"))?;
    let made = make(python, &partial);
    if made.is_err() {
        remove(&partial)?;
    }
    made?;
    remove(&home)?;
    fs_err::rename(&partial, &home)?;
    find(root).ok_or_else(|| EnvironmentError::Install {
        what: "the packages of dbt 2 do not hold what they should".into(),
        hint: "use another engine: `--engine auto`",
    })
}

fn make(python: &Path, dir: &Path) -> Result<(), EnvironmentError> {
    let limits = Limits::wall(Duration::from_secs(900));
    let requirements = dir.join("requirements.txt");
    fs_err::write(&requirements, REQUIREMENT)?;
    let finished = with_pip_environment(Program::new(python))
        .args(["-m", "pip", "install", "--no-deps", "--require-hashes", "--only-binary", ":all:"])
        .args(["--progress-bar", "off", "--no-input", "--disable-pip-version-check", "--target"])
        .arg(dir)
        .arg("-r")
        .arg(&requirements)
        .run_blocking(&limits)?;
    check(&finished, "pip install dbt-core", dir)?;

    let npm = with_pip_environment(Program::new("npm"))
        .inherit_prefix("npm_config_")
        .inherit_prefix("NPM_CONFIG_")
        .args(["pack", "--silent", NPM_PACKAGE])
        .directory(std::path::absolute(dir)?);
    let finished = npm.run_blocking(&limits).map_err(|error| EnvironmentError::Install {
        what: format!("npm cannot be started: {error}"),
        hint: "install Node.js with npm, or use another engine: `--engine auto`",
    })?;
    check(&finished, "npm pack", dir)?;
    let archive = finished.stdout_text().lines().last().unwrap_or_default().trim().to_owned();
    let finished = Program::new("tar")
        .args(["-xzf", &archive, "package/libduckdb.so"])
        .directory(std::path::absolute(dir)?)
        .run_blocking(&limits)?;
    check(&finished, "unpacking the DuckDB driver", dir)?;
    let library = fs_err::read(dir.join("package/libduckdb.so"))?;
    if blake3::hash(&library).to_hex().as_str() != LIBRARY_HASH {
        return Err(EnvironmentError::Install {
            what: format!("{NPM_PACKAGE} is not the package that was pinned"),
            hint: "check the registry that npm is set to",
        });
    }
    fs_err::rename(dir.join("package/libduckdb.so"), dir.join("lib/libduckdb.so"))?;
    fs_err::remove_dir_all(dir.join("package"))?;
    fs_err::remove_file(dir.join(archive))?;
    Ok(())
}
