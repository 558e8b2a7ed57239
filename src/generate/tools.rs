//! The tools that a model may call: `list_models` and `fetch_source_columns`.

mod serve;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::request::{ToolCall, ToolDef};
use crate::dbt::catalog;
use crate::dbt::facts::Relation;
use crate::dbt::project::Project;
use crate::dbt::properties::{Resource, ResourceKind};
use crate::suite::spec::Approved;

pub use serve::{Names, serve};

/// The tool did not end in time.
pub const E_TIMEOUT: &str = "E_TIMEOUT";
/// The project holds no models, or does not parse.
pub const E_EMPTY: &str = "E_EMPTY";
/// The source is not approved, or does not exist.
pub const E_NOT_FOUND: &str = "E_NOT_FOUND";
/// No such tool was offered.
pub const E_UNKNOWN_TOOL: &str = "E_UNKNOWN_TOOL";
/// The arguments are not what the tool takes.
pub const E_BAD_ARGS: &str = "E_BAD_ARGS";
/// The limit of tool calls is reached.
pub const E_LIMIT: &str = "E_LIMIT";

/// What a tool returns to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// JSON text: the result, or `{"error": code, "message": ...}`.
    pub text: String,
    /// The code of the error.
    pub error: Option<&'static str>,
}

impl ToolOutput {
    /// A result.
    pub fn ok(value: &Value) -> Self {
        Self { text: value.to_string(), error: None }
    }

    /// An error with its code.
    pub fn error(code: &'static str, message: &str) -> Self {
        Self { text: json!({"error": code, "message": message}).to_string(), error: Some(code) }
    }

    /// No call is left.
    pub(super) fn limit() -> Self {
        Self::error(E_LIMIT, "no further tool call is allowed; answer now")
    }
}

/// The definitions of the named tools, in the order of the names; unknown names are left out (prompt versions are
/// checked when they are read).
pub fn definitions(names: &[String]) -> Vec<ToolDef> {
    names.iter().filter_map(|name| definition(name)).collect()
}

fn definition(name: &str) -> Option<ToolDef> {
    Some(match name {
        "list_models" => ToolDef {
            name: "list_models",
            description: "Lists the models that ref() may name, as a JSON array of strings. Errors: E_TIMEOUT, E_EMPTY.",
            parameters: json!({
                "type": "object",
                "properties": {},
                "required": [],
                "additionalProperties": false
            }),
        },
        "fetch_source_columns" => ToolDef {
            name: "fetch_source_columns",
            description: "Lists the columns of a table of a dbt source as a JSON array of {name, data_type, tests}. Errors: E_NOT_FOUND for a source that is not approved, E_TIMEOUT.",
            parameters: json!({
                "type": "object",
                "properties": {
                    "source_name": { "type": "string", "description": "The source, first argument of source()." },
                    "table_name": { "type": "string", "description": "The table, second argument of source()." }
                },
                "required": ["source_name", "table_name"],
                "additionalProperties": false
            }),
        },
        _ => return None,
    })
}

/// How long each tool may take.
const LIST_MODELS_LIMIT: Duration = Duration::from_secs(3);
const FETCH_SOURCE_COLUMNS_LIMIT: Duration = Duration::from_secs(5);
/// Limits of what goes to the model: columns of a table, characters of a name or type.
const MAX_COLUMNS: usize = 500;
const MAX_NAME: usize = 200;

/// The tools over one dbt project. Read-only; arguments never name a path.
#[derive(Debug, Clone)]
pub struct Toolbox {
    project: PathBuf,
    approved: Option<Vec<Approved>>,
}

impl Toolbox {
    /// Tools that show only what is approved.
    pub fn new(project: &Path, approved: &[Approved]) -> Self {
        Self { project: project.to_path_buf(), approved: Some(approved.to_vec()) }
    }

    /// Tools that show the whole project.
    pub fn unrestricted(project: &Path) -> Self {
        Self { project: project.to_path_buf(), approved: None }
    }

    /// Runs a tool call of a model; whatever goes wrong is an output too.
    pub async fn call(&self, call: &ToolCall, offered: &[ToolDef]) -> ToolOutput {
        if !offered.iter().any(|tool| tool.name == call.name) {
            let names: Vec<&str> = offered.iter().map(|tool| tool.name).collect();
            return ToolOutput::error(
                E_UNKNOWN_TOOL,
                &format!("there is no such tool; tools are {}", names.join(", ")),
            );
        }
        let Ok(Value::Object(arguments)) = serde_json::from_str::<Value>(&call.arguments) else {
            return ToolOutput::error(E_BAD_ARGS, "the arguments are not a JSON object");
        };
        match call.name.as_str() {
            "list_models" if arguments.is_empty() => self.list_models().await,
            "list_models" => ToolOutput::error(E_BAD_ARGS, "list_models takes no arguments"),
            _ => {
                let text = |name: &str| arguments.get(name).and_then(Value::as_str);
                match (text("source_name"), text("table_name")) {
                    (Some(source), Some(table)) if arguments.len() == 2 => {
                        self.fetch_source_columns(source, table).await
                    }
                    _ => ToolOutput::error(
                        E_BAD_ARGS,
                        "fetch_source_columns takes two strings, source_name and table_name",
                    ),
                }
            }
        }
    }

