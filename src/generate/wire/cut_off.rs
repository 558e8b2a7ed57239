//! Bodies that end in the middle. The answer can have come whole although what follows it has not: it was paid for, so it
//! is read, but only where what did come says that nothing of the answer is missing.

use serde_json::Value;

use super::{HttpReply, Wire};
use crate::generate::profile::Profile;
use crate::generate::request::{LlmReply, LlmRequest, Outcome};

/// Deeper bodies are not looked at.
const MAX_DEPTH: usize = 64;

/// The reply in a successful body that ends in the middle, if its answer is whole: its text is closed, and the server had
/// said by then that it stopped by itself. Never a tool call, and never where a tool could still be called. Tokens and
/// whatever else is missing are unknown.
pub(crate) fn read(request: &LlmRequest, profile: &Profile, http: &HttpReply) -> Option<LlmReply> {
    if !(200..300).contains(&http.status) || !request.tools.is_empty() {
        return None;
    }
    let (text, open) = close(std::str::from_utf8(&http.body).ok()?)?;
    let body: Value = serde_json::from_str(&text).ok()?;
    if !is_whole(profile.wire, &body, &open) {
        return None;
    }
    let closed = HttpReply { status: http.status, headers: Vec::new(), body: text.into_bytes() };
    let reply = super::decode(request, profile, &closed).ok()?;
    let has_text = reply.text.as_deref().is_some_and(|text| !text.trim().is_empty());
    (reply.outcome == Outcome::Completed && has_text).then_some(reply)
}

/// Whether nothing of the answer is missing in a body whose innermost container without an end is at `open`.
fn is_whole(wire: Wire, body: &Value, open: &str) -> bool {
    let closed = |pointer: &str| {
        body.pointer(pointer).is_some() && open != pointer && !open.starts_with(&format!("{pointer}/"))
    };
    let says = |pointer: &str, word: &str| body.pointer(pointer).and_then(Value::as_str) == Some(word);
    match wire {
        Wire::Responses => {
            let items = body.get("output").and_then(Value::as_array).map_or(0, Vec::len);
            let unbroken =
                body.get("status").is_none() && body.get("incomplete_details") == Some(&Value::Null);
            (says("/status", "completed") || unbroken)
                && (0..items).all(|item| {
                    let item = format!("/output/{item}");
                    closed(&item) || closed(&format!("{item}/content"))
                })
        }
        Wire::Chat => says("/choices/0/finish_reason", "stop") && closed("/choices/0/message/content"),
        Wire::Anthropic => says("/stop_reason", "end_turn") && closed("/content"),
    }
}

/// A JSON text up to its last whole value, its containers closed, and the JSON pointer of the innermost one that was not.
/// `None` where the text is not the beginning of an object or array.
fn close(text: &str) -> Option<(String, String)> {
    let bytes = text.as_bytes();
    let mut open: Vec<Container> = Vec::new();
    let mut kept = 0;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        at += 1;
        match bytes[start] {
            b'{' | b'[' if open.len() < MAX_DEPTH => {
                open.push(if bytes[start] == b'{' { Container::object() } else { Container::Array(0) });
                kept = at;
            }
            b'}' | b']' => {
                (open.pop()?.closer() == char::from(bytes[start])).then_some(())?;
                kept = at;
            }
            b'"' => {
                let Some(end) = end_of_string(bytes, start) else { break };
                at = end;
                // With nothing behind it a string can be a key as well as a value.
                let Some(next) = bytes[at..].iter().find(|byte| !byte.is_ascii_whitespace()) else { break };
                match open.last_mut()? {
                    Container::Object(key) if *next == b':' => {
                        *key = serde_json::from_str(&text[start..at]).ok()?;
                    }
                    _ => kept = at,
                }
            }
            b',' => {
                if let Container::Array(index) = open.last_mut()? {
                    *index += 1;
                }
            }
            b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
            b'{' | b'[' => return None,
            _ => {
                // A number or a word; one that nothing ends can go on.
                let Some(length) = bytes[start..].iter().position(|byte| b",]} \t\r\n".contains(byte)) else {
                    break;
                };
                at = start + length;
                kept = at;
            }
        }
    }
    if open.is_empty() {
        return None;
    }
    let mut closed = text[..kept].to_owned();
    closed.extend(open.iter().rev().map(Container::closer));
    open.pop();
    Some((closed, open.iter().map(Container::step).collect()))
}

/// A container and where in it the text is.
enum Container {
    Object(String),
    Array(usize),
}

impl Container {
    fn object() -> Self {
        Self::Object(String::new())
    }

    fn closer(&self) -> char {
        match self {
            Self::Object(_) => '}',
            Self::Array(_) => ']',
        }
    }

    fn step(&self) -> String {
        match self {
            Self::Object(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Array(index) => format!("/{index}"),
        }
    }
}

/// The byte behind a string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::generate::wire::tests::{profile, request};

