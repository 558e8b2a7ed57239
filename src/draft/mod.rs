//! From a filled-in spec to a drafted model in the dbt project: the same generation and the same checks that a run
//! evaluates, for one request.
//!
//! ```text
//! Plan::new ─► the answer ─► the linter's fixes ─► the checks ─► files, all or none ─► the pull request's text
//! ```
//!
//! A draft that breaks the contract, has another name, is unsafe, or reads what the spec does not approve is never written. One
//! that fails another check is written for a person to mend, but not committed.

mod files;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::check::lint::Fixed;
use crate::check::{CheckId, CheckResult, Judge, Outcome, contract, request};
use crate::config::Config;
use crate::dbt::project;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, io_reason};
use crate::generate::answers::Usage;
use crate::generate::contract::Candidate;
use crate::generate::request::Task;
use crate::generate::secrets::Environment;
use crate::generate::{ErrorClass, GenerateError, Generator, Mode};
use crate::suite::lint::Relations;
use crate::suite::prompts::{self, PromptVersion};
use crate::suite::spec::{Point, Spec};
use crate::suite::{Case, Project};
use crate::tool::git::{self, Change, Commit};
use crate::tool::progress::Progress;
use crate::tool::state;

/// What is to be drafted, and how.
#[derive(Debug, Clone)]
pub struct Order {
    /// The filled-in spec.
    pub spec: PathBuf,
    /// Prompt version; `None`: the configuration's, else the only one.
    pub prompt: Option<String>,
    /// dbt project; `None`: the first of the configuration.
    pub project: Option<String>,
    /// Folder of the model, relative to the project; `None`: where the model is, else the first model path.
    pub folder: Option<PathBuf>,
    /// How the answer is got: `Record` or `Replay`.
    pub mode: Mode,
    /// Case whose recording is replayed; `None`: the draft's own.
    pub recording: Option<String>,
    /// Run the checks that need tools.
    pub tools: bool,
    /// Commit to a branch instead of writing into the work tree.
    pub commit: bool,
    /// Replace existing files; go on from an existing branch.
    pub force: bool,
    /// Where the pull request's text goes; `None`: below `.assay/drafts`.
    pub pull_request: Option<PathBuf>,
}

/// A draft that can be made: everything that can be wrong before a model is asked has been looked at.
#[derive(Debug)]
pub struct Plan {
    case: Case,
    prompt: PromptVersion,
    order: Order,
    branch: Option<(String, git::Place)>,
    /// Files of the draft that exist already, relative to the project: they would be replaced.
    pub existing: Vec<PathBuf>,
    /// Doubtful things that stop nothing.
    pub warnings: Vec<Diagnostic>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Drafted {
    /// Name of the model.
    pub model: String,
    /// Prompt version that drafted it.
    pub prompt: String,
    /// Folder of the dbt project.
    pub project: PathBuf,
    /// Its files, relative to the project; empty when nothing was fit to be written.
    pub files: Vec<File>,
    /// Checks in their order; those after a breach of the contract, and those that need a golden, are left out.
    pub checks: Vec<CheckResult>,
    /// The linter's fixes.
    pub fix: Fix,
    /// Where it went.
    pub ending: Ending,
    /// The file that holds the pull request's text.
    pub pull_request: Option<PathBuf>,
    /// Assumptions and risks, in the model's words.
    pub review_notes: Vec<String>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// Milliseconds that the model took.
    pub latency_ms: Option<u64>,
}

/// A file of a draft.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// Relative to the project.
    pub path: PathBuf,
    /// What was there before.
    #[serde(skip)]
    pub before: Option<String>,
    /// What is there now; `None`: the file of an earlier draft is taken out.
    #[serde(skip)]
    pub after: Option<String>,
    /// `added`, `changed`, `removed` or `unchanged`.
    pub change: &'static str,
}

/// What became of the linter's fixes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Fix {
    /// The linter; `None` when none was run.
    pub tool: Option<&'static str>,
    /// Violations before its fixes.
    pub before: usize,
    /// Violations that stayed.
    pub after: usize,
    /// Why its fixes were not taken over.
    pub refused: Option<String>,
    /// Seconds.
    pub seconds: f64,
}

