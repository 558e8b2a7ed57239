use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer(text: &str) -> Answer {
    Answer { output_text: text.to_owned(), ..Answer::default() }
}

fn good() -> Value {
    json!({
        "model_name": "stg_orders",
        "sql": "select * from {{ source('raw', 'orders') }}",
        "schema_yaml": "version: 2\n",
        "tests": ["unique:order_id"],
        "review_notes": ["assumes one row per order"]
    })
}

fn class(text: &str) -> ContractClass {
    extract(&answer(text)).expect_err(text).class
}

#[test]
fn an_answer_that_keeps_to_the_contract_is_a_candidate() {
    let candidate = extract(&answer(&good().to_string())).expect("valid");
    assert_eq!(candidate.model_name, "stg_orders");
    assert_eq!(candidate.tests, ["unique:order_id"]);
    let padded = format!("\u{feff}\n {} \r\n", good());
    assert_eq!(extract(&answer(&padded)).as_ref(), Ok(&candidate));
}

#[test]
fn wrapped_json_has_its_own_class_and_shows_what_it_would_be() {
    let json = good().to_string();
    for (text, expected) in [
        (format!("```json\n{json}\n```"), ContractClass::Fenced),
        (format!("```\n{json}\n```\n"), ContractClass::Fenced),
        (format!("~~~json\n{json}\n~~~"), ContractClass::Fenced),
        (
            format!("Here you go, with {{braces}} and {{}}:\n```json\n{json}\n```\nEnjoy!"),
            ContractClass::Prose,
        ),
        (format!("Sure! {json}"), ContractClass::Prose),
        (format!("{json}\nI hope this helps."), ContractClass::Prose),
    ] {
        let fault = extract(&answer(&text)).expect_err(&text);
        assert_eq!(fault.class, expected, "{text}");
        assert_eq!(fault.would_pass_unwrapped.expect(&text).model_name, "stg_orders");
        assert_eq!(fault.violations, []);
    }
}

#[test]
fn wrapped_json_that_would_still_fail_lists_its_violations() {
    let fault = extract(&answer("```json\n{\"model_name\": \"Stg\"}\n```")).expect_err("fenced");
    assert_eq!(fault.class, ContractClass::Fenced);
    assert_eq!(fault.would_pass_unwrapped, None);
    assert_eq!(fault.violations.len(), 5, "four fields are missing and the name is wrong: {fault:?}");
}

#[test]
fn how_the_answer_ended_decides_before_its_text() {
    let ended = |text: &str, reason: &str| {
        extract(&Answer { finish_reason: Some(reason.to_owned()), ..answer(text) })
            .map_err(|fault| fault.class)
    };
    let json = good().to_string();
    assert_eq!(ended("I can't help with that", "refusal"), Err(ContractClass::Refusal));
    assert_eq!(ended("", "refusal"), Err(ContractClass::Refusal));
    assert_eq!(ended(&json, "content_filter"), Err(ContractClass::ContentFilter));
    assert_eq!(ended(&json[..40], "length"), Err(ContractClass::Truncated));
    assert_eq!(ended("", "length"), Err(ContractClass::Truncated));
    assert!(ended(&json, "length").is_ok(), "the limit fell exactly behind the last brace");
    assert_eq!(ended("  \n", "stop"), Err(ContractClass::Empty));
}

