//! The shipped example is judged as the expectations file says, by the real binary with real dbt and DuckDB.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

use super::harness::binary;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the example in a folder of its own and reads its report.json.
fn run(arguments: &[&str]) -> Value {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().display().to_string();
    let mut all = vec!["run", "--out", &folder];
    all.extend(arguments);
    let output = binary(&root(), &all, &[]);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = fs_err::read_to_string(out.path().join("report.json"))
        .unwrap_or_else(|error| panic!("no report: {error}\n{talk}"));
    serde_json::from_str(&text).unwrap()
}

/// All hand-written answers, judged once for all tests.
static BY_HAND: LazyLock<Value> = LazyLock::new(|| run(&["--answers", "evals/answers-by-hand.jsonl"]));

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn results(report: &Value) -> impl Iterator<Item = &Value> {
    report["results"].as_array().unwrap().iter()
}

/// Findings of a result's first failed check, as `class: message`.
fn findings(result: &Value) -> Vec<String> {
    let checks = result["checks"].as_array().unwrap();
    let first = checks.iter().find(|check| check["check"] == result["first_failed"]);
    let findings = first.and_then(|check| check["findings"].as_array());
    findings.into_iter().flatten().map(|f| format!("{}: {}", text(f, "class"), text(f, "message"))).collect()
}

