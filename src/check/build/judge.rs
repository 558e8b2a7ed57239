//! From dbt's artifacts to the three steps: compile, run, tests.

use std::collections::BTreeMap;
use std::path::Path;

use super::classify::{Failure, FailureClass, Gate, of_model, of_test_error};
use super::engine::{Call, CallEnd};
use super::template::read;
use super::workspace::is_inside;
use super::{BuildReport, BuildRequest, Step, TestOutcome};
use crate::check::outcome::Outcome;
use crate::dbt::artifacts::{Manifest, Node, RunResult, RunResults, Status};
use crate::dbt::facts::Relation;
use crate::tool::dbt::End;

/// What a call left behind.
#[derive(Debug, Default)]
pub(super) struct Results {
    manifest: Option<Manifest>,
    results: RunResults,
    compiled: BTreeMap<String, String>,
}

impl Results {
    pub(super) fn new(manifest: Manifest, results: RunResults, compiled: BTreeMap<String, String>) -> Self {
        Self { manifest: Some(manifest), results, compiled }
    }

    /// Reads the artifacts, unless dbt was killed: then what lies there may be half written.
    pub(super) fn read(project: &Path, end: &CallEnd) -> Self {
        if !matches!(end.end, End::Finished(_)) {
            return Self::default();
        }
        let target = project.join("target");
        let manifest = read(&target.join("manifest.json"), Manifest::parse);
        let mut compiled = BTreeMap::new();
        for node in manifest.iter().flat_map(|manifest| manifest.nodes.values()) {
            if matches!(node.resource_type.as_str(), "model" | "test")
                && let Some(text) = node.compiled_path.as_ref().and_then(|path| text_at(project, path))
            {
                compiled.insert(node.unique_id.clone(), text);
            }
        }
        Self { manifest, results: end.results.clone(), compiled }
    }

    /// What the model and its singular tests, by their paths, were compiled to.
    pub(super) fn texts<'a>(
        &'a self,
        request: &'a BuildRequest,
        tests: &'a [String],
    ) -> impl Iterator<Item = &'a str> {
        let path = request.sql_path.to_string_lossy();
        let nodes = self.manifest.iter().flat_map(|manifest| manifest.nodes.values());
        let own = nodes.filter(move |node| {
            let of = &node.original_file_path;
            *of == path || tests.contains(of)
        });
        own.filter_map(|node| self.compiled.get(&node.unique_id).map(String::as_str))
    }

    /// Whether the model was skipped because one of its unit tests did not pass.
    pub(super) fn was_skipped_by_unit_test(&self) -> bool {
        let is = |kind: &str, bad: &[Status]| {
            self.results
                .results
                .iter()
                .any(|result| result.unique_id.starts_with(kind) && bad.contains(&result.status))
        };
        is("unit_test.", &[Status::Fail, Status::Error]) && is("model.", &[Status::Skipped])
    }

    /// Takes over a second call's results; those of unit tests stay.
    pub(super) fn add_without_unit_tests(&mut self, other: Self) {
        self.results.results.retain(|result| result.unique_id.starts_with("unit_test."));
        self.results.results.extend(other.results.results);
        self.manifest = other.manifest.or(self.manifest.take());
        self.compiled.extend(other.compiled);
    }
}

/// The verdict on a call for one model. `tests` are the paths of its singular tests; `upstream` what could not be built
/// beforehand.
pub(super) fn judge(
    request: &BuildRequest,
    end: &CallEnd,
    call: &Call,
    results: &Results,
    tests: &[String],
    upstream: &BTreeMap<String, String>,
    engine: &'static str,
) -> BuildReport {
    match end.failure(call) {
        Some(failure) => BuildReport::stopped(reached(end, &failure), failure, engine),
        None => of_results(request, results, tests, upstream, engine),
    }
}

