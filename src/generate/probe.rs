//! What a server honours of what it is sent: a few small requests with an answer that only an honest server can give.
//!
//! Servers take parameters and ignore them without a word, so none of this can be read off a status alone.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::{ErrorClass, GenerateError};
use super::profile::{Profile, Structured};
use super::request::{Item, LlmReply, LlmRequest, Outcome, OutputSchema, Role, ToolChoice, ToolDef};
use super::secrets::{SecretString, Secrets};
use super::transport::Transport;
use super::wire::{self, HttpReply, Wire};
use crate::suite::prompts::{Sampling, ToolMode};

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probed {
    /// What was probed.
    pub name: &'static str,
    /// How it ended.
    pub status: ProbeStatus,
    /// In words.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeStatus {
    /// As it should be.
    Ok,
    /// Worth knowing; everything works around it.
    Note,
    /// Answers cannot be got like this.
    Bad,
}

/// A name that no model comes up with.
const CANARY: &str = "zq7_kestrel";
/// Nobody waits longer for one small answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tokens of a probe whose answer has to be whole.
const TOKENS: u32 = 200;

/// Probes a provider with a model: a handful of requests of a few tokens each. Stops after the first when that gets no
/// answer.
///
/// # Errors
/// When no client can be made.
pub async fn probe(
    mut profile: Profile,
    key: Option<SecretString>,
    model: &str,
) -> Result<Vec<Probed>, GenerateError> {
    profile.timeout = profile.timeout.min(PATIENCE);
    let secrets = Secrets::new(key.as_ref());
    let transport = Transport::new(profile, key, secrets.clone())?;
    let prober = Prober { transport: &transport, secrets: &secrets, model };
    let mut found = Vec::new();
    let Some((http, reply)) = prober.answers(&mut found).await else { return Ok(found) };
    found.push(usage(&reply));
    found.push(rate_headers(&http));
    prober.schema(&mut found).await;
    prober.truncation(&mut found).await;
    prober.tools(&mut found).await;
    prober.parameters(&mut found).await;
    prober.errors(&mut found).await;
    Ok(found)
}

struct Prober<'a> {
    transport: &'a Transport,
    secrets: &'a Secrets,
    model: &'a str,
}

