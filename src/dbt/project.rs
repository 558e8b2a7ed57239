//! `dbt_project.yml` and the files of a project.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::files::walk;
use super::properties::Properties;
use super::yaml::{Node, Value};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// A dbt project on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// `name`.
    pub name: String,
    /// `profile`, or the name where there is none.
    pub profile: String,
    /// `model-paths`, relative.
    pub model_paths: Vec<PathBuf>,
    /// `seed-paths`, relative.
    pub seed_paths: Vec<PathBuf>,
    /// `snapshot-paths`, relative.
    pub snapshot_paths: Vec<PathBuf>,
    /// `macro-paths`, relative.
    pub macro_paths: Vec<PathBuf>,
    /// `test-paths`, relative.
    pub test_paths: Vec<PathBuf>,
    /// Folder of installed packages, relative.
    pub packages_path: PathBuf,
    /// The whole file.
    pub config: Node,
    /// Variables that are given to every dbt command (`--vars`) and win over those of the file.
    pub pinned: BTreeMap<String, serde_json::Value>,
    /// A folder of CSV files that take the place of the seeds of the same name.
    pub data: Option<PathBuf>,
}

/// A model, seed or snapshot file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProjectFile {
    /// Name of the resource: the file's stem.
    pub name: String,
    /// Path relative to the project.
    pub path: PathBuf,
}

impl Project {
    /// Reads `root/dbt_project.yml`.
    ///
    /// # Errors
    /// All faults of the file (`E_PROJECT_*`).
    pub fn read(root: &Path) -> Result<Self, Diagnostics> {
        let path = root.join("dbt_project.yml");
        let text = fs_err::read_to_string(&path).map_err(|error| {
            let fault = match error.kind() {
                std::io::ErrorKind::NotFound => Diagnostic::new(
                    "E_PROJECT_MISSING",
                    format!("there is no dbt project in {}", root.display()),
                )
                .hint("the folder must hold a dbt_project.yml"),
                std::io::ErrorKind::InvalidData => {
                    Diagnostic::new("E_PROJECT_SYNTAX", "dbt_project.yml is not UTF-8 text")
                }
                _ => Diagnostic::new("E_PROJECT_MISSING", error.to_string()),
            };
            Diagnostics::from(fault.at(Place::file(&path)))
        })?;
        Self::parse(root, &path, &text)
    }

