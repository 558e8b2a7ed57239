//! Expressions to terms: names resolved, spellings of the same thing made one.

use sqlparser::ast::{
    BinaryOperator, CastKind, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, OrderByExpr, OrderBySort, UnaryOperator, Value, WindowSpec,
    WindowType,
};

use super::lower::Lower;
use super::scope::Scope;
use super::term::{Kind, Term};

/// Functions that aggregate in every dialect.
const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "median",
    "mode",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "string_agg",
    "listagg",
    "group_concat",
    "array_agg",
    "list",
    "any_value",
    "arg_max",
    "arg_min",
    "max_by",
    "min_by",
    "first",
    "last",
    "bool_and",
    "bool_or",
    "every",
    "bit_and",
    "bit_or",
    "bit_xor",
    "approx_count_distinct",
    "approximate_count",
    "count_if",
    "countif",
    "percentile_cont",
    "percentile_disc",
    "quantile_cont",
    "quantile_disc",
    "corr",
    "covar_pop",
    "covar_samp",
    "product",
    "histogram",
    "object_agg",
    "json_agg",
    "jsonb_agg",
    "logical_and",
    "logical_or",
    "booland_agg",
    "boolor_agg",
    "sum_if",
    "entropy",
    "kurtosis",
    "skewness",
    "regr_slope",
    "approx_quantile",
];

/// Deepest expression that is taken apart; what is deeper is kept as text.
const MAX_DEPTH: usize = 80;

pub(super) fn literal(text: impl Into<String>) -> Term {
    Term::leaf(Kind::Literal, text)
}

fn operator(label: &str, children: Vec<Term>) -> Term {
    Term::new(Kind::Operator, label, children)
}

/// `a and b and c` as its parts.
pub(super) fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    let mut parts = Vec::new();
    let mut rest = vec![expr];
    while let Some(expr) = rest.pop() {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                rest.extend([right.as_ref(), left.as_ref()]);
            }
            Expr::Nested(inner) => rest.push(inner),
            other => parts.push(other),
        }
    }
    parts
}

/// A flat, sorted AND or OR without repeats.
pub(super) fn junction(label: &str, parts: Vec<Term>) -> Term {
    let mut flat = Vec::new();
    for part in parts {
        if part.kind == Kind::Operator && part.label == label {
            flat.extend(part.children);
        } else {
            flat.push(part);
        }
    }
    flat.sort();
    flat.dedup();
    if flat.len() == 1 { flat.remove(0) } else { operator(label, flat) }
}

pub(super) fn not(term: Term) -> Term {
    let opposite = match (term.kind, term.label.as_str()) {
        (Kind::Operator, "not") => {
            return term.children.into_iter().next().unwrap_or_else(|| literal("null"));
        }
        (Kind::Operator, "=") => "<>",
        (Kind::Operator, "<>") => "=",
        (Kind::Operator, "<") => ">=",
        (Kind::Operator, "<=") => ">",
        (Kind::Operator, ">") => "<=",
        (Kind::Operator, ">=") => "<",
        (Kind::Operator, "is null") => "is not null",
        (Kind::Operator, "is not null") => "is null",
        _ => return operator("not", vec![term]),
    };
    Term { label: opposite.to_owned(), ..term }
}

/// A comparison with the column on the left where only one side has one; `=` and `<>` sorted.
pub(super) fn comparison(label: &str, left: Term, right: Term) -> Term {
    let flipped = match label {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    };
    let constant = |term: &Term| {
        !term.any(&|term| {
            matches!(term.kind, Kind::Column | Kind::Query | Kind::Aggregate | Kind::Window | Kind::Other)
        })
    };
    let swap = match (constant(&left), constant(&right)) {
        (true, false) => true,
        (false, true) => false,
        _ => left > right,
    };
    if swap { operator(flipped, vec![right, left]) } else { operator(label, vec![left, right]) }
}

/// A node whose operands have changed: operands whose order means nothing are put in order again.
pub(super) fn rebuild(kind: Kind, label: &str, mut children: Vec<Term>) -> Term {
    match (kind, label) {
        (Kind::Operator, "and" | "or") => junction(label, children),
        (
            Kind::Operator,
            "=" | "<>" | "<" | "<=" | ">" | ">=" | "is distinct from" | "is not distinct from",
        ) if children.len() == 2 => {
            let right = children.pop().unwrap_or_else(|| literal("null"));
            let left = children.pop().unwrap_or_else(|| literal("null"));
            comparison(label, left, right)
        }
        (Kind::Operator, "+" | "*") | (Kind::Clause, "partition") => {
            children.sort();
            Term::new(kind, label, children)
        }
        _ => Term::new(kind, label, children),
    }
}

