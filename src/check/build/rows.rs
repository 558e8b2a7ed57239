//! Reading and comparing relations of finished databases: one short-lived `duckdb` process for each question. The files
//! are opened read-only and everything else is locked before a view made from a candidate's SQL is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use tokio::sync::Semaphore;

use super::columns::{Pairing, pair_columns};
use super::{CATALOG, DATABASE};
use crate::tool::again::Again;
use crate::tool::process::{Finished, Limits, Program};
use crate::tool::sandbox::Access;

const SIGXCPU: i32 = 24;

/// Rows shown of each kind.
const EXAMPLES: usize = 5;

/// The `duckdb` command for finished databases.
#[derive(Debug, Clone)]
pub struct Duckdb {
    program: PathBuf,
    wall: Duration,
    memory: u64,
    free: Arc<Semaphore>,
}

/// A relation in a database file.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The file, named as when it was built.
    pub database: &'a Path,
    /// Quoted relation as dbt gives it.
    pub relation: &'a str,
    /// Its columns: name and type.
    pub columns: &'a [(String, String)],
}

/// How to compare.
#[derive(Debug, Clone)]
pub struct RowOptions<'a> {
    /// Columns that identify a row; empty when there is no key.
    pub key: &'a [String],
    /// Relative tolerance between floating-point numbers.
    pub float_tolerance: f64,
}

/// What tells two relations apart. The words for rows are those of dbt's audit helper.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RowComparison {
    /// How the columns fit.
    pub columns: Pairing,
    /// Rows of the golden; 0 makes the comparison worthless, and is a fault of the case.
    pub golden_rows: u64,
    /// Rows of the candidate.
    pub candidate_rows: u64,
    /// Rows that both have.
    pub identical: u64,
    /// Rows of the golden that the candidate lacks.
    pub removed: u64,
    /// Rows of the candidate that the golden lacks.
    pub added: u64,
    /// Rows with the same key and other values; counted neither as removed nor as added.
    pub modified: u64,
    /// The key that rows were matched by; empty when none is unique on both sides.
    pub key: Vec<String>,
    /// Columns that differ in modified rows, with the number of rows, most first.
    pub differing_columns: Vec<(String, u64)>,
    /// A few rows of each kind.
    pub examples: Vec<RowExample>,
    /// What is known of the keys, where all columns of the grain are shared.
    pub keys: KeyComparison,
    /// Columns that hold NULL on a side: name, rows of the golden, rows of the candidate.
    pub nulls: Vec<(String, u64, u64)>,
}

/// How the keys of two relations differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyComparison {
    /// Keys of the golden that the candidate lacks.
    pub lost: Keys,
    /// Keys of the candidate that the golden lacks.
    pub new: Keys,
    /// Keys with more than one row in the golden: then they are none.
    pub repeated_in_golden: Keys,
    /// Keys with more than one row in the candidate.
    pub repeated: Keys,
}

/// Some keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// How many there are.
    pub count: u64,
    /// The first few: values as text.
    pub examples: Vec<Vec<Option<String>>>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowExample {
    /// Values of the compared columns in the golden, as text; `None` for an added row.
    pub golden: Option<Vec<Option<String>>>,
    /// Values in the candidate; `None` for a removed row.
    pub candidate: Option<Vec<Option<String>>>,
}

impl Keys {
    pub(super) fn add(&mut self, line: Line) {
        self.count = line.n;
        self.examples.extend(line.golden);
    }
}

