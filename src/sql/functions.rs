//! What is known about scalar and aggregate functions: strictness, types, determinism, synonyms.

mod dates;
pub(crate) mod postgres;

pub(crate) use dates::{date_part, date_part_function, interval, names_date_part, takes_date_part};

use super::Dialect;
use super::algebra::{AggCall, Arena, Const, ExprId, Node, Sym};
use super::types::Type;

/// NULL when any argument is NULL.
pub(crate) fn strict(name: &str) -> bool {
    total(name)
        || matches!(
            name,
            "/" | "//"
                | "%"
                | "date_trunc"
                | "date_part"
                | "strftime"
                | "strptime"
                | "substring"
                | "replace"
                | "split_part"
                | "regexp_replace"
                | "regexp_matches"
                | "regexp_extract"
                | "left"
                | "right"
                | "lpad"
                | "rpad"
                | "sqrt"
                | "ln"
                | "log"
                | "log10"
                | "log2"
                | "exp"
                | "pow"
                | "date_diff"
                | "date_add"
                | "date_sub"
                | "to_char"
                | "to_date"
                | "epoch"
                | "last_day"
                | "dayname"
                | "monthname"
                | "instr"
                | "translate"
                | "repeat"
                | "chr"
                | "ascii"
                | "md5"
                | "make_date"
                | "bit_and"
                | "&"
                | "|"
                | "<<"
                | ">>"
                | "^"
                | "xor"
                | "sin"
                | "cos"
                | "tan"
                | "to_days"
                | "to_months"
                | "to_years"
        )
}

/// NULL exactly when an argument is NULL, and never fails but for overflow.
pub(crate) fn total(name: &str) -> bool {
    matches!(
        name,
        "+" | "-"
            | "*"
            | "neg"
            | "||"
            | "lower"
            | "upper"
            | "length"
            | "abs"
            | "trim"
            | "ltrim"
            | "rtrim"
            | "round"
            | "floor"
            | "ceil"
            | "like"
            | "ilike"
            | "starts_with"
            | "ends_with"
            | "contains"
            | "reverse"
            | "sign"
    )
}

/// Functions that give a number whatever they are given.
pub(crate) fn arithmetic(name: &str) -> bool {
    matches!(name, "+" | "-" | "*" | "/" | "//" | "%" | "neg" | "abs" | "round" | "floor" | "ceil" | "sign")
}

/// Window functions that number rows: never NULL.
pub(crate) fn numbering(name: &str) -> bool {
    matches!(name, "row_number" | "rank" | "dense_rank" | "ntile" | "cume_dist" | "percent_rank" | "count")
}

/// Window functions that look at the partition, not at the frame.
pub(crate) fn ignores_frame(name: &str) -> bool {
    matches!(
        name,
        "row_number" | "rank" | "dense_rank" | "ntile" | "cume_dist" | "percent_rank" | "lag" | "lead"
    )
}

/// Known aggregate functions.
pub(crate) fn aggregate(name: &str) -> bool {
    skips_null(name)
        || matches!(
            name,
            "any_value"
                | "first"
                | "last"
                | "string_agg"
                | "listagg"
                | "group_concat"
                | "array_agg"
                | "list"
                | "mode"
                | "stddev"
                | "variance"
                | "bit_and"
                | "bit_or"
                | "bit_xor"
                | "count_if"
                | "countif"
                | "approx_count_distinct"
                | "quantile"
                | "quantile_cont"
                | "quantile_disc"
                | "percentile_cont"
                | "percentile_disc"
                | "approx_quantile"
                | "corr"
                | "covar_pop"
                | "covar_samp"
                | "arg_max"
                | "arg_min"
                | "max_by"
                | "min_by"
                | "product"
                | "fsum"
                | "favg"
                | "sumkahan"
                | "kurtosis"
                | "skewness"
                | "entropy"
                | "histogram"
                | "regr_slope"
                | "regr_intercept"
                | "regr_r2"
                | "regr_count"
                | "every"
                | "mean"
                | "arbitrary"
                | "logical_or"
                | "logical_and"
                | "boolor_agg"
                | "booland_agg"
                | "object_agg"
                | "json_agg"
                | "jsonb_agg"
                | "json_object_agg"
                | "json_group_array"
                | "json_group_object"
                | "array_concat_agg"
                | "string_concat"
                | "hll_count"
                | "approx_top_k"
                | "approx_percentile"
                | "array_union_agg"
                | "array_unique_agg"
                | "bitwise_and_agg"
                | "max_n"
                | "sem"
                | "mad"
                | "geomean"
                | "kurtosis_pop"
                | "weighted_avg"
                | "grouping"
                | "grouping_id"
                | "bitstring_agg"
                | "collect_list"
                | "collect_set"
                | "percentile"
                | "approx_distinct"
                | "count_distinct"
                | "std"
                | "bool_xor"
                | "favg_kahan"
                | "reservoir_quantile"
                | "argmax"
                | "argmin"
                | "geometric_mean"
                | "approx_quantiles"
                | "approx_top_count"
                | "approx_top_sum"
                | "percentile_approx"
                | "json_objectagg"
                | "json_arrayagg"
                | "jsonb_object_agg"
                | "regr_sxx"
                | "regr_syy"
                | "regr_sxy"
                | "regr_avgx"
                | "regr_avgy"
                | "regr_valx"
                | "regr_valy"
                | "try_sum"
                | "try_avg"
                | "bitor_agg"
                | "bitand_agg"
                | "bitxor_agg"
                | "bit_or_agg"
                | "bit_and_agg"
                | "bit_xor_agg"
                | "range_agg"
                | "range_intersect_agg"
                | "st_union_agg"
                | "st_centroid_agg"
                | "histogram_numeric"
                | "xmlagg"
                | "approximate_count"
                | "approximate_percentile_disc"
                | "hll"
                | "hll_count.init"
                | "hll_count.merge"
                | "hll_count.merge_partial"
        )
}

