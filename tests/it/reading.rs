//! Reading dbt SQL: how much of real projects and pair files is rendered and parsed.

use assay::sql::Dialect;
use assay::sql::jinja::{Context, render};
use assay::sql::parse::parse_query;

/// Measures a folder of dbt projects: `ASSAY_DBT_MODELS=<folder> ASSAY_DBT_DIALECT=snowflake cargo test --test it reading::`.
/// Every `.sql` file below a folder called `models` is rendered and parsed; at least 98 % must be.
#[test]
fn models_of_real_projects_are_rendered_and_parsed() {
    let Ok(folder) = std::env::var("ASSAY_DBT_MODELS") else { return };
    let dialect = std::env::var("ASSAY_DBT_DIALECT").ok().and_then(|name| Dialect::from_name(&name));
    let dialect = dialect.unwrap_or_default();
    let mut files = Vec::new();
    collect(std::path::Path::new(&folder), &mut files);
    let (mut rendered, mut parsed) = (0, 0);
    let mut faults = Vec::new();
    for path in &files {
        let source = fs_err::read_to_string(path).expect("readable");
        match render(&source, &Context::new(dialect, "model")) {
            Err(fault) => faults.push(format!("{}: JINJA {:?} {fault}", path.display(), fault.line)),
            Ok(text) => {
                rendered += 1;
                match parse_query(&text.sql, dialect) {
                    Ok(_) => parsed += 1,
                    Err(fault) => faults.push(format!("{}: SQL {fault}\n{}", path.display(), text.sql)),
                }
            }
        }
    }
    let report = std::env::var("ASSAY_DBT_FAULTS").ok();
    if let Some(path) = report {
        fs_err::write(path, faults.join("\n=====\n")).expect("writable");
    }
    assert!(
        parsed * 100 >= files.len() * 98,
        "{} files, {rendered} rendered, {parsed} parsed; first faults:\n{}",
        files.len(),
        faults.iter().take(5).map(|f| f.lines().next().unwrap_or("")).collect::<Vec<_>>().join("\n"),
    );
}

/// Parses every statement of pair files: `ASSAY_SQL_PAIRS=<folder of .jsonl files> cargo test --test it reading::`.
#[test]
fn every_statement_of_pair_files_is_parsed() {
    let Ok(folder) = std::env::var("ASSAY_SQL_PAIRS") else { return };
    let (mut statements, mut faults) = (0, Vec::new());
    for entry in fs_err::read_dir(folder).expect("readable").flatten() {
        if entry.path().extension().is_none_or(|e| e != "jsonl") {
            continue;
        }
        for line in fs_err::read_to_string(entry.path()).expect("readable").lines() {
            let pair: serde_json::Value = serde_json::from_str(line).expect("is JSON");
            let dialect =
                Dialect::from_name(pair["dialect"].as_str().unwrap_or("duckdb")).expect("a known dialect");
            for side in ["sql_a", "sql_b"] {
                statements += 1;
                let sql = pair[side].as_str().expect("is text");
                if let Err(fault) = parse_query(sql, dialect) {
                    faults.push(format!("{} {side}: {fault}\n  {sql}", pair["id"]));
                }
            }
        }
    }
    assert!(faults.len() * 1000 < statements, "{} of {statements}:\n{}", faults.len(), faults.join("\n"));
}

fn collect(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "sql")
            && path.components().any(|part| part.as_os_str() == "models")
        {
            files.push(path);
        }
    }
    files.sort();
}