    fn parse(root: &Path, path: &Path, text: &str) -> Result<Self, Diagnostics> {
        let config = Node::parse(text).map_err(|fault| {
            let place = match fault.line {
                Some(line) => {
                    let place = Place::line(path, line, text);
                    fault.column.map_or(place.clone(), |column| place.at_column(column))
                }
                None => Place::file(path),
            };
            let fault = Diagnostic::new("E_PROJECT_SYNTAX", format!("not valid YAML: {}", fault.message));
            Diagnostics::from(fault.at(place))
        })?;
        let mut faults = Diagnostics::default();
        let at = |node: &Node| Place::line(path, node.line, text).at_column(node.column);
        if config.entries().is_empty() {
            let fault = Diagnostic::new(
                "E_PROJECT_SHAPE",
                format!("expected keys and values, found {}", config.kind()),
            );
            return Err(fault.at(Place::file(path)).into());
        }
        let name = match config.get("name") {
            None => {
                let fault = Diagnostic::new("E_PROJECT_NAME", "the project has no name")
                    .at(Place::file(path))
                    .hint("add `name: my_project`");
                faults.push(fault);
                String::new()
            }
            Some(node) => {
                let name = node.scalar().unwrap_or_default();
                let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
                if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    let fault = Diagnostic::new("E_PROJECT_NAME", format!("`{name}` is not a project name"))
                        .at(at(node))
                        .hint("letters, digits and underscores, not starting with a digit");
                    faults.push(fault);
                }
                name
            }
        };
        let mut paths = |keys: &[&str], default: &str| -> Vec<PathBuf> {
            let Some(node) = keys.iter().find_map(|key| config.get(key)) else { return vec![default.into()] };
            let mut found = Vec::new();
            let Value::List(items) = &node.value else {
                let fault = Diagnostic::new(
                    "E_PROJECT_PATHS",
                    format!("`{}` must be a list, found {}", keys.first().unwrap_or(&""), node.kind()),
                );
                faults.push(fault.at(at(node)));
                return found;
            };
            for item in items {
                let path = PathBuf::from(item.scalar().unwrap_or_default());
                if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
                    let fault = Diagnostic::new(
                        "E_PROJECT_PATHS",
                        format!("`{}` leads out of the project", path.display()),
                    );
                    faults.push(fault.at(at(item)));
                } else {
                    found.push(path);
                }
            }
            found
        };
        let model_paths = paths(&["model-paths", "source-paths"], "models");
        let seed_paths = paths(&["seed-paths", "data-paths"], "seeds");
        let snapshot_paths = paths(&["snapshot-paths"], "snapshots");
        let macro_paths = paths(&["macro-paths"], "macros");
        let test_paths = paths(&["test-paths"], "tests");
        let text_of = |key: &str| config.get(key).and_then(Node::text).map(str::to_owned);
        let profile = text_of("profile").unwrap_or_else(|| name.clone());
        let packages_path = text_of("packages-install-path").unwrap_or_else(|| "dbt_packages".into()).into();
        let project = Self {
            root: root.to_owned(),
            name,
            profile,
            model_paths,
            seed_paths,
            snapshot_paths,
            macro_paths,
            test_paths,
            packages_path,
            config,
            pinned: BTreeMap::new(),
            data: None,
        };
        faults.into_result(project)
    }

    /// Names of the macros that the project defines in its macro folders.
    pub fn macro_names(&self) -> std::collections::BTreeSet<String> {
        let mut names = std::collections::BTreeSet::new();
        let mut folders: Vec<PathBuf> = self.macro_paths.iter().map(|path| self.root.join(path)).collect();
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs_err::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "sql")
                    && let Ok(text) = fs_err::read_to_string(&path)
                {
                    names.extend(defined_macros(&text));
                }
            }
        }
        names
    }

    /// `vars` as this project's models see them: those of the project itself win over global ones.
    pub fn vars(&self) -> BTreeMap<String, serde_json::Value> {
        let mut vars = BTreeMap::new();
        if let Some(all) = self.config.get("vars") {
            let own = all.get(&self.name).map_or(&[][..], Node::entries);
            for (key, value) in all.entries().iter().chain(own) {
                vars.insert(key.scalar().unwrap_or_default(), value.to_json());
            }
            vars.remove(&self.name);
        }
        vars.extend(self.pinned.clone());
        vars
    }

    /// Arguments that tell dbt of the pinned variables.
    pub fn pinned_arguments(&self) -> Vec<String> {
        if self.pinned.is_empty() {
            return Vec::new();
        }
        vec!["--vars".into(), serde_json::json!(self.pinned).to_string()]
    }

    /// Model files, by path.
    pub fn models(&self) -> Vec<ProjectFile> {
        self.files(&self.model_paths, &["sql"])
    }

    /// Seed files, by path.
    pub fn seeds(&self) -> Vec<ProjectFile> {
        self.files(&self.seed_paths, &["csv"])
    }

    /// The files of `data` with the seeds, relative to the project, whose place they take.
    pub fn replaced_seeds(&self) -> Vec<(PathBuf, PathBuf)> {
        let Some(data) = &self.data else { return Vec::new() };
        let replaced = self.seeds().into_iter().filter_map(|seed| {
            let file = data.join(seed.path.file_name()?);
            file.is_file().then_some((file, seed.path))
        });
        replaced.collect()
    }

    /// All properties files of models, seeds and snapshots with their text, by path (relative to the project).
    ///
    /// # Errors
    /// Files that cannot be read, and all faults in those that can.
    pub fn properties(&self) -> Result<Vec<(PathBuf, Properties)>, Diagnostics> {
        let mut faults = Diagnostics::default();
        let mut found = Vec::new();
        for path in self.properties_paths() {
            match fs_err::read_to_string(self.root.join(&path)) {
                Ok(text) => {
                    let (properties, more) = Properties::parse(&self.root.join(&path), &text);
                    faults.0.extend(more);
                    found.push((path, properties));
                }
                Err(error) => faults
                    .push(Diagnostic::new("E_PROPERTIES_READ", error.to_string()).at(Place::file(&path))),
            }
        }
        faults.into_result(found)
    }

    /// Paths of all properties files, relative to the project, sorted.
    pub fn properties_paths(&self) -> Vec<PathBuf> {
        let mut roots = self.model_paths.clone();
        roots.extend(self.seed_paths.iter().chain(&self.snapshot_paths).cloned());
        let mut paths: Vec<PathBuf> =
            self.files(&roots, &["yml", "yaml"]).into_iter().map(|file| file.path).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// The materialization that `dbt_project.yml` sets for a model file (relative path); dbt's default is `view`.
    pub fn materialized(&self, path: &Path) -> String {
        let inside = self.model_paths.iter().find_map(|root| path.strip_prefix(root).ok()).unwrap_or(path);
        let own = |node: &Node| {
            node.get("+materialized")
                .or_else(|| node.get("materialized"))
                .and_then(Node::text)
                .map(str::to_owned)
        };
        let mut found = "view".to_owned();
        let Some(mut node) = self.config.get("models") else { return found };
        found = own(node).unwrap_or(found);
        let Some(package) = node.get(&self.name) else { return found };
        node = package;
        found = own(node).unwrap_or(found);
        for part in inside.components() {
            let name =
                Path::new(part.as_os_str()).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let Some(next) = node.get(&name) else { return found };
            node = next;
            found = own(node).unwrap_or(found);
        }
        found
    }

    fn files(&self, roots: &[PathBuf], extensions: &[&str]) -> Vec<ProjectFile> {
        let mut found = Vec::new();
        for root in roots {
            // What cannot be listed is passed over.
            let _ = walk(&self.root, root, &|_| false, &mut |path| {
                let extension = path.extension().unwrap_or_default().to_string_lossy();
                if extensions.contains(&extension.as_ref()) {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    found.push(ProjectFile { name, path });
                }
            });
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup();
        found
    }
}

/// The `NAME` of every `{% macro NAME(...) %}` in a text.
fn defined_macros(text: &str) -> impl Iterator<Item = String> + '_ {
    text.match_indices("{%").filter_map(|(at, _)| {
        let tag = text[at + 2..].trim_start_matches(['-', '+']).trim_start();
        let rest = tag.strip_prefix("macro")?.strip_prefix(char::is_whitespace)?.trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<Project, Diagnostics> {
        Project::parse(Path::new("shop"), Path::new("shop/dbt_project.yml"), text)
    }

    #[test]
    fn defaults_are_those_of_dbt() {
        let project = project("name: shop\n").expect("a project");
        assert_eq!(
            (project.profile.as_str(), project.packages_path.to_str()),
            ("shop", Some("dbt_packages"))
        );
        assert_eq!((&project.model_paths[0], &project.seed_paths[0]), (&"models".into(), &"seeds".into()));
    }

    #[test]
    fn macros_are_found_by_their_tags() {
        let text = "{% macro cents(c) %}x{% endmacro %}\n{%-  macro\tdays_2() -%}{%- endmacro -%} {% macro %} {% macros a() %}";
        assert_eq!(defined_macros(text).collect::<Vec<_>>(), ["cents", "days_2"]);
    }

    #[test]
    fn vars_of_the_project_win_over_global_ones() {
        let vars = project("name: shop\nvars:\n  day: 1\n  unit: kg\n  shop:\n    day: 2\n")
            .expect("a project")
            .vars();
        assert_eq!(serde_json::json!(vars), serde_json::json!({"day": 2, "unit": "kg"}));
    }

    #[test]
    fn faults_name_the_line() {
        let shown = |text: &str| project(text).expect_err(text).to_string();
        insta::assert_snapshot!(
            [
                shown("name: 1shop\nmodel-paths: models\nseed-paths: [../../etc]\n"),
                shown("profile: x\n"),
                shown("name: [shop\n"),
                shown("- a\n"),
                shown(""),
                Project::read(Path::new("/nonexistent")).expect_err("no project").to_string(),
            ]
            .join("\n---\n")
        );
    }

    #[test]
    fn materialization_is_inherited_along_the_folders() {
        let project = project(
            "name: shop\nmodels:\n  +materialized: table\n  shop:\n    staging:\n      +materialized: view\n      big:\n        materialized: incremental\n",
        )
        .expect("a project");
        for (path, expected) in [
            ("models/x.sql", "table"),
            ("models/staging/x.sql", "view"),
            ("models/staging/big.sql", "incremental"),
            ("models/staging/big/x.sql", "incremental"),
        ] {
            assert_eq!(project.materialized(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn files_are_found_in_order() {
        let dir = tempfile::tempdir().expect("temp dir");
        for path in
            ["dbt_project.yml", "models/b.sql", "models/a/c.sql", "models/a/schema.yml", "seeds/s.csv"]
        {
            let path = dir.path().join(path);
            fs_err::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs_err::write(&path, if path.ends_with("dbt_project.yml") { "name: shop" } else { "" })
                .expect("file");
        }
        let project = Project::read(dir.path()).expect("a project");
        let names: Vec<String> = project.models().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["c", "b"]);
        assert_eq!(project.seeds()[0].path, Path::new("seeds/s.csv"));
        assert_eq!(project.properties_paths(), [Path::new("models/a/schema.yml")]);
    }
}
