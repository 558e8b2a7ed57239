//! The engines that can run dbt, behind one call: arguments in, the end and the log events out. Artifacts are read from
//! the directory by the caller, alike for every engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::classify::{Failure, of_call, of_exception};
use crate::dbt::artifacts::{Event, events};
use crate::tool::dbt::{End, Finished, Job, Pool};

/// An engine.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    /// Warm dbt-core 1.x workers.
    V1(Arc<Pool>),
}

/// A dbt command in a directory.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) directory: PathBuf,
    /// Folder of `profiles.yml`.
    pub(super) profiles: PathBuf,
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
}

impl Engine {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::V1(_) => "v1",
        }
    }

    pub(super) async fn call(&self, call: &Call) -> CallEnd {
        let Self::V1(pool) = self;
        let log = call.directory.join("logs").join("dbt.log");
        let before = fs_err::metadata(&log).map_or(0, |file| file.len());
        let mut arguments = call.arguments.clone();
        arguments.extend(
            [
                "--project-dir",
                ".",
                "--target-path",
                "target",
                "--log-path",
                "logs",
                "--log-level",
                "none",
                "--log-level-file",
                "info",
                "--log-format-file",
                "json",
                "--no-use-colors-file",
                "--no-send-anonymous-usage-stats",
                "--no-version-check",
            ]
            .map(str::to_owned),
        );
        arguments.push("--profiles-dir".into());
        arguments.push(call.profiles.display().to_string());
        let job = Job { directory: call.directory.clone(), arguments, wall: call.wall, cpu: call.cpu };
        let invocation = pool.run(&job).await;
        let written = fs_err::read(&log).unwrap_or_default();
        let written = written.get(usize::try_from(before).unwrap_or(0)..).unwrap_or_default();
        CallEnd { end: invocation.end, events: events(&String::from_utf8_lossy(written)) }
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
            _ => None,
        }
    }

    /// Nodes that had been started when the call ended.
    pub(super) fn started(&self) -> impl Iterator<Item = &str> {
        self.events
            .iter()
            .filter(|event| event.info.name == "LogStartLine")
            .map(|event| event.data.node_info.unique_id.as_str())
    }
}
