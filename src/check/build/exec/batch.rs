//! Compiling many candidates in one dbt call. Each is put beside the project's own files under a name that nobody can
//! guess; in what comes out, the name is put right. While what one call compiled is executed, the next batch gathers.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::super::engine::{Call, CallEnd};
use super::super::engines::{Dbt, Engines};
use super::super::template::{Template, read};
use super::super::workspace::{WorkRoot, copy_tree};
use super::super::{BuildRequest, Project, judge, test_path, write_new};
use crate::dbt::artifacts::{Manifest, Node, Status};
use crate::dbt::yaml;
use crate::tool::worker::End;

/// Candidates in one call.
const LARGEST: usize = 64;

/// CPU time that each candidate adds to a call.
const EACH: Duration = Duration::from_millis(300);

/// How long a call waits for those who start together.
const TOGETHER: Duration = Duration::from_millis(20);

/// How long a call waits at most for those who are still executed, and after whom others come.
const GATHER: Duration = Duration::from_secs(1);

/// Compiles batches of candidates of one project.
#[derive(Debug)]
pub(super) struct Batches {
    project: Project,
    template: PathBuf,
    compiler: Dbt,
    engines: Engines,
    queue: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
    /// How many are.
    executing: watch::Sender<usize>,
}

#[derive(Debug)]
struct Waiting {
    request: BuildRequest,
    answer: oneshot::Sender<Option<(Compiled, Executing)>>,
}

/// A candidate that was compiled and is executed, until this is dropped.
#[derive(Debug)]
pub(super) struct Executing(watch::Sender<usize>);

impl Executing {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Executing {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A candidate as dbt compiled it, under its own name again.
#[derive(Debug)]
pub(in super::super) struct Compiled {
    /// Its node.
    pub(super) model: Node,
    /// Its SQL.
    pub(super) sql: String,
    /// Its tests with their SQL.
    pub(super) tests: Vec<(Node, String)>,
    /// Paths of its singular tests.
    pub(super) singular: Vec<String>,
}

impl Compiled {
    /// What the model and its singular tests were compiled to.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let is_singular = |node: &Node| self.singular.contains(&node.original_file_path);
        let tests = self.tests.iter().filter(move |(node, _)| is_singular(node));
        tests.map(|(_, sql)| sql.as_str()).chain([self.sql.as_str()])
    }

    /// As a manifest that holds nothing else, with compiled SQL by unique id, and the paths of the singular tests.
    pub(super) fn into_manifest(self) -> (Manifest, BTreeMap<String, String>, Vec<String>) {
        let all = self.tests.into_iter().chain([(self.model, self.sql)]);
        let (nodes, texts) =
            all.map(|(node, sql)| ((node.unique_id.clone(), node.clone()), (node.unique_id, sql))).unzip();
        (Manifest { nodes, ..Manifest::default() }, texts, self.singular)
    }
}

impl Batches {
    pub(super) fn new(project: &Project, template: &Template, engines: &Engines, compiler: &Dbt) -> Self {
        Self {
            project: project.clone(),
            template: template.project.clone(),
            compiler: compiler.clone(),
            engines: engines.clone(),
            queue: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            executing: watch::Sender::default(),
        }
    }

    /// Compiles a candidate with whoever else waits; `None` where it takes the authority to say what is wrong or right.
    pub(super) async fn compile(
        &self,
        request: &BuildRequest,
        work: &WorkRoot,
    ) -> Option<(Compiled, Executing)> {
        let (answer, mut receiver) = oneshot::channel();
        let waiting = Waiting { request: request.clone(), answer };
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        loop {
            // Whoever has its answer makes no call for others.
            let _turn = tokio::select! {
                biased;
                answer = &mut receiver => return answer.ok().flatten(),
                turn = self.turn.lock() => turn,
            };
            let (requests, answers): (Vec<_>, Vec<_>) =
                self.gather().await.into_iter().map(|waiting| (waiting.request, waiting.answer)).unzip();
            let compiled = self.batch(requests, work).await;
            for (answer, compiled) in answers.into_iter().zip(compiled) {
                // Whoever asked may be gone.
                let _ = answer.send(compiled.map(|compiled| (compiled, Executing::new(&self.executing))));
            }
        }
    }

