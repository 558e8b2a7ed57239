//! Answers from models and from recordings: what is recorded is replayed exactly, and nothing that was paid for is lost.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use assay::config::Config;
use assay::generate::recordings::{Mode, Store};
use assay::generate::request::Task;
use assay::generate::secrets::Environment;
use assay::generate::{ErrorClass, Generator, slot_of};
use assay::sql::Dialect;
use assay::suite::prompts::PromptVersion;
use assay::suite::spec::Approved;

use super::fault_server::{Act, KEY, Server, block_on, config, http};
use super::harness::Harness;

/// A prompt version in `root/prompts/v1` and a task over the dbt project in `root/project`.
pub(crate) fn prompt_and_task(root: &Path, provider: &str) -> (PromptVersion, Task) {
    write(root, "prompts/v1/system.md", "Draft a dbt model.");
    write(
        root,
        "prompts/v1/prompt.toml",
        &format!(
            "provider = \"{provider}\"\nmodel = \"m\"\nmax_output_tokens = 500\nsystem = \"system.md\"\n"
        ),
    );
    write(root, "project/dbt_project.yml", "name: ferry\n");
    write(root, "project/models/stg_bookings.sql", "select 1 as id");
    let prompt = PromptVersion::read(&root.join("prompts/v1")).expect("a prompt version");
    let task = Task {
        id: "stg_orders".to_owned(),
        spec: "## Intent\n- Business question: {{ ref('stg_bookings') }}".to_owned(),
        dialect: Dialect::DuckDb,
        approved: vec![Approved::Ref("stg_bookings".to_owned())],
        project: root.join("project"),
    };
    (prompt, task)
}

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs_err::write(path, text).expect("written");
}

fn key() -> Environment {
    Environment::fixed([("FAULT_KEY", "sk-planted-0123456789abcdef")])
}

fn with_root(config: Config, root: &Path) -> Config {
    Config { root: root.to_path_buf(), ..config }
}

const ANSWER: &str = "{\"model_name\":\"stg_orders\",\"sql\":\"select *\\nfrom {{ ref('stg_bookings') }}\",\"schema_yaml\":\"version: 2\\n\",\"tests\":[],\"review_notes\":[]}";

#[test]
fn what_is_recorded_is_replayed_without_network_or_key() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let (prompt, task) = prompt_and_task(folder.path(), "fault");
        let server = Server::start(vec![Act::Answer(ANSWER.to_owned())]).await;
        let config = with_root(config(&server.base_url), folder.path());
        let prompts = [prompt.clone()];
        let recorded = {
            let generator = Generator::new(&config, &prompts, Mode::Record, &key()).expect("a generator");
            let answer = generator.answer_task(&task, &prompt, 0).await.expect("an answer");
            generator.answer_task(&task, &prompt, 1).await.expect("another trial");
            generator.finish().expect("finished");
            answer
        };
        assert_eq!(server.count(), 2);
        assert_eq!(recorded.output_text, ANSWER);
        assert_eq!(recorded.finish_reason.as_deref(), Some("stop"));
        assert_eq!(recorded.usage.as_ref().and_then(|usage| usage.output), Some(7));
        let nowhere = with_root(Config::default(), folder.path());
        let generator =
            Generator::new(&nowhere, &prompts, Mode::Replay, &Environment::fixed([])).expect("no key");
        assert_eq!(generator.answer_task(&task, &prompt, 0).await.expect("replayed"), recorded);
        let missing = generator.answer_task(&task, &prompt, 2).await.expect_err("never recorded");
        assert_eq!(missing.class, ErrorClass::Missing);
        assert!(missing.message.contains("recorded are the trials 0, 1"), "{missing}");
        assert_eq!(server.count(), 2, "replay asked the network");
        let text = fs_err::read_to_string(folder.path().join("recordings/v1/fault--m/stg_orders.json"))
            .expect("a file");
        assert!(text.contains("\"from {{ ref('stg_bookings') }}\""), "lines are readable:\n{text}");
        assert!(!text.contains("sk-planted"));
    });
}

