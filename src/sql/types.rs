//! Data types, as far as meaning depends on them.

use sqlparser::ast::{DataType, ExactNumberInfo, TimezoneInfo};

use super::Dialect;

/// A data type. Widths of integers matter only for overflow, so only the class is kept apart from `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// Not known.
    Unknown,
    /// BOOLEAN.
    Bool,
    /// Any integer; the number of bits (128 for HUGEINT).
    Int(u8),
    /// DECIMAL with precision and scale.
    Decimal(u8, u8),
    /// FLOAT, DOUBLE or REAL: 32 or 64 bits.
    Float(u8),
    /// Text of any length.
    Text,
    /// DATE.
    Date,
    /// TIMESTAMP without time zone.
    Timestamp,
    /// TIMESTAMP WITH TIME ZONE.
    TimestampTz,
    /// TIME.
    Time,
    /// INTERVAL.
    Interval,
}

impl Type {
    /// Reads the type of a column as databases write it (`DECIMAL(18,2)`, `character varying(20)`). A length limit of
    /// text says nothing about values that are there already.
    pub fn parse(text: &str, dialect: Dialect) -> Self {
        let lower = text.trim().to_ascii_lowercase();
        let (head, arguments) = match lower.split_once('(') {
            Some((head, rest)) => (head.trim(), rest.trim_end_matches([')', ' '])),
            None => (lower.as_str(), ""),
        };
        match head {
            "boolean" | "bool" | "logical" => Self::Bool,
            "tinyint" | "int1" | "byteint" | "utinyint" => Self::Int(8),
            "smallint" | "int2" | "short" | "usmallint" => Self::Int(16),
            "integer" | "int" | "int4" | "signed" | "mediumint" | "uinteger" => Self::Int(32),
            "bigint" | "int8" | "int64" | "long" | "ubigint" => Self::Int(64),
            "hugeint" | "uhugeint" | "int128" => Self::Int(128),
            "decimal" | "numeric" | "number" | "bignumeric" => {
                let mut parts = arguments.split(',').map(|part| part.trim().parse::<u8>());
                match (parts.next(), parts.next()) {
                    (Some(Ok(precision)), Some(Ok(scale))) => Self::Decimal(precision, scale),
                    (Some(Ok(precision)), None) => Self::Decimal(precision, 0),
                    _ => Self::plain_decimal(dialect),
                }
            }
            // Padded with blanks that comparisons ignore: equal values may be told apart.
            "char" | "bpchar" | "character"
                if matches!(dialect, Dialect::Postgres | Dialect::Redshift | Dialect::Databricks) =>
            {
                Self::Unknown
            }
            "double" | "float8" | "float64" | "double precision" => Self::Float(64),
            "float" => Self::plain_float(dialect),
            "real" | "float4" if dialect == Dialect::Snowflake => Self::Float(64),
            "real" | "float4" => Self::Float(32),
            "varchar" | "text" | "string" | "char" | "bpchar" | "character varying" | "character"
            | "nvarchar" => Self::Text,
            "date" => Self::Date,
            "timestamp" | "datetime" | "timestamp without time zone" | "timestamp_ntz" => Self::Timestamp,
            "timestamptz" | "timestamp with time zone" | "timestamp_tz" => Self::TimestampTz,
            "time" | "time without time zone" => Self::Time,
            "interval" => Self::Interval,
            _ => Self::Unknown,
        }
    }

    /// DECIMAL without precision and scale.
    fn plain_decimal(dialect: Dialect) -> Self {
        match dialect {
            Dialect::DuckDb => Self::Decimal(18, 3),
            Dialect::Snowflake => Self::Decimal(38, 0),
            Dialect::BigQuery => Self::Decimal(38, 9),
            Dialect::Databricks => Self::Decimal(10, 0),
            Dialect::Redshift => Self::Decimal(18, 0),
            Dialect::Postgres | Dialect::Generic => Self::Unknown,
        }
    }

    /// FLOAT without a number of bits.
    fn plain_float(dialect: Dialect) -> Self {
        match dialect {
            Dialect::DuckDb | Dialect::Databricks | Dialect::Generic => Self::Float(32),
            Dialect::Snowflake | Dialect::BigQuery | Dialect::Redshift | Dialect::Postgres => Self::Float(64),
        }
    }

