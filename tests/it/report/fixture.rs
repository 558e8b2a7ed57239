//! A run as it could have happened: 20 cases, three prompt versions, most ways to pass and to fail, a history.

use std::collections::BTreeMap;

use assay::check::outcome::{CheckId, CheckResult, Finding, Outcome};
use assay::generate::answers::{ToolCallRecord, Usage};
use assay::history::HistoryRecord;
use assay::report::{CaseInfo, CaseRow, PromptInfo, Report, RunInfo};
use assay::score::{CaseResult, Price};
use assay::sql::verdict::{Change, Comparison, Counterexample, Coverage, Fragment, Method, Rows, Verdict};
use assay::stats::rng::SplitMix64;

const PROMPTS: [&str; 3] = ["v1-baseline", "v2-contract", "v3-examples"];

/// How an answer comes out.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Identical,
    Equivalent,
    Agrees,
    InnerJoin,
    Boundary,
    FanOut,
    MissingColumn,
    Fenced,
    Truncated,
    Unapproved,
    UnknownColumn,
    TestFails,
    NotIdempotent,
    Pii,
    Timeout,
    NoAnswer,
}

struct Base {
    id: &'static str,
    title: &'static str,
    project: &'static str,
    model: &'static str,
    tags: &'static [&'static str],
    cluster: &'static str,
    fates: [Fate; 3],
}

use Fate::*;

const CASES: [Base; 20] = [
    case(
        "orders_daily",
        "Daily orders and revenue by shop",
        "shop",
        "fct_orders_daily",
        &["finance", "joins"],
        "orders",
        [InnerJoin, InnerJoin, Identical],
    ),
    case(
        "orders_late",
        "Orders delivered after the promised day",
        "shop",
        "fct_orders_late",
        &["dates"],
        "orders",
        [Boundary, Equivalent, Equivalent],
    ),
    case(
        "order_items",
        "Order lines with net price",
        "shop",
        "fct_order_items",
        &["finance"],
        "orders",
        [Equivalent, Equivalent, Identical],
    ),
    case(
        "returns_rate",
        "Return rate by product and month",
        "shop",
        "fct_returns_rate",
        &["finance", "dates"],
        "orders",
        [FanOut, FanOut, Agrees],
    ),
    case(
        "basket_size",
        "Items and value of a basket",
        "shop",
        "fct_basket_size",
        &["joins"],
        "orders",
        [Identical, Identical, Identical],
    ),
    case(
        "customers",
        "Customers with their first and last order",
        "shop",
        "dim_customers",
        &["pii", "joins"],
        "customers",
        [Pii, Equivalent, Equivalent],
    ),
    case(
        "customer_cohorts",
        "Monthly cohorts by first order",
        "shop",
        "fct_customer_cohorts",
        &["dates", "windows"],
        "customers",
        [Fenced, Boundary, Boundary],
    ),
    case(
        "customer_value",
        "Lifetime value of a customer",
        "shop",
        "fct_customer_value",
        &["finance", "windows"],
        "customers",
        [Equivalent, Equivalent, Equivalent],
    ),
    case(
        "newsletter",
        "Newsletter subscribers that bought",
        "shop",
        "dim_newsletter",
        &["pii"],
        "customers",
        [Identical, Identical, Identical],
    ),
    case(
        "stock_levels",
        "Stock on hand by day and warehouse",
        "shop",
        "fct_stock_levels",
        &["incremental", "windows"],
        "stock",
        [NotIdempotent, NotIdempotent, Equivalent],
    ),
    case(
        "stock_moves",
        "Stock movements, incremental",
        "shop",
        "fct_stock_moves",
        &["incremental"],
        "stock",
        [Timeout, Identical, Identical],
    ),
    case(
        "suppliers",
        "Suppliers with open orders",
        "shop",
        "dim_suppliers",
        &["joins"],
        "stock",
        [Unapproved, Identical, Identical],
    ),
    case(
        "reorder_point",
        "Products below their reorder point",
        "shop",
        "fct_reorder_point",
        &["joins"],
        "stock",
        [InnerJoin, MissingColumn, Agrees],
    ),
    case(
        "rides",
        "Rides with duration and fare",
        "rides",
        "fct_rides",
        &["finance"],
        "rides",
        [Identical, Identical, Identical],
    ),
    case(
        "rides_hourly",
        "Rides by hour and station",
        "rides",
        "fct_rides_hourly",
        &["dates"],
        "rides",
        [Truncated, Equivalent, Equivalent],
    ),
    case(
        "stations",
        "Stations with capacity",
        "rides",
        "dim_stations",
        &[],
        "rides",
        [Identical, Identical, Equivalent],
    ),
    case(
        "station_balance",
        "Departures less arrivals by station",
        "rides",
        "fct_station_balance",
        &["joins", "windows"],
        "rides",
        [UnknownColumn, FanOut, FanOut],
    ),
    case(
        "members",
        "Members and their plan",
        "rides",
        "dim_members",
        &["pii"],
        "members",
        [Equivalent, Equivalent, Pii],
    ),
    case(
        "member_churn",
        "Members without a ride for 30 days",
        "rides",
        "fct_member_churn",
        &["dates"],
        "members",
        [Boundary, TestFails, Equivalent],
    ),
    case(
        "plan_changes",
        "Plan changes as slowly changing rows",
        "rides",
        "dim_plan_changes",
        &["windows"],
        "members",
        [NoAnswer, Equivalent, Identical],
    ),
];

