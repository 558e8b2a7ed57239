//! The policy over Jinja.

use serde_json::Value as Json;

use super::names::{
    ADAPTER_PREFIXES, CONFIG_KEYS, CROSS_DATABASE, INTERNAL_MACROS, INTERNAL_NAMES, MATERIALIZATIONS,
    METHODS, SQL_CONFIG_KEYS, SQL_TEST_SETTINGS, TEST_SETTINGS,
};
use super::{Policy, Violation, statement};
use crate::sql::jinja::{JinjaUse, Uses};

/// Where the template stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Where {
    /// A model or a singular test.
    Query,
    /// A text of a schema YAML.
    Yaml,
}

/// Attributes of `target` that name a place, not a way to get there.
const TARGET: &[&str] =
    &["name", "target_name", "type", "schema", "dataset", "database", "dbname", "project"];
/// Attributes and methods of `this`.
const THIS: &[&str] = &[
    "identifier",
    "name",
    "table",
    "schema",
    "dataset",
    "database",
    "project",
    "include",
    "quote",
    "render",
];
/// Jinja's own functions.
const BUILT_IN: &[&str] = &[
    "range",
    "namespace",
    "dict",
    "loop",
    "caller",
    "varargs",
    "kwargs",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
];

/// Finds ways into Python behind Jinja: attributes and keys that start with two underscores, on whatever object.
pub(super) fn internals(source: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (start, _) in source.match_indices("{{").chain(source.match_indices("{%")) {
        // Up to the last end before the next block: a dictionary may hold what looks like one.
        let rest = &source[start..];
        let next = [rest[2..].find("{{"), rest[2..].find("{%")].into_iter().flatten().min();
        let block = &rest[..next.map_or(rest.len(), |next| next + 2)];
        let end = block.rfind("}}").max(block.rfind("%}")).unwrap_or(block.len());
        let block = &block[..end];
        let bare: String = block.chars().filter(|c| !c.is_whitespace()).collect();
        if [".__", "'__", "\"__"].iter().any(|way| bare.contains(way)) {
            let message = "a name that starts with two underscores leads behind Jinja";
            found.push(Violation::new("jinja_internal", message, line_and_column(source, start)));
        }
    }
    found
}

/// Judges what a template uses.
pub(super) fn check(policy: &Policy, uses: &Uses, place: Where) -> Vec<Violation> {
    let mut found = Vec::new();
    for one in &uses.uses {
        let at = one.place();
        let violation = match one {
            JinjaUse::Filter { name, .. } if name == "attr" => {
                Some(("jinja_internal", "the filter `attr` reaches attributes by name".to_owned()))
            }
            JinjaUse::Filter { .. } => None,
            // `replace(path=...)` makes a relation of another name.
            JinjaUse::Method { name, named, .. } => match name.as_str() {
                "" => Some(("jinja_internal", "what is called must be written out by its name".to_owned())),
                "replace" if *named => Some(("jinja_internal", "`replace` takes no names".to_owned())),
                name if METHODS.contains(&name) => None,
                name => Some(("jinja_internal", format!("`{name}` is no method of texts, lists and maps"))),
            },
            JinjaUse::Text { text, .. } => statement::called_in(text),
            JinjaUse::Tag { name: "macro", .. } => None,
            JinjaUse::Tag { name: "call", .. } => {
                Some(("run_query", "`{% call %}` runs a statement or another macro".to_owned()))
            }
            JinjaUse::Tag { name, .. } => {
                Some(("jinja_import", format!("`{{% {name} %}}` has no place in a model")))
            }
            JinjaUse::Name { path, call, .. } => {
                if place == Where::Query
                    && let (Some(arguments), true) = (call, path == "config" || path == "builtins.config")
                {
                    let keywords = arguments.keywords.iter().map(|(key, value)| (Some(key), value));
                    let map = arguments.map.iter().map(|(key, value)| (key.as_ref(), value));
                    for (key, value) in keywords.chain(map) {
                        let fault = match key {
                            Some(key) => config_entry(policy, key, value.as_ref().unwrap_or(&Json::Null)),
                            None => Some(("config_key", "config keys must be written out".to_owned())),
                        };
                        if let Some((class, message)) = fault {
                            found.push(Violation::new(class, message, at));
                        }
                    }
                    let hidden = arguments.spread
                        || arguments.positional.iter().any(Option::is_none) && arguments.map.is_empty();
                    hidden.then(|| ("config_key", "config keys must be written out".to_owned()))
                } else {
                    name(policy, path, call.is_some(), place)
                }
            }
        };
        if let Some((class, message)) = violation {
            found.push(Violation::new(class, message, at));
        }
    }
    found
}

