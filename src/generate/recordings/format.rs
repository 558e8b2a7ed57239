//! The file format: readable in `git diff`, exact to the byte.
//!
//! Text of several lines is an array of lines, `{"$lines": [...]}`. An answer that is JSON is kept as JSON, but only if
//! writing it again in one of three styles gives back the same bytes; otherwise it is kept as text.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use serde_json::{Map, Value, json};

use super::{FORMAT_VERSION, RecordedReply, Recording, Slot, Turn};
use crate::generate::answers::Usage;
use crate::generate::request::{Components, Outcome, ToolCall};

const LINES: &str = "$lines";

/// Text as a string, or as lines when it has several.
fn text_to_json(text: &str) -> Value {
    if text.contains('\n') { json!({ LINES: text.split('\n').collect::<Vec<_>>() }) } else { text.into() }
}

fn text_from_json(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Object(mut map) => match map.remove(LINES) {
            Some(Value::Array(lines)) if map.is_empty() => lines
                .into_iter()
                .map(|line| match line {
                    Value::String(line) => Ok(line),
                    other => Err(format!("a line is a string, not {other}")),
                })
                .collect::<Result<Vec<_>, _>>()
                .map(|lines| lines.join("\n")),
            _ => Err(format!("text is a string or {{\"{LINES}\": [...]}}")),
        },
        _ => Err("text is a string or lines".to_owned()),
    }
}

/// `serde(with)` for such text.
pub(super) mod lines {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        super::text_to_json(text).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<String, D::Error> {
        super::text_from_json(serde_json::Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// How JSON is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Style {
    /// No white space.
    Compact,
    /// A space after commas and colons, as Python writes it.
    Spaced,
    /// Indented by two.
    Pretty,
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn styled(value: &Value, style: Style) -> Option<String> {
    fn with<F: Formatter>(value: &Value, formatter: F) -> Option<String> {
        let mut bytes = Vec::new();
        value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).ok()?;
        String::from_utf8(bytes).ok()
    }
    match style {
        Style::Compact => with(value, CompactFormatter),
        Style::Spaced => with(value, Spaced),
        Style::Pretty => with(value, PrettyFormatter::new()),
    }
}

/// The answer as JSON and its style, if that loses nothing.
fn as_json(text: &str) -> Option<(Value, Style)> {
    let value: Value = serde_json::from_str(text).ok().filter(Value::is_object)?;
    let style = [Style::Compact, Style::Spaced, Style::Pretty]
        .into_iter()
        .find(|&style| styled(&value, style).as_deref() == Some(text))?;
    let folded = fold(value.clone());
    (unfold(folded.clone()).as_ref() == Ok(&value)).then_some((folded, style))
}

/// Every string of several lines as lines.
fn fold(value: Value) -> Value {
    match value {
        Value::String(text) => text_to_json(&text),
        Value::Array(items) => items.into_iter().map(fold).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, fold(value))).collect()),
        other => other,
    }
}

fn unfold(value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::Object(map) if map.contains_key(LINES) => text_from_json(Value::Object(map))?.into(),
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| Ok((key, unfold(value)?)));
            Value::Object(entries.collect::<Result<Map<_, _>, String>>()?)
        }
        Value::Array(items) => items.into_iter().map(unfold).collect::<Result<Vec<_>, String>>()?.into(),
        other => other,
    })
}

#[derive(Serialize, Deserialize)]
struct ReplyFile {
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    style: Option<Style>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    usage: Usage,
    model: Option<String>,
    response_id: Option<String>,
    system_fingerprint: Option<String>,
    service_tier: Option<String>,
}