impl Lower<'_> {
    pub(super) fn expr(&self, expr: &Expr, scope: &Scope<'_>, depth: usize) -> Term {
        if depth > MAX_DEPTH {
            return Term::leaf(Kind::Other, expr.to_string());
        }
        let go = |expr: &Expr| self.expr(expr, scope, depth + 1);
        match expr {
            Expr::Nested(inner) => go(inner),
            Expr::Identifier(ident) => scope.resolve(None, &ident.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., table, column] => scope.resolve(Some(&table.value), &column.value),
                _ => Term::leaf(Kind::Other, expr.to_string()),
            },
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => literal(number(digits)),
                Value::Boolean(value) => literal(value.to_string()),
                Value::Null => literal("null"),
                other => literal(other.to_string()),
            },
            Expr::TypedString(typed) => Term::new(
                Kind::Cast,
                type_name(&typed.data_type.to_string()),
                vec![literal(typed.value.to_string())],
            ),
            Expr::BinaryOp { left, op, right } => {
                let (left, right) = (go(left), go(right));
                match op {
                    BinaryOperator::And => junction("and", vec![left, right]),
                    BinaryOperator::Or => junction("or", vec![left, right]),
                    BinaryOperator::Eq => comparison("=", left, right),
                    BinaryOperator::NotEq => comparison("<>", left, right),
                    BinaryOperator::Lt => comparison("<", left, right),
                    BinaryOperator::LtEq => comparison("<=", left, right),
                    BinaryOperator::Gt => comparison(">", left, right),
                    BinaryOperator::GtEq => comparison(">=", left, right),
                    BinaryOperator::Plus | BinaryOperator::Multiply => {
                        let label = op.to_string();
                        let mut parts = vec![left, right];
                        parts.sort();
                        operator(&label, parts)
                    }
                    BinaryOperator::StringConcat => operator("||", vec![left, right]),
                    other => operator(&other.to_string().to_lowercase(), vec![left, right]),
                }
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => not(go(expr)),
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => go(expr),
            Expr::UnaryOp { op, expr } => match (op, go(expr)) {
                (UnaryOperator::Minus, Term { kind: Kind::Literal, label, .. }) => {
                    literal(format!("-{label}"))
                }
                (op, term) => operator(&op.to_string(), vec![term]),
            },
            Expr::IsNull(inner) => operator("is null", vec![go(inner)]),
            Expr::IsNotNull(inner) => operator("is not null", vec![go(inner)]),
            Expr::IsTrue(inner) => operator("is true", vec![go(inner)]),
            Expr::IsNotTrue(inner) => operator("is not true", vec![go(inner)]),
            Expr::IsFalse(inner) => operator("is false", vec![go(inner)]),
            Expr::IsNotFalse(inner) => operator("is not false", vec![go(inner)]),
            Expr::IsDistinctFrom(a, b) => comparison("is distinct from", go(a), go(b)),
            Expr::IsNotDistinctFrom(a, b) => comparison("is not distinct from", go(a), go(b)),
            Expr::Between { expr, negated, low, high } => {
                let (value, low, high) = (go(expr), go(low), go(high));
                let term = junction(
                    "and",
                    vec![comparison(">=", value.clone(), low), comparison("<=", value, high)],
                );
                if *negated { not(term) } else { term }
            }
            Expr::InList { expr, list, negated } => {
                let mut items: Vec<Term> = list.iter().map(go).collect();
                items.sort();
                items.dedup();
                let value = go(expr);
                let term = match items.as_slice() {
                    [only] => comparison("=", value, only.clone()),
                    _ => operator("in", std::iter::once(value).chain(items).collect()),
                };
                if *negated { not(term) } else { term }
            }
            Expr::InSubquery { expr, subquery, negated } => {
                let term = operator("in", vec![go(expr), self.subquery(subquery, scope)]);
                if *negated { operator("not", vec![term]) } else { term }
            }
            Expr::Exists { subquery, negated } => {
                let term = operator("exists", vec![self.subquery(subquery, scope)]);
                if *negated { operator("not", vec![term]) } else { term }
            }
            Expr::Subquery(query) => self.subquery(query, scope),
            Expr::Like { negated, expr, pattern, .. } => {
                let term = operator("like", vec![go(expr), go(pattern)]);
                if *negated { not(term) } else { term }
            }
            Expr::ILike { negated, expr, pattern, .. } => {
                let term = operator("ilike", vec![go(expr), go(pattern)]);
                if *negated { not(term) } else { term }
            }
            Expr::Cast { kind, expr, data_type, .. } => {
                let name = type_name(&data_type.to_string());
                let label = match kind {
                    CastKind::TryCast | CastKind::SafeCast => format!("try {name}"),
                    _ => name,
                };
                Term::new(Kind::Cast, label, vec![go(expr)])
            }
            Expr::Extract { field, expr, .. } => Term::new(
                Kind::Function,
                "date_part",
                vec![literal(format!("'{}'", field.to_string().to_lowercase())), go(expr)],
            ),
            Expr::Case { operand, conditions, else_result, .. } => {
                let operand = operand.as_ref().map(|operand| go(operand));
                let mut arms: Vec<Term> = conditions
                    .iter()
                    .map(|when| {
                        let condition = go(&when.condition);
                        let condition = match &operand {
                            Some(operand) => comparison("=", operand.clone(), condition),
                            None => condition,
                        };
                        Term::new(Kind::Clause, "when", vec![condition, go(&when.result)])
                    })
                    .collect();
                let otherwise = else_result.as_ref().map_or_else(|| literal("null"), |expr| go(expr));
                arms.push(Term::new(Kind::Clause, "else", vec![otherwise]));
                case(arms)
            }
            Expr::Function(function) => self.function(function, scope, depth),
            Expr::Ceil { expr, .. } => Term::new(Kind::Function, "ceil", vec![go(expr)]),
            Expr::Floor { expr, .. } => Term::new(Kind::Function, "floor", vec![go(expr)]),
            Expr::Trim { expr, trim_what, .. } => {
                let parts = std::iter::once(expr).chain(trim_what).map(|part| go(part)).collect();
                Term::new(Kind::Function, "trim", parts)
            }
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let parts = [Some(expr), substring_from.as_ref(), substring_for.as_ref()];
                Term::new(
                    Kind::Function,
                    "substring",
                    parts.into_iter().flatten().map(|part| go(part)).collect(),
                )
            }
            Expr::Position { expr, r#in } => Term::new(Kind::Function, "strpos", vec![go(r#in), go(expr)]),
            Expr::AtTimeZone { timestamp, time_zone } => {
                Term::new(Kind::Function, "at time zone", vec![go(timestamp), go(time_zone)])
            }
            Expr::Interval(interval) => {
                let unit = interval.leading_field.as_ref().map(|unit| unit.to_string().to_lowercase());
                let value = go(&interval.value).label.replace('\'', "");
                literal(match unit {
                    Some(unit) => format!("interval '{value} {}'", unit.trim_end_matches('s')),
                    None => format!("interval '{}'", value.trim_end_matches('s')),
                })
            }
            Expr::Tuple(items) => operator("row", items.iter().map(go).collect()),
            Expr::Array(array) => Term::new(Kind::Function, "array", array.elem.iter().map(go).collect()),
            other => Term::leaf(Kind::Other, other.to_string()),
        }
    }

    fn subquery(&self, query: &sqlparser::ast::Query, scope: &Scope<'_>) -> Term {
        super::outline::tree(&self.query(query, Some(scope)))
    }

    fn function(&self, function: &Function, scope: &Scope<'_>, depth: usize) -> Term {
        let go = |expr: &Expr| self.expr(expr, scope, depth + 1);
        let name = function_name(&function.name.to_string());
        let mut args = Vec::new();
        let mut is_distinct = false;
        let mut clauses = Vec::new();
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(query) => args.push(self.subquery(query, scope)),
            FunctionArguments::List(list) => {
                is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                for argument in &list.args {
                    let (FunctionArg::Named { arg, .. }
                    | FunctionArg::ExprNamed { arg, .. }
                    | FunctionArg::Unnamed(arg)) = argument;
                    args.push(match arg {
                        FunctionArgExpr::Expr(expr) => go(expr),
                        _ => literal("*"),
                    });
                }
                for clause in &list.clauses {
                    match clause {
                        FunctionArgumentClause::OrderBy(keys) => {
                            clauses.push(self.order("order", keys, scope, depth));
                        }
                        FunctionArgumentClause::Where(condition) => {
                            clauses.push(Term::new(Kind::Clause, "filter", vec![go(condition)]));
                        }
                        other => clauses.push(Term::leaf(Kind::Clause, other.to_string().to_lowercase())),
                    }
                }
            }
        }
        if !function.within_group.is_empty() {
            clauses.push(self.order("order", &function.within_group, scope, depth));
        }
        if let Some(filter) = &function.filter {
            clauses.push(Term::new(Kind::Clause, "filter", vec![go(filter)]));
        }
        if let Some(treatment) = &function.null_treatment {
            clauses.push(Term::leaf(Kind::Clause, treatment.to_string().to_lowercase()));
        }
        let is_aggregate = AGGREGATES.contains(&name.as_str());
        if let Some(over) = &function.over {
            args.extend(clauses);
            let call =
                Term::new(Kind::Function, if is_distinct { format!("{name} distinct") } else { name }, args);
            let spec = match over {
                WindowType::WindowSpec(spec) => self.window(spec, scope, depth),
                WindowType::NamedWindow(name) => match self.named_window(&name.value) {
                    Some(spec) => self.window(&spec, scope, depth),
                    None => vec![Term::leaf(Kind::Clause, name.value.to_lowercase())],
                },
            };
            return Term::new(Kind::Window, "over", std::iter::once(call).chain(spec).collect());
        }
        if is_aggregate {
            if name == "count"
                && matches!(args.as_slice(), [Term { kind: Kind::Literal, label, .. }] if label == "1")
            {
                args = vec![literal("*")];
            }
            // An aggregate over CASE without ELSE is the aggregate with a filter.
            if clauses.is_empty()
                && let [Term { kind: Kind::Case, children, .. }] = args.as_slice()
                && let [when, otherwise] = children.as_slice()
                && otherwise
                    .children
                    .first()
                    .is_some_and(|term| term.label == "null" && term.kind == Kind::Literal)
            {
                let (condition, result) = (when.children[0].clone(), when.children[1].clone());
                clauses.push(Term::new(Kind::Clause, "filter", vec![condition]));
                args = vec![if name == "count" && result.kind == Kind::Literal && !is_distinct {
                    literal("*")
                } else {
                    result
                }];
            }
            args.extend(clauses);
            return Term::new(
                Kind::Aggregate,
                if is_distinct { format!("{name} distinct") } else { name },
                args,
            );
        }
        args.extend(clauses);
        scalar(&name, args)
    }

    fn order(&self, label: &str, keys: &[OrderByExpr], scope: &Scope<'_>, depth: usize) -> Term {
        let keys = keys.iter().map(|key| self.order_key(key, scope, depth + 1)).collect();
        Term::new(Kind::Clause, label, keys)
    }

    pub(super) fn order_key(&self, key: &OrderByExpr, scope: &Scope<'_>, depth: usize) -> Term {
        let term = self.expr(&key.expr, scope, depth + 1);
        let mut label = String::new();
        if matches!(key.options.sort, Some(OrderBySort::Desc)) {
            label.push_str("desc");
        }
        if let Some(first) = key.options.nulls_first {
            label.push_str(if first { " nulls first" } else { " nulls last" });
        }
        if label.is_empty() { term } else { Term::new(Kind::Operator, label.trim(), vec![term]) }
    }

    fn window(&self, spec: &WindowSpec, scope: &Scope<'_>, depth: usize) -> Vec<Term> {
        let mut clauses = Vec::new();
        if let Some(name) = &spec.window_name
            && let Some(base) = self.named_window(&name.value)
        {
            clauses = self.window(&base, scope, depth);
        }
        if !spec.partition_by.is_empty() {
            let mut keys: Vec<Term> =
                spec.partition_by.iter().map(|expr| self.expr(expr, scope, depth + 1)).collect();
            keys.sort();
            keys.dedup();
            clauses.push(Term::new(Kind::Clause, "partition", keys));
        }
        if !spec.order_by.is_empty() {
            clauses.push(self.order("order", &spec.order_by, scope, depth));
        }
        if let Some(frame) = &spec.window_frame {
            let end = frame
                .end_bound
                .as_ref()
                .map_or_else(|| "current row".to_owned(), |bound| bound.to_string().to_lowercase());
            let text = format!("{} between {} and {end}", frame.units, frame.start_bound).to_lowercase();
            // The default of an ordered window says nothing.
            if text != "range between unbounded preceding and current row" {
                clauses.push(Term::new(Kind::Clause, "frame", vec![Term::leaf(Kind::Other, text)]));
            }
        }
        clauses
    }
}