impl RowComparison {
    /// Whether every golden column is there and the rows are the same multiset.
    pub fn rows_agree(&self) -> bool {
        self.columns.missing.is_empty() && self.removed == 0 && self.added == 0 && self.modified == 0
    }
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DuckdbFault {
    /// The golden's relation cannot be read.
    #[error("the golden's rows cannot be read: {0}")]
    Golden(String),
    /// The candidate's relation cannot be read: a view that fails on the data.
    #[error("the candidate's rows cannot be read: {0}")]
    Candidate(String),
    /// The process failed, or ran out of time or memory.
    #[error("duckdb failed: {0}")]
    Process(String),
}

/// How far a script got, with what it had printed.
pub(super) struct Answer {
    pub(super) lines: Vec<Line>,
    pub(super) fault: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) t: String,
    #[serde(default)]
    pub(super) n: u64,
    #[serde(default)]
    pub(super) m: u64,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    relation: String,
    #[serde(default)]
    golden: Option<Vec<Option<String>>>,
    #[serde(default)]
    candidate: Option<Vec<Option<String>>>,
}

impl Duckdb {
    /// At most `size` processes at a time, with limits for a comparison of small tables.
    pub fn new(program: &Path, size: usize) -> Self {
        let free = Arc::new(Semaphore::new(size.max(1)));
        Self { program: program.to_owned(), wall: Duration::from_secs(60), memory: 512 << 20, free }
    }

    /// Columns of every relation of a database, by quoted lower-case relation.
    pub(super) async fn columns_of_all(
        &self,
        database: &Path,
    ) -> Result<BTreeMap<String, Vec<(String, String)>>, String> {
        let script = format!(
            "{}SELECT 'column' AS t, lower(format('\"{{}}\".\"{{}}\".\"{{}}\"', database_name, schema_name, table_name)) AS relation, \
             column_name AS name, data_type AS kind FROM duckdb_columns() WHERE database_name = '{CATALOG}' \
             ORDER BY relation, column_index;\n",
            attach(database)
        );
        self.listed(database, &script).await
    }

    async fn listed(
        &self,
        database: &Path,
        script: &str,
    ) -> Result<BTreeMap<String, Vec<(String, String)>>, String> {
        let answer = self.ask(&[database], script).await?;
        if let Some(fault) = answer.fault {
            return Err(fault);
        }
        let mut found: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for line in answer.lines {
            found.entry(line.relation).or_default().push((line.name, line.kind));
        }
        Ok(found)
    }

    /// Columns of a query, which is bound and not run; none where it is not one SELECT.
    pub(super) async fn columns_of_query(
        &self,
        database: &Path,
        sql: &str,
    ) -> Result<Vec<(String, String)>, String> {
        // On one line: no line of it can be taken for a command.
        let sql = sql.trim().trim_end_matches(';');
        let escaped = [("\\", "\\\\"), ("'", "''"), ("\n", "\\n"), ("\r", "\\r")]
            .iter()
            .fold(sql.to_owned(), |text, (from, to)| text.replace(from, to));
        let script = format!(
            "{}SELECT 'column' AS t, '' AS relation, column_name AS name, column_type AS kind \
             FROM (DESCRIBE SELECT * FROM query(E'{escaped}'));\n",
            attach(database)
        );
        Ok(self.listed(database, &script).await?.remove("").unwrap_or_default())
    }

    /// Columns of one relation; `None` when the database does not have it.
    pub(super) async fn columns(
        &self,
        database: &Path,
        relation: &str,
    ) -> Result<Option<Vec<(String, String)>>, String> {
        Ok(self.columns_of_all(database).await?.remove(&relation.to_lowercase()))
    }

    /// Removes relations from a database, before anything of a candidate is in it.
    pub(super) async fn drop_relations(&self, database: &Path, relations: &[String]) -> Result<(), String> {
        let mut script = format!("ATTACH {} AS {CATALOG};\n", literal(&database.display().to_string()));
        for relation in relations.iter().filter(|relation| is_plain_relation(relation)) {
            // Which of the two it is, is not known; the other statement fails.
            script.push_str(&format!(
                "DROP VIEW IF EXISTS {relation} CASCADE;\nDROP TABLE IF EXISTS {relation} CASCADE;\n"
            ));
        }
        let _permit = self.free.acquire().await;
        let access = Access { write: folders(&[database]), ..Access::default() };
        let program = self.program(false).stdin(script).sandboxed(access);
        let finished = self.run(&program).await?;
        match (finished.killed, finished.signal) {
            (None, None) => Ok(()),
            (Some(reason), _) => Err(format!("duckdb was stopped: {reason:?}")),
            (None, Some(signal)) => Err(format!("duckdb ended by signal {signal}")),
        }
    }