    /// The next batch. A call costs much and a candidate in it little: who will wait soon is waited for, as long as there
    /// is something else to do.
    async fn gather(&self) -> Vec<Waiting> {
        tokio::time::sleep(TOGETHER).await;
        let mut executing = self.executing.subscribe();
        let _ = tokio::time::timeout(GATHER, executing.wait_for(|count| *count == 0)).await;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len().min(LARGEST);
        queue.drain(..count).collect()
    }

    async fn batch(&self, requests: Vec<BuildRequest>, work: &WorkRoot) -> Vec<Option<Compiled>> {
        let mark =
            format!("assay{:016x}", std::collections::hash_map::RandomState::new().build_hasher().finish());
        let placed: Vec<(usize, Placed)> = requests
            .iter()
            .enumerate()
            .filter_map(|(i, request)| Some((i, Placed::new(request, &format!("{mark}n{i}x"), self)?)))
            .collect();
        let mut out: Vec<Option<Compiled>> = requests.iter().map(|_| None).collect();
        // A call that fails names candidates that stop it (dbt 1.x one, the Rust dbt all), and is made again without them;
        // where it names none, each half is tried alone.
        let mut parts = vec![placed];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let Some((directory, end, text)) = self.call(&part, work).await else { continue };
            let Some(text) = text else {
                self.collect(&requests, &part, &mark, &directory.project(), &end, &mut out);
                continue;
            };
            let before = part.len();
            part.retain(|(_, placed)| !text.contains(&placed.token));
            if part.len() < before {
                parts.push(part);
            } else if before > 1 {
                let half = part.split_off(before / 2);
                parts.extend([part, half]);
            }
        }
        out
    }

    /// One call; with all that it says where it did not come to its end. `None` where nothing came of it.
    async fn call(
        &self,
        placed: &[(usize, Placed)],
        work: &WorkRoot,
    ) -> Option<(super::Workspace, CallEnd, Option<String>)> {
        let workspace = work.workspace().ok()?;
        let directory = workspace.project();
        let files: Vec<(PathBuf, String)> =
            placed.iter().flat_map(|(_, placed)| placed.files.iter().cloned()).collect();
        let (to, from, project) = (directory.clone(), self.template.clone(), self.project.clone());
        let (compiler, engines) = (self.compiler.clone(), self.engines.clone());
        let laid_out = tokio::task::spawn_blocking(move || {
            lay_out_from(&from, &project, &compiler, &engines, &to)?;
            files.iter().try_for_each(|(path, text)| write_new(&to.join(path), text))
        });
        laid_out.await.ok()?.ok()?;
        let mut arguments: Vec<String> = vec!["compile".into(), "--select".into()];
        arguments.extend(placed.iter().map(|(_, placed)| format!("path:{}", placed.sql_path.display())));
        arguments.extend(["--indirect-selection".into(), "eager".into()]);
        arguments.extend(self.project.pinned_arguments());
        let limits = &self.engines.limits;
        let call = Call {
            profiles: directory.clone(),
            directory,
            write: workspace.folder().to_owned(),
            arguments,
            wall: limits.wall,
            cpu: limits.cpu + EACH * u32::try_from(placed.len()).unwrap_or(1),
        };
        let end = self.compiler.engine.call_again(&call).await;
        let End::Finished(finished) = &end.end else { return None };
        let text = end.failure(&call).map(|failure| {
            let events = end.events.iter().filter(|event| event.info.level == "error");
            let mut text = failure.message;
            text.extend(events.map(|event| event.info.msg.as_str()));
            text.extend(finished.exception.iter().map(|exception| exception.message.as_str()));
            text
        });
        Some((workspace, end, text))
    }

