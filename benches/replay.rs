//! What replaying costs: `cargo bench --bench replay [-- RECORDINGS]` (default 10,000). Each recording is read, its key is
//! compared with that of the request that would be sent now, and its answer is taken out; once from single files, once from
//! packs. CPU time is that of this process.

#![allow(missing_docs)]

use std::io::Write;
use std::path::Path;

use assay::config::{Config, Paths};
use assay::generate::recordings::{FORMAT_VERSION, Mode, pack};
use assay::generate::request::{Task, components, first_request};
use assay::generate::secrets::Environment;
use assay::generate::{Generator, slot_of};
use assay::sql::Dialect;
use assay::suite::prompts::PromptVersion;
use assay::suite::spec::Approved;
use serde_json::{Value, json};

fn main() {
    let count = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(10_000);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let prompt = PromptVersion::read(&here.join("prompts/v2-two-shot")).expect("a prompt version");
    let spec = fs_err::read_to_string(here.join("evals/specs/stg_fares.md")).expect("a spec");
    let tasks: Vec<Task> = (0..count)
        .map(|n| Task {
            id: format!("case_{n}"),
            spec: spec.replace("stg_fares", &format!("stg_fares_{n}")),
            dialect: Dialect::DuckDb,
            approved: vec![Approved::Ref("fares".to_owned())],
            project: here.join("fixtures/ferry"),
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let bytes: usize = tasks.iter().map(|task| write(folder.path(), &prompt, task)).sum();
    let paths = Paths { recordings: folder.path().to_path_buf(), ..Paths::default() };
    let config = Config { root: folder.path().to_path_buf(), paths, ..Config::default() };
    let mut out = std::io::stdout();
    let mut say = |line: String| writeln!(out, "{line}").expect("stdout");
    say(format!("{count} recordings, {} bytes each", bytes / count));
    say(format!("single files  {:.2} CPU s", replay(&config, &prompt, &tasks)));
    pack(folder.path()).expect("packed");
    say(format!("packs         {:.2} CPU s", replay(&config, &prompt, &tasks)));
}

/// CPU seconds of replaying all.
fn replay(config: &Config, prompt: &PromptVersion, tasks: &[Task]) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = cpu_time();
    let generator = Generator::new(config, &[], Mode::Replay, &Environment::fixed([])).expect("a generator");
    runtime.block_on(async {
        for task in tasks {
            let answer = generator.answer_task(task, prompt, 0).await.expect("replayed");
            assert!(!answer.output_text.is_empty());
        }
    });
    cpu_time() - before
}

/// Writes the recording of a task; its size.
fn write(root: &Path, prompt: &PromptVersion, task: &Task) -> usize {
    let request = first_request(prompt, task);
    let slot = slot_of(&task.id, prompt);
    let lines = |text: &str| json!({ "$lines": text.split('\n').collect::<Vec<_>>() });
    let example = &prompt.examples[0];
    let mut recording = json!({
        "v": FORMAT_VERSION,
        "components": components(prompt, task, &request),
        "trials": [{"trial": 0, "turns": [{
            "key": request.key(0, 0),
            "added": [{"from": "user", "text": lines(&task.spec)}],
            "reply": {
                "outcome": "completed",
                "json": {"model_name": task.id, "sql": lines(&example.sql), "schema_yaml": lines(&example.schema_yaml),
                    "tests": [], "review_notes": []},
                "style": "compact",
                "usage": {"input": 1700, "output": 300},
                "model": null, "response_id": null, "system_fingerprint": null, "service_tier": null,
            },
            "meta": {"recorded_at": "2026-11-24T12:00:00Z", "latency_ms": 1000, "attempts": 1, "client": "0"},
        }]}],
    });
    if let (Some(into), Ok(Value::Object(fields))) = (recording.as_object_mut(), serde_json::to_value(&slot))
    {
        into.extend(fields);
    }
    let text = serde_json::to_string_pretty(&recording).expect("JSON");
    let path = root.join(slot.path());
    fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs_err::write(path, &text).expect("written");
    text.len()
}

/// CPU seconds of this process.
fn cpu_time() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}
