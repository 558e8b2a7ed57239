//! Opaque values: names that dbt would resolve to macros of the project or of packages. They render as calls.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, State, Value};

use super::Recorder;
use super::placement::{MARK_END, MARK_START, strip_marks};

/// Depth of nested arguments that is written out.
const MAX_DEPTH: usize = 16;

/// A name or the result of a call of which only name and arguments are known.
#[derive(Debug)]
pub(super) struct Opaque {
    /// Dotted name, as the template writes it.
    name: String,
    /// Arguments as SQL; those of chained calls follow each other, with the name of the link before them.
    arguments: Vec<String>,
    called: bool,
    recorder: Recorder,
}

/// The opaque value with this name.
pub(super) fn named(name: &str, recorder: &Recorder) -> Value {
    Value::from_object(Opaque {
        name: name.to_owned(),
        arguments: Vec::new(),
        called: false,
        recorder: recorder.clone(),
    })
}

/// Whether a value is opaque.
pub(super) fn is_opaque(value: &Value) -> bool {
    value.downcast_object_ref::<Opaque>().is_some()
}

/// An opaque call with arguments.
pub(super) fn call(name: &str, args: &[Value], recorder: &Recorder) -> Value {
    recorder.with(|record| record.rendered.macros.insert(name.to_owned()));
    Value::from_object(Opaque {
        name: name.to_owned(),
        arguments: args.iter().flat_map(arguments).collect(),
        called: true,
        recorder: recorder.clone(),
    })
}

impl Opaque {
    fn link(&self, part: &str) -> Value {
        let name = format!("{}.{part}", self.name);
        let mut arguments = self.arguments.clone();
        if self.called {
            arguments.push(literal(&format!(".{part}")));
        }
        Value::from_object(Self { name, arguments, called: self.called, recorder: self.recorder.clone() })
    }

    /// The call as SQL, `a__b('x')`.
    fn sql(&self) -> String {
        format!("{}({})", self.name.replace('.', "__"), self.arguments.join(", "))
    }
}

impl Object for Opaque {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        // Iterable, so that loops over it and `list + opaque` run; what they decide is reported as undecided.
        ObjectRepr::Iterable
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str() {
            Some(part) if is_identifier(part) => self.link(part),
            _ => {
                let mut arguments = self.arguments.clone();
                arguments.push(sql_of(key, 0));
                Value::from_object(Self {
                    name: format!("{}.item", self.name),
                    arguments,
                    called: true,
                    recorder: self.recorder.clone(),
                })
            }
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        // Loops over loops end somewhere, so that nothing recurses into an opaque value for ever.
        if self.name.matches(".each").count() > 3 {
            return Enumerator::Empty;
        }
        Enumerator::Values(vec![self.link("each")])
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        self.recorder.with(|record| record.rendered.macros.insert(self.name.clone()));
        let mut all = self.arguments.clone();
        all.extend(args.iter().flat_map(arguments));
        Ok(Value::from_object(Self {
            name: self.name.clone(),
            arguments: all,
            called: true,
            recorder: self.recorder.clone(),
        }))
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if args.is_empty() && method == "items" {
            return Ok(Value::from(vec![Value::from(vec![self.link("key"), self.link("value")])]));
        }
        self.link(method).call(state, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK_START}{}{MARK_END}", self.sql())
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// The SQL of one argument; keyword arguments are sorted by name, because their order means nothing.
fn arguments(value: &Value) -> Vec<String> {
    if !value.is_kwargs() {
        return vec![sql_of(value, 0)];
    }
    let mut pairs: Vec<(String, String)> = value
        .try_iter()
        .into_iter()
        .flatten()
        .map(|key| {
            let item = value.get_item(&key).unwrap_or_default();
            (key.to_string(), sql_of(&item, 0))
        })
        .collect();
    pairs.sort();
    pairs.into_iter().map(|(name, value)| format!("jinja_kwarg({}, {value})", literal(&name))).collect()
}

/// A value as a SQL expression: equal text if and only if equal value.
fn sql_of(value: &Value, depth: usize) -> String {
    if let Some(opaque) = value.downcast_object_ref::<Opaque>() {
        return opaque.sql();
    }
    if depth > MAX_DEPTH {
        return "jinja_deep()".to_owned();
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => "null".to_owned(),
        ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number => value.to_string(),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<String> =
                value.try_iter().into_iter().flatten().map(|item| sql_of(&item, depth + 1)).collect();
            format!("jinja_list({})", items.join(", "))
        }
        ValueKind::Map => {
            let mut items = Vec::new();
            for key in value.try_iter().into_iter().flatten() {
                items.push(sql_of(&key, depth + 1));
                items.push(sql_of(&value.get_item(&key).unwrap_or_default(), depth + 1));
            }
            format!("jinja_map({})", items.join(", "))
        }
        _ => literal(&strip_marks(&value.to_string())),
    }
}

/// A string literal that every dialect reads alike: a quote or backslash, which they don't, makes it a list of code points.
fn literal(text: &str) -> String {
    if text.contains(['\'', '\\', '\n', '\r', '$']) {
        let points: Vec<String> = text.chars().map(|c| u32::from(c).to_string()).collect();
        return format!("jinja_text({})", points.join(", "));
    }
    format!("'{text}'")
}