impl Fix {
    /// What the linter found and fixed, in words; `None` when none was run.
    pub fn summary(&self) -> Option<String> {
        let tool = self.tool?;
        Some(match (self.before, self.after) {
            (0, _) => format!("{tool}: no violations"),
            (1, after) => format!("{tool}: 1 violation, {after} after its fixes"),
            (before, after) => format!("{tool}: {before} violations, {after} after its fixes"),
        })
    }
}

/// Where a draft went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// Into the work tree.
    Written,
    /// To a branch; the work tree is as it was.
    Committed {
        /// Branch.
        branch: String,
        /// Commit.
        commit: String,
    },
    /// A check failed, so it was written into the work tree instead of being committed.
    NotCommitted,
    /// Nowhere: it must not be in the project.
    Refused,
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// Faults in what a person wrote, or in the surroundings.
    #[error(transparent)]
    Faults(#[from] Diagnostics),
    /// No answer.
    #[error(transparent)]
    Answer(#[from] GenerateError),
}

impl From<Diagnostic> for DraftError {
    fn from(fault: Diagnostic) -> Self {
        Self::Faults(fault.into())
    }
}

impl Drafted {
    /// Whether a check that decides has this outcome.
    pub fn has(&self, outcome: Outcome) -> bool {
        self.checks.iter().any(|result| result.outcome == outcome && !result.check.is_advisory())
    }
}

impl Plan {
    /// Looks at spec, project, prompt version, files and branch.
    ///
    /// # Errors
    /// All faults that were found.
    pub fn new(config: &Config, order: Order) -> Result<Self, Diagnostics> {
        let mut faults = Diagnostics::default();
        let mut add = |found: Diagnostics| found.0.into_iter().for_each(|fault| faults.push(fault));
        let prompt = prompt(config, order.prompt.as_deref()).map_err(&mut add).ok();
        let project = project(config, order.project.as_deref()).map_err(&mut add).ok();
        let spec = spec(&order.spec, project.as_deref()).map_err(&mut add).ok();
        let (Some(prompt), Some(project), Some((spec, model))) = (prompt, project, spec) else {
            return Err(faults);
        };
        files::recover(&project.path)?;
        let folder = folder(&order, &project, &model)?;
        let mut warnings = spec.warnings();
        let case = Case::of_request(spec, model, project, &folder);
        let existing = existing(&case);
        let mut plan = Self { case, prompt, order, branch: None, existing, warnings: Vec::new() };
        plan.described_elsewhere(&mut faults);
        if plan.order.commit {
            match plan.find_branch() {
                Ok((branch, dirty)) => {
                    plan.branch = Some(branch);
                    warnings.extend(dirty);
                }
                Err(found) => found.0.into_iter().for_each(|fault| faults.push(fault)),
            }
        }
        plan.warnings = warnings;
        faults.into_result(plan)
    }

    /// Whether files of the work tree would be replaced that nobody agreed to lose.
    pub fn must_ask(&self) -> bool {
        !self.existing.is_empty() && !self.order.force && !self.order.commit
    }

    /// Folder of the dbt project.
    pub fn root(&self) -> &Path {
        &self.case.project.path
    }

    /// Somebody agreed that the existing files are replaced.
    #[must_use]
    pub fn replacing(mut self) -> Self {
        self.order.force = true;
        self
    }

    /// A second description of a model is an error in dbt.
    fn described_elsewhere(&self, faults: &mut Diagnostics) {
        let case = &self.case;
        let Ok(described) = case.project.dbt.properties() else { return };
        for (path, properties) in described {
            if path != case.target_yaml && properties.model(&case.model).is_some() {
                let message = format!("{} describes the model `{}` already", path.display(), case.model);
                faults.push(
                    Diagnostic::new("E_DRAFT_DESCRIBED", message)
                        .at(Place::file(case.project.path.join(path)))
                        .hint("take its entry out of that file first: dbt allows one description of a model"),
                );
            }
        }
    }

    /// The branch, and a warning when the checks will see more than the branch will have.
    fn find_branch(&self) -> Result<((String, git::Place), Option<Diagnostic>), Diagnostics> {
        let root = &self.case.project.path;
        let branch = format!("assist/{}", self.case.model);
        let trouble =
            |error: git::GitError| Diagnostic::new("E_DRAFT_GIT", error.to_string()).at(Place::file(root));
        let place = git::place(root, &branch).map_err(trouble)?;
        let mut faults = Diagnostics::default();
        if let Some(folder) = &place.checked_out {
            faults.push(
                Diagnostic::new("E_DRAFT_BRANCH", format!("the branch `{branch}` is checked out"))
                    .at(Place::file(folder))
                    .hint("switch to another branch there: a draft is never committed to a branch in use"),
            );
        } else if place.tip.is_some() && !self.order.force {
            faults.push(
                Diagnostic::new("E_DRAFT_BRANCH", format!("there is a branch `{branch}` already"))
                    .hint("--force adds a commit to it; `git branch -D` removes it"),
            );
        }
        let (own, others): (Vec<String>, Vec<String>) = {
            let targets = self.targets();
            let targets: Vec<&Path> = targets.iter().map(PathBuf::as_path).collect();
            let own = git::dirty(root, &targets).map_err(trouble)?;
            let all = git::dirty(root, &[Path::new(".")]).map_err(trouble)?;
            let others = all.into_iter().filter(|path| !own.contains(path)).collect();
            (own, others)
        };
        for path in own {
            faults.push(
                Diagnostic::new("E_DRAFT_DIRTY", format!("{path} has changes that are not committed"))
                    .hint("commit or undo them first: the draft would be based on something else"),
            );
        }
        let warning = (!others.is_empty()).then(|| {
            let message = format!(
                "the checks see changes of the project that are not committed, and the branch will not have them: {}",
                others.join(", ")
            );
            Diagnostic::new("W_DRAFT_DIRTY", message)
        });
        faults.into_result(((branch, place), warning))
    }

    /// Every path that the draft may write, but the tests: how many there are is not known yet.
    fn targets(&self) -> Vec<PathBuf> {
        let case = &self.case;
        let mut targets = vec![case.target_sql.clone(), case.target_yaml.clone(), notes_path(&case.model)];
        targets
            .extend(self.existing.iter().filter(|path| !targets.contains(path)).cloned().collect::<Vec<_>>());
        targets
    }

    /// Asks for the model, checks it, writes it.
    ///
    /// # Errors
    /// No answer; tools that cannot be set up; files that cannot be written, or have come into being meanwhile.
    pub async fn make(
        self,
        config: &Config,
        progress: impl Fn(Progress) + Sync,
    ) -> Result<Drafted, DraftError> {
        let environment = Environment::load(&config.root);
        let generator =
            Generator::new(config, std::slice::from_ref(&self.prompt), self.order.mode, &environment)?;
        let mut task = Task::of_case(&self.case);
        if let Some(id) = &self.order.recording {
            task.id.clone_from(id);
        }
        let verb = if self.order.mode == Mode::Replay { "replaying" } else { "asking" };
        progress(format!("{verb} {} with {}", self.prompt.model, self.prompt.name).into());
        let answer =
            generator.answer_task(&task, &self.prompt, 0).await.map_err(|error| match error.class {
                ErrorClass::Missing | ErrorClass::Stale => {
                    error.hint("leave out --from-recording to ask the model")
                }
                _ => error,
            })?;
        generator.finish()?;
        let mut drafted = Drafted {
            model: self.case.model.clone(),
            prompt: self.prompt.name.clone(),
            project: self.case.project.path.clone(),
            files: Vec::new(),
            checks: Vec::new(),
            fix: Fix::default(),
            ending: Ending::Refused,
            pull_request: None,
            review_notes: Vec::new(),
            usage: answer.usage.clone(),
            latency_ms: answer.latency_ms,
        };
        let (contract, candidate) = contract::check(&answer);
        let Some(mut candidate) = candidate else {
            drafted.checks = vec![contract];
            return Ok(drafted);
        };
        let judge = Judge::new(config, std::slice::from_ref(&self.case), self.order.tools, &progress).await?;
        if self.order.tools {
            progress("fixing the format".into());
            drafted.fix = self.fix(&judge, &mut candidate).await;
        }
        progress("checking the draft".into());
        drafted.checks = judge.vet(&self.case, &candidate, contract).await;
        // These compare with a golden, and there is none; what the rows say by themselves stays.
        drafted.checks.retain(|result| match result.check {
            CheckId::Columns => false,
            CheckId::Rows => result.outcome != Outcome::Skipped || result.findings.len() > 1,
            _ => true,
        });
        drafted.review_notes.clone_from(&candidate.review_notes);
        if is_refused(&drafted.checks) {
            return Ok(drafted);
        }
        drafted.files = self.files(&candidate)?;
        let leaks =
            |file: &File| file.after.as_ref().is_some_and(|text| generator.secrets().leaks(text.as_bytes()));
        if drafted.files.iter().any(leaks) {
            return Err(Diagnostic::new("E_SECRET", "not written: a key would be in it").into());
        }
        drafted.ending = self.put(&drafted)?;
        let path = match &self.order.pull_request {
            Some(path) => path.clone(),
            None => state::create(&config.root, "drafts")
                .map_err(|error| Diagnostic::new("E_DRAFT_WRITE", error.to_string()))?
                .join(format!("{}.md", self.case.model)),
        };
        let text = text::pull_request(&drafted, &self.case.spec, &self.prompt);
        write_text(&path, &generator.secrets().redact(&text))?;
        drafted.pull_request = Some(path);
        Ok(drafted)
    }

    async fn fix(&self, judge: &Judge, candidate: &mut Candidate) -> Fix {
        let started = Instant::now();
        let fixed = judge.fix(&self.case, &candidate.sql).await;
        let seconds = started.elapsed().as_secs_f64();
        match fixed {
            Ok(Fixed { sql, tool, before, after }) => {
                candidate.sql = sql;
                Fix { tool: Some(tool), before, after, refused: None, seconds }
            }
            Err(why) => Fix { refused: Some(why), seconds, ..Fix::default() },
        }
    }

    /// The draft's files with what is there now, those of an earlier draft that it no longer has included.
    fn files(&self, candidate: &Candidate) -> Result<Vec<File>, Diagnostics> {
        let case = &self.case;
        let request = request::of(case, candidate);
        let folder = case.project.dbt.test_paths.first().cloned().unwrap_or_else(|| "tests".into());
        let mut wanted = vec![(request.sql_path, request.sql), (request.yaml_path, request.yaml)];
        wanted.extend(
            request.singular_tests.into_iter().map(|(name, sql)| (folder.join(format!("{name}.sql")), sql)),
        );
        wanted.push((notes_path(&case.model), text::notes(candidate, &case.spec.path, &self.prompt)));
        let mut files = Vec::new();
        for (path, text) in wanted {
            let before = current(&case.project.path, &path)?;
            let after = Some(ended(text));
            files.push(File { change: change(&before, &after), path, before, after });
        }
        for path in &self.existing {
            if !files.iter().any(|file| file.path == *path) {
                let before = current(&case.project.path, path)?;
                files.push(File { change: "removed", path: path.clone(), before, after: None });
            }
        }
        Ok(files)
    }

    fn put(&self, drafted: &Drafted) -> Result<Ending, DraftError> {
        let root = &self.case.project.path;
        let changes: Vec<Change> = drafted
            .files
            .iter()
            .map(|file| Change { path: file.path.clone(), text: file.after.clone() })
            .collect();
        let ran = drafted
            .checks
            .iter()
            .any(|result| result.check == CheckId::Compile && result.outcome == Outcome::Passed);
        let passes = ran && !drafted.has(Outcome::Failed) && !drafted.has(Outcome::Errored);
        if let Some((branch, place)) = self.branch.as_ref().filter(|_| passes) {
            let scratch =
                tempfile::tempdir().map_err(|error| Diagnostic::new("E_DRAFT_GIT", error.to_string()))?;
            let message = text::commit_message(drafted, &self.case.spec, &self.prompt);
            let commit = Commit { branch, place, changes: &changes, message: &message };
            let id = git::commit(root, &commit, &scratch.path().join("index"))
                .map_err(|error| Diagnostic::new("E_DRAFT_GIT", error.to_string()).at(Place::file(root)))?;
            return Ok(Ending::Committed { branch: branch.clone(), commit: id });
        }
        if !self.order.force {
            // Nobody was asked about these: tests beyond those of before, or files that came into being meanwhile.
            let mut faults = Diagnostics::default();
            drafted
                .files
                .iter()
                .filter(|file| file.before.is_some() && file.change != "unchanged")
                .for_each(|file| faults.push(exists(&root.join(&file.path))));
            faults.into_result(())?;
        }
        files::write(root, &changes)?;
        Ok(if self.branch.is_some() { Ending::NotCommitted } else { Ending::Written })
    }
}

/// The fault of a file that would be replaced.
pub fn exists(path: &Path) -> Diagnostic {
    Diagnostic::new("E_DRAFT_EXISTS", "the file exists already")
        .at(Place::file(path))
        .hint("--force replaces it; --commit leaves it alone and puts the draft on a branch")
}

fn notes_path(model: &str) -> PathBuf {
    PathBuf::from("notes").join(format!("{model}.md"))
}

fn ended(mut text: String) -> String {
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn change(before: &Option<String>, after: &Option<String>) -> &'static str {
    match (before, after) {
        (None, _) => "added",
        (Some(_), None) => "removed",
        (Some(before), Some(after)) if before == after => "unchanged",
        _ => "changed",
    }
}

fn current(root: &Path, path: &Path) -> Result<Option<String>, Diagnostics> {
    match fs_err::read(root.join(path)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(Diagnostic::new("E_DRAFT_WRITE", io_reason(&error)).at(Place::file(root.join(path))).into())
        }
    }
}

