//! Output columns of the two queries: which belong together, and in what form their cells are compared.
//!
//! The rule of types: whole numbers of any width and decimals compare by value; with a floating-point number on either
//! side both compare as numbers to nine significant digits; a date compares with a timestamp as that day's midnight;
//! texts compare exactly. Cells of any other two classes of types are different unless both are NULL, so that a text
//! '1' is never a number 1.

use super::super::verdict::{Comparison, Method, Verdict};
use super::script::identifier;

/// A column of a result, as DuckDB describes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Output {
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "t")]
    pub(super) data_type: String,
}

/// How cells of a pair of columns are brought to a comparable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are: booleans and texts.
    Same,
    /// Whole numbers and decimals.
    Exact { scale: u8 },
    /// Numbers of which one is a float.
    Approximate,
    /// Dates and timestamps.
    Moment,
    /// As text.
    Text,
    /// Classes that never hold equal values.
    Clash { golden: &'static str, candidate: &'static str },
}

/// Columns that belong together, by position in each result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pairing {
    pub(super) golden: Vec<Output>,
    pub(super) candidate: Vec<Output>,
    pub(super) pairs: Vec<(usize, usize, Form)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Null,
    Bool,
    Exact { scale: u8 },
    Float,
    Text,
    Date,
    Timestamp,
    Time,
    Interval,
    Blob,
    Uuid,
    Nested,
    Other,
}

impl Class {
    fn of(data_type: &str) -> Self {
        let upper = data_type.trim().to_ascii_uppercase();
        if upper.ends_with(']')
            || upper.starts_with("STRUCT")
            || upper.starts_with("MAP")
            || upper.starts_with("UNION(")
        {
            return Self::Nested;
        }
        let base = upper.split('(').next().unwrap_or_default().trim();
        match base {
            "NULL" | "\"NULL\"" => Self::Null,
            "BOOLEAN" => Self::Bool,
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT"
            | "UINTEGER" | "UBIGINT" | "UHUGEINT" => Self::Exact { scale: 0 },
            "DECIMAL" => {
                let scale =
                    upper.trim_end_matches(')').rsplit(',').next().and_then(|n| n.trim().parse().ok());
                Self::Exact { scale: scale.unwrap_or(3) }
            }
            "FLOAT" | "DOUBLE" => Self::Float,
            "VARCHAR" | "JSON" | "ENUM" => Self::Text,
            "DATE" => Self::Date,
            "TIMESTAMP" | "TIMESTAMP WITH TIME ZONE" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" => {
                Self::Timestamp
            }
            "TIME" | "TIME WITH TIME ZONE" | "TIME_NS" => Self::Time,
            "INTERVAL" => Self::Interval,
            "BLOB" | "BIT" => Self::Blob,
            "UUID" => Self::Uuid,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool => "a boolean",
            Self::Exact { .. } | Self::Float => "a number",
            Self::Text => "a text",
            Self::Date => "a date",
            Self::Timestamp => "a timestamp",
            Self::Time => "a time",
            Self::Interval => "an interval",
            Self::Blob => "bytes",
            Self::Uuid => "a uuid",
            Self::Nested => "a nested value",
            Self::Other => "a value of another type",
        }
    }
}

fn form(golden: &str, candidate: &str) -> Form {
    let (a, b) = (Class::of(golden), Class::of(candidate));
    match (a, b) {
        (Class::Exact { scale: s }, Class::Exact { scale: t }) => Form::Exact { scale: s.max(t) },
        (Class::Exact { .. } | Class::Float, Class::Exact { .. } | Class::Float) => Form::Approximate,
        (Class::Date | Class::Timestamp, Class::Date | Class::Timestamp) => Form::Moment,
        (Class::Null, _) | (_, Class::Null) | (Class::Text | Class::Nested, Class::Text | Class::Nested)
            if a != b =>
        {
            if a == Class::Null || b == Class::Null {
                Form::Text
            } else {
                Form::Clash { golden: a.name(), candidate: b.name() }
            }
        }
        (Class::Bool, Class::Bool) | (Class::Text, Class::Text) => Form::Same,
        _ if a == b => Form::Text,
        _ => Form::Clash { golden: a.name(), candidate: b.name() },
    }
}

