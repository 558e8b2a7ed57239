//! Built-in systems that calibrate the judge: an empty answer, the golden, and another case's golden.

use crate::generate::answers::Answer;
use crate::generate::contract::Candidate;
use crate::suite::{Case, Suite};

/// A built-in system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// An empty answer: must score 0 %.
    Null,
    /// The golden itself: must score 100 %.
    Golden,
    /// The golden of another case under this case's name: must score 0 %.
    ShuffledGolden,
}

impl Baseline {
    /// Parses `null`, `golden` or `shuffled-golden`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Null, Self::Golden, Self::ShuffledGolden].into_iter().find(|baseline| baseline.name() == name)
    }

    /// Its name, used as the prompt version in reports with `baseline:` before it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Golden => "golden",
            Self::ShuffledGolden => "shuffled-golden",
        }
    }

    /// What this system answers for a case.
    pub fn answer(self, suite: &Suite, case: usize, prompt: &str, trial: u32) -> Answer {
        let own = &suite.cases[case];
        let output_text = match self {
            Self::Null => String::new(),
            Self::Golden => text_of(own, own),
            Self::ShuffledGolden => text_of(own, other(suite, case)),
        };
        Answer { case: own.id.clone(), prompt: prompt.to_owned(), trial, output_text, ..Answer::default() }
    }
}

/// The next case whose golden is another text; the case itself when there is none.
fn other(suite: &Suite, case: usize) -> &Case {
    let count = suite.cases.len();
    (1..count)
        .map(|step| &suite.cases[(case + step) % count])
        .find(|other| other.golden.sql != suite.cases[case].golden.sql)
        .unwrap_or(&suite.cases[case])
}

/// The golden of `from` as an answer that asks for `own`'s model name.
fn text_of(own: &Case, from: &Case) -> String {
    let yaml = from.golden.yaml.as_ref().map_or_else(
        || format!("version: 2\nmodels:\n  - name: {}\n", own.model),
        |(_, text)| rename(text, &from.model, &own.model),
    );
    let candidate = Candidate {
        model_name: own.model.clone(),
        sql: from.golden.sql.clone(),
        schema_yaml: yaml,
        tests: own.required_tests.iter().map(ToString::to_string).collect(),
        review_notes: vec!["built-in baseline".to_owned()],
    };
    serde_json::to_string(&candidate).unwrap_or_default()
}

/// Replaces a model's name where it stands as a whole word.
fn rename(text: &str, from: &str, to: &str) -> String {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut renamed = String::with_capacity(text.len());
    let mut rest = 0;
    for (at, found) in text.match_indices(from) {
        let whole = !text[..at].ends_with(word) && !text[at + found.len()..].starts_with(word);
        renamed.push_str(&text[rest..at]);
        renamed.push_str(if whole { to } else { found });
        rest = at + found.len();
    }
    renamed.push_str(&text[rest..]);
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_renamed() {
        assert_eq!(rename("- name: a\n  ref: a_b, xa, a.", "a", "zz"), "- name: zz\n  ref: a_b, xa, zz.");
    }
}