/// Judges a name with its attributes.
fn name(policy: &Policy, path: &str, called: bool, place: Where) -> Option<(&'static str, String)> {
    let (root, rest) = path.split_once('.').map_or((path, ""), |(root, rest)| (root, rest));
    let first = rest.split('.').next().unwrap_or("");
    let not_allowed = |class, why: &str| Some((class, format!("`{path}` {why}")));
    match root {
        "env_var" => not_allowed("env_var", "reads the environment"),
        "doc" | "ref" | "source" | "var" if place == Where::Yaml => None,
        "target" if TARGET.contains(&first) && !rest.contains('.') => None,
        "target" => not_allowed("target_secret", "reads how the database is reached"),
        _ if place == Where::Yaml => not_allowed("jinja_in_yaml", "has no place in a schema YAML"),
        "ref" | "source" | "is_incremental" | "should_full_refresh" if rest.is_empty() && called => None,
        "ref" | "source" | "is_incremental" | "should_full_refresh" | "config" | "var" if !called => {
            not_allowed("jinja_internal", "is handed on instead of called")
        }
        "var" if rest.is_empty() || rest == "has_var" => None,
        "config" if rest.is_empty() || rest == "get" || rest == "require" => None,
        "builtins" if matches!(rest, "ref" | "source" | "var" | "config") && called => None,
        "this" if rest.is_empty() || THIS.contains(&first) => None,
        "exceptions" if matches!(rest, "raise_compiler_error" | "warn") => None,
        "set" | "zip" | "set_strict" | "zip_strict" | "tojson" | "fromjson" if rest.is_empty() => None,
        "dbt_version" | "project_name" | "execute" if rest.is_empty() => None,
        "flags" if rest == "FULL_REFRESH" => None,
        _ if BUILT_IN.contains(&root) => None,
        _ if policy.allows_macro(path) => None,
        "dbt" if CROSS_DATABASE.contains(&rest) => None,
        _ if rest.is_empty() && policy.project_macros.contains(root) => None,
        _ if rest.is_empty() && CROSS_DATABASE.contains(&root) => None,
        "run_query" | "statement" | "load_result" => {
            not_allowed("run_query", "runs SQL of its own while the model is compiled")
        }
        "adapter" => not_allowed("adapter", "acts on the database while the model is compiled"),
        _ if INTERNAL_NAMES.contains(&root) => not_allowed("jinja_internal", "reaches into dbt"),
        _ if INTERNAL_MACROS.contains(&root)
            || ADAPTER_PREFIXES.iter().any(|prefix| root.starts_with(prefix)) =>
        {
            not_allowed("internal_macro", "is one of dbt's own macros, which act on the database")
        }
        _ if !rest.is_empty() => {
            not_allowed("macro_not_allowed", "is no macro that the configuration allows (checks.macros)")
        }
        // A name that nobody defines: dbt will say so.
        _ => None,
    }
}

/// Judges a config key and its value.
pub(super) fn config_entry(policy: &Policy, key: &str, value: &Json) -> Option<(&'static str, String)> {
    match key {
        "pre_hook" | "post_hook" | "pre-hook" | "post-hook" | "sql_header" => {
            // An empty list takes hooks away.
            let empty = value.as_array().is_some_and(Vec::is_empty);
            (!empty).then(|| ("hook", format!("`{key}` runs SQL beside the model")))
        }
        "schema" | "database" | "alias" | "project" | "dataset" | "location" | "location_root"
        | "tblproperties" => {
            Some(("relocated", format!("`{key}` puts the model elsewhere or under another name")))
        }
        "grants" => Some(("grants", "`grants` changes who may read the model".to_owned())),
        "materialized" => {
            let known = value.as_str().is_some_and(|name| MATERIALIZATIONS.contains(&name));
            (!known).then(|| match value.as_str() {
                Some(name) => ("materialization", format!("materialization `{name}` is not allowed")),
                None => ("materialization", "the materialization must be written out".to_owned()),
            })
        }
        _ if SQL_CONFIG_KEYS.contains(&key) || SQL_TEST_SETTINGS.contains(&key) => fragments(policy, value)
            .into_iter()
            .next()
            .map(|violation| (violation.class, format!("in config key `{key}`: {}", violation.message))),
        _ if CONFIG_KEYS.contains(&key) || TEST_SETTINGS.contains(&key) => None,
        _ => Some(("config_key", format!("config key `{key}` is not allowed"))),
    }
}

fn fragments(policy: &Policy, value: &Json) -> Vec<Violation> {
    match value {
        Json::String(text) => policy.fragment(text),
        Json::Array(items) => items.iter().flat_map(|item| fragments(policy, item)).collect(),
        Json::Object(items) => items.values().flat_map(|item| fragments(policy, item)).collect(),
        _ => Vec::new(),
    }
}

/// Whether dbt takes a text of a YAML file for Jinja although it has no braces: `ref('x')` as an argument of a test.
pub(super) fn is_bare_call(text: &str) -> bool {
    let text = text.trim();
    text.ends_with(')')
        && text
            .split_once('(')
            .is_some_and(|(name, _)| matches!(name.trim_end(), "env_var" | "ref" | "var" | "source" | "doc"))
}