    /// The models that `ref()` may name, sorted.
    pub async fn list_models(&self) -> ToolOutput {
        let toolbox = self.clone();
        within(LIST_MODELS_LIMIT, move || toolbox.models()).await
    }

    /// The columns of a source table, in the order in which they are described.
    pub async fn fetch_source_columns(&self, source: &str, table: &str) -> ToolOutput {
        let (toolbox, source, table) = (self.clone(), source.to_owned(), table.to_owned());
        within(FETCH_SOURCE_COLUMNS_LIMIT, move || toolbox.columns(&source, &table)).await
    }

    fn models(&self) -> ToolOutput {
        let project = match Project::read(&self.project) {
            Ok(project) => project,
            Err(_) => return ToolOutput::error(E_EMPTY, "the dbt project cannot be read"),
        };
        let mut names: Vec<String> =
            project.models().into_iter().chain(project.seeds()).map(|file| file.name).collect();
        names.extend(project.properties().into_iter().flatten().flat_map(|(_, properties)| {
            let snapshots =
                properties.resources.into_iter().filter(|resource| resource.kind == ResourceKind::Snapshot);
            snapshots.map(|resource| resource.name).collect::<Vec<_>>()
        }));
        names.retain(|name| self.approves(&Approved::Ref(name.clone())));
        names.sort();
        names.dedup();
        if names.is_empty() {
            return ToolOutput::error(E_EMPTY, "no model may be referred to");
        }
        ToolOutput::ok(&names.into_iter().map(|name| plain(&name)).collect())
    }

    fn columns(&self, source: &str, table: &str) -> ToolOutput {
        let not_found = |why: &str| ToolOutput::error(E_NOT_FOUND, why);
        if !self.approves(&Approved::Source(source.to_owned(), table.to_owned())) {
            return not_found("this source is not approved for the model");
        }
        let read = Project::read(&self.project).and_then(|project| Ok((project.properties()?, project)));
        let Ok((files, project)) = read else {
            return ToolOutput::error(E_EMPTY, "the dbt project cannot be read");
        };
        let is_it = |resource: &&Resource| {
            resource.name == table
                && matches!(&resource.kind, ResourceKind::Source { source: name } if name == source)
        };
        let Some(found) = files.iter().flat_map(|(_, properties)| &properties.resources).find(is_it) else {
            return not_found("the project does not describe this source");
        };
        // What the YAML describes comes first; a catalog knows the types and the columns that it leaves out.
        let mut seen = catalog::types(&project).unwrap_or_default();
        let relation = Relation::Source(source.to_owned(), table.to_owned());
        let mut seen = seen.remove(&relation).unwrap_or_default();
        let mut columns = Vec::new();
        for column in &found.columns {
            let at = seen.iter().position(|(name, _)| plain(name).eq_ignore_ascii_case(&plain(&column.name)));
            let seen_type = at.map(|at| seen.remove(at).1).filter(|data_type| !data_type.is_empty());
            let tests = found.tests.iter().filter(|test| test.column.as_deref() == Some(&column.name));
            columns.push(json!({
                "name": plain(&column.name),
                "data_type": column.data_type.as_deref().or(seen_type.as_deref()).map(plain),
                "tests": tests.map(|test| plain(&test.name)).collect::<Vec<_>>(),
            }));
        }
        for (name, data_type) in seen {
            let data_type = Some(data_type).filter(|data_type| !data_type.is_empty());
            columns.push(
                json!({"name": plain(&name), "data_type": data_type.as_deref().map(plain), "tests": []}),
            );
        }
        columns.truncate(MAX_COLUMNS);
        if columns.is_empty() {
            return ToolOutput::error(E_EMPTY, "the project names no column of this source");
        }
        ToolOutput::ok(&Value::from(columns))
    }

    fn approves(&self, relation: &Approved) -> bool {
        self.approved.as_ref().is_none_or(|approved| approved.contains(relation))
    }
}

/// Runs work that may hang (a dead network drive) on a thread that is left behind when the time is over.
async fn within(limit: Duration, work: impl FnOnce() -> ToolOutput + Send + 'static) -> ToolOutput {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Nobody listens any more when the time was over.
        let _ = send.send(work());
    });
    match tokio::time::timeout(limit, receive).await {
        Ok(Ok(output)) => output,
        Ok(Err(_)) => ToolOutput::error(E_EMPTY, "the tool failed"),
        Err(_) => ToolOutput::error(E_TIMEOUT, &format!("no result within {} s", limit.as_secs())),
    }
}

