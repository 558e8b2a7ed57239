//! Prompt versions: `prompts/<name>/prompt.toml` and the Markdown files beside it.
//!
//! Payload (specs, SQL, YAML) is never read as a template. Only the two prompt files have placeholders, `[[name]]`, a
//! form that Jinja does not use; they are replaced in one pass, so nothing that is put in is looked at again.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::Config;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// The commented file that documents the format; every key that is not commented out has to be chosen.
pub const TEMPLATE: &str = include_str!("prompts/template.toml");

/// The largest prompt file that is read, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// A prompt version, with the text of every file that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptVersion {
    /// Name of its folder.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// What this version tries.
    pub description: String,
    /// Provider: built in, or of `[providers]` in the configuration.
    pub provider: String,
    /// Model, as the provider names it.
    pub model: String,
    /// Tokens of one answer, reasoning included.
    pub max_output_tokens: u32,
    /// Reasoning effort.
    pub effort: Option<String>,
    /// Instructions, with placeholders.
    pub system: Template,
    /// The message with the spec, with placeholders; `None`: the spec alone.
    pub user: Option<Template>,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// How the contract goes to the provider.
    pub contract: ContractOptions,
    /// Tools.
    pub tools: ToolOptions,
    /// Few-shot examples.
    pub examples: Vec<Example>,
    /// Further fields of the request body.
    pub extra: toml::Table,
}

/// Sampling parameters; what is `None` is not sent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Seed (Chat Completions only; no provider promises determinism).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// `[contract]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContractOptions {
    /// Order in which the fields are written.
    pub order: Vec<String>,
    /// Cap on the length of text fields in the wire schema, characters.
    pub max_length: Option<u64>,
    /// Cap on the number of tests and of notes in the wire schema.
    pub max_items: Option<u64>,
}

/// How the model calls tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolMode {
    /// No tools.
    #[default]
    Off,
    /// The provider's own tool calls.
    Native,
    /// Every answer is one JSON step: a call, or the final answer.
    JsonStep,
}

/// `[tools]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolOptions {
    /// How the model calls tools.
    pub mode: ToolMode,
    /// Tools offered.
    #[serde(rename = "use")]
    pub names: Vec<String>,
    /// Answers of the model for one case.
    pub max_turns: u32,
    /// Tool calls for one case.
    pub max_calls: u32,
}

impl Default for ToolOptions {
    fn default() -> Self {
        let names = TOOL_NAMES.map(str::to_owned).to_vec();
        Self { mode: ToolMode::Off, names, max_turns: 8, max_calls: 16 }
    }
}

/// The tools that exist.
pub const TOOL_NAMES: [&str; 2] = ["list_models", "fetch_source_columns"];

/// A few-shot example: a spec and the fields of the answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The spec.
    pub spec: String,
    /// `model_name` of the answer.
    pub model_name: String,
    /// `sql` of the answer.
    pub sql: String,
    /// `schema_yaml` of the answer.
    pub schema_yaml: String,
    /// `tests` of the answer.
    pub tests: Vec<String>,
    /// `review_notes` of the answer.
    pub review_notes: Vec<String>,
}

/// A value that a prompt file can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// The spec, byte for byte.
    Spec,
    /// The contract as JSON Schema.
    Contract,
    /// The SQL dialect of the project.
    Dialect,
    /// The approved refs and sources, one a line.
    Approved,
}

impl Placeholder {
    const ALL: [(&'static str, Self); 4] = [
        ("spec", Self::Spec),
        ("contract", Self::Contract),
        ("dialect", Self::Dialect),
        ("approved", Self::Approved),
    ];
}

/// A prompt file cut at its placeholders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Placeholder),
}

