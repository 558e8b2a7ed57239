//! A commit on a branch that nobody has checked out: made from objects alone, so that the work tree, the index and the
//! current branch stay as they are. No hook runs.

use std::path::{Path, PathBuf};

use super::{GitError, finish, git, program};

/// The author's name and address may be given by these.
const IDENTITY: [&str; 2] = ["GIT_AUTHOR_", "GIT_COMMITTER_"];

/// Where a folder is in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The commit that is checked out.
    pub head: String,
    /// The tip of the branch; `None` when there is no such branch.
    pub tip: Option<String>,
    /// The work tree in which the branch is checked out.
    pub checked_out: Option<PathBuf>,
}

/// Looks a branch up.
///
/// # Errors
/// No repository, no commit yet, no git.
pub fn place(folder: &Path, branch: &str) -> Result<Place, GitError> {
    let id = |revision: &str| {
        let found = git(folder, &["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])?;
        Ok::<_, GitError>(String::from_utf8_lossy(&found).trim().to_owned())
    };
    git(folder, &["rev-parse", "--is-inside-work-tree"])?;
    let head = id("HEAD").map_err(|_| GitError::Refused("the repository has no commit yet".to_owned()))?;
    let name = format!("refs/heads/{branch}");
    let listed = git(folder, &["worktree", "list", "--porcelain", "-z"])?;
    let mut checked_out = None;
    let mut path = PathBuf::new();
    for line in String::from_utf8_lossy(&listed).split('\0') {
        if let Some(worktree) = line.strip_prefix("worktree ") {
            path = worktree.into();
        } else if line.strip_prefix("branch ") == Some(name.as_str()) {
            checked_out = Some(path.clone());
        }
    }
    Ok(Place { head, tip: id(&name).ok(), checked_out })
}

/// Those of the paths (files or folders, relative to `folder`) that differ from the commit that is checked out, as they are or
/// in the index, and those that git does not know.
///
/// # Errors
/// See [`GitError`].
pub fn dirty(folder: &Path, paths: &[&Path]) -> Result<Vec<String>, GitError> {
    let mut args = vec![
        "--literal-pathspecs",
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=all",
        "--no-renames",
        "--",
    ];
    let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    args.extend(paths.iter().map(String::as_str));
    let out = git(folder, &args)?;
    let text = String::from_utf8_lossy(&out);
    Ok(text.split('\0').filter_map(|entry| entry.get(3..)).map(str::to_owned).collect())
}

/// A file of a commit.
#[derive(Debug, Clone)]
pub struct Change {
    /// Path relative to the folder.
    pub path: PathBuf,
    /// The new text; `None` takes the file out.
    pub text: Option<String>,
}

/// What to commit.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Branch, without `refs/heads/`.
    pub branch: &'a str,
    /// Where the repository stood when it was looked at: the branch starts at its head, or goes on from its tip.
    pub place: &'a Place,
    /// Files; all others are as in the parent.
    pub changes: &'a [Change],
    /// The message.
    pub message: &'a str,
}

/// Commits, and lets the branch point to it if it still is where it was. `scratch` is a file that does not exist.
///
/// # Errors
/// See [`GitError`].
pub fn commit(folder: &Path, commit: &Commit<'_>, scratch: &Path) -> Result<String, GitError> {
    let index = |args: &[&str], stdin: String| {
        finish(&program(folder, args).env("GIT_INDEX_FILE", scratch).stdin(stdin))
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    let prefix = git(folder, &["rev-parse", "--show-prefix"])?;
    let prefix = String::from_utf8_lossy(&prefix);
    let prefix = prefix.strip_suffix('\n').unwrap_or(&prefix);
    let parent = commit.place.tip.as_ref().unwrap_or(&commit.place.head);
    index(&["read-tree", parent], String::new())?;
    // `mode id\tpath`, each ended by a zero; mode 0 takes the path out.
    let mut entries = String::new();
    for Change { path, text: new } in commit.changes {
        let (mode, id) = match new {
            Some(new) => {
                let program = program(folder, &["hash-object", "-w", "--stdin", "--no-filters"]);
                ("100644", text(finish(&program.stdin(new.clone()))?))
            }
            None => ("0", "0".repeat(parent.len())),
        };
        entries.push_str(&format!("{mode} {id}\t{prefix}{}\0", path.display()));
    }
    index(&["update-index", "--add", "-z", "--index-info"], entries)?;
    let tree = text(index(&["write-tree"], String::new())?);
    let mut program = program(folder, &["commit-tree", &tree, "-p", parent]);
    for prefix in IDENTITY {
        program = program.inherit_prefix(prefix);
    }
    let id = text(finish(&program.stdin(commit.message))?);
    let reference = format!("refs/heads/{}", commit.branch);
    let before = commit.place.tip.clone().unwrap_or_else(|| "0".repeat(parent.len()));
    git(folder, &["update-ref", "-m", "assay draft", &reference, &id, &before])?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(folder: &Path, args: &[&str]) -> String {
        String::from_utf8(git(folder, args).expect("git works")).expect("UTF-8").trim().to_owned()
    }

    #[test]
    fn a_commit_on_another_branch_leaves_everything_else_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = &dir.path().join("repository");
        let folder = root.join("pro ject");
        fs_err::create_dir_all(folder.join("models")).expect("a folder");
        for args in [&["init", "-q"][..], &["config", "user.email", "a@b.c"], &["config", "user.name", "a"]] {
            text(root, args);
        }
        assert!(place(&folder, "assist/m").is_err(), "no commit yet");
        fs_err::write(folder.join("models/old.sql"), "select 1").expect("written");
        text(root, &["add", "."]);
        text(root, &["commit", "-qm", "one"]);
        // A work in progress: staged, changed, and a hook that must not run.
        fs_err::write(folder.join("staged.sql"), "select 1").expect("written");
        text(root, &["add", "."]);
        fs_err::write(folder.join("models/old.sql"), "select 2").expect("written");
        let before = text(root, &["status", "--porcelain=v1"]);
        let here = place(&folder, "assist/m").expect("a place");
        assert_eq!((here.tip.as_ref(), here.checked_out.as_ref()), (None, None));
        assert_eq!(
            dirty(&folder, &[Path::new("models/old.sql"), Path::new("models/new.sql")]).expect("git"),
            ["pro ject/models/old.sql"]
        );
        let changes = [
            Change { path: "models/new.sql".into(), text: Some("select 3\n".into()) },
            Change { path: "models/old.sql".into(), text: None },
        ];
        let first = Commit { branch: "assist/m", place: &here, changes: &changes, message: "Draft m\n" };
        let id = commit(&folder, &first, &dir.path().join("index")).expect("committed");
        assert_eq!(text(root, &["rev-parse", "assist/m"]), id);
        assert_eq!(text(root, &["rev-parse", "assist/m^"]), here.head);
        assert_eq!(text(root, &["ls-tree", "-r", "--name-only", "assist/m"]), "pro ject/models/new.sql");
        assert_eq!(text(root, &["status", "--porcelain=v1"]), before);
        assert!(!folder.join("models/new.sql").exists());
        // Somebody else moved the branch meanwhile: nothing is overwritten.
        assert!(commit(&folder, &first, &dir.path().join("index2")).is_err());
        let again = place(&folder, "assist/m").expect("a place");
        assert_eq!(again.tip.as_deref(), Some(id.as_str()));
        let second = Commit { place: &again, ..first };
        let next = commit(&folder, &second, &dir.path().join("index3")).expect("committed");
        assert_eq!(text(root, &["rev-parse", "assist/m^"]), id);
        text(root, &["worktree", "add", "-q", "../elsewhere", "assist/m"]);
        let there = place(&folder, "assist/m").expect("a place");
        assert_eq!(there.tip, Some(next));
        assert!(there.checked_out.is_some_and(|path| path.ends_with("elsewhere")));
    }
}
