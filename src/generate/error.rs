//! Why there is no answer. None of these is the model's doing: a case that ends with one is `errored`.

use serde::Serialize;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The request is wrong: a parameter, the model's name, the address. Stops the run.
    Config,
    /// The key is missing, wrong or not allowed. Stops the run.
    Auth,
    /// The account has nothing left. Stops the run; never retried.
    Quota,
    /// Too many requests, still after all attempts.
    RateLimited,
    /// The server is overloaded or broken, still after all attempts.
    Overloaded,
    /// No answer within the limit, still after all attempts.
    Timeout,
    /// The connection failed: reset, name not found, TLS.
    Network,
    /// An answer that is not the protocol: HTML, half a body, no JSON.
    Malformed,
    /// The conversation does not fit into the model's context.
    ContextLength,
    /// Replay: there is no recording.
    Missing,
    /// Replay: the recording was made with another request; the message names what changed.
    Stale,
    /// A recording could not be read or written.
    Storage,
}

impl ErrorClass {
    /// The class in reports and findings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Malformed => "malformed",
            Self::ContextLength => "context_length",
            Self::Missing => "recording_missing",
            Self::Stale => "recording_stale",
            Self::Storage => "storage",
        }
    }

    /// Whether going on with other cases is pointless.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Config | Self::Auth | Self::Quota)
    }

    /// Whether another attempt can succeed.
    pub(super) fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded | Self::Timeout | Self::Network | Self::Malformed)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", hint.as_ref().map(|hint| format!(" (hint: {hint})")).unwrap_or_default())]
pub struct GenerateError {
    /// What kind.
    pub class: ErrorClass,
    /// What happened, redacted.
    pub message: String,
    /// What to change.
    pub hint: Option<String>,
    /// HTTP status, when there was one.
    pub status: Option<u16>,
    /// The provider's error code.
    pub code: Option<String>,
    /// Attempts made.
    pub attempts: u32,
}

impl GenerateError {
    /// A fault without hint or status.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), hint: None, status: None, code: None, attempts: 0 }
    }

    /// The same fault with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
