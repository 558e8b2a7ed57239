//! What a model is asked and what it replies, independent of any provider.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answers::Usage;
use super::canonical::{canonical, hash};
use super::contract::{CONTRACT, reorder};
use super::tools;
use crate::sql::Dialect;
use crate::suite::Case;
use crate::suite::prompts::{Example, Placeholder, PromptVersion, Sampling, Template, ToolMode};
use crate::suite::spec::{Approved, Spec};

/// A request to a model. Everything in it can change the answer, so everything in it is part of a recording's key.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmRequest {
    /// Model, as the provider names it.
    pub model: String,
    /// The system prompt.
    pub instructions: String,
    /// The conversation so far.
    pub items: Vec<Item>,
    /// Tools offered.
    pub tools: Vec<ToolDef>,
    /// How they are called.
    pub tool_mode: ToolMode,
    /// Whether a tool may still be called.
    pub tool_choice: ToolChoice,
    /// The schema of the final answer.
    pub output: Option<OutputSchema>,
    /// Tokens of one answer.
    pub max_output_tokens: u32,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Reasoning effort.
    pub effort: Option<String>,
    /// Further fields of the body.
    pub extra: Map<String, Value>,
}

/// A piece of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Text by one side.
    Message {
        /// Who says it.
        role: Role,
        /// What.
        text: String,
    },
    /// A turn of the model that called tools.
    Turn {
        /// Its calls.
        calls: Vec<ToolCall>,
        /// The provider's own items of that turn (reasoning among them), to be sent back as they came. Not part of the
        /// key; empty when the turn comes from a recording.
        echo: Vec<Value>,
    },
    /// What the tool returned.
    ToolResult {
        /// Id of the call.
        call_id: String,
        /// Result or error, as text.
        output: String,
        /// Whether it is an error.
        is_error: bool,
    },
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// We.
    User,
    /// The model.
    Assistant,
}

/// A call of a tool by the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Id that the result refers to; random, so never part of a key.
    pub call_id: String,
    /// Tool.
    pub name: String,
    /// Arguments: JSON text as the model wrote it, possibly not JSON at all.
    pub arguments: String,
}

/// A tool offered to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolDef {
    /// Name.
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// Whether a tool may be called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoice {
    /// As the model likes.
    #[default]
    Auto,
    /// The last turn: answer now.
    None,
}

/// The JSON Schema that the final answer must follow.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSchema {
    /// Name on the wire.
    pub name: &'static str,
    /// The schema, in its order of fields.
    pub schema: Value,
}

/// What a model replied.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmReply {
    /// How it ended.
    pub outcome: Outcome,
    /// The text of the final answer; `None` when there was no text at all.
    pub text: Option<String>,
    /// Tools it wants called.
    pub tool_calls: Vec<ToolCall>,
    /// The provider's own items of this turn, to be sent back as they came before the tools' results.
    pub echo: Vec<Value>,
    /// Tokens, as far as known.
    pub usage: Usage,
    /// Model that answered, as the provider reports it; often a dated snapshot of the one asked for.
    pub model: Option<String>,
    /// The provider's id of the response.
    pub response_id: Option<String>,
    /// The provider's fingerprint of the serving stack.
    pub system_fingerprint: Option<String>,
    /// The service tier that really served.
    pub service_tier: Option<String>,
}

impl LlmReply {
    /// A reply with an outcome and nothing else.
    pub fn new(outcome: Outcome) -> Self {
        Self {
            outcome,
            text: None,
            tool_calls: Vec::new(),
            echo: Vec::new(),
            usage: Usage::default(),
            model: None,
            response_id: None,
            system_fingerprint: None,
            service_tier: None,
        }
    }

    /// Marks a reply as truncated that a server calls completed although it used every token it had and its JSON
    /// does not parse.
    pub fn infer_truncation(&mut self, request: &LlmRequest) {
        let used_up = self.usage.output.is_some_and(|output| output >= u64::from(request.max_output_tokens));
        let unparsed = self.text.as_deref().is_none_or(|text| serde_json::from_str::<Value>(text).is_err());
        if self.outcome == Outcome::Completed && used_up && unparsed && request.output.is_some() {
            self.outcome = Outcome::Truncated { reason: "max_output_tokens".to_owned() };
        }
    }
}

/// How a reply ended. All of these are the model's doing and are recorded; faults on the way are not replies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is whole.
    Completed,
    /// Tools are to be called first.
    NeedsTools,
    /// Cut off.
    Truncated {
        /// Why, as the provider says it.
        reason: String,
    },
    /// The model declined.
    Refused {
        /// Its words. Under a name of their own: in a recording they stand beside the answer's text.
        #[serde(rename = "refusal")]
        text: String,
    },
    /// A content filter stopped it.
    Filtered,
    /// The provider gave up on this prompt for good.
    Failed {
        /// Code of the provider.
        code: String,
        /// Words of the provider.
        message: String,
    },
}