    /// A body of each wire around a text, and the providers that speak it.
    fn bodies(text: &str) -> [(&'static str, Value); 3] {
        [
            (
                "openai",
                json!({"id": "r", "status": "completed", "incomplete_details": null, "output": [
                    {"type": "reasoning", "summary": []},
                    {"type": "message", "content": [{"type": "output_text", "text": text}], "role": "assistant"}],
                    "usage": {"input_tokens": 11, "output_tokens": 7}}),
            ),
            (
                "openai-compatible",
                json!({"id": "c", "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": text, "refusal": null}}],
                    "usage": {"prompt_tokens": 11}}),
            ),
            (
                "anthropic",
                json!({"id": "m", "stop_reason": "end_turn", "content": [{"type": "text", "text": text}], "usage": {"input_tokens": 3}}),
            ),
        ]
    }

    fn read_of(provider: &str, body: &str) -> Option<LlmReply> {
        let request = LlmRequest { tools: Vec::new(), ..request() };
        let http = HttpReply { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() };
        read(&request, &profile(provider), &http)
    }

    #[test]
    fn an_answer_is_read_when_only_what_follows_it_is_missing() {
        for (provider, body) in bodies("{\"sql\": \"a, \\\"b\\\"\"}") {
            let body = body.to_string();
            let cut = &body[..body.find("\"usage\"").expect("usage")];
            let reply = read_of(provider, cut).expect(provider);
            assert_eq!(reply.text.as_deref(), Some("{\"sql\": \"a, \\\"b\\\"\"}"), "{provider}");
            assert_eq!(reply.usage, Default::default(), "unknown is not 0");
        }
    }

    #[test]
    fn nothing_is_read_that_is_not_known_to_be_whole() {
        let part = r#"{"type":"message","content":[{"type":"output_text","text":"x"}"#;
        for (provider, body) in [
            // Another part can follow.
            ("openai", format!(r#"{{"status":"completed","output":[{part}"#)),
            // Cut off by the limit of tokens, or nobody knows.
            ("openai", format!(r#"{{"status":"incomplete","output":[{part}]}}"#)),
            (
                "openai",
                format!(r#"{{"incomplete_details":{{"reason":"max_output_tokens"}},"output":[{part}]}}"#),
            ),
            ("openai", format!(r#"{{"output":[{part}]}}"#)),
            ("openai", r#"{"status":"completed","error":{"message":"x"},"output":"#.to_owned()),
            ("openai-compatible", r#"{"choices":[{"message":{"content":"x","role":"assistant"}"#.to_owned()),
            (
                "openai-compatible",
                r#"{"choices":[{"finish_reason":"length","message":{"content":"x""#.to_owned(),
            ),
            (
                "openai-compatible",
                r#"{"choices":[{"finish_reason":"stop","message":{"content":"x"#.to_owned(),
            ),
            (
                "openai-compatible",
                r#"{"choices":[{"finish_reason":"stop","message":{"content":"x","refusal":"no","a":"#
                    .to_owned(),
            ),
            ("anthropic", r#"{"stop_reason":"end_turn","content":[{"type":"text","text":"x"},{"#.to_owned()),
            (
                "anthropic",
                r#"{"stop_reason":"max_tokens","content":[{"type":"text","text":"x"}],"#.to_owned(),
            ),
            ("anthropic", r#"{"content":[{"type":"text","text":"x"}],"#.to_owned()),
            ("openai", "<html>".to_owned()),
            ("openai", "[".repeat(100_000)),
            ("openai", "{\"a\" 1, \"b\": [}".to_owned()),
        ] {
            assert_eq!(read_of(provider, &body), None, "{body:.200}");
        }
        // With tools offered, a call could follow.
        let (provider, body) = &bodies("x")[1];
        let body = body.to_string();
        let cut = &body[..body.find("\"usage\"").expect("usage")];
        let http = HttpReply { status: 200, headers: Vec::new(), body: cut.as_bytes().to_vec() };
        assert_eq!(read(&request(), &profile(provider), &http), None);
    }

    proptest! {
        /// Wherever a body ends, there is the whole text or nothing.
        #[test]
        fn no_text_is_ever_shortened(text in "[ -~\n]{1,30}|\\PC{1,10}", share in 0.0..1.0_f64, wire in 0..3_usize) {
            let (provider, body) = &bodies(&text)[wire];
            let body = body.to_string();
            let mut end = (body.len() as f64 * share) as usize;
            while !body.is_char_boundary(end) {
                end -= 1;
            }
            if let Some(reply) = read_of(provider, &body[..end]) {
                prop_assert_eq!(reply.text.as_deref(), Some(text.as_str()));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text in "[\\[\\]{}\",:\\\\a1 \n]{0,60}") {
            if let Some((closed, _)) = close(&text) {
                let _ = serde_json::from_str::<Value>(&closed);
            }
        }
    }
}
