//! Comparing two queries by proof: text, AST, shape, normal form.

use std::collections::BTreeSet;

use sqlparser::ast::{Expr, Query as Ast, SetExpr, TableAlias, VisitMut, VisitorMut};
use sqlparser::tokenizer::TokenWithSpan;

use super::algebra::map::inner_blocks;
use super::algebra::{Arena, CmpOp, Col, Node, Query};
use super::canon::{Canonical, canonical};
use super::facts::{Fact, FactSet};
use super::lower::{BindFault, STAR, lower};
use super::normalize::{normalize, open_choices};
use super::parse::{ParseFault, parse_query, parse_tokens, tokens};
use super::schema::Table;
use super::{Comparison, Dialect, Method, Schema, Verdict};

/// How output columns are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Contract {
    /// By name, without regard to case and order: what a dbt model promises.
    #[default]
    Name,
    /// By position, names ignored.
    Position,
}

/// How two queries are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Dialect of both texts.
    pub dialect: Dialect,
    /// How output columns are matched.
    pub contract: Contract,
}

/// Why a query has no normal form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not parse.
    #[error("does not parse: {0}")]
    Parse(#[from] ParseFault),
    /// It does not bind.
    #[error(transparent)]
    Bind(#[from] BindFault),
    /// It calls a function that gives another value on each call.
    #[error("it calls a volatile function")]
    Volatile,
}

/// A query in normal form.
#[derive(Debug)]
pub struct NormalForm {
    /// Where its expressions live.
    pub arena: Arena,
    /// The query.
    pub query: Query,
    /// Its canonical form: equal for equal meaning, as far as the rules reach.
    pub canonical: Canonical,
}

/// The normal form of a query, with the help of facts.
///
/// # Errors
/// See [`Fault`].
pub fn normal_form(
    sql: &str,
    schema: &Schema,
    facts: &FactSet,
    options: &Options,
) -> Result<NormalForm, Fault> {
    let ast = parse_query(sql, options.dialect)?;
    normal_form_of(&ast, schema, facts, options)
}

fn normal_form_of(
    ast: &Ast,
    schema: &Schema,
    facts: &FactSet,
    options: &Options,
) -> Result<NormalForm, Fault> {
    let (mut arena, mut query) = lower(ast, schema, facts, options.dialect)?;
    if arena.volatile {
        return Err(Fault::Volatile);
    }
    normalize(&mut arena, &mut query);
    let canonical = canonical(&arena, &query, options.contract == Contract::Name)
        .ok_or(Fault::Bind(BindFault::TooLarge))?;
    Ok(NormalForm { arena, query, canonical })
}

/// Compares the golden `a` with the candidate `b`, both rendered SQL, by proof only: [`Verdict::Unknown`] with
/// [`Method::NormalForm`] means that no proof was found, not that they differ.
pub fn compare(a: &str, b: &str, schema: &Schema, options: &Options) -> Comparison {
    let (a_tokens, b_tokens) = (tokens(a, options.dialect), tokens(b, options.dialect));
    if a == b || same_tokens(a_tokens.as_deref(), b_tokens.as_deref()) {
        return Comparison::new(
            Verdict::Identical,
            Method::Text,
            "the texts are the same but for white space",
        );
    }
    let parse = |sql: &str, tokens| parse_tokens(sql, tokens, options.dialect).map(|parsed| parsed.query);
    let parsed = (a_tokens.and_then(|tokens| parse(a, tokens)), b_tokens.and_then(|tokens| parse(b, tokens)));
    let (a_ast, b_ast) = match parsed {
        (Ok(a), Ok(b)) => (a, b),
        (Err(fault), _) => return unknown(Method::Ast, format!("the golden does not parse: {fault}")),
        (_, Err(fault)) => return unknown(Method::Ast, format!("the candidate does not parse: {fault}")),
    };
    let side = |ast: &Ast, facts: &FactSet| normal_form_of(ast, schema, facts, options);
    let none = FactSet::none();
    let (mut a_form, b_form) = match (side(&a_ast, &none), side(&b_ast, &none)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => return without_form(a.err(), b.err(), &a_ast, &b_ast),
    };
    if let Some(shape) = shape(&a_form, &b_form, options) {
        return shape;
    }
    if a_form.canonical == b_form.canonical {
        if same_ast(&a_ast, &b_ast) {
            return Comparison::new(Verdict::Identical, Method::Ast, "only spelling differs");
        }
        let mut open = open_choices(&mut a_form.arena, &a_form.query);
        if !open.is_empty()
            && let Ok(mut with_facts) = side(&a_ast, &FactSet::declared(schema))
        {
            open = open_choices(&mut with_facts.arena, &with_facts.query);
        }
        let reason = format!("the normal forms are equal{}", resolved_alike(&open));
        return Comparison::new(Verdict::Equivalent, Method::NormalForm, reason);
    }
    let declared = FactSet::declared(schema);
    let equal_with = |facts: &FactSet| -> Option<Vec<usize>> {
        let (a, b) = (side(&a_ast, facts).ok()?, side(&b_ast, facts).ok()?);
        (a.canonical == b.canonical)
            .then(|| a.arena.used_facts.union(&b.arena.used_facts).copied().collect::<Vec<_>>())
    };
    if !declared.is_empty()
        && let Some(used) = equal_with(&declared)
    {
        let needed = minimal(&declared, used, &|facts| equal_with(facts).is_some());
        let open = side(&a_ast, &declared)
            .map_or_else(|_| BTreeSet::new(), |mut form| open_choices(&mut form.arena, &form.query));
        let reason = format!("the normal forms are equal, given the facts listed{}", resolved_alike(&open));
        let mut comparison = Comparison::new(Verdict::Equivalent, Method::NormalForm, reason);
        comparison.facts =
            needed.iter().filter_map(|number| declared.get(*number)).map(|fact| cite(fact, schema)).collect();
        return comparison;
    }
    let mut comparison = unknown(Method::NormalForm, "not proved");
    comparison.would_prove =
        missing_fact(&declared, schema, &[&a_form, &b_form], &|facts| equal_with(facts).is_some());
    comparison
}

/// Names what both queries leave open, which a proof takes to be resolved alike.
fn resolved_alike(open: &BTreeSet<String>) -> String {
    if open.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = open.iter().map(String::as_str).collect();
    format!(
        "; ties are taken to be resolved alike: the order of rows does not determine {}",
        names.join(", ")
    )
}

fn unknown(method: Method, reason: impl Into<String>) -> Comparison {
    Comparison::new(Verdict::Unknown, method, reason)
}

/// What is said when a side has no normal form.
fn without_form(a: Option<Fault>, b: Option<Fault>, a_ast: &Ast, b_ast: &Ast) -> Comparison {
    if same_ast(a_ast, b_ast) {
        return Comparison::new(Verdict::Identical, Method::Ast, "only spelling differs");
    }
    match (a, b) {
        (None, Some(Fault::Bind(fault))) if fault.cannot_run() => {
            Comparison::new(Verdict::Differs, Method::Shape, format!("the candidate cannot run: {fault}"))
        }
        (Some(fault), _) => unknown(Method::NormalForm, format!("the golden: {fault}")),
        (None, Some(fault)) => unknown(Method::NormalForm, format!("the candidate: {fault}")),
        (None, None) => unknown(Method::NormalForm, "not proved"),
    }
}

/// Compares the output columns.
fn shape(a: &NormalForm, b: &NormalForm, options: &Options) -> Option<Comparison> {
    let differs = |reason: String| Some(Comparison::new(Verdict::Differs, Method::Shape, reason));
    let names = |form: &NormalForm| -> Vec<String> {
        let mut names: Vec<_> =
            form.query.outputs.iter().map(|(name, _)| form.arena.text(*name).to_owned()).collect();
        names.sort();
        names
    };
    let (golden, candidate) = (names(a), names(b));
    if golden != candidate && golden.iter().chain(&candidate).any(|name| name == STAR) {
        return Some(unknown(Method::Shape, "a * stands for columns that are not known"));
    }
    match options.contract {
        Contract::Position => {
            if golden.len() != candidate.len() {
                return differs(format!(
                    "the golden has {} columns, the candidate {}",
                    golden.len(),
                    candidate.len()
                ));
            }
        }
        Contract::Name => {
            let missing = rest(&golden, &candidate);
            let extra = rest(&candidate, &golden);
            // An expression without alias is named by the database, not by us.
            let unnamed = |name: &&String| !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if missing.iter().chain(&extra).any(unnamed) {
                if golden.len() != candidate.len() {
                    return differs(format!(
                        "the golden has {} columns, the candidate {}",
                        golden.len(),
                        candidate.len()
                    ));
                }
                return Some(unknown(Method::Shape, "an output column has no name"));
            }
            let list =
                |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            match (missing.as_slice(), extra.as_slice()) {
                ([], []) => {}
                ([], extra) => return differs(format!("extra column: {}", list(extra))),
                (missing, []) => return differs(format!("missing column: {}", list(missing))),
                (missing, extra) => {
                    return differs(format!(
                        "missing column: {}; extra column: {}",
                        list(missing),
                        list(extra)
                    ));
                }
            }
        }
    }
    None
}

/// The members of the sorted list `a` that the sorted list `b` lacks, as multisets.
fn rest<'a>(a: &'a [String], b: &[String]) -> Vec<&'a String> {
    let mut left: Vec<&String> = b.iter().collect();
    let mut missing = Vec::new();
    for name in a {
        match left.iter().position(|other| *other == name) {
            Some(at) => {
                left.remove(at);
            }
            None => missing.push(name),
        }
    }
    missing
}

