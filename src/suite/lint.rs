//! Linting specs: against the dbt project that they draw on, and against the golden of their case.

use std::collections::BTreeSet;

use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, TableFactor};

use super::Case;
use super::spec::{Approved, Point, Spec};
use crate::dbt::project::Project;
use crate::dbt::properties::{Properties, ResourceKind};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::sql::jinja::{self, Context};
use crate::sql::parse::parse_query;

/// What a project offers to `ref()` and `source()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relations {
    refs: BTreeSet<String>,
    sources: BTreeSet<(String, String)>,
}

impl Relations {
    /// Reads them from the project's files.
    ///
    /// # Errors
    /// Faults in its properties files.
    pub fn read(project: &Project) -> Result<Self, Diagnostics> {
        let mut relations = Self::default();
        relations.refs.extend(project.models().into_iter().chain(project.seeds()).map(|file| file.name));
        for (_, properties) in project.properties()? {
            for resource in properties.resources {
                match resource.kind {
                    ResourceKind::Source { source } => {
                        relations.sources.insert((source, resource.name));
                    }
                    ResourceKind::Snapshot => {
                        relations.refs.insert(resource.name);
                    }
                    ResourceKind::Model | ResourceKind::Seed => {}
                }
            }
        }
        Ok(relations)
    }

    /// Trusted sources of a spec that the project does not have, with the line that names them.
    pub fn unknown(&self, spec: &Spec) -> Vec<Diagnostic> {
        let first_line =
            spec.entries.iter().find(|entry| entry.point == Point::Sources).map_or(1, |entry| entry.line);
        let mut faults = Vec::new();
        for relation in spec.approved() {
            let (known, name, similar) = match &relation {
                Approved::Ref(name) => (self.refs.contains(name), name, closest(name, self.refs.iter())),
                Approved::Source(source, table) => (
                    self.sources.contains(&(source.clone(), table.clone())),
                    table,
                    closest(
                        table,
                        self.sources.iter().filter(|(own, _)| own == source).map(|(_, table)| table),
                    ),
                ),
            };
            if known {
                continue;
            }
            let named = |line: &&str| line.contains(name.as_str());
            let offset = spec.text.lines().skip(first_line - 1).position(|line| named(&line)).unwrap_or(0);
            let fault =
                Diagnostic::new("E_SPEC_UNKNOWN_SOURCE", format!("the dbt project has no `{relation}`"))
                    .at(Place::line(&spec.path, first_line + offset, &spec.text));
            faults.push(match similar {
                Some(similar) => fault.hint(format!("did you mean `{similar}`?")),
                None => fault,
            });
        }
        faults
    }
}

/// A known name that a misspelt one is close to.
fn closest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let ratio = |other: &str| similar::TextDiff::from_chars(name, other).ratio();
    known
        .map(|other| (ratio(other), other))
        .filter(|(ratio, _)| *ratio > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// Columns of a case's golden that its spec never names: no answer could be expected to have them.
pub fn unnamed_columns(case: &Case) -> Vec<Diagnostic> {
    golden_columns(case)
        .into_iter()
        .filter(|column| !case.spec.names_column(column))
        .map(|column| {
            Diagnostic::new(
                "E_CASE_COLUMN",
                format!("case `{}`: the golden has a column `{column}` that the spec never names", case.id),
            )
            .at(case.place.clone())
            .hint(format!("name it in {}", case.spec.path.display()))
        })
        .collect()
}

/// The output columns of the golden, as far as they can be read off: from its SQL, else from its schema YAML.
fn golden_columns(case: &Case) -> Vec<String> {
    let context = Context::new(case.dialect, &case.model);
    let from_sql = jinja::render(&case.golden.sql, &context)
        .ok()
        .and_then(|rendered| parse_query(&rendered.sql, case.dialect).ok())
        .and_then(|query| output_names(&query, 0));
    if let Some(names) = from_sql {
        return names;
    }
    let Some((path, text)) = &case.golden.yaml else { return Vec::new() };
    let (properties, _) = Properties::parse(path, text);
    properties
        .model(&case.model)
        .map_or(Vec::new(), |model| model.columns.iter().map(|column| column.name.clone()).collect())
}

/// Names of a query's columns; `*` is followed into a common table expression. `None` where that is not enough.
fn output_names(query: &Query, depth: usize) -> Option<Vec<String>> {
    let select = leftmost(&query.body)?;
    let mut names = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => names.push(alias.value.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(name)) => names.push(name.value.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                names.push(parts.last()?.value.clone());
            }
            SelectItem::Wildcard(_) if depth < 16 && select.projection.len() == 1 => {
                let [from] = select.from.as_slice() else { return None };
                let TableFactor::Table { name, .. } = &from.relation else { return None };
                let wanted = name.0.last()?.as_ident()?.value.to_lowercase();
                let tables = &query.with.as_ref()?.cte_tables;
                let at = tables.iter().position(|table| table.alias.name.value.to_lowercase() == wanted)?;
                if !from.joins.is_empty() {
                    return None;
                }
                // A common table expression sees only those before it.
                let mut inner = (*tables[at].query).clone();
                let mut with = query.with.clone()?;
                with.cte_tables.truncate(at);
                inner.with = inner.with.or(Some(with));
                return output_names(&inner, depth + 1);
            }
            _ => return None,
        }
    }
    Some(names)
}

fn leftmost(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::SetOperation { left, .. } => leftmost(left),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sql::Dialect;

    #[test]
    fn unknown_sources_are_named_with_line_and_a_guess() {
        let relations = Relations {
            refs: ["stg_sailings".to_owned()].into(),
            sources: [("ferry".to_owned(), "bookings".to_owned())].into(),
        };
        let text = "## Inputs\n- Trusted sources:\n  - `ref('stg_sailing')`\n  - `ref('stg_sailings')`\n  - `source('ferry', 'berths')`\n";
        let faults = relations.unknown(&Spec::parse(Path::new("s.md"), text));
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "s.md:3: [E_SPEC_UNKNOWN_SOURCE] the dbt project has no `ref('stg_sailing')` (hint: did you mean `stg_sailings`?)",
                "s.md:5: [E_SPEC_UNKNOWN_SOURCE] the dbt project has no `source('ferry', 'berths')`",
            ]
        );
    }

    #[test]
    fn output_columns_are_read_through_common_table_expressions() {
        let names = |sql: &str| output_names(&parse_query(sql, Dialect::DuckDb).expect("a query"), 0);
        assert_eq!(
            names("with a as (select x, y.z, 1 as one from t), b as (select * from a) select * from b"),
            Some(vec!["x".into(), "z".into(), "one".into()])
        );
        assert_eq!(names("select a as b from t union all select c from u"), Some(vec!["b".into()]));
        for unclear in [
            "select * from t",
            "select t.* from t",
            "select count(*) from t",
            "with a as (select * from a) select * from a",
        ] {
            assert_eq!(names(unclear), None, "{unclear}");
        }
    }
}
