//! Where answers come from: a file, a built-in baseline, or a generator (recordings or a live model).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, io_reason};
use crate::generate::answers::Answer;
use crate::generate::{ErrorClass, GenerateError, Generator, Mode};
use crate::suite::prompts::PromptVersion;
use crate::suite::{Case, Suite};

use super::baseline::Baseline;
use super::plan::Cell;

/// The prefix of `--answers` that names a built-in system.
pub const BASELINE_PREFIX: &str = "baseline:";

/// Index of the case, prompt version, trial.
type CellKey = (usize, String, u32);

/// Prompt versions with the generator that answers for them.
pub struct Models {
    generator: Arc<Generator>,
    prompts: BTreeMap<String, Arc<PromptVersion>>,
    /// Answers that were asked for ahead of the judge. A model is waited for much longer than it is judged, so how many
    /// requests are under way is the provider's limit, not the number of jobs.
    ahead: Mutex<BTreeMap<CellKey, JoinHandle<Result<Answer, GenerateError>>>>,
}

impl Drop for Models {
    fn drop(&mut self) {
        let ahead = self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner);
        ahead.values().for_each(JoinHandle::abort);
    }
}

/// A source of answers.
pub enum Answers {
    /// Made elsewhere: by case, prompt version and trial.
    File(BTreeMap<(String, String, u32), Answer>),
    /// A built-in system.
    Baseline(Baseline),
    /// Recordings, or models.
    Models(Models),
}

/// Why there is no answer although there should be one: infrastructure, never the prompt's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFault {
    /// Stable class, e.g. `rate_limited`.
    pub class: String,
    /// What happened.
    pub message: String,
}

impl Answers {
    /// The answer to a cell; `None` when this source has none.
    ///
    /// # Errors
    /// When it should have one and could not get it.
    pub async fn get(&self, suite: &Suite, cell: &Cell) -> Result<Option<Answer>, AnswerFault> {
        let case = &suite.cases[cell.case];
        match self {
            Self::File(answers) => {
                Ok(answers.get(&(case.id.clone(), cell.prompt.clone(), cell.trial)).cloned())
            }
            Self::Baseline(baseline) => Ok(Some(baseline.answer(suite, cell.case, &cell.prompt, cell.trial))),
            Self::Models(models) => models.get(case, cell).await.map(Some).map_err(|error| AnswerFault {
                class: error.class.name().to_owned(),
                message: error.to_string(),
            }),
        }
    }

    /// Begins to ask for the answers to these cells, where asking takes time.
    pub fn ask_ahead<'a>(&self, suite: &Arc<Suite>, cells: impl IntoIterator<Item = &'a Cell>) {
        let Self::Models(models) = self else { return };
        if models.generator.mode() == Mode::Replay {
            return;
        }
        let mut ahead = models.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        for cell in cells {
            let Some(prompt) = models.prompts.get(&cell.prompt).cloned() else { continue };
            let (generator, suite) = (Arc::clone(&models.generator), Arc::clone(suite));
            let (case, trial) = (cell.case, cell.trial);
            let task =
                tokio::spawn(async move { generator.answer(&suite.cases[case], &prompt, trial).await });
            ahead.insert((case, cell.prompt.clone(), trial), task);
        }
    }

    /// What a reader of the report should know about how the answers were delivered.
    pub fn notes(&self) -> Option<String> {
        let Self::Models(models) = self else { return None };
        let answers = match models.generator.cut_off() {
            0 => return None,
            1 => "1 answer".to_owned(),
            n => format!("{n} answers"),
        };
        Some(format!("{answers} came whole in a body that was cut off behind it: tokens are unknown"))
    }

    /// Ends a run: what was recorded is complete.
    ///
    /// # Errors
    /// The fault that made asking pointless (a wrong key, say), and recordings that cannot be written.
    pub fn finish(&self) -> Result<(), Diagnostics> {
        let Self::Models(models) = self else { return Ok(()) };
        let written = models.generator.finish();
        let Some(error) = models.generator.fatal().cloned().or(written.err()) else { return Ok(()) };
        Err(Diagnostic { hint: error.hint, ..Diagnostic::new("E_PROVIDER", error.message) }.into())
    }
}