/// One family of cases that come out alike; the others stand each for themselves.
fn family(base: &Base) -> Option<String> {
    (base.cluster == "members").then(|| base.cluster.to_owned())
}

const fn case(
    id: &'static str,
    title: &'static str,
    project: &'static str,
    model: &'static str,
    tags: &'static [&'static str],
    cluster: &'static str,
    fates: [Fate; 3],
) -> Base {
    Base { id, title, project, model, tags, cluster, fates }
}

/// The report of the run, with eleven earlier runs in its history.
pub(crate) fn report() -> Report {
    report_of(&CASES.map(|base| base.id), 3)
}

/// The report of a part of the run: these cases, the first `versions` prompt versions.
pub(crate) fn report_of(ids: &[&str], versions: usize) -> Report {
    let mut rng = SplitMix64::new(20);
    let prompts = &prompts()[..versions];
    let chosen = |base: &&Base| ids.contains(&base.id);
    let results: Vec<CaseResult> = CASES
        .iter()
        .filter(chosen)
        .flat_map(|base| (0..versions).map(move |p| (base, p)))
        .map(|(base, p)| result(base, p, base.fates[p], &mut rng))
        .collect();
    let run = run_info("20261124-0930-7c41", 11);
    let mut history = earlier(&mut rng);
    for record in &mut history {
        record.cases.retain(|case, _| ids.contains(&case.as_str()));
    }
    history.retain(|record| prompts.iter().any(|p| p.name == record.prompt));
    history.extend(HistoryRecord::from_run(&run, prompts, &results));
    let cases = cases().into_iter().filter(|c| ids.contains(&c.id.as_str())).collect();
    Report::new(run, prompts.to_vec(), cases, results, &history)
}

pub(crate) fn run_info(id: &str, week: i64) -> RunInfo {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    };
    RunInfo {
        id: id.to_owned(),
        started: jiff::Timestamp::from_second(1_789_000_000 + week * 604_800).unwrap(),
        seconds: 47.3,
        assay: "0.1.0".to_owned(),
        suite: "feature_regressions".to_owned(),
        suite_hash: if week < 4 { "b3:51d0c2".to_owned() } else { "b3:9e07aa".to_owned() },
        mode: "replay".to_owned(),
        commit: Some("4f2a9c1d7e".to_owned()),
        branch: Some("main".to_owned()),
        dirty: false,
        complete: true,
        baseline: None,
        filters: Vec::new(),
        versions: pairs(&[
            ("dbt-core", "1.11.16"),
            ("dbt-duckdb", "1.10.1"),
            ("duckdb", "1.5.6"),
            ("sqlfluff", "4.5.0"),
        ]),
        hashes: pairs(&[("config", "b3:aa01f3"), ("contract", "b3:c7719b"), ("goldens", "b3:0d44e2")]),
        notes: Vec::new(),
    }
}

