//! The prepared project: seeds loaded, models and their tests run, everything parsed. Made once for each state of the
//! project and of the tools, under `.assay/templates/<key>/`; candidates start from a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::engine::{Call, Engine};
use super::engines::Engines;
use super::rows::Duckdb;
use super::workspace::copy_tree;
use super::{BuildLimits, DATABASE};
use crate::dbt::artifacts::{Manifest, Status};
use crate::dbt::files::is_left_out;
use crate::dbt::project::Project;
use crate::diagnostic::{Diagnostic, Place};
use crate::tool::progress::Progress;
use crate::tool::state;

/// Changes when the layout of a template does.
const FORMAT: &str = "1";

/// What is known about the prepared project.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Summary {
    /// State of the project ([`Project::hash`]).
    pub(super) project_hash: String,
    /// Columns (name, type) of every relation, by unique id.
    pub(super) columns: BTreeMap<String, Vec<(String, String)>>,
    /// Quoted relation of every node that has one, by unique id.
    pub(super) relations: BTreeMap<String, String>,
    /// File of every model, relative to the project, to its unique id.
    pub(super) files: BTreeMap<String, String>,
    /// Models and seeds that could not be built, with the reason.
    pub(super) failed: BTreeMap<String, String>,
    /// Tests that fail on the project's own rows: what they declare does not hold.
    pub(super) failed_tests: BTreeMap<String, String>,
}

/// Where all templates are.
pub(super) fn folder(root: &Path) -> PathBuf {
    state::folder(root, "templates")
}

#[derive(Debug)]
pub(super) struct Template {
    pub(super) project: PathBuf,
    pub(super) summary: Summary,
}

