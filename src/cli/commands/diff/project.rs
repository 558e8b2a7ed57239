//! The dbt project that compared models belong to: it says what the tables are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::check::build::prepared_types;
use crate::cli::commands::spec::project_of;
use crate::cli::output;
use crate::config::Config;
use crate::dbt::facts::{self, Types};
use crate::dbt::{catalog, project::Project};
use crate::sql::{Dialect, Schema};

/// A project, and what it says about its tables.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) project: Project,
    /// As the configuration says; `None` where it does not know the project.
    pub(super) dialect: Option<Dialect>,
    pub(super) schema: Schema,
    /// Whether the columns of its tables are known.
    pub(super) has_types: bool,
}

/// The project that is named (in the configuration, or by its folder), else the one that one of the paths lies in.
pub(super) fn find(config: &Config, name: Option<&str>, paths: &[PathBuf]) -> anyhow::Result<Option<Known>> {
    let project = match name {
        Some(folder) if !config.projects.contains_key(folder) && is_project(Path::new(folder)) => {
            Some(Project::read(Path::new(folder))?)
        }
        Some(name) => project_of(config, Some(name))?.map(|(_, project)| project),
        None => around(paths)?.map(|folder| Project::read(&folder)).transpose()?,
    };
    project.map(|project| know(config, project)).transpose()
}

fn know(config: &Config, project: Project) -> anyhow::Result<Known> {
    let configured = config.projects.values().find(|known| {
        let same = |path: &Path| std::fs::canonicalize(path).ok();
        same(&config.resolve(&known.path)).is_some_and(|path| Some(path) == same(&project.root))
    });
    let mut types = catalog::types(&project).unwrap_or_else(|error| {
        output::talk(&format!("hint: {} is left aside: {error}", catalog::path(&project).display()));
        Types::new()
    });
    // What a run saw in the database, in this state of the project, is newer than a catalog can be.
    types.extend(prepared_types(&config.root, &project).unwrap_or_default());
    let schema = facts::schema(&project, &project.properties()?, &types);
    Ok(Known {
        dialect: configured.map(|known| known.dialect),
        schema,
        has_types: !types.is_empty(),
        project,
    })
}

/// The closest folder above one of the paths that holds a dbt project; the last path, the candidate's, first.
fn around(paths: &[PathBuf]) -> anyhow::Result<Option<PathBuf>> {
    let here = std::env::current_dir().context("failed to find the current folder")?;
    let paths = paths.iter().rev().map(|path| here.join(path)).chain([here.clone()]);
    let found = paths
        .filter_map(|path| path.ancestors().find(|folder| is_project(folder)).map(Path::to_path_buf))
        .next();
    Ok(found.map(|folder| match folder.strip_prefix(&here) {
        Ok(below) if below.as_os_str().is_empty() => PathBuf::from("."),
        Ok(below) => below.to_path_buf(),
        Err(_) => folder,
    }))
}

fn is_project(folder: &Path) -> bool {
    folder.join("dbt_project.yml").is_file()
}