impl Template {
    /// Cuts a text at its placeholders. `[[` that is not followed by a word and `]]` is plain text.
    ///
    /// # Errors
    /// `E_PROMPT_PLACEHOLDER` for each placeholder that does not exist, with its place.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Diagnostics> {
        let mut faults = Diagnostics::default();
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("[[") {
            let (before, tail) = rest.split_at(at);
            plain.push_str(before);
            let word_end = tail[2..].find(|c: char| !c.is_ascii_lowercase() && c != '_').map(|end| end + 2);
            let word =
                word_end.filter(|&end| end > 2 && tail[end..].starts_with("]]")).map(|end| &tail[2..end]);
            let Some(word) = word else {
                plain.push('[');
                rest = &tail[1..];
                continue;
            };
            rest = &tail[word.len() + 4..];
            match Placeholder::ALL.iter().find(|(name, _)| *name == word) {
                Some(&(_, value)) => {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Value(value));
                }
                None => {
                    let line = text[..text.len() - tail.len()].matches('\n').count() + 1;
                    let known = Placeholder::ALL.map(|(name, _)| format!("[[{name}]]")).join(", ");
                    faults.push(
                        Diagnostic::new("E_PROMPT_PLACEHOLDER", format!("`[[{word}]]` is not a placeholder"))
                            .at(Place::line(path, line, text))
                            .hint(format!("placeholders are {known}")),
                    );
                }
            }
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        faults.into_result(Self { pieces })
    }

    /// Whether a placeholder occurs.
    pub fn uses(&self, placeholder: Placeholder) -> bool {
        self.pieces.contains(&Piece::Value(placeholder))
    }

    /// The text with every placeholder replaced, in one pass.
    pub fn fill(&self, value: impl Fn(Placeholder) -> String) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.clone(),
                Piece::Value(placeholder) => value(*placeholder),
            })
            .collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    description: String,
    provider: String,
    model: String,
    #[serde(default = "default_max_output_tokens")]
    max_output_tokens: u32,
    effort: Option<String>,
    system: PathBuf,
    user: Option<PathBuf>,
    #[serde(default)]
    sampling: Sampling,
    #[serde(default)]
    contract: ContractOptions,
    #[serde(default)]
    tools: ToolOptions,
    #[serde(default)]
    examples: Vec<FileExample>,
    #[serde(default)]
    extra: toml::Table,
}

fn default_max_output_tokens() -> u32 {
    4000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileExample {
    spec: PathBuf,
    model_name: String,
    sql: PathBuf,
    schema_yaml: PathBuf,
    #[serde(default)]
    tests: Vec<String>,
    #[serde(default)]
    review_notes: Vec<String>,
}

/// Loads the wanted prompt versions (all when `wanted` is empty), ordered by name.
///
/// # Errors
/// Every fault in any of them; `E_PROMPT_UNKNOWN` for a name without a folder, `E_PROMPT_NONE` when there is none.
pub fn load(config: &Config, wanted: &[String]) -> Result<Vec<PromptVersion>, Diagnostics> {
    let folder = config.resolve(&config.paths.prompts);
    let mut names: Vec<String> = fs_err::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("prompt.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut faults = Diagnostics::default();
    if names.is_empty() {
        return Err(Diagnostic::new("E_PROMPT_NONE", "there is no prompt version")
            .at(Place::file(&folder))
            .hint("a prompt version is a folder with a prompt.toml")
            .into());
    }
    for name in wanted.iter().filter(|name| !names.contains(name)) {
        faults.push(
            Diagnostic::new("E_PROMPT_UNKNOWN", format!("prompt version `{name}` is unknown"))
                .hint(format!("prompt versions: {}", names.join(", "))),
        );
    }
    let mut versions = Vec::new();
    for name in names.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        match PromptVersion::read(&folder.join(name)) {
            Ok(version) => versions.push(version),
            Err(found) => found.0.into_iter().for_each(|fault| faults.push(fault)),
        }
    }
    faults.into_result(versions)
}

impl PromptVersion {
    /// Reads one prompt version from its folder.
    ///
    /// # Errors
    /// Every fault in `prompt.toml` and the files that it names, with places.
    pub fn read(folder: &Path) -> Result<Self, Diagnostics> {
        let path = folder.join("prompt.toml");
        let text = read_file(&path)?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                let before = text.as_bytes().get(..span.start).unwrap_or_default();
                before.iter().filter(|&&byte| byte == b'\n').count() + 1
            });
            Diagnostic::new("E_PROMPT_INVALID", error.message().trim().replace('\n', " "))
                .at(Place::line(&path, line, &text))
                .hint("every key is described in docs/prompts.md")
        })?;
        let mut faults = Diagnostics::default();
        check(&file, &path, &text, &mut faults);
        let mut template = |name: &Path| {
            let path = folder.join(name);
            inside(folder, name)
                .and_then(|()| read_file(&path))
                .and_then(|text| Template::parse(&path, &text))
                .map_err(|found| found.0.into_iter().for_each(|fault| faults.push(fault)))
                .unwrap_or_default()
        };
        let system = template(&file.system);
        let user = file.user.as_deref().map(&mut template);
        if user.as_ref().is_some_and(|user| !user.uses(Placeholder::Spec)) && !system.uses(Placeholder::Spec)
        {
            faults.push(
                Diagnostic::new(
                    "E_PROMPT_SPEC",
                    "neither prompt file has `[[spec]]`: the model would not see the request",
                )
                .at(Place::file(folder.join(file.user.as_deref().unwrap_or(&file.system)))),
            );
        }
        let mut content = |name: &Path| {
            inside(folder, name)
                .and_then(|()| read_file(&folder.join(name)))
                .map_err(|found| found.0.into_iter().for_each(|fault| faults.push(fault)))
                .unwrap_or_default()
        };
        let examples = file.examples.iter().map(|example| Example {
            spec: content(&example.spec),
            model_name: example.model_name.clone(),
            sql: content(&example.sql),
            schema_yaml: content(&example.schema_yaml),
            tests: example.tests.clone(),
            review_notes: example.review_notes.clone(),
        });
        let examples = examples.collect();
        faults.into_result(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            path: folder.to_path_buf(),
            description: file.description,
            provider: file.provider,
            model: file.model,
            max_output_tokens: file.max_output_tokens,
            effort: file.effort,
            system,
            user,
            sampling: file.sampling,
            contract: file.contract,
            tools: file.tools,
            examples,
            extra: file.extra,
        })
    }
}

