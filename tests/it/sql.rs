//! What the SQL judge promises: an equality that no database contradicts, a difference that reproduces.
//!
//! The standing fuzz runs a few hundred random pairs; `ASSAY_FUZZ_PAIRS=100000` and `ASSAY_FUZZ_FORMS=10000` run more, `ASSAY_FUZZ_SEED` starts
//! elsewhere, and `ASSAY_FUZZ_REPORT=FILE` collects every contradiction instead of stopping at the first.

mod chains;
mod edits;
mod families;
mod group_families;
mod pairs;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use assay::check::golden::{self, GoldenOptions};
use assay::sql::algebra::to_sql;
use assay::sql::compare::{Contract, Options, normal_form};
use assay::sql::facts::FactSet;
use assay::sql::verdict::{Comparison, Method, Verdict};
use assay::sql::{Dialect, Schema};
use assay::stats::rng::SplitMix64;
use assay::tool::duckdb::{Lease, Pool, Session, SessionFault, SessionLimits};

const DEADLINE: Duration = Duration::from_secs(20);

/// The `duckdb` command: named in the environment, else that of the tools that all tests share.
fn duckdb() -> std::path::PathBuf {
    if let Some(path) = std::env::var_os("ASSAY_DUCKDB") {
        return path.into();
    }
    super::tool::tools().duckdb
}

fn pool() -> Pool {
    Pool::new(duckdb(), &SessionLimits::default(), 1)
}

fn options() -> GoldenOptions {
    GoldenOptions { contract: Contract::Position, ..GoldenOptions::default() }
}

fn schema() -> Schema {
    serde_json::from_str(
        r#"{"tables": {
            "orders": {"columns": {"id": {"type": "INTEGER", "nullable": false}, "customer_id": {"type": "INTEGER"},
                       "status": {"type": "VARCHAR"}, "amount": {"type": "DECIMAL(10,2)"}, "placed": {"type": "DATE"}},
                       "primary_key": ["id"]},
            "customers": {"columns": {"id": {"type": "INTEGER", "nullable": false}, "name": {"type": "VARCHAR"}},
                          "primary_key": ["id"]}}}"#,
    )
    .expect("the schema reads")
}

async fn judge(golden: &str, candidate: &str) -> Comparison {
    golden::judge(golden, candidate, &schema(), &options(), Some(&pool())).await
}

/// The rows that the counterexample's own script prints as belonging to one side only.
async fn reproduced(comparison: &Comparison, session: &mut Lease) -> usize {
    let Some(found) = &comparison.counterexample else { return 0 };
    // The script is for an empty database.
    session.reset();
    let reply = session.execute(&found.script, DEADLINE).await.expect("the script runs");
    session.reset();
    reply.stdout.lines().filter(|line| line.starts_with("only ")).count()
}

#[tokio::test]
async fn a_difference_is_shown_with_few_rows_and_reproduces() {
    let comparison = judge(
        "select c.name, count(o.id) n from customers c left join orders o on o.customer_id = c.id \
         where o.status = 'paid' or o.id is null group by 1",
        "select c.name, count(o.id) n from customers c left join orders o on o.customer_id = c.id and o.status = 'paid' \
         group by 1",
    )
    .await;
    assert_eq!(comparison.verdict, Verdict::Differs, "{comparison:#?}");
    let found = comparison.counterexample.as_ref().expect("rows");
    assert!(found.tables.iter().all(|table| table.rows.len() <= 3), "{found:#?}");
    assert_ne!(found.golden.rows, found.candidate.rows);
    let mut session = pool().lease().await;
    assert!(reproduced(&comparison, &mut session).await > 0, "{}", found.script);
}

#[tokio::test]
async fn boundaries_thresholds_and_dates_are_found() {
    for (golden, candidate) in [
        ("select id from orders where amount > 100", "select id from orders where amount >= 100"),
        (
            "select customer_id from orders group by 1 having count(*) > 8",
            "select customer_id from orders group by 1 having count(*) > 9",
        ),
        (
            "select id from orders where placed >= date '2023-01-01' and placed < date '2024-01-01'",
            "select id from orders where placed between date '2023-01-01' and date '2024-01-01'",
        ),
        (
            "select date_trunc('month', placed) m, count(*) n from orders group by 1",
            "select date_trunc('quarter', placed) m, count(*) n from orders group by 1",
        ),
        (
            "select name from customers where name like 'A%'",
            "select name from customers where name ilike 'A%'",
        ),
        (
            "select id from orders order by amount desc, id limit 12",
            "select id from orders order by amount desc, id limit 13",
        ),
    ] {
        let comparison = judge(golden, candidate).await;
        assert_eq!(comparison.verdict, Verdict::Differs, "{golden}\n{candidate}\n{comparison:#?}");
    }
}

