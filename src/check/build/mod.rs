//! Building candidates with dbt: each in a workspace of its own, judged from artifacts, never from the exit code.
//!
//! Guards against false passes: exactly the asked model is selected (by path) and was built; what dbt read is the
//! candidate's text; its relation is in this candidate's database; every test declared for the model ran.

pub mod classify;
pub mod columns;
mod contract;
mod engine;
mod engines;
mod exec;
mod guard;
pub mod join_profile;
mod judge;
pub mod late;
mod late_script;
pub mod profile;
mod report;
mod reversed;
mod row_script;
pub mod rows;
mod template;
mod vary;
mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::check::outcome::Outcome;
use crate::dbt::facts::{Relation, Types};
use crate::dbt::project::Project;
use crate::dbt::properties::without_model;
use crate::dbt::style::without_tests;
use crate::diagnostic::Diagnostic;
use crate::sql::Schema;
use crate::sql::schema::{Column, Table};
use crate::tool::again::Again;
use crate::tool::progress::Progress;

use classify::{Failure, FailureClass};
use engine::Call;
pub use engines::Engines;
use exec::Exec;
use guard::Guard;
pub use guard::Held;
pub use report::{BuildReport, SecondRun, Step, TestOutcome};
use rows::Duckdb;
use template::Template;
pub use workspace::Workspace;
use workspace::{WorkRoot, copy_tree, is_inside};

/// Catalog of every database: views name it, so all files have it as their stem.
const CATALOG: &str = "warehouse";
/// The database file in every workspace.
const DATABASE: &str = "warehouse.duckdb";

/// How often something is tried whose process is killed from outside.
pub(super) const ATTEMPTS: u32 = 10;

/// What one candidate may use.
#[derive(Debug, Clone)]
pub struct BuildLimits {
    /// Wall time of a dbt call.
    pub wall: Duration,
    /// CPU time of a dbt call.
    pub cpu: Duration,
    /// Address space of a dbt process, bytes.
    pub memory: u64,
    /// Memory of the database, bytes.
    pub duckdb_memory: u64,
    /// Largest file, bytes: the database, and what it spills.
    pub file_size: u64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(60),
            cpu: Duration::from_secs(30),
            memory: 4 << 30,
            duckdb_memory: 512 << 20,
            file_size: 1 << 30,
        }
    }
}

/// What to build.
#[derive(Debug, Clone, Default)]
pub struct BuildRequest {
    /// Name that the model must have.
    pub model_name: String,
    /// Where the SQL goes, relative to the project; its stem is the model's name.
    pub sql_path: PathBuf,
    /// The model.
    pub sql: String,
    /// Where the schema YAML goes, relative to the project.
    pub yaml_path: PathBuf,
    /// The schema YAML.
    pub yaml: String,
    /// Singular tests: name and query.
    pub singular_tests: Vec<(String, String)>,
    /// YAML of unit tests that the case holds it to; empty when there are none.
    pub unit_tests: String,
    /// Files of the golden inside the project, relative: taken out first, with their relations and YAML entries.
    pub remove: Vec<PathBuf>,
    /// Build an incremental model a second time.
    pub twice: bool,
    /// What its compiled SQL is held to; `None` for what is trusted.
    pub held: Option<Held>,
}

impl BuildRequest {
    /// Where the unit tests of the case go, relative to the project.
    fn unit_tests_path(&self) -> PathBuf {
        self.sql_path.with_file_name(format!("{}__case.yml", self.model_name))
    }
}

/// Builds candidates of one project.
#[derive(Debug)]
pub struct Builder {
    project: Project,
    template: Template,
    engines: Engines,
    exec: Option<Exec>,
    guard: Guard,
    duckdb: Duckdb,
    work: WorkRoot,
}

