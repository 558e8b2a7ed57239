//! `assay diff`: files, folders, revisions and pairs; what is printed, written, and returned.

use super::harness::Harness;

const SCHEMA: &str = r#"{"tables": {"orders": {"columns": {"id": {"type": "INTEGER", "nullable": false},
    "status": {"type": "VARCHAR"}, "amount": {"type": "INTEGER"}}, "primary_key": ["id"]}}}"#;

fn duckdb() -> String {
    match std::env::var("ASSAY_DUCKDB") {
        Ok(path) => path,
        Err(_) => super::tool::tools().duckdb.display().to_string(),
    }
}

/// A folder with two models that differ in a boundary.
fn models() -> Harness {
    let harness = Harness::new();
    harness
        .write("schema.json", SCHEMA)
        .write("a.sql", "select id\nfrom {{ ref('orders') }}\nwhere amount > 100\n")
        .write("b.sql", "select id\nfrom {{ ref('orders') }}\nwhere amount >= 100\n")
        .write("same.sql", "select o.id from {{ ref('orders') }} as o where 100 < o.amount\n");
    harness
}

fn run(harness: &Harness, arguments: &[&str]) -> (i32, String, String) {
    let output = harness.assay(arguments);
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Runs another program in the folder; what it prints.
#[expect(clippy::disallowed_methods, reason = "tests start programs")]
fn program(harness: &Harness, program: &str, arguments: &[&str]) -> String {
    let output =
        std::process::Command::new(program).args(arguments).current_dir(harness.path(".")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `identical` and `equivalent` are both proofs of the same.
fn proved(verdict: &serde_json::Value) -> &str {
    match verdict.as_str() {
        Some("identical" | "equivalent") => "proved",
        Some(other) => other,
        None => "none",
    }
}

#[test]
fn two_files_that_differ_show_rows_and_a_script_that_reproduces() {
    let harness = models();
    let duckdb = duckdb();
    let (code, out, err) = run(
        &harness,
        &[
            "diff",
            "a.sql",
            "b.sql",
            "--schema",
            "schema.json",
            "--duckdb",
            &duckdb,
            "--repro",
            "repro",
            "--html",
            "diff.html",
        ],
    );
    assert_eq!(code, 1, "{out}{err}");
    for part in [
        "differs b.sql",
        "with 1 input row",
        "orders",
        "100",
        "the golden returns",
        "(no rows)",
        "duckdb < repro/b.repro.sql",
    ] {
        assert!(out.contains(part), "{part} is missing:\n{out}");
    }
    let script = fs_err::read_to_string(harness.path("repro/b.repro.sql")).unwrap();
    assert!(script.contains("EXCEPT ALL"), "{script}");
    let path = harness.path("repro/b.repro.sql").display().to_string();
    let shown = program(&harness, &duckdb, &["-batch", "-no-init", "-list", "-noheader", "-f", &path]);
    assert!(shown.contains("only candidate|"), "{shown}");
    assert!(fs_err::read_to_string(harness.path("diff.html")).unwrap().contains("amount \\u003e= 100"));
}

#[test]
fn two_files_that_mean_the_same_end_with_0_without_duckdb() {
    let harness = models();
    let (code, out, err) = run(&harness, &["diff", "a.sql", "same.sql", "--schema", "schema.json"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("equivalent same.sql"), "{out}");
    assert!(err.contains("no duckdb command"), "{err}");
    let (code, out, _) = run(&harness, &["diff", "a.sql", "b.sql", "--schema", "schema.json"]);
    assert_eq!(code, 3, "{out}");
}

#[test]
fn folders_match_by_file_name_and_a_missing_model_differs() {
    let harness = models();
    harness
        .write("old/m.sql", "select id from {{ ref('orders') }}")
        .write("old/sub/gone.sql", "select 1 as a")
        .write("new/m.sql", "select id from {{ ref('orders') }} as o");
    let (code, out, _) = run(&harness, &["diff", "old", "new", "--schema", "schema.json", "--json"]);
    assert_eq!(code, 1, "{out}");
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert_eq!((&lines[0]["id"], proved(&lines[0]["verdict"])), (&"m.sql".into(), "proved"));
    assert_eq!((&lines[1]["id"], proved(&lines[1]["verdict"])), (&"sub/gone.sql".into(), "differs"));
}

#[test]
fn revisions_are_compared() {
    let harness = models();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"];
        program(&harness, "git", &[&identity, arguments].concat())
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    harness.write("same.sql", "select id from {{ ref('orders') }} where amount > 100\n");
    git(&["commit", "-qam", "two"]);
    let (code, out, err) = run(&harness, &["diff", "--rev", "HEAD~1..HEAD", "--schema", "schema.json"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.starts_with("equivalent same.sql"), "{out}");
    let (code, _, err) = run(&harness, &["diff", "--rev", "nonsense..HEAD"]);
    assert_eq!(code, 2, "{err}");
}

/// A dbt project with two models, as it stands in a repository.
fn project() -> Harness {
    let harness = Harness::new();
    harness
        .write("shop/dbt_project.yml", "name: shop\nvars: {floor: 100}\n")
        .write("shop/models/stg_orders.sql", "select 1")
        .write(
            "shop/models/schema.yml",
            "models:\n  - name: stg_orders\n    columns:\n      - name: id\n        tests: [unique, not_null]\n",
        )
        .write("shop/models/big.sql", "select id from {{ ref('stg_orders') }} where amount > {{ var('floor') }}\n")
        .write("drafts/big.sql", "select o.id from {{ ref('stg_orders') }} as o where 100 < o.amount\n")
        .write("drafts/once.sql", "select distinct id from {{ ref('stg_orders') }} where amount > 100\n")
        .write("drafts/all.sql", "select * from {{ ref('stg_orders') }} where amount > 100\n")
        .write("drafts/wrong.sql", "select id from {{ ref('stg_orders') }} where amount >= 100\n");
    harness
}

const CATALOG: &str = r#"{"nodes": {"model.shop.stg_orders": {"columns": {
    "id": {"name": "id", "type": "INTEGER", "index": 1}, "amount": {"name": "amount", "type": "INTEGER", "index": 2}}}}}"#;

#[test]
fn the_project_around_the_files_says_what_the_tables_are() {
    let harness = project();
    let duckdb = duckdb();
    let diff = |arguments: &[&str]| run(&harness, &[&["diff", "--duckdb", &duckdb], arguments].concat());
    // The floor is in dbt_project.yml.
    let (code, out, err) = diff(&["drafts/big.sql", "shop/models/big.sql"]);
    assert!(code == 0 && out.starts_with("equivalent shop/models/big.sql"), "{out}{err}");
    // What `*` stands for only a catalog knows here.
    let (code, _, err) = diff(&["drafts/all.sql", "shop/models/big.sql"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("`dbt docs generate` in shop "), "{err}");
    harness.write("shop/target/catalog.json", CATALOG);
    let (code, out, err) = diff(&["drafts/all.sql", "shop/models/big.sql"]);
    assert!(code == 1 && out.starts_with("differs"), "{out}{err}");
    let (code, out, err) = diff(&["drafts/wrong.sql", "shop/models/big.sql"]);
    assert!(code == 1 && out.starts_with("differs") && !out.contains("assumed"), "{out}{err}");
    // The key of stg_orders is in its YAML, and cited.
    let (code, out, err) = diff(&["drafts/once.sql", "shop/models/big.sql"]);
    assert!(code == 0 && out.contains("models/schema.yml:"), "{out}{err}");
    // Files elsewhere belong to the project that is named, by its folder or as the configuration names it.
    let (code, _, err) = diff(&["drafts/all.sql", "drafts/big.sql"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("--project"), "{err}");
    harness.write("assay.toml", "[projects.store]\npath = \"shop\"\n");
    for name in ["shop", "store"] {
        let (code, out, err) = diff(&["drafts/all.sql", "drafts/big.sql", "--project", name]);
        assert!(code == 1 && out.starts_with("differs"), "{name}: {out}{err}");
    }
    let (code, _, err) = diff(&["drafts/wrong.sql", "drafts/big.sql", "--project", "nope"]);
    assert!(code == 2 && err.contains("projects in assay.toml: store"), "{err}");
}

#[test]
fn without_a_schema_the_tables_are_as_the_files_use_them_and_it_is_said() {
    let harness = models();
    let duckdb = duckdb();
    let (code, out, err) = run(&harness, &["diff", "a.sql", "same.sql"]);
    assert!(code == 0 && out.starts_with("equivalent"), "{out}{err}");
    let (code, out, err) = run(&harness, &["diff", "a.sql", "b.sql", "--duckdb", &duckdb]);
    assert!(code == 1 && out.contains("assumed that orders.amount is BIGINT"), "{out}{err}");
}

#[test]
fn pairs_come_back_in_order_and_a_bad_line_stops_nothing() {
    let harness = models();
    let pair = |id: &str, a: &str, b: &str| {
        format!(
            "{}\n",
            serde_json::json!({"id": id, "dialect": "duckdb", "schema": "schema.json", "contract": "position",
                "sql_a": a, "sql_b": b, "more": 1})
        )
    };
    let mut text = pair("one", "select id from orders", "select o.id from orders as o");
    text.push_str("not json\n");
    text.push_str(&pair(
        "two",
        "select id from orders where amount > 1",
        "select id from orders where amount > 2",
    ));
    text.push_str(&pair("three", "select id from", "select id from orders"));
    harness.write("pairs.jsonl", text);
    let duckdb = duckdb();
    let (code, out, err) = run(&harness, &["diff", "--pairs", "pairs.jsonl", "--json", "--duckdb", &duckdb]);
    assert_eq!(code, 1, "{err}");
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<(&str, &str)> =
        lines.iter().map(|line| (line["id"].as_str().unwrap_or("null"), proved(&line["verdict"]))).collect();
    assert_eq!(
        verdicts,
        [("one", "proved"), ("null", "unknown"), ("two", "differs"), ("three", "unknown")],
        "{out}"
    );
    assert!(lines[1]["reason"].as_str().unwrap().starts_with("line 2: "), "{out}");
    assert_eq!(lines[2]["counterexample"]["tables"][0]["rows"].as_array().unwrap().len(), 1, "{out}");
}

#[test]
fn wrong_usage_ends_with_2() {
    let harness = models();
    for arguments in [
        &["diff", "a.sql"] as &[&str],
        &["diff", "a.sql", "no-such.sql"],
        &["diff", "a.sql", "b.sql", "--dialect", "cobol"],
        &["diff", "a.sql", "b.sql", "--duckdb", "/nonexistent/duckdb"],
        &["diff", "--pairs", "no-such.jsonl", "--json"],
    ] {
        assert_eq!(run(&harness, arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn both_builds_of_an_incremental_model_and_its_config_count() {
    let harness = models();
    harness
        .write("full.sql", "select id, amount from {{ ref('orders') }} {% if is_incremental() %} where amount > 1 {% endif %}")
        .write("incremental.sql", "select id, amount from {{ ref('orders') }} {% if is_incremental() %} where amount > 2 {% endif %}")
        .write("view.sql", "{{ config(materialized='view') }} select id from {{ ref('orders') }}")
        .write("table.sql", "{{ config(materialized='table') }} select id from {{ ref('orders') }}");
    let duckdb = duckdb();
    let diff =
        |a: &str, b: &str| run(&harness, &["diff", a, b, "--schema", "schema.json", "--duckdb", &duckdb]);
    let (code, out, _) = diff("full.sql", "incremental.sql");
    assert!(code == 1 && out.contains("on an incremental run"), "{out}");
    let (code, out, _) = diff("view.sql", "table.sql");
    assert!(code == 0 && out.contains("materialized as table instead of view"), "{out}");
}
