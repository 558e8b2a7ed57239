//! Answers: what a model returned for one case, prompt version and trial.

use serde::{Deserialize, Serialize};

/// One line of `--answers FILE.jsonl`, and what a recording is turned into.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Case id.
    pub case: String,
    /// Prompt version.
    pub prompt: String,
    /// Repeat, from 0.
    #[serde(default)]
    pub trial: u32,
    /// The text that the model returned, byte for byte.
    pub output_text: String,
    /// Tokens; `None` when the provider did not say (never 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Latency of the model in milliseconds, without queueing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Tool calls made on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallRecord>,
    /// `stop`, `length`, `refusal`, `content_filter`, `failed`; `None` when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

/// Token counts as the provider reported them; each unknown unless stated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    #[serde(default)]
    pub input: Option<u64>,
    /// Of these, tokens read from the provider's cache.
    #[serde(default)]
    pub cached_input: Option<u64>,
    /// Generated tokens, reasoning included.
    #[serde(default)]
    pub output: Option<u64>,
    /// Of these, reasoning tokens.
    #[serde(default)]
    pub reasoning: Option<u64>,
}

/// A tool call and how it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ToolCallRecord {
    /// Tool name.
    pub name: String,
    /// Arguments as the model wrote them.
    pub arguments: serde_json::Value,
    /// `E_TIMEOUT`, `E_NOT_FOUND`, ...; `None` when the call succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
