//! The syntax of a `tests` entry: `unique:col`, `not_null:col`, `accepted_values:col[a|b]`,
//! `relationships:col->ref(model).col`, or raw SQL for a singular test.

/// One entry of a contract's `tests`, of a spec's required tests, or of a case's `required_tests`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TestEntry {
    /// Column values are unique.
    Unique(String),
    /// Column values are not null.
    NotNull(String),
    /// Column values are among these.
    AcceptedValues(String, Vec<String>),
    /// Column values occur in a column of a model.
    Relationships {
        /// Referring column.
        column: String,
        /// Referred model.
        model: String,
        /// Referred column.
        field: String,
    },
    /// A query that must return no rows.
    Sql(String),
}

/// Why a text is not a test entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a test: {reason}")]
pub struct TestSyntaxFault {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl TestEntry {
    /// Parses an entry.
    ///
    /// # Errors
    /// When the text is neither of the named forms nor a query.
    pub fn parse(text: &str) -> Result<Self, TestSyntaxFault> {
        let fault = |reason: &str| TestSyntaxFault { text: text.to_owned(), reason: reason.to_owned() };
        let trimmed = text.trim();
        if starts_like_a_query(trimmed) {
            return Ok(Self::Sql(trimmed.to_owned()));
        }
        let Some((kind, rest)) = trimmed.split_once(':') else {
            return Err(fault(
                "expected `unique:column`, `not_null:column`, `accepted_values:column[a|b]`, `relationships:column->ref(model).column` or a query",
            ));
        };
        let (kind, rest) = (kind.trim(), rest.trim());
        match kind {
            "unique" => {
                column(rest).map(Self::Unique).ok_or_else(|| fault("a column name must follow `unique:`"))
            }
            "not_null" => {
                column(rest).map(Self::NotNull).ok_or_else(|| fault("a column name must follow `not_null:`"))
            }
            "accepted_values" => {
                let inner =
                    rest.split_once('[').and_then(|(name, list)| Some((name, list.strip_suffix(']')?)));
                let Some((name, list)) = inner else {
                    return Err(fault("expected `accepted_values:column[a|b]`"));
                };
                let values: Vec<String> =
                    list.split('|').map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect();
                // dbt would render them.
                if list.contains(['{', '}']) {
                    return Err(fault("values may not contain braces"));
                }
                match (column(name), values.is_empty()) {
                    (Some(column), false) => Ok(Self::AcceptedValues(column, values)),
                    _ => Err(fault("expected `accepted_values:column[a|b]`")),
                }
            }
            "relationships" => {
                relationships(rest).ok_or_else(|| fault("expected `relationships:column->ref(model).column`"))
            }
            _ => Err(fault("unknown kind of test")),
        }
    }

    /// Parses the `column:test` form of a case's `required_tests`.
    ///
    /// # Errors
    /// When the text is not such a pair.
    pub fn parse_column_first(text: &str) -> Result<Self, TestSyntaxFault> {
        let swapped = text.trim().split_once(':').map(|(column, test)| {
            let (column, test) = (column.trim(), test.trim());
            match test.find(['[', '-']) {
                Some(at) => format!("{}:{column}{}", &test[..at], &test[at..]),
                None => format!("{test}:{column}"),
            }
        });
        match swapped {
            Some(swapped) => {
                Self::parse(&swapped).map_err(|error| TestSyntaxFault { text: text.to_owned(), ..error })
            }
            None => {
                Err(TestSyntaxFault { text: text.to_owned(), reason: "expected `column:test`".to_owned() })
            }
        }
    }

    /// Whether this is a singular test.
    pub fn is_sql(&self) -> bool {
        matches!(self, Self::Sql(_))
    }

