//! dbt's own names: functions, objects and methods that a model may use.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use serde_json::Value as Json;

use super::{Context, Recorder, Ref, Source, known, mutable, opaque, relation_text};

/// Names that are dbt's and not a macro's. Those of them that are not registered below are opaque.
const NAMES: &[&str] = &[
    "ref",
    "source",
    "config",
    "var",
    "env_var",
    "this",
    "target",
    "is_incremental",
    "execute",
    "log",
    "print",
    "exceptions",
    "builtins",
    "flags",
    "schema",
    "database",
    "dbt_version",
    "project_name",
    "tojson",
    "fromjson",
    "return",
    "should_full_refresh",
    "invocation_id",
    "namespace",
    "range",
    "dict",
    "lipsum",
    "debug",
    "cycler",
    "joiner",
    "loop",
    "caller",
    "self",
    "true",
    "false",
    "none",
    "varargs",
    "kwargs",
    "zip",
    "zip_strict",
];

/// Whether a name is dbt's (or Jinja's) own, so that its value here is the one that dbt gives it.
pub(super) fn is_dbt_name(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether the environment already has this name.
pub(super) fn is_defined(environment: &Environment<'_>, name: &str) -> bool {
    matches!(name, "loop" | "caller" | "self" | "varargs" | "kwargs")
        || environment.globals().any(|(known, _)| known == name)
}

/// The text of a value, as Jinja2 (and so dbt) writes it.
pub(super) fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::None => "None".to_owned(),
        _ => value.to_string(),
    }
}

/// A value as JSON; what has no JSON form (relations, opaque values) is its text.
fn json(value: &Value) -> Json {
    to_json(value, 0)
}

fn to_json(value: &Value, depth: usize) -> Json {
    if depth > 16 || opaque::is_opaque(value) {
        return Json::String(super::placement::strip_marks(&value.to_string()));
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => serde_json::to_value(value).unwrap_or(Json::Null),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().into_iter().flatten().map(|item| to_json(&item, depth + 1)).collect()
        }
        ValueKind::Map => {
            let keys = value.try_iter().into_iter().flatten();
            let pair = |key: Value| {
                let item = value.get_item(&key).unwrap_or_default();
                (key.to_string(), to_json(&item, depth + 1))
            };
            Json::Object(keys.map(pair).collect())
        }
        _ => Json::String(super::placement::strip_marks(&value.to_string())),
    }
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::from(integer),
            (None, Some(float)) => Value::from(float),
            (None, None) => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text.clone()),
        Json::Array(items) => items.iter().map(from_json).collect(),
        Json::Object(items) => {
            Value::from_pairs(items.iter().map(|(key, value)| (key.clone(), from_json(value))))
        }
    }
}

/// A relation: `ref`, `source` or `this`.
#[derive(Debug)]
struct Relation {
    text: String,
    name: String,
    schema: String,
    database: String,
}

impl Object for Relation {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(Value::from(match key.as_str()? {
            "identifier" | "name" | "table" => self.name.clone(),
            "schema" | "dataset" => self.schema.clone(),
            "database" | "project" => self.database.clone(),
            "type" => "table".to_owned(),
            "is_table" => return Some(Value::from(true)),
            "is_view" | "is_cte" => return Some(Value::from(false)),
            _ => return None,
        }))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "include" | "quote" | "render" | "without_identifier" | "replace_path" => {
                Ok(Value::from_dyn_object(Arc::clone(self)))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `config(...)`, `config.get(...)`, `config.require(...)`.
#[derive(Debug)]
struct Config {
    recorder: Recorder,
}

impl Object for Config {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        for argument in args {
            for key in argument.try_iter()? {
                let value = json(&argument.get_item(&key)?);
                self.recorder.with(|record| record.rendered.config.insert(key.to_string(), value));
            }
        }
        Ok(Value::from(""))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if !matches!(method, "get" | "require" | "persist_relation_docs" | "persist_column_docs" | "set") {
            return Err(Error::from(ErrorKind::UnknownMethod));
        }
        let name = args.first().map(ToString::to_string).unwrap_or_default();
        let known = self.recorder.with(|record| record.rendered.config.get(&name).cloned());
        Ok(match known {
            Some(value) => from_json(&value),
            None => args.get(1).filter(|value| !value.is_kwargs()).cloned().unwrap_or(Value::from(())),
        })
    }
}

/// `exceptions.raise_compiler_error(...)`, `exceptions.warn(...)`.
#[derive(Debug)]
struct Exceptions {
    recorder: Recorder,
    /// Whether raising does nothing: it may be that the branch that raises is not dbt's.
    ignored: bool,
}

impl Object for Exceptions {
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if method == "warn" || self.ignored {
            return Ok(Value::from(""));
        }
        let message = args.first().map(ToString::to_string).unwrap_or_else(|| method.to_owned());
        self.recorder.with(|record| record.raised = Some(format!("the model raises an error: {message}")));
        Err(Error::new(ErrorKind::InvalidOperation, "raised"))
    }
}

