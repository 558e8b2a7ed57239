//! Strict JSON (duplicate keys are refused) and the search for JSON inside other text.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not strict JSON.
#[derive(Debug)]
pub enum StrictError {
    /// Not JSON.
    Syntax(serde_json::Error),
    /// An object names a key twice, and readers disagree about which one counts.
    DuplicateKey {
        /// JSON pointer of the object's member.
        pointer: String,
        /// The key.
        key: String,
    },
}

impl fmt::Display for StrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "{error}"),
            Self::DuplicateKey { key, .. } => write!(f, "the key {key:?} appears twice"),
        }
    }
}

/// Parses JSON as RFC 8259 has it, and refuses duplicate keys, `NaN`, lone surrogates and depths over 128.
///
/// # Errors
/// Where the text is not that; a duplicate key names its place.
pub fn parse_strict(text: &str) -> Result<Value, StrictError> {
    let mut duplicate = None;
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Strict { path: &mut Vec::new(), duplicate: &mut duplicate };
    let result = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match (result, duplicate) {
        (_, Some((pointer, key))) => Err(StrictError::DuplicateKey { pointer, key }),
        (Err(error), None) => Err(StrictError::Syntax(error)),
        (Ok(value), None) => Ok(value),
    }
}

struct Strict<'a> {
    path: &'a mut Vec<String>,
    duplicate: &'a mut Option<(String, String)>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            self.path.push(items.len().to_string());
            let item = seq.next_element_seed(Strict { path: self.path, duplicate: self.duplicate })?;
            self.path.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            self.path.push(key.replace('~', "~0").replace('/', "~1"));
            if map.contains_key(&key) {
                *self.duplicate = Some((format!("/{}", self.path.join("/")), key));
                return Err(A::Error::custom("duplicate key"));
            }
            let value = access.next_value_seed(Strict { path: self.path, duplicate: self.duplicate })?;
            self.path.pop();
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// How many opening braces are tried, and how many bytes are read in all: hostile text must not cost more than a
/// few passes over it.
const MAX_ATTEMPTS: usize = 2_000;
const MAX_READ: usize = 4 * super::MAX_ANSWER_BYTES;

/// The largest strict JSON object inside a text, and whether the whole text is one fenced block around it.
pub(super) fn unwrap(text: &str) -> Option<(Value, bool)> {
    let mut best: Option<(Value, usize, usize)> = None;
    let mut from = 0;
    let mut read = 0;
    for _ in 0..MAX_ATTEMPTS {
        let Some(start) = text.get(from..).and_then(|rest| rest.find('{')).map(|at| from + at) else { break };
        from = start + 1;
        let rest = &text[start..];
        // `Value`, not `IgnoredAny`: it has a depth limit, so an attempt stops early in nested garbage.
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        match stream.next() {
            Some(Ok(_)) => {
                let length = stream.byte_offset();
                read += 2 * length;
                let Some(Ok(value)) = rest.get(..length).map(parse_strict) else { continue };
                if best.as_ref().is_none_or(|(_, a, b)| length > b - a) {
                    best = Some((value, start, start + length));
                }
                from = start + length;
            }
            Some(Err(error)) => read += offset_of(&error, rest),
            None => {}
        }
        if read > MAX_READ {
            break;
        }
    }
    best.map(|(value, start, end)| (value, is_fence(text[..start].trim(), text[end..].trim())))
}

/// How many bytes had been read when an error was found.
fn offset_of(error: &serde_json::Error, text: &str) -> usize {
    let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
    lines.map(str::len).sum::<usize>() + error.column()
}

/// Whether what stands before and after is the opening and the closing line of a code fence and nothing else.
fn is_fence(before: &str, after: &str) -> bool {
    ["```", "~~~"].into_iter().any(|fence| {
        let Some(info) = before.strip_prefix(fence) else { return false };
        let closed = after.is_empty() || after.chars().all(|c| fence.starts_with(c)) && after.len() >= 3;
        closed && !info.contains(char::is_whitespace) && !info.contains(fence)
    })
}

/// Whether a JSON object begins (at the start, or after a fence's first line) and the text ends before it does.
pub(super) fn ends_in_the_middle(text: &str) -> bool {
    let text = text.trim();
    let body = match text.strip_prefix("```") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, body)| body).trim(),
        None => text,
    };
    body.starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(body).is_err_and(|error| error.is_eof())
}
