//! Writing several files of a project as one: either all of them are there or none.
//!
//! New texts and copies of the old ones are staged below the project, on the same file system, with a plan of what is to
//! be put where. Then files are renamed to their places, and removing the plan is what makes the change final. Whoever finds a plan
//! left by a process that died puts the old files back; what somebody changed since is left as it is.

use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::tool::git::Change;

/// The folder in which files are staged.
const STAGE: &str = ".assay-draft";
const PLAN: &str = "plan.json";

/// Makes all changes below `root`, or none.
///
/// # Errors
/// `E_DRAFT_PATH` for a path that leads out of the project or through a link, `E_DRAFT_BUSY`, `E_DRAFT_WRITE`.
pub(super) fn write(root: &Path, changes: &[Change]) -> Result<(), Diagnostics> {
    for change in changes {
        check_path(root, &change.path)?;
    }
    let _lock = lock(root)?;
    roll_back(root).map_err(|error| failed(root, &error))?;
    let done = stage(root, changes).and_then(|plan| {
        (0..plan.entries.len()).try_for_each(|at| apply(root, &plan, at))?;
        finish(root)
    });
    if let Err(error) = done {
        // What cannot be undone now is undone by the next draft: the plan is still there.
        let _ = roll_back(root);
        return Err(failed(root, &error));
    }
    Ok(())
}

/// Puts back what a draft that died half-way had changed; `false` when there was nothing of that kind.
///
/// # Errors
/// `E_DRAFT_BUSY` while another draft is being written, `E_DRAFT_WRITE`.
pub(super) fn recover(root: &Path) -> Result<bool, Diagnostics> {
    if !root.join(STAGE).exists() {
        return Ok(false);
    }
    let _lock = lock(root)?;
    roll_back(root).map_err(|error| failed(root, &error))
}

fn failed(root: &Path, error: &io::Error) -> Diagnostics {
    Diagnostic::new("E_DRAFT_WRITE", format!("nothing was written: {error}")).at(Place::file(root)).into()
}

/// Held as long as files are changed; the system lets go of it when the process dies.
fn lock(root: &Path) -> Result<fs_err::File, Diagnostics> {
    let file = fs_err::File::open(root.join("dbt_project.yml")).map_err(|error| failed(root, &error))?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Diagnostic::new("E_DRAFT_BUSY", "another draft is being written into this project")
                .at(Place::file(root))
                .into())
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(root, &error)),
    }
}

/// Refuses paths that lead out of the project, by name or by a link.
fn check_path(root: &Path, path: &Path) -> Result<(), Diagnostics> {
    let fault = |why: &str| {
        Err(Diagnostic::new("E_DRAFT_PATH", format!("`{}` {why}", path.display()))
            .at(Place::file(root))
            .into())
    };
    if path.as_os_str().is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return fault("is not a path inside the project");
    }
    let mut full = root.to_path_buf();
    for part in path.components() {
        full.push(part);
        match fs_err::symlink_metadata(&full) {
            Ok(meta) if meta.is_symlink() => return fault("leads through a symbolic link"),
            Ok(meta) if meta.is_dir() && full == root.join(path) => return fault("is a folder"),
            _ => {}
        }
    }
    Ok(())
}

#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    entries: Vec<Entry>,
    /// Folders that did not exist, outermost first.
    folders: Vec<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    /// Hash of the new text; `None`: the file is taken out.
    new: Option<String>,
    /// Hash of the old text; `None`: there was no file.
    old: Option<String>,
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs_err::File::create(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}

/// Writes everything that is needed to make the change and to undo it.
fn stage(root: &Path, changes: &[Change]) -> io::Result<Plan> {
    let stage = root.join(STAGE);
    for side in ["new", "old"] {
        fs_err::create_dir_all(stage.join(side))?;
    }
    // What a dead process leaves must not be committed by accident.
    put(&stage.join(".gitignore"), b"*\n")?;
    let mut plan = Plan { entries: Vec::new(), folders: Vec::new() };
    for (at, change) in changes.iter().enumerate() {
        let old = read(&root.join(&change.path))?;
        if let Some(old) = &old {
            put(&stage.join("old").join(at.to_string()), old)?;
        }
        if let Some(text) = &change.text {
            put(&stage.join("new").join(at.to_string()), text.as_bytes())?;
        }
        let parents = change.path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        let mut missing: Vec<PathBuf> = parents
            .filter(|folder| !root.join(folder).exists() && !plan.folders.iter().any(|known| known == folder))
            .map(Path::to_path_buf)
            .collect();
        missing.reverse();
        plan.folders.extend(missing);
        plan.entries.push(Entry {
            path: change.path.clone(),
            new: change.text.as_ref().map(|text| hash(text.as_bytes())),
            old: old.as_deref().map(hash),
        });
    }
    let staged = stage.join("plan.new");
    put(&staged, &serde_json::to_vec(&plan)?)?;
    fs_err::rename(staged, stage.join(PLAN))?;
    plan.folders.iter().try_for_each(|folder| fs_err::create_dir(root.join(folder)))?;
    Ok(plan)
}

/// Makes one of the changes.
fn apply(root: &Path, plan: &Plan, at: usize) -> io::Result<()> {
    let Entry { path, new, old } = &plan.entries[at];
    match (new, old) {
        (Some(_), _) => fs_err::rename(root.join(STAGE).join("new").join(at.to_string()), root.join(path)),
        (None, Some(_)) => fs_err::remove_file(root.join(path)),
        (None, None) => Ok(()),
    }
}

