//! Lint (advisory): sqruff, or sqlfluff where the project has a configuration for it.
//!
//! Linters stumble over Jinja, and over macros of packages most of all. So each tag is replaced by something of the same
//! length that SQL can have in its place: expressions by an identifier, everything else by a comment. Lines and columns
//! stay right, and what a linter says about a replaced piece is dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::outcome::{CheckId, CheckResult, Finding};
use crate::dbt::project::Project;
use crate::sql::Dialect;
use crate::tool::environment::Tools;
use crate::tool::lint::{Linters, Tool, Violation};

/// Findings shown; the summary counts all.
const SHOWN: usize = 20;

/// A model after a linter's own fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    /// The model.
    pub sql: String,
    /// The linter.
    pub tool: &'static str,
    /// Violations before.
    pub before: usize,
    /// Violations that stay.
    pub after: usize,
}

/// Lints the candidates of one project.
#[derive(Debug)]
pub struct Linter {
    linters: Option<Arc<Linters>>,
    tool: Tool,
    directory: PathBuf,
    reason: String,
}

impl Linter {
    /// The linter that fits a project. `linters` are shared by all projects.
    pub fn new(tools: &Tools, linters: &Arc<Linters>, project: &Project) -> Self {
        let tool = if has_sqlfluff_config(&project.root) { Tool::Sqlfluff } else { Tool::Sqruff };
        let installed = match tool {
            Tool::Sqlfluff => &tools.versions.sqlfluff,
            Tool::Sqruff => &tools.versions.sqruff,
        };
        Self {
            linters: installed.as_ref().map(|_| Arc::clone(linters)),
            tool,
            // sqlfluff looks for its configuration from here upwards.
            directory: std::path::absolute(&project.root).unwrap_or_else(|_| project.root.clone()),
            reason: format!("{} is not installed", tool.name()),
        }
    }

    /// The model after the linter's own fixes, its Jinja untouched; whoever takes it over has to see that it still means
    /// the same.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fix(&self, sql: &str, dialect: Dialect) -> Result<Fixed, String> {
        let linters = self.linters.as_ref().ok_or_else(|| self.reason.clone())?;
        let marked = Marked::new(sql).ok_or("the model holds names like those that stand in for Jinja")?;
        let linted = linters.lint(self.tool, &self.directory, dialect_name(dialect), &marked.text).await?;
        let sql = marked.restore(&linted.fixed);
        Ok(Fixed {
            sql: sql.ok_or_else(|| format!("{} moved pieces of Jinja", self.tool.name()))?,
            tool: self.tool.name(),
            before: linted.violations.len(),
            after: linted.left,
        })
    }

    /// The linter's name.
    pub fn name(&self) -> &'static str {
        self.tool.name()
    }

    /// Lints a model.
    pub async fn check(&self, sql: &str, dialect: Dialect) -> CheckResult {
        let Some(linters) = &self.linters else {
            return CheckResult::skipped(CheckId::Lint, self.reason.clone());
        };
        let masked = Masked::new(sql);
        match linters.lint(self.tool, &self.directory, dialect_name(dialect), &masked.text).await {
            Err(why) => CheckResult::errored(CheckId::Lint, "lint", why),
            Ok(linted) => {
                let mut violations: Vec<Violation> = linted
                    .violations
                    .into_iter()
                    .filter(|violation| !masked.covers(violation.line, violation.column))
                    .collect();
                violations.sort();
                // Macros can stand for any piece of a statement: then the rest need not parse.
                let unparsed = violations.iter().any(|violation| violation.code == "PRS");
                if unparsed && masked.has_macros {
                    return CheckResult::skipped(
                        CheckId::Lint,
                        format!("{} cannot parse the model around its macros", self.tool.name()),
                    );
                }
                // What stays after fixing cannot be told apart by place; it is never more than was there.
                result(self.tool, &violations, linted.left.min(violations.len()))
            }
        }
    }
}

/// How the linters call a dialect.
fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Generic => "ansi",
        named => named.name(),
    }
}

fn result(tool: Tool, violations: &[Violation], left: usize) -> CheckResult {
    if violations.is_empty() {
        return CheckResult::passed(CheckId::Lint);
    }
    let count = violations.len();
    let noun = if count == 1 { "violation" } else { "violations" };
    let summary = format!("{}: {count} {noun}, {left} after its own fixes", tool.name());
    let mut findings = vec![Finding::new("lint", summary)];
    findings.extend(violations.iter().take(SHOWN).map(|violation| {
        Finding::new(violation.code.clone(), violation.message.clone())
            .at(format!("sql:{}:{}", violation.line, violation.column))
    }));
    CheckResult::from_findings(CheckId::Lint, findings)
}

