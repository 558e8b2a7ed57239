//! What the joins of a model do on the rows that are there: find nothing, multiply, or drop.

use crate::sql::joins::Join;

use super::row_script::EXAMPLE_KEYS;
use super::rows::{Duckdb, DuckdbFault, Keys, Side, attach};

/// What one join does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinProfile {
    /// Rows of the left side.
    pub rows: u64,
    /// Those of them that find a partner.
    pub matched: u64,
    /// Values that the left side has, for which the joined side has several rows; the number of rows last.
    pub several: Keys,
    /// Values of the left side that find no partner.
    pub unmatched: Keys,
}

impl Duckdb {
    /// Looks at the joins of a model, in the database that it was built in.
    ///
    /// # Errors
    /// When they cannot be run by themselves, or duckdb itself fails.
    pub async fn join_profiles(
        &self,
        side: Side<'_>,
        joins: &[Join],
    ) -> Result<Vec<JoinProfile>, DuckdbFault> {
        let scripts = joins.iter().enumerate().map(|(number, join)| script(number, join));
        let script = attach(side.database) + &scripts.collect::<String>();
        let answer = self.ask(&[side.database], &script).await.map_err(DuckdbFault::Process)?;
        if let Some(fault) = answer.fault {
            return Err(DuckdbFault::Candidate(fault));
        }
        let mut profiles = vec![JoinProfile::default(); joins.len()];
        for line in answer.lines {
            let number: Option<usize> = line.name.parse().ok();
            let Some(profile) = number.and_then(|number| profiles.get_mut(number)) else { continue };
            match line.t.as_str() {
                "join" => (profile.rows, profile.matched) = (line.n, line.m),
                "several" => profile.several.add(line),
                "unmatched" => profile.unmatched.add(line),
                _ => {}
            }
        }
        Ok(profiles)
    }
}

fn script(number: usize, join: &Join) -> String {
    let columns = |prefix: &str| {
        let columns = (0..join.on.len()).map(|i| format!("{prefix}k{i}"));
        columns.collect::<Vec<_>>().join(", ")
    };
    let both = |what: &str| {
        let both = (0..join.on.len()).map(|i| what.replace('#', &i.to_string()));
        both.collect::<Vec<_>>().join(" AND ")
    };
    let cells = (0..join.on.len()).map(|i| format!("k{i}::VARCHAR")).collect::<Vec<_>>().join(", ");
    let (own, same) = (columns(""), both("l.k# = r.k#"));
    let few = |what: &str, more: &str, query: String| {
        format!(
            "SELECT '{what}' AS t, '{number}' AS name, count(*) OVER () AS n, to_json([{cells}{more}]) AS golden FROM ({query}) ORDER BY {own} LIMIT {EXAMPLE_KEYS};\n"
        )
    };
    let mut out = format!(
        "CREATE OR REPLACE TEMP TABLE l AS {};\nCREATE OR REPLACE TEMP TABLE r AS SELECT {own}, count(*) AS rows FROM ({}) GROUP BY {own};\n\
         SELECT 'join' AS t, '{number}' AS name, count(*) AS n, count(*) FILTER (EXISTS (SELECT 1 FROM r WHERE {same})) AS m FROM l;\n",
        join.left, join.right
    );
    out.push_str(&few(
        "several",
        ", rows::VARCHAR",
        format!("SELECT * FROM r WHERE rows > 1 AND EXISTS (SELECT 1 FROM l WHERE {same})"),
    ));
    out.push_str(&few(
        "unmatched",
        "",
        format!(
            "SELECT DISTINCT {own} FROM l WHERE {} AND NOT EXISTS (SELECT 1 FROM r WHERE {same})",
            both("k# IS NOT NULL")
        ),
    ));
    out
}
