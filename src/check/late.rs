//! Late rows, a part of `idempotent`: an incremental model that was built before some of its rows were there must hold, after
//! the run that finds them, what a build on all rows has. What the golden loses too is what the spec accepts.

use crate::config::LateRows;

use super::build::late::{Arrival, Histories, LateComparison, LateRun, Withheld};
use super::build::rows::{Keys, RowOptions, Side};
use super::build::{BuildReport, BuildRequest, Builder};
use super::built::{GoldenBuild, name_keys, side};
use super::{CheckId, CheckResult, Finding, Outcome};
use crate::sql::Dialect;

/// What a candidate is built and compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) builder: &'a Builder,
    pub(super) request: &'a BuildRequest,
    pub(super) golden: Option<&'a GoldenBuild>,
    pub(super) options: &'a RowOptions<'a>,
    pub(super) dialect: Dialect,
    pub(super) late_rows: LateRows,
}

/// What late rows show of an incremental model, as the result of `idempotent`. Where they say nothing, it passes with the
/// reason.
pub(super) async fn check(context: Context<'_>, report: &BuildReport) -> CheckResult {
    let passed = |findings| CheckResult { findings, ..CheckResult::passed(CheckId::Idempotent) };
    if context.late_rows == LateRows::Off {
        return passed(Vec::new());
    }
    match look(context, report).await {
        Ok(result) if context.late_rows == LateRows::Warn && result.outcome == Outcome::Failed => {
            passed(result.findings)
        }
        Ok(result) => result,
        Err(why) => {
            let message = format!("late rows were not tried: {why}");
            passed(vec![Finding::new("late_rows_not_tried", message)])
        }
    }
}

/// The golden under the same circumstances.
enum Control<'a> {
    /// There is none.
    Absent,
    /// It is built anew each time: it loses nothing.
    Whole,
    Incremental(Histories<'a>),
}

async fn look(context: Context<'_>, report: &BuildReport) -> Result<CheckResult, String> {
    let Context { builder, request, golden, options, dialect, .. } = context;
    let own = || builder.arrival(report, dialect).ok_or_else(no_column);
    let (arrival, control) = match golden {
        None => (own()?, Control::Absent),
        Some(golden) => match golden.late(builder, options, dialect).await? {
            None => (own()?, Control::Whole),
            Some((arrival, histories)) => (arrival.clone(), Control::Incremental(histories)),
        },
    };
    let late = builder.late(request, report, &arrival).await?;
    let check = CheckId::Idempotent;
    match late.run.outcome {
        Outcome::Passed => {}
        Outcome::Failed => {
            let message = format!("when rows arrive late, the incremental run fails: {}", late.run.message);
            let class = late.run.class.map_or("second_build", |class| class.name());
            return Ok(CheckResult::from_findings(check, vec![Finding::new(class, message)]));
        }
        _ => return Ok(CheckResult::errored(check, "late_rows", late.run.message)),
    }
    let histories = histories(report, &late).ok_or("it left no relation")?;
    let of_golden = match control {
        Control::Incremental(histories) => Some(histories),
        Control::Absent | Control::Whole => None,
    };
    let comparison = builder.duckdb().compare_late(histories, of_golden, options).await;
    let comparison = comparison.map_err(|fault| fault.to_string())?;
    let (findings, must_not_be) = findings(&comparison, &arrival, late.withheld);
    let is_held_to_all = !matches!(control, Control::Absent);
    let fails = !findings.is_empty() && (is_held_to_all || must_not_be);
    Ok(CheckResult {
        outcome: if fails { Outcome::Failed } else { Outcome::Passed },
        ..CheckResult::from_findings(check, findings)
    })
}

fn no_column() -> String {
    "no column is found by which the incremental query takes what is new".to_owned()
}

fn histories<'a>(report: &'a BuildReport, late: &'a LateRun) -> Option<Histories<'a>> {
    let built = side(report)?;
    let of = |database| Side { database, ..built };
    Some(Histories { whole: of(&late.whole), late: of(&late.database) })
}

