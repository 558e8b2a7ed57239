//! Naming failures of dbt: one documented list of classes, and the rules that tell them apart.
//!
//! Order of evidence: our own reason for killing, then the signal, then dbt's exception and results. The exit code alone
//! decides nothing.

mod v2;

use serde::{Deserialize, Serialize};

pub(super) use v2::of_event;

use crate::dbt::artifacts::plain;
use crate::tool::dbt::Exception;
use crate::tool::process::KillReason;
use crate::tool::worker::End;

/// Why dbt did not accept a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// A file name or path that cannot be written into the project.
    Format,
    /// The schema YAML does not parse, or dbt does not accept its content.
    YamlInvalid,
    /// Broken Jinja.
    JinjaSyntax,
    /// A macro, function or variable that does not exist.
    UnknownMacro,
    /// `ref` of a model that does not exist.
    MissingRef,
    /// `source` that is not declared.
    MissingSource,
    /// A generic test that does not exist.
    UnknownTest,
    /// A resource of this name exists already.
    DuplicateNode,
    /// The model depends on itself.
    Cycle,
    /// Files, network or settings that are locked.
    PolicyViolation,
    /// A package is not installed.
    PackageMissing,
    /// An environment variable that is not set.
    EnvMissing,
    /// The model's own Jinja raised an error.
    CompileRaise,
    /// SQL that the database cannot parse.
    DbParse,
    /// A table, column or function that the database does not know, or types that do not fit.
    DbBind,
    /// SQL that fails on the data: casts, overflows, constraints.
    DbRuntime,
    /// Columns differ from the model's enforced contract.
    ContractViolation,
    /// A test found rows.
    TestFail,
    /// A test with severity `warn` found rows.
    TestWarn,
    /// A test could not run.
    TestError,
    /// A unit test found a difference.
    UnitTestFail,
    /// A unit test could not run.
    UnitTestError,
    /// A declared test did not run.
    TestsNotRun,
    /// dbt was content, but built nothing: the model is disabled or ephemeral.
    NothingBuilt,
    /// It used up its time.
    Timeout,
    /// It used up its CPU time, memory or file size.
    ResourceLimit,
    /// A model that it reads could not be built beforehand.
    UpstreamFailed,
    /// dbt or the database crashed.
    EngineCrash,
    /// The process was killed from outside: by a person, or by a system without memory.
    Killed,
    /// A driver, a lock, the disk, or a machine too busy.
    Infra,
}

/// The check that a class belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// dbt compiles it.
    Compile,
    /// dbt builds it.
    Run,
    /// Its tests ran and pass.
    Tests,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 30] = [
        Self::Format,
        Self::YamlInvalid,
        Self::JinjaSyntax,
        Self::UnknownMacro,
        Self::MissingRef,
        Self::MissingSource,
        Self::UnknownTest,
        Self::DuplicateNode,
        Self::Cycle,
        Self::PolicyViolation,
        Self::PackageMissing,
        Self::EnvMissing,
        Self::CompileRaise,
        Self::DbParse,
        Self::DbBind,
        Self::DbRuntime,
        Self::ContractViolation,
        Self::TestFail,
        Self::TestWarn,
        Self::TestError,
        Self::UnitTestFail,
        Self::UnitTestError,
        Self::TestsNotRun,
        Self::NothingBuilt,
        Self::Timeout,
        Self::ResourceLimit,
        Self::UpstreamFailed,
        Self::EngineCrash,
        Self::Killed,
        Self::Infra,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::YamlInvalid => "yaml_invalid",
            Self::JinjaSyntax => "jinja_syntax",
            Self::UnknownMacro => "unknown_macro",
            Self::MissingRef => "missing_ref",
            Self::MissingSource => "missing_source",
            Self::UnknownTest => "unknown_test",
            Self::DuplicateNode => "duplicate_node",
            Self::Cycle => "cycle",
            Self::PolicyViolation => "policy_violation",
            Self::PackageMissing => "package_missing",
            Self::EnvMissing => "env_missing",
            Self::CompileRaise => "compile_raise",
            Self::DbParse => "db_parse",
            Self::DbBind => "db_bind",
            Self::DbRuntime => "db_runtime",
            Self::ContractViolation => "contract_violation",
            Self::TestFail => "test_fail",
            Self::TestWarn => "test_warn",
            Self::TestError => "test_error",
            Self::UnitTestFail => "unit_test_fail",
            Self::UnitTestError => "unit_test_error",
            Self::TestsNotRun => "tests_not_run",
            Self::NothingBuilt => "nothing_built",
            Self::Timeout => "timeout",
            Self::ResourceLimit => "resource_limit",
            Self::UpstreamFailed => "upstream_failed",
            Self::EngineCrash => "engine_crash",
            Self::Killed => "killed",
            Self::Infra => "infra",
        }
    }

    /// Whether the candidate is not to blame: such a build is errored.
    pub fn is_infrastructure(self) -> bool {
        self.is_transient() || matches!(self, Self::UpstreamFailed | Self::PackageMissing)
    }

    /// Whether it may end otherwise at another attempt.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::EngineCrash | Self::Killed | Self::Infra)
    }
}

