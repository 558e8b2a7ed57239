//! What a report promises: stable JSON, safe HTML, real case ids in JUnit, sentences that say what the numbers say.

mod fixture;

use std::path::Path;

use assay::check::outcome::{CheckId, CheckResult, Finding};
use assay::history::{HistoryRecord, PromptInfo, RunInfo};
use assay::report::{CaseInfo, CaseRow, Report, RunComparison, chart, terminal};

use super::harness::Harness;
use assay::score::CaseResult;
use assay::sql::verdict::{Comparison, Method, Verdict};

fn part() -> Report {
    fixture::report_of(&["orders_daily", "customers", "stock_moves", "rides_hourly", "plan_changes"], 2)
}

fn names(report: &Report) -> Vec<&str> {
    report.prompts.iter().map(|p| p.name.as_str()).collect()
}

#[test]
fn report_json() {
    let report = part();
    insta::assert_snapshot!(report.to_json());
    assert_eq!(Report::from_json(&report.to_json()).unwrap(), report);
}

#[test]
fn report_json_keeps_to_its_schema_and_the_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.schema.json");
    let current = Report::json_schema();
    if std::env::var_os("INSTA_UPDATE").is_some_and(|v| v == "always") {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, &current).unwrap();
    }
    let stored = fs_err::read_to_string(&path).unwrap_or_default();
    assert!(stored == current, "docs/report.schema.json is stale: run this test with INSTA_UPDATE=always");
    let schema = jsonschema::validator_for(&serde_json::from_str(&stored).unwrap()).unwrap();
    let report = serde_json::from_str(&fixture::report().to_json()).unwrap();
    let faults: Vec<String> = schema.iter_errors(&report).map(|e| e.to_string()).collect();
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn a_newer_report_is_refused() {
    let newer = part().to_json().replacen("\"schema\": 1", "\"schema\": 2", 1);
    assert!(Report::from_json(&newer).unwrap_err().contains("newer"));
    assert!(Report::from_json("{}").is_err());
}

#[test]
fn the_order_of_arrival_does_not_matter() {
    let report = part();
    let prompts = fixture::prompts()[..2].to_vec();
    let mut results = report.results.clone();
    results.reverse();
    let history = HistoryRecord::from_run(&report.run, &prompts, &results);
    let build =
        |results| Report::new(report.run.clone(), prompts.clone(), report.cases.clone(), results, &history);
    assert_eq!(build(results).to_json(), build(report.results.clone()).to_json());
}

#[test]
fn junit_xml() {
    insta::assert_snapshot!(part().to_junit());
}

#[test]
fn summary_md() {
    insta::assert_snapshot!(fixture::report().to_markdown());
}

#[test]
fn github_annotations() {
    insta::assert_snapshot!(fixture::report().to_annotations(10));
}

#[test]
fn terminal_summary() {
    let report = fixture::report();
    insta::assert_snapshot!(
        "terminal_wide",
        terminal::summary(&report, 100, Some("reports/runs/1/report.html"))
    );
    let narrow = terminal::summary(&report, 60, None);
    assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
    insta::assert_snapshot!("terminal_narrow", narrow);
}

#[test]
fn trend_chart() {
    let report = part();
    insta::assert_snapshot!(chart::trend(&report.trend, &names(&report)).unwrap());
}

#[test]
fn a_chart_of_nothing_of_one_run_and_of_numbers_that_are_none() {
    assert_eq!(chart::trend(&[], &["v1"]), None);
    let report = part();
    let one: Vec<_> = report.trend.iter().filter(|p| p.run == report.run.id).cloned().collect();
    let svg = chart::trend(&one, &names(&report)).unwrap();
    assert_eq!(svg.matches("<title>").count(), 2);

    let mut points = report.trend.clone();
    points[0].pass_rate = Some(f64::NAN);
    points[1].interval = Some(assay::stats::Interval { lower: f64::NAN, upper: f64::INFINITY });
    points[2].pass_rate = None;
    let svg = chart::trend(&points, &names(&report)).unwrap();
    assert_eq!(svg.matches("<title>").count(), points.len() - 2);
    points.iter_mut().for_each(|p| p.pass_rate = None);
    assert_eq!(chart::trend(&points, &names(&report)), None);
}

#[test]
fn a_stored_run_can_be_the_baseline() {
    let before = part();
    let prompts = fixture::prompts()[..2].to_vec();
    let history = HistoryRecord::from_run(&before.run, &prompts, &before.results);
    let run = RunInfo {
        id: "later".into(),
        baseline: Some(before.run.id.clone()),
        ..fixture::run_info("later", 12)
    };
    let after = Report::new(run, prompts, before.cases.clone(), before.results.clone(), &history);
    let compared: Vec<_> =
        after.comparisons.iter().map(|c| (c.baseline.as_str(), c.baseline_run.as_deref(), c.ties)).collect();
    let id = Some(before.run.id.as_str());
    assert_eq!(compared, [("v1-baseline", id, 3), ("v2-contract", id, 5)]);
}

