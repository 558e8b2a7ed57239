//! What hostile candidates reach, looked at from outside: a secret file, a key in the environment, a place to write to, a
//! listener, the prepared project, another candidate. First by the whole program; then without the static policy, where
//! DuckDB's lock and the kernel must hold alone.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use assay::check::Outcome;
use assay::check::build::{BuildRequest, Builder};
use assay::tool::environment::v2;
use assay::tool::sandbox;
use serde_json::{Value, json};

use super::attacks::attacks;
use super::dbt::{GOOD, RUNTIME, builder, request, verdict, yaml};
use super::harness::Harness;

/// Set by cargo for every test; its value stands for a key.
const ENV: &str = "CARGO_PKG_DESCRIPTION";

/// A key in the environment of the whole program.
const KEY: &str = "ASSAY_CANARY_KEY";
const KEY_VALUE: &str = "canary-9b21e4: nobody may know this";

const SECRET: &str = "canary-5f0c7d: nobody may read this";

/// Whether any file below the folder, or its name, holds the text.
fn holds(folder: &Path, text: &str) -> Option<PathBuf> {
    for entry in fs_err::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // What a link leads to is not in the folder.
        if path.is_symlink() {
            continue;
        }
        let found = match path.is_dir() {
            true => holds(&path, text),
            false => {
                let bytes = fs_err::read(&path).expect("a file");
                bytes.windows(text.len()).any(|part| part == text.as_bytes()).then_some(path)
            }
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Every file below a folder with its content.
fn state(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(state(&path)),
            false => found.push((path.clone(), fs_err::read(path).expect("a file"))),
        }
    }
    found.sort();
    found
}

struct Canaries {
    folder: tempfile::TempDir,
    listener: TcpListener,
    replace: Vec<(&'static str, String)>,
}

impl Canaries {
    /// `env`: the variable whose value is looked for.
    fn new(template: &Path, other: &Path, env: &str) -> Self {
        let folder = tempfile::tempdir().expect("temp dir");
        fs_err::write(folder.path().join("secret"), SECRET).expect("secret");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("nonblocking");
        let port = listener.local_addr().expect("an address").port();
        let place = |name: &str| folder.path().join(name).display().to_string();
        let replace = vec![
            ("@SECRET@", place("secret")),
            ("@DROP@", place("drop")),
            ("@CANARY@", place("drop")),
            ("@TEMPLATE@", template.display().to_string()),
            ("@OTHER@", other.display().to_string()),
            ("@PROCESS@", std::process::id().to_string()),
            ("@PORT@", port.to_string()),
            ("@ENV@", env.to_owned()),
        ];
        Self { folder, listener, replace }
    }

    fn marks(&self) -> Vec<(&str, &str)> {
        self.replace.iter().map(|(mark, value)| (*mark, value.as_str())).collect()
    }

