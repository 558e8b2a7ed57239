//! Bodies as real servers send them, and bodies as the APIs want them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::generate::answers::Usage;
use crate::generate::contract::CONTRACT;
use crate::generate::request::{Item, Outcome, OutputSchema, Role, ToolCall, ToolChoice};
use crate::generate::tools;
use crate::suite::prompts::Sampling;

pub(super) fn request() -> LlmRequest {
    LlmRequest {
        model: "m".to_owned(),
        instructions: "Draft dbt models.".to_owned(),
        items: vec![Item::Message { role: Role::User, text: "## Intent\n{{ ref('x') }}".to_owned() }],
        tools: tools::definitions(&["list_models".to_owned(), "fetch_source_columns".to_owned()]),
        tool_mode: ToolMode::Native,
        tool_choice: ToolChoice::Auto,
        output: Some(OutputSchema { name: "generation", schema: CONTRACT.clone() }),
        max_output_tokens: 100,
        sampling: Sampling { temperature: Some(0.3), seed: Some(1), ..Sampling::default() },
        effort: None,
        extra: serde_json::Map::new(),
    }
}

pub(super) fn profile(name: &str) -> Profile {
    Profile::built_in(name).expect("built in")
}

fn http(status: u16, body: &str) -> HttpReply {
    HttpReply { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

fn decode_ok(provider: &str, body: &Value) -> LlmReply {
    decode(&request(), &profile(provider), &http(200, &body.to_string())).expect("a reply")
}

fn class(provider: &str, status: u16, body: &str) -> ErrorClass {
    decode(&request(), &profile(provider), &http(status, body)).expect_err(body).class
}

#[test]
fn a_responses_body_has_the_fields_that_the_api_knows() {
    let body = encode(&request(), &profile("openai"));
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "model",
            "instructions",
            "input",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "text",
            "max_output_tokens",
            "temperature",
            "store"
        ],
        "no seed, no response_format, no timeout"
    );
    assert_eq!(body["store"], false);
    assert_eq!(
        body["input"][0],
        json!({"type": "message", "role": "user", "content": "## Intent\n{{ ref('x') }}"})
    );
    let tool = &body["tools"][1];
    assert_eq!(
        (&tool["type"], &tool["name"], &tool["strict"]),
        (&json!("function"), &json!("fetch_source_columns"), &json!(true))
    );
    assert_eq!(tool["parameters"]["additionalProperties"], false);
    let format = &body["text"]["format"];
    assert_eq!(
        (&format["type"], &format["name"], &format["strict"]),
        (&json!("json_schema"), &json!("generation"), &json!(true))
    );
    assert_eq!(format["schema"]["required"].as_array().unwrap().len(), 5);
    let reasoning = LlmRequest { effort: Some("medium".into()), sampling: Sampling::default(), ..request() };
    let body = encode(&reasoning, &profile("openai"));
    assert_eq!(body["reasoning"], json!({"effort": "medium"}));
    assert_eq!(body.get("temperature"), None);
}

#[test]
fn a_chat_body_nests_functions_and_schema() {
    let body = encode(&request(), &profile("llama-server"));
    assert_eq!(body["messages"][0], json!({"role": "system", "content": "Draft dbt models."}));
    assert_eq!(body["tools"][0]["function"]["name"], "list_models");
    assert_eq!(body["response_format"]["json_schema"]["name"], "generation");
    assert_eq!(
        (&body["max_tokens"], &body["seed"], &body["cache_prompt"]),
        (&json!(100), &json!(1), &json!(false))
    );
}

