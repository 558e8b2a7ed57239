//! What dbt leaves behind: `manifest.json`, `run_results.json`, and JSON log lines. Every field is optional and statuses
//! are open, since the formats differ from version to version.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// `manifest.json`, as far as it is needed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Models, seeds, tests, snapshots, analyses by unique id.
    pub nodes: BTreeMap<String, Node>,
    /// Source tables by unique id.
    pub sources: BTreeMap<String, Node>,
    /// Unit tests by unique id.
    pub unit_tests: BTreeMap<String, Node>,
    /// Nodes that are switched off, by unique id.
    pub disabled: BTreeMap<String, Vec<Node>>,
}

/// A node of the manifest.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Unique id.
    pub unique_id: String,
    /// Name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// `model`, `test`, `seed`, `source`, ...
    #[serde(deserialize_with = "or_default")]
    pub resource_type: String,
    /// Package that it belongs to.
    #[serde(deserialize_with = "or_default")]
    pub package_name: String,
    /// File, relative to the project.
    #[serde(deserialize_with = "or_default")]
    pub original_file_path: String,
    /// Source text.
    #[serde(deserialize_with = "or_default")]
    pub raw_code: String,
    /// Quoted relation, where it has one.
    pub relation_name: Option<String>,
    /// Compiled file, relative to where dbt ran.
    pub compiled_path: Option<String>,
    /// Of a test: the node it was declared for.
    pub attached_node: Option<String>,
    /// Of a test: the column.
    pub column_name: Option<String>,
    /// Of a source table: its source.
    #[serde(deserialize_with = "or_default")]
    pub source_name: String,
    /// Configuration.
    #[serde(deserialize_with = "or_default")]
    pub config: Config,
    /// What it reads.
    #[serde(deserialize_with = "or_default")]
    pub depends_on: DependsOn,
    /// Of a generic test: which.
    pub test_metadata: Option<TestMetadata>,
    /// Of a unit test: the model.
    pub model: Option<String>,
    /// Language: `sql` or `python`.
    pub language: Option<String>,
}

/// A node's configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Materialization.
    pub materialized: Option<String>,
    /// Switched on.
    pub enabled: Option<bool>,
    /// Of a test.
    pub severity: Option<String>,
    /// Of a test: what is counted.
    pub fail_calc: Option<String>,
    /// Of a test.
    pub warn_if: Option<String>,
    /// Of a test.
    pub error_if: Option<String>,
    /// Of a test: most rows that are counted.
    pub limit: Option<serde_json::Value>,
    /// Of a test: its rows are kept in a table.
    pub store_failures: Option<bool>,
    /// Of a test: its rows are kept in a table or view.
    pub store_failures_as: Option<String>,
    /// Statements before the model.
    #[serde(rename = "pre-hook")]
    pub pre_hook: serde_json::Value,
    /// Statements after the model.
    #[serde(rename = "post-hook")]
    pub post_hook: serde_json::Value,
    /// SQL before the statement that builds the model.
    pub sql_header: serde_json::Value,
    /// Indexes on the table.
    pub indexes: serde_json::Value,
    /// Contract on the columns.
    #[serde(deserialize_with = "or_default")]
    pub contract: Contract,
}

impl Config {
    /// Of a test: whether it fails, or warns, exactly when it finds a row.
    pub fn is_usual_test(&self) -> bool {
        let is = |value: &Option<String>, usual: &str| value.as_deref().is_none_or(|value| value == usual);
        is(&self.fail_calc, "count(*)")
            && is(&self.warn_if, "!= 0")
            && is(&self.error_if, "!= 0")
            && self.limit.is_none()
            && self.store_failures != Some(true)
            && self.store_failures_as.is_none()
            && self.sql_header.is_null()
    }
}

/// A model's contract.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Contract {
    /// Whether its columns are held to it.
    #[serde(deserialize_with = "or_default")]
    pub enforced: bool,
}

/// What a node reads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DependsOn {
    /// Unique ids.
    #[serde(deserialize_with = "or_default")]
    pub nodes: Vec<String>,
}

/// Which generic test a node is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TestMetadata {
    /// Name without its package.
    pub name: String,
    /// Package, where given.
    pub namespace: Option<String>,
}

/// `run_results.json`, as far as it is needed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RunResults {
    /// One for each node that was looked at.
    pub results: Vec<RunResult>,
}

/// The result of one node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RunResult {
    /// Unique id.
    pub unique_id: String,
    /// How it ended.
    pub status: Status,
    /// What dbt says.
    #[serde(deserialize_with = "or_default")]
    pub message: String,
    /// Failing rows of a test.
    pub failures: Option<i64>,
    /// Seconds.
    #[serde(deserialize_with = "or_default")]
    pub execution_time: f64,
    /// Seconds of compiling and executing.
    #[serde(deserialize_with = "or_default")]
    pub timing: Vec<Timing>,
    /// Compiled SQL (not of every engine).
    pub compiled_code: Option<String>,
    /// Relation (not of every engine).
    pub relation_name: Option<String>,
}

/// A timed step.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Timing {
    /// `compile` or `execute`.
    pub name: String,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub completed_at: Option<String>,
}

