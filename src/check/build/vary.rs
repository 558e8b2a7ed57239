//! The tests of a model on the rows of other queries, put in the place of its own: no dbt is asked again.

use super::columns::Kind;
use super::exec::locked;
use super::rows::quoted;
use super::{ATTEMPTS, BuildLimits, BuildReport, BuildRequest, Builder, DATABASE};
use crate::tool::again::Again;
use crate::tool::executor::{Variants, Varied};
use crate::tool::worker::End;

/// Seconds for all variants of a model.
const SECONDS: f64 = 10.0;

impl Builder {
    /// Runs `tests` on the rows of the golden and on those of each query of `others`, in a copy of the prepared database.
    ///
    /// # Errors
    /// Why nothing was tried, or not all of it.
    pub async fn vary(
        &self,
        request: &BuildRequest,
        golden: &BuildReport,
        others: &[String],
        tests: &[String],
    ) -> Result<Varied, String> {
        let (Some(relation), Some(sql)) = (&golden.relation, &golden.compiled_sql) else {
            return Err("the golden does not build".to_owned());
        };
        let of_test =
            |sql: &String| format!("select count(*) as failures from (\n{sql}\n) dbt_internal_test");
        let mut again = Again::new(ATTEMPTS);
        loop {
            let workspace = self.work.workspace().map_err(|error| error.to_string())?;
            let (from, to) = (self.template.project.join(DATABASE), workspace.database());
            let copied = tokio::task::spawn_blocking(move || fs_err::copy(from, to)).await;
            copied
                .map_err(|error| error.to_string())?
                .map_err(|error| workspace.anonymous(&error.to_string()))?;
            let job = Variants {
                database: workspace.database(),
                config: locked(&self.engines.limits),
                drop: self.golden(request).into_iter().chain([relation.clone()]).collect(),
                relation: relation.clone(),
                compared: compared(&golden.columns),
                variants: std::iter::once(sql).chain(others).cloned().collect(),
                tests: tests.iter().map(of_test).collect(),
                seconds: SECONDS,
            };
            let BuildLimits { wall, cpu, .. } = self.engines.limits;
            match self.engines.executor.vary(&job, workspace.folder(), wall, cpu).await.end {
                End::Finished(Varied { refused: Some(why), .. }) => return Err(why),
                End::Finished(Varied { stopped: true, .. }) | End::Killed(_) => {
                    return Err(format!("the mutants take more than {SECONDS} s"));
                }
                End::Finished(varied) => return Ok(varied),
                End::Died { signal: Some(9), .. } if again.pause().await => {}
                End::Died { .. } | End::NotStarted(_) => {
                    return Err("the mutants could not be run".to_owned());
                }
            }
        }
    }
}

/// The columns as they are compared: of floating-point numbers nine digits, since another plan adds in another order.
fn compared(columns: &[(String, String)]) -> String {
    let columns = columns.iter().map(|(name, kind)| match Kind::of(kind) {
        Kind::Float => format!("format('{{:.9e}}', {0}) as {0}", quoted(name)),
        _ => quoted(name),
    });
    columns.collect::<Vec<_>>().join(", ")
}
