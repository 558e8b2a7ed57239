//! What people are told while something is prepared.

/// A step of a preparation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What happens, in words.
    pub text: String,
    /// The series that it is one of, where there are many alike.
    pub series: Option<&'static str>,
}

impl Progress {
    /// One of many alike.
    pub fn of(series: &'static str, text: impl Into<String>) -> Self {
        Self { text: text.into(), series: Some(series) }
    }
}

impl From<String> for Progress {
    fn from(text: String) -> Self {
        Self { text, series: None }
    }
}

impl From<&str> for Progress {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