impl Builder {
    /// Prepares a project (once for each of its states: seeds, models, tests) under `root/.assay`.
    ///
    /// # Errors
    /// When the project does not build as it is, or `.assay` cannot be written.
    pub async fn new(
        root: &Path,
        project: Project,
        engines: &Engines,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Self, Diagnostic> {
        let work = WorkRoot::create(root).map_err(|error| template::no_workspace(&error))?;
        let engines = engines.clone();
        let template = Template::prepare(root, &project, &engines, progress).await?;
        let duckdb = Duckdb::new(&engines.duckdb, engines.workers);
        let exec = Exec::new(&project, &template, &engines, &work).await;
        let guard = Guard::new(&template.project, template.summary.relations.values());
        Ok(Self { project, template, engines, exec, guard, duckdb, work })
    }

    /// The `duckdb` command, for comparing rows of finished builds.
    pub fn duckdb(&self) -> &Duckdb {
        &self.duckdb
    }

    /// Whether simple candidates are built without dbt's own run.
    pub fn is_quick(&self) -> bool {
        self.exec.is_some()
    }

    /// The project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Columns of all relations of the project, as the database has them.
    pub fn types(&self) -> Types {
        types_of(&self.template.summary)
    }

    /// Quoted name of every relation of the project in the database.
    pub fn relations(&self) -> BTreeMap<Relation, String> {
        let summary = &self.template.summary;
        summary
            .relations
            .iter()
            .filter_map(|(id, name)| Some((Relation::of_node(id)?, name.clone())))
            .collect()
    }

    /// The columns of all relations under the names that dbt's compiled SQL has for them, that of a built model among them.
    pub fn compiled_schema(&self, report: &BuildReport) -> Schema {
        let (types, relations) = (self.types(), self.relations());
        let known = types.iter().filter_map(|(relation, columns)| Some((relations.get(relation)?, columns)));
        let own = report.relation.iter().map(|relation| (relation, &report.columns));
        let mut schema = Schema::default();
        for (relation, columns) in known.chain(own) {
            let column = |(name, data_type): &(String, String)| {
                (name.clone(), Column { data_type: data_type.clone(), nullable: true, accepted_values: None })
            };
            let table = Table { columns: columns.iter().map(column).collect(), ..Table::default() };
            schema.tables.insert(plain(relation), table);
        }
        schema
    }

    /// Models that do not build and tests that fail on the project as it is: unique id and reason. What such a test
    /// declares is not a fact.
    pub fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        let summary = &self.template.summary;
        summary.failed.iter().chain(&summary.failed_tests).map(|(id, why)| (id.as_str(), why.as_str()))
    }

    /// The prepared database: seeds and the project's own models.
    pub fn database(&self) -> PathBuf {
        self.template.project.join(DATABASE)
    }

    /// Builds a candidate. After a transient fault of the infrastructure it is tried once more, from the start; where the
    /// process was killed from outside, which says nothing at all, up to `ATTEMPTS` times.
    pub async fn build(&self, request: &BuildRequest) -> BuildReport {
        let (mut killed, mut others) = (Again::new(ATTEMPTS), Again::new(2));
        let mut attempts = 1;
        loop {
            let mut report = self.attempt(request).await;
            report.attempts = attempts;
            let again = if report.was_killed() { &mut killed } else { &mut others };
            if !report.is_undecided() || !again.pause().await {
                return report;
            }
            attempts += 1;
        }
    }

    async fn attempt(&self, request: &BuildRequest) -> BuildReport {
        let engine = self.engines.name();
        let stopped = |failure| BuildReport::stopped(classify::Gate::Compile, failure, engine);
        if let Some(failure) = unusable(request) {
            return stopped(failure);
        }
        let quick = match &self.exec {
            Some(exec) => {
                let golden = self.golden(request);
                exec.build(request, self, golden).await
            }
            None => None,
        };
        let (mut report, workspace) = match quick {
            Some(quick) => quick,
            None => match self.prepare(request).await {
                Ok(workspace) => (self.run_dbt(request, &workspace).await, workspace),
                Err(why) => return stopped(Failure::new(FailureClass::Infra, why)),
            },
        };
        let relations = self.relations();
        let read: Option<Vec<String>> =
            report.depends_on.iter().map(|relation| relations.get(relation).cloned()).collect();
        if let Some(read) = read {
            report.unknown_relations = self.guard.unknown_relations(request.held.as_ref(), &report, &read);
        }
        for step in [&mut report.compile, &mut report.run, &mut report.tests] {
            step.message = workspace.anonymous(&step.message);
        }
        for test in &mut report.test_outcomes {
            test.step.message = workspace.anonymous(&test.step.message);
        }
        if let Some(second) = &mut report.second_run {
            second.run.message = workspace.anonymous(&second.run.message);
        }
        report.workspace = Some(workspace);
        report
    }