#[test]
fn every_hand_written_answer_is_judged_as_expected() {
    let by_key: BTreeMap<(&str, &str), &Value> =
        results(&BY_HAND).map(|result| ((text(result, "case"), text(result, "prompt")), result)).collect();
    let mut reader = csv::Reader::from_path(root().join("evals/answers-by-hand.expected.csv")).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for row in reader.deserialize::<BTreeMap<String, String>>() {
        let row = row.unwrap();
        seen += 1;
        let Some(result) = by_key.get(&(row["case"].as_str(), row["prompt"].as_str())) else {
            wrong.push(format!("{} {}: not judged", row["case"], row["prompt"]));
            continue;
        };
        let got = (text(result, "status"), text(result, "first_failed"));
        if got != (row["status"].as_str(), row["first_failed"].as_str()) {
            wrong.push(format!(
                "{} {}: expected {} {}, got {got:?}\n    {}\n    why expected: {}",
                row["case"],
                row["prompt"],
                row["status"],
                row["first_failed"],
                findings(result).join("\n    "),
                row["why"],
            ));
        }
    }
    assert_eq!(seen, by_key.len(), "an answer without an expectation, or the other way round");
    assert!(wrong.is_empty(), "{} of {seen} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// `>` for `>=`: the proof says so, and late rows show it.
#[test]
fn a_row_at_the_high_water_mark_is_lost_by_the_answer_that_skips_it() {
    let late = |prompt: &str| {
        let result =
            results(&BY_HAND).find(|r| r["case"] == "fct_bookings" && r["prompt"] == prompt).unwrap();
        let check = result["checks"].as_array().unwrap().iter().find(|check| check["check"] == "idempotent");
        check.unwrap().clone()
    };
    assert_eq!(late("by-hand-c")["outcome"], "passed");
    let lost = late("by-hand-b");
    assert_eq!(
        (text(&lost, "outcome"), text(&lost["findings"][0], "class")),
        ("failed", "late_rows_lost"),
        "{lost}"
    );
}

/// Every engine judges the example alike: an audit of everything finds no difference.
#[test]
#[ignore = "judges the example twice: cargo test --test it -- --ignored the_engines_agree"]
fn the_engines_agree_on_the_example() {
    let arguments = ["--answers", "evals/answers-by-hand.jsonl", "--engine", "exec", "--audit", "100"];
    agree(&run(&arguments), "v1");
}

#[test]
#[ignore = "installs the second engine: cargo test --test it -- --ignored on_v2"]
fn the_engines_agree_on_the_example_on_v2() {
    super::tool::v2();
    let arguments = ["--answers", "evals/answers-by-hand.jsonl", "--engine", "v2", "--audit", "100"];
    agree(&run(&arguments), "v1");
    // What was there before the second engine was installed compiles with it now.
    let arguments = ["--answers", "evals/answers-by-hand.jsonl", "--engine", "auto", "--audit", "100"];
    agree(&run(&arguments), "v1");
}

fn agree(report: &Value, other: &str) {
    let mut audited = 0;
    for result in results(report) {
        let (case, prompt) = (text(result, "case"), text(result, "prompt"));
        if result["engine"].is_null() {
            continue;
        }
        audited += 1;
        assert_eq!(result["audit"]["engine"], other, "{case} {prompt} was not audited");
        let differ = &result["audit"]["disagreements"];
        assert_eq!(
            differ.as_array().map(Vec::len),
            Some(0),
            "{case} {prompt} by {}: {differ}",
            result["engine"]
        );
    }
    assert!(audited > 20, "{audited}");
}

/// A check never contradicts the SQL verdict: what is proved equal has the same rows.
#[test]
fn no_verdict_contradicts_the_rows() {
    for result in results(&BY_HAND) {
        let rows = result["checks"].as_array().unwrap().iter().find(|check| check["check"] == "rows");
        let outcome = rows.map(|rows| text(rows, "outcome")).unwrap_or_default();
        let verdict = result["golden"]["verdict"].as_str().unwrap_or_default();
        assert!(
            !(["identical", "equivalent", "agrees"].contains(&verdict) && outcome == "failed"),
            "{} {}: {verdict}, but rows {outcome}: {}",
            text(result, "case"),
            text(result, "prompt"),
            result["golden"]["reason"],
        );
    }
}

#[test]
fn baselines_score_none_all_none() {
    let statuses = |report: &Value| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for result in results(report) {
            *counts.entry(text(result, "status").to_owned()).or_default() += 1;
        }
        counts
    };
    let golden = run(&["--answers", "baseline:golden"]);
    let all = golden["results"].as_array().unwrap().len();
    for result in results(&golden) {
        for check in result["checks"].as_array().unwrap() {
            let outcome = text(check, "outcome");
            assert!(
                check["check"] == "lint" || ["passed", "skipped"].contains(&outcome),
                "the golden of {} does not pass {}: {}",
                text(result, "case"),
                check["check"],
                check["findings"]
            );
        }
        assert_eq!(text(&result["golden"], "verdict"), "identical");
    }
    assert_eq!(statuses(&golden), BTreeMap::from([("passed".to_owned(), all)]));
    // Every check decided at least one golden: none is skipped everywhere.
    for check in [
        "contract",
        "name",
        "safety",
        "sources",
        "yaml",
        "required_tests",
        "compile",
        "run",
        "tests",
        "columns",
        "rows",
        "idempotent",
        "materialization",
        "pii",
    ] {
        let passed = results(&golden)
            .flat_map(|result| result["checks"].as_array().unwrap())
            .any(|result| result["check"] == check && result["outcome"] == "passed");
        assert!(passed, "`{check}` passes no golden");
    }
    let null = run(&["--answers", "baseline:null"]);
    assert_eq!(statuses(&null), BTreeMap::from([("failed".to_owned(), all)]));
    assert!(results(&null).all(|result| {
        result["checks"].as_array().unwrap().iter().all(|check| check["outcome"] != "passed")
    }));
    let shuffled = run(&["--answers", "baseline:shuffled-golden"]);
    assert_eq!(statuses(&shuffled), BTreeMap::from([("failed".to_owned(), all)]));
}

/// Without what differs from run to run: ids and times.
fn without_times(mut report: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for key in ["seconds", "started", "id"] {
                    if map.get(key).is_some_and(|v| v.is_number() || key != "id") {
                        map.remove(key);
                    }
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    if let Some(run) = report["run"].as_object_mut() {
        run.remove("id");
    }
    strip(&mut report);
    report
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let subset = ["--answers", "evals/answers-by-hand.jsonl", "--suite", "roastery", "--prompt", "by-hand-b"];
    let with = |jobs: &str| without_times(run(&[&subset[..], &["--jobs", jobs]].concat()));
    let (one, eight) = (with("1"), with("8"));
    assert_eq!(serde_json::to_string_pretty(&one).unwrap(), serde_json::to_string_pretty(&eight).unwrap());
}

#[test]
fn the_example_leaves_its_inputs_alone() {
    LazyLock::force(&BY_HAND);
    for project in ["ferry", "roastery"] {
        let folder = root().join("fixtures").join(project);
        for left in ["target", "logs", "dbt_packages"] {
            assert!(
                !folder.join(left).exists(),
                "{} was left behind",
                Path::new(project).join(left).display()
            );
        }
    }
}