/// Faults in values that parse.
fn check(file: &File, path: &Path, text: &str, faults: &mut Diagnostics) {
    let mut fault = |key: &str, message: String| {
        let names_key = |line: &str| {
            line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        let line = text.lines().position(names_key).map_or(1, |at| at + 1);
        faults.push(Diagnostic::new("E_PROMPT_INVALID", message).at(Place::line(path, line, text)));
    };
    for (key, value) in [("provider", &file.provider), ("model", &file.model)] {
        if value.trim().is_empty() {
            fault(key, format!("`{key}` is empty"));
        }
    }
    if file.max_output_tokens == 0 {
        fault("max_output_tokens", "`max_output_tokens` is 0".to_owned());
    }
    let sampling = &file.sampling;
    if sampling.temperature.is_some_and(|value| !(0.0..=2.0).contains(&value)) {
        fault("temperature", "`temperature` lies outside 0 to 2".to_owned());
    }
    if sampling.top_p.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        fault("top_p", "`top_p` lies outside 0 to 1".to_owned());
    }
    if file.effort.is_some() && sampling.temperature.is_some() {
        fault("effort", "`effort` and `temperature` exclude each other: no model takes both".to_owned());
    }
    for name in file.tools.names.iter().filter(|name| !TOOL_NAMES.contains(&name.as_str())) {
        fault("use", format!("tool `{name}` is unknown; tools are {}", TOOL_NAMES.join(", ")));
    }
    if file.tools.mode != ToolMode::Off && (file.tools.max_turns < 2 || file.tools.names.is_empty()) {
        fault("mode", "tools need at least one tool in `use` and two turns".to_owned());
    }
    const FIELDS: [&str; 5] = ["model_name", "sql", "schema_yaml", "tests", "review_notes"];
    for name in file.contract.order.iter().filter(|name| !FIELDS.contains(&name.as_str())) {
        fault("order", format!("the contract has no field `{name}`; fields are {}", FIELDS.join(", ")));
    }
}

/// Refuses a file name that leads out of the folder.
fn inside(folder: &Path, name: &Path) -> Result<(), Diagnostics> {
    let plain = name.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if plain {
        return Ok(());
    }
    Err(Diagnostic::new("E_PROMPT_FILE", format!("`{}` leads out of the prompt's folder", name.display()))
        .at(Place::file(folder.join("prompt.toml")))
        .into())
}