    /// A workspace with the candidate in place of the golden.
    async fn prepare(&self, request: &BuildRequest) -> Result<Workspace, String> {
        let workspace = self.work.workspace().map_err(|error| error.to_string())?;
        let from = self.template.project.clone();
        let to = workspace.project();
        let mut request = request.clone();
        if let Some(yaml) = self.engines.authority.style.rewrite(&request.yaml) {
            request.yaml = yaml;
        }
        let project = self.project.clone();
        let placed = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
            copy_tree(&from, &to, &|_| false)?;
            place(&project, &to, &request)
        });
        match placed.await {
            Ok(placed) => placed.map_err(|error| workspace.anonymous(&error.to_string()))?,
            Err(error) => return Err(error.to_string()),
        }
        Ok(workspace)
    }

    /// Relations of what is taken out.
    fn golden(&self, request: &BuildRequest) -> Vec<String> {
        let summary = &self.template.summary;
        request
            .remove
            .iter()
            .chain([&request.sql_path])
            .filter_map(|path| summary.files.get(path.to_string_lossy().as_ref()))
            .filter_map(|id| summary.relations.get(id).cloned())
            .collect()
    }

    async fn drop_golden(&self, request: &BuildRequest, workspace: &Workspace) -> Result<(), String> {
        let relations = self.golden(request);
        match relations.is_empty() {
            true => Ok(()),
            false => self.duckdb.drop_relations(&workspace.database(), &relations).await,
        }
    }

    async fn run_dbt(&self, request: &BuildRequest, workspace: &Workspace) -> BuildReport {
        let engine = self.engines.name();
        if let Err(why) = self.drop_golden(request, workspace).await {
            return BuildReport::stopped(
                classify::Gate::Compile,
                Failure::new(FailureClass::Infra, why),
                engine,
            );
        }
        let call = self.call(workspace, "build", request, &[]);
        let mut end = self.engines.authority.engine.call(&call).await;
        // The Rust dbt builds nothing where a generic test does not exist; the model still says something.
        let unknown_test = end.failure(&call).filter(|failure| failure.class == FailureClass::UnknownTest);
        if unknown_test.is_some() && take_out_tests(&workspace.project(), request) {
            end = self.engines.authority.engine.call(&call).await;
        }
        let mut results = judge::Results::read(&workspace.project(), &end);
        if results.was_skipped_by_unit_test() {
            // dbt does not build a model whose unit tests fail; its rows and data tests still say something.
            let again = self.call(
                workspace,
                "build",
                request,
                &["--resource-type", "model", "--resource-type", "test"],
            );
            let end = self.engines.authority.engine.call(&again).await;
            results.add_without_unit_tests(judge::Results::read(&workspace.project(), &end));
        }
        let tests: Vec<String> = request
            .singular_tests
            .iter()
            .map(|(name, _)| self.test_path(name).display().to_string())
            .collect();
        let mut report =
            judge::judge(request, &end, &call, &results, &tests, &self.template.summary.failed, engine);
        if let Some(failure) = unknown_test {
            report.tests = Step::failed(failure, 0.0);
        }
        let violations = self.guard.violations(request.held.as_ref(), results.texts(request, &tests));
        if !violations.is_empty() {
            return BuildReport::refused(violations, engine);
        }
        // Where dbt was stopped among the tests, nothing says which relation is the model's.
        if report.run.outcome == Outcome::Passed && end.failure(&call).is_none() {
            self.look_at_relation(workspace, &mut report).await;
            if let Some(failure) = self.breach_of_contract(request, workspace, &report).await {
                report = BuildReport::stopped(classify::Gate::Run, failure, engine);
            }
        }
        let incremental = report.materialized.as_deref() == Some("incremental");
        if request.twice && incremental && report.run.outcome == Outcome::Passed {
            self.run_again(request, workspace, &mut report).await;
            let second = report.second_run.as_ref().and_then(|second| second.compiled_sql.as_deref());
            let violations = self.guard.violations(request.held.as_ref(), second.into_iter());
            if !violations.is_empty() {
                return BuildReport::refused(violations, engine);
            }
        }
        report
    }

    /// The relation must be in this workspace's database, whatever dbt says.
    async fn look_at_relation(&self, workspace: &Workspace, report: &mut BuildReport) {
        let relation = report.relation.clone().unwrap_or_default();
        match self.duckdb.columns(&workspace.database(), &relation).await {
            Ok(Some(columns)) => {
                report.columns = columns;
                report.database = Some(workspace.database());
            }
            Ok(None) => {
                let failure = Failure::new(
                    FailureClass::NothingBuilt,
                    format!("dbt reports success, but {relation} is not in the database"),
                );
                report.run = Step::failed(failure, report.run.seconds);
            }
            Err(why) => {
                report.run = Step::failed(Failure::new(FailureClass::Infra, why), report.run.seconds);
            }
        }
    }

    async fn run_again(&self, request: &BuildRequest, workspace: &Workspace, report: &mut BuildReport) {
        let again = match workspace.keep_database() {
            Err(error) => BuildReport::stopped(
                classify::Gate::Run,
                Failure::new(FailureClass::Infra, error.to_string()),
                "",
            ),
            Ok(first) => {
                report.database = Some(first);
                self.run_once_more(request, workspace).await
            }
        };
        report.second_run = Some(SecondRun {
            run: again.run,
            compiled_sql: again.compiled_sql,
            database: workspace.database(),
        });
    }

    /// `dbt run` of the model, in a workspace where it was built before.
    async fn run_once_more(&self, request: &BuildRequest, workspace: &Workspace) -> BuildReport {
        let call = self.call(workspace, "run", request, &[]);
        let end = self.engines.authority.engine.call(&call).await;
        let results = judge::Results::read(&workspace.project(), &end);
        let failed = &self.template.summary.failed;
        judge::judge(request, &end, &call, &results, &[], failed, self.engines.name())
    }

    fn call(&self, workspace: &Workspace, command: &str, request: &BuildRequest, more: &[&str]) -> Call {
        let mut arguments: Vec<String> = vec![command.into(), "--select".into()];
        // By path: a model named like its package or folder would select all of it.
        arguments.push(format!("path:{}", request.sql_path.display()));
        if command == "build" {
            // Relationships to models that are not built now are tests too.
            arguments.extend(["--indirect-selection".into(), "eager".into()]);
        }
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments.extend(self.project.pinned_arguments());
        Call {
            directory: workspace.project(),
            profiles: workspace.project(),
            write: workspace.folder().to_owned(),
            arguments,
            wall: self.engines.limits.wall,
            cpu: self.engines.limits.cpu,
        }
    }

    fn test_path(&self, name: &str) -> PathBuf {
        test_path(&self.project, name)
    }
}

