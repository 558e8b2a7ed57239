//! The runner: keeps a bounded number of cells under way, turns a panic into one errored result, and hands out results
//! in plan order whatever the order in which they were finished.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::check::outcome::{CheckId, CheckResult};
use crate::check::{Assess, Assessment};
use crate::generate::answers::Answer;
use crate::score::CaseResult;
use crate::suite::{Case, Suite};

use super::answers::{AnswerFault, Answers};
use super::event::Event;
use super::plan::Cell;
use super::store::{Key, Store};

/// Everything that a run needs.
pub struct Runner<J> {
    /// What is evaluated.
    pub suite: Arc<Suite>,
    /// Where answers come from.
    pub answers: Arc<Answers>,
    /// Who judges them.
    pub judge: Arc<J>,
    /// Cells under way at a time, at least 1.
    pub jobs: usize,
    /// Where events go.
    pub events: mpsc::UnboundedSender<Event>,
    /// Becomes true when the run is to stop.
    pub stop: watch::Receiver<bool>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Results {
    /// Results in plan order; incomplete when interrupted.
    pub results: Vec<CaseResult>,
    /// Whether it was stopped before the end.
    pub interrupted: bool,
}

impl<J: Assess> Runner<J> {
    /// Judges every cell that is not in `finished`, logging each result as it is there.
    ///
    /// # Errors
    /// A result that could not be logged.
    pub async fn run(
        mut self,
        cells: &[Cell],
        mut finished: BTreeMap<Key, CaseResult>,
        store: &mut Store,
    ) -> std::io::Result<Results> {
        let key = |cell: &Cell| (self.suite.cases[cell.case].id.clone(), cell.prompt.clone(), cell.trial);
        let planned: std::collections::BTreeSet<Key> = cells.iter().map(key).collect();
        finished.retain(|key, _| planned.contains(key));
        let mut slots: Vec<Option<CaseResult>> =
            cells.iter().map(|cell| finished.remove(&key(cell))).collect();
        let resumed = slots.iter().flatten().count();
        let _ = self.events.send(Event::Started { total: cells.len(), resumed });
        let mut open =
            (0..cells.len()).filter(|&index| slots[index].is_none()).collect::<Vec<_>>().into_iter();
        let mut tasks: JoinSet<CaseResult> = JoinSet::new();
        let mut index_of = BTreeMap::new();
        let mut interrupted = *self.stop.borrow();
        let mut may_stop = true;
        loop {
            while !interrupted && tasks.len() < self.jobs.max(1) {
                let Some(index) = open.next() else { break };
                let handle = tasks.spawn(judge_cell(
                    Arc::clone(&self.suite),
                    Arc::clone(&self.answers),
                    Arc::clone(&self.judge),
                    cells[index].clone(),
                ));
                index_of.insert(handle.id(), index);
            }
            let joined = tokio::select! {
                joined = tasks.join_next_with_id() => joined,
                changed = self.stop.changed(), if may_stop && !interrupted => {
                    may_stop = changed.is_ok();
                    interrupted = may_stop && *self.stop.borrow();
                    if interrupted {
                        let _ = self.events.send(Event::Interrupted);
                    }
                    continue;
                }
            };
            let (index, result) = match joined {
                None => break,
                Some(Ok((id, result))) => (index_of.remove(&id), result),
                Some(Err(error)) => {
                    let index = index_of.remove(&error.id());
                    let cell = index.map_or(&cells[0], |index| &cells[index]);
                    (index, panicked(&self.suite.cases[cell.case], cell, error))
                }
            };
            store.append(&result)?;
            let _ = self.events.send(Event::Finished(Box::new(result.clone())));
            if let Some(index) = index {
                slots[index] = Some(result);
            }
        }
        let interrupted = interrupted && slots.iter().any(Option::is_none);
        Ok(Results { results: slots.into_iter().flatten().collect(), interrupted })
    }
}

async fn judge_cell(
    suite: Arc<Suite>,
    answers: Arc<Answers>,
    judge: Arc<impl Assess>,
    cell: Cell,
) -> CaseResult {
    let case = &suite.cases[cell.case];
    let answer = match answers.get(&suite, &cell).await {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            return result_of(
                case,
                &cell,
                None,
                Assessment {
                    checks: Vec::new(),
                    golden: None,
                    candidate: None,
                    engine: None,
                    audit: None,
                    mutation: None,
                },
            );
        }
        Err(fault) => return errored(case, &cell, &fault),
    };
    let assessment = judge.assess(case, &answer).await;
    result_of(case, &cell, Some(answer), assessment)
}

fn errored(case: &Case, cell: &Cell, fault: &AnswerFault) -> CaseResult {
    let check = CheckResult::errored(CheckId::Contract, fault.class.clone(), fault.message.clone());
    result_of(case, cell, None, Assessment::only(check))
}

fn panicked(case: &Case, cell: &Cell, error: tokio::task::JoinError) -> CaseResult {
    let cause = match error.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned()),
        Err(error) => error.to_string(),
    };
    let check = CheckResult::errored(CheckId::Contract, "panic", format!("a check panicked: {cause}"));
    result_of(case, cell, None, Assessment::only(check))
}

