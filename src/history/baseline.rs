//! Finding the run to compare with.

use super::record::HistoryRecord;

/// A baseline that cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// Nothing has been recorded.
    #[error("the history holds no complete run to compare with")]
    Empty,
    /// No run, branch or commit has this name.
    #[error("`{wanted}` is neither a run, a branch nor a commit in the history (latest run: `{latest}`)")]
    Unknown {
        /// What was asked for.
        wanted: String,
        /// The latest run.
        latest: String,
    },
    /// A shortened id fits several runs.
    #[error("`{wanted}` fits several runs: {}", runs.join(", "))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// Runs that it fits.
        runs: Vec<String>,
    },
}

/// The records of the run that `wanted` names: `latest`, a run id, the beginning of one, a branch (its latest run), or
/// a commit of at least seven digits (its latest run). Incomplete runs count only when named by their id.
///
/// # Errors
/// Where nothing or more than one run fits.
pub fn find_baseline<'a>(
    records: &'a [HistoryRecord],
    wanted: &str,
) -> Result<Vec<&'a HistoryRecord>, BaselineError> {
    let of_run = |run: &str| records.iter().filter(|r| r.run == run).collect::<Vec<_>>();
    if records.iter().any(|r| r.run == wanted) {
        return Ok(of_run(wanted));
    }
    let newest = |fits: &dyn Fn(&HistoryRecord) -> bool| {
        records
            .iter()
            .filter(|r| r.complete && fits(r))
            .max_by(|a, b| a.started.cmp(&b.started).then(a.run.cmp(&b.run)))
            .map(|r| r.run.as_str())
    };
    let latest = newest(&|_| true).ok_or(BaselineError::Empty)?;
    if wanted == "latest" {
        return Ok(of_run(latest));
    }
    if let Some(run) = newest(&|r| r.branch.as_deref() == Some(wanted)) {
        return Ok(of_run(run));
    }
    let long_enough = wanted.len() >= 7;
    if let Some(run) = newest(&|r| long_enough && r.commit.as_deref().is_some_and(|c| c.starts_with(wanted)))
    {
        return Ok(of_run(run));
    }
    let mut fitting: Vec<String> = records
        .iter()
        .filter(|r| !wanted.is_empty() && r.run.starts_with(wanted))
        .map(|r| r.run.clone())
        .collect();
    fitting.dedup();
    fitting.sort_unstable();
    fitting.dedup();
    match fitting.as_slice() {
        [] => Err(BaselineError::Unknown { wanted: wanted.to_owned(), latest: latest.to_owned() }),
        [run] => Ok(of_run(run)),
        _ => Err(BaselineError::Ambiguous { wanted: wanted.to_owned(), runs: fitting }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::record::{PromptInfo, RunInfo};

    fn records() -> Vec<HistoryRecord> {
        let run = |id: &str, day: i64, branch: &str, commit: &str, complete| {
            let info = RunInfo {
                id: id.into(),
                started: jiff::Timestamp::from_second(day * 86_400).unwrap(),
                branch: Some(branch.into()),
                commit: Some(commit.into()),
                complete,
                ..RunInfo::default()
            };
            let prompts = ["v1", "v2"].map(|name| PromptInfo { name: name.into(), ..PromptInfo::default() });
            HistoryRecord::from_run(&info, &prompts, &[])
        };
        [
            run("20261101-a1", 2, "main", "aaaaaaaa1", true),
            run("20261102-b2", 1, "main", "bbbbbbbb2", true),
            run("20261103-c3", 3, "topic", "cccccccc3", false),
        ]
        .concat()
    }

    fn found(wanted: &str) -> Result<String, BaselineError> {
        let records = records();
        let found = find_baseline(&records, wanted)?;
        assert_eq!(found.len(), 2);
        Ok(found[0].run.clone())
    }

    #[test]
    fn by_id_prefix_branch_commit_and_latest() {
        assert_eq!(found("20261102-b2").unwrap(), "20261102-b2");
        assert_eq!(found("20261102").unwrap(), "20261102-b2");
        assert_eq!(found("main").unwrap(), "20261101-a1");
        assert_eq!(found("bbbbbbb").unwrap(), "20261102-b2");
        assert_eq!(found("latest").unwrap(), "20261101-a1", "by time, complete runs only");
        assert_eq!(found("20261103-c3").unwrap(), "20261103-c3", "an incomplete run may be named");
    }

    #[test]
    fn what_cannot_be_found_says_why() {
        assert!(matches!(found("2026"), Err(BaselineError::Ambiguous { runs, .. }) if runs.len() == 3));
        assert!(matches!(found("topic"), Err(BaselineError::Unknown { .. })));
        assert!(matches!(found("bbb"), Err(BaselineError::Unknown { .. })));
        assert!(matches!(found(""), Err(BaselineError::Unknown { .. })));
        assert_eq!(find_baseline(&[], "latest"), Err(BaselineError::Empty));
    }
}