/// A name from the project without control characters and marks that change the direction of text.
fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().filter(|&c| !hidden(c)).take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("dbt_project.yml", "name: ferry\n");
        write("models/stg_b.sql", "select 1");
        write("models/marts/stg_a.sql", "select 1");
        write("seeds/ports.csv", "id\n1\n");
        write(
            "models/sources.yml",
            "version: 2\nsources:\n  - name: raw\n    tables:\n      - name: bookings\n        columns:\n          - name: id\n            data_type: integer\n            data_tests: [unique, not_null]\n          - name: \"no\\u202Ete\"\n",
        );
        folder
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn call(toolbox: &Toolbox, name: &str, arguments: &str) -> ToolOutput {
        let offered = definitions(&["list_models".to_owned(), "fetch_source_columns".to_owned()]);
        let call = ToolCall { call_id: "1".into(), name: name.into(), arguments: arguments.into() };
        run(toolbox.call(&call, &offered))
    }

    #[test]
    fn tools_answer_from_the_project_and_show_only_what_is_approved() {
        let folder = project();
        let all = Toolbox::unrestricted(folder.path());
        assert_eq!(call(&all, "list_models", "{}").text, r#"["ports","stg_a","stg_b"]"#);
        let approved = [
            Approved::Ref("stg_b".into()),
            Approved::Ref("gone".into()),
            Approved::Source("raw".into(), "bookings".into()),
        ];
        let some = Toolbox::new(folder.path(), &approved);
        assert_eq!(call(&some, "list_models", "{}").text, r#"["stg_b"]"#);
        let columns = call(&some, "fetch_source_columns", r#"{"source_name":"raw","table_name":"bookings"}"#);
        assert_eq!(
            serde_json::from_str::<Value>(&columns.text).unwrap(),
            json!([
                {"name": "id", "data_type": "integer", "tests": ["unique", "not_null"]},
                {"name": "note", "data_type": null, "tests": []}
            ])
        );
    }

    #[test]
    fn a_catalog_adds_what_the_yaml_leaves_out() {
        let folder = project();
        fs_err::create_dir(folder.path().join("target")).unwrap();
        let catalog = r#"{"sources": {"source.ferry.raw.bookings": {"columns": {
            "seats": {"name": "seats", "type": "INTEGER", "index": 3}, "note": {"name": "NOTE", "type": "VARCHAR", "index": 2},
            "id": {"name": "id", "type": "BIGINT", "index": 1}}}}}"#;
        fs_err::write(folder.path().join("target/catalog.json"), catalog).unwrap();
        let all = Toolbox::unrestricted(folder.path());
        let columns = call(&all, "fetch_source_columns", r#"{"source_name":"raw","table_name":"bookings"}"#);
        assert_eq!(
            serde_json::from_str::<Value>(&columns.text).unwrap(),
            json!([
                {"name": "id", "data_type": "integer", "tests": ["unique", "not_null"]},
                {"name": "note", "data_type": "VARCHAR", "tests": []},
                {"name": "seats", "data_type": "INTEGER", "tests": []}
            ])
        );
    }

    #[test]
    fn every_error_has_its_code() {
        let folder = project();
        let some = Toolbox::new(folder.path(), &[Approved::Source("raw".into(), "planned".into())]);
        let code = |name: &str, arguments: &str| call(&some, name, arguments).error;
        assert_eq!(code("list_models", "{}"), Some(E_EMPTY));
        assert_eq!(code("rm", "{}"), Some(E_UNKNOWN_TOOL));
        assert_eq!(code("list_models", "{\"path\":\"/\"}"), Some(E_BAD_ARGS));
        for arguments in
            ["", "[]", "{}", "{\"source_name\":\"raw\"}", "{\"source_name\":1,\"table_name\":\"b\"}"]
        {
            assert_eq!(code("fetch_source_columns", arguments), Some(E_BAD_ARGS), "{arguments}");
        }
        for table in ["bookings", "planned", "../x"] {
            let arguments = json!({"source_name": "raw", "table_name": table}).to_string();
            assert_eq!(code("fetch_source_columns", &arguments), Some(E_NOT_FOUND), "{table}");
        }
        let broken = Toolbox::unrestricted(&folder.path().join("nowhere"));
        assert_eq!(run(broken.list_models()).error, Some(E_EMPTY));
    }

    #[test]
    fn a_tool_that_hangs_is_left_behind() {
        let started = std::time::Instant::now();
        let output = run(within(Duration::from_millis(20), || {
            std::thread::sleep(Duration::from_secs(30));
            ToolOutput::ok(&json!([]))
        }));
        assert_eq!(output.error, Some(E_TIMEOUT));
        assert!(started.elapsed() < Duration::from_secs(20), "waited for the thread");
    }
}
