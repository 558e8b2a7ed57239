//! The dbt engines behind one call: arguments in, the end and the log events out. Artifacts are read from the directory by
//! the caller, alike for every engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ATTEMPTS;
use super::classify::{self, Failure, FailureClass, of_call, of_exception};
use super::template::read;
use crate::dbt::artifacts::{Event, RunResults, Status, events};
use crate::tool::again::Again;
use crate::tool::dbt::{End, Finished, Job, Pool};
use crate::tool::v2::RustDbt;

/// A dbt.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    /// Warm dbt-core 1.x workers.
    V1(Arc<Pool>),
    /// The Rust dbt, a process a call.
    V2(Arc<RustDbt>),
}

/// A dbt command in a directory.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) directory: PathBuf,
    /// Folder of `profiles.yml`.
    pub(super) profiles: PathBuf,
    /// The folder that the call may write below.
    pub(super) write: PathBuf,
    /// From the subcommand on.
    pub(super) arguments: Vec<String>,
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct CallEnd {
    pub(super) end: End,
    pub(super) events: Vec<Event>,
    /// What it says about nodes; empty where it said nothing, or was killed: then what lies there may be half written.
    pub(super) results: RunResults,
}

impl Engine {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::V1(_) => "v1",
            Self::V2(_) => "v2",
        }
    }

    /// A call that may be made any number of times, made again where it is killed from outside.
    pub(super) async fn call_again(&self, call: &Call) -> CallEnd {
        let mut again = Again::new(ATTEMPTS);
        loop {
            let end = self.call(call).await;
            let was_killed = end.failure(call).is_some_and(|failure| failure.class == FailureClass::Killed);
            if !was_killed || !again.pause().await {
                return end;
            }
        }
    }

    pub(super) async fn call(&self, call: &Call) -> CallEnd {
        // What an earlier call left must not be taken for this one's.
        for stale in ["manifest.json", "run_results.json"] {
            let _ = fs_err::remove_file(call.directory.join("target").join(stale));
        }
        let mut arguments = call.arguments.clone();
        arguments.extend(
            ["--project-dir", ".", "--target-path", "target", "--log-path", "logs"].map(str::to_owned),
        );
        arguments.extend(["--profiles-dir".into(), call.profiles.display().to_string()]);
        arguments.extend(["--no-send-anonymous-usage-stats", "--no-version-check"].map(str::to_owned));
        let job = |arguments| Job {
            directory: call.directory.clone(),
            arguments,
            write: call.write.clone(),
            wall: call.wall,
            cpu: call.cpu,
        };
        let (end, events) = match self {
            Self::V1(pool) => {
                let log = call.directory.join("logs").join("dbt.log");
                let before = fs_err::metadata(&log).map_or(0, |file| file.len());
                let options =
                    ["--log-level", "none", "--log-level-file", "info", "--log-format-file", "json"];
                arguments.extend(options.map(str::to_owned));
                arguments.push("--no-use-colors-file".into());
                let answer = pool.run(&job(arguments)).await;
                let written = fs_err::read(&log).unwrap_or_default();
                let written = written.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default();
                (answer.end, events(&String::from_utf8_lossy(written)))
            }
            Self::V2(dbt) => {
                arguments.extend(["--log-format", "json", "--log-level", "info"].map(str::to_owned));
                let ended = dbt.run(&job(arguments)).await;
                (ended.end, events(&ended.log))
            }
        };
        let mut results = match &end {
            End::Finished(_) => {
                read(&call.directory.join("target/run_results.json"), RunResults::parse).unwrap_or_default()
            }
            _ => RunResults::default(),
        };
        if matches!(self, Self::V2(_)) {
            say_as_v1_does(&mut results, &events);
        }
        CallEnd { end, events, results }
    }
}

impl CallEnd {
    /// Why dbt did not get as far as running nodes; failures of nodes are in its results.
    pub(super) fn failure(&self, call: &Call) -> Option<Failure> {
        if let Some(failure) = of_call(&self.end, call.wall, call.cpu) {
            return Some(failure);
        }
        match &self.end {
            End::Finished(Finished { exception: Some(exception), .. }) => Some(of_exception(exception)),
            End::Finished(Finished { success: false, .. }) if self.says_nothing_about_nodes() => {
                let errors = || self.events.iter().filter(|event| event.info.level == "error");
                // One that a candidate could not cause is more telling than what follows from it.
                errors().find_map(|event| classify::of_event(&event.info.msg))
            }
            _ => None,
        }
    }

    /// The Rust dbt marks every node as an error when it stops before the first.
    fn says_nothing_about_nodes(&self) -> bool {
        self.results.results.iter().all(|result| match result.status {
            Status::Error => result.message == "Compilation Error",
            Status::Skipped => true,
            _ => false,
        })
    }

    /// Nodes that had been started when the call ended.
    pub(super) fn started(&self) -> impl Iterator<Item = &str> {
        self.events
            .iter()
            .filter(|event| event.info.name == "LogStartLine")
            .map(|event| event.data.node_info.unique_id.as_str())
    }
}

/// The Rust dbt reports a test that could not run as one that found a row, and a unit test that found a difference as one
/// that could not run; its log lines tell them apart.
fn say_as_v1_does(results: &mut RunResults, events: &[Event]) {
    // It drops columns that an input does not have, and runs the rest.
    let fixture = events.iter().find(|event| event.info.msg.contains(" of unit test fixture for "));
    for result in &mut results.results {
        if let Some(event) = fixture.filter(|_| result.unique_id.starts_with("unit_test.")) {
            result.status = Status::Error;
            result.message = event.info.msg.trim_start_matches("[warning]: ").to_owned();
            continue;
        }
        let start = format!("[error]: Error materializing test {} (", result.unique_id);
        let event = events.iter().find(|event| event.info.msg.starts_with(&start));
        match (&result.status, event) {
            (Status::Fail, Some(event)) => {
                result.status = Status::Error;
                let text = event.info.msg.split_once('\n').map_or(event.info.msg.as_str(), |(_, rest)| rest);
                result.message = text.replace(" Treating as failing test.", "");
            }
            (Status::Error, None)
                if result.unique_id.starts_with("unit_test.") && result.message == "Error" =>
            {
                result.status = Status::Fail;
                result.message = "its rows are not those that it expects".into();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbt::artifacts::RunResult;

    /// The Rust dbt says of both that one row failed.
    #[test]
    fn a_test_that_could_not_run_is_told_from_one_that_failed() {
        let result = |id: &str, status, message: &str| RunResult {
            unique_id: id.into(),
            status,
            message: message.into(),
            failures: Some(1),
            ..RunResult::default()
        };
        let mut results = RunResults {
            results: vec![
                result("test.shop.unique_m_id.1", Status::Fail, "Error"),
                result("test.shop.unique_m_no.2", Status::Fail, "Error"),
                result("unit_test.shop.m.u", Status::Error, "Error"),
            ],
        };
        let log = r#"{"info": {"level": "error", "msg": "[error]: Error materializing test test.shop.unique_m_no.2 (x)\nBinder Error: no. Treating as failing test."}, "data": {}}"#;
        say_as_v1_does(&mut results, &events(log));
        let said: Vec<(&Status, &str)> =
            results.results.iter().map(|result| (&result.status, result.message.as_str())).collect();
        assert_eq!(said[0], (&Status::Fail, "Error"));
        assert_eq!(said[1], (&Status::Error, "Binder Error: no."));
        assert_eq!(said[2].0, &Status::Fail);
    }
}
