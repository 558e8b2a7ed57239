//! A dbt model as a whole: its query in both branches of `is_incremental()`, and its config, which is part of what it means.
//!
//! [`pairs`] says which texts are to be compared, [`Pair::settled`] what follows without looking at their meaning, and [`combine`] makes
//! one verdict of the branches and the configs. [`compare_models`] is all of it by proof alone; the search for rows
//! goes in between where there is a database to run it.

use serde_json::Value as Json;

use super::compare::{Options, compare};
use super::explain::explain;
use super::jinja::{Context, JinjaFault, Rendered, render};
use super::parse::tokens;
use super::verdict::{Change, Comparison, Method, Verdict};
use super::{Dialect, Schema};

/// A dbt model, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The text that it was read from.
    pub source: String,
    /// The dialect.
    pub dialect: Dialect,
    /// Rendered for a first or full run; its config is the model's.
    pub full: Rendered,
    /// Rendered for an incremental run; `None` when the model does not ask.
    pub incremental: Option<Rendered>,
}

impl Model {
    /// Renders a model in both branches.
    ///
    /// # Errors
    /// When it is no template, or cannot be rendered without dbt.
    pub fn read(source: &str, context: &Context) -> Result<Self, JinjaFault> {
        let full = render(source, &Context { incremental: false, ..context.clone() })?;
        let incremental = if full.uses_incremental {
            Some(render(source, &Context { incremental: true, ..context.clone() })?)
        } else {
            None
        };
        Ok(Self { source: source.to_owned(), dialect: context.dialect, full, incremental })
    }

    /// The materialization; dbt's default is `view`.
    pub fn materialized(&self) -> &str {
        self.full.config.get("materialized").and_then(Json::as_str).unwrap_or("view")
    }

    /// The columns that identify a row of an incremental model, sorted and in lower case.
    pub fn unique_key(&self) -> Vec<String> {
        names(self.full.config.get("unique_key"))
    }

    /// Output columns, where the text alone tells them: no `*`, no unnamed expression, no macro.
    pub fn columns(&self) -> Option<Vec<String>> {
        if !self.full.is_exact() {
            return None;
        }
        super::explain::columns(&self.full.sql, self.dialect)
    }
}

/// Which run of a model a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branch {
    /// The first run, or a full refresh.
    Full,
    /// A later run of an incremental model.
    Incremental,
}

/// The two texts of one branch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// Which run.
    pub branch: Branch,
    /// The golden's.
    pub golden: &'a Rendered,
    /// The candidate's.
    pub candidate: &'a Rendered,
    sources: (&'a str, &'a str),
    dialect: Dialect,
}

/// The pairs of texts that decide whether two models mean the same: one, or two where a model asks `is_incremental()`.
pub fn pairs<'a>(golden: &'a Model, candidate: &'a Model) -> Vec<Pair<'a>> {
    let pair = |branch, golden_text, candidate_text| Pair {
        branch,
        golden: golden_text,
        candidate: candidate_text,
        sources: (golden.source.as_str(), candidate.source.as_str()),
        dialect: golden.dialect,
    };
    let mut pairs = vec![pair(Branch::Full, &golden.full, &candidate.full)];
    // A model that says that it is no incremental one has no later run. One that does not say may be made incremental by
    // its YAML or its project.
    let runs_later = |model: &Model| {
        let stated = model.full.config.get("materialized").and_then(Json::as_str);
        stated.is_none_or(|stated| stated == "incremental")
    };
    let asks = golden.incremental.is_some() || candidate.incremental.is_some();
    if asks && runs_later(golden) && runs_later(candidate) {
        let later = |model: &'a Model| model.incremental.as_ref().unwrap_or(&model.full);
        pairs.push(pair(Branch::Incremental, later(golden), later(candidate)));
    }
    pairs
}