fn write_text(path: &Path, text: &str) -> Result<(), Diagnostics> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs_err::create_dir_all(folder)
        .and_then(|()| fs_err::write(path, text))
        .map_err(|error| Diagnostic::new("E_DRAFT_WRITE", error.to_string()).into())
}

/// Whether a draft must not be in the project at all.
fn is_refused(checks: &[CheckResult]) -> bool {
    const HARD: [CheckId; 4] = [CheckId::Contract, CheckId::Name, CheckId::Safety, CheckId::Sources];
    checks.iter().any(|result| result.outcome == Outcome::Failed && HARD.contains(&result.check))
}

fn prompt(config: &Config, name: Option<&str>) -> Result<PromptVersion, Diagnostics> {
    let configured = Some(config.draft.prompt.as_str()).filter(|name| !name.is_empty());
    let wanted: Vec<String> = name.or(configured).map(str::to_owned).into_iter().collect();
    let mut versions = prompts::load(config, &wanted)?;
    match (versions.pop(), versions.is_empty()) {
        (Some(version), true) => Ok(version),
        (last, _) => {
            let names: Vec<&str> =
                versions.iter().chain(&last).map(|version| version.name.as_str()).collect();
            Err(Diagnostic::new("E_PROMPT_CHOICE", "there are several prompt versions")
                .hint(format!("choose with --prompt or `draft.prompt` of assay.toml: {}", names.join(", ")))
                .into())
        }
    }
}