/// The verdict on what a call left behind.
pub(super) fn of_results(
    request: &BuildRequest,
    results: &Results,
    tests: &[String],
    upstream: &BTreeMap<String, String>,
    engine: &'static str,
) -> BuildReport {
    let stopped =
        |gate, class, message: String| BuildReport::stopped(gate, Failure::new(class, message), engine);
    let Some(manifest) = &results.manifest else {
        return stopped(Gate::Compile, FailureClass::Infra, "dbt wrote no manifest".into());
    };
    let path = request.sql_path.to_string_lossy();
    let Some(node) = manifest.model_at(&path) else {
        let disabled =
            manifest.disabled.values().flatten().any(|node| node.original_file_path == path.as_ref());
        return match (disabled, request.sql.trim().is_empty()) {
            (true, _) => stopped(
                Gate::Run,
                FailureClass::NothingBuilt,
                "the model is disabled (enabled: false): dbt built nothing".into(),
            ),
            (false, true) => {
                stopped(Gate::Compile, FailureClass::NothingBuilt, "the model's file is empty".into())
            }
            (false, false) => {
                stopped(Gate::Compile, FailureClass::NothingBuilt, "dbt found no model in the file".into())
            }
        };
    };
    if node.raw_code.trim() != request.sql.trim() {
        return stopped(
            Gate::Compile,
            FailureClass::Infra,
            "dbt read another text than the candidate's".into(),
        );
    }
    let id = node.unique_id.as_str();
    let result = results.results.get(id);
    let others = results
        .results
        .results
        .iter()
        .filter(|result| result.unique_id.starts_with("model.") && result.unique_id != id)
        .count();
    if others > 0 {
        return stopped(Gate::Run, FailureClass::Infra, format!("dbt built {others} other models as well"));
    }
    let mut report = model_report(node, result, results, upstream, engine);
    report.depends_on = node.depends_on.nodes.iter().filter_map(|id| Relation::of_node(id)).collect();
    report.materialized.clone_from(&node.config.materialized);
    report.compiled_sql = results.compiled.get(id).cloned();
    let expected = manifest.tests_of(id, tests);
    report.test_outcomes = expected.iter().map(|test| test_outcome(test, results)).collect();
    let unattached: Vec<&String> =
        tests.iter().filter(|path| !expected.iter().any(|test| test.original_file_path == **path)).collect();
    report.tests = tests_step(&report, &unattached);
    let of_case = request.unit_tests_path();
    let is_there = expected.iter().any(|test| Path::new(&test.original_file_path) == of_case);
    if !request.unit_tests.is_empty() && !is_there && report.run.outcome == Outcome::Passed {
        let why = "dbt does not see the unit tests of the case: it must be dbt 1.8 or newer";
        report.tests = Step::failed(Failure::new(FailureClass::Infra, why), 0.0);
    }
    report
}

/// A compiled text. A job that turned could name any file there.
pub(super) fn text_at(project: &Path, path: &str) -> Option<String> {
    let path = Path::new(path);
    let path = path.strip_prefix(project).unwrap_or(path);
    is_inside(path).then(|| fs_err::read_to_string(project.join(path)).ok())?
}

/// How far a call came that did not end well, from the nodes that it had started.
fn reached(end: &CallEnd, failure: &Failure) -> Gate {
    if matches!(failure.class, FailureClass::Infra) {
        return Gate::Compile;
    }
    let started: Vec<&str> = end.started().collect();
    if started.iter().any(|id| id.starts_with("test.")) {
        Gate::Tests
    } else if started.iter().any(|id| id.starts_with("model.")) {
        Gate::Run
    } else {
        Gate::Compile
    }
}

fn model_report(
    node: &Node,
    result: Option<&RunResult>,
    results: &Results,
    upstream: &BTreeMap<String, String>,
    engine: &'static str,
) -> BuildReport {
    let nothing = |message: &str| {
        BuildReport::stopped(Gate::Run, Failure::new(FailureClass::NothingBuilt, message), engine)
    };
    let Some(result) = result else {
        return match node.config.materialized.as_deref() {
            Some("ephemeral") => nothing("the model is ephemeral: dbt built nothing"),
            _ if node.raw_code.trim().is_empty() => nothing("the model's file is empty"),
            _ => nothing("dbt did not run the model"),
        };
    };
    match &result.status {
        Status::Success => {
            let mut report = BuildReport::stopped(
                Gate::Tests,
                Failure::new(FailureClass::TestsNotRun, "not looked at yet"),
                engine,
            );
            let (compile, run) = seconds(result);
            report.compile = Step::passed(compile);
            report.run = Step::passed(run);
            report.relation = result.relation_name.clone().or_else(|| node.relation_name.clone());
            report
        }
        Status::Error => {
            // A model whose parents are missing is not to blame for it.
            let missing = node.depends_on.nodes.iter().find_map(|id| Some((id, upstream.get(id)?)));
            if let Some((id, why)) = missing {
                let message = format!("{id}, which it reads, cannot be built: {why}");
                return BuildReport::stopped(
                    Gate::Run,
                    Failure::new(FailureClass::UpstreamFailed, message),
                    engine,
                );
            }
            let compiled = results.compiled.contains_key(&node.unique_id) || result.compiled_code.is_some();
            let (gate, failure) = of_model(&result.message, compiled);
            BuildReport::stopped(gate, failure, engine)
        }
        Status::Skipped => match node.config.materialized.as_deref() {
            Some("ephemeral") => nothing("the model is ephemeral: dbt built nothing"),
            _ => nothing("dbt skipped the model"),
        },
        other => {
            let message = format!("unknown status {other:?}: {}", result.message);
            BuildReport::stopped(Gate::Run, Failure::new(FailureClass::Infra, message), engine)
        }
    }
}

