//! The judge: runs every check on an answer and keeps what several answers share (tools, project templates, the
//! golden's build, builds of equal candidates), so that nothing is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::config::{AgreesPolicy, Config, EngineChoice, LateRows};
use crate::dbt::facts::{self, Types};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::generate::answers::Answer;
use crate::generate::contract::Candidate;
use crate::sql::policy::Policy;
use crate::sql::{Comparison, Schema, Verdict};
use crate::suite::Case;
use crate::tool::duckdb::{Pool, SessionLimits};
use crate::tool::environment::{Existing, Tools, ensure, v2};
use crate::tool::lint::Linters;
use crate::tool::progress::Progress;

use super::build::{BuildLimits, Builder, Engines};
use super::built::{self, Built, GoldenBuild};
use super::lint::{Fixed, Linter};
use super::{Assess, Assessment, Audit, CheckId, CheckResult, Outcome};
use super::{contract, materialization, meaning, name, pii, required_tests, safety, sources, yaml};

/// The part of its wall time that a candidate may spend on the CPU: one of so many.
const CPU_SHARE: u64 = 3;

/// Judges answers.
pub struct Judge {
    settings: Settings,
    projects: BTreeMap<ProjectId, ProjectSide>,
    duckdb: Option<Pool>,
    goldens: Goldens,
    audited_goldens: Goldens,
    goldens_on_datasets: Goldens,
    builds: Mutex<BTreeMap<[u8; 32], Arc<OnceBuilt>>>,
    versions: BTreeMap<String, String>,
}

/// A project on a date.
type ProjectId = (String, Option<String>);

/// The golden of each case, built once: by the case's id, or that of the case on a data set.
type Goldens = BTreeMap<String, OnceCell<Arc<GoldenBuild>>>;

/// A build that is made once, by whoever comes first.
type OnceBuilt = OnceCell<Arc<Built>>;

/// What the configuration says about judging.
struct Settings {
    agrees: AgreesPolicy,
    built: built::Settings,
    macros: Vec<String>,
    search: Duration,
    /// Share of the candidates that another engine judges too, 0 to 1.
    audit: f64,
}

/// A project as the judge needs it.
struct ProjectSide {
    /// What is known about its relations.
    schema: Schema,
    /// Macros that the project defines.
    macros: BTreeSet<String>,
    /// Builds candidates; `None` without tools.
    builder: Option<Builder>,
    /// Builds the candidates that are audited, with another engine.
    auditor: Option<Builder>,
    /// Builds candidates on other data, by the name of the data set.
    datasets: Vec<(String, Builder)>,
    /// Lints candidates; `None` without tools.
    linter: Option<Linter>,
}

impl Judge {
    /// Prepares to judge: with tools, sets up their environment and a template of each project.
    ///
    /// # Errors
    /// Faults of projects and tools.
    pub async fn new(
        config: &Config,
        cases: &[Case],
        tools: bool,
        progress: impl Fn(Progress) + Sync,
    ) -> Result<Self, Diagnostics> {
        let root = root(config)?;
        let tools = if tools && config.dbt.engine != EngineChoice::None {
            Some(environment(config, &root, &progress)?)
        } else {
            None
        };
        let mut projects = BTreeMap::new();
        let workers = or_cores(config.dbt.workers);
        let (engines, auditors) = match &tools {
            Some(tools) => engines(config, &root, tools, workers, &progress)?,
            None => (None, None),
        };
        let roots: BTreeSet<PathBuf> = cases.iter().map(|case| case.project.dbt.root.clone()).collect();
        let roots: Vec<PathBuf> = roots.into_iter().collect();
        let linters =
            tools.as_ref().map(|tools| Arc::new(Linters::new(tools.python.clone(), workers, &roots)));
        for case in cases {
            let project = &case.project;
            let id = project.id();
            if projects.contains_key(&id) {
                continue;
            }
            let builder = async |engines: &Option<Engines>| match engines {
                Some(engines) => Builder::new(&root, project.dbt.clone(), engines, &progress).await.map(Some),
                None => Ok(None),
            };
            let auditor = builder(&auditors).await.map_err(Diagnostics::from)?;
            let builder = builder(&engines).await.map_err(Diagnostics::from)?;
            let linter = match (&tools, &linters) {
                (Some(tools), Some(linters)) => Some(Linter::new(tools, linters, &project.dbt)),
                _ => None,
            };
            let mut datasets = Vec::new();
            for (name, dbt) in &project.datasets {
                if let Some(engines) = &engines {
                    let builder = Builder::new(&root, dbt.clone(), engines, &progress).await;
                    datasets.push((name.clone(), builder.map_err(Diagnostics::from)?));
                }
            }
            let types = builder.as_ref().map(Builder::types).unwrap_or_default();
            let side = ProjectSide {
                schema: schema(case, &types)?,
                macros: project.dbt.macro_names(),
                builder,
                auditor,
                datasets,
                linter,
            };
            projects.insert(id, side);
        }
        Ok(Self {
            settings: Settings {
                agrees: config.checks.agrees,
                built: built::Settings {
                    float_tolerance: config.checks.float_tolerance,
                    late_rows: config.checks.late_rows,
                    mutants: config.checks.mutants,
                },
                macros: config.checks.macros.clone(),
                search: Duration::from_secs_f64(config.checks.search_seconds.max(0.1)),
                audit: config.dbt.audit_percent / 100.0,
            },
            projects,
            duckdb: tools.as_ref().map(|tools| Pool::new(&tools.duckdb, &SessionLimits::default(), workers)),
            goldens: cases.iter().map(|case| (case.id.clone(), OnceCell::new())).collect(),
            audited_goldens: cases.iter().map(|case| (case.id.clone(), OnceCell::new())).collect(),
            goldens_on_datasets: cases
                .iter()
                .flat_map(|case| case.project.datasets.iter().map(|(name, _)| on_dataset(case, name)))
                .map(|key| (key, OnceCell::new()))
                .collect(),
            builds: Mutex::default(),
            versions: versions(tools.as_ref(), &root, config.dbt.engine),
        })
    }