#[test]
fn a_stale_recording_names_what_changed() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let (prompt, task) = prompt_and_task(folder.path(), "fault");
        let server = Server::start(vec![Act::Answer(ANSWER.to_owned())]).await;
        let config = with_root(config(&server.base_url), folder.path());
        let generator = Generator::new(&config, std::slice::from_ref(&prompt), Mode::Record, &key())
            .expect("a generator");
        generator.answer_task(&task, &prompt, 0).await.expect("an answer");
        generator.finish().expect("finished");
        drop(generator);
        write(folder.path(), "prompts/v1/system.md", "Draft a good dbt model.");
        let changed = PromptVersion::read(&folder.path().join("prompts/v1")).expect("a prompt version");
        let replay =
            Generator::new(&config, &[], Mode::Replay, &Environment::fixed([])).expect("a generator");
        let error = replay.answer_task(&task, &changed, 0).await.expect_err("stale");
        assert_eq!((error.class, error.code.as_deref()), (ErrorClass::Stale, Some("E_RECORDING_STALE")));
        assert!(
            error.message.contains("case=stg_orders prompt=v1 trial=0: prompt changed (recorded 2"),
            "{error}"
        );
        assert!(error.message.contains("m-2026-01-01"), "{error}");
        let spec = Task { spec: "other".to_owned(), ..task.clone() };
        let error = replay.answer_task(&spec, &changed, 0).await.expect_err("stale");
        assert!(error.message.contains("prompt and spec changed"), "{error}");
        // `auto` asks for what is stale, and only for that.
        let auto =
            Generator::new(&config, std::slice::from_ref(&changed), Mode::Auto, &key()).expect("a generator");
        auto.answer_task(&task, &changed, 0).await.expect("asked");
        auto.answer_task(&task, &changed, 0).await.expect("replayed");
        assert_eq!(server.count(), 2);
        let mut in_ci = vec![("FAULT_KEY", "sk-planted-0123456789abcdef"), ("CI", "true")];
        let environment = Environment::fixed([in_ci.remove(0), in_ci.remove(0)]);
        let fault = Generator::new(&config, &[changed], Mode::Auto, &environment).expect_err("refused");
        assert_eq!(fault.0[0].code, "E_MODE_CI");
    });
}

#[test]
fn a_missing_key_is_named_before_anything_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let (prompt, _) = prompt_and_task(folder.path(), "fault");
    let config = with_root(config("http://127.0.0.1:9/v1"), folder.path());
    let fault = Generator::new(&config, &[prompt], Mode::Live, &Environment::fixed([])).expect_err("no key");
    assert_eq!(fault.0[0].code, "E_KEY_MISSING");
    assert!(fault.0[0].message.contains("FAULT_KEY"));
}