/// Functions that exist as window functions only.
pub(crate) fn window_only(name: &str) -> bool {
    matches!(
        name,
        "row_number"
            | "rank"
            | "dense_rank"
            | "ntile"
            | "cume_dist"
            | "percent_rank"
            | "lag"
            | "lead"
            | "first_value"
            | "last_value"
            | "nth_value"
    )
}

/// Functions that make any number of rows of the row that calls them, in a select list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MakesRows {
    /// Of one column.
    One,
    /// Of several, or of none where there is nothing in the argument.
    Unclear,
}

/// Whether the function makes rows where it is called in an expression.
pub(crate) fn makes_rows(name: &str, dialect: Dialect) -> Option<MakesRows> {
    let name = name.rsplit('.').next().unwrap_or(name);
    match name {
        "unnest" | "explode" | "explode_outer" => Some(MakesRows::One),
        "flatten"
        | "posexplode"
        | "posexplode_outer"
        | "inline"
        | "inline_outer"
        | "stack"
        | "json_tuple"
        | "split_to_table"
        | "strtok_split_to_table"
        | "variant_explode"
        | "variant_explode_outer" => Some(MakesRows::Unclear),
        // Everywhere else these are lists or truth values.
        "generate_series" | "regexp_matches"
            if matches!(dialect, Dialect::Postgres | Dialect::Redshift | Dialect::Generic) =>
        {
            Some(if dialect == Dialect::Generic { MakesRows::Unclear } else { MakesRows::One })
        }
        "generate_subscripts"
        | "regexp_split_to_table"
        | "string_to_table"
        | "json_array_elements"
        | "json_array_elements_text"
        | "jsonb_array_elements"
        | "jsonb_array_elements_text"
        | "json_object_keys"
        | "jsonb_object_keys"
        | "json_each"
        | "json_each_text"
        | "jsonb_each"
        | "jsonb_each_text"
        | "json_populate_recordset"
        | "jsonb_populate_recordset"
        | "json_to_recordset"
        | "jsonb_to_recordset"
        | "jsonb_path_query"
        | "jsonb_path_query_tz"
        | "aclexplode"
        | "skeys"
        | "svals"
        | "st_dump"
        | "st_dumppoints"
        | "st_dumprings"
        | "st_dumpsegments"
        | "st_subdivide"
        | "ts_stat"
        | "ts_parse"
        | "ts_debug"
        | "ts_token_type" => {
            Some(if dialect == Dialect::Postgres { MakesRows::One } else { MakesRows::Unclear })
        }
        _ => None,
    }
}

/// Whether the function makes one row of many, or may, without being one of those that [`aggregate`] knows.
pub(crate) fn may_aggregate(name: &str, args: usize) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let sketch = name.starts_with("hll_") || name.starts_with("kll_") || name.starts_with("bitmap_");
    match last {
        // A schema before an aggregate: `pg_catalog.sum(x)`.
        _ if last != name && (aggregate(last) || window_only(last)) => true,
        _ if last.ends_with("_agg") || last.ends_with("_combine") || last.ends_with("_accumulate") => true,
        _ if sketch && (last.starts_with("merge") || last.starts_with("init")) => true,
        "hll"
        | "hll_export"
        | "hll_union"
        | "hll_add_agg"
        | "minhash"
        | "approximate_similarity"
        | "approximate_jaccard_index"
        | "json_object_agg_unique"
        | "jsonb_object_agg_unique"
        | "json_agg_strict"
        | "jsonb_agg_strict"
        | "json_object_agg_strict"
        | "jsonb_object_agg_strict"
        | "count_min_sketch"
        | "histogram_exact"
        | "skew"
        | "some"
        | "any"
        | "datasketches_hll"
        | "vector_sum"
        | "vector_avg"
        | "variance_pop"
        | "variance_samp"
        | "arg_max_null"
        | "arg_min_null"
        | "arg_max_nulls_last"
        | "arg_min_nulls_last"
        | "kahan_sum"
        | "sum_no_overflow"
        | "count_star"
        | "countdistinct"
        | "avg_if"
        | "sum_if"
        | "min_if"
        | "max_if"
        | "group_array"
        | "uniq"
        | "topk"
        | "st_extent"
        | "st_3dextent" => true,
        // With one argument: of every row's shape.
        "st_union" | "st_collect" | "st_makeline" | "st_memunion" | "st_polygonize" => args == 1,
        _ => false,
    }
}

