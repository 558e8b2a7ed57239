//! Which columns of two relations belong together, and how far their types agree.

use serde::{Deserialize, Serialize};

/// How the columns of a candidate fit those of the golden. Names are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// Columns that both have, in the golden's order.
    pub shared: Vec<SharedColumn>,
    /// Columns of the golden that the candidate lacks.
    pub missing: Vec<String>,
    /// Columns of the candidate that the golden lacks.
    pub extra: Vec<String>,
    /// The shared columns stand in another order.
    pub reordered: bool,
}

/// A column that both have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedColumn {
    /// The golden's spelling.
    pub golden: String,
    /// The candidate's spelling.
    pub candidate: String,
    /// The golden's type.
    pub golden_type: String,
    /// The candidate's type.
    pub candidate_type: String,
    /// How far the types agree.
    pub types: TypeMatch,
}

/// How far two types agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeMatch {
    /// The same type.
    Same,
    /// Another width or precision of the same kind: INTEGER and BIGINT, DECIMAL(18,2) and DECIMAL(38,2).
    Compatible,
    /// Another kind: DATE and TIMESTAMP, INTEGER and DECIMAL, VARCHAR and INTEGER.
    Different,
}

/// Kinds of types that behave alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Decimal(u8),
    Float,
    Text,
    Date,
    Timestamp,
    TimestampTz,
    Other,
}

impl Kind {
    pub(super) fn of(data_type: &str) -> Self {
        let upper = data_type.trim().to_ascii_uppercase();
        if upper.ends_with(']') {
            return Self::Other;
        }
        let base = upper.split('(').next().unwrap_or(&upper);
        match base {
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT"
            | "UINTEGER" | "UBIGINT" | "UHUGEINT" => Self::Integer,
            "DECIMAL" | "NUMERIC" => {
                let scale =
                    upper.split(',').nth(1).and_then(|rest| rest.trim_end_matches(')').trim().parse().ok());
                Self::Decimal(scale.unwrap_or(3))
            }
            "FLOAT" | "DOUBLE" | "REAL" => Self::Float,
            "VARCHAR" | "TEXT" | "CHAR" | "ENUM" => Self::Text,
            "DATE" => Self::Date,
            "TIMESTAMP" | "TIMESTAMP_NS" | "TIMESTAMP_MS" | "TIMESTAMP_S" | "DATETIME" => Self::Timestamp,
            "TIMESTAMP WITH TIME ZONE" | "TIMESTAMPTZ" => Self::TimestampTz,
            _ => Self::Other,
        }
    }
}

impl SharedColumn {
    /// The type that both are cast to before values are compared; `None` where they have the same.
    pub(super) fn common_type(&self) -> Option<String> {
        if self.types == TypeMatch::Same {
            return None;
        }
        let cast = match (Kind::of(&self.golden_type), Kind::of(&self.candidate_type)) {
            (Kind::Integer, Kind::Integer) => "HUGEINT".into(),
            (Kind::Decimal(a), Kind::Decimal(b)) => format!("DECIMAL(38,{})", a.max(b)),
            (Kind::Decimal(scale), Kind::Integer) | (Kind::Integer, Kind::Decimal(scale)) => {
                format!("DECIMAL(38,{scale})")
            }
            (Kind::Float, Kind::Float | Kind::Integer | Kind::Decimal(_))
            | (Kind::Integer | Kind::Decimal(_), Kind::Float) => "DOUBLE".into(),
            (Kind::Date | Kind::Timestamp, Kind::Date | Kind::Timestamp) => "TIMESTAMP".into(),
            _ => "VARCHAR".into(),
        };
        Some(cast)
    }

    /// Whether its values are compared with the tolerance.
    pub(super) fn is_float(&self) -> bool {
        match self.common_type() {
            Some(cast) => cast == "DOUBLE",
            None => Kind::of(&self.golden_type) == Kind::Float,
        }
    }
}

/// Pairs columns by name.
pub fn pair_columns(golden: &[(String, String)], candidate: &[(String, String)]) -> Pairing {
    let mut pairing = Pairing::default();
    let mut last = 0;
    for (name, golden_type) in golden {
        let found = candidate.iter().position(|(other, _)| same(name, other));
        match found.and_then(|position| candidate.get(position).map(|column| (position, column))) {
            Some((position, (spelling, candidate_type))) => {
                pairing.reordered |= position < last;
                last = position;
                pairing.shared.push(SharedColumn {
                    golden: name.clone(),
                    candidate: spelling.clone(),
                    golden_type: golden_type.clone(),
                    candidate_type: candidate_type.clone(),
                    types: type_match(golden_type, candidate_type),
                });
            }
            None => pairing.missing.push(name.clone()),
        }
    }
    pairing.extra = candidate
        .iter()
        .filter(|(name, _)| !golden.iter().any(|(other, _)| same(name, other)))
        .map(|(name, _)| name.clone())
        .collect();
    pairing
}

fn same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

fn type_match(golden: &str, candidate: &str) -> TypeMatch {
    if golden.eq_ignore_ascii_case(candidate) {
        return TypeMatch::Same;
    }
    match (Kind::of(golden), Kind::of(candidate)) {
        (Kind::Other, _) | (_, Kind::Other) => TypeMatch::Different,
        (Kind::Decimal(_), Kind::Decimal(_)) => TypeMatch::Compatible,
        (a, b) if a == b => TypeMatch::Compatible,
        _ => TypeMatch::Different,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
    }

    #[test]
    fn columns_are_paired_by_folded_name() {
        let golden = columns(&[("id", "INTEGER"), ("Total", "DOUBLE"), ("gone", "DATE")]);
        let candidate = columns(&[("TOTAL", "DOUBLE"), ("id", "BIGINT"), ("new", "DATE")]);
        let pairing = pair_columns(&golden, &candidate);
        assert_eq!(
            (pairing.missing.as_slice(), pairing.extra.as_slice()),
            (&["gone".into()][..], &["new".into()][..])
        );
        assert!(pairing.reordered);
        assert_eq!(pairing.shared[0].types, TypeMatch::Compatible);
        assert_eq!(pairing.shared[1].candidate, "TOTAL");
    }

    #[test]
    fn types_agree_by_kind() {
        use TypeMatch::{Compatible, Different, Same};
        for (a, b, expected, cast) in [
            ("INTEGER", "INTEGER", Same, None),
            ("INTEGER", "BIGINT", Compatible, Some("HUGEINT")),
            ("DECIMAL(18,2)", "DECIMAL(38,4)", Compatible, Some("DECIMAL(38,4)")),
            ("INTEGER", "DECIMAL(18,2)", Different, Some("DECIMAL(38,2)")),
            ("DOUBLE", "DECIMAL(18,2)", Different, Some("DOUBLE")),
            ("DATE", "TIMESTAMP", Different, Some("TIMESTAMP")),
            ("VARCHAR", "INTEGER", Different, Some("VARCHAR")),
            ("INTEGER[]", "BIGINT[]", Different, Some("VARCHAR")),
            ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", Different, Some("VARCHAR")),
        ] {
            let pairing = pair_columns(&columns(&[("c", a)]), &columns(&[("c", b)]));
            assert_eq!(pairing.shared[0].types, expected, "{a} {b}");
            assert_eq!(pairing.shared[0].common_type().as_deref(), cast, "{a} {b}");
        }
    }
}