pub(crate) fn prompts() -> Vec<PromptInfo> {
    let info = |name: &str, description: &str, hash: &str| PromptInfo {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        provider: "openai".to_owned(),
        model: "gpt-5.1-mini".to_owned(),
        hash: hash.to_owned(),
        price: Some(Price { input: 0.25, cached_input: Some(0.025), output: 2.0 }),
    };
    vec![
        info(PROMPTS[0], "The spec and nothing else", "b3:1f00aa"),
        info(PROMPTS[1], "Names the contract and the approved sources", "b3:2b8c41"),
        info(PROMPTS[2], "Two worked examples, one with a left join", "b3:3d90e7"),
    ]
}

pub(crate) fn cases() -> Vec<CaseInfo> {
    CASES
        .iter()
        .enumerate()
        .map(|(i, base)| CaseInfo {
            id: base.id.to_owned(),
            title: base.title.to_owned(),
            project: base.project.to_owned(),
            model: base.model.to_owned(),
            tags: base.tags.iter().map(|t| (*t).to_owned()).collect(),
            cluster: family(base),
            spec: format!(
                "# {}\n\n## Grain and time frame\n- one row a shop and day, all time\n\n## Trusted sources\n- ref: stg_orders\n- source: raw.shops\n\n## Output\n- `shop_id`, `order_day`, `orders`, `revenue`\n- shops without an order on a day still appear, with 0\n",
                base.title
            ),
            golden_sql: golden_sql(base),
            golden_yaml: Some(yaml(base.model, true)),
            row: Some(CaseRow { file: "evals/feature_regressions.csv".to_owned(), line: i as u64 + 2 }),
            history: BTreeMap::new(),
        })
        .collect()
}

fn earlier(rng: &mut SplitMix64) -> Vec<HistoryRecord> {
    let mut history = Vec::new();
    for week in 0..11 {
        let run = run_info(&format!("20260914-{week:04}"), week);
        let known = if week < 3 { 2 } else { 3 };
        let mut results = Vec::new();
        for base in &CASES {
            for (p, prompt) in PROMPTS.iter().enumerate().take(known) {
                let fails = !matches!(base.fates[p], Identical | Equivalent | Agrees);
                let flips = rng.below(100) < 9;
                let check = if fails == flips {
                    CheckResult::passed(CheckId::Rows)
                } else {
                    failed(CheckId::Rows, "filter_boundary", "rows differ", None)
                };
                results.push(CaseResult::new(base.id, *prompt, 0, vec![check]));
            }
        }
        history.extend(HistoryRecord::from_run(&run, &prompts()[..known], &results));
    }
    history
}

fn golden_sql(base: &Base) -> String {
    format!(
        "{{{{ config(materialized='table') }}}}

with orders as (

    select
        order_id,
        shop_id,
        cast(ordered_at as date) as order_day,
        amount_cents / 100.0 as amount
    from {{{{ ref('stg_orders') }}}}
    where status <> 'cancelled'

),

shops as (

    select
        shop_id,
        shop_name,
        region
    from {{{{ source('raw', 'shops') }}}}

)

-- {}
select
    shops.shop_id,
    shops.shop_name,
    orders.order_day,
    count(orders.order_id) as orders,
    coalesce(sum(orders.amount), 0) as revenue
from shops
left join orders
    on orders.shop_id = shops.shop_id
    and orders.order_day >= date '2026-01-01'
group by 1, 2, 3
",
        base.title.to_lowercase()
    )
}