#[test]
fn html_is_one_file_that_loads_nothing() {
    let html = fixture::report().to_html();
    for reference in ["src=", "url(", "@import", "<link", "<iframe", "<img", "fetch(", "XMLHttpRequest"] {
        assert!(!html.contains(reference), "{reference}");
    }
    assert!(html.contains("default-src 'none'"));
    assert!(html.contains("v3-examples is better than v1-baseline"));
    assert!(html.len() < 600_000, "{} bytes", html.len());
}

#[test]
fn a_thousand_results_stay_under_five_megabytes() {
    let report = fixture::report();
    let results = (0..17)
        .flat_map(|trial| report.results.iter().map(move |r| CaseResult { trial, ..r.clone() }))
        .map(|r| CaseResult { candidate_sql: r.candidate_sql.map(|sql| format!("{sql}-- {}", r.trial)), ..r })
        .collect::<Vec<_>>();
    assert!(results.len() > 1_000);
    let html = Report::new(report.run, fixture::prompts(), report.cases, results, &[]).to_html();
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
}

#[test]
fn html_without_results_prompts_or_history_says_so() {
    let empty = Report::new(RunInfo::default(), vec![], vec![], vec![], &[]);
    let html = empty.to_html();
    assert!(html.contains("Nothing was judged") && html.contains("No run with a pass rate"));
    let unanswered = Report::new(RunInfo::default(), fixture::prompts(), fixture::cases(), vec![], &[]);
    assert!(unanswered.to_html().contains("no judged case in common"));
}

/// Strings that break out of whatever they are put into.
const HOSTILE: [&str; 8] = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover=\"alert(1)",
    "]]><!--",
    "{{ 7 * 7 }}{% raw %}",
    "\u{202e}gnp.exe\u{2066}\u{200b}",
    "\u{1b}[31mred\u{0}\u{7}",
    "%0A::error::forged\n::error::forged",
];

fn hostile_report() -> Report {
    let text = HOSTILE.join(" ");
    let huge = "x".repeat(1_000_000);
    let mut results = Vec::new();
    for (trial, check) in [CheckId::Contract, CheckId::Rows].into_iter().enumerate() {
        let finding = Finding::new(text.clone(), format!("{text}{huge}")).at(text.clone());
        let mut result = CaseResult::new(
            &text,
            &text,
            trial as u32,
            vec![CheckResult::from_findings(check, vec![finding])],
        );
        let mut comparison = Comparison::new(Verdict::Unknown, Method::Ast, text.clone());
        comparison.facts = vec![text.clone()];
        result.golden = Some(comparison);
        result.candidate_sql = Some(format!("{text}\n{huge}"));
        result.candidate_yaml = Some(text.clone());
        result.review_notes = vec![text.clone()];
        result.answer = Some(huge.clone());
        result.tags = vec![text.clone()];
        result.cluster = Some(text.clone());
        results.push(result);
    }
    results.push(CaseResult::new(&text, &text, 2, vec![CheckResult::errored(CheckId::Run, &text, &text)]));
    let run = RunInfo {
        id: text.clone(),
        suite: text.clone(),
        branch: Some(text.clone()),
        commit: Some(text.clone()),
        notes: vec![text.clone()],
        filters: vec![text.clone()],
        complete: true,
        ..RunInfo::default()
    };
    let prompt = PromptInfo {
        name: text.clone(),
        description: Some(text.clone()),
        provider: text.clone(),
        model: text.clone(),
        hash: text.clone(),
        price: None,
    };
    let case = CaseInfo {
        id: text.clone(),
        title: text.clone(),
        model: text.clone(),
        project: text.clone(),
        tags: vec![text.clone()],
        cluster: Some(text.clone()),
        spec: text.clone(),
        golden_sql: format!("{text}\n{huge}"),
        golden_yaml: Some(text.clone()),
        row: Some(CaseRow { file: text, line: 2 }),
        ..CaseInfo::default()
    };
    let prompts = vec![prompt];
    let history = HistoryRecord::from_run(&run, &prompts, &results);
    Report::new(run, prompts, vec![case], results, &history)
}

/// Characters that no output may hold, whatever went in.
fn invisible(text: &str) -> Option<char> {
    let hidden = |c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    text.chars().find(|c| hidden(*c) || (c.is_control() && *c != '\n' && *c != '\t'))
}

#[test]
fn hostile_text_stays_text_in_html() {
    let html = hostile_report().to_html();
    assert_eq!((html.matches("<script").count(), html.matches("</script").count()), (2, 2));
    assert!(!html.contains("<img") && !html.contains("=\"alert"));
    assert!(html.contains("{{ 7 * 7 }}"), "text is not a template");
    assert_eq!(invisible(&html), None);
    assert!(html.contains("⟨U+202E⟩"));
    assert!(html.len() < 2_500_000, "{} bytes", html.len());
}

