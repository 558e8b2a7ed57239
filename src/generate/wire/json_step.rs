//! Tool calls for models without tool calls: every answer is one JSON step under a schema, a call or the final answer.

use serde_json::{Map, Value, json};

use crate::generate::contract::parse_strict;
use crate::generate::request::{
    Item, LlmReply, LlmRequest, Outcome, OutputSchema, Role, ToolCall, ToolChoice,
};
use crate::suite::prompts::ToolMode;

/// The request without tools: their definitions go into the instructions, calls and results into plain messages.
pub(super) fn lower(request: &LlmRequest) -> LlmRequest {
    let mut lowered = request.clone();
    lowered.tools.clear();
    lowered.tool_mode = ToolMode::Off;
    let mut steps = Vec::new();
    let calls_allowed = request.tool_choice == ToolChoice::Auto;
    for tool in request.tools.iter().filter(|_| calls_allowed) {
        steps.push(object(&[
            ("action", json!({"type": "string", "enum": ["call"]})),
            ("tool", json!({"type": "string", "enum": [tool.name]})),
            ("arguments", tool.parameters.clone()),
        ]));
    }
    let answer = request.output.as_ref().map_or(json!({}), |output| output.schema.clone());
    steps.push(object(&[("action", json!({"type": "string", "enum": ["final"]})), ("answer", answer)]));
    lowered.output =
        Some(OutputSchema { name: "step", schema: object(&[("step", json!({ "anyOf": steps }))]) });
    lowered.instructions = instructions(request);
    lowered.items = request
        .items
        .iter()
        .map(|item| match item {
            Item::Turn { calls, .. } => {
                let steps = calls.iter().map(|call| {
                    let arguments = serde_json::from_str(&call.arguments).unwrap_or(Value::Null);
                    json!({"step": {"action": "call", "tool": call.name, "arguments": arguments}}).to_string()
                });
                Item::Message { role: Role::Assistant, text: steps.collect::<Vec<_>>().join("\n") }
            }
            Item::ToolResult { output, is_error, .. } => {
                let key = if *is_error { "error" } else { "result" };
                let result = serde_json::from_str(output).unwrap_or_else(|_| json!(output));
                Item::Message { role: Role::User, text: json!({ key: result }).to_string() }
            }
            message @ Item::Message { .. } => message.clone(),
        })
        .collect();
    lowered
}

fn object(properties: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
}

fn instructions(request: &LlmRequest) -> String {
    let mut text = request.instructions.clone();
    text.push_str("\n\nAnswer with one JSON object a turn. To call a tool: {\"step\":{\"action\":\"call\",\"tool\":NAME,\"arguments\":{...}}}; the next message holds its result. To finish: {\"step\":{\"action\":\"final\",\"answer\":{...}}}.\nTools:\n");
    for tool in &request.tools {
        text.push_str(&format!(
            "- {}: {} Arguments: {}\n",
            tool.name, tool.description, tool.parameters["properties"]
        ));
    }
    text
}

/// Reads a step: a call becomes a tool call, a final answer the text. Anything else stays the text that it is.
pub(super) fn raise(reply: &mut LlmReply) {
    let Some(Ok(value)) = reply.text.as_deref().map(parse_strict) else { return };
    let step = &value["step"];
    match step["action"].as_str() {
        Some("final") if reply.outcome == Outcome::Completed => {
            if let Some(answer) = step.get("answer") {
                reply.text = Some(answer.to_string());
            }
        }
        Some("call") if reply.outcome == Outcome::Completed => {
            let call = ToolCall {
                call_id: "step".to_owned(),
                name: step["tool"].as_str().unwrap_or_default().to_owned(),
                arguments: step["arguments"].to_string(),
            };
            reply.outcome = Outcome::NeedsTools;
            reply.echo.clear();
            reply.tool_calls = vec![call];
            reply.text = None;
        }
        _ => {}
    }
}