    fn side(&self, case: &Case) -> Option<&ProjectSide> {
        self.projects.get(&case.project.id())
    }

    /// Cases whose golden does not pass what it is to decide, with the reason: such a golden is no control.
    pub fn faulty_goldens(&self) -> Vec<(&str, String)> {
        let built = self.goldens.iter().filter_map(|(case, cell)| Some((case.as_str(), cell.get()?)));
        built.filter_map(|(case, golden)| Some((case, golden.fault()?))).collect()
    }

    /// Versions of the tools that judge.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.versions.clone()
    }

    /// What another engine says, where this candidate is among those that it is asked about: a fixed share by hash, so that
    /// a run can be repeated.
    async fn audit(
        &self,
        case: &Case,
        candidate: &Candidate,
        key: &blake3::Hash,
        built: &Built,
    ) -> Option<Audit> {
        let auditor = self.side(case)?.auditor.as_ref()?;
        let head: [u8; 8] = key.as_bytes().first_chunk().copied()?;
        let place = (u64::from_le_bytes(head) >> 11) as f64 / (1_u64 << 53) as f64;
        if place >= self.settings.audit {
            return None;
        }
        // What tests say of other rows does not depend on the engine.
        let settings = built::Settings { mutants: 0, ..self.settings.built };
        let golden = golden(&self.audited_goldens, &case.id, case, auditor).await;
        let other = Built::new(auditor, case, candidate, Some(&golden), self.policy(case), settings).await;
        Some(Audit::compare(other.engine, &built.checks, &other.checks))
    }

    /// Compares the rows of a candidate that was built on the project's other data sets too.
    async fn on_datasets(&self, case: &Case, candidate: &Candidate, built: &mut Built) {
        let Some(side) = self.side(case).filter(|_| built.columns.is_some()) else { return };
        for (name, builder) in &side.datasets {
            let golden = golden(&self.goldens_on_datasets, &on_dataset(case, name), case, builder).await;
            // Only the rows count here.
            let settings = built::Settings { late_rows: LateRows::Off, mutants: 0, ..self.settings.built };
            let other =
                Built::new(builder, case, candidate, Some(&golden), self.policy(case), settings).await;
            built.learn_from(name, &other);
        }
    }

    /// A candidate's build, made once however many answers hold it.
    async fn built(
        &self,
        case: &Case,
        candidate: &Candidate,
        builder: &Builder,
        golden: Option<&GoldenBuild>,
    ) -> Arc<Built> {
        let key = format!(
            "{:?}",
            (&case.id, golden.is_some(), &candidate.sql, &candidate.schema_yaml, &candidate.tests)
        );
        let key = blake3::hash(key.as_bytes());
        let cell = {
            let mut builds = self.builds.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(builds.entry(*key.as_bytes()).or_default())
        };
        let settings = self.settings.built;
        let build = || async {
            let mut built = Built::new(builder, case, candidate, golden, self.policy(case), settings).await;
            built.audit = self.audit(case, candidate, &key, &built).await;
            if golden.is_some() {
                self.on_datasets(case, candidate, &mut built).await;
            }
            Arc::new(built)
        };
        Arc::clone(cell.get_or_init(build).await)
    }

    /// The checks that need dbt; skipped where it is not there, or may not be given this candidate.
    async fn dynamic(
        &self,
        case: &Case,
        candidate: &Candidate,
        refused: Option<&str>,
        with_golden: bool,
    ) -> (Option<Arc<Built>>, Option<Arc<GoldenBuild>>, Vec<CheckResult>) {
        const DYNAMIC: [CheckId; 6] = [
            CheckId::Compile,
            CheckId::Run,
            CheckId::Tests,
            CheckId::Columns,
            CheckId::Rows,
            CheckId::Idempotent,
        ];
        let skip = |why: &str| DYNAMIC.into_iter().map(|check| CheckResult::skipped(check, why)).collect();
        let Some(builder) = self.side(case).and_then(|side| side.builder.as_ref()) else {
            return (None, None, skip("dbt is not run"));
        };
        if let Some(why) = refused {
            return (None, None, skip(why));
        }
        let golden =
            if with_golden { Some(golden(&self.goldens, &case.id, case, builder).await) } else { None };
        let built = self.built(case, candidate, builder, golden.as_deref()).await;
        let checks = built.checks.clone();
        (Some(built), golden, checks)
    }
}

