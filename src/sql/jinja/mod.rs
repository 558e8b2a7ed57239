//! dbt SQL to plain SQL, without dbt: Jinja rendered with opaque macros.
//!
//! `ref`, `source`, `config`, `var`, `this`, `target`, `is_incremental` and the like are real functions that also record
//! what they were asked for. Every other name that the template does not define is *opaque*: it renders as a call that keeps its name and
//! arguments, `dbt_utils.generate_surrogate_key(['a', 'b'])` as `dbt_utils__generate_surrogate_key(jinja_list('a', 'b'))`, and
//! `placement` puts that call where SQL has a place for it.
//!
//! An opaque call says nothing about what the macro expands to, so a text that holds one ([`Rendered::opaque`]) may be
//! compared as it stands and no further. Where the text itself depends on what is not known (`{% if some_macro() %}`), that is
//! [`Rendered::undecided`].
//!
//! Templates are hostile: fuel bounds time and memory, depth and sizes are bounded, nothing outside is read (no
//! environment, no files; `env_var` sees only [`Context::env`]).

mod calls;
mod dbt;
mod known;
mod mutable;
mod opaque;
mod operations;
mod placement;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::{IndexMap, IndexSet};
use minijinja::{Environment, UndefinedBehavior, Value};
use serde_json::Value as Json;

use super::Dialect;
use super::parse::{parse_query, quote_identifier};
use super::relations::relations;
pub use calls::{JinjaUse, Uses, scan};
use rewrite::Rewrite;

/// Longest template that is read, in bytes.
pub const MAX_SOURCE: usize = 1 << 20;
/// Longest text that a template may render to, in bytes.
pub const MAX_RENDERED: usize = 4 << 20;
/// Work that one rendering may do (see `minijinja`'s fuel: an instruction, or 64 bytes of data, costs one).
const FUEL: u64 = 400_000;
/// Depth of nested Jinja calls and blocks.
const RECURSION: usize = 100;

/// What a template is rendered against.
///
/// Relations are rendered as short, stable names that a [`Schema`](super::Schema) can be keyed by, the same for every
/// project and target: `ref('x')` and `ref('package', 'x')` as `x`, `ref('x', v=2)` as `x_v2`, `source('a', 'b')` as `a.b`,
/// `this` as the model's name. A part that is no plain lower-case identifier, or is a reserved word, is quoted in the manner of the dialect;
/// the schema's key is the text without the quotes. Where a CTE of the same name would hide a model that is read, the model is rendered as
/// `main.x`. [`Context::relations`] overrides single relations.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// The dialect, for quoting and type names.
    pub dialect: Dialect,
    /// The name of the model, which is what `this` renders as.
    pub model: String,
    /// `var()`: the project's variables.
    pub vars: BTreeMap<String, Json>,
    /// `env_var()`: the only environment that a template sees.
    pub env: BTreeMap<String, String>,
    /// What `is_incremental()` returns.
    pub incremental: bool,
    /// `execute`: whether dbt has gone beyond parsing.
    pub execute: bool,
    /// `target` and its attributes.
    pub target: BTreeMap<String, String>,
    /// Text of single relations, by `ref:x`, `ref:package.x`, `source:a.b`; what is not here gets its default name.
    pub relations: BTreeMap<String, String>,
}

impl Context {
    /// A context with nothing but a dialect and a model name; the target is called `dev`.
    pub fn new(dialect: Dialect, model: &str) -> Self {
        let adapter = if dialect == Dialect::Generic { "duckdb" } else { dialect.name() };
        let target = [
            ("name", "dev"),
            ("target_name", "dev"),
            ("profile_name", "default"),
            ("type", adapter),
            ("database", "main"),
            ("dbname", "main"),
            ("project", "main"),
            ("schema", "main"),
            ("dataset", "main"),
            ("threads", "1"),
        ];
        Self {
            dialect,
            model: model.to_owned(),
            vars: BTreeMap::new(),
            env: BTreeMap::new(),
            incremental: false,
            execute: true,
            target: target.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            relations: BTreeMap::new(),
        }
    }
}

/// A model that a template refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ref {
    /// The package of a two-argument `ref`.
    pub package: Option<String>,
    /// The model.
    pub name: String,
    /// The version of `ref('x', v=2)`.
    pub version: Option<String>,
}

impl std::fmt::Display for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(package) = &self.package {
            write!(f, "{package}.")?;
        }
        f.write_str(&self.name)?;
        match &self.version {
            Some(version) => write!(f, ".v{version}"),
            None => Ok(()),
        }
    }
}

/// A source table that a template reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The source.
    pub source: String,
    /// The table.
    pub table: String,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.source, self.table)
    }
}