#[test]
fn json_that_ends_in_the_middle_is_truncated_whatever_the_server_says() {
    let json = good().to_string();
    for cut in [1, 20, json.len() / 2, json.len() - 1] {
        assert_eq!(class(&json[..cut]), ContractClass::Truncated, "{}", &json[..cut]);
        assert_eq!(class(&format!("```json\n{}", &json[..cut])), ContractClass::Truncated);
    }
    assert_eq!(
        class(r#"{"model_name": "a", "sql": "select '{}' as payload, '{\"sql\": 1}'"#),
        ContractClass::Truncated
    );
}

#[test]
fn text_without_an_object_is_not_json() {
    for text in ["select 1", "null}", "{'model_name': 'x'}", "{\"a\": NaN}", "{\"a\": \"\\ud800\"}"] {
        assert_eq!(class(text), ContractClass::NotJson, "{text}");
    }
    assert_eq!(
        class("an empty object is `{}` in JSON"),
        ContractClass::NotJson,
        "not an attempt at the contract"
    );
    assert_eq!(class("[1, 2]"), ContractClass::Invalid, "JSON, but not an object");
    assert_eq!(class("\"{}\""), ContractClass::Invalid);
}

#[test]
fn every_violation_is_listed_with_pointer_and_rule() {
    let mut value = good();
    value["model_name"] = "../Evil".into();
    value["tests"] = Value::Array(vec!["unique:a".into(); 11]);
    value["review_notes"] = json!(["fine", 7]);
    value["extra"] = true.into();
    value.as_object_mut().unwrap().shift_remove("sql");
    let fault = extract(&answer(&value.to_string())).expect_err("invalid");
    assert_eq!(fault.class, ContractClass::Invalid);
    let found: Vec<(&str, &str)> =
        fault.violations.iter().map(|v| (v.pointer.as_str(), v.rule.as_str())).collect();
    assert_eq!(
        found,
        [
            ("", "additionalProperties"),
            ("", "required"),
            ("/model_name", "pattern"),
            ("/review_notes/1", "type"),
            ("/tests", "maxItems"),
        ]
    );
    assert!(!fault.violations.iter().any(|v| v.message.contains("Evil")), "values are never quoted");
}

#[test]
fn duplicate_keys_are_refused_wherever_they_stand() {
    let json = good().to_string();
    let twice = json.replacen('{', "{\"sql\":\"select 1\",", 1);
    let fault = extract(&answer(&twice)).expect_err("duplicate");
    assert_eq!(fault.class, ContractClass::Invalid);
    assert_eq!(
        (fault.violations[0].pointer.as_str(), fault.violations[0].rule.as_str()),
        ("/sql", "uniqueKeys")
    );
    let Err(json::StrictError::DuplicateKey { pointer, .. }) =
        parse_strict(r#"{"a": [1, {"b/c": 1, "b/c": 2}]}"#)
    else {
        panic!("a nested duplicate was accepted");
    };
    assert_eq!(pointer, "/a/1/b~1c");
}

#[test]
fn hostile_text_is_refused_in_time() {
    let million = 1_000_000;
    for text in [
        "{".repeat(million),
        "{\"a\":".repeat(million / 5),
        "{\"a\":\"".repeat(million / 6),
        "[".repeat(million),
    ] {
        let fault = extract(&answer(&text)).expect_err("hostile");
        assert!(matches!(fault.class, ContractClass::NotJson | ContractClass::Truncated), "{fault}");
    }
    assert_eq!(
        class(&" {\"a\": 1}".repeat(MAX_ANSWER_BYTES / 8)),
        ContractClass::NotJson,
        "over the size limit"
    );
}

#[test]
fn the_wire_schema_loses_no_rule() {
    let openai = strictify(&CONTRACT, SchemaProfile::OpenaiStrict);
    assert_eq!(openai["additionalProperties"], json!(false));
    assert_eq!(openai["required"], CONTRACT["required"]);
    assert_eq!(openai["properties"]["model_name"]["pattern"], json!("^[a-z0-9_]+$"));
    assert_eq!(openai["properties"]["tests"]["maxItems"], json!(10));
    assert_eq!(openai["properties"]["sql"].get("maxLength"), None);
    let text = openai["properties"]["sql"]["description"].as_str().unwrap();
    assert!(text.contains("maxLength: 100000"), "{text}");
    let anthropic = strictify(&CONTRACT, SchemaProfile::Anthropic);
    assert_eq!(anthropic["properties"]["model_name"].get("pattern"), None);
    assert!(anthropic["properties"]["model_name"]["description"].as_str().unwrap().contains("^[a-z0-9_]+$"));
    assert_eq!(anthropic["properties"]["tests"].get("maxItems"), None);
    let grammar = strictify(&CONTRACT, SchemaProfile::Grammar);
    assert_eq!(grammar["properties"]["model_name"], CONTRACT["properties"]["model_name"]);
    assert_eq!(grammar["properties"]["sql"].get("maxLength"), None, "no grammar counts to 100000");
}

#[test]
fn strict_mode_makes_optional_properties_nullable() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]});
    let strict = strictify(&schema, SchemaProfile::OpenaiStrict);
    assert_eq!(strict["required"], json!(["a", "b"]));
    assert_eq!(strict["properties"]["b"], json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}));
    assert_eq!(strict["properties"]["a"], json!({"type": "string"}));
}

#[test]
fn the_order_of_fields_can_be_chosen() {
    let schema = reorder(&CONTRACT, &["review_notes".to_owned(), "sql".to_owned()]);
    let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["review_notes", "sql", "model_name", "schema_yaml", "tests"]);
    assert_eq!(schema["required"], json!(names));
}

proptest! {
    #[test]
    fn any_text_gets_a_class_and_nothing_panics(text in "(\\PC|[{}\\[\\]\":,`\\\\\n]){0,80}") {
        let _ = extract(&answer(&text));
    }

    #[test]
    fn any_field_text_survives_byte_for_byte(sql in "\\PC{1,60}", note in ".{0,40}") {
        let mut value = good();
        value["sql"] = sql.clone().into();
        value["review_notes"] = json!([note]);
        let candidate = extract(&answer(&value.to_string())).expect("valid");
        prop_assert_eq!(&candidate.sql, &sql);
        let fenced = format!("```json\n{value}\n```");
        let fault = extract(&answer(&fenced)).expect_err("fenced");
        prop_assert_eq!(fault.would_pass_unwrapped.map(|candidate| candidate.sql), Some(sql));
    }
}
