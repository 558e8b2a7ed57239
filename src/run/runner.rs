//! The runner: keeps a bounded number of cells under way, turns a panic into one errored result, and hands out results
//! in plan order whatever the order in which they were finished.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::check::outcome::{CheckId, CheckResult};
use crate::check::{Assessment, Judge};
use crate::generate::answers::Answer;
use crate::score::CaseResult;
use crate::suite::{Case, Suite};

use super::answers::{AnswerFault, Answers};
use super::event::Event;
use super::plan::Cell;
use super::store::{Key, Store};

/// Everything that a run needs.
pub struct Runner {
    /// What is evaluated.
    pub suite: Arc<Suite>,
    /// Where answers come from.
    pub answers: Arc<Answers>,
    /// Who judges them.
    pub judge: Arc<Judge>,
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

impl Runner {
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
                changed = self.stop.changed(), if !interrupted => {
                    interrupted = changed.is_ok() && *self.stop.borrow();
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

async fn judge_cell(suite: Arc<Suite>, answers: Arc<Answers>, judge: Arc<Judge>, cell: Cell) -> CaseResult {
    let case = &suite.cases[cell.case];
    let answer = match answers.get(&suite, &cell).await {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            return result_of(
                case,
                &cell,
                None,
                Assessment { checks: Vec::new(), golden: None, candidate: None },
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