/// A rendered template and what it asked for on the way, each in order of first use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    /// The SQL.
    pub sql: String,
    /// For each line of `sql` the line of the template that it came from, from 1.
    pub lines: Vec<usize>,
    /// Models read by `ref`.
    pub refs: IndexSet<Ref>,
    /// Sources read by `source`.
    pub sources: IndexSet<Source>,
    /// Names by which refs, sources and `this` stand in `sql`, without quotes.
    pub relations: IndexSet<String>,
    /// `config(...)`, later calls over earlier ones.
    pub config: IndexMap<String, Json>,
    /// Opaque names that were called, dotted.
    pub macros: IndexSet<String>,
    /// Variables read by `var`.
    pub vars: IndexSet<String>,
    /// Variables read by `var` that have neither a value nor a default.
    pub missing_vars: IndexSet<String>,
    /// Environment variables asked for by `env_var`.
    pub env_vars: IndexSet<String>,
    /// Whether `is_incremental()` was called.
    pub uses_incremental: bool,
    /// Whether `this` was rendered.
    pub uses_this: bool,
    /// Opaque calls that stand in `sql`.
    pub opaque: Vec<String>,
    /// Opaque calls that SQL has no place for where they stood, and that are therefore missing from `sql`.
    pub unplaced: Vec<String>,
    /// Why the text depends on what is not known here, e.g. `a condition uses dbt_utils.get_column_values`.
    pub undecided: Vec<String>,
}

impl Rendered {
    /// Whether `sql` is all that the template means: no macro is left unexpanded, no branch undecided.
    pub fn is_exact(&self) -> bool {
        self.opaque.is_empty() && self.unplaced.is_empty() && self.undecided.is_empty()
    }
}

/// Why a template cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JinjaFault {
    /// What kind of fault.
    pub kind: JinjaFaultKind,
    /// Lower-case sentence fragment.
    pub message: String,
    /// Line of the template, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
}

/// The kinds of [`JinjaFault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JinjaFaultKind {
    /// It is not Jinja.
    Syntax,
    /// It is Jinja, but fails when it is run (unknown filter, wrong arguments, arithmetic with a macro's result).
    Render,
    /// It raised a compiler error of its own.
    Raised,
    /// It needs more time, memory, depth or text than a model may.
    Limit,
}

impl JinjaFault {
    fn limit(message: impl Into<String>) -> Self {
        Self { kind: JinjaFaultKind::Limit, message: message.into(), line: None, column: None }
    }

    fn from_minijinja(error: &minijinja::Error, source: &str, raised: Option<String>) -> Self {
        use minijinja::ErrorKind as E;
        let kind = match error.kind() {
            _ if raised.is_some() => JinjaFaultKind::Raised,
            E::SyntaxError => JinjaFaultKind::Syntax,
            E::OutOfFuel => JinjaFaultKind::Limit,
            _ => JinjaFaultKind::Render,
        };
        let message = raised.unwrap_or_else(|| match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        });
        let column = error.range().and_then(|range| {
            let before = source.get(..range.start)?;
            Some(before.rsplit('\n').next().unwrap_or("").chars().count() + 1)
        });
        Self { kind, message, line: error.line(), column }
    }
}

/// What the functions record while a template runs; reached through the render's state extension or, by opaque values,
/// through the shared handle.
#[derive(Debug, Default)]
pub(super) struct Record {
    rendered: Rendered,
    raised: Option<String>,
}

/// The shared handle on a [`Record`].
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Record>>);