impl Pair<'_> {
    /// What can be said without regard to meaning: the same text, or a text whose meaning depends on macros that are not expanded
    /// here. `None`: the two rendered texts are all there is, and may be compared.
    ///
    /// A macro may expand to anything: half an expression, a window, something volatile. Beyond the same tokens in the same
    /// places nothing follows, so no proof by meaning is tried.
    pub fn settled(&self) -> Option<Comparison> {
        if same_tokens(self.sources.0, self.sources.1, self.dialect) {
            return Some(Comparison::new(
                Verdict::Identical,
                Method::Text,
                "the texts are the same but for white space",
            ));
        }
        if self.golden.is_exact() && self.candidate.is_exact() {
            return None;
        }
        let decided = |side: &Rendered| side.undecided.is_empty() && side.unplaced.is_empty();
        if decided(self.golden)
            && decided(self.candidate)
            && self.golden.opaque == self.candidate.opaque
            && same_tokens(&self.golden.sql, &self.candidate.sql, self.dialect)
        {
            return Some(Comparison::new(
                Verdict::Identical,
                Method::Text,
                "the rendered texts are the same, with the same macro calls in the same places",
            ));
        }
        let why = |side: &Rendered, name: &str| {
            let call = side.undecided.first().cloned().or_else(|| {
                side.opaque
                    .first()
                    .or(side.unplaced.first())
                    .map(|call| format!("the macro call {call} is not expanded"))
            });
            call.map(|call| format!("in the {name}, {call}"))
        };
        let reason =
            why(self.golden, "golden").or_else(|| why(self.candidate, "candidate")).unwrap_or_default();
        Some(Comparison::new(
            Verdict::Unknown,
            Method::Text,
            format!("{reason}; only dbt's compiled SQL can tell"),
        ))
    }

    /// This pair by proof alone.
    pub fn prove(&self, schema: &Schema, options: &Options) -> Comparison {
        self.settled().unwrap_or_else(|| compare(&self.golden.sql, &self.candidate.sql, schema, options))
    }
}