impl Pairing {
    /// Pairs the columns: by name without regard to case, or by position.
    ///
    /// # Errors
    /// The verdict, where the columns themselves differ.
    pub(super) fn new(
        golden: Vec<Output>,
        candidate: Vec<Output>,
        by_name: bool,
    ) -> Result<Self, Box<Comparison>> {
        let differs = |reason: String| Box::new(Comparison::new(Verdict::Differs, Method::Shape, reason));
        let mut positions = Vec::new();
        if by_name {
            let find = |columns: &[Output], name: &str| {
                columns.iter().position(|column| column.name.to_lowercase() == name.to_lowercase())
            };
            let missing: Vec<&str> = golden
                .iter()
                .filter(|column| find(&candidate, &column.name).is_none())
                .map(|column| column.name.as_str())
                .collect();
            let extra: Vec<&str> = candidate
                .iter()
                .filter(|column| find(&golden, &column.name).is_none())
                .map(|column| column.name.as_str())
                .collect();
            if !missing.is_empty() || !extra.is_empty() {
                let mut parts = Vec::new();
                if !missing.is_empty() {
                    parts.push(format!("the candidate lacks {}", columns_text(&missing)));
                }
                if !extra.is_empty() {
                    parts.push(format!("the candidate adds {}", columns_text(&extra)));
                }
                return Err(differs(parts.join("; ")));
            }
            for (a, column) in golden.iter().enumerate() {
                if let Some(b) = find(&candidate, &column.name) {
                    positions.push((a, b));
                }
            }
        } else {
            if golden.len() != candidate.len() {
                return Err(differs(format!(
                    "the golden returns {}, the candidate {}",
                    count_text(golden.len()),
                    count_text(candidate.len())
                )));
            }
            positions.extend((0..golden.len()).map(|at| (at, at)));
        }
        let pairs = positions
            .into_iter()
            .map(|(a, b)| (a, b, form(&golden[a].data_type, &candidate[b].data_type)))
            .collect();
        Ok(Self { golden, candidate, pairs })
    }

    /// Comparable expressions over the columns `c0, c1, ...` of the golden's result.
    pub(super) fn golden_cells(&self) -> Vec<String> {
        self.pairs.iter().map(|(a, _, form)| form.cell(*a, true)).collect()
    }

    /// Comparable expressions over the columns `c0, c1, ...` of the candidate's result, in the golden's order.
    pub(super) fn candidate_cells(&self) -> Vec<String> {
        self.pairs.iter().map(|(_, b, form)| form.cell(*b, false)).collect()
    }

    /// The first column whose classes of types clash, as a sentence.
    pub(super) fn clash(&self) -> Option<String> {
        self.pairs.iter().find_map(|(a, _, form)| match form {
            Form::Clash { golden, candidate } => Some(format!(
                "column {} is {golden} in the golden and {candidate} in the candidate",
                identifier(&self.golden[*a].name)
            )),
            _ => None,
        })
    }
}

impl Form {
    fn cell(&self, column: usize, golden_side: bool) -> String {
        match self {
            Self::Same => format!("c{column}"),
            // As text: DuckDB's hash of a HUGEINT is the same for 0 and -1.
            Self::Exact { scale: 0 } => format!("c{column}::VARCHAR"),
            // Beyond 38 digits a double decides.
            Self::Exact { scale } => {
                format!(
                    "coalesce(try_cast(c{column} AS DECIMAL(38,{scale}))::VARCHAR, c{column}::DOUBLE::VARCHAR)"
                )
            }
            Self::Approximate => format!("assay_number(c{column}::DOUBLE)"),
            Self::Moment => format!("c{column}::TIMESTAMP"),
            Self::Text => format!("c{column}::VARCHAR"),
            Self::Clash { golden, candidate } => {
                let class = if golden_side { golden } else { candidate };
                format!("'{class}: ' || c{column}::VARCHAR")
            }
        }
    }