/// A CASE; COALESCE written as one is one.
fn case(arms: Vec<Term>) -> Term {
    if let [when, otherwise] = arms.as_slice()
        && when.children[0].label == "is not null"
        && when.children[0].children == [when.children[1].clone()]
    {
        return scalar("coalesce", vec![when.children[1].clone(), otherwise.children[0].clone()]);
    }
    if let [when, otherwise] = arms.as_slice()
        && when.children[0].label == "is null"
        && when.children[0].children == [otherwise.children[0].clone()]
    {
        return scalar("coalesce", vec![otherwise.children[0].clone(), when.children[1].clone()]);
    }
    Term::new(Kind::Case, "case", arms)
}

/// A function under its usual name.
fn scalar(name: &str, args: Vec<Term>) -> Term {
    match (name, args.as_slice()) {
        ("if" | "iff", [condition, yes, rest @ ..]) => {
            let when = Term::new(Kind::Clause, "when", vec![condition.clone(), yes.clone()]);
            let otherwise = rest.first().cloned().unwrap_or_else(|| literal("null"));
            case(vec![when, Term::new(Kind::Clause, "else", vec![otherwise])])
        }
        ("date_trunc", [a, b])
            if a.kind != Kind::Literal && (b.kind == Kind::Column || b.kind == Kind::Literal) =>
        {
            // BigQuery writes the unit last.
            let unit = literal(format!(
                "'{}'",
                super::term::column_name(&b.label).trim_matches('\'').to_lowercase()
            ));
            Term::new(Kind::Function, "date_trunc", vec![unit, a.clone()])
        }
        ("date_trunc" | "date_part" | "datediff" | "date_diff" | "dateadd" | "date_add", [unit, ..])
            if unit.kind == Kind::Literal || unit.kind == Kind::Column =>
        {
            let mut args = args.clone();
            args[0] = literal(format!(
                "'{}'",
                super::term::column_name(&unit.label).trim_matches('\'').to_lowercase()
            ));
            Term::new(Kind::Function, name, args)
        }
        ("year" | "month" | "day" | "hour" | "minute" | "quarter" | "week", [date]) => {
            Term::new(Kind::Function, "date_part", vec![literal(format!("'{name}'")), date.clone()])
        }
        _ => Term::new(Kind::Function, name, args),
    }
}

