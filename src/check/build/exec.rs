//! The cheap way: dbt compiles many candidates in one call, and DuckDB builds each in a database of its own and runs its
//! tests. Only what comes out as `dbt build` would do it is done this way; everything else is left to the authority:
//! other materializations, unit tests, contracts, hooks, settings of tests, whatever does not compile, and Jinja that
//! could see under which name a candidate is compiled.

mod batch;
mod names;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use batch::Batches;
pub(super) use batch::Compiled;
use names::Names;

use super::classify::{Gate, of_call};
use super::engine::{Call, Engine};
use super::engines::{Dbt, Engines};
use super::judge::{self, Results};
use super::template::{Template, profile};
use super::workspace::{WorkRoot, Workspace};
use super::{BuildLimits, BuildReport, BuildRequest, Builder, DATABASE};
use crate::check::outcome::Outcome;
use crate::dbt::artifacts::{Node, RunResult, RunResults, Status};
use crate::dbt::project::Project;
use crate::tool::executor::{Executed, Executor, Job};
use crate::tool::worker::End;

/// The name in reports.
const ENGINE: &str = "exec";

/// The cheap way for one project.
#[derive(Debug)]
pub(super) struct Exec {
    batches: Batches,
    executor: Arc<Executor>,
    names: Names,
}

impl Exec {
    /// Looks whether a project can be judged this way; `None` where it changes how models are built. `compilers` are tried
    /// in turn: the first that reads the project compiles.
    pub(super) async fn new(
        project: &Project,
        template: &Template,
        engines: &Engines,
        work: &WorkRoot,
    ) -> Option<Self> {
        let compilers = engines.compilers.as_ref()?;
        let names = Names::of_project(&project.root, &template.project)?;
        for compiler in compilers {
            if reads(compiler, project, template, engines, work).await {
                return Some(Self {
                    batches: Batches::new(project, template, engines, compiler),
                    executor: Arc::clone(&engines.executor),
                    names,
                });
            }
        }
        None
    }

    /// The verdict, and the workspace that holds the database; `None` where the authority must judge.
    pub(super) async fn build(
        &self,
        request: &BuildRequest,
        builder: &Builder,
        golden: Vec<String>,
    ) -> Option<(BuildReport, Workspace)> {
        let Builder { template, engines, guard, work, .. } = builder;
        // Unit tests are dbt's own to run.
        if !request.unit_tests.is_empty() || !self.names.cannot_be_seen(request) {
            return None;
        }
        let (compiled, _executing) = self.batches.compile(request, work).await?;
        let workspace = work.workspace().ok()?;
        let violations = guard.violations(request.held.as_ref(), compiled.texts());
        if !violations.is_empty() {
            return Some((BuildReport::refused(violations, ENGINE), workspace));
        }
        let (from, to) = (template.project.join(DATABASE), workspace.database());
        tokio::task::spawn_blocking(move || fs_err::copy(from, to)).await.ok()?.ok()?;
        let job = job(&compiled, &workspace, engines, golden)?;
        let BuildLimits { wall, cpu, .. } = engines.limits;
        let answer = self.executor.run(&job, workspace.folder(), wall, cpu).await;
        let report = match answer.end {
            // What was refused is judged by the authority.
            End::Finished(Executed { refused: Some(_), .. }) => return None,
            End::Finished(executed) => report(request, compiled, executed, template, &workspace)?,
            // A limit says the same whoever keeps it; after anything else the authority is asked.
            end => {
                let failure = of_call(&end, wall, cpu).filter(|failure| !failure.class.is_transient())?;
                let gate = if job.built.exists() { Gate::Tests } else { Gate::Run };
                BuildReport::stopped(gate, failure, ENGINE)
            }
        };
        Some((report, workspace))
    }
}

/// Whether a dbt reads the project without faults.
async fn reads(
    compiler: &Dbt,
    project: &Project,
    template: &Template,
    engines: &Engines,
    work: &WorkRoot,
) -> bool {
    if matches!(compiler.engine, Engine::V1(_)) {
        return true;
    }
    let Ok(workspace) = work.workspace() else { return false };
    let directory = workspace.project();
    if batch::lay_out(template, project, compiler, engines, &directory).is_err() {
        return false;
    }
    let call = Call {
        profiles: directory.clone(),
        directory,
        write: workspace.folder().to_owned(),
        arguments: vec!["parse".into()],
        wall: engines.limits.wall,
        cpu: engines.limits.cpu,
    };
    let end = compiler.engine.call_again(&call).await;
    end.failure(&call).is_none() && matches!(end.end, End::Finished(ref finished) if finished.success)
}

