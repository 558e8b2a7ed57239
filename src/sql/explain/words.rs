//! The difference between two expressions, in words and with the class of defect that it is.

use super::term::{Kind, Term, column_name, similarity};
use crate::sql::verdict::Change;

/// One difference inside an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub(super) class: &'static str,
    pub(super) message: String,
}

/// Where the two expressions stand, for differences that mean another thing in another place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Within<'a> {
    Filter,
    Column,
    /// Below an operator or function of that label.
    Parent(&'a Term),
}

/// The change that says that there is none.
pub(super) fn cosmetic() -> Change {
    Change {
        clause: "cosmetic".to_owned(),
        class: "cosmetic".to_owned(),
        message: "only formatting, aliases and the order of CTEs differ".to_owned(),
        golden: None,
        candidate: None,
    }
}

const VOLATILE: &[&str] = &[
    "current_timestamp",
    "current_date",
    "current_time",
    "random",
    "uuid",
    "gen_random_uuid",
    "newid",
    "uniform",
];
const DATE_UNITS: &[&str] = &[
    "date_trunc",
    "date_part",
    "datediff",
    "date_diff",
    "dateadd",
    "date_add",
    "timestamp_diff",
    "last_day",
];

fn is_volatile(term: &Term) -> bool {
    term.any(&|term| matches!(term.kind, Kind::Function) && VOLATILE.contains(&term.label.as_str()))
}

/// The differences, at most a handful, the outermost first.
pub(super) fn differences(golden: &Term, candidate: &Term, within: Within<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(golden, candidate, within, &mut found, 0);
    found.truncate(4);
    found
}

fn short(term: &Term) -> String {
    let text = term.to_string();
    if text.chars().count() <= 70 {
        return text;
    }
    let start: String = text.chars().take(67).collect();
    format!("{start}...")
}

fn add(found: &mut Vec<Difference>, class: &'static str, message: String) {
    let difference = Difference { class, message };
    if !found.contains(&difference) {
        found.push(difference);
    }
}

fn became(golden: &Term, candidate: &Term) -> String {
    format!("`{}` became `{}`", short(golden), short(candidate))
}

fn compare(g: &Term, c: &Term, within: Within<'_>, found: &mut Vec<Difference>, depth: usize) {
    if g == c || found.len() > 4 || depth > 60 {
        return;
    }
    if !is_volatile(g) && is_volatile(c) && !c.children.iter().any(is_volatile) {
        return add(found, "volatile", format!("{}: the result depends on when it is run", became(g, c)));
    }
    if dropped_or_added(g, c, within, found, depth) {
        return;
    }
    match (g.kind, c.kind) {
        (Kind::Literal, Kind::Literal) => literals(g, c, within, found),
        (Kind::Column, Kind::Column) => {
            let (source_g, source_c) = (super::merge::source_of(&g.label), super::merge::source_of(&c.label));
            let message = if column_name(&g.label) == column_name(&c.label)
                && !source_g.is_empty()
                && !source_c.is_empty()
            {
                format!("`{}` is taken from {source_c} instead of {source_g}", column_name(&g.label))
            } else {
                format!("`{}` is used instead of `{}`", column_name(&c.label), column_name(&g.label))
            };
            add(found, "wrong_column", message);
        }
        (Kind::Aggregate, Kind::Aggregate) => aggregates(g, c, found, depth),
        (Kind::Window, Kind::Window) => windows(g, c, found, depth),
        (Kind::Case, Kind::Case) => cases(g, c, found, depth),
        (Kind::Cast, Kind::Cast) => {
            match (g.label.strip_prefix("try "), c.label.strip_prefix("try ")) {
                (Some(_), None) => add(
                    found,
                    "runtime_error",
                    "TRY_CAST became CAST: a value that cannot be cast is an error now".to_owned(),
                ),
                (None, Some(_)) => add(
                    found,
                    "null_semantics",
                    "CAST became TRY_CAST: a value that cannot be cast is NULL now".to_owned(),
                ),
                _ if g.label != c.label => {
                    add(found, "type_changed", format!("cast to {} instead of {}", c.label, g.label));
                }
                _ => {}
            }
            children(g, c, Within::Parent(g), found, depth);
        }
        (Kind::Operator, Kind::Operator) => operators(g, c, within, found, depth),
        _ if g.kind == c.kind && g.label == c.label => children(g, c, Within::Parent(g), found, depth),
        (Kind::Query, Kind::Query) => children(g, c, Within::Parent(g), found, depth),
        (Kind::Clause, Kind::Clause) => children(g, c, within, found, depth),
        (Kind::Function, Kind::Function) => {
            let class = if DATE_UNITS.contains(&g.label.as_str()) && DATE_UNITS.contains(&c.label.as_str()) {
                "date_grain"
            } else {
                "function"
            };
            add(found, class, became(g, c));
        }
        _ => add(found, fallback(within), became(g, c)),
    }
}

