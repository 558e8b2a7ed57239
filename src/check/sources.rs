//! `sources`: only approved models and sources are read, by `ref` and `source` and not by name.

use std::collections::BTreeSet;

use crate::sql::Dialect;
use crate::sql::jinja::{Context, JinjaUse, Rendered, Uses, render, scan};
use crate::sql::parse::parse_query;
use crate::sql::relations::relations;
use crate::suite::spec::Approved;

use super::{CheckId, CheckResult, Finding};

/// Judges the SQL of a model. `this` is the model's own name, which it may read.
pub fn check(sql: &str, model: &str, approved: &[Approved], dialect: Dialect) -> CheckResult {
    let mut findings: Vec<Finding> = Vec::new();
    let mut add = |finding: Finding| {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    };
    let mut reads_something = false;
    let mut readable = true;
    let mut used: Vec<Rendered> = Vec::new();
    let mut context = Context::new(dialect, model);
    match render(sql, &context) {
        Err(fault) => {
            // Jinja that is none cannot be compiled either; that check says so.
            return match scan(sql) {
                Ok(uses) => CheckResult::from_findings(CheckId::Sources, as_written(&uses, approved)),
                Err(_) => {
                    CheckResult::skipped(CheckId::Sources, format!("the Jinja cannot be read: {fault}"))
                }
            };
        }
        Ok(rendered) => {
            let both = rendered.uses_incremental;
            used.push(rendered);
            context.incremental = true;
            if both && let Ok(rendered) = render(sql, &context) {
                used.push(rendered);
            }
        }
    }
    for rendered in &used {
        for reference in &rendered.refs {
            let known =
                approved.iter().any(|one| matches!(one, Approved::Ref(name) if *name == reference.name));
            if !known {
                let call = match &reference.package {
                    Some(package) => format!("ref('{package}', '{}')", reference.name),
                    None => format!("ref('{}')", reference.name),
                };
                let finding = Finding::new("unapproved_ref", format!("{call} is not approved"));
                add(located(finding, sql, &["ref"], &reference.name));
            }
        }
        for source in &rendered.sources {
            let known = approved.iter().any(
                |one| matches!(one, Approved::Source(name, table) if *name == source.source && *table == source.table),
            );
            if !known {
                let call = format!("source('{}', '{}')", source.source, source.table);
                let finding = Finding::new("unapproved_source", format!("{call} is not approved"));
                add(located(finding, sql, &["source"], &source.table));
            }
        }
    }
    // A name that a macro gives is nobody's to approve.
    let hidden = |rendered: &Rendered| rendered.macros.contains("ref") || rendered.macros.contains("source");
    if used.iter().any(hidden)
        && let Ok(uses) = scan(sql)
    {
        as_written(&uses, approved)
            .into_iter()
            .filter(|finding| finding.message.contains(NOT_WRITTEN_OUT))
            .for_each(&mut add);
    }
    for incremental in [false, true] {
        let Some(first) = used.first().filter(|rendered| !incremental || rendered.uses_incremental) else {
            break;
        };
        // Refs and sources under names that the text cannot hold by accident, so that a table named directly shows.
        let marked = marked(&used, dialect, model, incremental);
        let rendered = if first.relations.is_empty() { Ok(first.clone()) } else { render(sql, &marked) };
        let Some((rendered, query)) = rendered
            .ok()
            .and_then(|rendered| parse_query(&rendered.sql, dialect).ok().map(|query| (rendered, query)))
        else {
            readable = false;
            continue;
        };
        let own: BTreeSet<&str> = marked.relations.values().map(String::as_str).collect();
        for relation in relations(&query, dialect) {
            if own.contains(relation.name.as_str()) {
                reads_something |= relation.name != MARKED_THIS;
                continue;
            }
            let is_macro = rendered
                .opaque
                .iter()
                .any(|call| call.split('(').next().is_some_and(|name| relation.name.starts_with(name)));
            if is_macro {
                reads_something = true;
                continue;
            }
            let line = rendered.lines.get(relation.line.saturating_sub(1)).copied().unwrap_or(relation.line);
            let message = format!("`{}` is named directly; use ref or source", relation.name);
            add(Finding::new("hard_coded_relation", message).at(format!("sql:{line}")));
            reads_something = true;
        }
        reads_something |= !rendered.opaque.is_empty();
    }
    if readable && !reads_something && !approved.is_empty() {
        add(Finding::new("no_source", "it reads no relation at all: its rows are made up"));
    }
    // SQL that cannot be read can name a relation in some way that nobody sees here, but none by ref or source.
    let names_nothing = |rendered: &Rendered| {
        rendered.refs.is_empty() && rendered.sources.is_empty() && rendered.opaque.is_empty()
    };
    if !readable && !approved.is_empty() && used.iter().all(names_nothing) {
        add(Finding::new("no_source", "nothing is read by ref or source, and the SQL cannot be read"));
    }
    CheckResult::from_findings(CheckId::Sources, findings)
}

/// The refs and sources of a template that dbt may be able to render and we are not: names must be written out.
fn as_written(uses: &Uses, approved: &[Approved]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in &uses.uses {
        let JinjaUse::Name { path, call: Some(call), place } = one else { continue };
        let at = format!("sql:{}:{}", place.0, place.1);
        let names: Option<Vec<&str>> =
            call.positional.iter().map(|value| value.as_ref().and_then(|value| value.as_str())).collect();
        let (class, known) = match (path.as_str(), names.as_deref()) {
            ("ref", Some([name] | [_, name])) => (
                "unapproved_ref",
                approved.iter().any(|a| matches!(a, Approved::Ref(known) if known == name)),
            ),
            ("source", Some([source, table])) => (
                "unapproved_source",
                approved.iter().any(|a| matches!(a, Approved::Source(s, t) if s == source && t == table)),
            ),
            ("ref", _) => ("unapproved_ref", false),
            ("source", _) => ("unapproved_source", false),
            _ => continue,
        };
        if !known {
            let names = names.map_or_else(|| NOT_WRITTEN_OUT.to_owned(), |names| names.join("."));
            findings.push(Finding::new(class, format!("{path} of {names} is not approved")).at(at));
        }
    }
    findings
}