impl Serialize for RecordedReply {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (json, style) = self.text.as_deref().and_then(as_json).unzip();
        let text = self.text.as_deref().filter(|_| json.is_none()).map(text_to_json);
        ReplyFile {
            outcome: self.outcome.clone(),
            json,
            style,
            text,
            tool_calls: self.tool_calls.clone(),
            usage: self.usage.clone(),
            model: self.model.clone(),
            response_id: self.response_id.clone(),
            system_fingerprint: self.system_fingerprint.clone(),
            service_tier: self.service_tier.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RecordedReply {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let file = ReplyFile::deserialize(deserializer)?;
        let text = match (file.json, file.style, file.text) {
            (Some(json), Some(style), None) => Some(
                styled(&unfold(json).map_err(D::Error::custom)?, style)
                    .ok_or_else(|| D::Error::custom("bad JSON"))?,
            ),
            (None, None, text) => text.map(text_from_json).transpose().map_err(D::Error::custom)?,
            _ => return Err(D::Error::custom("a reply has `text`, or `json` with `style`")),
        };
        Ok(Self {
            outcome: file.outcome,
            text,
            tool_calls: file.tool_calls,
            usage: file.usage,
            model: file.model,
            response_id: file.response_id,
            system_fingerprint: file.system_fingerprint,
            service_tier: file.service_tier,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    v: u32,
    #[serde(flatten)]
    slot: Slot,
    components: Components,
    trials: Vec<TrialFile>,
}

#[derive(Serialize, Deserialize)]
struct TrialFile {
    trial: u32,
    turns: Vec<Turn>,
}

fn file_of(recording: &Recording) -> File {
    let trials =
        recording.trials.iter().map(|(&trial, turns)| TrialFile { trial, turns: turns.clone() }).collect();
    File { v: FORMAT_VERSION, slot: recording.slot.clone(), components: recording.components.clone(), trials }
}

/// A recording as the text of its file.
pub(super) fn write(recording: &Recording) -> String {
    let mut text = serde_json::to_string_pretty(&file_of(recording)).unwrap_or_default();
    text.push('\n');
    text
}

/// A recording as one line of a pack.
pub(super) fn write_line(recording: &Recording) -> String {
    serde_json::to_string(&file_of(recording)).unwrap_or_default()
}

/// Reads a file or a line of a pack.
pub(super) fn read(text: &str) -> Result<Recording, String> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let file: File =
        serde_json::from_str(text).map_err(|error| match serde_json::from_str::<Version>(text) {
            Ok(version) if version.v > FORMAT_VERSION => {
                format!("it has format {}, and this version reads up to {FORMAT_VERSION}", version.v)
            }
            _ => format!("it is not a recording: {error}"),
        })?;
    if file.v != FORMAT_VERSION {
        return Err(format!("it has format {}, and this version reads {FORMAT_VERSION}", file.v));
    }
    let trials = file.trials.into_iter().map(|trial| (trial.trial, trial.turns)).collect();
    Ok(Recording { slot: file.slot, components: file.components, trials })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(text: Option<String>) -> RecordedReply {
        RecordedReply {
            outcome: Outcome::Completed,
            text,
            tool_calls: Vec::new(),
            usage: Usage::default(),
            model: None,
            response_id: None,
            system_fingerprint: None,
            service_tier: None,
        }
    }

    fn round_trip(text: &str) -> Value {
        let reply = reply(Some(text.to_owned()));
        let json = serde_json::to_value(&reply).unwrap();
        let pretty = serde_json::to_string_pretty(&json).unwrap();
        assert_eq!(serde_json::from_str::<RecordedReply>(&pretty).unwrap(), reply);
        json
    }

    #[test]
    fn json_answers_are_readable_and_exact() {
        let json = round_trip(r#"{"sql":"select 1\nfrom a","tests":["x"],"n":1.50}"#);
        assert_eq!(json.get("json"), None, "1.50 would become 1.5");
        let json = round_trip(r#"{"sql":"select 1\nfrom a","tests":["x"]}"#);
        assert_eq!(json["json"]["sql"], json!({"$lines": ["select 1", "from a"]}));
        assert_eq!(json["style"], "compact");
        assert_eq!(round_trip("{\"a\": 1, \"b\": [1, {}]}")["style"], "spaced");
        assert_eq!(round_trip("{\n  \"a\": 1\n}")["style"], "pretty");
        assert_eq!(round_trip("```json\n{}\n```")["text"], json!({"$lines": ["```json", "{}", "```"]}));
        assert_eq!(round_trip(r#"{"$lines":["a"]}"#).get("json"), None, "would be taken for lines");
        assert_eq!(round_trip(r#"{"a":1,"a":2}"#).get("json"), None, "duplicate keys");
        assert_eq!(round_trip(r#"{"a":"\u00e9\/"}"#).get("json"), None, "other escapes");
    }

    #[test]
    fn however_a_reply_ended_it_comes_back() {
        for outcome in [
            Outcome::Completed,
            Outcome::NeedsTools,
            Outcome::Truncated { reason: "max_output_tokens".to_owned() },
            Outcome::Refused { text: "no".to_owned() },
            Outcome::Filtered,
            Outcome::Failed { code: "invalid_prompt".to_owned(), message: "m".to_owned() },
        ] {
            for text in [None, Some("{\"a\":1}".to_owned()), Some("two\nlines".to_owned())] {
                let reply = RecordedReply { outcome: outcome.clone(), ..reply(text) };
                let json = serde_json::to_string(&reply).unwrap();
                assert_eq!(serde_json::from_str::<RecordedReply>(&json).unwrap(), reply, "{json}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_byte_for_byte(text in "(.|\n|\r){0,60}") {
            round_trip(&text);
        }

        #[test]
        fn any_json_comes_back_byte_for_byte(key in ".{0,10}", value in "(.|\n|\r|\"){0,40}", spaced in any::<bool>()) {
            let value = json!({ key: [value, {"sql": value}] });
            let text = styled(&value, if spaced { Style::Spaced } else { Style::Pretty }).unwrap();
            round_trip(&text);
        }
    }
}
