//! Checks that need the rows: by chance or not, other data, the case's own unit tests, personal data, a golden that is no
//! control.

use serde_json::{Value, json};

use super::dbt::{RUNTIME, builder, oldest, request};
use super::harness::Harness;
use super::run::{YAML, harness, harness_with};

use assay::check::Outcome;
use assay::check::build::profile::PersonalColumn;
use assay::check::build::rows::Side;
use assay::tool::environment::Tools;

const SOURCE: &str = "{{ source('raw', 'orders') }}";

/// Outcome of a check with its findings, `class: message` a line.
fn check(report: &Value, case: &str, prompt: &str, name: &str) -> (String, String) {
    let results = report["results"].as_array().expect("results");
    let result =
        results.iter().find(|result| result["case"] == case && result["prompt"] == prompt).expect("a result");
    let checks = result["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["check"] == name).expect("a check");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = check["findings"].as_array().expect("findings").iter();
    let lines = findings.map(|finding| format!("{}: {}", word(&finding["class"]), word(&finding["message"])));
    (word(&check["outcome"]), lines.collect::<Vec<_>>().join("\n"))
}

fn run(harness: &Harness) -> Value {
    run_into(harness, "out", &[])
}

fn run_into(harness: &Harness, folder: &str, more: &[&str]) -> Value {
    let output = harness.assay(&[&["run", "--answers", "answers.jsonl", "--out", folder], more].concat());
    let text = fs_err::read_to_string(harness.path(folder).join("report.json"));
    let text = text.unwrap_or_else(|_| panic!("no report: {}", harness.show(&output)));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn rows_say_more_than_that_they_differ() {
    let earliest = |order: &str| {
        format!(
            "select order_id, status from (select *, row_number() over (partition by status order by {order}) as n from {SOURCE}) where n = 1"
        )
    };
    let plain = format!("select order_id, lower(status) as status from {SOURCE}");
    let harness = harness(
        "[projects.shop.datasets]\nedges = \"edges\"\n",
        "id,spec,model,golden_sql,unit_tests,pii\n\
         first,specs/orders.md,stg_orders,goldens/first.sql,,\n\
         chance,specs/orders.md,stg_orders,goldens/chance.sql,,\n\
         plain,specs/orders.md,stg_orders,goldens/plain.sql,evals/units.yml,mail\n",
        &[
            ("first", "sure", earliest("day, order_id")),
            ("first", "by_chance", earliest("day")),
            // What the golden leaves to chance nobody has to settle.
            ("chance", "by_chance", earliest("day") + " -- too"),
            ("plain", "right", plain.clone() + " -- again"),
            ("plain", "wrong_case", format!("select order_id, status from {SOURCE}")),
            ("plain", "no_null", plain.clone() + " where status is not null"),
            (
                "plain",
                "personal",
                format!(
                    "select order_id, lower(status) as status, upper(mail) as note, mail as contact from {SOURCE}"
                ),
            ),
        ],
    );
    harness
        .write(
            "dbt/shop/seeds/orders.csv",
            "order_id,status,day,mail\n1,open,2026-01-01,ada@example.com\n2,open,2026-01-01,ben@example.com\n3,closed,2026-01-01,cyd@example.com\n",
        )
        .write("edges/orders.csv", "order_id,status,day,mail\n1,open,2026-01-01,\n2,,2026-01-02,\n")
        .write("goldens/first.sql", earliest("day, order_id"))
        .write("goldens/chance.sql", earliest("day"))
        .write("goldens/plain.sql", &plain)
        .write(
            "evals/units.yml",
            "unit_tests:\n  - name: statuses_are_lower_case\n    model: stg_orders\n    given:\n      - input: source('raw', 'orders')\n        rows: [{order_id: 1, status: Open}]\n    expect: {rows: [{order_id: 1, status: open}]}\n",
        );
    let report = run(&harness);
    let check = |case: &str, prompt: &str, name: &str| check(&report, case, prompt, name);

    for prompt in ["sure", "right"] {
        let case = if prompt == "sure" { "first" } else { "plain" };
        for name in ["tests", "rows", "pii"] {
            assert_eq!(check(case, prompt, name).0, "passed", "{case} {prompt} {name}: {report:#}");
        }
        assert_eq!(check(case, prompt, "idempotent").0, "skipped");
    }
    let (outcome, findings) = check("first", "by_chance", "idempotent");
    assert_eq!(outcome, "failed", "{report:#}");
    assert!(
        findings.starts_with("order_dependent: on the same rows in another order it gives other ones: "),
        "{findings}"
    );
    assert!(findings.contains("1 | open") && findings.contains("2 | open"), "{findings}");
    assert_eq!(check("chance", "by_chance", "idempotent").0, "skipped");

    // On the project's own data every status is in lower case.
    let (outcome, findings) = check("plain", "wrong_case", "tests");
    assert_eq!(outcome, "failed", "{findings}");
    assert!(findings.starts_with("unit_test_fail: case__statuses_are_lower_case"), "{findings}");

    let (outcome, findings) = check("plain", "no_null", "rows");
    assert_eq!(outcome, "failed", "{findings}");
    assert!(
        findings.contains("on the data set `edges`: of 2 golden rows and 1 of the model: 1 removed"),
        "{findings}"
    );
    assert_eq!(check("plain", "no_null", "tests").0, "passed");

    let (outcome, findings) = check("plain", "personal", "pii");
    assert_eq!(outcome, "failed", "{findings}");
    for found in [
        "`contact` holds mail addresses (3 values)",
        "`contact` holds the values of orders.mail (3 values)",
        "`note` holds mail addresses",
    ] {
        assert!(findings.contains(found), "{findings}");
    }
}

/// What the golden loses too is what the spec accepts; what it keeps a candidate may not lose. Rows are named.
#[test]
fn late_rows_must_not_be_lost_where_the_golden_keeps_them() {
    late_rows_are_missed(&super::tool::tools(), "auto");
}

#[test]
#[ignore = "needs dbt-core 1.6.19 (docs/engines.md): ASSAY_OLD_DBT=.../bin/dbt cargo test --test it -- --ignored the_oldest_dbt"]
fn the_oldest_dbt_misses_late_rows_too() {
    for engine in ["v1", "exec"] {
        late_rows_are_missed(&oldest(), engine);
    }
}

fn late_rows_are_missed(tools: &Tools, engine: &str) {
    let incremental = |condition: &str| {
        format!(
            "{{{{ config(materialized='incremental', unique_key='order_id') }}}}\n\
             select order_id, status, changed from {SOURCE}\n\
             {{% if is_incremental() %}}where {condition}{{% endif %}}\n"
        )
    };
    let this = "{{ this }}";
    let from_mark = incremental(&format!("changed >= (select max(changed) from {this})"));
    let look_back = incremental(&format!("changed >= (select max(changed) - interval 3 day from {this})"));
    let plain =
        format!("{{{{ config(materialized='table') }}}}\nselect order_id, status, changed from {SOURCE}\n");
    let after_mark = incremental(&format!("changed > (select max(changed) from {this})"));
    let unseen = incremental(&format!("order_id not in (select order_id from {this})"));
    let cases = "id,spec,model,golden_sql\n\
         mark,specs/orders.md,stg_orders,goldens/mark.sql\n\
         back,specs/orders.md,stg_orders,goldens/back.sql\n\
         plain,specs/orders.md,stg_orders,goldens/plain.sql\n\
         lines,specs/orders.md,stg_orders,goldens/lines.sql\n";
    let lines = |kind: &str, condition: &str| {
        format!(
            "{{{{ config(materialized='{kind}', unique_key='order_id') }}}}\n\
             select l.line_id as order_id, o.status, o.changed from {{{{ ref('lines') }}}} l\n\
             left join {SOURCE} o on o.order_id = l.order_id\n\
             {{% if is_incremental() %}}where {condition}{{% endif %}}\n"
        )
    };
    let of_mark = format!("o.changed >= (select max(changed) from {this})");
    let harness = harness_with(
        tools,
        "",
        cases,
        &[
            ("mark", "the_same", from_mark.clone() + "-- again"),
            ("mark", "looks_back", look_back.clone()),
            ("mark", "unseen", unseen.clone()),
            ("mark", "after", after_mark.clone()),
            ("back", "from_mark", from_mark.clone()),
            ("plain", "after", after_mark),
            ("plain", "unseen", unseen),
            ("plain", "plain", plain.clone() + "-- again"),
            ("lines", "from_mark", lines("incremental", &of_mark)),
        ],
    );
    harness
        .write(
            "dbt/shop/seeds/orders.csv",
            "order_id,status,changed\n1,open,2026-01-01\n2,open,2026-01-02\n3,open,2026-01-05\n4,open,2026-01-06\n\
             5,open,2026-01-07\n6,open,2026-01-08\n7,closed,2026-01-08\n8,closed,2026-01-09\n",
        )
        .write("dbt/shop/seeds/lines.csv", "line_id,order_id\n11,1\n13,3\n15,5\n16,6\n17,7\n18,8\n19,\n")
        .write(
            "dbt/shop/seeds/lines.yml",
            // As every dbt reads it.
            "seeds:\n  - name: lines\n    columns:\n      - name: order_id\n        tests:\n          - relationships:\n              \
             to: source('raw', 'orders')\n              field: order_id\n",
        )
        .write("goldens/lines.sql", lines("table", &of_mark))
        .write("goldens/mark.sql", from_mark)
        .write("goldens/back.sql", look_back)
        .write("goldens/plain.sql", plain);
    let report = run_into(&harness, "out", &["--engine", engine]);
    let check = |case: &str, prompt: &str| check(&report, case, prompt, "idempotent");
    for prompt in ["the_same", "looks_back", "unseen"] {
        assert_eq!(check("mark", prompt), ("passed".to_owned(), String::new()), "{prompt}: {report:#}");
    }
    let when = "after rows of raw.orders arrived late (by `changed`: 1 newer than the high-water mark, 1 at it, 2 older)";
    let lost = |what: &str| ("failed".to_owned(), format!("late_rows_lost: {when} {what}"));
    let one = "row that a full build has is missing";
    let many = "rows that a full build has are missing";
    assert_eq!(check("mark", "after"), lost(&format!("1 {one}: order_id = 6")));
    assert_eq!(check("back", "from_mark"), lost(&format!("2 {many}: order_id = 3, order_id = 5")));
    assert_eq!(check("plain", "after"), lost(&format!("3 {many}: order_id = 3, order_id = 5, order_id = 6")));
    // A line of an order that is not there yet is not there either: it is lost, and never without its order.
    assert_eq!(check("lines", "from_mark"), lost(&format!("2 {many}: order_id = 13, order_id = 15")));
    let not_tried = "late_rows_not_tried: late rows were not tried: no column is found by which the incremental query takes what is new";
    assert_eq!(check("plain", "unseen"), ("passed".to_owned(), not_tried.to_owned()));
    assert_eq!(check("plain", "plain").0, "skipped");

    // A project may want it shown only, or not looked at.
    let settings = fs_err::read_to_string(harness.path("assay.toml")).expect("the settings");
    for (policy, shown) in [("warn", 1), ("off", 0)] {
        harness.write("assay.toml", format!("{settings}\n[checks]\nlate_rows = \"{policy}\"\n"));
        let report = run_into(&harness, policy, &["--engine", engine, "--case", "back"]);
        let (outcome, findings) = super::deeper::check(&report, "back", "from_mark", "idempotent");
        assert_eq!((outcome.as_str(), findings.lines().count()), ("passed", shown), "{policy}: {findings}");
    }
}

/// What the golden does too is a fault of the case.
#[test]
fn a_golden_that_grows_with_each_build_is_no_control_of_that() {
    let grows =
        format!("{{{{ config(materialized='incremental') }}}}\nselect order_id, status from {SOURCE}\n");
    let harness = harness(
        "",
        "id,spec,model,golden_sql\ngrows,specs/orders.md,stg_orders,goldens/grows.sql\n\
         keyed,specs/orders.md,stg_orders,goldens/keyed.sql\n",
        &[("grows", "grows", grows.clone() + "-- again"), ("keyed", "grows", grows.clone() + "-- again")],
    );
    harness
        .write("goldens/grows.sql", &grows)
        .write("goldens/keyed.sql", grows.replace("'incremental'", "'incremental', unique_key='order_id'"));
    let report = run(&harness);
    let (outcome, findings) = check(&report, "grows", "grows", "idempotent");
    assert_eq!(outcome, "errored", "{report:#}");
    assert!(findings.starts_with("golden_fails: the golden too changes"), "{findings}");
    let (outcome, findings) = check(&report, "keyed", "grows", "idempotent");
    assert_eq!(outcome, "failed", "{findings}");
    assert!(findings.starts_with("not_idempotent: "), "{findings}");
    let notes = report["run"]["notes"].to_string();
    assert!(
        notes.contains("the golden of `grows` is no control: it changes when it is built a second time"),
        "{notes}"
    );
    assert!(!notes.contains("the golden of `keyed` is no control"), "{notes}");
}

/// The tests of a candidate are tried on small errors of the golden, whatever its own rows are.
#[test]
fn tests_are_held_against_small_errors_in_the_golden() {
    small_errors_are_noticed(&super::tool::tools(), "auto");
}

#[test]
#[ignore = "needs dbt-core 1.6.19 (docs/engines.md): ASSAY_OLD_DBT=.../bin/dbt cargo test --test it -- --ignored the_oldest_dbt"]
fn the_oldest_dbt_notices_small_errors_too() {
    for engine in ["v1", "exec"] {
        small_errors_are_noticed(&oldest(), engine);
    }
}

fn small_errors_are_noticed(tools: &Tools, engine: &str) {
    let harness = harness_with(
        tools,
        "",
        "id,spec,model,golden_sql\norders,specs/orders.md,stg_orders,goldens/stg_orders.sql\n",
        &[],
    );
    let golden =
        format!("select order_id, coalesce(status, 'none') as status from {SOURCE} where order_id > 1");
    let line = |prompt: &str, sql: &str, yaml: &str, tests: &[&str]| {
        let output = json!({"model_name": "stg_orders", "sql": sql, "schema_yaml": yaml, "tests": tests, "review_notes": ["none"]});
        json!({"case": "orders", "prompt": prompt, "trial": 0, "output_text": output.to_string()}).to_string()
    };
    let strong = [
        "unique:order_id",
        "not_null:status",
        "accepted_values:status[open|none]",
        "select order_id from {{ ref('stg_orders') }} where order_id <= 1",
    ];
    let untested = YAML.replace("        data_tests: [unique]\n", "");
    let answers = [
        line("weak", &golden, YAML, &["unique:order_id"]),
        line("strong", &golden, YAML, &strong),
        // A wrong model may have right tests.
        line(
            "wrong",
            &format!("select order_id, status from {SOURCE}"),
            YAML,
            &["unique:order_id", "not_null:status"],
        ),
        // A test that the golden fails says nothing of its errors.
        line("mistaken", &golden, &untested, &["accepted_values:status[closed]"]),
        line("untested", &golden, &untested, &[]),
    ];
    harness
        .write("dbt/shop/seeds/orders.csv", "order_id,status\n1,open\n2,\n3,open\n")
        .write("goldens/stg_orders.sql", &golden)
        .write("answers.jsonl", answers.join("\n"));
    let report = run_into(&harness, "out", &["--engine", engine]);
    let score = |prompt: &str| {
        let results = report["results"].as_array().expect("results");
        let result = results.iter().find(|result| result["prompt"] == prompt).expect("a result");
        result["mutation"].clone()
    };
    // COALESCE away, `none` for another word, > for >= or another number, no filter.
    let (weak, strong) = (score("weak"), score("strong"));
    assert_eq!(
        (weak["noticed"].as_u64(), weak["vacuous"].clone()),
        (Some(0), json!(["unique:order_id"])),
        "{weak}"
    );
    assert_eq!(strong["mutants"], weak["mutants"]);
    assert!(weak["mutants"].as_u64() >= Some(4), "{weak}");
    assert!(strong["noticed"].as_u64() >= Some(3), "{strong}");
    assert_eq!(strong["vacuous"], json!(["unique:order_id"]), "{strong}");
    assert_eq!(score("wrong")["noticed"], 1, "only COALESCE is noticed: {}", score("wrong"));
    assert_eq!((score("mistaken"), score("untested")), (Value::Null, Value::Null));
    let (outcome, findings) = check(&report, "orders", "weak", "tests");
    assert_eq!(outcome, "passed");
    let all = weak["mutants"].as_u64().unwrap_or_default();
    assert!(
        findings.starts_with(&format!("mutants_missed: the tests notice 0 of {all} small errors in the golden whose rows are others; they miss `")),
        "{findings}"
    );
    assert!(
        findings.ends_with(&format!(
            "vacuous_test: this test fails on none of {all} small errors in the golden: unique:order_id"
        )),
        "{findings}"
    );
    // 5 of 15 and the like: results without a score do not count.
    let prompts = report["prompts"].as_array().expect("prompts");
    let of = |name: &str| {
        prompts.iter().find(|prompt| prompt["name"] == name).expect("a prompt")["mutation"].clone()
    };
    assert_eq!((of("weak"), of("untested")), (json!(0.0), Value::Null));
    // Nothing is tried where nothing is asked for.
    let settings = fs_err::read_to_string(harness.path("assay.toml")).expect("the settings");
    harness.write("assay.toml", format!("{settings}\n[checks]\nmutants = 0\n"));
    let report = run_into(&harness, "without", &["--engine", engine]);
    let results = report["results"].as_array().expect("results");
    assert!(results.iter().all(|result| result["mutation"].is_null()), "{report:#}");
}

/// A golden that fails a test does not tell right from wrong by it, and the report says so.
#[test]
fn a_golden_that_fails_a_test_is_no_control() {
    let harness = harness(
        "",
        "id,spec,model,golden_sql,required_tests\n\
         orders,specs/orders.md,stg_orders,goldens/stg_orders.sql,status:unique\n\
         empty,specs/orders.md,stg_orders,goldens/empty.sql,order_id:unique\n",
        &[],
    );
    let golden = format!("select order_id, status from {SOURCE}");
    let line = |case: &str, prompt: &str, sql: &str, tests: &[&str]| {
        let output = json!({"model_name": "stg_orders", "sql": sql, "schema_yaml": YAML, "tests": tests, "review_notes": ["none"]});
        json!({"case": case, "prompt": prompt, "trial": 0, "output_text": output.to_string()}).to_string()
    };
    let answers = [
        line("orders", "right", &golden, &["unique:status"]),
        line("orders", "worse", &golden, &["unique:status", "accepted_values:status[closed]"]),
        line("empty", "null", &format!("{golden} where false"), &["unique:order_id"]),
        line("orders", "null", &format!("{golden} where false"), &["unique:status"]),
    ];
    harness
        .write("dbt/shop/seeds/orders.csv", "order_id,status\n1,open\n2,open\n")
        .write("goldens/empty.sql", format!("{golden} where order_id > 7"))
        .write("answers.jsonl", answers.join("\n"));
    let report = run(&harness);
    let (outcome, findings) = check(&report, "orders", "right", "tests");
    assert_eq!(outcome, "errored", "{report:#}");
    assert!(findings.starts_with("golden_fails: the golden fails the same tests: "), "{findings}");
    // A test that only the candidate fails counts.
    assert_eq!(check(&report, "orders", "worse", "tests").0, "failed");
    // Without rows nothing is right, and where the golden has none nothing is judged.
    assert_eq!(check(&report, "orders", "null", "rows").0, "failed");
    assert_eq!(check(&report, "empty", "null", "rows").0, "errored");
    let notes: Vec<&str> =
        report["run"]["notes"].as_array().expect("notes").iter().filter_map(Value::as_str).collect();
    let controls: Vec<&str> = notes.into_iter().filter(|note| note.contains("is no control")).collect();
    assert_eq!(controls.len(), 2, "{controls:?}");
    assert!(
        controls[0].starts_with("the golden of `orders` is no control: it fails a test: "),
        "{controls:?}"
    );
    assert_eq!(controls[1], "the golden of `empty` is no control: it has no rows");
}

#[test]
fn a_relation_says_something_by_itself() {
    RUNTIME.block_on(async {
        let shop = builder("alone", "v1").await;
        let sql = "select * from (values (1, 'Ada', null, '+49 30 1234567'), (1, 'Ben', null, '+49 30 7654321'), (2, 'Ben', null, null)) t(id, who, nothing, call)";
        let report = shop.build(&request("m", sql, "")).await;
        assert_eq!(report.run.outcome, Outcome::Passed, "{report:#?}");
        let side = Side {
            database: report.database.as_deref().expect("a database"),
            relation: report.relation.as_deref().expect("a relation"),
            columns: &report.columns,
        };
        let parents = [PersonalColumn {
            relation: "\"warehouse\".\"main\".\"raw_customers\"".into(),
            column: "name".into(),
            name: "raw_customers.name".into(),
        }];
        let only = ["who".to_owned(), "call".to_owned()];
        let profile = shop.duckdb().profile(side, &["ID".to_owned()], &only, &parents).await.expect("looked at");
        assert_eq!((profile.rows, profile.has_grain), (3, true));
        assert_eq!((profile.repeated.count, &profile.repeated.examples[..]), (1, &[vec![Some("1".to_owned())]][..]));
        assert_eq!(profile.always_null, ["nothing"]);
        let found: Vec<String> =
            profile.personal.iter().map(|(column, what, n)| format!("{column}: {what} ({n})")).collect();
        assert_eq!(found, ["who: the values of raw_customers.name (2)", "call: phone numbers (2)"]);
    });
}