#[tokio::test]
async fn what_depends_on_the_order_of_rows_is_no_evidence() {
    let comparison = judge("select id from orders limit 1", "select max(id) as id from orders").await;
    // They differ on the empty table, which no order changes; the limit itself must not be the reason.
    if let Some(found) = &comparison.counterexample {
        assert!(found.tables.iter().all(|table| table.rows.is_empty()), "{found:#?}");
    }
    let comparison = judge(
        "select status from orders order by amount limit 1",
        "select status from (select * from orders order by amount, id) x limit 1",
    )
    .await;
    assert_ne!(comparison.verdict, Verdict::Differs, "{comparison:#?}");
}

#[tokio::test]
async fn an_empty_result_everywhere_is_not_agreement() {
    let comparison = judge(
        "select id from orders where amount > 10 and amount < 5 and status = 'x'",
        "select id from orders where amount > 10 and amount < 4 and status = 'y'",
    )
    .await;
    assert!(
        matches!(comparison.verdict, Verdict::Unknown | Verdict::Equivalent),
        "two empty results prove nothing: {comparison:#?}"
    );
}

#[tokio::test]
async fn keys_are_honoured() {
    // Without the key they differ: two rows of one id.
    let comparison = judge("select distinct id from orders", "select id from orders").await;
    assert_ne!(comparison.verdict, Verdict::Differs, "{comparison:#?}");
}

#[tokio::test]
async fn failing_and_hostile_candidates_are_unknown_and_harmless() {
    let pool = pool();
    for candidate in [
        "select id from no_such_table",
        "select read_text('/etc/passwd') as id",
        "select id from read_csv('/etc/passwd')",
        "select count(*) from range(10000000000) a(id), range(1000000) b(x)",
        "select id from orders) ; drop table orders; --",
        "copy orders to '/tmp/assay-test-leak'",
        "select error('x') as id from orders",
        "select ('''); select 1; --') as id from orders",
    ] {
        let options = GoldenOptions { deadline: Duration::from_secs(2), ..options() };
        let comparison =
            golden::judge("select id from orders", candidate, &schema(), &options, Some(&pool)).await;
        assert!(
            matches!(comparison.verdict, Verdict::Unknown | Verdict::Differs),
            "{candidate}: {comparison:#?}"
        );
        assert!(!Path::new("/tmp/assay-test-leak").exists());
    }
    // The session is still of use.
    let comparison = golden::judge(
        "select id from orders",
        "select id + 1 as id from orders",
        &schema(),
        &options(),
        Some(&pool),
    )
    .await;
    assert_eq!(comparison.verdict, Verdict::Differs);
}

#[tokio::test]
async fn rows_without_a_match_are_not_all_rows() {
    let golden =
        "select c.id from customers c left join orders o on o.customer_id = c.id where o.customer_id is null";
    let comparison = judge(golden, "select c.id from customers c").await;
    assert_eq!(comparison.verdict, Verdict::Differs, "{comparison:#?}");
    let anti =
        "select c.id from customers c where not exists (select 1 from orders o where o.customer_id = c.id)";
    let comparison = judge(golden, anti).await;
    assert_eq!(comparison.verdict, Verdict::Equivalent, "{comparison:#?}");
    let comparison = judge(
        "select n.customer_id from (select o.customer_id, count(*) n from customers c \
         left join orders o on o.customer_id = c.id group by 1) n where n.customer_id is null",
        "select 1 as customer_id from customers where false",
    )
    .await;
    assert_eq!(comparison.verdict, Verdict::Differs, "{comparison:#?}");
}