impl GoldenBuild {
    /// By which column rows arrive, and what the golden holds after late ones; `None` where it is built anew each time.
    async fn late(
        &self,
        builder: &Builder,
        options: &RowOptions<'_>,
        dialect: Dialect,
    ) -> Result<Option<(&Arrival, Histories<'_>)>, String> {
        let report = self.built().ok_or("the golden does not build")?;
        if report.second_run.is_none() {
            return Ok(None);
        }
        // In this order: the late run takes the place of the second one.
        if self.changes(builder, options).await {
            return Err("the golden changes when it is built a second time on the same data".to_owned());
        }
        let look = || async {
            let arrival =
                builder.arrival(report, dialect).ok_or_else(|| format!("in the golden {}", no_column()))?;
            let run = builder.late(self.request(), report, &arrival).await;
            Ok((arrival, run.map_err(|why| format!("of the golden: {why}"))?))
        };
        let late: &Result<(Arrival, LateRun), String> = self.late_cell().get_or_init(look).await;
        let (arrival, run) = late.as_ref().map_err(Clone::clone)?;
        if run.run.outcome != Outcome::Passed {
            return Err(format!("the golden's own incremental run fails: {}", run.run.message));
        }
        let histories = histories(report, run).ok_or("the golden left no relation")?;
        Ok(Some((arrival, histories)))
    }
}

/// What is wrong, and whether some of it is so whatever the spec says: no design wants rows twice.
fn findings(comparison: &LateComparison, arrival: &Arrival, withheld: Withheld) -> (Vec<Finding>, bool) {
    let key = &comparison.named_by;
    let when = format!(
        "after rows of {} arrived late (by `{}`: {} newer than the high-water mark, {} at it, {} older)",
        arrival.relation.rendered(),
        arrival.column,
        withheld.newer,
        withheld.at_mark,
        withheld.older
    );
    let mut found = Vec::new();
    let mut add = |class: &str, keys: &Keys, one: &str, many: &str, end: &str| {
        if keys.count > 0 {
            let what = name_keys(key, if keys.count == 1 { one } else { many }, keys);
            found.push(Finding::new(class, format!("{when} {what}{end}")));
        }
    };
    let lost = ("row that a full build has is missing", "rows that a full build has are missing");
    add("late_rows_lost", &comparison.lost, lost.0, lost.1, "");
    let repeated =
        ("row is there more often than in a full build", "rows are there more often than in a full build");
    add("late_rows_repeated", &comparison.repeated, repeated.0, repeated.1, "");
    let added =
        ("row is there that a full build does not have", "rows are there that a full build does not have");
    add("late_rows_added", &comparison.added, added.0, added.1, "");
    let columns: Vec<String> =
        comparison.stale_columns.iter().map(|(column, rows)| format!("{column} in {rows}")).collect();
    let columns = format!("; {}", columns.join(", "));
    let stale = ("row has other values than in a full build", "rows have other values than in a full build");
    add("late_rows_stale", &comparison.stale, stale.0, stale.1, &columns);
    (found, comparison.repeated.count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbt::facts::Relation;

    #[test]
    fn findings_name_the_rows_and_what_arrived() {
        let keys = |count, values: &[&str]| Keys {
            count,
            examples: values.iter().map(|value| vec![Some((*value).to_owned())]).collect(),
        };
        let comparison = LateComparison {
            named_by: vec!["order_id".into()],
            lost: keys(2, &["3", "7"]),
            stale: keys(1, &["9"]),
            stale_columns: vec![("total".into(), 1)],
            ..LateComparison::default()
        };
        let arrival = Arrival { relation: Relation::Ref("orders".into()), column: "changed".into() };
        let withheld = Withheld { newer: 1, at_mark: 2, older: 3 };
        let (found, must_not_be) = findings(&comparison, &arrival, withheld);
        let lines: Vec<String> = found.iter().map(|f| format!("{}: {}", f.class, f.message)).collect();
        let when = "after rows of orders arrived late (by `changed`: 1 newer than the high-water mark, 2 at it, 3 older)";
        assert_eq!(
            lines,
            [
                format!(
                    "late_rows_lost: {when} 2 rows that a full build has are missing: order_id = 3, order_id = 7"
                ),
                format!(
                    "late_rows_stale: {when} 1 row has other values than in a full build: order_id = 9; total in 1"
                ),
            ]
        );
        assert!(!must_not_be);
        let twice = LateComparison { repeated: keys(1, &["3"]), ..LateComparison::default() };
        assert!(findings(&twice, &arrival, withheld).1);
    }
}