fn candidate_sql(base: &Base, fate: Fate) -> String {
    let golden = golden_sql(base);
    match fate {
        Identical => golden,
        InnerJoin => golden.replace("left join orders", "inner join orders"),
        Boundary | TestFails => golden.replace("order_day >= date", "order_day > date"),
        FanOut => golden.replace(
            "left join orders\n    on orders.shop_id = shops.shop_id",
            "left join orders\n    on orders.shop_id = shops.shop_id\nleft join {{ ref('stg_order_items') }} as items\n    on items.order_id = orders.order_id",
        ),
        MissingColumn => golden.replace("    shops.shop_name,\n    orders", "    orders").replace("1, 2, 3", "1, 2"),
        Unapproved => golden.replace("{{ source('raw', 'shops') }}", "analytics.prod.shops"),
        UnknownColumn => golden.replace("shops.shop_name", "shops.shop_title"),
        Pii => golden.replace("        region\n", "        region,\n        owner_email\n").replace(
            "    shops.shop_name,\n    orders",
            "    shops.shop_name,\n    shops.owner_email,\n    orders",
        ),
        NotIdempotent => golden.replace("materialized='table'", "materialized='incremental'"),
        _ => golden
            .replace("with orders as", "with o as")
            .replace("left join orders\n", "left join o\n")
            .replace("orders.", "o.")
            .replace("coalesce(sum(o.amount), 0)", "ifnull(sum(o.amount), 0)")
            .replace("status <> 'cancelled'", "not (status = 'cancelled')"),
    }
}

fn yaml(model: &str, tested: bool) -> String {
    let tests = if tested { "\n        data_tests:\n          - not_null" } else { "" };
    format!(
        "version: 2\nmodels:\n  - name: {model}\n    description: One row a shop and day.\n    columns:\n      - name: shop_id\n        description: The shop.{tests}\n      - name: revenue\n        description: Net revenue in euro.\n"
    )
}

fn failed(check: CheckId, class: &str, message: &str, place: Option<&str>) -> CheckResult {
    let mut finding = Finding::new(class, message);
    finding.place = place.map(str::to_owned);
    CheckResult::from_findings(check, vec![finding])
}

fn result(base: &Base, prompt: usize, fate: Fate, rng: &mut SplitMix64) -> CaseResult {
    let mut checks: Vec<CheckResult> = if fate == NoAnswer {
        vec![CheckResult::skipped(CheckId::Contract, "no recording for this case and prompt version")]
    } else {
        checks(fate)
    };
    for check in &mut checks {
        if check.outcome != Outcome::Skipped {
            let scale = match check.check {
                CheckId::Compile => 0.4,
                CheckId::Run | CheckId::Tests => 1.6,
                CheckId::Rows => 0.3,
                _ => 0.004,
            };
            check.seconds = if check.outcome == Outcome::Errored {
                60.0
            } else {
                scale * (0.5 + rng.below(1000) as f64 / 1000.0)
            };
        }
    }
    let mut result = CaseResult::new(base.id, PROMPTS[prompt], 0, checks);
    result.tags = base.tags.iter().map(|t| (*t).to_owned()).collect();
    result.cluster = family(base);
    if fate == NoAnswer {
        return result;
    }
    let cached = if rng.below(2) == 0 { 1024 } else { 0 };
    result.usage = Some(Usage {
        input: Some(1_400 + rng.below(900) as u64 + 700 * prompt as u64),
        cached_input: Some(cached),
        output: Some(380 + rng.below(260) as u64),
        reasoning: Some(rng.below(2) as u64 * 128),
    });
    result.latency_ms = Some(1_900 + rng.below(3_600) as u64);
    result.finish_reason = Some(if fate == Truncated { "length" } else { "stop" }.to_owned());
    result.tool_calls = vec![
        ToolCallRecord { name: "list_models".into(), arguments: serde_json::json!({}), error: None },
        ToolCallRecord {
            name: "fetch_source_columns".into(),
            arguments: serde_json::json!({"source": "raw.shops"}),
            error: (fate == Unapproved).then(|| "E_NOT_FOUND".to_owned()),
        },
    ];
    if matches!(fate, Fenced | Truncated) {
        let text =
            format!("```json\n{{\"model_name\": \"{}\", \"sql\": \"with orders as (select", base.model);
        result.answer = Some(if fate == Fenced { format!("{text} 1)\"}}\n```") } else { text });
        return result;
    }
    result.candidate_sql = Some(candidate_sql(base, fate));
    result.candidate_yaml = Some(yaml(base.model, fate != TestFails));
    result.review_notes = vec![
        "Assumes that cancelled orders carry no revenue.".to_owned(),
        "A shop that opened today has no row before its first order.".to_owned(),
    ];
    result.golden = Some(comparison(fate));
    result
}

