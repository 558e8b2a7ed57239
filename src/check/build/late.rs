//! Rows that arrive late: an incremental model is built while some rows of its input are not there yet, and run again when
//! they are. What it then holds is compared with a build on all rows at once.
//!
//! The rows are withheld from a relation that the model reads, in copies of the prepared database. Before: the relation
//! lacks the newest rows, some of those at the high-water mark, and some older ones, near it more of them than far away. After:
//! it has them all. What refers to a withheld row by a declared key is withheld with it.

use std::path::{Path, PathBuf};

use super::classify::FailureClass;
use super::exec::locked;
use super::rows::{Duckdb, DuckdbFault, Keys, RowOptions, Side, literal, quoted};
use super::{
    ATTEMPTS, BuildLimits, BuildReport, BuildRequest, Builder, CATALOG, DATABASE, Step, Workspace,
    late_script, plain,
};
use crate::dbt::facts::{self, Relation};
use crate::sql::Dialect;
use crate::sql::lineage::water_mark;
use crate::sql::schema::ForeignKey;
use crate::tool::again::Again;
use crate::tool::executor::{Executed, Job, Withhold};
use crate::tool::process::KillReason;
use crate::tool::worker::End;

/// The column by which rows of a relation arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The relation.
    pub relation: Relation,
    /// The column, as the database spells it.
    pub column: String,
}

/// How many rows are withheld.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Withheld {
    /// Rows newer than the high-water mark.
    pub newer: u64,
    /// Rows exactly at it.
    pub at_mark: u64,
    /// Older rows.
    pub older: u64,
}

/// An incremental model after its late rows arrived.
#[derive(Debug)]
pub struct LateRun {
    /// What was withheld from its first build.
    pub withheld: Withheld,
    /// The database with the model built on all rows at once.
    pub whole: PathBuf,
    /// How the run that finds them ended.
    pub run: Step,
    /// The database after it.
    pub database: PathBuf,
}

impl Builder {
    /// By which column of which relation an incremental model takes new rows, from the SQL that dbt compiled for its second
    /// run.
    pub fn arrival(&self, report: &BuildReport, dialect: Dialect) -> Option<Arrival> {
        let sql = report.second_run.as_ref()?.compiled_sql.as_ref()?;
        let this = plain(report.relation.as_ref()?);
        let mark = water_mark(sql, &this, &self.compiled_schema(report), dialect)?;
        let (types, relations) = (self.types(), self.relations());
        // A seed may be a source too: it goes by the name that the model reads it under.
        let relation = report
            .depends_on
            .iter()
            .find(|relation| relations.get(*relation).is_some_and(|name| plain(name) == mark.table))?;
        let mut columns = types.get(relation)?.iter().map(|(column, _)| column);
        let column = columns.find(|column| column.eq_ignore_ascii_case(&mark.column))?;
        Some(Arrival { relation: relation.clone(), column: column.clone() })
    }

    /// Builds an incremental model that was built before without some rows of its input, and runs it again with them, in the
    /// workspace of that build, whose second run is not kept.
    ///
    /// # Errors
    /// Why it says nothing.
    pub async fn late(
        &self,
        request: &BuildRequest,
        report: &BuildReport,
        arrival: &Arrival,
    ) -> Result<LateRun, String> {
        let missing = || "it was not built as an incremental model".to_owned();
        let (Some(workspace), Some(relation), Some(sql), Some(_)) =
            (&report.workspace, &report.relation, &report.compiled_sql, &report.second_run)
        else {
            return Err(missing());
        };
        let relations = self.relations();
        let arriving = relations.get(&arrival.relation);
        if !report.depends_on.iter().any(|read| relations.get(read) == arriving) {
            return Err(format!("it does not read {}, whose rows arrive late", arrival.relation.rendered()));
        }
        let [whole, early] = self.withhold(arrival).ok_or("the columns of its input are not known")?;
        let job = |withhold: Withhold, name: &str| {
            let folder = workspace.folder().join("late").join(name);
            Job {
                database: folder.join(DATABASE),
                config: locked(&self.engines.limits),
                drop: self.golden(request).into_iter().chain([relation.clone()]).collect(),
                reverse: Vec::new(),
                withhold: Some(withhold),
                create: format!("create table {relation} as (\n{sql}\n);"),
                relation: relation.clone(),
                tests: Vec::new(),
                built: folder.join("built"),
            }
        };
        let (whole, early) = (job(whole, "whole"), job(early, "early"));
        self.build_on(&whole, workspace).await?;
        let withheld = self.build_on(&early, workspace).await?;
        let database = workspace.database();
        let (mut killed, mut others) = (Again::new(ATTEMPTS), Again::new(2));
        let run = loop {
            // All rows, and in the model what it was built with when some were missing.
            copy_database(&whole.database, &database).await.map_err(|why| workspace.anonymous(&why))?;
            self.duckdb.take_over(&early.database, &database, relation).await?;
            let run = self.run_once_more(request, workspace).await.run;
            let again = if run.class == Some(FailureClass::Killed) { &mut killed } else { &mut others };
            if !run.class.is_some_and(FailureClass::is_transient) || !again.pause().await {
                break run;
            }
        };
        let run = Step { message: workspace.anonymous(&run.message), ..run };
        Ok(LateRun { withheld, whole: whole.database, run, database })
    }