    /// Compares the rows of two relations as multisets, over the golden's columns that the candidate has.
    ///
    /// # Errors
    /// When one side cannot be read, or duckdb itself fails.
    pub async fn compare(
        &self,
        golden: Side<'_>,
        candidate: Side<'_>,
        options: &RowOptions<'_>,
    ) -> Result<RowComparison, DuckdbFault> {
        for side in [golden, candidate] {
            if !is_plain_relation(side.relation) {
                return Err(DuckdbFault::Process(format!("unusual relation {}", side.relation)));
            }
        }
        let pairing = pair_columns(golden.columns, candidate.columns);
        let script = super::row_script::script(golden, candidate, &pairing, options, EXAMPLES);
        let files = [golden.database, candidate.database];
        let answer = self.ask(&files, &script).await.map_err(DuckdbFault::Process)?;
        let reached = |stage: &str| answer.lines.iter().any(|line| line.t == stage);
        if let Some(fault) = answer.fault {
            return Err(match (reached("golden"), reached("candidate")) {
                (false, _) => DuckdbFault::Golden(fault),
                (true, false) => DuckdbFault::Candidate(fault),
                (true, true) => DuckdbFault::Process(fault),
            });
        }
        let mut comparison = RowComparison { columns: pairing, ..RowComparison::default() };
        for line in answer.lines {
            match line.t.as_str() {
                "golden" => comparison.golden_rows = line.n,
                "candidate" => comparison.candidate_rows = line.n,
                "removed" => comparison.removed = line.n,
                "added" => comparison.added = line.n,
                "modified" => comparison.modified = line.n,
                "keyed" if line.n == 1 => comparison.key = options.key.to_vec(),
                "differs" if line.n > 0 => comparison.differing_columns.push((line.name, line.n)),
                "nulls" if line.n + line.m > 0 => comparison.nulls.push((line.name, line.n, line.m)),
                "lost_key" => comparison.keys.lost.add(line),
                "new_key" => comparison.keys.new.add(line),
                "golden_repeats" => comparison.keys.repeated_in_golden.add(line),
                "candidate_repeats" => comparison.keys.repeated.add(line),
                "example" => {
                    comparison.examples.push(RowExample { golden: line.golden, candidate: line.candidate });
                }
                _ => {}
            }
        }
        comparison.identical =
            comparison.golden_rows.saturating_sub(comparison.removed).saturating_sub(comparison.modified);
        comparison.differing_columns.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
        Ok(comparison)
    }

    /// Runs a script on files that it may read, and nothing else.
    pub(super) async fn ask(&self, files: &[&Path], script: &str) -> Result<Answer, String> {
        self.execute(files, script, Access { read: folders(files), ..Access::default() }).await
    }

