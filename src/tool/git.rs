//! Files as they are in git revisions, and commits on other branches.

mod commit;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::{Limits, Program};

/// Why git did not answer.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// It could not be started.
    #[error("cannot start git: {0}")]
    Start(#[from] std::io::Error),
    /// It refused.
    #[error("git: {0}")]
    Refused(String),
}

pub use commit::{Change, Commit, Place, commit, dirty, place};

fn git(folder: &Path, args: &[&str]) -> Result<Vec<u8>, GitError> {
    finish(&program(folder, args))
}

fn program(folder: &Path, args: &[&str]) -> Program {
    Program::new("git")
        .args(["--no-pager", "-c", "core.quotePath=false"])
        .args(args)
        .directory(folder)
        // Where to find the repository, and whose it is, may depend on these.
        .inherit("HOME")
        .inherit("XDG_CONFIG_HOME")
}

fn finish(program: &Program) -> Result<Vec<u8>, GitError> {
    let finished = program.run_blocking(&Limits::wall(Duration::from_secs(60)))?;
    if finished.success() {
        Ok(finished.stdout)
    } else {
        let text = finished.stderr_text();
        Err(GitError::Refused(text.lines().next().unwrap_or("no message").trim().to_owned()))
    }
}

/// Files that differ between two revisions, relative to `folder` (all of them must lie below it), with `suffix`.
///
/// # Errors
/// See [`GitError`].
pub fn changed(
    folder: &Path,
    from: &str,
    to: &str,
    paths: &[PathBuf],
    suffix: &str,
) -> Result<Vec<String>, GitError> {
    let range = [revision(from)?, revision(to)?];
    let mut args = vec!["diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--relative"];
    args.extend(range);
    args.push("--");
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    args.extend(paths.iter().map(String::as_str));
    let out = git(folder, &args)?;
    let text = String::from_utf8_lossy(&out);
    Ok(text.split('\0').filter(|path| path.ends_with(suffix)).map(str::to_owned).collect())
}

/// A file as it is in a revision; `None` when the revision does not have it. `path` is relative to `folder`.
///
/// # Errors
/// See [`GitError`].
pub fn show(folder: &Path, rev: &str, path: &str) -> Result<Option<String>, GitError> {
    let rev = revision(rev)?;
    git(folder, &["rev-parse", "--verify", "--quiet", &format!("{rev}^{{commit}}")])
        .map_err(|_| GitError::Refused(format!("there is no revision {rev}")))?;
    match git(folder, &["show", &format!("{rev}:./{path}")]) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(GitError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a working folder stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: String,
    /// The branch; `None` where none is checked out.
    pub branch: Option<String>,
    /// Whether tracked files below the folder have changes that are not committed.
    pub dirty: bool,
}

/// Where `folder` stands; `None` without git, outside a repository, and before the first commit.
pub fn head(folder: &Path) -> Option<Head> {
    let word = |args: &[&str]| {
        let out = git(folder, args).ok()?;
        Some(String::from_utf8_lossy(&out).trim().to_owned()).filter(|text| !text.is_empty())
    };
    Some(Head {
        commit: word(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?,
        branch: word(&["symbolic-ref", "--quiet", "--short", "HEAD"]),
        dirty: word(&["status", "--porcelain", "--untracked-files=no", "--", "."]).is_some(),
    })
}

/// Whether git keeps a file of `folder`; `false` without git and outside a repository.
pub fn is_tracked(folder: &Path, name: &str) -> bool {
    git(folder, &["ls-files", "--error-unmatch", "--", name]).is_ok()
}

/// A revision must not look like an option.
fn revision(rev: &str) -> Result<&str, GitError> {
    if rev.is_empty() || rev.starts_with('-') {
        return Err(GitError::Refused(format!("not a revision: {rev:?}")));
    }
    Ok(rev)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &Path, args: &[&str]) {
        git(folder, args).expect("git works");
    }

    #[test]
    fn files_come_from_revisions() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path();
        run(folder, &["init", "-q"]);
        run(folder, &["config", "user.email", "a@b.c"]);
        run(folder, &["config", "user.name", "a"]);
        fs_err::write(folder.join("m.sql"), "select 1").expect("written");
        run(folder, &["add", "."]);
        run(folder, &["commit", "-qm", "one"]);
        fs_err::write(folder.join("m.sql"), "select 2").expect("written");
        fs_err::write(folder.join("n.sql"), "select 3").expect("written");
        run(folder, &["add", "."]);
        run(folder, &["commit", "-qm", "two"]);
        let changed = changed(folder, "HEAD~1", "HEAD", &[], ".sql").expect("git works");
        assert_eq!(changed, ["m.sql", "n.sql"]);
        assert_eq!(show(folder, "HEAD~1", "m.sql").expect("git works").as_deref(), Some("select 1"));
        assert_eq!(show(folder, "HEAD~1", "n.sql").expect("git works"), None);
        let clean = head(folder).expect("a commit is there");
        assert!(clean.commit.len() >= 40 && clean.branch.is_some() && !clean.dirty);
        fs_err::write(folder.join("m.sql"), "select 4").expect("written");
        assert!(head(folder).expect("a commit is there").dirty);
        assert!(show(folder, "nonsense", "m.sql").is_err());
        assert!(show(folder, "--output=x", "m.sql").is_err());
    }
}