/// Makes the change final.
fn finish(root: &Path) -> io::Result<()> {
    fs_err::remove_file(root.join(STAGE).join(PLAN))?;
    // Without a plan the rest has no meaning: the next draft removes it.
    let _ = fs_err::remove_dir_all(root.join(STAGE));
    Ok(())
}

/// Undoes what a plan that was not made final has changed.
fn roll_back(root: &Path) -> io::Result<bool> {
    let stage = root.join(STAGE);
    let Some(plan) = read(&stage.join(PLAN))? else {
        if stage.exists() {
            fs_err::remove_dir_all(&stage)?;
        }
        return Ok(false);
    };
    let plan: Plan = serde_json::from_slice(&plan)?;
    for (at, Entry { path, new, old }) in plan.entries.iter().enumerate() {
        let full = root.join(path);
        let now = read(&full)?.as_deref().map(hash);
        // Changed since, or not changed at all.
        if now != *new || now == *old {
            continue;
        }
        match old {
            Some(_) => {
                let copy = stage.join("back");
                fs_err::copy(stage.join("old").join(at.to_string()), &copy)?;
                fs_err::rename(copy, &full)?;
            }
            None => fs_err::remove_file(&full)?,
        }
    }
    for folder in plan.folders.iter().rev() {
        // One that holds something else stays.
        let _ = fs_err::remove_dir(root.join(folder));
    }
    finish(root)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in [
            ("dbt_project.yml", "name: x"),
            ("models/m.sql", "old"),
            ("tests/m_test_3.sql", "gone"),
            ("other", "kept"),
        ] {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs_err::write(path, text).expect("written");
        }
        folder
    }

    fn changes() -> Vec<Change> {
        let change =
            |path: &str, text: Option<&str>| Change { path: path.into(), text: text.map(str::to_owned) };
        vec![
            change("models/m.sql", Some("new")),
            change("models/m.yml", Some("models: []")),
            change("tests/deep/er/m_test_0.sql", Some("select 1")),
            change("tests/m_test_3.sql", None),
            change("notes/m.md", Some("# m")),
        ]
    }

    fn tree(root: &Path) -> BTreeMap<PathBuf, Option<String>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                let text = fs_err::read_to_string(&path).ok();
                if text.is_none() {
                    folders.push(path.clone());
                }
                found.insert(path, text);
            }
        }
        found
    }

    #[test]
    fn all_files_are_written_or_none_wherever_the_process_dies() {
        let changes = changes();
        for steps in 0..=changes.len() {
            let folder = project();
            let root = folder.path();
            let before = tree(root);
            let plan = stage(root, &changes).expect("staged");
            (0..steps).for_each(|at| apply(root, &plan, at).expect("applied"));
            assert!(recover(root).expect("recovered"), "{steps} steps");
            assert_eq!(tree(root), before, "{steps} steps");
            assert!(!recover(root).expect("nothing left"));
        }
        let folder = project();
        // Staged and not even planned.
        fs_err::create_dir_all(folder.path().join(STAGE).join("new")).expect("a folder");
        write(folder.path(), &changes).expect("written");
        let after = tree(folder.path());
        assert_eq!(after[&folder.path().join("models/m.sql")].as_deref(), Some("new"));
        assert_eq!(after[&folder.path().join("tests/deep/er/m_test_0.sql")].as_deref(), Some("select 1"));
        assert_eq!(after[&folder.path().join("other")].as_deref(), Some("kept"));
        assert!(!after.contains_key(&folder.path().join("tests/m_test_3.sql")));
        assert!(!after.keys().any(|path| path.to_string_lossy().contains(STAGE)));
    }

    #[test]
    fn what_somebody_changed_meanwhile_is_not_undone() {
        let folder = project();
        let root = folder.path();
        let plan = stage(root, &changes()).expect("staged");
        (0..plan.entries.len()).for_each(|at| apply(root, &plan, at).expect("applied"));
        fs_err::write(root.join("models/m.sql"), "mine").expect("written");
        assert!(recover(root).expect("recovered"));
        let read = |path: &str| fs_err::read_to_string(root.join(path)).ok();
        assert_eq!((read("models/m.sql").as_deref(), read("models/m.yml")), (Some("mine"), None));
        assert_eq!(read("tests/m_test_3.sql").as_deref(), Some("gone"));
    }

    #[test]
    fn a_fault_half_way_undoes_what_was_done() {
        let folder = project();
        let root = folder.path();
        let before = tree(root);
        let mut changes = changes();
        // `other` is a file: nothing can be below it.
        changes.push(Change { path: "other/x.sql".into(), text: Some("select 1".into()) });
        let fault = write(root, &changes).expect_err("cannot be written");
        assert_eq!(fault.0[0].code, "E_DRAFT_WRITE");
        assert_eq!(tree(root), before);
    }

    #[test]
    fn paths_that_lead_out_are_refused_and_so_is_a_second_writer() {
        let folder = project();
        let root = folder.path();
        let elsewhere = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(elsewhere.path(), root.join("notes")).expect("linked");
        for path in ["../x", "/etc/x", "a/../../x", "", "notes/m.md", "models"] {
            let change = Change { path: path.into(), text: Some(String::new()) };
            assert_eq!(write(root, &[change]).expect_err(path).0[0].code, "E_DRAFT_PATH", "{path}");
        }
        assert_eq!(fs_err::read_dir(elsewhere.path()).expect("a folder").count(), 0);
        let held = lock(root).expect("free");
        assert_eq!(write(root, &changes()[..1]).expect_err("held").0[0].code, "E_DRAFT_BUSY");
        drop(held);
        write(root, &changes()[..1]).expect("free again");
    }
}
