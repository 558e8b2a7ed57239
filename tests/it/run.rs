//! Whole runs with real dbt: the clock of a case, a model that never ends, Ctrl-C and how a run is taken up again.

use std::process::{Command, Stdio};
use std::time::Duration;

use assay::tool::environment::Tools;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::harness::Harness;

pub(super) const YAML: &str = "version: 2\nmodels:\n  - name: stg_orders\n    columns:\n      - name: order_id\n        data_tests: [unique]\n      - name: status\n";

/// The harness's folder with the tools that all tests share, and `cases` and `answers` (case, prompt version, SQL).
pub(super) fn harness(settings: &str, cases: &str, answers: &[(&str, &str, String)]) -> Harness {
    harness_with(&super::tool::tools(), settings, cases, answers)
}

/// The same with other tools.
pub(super) fn harness_with(
    tools: &Tools,
    settings: &str,
    cases: &str,
    answers: &[(&str, &str, String)],
) -> Harness {
    let harness = Harness::new();
    let dbt = tools.python.with_file_name("dbt");
    let config = format!(
        "[projects.shop]\npath = \"dbt/shop\"\n\n[tools]\ndbt = \"{}\"\nduckdb = \"{}\"\n\n{settings}",
        dbt.display(),
        tools.duckdb.display()
    );
    let line = |(case, prompt, sql): &(&str, &str, String)| {
        let output = serde_json::json!({
            "model_name": "stg_orders",
            "sql": sql,
            "schema_yaml": YAML,
            "tests": ["unique:order_id"],
            "review_notes": ["none"],
        });
        let output = output.to_string();
        serde_json::json!({"case": case, "prompt": prompt, "trial": 0, "output_text": output}).to_string()
    };
    let answers: Vec<String> = answers.iter().map(line).collect();
    harness
        .write("assay.toml", config)
        .write("evals/cases.csv", cases)
        .write("answers.jsonl", answers.join("\n"));
    harness
}

/// What a run left in `folder`: case and prompt version, status, first failed check, its first finding.
fn outcomes(harness: &Harness, folder: &str) -> Vec<(String, String, String, String)> {
    let text = fs_err::read_to_string(harness.path(folder).join("report.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    report["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let failed = result["checks"].as_array().unwrap().iter();
            let class = failed
                .filter(|check| check["check"] == result["first_failed"])
                .map(|check| word(&check["findings"][0]["class"]))
                .next();
            (
                format!("{} {}", word(&result["case"]), word(&result["prompt"])),
                word(&result["status"]),
                word(&result["first_failed"]),
                class.unwrap_or_default(),
            )
        })
        .collect()
}

/// The same golden, the same answers; what is right depends on the date on which the case's clock stands.
#[test]
fn a_case_is_judged_on_its_date() {
    let since = |day: &str| {
        format!("select order_id, status from {{{{ source('raw', 'orders') }}}} where ordered_on >= {day}")
    };
    let harness = harness(
        "",
        "id,spec,model,golden_sql,as_of\n\
         early,specs/orders.md,stg_orders,goldens/stg_orders.sql,2026-01-31\n\
         late,specs/orders.md,stg_orders,goldens/stg_orders.sql,2026-03-31\n",
        &[
            ("early", "january", since("date '2026-01-01'")),
            ("late", "january", since("date '2026-01-01'")),
            ("early", "march", since("date '2026-03-01'")),
            ("late", "march", since("date '2026-03-01'")),
        ],
    );
    harness
        .write("dbt/shop/seeds/orders.csv", "order_id,status,ordered_on\n1,open,2025-12-31\n2,open,2026-01-15\n3,closed,2026-03-10\n")
        .write(
            "dbt/shop/dbt_project.yml",
            "name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\nseed-paths: [seeds]\nvars:\n  as_of: '2020-01-01'\n",
        )
        .write(
            "goldens/stg_orders.sql",
            "select order_id, status from {{ source('raw', 'orders') }}\n\
             where ordered_on >= date_trunc('month', cast('{{ var(\"as_of\") }}' as date))\n",
        );
    let output = harness.assay(&["run", "--answers", "answers.jsonl", "--out", "out"]);
    let talk = harness.show(&output);
    let rows = outcomes(&harness, "out");
    assert_eq!(
        rows.iter().map(|row| (row.0.as_str(), row.1.as_str(), row.2.as_str())).collect::<Vec<_>>(),
        [
            ("early january", "passed", ""),
            ("early march", "failed", "rows"),
            ("late january", "failed", "rows"),
            ("late march", "passed", ""),
        ],
        "{rows:?}\n{talk}"
    );
}