#[tokio::test]
async fn operators_without_rules_are_told_apart_by_rows() {
    let cells = |rows: &str| format!("select * from (select customer_id, status, id from orders {rows})");
    let long = "select id, k, v from (select id, customer_id as a, id as b from orders) unpivot";
    for (golden, candidate) in [
        (
            "select id, list_transform([customer_id], x -> x + 1) as m from orders".to_owned(),
            "select id, list_transform([customer_id], x -> x + 2) as m from orders".to_owned(),
        ),
        (
            format!("{} pivot (sum(id) for status in ('paid', 'open'))", cells("")),
            format!("{} pivot (sum(id) for status in ('paid', 'open'))", cells("where customer_id > 1")),
        ),
        (
            "select customer_id, status, count(*) as n from orders group by rollup (customer_id, status)"
                .to_owned(),
            "select customer_id, status, count(*) as n from orders group by cube (customer_id, status)"
                .to_owned(),
        ),
        (
            "with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) select n from r"
                .to_owned(),
            "with recursive r(n) as (select 1 union all select n + 1 from r where n <= 3) select n from r"
                .to_owned(),
        ),
        (format!("{long} (v for k in (a, b))"), format!("{long} include nulls (v for k in (a, b))")),
    ] {
        let comparison = judge(&golden, &candidate).await;
        assert_eq!(comparison.verdict, Verdict::Differs, "{}\n{golden}\n{candidate}", comparison.reason);
    }
}

/// What DuckDB executes is what the query means in its own dialect: division, dates and NULL differ from DuckDB's.
#[tokio::test]
async fn queries_of_other_dialects_are_executed_as_they_are_meant() {
    use Dialect::{BigQuery, Databricks, Postgres, Redshift, Snowflake};
    let pool = pool();
    for (dialect, golden, candidate, expected) in [
        // Division of integers cuts.
        (Postgres, "(id / 2) * 2 as x", "id as x", Verdict::Differs),
        (Postgres, "id / 2 as x", "(id - id % 2) / 2 as x", Verdict::Agrees),
        (Redshift, "customer_id * 100 / id as x", "customer_id / id * 100 as x", Verdict::Differs),
        (BigQuery, "id / 2 as x", "id * 1.0 / 2 as x", Verdict::Agrees),
        // What a quotient of decimals is rounded to there is not known.
        (
            BigQuery,
            "cast(id as numeric) / 3 as x",
            "round(cast(id as numeric) / 3, 2) as x",
            Verdict::Unknown,
        ),
        (BigQuery, "id / 2 as x", "(id - mod(id, 2)) / 2 as x", Verdict::Differs),
        (Snowflake, "id / 3 as x", "round(id / 3, 6) as x", Verdict::Agrees),
        // NULL in a list of texts or numbers.
        (Snowflake, "concat(status, 'x') as x", "status || 'x' as x", Verdict::Equivalent),
        (Postgres, "concat(status, 'x') as x", "status || 'x' as x", Verdict::Differs),
        (
            Snowflake,
            "greatest(customer_id, 1) as x",
            "case when customer_id > 1 then customer_id else 1 end as x",
            Verdict::Differs,
        ),
        (
            Redshift,
            "greatest(customer_id, 1) as x",
            "case when customer_id > 1 then customer_id else 1 end as x",
            Verdict::Agrees,
        ),
        // Dates.
        (Snowflake, "dateadd(day, 30, placed) as x", "dateadd(month, 1, placed) as x", Verdict::Differs),
        (Snowflake, "dateadd(week, 1, placed) as x", "dateadd(day, 7, placed) as x", Verdict::Agrees),
        (BigQuery, "date_trunc(placed, week) as x", "date_trunc(placed, isoweek) as x", Verdict::Differs),
        (
            BigQuery,
            "date_trunc(placed, week) as x",
            "date_sub(placed, interval extract(dayofweek from placed) - 1 day) as x",
            Verdict::Agrees,
        ),
        (
            BigQuery,
            "date_diff(placed, date '2024-01-31', month) as x",
            "date_diff(date '2024-01-31', placed, month) as x",
            Verdict::Differs,
        ),
        (
            Databricks,
            "datediff(placed, date '2024-01-31') as x",
            "datediff(date '2024-01-31', placed) as x",
            Verdict::Differs,
        ),
        // The divisor that is zero.
        (
            BigQuery,
            "safe_divide(id, customer_id) as x",
            "id / nullif(customer_id, 0) as x",
            Verdict::Equivalent,
        ),
        (Snowflake, "zeroifnull(customer_id) as x", "coalesce(customer_id, 0) as x", Verdict::Equivalent),
        // What DuckDB may do otherwise is not executed.
        (Databricks, "cast(amount as int) as x", "cast(floor(amount) as int) as x", Verdict::Unknown),
        (BigQuery, "trim(status) as x", "status as x", Verdict::Unknown),
        (Snowflake, "to_varchar(placed) as x", "status as x", Verdict::Unknown),
    ] {
        let query = |item: &str| format!("select id as order_id, {item} from orders");
        let options = GoldenOptions { dialect, ..options() };
        let judged = golden::judge(&query(golden), &query(candidate), &schema(), &options, Some(&pool)).await;
        assert_eq!(judged.verdict, expected, "{dialect:?}\n{golden}\n{candidate}\n{judged:#?}");
    }
}