#[test]
fn hostile_text_stays_text_elsewhere() {
    let report = hostile_report();
    let junit = report.to_junit();
    assert!(!junit.contains("<script") && !junit.contains("<img") && !junit.contains("]]>"));
    assert_eq!(invisible(&junit), None);
    assert!(junit.len() < 150_000);

    let markdown = report.to_markdown();
    assert!(!markdown.contains("<script") && !markdown.contains("<img"));
    assert_eq!(invisible(&markdown), None);

    let annotations = report.to_annotations(10);
    assert!(annotations.lines().all(|l| l.starts_with("::error file=") || l.starts_with("::warning file=")));
    assert_eq!(annotations.lines().count(), 3);

    let terminal = terminal::summary(&report, 80, None);
    assert_eq!(invisible(&terminal), None);
    let svg = chart::trend(&report.trend, &names(&report)).unwrap();
    assert!(!svg.contains("<script") && invisible(&svg).is_none());
}

/// The report with other outcomes for one prompt version: those of another one in the same run.
fn with_outcomes_of(report: &Report, id: &str, other: &str) -> Report {
    let results = report
        .results
        .iter()
        .filter(|r| r.prompt == other)
        .map(|r| CaseResult { prompt: "v1-baseline".into(), ..r.clone() })
        .collect();
    let run = RunInfo { id: id.into(), ..report.run.clone() };
    Report::new(run, fixture::prompts()[..1].to_vec(), report.cases.clone(), results, &[])
}

#[test]
fn comparing_runs() {
    let report = fixture::report();
    let worse = with_outcomes_of(&report, "earlier", "v3-examples");
    let mut now = with_outcomes_of(&report, "later", "v1-baseline");
    now.cases[0].golden_sql.push_str("-- edited\n");
    let comparison = RunComparison::new(&worse, &now).unwrap();
    assert_eq!(comparison.changed_cases, ["orders_daily"]);
    assert!(comparison.is_regression());
    insta::assert_snapshot!("compare_text", comparison.to_text());
    insta::assert_snapshot!("compare_markdown", comparison.to_markdown());
    let json: RunComparison = serde_json::from_str(&comparison.to_json()).unwrap();
    assert_eq!(json, comparison);
}

#[test]
fn runs_without_a_common_prompt_version_are_not_compared() {
    let report = fixture::report();
    let mut other = part();
    other.prompts.iter_mut().for_each(|p| p.name.push_str("-renamed"));
    let message = RunComparison::new(&report, &other).unwrap_err();
    assert!(message.contains("v3-examples") && message.contains("v1-baseline-renamed"), "{message}");
}

#[test]
fn compare_and_report_on_the_command_line() {
    let harness = Harness::new();
    let report = fixture::report();
    let better = with_outcomes_of(&report, "b", "v3-examples");
    let worse = with_outcomes_of(&report, "a", "v1-baseline");
    harness.write("reports/runs/a/report.json", worse.to_json()).write("b/report.json", better.to_json());
    let code = |arguments: &[&str]| harness.assay(arguments).status.code();
    assert_eq!(code(&["compare", "a", "b"]), Some(0), "by id and by folder");
    assert_eq!(code(&["compare", "b/report.json", "a", "--format", "json"]), Some(1));
    assert_eq!(code(&["compare", "a", "nowhere"]), Some(2));
    let none = Report { results: vec![], ..worse };
    harness.write("none/report.json", none.to_json());
    assert_eq!(code(&["compare", "a", "none"]), Some(3));

    let output = harness.assay(&["report", "b"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("v1-baseline"));
    for (name, expected) in [
        ("report.html", better.to_html()),
        ("junit.xml", better.to_junit()),
        ("summary.md", better.to_markdown()),
    ] {
        let written = fs_err::read_to_string(harness.path("b").join(name)).unwrap();
        assert!(written == expected, "{name} is the same when it is made again");
    }
    harness.remove("assay.toml");
    assert_eq!(code(&["report", "b"]), Some(0), "a folder needs no configuration");
}

/// For looking at it: `ASSAY_REPORT_DIR=/some/where cargo test --test it report::write -- --ignored`.
#[test]
#[ignore = "writes report.html for a person to look at"]
fn write_the_fixture_report() {
    let directory = std::env::var("ASSAY_REPORT_DIR").expect("ASSAY_REPORT_DIR names a directory");
    let write = |name: &str, text: String| fs_err::write(Path::new(&directory).join(name), text).unwrap();
    write("report.html", fixture::report().to_html());
    write("hostile.html", hostile_report().to_html());
    write("report.json", fixture::report().to_json());
    write("junit.xml", fixture::report().to_junit());
    write("hostile.xml", hostile_report().to_junit());
}