/// Leaves out what the proof does not need.
fn minimal(declared: &FactSet, used: Vec<usize>, proves: &dyn Fn(&FactSet) -> bool) -> Vec<usize> {
    let mut needed = used;
    if !proves(&declared.only(&needed)) {
        // Never expected: facts that were noted are all that a run consults.
        return needed;
    }
    let mut at = 0;
    while at < needed.len() {
        let mut fewer = needed.clone();
        fewer.remove(at);
        if proves(&declared.only(&fewer)) {
            needed = fewer;
        } else {
            at += 1;
        }
    }
    needed
}

/// A fact with its origin, as a verdict lists it.
fn cite(fact: &Fact, schema: &Schema) -> String {
    let text = fact.describe();
    let origin = schema.table(fact.table()).and_then(|(_, table)| {
        let keys = match fact {
            Fact::NotNull { column, .. } => vec![format!("not_null {column}")],
            Fact::Unique { columns, .. } => {
                vec![format!("unique {}", columns.join(", ")), format!("primary_key {}", columns.join(", "))]
            }
            Fact::ForeignKey { columns, .. } => {
                vec![
                    format!("foreign_key {}", columns.join(", ")),
                    format!("relationships {}", columns.join(", ")),
                ]
            }
        };
        keys.iter().find_map(|key| table.origins.get(key))
    });
    match origin {
        Some(origin) => format!("{text} ({origin})"),
        None => text,
    }
}

