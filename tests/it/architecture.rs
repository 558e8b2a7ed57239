//! The table in ARCHITECTURE.md is true: every `crate::` path in `src/` keeps to it, every module has a row, and no
//! file has outgrown one idea.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// `module -> modules it may use`, from the table under "Who may use whom".
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs_err::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Who may use whom").nth(1).expect("the section exists");
    section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let (module, rest) = row.split_once("` |").expect("a row of two cells");
            let used = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            (module.to_owned(), used)
        })
        .collect()
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `(file, module, text without comments and without the unit tests at its end)` for every file of a module.
fn sources() -> Vec<(PathBuf, String, String)> {
    let src = root().join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    files
        .into_iter()
        .filter_map(|path| {
            let relative = path.strip_prefix(&src).unwrap();
            let first = relative.components().next()?.as_os_str().to_string_lossy().into_owned();
            let module = first.trim_end_matches(".rs").to_owned();
            if ["main", "lib", "diagnostic"].contains(&module.as_str()) {
                return None;
            }
            let text = fs_err::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            Some((path.clone(), module, code.join("\n")))
        })
        .collect()
}

/// `crate::a::b` paths in a text, `use crate::{a, b::c}` groups taken apart, up to two segments.
fn crate_paths(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (at, token) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + token.len()..];
        let branches: Vec<String> = match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let end = group.find(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth < 0
                });
                let mut level = 0;
                group[..end.unwrap_or(group.len())]
                    .split(|c| {
                        level += i32::from(c == '{') - i32::from(c == '}');
                        c == ',' && level == 0
                    })
                    .map(|branch| branch.trim().to_owned())
                    .collect()
            }
            None => vec![rest.to_owned()],
        };
        for branch in branches {
            let mut segments = branch.split("::").map(|segment| {
                segment.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
            });
            let first = segments.next().unwrap_or_default();
            if !first.is_empty() {
                found.push((first, segments.next().filter(|second| !second.is_empty())));
            }
        }
    }
    found
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let allowed = allowed();
    let mut faults = Vec::new();
    for (path, module, code) in sources() {
        let Some(may_use) = allowed.get(&module) else {
            faults.push(format!("{}: module `{module}` has no row in ARCHITECTURE.md", path.display()));
            continue;
        };
        for (used, second) in crate_paths(&code) {
            if used == module || used == "diagnostic" || used.starts_with(char::is_uppercase) {
                continue;
            }
            if !may_use.contains(&used) {
                faults.push(format!("{}: `{module}` may not use `{used}`", path.display()));
            }
            let second = second.as_deref().unwrap_or("");
            let narrow = match (module.as_str(), used.as_str()) {
                ("check" | "score" | "report", "generate") => ["contract", "answers"].contains(&second),
                ("score" | "history" | "report", "check") => second == "outcome",
                _ => true,
            };
            if !narrow {
                faults.push(format!("{}: `{module}` may not use `{used}::{second}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_row_for_a_module_that_is_gone() {
    let modules: BTreeSet<String> = sources().into_iter().map(|(_, module, _)| module).collect();
    let rows: BTreeSet<String> = allowed().into_keys().collect();
    assert_eq!(rows.difference(&modules).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn pure_modules_touch_no_file_clock_network_or_process() {
    const FORBIDDEN: [&str; 8] =
        ["fs_err", "std::fs", "std::net", "std::process", "tokio::", "reqwest", "SystemTime", "Instant::now"];
    let mut faults = Vec::new();
    for (path, module, code) in sources() {
        if ["sql", "stats", "score", "report"].contains(&module.as_str()) {
            for word in FORBIDDEN.iter().filter(|word| code.contains(**word)) {
                faults.push(format!("{}: `{module}` is pure and may not use `{word}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_stay_readable() {
    let long: Vec<String> = sources()
        .iter()
        .map(|(path, ..)| (path, fs_err::read_to_string(path).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > 700)
        .map(|(path, lines)| format!("{}: {lines} lines: split it by idea", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn groups_of_imports_are_taken_apart() {
    let paths = crate_paths("use crate::{a::{x, y}, b};\nlet z = crate::c::D::new();");
    let names: Vec<String> = paths.into_iter().map(|(first, _)| first).collect();
    assert_eq!(names, ["a", "b", "c"]);
}
