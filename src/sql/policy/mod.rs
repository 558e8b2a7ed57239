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

/// Characters that show another text than the one that is run, or none; `code`: whether no text of people stands there.
pub fn hidden(text: &str, code: bool) -> Vec<Violation> {
    let turns = |c: char| matches!(c, '\0' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}');
    let is_nothing = |c: char| {
        matches!(
            c,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}'
                ..='\u{2064}' | '\u{feff}' | '\u{ad}' | '\u{115f}' | '\u{3164}'
        ) || c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}')
    };
    // Editors put a byte order mark in front of a file.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(line, text)| {
        let (column, c) = text.chars().enumerate().find(|(_, c)| turns(*c) || code && is_nothing(*c))?;
        let message = format!("the character U+{:04X} hides what stands there", u32::from(c));
        Some(Violation::new("hidden_character", message, (line + 1, column + 1)))
    });
    found.collect()
}

impl Policy {
    /// Judges a model (or a singular test, which is a query too): its Jinja, and its SQL in both branches of `is_incremental()`.
    pub fn query(&self, source: &str) -> Vec<Violation> {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
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
        found.extend(hidden(source, true));
        let mut context = Context::new(self.dialect, &self.model);
        match render(source, &context) {
            Ok(rendered) => {
                found.extend(self.rendered(&rendered));
                let uses_incremental = rendered.uses_incremental;
                for (incremental, execute) in [(false, false), (true, false), (true, true)] {
                    (context.incremental, context.execute) = (incremental, execute);
                    if (uses_incremental || !incremental)
                        && let Ok(rendered) = render(source, &context)
                    {
                        found.extend(self.rendered(&rendered));
                    }
                }
            }
            Err(fault) => {
                if fault.kind == JinjaFaultKind::Limit {
                    let place = (fault.line.unwrap_or(1), fault.column.unwrap_or(0));
                    found.push(Violation::new("jinja_limit", fault.message, place));
                }
            }
        }
        // The text of every branch, whatever decides between them.
        found.extend(
            statement::tokens_only(&jinja::blank(source), self.dialect, &[])
                .into_iter()
                .filter(|violation| violation.class != "trailing_semicolon"),
        );
        found
    }

    /// Judges what dbt compiled a query to. `project`: its relations, and the calls that its macros may have put there.
    pub fn compiled(&self, sql: &str, project: &Rendered) -> Vec<Violation> {
        // What else it may be was judged where it was written.
        let reaches_out = |violation: &Violation| {
            !matches!(violation.class, "trailing_semicolon" | "fenced_sql" | "sql_limit")
        };
        let mut found = statement::check(self, sql, project);
        found.retain(reaches_out);
        found.sort();
        found.dedup();
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
        found.extend(hidden(text, false));
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

    fn rendered(&self, rendered: &Rendered) -> Vec<Violation> {
        let mut found = statement::check(self, &rendered.sql, rendered);
        for violation in &mut found {
            violation.line =
                rendered.lines.get(violation.line.saturating_sub(1)).copied().unwrap_or(violation.line);
        }
        // The names of keys are judged where they are written; here are the values, as far as rendering finds them out.
        let entries = rendered.config.iter().filter_map(|(key, value)| self.config_entry(key, value));
        found.extend(entries.map(|(class, message)| Violation::new(class, message, (1, 0))));
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
