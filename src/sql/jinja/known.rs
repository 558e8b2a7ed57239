//! Macros of dbt and of `dbt_utils` of which it is known what they write: type names, and functions of their arguments. The
//! arguments are texts of SQL, so that what they name is bound where the call stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, State, Value};

use super::{Context, Recorder, opaque};
use crate::sql::Dialect;

/// Adds the macros: type names also without their package.
pub(super) fn register(environment: &mut Environment<'_>, context: &Context, recorder: &Recorder) {
    let types = types(context.dialect);
    for (name, text) in types {
        environment.add_global(name, Value::from_function(move || text));
    }
    let empty_keys = context
        .vars
        .get("surrogate_key_treat_nulls_as_empty_strings")
        .is_some_and(|value| value.as_bool().unwrap_or(true));
    for name in ["dbt", "dbt_utils"] {
        let package = Package {
            name,
            dialect: context.dialect,
            types: BTreeMap::from(types),
            null_key: if empty_keys { "" } else { "_dbt_utils_surrogate_key_null_" },
            recorder: recorder.clone(),
        };
        environment.add_global(name, Value::from_object(package));
    }
}

/// The names of types in a dialect.
fn types(dialect: Dialect) -> [(&'static str, &'static str); 7] {
    match dialect {
        Dialect::BigQuery => [
            ("type_string", "string"),
            ("type_int", "int64"),
            ("type_bigint", "int64"),
            ("type_float", "float64"),
            ("type_numeric", "numeric"),
            ("type_boolean", "bool"),
            ("type_timestamp", "timestamp"),
        ],
        Dialect::Databricks => [
            ("type_string", "string"),
            ("type_int", "int"),
            ("type_bigint", "bigint"),
            ("type_float", "float"),
            ("type_numeric", "decimal(28, 6)"),
            ("type_boolean", "boolean"),
            ("type_timestamp", "timestamp"),
        ],
        Dialect::Snowflake => [
            ("type_string", "varchar"),
            ("type_int", "int"),
            ("type_bigint", "bigint"),
            ("type_float", "float"),
            ("type_numeric", "numeric(28, 6)"),
            ("type_boolean", "boolean"),
            ("type_timestamp", "timestamp_ntz"),
        ],
        Dialect::Postgres | Dialect::Redshift => [
            ("type_string", "text"),
            ("type_int", "integer"),
            ("type_bigint", "bigint"),
            ("type_float", "float"),
            ("type_numeric", "numeric(28, 6)"),
            ("type_boolean", "boolean"),
            ("type_timestamp", "timestamp without time zone"),
        ],
        Dialect::DuckDb | Dialect::Generic => [
            ("type_string", "varchar"),
            ("type_int", "integer"),
            ("type_bigint", "bigint"),
            ("type_float", "float"),
            ("type_numeric", "numeric(28, 6)"),
            ("type_boolean", "boolean"),
            ("type_timestamp", "timestamp"),
        ],
    }
}

/// A package of which some macros are known and the others are opaque.
#[derive(Debug)]
struct Package {
    name: &'static str,
    dialect: Dialect,
    types: BTreeMap<&'static str, &'static str>,
    /// What stands for NULL in a surrogate key.
    null_key: &'static str,
    recorder: Recorder,
}

impl Object for Package {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(opaque::named(&format!("{}.{}", self.name, key.as_str()?), &self.recorder))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if let Some(text) = self.expanded(method, args) {
            return Ok(Value::from(text));
        }
        Ok(opaque::call(&format!("{}.{method}", self.name), args, &self.recorder))
    }
}

