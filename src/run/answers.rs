//! Where answers come from: a file, a built-in baseline, or a generator (recordings or a live model).

use std::collections::BTreeMap;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Diagnostics, Place, io_reason};
use crate::generate::answers::Answer;
use crate::suite::Suite;

use super::baseline::Baseline;
use super::plan::Cell;

/// The prefix of `--answers` that names a built-in system.
pub const BASELINE_PREFIX: &str = "baseline:";

/// A source of answers.
pub enum Answers {
    /// Made elsewhere: by case, prompt version and trial.
    File(BTreeMap<(String, String, u32), Answer>),
    /// A built-in system.
    Baseline(Baseline),
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
    #[expect(clippy::unused_async, reason = "generators wait for models")]
    pub async fn get(&self, suite: &Suite, cell: &Cell) -> Result<Option<Answer>, AnswerFault> {
        let case = &suite.cases[cell.case];
        match self {
            Self::File(answers) => {
                Ok(answers.get(&(case.id.clone(), cell.prompt.clone(), cell.trial)).cloned())
            }
            Self::Baseline(baseline) => Ok(Some(baseline.answer(suite, cell.case, &cell.prompt, cell.trial))),
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