impl std::fmt::Display for FailureClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A named failure with the shortest message that lets a person mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub class: FailureClass,
    /// In words.
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;

/// The failure of a job that did not come to its end; `None` when it did. `wall` and `cpu` are the limits it ran under.
///
/// A candidate that burned its CPU time is to blame for it. One that ran out of wall time without using the CPU waited
/// for something: the machine is to blame.
pub fn of_call<T>(end: &End<T>, wall: std::time::Duration, cpu: std::time::Duration) -> Option<Failure> {
    use FailureClass::{EngineCrash, Infra, Killed, ResourceLimit, Timeout};
    let failure = match end {
        End::Finished(_) => return None,
        End::NotStarted(why) => Failure::new(Infra, why.clone()),
        End::Killed(KillReason::Wall { cpu: used }) => {
            let busy = used.is_some_and(|used| used * 2 >= wall.min(cpu));
            let text = format!("stopped after {} s", wall.as_secs());
            match busy {
                true => Failure::new(Timeout, text),
                false => {
                    Failure::new(Infra, format!("{text} without using the CPU: the machine is too busy"))
                }
            }
        }
        End::Killed(KillReason::Output) => Failure::new(ResourceLimit, "wrote too much output"),
        End::Died { signal: Some(SIGXCPU), .. } => {
            Failure::new(ResourceLimit, format!("used more than {} s of CPU time", cpu.as_secs()))
        }
        End::Died { signal: Some(SIGKILL), .. } => {
            Failure::new(Killed, "it was killed from outside (is the machine out of memory?)")
        }
        End::Died { stderr, .. }
            if ["MemoryError", "bad_alloc", "memory allocation of"].iter().any(|w| stderr.contains(w)) =>
        {
            Failure::new(ResourceLimit, "used more memory than allowed")
        }
        End::Died { signal, code, stderr } => {
            let how = match (signal, code) {
                (Some(signal), _) => format!("signal {signal}"),
                (None, Some(code)) => format!("exit code {code}"),
                (None, None) => "unknown end".into(),
            };
            let last = stderr.lines().last().unwrap_or_default();
            Failure::new(EngineCrash, format!("it crashed ({how}) {last}").trim_end().to_owned())
        }
    };
    Some(failure)
}

/// The failure that ended dbt before any node ran: parsing, mostly.
pub fn of_exception(exception: &Exception) -> Failure {
    let text = plain(&exception.message);
    let class = match exception.kind.as_str() {
        "DuplicateResourceNameError"
        | "AmbiguousAliasError"
        | "DuplicatePatchPathError"
        | "DuplicateMacroNameError"
        | "AmbiguousResourceNameRefError"
        | "DuplicateVersionedUnversionedError" => FailureClass::DuplicateNode,
        "EnvVarMissingError" => FailureClass::EnvMissing,
        "UninstalledPackagesFoundError" => FailureClass::PackageMissing,
        "YamlLoadError"
        | "YamlParseDictError"
        | "YamlParseListError"
        | "YamlParseError"
        | "JSONValidationError"
        | "SchemaConfigError" => FailureClass::YamlInvalid,
        "MemoryError" => FailureClass::ResourceLimit,
        "RecursionError" => FailureClass::CompileRaise,
        _ => of_parse_text(&text),
    };
    Failure::new(class, shorten(&text))
}