const NOT_WRITTEN_OUT: &str = "a name that is not written out";
const MARKED_THIS: &str = "assay_this";

/// The context in which every relation has a name of its own.
fn marked(used: &[Rendered], dialect: Dialect, model: &str, incremental: bool) -> Context {
    let mut context = Context::new(dialect, model);
    context.incremental = incremental;
    context.relations.insert("this".to_owned(), MARKED_THIS.to_owned());
    for rendered in used {
        let keys = rendered
            .refs
            .iter()
            .map(|reference| format!("ref:{reference}"))
            .chain(rendered.sources.iter().map(|source| format!("source:{source}")));
        for key in keys {
            let number = context.relations.len();
            context.relations.entry(key).or_insert_with(|| format!("assay_relation_{number}"));
        }
    }
    context
}

/// The finding at the first line that holds both the call and the name; without a place where the name is put together.
fn located(finding: Finding, sql: &str, calls: &[&str], name: &str) -> Finding {
    let line = sql
        .lines()
        .position(|line| calls.iter().any(|call| line.contains(call)) && line.contains(name))
        .or_else(|| sql.lines().position(|line| line.contains(name)));
    match line {
        Some(line) => finding.at(format!("sql:{}", line + 1)),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Outcome;

    fn found(sql: &str) -> Vec<String> {
        let approved = [
            Approved::Ref("orders".to_owned()),
            Approved::Ref("customers".to_owned()),
            Approved::Source("raw".to_owned(), "payments".to_owned()),
        ];
        let result = check(sql, "m", &approved, Dialect::DuckDb);
        result.findings.iter().map(|f| format!("{} {}", f.class, f.place.as_deref().unwrap_or("-"))).collect()
    }

    #[test]
    fn approved_relations_pass_however_they_are_written() {
        for sql in [
            "select * from {{ ref('orders') }} o join {{ source('raw', 'payments') }} p using (id)",
            "select * from {{ ref('shop', 'orders') }}",
            "{% set name = 'ord' ~ 'ers' %}select * from {{ ref(name) }}",
            "{% for t in ['orders', 'customers'] %}select id from {{ ref(t) }}{% if not loop.last %} union all {% endif %}{% endfor %}",
            "{# {{ ref('secret') }} #}with orders as (select * from {{ ref('orders') }}) select * from orders",
            "with a as (select * from {{ ref('orders') }}), b as (select * from a) select * from b, generate_series(1, 2)",
            "select * from {{ ref('orders') }} where id not in (select id from {{ this }})",
            "select * from {{ ref('orders') }} {% if is_incremental() %} where d > (select max(d) from {{ this }}) {% endif %}",
            "select 'from secret' from {{ ref('orders') }} -- from secret",
            "select {{ dbt_utils.star(ref('orders')) }} from {{ ref('orders') }}",
        ] {
            assert_eq!(found(sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn other_relations_do_not() {
        for (sql, expected) in [
            ("select *\nfrom {{ ref('secret') }}", vec!["unapproved_ref sql:2"]),
            ("select * from {{ source('raw', 'x') }}", vec!["unapproved_source sql:1"]),
            ("-- {{ ref('secret') }}\nselect * from {{ ref('orders') }}", vec!["unapproved_ref sql:1"]),
            ("{% set n = 'sec' ~ 'ret' %}select * from {{ ref(n) }}", vec!["unapproved_ref -"]),
            (
                "select * from {{ ref('orders') }} {% if is_incremental() %} where x in (select x from {{ ref('secret') }}) {% endif %}",
                vec!["unapproved_ref sql:1"],
            ),
            ("select * from {{ ref(pick()) }}", vec!["unapproved_ref sql:1:18"]),
            (
                "select * from {{ ref('orders') }} join {{ source('raw', pick()) }} using (id)",
                vec!["unapproved_source sql:1:43"],
            ),
            ("select *\nfrom raw.payments", vec!["hard_coded_relation sql:2"]),
            ("select * from {{ ref('orders') }}\njoin orders using (id)", vec!["hard_coded_relation sql:2"]),
            (
                "select * from {{ source('raw', 'payments') }} union all select * from raw.payments",
                vec!["hard_coded_relation sql:1"],
            ),
            (
                "with a as (select * from {{ ref('orders') }}) select * from a, (with c as (select 1) select * from c), c",
                vec!["hard_coded_relation sql:1"],
            ),
            ("select 1 as id union all select 2", vec!["no_source -"]),
            ("-- {{ ref('orders') }}\nselect * from (values (1, 2)) as t (a, b)", vec!["no_source -"]),
            ("select * from generate_series(1, 10)", vec!["no_source -"]),
            ("orders.sql", vec!["no_source -"]),
            ("select from {{ ref('orders') }} from", vec![]),
            (
                "{% set x = [] %}{% do x.index(1) %}select * from {{ ref('secret') }}",
                vec!["unapproved_ref sql:1:53"],
            ),
            (
                "{% set x = [] %}{% do x.index('orders') %}select * from {{ ref(x[0]) }}",
                vec!["unapproved_ref sql:1:60"],
            ),
        ] {
            assert_eq!(found(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_is_no_jinja_is_left_to_the_compiler() {
        let result = check("select * from {{ ref('a' }}", "m", &[], Dialect::DuckDb);
        assert_eq!(result.outcome, Outcome::Skipped);
    }
}
