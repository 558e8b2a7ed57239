//! What dbt compiled, held against the policy: a template may come out otherwise than it was read without dbt. On `exec` that
//! happens before anything of it is run; the other engines compile and build in one go.

use std::collections::BTreeSet;
use std::path::Path;

use super::{BuildReport, plain};
use crate::sql::jinja::Rendered;
use crate::sql::parse::parse_query;
use crate::sql::policy::{Policy, Violation};
use crate::sql::relations::relations;

/// The policy that a candidate is held to.
#[derive(Debug, Clone)]
pub struct Held {
    /// The policy.
    pub policy: Policy,
    /// The SQL of the golden: what it does is no violation.
    pub golden: Option<String>,
}

/// What is known of a project: its relations, and the words of its macros, which are trusted like its models.
#[derive(Debug)]
pub(super) struct Guard {
    /// The relations, and each word as a call.
    project: Rendered,
    words: BTreeSet<String>,
}

impl Guard {
    /// `copy`: the project with its packages.
    pub(super) fn new<'a>(copy: &Path, relations: impl Iterator<Item = &'a String>) -> Self {
        let mut words = BTreeSet::new();
        let files = crate::dbt::files::files(copy, &|path| path.starts_with("target")).unwrap_or_default();
        for path in files {
            let text = match path.extension() {
                Some(extension) if extension == "sql" => fs_err::read_to_string(copy.join(&path)),
                _ => continue,
            };
            let text = text.unwrap_or_default().to_lowercase();
            if text.contains("macro") {
                let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
                words.extend(parts.filter(|word| !word.is_empty()).map(str::to_owned));
            }
        }
        let relations = relations.map(|relation| plain(relation)).collect();
        let opaque = words.iter().map(|word| format!("{word}(")).collect();
        Self { project: Rendered { relations, opaque, ..Rendered::default() }, words }
    }

    /// What compiled texts do beyond reading relations.
    pub(super) fn violations<'a>(
        &self,
        held: Option<&Held>,
        texts: impl Iterator<Item = &'a str>,
    ) -> Vec<Violation> {
        let Some(Held { policy, golden }) = held else { return Vec::new() };
        let judge = |text: &str| policy.compiled(text, &self.project);
        let mut found: Vec<Violation> = texts.flat_map(judge).collect();
        if !found.is_empty() {
            let accepted: Vec<Violation> = golden.iter().flat_map(|text| judge(text)).collect();
            let same = |a: &Violation, b: &Violation| (a.class, &a.message) == (b.class, &b.message);
            found.retain(|violation| !accepted.iter().any(|one| same(one, violation)));
        }
        found
    }

    /// Relations that the compiled text of a model reads though dbt does not know that it does: named by hand, or by a trick.
    pub(super) fn unknown_relations(
        &self,
        held: Option<&Held>,
        report: &BuildReport,
        depends_on: &[String],
    ) -> Vec<String> {
        let Some(Held { policy, golden }) = held else { return Vec::new() };
        let read = |text: &str| -> BTreeSet<String> {
            let query = parse_query(text, policy.dialect).ok();
            let found = query.map(|query| relations(&query, policy.dialect)).unwrap_or_default();
            found.into_iter().map(|relation| relation.name.to_lowercase()).collect()
        };
        let second = report.second_run.as_ref().and_then(|second| second.compiled_sql.as_deref());
        let texts = report.compiled_sql.as_deref().into_iter().chain(second);
        // What an ephemeral model reads stands in the text too.
        let has_ephemeral = report.compiled_sql.as_ref().is_some_and(|sql| sql.contains("__dbt__cte__"));
        let known = |name: &String| {
            depends_on.iter().chain(&report.relation).any(|one| plain(one) == *name)
                || has_ephemeral && self.project.relations.contains(name)
                || name.rsplit('.').next().is_some_and(|last| self.words.contains(last))
        };
        let mut found: BTreeSet<String> = texts.flat_map(read).filter(|name| !known(name)).collect();
        if !found.is_empty() {
            let accepted: BTreeSet<String> = golden.iter().flat_map(|text| read(text)).collect();
            found.retain(|name| !accepted.contains(name));
        }
        found.into_iter().collect()
    }
}