impl Outcome {
    /// The `finish_reason` of an [`Answer`](super::answers::Answer).
    pub fn finish_reason(&self) -> &'static str {
        match self {
            Self::Completed => "stop",
            Self::NeedsTools => "tool_calls",
            Self::Truncated { .. } => "length",
            Self::Refused { .. } => "refusal",
            Self::Filtered => "content_filter",
            Self::Failed { .. } => "failed",
        }
    }
}

/// What is asked for: a spec, with what the case around it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Id of the case; names the recording.
    pub id: String,
    /// The spec, byte for byte.
    pub spec: String,
    /// Dialect of the project.
    pub dialect: Dialect,
    /// Relations that may be read.
    pub approved: Vec<Approved>,
    /// Folder of the dbt project, for the tools.
    pub project: PathBuf,
}

impl Task {
    /// The task of a case.
    pub fn of_case(case: &Case) -> Self {
        Self {
            id: case.id.clone(),
            spec: case.spec.text.clone(),
            dialect: case.dialect,
            approved: case.approved.clone(),
            project: case.project.path.clone(),
        }
    }

    fn approved_lines(&self) -> Vec<String> {
        self.approved.iter().map(ToString::to_string).collect()
    }

    /// The value of a placeholder.
    fn value(&self, placeholder: Placeholder, schema: &Value) -> String {
        match placeholder {
            Placeholder::Spec => self.spec.clone(),
            Placeholder::Contract => format!("{schema:#}"),
            Placeholder::Dialect => self.dialect.name().to_owned(),
            Placeholder::Approved => self.approved_lines().join("\n"),
        }
    }
}

/// Hashes of what a request is made of. They are stored beside each recording, so that a stale one can say what changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Components {
    /// Instructions, message form and examples.
    pub prompt: String,
    /// The spec, dialect and approved relations.
    pub spec: String,
    /// Tools offered and how.
    pub tools: String,
    /// The schema of the answer.
    pub contract: String,
    /// Model, sampling, effort, limits and further fields.
    pub sampling: String,
}

impl Components {
    /// The parts that differ, in words.
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        [
            ("prompt", &self.prompt, &other.prompt),
            ("spec", &self.spec, &other.spec),
            ("tools", &self.tools, &other.tools),
            ("contract", &self.contract, &other.contract),
            ("sampling", &self.sampling, &other.sampling),
        ]
        .into_iter()
        .filter_map(|(name, a, b)| (a != b).then_some(name))
        .collect()
    }
}

/// The first request of a prompt version for a task. Pure: same input, same request.
pub fn first_request(prompt: &PromptVersion, task: &Task) -> LlmRequest {
    let schema = wire_contract(prompt);
    let message = |task: &Task| match &prompt.user {
        Some(user) => user.fill(|placeholder| task.value(placeholder, &schema)),
        None => task.spec.clone(),
    };
    let mut items = Vec::new();
    for example in &prompt.examples {
        let spec = Spec::parse(&prompt.path, &example.spec);
        let shown = Task { spec: example.spec.clone(), approved: spec.approved(), ..task.clone() };
        let answer = answer_text(example, &schema, prompt.tools.mode);
        items.push(Item::Message { role: Role::User, text: message(&shown) });
        items.push(Item::Message { role: Role::Assistant, text: answer });
    }
    items.push(Item::Message { role: Role::User, text: message(task) });
    let tool_mode = prompt.tools.mode;
    let extra = match serde_json::to_value(&prompt.extra) {
        Ok(Value::Object(extra)) => extra,
        _ => Map::new(),
    };
    LlmRequest {
        model: prompt.model.clone(),
        instructions: prompt.system.fill(|placeholder| task.value(placeholder, &schema)),
        items,
        tools: if tool_mode == ToolMode::Off { Vec::new() } else { tools::definitions(&prompt.tools.names) },
        tool_mode,
        tool_choice: ToolChoice::Auto,
        output: Some(OutputSchema { name: "generation", schema }),
        max_output_tokens: prompt.max_output_tokens,
        sampling: prompt.sampling.clone(),
        effort: prompt.effort.clone(),
        extra,
    }
}

/// The contract in the order of fields and with the caps that the prompt version chose.
fn wire_contract(prompt: &PromptVersion) -> Value {
    const TEXTS: [&str; 4] = ["/sql", "/schema_yaml", "/tests/items", "/review_notes/items"];
    const LISTS: [&str; 2] = ["/tests", "/review_notes"];
    let mut schema = reorder(&CONTRACT, &prompt.contract.order);
    let mut cap = |fields: &[&str], keyword: &str, most: Option<u64>| {
        let Some(most) = most else { return };
        for field in fields {
            let field = schema.pointer_mut(&format!("/properties{field}"));
            if let Some(limit) = field.and_then(|field| field.get_mut(keyword)) {
                *limit = limit.as_u64().map_or(most, |limit| limit.min(most)).into();
            }
        }
    };
    cap(&TEXTS, "maxLength", prompt.contract.max_length);
    cap(&LISTS, "maxItems", prompt.contract.max_items);
    schema
}

