//! What a job may leave behind: files and folders. A link or a pipe in its folder would have us, who are not restricted, read,
//! wait or write where the job could not.

use std::path::PathBuf;

/// Removes what is neither a file nor a folder below the folders that a job could write.
pub(super) async fn disarm(folders: &[PathBuf]) {
    let folders = folders.to_vec();
    // A panic there leaves no more than there was.
    let _ = tokio::task::spawn_blocking(move || remove_others(folders)).await;
}

/// What cannot be read is left: nobody gets past it.
fn remove_others(mut folders: Vec<PathBuf>) {
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => {}
                _ => {
                    let _ = fs_err::remove_file(entry.path());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_pipes_are_removed_and_what_they_lead_to_stays() {
        use fs_err::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("temp dir");
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        fs_err::create_dir_all(inside.join("target")).expect("folder");
        fs_err::create_dir_all(&outside).expect("folder");
        fs_err::write(outside.join("secret"), "secret").expect("secret");
        fs_err::write(inside.join("target/file"), "file").expect("file");
        symlink(outside.join("secret"), inside.join("target/link")).expect("linked");
        symlink(&outside, inside.join("folder")).expect("linked");
        symlink("nowhere", inside.join("dangling")).expect("linked");
        let pipe = inside.join("target/pipe");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
        remove_others(vec![inside.clone()]);
        let left = |folder: &std::path::Path| {
            let mut names: Vec<_> =
                fs_err::read_dir(folder).expect("read").flatten().map(|entry| entry.file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(left(&inside), ["target"]);
        assert_eq!(left(&inside.join("target")), ["file"]);
        assert_eq!(left(&outside), ["secret"]);
    }
}
