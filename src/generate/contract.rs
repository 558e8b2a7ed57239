//! The contract: what an answer must be, and the candidate that is extracted from one that keeps to it.
//!
//! `assistant_contract.json` at the root of the repository is the only source: it validates every answer here, and
//! [`strictify`] compiles it into what each provider accepts as an output schema.

mod json;
mod strictify;

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use json::{StrictError, parse_strict};
pub use strictify::{SchemaProfile, reorder, strictify};

use super::answers::Answer;

/// The contract file, byte for byte.
pub const CONTRACT_JSON: &str = include_str!("../../assistant_contract.json");

/// The contract as a JSON Schema (draft 2020-12).
pub static CONTRACT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(CONTRACT_JSON).expect("the embedded contract is JSON: a unit test holds that")
});

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    jsonschema::draft202012::new(&CONTRACT)
        .expect("the embedded contract is a JSON Schema: a unit test holds that")
});

/// The longest answer that is read, in bytes. No answer that keeps to the contract's own limits is longer.
pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The model SQL, YAML, tests and notes extracted from an answer that keeps to the contract.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Name of the model, `^[a-z0-9_]+$`.
    pub model_name: String,
    /// dbt SQL of the model.
    pub sql: String,
    /// Schema YAML that documents and tests it.
    pub schema_yaml: String,
    /// Further tests in the contract's syntax, at most ten.
    pub tests: Vec<String>,
    /// Assumptions and risks for the reviewer.
    pub review_notes: Vec<String>,
}

/// Why an answer is not a candidate. Each is a class of its own in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContractClass {
    /// The model declined.
    Refusal,
    /// The provider's content filter stopped the answer.
    ContentFilter,
    /// No text at all.
    Empty,
    /// The answer was cut off: the token limit, or JSON that ends in the middle.
    Truncated,
    /// The JSON stands in a Markdown code fence.
    Fenced,
    /// Text stands around the JSON.
    Prose,
    /// There is no JSON object in it.
    NotJson,
    /// JSON that breaks the contract; the violations say where and how.
    Invalid,
}

impl ContractClass {
    /// The class in reports and findings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::ContentFilter => "content_filter",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::Fenced => "fenced",
            Self::Prose => "prose",
            Self::NotJson => "not_json",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for ContractClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One breach of the contract.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    /// JSON pointer into the answer, `""` for the whole of it.
    pub pointer: String,
    /// The rule that is broken: a JSON Schema keyword, or `uniqueKeys`.
    pub rule: String,
    /// What is wrong, in words; never quotes the value.
    pub message: String,
}

/// An answer that breaks the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractFault {
    /// Which class.
    pub class: ContractClass,
    /// What is wrong, in words.
    pub message: String,
    /// Every violation, by pointer; for `invalid`, and for wrapped JSON that would still break the contract.
    pub violations: Vec<Violation>,
    /// What the answer would have been without the fence or the prose around it. Shown in reports; still a failure.
    pub would_pass_unwrapped: Option<Box<Candidate>>,
}

impl ContractFault {
    fn new(class: ContractClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), violations: Vec::new(), would_pass_unwrapped: None }
    }
}

impl fmt::Display for ContractFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl std::error::Error for ContractFault {}