#[test]
fn an_anthropic_body_has_no_sampling_and_top_level_system() {
    let body = encode(&request(), &profile("anthropic"));
    assert_eq!(body["system"], "Draft dbt models.");
    assert_eq!((body.get("temperature"), body.get("seed")), (None, None));
    assert_eq!(body["tools"][1]["input_schema"]["type"], "object");
    assert_eq!(body["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(body["output_config"]["format"]["type"], "json_schema");
    assert_eq!(body["output_config"]["format"]["schema"]["properties"]["model_name"].get("pattern"), None);
}

#[test]
fn the_second_turn_sends_the_first_one_back_verbatim() {
    let output = json!([
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "opaque", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "list_models", "arguments": "{}", "status": "completed"},
        {"type": "something_new", "x": 1}
    ]);
    let reply = decode_ok("openai", &json!({"id": "resp_1", "status": "completed", "output": output}));
    assert_eq!(reply.outcome, Outcome::NeedsTools);
    let mut next = request();
    next.items.push(Item::Turn { calls: reply.tool_calls.clone(), echo: reply.echo });
    next.items.push(Item::ToolResult { call_id: "c1".into(), output: "[\"a\"]".into(), is_error: false });
    let body = encode(&next, &profile("openai"));
    let input = body["input"].as_array().unwrap();
    assert_eq!(&input[1..4], output.as_array().unwrap().as_slice());
    assert_eq!(input[4], json!({"type": "function_call_output", "call_id": "c1", "output": "[\"a\"]"}));
    // From a recording, without the provider's own items, it is the same request by its key.
    let mut replayed = request();
    let call = ToolCall { call_id: "other".into(), ..reply.tool_calls[0].clone() };
    replayed.items.push(Item::Turn { calls: vec![call], echo: Vec::new() });
    replayed.items.push(Item::ToolResult {
        call_id: "other".into(),
        output: "[\"a\"]".into(),
        is_error: false,
    });
    assert_eq!(replayed.key(0, 1), next.key(0, 1));
    for (provider, pointer) in
        [("openai-compatible", "/messages/2/tool_calls/0/id"), ("anthropic", "/messages/1/content/0/id")]
    {
        assert_eq!(
            encode(&replayed, &profile(provider)).pointer(pointer),
            Some(&json!("other")),
            "{provider}"
        );
    }
}

#[test]
fn a_responses_reply_is_the_text_of_its_final_messages() {
    let reply = decode_ok(
        "openai",
        &json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-4.1-2025-04-14", "error": null,
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "Thinking"}]},
                {"type": "message", "role": "assistant", "phase": "final_answer", "content": [{"type": "output_text", "text": "{\"a\":"}, {"type": "output_text", "text": "1}"}]}
            ],
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 15}
        }),
    );
    assert_eq!(reply.text.as_deref(), Some("{\"a\":1}"));
    assert_eq!(
        reply.usage,
        Usage { input: Some(10), cached_input: Some(4), output: Some(5), reasoning: Some(2) }
    );
    assert_eq!(reply.model.as_deref(), Some("gpt-4.1-2025-04-14"));
}

#[test]
fn bodies_of_other_servers_decode_with_what_they_leave_out_unknown() {
    // llama-server, Responses: no details of usage, always completed.
    let llama = decode_ok(
        "openai",
        &json!({
            "completed_at": 1, "id": "resp_x", "object": "response", "model": "gemma", "status": "completed",
            "output": [{"content": [{"annotations": [], "logprobs": [], "text": "hi", "type": "output_text"}], "id": "msg_1", "role": "assistant", "status": "completed", "type": "message"}],
            "usage": {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}
        }),
    );
    assert_eq!(
        (llama.text.as_deref(), llama.usage.reasoning, llama.usage.cached_input),
        (Some("hi"), None, None)
    );
    // A proxy that fills everything with nulls.
    let nulls = decode_ok(
        "openai",
        &json!({
            "id": "resp_y", "status": "completed", "error": null, "incomplete_details": null, "model": null, "service_tier": null,
            "output": [{"type": "message", "role": "assistant", "phase": null, "content": [{"type": "output_text", "text": "hi", "annotations": null}]}],
            "usage": {"input_tokens": 1, "input_tokens_details": null, "output_tokens": null}
        }),
    );
    assert_eq!((nulls.text.as_deref(), nulls.usage.output, nulls.model), (Some("hi"), None, None));
    // A mock without usage.
    let bare = decode_ok("openai", &json!({"output": [{"type": "message", "content": "hi"}]}));
    assert_eq!((bare.text.as_deref(), bare.usage), (Some("hi"), Usage::default()));
    // Chat Completions of llama-server.
    let chat = decode_ok(
        "llama-server",
        &json!({
            "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "{}"}}],
            "created": 1, "model": "gemma-3-270m-q4_k_m.gguf", "system_fingerprint": "b1-571d0d5", "object": "chat.completion",
            "usage": {"completion_tokens": 185, "prompt_tokens": 511, "total_tokens": 696, "prompt_tokens_details": {"cached_tokens": 0}},
            "id": "chatcmpl-1", "timings": {}
        }),
    );
    assert_eq!((chat.outcome, chat.usage.output), (Outcome::Completed, Some(185)));
    assert_eq!(chat.system_fingerprint.as_deref(), Some("b1-571d0d5"));
    // Anthropic: cached tokens are not in input_tokens.
    let anthropic = decode_ok(
        "anthropic",
        &json!({
            "id": "msg_1", "type": "message", "model": "claude", "stop_reason": "end_turn",
            "content": [{"type": "thinking", "thinking": "", "signature": "s"}, {"type": "text", "text": "{}"}],
            "usage": {"input_tokens": 2, "cache_read_input_tokens": 30, "cache_creation_input_tokens": null, "output_tokens": 7}
        }),
    );
    assert_eq!(
        (anthropic.usage.input, anthropic.usage.cached_input, anthropic.text.as_deref()),
        (Some(32), Some(30), Some("{}"))
    );
}