#[test]
fn tool_calls_are_answered_from_the_project_recorded_and_replayed() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, task) = prompt_and_task(folder.path(), "fault");
        let toml =
            "provider = \"fault\"\nmodel = \"m\"\nsystem = \"system.md\"\n[tools]\nmode = \"native\"\n";
        write(folder.path(), "prompts/v1/prompt.toml", toml);
        let prompt = PromptVersion::read(&folder.path().join("prompts/v1")).expect("a prompt version");
        let call = |name: &str, id: &str| {
            let item =
                serde_json::json!({"type": "function_call", "call_id": id, "name": name, "arguments": "{}"});
            serde_json::json!({"status": "completed", "output": [item], "usage": {"input_tokens": 5, "output_tokens": 1}})
        };
        let server = Server::start(vec![
            Act::Raw(http(200, "connection: close\r\n", &call("list_models", "c1").to_string())),
            Act::Raw(http(200, "connection: close\r\n", &call("drop_table", "c2").to_string())),
            Act::Answer(ANSWER.to_owned()),
        ])
        .await;
        let config = with_root(config(&server.base_url), folder.path());
        let recorded = {
            let generator = Generator::new(&config, std::slice::from_ref(&prompt), Mode::Record, &key())
                .expect("a generator");
            let answer = generator.answer_task(&task, &prompt, 0).await.expect("an answer");
            generator.finish().expect("finished");
            answer
        };
        let calls: Vec<(&str, Option<&str>)> =
            recorded.tool_calls.iter().map(|call| (call.name.as_str(), call.error.as_deref())).collect();
        assert_eq!(calls, [("list_models", None), ("drop_table", Some("E_UNKNOWN_TOOL"))]);
        assert_eq!(recorded.usage.as_ref().and_then(|usage| usage.input), Some(21), "5 + 5 + 11");
        let sent = server.bodies.lock().expect("unpoisoned")[1]["input"].clone();
        assert_eq!(
            sent[2],
            serde_json::json!({"type": "function_call_output", "call_id": "c1", "output": "[\"stg_bookings\"]"})
        );
        let replay =
            Generator::new(&config, &[], Mode::Replay, &Environment::fixed([])).expect("a generator");
        assert_eq!(replay.answer_task(&task, &prompt, 0).await.expect("replayed"), recorded);
        // The model saw another project than there is now: its answer says nothing about this one.
        fs_err::rename(task.project.join("models/stg_bookings.sql"), task.project.join("models/gone.sql"))
            .expect("renamed");
        let error = replay.answer_task(&task, &prompt, 0).await.expect_err("stale");
        assert_eq!(error.class, ErrorClass::Stale);
        assert!(error.message.contains("results of the tools"), "{error}");
    });
}

#[test]
fn a_model_that_only_calls_tools_is_stopped() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, task) = prompt_and_task(folder.path(), "fault");
        let toml = "provider = \"fault\"\nmodel = \"m\"\nsystem = \"system.md\"\n[tools]\nmode = \"native\"\nmax_turns = 4\n";
        write(folder.path(), "prompts/v1/prompt.toml", toml);
        let prompt = PromptVersion::read(&folder.path().join("prompts/v1")).expect("a prompt version");
        let call = serde_json::json!({"status": "completed", "output": [
            {"type": "function_call", "call_id": "c", "name": "list_models", "arguments": "{}"}]});
        let server =
            Server::start(vec![Act::Raw(http(200, "connection: close\r\n", &call.to_string()))]).await;
        let config = with_root(config(&server.base_url), folder.path());
        let generator = Generator::new(&config, std::slice::from_ref(&prompt), Mode::Record, &key())
            .expect("a generator");
        let answer = generator.answer_task(&task, &prompt, 0).await.expect("an end");
        assert_eq!(
            (server.count(), answer.finish_reason.as_deref(), answer.output_text.as_str()),
            (4, Some("tool_calls"), "")
        );
        generator.finish().expect("finished");
        let bodies = server.bodies.lock().expect("unpoisoned").clone();
        let choices: Vec<&serde_json::Value> = bodies.iter().map(|body| &body["tool_choice"]).collect();
        assert_eq!(choices, ["auto", "auto", "auto", "none"]);
        let replay =
            Generator::new(&config, &[], Mode::Replay, &Environment::fixed([])).expect("a generator");
        assert_eq!(replay.answer_task(&task, &prompt, 0).await.expect("replayed"), answer);
    });
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let (prompt, task) = prompt_and_task(folder.path(), "fault");
        let server = Server::start(vec![Act::Answer(ANSWER.to_owned())]).await;
        let config = with_root(config(&server.base_url), folder.path());
        let prompts = [prompt.clone()];
        let tasks: Vec<Task> = (0..5).map(|n| Task { id: format!("case_{n}"), ..task.clone() }).collect();
        {
            let generator = Generator::new(&config, &prompts, Mode::Record, &key()).expect("a generator");
            for task in &tasks[..3] {
                generator.answer_task(task, &prompt, 0).await.expect("an answer");
            }
            let second = Generator::new(&config, &prompts, Mode::Record, &key()).expect_err("locked");
            assert!(second.0[0].message.contains(&std::process::id().to_string()), "{second}");
            // No `finish`: the process was killed. What it had paid for last is only in the journal, with a torn line behind.
            fs_err::remove_file(folder.path().join("recordings").join(slot_of("case_2", &prompt).path()))
                .expect("removed");
        }
        let journal = folder.path().join("recordings/.journal/pending.jsonl");
        let mut text = fs_err::read_to_string(&journal).expect("a journal");
        text.push_str("{\"prompt\":\"v1\",\"prov");
        fs_err::write(&journal, text).expect("written");
        let generator = Generator::new(&config, &prompts, Mode::Record, &key()).expect("a generator");
        assert!(generator_has(folder.path(), &prompt, "case_2"), "put back from the journal");
        for task in &tasks {
            generator.answer_task(task, &prompt, 0).await.expect("an answer");
        }
        generator.finish().expect("finished");
        assert_eq!(server.count(), 5, "what was paid for was asked again");
        assert_eq!(fs_err::read_to_string(&journal).expect("a journal"), "");
        drop(generator);
        let again = Generator::new(&config, &prompts, Mode::Record, &key()).expect("a generator");
        again.answer_task(&tasks[0], &prompt, 0).await.expect("an answer");
        assert_eq!(server.count(), 6, "a run that ended is recorded anew");
    });
}

