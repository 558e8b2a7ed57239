//! `assay diff --pairs`: one JSON object a line in, one a line out, in the same order.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Tally;
use crate::check::golden::{self, GoldenOptions};
use crate::cli::output;
use crate::sql::compare::Contract;
use crate::sql::verdict::{Comparison, Method, Verdict};
use crate::sql::{Dialect, Schema};
use crate::tool::duckdb::Pool;

/// Lines that are in memory at a time.
const WINDOW: usize = 512;

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    dialect: Option<String>,
    #[serde(default)]
    schema: Option<SchemaRef>,
    #[serde(default)]
    contract: Option<String>,
    sql_a: String,
    sql_b: String,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SchemaRef {
    Path(PathBuf),
    Inline(Schema),
}

struct Pair {
    id: Value,
    golden: String,
    candidate: String,
    schema: Arc<Schema>,
    options: GoldenOptions,
}

/// Reads, judges and prints every pair.
pub(super) async fn run(file: &Path, defaults: &GoldenOptions, pool: Option<&Pool>) -> anyhow::Result<Tally> {
    let reader = BufReader::new(fs_err::File::open(file).context("failed to read the pairs")?);
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut schemas: BTreeMap<PathBuf, Result<Arc<Schema>, String>> = BTreeMap::new();
    let mut lines = reader.lines().enumerate();
    let mut tally = Tally::default();
    loop {
        let mut window: Vec<Result<Pair, (Value, String)>> = Vec::new();
        for (number, line) in lines.by_ref() {
            let line = line.context("failed to read the pairs")?;
            if line.trim().is_empty() {
                continue;
            }
            window.push(
                read(&line, folder, &mut schemas, defaults)
                    .map_err(|(id, why)| (id, format!("line {}: {why}", number + 1))),
            );
            if window.len() == WINDOW {
                break;
            }
        }
        if window.is_empty() {
            return Ok(tally);
        }
        for (id, comparison) in judge(window, pool).await {
            tally.count(comparison.verdict);
            output::data(&render(id, &comparison));
        }
    }
}

fn read(
    line: &str,
    folder: &Path,
    schemas: &mut BTreeMap<PathBuf, Result<Arc<Schema>, String>>,
    defaults: &GoldenOptions,
) -> Result<Pair, (Value, String)> {
    let line: Line = serde_json::from_str(line).map_err(|error| (Value::Null, error.to_string()))?;
    let mut options = defaults.clone();
    let fault = |why: String| Err((line.id.clone(), why));
    if let Some(name) = &line.dialect {
        match Dialect::from_name(name) {
            Some(dialect) => options.dialect = dialect,
            None => return fault(format!("unknown dialect {name:?}")),
        }
    }
    match line.contract.as_deref() {
        None => {}
        Some("name") => options.contract = Contract::Name,
        Some("position") => options.contract = Contract::Position,
        Some(other) => return fault(format!("unknown contract {other:?}, expected name or position")),
    }
    let schema = match line.schema {
        None => Arc::new(Schema::default()),
        Some(SchemaRef::Inline(schema)) => Arc::new(schema),
        Some(SchemaRef::Path(path)) => {
            let schema = schemas.entry(path).or_insert_with_key(|path| {
                let text = fs_err::read_to_string(folder.join(path)).map_err(|error| error.to_string())?;
                serde_json::from_str(&text)
                    .map(Arc::new)
                    .map_err(|error| format!("{}: {error}", path.display()))
            });
            match schema {
                Ok(schema) => Arc::clone(schema),
                Err(why) => {
                    let why = why.clone();
                    return Err((line.id, why));
                }
            }
        }
    };
    Ok(Pair { id: line.id, golden: line.sql_a, candidate: line.sql_b, schema, options })
}

/// Proof on all cores, then the undecided pairs in the DuckDB sessions of the pool.
async fn judge(window: Vec<Result<Pair, (Value, String)>>, pool: Option<&Pool>) -> Vec<(Value, Comparison)> {
    let proofs: Vec<Comparison> = window
        .par_iter()
        .map(|pair| match pair {
            Ok(pair) => golden::prove(&pair.golden, &pair.candidate, &pair.schema, &pair.options),
            Err((_, why)) => Comparison::new(Verdict::Unknown, Method::Text, why.clone()),
        })
        .collect();
    let mut tasks = Vec::new();
    for (pair, proof) in window.into_iter().zip(proofs) {
        let (id, task) = match (pair, pool) {
            (Ok(pair), Some(pool)) if !golden::is_decided(&proof) => {
                let pool = pool.clone();
                let id = pair.id.clone();
                let task = tokio::spawn(async move {
                    let mut lease = pool.lease().await;
                    golden::search(
                        &pair.golden,
                        &pair.candidate,
                        &pair.schema,
                        &pair.options,
                        proof,
                        &mut lease,
                    )
                    .await
                });
                (id, Pending::Search(task))
            }
            (Ok(pair), _) => (pair.id, Pending::Done(Box::new(proof))),
            (Err((id, _)), _) => (id, Pending::Done(Box::new(proof))),
        };
        tasks.push((id, task));
    }
    let mut results = Vec::new();
    for (id, task) in tasks {
        let comparison = match task {
            Pending::Done(comparison) => *comparison,
            Pending::Search(task) => task.await.unwrap_or_else(|error| {
                Comparison::new(Verdict::Unknown, Method::Search, format!("the search failed: {error}"))
            }),
        };
        results.push((id, comparison));
    }
    results
}

enum Pending {
    Done(Box<Comparison>),
    Search(tokio::task::JoinHandle<Comparison>),
}

/// One line of output.
pub(super) fn render(id: Value, comparison: &Comparison) -> String {
    let mut line = Map::new();
    line.insert("id".to_owned(), id);
    if let Ok(Value::Object(fields)) = serde_json::to_value(comparison) {
        for key in [
            "verdict",
            "method",
            "reason",
            "facts",
            "would_prove",
            "explanation",
            "similarity",
            "coverage",
            "counterexample",
        ] {
            if let Some(value) = fields.get(key)
                && (key == "facts" || value.as_array().is_none_or(|list| !list.is_empty()))
            {
                line.insert(key.to_owned(), value.clone());
            }
        }
    }
    Value::Object(line).to_string()
}
