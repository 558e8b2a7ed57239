//! What holds when the static policy does not: every attack is built all the same, and what it was after is looked at from
//! outside. `ASSAY_ATTACKS=all` builds all of them, otherwise a part.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use assay::check::Outcome;
use assay::check::build::{BuildRequest, Builder};
use assay::tool::sandbox;

use super::attacks::attacks;
use super::dbt::{GOOD, RUNTIME, builder, request, verdict, yaml};

/// Set by cargo for every test; its value stands for a key.
const ENV: &str = "CARGO_PKG_DESCRIPTION";

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
    fn new(template: &Path, other: &Path) -> Self {
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
            ("@ENV@", ENV.to_owned()),
        ];
        Self { folder, listener, replace }
    }

    /// What was reached.
    fn reached(&self, workspace: &Path, said: &str) -> Vec<String> {
        let mut reached = Vec::new();
        let value = std::env::var(ENV).expect("set by cargo");
        for (what, text) in [("the secret file", SECRET), ("the environment", value.as_str())] {
            if said.contains(text) {
                reached.push(format!("{what} is in the report"));
            }
            if let Some(path) = holds(workspace, text) {
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

#[test]
fn no_attack_reaches_anything() {
    if !(sandbox::support().closes_files() && sandbox::support().closes_network()) {
        // The attacks that run Python need the kernel's restrictions; `assay doctor` says that they are missing.
        return;
    }
    RUNTIME.block_on(async {
        let shop: Builder = builder("containment", "v1").await;
        let template = shop.database().parent().expect("a project").to_owned();
        let before = state(&template);
        let other = shop.build(&request("m", GOOD, &yaml("m", "[unique]"))).await;
        assert_eq!(verdict(&other).0, "all", "{other:#?}");
        let neighbour = other.database.clone().expect("a database");
        let neighbour_before = fs_err::read(&neighbour).expect("readable");
        let canaries = Canaries::new(&shop.database(), &neighbour);
        let replace: Vec<(&str, &str)> =
            canaries.replace.iter().map(|(mark, value)| (*mark, value.as_str())).collect();
        let all = std::env::var("ASSAY_ATTACKS").is_ok_and(|which| which == "all");
        let mut wrong = Vec::new();
        let mut ran = 0;
        for (number, attack) in attacks(&replace).into_iter().enumerate() {
            let is_python = attack.name.starts_with("python_job_");
            if !all && !is_python && number % 5 != 0 {
                continue;
            }
            let request = BuildRequest {
                singular_tests: attack.test.map(|test| ("attack".to_owned(), test)).into_iter().collect(),
                ..request("m", &attack.sql, &attack.yaml)
            };
            let report = shop.build(&request).await;
            let workspace = report.workspace.as_ref().expect("kept").folder();
            let mut reached = canaries.reached(workspace, &format!("{report:?}"));
            if fs_err::read(&neighbour).ok().as_ref() != Some(&neighbour_before) {
                reached.push("another candidate's database".to_owned());
            }
            // An attack that never came to act shows nothing.
            let acted = workspace.join("project/proof").exists();
            if is_python && !acted {
                reached.push(format!("nothing, since it did not run: {:?} {:?}", report.compile, report.run));
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