fn checks(fate: Fate) -> Vec<CheckResult> {
    let (stop, verdict) = match fate {
        Identical | Equivalent | Agrees => (None, None),
        InnerJoin => (
            Some(CheckId::Rows),
            Some((
                "join_type",
                "the candidate drops shops without an order: 2 rows are missing",
                Some("sql:31"),
            )),
        ),
        Boundary => (
            Some(CheckId::Rows),
            Some((
                "filter_boundary",
                "orders of 2026-01-01 are missing: `>` where the golden has `>=`",
                Some("sql:33"),
            )),
        ),
        FanOut => (
            Some(CheckId::Rows),
            Some((
                "fan_out",
                "the join with stg_order_items repeats orders: revenue is 412.50, the golden has 137.50",
                Some("sql:33"),
            )),
        ),
        MissingColumn => (Some(CheckId::Columns), Some(("missing_column", "`shop_name` is missing", None))),
        Fenced => (
            Some(CheckId::Contract),
            Some(("fenced_json", "the JSON stands in a Markdown fence; it would pass if unwrapped", None)),
        ),
        Truncated => (
            Some(CheckId::Contract),
            Some(("truncated", "the answer ends after 512 tokens, the limit of the request", None)),
        ),
        Unapproved => (
            Some(CheckId::Sources),
            Some((
                "unapproved_source",
                "`analytics.prod.shops` is read directly; approved are ref stg_orders and source raw.shops",
                Some("sql:21:10"),
            )),
        ),
        UnknownColumn => (
            Some(CheckId::Run),
            Some((
                "unknown_column",
                "Binder Error: Values list \"shops\" does not have a column named \"shop_title\"",
                Some("sql:27:5"),
            )),
        ),
        TestFails => (
            Some(CheckId::RequiredTests),
            Some(("missing_test", "`not_null` on `shop_id` is required and not declared", Some("yaml:6"))),
        ),
        NotIdempotent => (
            Some(CheckId::Idempotent),
            Some((
                "duplicated_rows",
                "a second run adds 14 rows: incremental without unique_key",
                Some("sql:1"),
            )),
        ),
        Pii => (
            Some(CheckId::Pii),
            Some((
                "exposed_column",
                "`owner_email` is personal data and not among the outputs of the spec",
                Some("sql:28"),
            )),
        ),
        Timeout => (Some(CheckId::Run), None),
        NoAnswer => (None, None),
    };
    CheckId::ALL
        .into_iter()
        .map(|check| {
            let applies = !matches!(check, CheckId::Idempotent) || fate == NotIdempotent;
            let stopped = stop.is_some_and(|s| {
                s < check
                    && matches!(s, CheckId::Contract | CheckId::Sources | CheckId::Run)
                    && check != CheckId::Lint
            });
            if stop == Some(check) {
                return match verdict {
                    Some((class, message, place)) => failed(check, class, message, place),
                    None => CheckResult::errored(check, "timeout", "dbt was stopped after 60 s"),
                };
            }
            if stopped {
                return CheckResult::skipped(check, format!("{} did not pass", stop.unwrap_or(check)));
            }
            if !applies {
                return CheckResult::skipped(check, "the model is not incremental");
            }
            if check == CheckId::Lint && matches!(fate, FanOut | Equivalent) {
                return failed(check, "LT02", "expected indent of 4 spaces", Some("sql:30:1"));
            }
            if check == CheckId::Rows && fate == MissingColumn {
                return failed(check, "rows", "rows differ", None);
            }
            CheckResult::passed(check)
        })
        .collect()
}

