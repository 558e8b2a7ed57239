//! What dbt and the database say about a candidate: `compile`, `run`, `tests`, `columns`, `rows`, `idempotent`.

use std::collections::BTreeSet;

use tokio::sync::OnceCell;

use crate::config::LateRows;
use crate::generate::contract::Candidate;
use crate::sql::Dialect;
use crate::sql::clock::unsteady_call;
use crate::sql::parse::parse_query;
use crate::sql::policy::{Policy, Violation};
use crate::suite::Case;

use super::build::classify::FailureClass;
use super::build::columns::{TypeMatch, pair_columns};
use super::build::late::{Arrival, LateRun};
use super::build::rows::{DuckdbFault, Keys, RowComparison, RowExample, RowOptions, Side};
use super::build::{BuildReport, BuildRequest, Builder, Held, Step, TestOutcome};
use super::late::Context;
use super::mutation::{self, Mutants};
use super::{Audit, CheckId, CheckResult, Finding, MutationScore, Outcome, alone, idempotent, request};

/// The golden's build, kept with its database for as long as candidates are compared with it.
#[derive(Debug)]
pub struct GoldenBuild {
    request: BuildRequest,
    report: BuildReport,
    /// What makes its rows change from run to run: a call that reads the clock, or a volatile one.
    unsteady: Option<String>,
    /// Tests that it fails itself, its own or required ones.
    failing: BTreeSet<String>,
    /// Whether its rows depend on the order of its input; looked at when somebody asks.
    chancy: OnceCell<bool>,
    /// Whether a second build on the same data changes it, or fails; looked at when somebody asks.
    changes: OnceCell<bool>,
    /// What becomes of it when rows arrive late; looked at when somebody asks.
    late: OnceCell<Result<(Arrival, LateRun), String>>,
    /// Small errors in it, and what tests say of them.
    mutants: Mutants,
}

impl GoldenBuild {
    /// Builds the golden.
    pub async fn new(builder: &Builder, case: &Case) -> Self {
        let request = request::of_golden(case);
        let report = builder.build(&request).await;
        let query = report.compiled_sql.as_deref().and_then(|sql| parse_query(sql, case.dialect).ok());
        let failing = failing(&report).map(|test| test_key(test, case, &request)).collect();
        Self {
            unsteady: query.and_then(|query| unsteady_call(&query)),
            failing,
            request,
            report,
            chancy: OnceCell::new(),
            changes: OnceCell::new(),
            late: OnceCell::new(),
            mutants: Mutants::default(),
        }
    }

    pub(super) fn request(&self) -> &BuildRequest {
        &self.request
    }

    /// How it was built; `None` where it was not.
    pub(super) fn built(&self) -> Option<&BuildReport> {
        self.side().ok().map(|_| &self.report)
    }

    pub(super) fn late_cell(&self) -> &OnceCell<Result<(Arrival, LateRun), String>> {
        &self.late
    }

    /// Whether its rows depend on the order of its input.
    pub(super) async fn is_chancy(&self, builder: &Builder, options: &RowOptions<'_>) -> bool {
        let look = || async { idempotent::by_chance(builder, &self.report, options).await.is_some() };
        *self.chancy.get_or_init(look).await
    }

    /// Whether a second build on the same data changes it, or fails.
    pub(super) async fn changes(&self, builder: &Builder, options: &RowOptions<'_>) -> bool {
        let look =
            || async { idempotent::twice(builder, &self.report, options).await.outcome == Outcome::Failed };
        *self.changes.get_or_init(look).await
    }

    /// How much the tests of a candidate notice. What could not be measured is no score.
    async fn mutation_score(
        &self,
        builder: &Builder,
        report: &BuildReport,
        dialect: Dialect,
        most: usize,
    ) -> Option<MutationScore> {
        let golden = self.built().filter(|_| self.unsteady.is_none())?;
        self.mutants.score(builder, (&self.request, golden), report, dialect, most).await.ok().flatten()
    }

    /// Why it is no control: a golden passes what it is to decide.
    pub fn fault(&self) -> Option<String> {
        let step = match self.side() {
            Err(Unjudged::Skipped(why) | Unjudged::Failed(_, why) | Unjudged::Errored(_, why)) => {
                return Some(why);
            }
            Ok(_) if self.changes.get() == Some(&true) => {
                return Some("it changes when it is built a second time on the same data".to_owned());
            }
            Ok(_) if self.failing.is_empty() => {
                return self.unsteady.as_ref().map(|call| format!("it calls {call}"));
            }
            Ok(_) => &self.report.tests,
        };
        Some(format!("it fails a test: {}", step.message))
    }

