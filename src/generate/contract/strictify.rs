//! Compiling a JSON Schema into the subset that a provider takes as an output or tool schema.
//!
//! The wire schema only steers the model. Whatever a provider cannot carry goes into the description, and the full
//! schema is enforced on the answer afterwards in any case.

use serde_json::{Map, Value, json};

/// What a provider's schema engine understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaProfile {
    /// `strict: true` of the Responses and Chat Completions APIs: every property required, no lengths.
    OpenaiStrict,
    /// `output_config` and strict tools of the Messages API: no patterns, bounds or lengths.
    Anthropic,
    /// A grammar made from the schema (llama.cpp): everything but lengths that a grammar cannot count to.
    Grammar,
}

impl SchemaProfile {
    /// Whether the profile carries a keyword as it is.
    fn carries(self, keyword: &str, value: &Value) -> bool {
        match self {
            Self::Grammar => {
                !matches!(keyword, "maxLength" | "minLength")
                    || value.as_u64().is_some_and(|n| n <= MAX_REPEAT)
            }
            Self::OpenaiStrict => !matches!(keyword, "minLength" | "maxLength" | "default"),
            Self::Anthropic => match keyword {
                "minItems" => matches!(value.as_u64(), Some(0 | 1)),
                "format" => matches!(
                    value.as_str(),
                    Some(
                        "date-time"
                            | "time"
                            | "date"
                            | "duration"
                            | "email"
                            | "hostname"
                            | "uri"
                            | "ipv4"
                            | "ipv6"
                            | "uuid"
                    )
                ),
                "pattern" | "maxItems" | "uniqueItems" | "minLength" | "maxLength" | "minimum"
                | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" | "minProperties"
                | "maxProperties" | "default" => false,
                _ => true,
            },
        }
    }
}

/// llama.cpp refuses a grammar with longer repetitions.
const MAX_REPEAT: u64 = 2000;

/// Keywords that say nothing to a model.
const DROPPED: [&str; 5] = ["$schema", "$id", "$comment", "title", "examples"];

/// The schema as a provider takes it. Pure; the same input gives the same bytes.
pub fn strictify(schema: &Value, profile: SchemaProfile) -> Value {
    let Some(object) = schema.as_object() else { return schema.clone() };
    let mut out = Map::new();
    let mut moved = Vec::new();
    for (keyword, value) in object {
        match keyword.as_str() {
            keyword if DROPPED.contains(&keyword) => {}
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                let strict = properties.map(|(name, schema)| (name.clone(), strictify(schema, profile)));
                out.insert(keyword.clone(), Value::Object(strict.collect()));
            }
            "items" | "additionalProperties" | "not" => {
                out.insert(keyword.clone(), strictify(value, profile));
            }
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => {
                // The Messages API and strict mode know `anyOf` but not `oneOf`; wider is safe, since we validate.
                let wide = keyword == "oneOf" && profile != SchemaProfile::Grammar;
                let list = value.as_array().into_iter().flatten().map(|schema| strictify(schema, profile));
                let name = if wide { "anyOf" } else { keyword.as_str() };
                out.insert(name.to_owned(), Value::Array(list.collect()));
            }
            keyword if !profile.carries(keyword, value) => moved.push(format!("{keyword}: {value}")),
            _ => {
                out.insert(keyword.clone(), value.clone());
            }
        }
    }
    if !moved.is_empty() {
        let rules = moved.join(", ");
        let text = match out.get("description").and_then(Value::as_str) {
            Some(text) => format!("{text} ({rules})"),
            None => format!("({rules})"),
        };
        out.insert("description".to_owned(), text.into());
    }
    if out.get("type").is_some_and(|kind| kind == "object") && profile != SchemaProfile::Grammar {
        close(&mut out, profile);
    }
    Value::Object(out)
}

/// Strict objects: no further properties and, for OpenAI, every property required (optional ones become nullable).
fn close(object: &mut Map<String, Value>, profile: SchemaProfile) {
    object.insert("additionalProperties".to_owned(), Value::Bool(false));
    let required = object.remove("required").unwrap_or_default();
    let properties = object.entry("properties").or_insert_with(|| json!({}));
    if profile != SchemaProfile::OpenaiStrict {
        object.insert("required".to_owned(), if required.is_null() { json!([]) } else { required });
        return;
    }
    let Some(properties) = properties.as_object_mut() else { return };
    let is_required =
        |name: &str| required.as_array().is_some_and(|list| list.iter().any(|item| item == name));
    for (_, schema) in properties.iter_mut().filter(|(name, _)| !is_required(name)) {
        *schema = json!({ "anyOf": [schema.take(), { "type": "null" }] });
    }
    let names: Vec<Value> = properties.keys().cloned().map(Value::String).collect();
    object.insert("required".to_owned(), names.into());
}

/// The schema with its properties in the given order, which is the order in which a model writes them. Properties
/// that are not named keep their order and come last.
pub fn reorder(schema: &Value, order: &[String]) -> Value {
    let mut schema = schema.clone();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return schema };
    let mut sorted = Map::new();
    for name in order {
        if let Some(value) = properties.shift_remove(name) {
            sorted.insert(name.clone(), value);
        }
    }
    sorted.append(properties);
    let names: Vec<String> = sorted.keys().cloned().collect();
    *properties = sorted;
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.sort_by_key(|name| names.iter().position(|known| Some(known.as_str()) == name.as_str()));
    }
    schema
}