impl Recorder {
    fn with<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Renders a template.
///
/// # Errors
/// See [`JinjaFault`]; line and column are those of the template.
pub fn render(source: &str, context: &Context) -> Result<Rendered, JinjaFault> {
    let rendered = render_once(source, context)?;
    let hidden = hidden_by_ctes(source, context, &rendered);
    if hidden.is_empty() {
        return Ok(rendered);
    }
    let mut context = context.clone();
    for (key, name) in hidden {
        context.relations.insert(key, relation_text(&["main", &name], context.dialect));
    }
    render_once(source, &context)
}

/// Models that are read where a CTE of their name is in sight, as (key of [`Context::relations`], name): dbt writes them with
/// their schema, so no CTE can hide them.
fn hidden_by_ctes(source: &str, context: &Context, rendered: &Rendered) -> Vec<(String, String)> {
    let candidates: Vec<(String, String)> = rendered
        .refs
        .iter()
        .map(|reference| {
            let version =
                reference.version.as_ref().map_or_else(String::new, |version| format!("_v{version}"));
            (format!("ref:{reference}"), format!("{}{version}", reference.name))
        })
        .chain(rendered.uses_this.then(|| ("this".to_owned(), context.model.clone())))
        .filter(|(key, _)| !context.relations.contains_key(key))
        .collect();
    if candidates.is_empty() || !rendered.sql.to_ascii_lowercase().contains("with") {
        return Vec::new();
    }
    let names = |text: &str| -> Option<Vec<String>> {
        let query = parse_query(text, context.dialect).ok()?;
        Some(relations(&query, context.dialect).into_iter().map(|relation| relation.name).collect())
    };
    let mut marked = context.clone();
    for (i, (key, _)) in candidates.iter().enumerate() {
        marked.relations.insert(key.clone(), format!("assay_relation_{i}"));
    }
    let Some(plain) = names(&rendered.sql) else { return Vec::new() };
    let Some(marked) = render_once(source, &marked).ok().and_then(|rendered| names(&rendered.sql)) else {
        return Vec::new();
    };
    let count = |names: &[String], name: &str| names.iter().filter(|known| *known == name).count();
    candidates
        .into_iter()
        .enumerate()
        .filter(|(i, (_, name))| {
            count(&plain, name) < count(&marked, name) + count(&marked, &format!("assay_relation_{i}"))
        })
        .map(|(_, candidate)| candidate)
        .collect()
}

fn render_once(source: &str, context: &Context) -> Result<Rendered, JinjaFault> {
    if source.len() > MAX_SOURCE {
        return Err(JinjaFault::limit(format!("the template is longer than {MAX_SOURCE} bytes")));
    }
    if let Some(mark) = source.chars().find(|c| placement::is_mark(*c)) {
        return Err(JinjaFault {
            kind: JinjaFaultKind::Syntax,
            message: format!("the character U+{:04X} is reserved", u32::from(mark)),
            line: None,
            column: None,
        });
    }
    if !["{{", "{%", "{#"].iter().any(|tag| source.contains(tag)) {
        let lines = (1..=source.lines().count().max(1)).collect();
        return Ok(Rendered { sql: source.to_owned(), lines, ..Rendered::default() });
    }
    let uses = scan(source)?;
    let plain = Rewrite { collections: mutable::is_used(source), operations: false };
    let attempt = |ignore_raised: bool| {
        if uses.operates {
            match run(source, context, &uses, Rewrite { operations: true, ..plain }, ignore_raised) {
                // The template's own text tells where the fault is.
                Err(fault) if fault.kind == JinjaFaultKind::Render => {}
                rendered => return rendered,
            }
        }
        run(source, context, &uses, plain, ignore_raised)
    };
    match attempt(false) {
        // Where the way to it depends on what is not known, dbt may not go it.
        Err(fault) if fault.kind == JinjaFaultKind::Raised => {
            attempt(true).ok().filter(|rendered| !rendered.undecided.is_empty()).ok_or(fault)
        }
        rendered => rendered,
    }
}

/// One run of a template.
fn run(
    source: &str,
    context: &Context,
    uses: &Uses,
    rewrite: Rewrite,
    ignore_raised: bool,
) -> Result<Rendered, JinjaFault> {
    let recorder = Recorder::default();
    let mut environment = Environment::new();
    environment.set_debug(true);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_unknown_method_callback(dbt::method);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, _, value| {
        if !value.is_undefined() {
            out.write_str(&dbt::text(value))?;
        }
        Ok(())
    });
    dbt::register(&mut environment, context, &recorder, ignore_raised);
    operations::accept_opaque(&mut environment, &recorder);
    if rewrite.operations {
        operations::register(&mut environment, &recorder);
    }
    for name in &uses.undeclared {
        if !dbt::is_defined(&environment, name) {
            environment.add_global(name.clone(), opaque::named(name, &recorder));
        }
    }
    let foreign: Vec<&str> =
        uses.filters().filter(|name| operations::accept_filter(&mut environment, name, &recorder)).collect();
    let rewritten = rewrite::rewritten(source, rewrite);
    let text = environment
        .template_from_named_str("model", rewritten.as_deref().unwrap_or(source))
        .and_then(|template| template.render(Value::UNDEFINED))
        .map_err(|error| {
            JinjaFault::from_minijinja(&error, source, recorder.with(|record| record.raised.take()))
        })?;
    if text.len() > MAX_RENDERED {
        return Err(JinjaFault::limit(format!("the template renders to more than {MAX_RENDERED} bytes")));
    }
    let mut rendered = recorder.with(|record| std::mem::take(&mut record.rendered));
    rendered.undecided = uses.undecided(&rendered, |name| !dbt::is_dbt_name(name));
    rendered
        .undecided
        .extend(foreign.iter().map(|name| format!("the text depends on what the filter `{name}` does")));
    let placed = placement::place(&text, source, context.dialect);
    rendered.sql = placed.sql;
    rendered.opaque = placed.opaque;
    rendered.unplaced = placed.unplaced;
    rendered.lines = align_lines(source, &rendered.sql);
    Ok(rendered)
}

/// The name of a relation as it stands in rendered SQL, part by part.
pub(super) fn relation_text(parts: &[&str], dialect: Dialect) -> String {
    parts.iter().map(|part| quote_identifier(part, dialect)).collect::<Vec<_>>().join(".")
}

/// For each line of `rendered` the line of `source` that it most likely came from. Lines without Jinja come through
/// unchanged, so a line diff finds them; what lies between takes the line before. For display only.
fn align_lines(source: &str, rendered: &str) -> Vec<usize> {
    let old: Vec<&str> = source.lines().map(str::trim).collect();
    let new: Vec<&str> = rendered.lines().map(str::trim).collect();
    let mut lines = vec![0usize; new.len()];
    for op in similar::capture_diff_slices(similar::Algorithm::Patience, &old, &new) {
        let (old_range, new_range) = (op.old_range(), op.new_range());
        for (offset, line) in new_range.enumerate() {
            let source_line = old_range.start + offset.min(old_range.len().saturating_sub(1));
            lines[line] = source_line.min(old.len().saturating_sub(1)) + 1;
        }
    }
    lines
}