    /// Builds the model in a copy of the prepared database with other rows.
    async fn build_on(&self, job: &Job, workspace: &Workspace) -> Result<Withheld, String> {
        let BuildLimits { wall, cpu, .. } = self.engines.limits;
        let mut again = Again::new(ATTEMPTS);
        loop {
            copy_database(&self.database(), &job.database).await.map_err(|why| workspace.anonymous(&why))?;
            match self.engines.executor.run(job, workspace.folder(), wall, cpu).await.end {
                End::Finished(Executed { refused: None, error: None, withheld, .. }) => {
                    return match withheld.as_slice() {
                        [newer, at_mark, older] if newer + at_mark + older > 0 => {
                            Ok(Withheld { newer: *newer, at_mark: *at_mark, older: *older })
                        }
                        _ => Err("its input has too few rows to withhold some".to_owned()),
                    };
                }
                End::Finished(Executed { error: Some(why), .. }) => {
                    let why = super::classify::shorten(&why);
                    return Err(format!("without its late rows it does not build: {why}"));
                }
                End::Died { signal: Some(9), .. } if again.pause().await => {}
                End::Killed(KillReason::Wall { .. } | KillReason::Output) => {
                    return Err("without its late rows it does not end".to_owned());
                }
                End::Finished(_) | End::Died { .. } | End::NotStarted(_) => {
                    return Err("it could not be built without its late rows".to_owned());
                }
            }
        }
    }

    /// What makes all rows, and what then takes the late ones out. Where rows at one point in time are several, the newest such
    /// point above the middle is the high-water mark, so that some of them arrive on time and others late. Else it is a point at
    /// three quarters, to which the next row is put, unless points are declared to be unique.
    fn withhold(&self, arrival: &Arrival) -> Option<[Withhold; 2]> {
        let (types, relations) = (self.types(), self.relations());
        let own: Vec<String> =
            types.get(&arrival.relation)?.iter().map(|(column, _)| quoted(column)).collect();
        let relation = relations.get(&arrival.relation)?.clone();
        let (time, all) = (quoted(&arrival.column), own.join(", "));
        let properties = self.project.properties().ok()?;
        let schema = facts::schema(&self.project, &properties, &types);
        let is_time = |column: &String| column.eq_ignore_ascii_case(&arrival.column);
        let stays = schema.tables.iter().any(|(name, table)| {
            let is_own = relations.iter().any(|(other, own)| *own == relation && other.rendered() == *name);
            is_own && table.unique.iter().flatten().any(is_time)
        });
        let mut statements = vec![
            format!(
                "create temp table late_ordered as select *, row_number() over (order by {time}, {all}) as late_n \
                 from {relation} where {time} is not null"
            ),
            format!(
                "create temp table late_tie as select max(point) as point from (select {time} as point from late_ordered \
                 group by {time} having count(*) > 1 and max(late_n) * 2 > (select count(*) from late_ordered))"
            ),
            format!(
                "create temp table late_mark as select coalesce((select point from late_tie), (select {time} from late_ordered \
                 where late_n = (select greatest(1, count(*) * 3 // 4) from late_ordered))) as mark"
            ),
            format!(
                "create temp table late_moved as select min(late_n) as moved from late_ordered, late_mark, late_tie \
                 where {time} > mark and point is null and not {stays}"
            ),
            format!(
                "create temp table late_source as select late_ordered.* replace (case when late_n = moved then mark else {time} end \
                 as {time}) from late_ordered, late_mark, late_moved"
            ),
            // Of the older rows the first, third, seventh, ... back from the mark: dense where a look-back would find them.
            format!(
                "create temp table late_rows as select late_n, kind from (select late_n, kind, row_number() over \
                 (partition by kind order by late_n desc) as place from (select late_n, case when {time} > mark then 'newer' \
                 when {time} = mark then 'at' else 'older' end as kind from late_source, late_mark)) \
                 where kind = 'newer' or (kind = 'at' and place % 2 = 0) or (kind = 'older' and (place & (place + 1)) = 0)"
            ),
            format!(
                "create temp table late_all_0 as select {all} from late_source \
                 union all select {all} from {relation} where {time} is null"
            ),
            format!(
                "create temp table late_kept_0 as select {all} from late_source where late_n not in (select late_n from late_rows) \
                 union all select {all} from {relation} where {time} is null"
            ),
        ];
        let whole = vec![(relation.clone(), "late_all_0".to_owned())];
        let named = |name: &str| {
            let is_built = |relation: &Relation| types.contains_key(relation) && relation.rendered() == name;
            relations.iter().find(|(relation, _)| is_built(relation)).map(|(_, own)| own)
        };
        let mut replace = vec![(relation, "late_kept_0".to_owned())];
        let mut number = 0;
        while let Some((parent, _)) = replace.get(number).cloned() {
            for (child, table) in &schema.tables {
                let is_to_parent =
                    |key: &&ForeignKey| key.columns.len() == 1 && named(&key.table) == Some(&parent);
                let (Some(key), Some(relation)) =
                    (table.foreign_keys.iter().find(is_to_parent), named(child))
                else {
                    continue;
                };
                if replace.iter().any(|(done, _)| done == relation) {
                    continue;
                }
                let (own, other) = (quoted(&key.columns.concat()), quoted(&key.references.concat()));
                let next = replace.len();
                statements.push(format!("create temp table late_all_{next} as select * from {relation}"));
                statements.push(format!(
                    "create temp table late_kept_{next} as select * from late_all_{next} where {own} is null \
                     or {own} in (select {other} from late_kept_{number}) or {own} not in \
                     (select {other} from late_all_{number} where {other} is not null)"
                ));
                replace.push((relation.clone(), format!("late_kept_{next}")));
            }
            number += 1;
        }
        let count = |kind: &str| format!("count(*) filter (kind = '{kind}')");
        let count = format!("select {}, {}, {} from late_rows", count("newer"), count("at"), count("older"));
        let withhold = |replace| Withhold { statements: statements.clone(), replace, count: count.clone() };
        Some([withhold(whole), withhold(replace)])
    }
}

