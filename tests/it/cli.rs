//! What a person sees when something is wrong with what they wrote: each screen is a snapshot.

use super::harness::Harness;

const RUN: [&str; 4] = ["run", "--answers", "baseline:golden", "--no-dbt"];

macro_rules! screen {
    ($harness:expr, $arguments:expr) => {
        insta::with_settings!({ filters => vec![
            (r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}", "[run]"),
            (r"[0-9.]+ ?s\b", "[time]"),
        ]}, { insta::assert_snapshot!($harness.screen($arguments)) })
    };
}

#[test]
fn no_configuration() {
    screen!(Harness::new().remove("assay.toml"), &RUN);
}

#[test]
fn unknown_key_in_the_configuration() {
    screen!(Harness::new().write("assay.toml", "[run]\njobs = 2\ntrails = 3\n"), &RUN);
}

#[test]
fn missing_csv() {
    screen!(Harness::new().remove("evals/cases.csv"), &RUN);
}

#[test]
fn missing_column() {
    screen!(
        Harness::new().write("evals/cases.csv", "id,spec,model\norders,specs/orders.md,stg_orders\n"),
        &RUN
    );
}

#[test]
fn duplicate_id() {
    let csv = "id,spec,model,golden_sql\n\
        orders,specs/orders.md,stg_orders,goldens/stg_orders.sql\n\
        Orders,specs/orders.md,stg_orders,goldens/stg_orders.sql\n";
    screen!(Harness::new().write("evals/cases.csv", csv), &RUN);
}

#[test]
fn ragged_row_bad_utf8_and_a_bad_weight_at_once() {
    let csv: &[u8] = b"id,spec,model,golden_sql,weight\n\
        a,specs/orders.md,stg_orders,goldens/stg_orders.sql\n\
        b,specs/orders.md,stg_\xe9,goldens/stg_orders.sql,1\n\
        c,specs/orders.md,stg_orders,goldens/stg_orders.sql,heavy\n";
    screen!(Harness::new().write("evals/cases.csv", csv), &RUN);
}

#[test]
fn missing_golden() {
    screen!(Harness::new().remove("goldens/stg_orders.sql"), &RUN);
}

#[test]
fn unparsable_golden() {
    screen!(
        Harness::new()
            .write("goldens/stg_orders.sql", "select order_id,\nfrom where {{ source('raw', 'orders') }}\n"),
        &RUN
    );
}

#[test]
fn golden_with_unclosed_jinja() {
    screen!(
        Harness::new()
            .write("goldens/stg_orders.sql", "select 1 as order_id from {{ source('raw', 'orders')\n"),
        &RUN
    );
}

#[test]
fn spec_without_sources() {
    let harness = Harness::new();
    let spec = fs_err::read_to_string(harness.path("specs/orders.md")).unwrap();
    screen!(
        harness.write("specs/orders.md", spec.replace("source('raw', 'orders')", "the orders table")),
        &RUN
    );
}

#[test]
fn spec_without_a_heading_and_with_an_empty_point() {
    let harness = Harness::new();
    let spec = fs_err::read_to_string(harness.path("specs/orders.md")).unwrap();
    let spec = spec.replace("## Outputs", "## Output").replace(" one row per `order_id`; all time.", "");
    screen!(harness.write("specs/orders.md", spec), &RUN);
}

#[test]
fn unknown_prompt() {
    screen!(Harness::new(), &["run", "--answers", "baseline:golden", "--no-dbt", "--prompt", "v9"]);
}

#[test]
fn unknown_project() {
    let csv =
        "id,spec,model,golden_sql,project\norders,specs/orders.md,stg_orders,goldens/stg_orders.sql,shops\n";
    screen!(Harness::new().write("evals/cases.csv", csv), &RUN);
}

#[test]
fn project_without_dbt_project_yml() {
    screen!(Harness::new().remove("dbt/shop/dbt_project.yml"), &RUN);
}

#[test]
fn broken_dbt_project_yml() {
    screen!(Harness::new().write("dbt/shop/dbt_project.yml", "name: shop\nmodel-paths: [models\n"), &RUN);
}

#[test]
fn nothing_selected() {
    screen!(Harness::new(), &["run", "--answers", "baseline:golden", "--no-dbt", "--case", "invoices_*"]);
}