/// One fact that is not declared and that would prove the pair equal.
fn missing_fact(
    declared: &FactSet,
    schema: &Schema,
    forms: &[&NormalForm],
    proves: &dyn Fn(&FactSet) -> bool,
) -> Option<String> {
    const TRIES: usize = 24;
    let mut candidates: Vec<Fact> = Vec::new();
    let mut push = |fact: Fact| {
        if !declared.contains(&fact) && !candidates.contains(&fact) {
            candidates.push(fact);
        }
    };
    for form in forms {
        for (table, column) in joined_columns(form) {
            let Some((name, info)) = schema.table(&table) else { continue };
            let Some((column, column_info)) =
                info.columns.iter().find(|(c, _)| c.eq_ignore_ascii_case(&column))
            else {
                continue;
            };
            push(Fact::Unique { table: name.to_owned(), columns: vec![column.clone()] });
            if column_info.nullable {
                push(Fact::NotNull { table: name.to_owned(), column: column.clone() });
            }
        }
    }
    candidates.truncate(TRIES);
    let mut references: Vec<Fact> = Vec::new();
    for ((table, column), (to, key)) in forms.iter().flat_map(|form| equated_columns(form)) {
        let (Some((name, info)), Some((to, target))) = (schema.table(&table), schema.table(&to)) else {
            continue;
        };
        let spelled = |info: &Table, column: &str| {
            info.columns.keys().find(|name| name.eq_ignore_ascii_case(column)).cloned()
        };
        let (Some(column), Some(key)) = (spelled(info, &column), spelled(target, &key)) else { continue };
        let fact = Fact::ForeignKey {
            table: name.to_owned(),
            columns: vec![column],
            to: to.to_owned(),
            references: vec![key],
        };
        if name != to && !declared.contains(&fact) && !references.contains(&fact) {
            references.push(fact);
        }
    }
    references.truncate(TRIES);
    candidates.extend(references);
    candidates.into_iter().find_map(|fact| {
        let described = fact.describe();
        let (with, _) = declared.with(fact);
        proves(&with).then_some(described)
    })
}