#[tokio::test]
async fn without_duckdb_only_proofs_are_given() {
    let comparison = golden::judge(
        "select id from orders where amount > 1",
        "select id from orders where amount > 2",
        &schema(),
        &options(),
        None,
    )
    .await;
    assert_eq!(comparison.verdict, Verdict::Unknown);
    assert!(comparison.counterexample.is_none());
}

#[tokio::test]
async fn a_session_survives_errors_deadlines_and_forged_marks() {
    let mut session = Session::new(duckdb(), SessionLimits::default());
    let reply = session.execute("select 1;\nselect nonsense;\nselect 2;", DEADLINE).await.expect("a reply");
    assert_eq!(reply.stdout, "1\n2\n");
    assert!(reply.stderr.contains("nonsense"), "{}", reply.stderr);
    let slow = session
        .execute("select count(*) from range(100000000) a, range(100000) b;", Duration::from_secs(1))
        .await;
    assert!(matches!(slow, Err(SessionFault::Deadline(_))), "{slow:?}");
    // An unfinished statement swallows the end mark; the next request starts afresh.
    assert!(session.execute("select '", Duration::from_millis(200)).await.is_err());
    let reply =
        session.execute("select 3;\n.shell echo escaped\n.print 0000", DEADLINE).await.expect("a reply");
    assert_eq!(reply.stdout, "3\n0000\n");
    let reply = session
        .execute("set threads=4;\ninstall httpfs;\nselect * from glob('/*');\nattach '/tmp/x.db';", DEADLINE)
        .await
        .expect("a reply");
    assert_eq!(reply.stdout, "");
    assert_eq!(reply.stderr.lines().filter(|line| line.contains("Error")).count(), 4, "{}", reply.stderr);
    let missing = Session::new("/nonexistent/duckdb", SessionLimits::default()).execute("", DEADLINE).await;
    assert!(matches!(missing, Err(SessionFault::Start { .. })), "{missing:?}");
}

/// What one random pair said.
enum Seen {
    Equal,
    Differs,
    Open,
    /// Left open by the proof, and not searched.
    Passed,
}

/// A run of more pairs than this searches only a part of the pairs that the proof leaves open: they cannot contradict it.
const LONG_RUN: u64 = 2000;
/// Of so many open pairs of a long run, one is searched.
const OPEN_PAIRS: u64 = 8;

async fn fuzz_one(seed: u64, long: bool, session: &mut Lease) -> Result<Seen, String> {
    let pair = pairs::random(&mut SplitMix64::new(seed));
    let schema: Schema = serde_json::from_str(&pair.schema).expect("the generator's schema reads");
    // What the databases cover is of no interest here; more of them are.
    let options = GoldenOptions { databases: 24, adequacy: false, ..options() };
    let proof = golden::prove(&pair.golden, &pair.candidate, &schema, &options);
    let equal = matches!(proof.verdict, Verdict::Identical | Verdict::Equivalent);
    if proof.verdict == Verdict::Differs {
        return Ok(Seen::Differs);
    }
    if !equal && long && !seed.is_multiple_of(OPEN_PAIRS) {
        return Ok(Seen::Passed);
    }
    let facts = proof.facts.join("; ");
    let found = golden::search(&pair.golden, &pair.candidate, &schema, &options, proof, session).await;
    let shown = |what: &str| {
        format!(
            "seed {seed}: {what}\n  A: {}\n  B: {}\n  rewrite: {}\n  facts: {facts}\n  schema: {}\n  {}\n{}\n",
            pair.golden,
            pair.candidate,
            pair.rewrite,
            pair.schema,
            found.reason,
            found.counterexample.as_ref().map_or("", |found| found.script.as_str())
        )
    };
    match (equal, found.verdict) {
        (true, Verdict::Differs) => Err(shown("called equal, and these rows tell them apart")),
        (true, _) => Ok(Seen::Equal),
        (false, Verdict::Differs) if found.counterexample.is_some() => {
            if reproduced(&found, session).await == 0 {
                return Err(shown("called different, and the script does not show it"));
            }
            Ok(Seen::Differs)
        }
        (false, Verdict::Differs) => Ok(Seen::Differs),
        (false, _) => Ok(Seen::Open),
    }
}

