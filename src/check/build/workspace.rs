//! Folders that dbt works in. A candidate gets a copy of the prepared project with a database file of its own, so that
//! nothing that can be written is shared. What a killed run leaves behind, the next one removes.

use std::fs::TryLockError;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::DATABASE;
use crate::dbt::files::files;
use crate::tool::state;

/// Where all workspaces are.
pub(super) fn folder(root: &Path) -> PathBuf {
    state::folder(root, "work")
}

/// The folder of this process for workspaces, under `.assay/work/`.
#[derive(Debug)]
pub(super) struct WorkRoot {
    dir: PathBuf,
    next: AtomicU64,
    // Held as long as the folder is in use; the system lets go of it when the process dies.
    _lock: fs_err::File,
}

impl WorkRoot {
    /// Makes a folder of our own, and removes those whose process is gone.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        let parent = state::create(root, "work")?;
        let gate = fs_err::File::create(parent.join("lock"))?;
        // Between making a folder and locking it nobody may take it for an abandoned one.
        gate.file().lock()?;
        for entry in fs_err::read_dir(&parent)? {
            let path = entry?.path();
            if path.is_dir() && is_abandoned(&path)? {
                // Best effort: what cannot be removed now is removed next time.
                let _ = fs_err::remove_dir_all(&path);
            }
        }
        let dir = tempfile::Builder::new().prefix("run-").tempdir_in(&parent)?.keep();
        let lock = fs_err::File::create(dir.join("lock"))?;
        lock.file().lock()?;
        Ok(Self { dir: std::path::absolute(dir)?, next: AtomicU64::new(0), _lock: lock })
    }

    /// A new, empty workspace.
    pub(super) fn workspace(&self) -> io::Result<Workspace> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(number.to_string());
        fs_err::create_dir_all(dir.join("project"))?;
        Ok(Workspace { dir })
    }
}

impl Drop for WorkRoot {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(&self.dir);
    }
}

fn is_abandoned(dir: &Path) -> io::Result<bool> {
    match fs_err::File::open(dir.join("lock")) {
        Ok(lock) => match lock.file().try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// A copy of a project with its database. Dropping it removes it.
#[derive(Debug)]
pub struct Workspace {
    dir: PathBuf,
}

impl Workspace {
    /// All of it.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// The project that dbt runs in.
    pub fn project(&self) -> PathBuf {
        self.dir.join("project")
    }

    /// Its database.
    pub fn database(&self) -> PathBuf {
        self.project().join(DATABASE)
    }

    /// Sets the database aside as it is now; the copy keeps the file's name, which views refer to.
    pub(super) fn keep_database(&self) -> io::Result<PathBuf> {
        let dir = self.dir.join("first");
        fs_err::create_dir_all(&dir)?;
        let copy = dir.join(DATABASE);
        fs_err::copy(self.database(), &copy)?;
        Ok(copy)
    }

    /// Takes paths of this workspace out of a message: they differ from run to run.
    pub(super) fn anonymous(&self, message: &str) -> String {
        message
            .replace(&format!("{}/", self.project().display()), "")
            .replace(&self.dir.display().to_string(), "")
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(&self.dir);
    }
}

/// Copies a tree. `skip` sees paths relative to `from`; what symbolic links lead to is copied in their place, since the Rust
/// dbt follows none below a project, and takes a linked `dbt_project.yml` for the project that it lies in.
pub(super) fn copy_tree(from: &Path, to: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    for path in files(from, skip)? {
        let (source, target) = (from.join(&path), to.join(&path));
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent)?;
        }
        // Shares the blocks where the file system can. A hard link could be written through.
        fs_err::copy(&source, &target)?;
    }
    Ok(())
}

/// Whether a path stays below the folder that it is joined to.
pub(super) fn is_inside(path: &Path) -> bool {
    path.components().count() > 0 && path.components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abandoned_folders_are_removed_and_those_in_use_stay() {
        let dir = tempfile::tempdir().expect("temp dir");
        let live = WorkRoot::create(dir.path()).expect("a folder");
        let workspace = live.workspace().expect("a workspace");
        let dead = dir.path().join(".assay/work/run-dead");
        fs_err::create_dir_all(dead.join("0/project")).expect("folder");
        fs_err::write(dead.join("lock"), "").expect("lock");
        let other = WorkRoot::create(dir.path()).expect("another folder");
        assert!(!dead.exists() && workspace.project().exists());
        let path = workspace.project();
        drop(workspace);
        assert!(!path.exists());
        drop((live, other));
        let left = fs_err::read_dir(dir.path().join(".assay/work")).expect("work").count();
        assert_eq!(left, 1, "only the lock file is left");
    }

    #[test]
    fn a_copy_shares_nothing_that_is_written() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs_err::create_dir_all(from.join("models")).expect("folder");
        fs_err::create_dir_all(from.join("target")).expect("folder");
        fs_err::write(from.join(DATABASE), vec![0; 300 << 10]).expect("database");
        fs_err::write(from.join("models/a.sql"), "select 1").expect("model");
        fs_err::write(from.join("seed.csv"), vec![b'1'; 3 << 20]).expect("a large seed");
        fs_err::write(from.join("target/x"), "").expect("target");
        copy_tree(&from, &to, &|path| path.starts_with("target")).expect("copied");
        assert!(!to.join("target").exists());
        for path in [DATABASE, "models/a.sql", "seed.csv"] {
            fs_err::write(to.join(path), "changed").expect("written");
            assert_ne!(fs_err::read(from.join(path)).expect("read"), b"changed");
        }
    }

    #[test]
    fn a_copy_holds_no_links() {
        use fs_err::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("temp dir");
        let (from, elsewhere, to) =
            (dir.path().join("from"), dir.path().join("elsewhere"), dir.path().join("to"));
        fs_err::create_dir_all(from.join("models")).expect("folder");
        fs_err::create_dir_all(elsewhere.join("deep")).expect("folder");
        fs_err::write(elsewhere.join("dbt_project.yml"), "name: shop").expect("project");
        fs_err::write(elsewhere.join("deep/a.sql"), "select 1").expect("model");
        symlink(elsewhere.join("dbt_project.yml"), from.join("dbt_project.yml")).expect("linked");
        symlink(&elsewhere, from.join("models/shared")).expect("linked");
        // Circles, at once and by way of each other.
        symlink(&from, from.join("models/circle")).expect("linked");
        symlink(from.join("models"), elsewhere.join("back")).expect("linked");
        symlink("nowhere", from.join("dangling")).expect("linked");
        copy_tree(&from, &to, &|_| false).expect("copied");
        let copied = files(&to, &|_| false).expect("listed");
        let expected = ["dbt_project.yml", "models/shared/dbt_project.yml", "models/shared/deep/a.sql"];
        assert_eq!(copied, expected.map(PathBuf::from));
        assert!(copied.iter().all(|path| !to.join(path).is_symlink()));
    }

    #[test]
    fn paths_that_lead_out_are_seen() {
        for (path, inside) in [
            ("models/a.sql", true),
            ("../a.sql", false),
            ("/a.sql", false),
            ("models/../../a", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(is_inside(Path::new(path)), inside, "{path}");
        }
    }
}