impl Assess for Judge {
    async fn assess(&self, case: &Case, answer: &Answer) -> Assessment {
        let (contract, candidate) = contract::check(answer);
        let Some(candidate) = candidate else { return Assessment::only(contract) };
        let Judged { mut checks, built, golden, may_run } =
            self.checks(case, &candidate, contract, true).await;
        // What did not come to an end on the project's data does not on others.
        let may_search = may_run && !built.as_ref().is_some_and(|built| built.was_stopped);
        let mut comparison =
            self.compare(case, &candidate, golden.as_deref(), built.as_deref(), may_search).await;
        meaning::learn(&mut comparison, built.as_ref().and_then(|built| built.same_rows));
        if let Some(rows) = checks.iter_mut().find(|result| result.check == CheckId::Rows) {
            meaning::weigh(rows, &comparison, self.settings.agrees);
        }
        Assessment {
            checks,
            golden: Some(comparison),
            candidate: Some(candidate),
            engine: built.as_ref().map(|built| built.engine),
            audit: built.as_ref().and_then(|built| built.audit.clone()),
            mutation: built.as_ref().and_then(|built| built.mutation.clone()),
        }
    }
}

/// What the checks found out.
struct Judged {
    /// In reporting order.
    checks: Vec<CheckResult>,
    built: Option<Arc<Built>>,
    golden: Option<Arc<GoldenBuild>>,
    /// Whether the candidate may be run at all.
    may_run: bool,
}

impl Judge {
    /// Runs every check that needs no golden on a candidate; `columns` and `rows` are skipped. `contract` is the result of
    /// its extraction.
    pub async fn vet(&self, case: &Case, candidate: &Candidate, contract: CheckResult) -> Vec<CheckResult> {
        self.checks(case, candidate, contract, false).await.checks
    }

    /// The model after the linter's own fixes, with the linter's name: only if it provably still means the same.
    ///
    /// # Errors
    /// Why the fixes were not taken over.
    pub async fn fix(&self, case: &Case, sql: &str) -> Result<Fixed, String> {
        let side = self.side(case).and_then(|side| side.linter.as_ref());
        let linter = side.ok_or("no linter is run without the tools")?;
        let fixed = linter.fix(sql, case.dialect).await?;
        if fixed.sql != sql {
            let mut before = case.clone();
            sql.clone_into(&mut before.golden.sql);
            let after = Candidate { sql: fixed.sql.clone(), ..Candidate::default() };
            let comparison = self.compare(&before, &after, None, None, false).await;
            if !matches!(comparison.verdict, Verdict::Identical | Verdict::Equivalent) {
                return Err(format!("the fixes of {} may change what the model means", linter.name()));
            }
        }
        Ok(fixed)
    }