/// `var(...)` and `var.has_var(...)`.
#[derive(Debug)]
struct Var {
    vars: BTreeMap<String, Json>,
    recorder: Recorder,
}

impl Object for Var {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let (name, default, kwargs): (String, Option<Value>, Kwargs) = minijinja::value::from_args(args)?;
        let default = default.or_else(|| kwargs.get::<Value>("default").ok());
        self.recorder.with(|record| record.rendered.vars.insert(name.clone()));
        if let Some(value) = self.vars.get(&name) {
            return Ok(from_json(value));
        }
        if let Some(value) = default.filter(|value| !value.is_undefined()) {
            return Ok(value);
        }
        self.recorder.with(|record| record.rendered.missing_vars.insert(name.clone()));
        Ok(opaque::call("var", &[Value::from(name)], &self.recorder))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "has_var" => {
                let name = args.first().map(ToString::to_string).unwrap_or_default();
                Ok(Value::from(self.vars.contains_key(&name)))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// Methods that Python's strings, lists and maps have and minijinja's lack.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if method == "copy" && args.is_empty() && !opaque::is_opaque(value) {
        return mutable::copy(value);
    }
    if let (Some(text), Some(padded)) = (value.as_str(), padding(method))
        && let Some(width) = args.first().and_then(Value::as_usize)
    {
        let fill = args.get(1).and_then(Value::as_str).unwrap_or(padded.fill);
        return padded.pad(text, width, fill);
    }
    if mutable::METHODS.contains(&method) {
        let message = format!("`{method}` changes a list or map that is not the template's own");
        return Err(Error::new(ErrorKind::UnknownMethod, message));
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}

/// How a method of Python's strings fills up a text.
struct Padding {
    fill: &'static str,
    left: bool,
}

fn padding(method: &str) -> Option<Padding> {
    match method {
        "zfill" => Some(Padding { fill: "0", left: true }),
        "rjust" => Some(Padding { fill: " ", left: true }),
        "ljust" => Some(Padding { fill: " ", left: false }),
        _ => None,
    }
}

impl Padding {
    fn pad(&self, text: &str, width: usize, fill: &str) -> Result<Value, Error> {
        let missing = width.saturating_sub(text.chars().count());
        if missing > 10_000 || fill.chars().count() != 1 {
            return Err(Error::new(ErrorKind::InvalidOperation, "a text cannot be filled up like that"));
        }
        let more = fill.repeat(missing);
        // `zfill` keeps the sign in front.
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(rest) if self.fill == "0" => (&text[..1], rest),
            _ => ("", text),
        };
        Ok(Value::from(if self.left { format!("{sign}{more}{digits}") } else { format!("{text}{more}") }))
    }
}

fn name_of(value: &Value, what: &str) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::InvalidOperation, format!("{what} needs names that are known strings"))
    })
}

fn relation(context: &Context, recorder: &Recorder, key: &str, parts: &[&str]) -> Value {
    let text = context.relations.get(key).cloned().unwrap_or_else(|| relation_text(parts, context.dialect));
    let plain = context.relations.get(key).cloned().unwrap_or_else(|| parts.join("."));
    recorder.with(|record| record.rendered.relations.insert(plain));
    let target = |name: &str| context.target.get(name).cloned().unwrap_or_default();
    let schema = if parts.len() > 1 { parts[0].to_owned() } else { target("schema") };
    let name = parts.last().copied().unwrap_or_default().to_owned();
    Value::from_object(Relation { text, name, schema, database: target("database") })
}