    fn collect(
        &self,
        requests: &[BuildRequest],
        placed: &[(usize, Placed)],
        mark: &str,
        directory: &Path,
        end: &CallEnd,
        out: &mut [Option<Compiled>],
    ) {
        let Some(manifest) = read(&directory.join("target/manifest.json"), Manifest::parse) else { return };
        for (i, placed) in placed {
            if let (Some(request), Some(place)) = (requests.get(*i), out.get_mut(*i)) {
                *place = placed.compiled(request, mark, &manifest, directory, end);
            }
        }
    }
}

/// A copy of the prepared project for this compiler.
pub(super) fn lay_out(
    template: &Template,
    project: &Project,
    compiler: &Dbt,
    engines: &Engines,
    to: &Path,
) -> std::io::Result<()> {
    lay_out_from(&template.project, project, compiler, engines, to)
}

fn lay_out_from(
    template: &Path,
    project: &Project,
    compiler: &Dbt,
    engines: &Engines,
    to: &Path,
) -> std::io::Result<()> {
    // What one dbt parsed is of no use to the other.
    let other = compiler.engine.name() != engines.name();
    copy_tree(template, to, &|path| other && path.starts_with("target"))?;
    super::write_profile(to, project, compiler, engines)
}

/// A candidate under the name that it is compiled with.
#[derive(Debug)]
struct Placed {
    /// Start of all its names.
    token: String,
    sql_path: PathBuf,
    singular: Vec<PathBuf>,
    files: Vec<(PathBuf, String)>,
}

impl Placed {
    fn new(request: &BuildRequest, token: &str, batches: &Batches) -> Option<Self> {
        let model = &request.model_name;
        let named = |path: &Path| {
            let name = path.file_name()?.to_str()?;
            Some(path.with_file_name(format!("{token}{name}")))
        };
        let sql_path = named(&request.sql_path)?;
        let mut files = vec![(sql_path.clone(), request.sql.clone())];
        if !request.yaml.trim().is_empty() {
            let text = batches.compiler.style.rewrite(&request.yaml);
            let text = renamed_yaml(text.as_deref().unwrap_or(&request.yaml), model, token)?;
            files.push((named(&request.yaml_path)?, text));
        }
        let mut singular = Vec::new();
        for (name, sql) in &request.singular_tests {
            let sql = ['\'', '"'].iter().fold(sql.clone(), |sql, quote| {
                let own = format!("ref({quote}{model}{quote})");
                sql.replace(&own, &format!("ref({quote}{token}{model}{quote})"))
            });
            let path = named(&test_path(&batches.project, name))?;
            files.push((path.clone(), sql));
            singular.push(path);
        }
        Some(Self { token: token.to_owned(), sql_path, singular, files })
    }

    /// What dbt made of it; `None` unless DuckDB alone can do what dbt would.
    fn compiled(
        &self,
        request: &BuildRequest,
        mark: &str,
        manifest: &Manifest,
        directory: &Path,
        end: &CallEnd,
    ) -> Option<Compiled> {
        let node = manifest.model_at(&self.sql_path.to_string_lossy())?;
        let config = &node.config;
        let buildable = match config.materialized.as_deref() {
            Some("table" | "view") => true,
            Some("incremental") => !request.twice,
            _ => false,
        };
        let plain = buildable
            && node.language.as_deref().unwrap_or("sql") == "sql"
            && node.raw_code.trim() == request.sql.trim()
            && !config.contract.enforced
            && [&config.pre_hook, &config.post_hook, &config.sql_header, &config.indexes]
                .into_iter()
                .all(is_nothing);
        if !plain || !self.was_compiled(node, end) {
            return None;
        }
        let singular: Vec<String> =
            self.singular.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let tests = manifest.tests_of(&node.unique_id, &singular);
        let attached = |path: &String| tests.iter().any(|test| test.original_file_path == *path);
        if !singular.iter().all(attached) {
            return None;
        }
        let mut found = Vec::new();
        for test in tests {
            let usual = test.resource_type == "test"
                && test.config.is_usual_test()
                && test.depends_on.nodes.contains(&node.unique_id)
                && self.was_compiled(test, end);
            if !usual {
                return None;
            }
            found
                .push((self.renamed(test, &request.model_name, mark)?, self.text_of(test, mark, directory)?));
        }
        let model = self.renamed(node, &request.model_name, mark)?;
        let end_of_relation = format!(".\"{}\"", request.model_name);
        if !model.relation_name.as_deref()?.ends_with(&end_of_relation) {
            return None;
        }
        let singular = singular.iter().map(|path| path.replace(&self.token, "")).collect();
        Some(Compiled { sql: self.text_of(node, mark, directory)?, model, tests: found, singular })
    }

