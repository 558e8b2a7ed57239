//! The three wire formats as pure functions: a request becomes a JSON body, a body becomes a reply or an error.

mod anthropic;
mod chat;
pub(super) mod cut_off;
mod json_step;
mod responses;
mod status;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contract::parse_strict;
use super::error::{ErrorClass, GenerateError};
use super::profile::Profile;
use super::request::{LlmReply, LlmRequest};
use crate::suite::prompts::ToolMode;

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// The Responses API of OpenAI and the Open Responses specification.
    Responses,
    /// Chat Completions.
    Chat,
    /// Anthropic Messages.
    Anthropic,
}

/// An HTTP response as the codecs see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// Status.
    pub status: u16,
    /// Headers in order, names in lower case; a name can occur more than once.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// All values of a header.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The path of the operation, after the base address.
pub fn path(wire: Wire) -> &'static str {
    match wire {
        Wire::Responses => "/responses",
        Wire::Chat => "/chat/completions",
        Wire::Anthropic => "/messages",
    }
}

/// The JSON body of a request.
pub fn encode(request: &LlmRequest, profile: &Profile) -> Value {
    let lowered;
    let request = match request.tool_mode {
        ToolMode::JsonStep => {
            lowered = json_step::lower(request);
            &lowered
        }
        ToolMode::Off | ToolMode::Native => request,
    };
    let mut body = match profile.wire {
        Wire::Responses => responses::encode(request, profile),
        Wire::Chat => chat::encode(request, profile),
        Wire::Anthropic => anthropic::encode(request, profile),
    };
    if let Value::Object(fields) = &mut body {
        for (key, value) in profile.extra.iter().chain(&request.extra) {
            fields.insert(key.clone(), value.clone());
        }
    }
    body
}

/// The reply in an HTTP response.
///
/// # Errors
/// By status; `Malformed` for a body that is not the protocol. Fields that are missing or null are unknown, and
/// kinds that are unknown are kept as they are: neither is an error.
pub fn decode(request: &LlmRequest, profile: &Profile, http: &HttpReply) -> Result<LlmReply, GenerateError> {
    let reply = if (200..300).contains(&http.status) {
        let body = body(http)?;
        if let Some(error) = status::error_in_success(&body, http) {
            error
        } else {
            match profile.wire {
                Wire::Responses => responses::decode(&body),
                Wire::Chat => chat::decode(&body),
                Wire::Anthropic => anthropic::decode(&body),
            }
        }
    } else {
        status::classify(http)
    };
    let mut reply = reply?;
    if request.tool_mode == ToolMode::JsonStep {
        json_step::raise(&mut reply);
    }
    reply.infer_truncation(request);
    Ok(reply)
}

fn body(http: &HttpReply) -> Result<Value, GenerateError> {
    let malformed = |what: String| GenerateError {
        status: Some(http.status),
        ..GenerateError::new(
            ErrorClass::Malformed,
            format!("the server answered {} with {what}", http.status),
        )
    };
    if http.body.iter().all(u8::is_ascii_whitespace) {
        return Err(malformed("an empty body".to_owned()));
    }
    let text =
        std::str::from_utf8(&http.body).map_err(|_| malformed("a body that is not UTF-8".to_owned()))?;
    let value = parse_strict(text).map_err(|error| {
        let html = text.trim_start().starts_with('<');
        malformed(if html {
            "HTML instead of JSON".to_owned()
        } else {
            format!("a body that is not JSON: {error}")
        })
    })?;
    if value.is_object() { Ok(value) } else { Err(malformed("JSON that is not an object".to_owned())) }
}

fn malformed(what: &str) -> GenerateError {
    GenerateError::new(ErrorClass::Malformed, format!("the server's reply {what}"))
}

/// The string at a pointer, absent when it is null, missing or empty.
fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The count at a pointer; garbage and negative numbers are unknown.
fn count(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer).and_then(|number| {
        number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64))
    })
}

/// Arguments of a tool call: text as it is, an object (some servers send one) as JSON.
fn arguments(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "{}".to_owned(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