/// A table and one of its columns.
type Named = (String, String);

/// Pairs of table columns that the query equates, each in both directions.
fn equated_columns(form: &NormalForm) -> Vec<(Named, Named)> {
    let mut pairs = Vec::new();
    let mut blocks = vec![&form.query.block];
    while let Some(block) = blocks.pop() {
        blocks.extend(inner_blocks(block));
        for class in &block.equal {
            pairs.extend(class.iter().flat_map(|a| class.iter().map(move |b| (*a, *b))));
        }
        for outer in &block.outers {
            for e in &outer.on {
                if let Node::Cmp(CmpOp::Eq, a, b) = form.arena.node(*e)
                    && let (Node::Col(a), Node::Col(b)) = (form.arena.node(*a), form.arena.node(*b))
                {
                    pairs.extend([(*a, *b), (*b, *a)]);
                }
            }
        }
    }
    let named = |col| table_column(form, col);
    pairs.into_iter().filter(|(a, b)| a != b).filter_map(|(a, b)| Some((named(a)?, named(b)?))).collect()
}

fn table_column(form: &NormalForm, col: Col) -> Option<Named> {
    let info = form.arena.col(col);
    let (scan, _) = info.scan?;
    Some((form.arena.text(form.arena.table_of(scan).name).to_owned(), form.arena.text(info.name).to_owned()))
}

/// Table columns that the query reads, those of its conditions first.
fn joined_columns(form: &NormalForm) -> Vec<Named> {
    let mut set = super::algebra::ColSet::default();
    form.arena.collect_block(&form.query.block, &mut set);
    for (_, output) in &form.query.outputs {
        form.arena.collect_columns(*output, &mut set);
    }
    set.iter().filter_map(|col| table_column(form, col)).collect()
}

fn same_tokens<E>(a: Result<&[TokenWithSpan], E>, b: Result<&[TokenWithSpan], E>) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.token == y.token),
        _ => false,
    }
}

/// Whether two ASTs are the same but for parentheses, spelled-out `AS` and the case of unquoted names.
fn same_ast(a: &Ast, b: &Ast) -> bool {
    if a == b {
        return true;
    }
    if sizes(a) != sizes(b) {
        return false;
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    let _ = VisitMut::visit(&mut a, &mut Plain);
    let _ = VisitMut::visit(&mut b, &mut Plain);
    a == b
}

/// What spelling does not change, and what mostly tells two queries apart: the numbers of CTEs, columns and tables.
fn sizes(query: &Ast) -> Vec<usize> {
    let mut sizes = vec![query.with.as_ref().map_or(0, |with| with.cte_tables.len())];
    if let SetExpr::Select(select) = query.body.as_ref() {
        sizes.extend([select.projection.len(), select.from.len()]);
        sizes.extend(select.from.iter().map(|from| from.joins.len()));
        sizes.push(usize::from(select.selection.is_some()));
    }
    sizes.push(usize::from(query.order_by.is_some()));
    sizes
}

struct Plain;

impl VisitorMut for Plain {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> std::ops::ControlFlow<()> {
        while let Expr::Nested(inner) = expr {
            *expr = std::mem::replace(inner.as_mut(), Expr::Tuple(Vec::new()));
        }
        std::ops::ControlFlow::Continue(())
    }

    fn pre_visit_ident(&mut self, ident: &mut sqlparser::ast::Ident) -> std::ops::ControlFlow<()> {
        if ident.quote_style.is_none() {
            ident.value.make_ascii_lowercase();
        }
        std::ops::ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(
        &mut self,
        factor: &mut sqlparser::ast::TableFactor,
    ) -> std::ops::ControlFlow<()> {
        use sqlparser::ast::TableFactor;
        let alias: Option<&mut TableAlias> = match factor {
            TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } => alias.as_mut(),
            _ => None,
        };
        if let Some(alias) = alias {
            alias.explicit = true;
        }
        std::ops::ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests;
