//! What is evaluated: cases (CSV), specs, prompt versions, goldens, projects.

pub mod cases;
mod golden;
pub mod lint;
pub mod prompts;
pub mod spec;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, ProjectConfig};
use crate::dbt;
use crate::dbt::test_syntax::TestEntry;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, io_reason};
use crate::sql::Dialect;

use cases::CaseRow;
pub use golden::{Golden, context};
use spec::{Approved, Spec};

/// The cases that were asked for, looked up and ready to be judged.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Cases in the order of their files.
    pub cases: Vec<Case>,
    /// Doubtful things that do not stop a run.
    pub warnings: Vec<Diagnostic>,
}

/// A dbt project that cases refer to.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Name in the configuration.
    pub name: String,
    /// Folder with `dbt_project.yml`.
    pub path: PathBuf,
    /// Dialect of its models.
    pub dialect: Dialect,
    /// Date on which its clock stands, `YYYY-MM-DD`: the dbt variable `as_of`. Cases of other dates see other projects.
    pub as_of: Option<String>,
    /// The project's own files.
    pub dbt: dbt::project::Project,
    /// The same files with other data, by name.
    pub datasets: Vec<(String, dbt::project::Project)>,
}

impl Project {
    /// What tells it apart from the same project on another date.
    pub fn id(&self) -> (String, Option<String>) {
        (self.name.clone(), self.as_of.clone())
    }
}

/// A case with everything that its row, spec and golden say.
#[derive(Debug, Clone)]
pub struct Case {
    /// Unique over the suite.
    pub id: String,
    /// The CSV row.
    pub place: Place,
    /// The prompt spec.
    pub spec: Arc<Spec>,
    /// Name that the model must have.
    pub model: String,
    /// The dbt project.
    pub project: Arc<Project>,
    /// The accepted reference.
    pub golden: Golden,
    /// Where the model SQL goes, relative to the project.
    pub target_sql: PathBuf,
    /// Where the schema YAML goes, relative to the project.
    pub target_yaml: PathBuf,
    /// Relations that may be read.
    pub approved: Vec<Approved>,
    /// Tests that must be declared.
    pub required_tests: Vec<TestEntry>,
    /// Columns that identify a row.
    pub grain: Vec<String>,
    /// Materialization asked for; `None`: any of table and view.
    pub materialized: Option<String>,
    /// Columns with personal data.
    pub pii: Vec<String>,
    /// Dialect of the model.
    pub dialect: Dialect,
    /// Tags.
    pub tags: Vec<String>,
    /// Cluster for cluster-aware intervals.
    pub cluster: Option<String>,
    /// Weight in scores.
    pub weight: f64,
    /// Other columns of the row.
    pub metadata: BTreeMap<String, String>,
}

/// How the ids of requests begin that are no cases: their recordings are the drafts'.
pub const DRAFT_PREFIX: &str = "draft-";

/// Which cases are wanted. An empty filter wants all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// File stems of `evals/**/*.csv`.
    pub suites: Vec<String>,
    /// Globs over case ids (`*` and `?`).
    pub cases: Vec<String>,
    /// Tags, any of which is enough.
    pub tags: Vec<String>,
}

impl Case {
    /// A request that is no case yet: it has no golden, so it can only be vetted. `folder` (inside the project) is where
    /// the model goes; `model` is the name that the spec gives it.
    pub fn of_request(spec: Spec, model: String, project: Arc<Project>, folder: &Path) -> Self {
        let file = |extension: &str| folder.join(format!("{model}.{extension}"));
        Self {
            id: format!("{DRAFT_PREFIX}{model}"),
            place: Place::file(&spec.path),
            target_sql: file("sql"),
            target_yaml: file("yml"),
            approved: spec.approved(),
            required_tests: spec.required_tests(),
            grain: spec.grain(),
            materialized: spec.materialized(),
            pii: spec.pii(),
            dialect: project.dialect,
            golden: Golden::default(),
            tags: Vec::new(),
            cluster: None,
            weight: 1.0,
            metadata: BTreeMap::new(),
            spec: Arc::new(spec),
            model,
            project,
        }
    }
}