/// Seconds of compiling and of executing.
fn seconds(result: &RunResult) -> (f64, f64) {
    let of = |name: &str| {
        let timing = result.timing.iter().find(|timing| timing.name == name)?;
        let start: jiff::Timestamp = timing.started_at.as_deref()?.parse().ok()?;
        let end: jiff::Timestamp = timing.completed_at.as_deref()?.parse().ok()?;
        Some(end.duration_since(start).as_secs_f64())
    };
    (of("compile").unwrap_or(0.0), of("execute").unwrap_or(result.execution_time))
}

fn test_outcome(test: &Node, results: &Results) -> TestOutcome {
    let unit = test.unique_id.starts_with("unit_test.");
    let name = match &test.test_metadata {
        Some(metadata) => match &metadata.namespace {
            Some(package) => format!("{package}.{}", metadata.name),
            None => metadata.name.clone(),
        },
        None => test.name.clone(),
    };
    let result = results.results.get(&test.unique_id);
    let seconds = result.map_or(0.0, |result| result.execution_time);
    let failures = result.and_then(|result| result.failures);
    let step = match result.map(|result| (&result.status, result.message.as_str())) {
        None => Step::failed(Failure::new(FailureClass::TestsNotRun, "dbt did not run it"), 0.0),
        Some((Status::Pass | Status::Success, _)) => Step::passed(seconds),
        Some((Status::Warn, message)) => Step {
            class: Some(FailureClass::TestWarn),
            message: super::classify::shorten(message),
            ..Step::passed(seconds)
        },
        Some((Status::Fail, message)) if unit => {
            let message = super::classify::shorten(&crate::dbt::artifacts::plain(message));
            Step::failed(Failure::new(FailureClass::UnitTestFail, message), seconds)
        }
        Some((Status::Fail, _)) => {
            let rows = failures.unwrap_or(0);
            let message = format!("{rows} {}", if rows == 1 { "row fails" } else { "rows fail" });
            Step::failed(Failure::new(FailureClass::TestFail, message), seconds)
        }
        Some((Status::Skipped, _)) => Step::skipped("skipped, since the model was not built"),
        Some((_, message)) => Step::failed(of_test_error(message, unit), seconds),
    };
    let warns = test.config.severity.as_deref().is_some_and(|severity| severity.eq_ignore_ascii_case("warn"));
    let is_strict = !unit && !warns && test.config.is_usual_test();
    let sql = results.compiled.get(&test.unique_id).filter(|_| is_strict).cloned();
    TestOutcome {
        unique_id: test.unique_id.clone(),
        name,
        column: test.column_name.clone(),
        failures,
        sql,
        step,
    }
}

/// All tests in one step: the worst of them.
fn tests_step(report: &BuildReport, unattached: &[&String]) -> Step {
    let seconds = report.test_outcomes.iter().map(|test| test.step.seconds).sum();
    let worst = |outcome: Outcome| report.test_outcomes.iter().find(|test| test.step.outcome == outcome);
    if let Some(test) = worst(Outcome::Errored).or_else(|| worst(Outcome::Failed)) {
        let place = test.column.as_ref().map(|column| format!(":{column}")).unwrap_or_default();
        let message = format!("{}{place}: {}", test.name, test.step.message);
        return Step { message, seconds, ..test.step.clone() };
    }
    if report.run.outcome != Outcome::Passed {
        return Step::skipped("the model was not built");
    }
    if let Some(path) = unattached.first() {
        let message = format!("{path} does not read the model, so dbt did not run it");
        return Step::failed(Failure::new(FailureClass::TestsNotRun, message), seconds);
    }
    match report.test_outcomes.is_empty() {
        true => Step::skipped("no tests are declared for the model"),
        false => Step::passed(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::dbt::Finished;

    /// dbt that was stopped leaves artifacts in which every node failed, or half of one.
    #[test]
    fn what_a_stopped_call_left_behind_is_not_read() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs_err::create_dir_all(dir.path().join("target")).expect("folder");
        let manifest = r#"{"metadata": {}, "nodes": {}, "sources": {}}"#;
        fs_err::write(dir.path().join("target/manifest.json"), manifest).expect("manifest");
        let read = |end: End| {
            let end = CallEnd { end, events: Vec::new(), results: RunResults::default() };
            Results::read(dir.path(), &end).manifest.is_some()
        };
        assert!(read(End::Finished(Finished { success: true, exception: None })));
        assert!(!read(End::Died { signal: Some(15), code: None, stderr: String::new() }));
    }
}