fn fallback(within: Within<'_>) -> &'static str {
    match within {
        Within::Filter => "filter",
        Within::Column => "expression",
        Within::Parent(parent) => match (parent.kind, parent.label.as_str()) {
            (
                Kind::Operator,
                "and" | "or" | "=" | "<>" | "<" | "<=" | ">" | ">=" | "in" | "not" | "like" | "ilike",
            ) => "filter",
            (Kind::Clause, "when") => "case_branch",
            (Kind::Clause, "else") => "case_default",
            _ => "expression",
        },
    }
}

/// One side is the other with something around it.
fn dropped_or_added(
    g: &Term,
    c: &Term,
    within: Within<'_>,
    found: &mut Vec<Difference>,
    depth: usize,
) -> bool {
    let wraps = |outer: &Term, inner: &Term| {
        outer.children.first().is_some_and(|first| {
            first == inner
                || outer.kind != inner.kind && first.kind == inner.kind && similarity(first, inner) >= 0.5
                || outer.kind == inner.kind
                    && outer.label != inner.label
                    && first.kind == inner.kind
                    && first.label == inner.label
        })
    };
    let wrapper = |term: &Term| matches!(term.kind, Kind::Function | Kind::Cast) && !term.children.is_empty();
    let (outer, inner, dropped) = if wrapper(g) && wraps(g, c) && !(c.kind == g.kind && c.label == g.label) {
        (g, c, true)
    } else if wrapper(c) && wraps(c, g) && !(c.kind == g.kind && c.label == g.label) {
        (c, g, false)
    } else {
        return false;
    };
    let what = if dropped { "is missing" } else { "is added" };
    let (class, message) = match (outer.kind, outer.label.as_str()) {
        (Kind::Cast, name) => {
            ("type_changed", format!("the cast to {} {what}", name.trim_start_matches("try ")))
        }
        (_, "coalesce") => {
            let default = outer.children.get(1).map(short).unwrap_or_default();
            let effect = if dropped { "NULL stays NULL" } else { "NULL is replaced" };
            ("null_semantics", format!("COALESCE(.., {default}) {what}: {effect}"))
        }
        (_, "nullif") => ("null_semantics", format!("NULLIF {what}")),
        (_, "round" | "floor" | "ceil" | "trunc" | "truncate") => {
            ("rounding", format!("{} {what}", outer.label.to_uppercase()))
        }
        (_, "at time zone" | "convert_timezone" | "timezone") => {
            ("time_zone", format!("the time zone {what}"))
        }
        (_, name) if DATE_UNITS.contains(&name) => {
            ("date_grain", format!("{} {what}", outer.label.to_uppercase()))
        }
        _ => return false,
    };
    add(found, class, message);
    let first = &outer.children[0];
    if dropped {
        compare(first, inner, within, found, depth + 1);
    } else {
        compare(inner, first, within, found, depth + 1);
    }
    true
}

fn literals(g: &Term, c: &Term, within: Within<'_>, found: &mut Vec<Difference>) {
    let instead = format!("{} instead of {}", short(c), short(g));
    let is_interval = g.label.starts_with("interval") || c.label.starts_with("interval");
    let (class, message) = match within {
        _ if is_interval => ("filter_boundary", instead),
        Within::Parent(parent) => match (parent.kind, parent.label.as_str()) {
            (Kind::Operator, "=" | "<>" | "<" | "<=" | ">" | ">=" | "in" | "like" | "ilike") => {
                ("filter_value", format!("compared with {instead}"))
            }
            (Kind::Clause, "else") => ("case_default", format!("CASE ends with ELSE {instead}")),
            (Kind::Clause, "when") => ("case_branch", format!("a branch of CASE returns {instead}")),
            (Kind::Function, "coalesce") => ("null_semantics", format!("NULL is replaced by {instead}")),
            (Kind::Function, "round") => ("rounding", format!("rounded to {instead} digits")),
            (Kind::Function, name) if DATE_UNITS.contains(&name) => ("date_grain", format!("by {instead}")),
            (Kind::Function, "at time zone" | "convert_timezone" | "timezone") => {
                ("time_zone", format!("time zone {instead}"))
            }
            (Kind::Operator, "/") if whole(g) == whole(c) => (
                "integer_division",
                format!("divided by {instead}: of two integers PostgreSQL and Redshift cut off the rest"),
            ),
            (Kind::Operator, "*" | "/") => ("unit", format!("scaled by {instead}")),
            _ => ("literal", instead),
        },
        _ => ("literal", instead),
    };
    add(found, class, message);
}

/// The number without a fraction of zero.
fn whole(term: &Term) -> &str {
    term.label.strip_suffix(".0").unwrap_or(&term.label)
}

fn aggregates(g: &Term, c: &Term, found: &mut Vec<Difference>, depth: usize) {
    let base = |term: &Term| term.label.strip_suffix(" distinct").unwrap_or(&term.label).to_owned();
    if base(g) != base(c) {
        add(found, "aggregation", format!("{} became {}", base(g).to_uppercase(), base(c).to_uppercase()));
    } else if g.label != c.label {
        let message = if g.label.ends_with(" distinct") {
            format!("DISTINCT is missing in {}: repeated values count again", base(g).to_uppercase())
        } else {
            format!("DISTINCT is added in {}: repeated values count once", base(g).to_uppercase())
        };
        add(found, "aggregation", message);
    }
    let split = |term: &Term| {
        let (clauses, args): (Vec<Term>, Vec<Term>) =
            term.children.iter().cloned().partition(|child| child.kind == Kind::Clause);
        (args, clauses)
    };
    let ((args_g, clauses_g), (args_c, clauses_c)) = (split(g), split(c));
    let is_star =
        |args: &[Term]| args.first().is_some_and(|arg| arg.kind == Kind::Literal && arg.label == "*");
    if base(g) == "count" && base(c) == "count" && is_star(&args_g) != is_star(&args_c) {
        let (column, message) = if is_star(&args_c) {
            (args_g.first(), "is counted by rows: rows without it count too")
        } else {
            (args_c.first(), "is counted instead of rows: rows without it no longer count")
        };
        let column = column.map(short).unwrap_or_default();
        add(found, "count", format!("`{column}` {message}"));
    } else {
        for (a, b) in args_g.iter().zip(&args_c) {
            compare(a, b, Within::Parent(g), found, depth + 1);
        }
    }
    let clause = |clauses: &[Term], label: &str| clauses.iter().find(|clause| clause.label == label).cloned();
    match (clause(&clauses_g, "filter"), clause(&clauses_c, "filter")) {
        (Some(filter), None) => add(
            found,
            "missing_filter",
            format!("the condition `{}` of the aggregate is missing", short(&filter.children[0])),
        ),
        (None, Some(filter)) => add(
            found,
            "extra_filter",
            format!("the aggregate has a condition `{}`", short(&filter.children[0])),
        ),
        (Some(a), Some(b)) => children(&a, &b, Within::Filter, found, depth),
        (None, None) => {}
    }
    match (clause(&clauses_g, "order"), clause(&clauses_c, "order")) {
        (Some(_), None) => add(
            found,
            "tie_break",
            "the order inside the aggregate is missing: the result depends on the order of rows".to_owned(),
        ),
        (None, Some(_)) => add(found, "tie_break", "the aggregate has an order of its own".to_owned()),
        (Some(a), Some(b)) if a != b => {
            add(found, "tie_break", format!("ordered {} instead of {}", short(&b), short(&a)));
        }
        _ => {}
    }
}

fn windows(g: &Term, c: &Term, found: &mut Vec<Difference>, depth: usize) {
    let function =
        |term: &Term| term.children.first().cloned().unwrap_or_else(|| Term::leaf(Kind::Other, ""));
    let (function_g, function_c) = (function(g), function(c));
    const RANKS: &[&str] = &["row_number", "rank", "dense_rank", "ntile", "percent_rank"];
    if function_g.label == function_c.label {
        children(&function_g, &function_c, Within::Parent(&function_g), found, depth);
    } else {
        let both = RANKS.contains(&function_g.label.as_str()) && RANKS.contains(&function_c.label.as_str());
        let class = if both { "tie_break" } else { "aggregation" };
        let effect = if both { ": rows with equal keys are ranked otherwise" } else { "" };
        add(
            found,
            class,
            format!("{} became {}{effect}", function_g.label.to_uppercase(), function_c.label.to_uppercase()),
        );
    }
    let clause =
        |term: &Term, label: &str| term.children.iter().skip(1).find(|clause| clause.label == label).cloned();
    match (clause(g, "partition"), clause(c, "partition")) {
        (Some(a), Some(b)) if a != b => {
            add(
                found,
                "window_partition",
                format!(
                    "the window is {} instead of {}",
                    short(&b).replace("partition by", "per"),
                    short(&a).replace("partition by", "per")
                ),
            );
        }
        (Some(a), None) => {
            add(found, "window_partition", format!("the window is not split: `{}` is missing", short(&a)));
        }
        (None, Some(b)) => {
            add(found, "window_partition", format!("the window is split: `{}` is added", short(&b)));
        }
        _ => {}
    }
    match (clause(g, "order"), clause(c, "order")) {
        (Some(a), Some(b)) if a != b => {
            let prefix = |short: &Term, long: &Term| long.children.starts_with(&short.children);
            if prefix(&b, &a) {
                let rest: Vec<String> =
                    a.children[b.children.len()..].iter().map(ToString::to_string).collect();
                add(
                    found,
                    "tie_break",
                    format!("the tie-break `{}` is missing in the window's order", rest.join(", ")),
                );
            } else if prefix(&a, &b) {
                let rest: Vec<String> =
                    b.children[a.children.len()..].iter().map(ToString::to_string).collect();
                add(
                    found,
                    "tie_break",
                    format!("the window's order has a further key `{}`", rest.join(", ")),
                );
            } else {
                let bare = |term: &Term| -> Vec<Term> {
                    term.children
                        .iter()
                        .map(|key| {
                            if key.kind == Kind::Operator && key.label.starts_with("desc") {
                                key.children[0].clone()
                            } else {
                                key.clone()
                            }
                        })
                        .collect()
                };
                let class = if bare(&a) == bare(&b) { "window_order" } else { "tie_break" };
                add(
                    found,
                    class,
                    format!("the window is ordered by `{}` instead of `{}`", list(&b), list(&a)),
                );
            }
        }
        (Some(_), None) => add(found, "tie_break", "the window's order is missing".to_owned()),
        (None, Some(b)) => add(
            found,
            "window_frame",
            format!("the window is ordered by `{}`: it runs up to the current row", list(&b)),
        ),
        _ => {}
    }
    let (frame_g, frame_c) = (clause(g, "frame"), clause(c, "frame"));
    if frame_g != frame_c {
        let words = |frame: Option<Term>| {
            frame.map_or_else(|| "the default frame".to_owned(), |frame| format!("`{frame}`"))
        };
        add(
            found,
            "window_frame",
            format!("the window's frame is {} instead of {}", words(frame_c), words(frame_g)),
        );
    }
}

fn list(term: &Term) -> String {
    term.children.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn cases(g: &Term, c: &Term, found: &mut Vec<Difference>, depth: usize) {
    let arms = |term: &Term| -> Vec<Term> {
        term.children.iter().filter(|arm| arm.label == "when").cloned().collect()
    };
    let (arms_g, arms_c) = (arms(g), arms(c));
    if arms_g.len() == arms_c.len() {
        for (a, b) in arms_g.iter().zip(&arms_c) {
            compare(&a.children[0], &b.children[0], Within::Filter, found, depth + 1);
            compare(&a.children[1], &b.children[1], Within::Parent(a), found, depth + 1);
        }
    } else {
        let missing: Vec<String> = arms_g.iter().filter(|arm| !arms_c.contains(arm)).map(short).collect();
        let extra: Vec<String> = arms_c.iter().filter(|arm| !arms_g.contains(arm)).map(short).collect();
        for arm in missing {
            add(found, "case_branch", format!("the branch `{arm}` is missing"));
        }
        for arm in extra {
            add(found, "case_branch", format!("the branch `{arm}` is added"));
        }
    }
    let otherwise = |term: &Term| term.children.iter().find(|arm| arm.label == "else").cloned();
    if let (Some(a), Some(b)) = (otherwise(g), otherwise(c))
        && a != b
    {
        add(
            found,
            "case_default",
            format!("CASE ends with ELSE {} instead of {}", short(&b.children[0]), short(&a.children[0])),
        );
    }
}

fn operators(g: &Term, c: &Term, within: Within<'_>, found: &mut Vec<Difference>, depth: usize) {
    let pair = (g.label.as_str(), c.label.as_str());
    let same_operands = g.children == c.children;
    match pair {
        (a, b) if a == b => {
            if !matches!(a, "and" | "or" | "in" | "+" | "*" | "=" | "<>")
                && g.children.len() == 2
                && c.children.len() == 2
                && g.children[0] == c.children[1]
                && g.children[1] == c.children[0]
            {
                return add(found, "arithmetic", format!("the operands of `{a}` are exchanged"));
            }
            children(g, c, Within::Parent(g), found, depth);
        }
        ("<", "<=") | ("<=", "<") | (">", ">=") | (">=", ">") => {
            let effect = if pair.1.len() > pair.0.len() {
                "the boundary itself is included"
            } else {
                "the boundary itself is excluded"
            };
            add(found, "filter_boundary", format!("`{}` became `{}`: {effect}", short(g), short(c)));
            children(g, c, Within::Parent(g), found, depth);
        }
        ("is null", "is not null") | ("is not null", "is null") => add(found, "null_semantics", became(g, c)),
        ("=" | "<>", "is distinct from" | "is not distinct from")
        | ("is distinct from" | "is not distinct from", "=" | "<>") => {
            add(found, "null_semantics", format!("{}: NULLs compare otherwise", became(g, c)));
        }
        ("and", "or") | ("or", "and") => {
            add(found, "filter", format!("{} became {}", pair.0.to_uppercase(), pair.1.to_uppercase()));
        }
        ("exists", "in") | ("in", "exists") => add(
            found,
            "null_semantics",
            format!(
                "{} became {}: with a NULL in the list, IN is never false",
                pair.0.to_uppercase(),
                pair.1.to_uppercase()
            ),
        ),
        ("/", "//") => {
            add(found, "integer_division", "`/` became `//`: the rest of the division is cut off".to_owned());
        }
        ("+" | "-" | "*" | "/" | "%" | "//" | "||", "+" | "-" | "*" | "/" | "%" | "//" | "||") => {
            add(found, "arithmetic", format!("`{}` became `{}`", short(g), short(c)));
        }
        (_, "is null" | "is not null") | ("is null" | "is not null", _) => {
            add(found, "null_semantics", became(g, c));
        }
        ("or", _) if g.children.iter().any(|part| part == c) => {
            let missing: Vec<String> = g.children.iter().filter(|part| *part != c).map(short).collect();
            let class = if missing.iter().any(|part| part.ends_with(" is null")) {
                "null_semantics"
            } else {
                "filter"
            };
            add(found, class, format!("`or {}` is missing", missing.join(" or ")));
        }
        (_, "or") if c.children.iter().any(|part| part == g) => {
            let extra: Vec<String> = c.children.iter().filter(|part| *part != g).map(short).collect();
            let class =
                if extra.iter().any(|part| part.ends_with(" is null")) { "null_semantics" } else { "filter" };
            add(found, class, format!("`or {}` is added", extra.join(" or ")));
        }
        _ if same_operands => add(found, "filter", became(g, c)),
        _ => add(found, fallback(within), became(g, c)),
    }
}

/// Compares operands: in order, or where order means nothing, those that are not on both sides.
fn children(g: &Term, c: &Term, within: Within<'_>, found: &mut Vec<Difference>, depth: usize) {
    let unordered = g.kind == Kind::Operator
        && matches!(g.label.as_str(), "and" | "or" | "+" | "*" | "=" | "<>" | "in")
        || g.kind == Kind::Clause && matches!(g.label.as_str(), "where" | "group" | "from");
    if !unordered && g.children.len() == c.children.len() {
        for (a, b) in g.children.iter().zip(&c.children) {
            compare(a, b, within, found, depth + 1);
        }
        return;
    }
    let rest_g: Vec<&Term> = g.children.iter().filter(|child| !c.children.contains(child)).collect();
    let mut rest_c: Vec<&Term> = c.children.iter().filter(|child| !g.children.contains(child)).collect();
    let mut missing = Vec::new();
    for a in rest_g {
        let best = rest_c
            .iter()
            .enumerate()
            .map(|(i, b)| (similarity(a, b), i))
            .max_by(|x, y| x.0.total_cmp(&y.0).then(y.1.cmp(&x.1)));
        match best {
            Some((score, i))
                if score >= 0.3
                    && !(g.label == "in"
                        && a.kind == Kind::Literal
                        && g.children.len() != c.children.len()) =>
            {
                let b = rest_c.remove(i);
                compare(a, b, within, found, depth + 1);
            }
            _ => missing.push(a),
        }
    }
    let class = match (g.kind, g.label.as_str()) {
        (Kind::Operator, "in") => "filter_value",
        (Kind::Operator, "and" | "or") | (Kind::Clause, _) => "filter",
        (Kind::Operator, _) => "arithmetic",
        _ => "function",
    };
    for term in missing {
        add(found, class, format!("`{}` is missing", short(term)));
    }
    for term in rest_c {
        add(found, class, format!("`{}` is added", short(term)));
    }
}