impl Suite {
    /// Loads every case of the configuration that the filter wants, with its spec, golden and project.
    ///
    /// # Errors
    /// All faults that were found, not only the first; `E_NOTHING_SELECTED` when the filter wants nothing.
    pub fn load(config: &Config, filter: &Filter) -> Result<Self, Diagnostics> {
        let mut faults = Diagnostics::default();
        let mut warnings = Vec::new();
        let folder = config.resolve(&config.paths.evals);
        let mut files = Vec::new();
        collect_csv(&folder, &mut files);
        if files.is_empty() {
            faults.push(
                Diagnostic::new("E_CASES_MISSING", "no cases: there is no CSV file")
                    .at(Place::file(&folder))
                    .hint("`paths.evals` in assay.toml names the folder; `assay init` writes an example"),
            );
            return Err(faults);
        }
        let known: Vec<String> = files.iter().map(|file| stem(file)).collect();
        for wanted in filter.suites.iter().filter(|wanted| !known.contains(wanted)) {
            faults.push(
                Diagnostic::new("E_SUITE_UNKNOWN", format!("suite `{wanted}` is unknown"))
                    .hint(format!("suites: {}", known.join(", "))),
            );
        }
        let rows: Vec<CaseRow> = files
            .iter()
            .filter(|file| filter.suites.is_empty() || filter.suites.contains(&stem(file)))
            .flat_map(|file| cases::read(file, &mut faults, &mut warnings))
            .collect();
        check_unique(&rows, &mut faults);
        let mut lookup = Lookup { config, projects: BTreeMap::new(), specs: BTreeMap::new() };
        let total = rows.len();
        let cases: Vec<Case> = rows
            .into_iter()
            .filter(|row| filter.wants(row))
            .filter_map(|row| lookup.resolve(row, &mut faults))
            .collect();
        cases.iter().for_each(|case| golden::check(case, &mut faults, &mut warnings));
        warnings.extend(lookup.specs.values().flatten().flat_map(|spec| spec.warnings()));
        if cases.is_empty() && faults.0.is_empty() {
            faults.push(
                Diagnostic::new("E_NOTHING_SELECTED", format!("none of the {total} cases is selected"))
                    .hint("check --suite, --case and --tag"),
            );
        }
        faults.into_result(Self { cases, warnings })
    }
}

impl Filter {
    fn wants(&self, row: &CaseRow) -> bool {
        (self.cases.is_empty() || self.cases.iter().any(|glob| matches_glob(glob, &row.id)))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| row.tags.contains(tag)))
    }
}

/// Whether `text` matches a glob with `*` (any run) and `?` (any character).
pub fn matches_glob(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut g, mut t, mut retry) = (0, 0, None);
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g, t));
                g += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                g += 1;
                t += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                g = star + 1;
                t = from + 1;
            }
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// All CSV files below a folder whose name is not `*.expected.csv`, sorted by path.
fn collect_csv(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect_csv(&path, files);
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
            && !stem(&path).ends_with(".expected")
        {
            files.push(path);
        }
    }
}

fn check_unique(rows: &[CaseRow], faults: &mut Diagnostics) {
    let mut first: BTreeMap<String, &CaseRow> = BTreeMap::new();
    for row in rows {
        // Ids name files of recordings: two that differ by case only would share one on some file systems.
        if let Some(earlier) = first.insert(row.id.to_lowercase(), row) {
            faults.push(
                Diagnostic::new("E_CASE_DUPLICATE", format!("case `{}` occurs twice", row.id))
                    .at(row.place.clone())
                    .hint(format!("the other is at {}", earlier.place)),
            );
        }
    }
}

/// Looks up what rows name; each spec and project is read once, and its faults are reported once.
struct Lookup<'a> {
    config: &'a Config,
    projects: BTreeMap<(String, Option<String>), Option<Arc<Project>>>,
    specs: BTreeMap<PathBuf, Option<Arc<Spec>>>,
}

