//! Errors by HTTP status and error body. Bodies are read leniently: servers differ in every field.

use serde_json::Value;

use super::{HttpReply, text};
use crate::generate::error::{ErrorClass, GenerateError};
use crate::generate::request::{LlmReply, Outcome};

/// What an error body says.
struct ErrorBody {
    message: String,
    code: Option<String>,
    kind: Option<String>,
    param: Option<String>,
}

fn read(body: &Value) -> ErrorBody {
    let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
    let scalar = |key: &str| match error.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let message = match error {
        Value::String(text) => Some(text.clone()),
        _ => scalar("message").or_else(|| scalar("detail")).or_else(|| text(body, "/message")),
    };
    ErrorBody {
        message: message.unwrap_or_default(),
        code: scalar("code"),
        kind: scalar("type"),
        param: scalar("param"),
    }
}

/// The longest part of a body that is shown.
const SHOWN: usize = 300;

/// The class of an error response; what is the model's doing becomes a reply.
pub(super) fn classify(http: &HttpReply) -> Result<LlmReply, GenerateError> {
    let text = String::from_utf8_lossy(&http.body);
    let body = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
    let mut error = read(&body);
    if error.message.is_empty() {
        error.message = text.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    by_status(http.status, error)
}

/// An error that came with a success status (routers do that).
pub(super) fn error_in_success(body: &Value, http: &HttpReply) -> Option<Result<LlmReply, GenerateError>> {
    let error = body.get("error").filter(|error| error.is_object() || error.is_string())?;
    let failed = body.get("status").is_some_and(|status| status == "failed");
    if failed || body.get("output").is_some() || body.get("choices").is_some_and(|choices| !choices.is_null())
    {
        return None; // the codec reads it: a failed Responses object, or choices with a remark
    }
    let status = match error.get("code").and_then(Value::as_u64) {
        Some(code @ 400..=599) => code as u16,
        _ if http.status < 400 => 500,
        _ => http.status,
    };
    Some(by_status(status, read(body)))
}

fn by_status(status: u16, error: ErrorBody) -> Result<LlmReply, GenerateError> {
    let says = |word: &str| {
        [&error.code, &error.kind].into_iter().flatten().any(|text| text.eq_ignore_ascii_case(word))
    };
    if matches!(status, 400 | 422) && (says("content_filter") || says("content_policy_violation")) {
        return Ok(LlmReply::new(Outcome::Filtered));
    }
    if status == 400 && says("invalid_prompt") {
        let code = "invalid_prompt".to_owned();
        return Ok(LlmReply::new(Outcome::Failed { code, message: shorten(&error.message) }));
    }
    let class = match status {
        300..=399 => ErrorClass::Config,
        401 | 403 => ErrorClass::Auth,
        402 => ErrorClass::Quota,
        408 => ErrorClass::Timeout,
        409 | 425 => ErrorClass::Overloaded,
        429 if says("insufficient_quota") || says("billing_hard_limit_reached") || says("quota_exceeded") => {
            ErrorClass::Quota
        }
        429 => ErrorClass::RateLimited,
        400 | 413
            if says("context_length_exceeded")
                || says("exceed_context_size_error")
                || says("request_too_large") =>
        {
            ErrorClass::ContextLength
        }
        400..=499 => ErrorClass::Config,
        _ => ErrorClass::Overloaded,
    };
    let named = error.param.as_deref().map(|param| format!(" (parameter `{param}`)")).unwrap_or_default();
    let message = match error.message.is_empty() {
        true => format!("the server answered {status}{named}"),
        false => format!("the server answered {status}{named}: {}", shorten(&error.message)),
    };
    let hint = hint(class, status, &error);
    Err(GenerateError {
        hint,
        status: Some(status),
        code: error.code.or(error.kind),
        ..GenerateError::new(class, message)
    })
}

fn hint(class: ErrorClass, status: u16, error: &ErrorBody) -> Option<String> {
    const PARAMETERS: [&str; 6] =
        ["temperature", "top_p", "seed", "stop", "reasoning.effort", "reasoning_effort"];
    let parameter = PARAMETERS.into_iter().find(|name| {
        let quoted = [format!("'{name}'"), format!("`{name}`"), format!("\"{name}\"")];
        error.param.as_deref() == Some(*name) || quoted.iter().any(|text| error.message.contains(text))
    });
    Some(match class {
        ErrorClass::Config if (300..400).contains(&status) => {
            "redirects are not followed: write the final address into `base_url`".to_owned()
        }
        ErrorClass::Config if parameter.is_some() => format!(
            "the model does not take `{}`: leave it out of prompt.toml, or out of `params` of the provider",
            parameter.unwrap_or_default()
        ),
        ErrorClass::Config if status == 404 => {
            "check `model` in prompt.toml and `base_url` and `wire` of the provider".to_owned()
        }
        ErrorClass::Auth => "check the environment variable named by the provider's `api_key_env`".to_owned(),
        ErrorClass::Quota => "the account has no credit left; retrying would not help".to_owned(),
        _ => return None,
    })
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