    /// What was reached. `folder`: what was written; `said`: what was printed; `value`: that of the variable.
    fn reached(&self, folder: &Path, said: &str, value: &str) -> Vec<String> {
        let mut reached = Vec::new();
        for (what, text) in [("the secret file", SECRET), ("the environment", value)] {
            if said.contains(text) {
                reached.push(format!("{what} is in the report"));
            }
            if let Some(path) = holds(folder, text) {
                reached.push(format!("{what} is in {}", path.display()));
            }
        }
        if self.folder.path().join("drop").exists() {
            reached.push("a file was written".to_owned());
        }
        if self.listener.accept().map_err(|error| error.kind()).err() != Some(ErrorKind::WouldBlock) {
            reached.push("the network".to_owned());
        }
        reached
    }
}

/// The whole program refuses every attack before dbt or the database sees it, whatever the engine.
#[test]
fn every_attack_is_reported_as_unsafe() {
    let harness = Harness::new();
    super::tool::lend(&harness);
    let case = "id,spec,model,golden_sql\na,specs/orders.md,m,goldens/stg_orders.sql\n";
    harness.write("evals/cases.csv", case);
    let mut engines = vec!["exec", "v1"];
    if v2::find(super::tool::root()).is_some() {
        engines.extend(["v2", "auto"]);
    }
    for engine in engines {
        let run = |out: &str, answers: &str| {
            let out = harness.path(out).display().to_string();
            let arguments = ["run", "--engine", engine, "--out", &out, "--answers", answers];
            let output = harness.assay_with(&arguments, &[(KEY, KEY_VALUE)]);
            let report = fs_err::read_to_string(Path::new(&out).join("report.json"));
            let report = report.unwrap_or_else(|_| panic!("no report: {}", harness.show(&output)));
            let text = format!("{report}{}", harness.show(&output));
            (serde_json::from_str::<Value>(&report).expect("JSON"), text)
        };
        // Prepares the project; and the golden is refused nothing.
        let (golden, _) = run("golden", "baseline:golden");
        assert_eq!(golden["results"][0]["status"], "passed", "{golden:#}");
        let templates = harness.path(".assay/templates");
        let inputs = ["evals", "specs", "goldens", "dbt"].map(|folder| harness.path(folder));
        let all = || inputs.iter().chain([&templates]).flat_map(|folder| state(folder)).collect::<Vec<_>>();
        let before = all();
        let canaries = Canaries::new(&templates.join("any"), &templates.join("other"), KEY);
        let attacks = attacks(&canaries.marks());
        let lines = attacks.iter().map(|attack| {
            let answer = json!({
                "model_name": "m",
                "sql": attack.sql,
                "schema_yaml": if attack.yaml.is_empty() { "models: [{name: m}]" } else { &attack.yaml },
                "tests": attack.test.iter().collect::<Vec<_>>(),
                "review_notes": [],
            });
            json!({"case": "a", "prompt": attack.name, "trial": 0, "output_text": answer.to_string()})
                .to_string()
        });
        harness.write("answers.jsonl", lines.collect::<Vec<_>>().join("\n"));
        let (report, text) = run("attacks", "answers.jsonl");
        let results = report["results"].as_array().expect("results");
        assert_eq!(results.len(), attacks.len());
        for result in results {
            let checks = result["checks"].as_array().expect("checks");
            let safety = checks.iter().find(|check| check["check"] == "safety").expect("safety");
            let prompt = &result["prompt"];
            assert_eq!(safety["outcome"], "failed", "{prompt} on {engine}: {checks:?}");
            assert!(result["engine"].is_null(), "{prompt} was built by {}", result["engine"]);
        }
        let reached = canaries.reached(&harness.path("attacks"), &text, KEY_VALUE);
        assert_eq!(reached, Vec::<String>::new(), "on {engine}");
        assert!(all() == before, "the prepared project or the inputs were changed on {engine}");
    }
}

/// What depends on more than can be seen without dbt shows in what dbt compiled.
#[test]
fn what_only_compiling_shows_is_reported_as_unsafe() {
    let harness = Harness::new();
    super::tool::lend(&harness);
    let source = "{{ source('raw', 'orders') }}";
    let branch = |hidden: &str| {
        format!(
            "{{% if project_name == 'shop' %}}{hidden}{{% else %}}select order_id, status from {source}{{% endif %}}"
        )
    };
    let built = "{% set f = {'shop': 'read_' ~ 'text'}.get(project_name, 'unnest') %}";
    let answers = [
        (
            "file",
            format!(
                "{built}select order_id, status from {source} union all select 1, content from {{{{ f }}}}('/etc/hostname')"
            ),
        ),
        ("named", branch("select order_id, status from warehouse.main.secrets")),
        (
            "later",
            format!(
                "{{{{ config(materialized='incremental', unique_key='order_id') }}}}{built}select order_id, status from {source} {{% if is_incremental() %}}where order_id in (select 1 from {{{{ f }}}}('/etc/hostname')){{% endif %}}"
            ),
        ),
        ("right", branch(&format!("select order_id, status from {source} as o"))),
        ("unread", format!("select order_id, status from {source}")),
    ];
    let lines = answers.iter().map(|(prompt, sql)| {
        let yaml = match *prompt {
            "unread" => "models: [{name: stg_orders}]\n--- \nmodels: []\n",
            _ => "models: [{name: stg_orders, columns: [{name: order_id, data_tests: [unique]}]}]",
        };
        let answer = json!({"model_name": "stg_orders", "sql": sql, "schema_yaml": yaml, "tests": ["unique:order_id"], "review_notes": []});
        json!({"case": "orders", "prompt": prompt, "trial": 0, "output_text": answer.to_string()}).to_string()
    });
    harness
        .write("answers.jsonl", lines.collect::<Vec<_>>().join("\n"))
        .write("dbt/shop/seeds/secrets.csv", "order_id,status\n1,open\n2,closed\n");
    for engine in ["exec", "v1"] {
        let out = harness.path(engine).display().to_string();
        let output = harness.assay(&["run", "--engine", engine, "--out", &out, "--answers", "answers.jsonl"]);
        let text = fs_err::read_to_string(Path::new(&out).join("report.json"));
        let report: Value =
            serde_json::from_str(&text.unwrap_or_else(|_| panic!("{}", harness.show(&output))))
                .expect("JSON");
        let check = |prompt: &str, name: &str| {
            let results = report["results"].as_array().expect("results");
            let result = results.iter().find(|result| result["prompt"] == prompt).expect("a result");
            let checks = result["checks"].as_array().expect("checks");
            let check = checks.iter().find(|check| check["check"] == name).expect("a check");
            let class = &check["findings"][0]["class"];
            format!(
                "{} {}",
                check["outcome"].as_str().unwrap_or_default(),
                class.as_str().unwrap_or_default()
            )
        };
        assert_eq!(check("file", "safety"), "failed file_function", "{engine}: {report:#}");
        assert_eq!(check("file", "run"), "failed policy_violation", "{engine}: {report:#}");
        assert_eq!(check("later", "safety"), "failed file_function", "{engine}: {report:#}");
        assert_eq!(check("named", "safety"), "passed ", "{engine}: {report:#}");
        assert_eq!(check("named", "sources"), "failed hard_coded_relation", "{engine}: {report:#}");
        for name in ["safety", "sources", "run", "rows"] {
            assert_eq!(check("right", name), "passed ", "{name} on {engine}: {report:#}");
        }
        // What nobody can read is not handed on.
        assert_eq!(check("unread", "yaml"), "failed yaml_invalid");
        assert_eq!(check("unread", "compile"), "skipped skipped", "{engine}: {report:#}");
    }
}

/// The attacks in turn, without the static policy: each is built all the same.
fn no_attack_reaches_anything(engine: &'static str, all: bool) {
    if !(sandbox::support().closes_files() && sandbox::support().closes_network()) {
        // The attacks that run Python need what the kernel closes; `assay doctor` says that it does not.
        return;
    }
    RUNTIME.block_on(async {
        let shop: Builder = builder(&format!("containment-{engine}"), engine).await;
        let template = shop.database().parent().expect("a project").to_owned();
        let before = state(&template);
        let other = shop.build(&request("m", GOOD, &yaml("m", "[unique]"))).await;
        assert_eq!(verdict(&other).0, "all", "{other:#?}");
        let neighbour = other.database.clone().expect("a database");
        let neighbour_before = fs_err::read(&neighbour).expect("readable");
        let canaries = Canaries::new(&shop.database(), &neighbour, ENV);
        let value = std::env::var(ENV).expect("set by cargo");
        let mut wrong = Vec::new();
        let mut ran = 0;
        for (number, attack) in attacks(&canaries.marks()).into_iter().enumerate() {
            let is_python = attack.name.starts_with("python_job_");
            // `exec` judges no project in which Python could be run at all.
            if (is_python && shop.is_quick()) || (!all && !is_python && number % 5 != 0) {
                continue;
            }
            let request = BuildRequest {
                singular_tests: attack.test.map(|test| ("attack".to_owned(), test)).into_iter().collect(),
                ..request("m", &attack.sql, &attack.yaml)
            };
            let report = shop.build(&request).await;
            let workspace = report.workspace.as_ref().expect("kept").folder();
            let mut reached = canaries.reached(workspace, &format!("{report:?}"), &value);
            if fs_err::read(&neighbour).ok().as_ref() != Some(&neighbour_before) {
                reached.push("another candidate's database".to_owned());
            }
            // An attack that never came to act shows nothing. The Rust dbt runs no Python at all.
            let acted = workspace.join("project/proof").exists();
            if is_python && acted == (engine == "v2") {
                reached.push(format!("it ran: {acted}: {:?} {:?}", report.compile, report.run));
            }
            ran += 1;
            if !reached.is_empty() {
                wrong.push(format!("{}: {}", attack.name, reached.join(", ")));
            }
        }
        assert!(wrong.is_empty(), "{} of {ran}:\n{}", wrong.len(), wrong.join("\n"));
        assert!(state(&template) == before, "the prepared project was changed");
        // No worker was turned.
        for n in 0..4 {
            let report = shop.build(&request("m", GOOD, &yaml("m", "[unique]"))).await;
            assert_eq!(verdict(&report), ("all", Outcome::Passed, None), "{n}: {report:#?}");
        }
    });
}

/// What is simple is compiled in batches and executed, the rest is built by `v1`: both are tried.
#[test]
fn no_attack_reaches_anything_on_exec() {
    no_attack_reaches_anything("exec", false);
}

#[test]
fn no_attack_reaches_anything_on_v1() {
    no_attack_reaches_anything("v1", false);
}

#[test]
#[ignore = "builds every attack: cargo test --test it -- --ignored every_attack_is_contained"]
fn every_attack_is_contained() {
    no_attack_reaches_anything("exec", true);
    no_attack_reaches_anything("v1", true);
}

#[test]
#[ignore = "installs the second engine: cargo test --test it -- --ignored on_v2"]
fn every_attack_is_contained_on_v2() {
    no_attack_reaches_anything("v2", true);
    no_attack_reaches_anything("exec-v2", true);
}