#[test]
fn answers_with_a_broken_line_and_a_repeat() {
    let harness = Harness::new();
    let line = r#"{"case": "orders", "prompt": "p", "trial": 0, "output_text": ""}"#;
    harness.write("answers.jsonl", format!("{line}\n{{\"case\": 1\n{line}\n"));
    screen!(harness, &["run", "--answers", "answers.jsonl", "--no-dbt"]);
}

#[test]
fn help_teaches_by_example() {
    screen!(Harness::new(), &["--help"]);
    screen!(Harness::new(), &["run", "--help"]);
}

#[test]
fn no_python() {
    let harness = Harness::new();
    let output = harness.assay_with(&["run", "--answers", "baseline:golden"], &[("PATH", "/nowhere")]);
    insta::assert_snapshot!(harness.show(&output));
}

#[test]
fn wrong_dbt_version() {
    let harness = Harness::new();
    let site = "venv/lib/python3.11/site-packages";
    harness
        .write("assay.toml", "[projects.shop]\npath = \"dbt/shop\"\n\n[tools]\ndbt = \"venv/bin/dbt\"\n")
        .write("venv/bin/dbt", "#!/usr/bin/env python\n")
        .write("venv/bin/python", "")
        .write("venv/pyvenv.cfg", "")
        .write(&format!("{site}/dbt_core-1.5.11.dist-info/METADATA"), "")
        .write(&format!("{site}/dbt_duckdb-1.5.2.dist-info/METADATA"), "");
    screen!(harness, &["run", "--answers", "baseline:golden"]);
}

#[test]
fn golden_that_reads_the_clock() {
    let sql = "select order_id, status from {{ source('raw', 'orders') }} where ordered_at > now()\n";
    screen!(Harness::new().write("goldens/stg_orders.sql", sql), &RUN);
}

/// A suite of twelve cases, and answers of a prompt version that is right and of one that is wrong.
fn two_prompt_versions() -> Harness {
    let harness = Harness::new();
    let mut csv = "id,spec,model,golden_sql\n".to_owned();
    let mut answers = String::new();
    for number in 1..=12 {
        csv.push_str(&format!("o{number},specs/orders.md,stg_orders,goldens/stg_orders.sql\n"));
        for (prompt, columns) in [("careful", "order_id, status"), ("hasty", "order_id, state")] {
            let sql = format!("select {columns} from {{{{ source('raw', 'orders') }}}}");
            let answer = serde_json::json!({
                "model_name": "stg_orders",
                "sql": sql,
                "schema_yaml": "version: 2\nmodels:\n  - name: stg_orders\n    columns:\n      - name: order_id\n        data_tests: [unique]\n      - name: status\n",
                "tests": ["unique:order_id"],
                "review_notes": ["none"],
            });
            let line = serde_json::json!({
                "case": format!("o{number}"), "prompt": prompt, "trial": 0, "output_text": answer.to_string(),
            });
            answers.push_str(&format!("{line}\n"));
        }
    }
    harness.write("evals/cases.csv", csv).write("answers.jsonl", answers);
    harness
}

#[test]
fn a_prompt_version_that_is_worse_than_the_baseline_fails_the_run() {
    let harness = two_prompt_versions();
    screen!(harness, &["run", "--answers", "answers.jsonl", "--no-dbt", "--baseline", "careful"]);
    // The other way round it is better, and without a baseline nothing is held against anybody.
    let code = |extra: &[&str]| {
        let arguments = [&["run", "--answers", "answers.jsonl", "--no-dbt"], extra].concat();
        harness.assay(&arguments).status.code()
    };
    assert_eq!(code(&["--baseline", "hasty"]), Some(0));
    assert_eq!(code(&[]), Some(0));
}

#[test]
fn baseline_that_nobody_knows() {
    screen!(
        two_prompt_versions(),
        &["run", "--answers", "answers.jsonl", "--no-dbt", "--baseline", "2026-01-01"]
    );
}

#[test]
fn first_run_has_no_latest_one_to_compare_with() {
    screen!(
        two_prompt_versions(),
        &["run", "--answers", "answers.jsonl", "--no-dbt", "--baseline", "latest", "--case", "o1"]
    );
}
