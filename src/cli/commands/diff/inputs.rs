//! What `assay diff` compares: two files, two folders by file name, or files of two git revisions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::tool::git;

/// A model on both sides; `None` where a side lacks it.
#[derive(Debug)]
pub(super) struct Item {
    /// How it is called: the relative path, or the second file's.
    pub(super) name: String,
    pub(super) golden: Option<String>,
    pub(super) candidate: Option<String>,
}

impl Item {
    /// The model's name: the file's without its extension.
    pub(super) fn model(&self) -> String {
        let stem = Path::new(&self.name).file_stem();
        stem.map_or_else(|| "model".to_owned(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// Two files, or two folders.
pub(super) fn from_paths(golden: &Path, candidate: &Path) -> anyhow::Result<Vec<Item>> {
    match (golden.is_dir(), candidate.is_dir()) {
        (false, false) => Ok(vec![Item {
            name: candidate.display().to_string(),
            golden: Some(read(golden)?),
            candidate: Some(read(candidate)?),
        }]),
        (true, true) => {
            let mut names = BTreeSet::new();
            for folder in [golden, candidate] {
                list(folder, folder, &mut names)?;
            }
            if names.is_empty() {
                bail!("there is no .sql file in {} or {}", golden.display(), candidate.display());
            }
            names
                .into_iter()
                .map(|name| {
                    let side = |folder: &Path| {
                        let path = folder.join(&name);
                        path.is_file().then(|| read(&path)).transpose()
                    };
                    Ok(Item {
                        golden: side(golden)?,
                        candidate: side(candidate)?,
                        name: name.display().to_string(),
                    })
                })
                .collect()
        }
        _ => bail!("{} and {}: two files or two folders are needed", golden.display(), candidate.display()),
    }
}

/// The `.sql` files that changed between two revisions, `A..B`.
pub(super) fn from_revisions(range: &str, paths: &[PathBuf]) -> anyhow::Result<Vec<Item>> {
    let Some((from, to)) = range.split_once("..") else {
        bail!("--rev {range}: two revisions are needed, for example main..HEAD");
    };
    let to = if to.is_empty() { "HEAD" } else { to };
    let folder = std::env::current_dir().context("failed to find the current folder")?;
    git::changed(&folder, from, to, paths, ".sql")?
        .into_iter()
        .map(|name| {
            Ok(Item {
                golden: git::show(&folder, from, &name)?,
                candidate: git::show(&folder, to, &name)?,
                name,
            })
        })
        .collect()
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs_err::read_to_string(path).context("failed to read")
}

fn list(root: &Path, folder: &Path, into: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        // Links are not followed: they may lead in circles.
        if kind.is_dir() {
            list(root, &path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "sql")
            && let Ok(relative) = path.strip_prefix(root)
        {
            into.insert(relative.to_path_buf());
        }
    }
    Ok(())
}