fn generator_has(root: &Path, prompt: &PromptVersion, case: &str) -> bool {
    Store::read_only(root.join("recordings")).load(&slot_of(case, prompt)).is_ok_and(|found| found.is_some())
}

/// A project with six cases and a prompt version of the provider at `base_url`.
fn six_cases(base_url: &str) -> Harness {
    let rows: String =
        (0..6).map(|n| format!("case_{n},specs/orders.md,stg_orders,goldens/stg_orders.sql\n")).collect();
    let harness = Harness::new();
    harness
        .write("evals/cases.csv", format!("id,spec,model,golden_sql\n{rows}"))
        .write(
            "assay.toml",
            format!(
                "[projects.shop]\npath = \"dbt/shop\"\n[providers.fault]\nwire = \"responses\"\n\
                 base_url = \"{base_url}\"\napi_key_env = \"FAULT_KEY\"\nconcurrency = 2\n"
            ),
        )
        .write("prompts/v1/system.md", "Draft a dbt model.")
        .write("prompts/v1/prompt.toml", "provider = \"fault\"\nmodel = \"m\"\nsystem = \"system.md\"\n");
    harness
}

const RECORD: [&str; 7] = ["run", "--no-dbt", "--mode", "record", "--prompt", "v1", "--jobs=2"];
const REPLAY: [&str; 7] = ["run", "--no-dbt", "--out", "replayed", "--prompt", "v1", "--jobs=2"];

/// The report of the replay, without times and without the id that is made of one.
fn report(harness: &Harness) -> serde_json::Value {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
            serde_json::Value::Object(fields) => {
                for time in ["seconds", "latency_ms", "latency", "started"] {
                    fields.remove(time);
                }
                fields.values_mut().for_each(strip);
            }
            _ => {}
        }
    }
    let text = fs_err::read_to_string(harness.path("replayed/report.json")).expect("a report");
    let mut report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    strip(&mut report);
    report["run"]["id"] = "".into();
    report
}

/// Every file below a folder that holds a text.
fn files_with(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in fs_err::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_with(&path, text, found);
        } else if String::from_utf8_lossy(&fs_err::read(&path).expect("a file")).contains(text) {
            found.push(path.display().to_string());
        }
    }
}

