//! Candidates are compiled under names of their own. Jinja that can see the name could come out differently: it is left to
//! the authority, as are projects that change how models are built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::BuildRequest;
use crate::dbt::yaml::Node;

/// Words of Jinja that lead to the model's name, or to all models.
const NODE_WORDS: &[&str] = &[
    "this",
    "model",
    "graph",
    "context",
    "builtins",
    "selected_resources",
    "load_relation",
    "caller",
    "varargs",
    "kwargs",
];

/// Macros that a project may not replace: they are how dbt builds and tests.
const BUILDING: &[&str] = &[
    "create_table_as",
    "create_view_as",
    "get_create_table_as_sql",
    "get_create_view_as_sql",
    "get_test_sql",
    "get_where_subquery",
    "run_hooks",
    "is_incremental",
    "create_schema",
    "ref",
    "source",
    "config",
];

/// What is known about the macros of a project.
#[derive(Debug)]
pub(super) struct Names {
    /// Macros that can see the name of the model that calls them.
    seeing: BTreeSet<String>,
}

impl Names {
    /// `None` where the project changes how models are built, or cannot be read. `copy` holds its packages.
    pub(super) fn of_project(root: &Path, copy: &Path) -> Option<Self> {
        let settings = Node::parse(&fs_err::read_to_string(root.join("dbt_project.yml")).ok()?).ok()?;
        if ["on-run-start", "on-run-end", "dispatch"].iter().any(|key| settings.get(key).is_some()) {
            return None;
        }
        let mut bodies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in crate::dbt::files::files(copy, &|path| path.starts_with("target")).ok()? {
            if path.extension().is_some_and(|extension| extension == "sql") {
                let text = fs_err::read_to_string(copy.join(path)).ok()?;
                if words_of_tags(&text).any(|tag| tag.first().is_some_and(|word| word == "materialization")) {
                    return None;
                }
                macros(&text, &mut bodies);
            }
        }
        if bodies.keys().any(|name| BUILDING.contains(&name.as_str())) {
            return None;
        }
        let mut seeing: BTreeSet<String> = NODE_WORDS.iter().map(|word| (*word).to_owned()).collect();
        // A macro that calls one that sees the name sees it too.
        loop {
            let more: Vec<String> = bodies
                .iter()
                .filter(|(name, words)| !seeing.contains(*name) && !words.is_disjoint(&seeing))
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                return Some(Self { seeing });
            }
            seeing.extend(more);
        }
    }

    /// Whether nothing in the candidate can tell under which name it is compiled.
    pub(super) fn cannot_be_seen(&self, request: &BuildRequest) -> bool {
        let texts = [&request.sql, &request.yaml]
            .into_iter()
            .chain(request.singular_tests.iter().map(|(_, sql)| sql));
        texts.into_iter().all(|text| {
            words_of_tags(text).all(|words| {
                // `{{ this }}` alone comes out as the relation, which gets its right name afterwards.
                words.as_slice() == ["this"] || !words.iter().any(|word| self.seeing.contains(word))
            })
        })
    }
}

/// Words inside each `{{ }}` and `{% %}`, those of its strings too. Where the text could be read in another way, more counts
/// as inside, never less.
fn words_of_tags(text: &str) -> impl Iterator<Item = Vec<String>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = ["{{", "{%", "{#"].iter().filter_map(|mark| rest.find(mark)).min()?;
            let inside = rest.get(at + 2..)?;
            if rest.get(at..)?.starts_with("{#") {
                rest = inside.find("#}").and_then(|end| inside.get(end + 2..)).unwrap_or_default();
                continue;
            }
            let end = end_of_tag(inside);
            let mut words = words(inside.get(..end).unwrap_or(inside));
            rest = inside.get(end..).unwrap_or_default();
            if words.first().is_some_and(|word| word == "raw") {
                // What looks like a tag in there is none, and could hide where the next one starts.
                words.push("model".to_owned());
            }
            return Some(words);
        }
    })
}

/// Where a tag ends, as Jinja reads it: not inside strings or brackets.
fn end_of_tag(inside: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0_u32, None, false);
    let mut chars = inside.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, '}' | '%') if depth == 0 && chars.peek().is_some_and(|(_, next)| *next == '}') => {
                return at;
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    inside.len()
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Adds the macros of a file: name without an adapter's prefix, and every word of the body.
fn macros(text: &str, into: &mut BTreeMap<String, BTreeSet<String>>) {
    for (at, mark) in text.match_indices("macro") {
        let body = text.get(at + mark.len()..).unwrap_or_default();
        let is_word = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !is_word || !body.starts_with(char::is_whitespace) {
            continue;
        }
        let all = words(body.split("endmacro").next().unwrap_or_default());
        if let Some((name, words)) = all.split_first() {
            let name =
                ["default__", "duckdb__"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
            into.entry(name.to_owned()).or_default().extend(words.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(files: &[(&str, &str)]) -> Option<Names> {
        let dir = tempfile::tempdir().expect("temp dir");
        fs_err::write(dir.path().join("dbt_project.yml"), "name: shop\n").expect("project");
        for (name, text) in files {
            fs_err::write(dir.path().join(name), text).expect("file");
        }
        Names::of_project(dir.path(), dir.path())
    }

    #[test]
    fn whoever_can_see_the_name_is_found_through_macros() {
        let names = names(&[(
            "a.sql",
            "{% macro plain(x) %}upper({{ x }}){% endmacro %}{%- macro default__seeing() -%}{{ model.name }}{% endmacro %}{% macro\tcaller_of_it() %}{{ seeing() }}{% endmacro %}",
        )])
        .expect("usable");
        for (sql, hidden) in [
            ("select {{ plain('a') }} as this from {{ ref('model') }}", false),
            ("select {{ plain('a') }} as this from {{ ref('m') }}", true),
            ("select 1 {% if is_incremental() %} from {{ this }} {% endif %}", true),
            ("select '{{ this.name }}'", false),
            ("select {{ seeing() }}", false),
            ("select {{ caller_of_it() }}", false),
            ("select {{ '}}' ~ model.name }}", false),
            ("select {{ {'a': {'b': 1}} ~ model.name }}", false),
            ("{# {{ ' #}select {{ '}}' ~ model.name }}", false),
            ("{% raw %}{{ ' {% endraw %}select {{ '}}' ~ model.name }}", false),
            ("-- this model {# model #}\nselect 1", true),
            ("select {% set x = [1] %}{{ graph", false),
        ] {
            let request = BuildRequest { sql: sql.into(), ..BuildRequest::default() };
            assert_eq!(names.cannot_be_seen(&request), hidden, "{sql}");
        }
    }

    #[test]
    fn projects_that_build_in_their_own_way_are_left_to_dbt() {
        assert!(
            names(&[("m.sql", "{% materialization table, adapter='duckdb' %}{% endmaterialization %}")])
                .is_none()
        );
        assert!(names(&[("m.sql", "{% macro duckdb__create_table_as(a) %}{% endmacro %}")]).is_none());
        assert!(names(&[("dbt_project.yml", "name: shop\non-run-start: select 1\n")]).is_none());
        assert!(names(&[]).is_some());
    }
}
