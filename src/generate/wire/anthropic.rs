//! Anthropic Messages: no sampling parameters, results of tools stand in user turns, usage leaves cached tokens out.

use serde_json::{Map, Value, json};

use super::{count, malformed, text};
use crate::generate::answers::Usage;
use crate::generate::contract::strictify;
use crate::generate::error::GenerateError;
use crate::generate::profile::{Profile, Structured};
use crate::generate::request::{Item, LlmReply, LlmRequest, Outcome, ToolCall, ToolChoice};

pub(super) fn encode(request: &LlmRequest, profile: &Profile) -> Value {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(request.model));
    body.insert(profile.max_tokens_field.clone(), json!(request.max_output_tokens));
    if !request.instructions.is_empty() {
        body.insert("system".to_owned(), json!(request.instructions));
    }
    body.insert("messages".to_owned(), messages(&request.items).into());
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            let schema = strictify(&tool.parameters, profile.schema);
            json!({"name": tool.name, "description": tool.description, "input_schema": schema, "strict": true})
        });
        body.insert("tools".to_owned(), tools.collect());
        let choice = match request.tool_choice {
            ToolChoice::Auto => json!({"type": "auto", "disable_parallel_tool_use": true}),
            ToolChoice::None => json!({"type": "none"}),
        };
        body.insert("tool_choice".to_owned(), choice);
    }
    let mut config = Map::new();
    if let Some(output) = request.output.as_ref().filter(|_| profile.structured != Structured::Prompt) {
        let schema = strictify(&output.schema, profile.schema);
        config.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
    }
    if let Some(effort) = request.effort.as_ref().filter(|_| profile.takes("effort")) {
        config.insert("effort".to_owned(), json!(effort));
    }
    if !config.is_empty() {
        body.insert("output_config".to_owned(), Value::Object(config));
    }
    let sampling = &request.sampling;
    for (name, value) in [("temperature", sampling.temperature), ("top_p", sampling.top_p)] {
        if let Some(value) = value.filter(|_| profile.takes(name)) {
            body.insert(name.to_owned(), json!(value));
        }
    }
    if !sampling.stop.is_empty() && profile.takes("stop") {
        body.insert("stop_sequences".to_owned(), json!(sampling.stop));
    }
    Value::Object(body)
}

/// Consecutive items of one side become one turn of content blocks.
fn messages(items: &[Item]) -> Vec<Value> {
    let mut messages: Vec<(String, Vec<Value>)> = Vec::new();
    let mut push = |role: &str, block: Vec<Value>| match messages.last_mut() {
        Some((last, blocks)) if last == role => blocks.extend(block),
        _ => messages.push((role.to_owned(), block)),
    };
    for item in items {
        match item {
            Item::Message { role, text } => {
                let role = json!(role);
                push(role.as_str().unwrap_or("user"), vec![json!({"type": "text", "text": text})]);
            }
            Item::Turn { echo, .. } if !echo.is_empty() => push("assistant", echo.clone()),
            Item::Turn { calls, .. } => {
                let blocks = calls.iter().map(|call| {
                    let input = serde_json::from_str::<Value>(&call.arguments).unwrap_or_else(|_| json!({}));
                    json!({"type": "tool_use", "id": call.call_id, "name": call.name, "input": input})
                });
                push("assistant", blocks.collect());
            }
            Item::ToolResult { call_id, output, is_error } => push(
                "user",
                vec![
                    json!({"type": "tool_result", "tool_use_id": call_id, "content": output, "is_error": is_error}),
                ],
            ),
        }
    }
    messages.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

pub(super) fn decode(body: &Value) -> Result<LlmReply, GenerateError> {
    let Some(content) = body.get("content").and_then(Value::as_array) else {
        return Err(malformed("has no `content`"));
    };
    let mut reply = LlmReply::new(Outcome::Completed);
    for block in content {
        match block.get("type").and_then(Value::as_str) {
            Some("text") => {
                reply
                    .text
                    .get_or_insert_default()
                    .push_str(block.get("text").and_then(Value::as_str).unwrap_or_default());
            }
            Some("tool_use") => reply.tool_calls.push(ToolCall {
                call_id: text(block, "/id").unwrap_or_default(),
                name: text(block, "/name").unwrap_or_default(),
                arguments: super::arguments(block.get("input")),
            }),
            _ => {}
        }
        reply.echo.push(block.clone());
    }
    reply.outcome = match text(body, "/stop_reason").as_deref() {
        Some("max_tokens" | "model_context_window_exceeded") => {
            Outcome::Truncated { reason: text(body, "/stop_reason").unwrap_or_default() }
        }
        Some("refusal") => Outcome::Refused { text: reply.text.clone().unwrap_or_default() },
        _ if !reply.tool_calls.is_empty() => Outcome::NeedsTools,
        Some("pause_turn") => return Err(malformed("pauses the turn, which was not asked for")),
        _ => Outcome::Completed,
    };
    let cached = count(body, "/usage/cache_read_input_tokens");
    let written = count(body, "/usage/cache_creation_input_tokens");
    reply.usage = Usage {
        input: count(body, "/usage/input_tokens")
            .map(|fresh| fresh + cached.unwrap_or(0) + written.unwrap_or(0)),
        cached_input: cached,
        output: count(body, "/usage/output_tokens"),
        reasoning: None,
    };
    reply.model = text(body, "/model");
    reply.response_id = text(body, "/id");
    reply.service_tier = text(body, "/usage/service_tier");
    Ok(reply)
}