/// Aggregates that do not care about duplicate arguments.
pub(crate) fn ignores_duplicates(name: &str) -> bool {
    matches!(name, "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" | "the")
}

/// Aggregates of one argument that are the same with and without the rows in which it is NULL.
pub(crate) fn skips_null(name: &str) -> bool {
    matches!(
        name,
        "count"
            | "sum"
            | "avg"
            | "min"
            | "max"
            | "bool_and"
            | "bool_or"
            | "median"
            | "stddev_samp"
            | "stddev_pop"
            | "var_samp"
            | "var_pop"
    )
}

/// Aggregates that are NULL over no rows. Of others (`approx_count_distinct`, `regr_count`, what is not known) it is not
/// said; lists are empty there in some dialects.
pub(crate) fn null_over_nothing(name: &str, dialect: Dialect) -> bool {
    skips_null(name) && name != "count"
        || matches!(
            name,
            "the" | "any_value" | "first" | "last" | "arg_max" | "arg_min" | "mode" | "bit_and" | "bit_or"
        )
        || matches!(name, "list" | "array_agg" | "string_agg")
            && matches!(dialect, Dialect::DuckDb | Dialect::Postgres)
}

/// The one name for functions that have several.
pub(crate) fn synonym(name: &str) -> &str {
    match name {
        "len" | "char_length" | "character_length" => "length",
        "lcase" => "lower",
        "ucase" => "upper",
        "ceiling" => "ceil",
        "power" => "pow",
        "substr" => "substring",
        "mod" => "%",
        "nvl" | "ifnull" => "coalesce",
        "iff" => "if",
        "mean" => "avg",
        "prefix" => "starts_with",
        "startswith" => "starts_with",
        "suffix" => "ends_with",
        "strpos" => "instr",
        "datetrunc" => "date_trunc",
        "datepart" => "date_part",
        "datediff" => "date_diff",
        "arbitrary" => "first",
        "stddev" => "stddev_samp",
        "variance" => "var_samp",
        "every" | "logical_and" | "booland_agg" => "bool_and",
        "logical_or" | "boolor_agg" => "bool_or",
        "listagg" | "group_concat" => "string_agg",
        "max_by" | "argmax" => "arg_max",
        "min_by" | "argmin" => "arg_min",
        "countif" => "count_if",
        "add" => "+",
        "subtract" => "-",
        "multiply" => "*",
        "divide" => "//",
        other => other,
    }
}

/// The type of a scalar call.
pub(crate) fn result_type(arena: &Arena, name: Sym, args: &[ExprId]) -> Type {
    let first = || args.first().map_or(Type::Unknown, |arg| arena.type_of(*arg));
    match arena.text(name) {
        "+" | "-" | "*" => {
            let mut found = first();
            if arena.is(name, "-")
                && args.len() == 2
                && args.iter().all(|arg| arena.type_of(*arg) == Type::Date)
            {
                return Type::Int(64);
            }
            for arg in args.iter().skip(1) {
                found = match (found, arena.type_of(*arg)) {
                    (Type::Int(a), Type::Int(b)) => Type::Int(a.max(b)),
                    (Type::Float(64), b) if b.is_exact() || b == Type::Float(64) => Type::Float(64),
                    (a, Type::Float(64)) if a.is_exact() => Type::Float(64),
                    _ => Type::Unknown,
                };
            }
            found
        }
        "neg" | "abs" => match first() {
            kind @ (Type::Int(_) | Type::Float(_) | Type::Decimal(..)) => kind,
            _ => Type::Unknown,
        },
        "//" | "%" => match (first(), args.get(1).map(|arg| arena.type_of(*arg))) {
            (Type::Int(a), Some(Type::Int(b))) => Type::Int(a.max(b)),
            _ => Type::Unknown,
        },
        "/" if args.len() == 2 && double_division(arena, args[0], args[1]) => Type::Float(64),
        "||" if args.iter().any(|arg| arena.type_of(*arg) == Type::Text) => Type::Text,
        "lower" | "upper" | "trim" | "ltrim" | "rtrim" | "substring" | "replace" | "concat" | "concat_ws"
        | "strftime" | "left" | "right" | "lpad" | "rpad" | "split_part" | "to_char" | "md5" | "reverse"
        | "dayname" | "monthname" => Type::Text,
        "length" | "date_diff" | "instr" | "ascii" => Type::Int(64),
        // Seconds may have a fraction, `epoch` has one.
        "date_part" => match args.first().and_then(|part| arena.as_const(*part)) {
            Some(Const::Text(part)) if dates::whole_date_part(arena.text(part)) => Type::Int(64),
            _ => Type::Unknown,
        },
        "like" | "ilike" | "starts_with" | "ends_with" | "contains" | "regexp_matches" | "similar" => {
            Type::Bool
        }
        "date_trunc" => match (arena.dialect, args.get(1).map(|arg| arena.type_of(*arg))) {
            (Dialect::DuckDb | Dialect::Redshift, Some(Type::Timestamp | Type::Date)) => Type::Timestamp,
            (Dialect::Snowflake, Some(same @ (Type::Timestamp | Type::Date))) => same,
            (Dialect::Postgres, Some(Type::Timestamp)) => Type::Timestamp,
            _ => Type::Unknown,
        },
        "current_date" => Type::Date,
        _ => Type::Unknown,
    }
}

