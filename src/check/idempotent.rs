//! `idempotent`: built again on the same data, a model has the same rows: an incremental one in place, also when some of them
//! arrived late; any with its input in another order.

use super::build::rows::{RowOptions, Side};
use super::build::{BuildReport, Builder};
use super::built::{GoldenBuild, describe, not_built, side};
use super::late::{self, Context};
use super::{CheckId, CheckResult, Finding, Outcome};

/// Judges a finished build. The golden's own ways are no fault of the candidate: what may depend on chance, which late rows
/// are lost.
pub(super) async fn check(context: Context<'_>, report: &BuildReport) -> CheckResult {
    let Context { builder, golden, options, .. } = context;
    let mut twice = twice(builder, report, options).await;
    if twice.outcome == Outcome::Passed {
        twice = late::check(context, report).await;
    } else if twice.outcome == Outcome::Failed
        && let Some(golden) = golden
        && golden.changes(builder, options).await
    {
        let why = "the golden too changes when it is built a second time on the same data";
        return CheckResult::errored(CheckId::Idempotent, "golden_fails", why);
    }
    if !matches!(twice.outcome, Outcome::Passed | Outcome::Skipped) {
        return twice;
    }
    match by_chance(builder, report, options).await {
        // What the golden leaves to chance nobody has to settle.
        Some(changed) if !is_chancy(golden, builder, options).await => {
            let message = format!("on the same rows in another order it gives other ones: {changed}");
            CheckResult::from_findings(CheckId::Idempotent, vec![Finding::new("order_dependent", message)])
        }
        _ => twice,
    }
}

async fn is_chancy(golden: Option<&GoldenBuild>, builder: &Builder, options: &RowOptions<'_>) -> bool {
    match golden {
        Some(golden) => golden.is_chancy(builder, options).await,
        None => false,
    }
}

/// How the rows change when the input stands in another order; `None` when they do not, or nobody can tell.
pub(super) async fn by_chance(
    builder: &Builder,
    report: &BuildReport,
    options: &RowOptions<'_>,
) -> Option<String> {
    let first = side(report)?;
    let reversed = builder.reversed(report).await?;
    let again = Side { database: &reversed.database, ..first };
    let comparison = builder.duckdb().compare(first, again, options).await.ok()?;
    (!comparison.rows_agree()).then(|| describe(&comparison))
}

/// Built twice on the same data, an incremental model must be as built once.
pub(super) async fn twice(builder: &Builder, report: &BuildReport, options: &RowOptions<'_>) -> CheckResult {
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