/// Jinja that this program cannot read may still be read by dbt: names that reach outside are refused wherever they stand in it.
pub(super) fn check_unreadable(source: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, inside) in tags(source) {
        let all = words(inside);
        if let Some((offset, message)) = unreadable_config(inside, &all) {
            found.push(Violation::new("config_key", message, line_and_column(source, at + offset)));
        }
        let tag = all.first().filter(|_| source[..at].ends_with("{%")).map(|(_, word)| *word);
        if let Some(name) = tag.filter(|name| FOREIGN_TAGS.contains(name)) {
            let message = format!("`{{% {name} %}}` has no place in a model");
            found.push(Violation::new("jinja_import", message, line_and_column(source, at)));
        }
        for (offset, word) in all {
            let denied = matches!(
                word,
                "env_var"
                    | "run_query"
                    | "statement"
                    | "import"
                    | "include"
                    | "extends"
                    | "materialization"
                    | "snapshot"
                    | "execute"
                    | "attr"
            ) || word.starts_with("__")
                || INTERNAL_NAMES.contains(&word)
                    && !matches!(word, "call" | "model" | "sql" | "node" | "re" | "write" | "log")
                || INTERNAL_MACROS.contains(&word)
                || ADAPTER_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
            if denied {
                let class = match word {
                    "env_var" => "env_var",
                    "run_query" | "statement" => "run_query",
                    "adapter" => "adapter",
                    _ => "jinja_internal",
                };
                found.push(Violation::new(
                    class,
                    format!("`{word}` in Jinja that cannot be read"),
                    line_and_column(source, at + offset),
                ));
            }
        }
    }
    found
}

/// Statements of dbt's own, which define something else than a model.
const FOREIGN_TAGS: &[&str] =
    &["test", "data_test", "docs", "snapshot", "materialization", "operation", "trans"];

/// What a tag that cannot be read configures beyond keys that are allowed and written out.
fn unreadable_config(inside: &str, words: &[(usize, &str)]) -> Option<(usize, String)> {
    let (start, _) = *words.iter().find(|(_, word)| *word == "config")?;
    let rest = inside[start..].trim_start_matches("config").trim_start();
    if rest.starts_with("(**") || rest.contains("**") {
        return Some((start, "config keys must be written out".to_owned()));
    }
    let keys: Vec<&(usize, &str)> = words
        .iter()
        .filter(|(at, word)| {
            let after = inside[at + word.len()..].trim_start_matches(['\'', '"']).trim_start();
            *at > start && (after.starts_with('=') && !after.starts_with("==") || after.starts_with(':'))
        })
        .collect();
    let unknown = keys.iter().find(|(_, key)| !CONFIG_KEYS.contains(key) && !SQL_CONFIG_KEYS.contains(key));
    if let Some((at, key)) = unknown {
        return Some((*at, format!("config key `{key}` is not allowed")));
    }
    let values: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
    let named = values.windows(2).find(|pair| pair[0] == "materialized");
    if named.is_some_and(|pair| !MATERIALIZATIONS.contains(&pair[1])) {
        return Some((start, "the materialization must be written out".to_owned()));
    }
    let opens = rest.strip_prefix('(').map(str::trim_start).unwrap_or("");
    (keys.is_empty() && !opens.starts_with(')') && !opens.is_empty())
        .then(|| (start, "config keys must be written out".to_owned()))
}

fn line_and_column(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    (before.matches('\n').count() + 1, before.rsplit('\n').next().unwrap_or("").chars().count() + 1)
}

/// The insides of Jinja tags with their offsets; an unclosed one reaches to the end.
fn tags(source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = ["{{", "{%", "{#"].iter().filter_map(|tag| source[at..].find(tag)).min() {
        let start = at + open;
        let close = match &source[start..start + 2] {
            "{{" => "}}",
            "{%" => "%}",
            _ => "#}",
        };
        let inside = start + 2;
        let end = source[inside..].find(close).map_or(source.len(), |length| inside + length);
        if close != "#}" {
            found.push((inside, &source[inside..end]));
        }
        at = (end + 2).min(source.len());
        while !source.is_char_boundary(at) {
            at += 1;
        }
    }
    found
}

fn words(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let inside = c.is_alphanumeric() || c == '_';
        match (start, inside) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, &text[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The text with Jinja replaced by spaces, line by line the same.
pub(super) fn blank(source: &str) -> String {
    let mut text = source.to_owned();
    for (inside, tag) in tags(source).into_iter().rev() {
        let end = inside + tag.len();
        let spaces =
            |part: &str| part.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect::<String>();
        let close = (end + 2).min(text.len());
        if text.is_char_boundary(close) && text.is_char_boundary(inside - 2) {
            let blanked = spaces(&text[inside - 2..close]);
            text.replace_range(inside - 2..close, &blanked);
        }
    }
    text
}