/// An example's answer as the model would have written it.
fn answer_text(example: &Example, schema: &Value, mode: ToolMode) -> String {
    let fields = json!({
        "model_name": example.model_name,
        "sql": example.sql,
        "schema_yaml": example.schema_yaml,
        "tests": example.tests,
        "review_notes": example.review_notes,
    });
    let names = schema["properties"].as_object().into_iter().flat_map(Map::keys);
    let answer: Map<String, Value> = names.map(|name| (name.clone(), fields[name].clone())).collect();
    match mode {
        ToolMode::JsonStep => json!({ "step": { "action": "final", "answer": answer } }).to_string(),
        ToolMode::Off | ToolMode::Native => Value::Object(answer).to_string(),
    }
}

/// The hashes of what a request is made of.
pub fn components(prompt: &PromptVersion, task: &Task, request: &LlmRequest) -> Components {
    let raw = |template: &Template| template.fill(|placeholder| format!("\0{placeholder:?}\0"));
    let examples: Vec<Value> = prompt
        .examples
        .iter()
        .map(|example| json!([example.spec, answer_text(example, &request.schema(), prompt.tools.mode)]))
        .collect();
    let tools: Vec<Value> = request.tools.iter().map(ToolDef::canonical).collect();
    Components {
        prompt: hash(&json!([raw(&prompt.system), prompt.user.as_ref().map(raw), examples])),
        spec: hash(&json!([task.spec, task.dialect.name(), task.approved_lines()])),
        tools: hash(&json!([tools, request.tool_mode])),
        contract: hash(&json!(request.schema().to_string())),
        sampling: hash(&json!([
            request.model,
            request.max_output_tokens,
            request.sampling,
            request.effort,
            request.extra
        ])),
    }
}

/// A hash over everything that a prompt version sends but the case.
pub fn prompt_hash(prompt: &PromptVersion) -> String {
    let nothing = Task {
        id: String::new(),
        spec: String::new(),
        dialect: Dialect::default(),
        approved: Vec::new(),
        project: PathBuf::new(),
    };
    let Components { prompt: text, tools, contract, sampling, .. } =
        components(prompt, &nothing, &first_request(prompt, &nothing));
    hash(&json!([text, tools, contract, sampling]))["blake3:".len()..][..16].to_owned()
}

impl ToolDef {
    /// The definition with its schema as text, since the order of fields can matter to a model.
    fn canonical(&self) -> Value {
        json!([self.name, self.description, self.parameters.to_string()])
    }
}

/// The version of the key's recipe.
const KEY_VERSION: u32 = 1;

impl LlmRequest {
    /// The schema of the answer, `null` when there is none.
    fn schema(&self) -> Value {
        self.output.as_ref().map_or(Value::Null, |output| output.schema.clone())
    }

    /// The key of a recorded exchange: a hash over everything that can change the answer, with the trial and the turn.
    ///
    /// Addresses, keys, timeouts and retries are not in it. Ids of tool calls are numbered in order of appearance, and
    /// the provider's own items are left out, since both are random.
    pub fn key(&self, trial: u32, turn: usize) -> String {
        let mut ids: Vec<&str> = Vec::new();
        let mut items: Vec<Value> = Vec::new();
        for item in &self.items {
            match item {
                Item::Message { role, text } => items.push(json!(["message", role, text])),
                Item::Turn { calls, .. } => {
                    for call in calls {
                        ids.push(&call.call_id);
                        items.push(json!(["call", ids.len(), call.name, call.arguments]));
                    }
                }
                Item::ToolResult { call_id, output, is_error } => {
                    let number = ids.iter().rposition(|id| id == call_id).map_or(0, |at| at + 1);
                    items.push(json!(["result", number, output, is_error]));
                }
            }
        }
        let tools: Vec<Value> = self.tools.iter().map(ToolDef::canonical).collect();
        hash(&json!({
            "v": KEY_VERSION,
            "model": self.model,
            "instructions": self.instructions,
            "items": items,
            "tools": tools,
            "tool_mode": self.tool_mode,
            "tool_choice": self.tool_choice,
            "output": self.schema().to_string(),
            "max_output_tokens": self.max_output_tokens,
            "sampling": self.sampling,
            "effort": self.effort,
            "extra": canonical(&Value::Object(self.extra.clone())),
            "trial": trial,
            "turn": turn,
        }))
    }
}

#[cfg(test)]
mod tests;