    /// Runs a script on files that it may write, and nothing else.
    pub(super) async fn change(&self, files: &[&Path], script: &str) -> Result<(), String> {
        let access = Access { write: folders(files), ..Access::default() };
        match self.execute(files, script, access).await?.fault {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    async fn execute(&self, files: &[&Path], script: &str, access: Access) -> Result<Answer, String> {
        let mut allowed = Vec::new();
        for file in files {
            let path = file.display().to_string();
            // The write-ahead log is looked for even when there is none.
            allowed.push(literal(&format!("{path}.wal")));
            allowed.push(literal(&path));
        }
        let prelude = format!(
            "SET memory_limit='{}MB'; SET threads=1; SET temp_directory=''; SET TimeZone='UTC';\n\
             SET allowed_paths=[{}]; SET enable_external_access=false; SET lock_configuration=true;\n",
            self.memory >> 20,
            allowed.join(", ")
        );
        let _permit = self.free.acquire().await;
        let program = self.program(true).stdin(format!("{prelude}{script}")).sandboxed(access);
        let finished = self.run(&program).await?;
        match (finished.killed, finished.signal) {
            (Some(reason), _) => return Err(format!("stopped: {reason:?}")),
            // At the end of its CPU time, what it was reading then is to blame.
            (None, None | Some(SIGXCPU)) => {}
            (None, Some(signal)) => return Err(format!("ended by signal {signal}")),
        }
        let text = finished.stdout_text();
        let lines = read_lines(&text);
        // The last one may be cut off where it was stopped.
        let lines =
            if finished.success() { lines.collect::<Result<_, _>>()? } else { lines.flatten().collect() };
        let fault = match (finished.success(), finished.signal) {
            (true, _) => None,
            (false, Some(_)) => Some(format!("used more than {} s of CPU time", self.wall.as_secs())),
            (false, None) => {
                let text = finished.stderr_text();
                let text =
                    files.iter().fold(text, |text, file| text.replace(&file.display().to_string(), DATABASE));
                Some(super::classify::shorten(&crate::dbt::artifacts::plain(&text)))
            }
        };
        Ok(Answer { lines, fault })
    }

    /// Runs to its end, again where the process was killed from outside: what it does to a file it does once.
    async fn run(&self, program: &Program) -> Result<Finished, String> {
        let mut again = Again::new(super::ATTEMPTS);
        loop {
            let finished = program.run(&self.limits()).await;
            let finished = finished.map_err(|error| format!("{}: {error}", self.program.display()))?;
            let was_killed = finished.killed.is_none() && finished.signal == Some(9);
            if !was_killed || !again.pause().await {
                return Ok(finished);
            }
        }
    }

    fn program(&self, bail: bool) -> Program {
        let program = Program::new(&self.program).args(["-init", "/dev/null", "-batch", "-jsonlines"]);
        let program = if bail { program.arg("-bail") } else { program };
        program.arg(":memory:")
    }

    fn limits(&self) -> Limits {
        // The CPU limit holds where nobody is left to keep the deadline.
        Limits { memory: Some(8 << 30), cpu: Some(self.wall), ..Limits::wall(self.wall) }
    }
}

/// The answers in what was printed. One that cannot be read must not be taken for one that is not there.
fn read_lines(text: &str) -> impl Iterator<Item = Result<Line, String>> {
    text.lines().filter(|line| line.starts_with("{\"t\":")).map(|line| {
        serde_json::from_str(line).map_err(|error| format!("duckdb's answer cannot be read: {error}: {line}"))
    })
}

/// The folders of files: DuckDB looks for logs beside a database.
fn folders(files: &[&Path]) -> Vec<PathBuf> {
    files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect()
}

/// Attaches a database read-only under the name that its views use.
pub(super) fn attach(database: &Path) -> String {
    format!("ATTACH {} AS {CATALOG} (READ_ONLY);\n", literal(&database.display().to_string()))
}

/// A SQL string.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A SQL identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `"a"."b"."c"` with nothing inside the quotes that could end them: relations come from a candidate's configuration.
fn is_plain_relation(relation: &str) -> bool {
    let parts: Vec<&str> = relation.split('.').collect();
    parts.len() == 3
        && parts.iter().all(|part| {
            part.len() > 2
                && part.strip_prefix('"').and_then(|part| part.strip_suffix('"')).is_some_and(|name| {
                    name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ' | '$'))
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_that_could_break_out_are_refused() {
        assert!(is_plain_relation("\"warehouse\".\"main\".\"orders\""));
        for relation in [
            "orders",
            "\"a\".\"b\"",
            "\"a\".\"b\".\"c\"\"; SELECT 1; --\"",
            "\"a\".\"b\".\"c\n.shell\"",
            "\"a\".\"\".\"c\"",
        ] {
            assert!(!is_plain_relation(relation), "{relation}");
        }
    }
}
