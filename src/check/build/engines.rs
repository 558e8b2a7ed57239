//! Which engines a run has: the one whose word counts, and, before it, the cheap way for what is simple.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BuildLimits;
use super::engine::Engine;
use super::{template, workspace};
use crate::dbt::style::TestStyle;
use crate::tool::dbt::Pool;
use crate::tool::environment::{Tools, v2};
use crate::tool::executor::Executor;
use crate::tool::process::Limits;
use crate::tool::v2::RustDbt;

/// The engines of a run, shared by the builders of all projects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engines {
    /// Judges by `dbt build`.
    pub(super) authority: Dbt,
    /// The `duckdb` command.
    pub(super) duckdb: PathBuf,
    /// Children at a time.
    pub(super) workers: usize,
    pub(super) limits: BuildLimits,
    /// DuckDB without dbt.
    pub(super) executor: Arc<Executor>,
    /// What may compile for the cheap way, the cheaper first; `None` where it is not gone.
    pub(super) compilers: Option<Vec<Dbt>>,
}

/// A dbt with what must be known about it.
#[derive(Debug, Clone)]
pub(super) struct Dbt {
    pub(super) engine: Engine,
    /// Everything that what it prepares depends on.
    pub(super) version: String,
    pub(super) style: TestStyle,
}

impl Engines {
    /// dbt-core 1.x in `workers` warm processes, for projects that are built below `root`.
    pub fn v1(root: &Path, tools: &Tools, workers: usize, limits: &BuildLimits) -> Self {
        let pool = Pool::new(tools.python.clone(), workers, limits.of_process(), folders(root));
        let versions = &tools.versions;
        let authority = Dbt {
            engine: Engine::V1(Arc::new(pool)),
            version: format!("{} {} {}", versions.dbt_core, versions.dbt_duckdb, versions.duckdb),
            style: TestStyle::of_version(&versions.dbt_core),
        };
        Self::new(root, tools, authority, workers, limits)
    }

    /// dbt-core 2.x, at most `workers` processes at a time.
    pub fn v2(root: &Path, tools: &Tools, rust: &v2::V2, workers: usize, limits: &BuildLimits) -> Self {
        Self::new(root, tools, rust_dbt(rust, workers, limits), workers, limits)
    }

    fn new(root: &Path, tools: &Tools, authority: Dbt, workers: usize, limits: &BuildLimits) -> Self {
        let executor = Executor::new(tools.python.clone(), workers, limits.of_process(), folders(root));
        Self {
            authority,
            duckdb: tools.duckdb.clone(),
            workers,
            limits: limits.clone(),
            executor: Arc::new(executor),
            compilers: None,
        }
    }

    /// With the cheap way before it: compiled in batches by `rust`, where it is there and reads the project, else by the
    /// authority; executed by DuckDB.
    #[must_use]
    pub fn with_exec(mut self, rust: Option<&v2::V2>) -> Self {
        let rust = rust.map(|rust| rust_dbt(rust, self.workers, &self.limits));
        self.compilers = Some(rust.into_iter().chain([self.authority.clone()]).collect());
        self
    }

    /// `v1` or `v2`.
    pub fn name(&self) -> &'static str {
        self.authority.engine.name()
    }
}

fn rust_dbt(rust: &v2::V2, workers: usize, limits: &BuildLimits) -> Dbt {
    let dbt = RustDbt::new(rust.binary.clone(), rust.library.clone(), workers, limits.of_process());
    Dbt {
        engine: Engine::V2(Arc::new(dbt)),
        version: format!("{} {}", v2::VERSION, v2::DUCKDB),
        style: TestStyle::Arguments,
    }
}

/// The folders below which everything lies that an engine writes: workspaces and prepared projects.
fn folders(root: &Path) -> Vec<PathBuf> {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    vec![workspace::folder(&root), template::folder(&root)]
}

impl BuildLimits {
    fn of_process(&self) -> Limits {
        Limits {
            memory: Some(self.memory),
            file_size: Some(self.file_size),
            open_files: Some(1024),
            ..Limits::wall(self.wall)
        }
    }
}
