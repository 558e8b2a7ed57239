//! What a drafted model may do: read its relations and nothing else.
//!
//! A static policy over the Jinja and SQL syntax trees, every branch of both. It is the first of two fences (the second is
//! the sandbox that dbt and DuckDB run in), so it works by allow-lists wherever the set of good things is known: Jinja names, config
//! keys, materializations, table functions.

mod jinja;
mod names;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use names::{SQL_TEST_SETTINGS, TEST_SETTINGS};

use super::Dialect;
use super::jinja::{Context, JinjaFaultKind, Rendered, render, scan};

/// What is allowed beyond dbt's own names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// The project's dialect.
    pub dialect: Dialect,
    /// The model's name.
    pub model: String,
    /// Package macros that may be called, `package.macro`; `*` at the end matches any rest.
    pub macros: Vec<String>,
    /// Macros that the project defines: its own code, trusted like its models.
    pub project_macros: BTreeSet<String>,
}

/// Something that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Line of the text, from 1.
    pub line: usize,
    /// Column in characters, from 1; 0 when only the line is known.
    pub column: usize,
    /// Stable class, see docs/failures.md.
    pub class: &'static str,
    /// What is wrong, in words.
    pub message: String,
}

impl Violation {
    fn new(class: &'static str, message: impl Into<String>, (line, column): (usize, usize)) -> Self {
        Self { line, column, class, message: message.into() }
    }
}

impl Policy {
    /// Judges a model (or a singular test, which is a query too): its Jinja, and its SQL in both branches of `is_incremental()`.
    pub fn query(&self, source: &str) -> Vec<Violation> {
        let mut found = Vec::new();
        if let Some(line) = source.lines().position(|line| !line.trim().is_empty())
            && source.trim_start().starts_with("```")
        {
            found.push(Violation::new(
                "fenced_sql",
                "the SQL stands in a Markdown code fence",
                (line + 1, 1),
            ));
            // The fence is one defect; what is inside it is judged as if it were not there.
            let inner: String =
                source
                    .lines()
                    .map(|line| {
                        if line.trim_start().starts_with("```") {
                            "\n".to_owned()
                        } else {
                            format!("{line}\n")
                        }
                    })
                    .collect();
            found.extend(self.query_inside(&inner));
        } else {
            found = self.query_inside(source);
        }
        found.sort();
        found.dedup();
        found
    }

    fn query_inside(&self, source: &str) -> Vec<Violation> {
        let mut found = self.jinja(source);
        let mut context = Context::new(self.dialect, &self.model);
        match render(source, &context) {
            Ok(rendered) => {
                found.extend(self.config(&rendered));
                found.extend(self.rendered(&rendered));
                if rendered.uses_incremental {
                    context.incremental = true;
                    if let Ok(rendered) = render(source, &context) {
                        found.extend(self.config(&rendered));
                        found.extend(self.rendered(&rendered));
                    }
                }
            }
            Err(fault) => {
                if fault.kind == JinjaFaultKind::Limit {
                    let place = (fault.line.unwrap_or(1), fault.column.unwrap_or(0));
                    found.push(Violation::new("jinja_limit", fault.message, place));
                }
                found.extend(statement::tokens_only(&jinja::blank(source), self.dialect, &[]));
            }
        }
        found
    }

    /// Judges the Jinja of a query.
    pub fn jinja(&self, source: &str) -> Vec<Violation> {
        let mut found = jinja::internals(source);
        found.extend(match scan(source) {
            Ok(uses) => jinja::check(self, &uses, jinja::Where::Query),
            Err(_) => jinja::check_unreadable(source),
        });
        found
    }

    /// Judges a text of a schema YAML: Jinja in it is rendered by dbt too.
    pub fn yaml_text(&self, text: &str) -> Vec<Violation> {
        let wrapped;
        let template = if jinja::is_bare_call(text) {
            wrapped = format!("{{{{ {text} }}}}");
            &wrapped
        } else {
            text
        };
        let mut found = jinja::internals(template);
        found.extend(match scan(template) {
            Ok(uses) => jinja::check(self, &uses, jinja::Where::Yaml),
            Err(_) => jinja::check_unreadable(template),
        });
        found
    }

    /// Judges a text that dbt puts into the SQL of a test or a merge: an expression, a column, a condition.
    pub fn fragment(&self, text: &str) -> Vec<Violation> {
        let mut found = statement::tokens_only(&jinja::blank(text), self.dialect, &[]);
        // The text is put between other text: the quotes in it may close what stands before it.
        found.retain(|violation| {
            !matches!(violation.class, "not_a_query" | "trailing_semicolon" | "several_statements")
        });
        if text.contains(';') {
            found.push(Violation::new("several_statements", "it holds a `;`", (1, 0)));
        }
        if text.contains("--") || text.contains("/*") {
            let message = "a comment in a piece of SQL can hide what follows it";
            found.push(Violation::new("comment_in_fragment", message, (1, 0)));
        }
        found
    }

    /// Judges a config key and its value, of a model or of a test; `None` when it is allowed.
    pub fn config_entry(&self, key: &str, value: &serde_json::Value) -> Option<(&'static str, String)> {
        jinja::config_entry(self, key, value)
    }

    fn config(&self, rendered: &Rendered) -> Vec<Violation> {
        // The names of keys are judged where they are written; here are the values, as far as rendering finds them out.
        rendered
            .config
            .iter()
            .filter_map(|(key, value)| self.config_entry(key, value))
            .map(|(class, message)| Violation::new(class, message, (1, 0)))
            .collect()
    }

    fn rendered(&self, rendered: &Rendered) -> Vec<Violation> {
        let mut found = statement::check(self, rendered);
        for violation in &mut found {
            violation.line =
                rendered.lines.get(violation.line.saturating_sub(1)).copied().unwrap_or(violation.line);
        }
        found
    }

    /// Whether a macro of a package may be called.
    fn allows_macro(&self, path: &str) -> bool {
        self.macros.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == pattern,
        })
    }
}