    fn was_compiled(&self, node: &Node, end: &CallEnd) -> bool {
        let result = end.results.get(&node.unique_id);
        match result {
            Some(result) => matches!(result.status, Status::Success | Status::Pass),
            // The Rust dbt gives no results of compiling; where all went well, the compiled file says the rest.
            None => {
                matches!(&end.end, End::Finished(finished) if finished.success)
                    && end.results.results.is_empty()
            }
        }
    }

    fn text_of(&self, node: &Node, mark: &str, directory: &Path) -> Option<String> {
        let text = judge::text_at(directory, node.compiled_path.as_ref()?)?;
        let text = text.replace(&self.token, "");
        (!text.trim().is_empty() && !text.contains(mark)).then_some(text)
    }

    /// The node under its right name; `None` when it reads the project's model of this name, or another candidate.
    fn renamed(&self, node: &Node, model: &str, mark: &str) -> Option<Node> {
        let own = format!(".{model}");
        let reads_the_golden = |id: &String| id.starts_with("model.") && id.ends_with(&own);
        if node.depends_on.nodes.iter().any(reads_the_golden) {
            return None;
        }
        let plain = |text: &String| text.replace(&self.token, "");
        let mut out = Node {
            unique_id: plain(&node.unique_id),
            name: plain(&node.name),
            original_file_path: plain(&node.original_file_path),
            relation_name: node.relation_name.as_ref().map(plain),
            attached_node: node.attached_node.as_ref().map(plain),
            ..node.clone()
        };
        out.depends_on.nodes.iter_mut().for_each(|id| *id = plain(id));
        let texts =
            [&out.unique_id, &out.name].into_iter().chain(&out.relation_name).chain(&out.depends_on.nodes);
        let clean = texts.into_iter().all(|text| !text.contains(mark));
        clean.then_some(out)
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// The schema YAML of one model under another name; `None` when it holds anything else.
fn renamed_yaml(text: &str, model: &str, token: &str) -> Option<String> {
    let mut root = yaml::Node::parse(text).ok()?.to_json();
    let entries = root.as_object_mut()?;
    if entries.keys().any(|key| !matches!(key.as_str(), "version" | "models")) {
        return None;
    }
    match entries.get_mut("models")?.as_array_mut()?.as_mut_slice() {
        [Value::Object(entry)] => {
            let name = entry.get_mut("name").filter(|name| name.as_str() == Some(model))?;
            *name = format!("{token}{model}").into();
            if entry.contains_key("versions") {
                return None;
            }
        }
        _ => return None,
    }
    Some(root.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_schema_of_the_one_model_is_renamed() {
        let renamed = |text: &str| renamed_yaml(text, "m", "t_");
        let text = renamed("version: 2\nmodels:\n- name: m\n  columns: [{name: a}]\n").expect("renamed");
        assert!(text.contains("\"t_m\""), "{text}");
        for other in [
            "models: []",
            "models: [{name: n}]",
            "models: [{name: m}, {name: n}]",
            "models: [{name: m, versions: []}]",
            "models: [{name: m}]\nunit_tests: []",
            "models: [{name: m}]\nsources: []",
            "models: [",
            "",
        ] {
            assert_eq!(renamed(other), None, "{other}");
        }
    }
}