impl Prober<'_> {
    fn request(&self, text: &str) -> LlmRequest {
        LlmRequest {
            model: self.model.to_owned(),
            instructions: "You follow instructions to the letter.".to_owned(),
            items: vec![Item::Message { role: Role::User, text: text.to_owned() }],
            tools: Vec::new(),
            tool_mode: ToolMode::Off,
            tool_choice: ToolChoice::Auto,
            output: None,
            max_output_tokens: TOKENS,
            sampling: Sampling::default(),
            effort: None,
            extra: Map::new(),
        }
    }

    async fn send(&self, request: &LlmRequest) -> Result<(HttpReply, LlmReply), GenerateError> {
        let profile = self.transport.profile();
        let body = wire::encode(request, profile);
        let sent = self.transport.post(wire::path(profile.wire), &body).await;
        let result = sent.and_then(|http| wire::decode(request, profile, &http).map(|reply| (http, reply)));
        result.map_err(|mut error| {
            error.message = self.secrets.redact(&error.message);
            error
        })
    }

    fn shown(&self, text: &str) -> String {
        let text = self.secrets.redact(text);
        text.chars().filter(|c| !c.is_control()).take(80).collect()
    }

    async fn answers(&self, found: &mut Vec<Probed>) -> Option<(HttpReply, LlmReply)> {
        let error = match self.send(&self.request("Answer with the word yes.")).await {
            Ok((http, reply)) => {
                let by = reply.model.as_deref().unwrap_or("no name");
                let detail = format!("`{}` answers as `{}`", self.model, self.shown(by));
                found.push(ok("answer", detail));
                return Some((http, reply));
            }
            Err(error) => error,
        };
        let hint = error.hint.clone().or_else(|| match error.class {
            ErrorClass::Timeout => {
                Some("the server is busy or very slow: try again when it is idle".to_owned())
            }
            ErrorClass::Network => Some("is the server running, and is `base_url` right?".to_owned()),
            ErrorClass::Malformed => Some(
                "`base_url` ends before the operation, usually with /v1; does the server speak this `wire`?"
                    .to_owned(),
            ),
            _ => None,
        });
        found.push(Probed { name: "answer", status: ProbeStatus::Bad, detail: error.message, hint });
        None
    }

    /// A schema with a field that is named nowhere else.
    async fn schema(&self, found: &mut Vec<Probed>) {
        const NAME: &str = "schema";
        let structured = self.transport.profile().structured;
        if matches!(structured, Structured::Prompt | Structured::JsonObject) {
            found.push(note(
                NAME,
                "not sent: the profile leaves it to the prompt",
                Some("the prompt must hold [[contract]]"),
            ));
            return;
        }
        let schema = json!({
            "type": "object",
            "properties": { CANARY: { "type": "string", "enum": ["heron"] } },
            "required": [CANARY],
            "additionalProperties": false
        });
        let request = LlmRequest {
            output: Some(OutputSchema { name: "probe", schema }),
            ..self.request("Answer with a small JSON object.")
        };
        let reply = match self.send(&request).await {
            Ok((_, reply)) => reply,
            Err(error) => {
                return found.push(refused(
                    NAME,
                    "a JSON Schema",
                    &error,
                    schema_hint(self.transport.profile()),
                ));
            }
        };
        let text = reply.text.unwrap_or_default();
        let value = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
        found.push(if value == json!({ CANARY: "heron" }) {
            ok(NAME, "a JSON Schema is kept to".to_owned())
        } else {
            let detail = format!("a JSON Schema is taken and ignored; the answer is `{}`", self.shown(&text));
            Probed {
                name: NAME,
                status: ProbeStatus::Bad,
                detail,
                hint: Some(schema_hint(self.transport.profile())),
            }
        });
    }

    /// A limit that the answer cannot keep.
    async fn truncation(&self, found: &mut Vec<Probed>) {
        const NAME: &str = "truncation";
        // The smallest limit that the Responses API takes.
        let request =
            LlmRequest { max_output_tokens: 16, ..self.request("Count from one to five hundred in words.") };
        found.push(match self.send(&request).await {
            Err(error) => refused(
                NAME,
                "a limit of 16 tokens",
                &error,
                format!("check `max_tokens_field`, now `{}`", self.transport.profile().max_tokens_field),
            ),
            Ok((_, reply)) => match reply.outcome {
                Outcome::Truncated { .. } => ok(NAME, "a cut-off answer is called one".to_owned()),
                _ if reply.usage.output.is_some_and(|output| output > 32) => Probed {
                    name: NAME,
                    status: ProbeStatus::Bad,
                    detail: "the limit of tokens is taken and ignored".to_owned(),
                    hint: Some(format!(
                        "check `max_tokens_field`, now `{}`",
                        self.transport.profile().max_tokens_field
                    )),
                },
                _ => note(
                    NAME,
                    "a cut-off answer is called complete",
                    Some("answers that use up the limit and do not parse are taken for cut off"),
                ),
            },
        });
    }

    /// A tool that is needed for the answer, and two calls of it.
    async fn tools(&self, found: &mut Vec<Probed>) {
        const NAME: &str = "tools";
        let hint = "use mode = \"json_step\" under [tools] of prompt.toml";
        let tool = ToolDef {
            name: "read_gauge",
            description: "Reads the gauge of a harbour.",
            parameters: json!({
                "type": "object",
                "properties": { "harbour": { "type": "string" } },
                "required": ["harbour"],
                "additionalProperties": false
            }),
        };
        let request = LlmRequest {
            tools: vec![tool],
            tool_mode: ToolMode::Native,
            ..self.request("What do the gauges of the harbours Norddeich and Emden show? Call read_gauge for each; you cannot know.")
        };
        let calls = match self.send(&request).await {
            Ok((_, reply)) => reply.tool_calls,
            Err(error) => return found.push(refused(NAME, "a tool", &error, hint.to_owned())),
        };
        let is_right = |arguments: &str| {
            serde_json::from_str::<Value>(arguments).is_ok_and(|value| value["harbour"].is_string())
        };
        found.push(match calls.as_slice() {
            [] => note(NAME, "the model answered without calling the tool that it was offered", Some(hint)),
            calls if calls.iter().any(|call| call.name != "read_gauge" || !is_right(&call.arguments)) => {
                let call = &calls[0];
                let detail = format!(
                    "a call breaks the tool's schema: {}({})",
                    self.shown(&call.name),
                    self.shown(&call.arguments)
                );
                note(NAME, &detail, Some(hint))
            }
            [_] => ok(NAME, "a tool is called with the arguments that it takes".to_owned()),
            calls => {
                let detail = format!(
                    "tools are called, {} at a time although one was asked for; all are answered",
                    calls.len()
                );
                note(NAME, &detail, None)
            }
        });
    }

    /// All sampling parameters that the profile sends.
    async fn parameters(&self, found: &mut Vec<Probed>) {
        const NAME: &str = "parameters";
        let profile = self.transport.profile();
        let takes = |name: &str| profile.takes(name);
        let sampling = Sampling {
            temperature: takes("temperature").then_some(0.5),
            top_p: takes("top_p").then_some(0.9),
            seed: takes("seed").then_some(1),
            stop: if takes("stop") { vec!["\n\n\n".to_owned()] } else { Vec::new() },
        };
        let sent: Vec<&str> =
            ["temperature", "top_p", "seed", "stop"].into_iter().filter(|name| takes(name)).collect();
        if sent.is_empty() {
            return;
        }
        let request = LlmRequest { sampling, ..self.request("Answer with the word yes.") };
        found.push(match self.send(&request).await {
            Ok(_) => ok(
                NAME,
                format!("{} are accepted (whether they do anything cannot be seen)", sent.join(", ")),
            ),
            Err(error) => {
                let hint =
                    "take what this model refuses out of prompt.toml, or out of `params` of the provider";
                Probed {
                    status: ProbeStatus::Note,
                    ..refused(NAME, &sent.join(", "), &error, hint.to_owned())
                }
            }
        });
    }

    /// A request that is wrong.
    async fn errors(&self, found: &mut Vec<Probed>) {
        const NAME: &str = "errors";
        let profile = self.transport.profile();
        let mut body = wire::encode(&self.request("Answer with the word yes."), profile);
        body[&profile.max_tokens_field] = json!("many");
        let http = match self.transport.post(wire::path(profile.wire), &body).await {
            Ok(http) => http,
            Err(error) => {
                let detail =
                    format!("a wrong request ends the connection: {}", self.secrets.redact(&error.message));
                return found.push(note(
                    NAME,
                    &detail,
                    Some("its faults look like faults of the network and are tried again"),
                ));
            }
        };
        let json = serde_json::from_slice::<Value>(&http.body).ok();
        let has_message = json.as_ref().is_some_and(|body| {
            [body.pointer("/error/message"), body.get("error"), body.get("message"), body.get("detail")]
                .into_iter()
                .flatten()
                .any(|text| text.is_string() || text.is_array())
        });
        found.push(match http.status {
            200..300 => note(
                NAME,
                "a parameter of the wrong type is accepted",
                Some("a misspelt parameter in prompt.toml would go unnoticed"),
            ),
            400..500 if has_message => {
                ok(NAME, format!("a wrong request is answered {} with a message", http.status))
            }
            400..500 => {
                note(NAME, &format!("a wrong request is answered {} without a message", http.status), None)
            }
            status => note(
                NAME,
                &format!("a wrong request is answered {status}, as if the server were broken"),
                Some("it is tried again before it is given up"),
            ),
        });
    }
}