fn has_sqlfluff_config(root: &Path) -> bool {
    let says = |file: &str, section: &str| {
        fs_err::read_to_string(root.join(file)).is_ok_and(|text| text.contains(section))
    };
    root.join(".sqlfluff").is_file()
        || says("pyproject.toml", "[tool.sqlfluff")
        || says("setup.cfg", "[sqlfluff")
        || says("tox.ini", "[sqlfluff")
}

/// A text with its Jinja replaced.
struct Masked {
    text: String,
    /// Replaced pieces: line and columns (first, last), from 1.
    pieces: Vec<(usize, usize, usize)>,
    /// Whether an expression calls anything but dbt's own ref, source, config, var and this.
    has_macros: bool,
}

impl Masked {
    fn new(source: &str) -> Self {
        let mut masked =
            Self { text: String::with_capacity(source.len()), pieces: Vec::new(), has_macros: false };
        for piece in pieces(source) {
            match piece {
                Piece::Sql(text) => masked.text.push_str(text),
                Piece::Tag(tag) => masked.replace(tag),
            }
        }
        masked
    }

    fn replace(&mut self, tag: &str) {
        let (inner, call) = inside(tag);
        let expression = tag.starts_with("{{");
        let is_statement = is_statement(tag);
        self.has_macros |=
            expression && !matches!(call, "ref" | "source" | "config" | "var" | "this" | "target");
        self.has_macros |=
            tag.starts_with("{%") && !inner.starts_with("if is_incremental") && inner != "endif";
        for (i, line) in tag.split('\n').enumerate() {
            if i > 0 {
                self.text.push('\n');
            }
            let length = line.chars().count();
            let line_number = self.text.matches('\n').count() + 1;
            let first = self.text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            self.pieces.push((line_number, first, first + length));
            match (is_statement || i > 0, length) {
                (_, 0) => {}
                (false, _) => self.text.extend("jinja".chars().chain(std::iter::repeat('_')).take(length)),
                (true, 1..4) => self.text.extend(std::iter::repeat_n(' ', length)),
                (true, _) => {
                    self.text.push_str("/*");
                    self.text.extend(std::iter::repeat_n('.', length - 4));
                    self.text.push_str("*/");
                }
            }
        }
    }

    fn covers(&self, line: usize, column: usize) -> bool {
        self.pieces.iter().any(|(at, first, last)| *at == line && (*first..=*last).contains(&column))
    }
}

/// A text with a mark in place of each Jinja tag, as long as its first line where that can be: after the linter's fixes
/// the tags are put back.
struct Marked<'a> {
    text: String,
    /// Marks and the tags that they stand for, in order.
    tags: Vec<(String, &'a str)>,
}

impl<'a> Marked<'a> {
    /// `None` when the text holds what a mark looks like.
    fn new(source: &'a str) -> Option<Self> {
        if source.contains(MARK) {
            return None;
        }
        let mut marked = Self { text: String::with_capacity(source.len()), tags: Vec::new() };
        for piece in pieces(source) {
            match piece {
                Piece::Sql(text) => marked.text.push_str(text),
                Piece::Tag(tag) => {
                    let length = tag.lines().next().unwrap_or_default().chars().count();
                    let name = format!("{MARK}{}_", marked.tags.len());
                    let mark = if is_statement(tag) {
                        format!("/*{name:_<width$}*/", width = length.saturating_sub(4))
                    } else {
                        format!("{name:_<length$}")
                    };
                    marked.text.push_str(&mark);
                    marked.tags.push((mark, tag));
                }
            }
        }
        Some(marked)
    }

    /// The fixed text with its tags; `None` unless every mark is there once and in the old order.
    fn restore(&self, fixed: &str) -> Option<String> {
        let mut text = String::with_capacity(fixed.len());
        let mut rest = fixed;
        for (mark, tag) in &self.tags {
            let (before, after) = rest.split_once(mark.as_str())?;
            text.push_str(before);
            text.push_str(tag);
            rest = after;
        }
        text.push_str(rest);
        let marks = fixed.matches(MARK).count();
        (marks == self.tags.len()).then_some(text)
    }
}