    /// The type of a parsed `CAST`. Where a cast to limited text cuts or refuses what is too long, it is a type of its
    /// own that no column has.
    pub fn of(data_type: &DataType, dialect: Dialect) -> Self {
        let unlimited = match data_type {
            _ if dialect == Dialect::DuckDb => true,
            DataType::Varchar(None) | DataType::Text => dialect != Dialect::Redshift,
            DataType::String(None) => true,
            _ => false,
        };
        match data_type {
            DataType::Varchar(_) | DataType::Text | DataType::String(_) | DataType::Char(_) if !unlimited => {
                Self::Unknown
            }
            DataType::Boolean | DataType::Bool => Self::Bool,
            DataType::TinyInt(_) => Self::Int(8),
            DataType::SmallInt(_) => Self::Int(16),
            DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => Self::Int(32),
            DataType::BigInt(_) | DataType::Int8(_) | DataType::Int64 => Self::Int(64),
            DataType::HugeInt => Self::Int(128),
            DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float64 => {
                Self::Float(64)
            }
            DataType::Real | DataType::Float4 if dialect == Dialect::Snowflake => Self::Float(64),
            DataType::Real | DataType::Float4 => Self::Float(32),
            DataType::Float(ExactNumberInfo::None) => Self::plain_float(dialect),
            DataType::Varchar(_) | DataType::Text | DataType::String(_) | DataType::Char(_) => Self::Text,
            DataType::Date => Self::Date,
            DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Self::Timestamp,
            DataType::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => Self::TimestampTz,
            DataType::Time(None, TimezoneInfo::None) => Self::Time,
            DataType::Decimal(ExactNumberInfo::PrecisionAndScale(p, s))
            | DataType::Numeric(ExactNumberInfo::PrecisionAndScale(p, s)) => {
                match (u8::try_from(*p), u8::try_from(*s)) {
                    (Ok(p), Ok(s)) => Self::Decimal(p, s),
                    _ => Self::Unknown,
                }
            }
            DataType::Decimal(ExactNumberInfo::None) | DataType::Numeric(ExactNumberInfo::None) => {
                Self::plain_decimal(dialect)
            }
            _ => Self::Unknown,
        }
    }

    /// Whether the values are integers.
    pub fn is_int(self) -> bool {
        matches!(self, Self::Int(_))
    }

    /// Whether arithmetic is exact (integers and decimals).
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Int(_) | Self::Decimal(..))
    }

    /// Whether equal values of this type cannot be told apart by any expression: false for floating point (two zeros)
    /// and for what is not known.
    pub fn equality_is_identity(self) -> bool {
        matches!(
            self,
            Self::Bool | Self::Int(_) | Self::Decimal(..) | Self::Text | Self::Date | Self::Timestamp
        )
    }

    /// Whether at most one value of this type is equal to a given value of the other: not so where the comparison converts
    /// it first, as the texts '5' and '05' beside a number. Columns of which nothing is known are taken to be of one type.
    pub fn equals_once(self, other: Self) -> bool {
        match (self, other) {
            (a, b) if a == b => true,
            (a, b) if a.is_exact() && b.is_exact() => true,
            (Self::Float(_), b) => b.is_exact() || matches!(b, Self::Float(_)),
            (a, b) => a == Self::Date && b == Self::Timestamp || a == Self::Timestamp && b == Self::Date,
        }
    }

    /// Whether two columns of these types that compare equal are the same value.
    pub fn same_values(self, other: Self) -> bool {
        (self == other && self.equality_is_identity()) || (self.is_int() && other.is_int())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_databases_write_them() {
        assert_eq!(Type::parse("DECIMAL(18,2)", Dialect::DuckDb), Type::Decimal(18, 2));
        assert_eq!(Type::parse("bigint", Dialect::DuckDb), Type::Int(64));
        assert_eq!(Type::parse("character varying(20)", Dialect::DuckDb), Type::Text);
        assert_eq!(Type::parse("TIMESTAMP WITH TIME ZONE", Dialect::DuckDb), Type::TimestampTz);
        assert_eq!(Type::parse("STRUCT(a INTEGER)", Dialect::DuckDb), Type::Unknown);
    }

    #[test]
    fn floats_and_unknown_types_are_not_interchangeable() {
        assert!(!Type::Float(64).same_values(Type::Float(64)));
        assert!(!Type::Unknown.same_values(Type::Unknown));
        assert!(!Type::Decimal(18, 2).same_values(Type::Decimal(18, 3)));
        assert!(Type::Int(32).same_values(Type::Int(64)));
    }
}