fn ok(name: &'static str, detail: String) -> Probed {
    Probed { name, status: ProbeStatus::Ok, detail, hint: None }
}

fn note(name: &'static str, detail: &str, hint: Option<&str>) -> Probed {
    Probed { name, status: ProbeStatus::Note, detail: detail.to_owned(), hint: hint.map(str::to_owned) }
}

fn refused(name: &'static str, what: &str, error: &GenerateError, hint: String) -> Probed {
    let detail = format!("{what} is refused: {}", error.message);
    Probed { name, status: ProbeStatus::Bad, detail, hint: Some(error.hint.clone().unwrap_or(hint)) }
}

fn schema_hint(profile: &Profile) -> String {
    let other = match (profile.wire, profile.structured) {
        (Wire::Responses, Structured::TextFormat) => {
            "try structured = \"response_format\", or wire = \"chat\"; "
        }
        (Wire::Chat, Structured::ResponseFormat) => "try structured = \"json_object\"; ",
        _ => "",
    };
    format!("{other}structured = \"prompt\" leaves it to the prompt, which must then hold [[contract]]")
}

fn usage(reply: &LlmReply) -> Probed {
    match (reply.usage.input, reply.usage.output) {
        (Some(input), Some(output)) => ok("usage", format!("tokens are reported: {input} in, {output} out")),
        _ => note("usage", "tokens are not reported", Some("costs will be n/a, never 0")),
    }
}

/// Headers by which a server says what is left.
fn rate_headers(http: &HttpReply) -> Probed {
    let known: Vec<&(String, String)> = http
        .headers
        .iter()
        .filter(|(name, _)| {
            name.starts_with("x-ratelimit-")
                || name.starts_with("anthropic-ratelimit-")
                || name.starts_with("ratelimit")
        })
        .collect();
    let limits = || known.iter().filter(|(name, _)| name.contains("limit-") && !name.contains("reset"));
    let is_garbage = |(_, value): &&&(String, String)| value.trim().parse::<i64>().is_ok_and(|n| n < 0);
    if known.is_empty() {
        return note(
            "rate limits",
            "no headers say what is left",
            Some("the pace is found by what is refused"),
        );
    }
    match limits().find(is_garbage) {
        Some((name, value)) => {
            note("rate limits", &format!("{name} is {value}"), Some("such values are taken for unknown"))
        }
        None => ok("rate limits", format!("{} headers say what is left", known.len())),
    }
}