impl Package {
    /// What a known macro writes; `None` for others, and for calls that are not of the form that they have.
    fn expanded(&self, method: &str, args: &[Value]) -> Option<String> {
        if let ([], Some(text)) = (args, self.types.get(method)) {
            return Some((*text).to_owned());
        }
        let given = |names: &[&str]| Given::new(names, args);
        let call = |function: &str, args: &[&str]| format!("{function}({})", args.join(", "));
        let one = |function: &str, name: &str| Some(call(function, &[&given(&[name])?.text(0)?]));
        let (big_query, text_type) = (self.dialect == Dialect::BigQuery, self.types["type_string"]);
        let is_duckdb = self.dialect == Dialect::DuckDb;
        match (self.name, method) {
            ("dbt_utils", "generate_surrogate_key") => {
                let parts: Vec<String> = given(&["field_list"])?
                    .list(0)?
                    .iter()
                    .map(|field| format!("coalesce(cast({field} as {text_type}), '{}')", self.null_key))
                    .collect();
                if parts.is_empty() {
                    return None;
                }
                let mut pieces: Vec<&str> = Vec::with_capacity(parts.len() * 2);
                for part in &parts {
                    if !pieces.is_empty() {
                        pieces.push("'-'");
                    }
                    pieces.push(part);
                }
                Some(self.hash(&self.concat(&pieces)))
            }
            ("dbt_utils", "safe_add" | "safe_subtract") => {
                let sign = if method == "safe_add" { " + " } else { " - " };
                let parts: Vec<String> =
                    given(&["field_list"])?.list(0)?.iter().map(|e| format!("coalesce({e}, 0)")).collect();
                (!parts.is_empty()).then(|| parts.join(sign))
            }
            ("dbt_utils", "safe_divide") => {
                let given = given(&["numerator", "denominator"])?;
                Some(format!("({}) / nullif(({}), 0)", given.text(0)?, given.text(1)?))
            }
            (_, "date_trunc") => {
                let given = given(&["datepart", "date"])?;
                let (part, date) = (given.word(0)?, given.text(1)?);
                Some(match self.dialect {
                    Dialect::BigQuery => format!("timestamp_trunc(cast({date} as timestamp), {part})"),
                    _ => format!("date_trunc('{part}', {date})"),
                })
            }
            (_, "dateadd") => {
                let given = given(&["datepart", "interval", "from_date_or_timestamp"])?;
                let (part, number, from) = (given.word(0)?, given.text(1)?, given.text(2)?);
                match (self.dialect, part.as_str()) {
                    (Dialect::DuckDb, "quarter") => {
                        Some(format!("({from} + (cast({number} as bigint) * 3) * interval 1 month)"))
                    }
                    (Dialect::DuckDb, "week") => {
                        Some(format!("({from} + (cast({number} as bigint) * 7) * interval 1 day)"))
                    }
                    (Dialect::DuckDb, unit) => {
                        Some(format!("({from} + cast({number} as bigint) * interval 1 {unit})"))
                    }
                    (Dialect::BigQuery, unit) => {
                        Some(format!("datetime_add(cast({from} as datetime), interval {number} {unit})"))
                    }
                    (Dialect::Postgres, unit) => {
                        Some(format!("{from} + ((interval '1 {unit}') * ({number}))"))
                    }
                    (_, unit) => Some(format!("dateadd({unit}, {number}, {from})")),
                }
            }
            (_, "datediff") => {
                let given = given(&["first_date", "second_date", "datepart"])?;
                let (first, second, part) = (given.text(0)?, given.text(1)?, given.word(2)?);
                match self.dialect {
                    Dialect::DuckDb if part != "week" => {
                        Some(format!("(date_diff('{part}', {first}::timestamp, {second}::timestamp))"))
                    }
                    Dialect::BigQuery if part != "week" => Some(format!(
                        "datetime_diff(cast({second} as datetime), cast({first} as datetime), {part})"
                    )),
                    Dialect::Snowflake | Dialect::Redshift => {
                        Some(format!("datediff({part}, {first}, {second})"))
                    }
                    _ => None,
                }
            }
            ("dbt", "concat") => {
                let fields = given(&["fields"])?.list(0)?;
                Some(self.concat(&fields.iter().map(String::as_str).collect::<Vec<_>>()))
            }
            ("dbt", "hash") => Some(self.hash(&given(&["field"])?.text(0)?)),
            ("dbt", "length") => one("length", "expression"),
            ("dbt", "bool_or") if !big_query => one("bool_or", "expression"),
            ("dbt", "any_value") => one(if is_duckdb { "arbitrary" } else { "any_value" }, "expression"),
            ("dbt", "replace") => {
                let given = given(&["field", "old_chars", "new_chars"])?;
                Some(call("replace", &[&given.text(0)?, &given.text(1)?, &given.text(2)?]))
            }
            ("dbt", "right") if !matches!(self.dialect, Dialect::Redshift | Dialect::Snowflake) => {
                let given = given(&["string_text", "length_expression"])?;
                Some(call("right", &[&given.text(0)?, &given.text(1)?]))
            }
            ("dbt", "position") if !big_query => {
                let given = given(&["substring_text", "string_text"])?;
                Some(format!("position({} in {})", given.text(0)?, given.text(1)?))
            }
            ("dbt", "safe_cast" | "cast") => {
                let given = given(&["field", "type"])?;
                let (field, to) = (given.text(0)?, given.text(1)?);
                Some(match (method, self.dialect) {
                    ("safe_cast", Dialect::BigQuery) => format!("safe_cast({field} as {to})"),
                    // A literal there is converted in another way.
                    ("safe_cast", Dialect::Snowflake) => return None,
                    ("safe_cast", Dialect::Databricks) => format!("try_cast({field} as {to})"),
                    _ => format!("cast({field} as {to})"),
                })
            }
            ("dbt", "string_literal") => {
                let text = given(&["value"])?.text(0)?;
                (!text.contains(['\'', '\\'])).then(|| format!("'{text}'"))
            }
            ("dbt", "except") if args.is_empty() => {
                Some(if big_query { "except distinct" } else { "except" }.to_owned())
            }
            ("dbt", "intersect") if args.is_empty() => {
                Some(if big_query { "intersect distinct" } else { "intersect" }.to_owned())
            }
            _ => None,
        }
    }