fn of_parse_text(text: &str) -> FailureClass {
    use FailureClass as C;
    let has = |word: &str| text.contains(word);
    if let Some(class) = of_machine_text(text) {
        class
    } else if text.trim_start().starts_with("Compilation Error in ") && text.trim().lines().count() == 1 {
        // Python's MemoryError has no text of its own: the heading is all there is.
        C::ResourceLimit
    } else if has("which was not found") || has("which is disabled") {
        if has("depends on a source named") { C::MissingSource } else { C::MissingRef }
    } else if has("dbt found two") || has("dbt found more than one") || has("Duplicate") {
        C::DuplicateNode
    } else if has("Found a cycle") {
        C::Cycle
    } else if has("Env var required but not provided") {
        C::EnvMissing
    } else if has("Run \"dbt deps\"") {
        C::PackageMissing
    } else if let Some(class) = of_jinja_text(text) {
        class
    } else if has(".yml") || has(".yaml") || has("YAML") {
        C::YamlInvalid
    } else {
        C::CompileRaise
    }
}

fn of_jinja_text(text: &str) -> Option<FailureClass> {
    const SYNTAX: &[&str] = &[
        "Unexpected end of template",
        "Encountered unknown tag",
        "expected token",
        "unexpected char",
        "unexpected '",
        "Missing end of",
        "got 'end of",
        "tag name expected",
        "unknown block",
        "Unclosed",
        "end of print statement",
        "end of statement block",
        "No filter named",
        "No test named",
    ];
    let has = |word: &&str| text.contains(*word);
    if text.contains("is undefined") && text.contains("'test_") {
        Some(FailureClass::UnknownTest)
    } else if text.contains("is undefined") || text.contains("has no attribute") {
        Some(FailureClass::UnknownMacro)
    } else if SYNTAX.iter().any(has) {
        Some(FailureClass::JinjaSyntax)
    } else {
        None
    }
}

/// Faults that are not the candidate's, and limits.
fn of_machine_text(text: &str) -> Option<FailureClass> {
    const INFRA: &[&str] = &[
        "Could not set lock",
        "Conflicting lock",
        "No space left",
        "Too many open files",
        "not a valid DuckDB",
    ];
    if INFRA.iter().any(|word| text.contains(word)) {
        Some(FailureClass::Infra)
    } else if text.contains("Out of Memory Error")
        || text.contains("MemoryError")
        || text.contains("File too large")
    {
        Some(FailureClass::ResourceLimit)
    } else if text.contains("INTERNAL Error") || text.contains("FATAL Error") {
        Some(FailureClass::EngineCrash)
    } else {
        None
    }
}

/// The failure of a model, from the message in its result. `compiled`: whether its SQL had been compiled.
pub fn of_model(message: &str, compiled: bool) -> (Gate, Failure) {
    use FailureClass as C;
    let text = plain(message);
    let failure = |class| Failure::new(class, shorten(&text));
    if text.contains("enforced contract that failed") || text.contains("contract enforcement") {
        return (Gate::Run, failure(C::ContractViolation));
    }
    if let Some(class) = of_machine_text(&text) {
        return (if compiled { Gate::Run } else { Gate::Compile }, failure(class));
    }
    if let Some(class) = of_database_text(&text) {
        return (Gate::Run, failure(class));
    }
    if text.contains("Compilation Error") || text.contains("Materialization macro not found") || !compiled {
        return (Gate::Compile, failure(of_parse_text(&text)));
    }
    match text.contains("Runtime Error") || text.contains("Database Error") {
        true => (Gate::Run, failure(C::DbRuntime)),
        false => (Gate::Run, failure(C::EngineCrash)),
    }
}