fn project(config: &Config, name: Option<&str>) -> Result<Arc<Project>, Diagnostics> {
    let known = &config.projects;
    let found = name.map_or_else(|| known.first(), |name| known.get_key_value(name));
    let Some((name, entry)) = found else {
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let message = name.map_or_else(
            || "no dbt project is configured".to_owned(),
            |name| format!("project `{name}` is unknown"),
        );
        let hint = match names.is_empty() {
            true => "add a table `[projects.NAME]` with its path to assay.toml".to_owned(),
            false => format!("projects in assay.toml: {}", names.join(", ")),
        };
        return Err(Diagnostic::new("E_PROJECT_UNKNOWN", message).hint(hint).into());
    };
    let path = config.resolve(&entry.path);
    let dbt = project::Project::read(&path)?;
    let (name, as_of) = (name.clone(), None);
    Ok(Arc::new(Project { name, path, dialect: entry.dialect, as_of, dbt, datasets: Vec::new() }))
}

/// The spec and the model's name, when nothing is wrong with them.
fn spec(path: &Path, project: Option<&Project>) -> Result<(Spec, String), Diagnostics> {
    let text = fs_err::read_to_string(path).map_err(|error| {
        Diagnostic::new("E_SPEC_MISSING", format!("cannot read the spec: {}", io_reason(&error)))
            .at(Place::file(path))
            .hint("`assay spec new` writes the form")
    })?;
    let spec = Spec::parse(path, &text);
    let mut faults = Diagnostics::default();
    spec.faults().into_iter().for_each(|fault| faults.push(fault));
    if let Some(project) = project {
        match Relations::read(&project.dbt) {
            Ok(relations) => relations.unknown(&spec).into_iter().for_each(|fault| faults.push(fault)),
            Err(found) => found.0.into_iter().for_each(|fault| faults.push(fault)),
        }
    }
    let name = spec.model_name().unwrap_or_default();
    let usual = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 63
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !usual && !name.is_empty() {
        let line =
            spec.entries.iter().find(|entry| entry.point == Point::Model).map_or(1, |entry| entry.line);
        faults.push(
            Diagnostic::new("E_SPEC_MODEL", format!("`{}` is not a model name", name.escape_debug()))
                .at(Place::line(path, line, &text))
                .hint("begin the point with the name in backticks: small letters, digits and underscores"),
        );
    }
    faults.into_result((spec, name))
}

