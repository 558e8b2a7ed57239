//! Processes that are killed at random change no verdict and leave nothing behind; nor does the program itself, killed.
//! `ASSAY_KILL_CANDIDATES=1000` is the long version of the first.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::harness::{Harness, command};

/// Models of every kind: right, wrong in their rows, failing a test, built twice, not compiling.
const MODELS: [&str; 6] = [
    "select order_id, status from {{ source('raw', 'orders') }}",
    "select order_id, status from {{ source('raw', 'orders') }} where order_id = 1",
    "select 1 as order_id, status from {{ source('raw', 'orders') }}",
    "{{ config(materialized='incremental', unique_key='order_id') }} select order_id, status from {{ source('raw', 'orders') }}",
    "select order_id, no_such_column as status from {{ source('raw', 'orders') }}",
    "select order_id, {{ no_such_macro() }} as status from {{ source('raw', 'orders') }}",
];

/// Numbers that look random, from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }
}

fn answers(count: usize, random: &mut Random) -> String {
    let mut lines: Vec<String> = (0..count)
        .map(|number| {
            let answer = json!({
                "model_name": "stg_orders",
                "sql": format!("{}\n-- draft {number}\n", MODELS[number % MODELS.len()]),
                "schema_yaml": "models:\n  - name: stg_orders\n    columns:\n      - {name: order_id, data_tests: [unique]}\n      - {name: status}\n",
                "tests": [],
                "review_notes": [],
            });
            json!({"case": "orders", "prompt": format!("p{number}"), "trial": 0, "output_text": answer.to_string()})
                .to_string()
        })
        .collect();
    for place in (1..lines.len()).rev() {
        lines.swap(place, random.below(place + 1));
    }
    lines.join("\n")
}

/// What a run says of an answer.
#[derive(Debug)]
struct Judged {
    /// Status, the SQL verdict, outcome and classes of each check.
    verdict: String,
    /// What could not be decided, in words.
    errors: Vec<String>,
}

/// By prompt version.
fn verdicts(folder: &Path) -> BTreeMap<String, Judged> {
    let text = fs_err::read_to_string(folder.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let judged = |result: &Value| {
        let checks = result["checks"].as_array().expect("checks");
        let said = checks.iter().map(|check| {
            let findings = check["findings"].as_array().expect("findings");
            let classes: Vec<&Value> = findings.iter().map(|finding| &finding["class"]).collect();
            format!("{} {} {classes:?}", check["check"], check["outcome"])
        });
        let said = said.collect::<Vec<_>>().join("; ");
        let errored = checks.iter().filter(|check| check["outcome"] == "errored");
        Judged {
            verdict: format!("{} {}: {said}", result["status"], result["golden"]["verdict"]),
            errors: errored.map(|check| format!("{}: {}", check["check"], check["findings"])).collect(),
        }
    };
    let results = report["results"].as_array().expect("results");
    results.iter().map(|result| (result["prompt"].to_string(), judged(result))).collect()
}

/// All processes below this one.
fn descendants(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs_err::read_dir("/proc").expect("Linux").flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = fs_err::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (id, parent)));
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(id) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == id).map(|(child, _)| *child));
        next += 1;
    }
    found.remove(0);
    found
}

fn kill(id: u32) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id");
    // It may have ended by itself.
    let _ = kill_process(id, Signal::KILL);
}

/// Processes that were started for this folder.
fn left(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let entries = fs_err::read_dir("/proc").expect("Linux").flatten();
    let commands = entries.filter_map(|entry| fs_err::read(entry.path().join("cmdline")).ok());
    commands
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .filter(|text| text.contains(&folder))
        .collect()
}

fn start(harness: &Harness, out: &str) -> Child {
    let out = harness.path(out).display().to_string();
    let arguments = ["run", "--engine", "exec", "--out", &out, "--answers", "answers.jsonl"];
    let quiet = || Stdio::null();
    command(&harness.path(""), &arguments)
        .stdout(quiet())
        .stderr(quiet())
        .stdin(quiet())
        .spawn()
        .expect("it starts")
}

#[test]
#[ignore = "judges everything twice, and is for a machine without other work: cargo test --test it -- --ignored killed_processes"]
fn killed_processes_change_no_verdict_and_leave_nothing() {
    let count = std::env::var("ASSAY_KILL_CANDIDATES").ok().and_then(|text| text.parse().ok()).unwrap_or(36);
    let harness = Harness::new();
    super::tool::lend(&harness);
    let mut random = Random(7);
    harness.write("answers.jsonl", answers(count, &mut random));
    start(&harness, "calm").wait().expect("it ends");
    let calm = verdicts(&harness.path("calm"));
    assert_eq!(calm.len(), count);
    assert!(calm.values().all(|judged| judged.errors.is_empty()), "{calm:#?}");

    harness.write("answers.jsonl", answers(count, &mut random));
    let mut run = start(&harness, "storm");
    let mut kills = 0;
    while run.try_wait().expect("it is there").is_none() {
        std::thread::sleep(Duration::from_millis(200 + random.below(600) as u64));
        let below = descendants(run.id());
        if kills < count / 4 && !below.is_empty() {
            kill(below[random.below(below.len())]);
            kills += 1;
        }
    }
    let storm = verdicts(&harness.path("storm"));
    let mut differ = Vec::new();
    for (prompt, before) in &calm {
        match storm.get(prompt) {
            Some(after) if after.verdict == before.verdict => {}
            after => differ.push(format!("{prompt}: {before:#?}\n{after:#?}")),
        }
    }
    assert!(differ.is_empty(), "{} of {count} after {kills} kills:\n{}", differ.len(), differ.join("\n"));
    assert!(kills > 2, "only {kills} kills");
    assert_eq!(nothing_left(&harness), Vec::<String>::new());
}

/// What is left of runs that have ended, processes and files.
fn nothing_left(harness: &Harness) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !left(&harness.path("")).is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut found = left(&harness.path(""));
    let work = fs_err::read_dir(harness.path(".assay/work")).expect("a folder").flatten();
    found.extend(
        work.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != "lock"),
    );
    let project = fs_err::read_dir(harness.path("dbt/shop")).expect("the project").flatten();
    let names = project.map(|entry| entry.file_name().to_string_lossy().into_owned());
    found.extend(names.filter(|name| ["target", "logs"].contains(&name.as_str())));
    found
}

/// Killed itself, it takes its processes along; its folders go with the next run.
#[test]
fn a_killed_run_is_cleaned_up_after() {
    let harness = Harness::new();
    super::tool::lend(&harness);
    harness.write("answers.jsonl", answers(6, &mut Random(1)));
    let mut run = start(&harness, "killed");
    // Until something is at work in a folder of its own.
    let at_work = || {
        let work = harness.path(".assay/work");
        let runs = fs_err::read_dir(work).into_iter().flatten().flatten();
        runs.flat_map(|run| fs_err::read_dir(run.path()))
            .flatten()
            .flatten()
            .any(|entry| entry.path().is_dir())
    };
    while !at_work() {
        assert!(run.try_wait().expect("it is there").is_none(), "it ended before it was killed");
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill().expect("killed");
    run.wait().expect("it ended");
    start(&harness, "next").wait().expect("it ends");
    assert_eq!(verdicts(&harness.path("next")).len(), 6);
    assert_eq!(nothing_left(&harness), Vec::<String>::new());
}