fn result_of(case: &Case, cell: &Cell, answer: Option<Answer>, assessment: Assessment) -> CaseResult {
    let mut result = CaseResult::new(&case.id, &cell.prompt, cell.trial, assessment.checks);
    result.golden = assessment.golden;
    result.engine = assessment.engine.map(str::to_owned);
    result.audit = assessment.audit;
    result.mutation = assessment.mutation;
    result.tags.clone_from(&case.tags);
    result.cluster.clone_from(&case.cluster);
    if let Some(answer) = answer {
        result.usage = answer.usage;
        result.latency_ms = answer.latency_ms;
        result.tool_calls = answer.tool_calls;
        result.finish_reason = answer.finish_reason;
        if assessment.candidate.is_none() {
            result.answer = Some(answer.output_text);
        }
    }
    if let Some(candidate) = assessment.candidate {
        result.candidate_sql = Some(candidate.sql);
        result.candidate_yaml = Some(candidate.schema_yaml);
        result.review_notes = candidate.review_notes;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::outcome::Outcome;
    use crate::config::Config;
    use crate::run::baseline::Baseline;
    use crate::run::store::{Manifest, VERSION};
    use crate::score::Status;
    use crate::suite::Filter;

    /// Passes every case; panics, or asks for a stop, on the cases it is told to.
    struct Fake {
        panics_on: &'static str,
        stop: Option<(&'static str, watch::Sender<bool>)>,
    }

    impl Assess for Fake {
        async fn assess(&self, case: &Case, _: &Answer) -> Assessment {
            assert_ne!(case.id, self.panics_on, "no check can do this one");
            if let Some((id, stop)) = &self.stop
                && case.id == *id
            {
                stop.send(true).unwrap();
            }
            let checks = CheckId::ALL.into_iter().map(CheckResult::passed).collect();
            Assessment { checks, golden: None, candidate: None, engine: None, audit: None, mutation: None }
        }
    }

    fn example() -> Arc<Suite> {
        let mut config = Config::load(Some(std::path::Path::new("assay.toml"))).unwrap();
        config.root = ".".into();
        Arc::new(Suite::load(&config, &Filter::default()).unwrap())
    }

    async fn run(folder: &std::path::Path, jobs: usize, fake: Fake, stop: watch::Receiver<bool>) -> Results {
        let suite = example();
        let cells = super::super::plan::plan(&suite, &["p".to_owned(), "q".to_owned()], 2, None).unwrap();
        let manifest = Manifest { version: VERSION, fingerprint: "f".to_owned(), cells: cells.len() };
        let (mut store, finished) = Store::open(folder, &manifest).unwrap();
        let runner = Runner {
            suite,
            answers: Arc::new(Answers::Baseline(Baseline::Golden)),
            judge: Arc::new(fake),
            jobs,
            events: mpsc::unbounded_channel().0,
            stop,
        };
        runner.run(&cells, finished, &mut store).await.unwrap()
    }

    #[tokio::test]
    async fn a_panic_in_a_check_is_one_errored_case_and_the_rest_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let victim: &'static str = example().cases[3].id.clone().leak();
        let fake = Fake { panics_on: victim, stop: None };
        let results = run(folder.path(), 4, fake, watch::channel(false).1).await.results;
        let (errored, others): (Vec<_>, Vec<_>) = results.iter().partition(|result| result.case == victim);
        assert!(errored.iter().all(|result| result.status == Status::Errored), "{errored:?}");
        assert_eq!(errored.len(), 4);
        assert!(others.iter().all(|result| result.status == Status::Passed));
        let finding = errored[0].checks.iter().find(|check| check.outcome == Outcome::Errored).unwrap();
        assert!(finding.findings[0].message.contains("no check can do this one"));
    }

    #[tokio::test]
    async fn an_interrupted_run_is_finished_by_the_next_one_without_doing_anything_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, stop) = watch::channel(false);
        let middle: &'static str = example().cases[5].id.clone().leak();
        let first = run(folder.path(), 1, Fake { panics_on: "", stop: Some((middle, sender)) }, stop).await;
        assert!(first.interrupted);
        let log = folder.path().join("results.jsonl");
        // A crash may tear the last line.
        let torn = fs_err::read_to_string(&log).unwrap() + "{\"case\": \"half";
        fs_err::write(&log, torn).unwrap();
        let second = run(folder.path(), 8, Fake { panics_on: "", stop: None }, watch::channel(false).1).await;
        assert!(!second.interrupted);
        assert_eq!(second.results[..first.results.len()], first.results[..]);
        let lines = fs_err::read_to_string(&log).unwrap();
        let whole = lines.lines().filter(|line| serde_json::from_str::<CaseResult>(line).is_ok()).count();
        assert_eq!(whole, second.results.len(), "each result is logged once");
    }

    #[tokio::test]
    async fn results_come_in_plan_order_whatever_the_number_of_jobs() {
        let (one, eight) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let fake = || Fake { panics_on: "", stop: None };
        let one = run(one.path(), 1, fake(), watch::channel(false).1).await.results;
        let eight = run(eight.path(), 8, fake(), watch::channel(false).1).await.results;
        assert_eq!(one, eight);
    }
}