/// Adds dbt's names to an environment.
pub(super) fn register(
    environment: &mut Environment<'_>,
    context: &Context,
    recorder: &Recorder,
    ignore_raised: bool,
) {
    let shared = Arc::new(context.clone());

    let (ctx, rec) = (Arc::clone(&shared), recorder.clone());
    let reference = move |args: Rest<Value>, kwargs: Kwargs| -> Result<Value, Error> {
        if args.iter().any(opaque::is_opaque) {
            let mut all = args.0;
            all.push(Value::from(kwargs));
            return Ok(opaque::call("ref", &all, &rec));
        }
        let (package, name) = match args.as_slice() {
            [name] => {
                let package = kwargs.get::<Option<Value>>("package")?.filter(|value| !value.is_none());
                (package.map(|value| name_of(&value, "ref")).transpose()?, name_of(name, "ref")?)
            }
            [package, name] => (Some(name_of(package, "ref")?), name_of(name, "ref")?),
            _ => {
                return Err(Error::new(
                    ErrorKind::MissingArgument,
                    "ref takes a model name, or a package and a model name",
                ));
            }
        };
        let version = ["v", "version"]
            .iter()
            .find_map(|key| kwargs.get::<Value>(key).ok())
            .filter(|value| !value.is_undefined() && !value.is_none())
            .map(|value| value.to_string());
        let stands_as = version.as_ref().map_or_else(|| name.clone(), |version| format!("{name}_v{version}"));
        let reference = Ref { package, name, version };
        let key = format!("ref:{reference}");
        rec.with(|record| record.rendered.refs.insert(reference));
        Ok(relation(&ctx, &rec, &key, &[&stands_as]))
    };

    let (ctx, rec) = (Arc::clone(&shared), recorder.clone());
    let source = move |source: Value, table: Value| -> Result<Value, Error> {
        if opaque::is_opaque(&source) || opaque::is_opaque(&table) {
            return Ok(opaque::call("source", &[source, table], &rec));
        }
        let source = Source { source: name_of(&source, "source")?, table: name_of(&table, "source")? };
        let value = relation(&ctx, &rec, &format!("source:{source}"), &[&source.source, &source.table]);
        rec.with(|record| record.rendered.sources.insert(source));
        Ok(value)
    };

    let config = Value::from_object(Config { recorder: recorder.clone() });
    let var = Value::from_object(Var { vars: context.vars.clone(), recorder: recorder.clone() });
    let reference = Value::from_function(reference);
    let source = Value::from_function(source);
    environment.add_global(
        "builtins",
        Value::from_pairs([
            ("ref", reference.clone()),
            ("source", source.clone()),
            ("config", config.clone()),
            ("var", var.clone()),
        ]),
    );
    environment.add_global("ref", reference);
    environment.add_global("source", source);
    environment.add_global("config", config);
    environment.add_global("var", var);

    let rec = recorder.clone();
    let incremental = context.incremental;
    environment.add_function("is_incremental", move || {
        rec.with(|record| record.rendered.uses_incremental = true);
        incremental
    });

    let (ctx, rec) = (Arc::clone(&shared), recorder.clone());
    environment.add_function("env_var", move |name: String, default: Option<Value>| -> Value {
        rec.with(|record| record.rendered.env_vars.insert(name.clone()));
        match (ctx.env.get(&name), default) {
            (Some(value), _) => Value::from(value.clone()),
            (None, Some(default)) => default,
            (None, None) => opaque::call("env_var", &[Value::from(name)], &rec),
        }
    });

    environment.add_global(
        "this",
        Value::from_object(This { context: Arc::clone(&shared), recorder: recorder.clone() }),
    );
    let target: BTreeMap<String, Value> =
        context.target.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    environment.add_global("target", Value::from(target));
    environment.add_global("schema", context.target.get("schema").cloned().unwrap_or_default());
    environment.add_global("database", context.target.get("database").cloned().unwrap_or_default());
    environment.add_global("project_name", "project");
    environment.add_global("dbt_version", "1.11.16");
    environment.add_global("invocation_id", "00000000-0000-0000-0000-000000000000");
    environment.add_global("execute", context.execute);
    environment.add_global("flags", Value::from_pairs([("FULL_REFRESH", Value::from(false))]));
    mutable::register(environment);
    environment.add_function("should_full_refresh", || false);
    environment.add_function("log", |_: Rest<Value>, _: Kwargs| "");
    environment.add_function("print", |_: Rest<Value>| "");
    environment.add_function("return", |value: Value| value);
    environment.add_function("tojson", |value: Value, _: Rest<Value>, _: Kwargs| json(&value).to_string());
    environment.add_function(
        "fromjson",
        |value: String, default: Option<Value>| match serde_json::from_str::<Json>(&value) {
            Ok(json) => from_json(&json),
            Err(_) => default.unwrap_or_default(),
        },
    );
    environment.add_global(
        "exceptions",
        Value::from_object(Exceptions { recorder: recorder.clone(), ignored: ignore_raised }),
    );
    // dbt's filters for native types matter only in YAML; in SQL they leave the text as it is.
    environment.add_filter("tojson", |value: Value, _: Rest<Value>, _: Kwargs| json(&value).to_string());
    for name in ["as_text", "as_native", "as_number", "as_bool"] {
        environment.add_filter(name, |value: Value| value);
    }
    known::register(environment, context, recorder);
}

/// `this`: rendered as the model's own name, recorded when it is used.
#[derive(Debug)]
struct This {
    context: Arc<Context>,
    recorder: Recorder,
}

impl This {
    fn relation(&self) -> Value {
        self.recorder.with(|record| record.rendered.uses_this = true);
        relation(&self.context, &self.recorder, "this", &[&self.context.model])
    }
}

impl Object for This {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.relation().get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        self.relation().call_method(state, method, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.relation().to_string())
    }
}