    /// Its output columns, name and type; empty when it does not build.
    pub fn columns(&self) -> &[(String, String)] {
        &self.report.columns
    }

    /// The SQL that dbt compiled it to.
    pub fn compiled(&self) -> Option<&str> {
        self.report.compiled_sql.as_deref()
    }

    /// Whether the infrastructure, not the golden, decided: another build may end otherwise.
    pub fn is_undecided(&self) -> bool {
        self.report.is_undecided()
    }

    /// The golden as one side of a comparison; or why it is none: a fault of the case, or of the infrastructure.
    fn side(&self) -> Result<Side<'_>, Unjudged> {
        side(&self.report).ok_or_else(|| {
            let steps = [&self.report.compile, &self.report.run];
            match steps.into_iter().find(|step| step.outcome != Outcome::Passed) {
                Some(Step { class: Some(class), message, .. }) if class.is_transient() => {
                    Unjudged::Errored(class.name(), format!("the golden could not be built: {message}"))
                }
                Some(step) => golden_fails(&step.message),
                None => golden_fails("it left no relation"),
            }
        })
    }
}

/// How a candidate's build is compared with the golden's.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Relative tolerance between floating-point numbers.
    pub float_tolerance: f64,
    /// What late rows that are lost amount to.
    pub late_rows: LateRows,
    /// Mutants of the golden that the tests are tried on.
    pub mutants: usize,
}

/// A candidate's build, reduced to what the checks say.
#[derive(Debug, Clone)]
pub struct Built {
    /// `compile`, `run`, `tests`, `columns`, `rows`, `idempotent`, in this order.
    pub checks: Vec<CheckResult>,
    /// Names of the output columns, when it was built.
    pub columns: Option<Vec<String>>,
    /// Materialization that dbt used.
    pub materialized: Option<String>,
    /// Whether its rows are those of the golden on the project's data; `None` when they were not compared.
    pub same_rows: Option<bool>,
    /// The SQL that dbt compiled it to.
    pub compiled: Option<String>,
    /// Whether it ran into a limit.
    pub was_stopped: bool,
    /// Columns whose values are personal data, though the golden does not have them.
    pub exposed: Vec<Finding>,
    /// The engine that built it.
    pub engine: &'static str,
    /// What another engine says, where it was asked.
    pub audit: Option<Audit>,
    /// How much its tests notice, where that was measured.
    pub mutation: Option<MutationScore>,
    /// What `safety` learns from the SQL that dbt compiled.
    pub unsafe_when_compiled: Vec<Finding>,
    /// What `sources` learns from it.
    pub hard_coded: Vec<Finding>,
}

impl Built {
    /// Builds a candidate and compares it with the golden, where there is one; its files are gone afterwards.
    pub async fn new(
        builder: &Builder,
        case: &Case,
        candidate: &Candidate,
        golden: Option<&GoldenBuild>,
        policy: Policy,
        Settings { float_tolerance, late_rows, mutants }: Settings,
    ) -> Self {
        let of_golden = golden.and_then(GoldenBuild::compiled).map(str::to_owned);
        let held = Held { policy, golden: of_golden };
        let request = BuildRequest { held: Some(held), ..request::of(case, candidate) };
        let report = builder.build(&request).await;
        let mut checks = vec![
            from_step(CheckId::Compile, &report.compile),
            from_step(CheckId::Run, &report.run),
            tests(&report, golden, |test| test_key(test, case, &request)),
        ];
        let mutation = match golden {
            Some(golden) => golden.mutation_score(builder, &report, case.dialect, mutants).await,
            None => None,
        };
        if let (Some(score), Some(tests)) = (&mutation, checks.last_mut()) {
            mutation::show(tests, score);
        }
        let options = RowOptions { key: &case.grain, float_tolerance };
        let no_golden = || Unjudged::Skipped("there is no golden".to_owned());
        // What is not built is not compared, whatever the golden is.
        let both = match (side(&report), golden.map(GoldenBuild::side)) {
            (None, _) => Err(not_built(&report)),
            (Some(_), None) => Err(no_golden()),
            (Some(_), Some(Err(why))) => Err(why),
            (Some(candidate), Some(Ok(golden))) => Ok((golden, candidate)),
        };
        let unsteady = golden.and_then(|golden| golden.unsteady.as_deref());
        let comparison = match (&both, unsteady) {
            (Ok(_), Some(call)) => {
                let why = format!("the golden calls {call}: its rows are others on another day");
                Err(Unjudged::Errored("golden_unsteady", why))
            }
            (Ok((golden, candidate)), None) => {
                builder.duckdb().compare(*golden, *candidate, &options).await.map_err(Unjudged::from)
            }
            (Err(why), _) => Err(why.clone()),
        };
        let same_rows = match &comparison {
            Ok(comparison) => Some(comparison.rows_agree()),
            // Rows that cannot be read are not the golden's.
            Err(Unjudged::Failed(..)) => Some(false),
            Err(_) => None,
        };
        checks.push(match &both {
            Ok((golden, candidate)) => columns(golden, candidate),
            Err(why) => why.result(CheckId::Columns),
        });
        let profile = alone::profile(builder, case, &report, golden).await;
        checks.push(match (golden, &profile) {
            (None, Some(Ok(profile))) => {
                alone::rows(profile, &alone::joins(builder, case, &report).await, &case.grain)
            }
            _ => rows(&comparison, &case.grain),
        });
        checks.push(match unsteady {
            Some(call) => CheckResult::skipped(CheckId::Idempotent, format!("the golden calls {call}")),
            None => {
                let (options, request, dialect) = (&options, &request, case.dialect);
                let context = Context { builder, request, golden, options, dialect, late_rows };
                idempotent::check(context, &report).await
            }
        });
        Self {
            checks,
            columns: report.relation.as_ref().map(|_| names(&report)),
            materialized: report.materialized.clone(),
            same_rows,
            compiled: report.compiled_sql.clone(),
            was_stopped: report.was_stopped(),
            exposed: profile.and_then(Result::ok).map(|profile| alone::exposed(&profile)).unwrap_or_default(),
            engine: report.engine,
            audit: None,
            mutation,
            unsafe_when_compiled: unsafe_when_compiled(&report),
            hard_coded: hard_coded(&report),
        }
    }
}