/// Extracts the candidate from an answer, strictly.
///
/// # Errors
/// A [`ContractFault`] with its class. A cut-off answer whose JSON happens to be whole is accepted: nothing is missing.
pub fn extract(answer: &Answer) -> Result<Candidate, ContractFault> {
    let text = answer.output_text.strip_prefix('\u{feff}').unwrap_or(&answer.output_text);
    match answer.finish_reason.as_deref() {
        Some("refusal") => {
            return Err(ContractFault::new(ContractClass::Refusal, "the model refused to answer"));
        }
        Some("content_filter") => {
            return Err(ContractFault::new(
                ContractClass::ContentFilter,
                "the provider's content filter stopped the answer",
            ));
        }
        _ => {}
    }
    let cut_off = answer.finish_reason.as_deref() == Some("length");
    if text.trim().is_empty() {
        return Err(if cut_off {
            ContractFault::new(ContractClass::Truncated, "the token limit was reached before any text")
        } else {
            ContractFault::new(ContractClass::Empty, "the answer holds no text")
        });
    }
    if text.len() > MAX_ANSWER_BYTES {
        let message = format!("the answer has {} bytes; at most {MAX_ANSWER_BYTES} are read", text.len());
        return Err(ContractFault::new(ContractClass::NotJson, message));
    }
    let error = match parse_strict(text) {
        Ok(value) => return validate(value).map_err(invalid),
        Err(StrictError::DuplicateKey { pointer, key }) => {
            let message = format!("the key {key:?} appears twice");
            return Err(invalid(vec![Violation { pointer, rule: "uniqueKeys".to_owned(), message }]));
        }
        Err(StrictError::Syntax(error)) => error,
    };
    Err(not_strict(text, &error, cut_off))
}

/// The fault of a text that is not JSON as a whole.
fn not_strict(text: &str, error: &serde_json::Error, cut_off: bool) -> ContractFault {
    if json::ends_in_the_middle(text) {
        let message = match cut_off {
            true => "the token limit cut the answer off".to_owned(),
            false => format!("the JSON ends in the middle, in line {}", error.line()),
        };
        return ContractFault::new(ContractClass::Truncated, message);
    }
    let unwrapped = json::unwrap(text).map(|(value, fenced)| (is_ours(&value), validate(value), fenced));
    match unwrapped {
        Some((true, result, fenced)) if result.is_ok() || !cut_off => wrapped(result, fenced),
        _ if cut_off => ContractFault::new(ContractClass::Truncated, "the token limit cut the answer off"),
        _ => ContractFault::new(ContractClass::NotJson, format!("no JSON object: {error}")),
    }
}

/// Whether an object found in prose is an attempt at the contract: it has one of its fields. (`{}` in a sentence is not.)
fn is_ours(value: &Value) -> bool {
    let fields = CONTRACT["properties"].as_object();
    fields.is_some_and(|fields| fields.keys().any(|name| value.get(name).is_some()))
}

fn wrapped(result: Result<Candidate, Vec<Violation>>, fenced: bool) -> ContractFault {
    let (class, what) = match fenced {
        true => (ContractClass::Fenced, "the JSON stands in a code fence"),
        false => (ContractClass::Prose, "there is text around the JSON object"),
    };
    let (violations, would_pass_unwrapped) = match result {
        Ok(candidate) => (Vec::new(), Some(Box::new(candidate))),
        Err(violations) => (violations, None),
    };
    let message = match violations.len() {
        0 => format!("{what}; without that it would keep to the contract"),
        1 => format!("{what}, and the JSON breaks the contract in one place"),
        n => format!("{what}, and the JSON breaks the contract in {n} places"),
    };
    ContractFault { class, message, violations, would_pass_unwrapped }
}

fn invalid(violations: Vec<Violation>) -> ContractFault {
    let message = match violations.as_slice() {
        [one] => format!("{}: {}", pointer_name(&one.pointer), one.message),
        many => format!("{} violations, the first at {}", many.len(), pointer_name(&many[0].pointer)),
    };
    ContractFault { class: ContractClass::Invalid, message, violations, would_pass_unwrapped: None }
}

fn pointer_name(pointer: &str) -> &str {
    if pointer.is_empty() { "the answer" } else { pointer }
}

/// The candidate, or every violation in order of pointer and rule.
fn validate(value: Value) -> Result<Candidate, Vec<Violation>> {
    let mut violations: Vec<Violation> = VALIDATOR
        .iter_errors(&value)
        .map(|error| Violation {
            pointer: error.instance_path().as_str().to_owned(),
            rule: error.kind().keyword().to_owned(),
            message: error.masked().to_string(),
        })
        .collect();
    violations.sort();
    if violations.is_empty() {
        return serde_json::from_value(value).map_err(|error| {
            vec![Violation { pointer: String::new(), rule: "type".to_owned(), message: error.to_string() }]
        });
    }
    Err(violations)
}

#[cfg(test)]
mod tests;