/// How a node ended; open, since versions add words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Status {
    /// A model, seed or snapshot was built.
    Success,
    /// A test passed.
    Pass,
    /// A test failed.
    Fail,
    /// The node could not be run.
    Error,
    /// A test failed with severity `warn`.
    Warn,
    /// Not run, since something before it failed.
    Skipped,
    /// A word that this version does not know.
    #[default]
    Unknown,
    /// Another word.
    Other(String),
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(match word.as_str() {
            "success" => Self::Success,
            "pass" => Self::Pass,
            "fail" => Self::Fail,
            "error" | "runtime error" => Self::Error,
            "warn" => Self::Warn,
            "skipped" => Self::Skipped,
            _ => Self::Other(word),
        })
    }
}

/// A JSON log line.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The envelope.
    pub info: EventInfo,
    /// The payload.
    pub data: EventData,
}

/// The envelope of a log line.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EventInfo {
    /// `LogStartLine`, `MainEncounteredError`, ...
    pub name: String,
    /// `Q011`, `Z002`, ...
    pub code: String,
    /// `info`, `warn`, `error`.
    pub level: String,
    /// The text.
    pub msg: String,
}

/// What is read of an event's payload.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EventData {
    /// The node it is about.
    pub node_info: EventNode,
}

/// The node an event is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EventNode {
    /// Unique id.
    pub unique_id: String,
}

impl Manifest {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not a manifest.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The model made from this file (relative to the project), enabled or not.
    pub fn model_at(&self, path: &str) -> Option<&Node> {
        self.nodes.values().find(|node| node.resource_type == "model" && node.original_file_path == path)
    }

    /// Unique ids of the tests and unit tests that belong to a model: declared for it, or singular tests among `files`
    /// (relative to the project) that read it.
    pub fn tests_of(&self, model: &str, files: &[String]) -> Vec<&Node> {
        let data = self.nodes.values().filter(|node| {
            node.resource_type == "test"
                && match &node.attached_node {
                    Some(attached) => attached == model,
                    None => {
                        files.contains(&node.original_file_path)
                            || (node.test_metadata.is_some() && node.depends_on.nodes.iter().eq([model]))
                    }
                }
        });
        let unit = self.unit_tests.values().filter(|node| node.depends_on.nodes.iter().any(|id| id == model));
        data.chain(unit).collect()
    }
}

impl RunResults {
    /// Reads the file's text.
    ///
    /// # Errors
    /// When it is not a list of results.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The result of a node.
    pub fn get(&self, unique_id: &str) -> Option<&RunResult> {
        self.results.iter().find(|result| result.unique_id == unique_id)
    }
}

/// Reads JSON log lines; what is not one (SQL can print) is passed over.
pub fn events(text: &str) -> Vec<Event> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Takes the ANSI colours out of a message.
pub fn plain(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut chars = message.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// `null` counts as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_formats_are_read_alike() {
        let results = RunResults::parse(
            br#"{"results":[{"unique_id":"model.a.b","status":"success","message":null,"execution_time":0.5,"future":1},
                {"unique_id":"test.a.t","status":"partial success","failures":2,"timing":null}]}"#,
        )
        .expect("results");
        assert_eq!(results.get("model.a.b").map(|r| &r.status), Some(&Status::Success));
        assert_eq!(results.results[1].status, Status::Other("partial success".into()));
        assert_eq!(RunResults::parse(b"{}").expect("empty").results.len(), 0);
        assert!(RunResults::parse(b"[").is_err());
    }

    #[test]
    fn tests_belong_to_the_model_they_were_declared_for() {
        let manifest = Manifest::parse(
            br#"{"nodes":{
              "model.p.m":{"unique_id":"model.p.m","resource_type":"model","original_file_path":"models/m.sql"},
              "test.p.own":{"unique_id":"test.p.own","resource_type":"test","attached_node":"model.p.m","test_metadata":{"name":"unique"}},
              "test.p.other":{"unique_id":"test.p.other","resource_type":"test","attached_node":"model.p.n","depends_on":{"nodes":["model.p.m","model.p.n"]}},
              "test.p.single":{"unique_id":"test.p.single","resource_type":"test","original_file_path":"tests/t.sql","depends_on":{"nodes":["model.p.m"],"macros":[null]}}},
             "unit_tests":{"unit_test.p.m.u":{"unique_id":"unit_test.p.m.u","depends_on":{"nodes":["model.p.m"]}}}}"#,
        )
        .expect("a manifest");
        let ids = |files: &[String]| -> Vec<String> {
            manifest.tests_of("model.p.m", files).into_iter().map(|node| node.unique_id.clone()).collect()
        };
        assert_eq!(ids(&[]), ["test.p.own", "unit_test.p.m.u"]);
        assert_eq!(ids(&["tests/t.sql".into()]), ["test.p.own", "test.p.single", "unit_test.p.m.u"]);
        assert_eq!(manifest.model_at("models/m.sql").map(|node| node.unique_id.as_str()), Some("model.p.m"));
    }

    #[test]
    fn log_lines_that_are_not_json_are_passed_over() {
        let events = events("profiling: on\n{\"info\":{\"name\":\"LogStartLine\"}}\n{\n");
        assert_eq!(events.len(), 1);
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m text"), "red text");
    }
}