/// Whether two templates or queries are the same but for white space (comments count in templates: they may hold Jinja).
fn same_tokens(a: &str, b: &str, dialect: Dialect) -> bool {
    if a == b {
        return true;
    }
    // Text that holds Jinja or does not split into tokens must be the same; the lines may end otherwise.
    let plain = |text: &str| !["{{", "{%", "{#"].iter().any(|tag| text.contains(tag));
    if !plain(a) || !plain(b) {
        let lines =
            |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned();
        return lines(a) == lines(b);
    }
    match (tokens(a, dialect), tokens(b, dialect)) {
        (Ok(a), Ok(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.token == b.token),
        _ => false,
    }
}

/// One verdict of the verdicts of [`pairs`], in their order, and of the two configs. Explanation and similarity are filled in.
pub fn combine(
    golden: &Model,
    candidate: &Model,
    comparisons: Vec<Comparison>,
    schema: &Schema,
    options: &Options,
) -> Comparison {
    let strength = |verdict| match verdict {
        Verdict::Differs => 0,
        Verdict::Unknown => 1,
        Verdict::Agrees => 2,
        Verdict::Equivalent => 3,
        Verdict::Identical => 4,
    };
    let mut facts: Vec<String> = Vec::new();
    let mut result: Option<Comparison> = None;
    for (pair, mut comparison) in pairs(golden, candidate).iter().zip(comparisons) {
        for fact in &comparison.facts {
            if !facts.contains(fact) {
                facts.push(fact.clone());
            }
        }
        if pair.branch == Branch::Incremental {
            comparison.reason = format!("on an incremental run: {}", comparison.reason);
        }
        let weaker = result.as_ref().is_none_or(|best| strength(comparison.verdict) < strength(best.verdict));
        if weaker {
            result = Some(comparison);
        }
    }
    let mut result =
        result.unwrap_or_else(|| Comparison::new(Verdict::Unknown, Method::Text, "nothing was compared"));
    if matches!(result.verdict, Verdict::Identical | Verdict::Equivalent) {
        result.facts = facts;
    }
    let (explanation, similarity) = explain_models(golden, candidate, schema, options, result.verdict);
    result.explanation = explanation;
    result.similarity = similarity;
    let changes = config_changes(golden, candidate);
    let decisive = changes
        .iter()
        .find(|change| change.class != "materialization_note")
        .map(|change| change.message.clone());
    if let Some(message) = decisive
        && !matches!(result.verdict, Verdict::Differs | Verdict::Unknown)
    {
        result.reason = format!("the queries mean the same ({}), but {message}", result.reason);
        result.verdict = Verdict::Unknown;
    }
    result.explanation.retain(|change| changes.is_empty() || change.class != "cosmetic");
    result.explanation.extend(changes.into_iter().map(|mut change| {
        if change.class == "materialization_note" {
            "materialization".clone_into(&mut change.class);
        }
        change
    }));
    result
}

/// Compares two models by proof alone.
pub fn compare_models(golden: &Model, candidate: &Model, schema: &Schema, options: &Options) -> Comparison {
    let comparisons = pairs(golden, candidate).iter().map(|pair| pair.prove(schema, options)).collect();
    combine(golden, candidate, comparisons, schema, options)
}

/// The differences of all branches, lines as in the models' files, and the similarity (of the branch that is least alike).
fn explain_models(
    golden: &Model,
    candidate: &Model,
    schema: &Schema,
    options: &Options,
    verdict: Verdict,
) -> (Vec<Change>, Option<f64>) {
    if matches!(verdict, Verdict::Identical | Verdict::Equivalent) {
        let same = golden.source == candidate.source;
        let changes =
            if same { Vec::new() } else { vec![super::explain::cosmetic(verdict == Verdict::Equivalent)] };
        return (changes, Some(1.0));
    }
    let mut changes: Vec<Change> = Vec::new();
    let mut similarity: Option<f64> = None;
    for pair in pairs(golden, candidate) {
        let Some(explanation) = explain(&pair.golden.sql, &pair.candidate.sql, schema, options.dialect)
        else {
            continue;
        };
        similarity =
            Some(similarity.map_or(explanation.similarity, |other| other.min(explanation.similarity)));
        for mut change in explanation.changes {
            if change.class == "cosmetic" {
                continue;
            }
            let place = |fragment: &mut Option<super::verdict::Fragment>, rendered: &Rendered| {
                if let Some(fragment) = fragment {
                    let line =
                        |line: usize| rendered.lines.get(line.wrapping_sub(1)).copied().unwrap_or(line);
                    fragment.lines = (line(fragment.lines.0), line(fragment.lines.1));
                }
            };
            place(&mut change.golden, pair.golden);
            place(&mut change.candidate, pair.candidate);
            if changes.contains(&change) {
                continue;
            }
            if pair.branch == Branch::Incremental {
                change.message = format!("on an incremental run: {}", change.message);
            }
            changes.push(change);
        }
    }
    (changes, similarity)
}

fn names(value: Option<&Json>) -> Vec<String> {
    let mut names: Vec<String> = match value {
        Some(Json::String(text)) => vec![text.trim().to_lowercase()],
        Some(Json::Array(items)) => {
            items.iter().filter_map(Json::as_str).map(|text| text.trim().to_lowercase()).collect()
        }
        _ => Vec::new(),
    };
    names.sort();
    names.dedup();
    names
}

/// Config keys that decide what rows an incremental model ends up with, beside the key and the strategy.
const INCREMENTAL_KEYS: &[&str] = &[
    "incremental_predicates",
    "merge_update_columns",
    "merge_exclude_columns",
    "event_time",
    "batch_size",
    "lookback",
    "begin",
    "full_refresh",
];

/// The strategy that dbt uses, as far as it is known; without a key, deleting and inserting is appending.
fn strategy(model: &Model) -> String {
    let written = model.full.config.get("incremental_strategy").and_then(Json::as_str).map(str::to_lowercase);
    let keyed = !model.unique_key().is_empty();
    let strategy = written.unwrap_or_else(|| {
        match model.dialect {
            Dialect::DuckDb => "delete+insert",
            Dialect::Postgres | Dialect::Redshift if keyed => "delete+insert",
            Dialect::Postgres | Dialect::Redshift => "append",
            Dialect::Snowflake | Dialect::BigQuery | Dialect::Databricks => "merge",
            Dialect::Generic => "default",
        }
        .to_owned()
    });
    if !keyed && strategy == "delete+insert" { "append".to_owned() } else { strategy }
}

fn config_changes(golden: &Model, candidate: &Model) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |class: &str, message: String| {
        changes.push(Change {
            clause: "config".to_owned(),
            class: class.to_owned(),
            message,
            golden: None,
            candidate: None,
        });
    };
    let (g, c) = (golden.materialized(), candidate.materialized());
    let is_incremental = |name: &str| name == "incremental";
    if g != c {
        // A table and a view return the same rows.
        let class =
            if is_incremental(g) || is_incremental(c) { "materialization" } else { "materialization_note" };
        add(class, format!("it is materialized as {c} instead of {g}"));
    }
    if is_incremental(g) && is_incremental(c) {
        let words = |key: &[String]| if key.is_empty() { "none".to_owned() } else { key.join(", ") };
        let (key_g, key_c) = (golden.unique_key(), candidate.unique_key());
        if key_g != key_c {
            add("unique_key", format!("the unique key is {} instead of {}", words(&key_c), words(&key_g)));
        }
        let (strategy_g, strategy_c) = (strategy(golden), strategy(candidate));
        if strategy_g != strategy_c && key_g == key_c {
            add(
                "incremental_strategy",
                format!("the incremental strategy is {strategy_c} instead of {strategy_g}"),
            );
        }
        for key in INCREMENTAL_KEYS {
            let value = |model: &Model| model.full.config.get(*key).filter(|value| !value.is_null()).cloned();
            if value(golden) != value(candidate) {
                add("config", format!("{key} differs"));
            }
        }
        if golden.incremental.is_some() != candidate.incremental.is_some() {
            let (has, lacks) =
                if golden.incremental.is_some() { ("golden", "candidate") } else { ("candidate", "golden") };
            // The queries of the branches are compared; this only says why they differ.
            add(
                "incremental_branch",
                format!("the {has} reads less on incremental runs, the {lacks} does not"),
            );
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        serde_json::from_str(
            r#"{"tables": {"orders": {"columns": {"id": {"type": "INTEGER", "nullable": false}, "day": {"type": "DATE"}, "amount": {"type": "INTEGER"}}},
                "m": {"columns": {"id": {"type": "INTEGER"}, "day": {"type": "DATE"}}}}}"#,
        )
        .expect("the schema is JSON")
    }

    fn compared(golden: &str, candidate: &str) -> Comparison {
        let context = Context::new(Dialect::DuckDb, "m");
        let read = |source| Model::read(source, &context).expect("renders");
        compare_models(&read(golden), &read(candidate), &schema(), &Options::default())
    }

    fn classes(comparison: &Comparison) -> Vec<&str> {
        comparison.explanation.iter().map(|change| change.class.as_str()).collect()
    }

    #[test]
    fn equal_queries_in_other_words_are_equivalent() {
        let result = compared(
            "{{ config(materialized='table') }}\nwith o as (select * from {{ ref('orders') }}) select id, day from o where amount > 1",
            "{{ config(materialized='view') }}\nselect x.id, x.day from {{ ref('orders') }} as x where 1 < x.amount",
        );
        assert_eq!(result.verdict, Verdict::Equivalent, "{}", result.reason);
        assert_eq!(classes(&result), ["materialization"]);
        assert_eq!(result.similarity, Some(1.0));
    }

    #[test]
    fn both_branches_are_compared() {
        let golden = "{{ config(materialized='incremental', unique_key='id') }} select id, day from {{ ref('orders') }}
            {% if is_incremental() %} where day >= (select max(day) from {{ this }}) {% endif %}";
        let candidate = golden.replace(">=", ">");
        let result = compared(golden, &candidate);
        assert!(!matches!(result.verdict, Verdict::Identical | Verdict::Equivalent), "{result:?}");
        assert_eq!(classes(&result), ["filter_boundary"]);
        assert!(
            result.explanation[0].message.starts_with("on an incremental run"),
            "{:?}",
            result.explanation
        );
        assert_eq!(result.explanation[0].golden.as_ref().map(|f| f.lines), Some((2, 2)));
        let result = compared(golden, &golden.replace("select id, day from", "select day, id from"));
        assert_eq!(result.verdict, Verdict::Equivalent, "{}", result.reason);
    }

    #[test]
    fn config_that_changes_the_rows_is_part_of_the_meaning() {
        let model = |config: &str| {
            format!(
                "{{{{ config(materialized='incremental'{config}) }}}} select id, day from {{{{ ref('orders') }}}}"
            )
        };
        let same = |a: &str, b: &str| compared(&model(a), &model(b));
        assert_eq!(same(", unique_key='id'", ", unique_key=['ID']").verdict, Verdict::Identical);
        assert_eq!(same("", ", incremental_strategy='append'").verdict, Verdict::Identical);
        assert_eq!(
            same(", unique_key='id'", ", unique_key='id', incremental_strategy='delete+insert'").verdict,
            Verdict::Identical
        );
        for (config, class) in [
            (", unique_key='day'", "unique_key"),
            ("", "unique_key"),
            (", unique_key='id', incremental_strategy='merge'", "incremental_strategy"),
            (", unique_key='id', merge_exclude_columns=['day']", "config"),
        ] {
            let result = same(", unique_key='id'", config);
            assert_eq!(result.verdict, Verdict::Unknown, "{config}: {}", result.reason);
            assert_eq!(classes(&result), [class], "{config}");
        }
        let table = model("").replace("'incremental'", "'table'");
        assert_eq!(classes(&compared(&model(""), &table)), ["materialization"]);
        assert_eq!(compared(&model(""), &table).verdict, Verdict::Unknown);
    }

    #[test]
    fn macros_are_never_proved_equal_by_meaning() {
        let golden = "select id, {{ pkg.m('amount') }} as x from {{ ref('orders') }} where amount > 1 and day is not null";
        let same = |candidate: &str| compared(golden, candidate).verdict;
        assert_eq!(same(&golden.replace("select id, ", "select\n  id,\n  ")), Verdict::Identical);
        assert_eq!(
            same(
                "select id, {{ pkg.m('amount') }} as x from {{ ref('orders') }} where day is not null and amount > 1"
            ),
            Verdict::Unknown
        );
        assert_eq!(same(&golden.replace("pkg.m", "pkg.n")), Verdict::Unknown);
        let branchy = "{% if pkg.flag() %}select id from {{ ref('orders') }}{% else %}select day from {{ ref('orders') }}{% endif %}";
        assert_eq!(compared(branchy, "select id from {{ ref('orders') }}").verdict, Verdict::Unknown);
        assert_eq!(compared(branchy, branchy).verdict, Verdict::Identical);
        let unplaced = "select id from {{ ref('orders') }} {{ pkg.filter() }}";
        assert_eq!(compared(unplaced, "select id from {{ ref('orders') }}").verdict, Verdict::Unknown);
    }

    #[test]
    fn a_cte_does_not_hide_a_model_of_its_name() {
        let golden = "with orders as (select * from {{ ref('orders') }} where amount > 1), b as (select * from {{ ref('orders') }}) select orders.id, b.day from orders join b on orders.id = b.id";
        let candidate = "with o as (select * from {{ ref('orders') }} where amount > 1) select o.id, b.day from o join {{ ref('orders') }} b on o.id = b.id";
        let wrong = "with o as (select * from {{ ref('orders') }} where amount > 1) select o.id, b.day from o join o as b on o.id = b.id";
        assert_eq!(compared(golden, candidate).verdict, Verdict::Equivalent);
        assert!(!matches!(compared(golden, wrong).verdict, Verdict::Identical | Verdict::Equivalent));
    }

    #[test]
    fn columns_are_told_where_the_text_tells_them() {
        let columns = |source: &str| {
            Model::read(source, &Context::new(Dialect::DuckDb, "m")).expect("renders").columns()
        };
        assert_eq!(
            columns("with a as (select 1 as x, 2 as Y) select * from a"),
            Some(vec!["x".to_owned(), "y".to_owned()])
        );
        assert_eq!(columns("select * from {{ ref('orders') }}"), None);
        assert_eq!(columns("select {{ m() }} from {{ ref('orders') }}"), None);
    }
}