/// `main.orders` of a catalog as one name in lower case, without quotes.
fn plain(relation: &str) -> String {
    relation.replace('"', "").to_lowercase()
}

fn test_path(project: &Project, name: &str) -> PathBuf {
    let folder = project.test_paths.first().cloned().unwrap_or_else(|| "tests".into());
    folder.join(format!("{name}.sql"))
}

/// Paths and names that cannot be written into the project.
fn unusable(request: &BuildRequest) -> Option<Failure> {
    let fault = |message: String| Some(Failure::new(FailureClass::Format, message));
    let plain = |name: &str| {
        !name.is_empty()
            && name.len() <= 200
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if !plain(&request.model_name) {
        return fault(format!("`{}` is not a model name", request.model_name.escape_debug()));
    }
    for (path, extensions) in [(&request.sql_path, &["sql"][..]), (&request.yaml_path, &["yml", "yaml"])] {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        // Characters that dbt's selectors give a meaning, or that no file of a project needs.
        let usual = path.to_str().is_some_and(|path| {
            path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        });
        if !is_inside(path) || !usual || !extensions.contains(&extension.as_ref()) {
            return fault(format!("`{}` is not a path inside the project", path.display()));
        }
    }
    if request.sql_path.file_stem().and_then(|stem| stem.to_str()) != Some(request.model_name.as_str()) {
        return fault(format!("{} is not the file of `{}`", request.sql_path.display(), request.model_name));
    }
    if let Some((name, _)) = request.singular_tests.iter().find(|(name, _)| !plain(name)) {
        return fault(format!("`{}` is not a test name", name.escape_debug()));
    }
    request
        .remove
        .iter()
        .find(|path| !is_inside(path))
        .and_then(|path| fault(format!("`{}` is not a path inside the project", path.display())))
}

/// Takes the golden out of a copied project and puts the candidate in.
fn place(project: &Project, root: &Path, request: &BuildRequest) -> std::io::Result<()> {
    let mut gone: Vec<String> = vec![request.model_name.clone()];
    for path in request.remove.iter().chain([&request.sql_path]) {
        if root.join(path).is_file() {
            fs_err::remove_file(root.join(path))?;
            if path.extension().is_some_and(|extension| extension == "sql") {
                gone.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
    }
    // Entries of the golden in shared files; a second one for the same model is an error in dbt.
    let here = Project { root: root.to_owned(), ..project.clone() };
    for path in here.properties_paths() {
        let full = root.join(&path);
        let Ok(mut text) = fs_err::read_to_string(&full) else { continue };
        let mut changed = false;
        for name in &gone {
            if let Some(without) = without_model(&text, name) {
                text = without;
                changed = true;
            }
        }
        if changed {
            fs_err::write(&full, text)?;
        }
    }
    write_new(&root.join(&request.sql_path), &request.sql)?;
    let mut yaml = root.join(&request.yaml_path);
    if yaml.exists() {
        // A shared file with other models: theirs stays.
        yaml.set_file_name(own_yaml(request));
    }
    if !request.yaml.trim().is_empty() {
        write_new(&yaml, &request.yaml)?;
    }
    if !request.unit_tests.is_empty() {
        write_new(&root.join(request.unit_tests_path()), &request.unit_tests)?;
    }
    for (name, sql) in &request.singular_tests {
        write_new(&root.join(test_path(project, name)), sql)?;
    }
    Ok(())
}

/// Name of the candidate's schema YAML beside a shared one.
fn own_yaml(request: &BuildRequest) -> String {
    format!("{}__candidate.yml", request.model_name)
}

/// Takes the generic tests out of the candidate's schema YAML; `false` when there are none to take out.
fn take_out_tests(root: &Path, request: &BuildRequest) -> bool {
    let shared = root.join(&request.yaml_path);
    let own = shared.with_file_name(own_yaml(request));
    match without_tests(&request.yaml) {
        Some(yaml) => write_new(if own.exists() { &own } else { &shared }, &yaml).is_ok(),
        None => false,
    }
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    if path.exists() {
        fs_err::remove_file(path)?;
    }
    fs_err::write(path, text)
}

/// Columns of all relations of a project, where a run has prepared it in its present state.
pub fn prepared_types(root: &Path, project: &Project) -> Option<Types> {
    Template::find(root, project).map(|template| types_of(&template.summary))
}

fn types_of(summary: &template::Summary) -> Types {
    summary
        .columns
        .iter()
        .filter_map(|(id, columns)| Some((Relation::of_node(id)?, columns.clone())))
        .collect()
}
