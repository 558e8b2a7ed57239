//! The Responses API, stateless: the whole conversation goes with every request and nothing is stored.

use serde_json::{Map, Value, json};

use super::{arguments, count, malformed, text};
use crate::generate::answers::Usage;
use crate::generate::contract::strictify;
use crate::generate::error::{ErrorClass, GenerateError};
use crate::generate::profile::{Profile, Structured};
use crate::generate::request::{Item, LlmReply, LlmRequest, Outcome, ToolCall};

pub(super) fn encode(request: &LlmRequest, profile: &Profile) -> Value {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    body.insert("instructions".to_owned(), json!(request.instructions));
    body.insert("input".to_owned(), request.items.iter().flat_map(item).collect());
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            json!({
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "strict": true,
                "parameters": strictify(&tool.parameters, profile.schema),
            })
        });
        body.insert("tools".to_owned(), tools.collect());
        body.insert("tool_choice".to_owned(), json!(request.tool_choice));
        body.insert("parallel_tool_calls".to_owned(), json!(false));
    }
    if let Some(output) = &request.output {
        let schema = || strictify(&output.schema, profile.schema);
        match profile.structured {
            Structured::TextFormat | Structured::OutputConfig => {
                let format =
                    json!({"type": "json_schema", "name": output.name, "strict": true, "schema": schema()});
                body.insert("text".to_owned(), json!({ "format": format }));
            }
            Structured::JsonObject => {
                body.insert("text".to_owned(), json!({"format": {"type": "json_object"}}));
            }
            // Passed through by servers that ignore `text.format` but know the field of Chat Completions.
            Structured::ResponseFormat => {
                let named = json!({"name": output.name, "strict": true, "schema": schema()});
                body.insert(
                    "response_format".to_owned(),
                    json!({"type": "json_schema", "json_schema": named}),
                );
            }
            Structured::Prompt => {}
        }
    }
    body.insert(profile.max_tokens_field.clone(), json!(request.max_output_tokens));
    for (name, value) in [("temperature", request.sampling.temperature), ("top_p", request.sampling.top_p)] {
        if let Some(value) = value.filter(|_| profile.takes(name)) {
            body.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(effort) = request.effort.as_ref().filter(|_| profile.takes("effort")) {
        body.insert("reasoning".to_owned(), json!({ "effort": effort }));
        // Without a stored conversation, reasoning has to come back to us to be sent again with the tools' results.
        body.insert("include".to_owned(), json!(["reasoning.encrypted_content"]));
    }
    body.insert("store".to_owned(), json!(false));
    Value::Object(body)
}

fn item(item: &Item) -> Vec<Value> {
    match item {
        Item::Message { role, text } => vec![json!({"type": "message", "role": role, "content": text})],
        Item::Turn { echo, .. } if !echo.is_empty() => echo.clone(),
        Item::Turn { calls, .. } => calls
            .iter()
            .map(|call| {
                let ToolCall { call_id, name, arguments } = call;
                json!({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
            })
            .collect(),
        Item::ToolResult { call_id, output, .. } => {
            vec![json!({"type": "function_call_output", "call_id": call_id, "output": output})]
        }
    }
}

pub(super) fn decode(body: &Value) -> Result<LlmReply, GenerateError> {
    if let Some(failed) = failure(body) {
        return failed.map(|outcome| with_metadata(LlmReply::new(outcome), body));
    }
    let Some(output) = body.get("output").and_then(Value::as_array) else {
        return Err(malformed("has no `output`"));
    };
    let mut reply = LlmReply::new(Outcome::Completed);
    let mut refusal = None;
    for item in output {
        match item.get("type").and_then(Value::as_str) {
            Some("message") => message(item, &mut reply.text, &mut refusal),
            None if item.get("content").is_some() => message(item, &mut reply.text, &mut refusal),
            Some("function_call") => reply.tool_calls.push(ToolCall {
                call_id: text(item, "/call_id").or_else(|| text(item, "/id")).unwrap_or_default(),
                name: text(item, "/name").unwrap_or_default(),
                arguments: arguments(item.get("arguments")),
            }),
            _ => {}
        }
        reply.echo.push(item.clone());
    }
    let reason = text(body, "/incomplete_details/reason");
    reply.outcome = match text(body, "/status").as_deref() {
        Some("incomplete") if reason.as_deref() == Some("content_filter") => Outcome::Filtered,
        Some("incomplete") => {
            Outcome::Truncated { reason: reason.unwrap_or_else(|| "incomplete".to_owned()) }
        }
        Some("queued" | "in_progress") => return Err(malformed("is not finished")),
        Some("cancelled") => {
            Outcome::Failed { code: "cancelled".to_owned(), message: "cancelled by the server".to_owned() }
        }
        _ => match refusal {
            Some(text) if reply.tool_calls.is_empty() => Outcome::Refused { text },
            _ if !reply.tool_calls.is_empty() => Outcome::NeedsTools,
            _ => Outcome::Completed,
        },
    };
    Ok(with_metadata(reply, body))
}

/// Text parts of a final message; a commentary message is not an answer.
fn message(item: &Value, answer: &mut Option<String>, refusal: &mut Option<String>) {
    if !matches!(item.get("phase").and_then(Value::as_str), None | Some("final_answer")) {
        return;
    }
    match item.get("content") {
        Some(Value::String(text)) => answer.get_or_insert_default().push_str(text),
        Some(Value::Array(parts)) => {
            for part in parts {
                if let Some(text) = part.get("refusal").and_then(Value::as_str) {
                    refusal.get_or_insert_default().push_str(text);
                } else if let Some(text) = part.get("text").and_then(Value::as_str) {
                    answer.get_or_insert_default().push_str(text);
                }
            }
        }
        _ => {}
    }
}

/// A response whose status is failed: ours to retry, or the prompt's fate.
fn failure(body: &Value) -> Option<Result<Outcome, GenerateError>> {
    if body.get("status").and_then(Value::as_str) != Some("failed") {
        return None;
    }
    let code = text(body, "/error/code").unwrap_or_else(|| "unknown".to_owned());
    let message = text(body, "/error/message").unwrap_or_default();
    let class = match code.as_str() {
        "server_error" | "unknown" => Some(ErrorClass::Overloaded),
        "rate_limit_exceeded" => Some(ErrorClass::RateLimited),
        _ => None,
    };
    Some(match class {
        Some(class) => Err(GenerateError {
            code: Some(code),
            ..GenerateError::new(class, format!("the response failed: {message}"))
        }),
        None => Ok(Outcome::Failed { code, message }),
    })
}

fn with_metadata(mut reply: LlmReply, body: &Value) -> LlmReply {
    reply.usage = Usage {
        input: count(body, "/usage/input_tokens"),
        cached_input: count(body, "/usage/input_tokens_details/cached_tokens"),
        output: count(body, "/usage/output_tokens"),
        reasoning: count(body, "/usage/output_tokens_details/reasoning_tokens"),
    };
    reply.model = text(body, "/model");
    reply.response_id = text(body, "/id");
    reply.system_fingerprint = text(body, "/system_fingerprint");
    reply.service_tier = text(body, "/service_tier");
    reply
}
