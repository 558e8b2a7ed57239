//! `.assay/` beside `assay.toml`: tools, prepared projects, workspaces, drafts' texts. All of it can be made again.

use std::io;
use std::path::{Path, PathBuf};

/// A folder of it; `root` is the folder of `assay.toml`.
pub fn folder(root: &Path, name: &str) -> PathBuf {
    root.join(".assay").join(name)
}

/// Makes a folder of it, and keeps git out of all of it.
///
/// # Errors
/// What the file system says.
pub fn create(root: &Path, name: &str) -> io::Result<PathBuf> {
    let made = folder(root, name);
    fs_err::create_dir_all(&made)?;
    let ignore = folder(root, ".gitignore");
    if !ignore.exists() {
        fs_err::write(ignore, "*\n")?;
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_sees_nothing_of_it_and_what_a_user_wrote_stays() {
        let dir = tempfile::tempdir().unwrap();
        let made = create(dir.path(), "work").unwrap();
        assert!(made.is_dir());
        let ignore = dir.path().join(".assay/.gitignore");
        assert_eq!(fs_err::read_to_string(&ignore).unwrap(), "*\n");
        fs_err::write(&ignore, "mine").unwrap();
        create(dir.path(), "tools").unwrap();
        assert_eq!(fs_err::read_to_string(&ignore).unwrap(), "mine");
    }
}
