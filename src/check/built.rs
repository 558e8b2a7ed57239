//! What dbt and the database say about a candidate: `compile`, `run`, `tests`, `columns`, `rows`, `idempotent`.

use crate::generate::contract::Candidate;
use crate::sql::clock::unsteady_call;
use crate::sql::parse::parse_query;
use crate::suite::Case;

use super::build::columns::{TypeMatch, pair_columns};
use super::build::rows::{DuckdbFault, Keys, RowComparison, RowExample, RowOptions, Side};
use super::build::{BuildReport, Builder, Step};
use super::{Audit, CheckId, CheckResult, Finding, Outcome, request};

/// The golden's build, kept with its database for as long as candidates are compared with it.
#[derive(Debug)]
pub struct GoldenBuild {
    report: BuildReport,
    /// What makes its rows change from run to run: a call that reads the clock, or a volatile one.
    unsteady: Option<String>,
}

impl GoldenBuild {
    /// Builds the golden.
    pub async fn new(builder: &Builder, case: &Case) -> Self {
        let report = builder.build(&request::of_golden(case)).await;
        let query = report.compiled_sql.as_deref().and_then(|sql| parse_query(sql, case.dialect).ok());
        Self { unsteady: query.and_then(|query| unsteady_call(&query)), report }
    }

    /// Its output columns, name and type; empty when it does not build.
    pub fn columns(&self) -> &[(String, String)] {
        &self.report.columns
    }

    /// The SQL that dbt compiled it to.
    pub fn compiled(&self) -> Option<&str> {
        self.report.compiled_sql.as_deref()
    }

    /// The golden as one side of a comparison; or why it is none: a fault of the case.
    fn side(&self) -> Result<Side<'_>, String> {
        side(&self.report).ok_or_else(|| {
            let steps = [&self.report.compile, &self.report.run];
            let why = steps.into_iter().find(|step| step.outcome != Outcome::Passed);
            why.map_or_else(|| "it left no relation".to_owned(), |step| step.message.clone())
        })
    }
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
    /// The engine that built it.
    pub engine: &'static str,
    /// What another engine says, where it was asked.
    pub audit: Option<Audit>,
}