/// A number from the environment: how long the long version of a test is.
fn many(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A seeded sequence: the same points and keys in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn a_killed_run_loses_no_paid_answer_and_leaves_no_key() {
    let echo = ANSWER.replace("version: 2", &format!("# {KEY}"));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(Server::start(vec![Act::Late(Duration::from_millis(40), echo)]));
    let undisturbed = six_cases(&server.base_url);
    let key = [("FAULT_KEY", KEY)];
    undisturbed.assay_with(&RECORD, &key);
    undisturbed.assay(&REPLAY);
    let expected = report(&undisturbed);
    assert_eq!(expected["results"].as_array().map(Vec::len), Some(6));
    assert!(expected.to_string().contains("[REDACTED]"), "the answers hold the redacted key");
    let mut random = Random(20_261_124);
    for point in 0..many("ASSAY_KILL_POINTS", 6) {
        let harness = six_cases(&server.base_url);
        let before = server.count();
        #[expect(clippy::disallowed_methods, reason = "the test kills what it starts")]
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_assay"))
            .args(RECORD)
            .current_dir(harness.path("."))
            .env("FAULT_KEY", KEY)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // Some time after a request came in: while it is answered, written to the journal, put into its file.
        let after = usize::try_from(random.below(7)).expect("small");
        while server.count() < before + after && child.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(random.below(90)));
        child.kill().expect("killed");
        child.wait().expect("ended");
        // What was answered before the kill is on the disk; only what was under way may be asked again.
        harness.assay_with(&RECORD, &key);
        let asked = server.count() - before;
        // A run that had come to its end is recorded anew.
        assert!(asked <= 6 + 2 || asked == 12, "point {point}: {asked} requests for 6 answers, 2 at a time");
        assert_eq!(harness.assay(&["recordings", "verify"]).status.code(), Some(0), "point {point}");
        harness.assay(&REPLAY);
        assert_eq!(report(&harness), expected, "point {point}");
        let mut leaks = Vec::new();
        files_with(&harness.path("."), KEY, &mut leaks);
        assert_eq!(leaks, Vec::<String>::new(), "point {point}");
    }
}

/// Base64 of a text, with padding.
fn base64(text: &str, alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let word = (0..3).fold(0_u32, |word, i| word << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let six = word >> (18 - 6 * i) & 63;
            out.push(if i <= chunk.len() { char::from(alphabet[six as usize]) } else { '=' });
        }
    }
    out
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[test]
fn no_random_key_is_in_anything_that_a_run_leaves() {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/=~%!";
    let mut random = Random(7);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for round in 0..many("ASSAY_KEYS", 3) {
        let length = 16 + random.below(40);
        let key: String = (0..length)
            .map(|_| char::from(LETTERS[usize::try_from(random.below(LETTERS.len() as u64)).expect("small")]))
            .collect();
        let url: String = key
            .bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    char::from(byte).to_string()
                }
                _ => format!("%{byte:02X}"),
            })
            .collect();
        let forms = [key.clone(), url, base64(&key, STANDARD), base64(&key, URL_SAFE)];
        // Base64 in all three alignments, as the middle of a longer text.
        let shifted: Vec<String> =
            (0..3).map(|n| base64(&format!("{}{key}..", &"abc"[..n]), STANDARD)).collect();
        let text = format!("{} {}", forms.join(" "), shifted.join(" "));
        let mut answer: serde_json::Value = serde_json::from_str(ANSWER).expect("JSON");
        for field in ["sql", "schema_yaml"] {
            answer[field] = format!("-- {text}\n{}", answer[field].as_str().expect("a text")).into();
        }
        answer["review_notes"] = serde_json::json!([text]);
        let unauthorized =
            serde_json::json!({"error": {"message": format!("no such key: {text}"), "code": key}});
        for act in [
            Act::Answer(answer.to_string()),
            Act::Answer(text.clone()),
            Act::Raw(http(401, "connection: close\r\n", &unauthorized.to_string())),
            Act::Raw(http(400, "connection: close\r\n", &unauthorized.to_string())),
            Act::Raw(http(200, "connection: close\r\n", &text)),
        ] {
            let server = runtime.block_on(Server::start(vec![act]));
            let harness = six_cases(&server.base_url);
            let config = fs_err::read_to_string(harness.path("assay.toml")).expect("a configuration");
            harness.write("assay.toml", format!("{config}max_attempts = 1\n"));
            let output = harness.assay_with(&RECORD[..], &[("FAULT_KEY", &key)]);
            assert!(server.count() > 0, "nothing was asked");
            harness.write("stdout", &output.stdout).write("stderr", &output.stderr);
            for form in forms.iter().chain(&shifted) {
                // The ends of shifted base64 hold bits of what stands around the key.
                let form = form.trim_end_matches('=');
                let form = if shifted.iter().any(|one| one.starts_with(form)) {
                    &form[2..form.len() - 4]
                } else {
                    form
                };
                let mut leaks = Vec::new();
                files_with(&harness.path("."), form, &mut leaks);
                assert_eq!(leaks, Vec::<String>::new(), "round {round}: {form}");
            }
        }
    }
}