/// Copies a database, the target's folder made and what is there replaced.
async fn copy_database(from: &Path, to: &Path) -> Result<(), String> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || -> std::io::Result<()> {
        if let Some(folder) = to.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let log = to.with_extension("duckdb.wal");
        if log.exists() {
            fs_err::remove_file(log)?;
        }
        fs_err::copy(from, to).map(drop)
    });
    copied.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// What an incremental model holds otherwise when rows arrived late, beside a build on all rows at once. What the golden too has
/// otherwise is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LateComparison {
    /// The columns that rows are named by: the key, or else all that can be compared exactly.
    pub named_by: Vec<String>,
    /// Rows that are missing.
    pub lost: Keys,
    /// Rows that are there more often.
    pub repeated: Keys,
    /// Rows that a build on all rows does not have.
    pub added: Keys,
    /// Keys whose row has other values.
    pub stale: Keys,
    /// Columns with other values in these, with the number of rows.
    pub stale_columns: Vec<(String, u64)>,
}

impl Duckdb {
    /// Compares what a model holds after late rows with a build on all rows; `golden` is the same of the golden.
    ///
    /// # Errors
    /// When something cannot be read, or duckdb itself fails.
    pub async fn compare_late(
        &self,
        model: Histories<'_>,
        golden: Option<Histories<'_>>,
        options: &RowOptions<'_>,
    ) -> Result<LateComparison, DuckdbFault> {
        let script = late_script::script(model, golden, options);
        let files: Vec<&Path> = [Some(model), golden]
            .into_iter()
            .flatten()
            .flat_map(|both| [both.whole.database, both.late.database])
            .collect();
        let answer = self.ask(&files, &script.text).await.map_err(DuckdbFault::Process)?;
        if let Some(fault) = answer.fault {
            return Err(DuckdbFault::Process(fault));
        }
        let mut comparison = LateComparison { named_by: script.named_by, ..LateComparison::default() };
        for line in answer.lines {
            match line.t.as_str() {
                "lost" => comparison.lost.add(line),
                "repeated" => comparison.repeated.add(line),
                "added" => comparison.added.add(line),
                "stale" => comparison.stale.add(line),
                "stale_column" if line.n > 0 => comparison.stale_columns.push((line.name, line.n)),
                _ => {}
            }
        }
        Ok(comparison)
    }

    /// Replaces a table of a database by that of another.
    async fn take_over(&self, from: &Path, to: &Path, relation: &str) -> Result<(), String> {
        let mut parts = relation.split('.');
        let (Some(_), Some(schema), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("unusual relation {relation}"));
        };
        let path = |path: &Path| literal(&path.display().to_string());
        let script = format!(
            "ATTACH {} AS {CATALOG};\nATTACH {} AS early (READ_ONLY);\nDROP TABLE IF EXISTS {relation};\n\
             CREATE TABLE {relation} AS SELECT * FROM early.{schema}.{name};\n",
            path(to),
            path(from)
        );
        self.change(&[to, from], &script).await
    }
}

/// A model twice: built on all rows at once, and after some arrived late.
#[derive(Debug, Clone, Copy)]
pub struct Histories<'a> {
    /// All at once.
    pub whole: Side<'a>,
    /// After late rows.
    pub late: Side<'a>,
}