impl Models {
    /// Answers of prompt versions by a generator.
    pub fn new(generator: Generator, prompts: Vec<PromptVersion>) -> Self {
        let prompts = prompts.into_iter().map(|prompt| (prompt.name.clone(), Arc::new(prompt))).collect();
        Self { generator: Arc::new(generator), prompts, ahead: Mutex::default() }
    }

    async fn get(&self, case: &Case, cell: &Cell) -> Result<Answer, GenerateError> {
        let key = (cell.case, cell.prompt.clone(), cell.trial);
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(task) = ahead {
            return task.await.unwrap_or_else(|error| {
                Err(GenerateError::new(ErrorClass::Network, format!("asking was stopped: {error}")))
            });
        }
        match self.prompts.get(&cell.prompt) {
            Some(prompt) => self.generator.answer(case, prompt, cell.trial).await,
            None => Err(GenerateError::new(
                ErrorClass::Config,
                format!("there is no prompt version `{}`", cell.prompt),
            )),
        }
    }
}

impl Answers {
    /// Refuses answers to cases that the evaluation does not know at all.
    ///
    /// # Errors
    /// `E_ANSWERS_CASE`, when none of the answers belongs to a selected case.
    pub fn check_cases(&self, path: &Path, suite: &Suite) -> Result<(), Diagnostics> {
        let Self::File(answers) = self else { return Ok(()) };
        if answers.keys().any(|(id, ..)| suite.cases.iter().any(|case| case.id == *id)) {
            return Ok(());
        }
        Err(Diagnostic::new("E_ANSWERS_CASE", "no answer belongs to a selected case")
            .at(Place::file(path))
            .hint("`case` holds the id of a row of the cases")
            .into())
    }

    /// A hash over the answers of one prompt version.
    pub fn hash_of(&self, prompt: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        if let Self::File(answers) = self {
            for ((case, _, trial), answer) in answers.iter().filter(|((_, name, _), _)| name == prompt) {
                hasher.update(format!("{case} {trial} {:?}", answer.output_text).as_bytes());
            }
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// Reads answers made elsewhere, one JSON object a line. Returns them with the prompt versions in order of appearance.
///
/// # Errors
/// `E_ANSWERS_READ`, `E_ANSWERS_LINE`, `E_ANSWERS_DUPLICATE`, `E_ANSWERS_CASE`: all of them in one go.
pub fn read_file(path: &Path) -> Result<(Answers, Vec<String>), Diagnostics> {
    let text = fs_err::read_to_string(path).map_err(|error| {
        Diagnostic::new("E_ANSWERS_READ", format!("cannot read the answers: {}", io_reason(&error)))
            .at(Place::file(path))
            .hint("one JSON object a line: {\"case\": ..., \"prompt\": ..., \"trial\": 0, \"output_text\": ...}")
    })?;
    let mut faults = Diagnostics::default();
    let mut answers = BTreeMap::new();
    let mut prompts: Vec<String> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = || Place { path: path.to_path_buf(), line: Some(index + 1), column: None, text: None };
        let answer: Answer = match serde_json::from_str(line) {
            Ok(answer) => answer,
            Err(error) => {
                let place = Place { column: Some(error.column()), ..place() };
                faults.push(Diagnostic::new("E_ANSWERS_LINE", error.to_string()).at(place));
                continue;
            }
        };
        if !prompts.contains(&answer.prompt) {
            prompts.push(answer.prompt.clone());
        }
        let key = (answer.case.clone(), answer.prompt.clone(), answer.trial);
        if answers.insert(key, answer.clone()).is_some() {
            faults.push(
                Diagnostic::new(
                    "E_ANSWERS_DUPLICATE",
                    format!(
                        "a second answer for case `{}`, prompt `{}`, trial {}",
                        answer.case, answer.prompt, answer.trial
                    ),
                )
                .at(place())
                .hint("repeats of a case have different trial numbers"),
            );
        }
    }
    if answers.is_empty() && faults.0.is_empty() {
        faults
            .push(Diagnostic::new("E_ANSWERS_READ", "there is no answer in the file").at(Place::file(path)));
    }
    faults.into_result((Answers::File(answers), prompts))
}