#[test]
fn a_sample_is_asked_again_and_old_recordings_are_named() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let other = ANSWER.replace("select *", "select id");
    let mut script: Vec<Act> = (0..6).map(|_| Act::Answer(ANSWER.to_owned())).collect();
    script.extend([Act::Answer(ANSWER.to_owned()), Act::Answer(other)]);
    let server = runtime.block_on(Server::start(script));
    let harness = six_cases(&server.base_url);
    let key = [("FAULT_KEY", KEY)];
    harness.assay_with(&RECORD, &key);
    let shown =
        harness.show(&harness.assay_with(&["recordings", "verify", "--sample=2", "--max-age=1"], &key));
    assert!(shown.starts_with("exit: 0"), "{shown}");
    assert!(shown.contains("2 asked again: 1 the same, 1 other, 0 stale, 0 errored"), "{shown}");
    assert!(shown.contains("0 older than 1 days") && !shown.contains("old\t"), "{shown}");
    assert_eq!(server.count(), 8);
    let old = harness.screen(&["recordings", "verify", "--max-age=0"]);
    assert_eq!(old.matches("old\tv1").count(), 6, "{old}");
    harness.write("prompts/v1/system.md", "Draft a good dbt model.");
    let shown = harness.show(&harness.assay_with(&["recordings", "verify", "--sample=1"], &key));
    assert!(shown.contains("stale\tv1\tcase_"), "{shown}");
}

#[test]
fn specs_and_tools_speak_for_themselves() {
    let harness = Harness::new();
    assert_eq!(harness.assay(&["spec", "lint"]).status.code(), Some(0));
    harness.write("specs/orders.md", "## Intent\n- Business question:\n");
    let shown = harness.screen(&["spec", "lint", "specs/orders.md"]);
    assert!(
        shown.contains("exit: 2") && shown.contains("point `Business question` under `## Intent` is empty"),
        "{shown}"
    );
    assert!(shown.contains("heading `## Inputs` is missing"), "{shown}");
    let form = harness.assay(&["spec", "new"]);
    assert_eq!(String::from_utf8_lossy(&form.stdout), assay::suite::spec::TEMPLATE);
    let columns = harness.assay(&["tools", "fetch-source-columns", "raw", "orders"]);
    assert_eq!(
        String::from_utf8_lossy(&columns.stdout),
        "[{\"name\":\"order_id\",\"data_type\":\"integer\",\"tests\":[]},{\"name\":\"status\",\"data_type\":\"varchar\",\"tests\":[]}]\n"
    );
    let missing = harness.assay(&["tools", "fetch-source-columns", "raw", "nowhere"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stdout).contains("E_NOT_FOUND"));
}
