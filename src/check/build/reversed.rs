//! The same query on the same rows in another order: what then gives other rows depends on chance.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::exec::locked;
use super::workspace::Workspace;
use super::{ATTEMPTS, BuildLimits, BuildReport, Builder, DATABASE};
use crate::tool::again::Again;
use crate::tool::executor::{Executed, Job};
use crate::tool::process::KillReason;
use crate::tool::worker::End;

/// A model that was built on reversed input.
#[derive(Debug)]
pub struct Reversed {
    /// Its database.
    pub database: PathBuf,
    _workspace: Workspace,
}

impl Builder {
    /// Builds the compiled query of a finished build once more, in a copy of the prepared database in which the rows of every
    /// table stand in reverse. `None` where that says nothing: its rows cannot depend on it, or it could not be built.
    pub async fn reversed(&self, report: &BuildReport) -> Option<Reversed> {
        let (sql, relation) = (report.compiled_sql.as_ref()?, report.relation.as_ref()?);
        if !may_depend_on_order(sql) {
            return None;
        }
        let relations = &self.template.summary.relations;
        // A seed may be a source too: each table once, or it stands as before.
        let reverse: BTreeSet<&String> = relations.values().filter(|name| *name != relation).collect();
        let reverse: Vec<String> = reverse.into_iter().cloned().collect();
        let BuildLimits { wall, cpu, .. } = self.engines.limits;
        let mut again = Again::new(ATTEMPTS);
        loop {
            let workspace = self.work.workspace().ok()?;
            let (from, to) = (self.template.project.join(DATABASE), workspace.database());
            tokio::task::spawn_blocking(move || fs_err::copy(from, to)).await.ok()?.ok()?;
            let job = Job {
                database: workspace.database(),
                config: locked(&self.engines.limits),
                drop: vec![relation.clone()],
                reverse: reverse.clone(),
                withhold: None,
                create: format!("create table {relation} as (\n{sql}\n);"),
                relation: relation.clone(),
                tests: Vec::new(),
                built: workspace.folder().join("built"),
            };
            match self.engines.executor.run(&job, workspace.folder(), wall, cpu).await.end {
                End::Finished(Executed { refused: None, error: None, .. }) => {
                    return Some(Reversed { database: workspace.database(), _workspace: workspace });
                }
                End::Died { signal: Some(9), .. } if again.pause().await => {}
                End::Killed(KillReason::Wall { .. } | KillReason::Output)
                | End::Finished(_)
                | End::Died { .. }
                | End::NotStarted(_) => return None,
            }
        }
    }
}

/// Whether the rows of a query could depend on the order in which it finds others: it numbers, limits, or takes one of several.
fn may_depend_on_order(sql: &str) -> bool {
    const WORDS: &[&str] = &[
        "any_value",
        "arbitrary",
        "arg_max",
        "arg_min",
        "argmax",
        "argmin",
        "array_agg",
        "asof",
        "fetch",
        "first",
        "first_value",
        "group_concat",
        "lag",
        "last",
        "last_value",
        "lead",
        "limit",
        "list",
        "listagg",
        "max_by",
        "min_by",
        "mode",
        "nth_value",
        "ntile",
        "positional",
        "row_number",
        "rows",
        "string_agg",
    ];
    let lower = sql.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    words.iter().any(|word| WORDS.contains(word)) || words.windows(2).any(|pair| pair == ["distinct", "on"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_depend_on_order_is_built_again() {
        for (sql, may) in [
            ("select a, sum(b) from t group by a", false),
            ("select a from t order by a", false),
            ("select distinct a from t", false),
            ("select DISTINCT ON (a) a, b from t", true),
            ("select a, row_number() over (partition by b order by c) from t", true),
            ("select a from t order by a limit 3", true),
            ("select string_agg(a, ',') from t", true),
        ] {
            assert_eq!(may_depend_on_order(sql), may, "{sql}");
        }
    }
}