#[test]
fn a_model_that_never_ends_is_stopped_and_the_others_are_judged() {
    let good = || "select order_id, status from {{ source('raw', 'orders') }}".to_owned();
    let endless = "with recursive n as (select 1 as i union all select 1 - i from n)\n\
                   select order_id, status from {{ source('raw', 'orders') }} where order_id < (select count(*) from n)";
    let harness = harness(
        "[dbt]\ntimeout_seconds = 15\n",
        "id,spec,model,golden_sql\norders,specs/orders.md,stg_orders,goldens/stg_orders.sql\n",
        &[
            ("orders", "a_good", good()),
            ("orders", "b_endless", endless.to_owned()),
            ("orders", "c_good", good() + " -- again"),
        ],
    );
    let output = harness.assay(&["run", "--answers", "answers.jsonl", "--out", "out"]);
    let rows = outcomes(&harness, "out");
    let of = |prompt: &str| rows.iter().find(|row| row.0 == format!("orders {prompt}")).expect(prompt);
    let talk = harness.show(&output);
    assert_eq!((of("a_good").1.as_str(), of("c_good").1.as_str()), ("passed", "passed"), "{rows:?}\n{talk}");
    let (_, status, check, class) = of("b_endless");
    // A machine that is too busy to give it its time is not held against it.
    let ended = [("failed", "tests", "resource_limit"), ("failed", "tests", "timeout"), ("errored", "", "")];
    assert!(ended.contains(&(status, check, class)), "{rows:?}\n{talk}");
}

/// Ctrl-C lets what is under way finish; the command that is printed does the rest, and nothing twice.
#[test]
fn an_interrupted_run_is_finished_by_the_command_that_it_prints() {
    let mut cases = "id,spec,model,golden_sql\n".to_owned();
    let names: Vec<String> = (1..=12).map(|number| format!("o{number:02}")).collect();
    let mut answers = Vec::new();
    for name in &names {
        cases.push_str(&format!("{name},specs/orders.md,stg_orders,goldens/stg_orders.sql\n"));
        let sql = "select order_id, status from {{ source('raw', 'orders') }}";
        answers.push((name.as_str(), "it's", sql.to_owned()));
    }
    let harness = harness("", &cases, &answers);
    let undisturbed = harness.assay(&["run", "--answers", "answers.jsonl", "--jobs", "1", "--out", "whole"]);
    assert_eq!(undisturbed.status.code(), Some(0), "{}", harness.show(&undisturbed));

    let child = start(&harness, &["run", "--answers", "answers.jsonl", "--jobs", "1", "--out", "out"]);
    let log = harness.path("out/results.jsonl");
    let lines = || fs_err::read_to_string(&log).map_or(0, |text| text.lines().count());
    while lines() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{talk}");
    let kept = lines();
    assert!(kept < names.len(), "it was over before it could be interrupted");
    let command = talk.lines().rfind(|line| line.trim_start().starts_with("assay run")).expect(&talk).trim();
    assert_eq!(command, "assay run --answers answers.jsonl --jobs 1 --resume out");

    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let finished = harness.assay(&arguments);
    assert_eq!(finished.status.code(), Some(0), "{}", harness.show(&finished));
    assert_eq!(outcomes(&harness, "out"), outcomes(&harness, "whole"));
    assert!(
        !harness.path("reports/history.jsonl").exists(),
        "a run that was put elsewhere stays out of the history"
    );
    let ids: Vec<String> = fs_err::read_to_string(&log)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|result| result["case"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, names, "each case is judged once");
}

#[expect(clippy::disallowed_methods, reason = "tests start the binary")]
fn start(harness: &Harness, arguments: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(arguments)
        .current_dir(harness.path("."))
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}