/// Where the model goes: where it is, where it was asked to go, or the first model path.
fn folder(order: &Order, project: &Project, model: &str) -> Result<PathBuf, Diagnostics> {
    let known = project.dbt.models().into_iter().find(|file| file.name == model);
    let known = known.and_then(|file| file.path.parent().map(Path::to_path_buf));
    match (&order.folder, known) {
        (Some(wanted), Some(known)) if *wanted != known => Err(Diagnostic::new(
            "E_DRAFT_DUPLICATE",
            format!("the project has a model `{model}` in {} already", known.display()),
        )
        .hint("model names are unique in dbt: move it first, or leave out --folder")
        .into()),
        (Some(wanted), _) => {
            let inside = project.dbt.model_paths.iter().any(|path| wanted.starts_with(path))
                && wanted.components().all(|part| matches!(part, std::path::Component::Normal(_)));
            if inside {
                return Ok(wanted.clone());
            }
            let paths: Vec<String> =
                project.dbt.model_paths.iter().map(|path| path.display().to_string()).collect();
            Err(Diagnostic::new("E_DRAFT_PATH", format!("`{}` is not below a model path", wanted.display()))
                .hint(format!("model paths of the project: {}", paths.join(", ")))
                .into())
        }
        (None, Some(known)) => Ok(known),
        (None, None) => {
            Ok(project.dbt.model_paths.first().cloned().unwrap_or_else(|| PathBuf::from("models")))
        }
    }
}

/// Files of this or an earlier draft of the model.
fn existing(case: &Case) -> Vec<PathBuf> {
    let root = &case.project.path;
    let mut found: Vec<PathBuf> =
        [case.target_sql.clone(), case.target_yaml.clone(), notes_path(&case.model)]
            .into_iter()
            .filter(|path| root.join(path).exists())
            .collect();
    let folder = case.project.dbt.test_paths.first().cloned().unwrap_or_else(|| "tests".into());
    let names = fs_err::read_dir(root.join(&folder)).into_iter().flatten().flatten();
    let mut tests: Vec<PathBuf> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            name.strip_prefix(&format!("{}_test_", case.model))
                .and_then(|rest| rest.strip_suffix(".sql"))
                .is_some_and(|number| !number.is_empty() && number.chars().all(|c| c.is_ascii_digit()))
        })
        .map(|name| folder.join(name))
        .collect();
    tests.sort();
    found.extend(tests);
    found
}