fn fragment(sql: &str, line: usize) -> Option<Fragment> {
    Some(Fragment { sql: sql.to_owned(), lines: (line, line) })
}

fn rows(name: &str, columns: &[&str], rows: &[&[Option<&str>]]) -> Rows {
    Rows {
        name: name.to_owned(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        rows: rows.iter().map(|r| r.iter().map(|c| c.map(str::to_owned)).collect()).collect(),
    }
}

fn comparison(fate: Fate) -> Comparison {
    match fate {
        Identical => Comparison::new(Verdict::Identical, Method::Ast, "the same AST"),
        Equivalent => {
            let mut c =
                Comparison::new(Verdict::Equivalent, Method::NormalForm, "both have the same normal form");
            c.facts = vec![
                "stg_orders.order_id is unique (dbt test)".to_owned(),
                "stg_orders.status is not null (dbt test)".to_owned(),
            ];
            c.similarity = Some(1.0);
            c.explanation = vec![Change {
                clause: "cosmetic".into(),
                class: "alias".into(),
                message: "the CTE `orders` is called `o`".into(),
                golden: fragment("with orders as (", 3),
                candidate: fragment("with o as (", 3),
            }];
            c
        }
        Agrees => {
            let mut c = Comparison::new(
                Verdict::Agrees,
                Method::Search,
                "the same rows on every database tried; not proved",
            );
            c.would_prove = Some("shops.shop_id is unique".to_owned());
            c.coverage = Some(Coverage { databases: 240, non_empty: 231, mutants_killed: 17, mutants: 18 });
            c
        }
        InnerJoin | MissingColumn | Boundary | FanOut | Pii | NotIdempotent => {
            let mut c = Comparison::new(
                Verdict::Differs,
                Method::Search,
                "2 rows in a database of 3 rows tell them apart",
            );
            c.similarity = Some(0.86);
            c.explanation = vec![
                Change {
                    clause: "joins".into(),
                    class: "join_type".into(),
                    message: "LEFT JOIN became INNER JOIN: shops without an order are dropped".into(),
                    golden: fragment("left join orders", 31),
                    candidate: fragment("inner join orders", 31),
                },
                Change {
                    clause: "filter".into(),
                    class: "filter_boundary".into(),
                    message: "`order_day >= date '2026-01-01'` became a condition on the joined rows".into(),
                    golden: fragment("and orders.order_day >= date '2026-01-01'", 33),
                    candidate: None,
                },
            ];
            c.counterexample = Some(Counterexample {
                tables: vec![
                    rows("stg_orders", &["order_id", "shop_id", "ordered_at", "amount_cents", "status"], &[&[Some("1"), Some("7"), Some("2026-01-01 00:00:00"), Some("13750"), Some("paid")]]),
                    rows("raw.shops", &["shop_id", "shop_name", "region"], &[&[Some("7"), Some("Harbour"), None], &[Some("8"), Some("Hill"), Some("north")]]),
                ],
                golden: rows("", &["shop_id", "shop_name", "order_day", "orders", "revenue"], &[&[Some("7"), Some("Harbour"), Some("2026-01-01"), Some("1"), Some("137.50")], &[Some("8"), Some("Hill"), None, Some("0"), Some("0.00")]]),
                candidate: rows("", &["shop_id", "shop_name", "order_day", "orders", "revenue"], &[&[Some("7"), Some("Harbour"), Some("2026-01-01"), Some("1"), Some("137.50")]]),
                script: "create table stg_orders (order_id integer, shop_id integer);\ninsert into stg_orders values (1, 7);\n".to_owned(),
            });
            c
        }
        _ => Comparison::new(
            Verdict::Unknown,
            Method::NormalForm,
            "the candidate reads a column that no table has",
        ),
    }
}