/// With these options DuckDB opens a candidate's database: files, network and settings closed.
pub(super) fn locked(limits: &BuildLimits) -> BTreeMap<&'static str, String> {
    let off = || "false".to_owned();
    BTreeMap::from([
        ("memory_limit", format!("{}MB", limits.duckdb_memory >> 20)),
        ("threads", "1".to_owned()),
        ("max_temp_directory_size", format!("{}MB", limits.file_size >> 20)),
        ("enable_external_access", off()),
        ("autoinstall_known_extensions", off()),
        ("autoload_known_extensions", off()),
        ("allow_community_extensions", off()),
        ("lock_configuration", "true".to_owned()),
    ])
}

fn job(compiled: &Compiled, workspace: &Workspace, engines: &Engines, drop: Vec<String>) -> Option<Job> {
    let relation = compiled.model.relation_name.clone()?;
    let kind = match compiled.model.config.materialized.as_deref() {
        Some("view") => "view",
        _ => "table",
    };
    let tests = compiled
        .tests
        .iter()
        .map(|(_, sql)| format!("select count(*) as failures from (\n{sql}\n) dbt_internal_test"));
    Some(Job {
        database: workspace.database(),
        config: locked(&engines.limits),
        drop,
        reverse: Vec::new(),
        withhold: None,
        create: format!("create {kind} {relation} as (\n{}\n);", compiled.sql),
        relation,
        tests: tests.collect(),
        built: workspace.folder().join("built"),
    })
}

/// Judged by the same rules as what dbt leaves behind.
fn report(
    request: &BuildRequest,
    compiled: Compiled,
    executed: Executed,
    template: &Template,
    workspace: &Workspace,
) -> Option<BuildReport> {
    let mut results = vec![RunResult {
        unique_id: compiled.model.unique_id.clone(),
        status: if executed.error.is_none() { Status::Success } else { Status::Error },
        message: executed.error.unwrap_or_default(),
        execution_time: executed.seconds,
        ..RunResult::default()
    }];
    let built = matches!(results.first(), Some(RunResult { status: Status::Success, .. }));
    if built && executed.tests.len() != compiled.tests.len() {
        return None;
    }
    for ((node, _), test) in compiled.tests.iter().zip(executed.tests) {
        let status = match test.failures {
            None => Status::Error,
            Some(0) => Status::Pass,
            Some(_) if is_warning(node) => Status::Warn,
            Some(_) => Status::Fail,
        };
        let message = match (&status, test.failures) {
            (Status::Warn, Some(rows)) => format!("Got {rows} results, configured to warn if != 0"),
            _ => test.error.unwrap_or_default(),
        };
        results.push(RunResult {
            unique_id: node.unique_id.clone(),
            status,
            message,
            failures: test.failures,
            execution_time: test.seconds,
            ..RunResult::default()
        });
    }
    if !built {
        // As dbt does it: what depends on a model that was not built is skipped.
        results.extend(compiled.tests.iter().map(|(node, _)| RunResult {
            unique_id: node.unique_id.clone(),
            status: Status::Skipped,
            ..RunResult::default()
        }));
    }
    let (manifest, texts, tests) = compiled.into_manifest();
    let results = Results::new(manifest, RunResults { results }, texts);
    let mut report = judge::of_results(request, &results, &tests, &template.summary.failed, ENGINE);
    if report.run.outcome == Outcome::Passed {
        // The relation is in this database, or the authority has to say where it went.
        if executed.columns.is_empty() {
            return None;
        }
        report.columns = executed.columns;
        report.database = Some(workspace.database());
    }
    (!report.is_errored()).then_some(report)
}

fn is_warning(test: &Node) -> bool {
    test.config.severity.as_deref().is_some_and(|severity| severity.eq_ignore_ascii_case("warn"))
}

/// Puts another profile into a copied project.
fn write_profile(
    directory: &Path,
    project: &Project,
    compiler: &Dbt,
    engines: &Engines,
) -> std::io::Result<()> {
    let path = directory.join("profiles.yml");
    fs_err::remove_file(&path)?;
    fs_err::write(path, profile(project, &compiler.engine, &engines.limits, true))
}
