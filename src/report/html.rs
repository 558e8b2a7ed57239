//! report.html: one file, no network, opens from disk.
//!
//! The first screen is static HTML; what a reader opens is drawn by a script from a JSON block. Model output can hold
//! anything, so three walls stand: every string is made visible ([`super::text`]) before it is placed, the template
//! escapes all of them and the script sets text only, and the content security policy lets nothing load and only the
//! one script run, by a nonce that depends on the content.

mod comparisons;
mod data;
mod view;

use minijinja::{Environment, Value, context};

pub use comparisons::{Compared, comparisons_to_html};

use super::chart;
use super::model::Report;
use super::text::{cut, visible};

const TEMPLATE: &str = include_str!("assets/report.html");
/// What both pages begin with.
const HEAD: &str = include_str!("assets/head.html");
const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = concat!(
    include_str!("assets/theme.js"),
    include_str!("assets/sql.js"),
    include_str!("assets/detail.js"),
    include_str!("assets/report.js")
);

/// Longest text that is placed in the page; report.json has all of it.
const MOST_CHARS: usize = 100_000;

impl Report {
    /// report.html.
    pub fn to_html(&self) -> String {
        let names: Vec<&str> = self.prompts.iter().map(|p| p.name.as_str()).collect();
        let page = safe(serde_json::to_value(view::page(self)).unwrap_or_default());
        let trend = chart::trend(&self.trend, &names);
        let content = context! { page => minijinja::value::Serde(page), trend };
        render("report.html", TEMPLATE, SCRIPT, &data::data(self), content)
    }
}

/// A page from one of our templates; `data` is what its script draws.
fn render(name: &str, template: &str, script: &str, data: &serde_json::Value, content: Value) -> String {
    let data = embed(data);
    let nonce = blake3::hash(data.as_bytes()).to_hex();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let rendered = environment.add_template("head.html", HEAD).and_then(|()| {
        environment.add_template(name, template)?;
        environment.get_template(name)?.render(context! {
            style => STYLE,
            script,
            data,
            nonce => &nonce.as_str()[..32],
            ..content
        })
    });
    // The template is ours and its context complete; tests render every branch of it.
    rendered.unwrap_or_else(|error| format!("<!doctype html><title>assay</title><p>{error}</p>"))
}

/// JSON that can stand in a script element: without the characters that could end it.
fn embed(value: &serde_json::Value) -> String {
    safe(value.clone()).to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The value with every string made visible and cut to a length that a page can show.
fn safe(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(cut(&visible(&text), MOST_CHARS)),
        Value::Array(items) => Value::Array(items.into_iter().map(safe).collect()),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(key, value)| (cut(&visible(&key), MOST_CHARS), safe(value))).collect(),
        ),
        other => other,
    }
}

/// A query value of the page's own links; the script reads it back with `URLSearchParams`.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
