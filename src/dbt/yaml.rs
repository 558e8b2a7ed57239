//! YAML as a tree with positions. dbt's files are too loose for typed structs, and a fault has to name its line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Text longer than this is refused unread.
const MAX_BYTES: usize = 1 << 20;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// A YAML value, as PyYAML (so: dbt) reads it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// A truth value (`yes` and `on` too).
    Bool(bool),
    /// A number, as text.
    Number(String),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in file order; of equal keys the last one counts.
    Map(Vec<(Node, Node)>),
}

/// Text that is not YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlFault {
    /// What is wrong.
    pub message: String,
    /// Line, from 1, when known.
    pub line: Option<usize>,
    /// Column, from 1, when known.
    pub column: Option<usize>,
}

impl Node {
    /// Reads a document; an empty one is null.
    ///
    /// # Errors
    /// When the text is not YAML, or is too large.
    pub fn parse(text: &str) -> Result<Self, YamlFault> {
        if text.len() > MAX_BYTES {
            let message = format!("larger than {} MB", MAX_BYTES >> 20);
            return Err(YamlFault { message, line: None, column: None });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let options = serde_saphyr::options! {
            duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
            with_snippet: false,
        };
        let read = serde_saphyr::from_str_with_options::<Option<Spanned<Value>>>(text, options);
        match read {
            Ok(Some(node)) => Ok(node.into()),
            Ok(None) => Ok(Self { value: Value::Null, line: 1, column: 1 }),
            Err(error) => {
                let place = error.location().map(|at| (at.line(), at.column()));
                let text = error.without_snippet().to_string();
                // The place is told apart from the message, so that it is not said twice.
                let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
                let message = match message.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
                    Some((_, message)) => message.to_owned(),
                    None => message,
                };
                Err(YamlFault {
                    message,
                    line: place.and_then(|(line, _)| usize::try_from(line).ok()),
                    column: place.and_then(|(_, column)| usize::try_from(column).ok()),
                })
            }
        }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => {
                entries.iter().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[(Self, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; none for anything else.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of any scalar but null, as dbt would print it.
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Bool(true) => Some("True".into()),
            Value::Bool(false) => Some("False".into()),
            _ => None,
        }
    }

    /// The truth value, also when written as text.
    pub fn bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The value as JSON; numbers that JSON cannot hold stay text.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => text
                .parse::<i64>()
                .map(serde_json::Value::from)
                .or_else(|_| text.parse::<f64>().map(serde_json::Value::from))
                .unwrap_or_else(|_| text.as_str().into()),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.scalar().unwrap_or_default(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        let at = |n| usize::try_from(n).unwrap_or(0).max(1);
        Self {
            line: at(spanned.referenced.line()),
            column: at(spanned.referenced.column()),
            value: spanned.value,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Value>>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<Value>, Spanned<Value>>()? {
            entries.push((key.into(), value.into()));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let node = Node::parse("a: 1\nb:\n  - x\n  - {c: yes}\n  - ~\nd: 'no'\n").expect("YAML");
        assert_eq!(node.get("a").and_then(Node::scalar).as_deref(), Some("1"));
        let items = node.get("b").expect("b").items();
        assert_eq!((items[0].text(), items[0].line), (Some("x"), 3));
        assert_eq!(items[1].get("c").and_then(Node::bool), Some(true));
        assert_eq!(items[1].line, 4);
        assert!(items[2].is_null());
        assert_eq!(node.get("d").expect("d").text(), Some("no"));
        assert_eq!(node.entries()[1].0.line, 2);
    }

    #[test]
    fn faults_have_a_place_and_no_panic() {
        let fault = Node::parse("a: [1, 2\nb: 3\n").expect_err("unclosed");
        assert!(fault.line.is_some(), "{fault:?}");
        for text in [
            "",
            "---\n",
            "a: &x [*x]",
            "{",
            "a: !!python/object:os.system x",
            "\t",
            "? [a]\n: b",
            "\u{feff}a: 1",
        ] {
            let _ = Node::parse(text);
        }
        assert!(Node::parse(&"[".repeat(100_000)).is_err());
        assert!(Node::parse(&"x".repeat(2 << 20)).is_err());
        assert_eq!(Node::parse("").expect("empty").value, Value::Null);
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let node = Node::parse("a: 1\na: 2\n").expect("YAML");
        assert_eq!(node.get("a").and_then(Node::scalar).as_deref(), Some("2"));
    }
}
