//! Chat Completions: what everything else speaks.

use serde_json::{Map, Value, json};

use super::{arguments, count, malformed, text};
use crate::generate::answers::Usage;
use crate::generate::contract::strictify;
use crate::generate::error::GenerateError;
use crate::generate::profile::{Profile, Structured};
use crate::generate::request::{Item, LlmReply, LlmRequest, Outcome, ToolCall};

pub(super) fn encode(request: &LlmRequest, profile: &Profile) -> Value {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    body.insert("messages".to_owned(), messages(request).into());
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            let parameters = strictify(&tool.parameters, profile.schema);
            let function =
                json!({"name": tool.name, "description": tool.description, "strict": true, "parameters": parameters});
            json!({"type": "function", "function": function})
        });
        body.insert("tools".to_owned(), tools.collect());
        body.insert("tool_choice".to_owned(), json!(request.tool_choice));
        body.insert("parallel_tool_calls".to_owned(), json!(false));
    }
    if let Some(output) = &request.output {
        match profile.structured {
            Structured::ResponseFormat | Structured::TextFormat | Structured::OutputConfig => {
                let schema = strictify(&output.schema, profile.schema);
                let named = json!({"name": output.name, "strict": true, "schema": schema});
                body.insert(
                    "response_format".to_owned(),
                    json!({"type": "json_schema", "json_schema": named}),
                );
            }
            Structured::JsonObject => {
                body.insert("response_format".to_owned(), json!({"type": "json_object"}));
            }
            Structured::Prompt => {}
        }
    }
    body.insert(profile.max_tokens_field.clone(), json!(request.max_output_tokens));
    let sampling = &request.sampling;
    let parameters = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop))),
    ];
    for (name, value) in parameters {
        if let Some(value) = value.filter(|_| profile.takes(name)) {
            body.insert(name.to_owned(), value);
        }
    }
    if let Some(effort) = request.effort.as_ref().filter(|_| profile.takes("effort")) {
        body.insert("reasoning_effort".to_owned(), json!(effort));
    }
    Value::Object(body)
}

fn messages(request: &LlmRequest) -> Vec<Value> {
    let mut messages = Vec::new();
    if !request.instructions.is_empty() {
        messages.push(json!({"role": "system", "content": request.instructions}));
    }
    for item in &request.items {
        match item {
            Item::Message { role, text } => messages.push(json!({"role": role, "content": text})),
            Item::Turn { echo, .. } if !echo.is_empty() => messages.extend(echo.iter().cloned()),
            Item::Turn { calls, .. } => messages.push(assistant_calls(None, calls)),
            Item::ToolResult { call_id, output, .. } => {
                messages.push(json!({"role": "tool", "tool_call_id": call_id, "content": output}));
            }
        }
    }
    messages
}

/// The message of an assistant that calls tools.
fn assistant_calls(text: Option<&str>, calls: &[ToolCall]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| {
            let function = json!({"name": call.name, "arguments": call.arguments});
            json!({"id": call.call_id, "type": "function", "function": function})
        })
        .collect();
    json!({"role": "assistant", "content": text, "tool_calls": calls})
}

pub(super) fn decode(body: &Value) -> Result<LlmReply, GenerateError> {
    let Some(choice) = body.pointer("/choices/0") else { return Err(malformed("has no `choices`")) };
    let Some(message) = choice.get("message").filter(|message| message.is_object()) else {
        return Err(malformed("has no message"));
    };
    let mut reply = LlmReply::new(Outcome::Completed);
    reply.text = match message.get("content") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> =
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
            (!texts.is_empty()).then(|| texts.concat())
        }
        _ => None,
    };
    for (index, call) in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        reply.tool_calls.push(ToolCall {
            call_id: text(call, "/id").unwrap_or_else(|| format!("call_{index}")),
            name: text(call, "/function/name").unwrap_or_default(),
            arguments: arguments(call.pointer("/function/arguments")),
        });
    }
    let finish = text(choice, "/finish_reason");
    let refusal = text(message, "/refusal");
    reply.outcome = match (finish.as_deref(), refusal) {
        (Some("length"), _) => Outcome::Truncated { reason: "max_output_tokens".to_owned() },
        (Some("content_filter"), _) => Outcome::Filtered,
        (_, Some(text)) if reply.tool_calls.is_empty() => Outcome::Refused { text },
        _ if !reply.tool_calls.is_empty() => Outcome::NeedsTools,
        _ => Outcome::Completed,
    };
    if !reply.tool_calls.is_empty() {
        reply.echo.push(assistant_calls(reply.text.as_deref(), &reply.tool_calls));
    }
    reply.usage = Usage {
        input: count(body, "/usage/prompt_tokens"),
        cached_input: count(body, "/usage/prompt_tokens_details/cached_tokens"),
        output: count(body, "/usage/completion_tokens"),
        reasoning: count(body, "/usage/completion_tokens_details/reasoning_tokens"),
    };
    reply.model = text(body, "/model");
    reply.response_id = text(body, "/id");
    reply.system_fingerprint = text(body, "/system_fingerprint");
    reply.service_tier = text(body, "/service_tier");
    Ok(reply)
}