    /// Whether two cells, as DuckDB prints their comparable forms, are the same value. Floats that were summed in
    /// another order differ in the last digits.
    pub(super) fn same(&self, a: Option<&str>, b: Option<&str>) -> bool {
        match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) if a == b => true,
            (Some(a), Some(b)) if *self == Self::Approximate => match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9_f64.max(1e-7 * a.abs().max(b.abs())),
                _ => false,
            },
            _ => false,
        }
    }
}

fn columns_text(names: &[&str]) -> String {
    let noun = if names.len() == 1 { "column" } else { "columns" };
    let names: Vec<String> = names.iter().map(|name| identifier(name)).collect();
    format!("{noun} {}", names.join(", "))
}

fn count_text(n: usize) -> String {
    if n == 1 { "1 column".to_owned() } else { format!("{n} columns") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(columns: &[(&str, &str)]) -> Vec<Output> {
        columns
            .iter()
            .map(|(name, data_type)| Output { name: (*name).to_owned(), data_type: (*data_type).to_owned() })
            .collect()
    }

    #[test]
    fn the_rule_of_types() {
        assert_eq!(form("INTEGER", "HUGEINT"), Form::Exact { scale: 0 });
        assert_eq!(form("DECIMAL(10,2)", "BIGINT"), Form::Exact { scale: 2 });
        assert_eq!(form("DOUBLE", "DECIMAL(10,2)"), Form::Approximate);
        assert_eq!(form("DATE", "TIMESTAMP"), Form::Moment);
        assert_eq!(form("VARCHAR", "VARCHAR"), Form::Same);
        assert!(matches!(form("VARCHAR", "INTEGER"), Form::Clash { .. }));
        assert!(matches!(form("BOOLEAN", "INTEGER"), Form::Clash { .. }));
        assert!(matches!(form("VARCHAR", "VARCHAR[]"), Form::Clash { .. }));
        assert_eq!(form("INTEGER[]", "BIGINT[]"), Form::Text);
        assert_eq!(form("\"NULL\"", "BIGINT"), Form::Text);
    }

    #[test]
    fn names_pair_without_case_and_in_any_order() {
        let pairing = Pairing::new(
            outputs(&[("Id", "INTEGER"), ("total", "DOUBLE")]),
            outputs(&[("TOTAL", "DOUBLE"), ("id", "BIGINT")]),
            true,
        )
        .expect("the columns match");
        assert_eq!(pairing.pairs[0], (0, 1, Form::Exact { scale: 0 }));
    }

    #[test]
    fn missing_and_extra_columns_are_named() {
        let comparison = Pairing::new(outputs(&[("a", "INTEGER")]), outputs(&[("b", "INTEGER")]), true)
            .expect_err("other names");
        assert_eq!(comparison.verdict, Verdict::Differs);
        assert_eq!(comparison.reason, "the candidate lacks column a; the candidate adds column b");
        let comparison =
            Pairing::new(outputs(&[("a", "INTEGER")]), outputs(&[("a", "INTEGER"), ("b", "INTEGER")]), false)
                .expect_err("other width");
        assert_eq!(comparison.reason, "the golden returns 1 column, the candidate 2 columns");
    }

    #[test]
    fn floats_compare_with_tolerance_and_nothing_else_does() {
        assert!(Form::Approximate.same(Some("0.3"), Some("0.30000000000000004")));
        assert!(!Form::Approximate.same(Some("0.3"), Some("0.31")));
        assert!(!Form::Text.same(Some("0.3"), Some("0.30000000000000004")));
        assert!(!Form::Approximate.same(Some("0.3"), None));
    }
}