/// Whether `a / b` converts both operands to DOUBLE and divides these: then casts of exact operands to DOUBLE say nothing.
/// A FLOAT of 32 bits on one side makes the whole a FLOAT, and in other dialects decimals divide as decimals.
pub(crate) fn double_division(arena: &Arena, a: ExprId, b: ExprId) -> bool {
    numeric64(arena, a) && numeric64(arena, b)
}

/// Whether the expression is an exact number or a DOUBLE, whatever its precision.
fn numeric64(arena: &Arena, e: ExprId) -> bool {
    let leaf = match (arena.dialect, arena.type_of(e)) {
        (Dialect::DuckDb, kind) => kind.is_exact() || kind == Type::Float(64),
        (Dialect::BigQuery | Dialect::Databricks, kind) => kind.is_int() || kind == Type::Float(64),
        _ => return false,
    };
    let each = |list: &[ExprId]| list.iter().all(|e| numeric64(arena, *e));
    leaf || match arena.node(e) {
        Node::Const(Const::Null) => true,
        Node::Call(name, args) => matches!(arena.text(*name), "+" | "-" | "*" | "neg") && each(args),
        Node::Coalesce(list) => each(list),
        Node::Case(arms, otherwise) => {
            numeric64(arena, *otherwise) && arms.iter().all(|(_, result)| numeric64(arena, *result))
        }
        _ => false,
    }
}

/// Digits after the point of a division of exact numbers in Snowflake: at least six, at most twelve unless the dividend
/// has more.
pub(crate) fn division_scale(dividend: Type) -> Option<u8> {
    match dividend {
        Type::Int(_) => Some(6),
        Type::Decimal(_, scale) => Some(scale.max((scale + 6).min(12))),
        _ => None,
    }
}

/// Digits after the point of an average, where the dialect has a fixed number of them.
pub(crate) fn average_scale(arena: &Arena, call: &AggCall) -> Option<u8> {
    let kind = call.args.first().map(|arg| arena.type_of(*arg)).filter(|_| arena.is(call.func, "avg"))?;
    match arena.dialect {
        Dialect::Snowflake => division_scale(kind),
        Dialect::Redshift if kind.is_int() => Some(0),
        _ => None,
    }
}

/// The type of an aggregate.
pub(crate) fn aggregate_type(arena: &Arena, call: &AggCall) -> Type {
    let first = || call.args.first().map_or(Type::Unknown, |arg| arena.type_of(*arg));
    match arena.text(call.func) {
        "count" | "row_number" | "rank" | "dense_rank" | "ntile" => Type::Int(64),
        "min" | "max" | "the" | "any_value" | "first" | "last" | "lag" | "lead" | "first_value"
        | "last_value" | "arg_max" | "arg_min" => first(),
        "sum" => match first() {
            Type::Int(bits) if matches!(arena.dialect, Dialect::Postgres | Dialect::Redshift) => {
                if bits < 64 { Type::Int(64) } else { Type::Unknown }
            }
            Type::Int(_) => Type::Int(128),
            Type::Decimal(_, scale) => Type::Decimal(38, scale),
            Type::Float(_) => Type::Float(64),
            _ => Type::Unknown,
        },
        "bool_and" | "bool_or" => Type::Bool,
        "avg" => match average_scale(arena, call) {
            Some(0) => Type::Int(64),
            Some(scale) => Type::Decimal(38, scale),
            None => Type::Unknown,
        },
        _ => Type::Unknown,
    }
}
