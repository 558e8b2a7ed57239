//! The relations that a query reads, with CTEs told apart from tables by SQL's scoping.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{ObjectName, Query, Select, Spanned, TableFactor, Visit, Visitor};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::Dialect;
use super::parse::{parse_query, tokens};

/// A relation named in FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationUse {
    /// Its name, parts joined by dots, without quotes.
    pub name: String,
    /// Line of the text, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// All relations that a query reads from outside itself, in the order of the text; table functions are left out.
pub fn relations(query: &Query, dialect: Dialect) -> Vec<RelationUse> {
    let mut scan = Scan { dialect, scopes: Vec::new(), aliases: Vec::new(), found: Vec::new() };
    let _ = query.visit(&mut scan);
    scan.found
}

/// The text with relations under other names: `rename` gets each name as [`RelationUse`] has it and says what to write instead.
/// Everything else stays, byte for byte. The same text where it does not parse.
pub fn renamed(sql: &str, dialect: Dialect, rename: impl Fn(&str) -> Option<String>) -> String {
    let (Ok(query), Ok(tokens)) = (parse_query(sql, dialect), tokens(sql, dialect)) else {
        return sql.to_owned();
    };
    let starts: Vec<usize> =
        std::iter::once(0).chain(sql.match_indices('\n').map(|(newline, _)| newline + 1)).collect();
    let offset = |line: u64, column: u64| -> Option<usize> {
        let start = *starts.get(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let skipped = usize::try_from(column).ok()?.checked_sub(1)?;
        let rest = sql.get(start..)?;
        Some(start + rest.char_indices().nth(skipped).map_or(rest.len(), |(at, _)| at))
    };
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    for found in relations(&query, dialect) {
        let Some(new) = rename(&found.name) else { continue };
        let is_start = |token: &TokenWithSpan| {
            let at = token.span.start;
            usize::try_from(at.line) == Ok(found.line) && usize::try_from(at.column) == Ok(found.column)
        };
        let Some(first) = tokens.iter().position(is_start) else { continue };
        let mut last = first;
        while tokens.get(last + 1).is_some_and(|token| token.token == Token::Period)
            && last + 2 < tokens.len()
        {
            last += 2;
        }
        let (start, end) = (tokens[first].span.start, tokens[last].span.end);
        if let (Some(start), Some(end)) = (offset(start.line, start.column), offset(end.line, end.column)) {
            edits.push((start, end, new));
        }
    }
    edits.sort();
    edits.dedup();
    let mut out = sql.to_owned();
    for (start, end, new) in edits.into_iter().rev() {
        if start <= end && out.is_char_boundary(start) && out.is_char_boundary(end) {
            out.replace_range(start..end, &new);
        }
    }
    out
}

/// The CTEs of one WITH.
struct Scope {
    /// The address of the query that the WITH belongs to.
    query: usize,
    names: Vec<String>,
    /// The addresses of the CTEs' queries.
    bodies: Vec<usize>,
    recursive: bool,
    /// How many of the names can be seen now.
    visible: usize,
}

struct Scan {
    dialect: Dialect,
    scopes: Vec<Scope>,
    /// Aliases of each open SELECT: `from t, t.items` reads an array of a row, not a table, in dialects with nested data.
    aliases: Vec<BTreeSet<String>>,
    found: Vec<RelationUse>,
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Scan {
    fn parts(name: &ObjectName) -> Vec<String> {
        name.0
            .iter()
            .map(|part| part.as_ident().map_or_else(|| part.to_string(), |ident| ident.value.clone()))
            .collect()
    }

    fn table(&mut self, name: &ObjectName, alias: Option<&str>) {
        let parts = Self::parts(name);
        let is_cte = |scopes: &[Scope]| {
            parts.len() == 1
                && scopes.iter().any(|scope| {
                    scope.names[..scope.visible].iter().any(|cte| cte.eq_ignore_ascii_case(&parts[0]))
                })
        };
        let nested = matches!(self.dialect, Dialect::BigQuery | Dialect::Redshift | Dialect::Databricks);
        let is_array = nested
            && parts.len() > 1
            && self.aliases.iter().any(|aliases| aliases.contains(&parts[0].to_lowercase()));
        if !is_cte(&self.scopes) && !is_array {
            let start = name.span().start;
            let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            self.found.push(RelationUse {
                name: parts.join("."),
                line: number(start.line).max(1),
                column: number(start.column),
            });
        }
        if let Some(aliases) = self.aliases.last_mut() {
            let alias = alias.map_or_else(|| parts.last().cloned().unwrap_or_default(), str::to_owned);
            aliases.insert(alias.to_lowercase());
        }
    }
}

impl Visitor for Scan {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let here = address(query);
        for scope in &mut self.scopes {
            if let Some(index) = scope.bodies.iter().position(|body| *body == here) {
                scope.visible = if scope.recursive { scope.names.len() } else { index };
            }
        }
        if let Some(with) = &query.with {
            self.scopes.push(Scope {
                query: here,
                names: with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()).collect(),
                bodies: with.cte_tables.iter().map(|cte| address(&cte.query)).collect(),
                recursive: with.recursive,
                visible: 0,
            });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let here = address(query);
        self.scopes.retain(|scope| scope.query != here);
        for scope in &mut self.scopes {
            if let Some(index) = scope.bodies.iter().position(|body| *body == here) {
                scope.visible = index + 1;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.aliases.push(BTreeSet::new());
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.aliases.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, alias, .. } => {
                self.table(name, alias.as_ref().map(|alias| alias.name.value.as_str()));
            }
            TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => {
                if let Some(aliases) = self.aliases.last_mut() {
                    aliases.insert(alias.name.value.to_lowercase());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse::parse_query;

    fn names(sql: &str, dialect: Dialect) -> Vec<String> {
        let query = parse_query(sql, dialect).expect(sql);
        relations(&query, dialect).into_iter().map(|relation| relation.name).collect()
    }

    #[test]
    fn ctes_are_seen_where_sql_sees_them() {
        let cases = [
            ("with a as (select 1) select * from a", vec![]),
            ("with a as (select * from a) select * from a", vec!["a"]),
            ("with recursive a as (select * from a) select * from a", vec![]),
            ("with a as (select * from b), b as (select 1) select * from a, b", vec!["b"]),
            ("with A as (select 1) select * from a x join s.a y on true", vec!["s.a"]),
            ("select * from (with a as (select 1) select * from a) x, a", vec!["a"]),
            ("with a as (with b as (select 1) select * from b, c) select * from b", vec!["c", "b"]),
            (
                "with a as (select 1) select (select max(x) from a), exists (select 1 from d) from a where x in (select x from e)",
                vec!["d", "e"],
            ),
            ("with a as (select 1) (select * from a) union all select * from f", vec!["f"]),
            ("select * from t where x in (with t as (select 1) select * from t)", vec!["t"]),
            ("with a as (select 1) select * from a order by (select 1 from g)", vec!["g"]),
            ("select * from (t join u on true) v, generate_series(1, 2), (values (1)) w", vec!["t", "u"]),
        ];
        for (sql, expected) in cases {
            assert_eq!(names(sql, Dialect::DuckDb), expected, "{sql}");
        }
        assert_eq!(names("select * from d.t as t, t.items", Dialect::BigQuery), ["d.t"]);
        assert_eq!(names("select * from \"Raw\".\"x y\"", Dialect::Snowflake), ["Raw.x y"]);
    }

    #[test]
    fn places_are_those_of_the_text() {
        let query = parse_query("select *\nfrom a\n  join b.c on true", Dialect::DuckDb).expect("parses");
        let found = relations(&query, Dialect::DuckDb);
        assert_eq!((found[1].line, found[1].column), (3, 8));
    }
}
