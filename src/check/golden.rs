//! Comparing a candidate with its golden: the ladder from text over proof to the search for rows that differ.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::sql::compare::{Contract, Options, compare};
use crate::sql::explain::explain;
use crate::sql::model::{self, Model};
use crate::sql::search::{Search, SearchOptions, Step};
use crate::sql::verdict::{Comparison, Method, Verdict};
use crate::sql::{Dialect, Schema, assume};
use crate::tool::again::Again;
use crate::tool::duckdb::{Lease, Pool, SessionFault};

use super::build::ATTEMPTS;

/// How two models are compared.
#[derive(Debug, Clone)]
pub struct GoldenOptions {
    /// The dialect of both.
    pub dialect: Dialect,
    /// How output columns are matched.
    pub contract: Contract,
    /// The project's own rows by table of the schema; cells in the order of the table's columns, as DuckDB prints them.
    pub own_rows: BTreeMap<String, Vec<Vec<Option<String>>>>,
    /// How many databases a search tries; 0 means the default.
    pub databases: usize,
    /// Whether tables that the schema lacks are taken to be as the queries use them; a verdict lists what was assumed.
    pub assume: bool,
    /// Whether a search that finds nothing says which mutants of the golden its databases tell from it.
    pub adequacy: bool,
    /// CPU time of one script of a search.
    pub deadline: Duration,
}

impl Default for GoldenOptions {
    fn default() -> Self {
        Self {
            dialect: Dialect::DuckDb,
            contract: Contract::Name,
            own_rows: BTreeMap::new(),
            databases: 0,
            assume: false,
            adequacy: true,
            deadline: Duration::from_secs(10),
        }
    }
}

/// The whole ladder: proof, and where it does not decide and there is a DuckDB, the search; then the differences in
/// words. Both texts are rendered SQL.
pub async fn judge(
    golden: &str,
    candidate: &str,
    schema: &Schema,
    options: &GoldenOptions,
    pool: Option<&Pool>,
) -> Comparison {
    let mut comparison = decide(golden, candidate, schema, options, pool).await;
    if comparison.verdict == Verdict::Identical {
        comparison.similarity = Some(1.0);
    } else if let Some(explanation) = explain(golden, candidate, schema, options.dialect) {
        comparison.explanation = explanation.changes;
        comparison.similarity = Some(explanation.similarity);
    }
    comparison
}

/// The ladder without the words.
async fn decide(
    golden: &str,
    candidate: &str,
    schema: &Schema,
    options: &GoldenOptions,
    pool: Option<&Pool>,
) -> Comparison {
    let queries = [golden, candidate];
    let opened = options.assume.then(|| assume::with_open_tables(&queries, schema, options.dialect));
    let schema = opened.as_ref().unwrap_or(schema);
    let proof = prove(golden, candidate, schema, options);
    match pool {
        Some(pool) if !is_decided(&proof) => {
            let assumed = opened
                .as_ref()
                .and_then(|opened| assume::with_assumed_columns(&queries, opened, options.dialect));
            let schema = assumed.as_ref().unwrap_or(schema);
            let mut lease = pool.lease().await;
            search(golden, candidate, schema, options, proof, &mut lease).await
        }
        _ => proof,
    }
}

/// The rungs that need no rows. Pure; see [`is_decided`].
pub fn prove(golden: &str, candidate: &str, schema: &Schema, options: &GoldenOptions) -> Comparison {
    compare(golden, candidate, schema, &Options { dialect: options.dialect, contract: options.contract })
}

/// Whether a proof settles the matter, so that no search is needed.
pub fn is_decided(proof: &Comparison) -> bool {
    matches!(proof.verdict, Verdict::Identical | Verdict::Equivalent | Verdict::Differs)
}

/// The rung that needs rows, for a pair that proof left undecided.
pub async fn search(
    golden: &str,
    candidate: &str,
    schema: &Schema,
    options: &GoldenOptions,
    proof: Comparison,
    session: &mut Lease,
) -> Comparison {
    let search_options = SearchOptions {
        dialect: options.dialect,
        by_name: options.contract == Contract::Name,
        own_rows: options.own_rows.clone(),
        databases: options.databases,
        adequacy: options.adequacy,
    };
    let mut killed = Again::new(ATTEMPTS);
    let mut ended = false;
    let found = loop {
        let mut search = match Search::new(golden, candidate, schema, &search_options) {
            Ok(search) => search,
            Err(comparison) => break *comparison,
        };
        let found = drive(&mut search, session, options.deadline).await;
        if session.execute(&search.teardown(), options.deadline).await.is_err() {
            session.reset();
        }
        match found {
            Ok(comparison) => break comparison,
            Err(SessionFault::Killed) if killed.pause().await => {}
            // Where it is the queries that ended it, it happens again.
            Err(SessionFault::Ended(_)) if !ended => ended = true,
            Err(fault) => break Comparison::new(Verdict::Unknown, Method::Search, fault.to_string()),
        }
    };
    Comparison {
        would_prove: proof.would_prove,
        explanation: proof.explanation,
        similarity: proof.similarity,
        ..found
    }
}

/// The whole ladder for two dbt models: both branches of `is_incremental()`, and their configs.
pub async fn judge_models(
    golden: &Model,
    candidate: &Model,
    schema: &Schema,
    options: &GoldenOptions,
    pool: Option<&Pool>,
) -> Comparison {
    let mut comparisons = Vec::new();
    for pair in model::pairs(golden, candidate) {
        comparisons.push(match pair.settled() {
            Some(comparison) => comparison,
            None => decide(&pair.golden.sql, &pair.candidate.sql, schema, options, pool).await,
        });
    }
    let options = Options { dialect: options.dialect, contract: options.contract };
    model::combine(golden, candidate, comparisons, schema, &options)
}

async fn drive(
    search: &mut Search,
    session: &mut Lease,
    deadline: Duration,
) -> Result<Comparison, SessionFault> {
    let mut stdout = String::new();
    let mut stderr = String::new();
    loop {
        match search.advance(&stdout, &stderr) {
            Step::Done(comparison) => return Ok(*comparison),
            Step::Execute(script) => {
                let reply = session.execute(&script, deadline).await?;
                (stdout, stderr) = (reply.stdout, reply.stderr);
            }
        }
    }
}