    async fn checks(
        &self,
        case: &Case,
        candidate: &Candidate,
        contract: CheckResult,
        with_golden: bool,
    ) -> Judged {
        let name = name::check(&candidate.model_name, &case.model);
        let mut safety = safety::check(candidate, &self.policy(case));
        let (properties, faults) = yaml::read(&candidate.schema_yaml);
        let refused = [
            (safety.outcome == Outcome::Failed, "the candidate is not safe to run"),
            (name.outcome == Outcome::Failed, "the model has another name than the one that was asked for"),
            (
                !yaml::is_readable(&candidate.schema_yaml),
                "the schema YAML cannot be read, so that nobody knows what it asks dbt to do",
            ),
        ];
        let refused = refused.into_iter().find(|(refused, _)| *refused).map(|(_, why)| why);
        let (built, golden, dynamic) = self.dynamic(case, candidate, refused, with_golden).await;
        let mut sources = sources::check(&candidate.sql, &case.model, &case.approved, case.dialect);
        if let Some(built) = &built {
            safety.add(&built.unsafe_when_compiled);
            if sources.outcome != Outcome::Failed {
                sources.add(&built.hard_coded);
            }
        }
        let columns = built.as_ref().and_then(|built| built.columns.as_deref());
        let golden_columns = golden.as_deref().map_or(&[][..], GoldenBuild::columns);
        let mut checks = vec![
            contract,
            name,
            safety,
            sources,
            yaml::check(&properties, faults, &case.model, columns),
            required_tests::check(&case.required_tests, &properties, &case.model, &candidate.tests),
        ];
        checks.push(self.lint(case, candidate).await);
        checks.extend(dynamic);
        checks.push(materialization::check(
            built.as_ref().and_then(|built| built.materialized.as_deref()),
            case.materialized.as_deref(),
        ));
        let exposed = built.as_deref().map_or(&[][..], |built| &built.exposed);
        checks.push(pii::check(&case.pii, columns, golden_columns, exposed));
        Judged { checks, built, golden, may_run: refused.is_none() }
    }

    fn policy(&self, case: &Case) -> Policy {
        let project_macros = self.side(case).map(|side| side.macros.clone());
        Policy {
            dialect: case.dialect,
            model: case.model.clone(),
            macros: self.settings.macros.clone(),
            project_macros: project_macros.unwrap_or_default(),
        }
    }

    /// What the linter says; nothing is run for it.
    async fn lint(&self, case: &Case, candidate: &Candidate) -> CheckResult {
        match self.side(case).and_then(|side| side.linter.as_ref()) {
            Some(linter) => linter.check(&candidate.sql, case.dialect).await,
            None => CheckResult::skipped(CheckId::Lint, "no linter is run without the tools"),
        }
    }

    /// What the candidate's SQL means beside the golden's.
    async fn compare(
        &self,
        case: &Case,
        candidate: &Candidate,
        golden: Option<&GoldenBuild>,
        built: Option<&Built>,
        may_search: bool,
    ) -> Comparison {
        let side = self.side(case);
        let empty = Schema::default();
        let schema = side.map_or(&empty, |side| &side.schema);
        let columns = golden.map_or(&[][..], GoldenBuild::columns);
        let pool = self.duckdb.as_ref().filter(|_| may_search);
        let compiled = meaning::Compiled {
            golden: golden.and_then(GoldenBuild::compiled),
            candidate: built.and_then(|built| built.compiled.as_deref()),
        };
        meaning::compare(case, candidate, schema, columns, compiled, pool, self.settings.search).await
    }
}

/// The folder that the tools environment is below; absolute, since children run in folders of their own.
fn root(config: &Config) -> Result<PathBuf, Diagnostics> {
    let root = if config.root.as_os_str().is_empty() { Path::new(".") } else { &config.root };
    std::path::absolute(root).map_err(|error| {
        Diagnostic::new("E_ROOT", format!("the folder of the configuration cannot be found: {error}")).into()
    })
}

fn environment(
    config: &Config,
    root: &Path,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<Tools, Diagnostics> {
    ensure(root, &existing_tools(config), progress).map_err(|error| error.diagnostic().into())
}

/// Tools that the configuration names instead of the own environment.
pub fn existing_tools(config: &Config) -> Existing {
    let given = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| config.resolve(path));
    Existing {
        dbt: given(&config.tools.dbt),
        duckdb: given(&config.tools.duckdb),
        python: given(&config.tools.python),
    }
}