/// How marks begin.
const MARK: &str = "jinja_";

/// SQL or a Jinja tag.
enum Piece<'a> {
    Sql(&'a str),
    Tag(&'a str),
}

/// A template in its pieces, in order.
fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let (before, tag) = rest.split_at(start);
        let (tag, after) = tag.split_at(tag_end(tag));
        pieces.extend([Piece::Sql(before), Piece::Tag(tag)]);
        rest = after;
    }
    pieces.push(Piece::Sql(rest));
    pieces
}

/// What stands in a tag, and the first name in it.
fn inside(tag: &str) -> (&str, &str) {
    let inner = tag.trim_matches(['{', '}', '%', '#', '-', '+']).trim();
    (inner, inner.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default())
}

/// Whether a tag leaves nothing in the SQL.
fn is_statement(tag: &str) -> bool {
    let expression = tag.starts_with("{{");
    !expression || matches!(inside(tag).1, "config" | "log" | "print" | "set_sql_header" | "return")
}

/// Bytes of the tag that the text starts with; an unclosed one goes to the end.
fn tag_end(text: &str) -> usize {
    let close = match text.as_bytes().get(1) {
        Some(b'{') => "}}",
        Some(b'%') => "%}",
        _ => "#}",
    };
    if close == "#}" {
        return text.find(close).map_or(text.len(), |at| at + 2);
    }
    let mut quote = None;
    for (at, c) in text.char_indices().skip(2) {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if text.get(at..).is_some_and(|rest| rest.starts_with(close)) => return at + 2,
            None => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn jinja_is_replaced_in_place() {
        let source = "{{ config(\n    materialized='table'\n) }}\nselect {{ dbt_utils.star(ref('a')) }} from {{ ref('b') }} x\n{% if is_incremental() %}\nwhere a > '{{ var(\"d}}\") }}'\n{% endif %}";
        let masked = Masked::new(source);
        insta::assert_snapshot!(masked.text);
        assert!(masked.has_macros);
        assert!(masked.covers(4, 10) && !masked.covers(4, 3));
    }

    #[test]
    fn only_foreign_calls_count_as_macros() {
        for (source, expected) in [
            ("select * from {{ ref('a') }}", false),
            ("{{ config(x=1) }} {% if is_incremental() %} where {{ this }}.a {% endif %}", false),
            ("{# {{ macro() }} #} select 1", false),
            ("select {{ money('a') }}", true),
            ("{% for x in y %} {% endfor %}", true),
        ] {
            assert_eq!(Masked::new(source).has_macros, expected, "{source}");
        }
    }

    #[test]
    fn tags_survive_the_fixes() {
        let source = "{{ config(\n  x=1\n) }}\nselect * from {{ref('a')}} where d > '{{ var('d') }}'\n{% if x %}-- {{y}}\n{% endif %}";
        let marked = Marked::new(source).expect("no marks in it");
        assert_eq!(marked.restore(&marked.text).as_deref(), Some(source));
        let fixed = marked.text.replace("select *", "select\n    *");
        assert_eq!(marked.restore(&fixed), Some(source.replace("select *", "select\n    *")));
        let lost = marked.text.replacen("jinja_1_", "jinja_9_", 1);
        let twice = format!("{} jinja_1_", marked.text);
        assert_eq!((marked.restore(&lost), marked.restore(&twice)), (None, None));
        assert!(Marked::new("select jinja_0_ from {{ ref('a') }}").is_none());
    }

    proptest! {
        #[test]
        fn every_line_keeps_its_length(source in "([a-zé ]|\\{\\{|\\}\\}|\\{%|%\\}|\\{#|#\\}|'|\n){0,60}") {
            let lengths = |text: &str| text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
            prop_assert_eq!(lengths(&Masked::new(&source).text), lengths(&source));
        }
    }

    #[tokio::test]
    async fn an_absent_linter_is_skipped_not_passed() {
        let linter = Linter {
            linters: None,
            tool: Tool::Sqlfluff,
            directory: PathBuf::new(),
            reason: "sqlfluff is not installed".into(),
        };
        let result = linter.check("select 1", Dialect::DuckDb).await;
        assert_eq!(result, CheckResult::skipped(CheckId::Lint, "sqlfluff is not installed"));
    }
}