    fn concat(&self, parts: &[&str]) -> String {
        match self.dialect {
            Dialect::BigQuery => format!("concat({})", parts.join(", ")),
            _ => parts.join(" || "),
        }
    }

    fn hash(&self, field: &str) -> String {
        let hashed = format!("md5(cast({field} as {}))", self.types["type_string"]);
        if self.dialect == Dialect::BigQuery { format!("to_hex({hashed})") } else { hashed }
    }
}

/// The arguments of a call by position, however they were given.
struct Given(Vec<Option<Value>>);

impl Given {
    /// `None` where there are arguments that the macro does not have.
    fn new(names: &[&str], args: &[Value]) -> Option<Self> {
        let mut values: Vec<Option<Value>> = vec![None; names.len()];
        let mut at = 0;
        for argument in args {
            if argument.is_kwargs() {
                for key in argument.try_iter().ok()? {
                    let position = names.iter().position(|name| key.as_str() == Some(name))?;
                    values[position] = argument.get_item(&key).ok();
                }
            } else {
                *values.get_mut(at)? = Some(argument.clone());
                at += 1;
            }
        }
        Some(Self(values))
    }

    /// An argument that is a text or a number.
    fn text(&self, at: usize) -> Option<String> {
        written(self.0.get(at)?.as_ref()?)
    }

    /// An argument that is one lower-case word.
    fn word(&self, at: usize) -> Option<String> {
        let word = self.text(at)?.trim().trim_matches('\'').to_ascii_lowercase();
        (!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())).then_some(word)
    }

    /// An argument that is a list of such.
    fn list(&self, at: usize) -> Option<Vec<String>> {
        let value = self.0.get(at)?.as_ref()?;
        if value.kind() != ValueKind::Seq || opaque::is_opaque(value) {
            return None;
        }
        value.try_iter().ok()?.map(|item| written(&item)).collect()
    }
}

fn written(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => Some(value.to_string()),
        // The call of another macro: it stands as an expression.
        ValueKind::Iterable if opaque::is_opaque(value) => Some(value.to_string()),
        _ => None,
    }
}