fn read_file(path: &Path) -> Result<String, Diagnostics> {
    let fault =
        |message: String| Diagnostics::from(Diagnostic::new("E_PROMPT_FILE", message).at(Place::file(path)));
    let size =
        fs_err::metadata(path).map_err(|error| fault(format!("cannot read it: {}", error.kind())))?.len();
    if size > MAX_FILE {
        return Err(fault(format!("the file has {size} bytes; at most {MAX_FILE} are read")));
    }
    let bytes = fs_err::read(path).map_err(|error| fault(format!("cannot read it: {}", error.kind())))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        fault(format!("line {line} is not UTF-8"))
    })?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_documented_template_is_a_prompt_version() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("v1/prompt.toml", TEMPLATE), ("v1/system.md", "Answer with [[contract]].")]);
        let version = PromptVersion::read(&folder.path().join("v1")).expect("valid");
        assert_eq!((version.name.as_str(), version.provider.as_str()), ("v1", "openai"));
        assert_eq!(version.sampling, Sampling::default());
        assert_eq!(version.tools, ToolOptions::default());
        assert!(version.examples.is_empty() && version.extra.is_empty());
        // Every commented key, switched on, is a key that exists.
        let mut all = String::new();
        for line in TEMPLATE.lines() {
            let commented =
                line.strip_prefix("# ").filter(|rest| rest.contains(" = ") || rest.starts_with('['));
            all.push_str(commented.filter(|rest| !rest.starts_with("effort")).unwrap_or(line));
            all.push('\n');
        }
        write(
            folder.path(),
            &[
                ("v2/prompt.toml", &all),
                ("v2/system.md", "Be brief."),
                ("v2/user.md", "Spec:\n[[spec]]\n"),
                ("v2/examples/orders.md", "## Intent"),
                ("v2/examples/stg_orders.sql", "select 1 as order_id"),
                ("v2/examples/stg_orders.yml", "version: 2"),
            ],
        );
        let version = PromptVersion::read(&folder.path().join("v2")).expect("valid");
        assert_eq!(version.examples.len(), 1);
        assert_eq!(version.sampling.seed, Some(1));
        assert_eq!(version.contract.max_length, Some(900));
        assert_eq!(version.extra["verbosity"].as_str(), Some("low"));
    }

    #[test]
    fn the_documentation_shows_the_whole_format() {
        assert!(include_str!("../../docs/prompts.md").contains(TEMPLATE));
    }

    #[test]
    fn payload_is_never_read_as_a_template() {
        let template =
            Template::parse(Path::new("u.md"), "{{ ref('x') }} [[spec]] [[ 'a' ]] [[[x]] [[").unwrap_err();
        assert!(template.0[0].message.contains("[[x]]"));
        let template =
            Template::parse(Path::new("u.md"), "{{ ref('x') }} {% raw %} [[spec]] [[ 'a' ]] [[X]] [[")
                .unwrap();
        let filled = template.fill(|_| "[[spec]] {{ source('a', 'b') }} {# [[contract]] #}".to_owned());
        assert_eq!(
            filled,
            "{{ ref('x') }} {% raw %} [[spec]] {{ source('a', 'b') }} {# [[contract]] #} [[ 'a' ]] [[X]] [["
        );
    }

    #[test]
    fn every_fault_is_reported_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let toml = "provider = \"openai\"\nmodel = \"\"\nsystem = \"system.md\"\nuser = \"../user.md\"\neffort = \"low\"\n\
                    [sampling]\ntemperature = 3.0\n[tools]\nuse = [\"rm\"]\n[contract]\norder = [\"sq\"]\n";
        write(folder.path(), &[("v/prompt.toml", toml), ("v/system.md", "x\n\n[[specs]] [[spec]]")]);
        let faults = PromptVersion::read(&folder.path().join("v")).unwrap_err();
        let text = faults.to_string().replace(&folder.path().display().to_string(), "");
        for expected in [
            "/v/prompt.toml:2: [E_PROMPT_INVALID] `model` is empty",
            "/v/prompt.toml:5: [E_PROMPT_INVALID] `effort` and `temperature`",
            "/v/prompt.toml:7: [E_PROMPT_INVALID] `temperature` lies outside",
            "/v/prompt.toml:9: [E_PROMPT_INVALID] tool `rm` is unknown",
            "/v/prompt.toml:11: [E_PROMPT_INVALID] the contract has no field `sq`",
            "/v/prompt.toml: [E_PROMPT_FILE] `../user.md` leads out",
            "/v/system.md:3: [E_PROMPT_PLACEHOLDER] `[[specs]]`",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn unknown_versions_are_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("prompts/v1/prompt.toml", TEMPLATE), ("prompts/v1/system.md", "x")]);
        let config = Config { root: folder.path().to_path_buf(), ..Config::default() };
        assert_eq!(load(&config, &[]).expect("one").len(), 1);
        let faults = load(&config, &["v9".to_owned()]).unwrap_err();
        assert_eq!(faults.0[0].hint.as_deref(), Some("prompt versions: v1"));
    }
}