/// The golden of a case, built once. One that the infrastructure broke is built again for the next who asks.
async fn golden(goldens: &Goldens, key: &str, case: &Case, builder: &Builder) -> Arc<GoldenBuild> {
    let build = || async {
        let golden = Arc::new(GoldenBuild::new(builder, case).await);
        if golden.is_undecided() { Err(golden) } else { Ok(golden) }
    };
    let golden = match goldens.get(key) {
        Some(cell) => cell.get_or_try_init(build).await.cloned(),
        None => build().await,
    };
    golden.unwrap_or_else(|undecided| undecided)
}

/// The key of a case's golden on a data set; no id of a case holds a line break.
fn on_dataset(case: &Case, name: &str) -> String {
    format!("{}\n{name}", case.id)
}

/// The engines that the configuration asks for, and those that audit them.
fn engines(
    config: &Config,
    root: &Path,
    tools: &Tools,
    workers: usize,
    progress: &(impl Fn(Progress) + Sync),
) -> Result<(Option<Engines>, Option<Engines>), Diagnostics> {
    let limits = limits(config);
    let v1 = || Engines::v1(root, tools, workers, &limits);
    // It must write files that the other tools read.
    let fits = tools.versions.duckdb == v2::DUCKDB;
    let rust = match config.dbt.engine {
        EngineChoice::V2 if !fits => {
            let what = format!(
                "the engine v2 writes files with DuckDB {}, the tools have {}",
                v2::DUCKDB,
                tools.versions.duckdb
            );
            return Err(Diagnostic::new("E_DUCKDB_VERSION", what)
                .hint("use another engine: `--engine auto`")
                .into());
        }
        EngineChoice::V2 => {
            Some(v2::ensure(root, &tools.python, progress).map_err(|error| error.diagnostic())?)
        }
        _ => v2::find(root).filter(|_| fits),
    };
    let (engines, auditors) = match (config.dbt.engine, &rust) {
        (EngineChoice::None, _) => return Ok((None, None)),
        (EngineChoice::V2, Some(rust)) => (Engines::v2(root, tools, rust, workers, &limits), v1()),
        (EngineChoice::V1, Some(rust)) => (v1(), Engines::v2(root, tools, rust, workers, &limits)),
        // Batches are worth it where the Rust dbt compiles them.
        (EngineChoice::V1 | EngineChoice::Auto, None) => (v1(), v1().with_exec(None)),
        _ => (v1().with_exec(rust.as_ref()), v1()),
    };
    Ok((Some(engines), (config.dbt.audit_percent > 0.0).then_some(auditors)))
}

fn limits(config: &Config) -> BuildLimits {
    let seconds = config.dbt.timeout_seconds.max(1);
    // Python and DuckDB reserve far more addresses than they use memory.
    let memory = config.dbt.memory_mb.clamp(512, 1 << 20) << 20;
    BuildLimits {
        wall: Duration::from_secs(seconds),
        // Less than the wall time, so that a busy machine does not decide which of the two comes first.
        cpu: Duration::from_secs((seconds / CPU_SHARE).max(5)),
        memory: memory * 2,
        duckdb_memory: memory / 4,
        ..BuildLimits::default()
    }
}

/// A count from the configuration, 0 meaning one a core.
fn or_cores(count: usize) -> usize {
    match count {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        count => count,
    }
}

/// What is known about the relations of a case's project, under the names that rendered SQL has for them.
fn schema(case: &Case, types: &Types) -> Result<Schema, Diagnostics> {
    let project = &case.project.dbt;
    Ok(facts::schema(project, &project.properties()?, types))
}

fn versions(tools: Option<&Tools>, root: &Path, engine: EngineChoice) -> BTreeMap<String, String> {
    let Some(tools) = tools else { return BTreeMap::new() };
    let versions = &tools.versions;
    let mut named: BTreeMap<String, String> = [
        ("dbt-core", &versions.dbt_core),
        ("dbt-duckdb", &versions.dbt_duckdb),
        ("duckdb", &versions.duckdb),
    ]
    .into_iter()
    .map(|(name, version)| (name.to_owned(), version.clone()))
    .collect();
    for (name, version) in [("sqlfluff", &versions.sqlfluff), ("sqruff", &versions.sqruff)] {
        named.extend(version.clone().map(|version| (name.to_owned(), version)));
    }
    if engine != EngineChoice::V1 && versions.duckdb == v2::DUCKDB && v2::find(root).is_some() {
        named.insert("dbt-core 2".to_owned(), v2::VERSION.to_owned());
    }
    named
}