/// What the normal form of one random query said when it was executed.
enum Form {
    Same { again: bool },
    Unprinted,
}

/// Executes the normal form of a random query beside the query itself, on random databases.
async fn form_one(seed: u64, session: &mut Lease) -> Result<Form, String> {
    let pair = pairs::random(&mut SplitMix64::new(seed));
    let schema: Schema = serde_json::from_str(&pair.schema).expect("the generator's schema reads");
    let facts = FactSet::declared(&schema);
    let proof = Options { contract: Contract::Position, ..Options::default() };
    let Ok(form) = normal_form(&pair.candidate, &schema, &facts, &proof) else { return Ok(Form::Unprinted) };
    let Ok(printed) = to_sql(&form.arena, &form.query) else { return Ok(Form::Unprinted) };
    // What the databases cover is of no interest here; more of them are.
    let options = GoldenOptions { databases: 24, adequacy: false, ..options() };
    let open = Comparison::new(Verdict::Unknown, Method::NormalForm, "");
    let found = golden::search(&pair.candidate, &printed, &schema, &options, open, session).await;
    if found.verdict == Verdict::Differs {
        let script = found.counterexample.as_ref().map_or("", |found| found.script.as_str());
        return Err(format!(
            "seed {seed}: the normal form, executed, is not the query\n  query: {}\n  form:  {printed}\n  schema: {}\n{script}",
            pair.candidate, pair.schema
        ));
    }
    if found.reason.contains("be executed in DuckDB") || found.reason.contains("failed on every") {
        return Ok(Form::Unprinted);
    }
    let again =
        normal_form(&printed, &schema, &facts, &proof).is_ok_and(|again| again.canonical == form.canonical);
    Ok(Form::Same { again })
}

#[tokio::test]
async fn the_normal_form_executed_gives_what_the_query_gives() {
    let (forms, first) = (number("ASSAY_FUZZ_FORMS", 60), number("ASSAY_FUZZ_SEED", 1));
    let mut session = pool().lease().await;
    let (mut same, mut stable, mut faults) = (0, 0, Vec::new());
    for seed in first..first + forms {
        match form_one(seed, &mut session).await {
            Ok(Form::Same { again }) => {
                same += 1;
                stable += u64::from(again);
            }
            Ok(Form::Unprinted) => {}
            Err(fault) => {
                note(&fault);
                faults.push(fault);
            }
        }
    }
    note(&format!("{same} of {forms} normal forms executed, {stable} of them their own normal form"));
    assert!(faults.is_empty(), "{} wrong, the first:\n{}", faults.len(), faults[0]);
    assert!(same * 10 >= forms * 7, "{same} of {forms} normal forms could be executed");
    assert!(stable * 10 >= same * 9, "{stable} of {same} normal forms are their own normal form");
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Appends to the file that `ASSAY_FUZZ_REPORT` names; whether there is one.
fn note(contradiction: &str) -> bool {
    let Some(path) = std::env::var_os("ASSAY_FUZZ_REPORT") else { return false };
    let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path).expect("opens");
    writeln!(file, "{contradiction}").expect("written");
    true
}

#[tokio::test]
async fn random_pairs_are_never_contradicted() {
    let pairs = number("ASSAY_FUZZ_PAIRS", 120);
    let first = number("ASSAY_FUZZ_SEED", 1);
    let mut session = pool().lease().await;
    let (mut equal, mut differs, mut searched, mut contradictions) = (0, 0, pairs, Vec::new());
    for seed in first..first + pairs {
        match fuzz_one(seed, pairs > LONG_RUN, &mut session).await {
            Ok(Seen::Equal) => equal += 1,
            Ok(Seen::Differs) => differs += 1,
            Ok(Seen::Open) => {}
            Ok(Seen::Passed) => searched -= 1,
            Err(contradiction) => {
                let noted = note(&contradiction);
                contradictions.push(contradiction);
                assert!(noted, "{}", contradictions[0]);
            }
        }
    }
    assert!(
        contradictions.is_empty(),
        "{} contradictions, the first:\n{}",
        contradictions.len(),
        contradictions[0]
    );
    // Of nothing, anything holds: the generator has to make pairs of both kinds.
    let seen = format!("{equal} equal and {differs} different of {searched} searched and {pairs} drawn");
    assert!(equal * 20 >= searched && differs * 20 >= searched, "{seen}");
}