impl Built {
    /// Builds a candidate and compares it with the golden, where there is one; its files are gone afterwards.
    pub async fn new(
        builder: &Builder,
        case: &Case,
        candidate: &Candidate,
        golden: Option<&GoldenBuild>,
        float_tolerance: f64,
    ) -> Self {
        let report = builder.build(&request::of(case, candidate)).await;
        let mut checks = vec![
            from_step(CheckId::Compile, &report.compile),
            from_step(CheckId::Run, &report.run),
            tests(&report),
        ];
        let options = RowOptions { key: &case.grain, float_tolerance };
        let fails = |why| Unjudged::Errored("golden_fails", format!("the golden does not build: {why}"));
        let no_golden = || Unjudged::Skipped("there is no golden".to_owned());
        // What is not built is not compared, whatever the golden is.
        let both = match (side(&report), golden.map(GoldenBuild::side)) {
            (None, _) => Err(not_built(&report)),
            (Some(_), None) => Err(no_golden()),
            (Some(_), Some(Err(why))) => Err(fails(why)),
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
        checks.push(rows(&comparison, &case.grain));
        checks.push(match unsteady {
            Some(call) => CheckResult::skipped(CheckId::Idempotent, format!("the golden calls {call}")),
            None => idempotent(builder, &report, &options).await,
        });
        Self {
            checks,
            columns: report.relation.as_ref().map(|_| names(&report)),
            materialized: report.materialized.clone(),
            same_rows,
            compiled: report.compiled_sql.clone(),
            engine: report.engine,
            audit: None,
        }
    }
}

/// Why something was not judged.
#[derive(Debug, Clone)]
enum Unjudged {
    Skipped(String),
    Failed(&'static str, String),
    Errored(&'static str, String),
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
    fn result(&self, check: CheckId) -> CheckResult {
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

fn side(report: &BuildReport) -> Option<Side<'_>> {
    if report.run.outcome != Outcome::Passed {
        return None;
    }
    Some(Side {
        database: report.database.as_deref()?,
        relation: report.relation.as_deref()?,
        columns: &report.columns,
    })
}

fn not_built(report: &BuildReport) -> Unjudged {
    let errored = [&report.compile, &report.run].into_iter().any(|step| step.outcome == Outcome::Errored);
    Unjudged::Skipped(if errored { "the build errored" } else { "the model was not built" }.to_owned())
}

fn from_step(check: CheckId, step: &Step) -> CheckResult {
    let class = step.class.map_or("skipped", |class| class.name());
    let findings = match step.outcome {
        Outcome::Passed => Vec::new(),
        _ => vec![Finding::new(class, step.message.clone())],
    };
    CheckResult { check, outcome: step.outcome, findings, seconds: step.seconds }
}

fn tests(report: &BuildReport) -> CheckResult {
    let mut result = from_step(CheckId::Tests, &report.tests);
    let failed: Vec<Finding> = report
        .test_outcomes
        .iter()
        .filter(|test| matches!(test.step.outcome, Outcome::Failed | Outcome::Errored))
        .map(|test| {
            let class = test.step.class.map_or("test_fail", |class| class.name());
            Finding::new(class, format!("{}: {}", test.name, test.step.message))
        })
        .collect();
    if !failed.is_empty() {
        result.findings = failed;
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
    let named = |count: u64, what: &str, found: &Keys| {
        let shown: Vec<String> = found.examples.iter().map(|key| show_key(grain, key)).collect();
        let more = if found.count > shown.len() as u64 { ", ..." } else { "" };
        format!("{count} {what}: {}{more}", shown.join(", "))
    };
    let plural = |count: u64, one: &'static str, many: &'static str| if count == 1 { one } else { many };
    let mut findings = Vec::new();
    if keys.repeated_in_golden.count == 0 && keys.repeated.count > 0 {
        let n = keys.repeated.count;
        let what = plural(n, "key of the grain has several rows", "keys of the grain have several rows");
        findings.push(Finding::new("repeated_keys", named(n, what, &keys.repeated)));
    }
    if keys.lost.count > 0 {
        let n = keys.lost.count;
        let what = plural(n, "key of the golden is missing", "keys of the golden are missing");
        findings.push(Finding::new("lost_keys", named(n, what, &keys.lost)));
    }
    if keys.new.count > 0 {
        let n = keys.new.count;
        let what = plural(n, "key is not in the golden", "keys are not in the golden");
        findings.push(Finding::new("new_keys", named(n, what, &keys.new)));
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
fn describe(comparison: &RowComparison) -> String {
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

/// Built twice on the same data, an incremental model must be as built once.
async fn idempotent(builder: &Builder, report: &BuildReport, options: &RowOptions<'_>) -> CheckResult {
    let check = CheckId::Idempotent;
    let Some(first) = side(report) else { return not_built(report).result(check) };
    let Some(second) = &report.second_run else {
        return CheckResult::skipped(check, "not an incremental model");
    };
    match second.run.outcome {
        Outcome::Passed => {}
        Outcome::Failed => {
            let message = format!("the second build fails: {}", second.run.message);
            let class = second.run.class.map_or("second_build", |class| class.name());
            return CheckResult::from_findings(check, vec![Finding::new(class, message)]);
        }
        _ => return CheckResult::errored(check, "second_build", second.run.message.clone()),
    }
    let again = Side { database: &second.database, ..first };
    match builder.duckdb().compare(first, again, options).await {
        Ok(comparison) if comparison.rows_agree() => CheckResult::passed(check),
        Ok(comparison) => {
            let message =
                format!("a second build on the same data changes the rows: {}", describe(&comparison));
            CheckResult::from_findings(check, vec![Finding::new("not_idempotent", message)])
        }
        Err(fault) => CheckResult::errored(check, "duckdb", fault.to_string()),
    }
}
