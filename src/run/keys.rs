//! The file with the keys: who else can read it.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Place};
use crate::tool::git;

/// What is wrong with how `.env` beside `assay.toml` is kept. Nothing where there is none.
pub fn warnings(root: &Path) -> Vec<Diagnostic> {
    let path = root.join(".env");
    let mut found = Vec::new();
    let Ok(metadata) = fs_err::metadata(&path) else { return found };
    let warning = |code, message: &str| Diagnostic::new(code, message).at(Place::file(&path));
    if is_open_to_others(&metadata) {
        found.push(warning("E_ENV_MODE", "other users can read the keys in it").hint("chmod 600 .env"));
    }
    if git::is_tracked(if root.as_os_str().is_empty() { Path::new(".") } else { root }, ".env") {
        found.push(warning("E_ENV_TRACKED", "git keeps this file, and with it the keys").hint(
            "git rm --cached .env, list it in .gitignore, and replace the keys: they stay in the history",
        ));
    }
    found
}

#[cfg(unix)]
fn is_open_to_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_that_others_can_read_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(warnings(dir.path()), []);
        let path = dir.path().join(".env");
        fs_err::write(&path, "KEY=1\n").unwrap();
        for (mode, codes) in [(0o600, &[][..]), (0o640, &["E_ENV_MODE"]), (0o644, &["E_ENV_MODE"])] {
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found: Vec<_> = warnings(dir.path()).iter().map(|warning| warning.code).collect();
            assert_eq!(found, codes, "{mode:o}");
        }
    }
}
