//! What one built relation says by itself, without another beside it: whether its grain holds, columns that are never filled,
//! and values that look like personal data.

use super::columns::Kind;
use super::row_script::EXAMPLE_KEYS;
use super::rows::{Duckdb, DuckdbFault, Keys, Side, attach, literal, quoted};

/// Values that look like a mail address or a phone number, as DuckDB's regular expressions.
const PATTERNS: &[(&str, &str)] = &[
    ("mail addresses", r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"),
    ("phone numbers", r"\+[0-9][0-9 ()/.-]{6,}[0-9]|\(?[0-9]{3}\)?[ .-][0-9]{3}[ .-][0-9]{4}"),
];

/// What is known of a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// How many rows it has.
    pub rows: u64,
    /// Keys of more than one row, where all columns of the grain are there.
    pub repeated: Keys,
    /// Whether all columns of the grain are there.
    pub has_grain: bool,
    /// Columns that are NULL in every row.
    pub always_null: Vec<String>,
    /// Columns that are NULL in some rows, not in all, with the number of rows.
    pub nulls: Vec<(String, u64)>,
    /// Columns that hold personal data, as what, and in how many rows.
    pub personal: Vec<(String, String, u64)>,
}

/// A column with personal data in a relation that the model reads: quoted relation, column, and its name in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalColumn {
    /// Quoted relation.
    pub relation: String,
    /// Column.
    pub column: String,
    /// `stg_customers.email`.
    pub name: String,
}

impl Duckdb {
    /// Looks at a relation. `only`: the columns in which personal data is looked for.
    ///
    /// # Errors
    /// When it cannot be read, or duckdb itself fails.
    pub async fn profile(
        &self,
        side: Side<'_>,
        grain: &[String],
        only: &[String],
        parents: &[PersonalColumn],
    ) -> Result<Profile, DuckdbFault> {
        let script = script(side, grain, only, parents);
        let answer = self.ask(&[side.database], &script).await.map_err(DuckdbFault::Process)?;
        if let Some(fault) = answer.fault {
            return Err(DuckdbFault::Candidate(fault));
        }
        let mut profile = Profile { has_grain: key(side, grain).is_some(), ..Profile::default() };
        for line in answer.lines {
            match line.t.as_str() {
                "rows" => profile.rows = line.n,
                "repeats" => profile.repeated.add(line),
                "filled" if line.n == 0 => profile.always_null.push(line.name),
                "filled" if line.n < profile.rows => profile.nulls.push((line.name, profile.rows - line.n)),
                "values" if line.n > 0 && line.n == line.m => {
                    profile.personal.push((line.name, line.kind, line.n));
                }
                _ => {}
            }
        }
        if profile.rows == 0 {
            profile.always_null.clear();
        }
        Ok(profile)
    }
}

/// The grain's columns as the relation spells them.
fn key(side: Side<'_>, grain: &[String]) -> Option<Vec<String>> {
    let own = |name: &String| side.columns.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    let key: Option<Vec<String>> = grain.iter().map(|name| own(name).map(|(own, _)| quoted(own))).collect();
    key.filter(|key| !key.is_empty())
}

fn script(side: Side<'_>, grain: &[String], only: &[String], parents: &[PersonalColumn]) -> String {
    let mut out = attach(side.database);
    out.push_str(&format!("CREATE TEMP TABLE model AS SELECT * FROM {};\n", side.relation));
    out.push_str("SELECT 'rows' AS t, count(*) AS n FROM model;\n");
    if let Some(key) = key(side, grain) {
        let cells: Vec<String> = key.iter().map(|column| format!("{column}::VARCHAR")).collect();
        let (columns, cells) = (key.join(", "), cells.join(", "));
        out.push_str(&format!(
            "SELECT 'repeats' AS t, count(*) OVER () AS n, to_json([{cells}]) AS golden FROM \
             (SELECT {columns} FROM model GROUP BY {columns} HAVING count(*) > 1) ORDER BY {columns} LIMIT {EXAMPLE_KEYS};\n"
        ));
    }
    for (name, kind) in side.columns {
        let column = quoted(name);
        let label = literal(name);
        out.push_str(&format!("SELECT 'filled' AS t, {label} AS name, count({column}) AS n FROM model;\n"));
        if Kind::of(kind) != Kind::Text || !only.contains(name) {
            continue;
        }
        for (what, pattern) in PATTERNS {
            out.push_str(&format!(
                "SELECT 'values' AS t, {label} AS name, {} AS kind, count(*) FILTER (regexp_full_match({column}::VARCHAR, {})) AS n, \
                 count({column}) AS m FROM model;\n",
                literal(what),
                literal(pattern)
            ));
        }
        // Two values may coincide by chance; where all of several do, one column is made of the other.
        for parent in parents {
            out.push_str(&format!(
                "SELECT 'values' AS t, {label} AS name, {} AS kind, count(*) FILTER (v IN (SELECT {}::VARCHAR FROM {})) AS n, \
                 greatest(count(*), 2) AS m FROM (SELECT DISTINCT {column}::VARCHAR AS v FROM model WHERE {column} IS NOT NULL);\n",
                literal(&format!("the values of {}", parent.name)),
                quoted(&parent.column),
                parent.relation
            ));
        }
    }
    out
}