impl Template {
    /// Finds the template of a project, or makes it.
    pub(super) async fn prepare(
        root: &Path,
        project: &Project,
        engines: &Engines,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, Diagnostic> {
        let fault = |error: io::Error| no_workspace(&error);
        let profile = profile(project, &engines.authority.engine, &engines.limits, true);
        let made_with = [&profile, engines.name(), &engines.authority.version];
        let key = key(project, made_with).map_err(fault)?;
        let parent = state::create(root, "templates").map_err(fault)?;
        let home = std::path::absolute(parent.join(&key)).map_err(fault)?;
        let lock = fs_err::File::create(home.with_extension("lock")).map_err(fault)?;
        lock.file().lock().map_err(fault)?;
        if let Some(template) = Self::open(&home) {
            return Ok(template);
        }
        let pinned: String = project
            .pinned
            .iter()
            .map(|(name, value)| {
                format!(", {name} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        progress(format!("preparing the project {}{pinned} (once)", project.name).into());
        let partial = home.with_extension("partial");
        for path in [&partial, &home] {
            if path.exists() {
                fs_err::remove_dir_all(path).map_err(fault)?;
            }
        }
        let mut summary = make(&partial, project, engines, &profile).await?;
        summary.project_hash = project.hash().map_err(fault)?;
        let text = serde_json::to_vec_pretty(&summary).map_err(|error| fault(error.into()))?;
        fs_err::write(partial.join("summary.json"), text).map_err(fault)?;
        fs_err::rename(&partial, &home).map_err(fault)?;
        Ok(Self { project: home.join("project"), summary })
    }

    /// The template of a project in its present state, whichever engine made it; `None` where no run has.
    pub(super) fn find(root: &Path, project: &Project) -> Option<Self> {
        let hash = project.hash().ok()?;
        let prefix = format!("{}-", project.name);
        fs_err::read_dir(folder(root)).ok()?.flatten().map(|entry| entry.path()).find_map(|home| {
            let name = home.file_name()?.to_string_lossy().into_owned();
            let template = Self::open(&home).filter(|_| name.starts_with(&prefix))?;
            (template.summary.project_hash == hash).then_some(template)
        })
    }

    fn open(home: &Path) -> Option<Self> {
        let text = fs_err::read(home.join("summary.json")).ok()?;
        let summary = serde_json::from_slice(&text).ok()?;
        let project = home.join("project");
        project.join(DATABASE).is_file().then_some(Self { project, summary })
    }
}

/// Everything that the template depends on: the project's files, and with what it is made (the profile, the engine, its
/// version and that of its database).
fn key(project: &Project, made_with: [&str; 3]) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    for text in [FORMAT, &project.hash()?].into_iter().chain(made_with) {
        part(text.as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    Ok(format!("{}-{}", project.name, hash.get(..16).unwrap_or_default()))
}

/// The profile: a database of its own beside the project, locked down for candidates (`locked`). Identical for all
/// candidates, since dbt parses everything anew when it differs.
pub(super) fn profile(project: &Project, engine: &Engine, limits: &BuildLimits, locked: bool) -> String {
    let mut options = vec![
        ("memory_limit", format!("'{}MB'", limits.duckdb_memory >> 20)),
        ("threads", "'1'".to_owned()),
        ("max_temp_directory_size", format!("'{}MB'", limits.file_size >> 20)),
    ];
    let (section, locks) = match engine {
        // At connect time: as `settings` they would be applied again to each cursor and fail on the lock.
        Engine::V1(_) => (
            "config_options",
            &[
                "enable_external_access",
                "autoinstall_known_extensions",
                "autoload_known_extensions",
                "allow_community_extensions",
            ][..],
        ),
        // It knows no `config_options`, and applies its settings in any order: a lock would stop those after it. Without
        // one files and network still stay closed, since DuckDB never opens them again in a running database.
        Engine::V2(_) => ("settings", &["enable_external_access"][..]),
    };
    if locked {
        options.extend(locks.iter().map(|name| (*name, "'false'".to_owned())));
        if matches!(engine, Engine::V1(_)) {
            options.push(("lock_configuration", "'true'".into()));
        }
    }
    let options: String = options.iter().map(|(name, value)| format!("        {name}: {value}\n")).collect();
    let name = serde_json::Value::from(project.profile.as_str());
    format!(
        "{name}:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: {DATABASE}\n      schema: main\n      threads: 1\n      {section}:\n{options}"
    )
}

const AS_IT_IS: &str = "the project must build without any candidate";

/// `.assay` cannot be used.
pub(super) fn no_workspace(error: &io::Error) -> Diagnostic {
    Diagnostic::new("E_WORKSPACE", error.to_string()).hint("check that `.assay` can be written")
}

async fn make(dir: &Path, project: &Project, engines: &Engines, locked: &str) -> Result<Summary, Diagnostic> {
    let (engine, limits) = (&engines.authority.engine, &engines.limits);
    let fault = |error: io::Error| no_workspace(&error);
    let place = || Place::file(project.root.join("dbt_project.yml"));
    let work = dir.join("project");
    copy_tree(&project.root, &work, &is_left_out).map_err(fault)?;
    for (file, seed) in project.replaced_seeds() {
        fs_err::copy(file, work.join(seed)).map_err(fault)?;
    }
    fs_err::write(work.join("profiles.yml"), locked).map_err(fault)?;
    // Seeds are read from files, which the locked profile forbids.
    let open = dir.join("open");
    fs_err::create_dir_all(&open).map_err(fault)?;
    fs_err::write(open.join("profiles.yml"), profile(project, engine, limits, false)).map_err(fault)?;

    let mut summary = Summary::default();
    // Seeds in a call of their own: what reads them through `source()` is not ordered after them.
    for command in ["seed", "run", "test"] {
        let call = Call {
            directory: work.clone(),
            profiles: open.clone(),
            write: dir.to_owned(),
            arguments: std::iter::once(command.into()).chain(project.pinned_arguments()).collect(),
            wall: limits.wall * 4,
            cpu: limits.wall * 4,
        };
        let outcome = engine.call_again(&call).await;
        if let Some(failure) = outcome.failure(&call) {
            return Err(Diagnostic::new(
                "E_PROJECT_BUILD",
                format!(
                    "dbt {command} fails on the project as it is: {} ({})",
                    failure.message, failure.class
                ),
            )
            .at(place())
            .hint(AS_IT_IS));
        }
        for result in outcome.results.results {
            let text = super::classify::shorten(&crate::dbt::artifacts::plain(&result.message));
            match (command, &result.status) {
                (_, Status::Success | Status::Pass | Status::Warn) => {}
                ("test", _) => {
                    summary.failed_tests.insert(result.unique_id, text);
                }
                _ => {
                    summary.failed.insert(result.unique_id, text);
                }
            }
        }
    }
    if let Some((seed, why)) = summary.failed.iter().find(|(id, _)| id.starts_with("seed.")) {
        return Err(Diagnostic::new("E_PROJECT_BUILD", format!("the seed {seed} cannot be loaded: {why}"))
            .at(place())
            .hint("mend the CSV file, or give its columns types with `+column_types`"));
    }
    // With the profile that candidates have, so that their parsing starts from here.
    let call = Call {
        directory: work.clone(),
        profiles: work.clone(),
        write: dir.to_owned(),
        arguments: std::iter::once("parse".into()).chain(project.pinned_arguments()).collect(),
        wall: limits.wall * 4,
        cpu: limits.wall * 4,
    };
    if let Some(failure) = engine.call_again(&call).await.failure(&call) {
        return Err(Diagnostic::new("E_PROJECT_BUILD", failure.message).at(place()).hint(AS_IT_IS));
    }
    let manifest = read(&work.join("target/manifest.json"), Manifest::parse).ok_or_else(|| {
        Diagnostic::new("E_PROJECT_BUILD", "dbt wrote no manifest").at(place()).hint(AS_IT_IS)
    })?;
    summarise(&mut summary, &manifest);
    describe(&mut summary, engines, &work.join(DATABASE)).await.map_err(|error| {
        Diagnostic::new("E_PROJECT_BUILD", format!("the prepared database cannot be read: {error}"))
            .at(place())
            .hint(
                "dbt's adapter and the `duckdb` command must be able to read the same files: `assay doctor`",
            )
    })?;
    keep_only_what_candidates_need(&work).map_err(fault)?;
    Ok(summary)
}

pub(super) fn read<T, E>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, E>) -> Option<T> {
    parse(&fs_err::read(path).ok()?).ok()
}

fn summarise(summary: &mut Summary, manifest: &Manifest) {
    for (id, node) in manifest.nodes.iter().chain(&manifest.sources) {
        if let Some(relation) = &node.relation_name
            && matches!(node.resource_type.as_str(), "model" | "seed" | "snapshot" | "source")
        {
            summary.relations.insert(id.clone(), relation.clone());
        }
        if node.resource_type == "model" {
            summary.files.insert(node.original_file_path.clone(), id.clone());
        }
    }
}

async fn describe(summary: &mut Summary, engines: &Engines, database: &Path) -> Result<(), String> {
    let all = Duckdb::new(&engines.duckdb, 1).columns_of_all(database).await?;
    for (id, relation) in &summary.relations {
        if let Some(columns) = all.get(&relation.to_lowercase()) {
            summary.columns.insert(id.clone(), columns.clone());
        }
    }
    Ok(())
}

/// A candidate's target folder must hold nothing that could be taken for the candidate's own.
fn keep_only_what_candidates_need(work: &Path) -> io::Result<()> {
    let kept = BTreeSet::from(["partial_parse.msgpack"]);
    for entry in fs_err::read_dir(work.join("target"))? {
        let entry = entry?;
        if kept.contains(entry.file_name().to_string_lossy().as_ref()) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs_err::remove_dir_all(entry.path())?,
            false => fs_err::remove_file(entry.path())?,
        }
    }
    let logs = work.join("logs");
    if logs.exists() {
        fs_err::remove_dir_all(logs)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that one version of DuckDB wrote may not be readable by another.
    #[test]
    fn a_template_belongs_to_its_tools_and_its_files() {
        let dir = tempfile::tempdir().expect("temp dir");
        let write = |path: &str, text: &str| fs_err::write(dir.path().join(path), text).expect("written");
        write("dbt_project.yml", "name: shop\n");
        write("a.sql", "select 1");
        let project = Project::read(dir.path()).expect("a project");
        let key = |made_with| key(&project, made_with).expect("a key");
        let made_with = ["profile", "v1", "1.11.16 1.10.1 1.5.6"];
        let first = key(made_with);
        assert_eq!(first, key(made_with));
        for other in [
            ["another profile", "v1", "1.11.16 1.10.1 1.5.6"],
            ["profile", "v2", "1.11.16 1.10.1 1.5.6"],
            ["profile", "v1", "1.11.16 1.10.1 1.4.4"],
        ] {
            assert_ne!(first, key(other), "{other:?}");
        }
        // What dbt leaves behind is not part of it.
        fs_err::create_dir_all(dir.path().join("target")).expect("folder");
        write("target/x.sql", "select 2");
        write("old.duckdb", "rows");
        assert_eq!(first, key(made_with));
        write("a.sql", "select 2");
        assert_ne!(first, key(made_with));
    }
}
