//! Goldens: the accepted reference of a case, and the faults that make it useless as one.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::dbt::yaml::Node;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, io_reason};
use crate::sql::clock::unsteady_call;
use crate::sql::jinja::{self, Context, JinjaFaultKind};
use crate::sql::parse;

use super::cases::CaseRow;
use super::{Case, Project};

/// The accepted reference of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Golden {
    /// The file.
    pub sql_path: PathBuf,
    /// Its text.
    pub sql: String,
    /// The schema YAML: file and text.
    pub yaml: Option<(PathBuf, String)>,
    /// Unit tests of the case, as YAML with names of their own; nobody is shown them who writes the model.
    pub unit_tests: Option<String>,
}

impl Golden {
    /// Reads the golden that a row names.
    pub(super) fn read(config: &Config, row: &CaseRow, faults: &mut Diagnostics) -> Option<Self> {
        let mut read = |path: &Path| read_file(config, row, path, faults);
        let sql = read(&row.golden_sql);
        let yaml = row.golden_yaml.as_deref().map(&mut read);
        let unit_tests = row.unit_tests.as_deref().map(read);
        let (sql_path, sql) = sql?;
        let yaml = match yaml {
            Some(yaml) => Some(yaml?),
            None => None,
        };
        let unit_tests = match unit_tests {
            Some(file) => {
                let (path, text) = file?;
                Some(unit_tests_of(&row.model, &path, &text, faults)?)
            }
            None => None,
        };
        Some(Self { sql_path, sql, yaml, unit_tests })
    }
}

/// Unit tests of one model, under names that no test of a candidate has by chance.
fn unit_tests_of(model: &str, path: &Path, text: &str, faults: &mut Diagnostics) -> Option<String> {
    let fault = |line: Option<usize>, message: String| {
        let place = line.map_or_else(|| Place::file(path), |line| Place::line(path, line, text));
        Diagnostic::new("E_UNIT_TESTS", message)
            .at(place)
            .hint(format!("a list `unit_tests:` of unit tests of `{model}`, as dbt has them"))
    };
    let root = match Node::parse(text) {
        Ok(root) => root,
        Err(error) => {
            faults.push(fault(error.line, format!("not valid YAML: {}", error.message)));
            return None;
        }
    };
    let tests = root.get("unit_tests").map(Node::items).unwrap_or_default();
    let other = root.entries().iter().find(|(key, _)| !matches!(key.text(), Some("version" | "unit_tests")));
    let of_others = tests.iter().find(|test| test.get("model").and_then(Node::text) != Some(model));
    if let Some((key, _)) = other {
        faults.push(fault(Some(key.line), "there is something else than unit tests".to_owned()));
    } else if tests.is_empty() {
        faults.push(fault(None, "there are no unit tests".to_owned()));
    } else if let Some(test) = of_others {
        faults.push(fault(Some(test.line), "it is not a test of the case's model".to_owned()));
    } else {
        let mut tests: Vec<serde_json::Value> = tests.iter().map(Node::to_json).collect();
        for test in &mut tests {
            let name = test.get("name").and_then(serde_json::Value::as_str).unwrap_or_default();
            test["name"] = format!("case__{name}").into();
        }
        return Some(serde_json::json!({ "unit_tests": tests }).to_string());
    }
    None
}

fn read_file(
    config: &Config,
    row: &CaseRow,
    path: &Path,
    faults: &mut Diagnostics,
) -> Option<(PathBuf, String)> {
    let full = config.resolve(path);
    match fs_err::read_to_string(&full) {
        Ok(text) => Some((full, text)),
        Err(error) => {
            let message = format!("cannot read the golden `{}`: {}", path.display(), io_reason(&error));
            faults.push(
                Diagnostic::new("E_GOLDEN_MISSING", message)
                    .at(row.place.clone())
                    .hint("paths start at the folder of assay.toml"),
            );
            None
        }
    }
}

/// What the templates of a project are rendered against.
pub fn context(project: &Project, case_dialect: crate::sql::Dialect, model: &str) -> Context {
    Context { vars: project.dbt.vars(), ..Context::new(case_dialect, model) }
}

/// Refuses a golden that cannot be read: one that is no template, or whose SQL, with nothing left unexpanded, is no query.
/// Warns of one that reads the clock.
pub(super) fn check(case: &Case, faults: &mut Diagnostics, warnings: &mut Vec<Diagnostic>) {
    let golden = &case.golden;
    let at = |line: Option<usize>, column: Option<usize>| {
        let Some(line) = line else { return Place::file(&golden.sql_path) };
        let place = Place::line(&golden.sql_path, line, &golden.sql);
        column.map_or(place.clone(), |column| place.at_column(column))
    };
    let rendered = match jinja::render(&golden.sql, &context(&case.project, case.dialect, &case.model)) {
        Ok(rendered) => rendered,
        // A template that only dbt can evaluate is no fault of the golden.
        Err(fault) if fault.kind == JinjaFaultKind::Render => return,
        Err(fault) => {
            faults.push(
                Diagnostic::new("E_GOLDEN_JINJA", format!("the golden is no template: {}", fault.message))
                    .at(at(fault.line, fault.column)),
            );
            return;
        }
    };
    let query = parse::parse_query(&rendered.sql, case.dialect);
    if let Some(call) = query.as_ref().ok().and_then(unsteady_call) {
        warnings.push(
            Diagnostic::new("E_GOLDEN_UNSTEADY", format!("the golden calls {call}: its rows prove nothing"))
                .at(Place::file(&golden.sql_path))
                .hint("compare with a fixed date, or with a column of the data; until then its rows are not judged"),
        );
    }
    if rendered.is_exact()
        && let Err(fault) = query
    {
        // Columns move when a template is rendered; lines are known.
        let line = fault.place().and_then(|(line, _)| rendered.lines.get(line.saturating_sub(1)).copied());
        faults.push(
            Diagnostic::new(
                "E_GOLDEN_PARSE",
                format!("the golden is no {} query: {fault}", case.dialect.name()),
            )
            .at(at(line, None)),
        );
    }
}