/// The class of an error that the database raised, by DuckDB's own names for them.
fn of_database_text(text: &str) -> Option<FailureClass> {
    use FailureClass as C;
    const NAMES: &[(&str, FailureClass)] = &[
        ("Parser Error:", C::DbParse),
        ("Syntax Error:", C::DbParse),
        ("Binder Error:", C::DbBind),
        ("Catalog Error:", C::DbBind),
        ("Permission Error:", C::PolicyViolation),
        ("Missing Extension Error:", C::PolicyViolation),
        ("Conversion Error:", C::DbRuntime),
        ("Constraint Error:", C::DbRuntime),
        ("Invalid Input Error:", C::DbRuntime),
        ("Out of Range Error:", C::DbRuntime),
        ("Not implemented Error:", C::DbRuntime),
        ("Mismatch Type Error:", C::DbRuntime),
        ("Dependency Error:", C::DbRuntime),
        ("TransactionContext Error:", C::DbRuntime),
        ("Sequence Error:", C::DbRuntime),
        ("Serialization Error:", C::DbRuntime),
    ];
    if text.contains("has been locked") || text.contains("disabled by configuration") {
        return Some(C::PolicyViolation);
    }
    NAMES.iter().find(|(name, _)| text.contains(name)).map(|(_, class)| *class)
}

/// The failure of a test that could not run.
pub fn of_test_error(message: &str, unit: bool) -> Failure {
    let text = plain(message);
    let class = match of_machine_text(&text) {
        Some(class) => class,
        None if unit => FailureClass::UnitTestError,
        None if text.contains("is undefined") && text.contains("'test_") => FailureClass::UnknownTest,
        None => FailureClass::TestError,
    };
    Failure::new(class, shorten(&text))
}

/// The lines that say what is wrong: without the headings that repeat where, without empty lines, at most eight.
pub fn shorten(text: &str) -> String {
    const HEADINGS: &[&str] = &[
        "Compilation Error",
        "Runtime Error",
        "Database Error",
        "Parsing Error",
        "compiled code at",
        "compiled Code at",
        "Error in ",
    ];
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).collect();
    let kept: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !HEADINGS.iter().any(|heading| line.trim_start().starts_with(heading)))
        .collect();
    let lines = if kept.is_empty() { lines } else { kept };
    let indent =
        lines.iter().map(|line| line.bytes().take_while(|byte| *byte == b' ').count()).min().unwrap_or(0);
    let mut out = String::new();
    for line in lines.iter().take(8) {
        if !out.is_empty() {
            out.push('\n');
        }
        out.extend(line.get(indent..).unwrap_or(line).chars().take(400));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tool::dbt::Finished;

    #[test]
    fn every_class_has_one_name() {
        let mut names: Vec<&str> = FailureClass::ALL.iter().map(|class| class.name()).collect();
        for (class, name) in FailureClass::ALL.iter().zip(&names) {
            assert_eq!(serde_json::to_value(class).expect("a name"), **name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FailureClass::ALL.len());
    }

    #[test]
    fn a_killed_candidate_is_to_blame_only_if_it_used_the_cpu() {
        let (wall, cpu) = (Duration::from_secs(60), Duration::from_secs(30));
        let class = |end: End<Finished>| of_call(&end, wall, cpu).map(|failure| failure.class);
        let killed = |used| End::Killed(KillReason::Wall { cpu: used });
        assert_eq!(class(killed(Some(Duration::from_secs(20)))), Some(FailureClass::Timeout));
        assert_eq!(class(killed(Some(Duration::from_secs(2)))), Some(FailureClass::Infra));
        assert_eq!(class(killed(None)), Some(FailureClass::Infra));
        let died = |signal| End::Died { signal: Some(signal), code: None, stderr: String::new() };
        assert_eq!(class(died(24)), Some(FailureClass::ResourceLimit));
        assert_eq!(class(died(9)), Some(FailureClass::Killed));
        assert_eq!(class(died(11)), Some(FailureClass::EngineCrash));
        assert_eq!(class(End::Finished(Finished { success: true, exception: None })), None);
    }

    #[test]
    fn messages_keep_what_matters() {
        let text = "Runtime Error in model m (models/m.sql)\n  Binder Error: no column \"x\"\n  \n  LINE 3: select x\n                 ^";
        assert_eq!(shorten(text), "Binder Error: no column \"x\"\nLINE 3: select x\n               ^");
        assert_eq!(shorten("Compilation Error"), "Compilation Error");
        assert_eq!(shorten(""), "");
        assert_eq!(shorten("  é\n \u{a0}ü"), " é\n\u{a0}ü");
    }
}