    /// The query of a singular test that asserts the same on a model; raw SQL is itself.
    pub fn to_sql(&self, model: &str) -> String {
        let this = format!("{{{{ ref('{model}') }}}}");
        match self {
            Self::Unique(column) => format!(
                "select {column} from {this} where {column} is not null group by {column} having count(*) > 1"
            ),
            Self::NotNull(column) => format!("select {column} from {this} where {column} is null"),
            Self::AcceptedValues(column, values) => {
                let list: Vec<String> =
                    values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
                format!(
                    "select {column} from {this} where cast({column} as varchar) not in ({})",
                    list.join(", ")
                )
            }
            Self::Relationships { column, model: parent, field } => format!(
                "select child.{column} from {this} as child where child.{column} is not null and not exists \
                 (select 1 from {{{{ ref('{parent}') }}}} as parent where parent.{field} = child.{column})"
            ),
            Self::Sql(sql) => sql.clone(),
        }
    }

    /// The column that is tested; `None` for a query.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Unique(column) | Self::NotNull(column) | Self::AcceptedValues(column, _) => Some(column),
            Self::Relationships { column, .. } => Some(column),
            Self::Sql(_) => None,
        }
    }

    /// dbt's name of the generic test; `None` for a query.
    pub fn test_name(&self) -> Option<&'static str> {
        match self {
            Self::Unique(_) => Some("unique"),
            Self::NotNull(_) => Some("not_null"),
            Self::AcceptedValues(..) => Some("accepted_values"),
            Self::Relationships { .. } => Some("relationships"),
            Self::Sql(_) => None,
        }
    }
}

impl std::fmt::Display for TestEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unique(column) => write!(f, "unique:{column}"),
            Self::NotNull(column) => write!(f, "not_null:{column}"),
            Self::AcceptedValues(column, values) => {
                write!(f, "accepted_values:{column}[{}]", values.join("|"))
            }
            Self::Relationships { column, model, field } => {
                write!(f, "relationships:{column}->ref({model}).{field}")
            }
            Self::Sql(sql) => f.write_str(sql),
        }
    }
}

fn starts_like_a_query(text: &str) -> bool {
    let start = text.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let first = start.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
    first.eq_ignore_ascii_case("select")
        || first.eq_ignore_ascii_case("with")
        || start.starts_with("--")
        || start.starts_with("/*")
        || start.starts_with("{{")
        || start.starts_with("{%")
}

fn column(text: &str) -> Option<String> {
    let text = text.trim().trim_matches('"');
    let plain = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    plain.then(|| text.to_owned())
}

fn relationships(rest: &str) -> Option<TestEntry> {
    let (from, to) = rest.split_once("->")?;
    let inner = to.trim().strip_prefix("ref(")?;
    let (model, field) = inner.split_once(')')?;
    let model = model.trim().trim_matches(['\'', '"']);
    Some(TestEntry::Relationships {
        column: column(from)?,
        model: column(model)?,
        field: column(field.strip_prefix('.')?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_round_trips() {
        for text in [
            "unique:order_id",
            "not_null:order_id",
            "accepted_values:status[open|closed]",
            "relationships:customer_id->ref(customers).id",
            "select * from {{ ref('x') }} where amount < 0",
        ] {
            assert_eq!(TestEntry::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn the_csv_form_names_the_column_first() {
        let parse = |text| TestEntry::parse_column_first(text).map(|entry| entry.to_string());
        assert_eq!(parse("order_id:unique").as_deref(), Ok("unique:order_id"));
        assert_eq!(parse("status:accepted_values[a|b]").as_deref(), Ok("accepted_values:status[a|b]"));
        assert_eq!(parse("c:relationships->ref(t).id").as_deref(), Ok("relationships:c->ref(t).id"));
        assert!(parse("order_id").is_err());
        assert!(parse("order_id:uniqueness").is_err());
    }

    #[test]
    fn what_is_not_a_test_is_refused() {
        for text in
            ["", "unique", "unique:", "unique:a b", "accepted_values:a[]", "relationships:a->b.c", "nope:a"]
        {
            assert!(TestEntry::parse(text).is_err(), "{text}");
        }
    }
}