impl Built {
    /// Takes over what a build on the data set `name` says of the rows.
    pub fn learn_from(&mut self, name: &str, other: &Self) {
        let bad = |check: &&CheckResult| {
            matches!(check.check, CheckId::Run | CheckId::Rows)
                && matches!(check.outcome, Outcome::Failed | Outcome::Errored)
        };
        let (Some(found), Some(rows)) = (
            other.checks.iter().find(bad),
            self.checks.iter_mut().find(|check| check.check == CheckId::Rows),
        ) else {
            return;
        };
        let findings = found.findings.iter().map(|finding| {
            Finding::new(finding.class.clone(), format!("on the data set `{name}`: {}", finding.message))
        });
        match (rows.outcome, found.outcome) {
            (Outcome::Failed, Outcome::Failed) => rows.findings.extend(findings),
            (Outcome::Failed, _) => {}
            (_, outcome) => {
                rows.outcome = outcome;
                rows.findings = findings.collect();
            }
        }
        if found.outcome == Outcome::Failed {
            self.same_rows = Some(false);
        }
    }
}

/// Why something was not judged.
#[derive(Debug, Clone)]
pub(super) enum Unjudged {
    Skipped(String),
    Failed(&'static str, String),
    Errored(&'static str, String),
}

fn golden_fails(why: &str) -> Unjudged {
    Unjudged::Errored("golden_fails", format!("the golden does not build: {why}"))
}

impl From<DuckdbFault> for Unjudged {
    fn from(fault: DuckdbFault) -> Self {
        match fault {
            DuckdbFault::Candidate(why) => Self::Failed("db_runtime", why),
            DuckdbFault::Golden(why) => Self::Errored("golden_fails", why),
            DuckdbFault::Process(why) => Self::Errored("duckdb", why),
        }
    }
}

impl Unjudged {
    pub(super) fn result(&self, check: CheckId) -> CheckResult {
        match self {
            Self::Skipped(why) => CheckResult::skipped(check, why),
            Self::Failed(class, why) => CheckResult::from_findings(check, vec![Finding::new(*class, why)]),
            Self::Errored(class, why) => CheckResult::errored(check, *class, why),
        }
    }
}

fn names(report: &BuildReport) -> Vec<String> {
    report.columns.iter().map(|(name, _)| name.clone()).collect()
}

pub(super) fn side(report: &BuildReport) -> Option<Side<'_>> {
    if report.run.outcome != Outcome::Passed {
        return None;
    }
    Some(Side {
        database: report.database.as_deref()?,
        relation: report.relation.as_deref()?,
        columns: &report.columns,
    })
}

pub(super) fn not_built(report: &BuildReport) -> Unjudged {
    let errored = [&report.compile, &report.run].into_iter().any(|step| step.outcome == Outcome::Errored);
    Unjudged::Skipped(if errored { "the build errored" } else { "the model was not built" }.to_owned())
}

fn unsafe_when_compiled(report: &BuildReport) -> Vec<Finding> {
    let show = |violation: &Violation| {
        Finding::new(violation.class, format!("as dbt compiles it, it {}", violation.message))
    };
    report.violations.iter().map(show).collect()
}

fn hard_coded(report: &BuildReport) -> Vec<Finding> {
    let show = |name: &String| {
        let message =
            format!("as dbt compiles it, it reads `{name}`, which it does not name by ref or source");
        Finding::new("hard_coded_relation", message)
    };
    report.unknown_relations.iter().map(show).collect()
}

fn from_step(check: CheckId, step: &Step) -> CheckResult {
    let class = step.class.map_or("skipped", |class| class.name());
    let findings = match step.outcome {
        Outcome::Passed => Vec::new(),
        _ => vec![Finding::new(class, step.message.clone())],
    };
    CheckResult { check, outcome: step.outcome, findings, seconds: step.seconds }
}

/// Tests that found rows, or cannot run.
fn failing(report: &BuildReport) -> impl Iterator<Item = &TestOutcome> {
    report.test_outcomes.iter().filter(|test| test.step.outcome == Outcome::Failed)
}

/// What a test says, however it is written: `unique:order_id`, or the query of a singular test.
fn test_key(test: &TestOutcome, case: &Case, request: &BuildRequest) -> String {
    let named =
        |name: &str, column: Option<&str>| format!("{name}:{}", column.unwrap_or_default()).to_lowercase();
    let Some((_, sql)) = request.singular_tests.iter().find(|(name, _)| *name == test.name) else {
        return named(&test.name, test.column.as_deref());
    };
    let entry = case.required_tests.iter().find(|entry| entry.to_sql(&case.model) == *sql);
    match entry.and_then(|entry| Some((entry.test_name()?, entry.column()))) {
        Some((name, column)) => named(name, column),
        None => sql.clone(),
    }
}

/// `key`: what a test says.
fn tests(
    report: &BuildReport,
    golden: Option<&GoldenBuild>,
    key: impl Fn(&TestOutcome) -> String,
) -> CheckResult {
    let mut result = from_step(CheckId::Tests, &report.tests);
    let is_shown = |test: &&TestOutcome| {
        matches!(test.step.outcome, Outcome::Failed | Outcome::Errored)
            || test.step.class == Some(FailureClass::TestWarn)
    };
    let shown: Vec<Finding> = report
        .test_outcomes
        .iter()
        .filter(is_shown)
        .map(|test| {
            let class = test.step.class.map_or("test_fail", |class| class.name());
            Finding::new(class, format!("{}: {}", test.name, test.step.message))
        })
        .collect();
    if !shown.is_empty() {
        result.findings = shown;
    }
    // A test that the golden fails too does not tell right from wrong.
    let golden_fails_too =
        |golden: &GoldenBuild| failing(report).all(|test| golden.failing.contains(&key(test)));
    if result.outcome == Outcome::Failed
        && failing(report).count() > 0
        && golden.is_some_and(golden_fails_too)
    {
        let why = format!("the golden fails the same tests: {}", report.tests.message);
        return CheckResult::errored(CheckId::Tests, "golden_fails", why);
    }
    result
}

fn columns(golden: &Side<'_>, candidate: &Side<'_>) -> CheckResult {
    let pairing = pair_columns(golden.columns, candidate.columns);
    let missing = pairing
        .missing
        .iter()
        .map(|name| Finding::new("missing_column", format!("column `{name}` of the golden is missing")));
    let extra = pairing
        .extra
        .iter()
        .map(|name| Finding::new("extra_column", format!("column `{name}` was not asked for")));
    let types = pairing.shared.iter().filter(|column| column.types == TypeMatch::Different).map(|column| {
        Finding::new(
            "type_changed",
            format!(
                "column `{}` is {}, the golden has {}",
                column.candidate, column.candidate_type, column.golden_type
            ),
        )
    });
    CheckResult::from_findings(CheckId::Columns, missing.chain(extra).chain(types).collect())
}

fn rows(comparison: &Result<RowComparison, Unjudged>, grain: &[String]) -> CheckResult {
    let comparison = match comparison {
        Ok(comparison) => comparison,
        Err(unjudged) => return unjudged.result(CheckId::Rows),
    };
    if comparison.golden_rows == 0 {
        let why = "the golden has no rows on the project's data: every empty result would pass";
        return CheckResult::errored(CheckId::Rows, "golden_empty", why);
    }
    let same = comparison.removed == 0 && comparison.added == 0 && comparison.modified == 0;
    if same {
        return CheckResult::passed(CheckId::Rows);
    }
    let mut findings = vec![Finding::new("rows_differ", describe(comparison))];
    findings.extend(reasons(comparison, grain));
    CheckResult::from_findings(CheckId::Rows, findings)
}

/// What of the difference points to its cause: keys that are lost, added or repeated, and columns that became NULL.
fn reasons(comparison: &RowComparison, grain: &[String]) -> Vec<Finding> {
    let keys = &comparison.keys;
    let plural = |count: u64, one: &'static str, many: &'static str| if count == 1 { one } else { many };
    let mut findings = Vec::new();
    if keys.repeated_in_golden.count == 0 && keys.repeated.count > 0 {
        findings.push(repeated_keys(&keys.repeated, grain));
    }
    if keys.lost.count > 0 {
        let what = plural(keys.lost.count, "key of the golden is missing", "keys of the golden are missing");
        findings.push(Finding::new("lost_keys", name_keys(grain, what, &keys.lost)));
    }
    if keys.new.count > 0 {
        let what = plural(keys.new.count, "key is not in the golden", "keys are not in the golden");
        findings.push(Finding::new("new_keys", name_keys(grain, what, &keys.new)));
    }
    for (column, golden, candidate) in &comparison.nulls {
        let (of_golden, of_candidate) = (comparison.golden_rows, comparison.candidate_rows);
        if of_candidate > 0 && *candidate == of_candidate && *golden < of_golden {
            let message = format!(
                "column `{column}` is NULL in every row, in the golden in {golden} of {of_golden}: a join that never matches?"
            );
            findings.push(Finding::new("always_null", message));
        } else if *candidate > *golden {
            let message = format!(
                "column `{column}` is NULL in {candidate} of {of_candidate} rows, in the golden in {golden} of {of_golden}"
            );
            findings.push(Finding::new("more_nulls", message));
        }
    }
    findings
}

/// `2 keys of the grain have several rows: 3, 7`.
pub(super) fn repeated_keys(repeated: &Keys, grain: &[String]) -> Finding {
    let what = match repeated.count {
        1 => "key of the grain has several rows",
        _ => "keys of the grain have several rows",
    };
    Finding::new("repeated_keys", name_keys(grain, what, repeated))
}

pub(super) fn name_keys(grain: &[String], what: &str, found: &Keys) -> String {
    let shown: Vec<String> = found.examples.iter().map(|key| show_key(grain, key)).collect();
    let more = if found.count > shown.len() as u64 { ", ..." } else { "" };
    format!("{} {what}: {}{more}", found.count, shown.join(", "))
}

/// `order_id = 3, day = NULL`.
fn show_key(grain: &[String], key: &[Option<String>]) -> String {
    let cells = grain.iter().zip(key);
    let cells = cells.map(|(name, value)| format!("{name} = {}", value.as_deref().unwrap_or("NULL")));
    match grain.len() {
        1 => cells.collect(),
        _ => format!("({})", cells.collect::<Vec<_>>().join(", ")),
    }
}

/// `3 of 12 rows removed, 1 added, 2 modified (amount in 2); e.g. ...`
pub(super) fn describe(comparison: &RowComparison) -> String {
    let mut parts = Vec::new();
    for (count, what) in
        [(comparison.removed, "removed"), (comparison.added, "added"), (comparison.modified, "modified")]
    {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let mut text = format!(
        "of {} golden rows and {} of the model: {}",
        comparison.golden_rows,
        comparison.candidate_rows,
        parts.join(", ")
    );
    if !comparison.differing_columns.is_empty() {
        let columns: Vec<String> =
            comparison.differing_columns.iter().map(|(name, rows)| format!("{name} in {rows}")).collect();
        text.push_str(&format!(" ({})", columns.join(", ")));
    }
    for example in comparison.examples.iter().take(3) {
        text.push_str(&format!("\n{}", show(example)));
    }
    text
}

fn show(example: &RowExample) -> String {
    let row = |cells: &[Option<String>]| {
        cells.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join(" | ")
    };
    match (&example.golden, &example.candidate) {
        (Some(golden), Some(candidate)) => format!("golden {}  ->  model {}", row(golden), row(candidate)),
        (Some(golden), None) => format!("removed {}", row(golden)),
        (None, Some(candidate)) => format!("added {}", row(candidate)),
        (None, None) => String::new(),
    }
}