impl Lookup<'_> {
    fn resolve(&mut self, row: CaseRow, faults: &mut Diagnostics) -> Option<Case> {
        let spec = self.spec(&row, faults);
        let project = self.project(&row, faults);
        let golden = Golden::read(self.config, &row, faults);
        let (spec, project, golden) = (spec?, project?, golden?);
        let file = |extension: &str| PathBuf::from("models").join(format!("{}.{extension}", row.model));
        Some(Case {
            approved: row.approved.unwrap_or_else(|| spec.approved()),
            required_tests: row.required_tests.unwrap_or_else(|| spec.required_tests()),
            grain: row.grain.unwrap_or_else(|| spec.grain()),
            pii: row.pii.unwrap_or_else(|| spec.pii()),
            dialect: row.dialect.unwrap_or(project.dialect),
            target_sql: row.target_sql.unwrap_or_else(|| file("sql")),
            target_yaml: row.target_yaml.unwrap_or_else(|| file("yml")),
            id: row.id,
            place: row.place,
            model: row.model,
            materialized: row.materialized.or_else(|| spec.materialized()),
            tags: row.tags,
            cluster: row.cluster,
            weight: row.weight,
            metadata: row.metadata,
            spec,
            project,
            golden,
        })
    }

    fn spec(&mut self, row: &CaseRow, faults: &mut Diagnostics) -> Option<Arc<Spec>> {
        let path = self.config.resolve(&row.spec);
        if let Some(spec) = self.specs.get(&path) {
            return spec.clone();
        }
        let spec = match fs_err::read_to_string(&path) {
            Ok(text) => {
                let spec = Spec::parse(&path, &text);
                let found = spec.faults();
                let usable = found.is_empty();
                found.into_iter().for_each(|fault| faults.push(fault));
                usable.then(|| Arc::new(spec))
            }
            Err(error) => {
                let message = format!("cannot read the spec `{}`: {}", row.spec.display(), io_reason(&error));
                faults.push(
                    Diagnostic::new("E_SPEC_MISSING", message)
                        .at(row.place.clone())
                        .hint("paths start at the folder of assay.toml"),
                );
                None
            }
        };
        self.specs.insert(path, spec.clone());
        spec
    }

    fn project(&mut self, row: &CaseRow, faults: &mut Diagnostics) -> Option<Arc<Project>> {
        let known = &self.config.projects;
        let name = row.project.as_ref().or_else(|| known.keys().next());
        let Some((name, project)) = name.and_then(|name| known.get_key_value(name)) else {
            let message = match name {
                Some(name) => format!("project `{name}` is unknown"),
                None => "the case names no project and the configuration has none".to_owned(),
            };
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let hint = if names.is_empty() {
                "add a table `[projects.NAME]` with its path to assay.toml".to_owned()
            } else {
                format!("projects in assay.toml: {}", names.join(", "))
            };
            faults.push(Diagnostic::new("E_PROJECT_UNKNOWN", message).at(row.place.clone()).hint(hint));
            return None;
        };
        let id = (name.clone(), row.as_of.clone());
        if let Some(project) = self.projects.get(&id) {
            return project.clone();
        }
        let path = self.config.resolve(&project.path);
        let read = match dbt::project::Project::read(&path) {
            Ok(mut dbt) => {
                if let Some(date) = &row.as_of {
                    dbt.pinned.insert("as_of".into(), date.clone().into());
                }
                let (name, as_of) = id.clone();
                let datasets = datasets(self.config, project, &dbt, faults);
                Some(Arc::new(Project { name, path, dialect: project.dialect, as_of, dbt, datasets }))
            }
            // Its faults were said when it was read for another date.
            Err(_) if self.projects.keys().any(|(known, _)| known == name) => None,
            Err(found) => {
                found.0.into_iter().for_each(|fault| faults.push(fault));
                None
            }
        };
        self.projects.insert(id, read.clone());
        read
    }
}

/// The project with each of its data sets; a file that takes the place of no seed is a fault.
fn datasets(
    config: &Config,
    project: &ProjectConfig,
    dbt: &dbt::project::Project,
    faults: &mut Diagnostics,
) -> Vec<(String, dbt::project::Project)> {
    let seeds: Vec<PathBuf> = dbt.seeds().into_iter().map(|seed| seed.path).collect();
    let mut found = Vec::new();
    for (name, folder) in &project.datasets {
        let folder = config.resolve(folder);
        let mut files = Vec::new();
        collect_csv(&folder, &mut files);
        let fault = |message: String, path: &Path| {
            Diagnostic::new("E_DATASET", format!("data set `{name}`: {message}"))
                .at(Place::file(path))
                .hint("a folder of CSV files that are named like seeds of the project")
        };
        if files.is_empty() {
            faults.push(fault("there is no CSV file".to_owned(), &folder));
        }
        for file in &files {
            let is_seed = seeds.iter().any(|seed| seed.file_name() == file.file_name());
            if !is_seed || file.parent() != Some(folder.as_path()) {
                faults.push(fault("the file takes the place of no seed".to_owned(), file));
            }
        }
        found.push((name.clone(), dbt::project::Project { data: Some(folder), ..dbt.clone() }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_ids() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("stg_*", "stg_orders", true),
            ("stg_*", "int_stg_orders", false),
            ("*_daily", "sales_daily", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b", "xaxbx", false),
        ] {
            assert_eq!(matches_glob(glob, text), expected, "{glob} {text}");
        }
    }
}