fn function_name(name: &str) -> String {
    let lower = name.to_lowercase();
    match lower.as_str() {
        "ifnull" | "nvl" => "coalesce",
        "len" | "char_length" | "character_length" => "length",
        "ucase" => "upper",
        "lcase" => "lower",
        "substr" => "substring",
        "pow" => "power",
        "ceiling" => "ceil",
        "timestamp_trunc" | "datetrunc" => "date_trunc",
        "now" | "getdate" | "current_timestamp" | "sysdate" | "localtimestamp" | "get_current_timestamp" => {
            "current_timestamp"
        }
        "today" | "current_date" => "current_date",
        "mean" => "avg",
        "rand" | "random" => "random",
        other => other,
    }
    .to_owned()
}

/// A type under its usual name.
fn type_name(name: &str) -> String {
    let lower = name.to_lowercase();
    match lower.as_str() {
        "int" | "int4" | "integer" | "signed" => "integer".to_owned(),
        "int8" | "bigint" | "int64" | "long" => "bigint".to_owned(),
        "text" | "string" | "varchar" | "character varying" => "varchar".to_owned(),
        "float8" | "double" | "double precision" | "float64" => "double".to_owned(),
        "bool" | "boolean" => "boolean".to_owned(),
        "timestamp" | "datetime" | "timestamp without time zone" => "timestamp".to_owned(),
        other => other.replace("numeric", "decimal").replace(", ", ","),
    }
}

/// A number without leading and trailing zeros that say nothing.
fn number(digits: &str) -> String {
    if digits.contains(['e', 'E']) {
        return digits.to_owned();
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    // `1.0` is no integer: it stays apart from `1`.
    match (digits.contains('.'), fraction) {
        (false, _) => whole.to_owned(),
        (true, "") => format!("{whole}.0"),
        (true, fraction) => format!("{whole}.{fraction}"),
    }
}
