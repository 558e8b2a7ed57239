//! The files that make up a project, and the state that they are in.

use std::io;
use std::path::{Path, PathBuf};

use super::project::Project;

impl Project {
    /// Hash over all files of the project and its pinned variables: models, seeds, macros, packages, configuration.
    ///
    /// # Errors
    /// A file that cannot be read; the message names it.
    pub fn hash(&self) -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(self.pinned_arguments().concat().as_bytes());
        for path in files(&self.root, &is_left_out)? {
            part(path.as_os_str().as_encoded_bytes());
            part(&fs_err::read(self.root.join(&path))?);
        }
        for (file, seed) in self.replaced_seeds() {
            part(seed.as_os_str().as_encoded_bytes());
            part(&fs_err::read(file)?);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// What is not part of a project: what dbt makes, databases, profiles, version control.
pub(crate) fn is_left_out(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let top = path.components().count() == 1;
    (top && matches!(name.as_ref(), "target" | "logs" | "profiles.yml" | ".user.yml"))
        || matches!(name.as_ref(), ".git" | ".assay" | ".venv" | "node_modules" | "__pycache__")
        || [".duckdb", ".duckdb.wal"].iter().any(|end| name.ends_with(end))
}

/// Relative paths of all files below a folder, sorted.
pub(crate) fn files(root: &Path, skip: &dyn Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(root, Path::new(""), skip, &mut |path| found.push(path))?;
    found.sort();
    Ok(found)
}

/// Calls `each` with the path, relative to `root`, of every file below `root/relative`. Like dbt it follows symbolic links, but
/// not in circles. `skip` sees the same paths.
pub(crate) fn walk(
    root: &Path,
    relative: &Path,
    skip: &dyn Fn(&Path) -> bool,
    each: &mut dyn FnMut(PathBuf),
) -> io::Result<()> {
    // With the real folders that lead to each.
    let mut folders = vec![(relative.to_owned(), Vec::new())];
    while let Some((folder, mut above)) = folders.pop() {
        let real = fs_err::canonicalize(root.join(&folder))?;
        if above.contains(&real) {
            continue;
        }
        above.push(real);
        for entry in fs_err::read_dir(root.join(&folder))? {
            let path = folder.join(entry?.file_name());
            let full = root.join(&path);
            if skip(&path) {
                continue;
            }
            if full.is_dir() {
                folders.push((path, above.clone()));
            } else if full.is_file() {
                each(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_seeds_and_variables_and_not_what_dbt_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("dbt_project.yml", "name: shop\n");
        write("seeds/orders.csv", "id\n1\n");
        let mut project = Project::read(dir.path()).unwrap();
        let before = project.hash().unwrap();
        write("target/manifest.json", "{}");
        write("dev.duckdb", "");
        assert_eq!(project.hash().unwrap(), before);
        project.pinned.insert("as_of".into(), "2026-01-01".into());
        assert_ne!(project.hash().unwrap(), before);
        project.pinned.clear();
        write("seeds/orders.csv", "id\n2\n");
        assert_ne!(project.hash().unwrap(), before);
    }
}