#[test]
fn how_a_reply_ends_is_told_apart() {
    let responses = |body: Value| decode_ok("openai", &body).outcome;
    let chat = |finish: &str, message: Value| {
        decode_ok("openai-compatible", &json!({"choices": [{"finish_reason": finish, "message": message}]}))
            .outcome
    };
    let anthropic = |stop: &str| {
        decode_ok("anthropic", &json!({"content": [{"type": "text", "text": "{"}], "stop_reason": stop}))
            .outcome
    };
    let message = json!([{"type": "message", "content": [{"type": "output_text", "text": "{"}]}]);
    let truncated = Outcome::Truncated { reason: "max_output_tokens".into() };
    assert_eq!(
        responses(
            json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": message})
        ),
        truncated
    );
    assert_eq!(
        responses(
            json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []})
        ),
        Outcome::Filtered
    );
    assert_eq!(
        responses(
            json!({"status": "completed", "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]})
        ),
        Outcome::Refused { text: "No.".into() }
    );
    assert_eq!(responses(json!({"status": "completed", "output": []})), Outcome::Completed);
    // llama-server says completed although every token is used up and the JSON is cut.
    assert_eq!(
        responses(json!({"status": "completed", "output": message, "usage": {"output_tokens": 100}})),
        truncated
    );
    assert_eq!(
        responses(json!({"status": "failed", "error": {"code": "bio_policy", "message": "no"}})),
        Outcome::Failed { code: "bio_policy".into(), message: "no".into() }
    );
    assert_eq!(chat("length", json!({"content": "{"})), truncated);
    assert_eq!(chat("content_filter", json!({"content": null})), Outcome::Filtered);
    assert_eq!(
        chat("stop", json!({"content": null, "refusal": "No."})),
        Outcome::Refused { text: "No.".into() }
    );
    assert_eq!(
        chat(
            "stop",
            json!({"content": "", "tool_calls": [{"id": "c", "function": {"name": "list_models", "arguments": {}}}]})
        ),
        Outcome::NeedsTools
    );
    assert!(matches!(anthropic("max_tokens"), Outcome::Truncated { .. }));
    assert!(matches!(anthropic("refusal"), Outcome::Refused { .. }));
}

#[test]
fn errors_have_the_class_that_decides_what_is_done() {
    let body =
        |code: &str| json!({"error": {"message": "x", "type": "t", "code": code, "param": null}}).to_string();
    for provider in ["openai", "openai-compatible", "anthropic"] {
        for (status, text, expected) in [
            (400, body("unsupported_parameter"), ErrorClass::Config),
            (
                400,
                json!({"error": {"code": 400, "message": "bad", "type": "invalid_request_error"}})
                    .to_string(),
                ErrorClass::Config,
            ),
            (400, body("context_length_exceeded"), ErrorClass::ContextLength),
            (401, body("invalid_api_key"), ErrorClass::Auth),
            (403, String::new(), ErrorClass::Auth),
            (404, body("model_not_found"), ErrorClass::Config),
            (302, String::new(), ErrorClass::Config),
            (429, body("rate_limit_exceeded"), ErrorClass::RateLimited),
            (429, body("insufficient_quota"), ErrorClass::Quota),
            (500, "<html>oops</html>".to_owned(), ErrorClass::Overloaded),
            (529, body("overloaded_error"), ErrorClass::Overloaded),
            (200, "<!doctype html>".to_owned(), ErrorClass::Malformed),
            (200, String::new(), ErrorClass::Malformed),
            (200, "{\"output\": [], \"output\": [1]}".to_owned(), ErrorClass::Malformed),
            (200, "{\"output\": NaN}".to_owned(), ErrorClass::Malformed),
            (200, "[]".to_owned(), ErrorClass::Malformed),
            (200, "{}".to_owned(), ErrorClass::Malformed),
            (200, "{\"output\": [".to_owned(), ErrorClass::Malformed),
            (
                200,
                json!({"error": {"code": 429, "message": "slow down"}}).to_string(),
                ErrorClass::RateLimited,
            ),
        ] {
            assert_eq!(class(provider, status, &text), expected, "{provider} {status} {text}");
        }
        let invalid = HttpReply { status: 200, headers: Vec::new(), body: vec![b'{', 0xff, b'}'] };
        assert_eq!(
            decode(&request(), &profile(provider), &invalid).expect_err("bytes").class,
            ErrorClass::Malformed
        );
        assert_eq!(
            decode(&request(), &profile(provider), &http(400, &body("content_filter")))
                .expect("model's doing")
                .outcome,
            Outcome::Filtered
        );
    }
}

#[test]
fn a_refused_parameter_comes_with_the_fix() {
    let body = json!({"error": {"message": "Unsupported parameter: 'temperature' is not supported with this model.", "code": "unsupported_parameter", "param": "temperature"}});
    let error = decode(&request(), &profile("openai"), &http(400, &body.to_string())).expect_err("400");
    assert_eq!(
        error.to_string(),
        "the server answered 400 (parameter `temperature`): Unsupported parameter: 'temperature' is not supported with this model. (hint: the model does not take `temperature`: leave it out of prompt.toml, or out of `params` of the provider)"
    );
}

#[test]
fn json_steps_stand_in_for_tool_calls() {
    let step = LlmRequest { tool_mode: ToolMode::JsonStep, ..request() };
    let body = encode(&step, &profile("llama-server"));
    assert_eq!(body.get("tools"), None);
    let schema = &body["response_format"]["json_schema"]["schema"]["properties"]["step"]["anyOf"];
    assert_eq!(schema.as_array().unwrap().len(), 3, "two tools and the final answer");
    let reply = |content: Value| {
        let body =
            json!({"choices": [{"finish_reason": "stop", "message": {"content": content.to_string()}}]});
        decode(&step, &profile("llama-server"), &http(200, &body.to_string())).expect("a reply")
    };
    let call = reply(json!({"step": {"action": "call", "tool": "list_models", "arguments": {}}}));
    assert_eq!(
        (call.outcome, call.tool_calls[0].name.as_str(), call.text),
        (Outcome::NeedsTools, "list_models", None)
    );
    let last = reply(json!({"step": {"action": "final", "answer": {"sql": "a\nb"}}}));
    assert_eq!((last.outcome, last.text.as_deref()), (Outcome::Completed, Some("{\"sql\":\"a\\nb\"}")));
    assert_eq!(
        reply(json!({"sql": "x"})).text.as_deref(),
        Some("{\"sql\":\"x\"}"),
        "no step: judged as it is"
    );
    let mut second = step.clone();
    second.items.push(Item::Turn { calls: call.tool_calls, echo: Vec::new() });
    second.items.push(Item::ToolResult { call_id: "step".into(), output: "[\"a\"]".into(), is_error: false });
    second.tool_choice = ToolChoice::None;
    let body = encode(&second, &profile("llama-server"));
    assert_eq!(
        body["messages"][2]["content"],
        "{\"step\":{\"action\":\"call\",\"tool\":\"list_models\",\"arguments\":{}}}"
    );
    assert_eq!(body["messages"][3], json!({"role": "user", "content": "{\"result\":[\"a\"]}"}));
    let steps = &body["response_format"]["json_schema"]["schema"]["properties"]["step"]["anyOf"];
    assert_eq!(steps.as_array().unwrap().len(), 1, "in the last turn only the answer is left");
}

proptest! {
    #[test]
    fn no_body_makes_a_codec_panic(body in "\\PC{0,60}", status in 100_u16..600) {
        for provider in ["openai", "openai-compatible", "anthropic"] {
            let _ = decode(&request(), &profile(provider), &http(status, &body));
        }
    }

    #[test]
    fn payload_survives_the_wire_byte_for_byte(text in "(.|\n){0,60}") {
        let request = LlmRequest { items: vec![Item::Message { role: Role::User, text: text.clone() }], ..request() };
        prop_assert_eq!(&encode(&request, &profile("openai"))["input"][0]["content"], &json!(text));
        prop_assert_eq!(&encode(&request, &profile("openai-compatible"))["messages"][1]["content"], &json!(text));
        prop_assert_eq!(&encode(&request, &profile("anthropic"))["messages"][0]["content"][0]["text"], &json!(text));
    }
}
