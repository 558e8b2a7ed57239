//! The phases of a search and the evidence it gathers.

use std::borrow::Cow;
use std::collections::BTreeSet;

use sqlparser::ast::Query;

use super::SearchOptions;
use super::aims::Aims;
use super::counterexample;
use super::database::{Database, Layout};
use super::dialects;
use super::generate::Generator;
use super::mutants;
use super::script::{self, Fingerprint};
use super::shape::Pairing;
use super::shrink;
use super::ties;
use crate::sql::Dialect;
use crate::sql::parse::parse_query;
use crate::sql::schema::Schema;
use crate::sql::verdict::{Comparison, Coverage, Method, Verdict};

/// Databases that are tried before two queries are said to agree.
const DATABASES: usize = 40;
/// Sizes of the batches: small at first, since most differences show at once.
const BATCHES: [usize; 5] = [6, 8, 10, 16, 24];
/// Databases that are tried on top when mutants of the golden survive the first ones.
const MORE_DATABASES: usize = 24;
/// Databases that mutants are tried on.
const ADEQUACY_DATABASES: usize = 10;
/// Mutants that are tried.
const MUTANTS: usize = 24;
/// Rounds of shrinking.
const SHRINK_ROUNDS: usize = 10;
/// Databases on which a query failed that are looked into.
const FAILED: usize = 4;
/// Counterexamples that turn out not to reproduce before the search gives up.
const RETRACTIONS: usize = 4;

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Run this script in DuckDB and pass what it prints to [`Search::advance`].
    Execute(String),
    /// The search is over.
    Done(Box<Comparison>),
}

/// A search for rows that tell two queries apart; see the module.
#[derive(Debug)]
pub struct Search {
    golden: String,
    candidate: String,
    golden_query: Option<Query>,
    /// Both queries with their ties broken one way and the other.
    golden_ties: Option<[String; 2]>,
    candidate_ties: Option<[String; 2]>,
    /// Nothing but an outermost LIMIT depends on the order of rows, in neither query.
    certain_count: bool,
    by_name: bool,
    aims: Aims,
    layout: Layout,
    own: Option<Database>,
    seed: u64,
    limit: usize,
    adequacy: bool,
    /// What a first look at mutants found, when it led to more databases.
    first_look: Option<Adequacy>,
    looked_twice: bool,
    state: State,
    pairing: Option<Pairing>,
    /// The database whose difference is being shrunk, as it was found.
    found: Option<Database>,
    evidence: Evidence,
}

#[derive(Debug, Default)]
struct Evidence {
    tried: usize,
    executed: usize,
    non_empty: usize,
    results: BTreeSet<Fingerprint>,
    /// Databases on which the golden's results are worth comparing with those of its mutants.
    telling: Vec<(Database, Fingerprint)>,
    last_error: Option<String>,
    /// Databases on which one of the queries failed, or both.
    failed: Vec<Database>,
    unstable: usize,
    retracted: usize,
}

/// Which mutants of the golden the databases tell from it.
#[derive(Debug, Default)]
struct Adequacy {
    mutants: Vec<String>,
    telling: Vec<(Database, Fingerprint)>,
    /// The databases of the script that runs: `telling[from..next]`.
    from: usize,
    next: usize,
    ran: BTreeSet<usize>,
    killed: BTreeSet<usize>,
}

#[derive(Debug)]
enum State {
    Start,
    Describe,
    Hunt {
        databases: Vec<Database>,
        own: bool,
    },
    /// Each database in its order, reversed and rotated.
    Confirm {
        databases: Vec<Database>,
    },
    Shrink {
        current: Database,
        tries: Vec<Database>,
        round: usize,
        careful: bool,
    },
    Show {
        current: Database,
        careful: bool,
    },
    /// Each query by itself, where both together failed.
    Alone {
        databases: usize,
    },
    Adequacy(Box<Adequacy>),
    Over,
}

impl Search {
    /// Prepares a search. Both texts are rendered SQL; `golden` is the reference.
    ///
    /// # Errors
    /// The verdict, where no rows can be generated.
    pub fn new(
        golden: &str,
        candidate: &str,
        schema: &Schema,
        options: &SearchOptions,
    ) -> Result<Self, Box<Comparison>> {
        let unknown = |reason: String| Box::new(Comparison::new(Verdict::Unknown, Method::Search, reason));
        let golden = trimmed(golden);
        let candidate = trimmed(candidate);
        if golden.contains('\0') || candidate.contains('\0') {
            return Err(unknown("the SQL holds a NUL character".to_owned()));
        }
        let read = |sql: &str, side: &str| {
            parse_query(sql, options.dialect)
                .map_err(|fault| unknown(format!("the {side} cannot be parsed: {fault}")))
        };
        let mut golden_query = read(golden, "golden")?;
        let mut candidate_query = read(candidate, "candidate")?;
        let aims = Aims::of(&[&golden_query, &candidate_query]);
        if let Some(function) = &aims.volatile {
            return Err(unknown(format!("{function}() does not return the same each time")));
        }
        let seed = seed(golden, candidate);
        let mut texts = [golden.to_owned(), candidate.to_owned()];
        let mut in_duckdb = Cow::Borrowed(schema);
        if !matches!(options.dialect, Dialect::DuckDb | Dialect::Generic) {
            let spell = |query: &mut Query, side: &str| -> Result<String, Box<Comparison>> {
                let spelled = dialects::spelled(query, schema, options.dialect).map_err(|what| {
                    let dialect = options.dialect.name();
                    unknown(format!(
                        "the {side} is not executed: {what} of {dialect} has no known spelling in DuckDB"
                    ))
                })?;
                *query = parse_query(&spelled, Dialect::DuckDb).map_err(|fault| {
                    unknown(format!("the {side} as DuckDB spells it cannot be parsed: {fault}"))
                })?;
                Ok(spelled)
            };
            texts = [spell(&mut golden_query, "golden")?, spell(&mut candidate_query, "candidate")?];
            in_duckdb = Cow::Owned(dialects::schema(schema, options.dialect));
        }
        let [golden, candidate] = texts;
        let layout = Layout::new(&in_duckdb, &aims).map_err(unknown)?;
        let own = own_database(&layout, options);
        Ok(Self {
            golden,
            candidate,
            golden_ties: ties::broken(&golden_query),
            candidate_ties: ties::broken(&candidate_query),
            certain_count: ties::has_certain_count(&golden_query)
                && ties::has_certain_count(&candidate_query),
            golden_query: Some(golden_query),
            by_name: options.by_name,
            aims,
            layout,
            own,
            seed,
            limit: if options.databases == 0 { DATABASES } else { options.databases },
            adequacy: options.adequacy,
            first_look: None,
            looked_twice: false,
            state: State::Start,
            pairing: None,
            found: None,
            evidence: Evidence::default(),
        })
    }

    /// What has to run after the search, however it ended, so that the session can be used again.
    pub fn teardown(&self) -> String {
        script::teardown(&self.layout)
    }

    /// Takes what the last script printed (empty texts at first) and says what to do next.
    pub fn advance(&mut self, stdout: &str, stderr: &str) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Start => {
                self.state = State::Describe;
                let mut text = script::setup(&self.layout, self.aims.uses_clock);
                text.push_str("SET VARIABLE assay_db = 0;\n");
                text.push_str(&script::describe("golden", &self.golden));
                text.push_str(&script::describe("candidate", &self.candidate));
                Step::Execute(text)
            }
            State::Describe => self.describe(stdout, stderr),
            State::Hunt { databases, own } => self.hunt(databases, own, stdout, stderr),
            State::Confirm { databases } => self.confirm(databases, stdout),
            State::Shrink { current, tries, round, careful } => {
                self.shrink(&current, &tries, round, careful, stdout)
            }
            State::Show { current, careful } => self.show(&current, careful, stdout),
            State::Alone { databases } => self.alone(databases, stdout, stderr),
            State::Adequacy(adequacy) => self.adequacy(*adequacy, stdout),
            State::Over => unknown("the search is over"),
        }
    }

    fn describe(&mut self, stdout: &str, stderr: &str) -> Step {
        let golden = script::described(stdout, "golden");
        let candidate = script::described(stdout, "candidate");
        let (Some(golden), Some(candidate)) = (&golden, &candidate) else {
            let side = match (&golden, &candidate) {
                (None, None) => "neither query",
                (None, _) => "the golden",
                _ => "the candidate",
            };
            let verb = if side == "neither query" { "can" } else { "cannot" };
            return unknown(&format!("{side} {verb} be executed in DuckDB: {}", first_error(stderr)));
        };
        match Pairing::new(golden.clone(), candidate.clone(), self.by_name) {
            Err(comparison) => Step::Done(comparison),
            Ok(pairing) => {
                self.pairing = Some(pairing);
                self.next_batch()
            }
        }
    }

    fn next_batch(&mut self) -> Step {
        // Results that differ, though not stably, are worth another look.
        let limit = if self.evidence.unstable > 0 { self.limit * 2 } else { self.limit };
        if self.evidence.tried >= limit {
            return self.finish_hunt();
        }
        let mut tried = 0;
        let mut size = BATCHES[BATCHES.len() - 1];
        for batch in BATCHES {
            if tried >= self.evidence.tried {
                size = batch;
                break;
            }
            tried += batch;
        }
        let size = size.min(limit - self.evidence.tried);
        let generator = Generator {
            layout: &self.layout,
            counts: &self.aims.counts,
            days: &self.aims.days,
            own: self.own.as_ref(),
            seed: self.seed,
        };
        let own = self.own.is_some() && self.evidence.tried == 0;
        let databases: Vec<Database> = (self.evidence.tried..self.evidence.tried + size)
            .map(|index| generator.database(index))
            .collect();
        self.evidence.tried += size;
        let text = self.compare_all(&databases);
        self.state = State::Hunt { databases, own };
        Step::Execute(text)
    }

    /// Loads the databases in several orders and runs both queries on each, also with their ties broken; see
    /// [`shrink::stable_difference`].
    fn compare_carefully(&self, databases: &[Database]) -> String {
        let orders: Vec<Database> = databases.iter().flat_map(shrink::orders).collect();
        let mut text = script::load(&self.layout, &orders);
        let Some(pairing) = &self.pairing else { return text };
        let width = orders.len() / databases.len().max(1);
        for at in 0..databases.len() {
            for order in 0..width {
                let (tag, number) = (at * shrink::RUNS + order, at * width + order);
                text.push_str(&script::compare(tag, number, &self.golden, &self.candidate, pairing));
            }
            if self.golden_ties.is_none() && self.candidate_ties.is_none() {
                continue;
            }
            for way in 0..2 {
                let golden = self.golden_ties.as_ref().map_or(&self.golden, |ties| &ties[way]);
                let candidate = self.candidate_ties.as_ref().map_or(&self.candidate, |ties| &ties[way]);
                let tag = at * shrink::RUNS + width + way;
                text.push_str(&script::compare(tag, at * width, golden, candidate, pairing));
            }
        }
        text
    }

    fn differs_stably(&self, stdout: &str, at: usize) -> bool {
        shrink::stable_difference(&script::compared(stdout), at, self.certain_count)
    }

    /// Loads the databases and runs both queries on each.
    fn compare_all(&self, databases: &[Database]) -> String {
        let mut text = script::load(&self.layout, databases);
        if let Some(pairing) = &self.pairing {
            for number in 0..databases.len() {
                text.push_str(&script::compare(number, number, &self.golden, &self.candidate, pairing));
            }
        }
        text
    }

    fn hunt(&mut self, databases: Vec<Database>, own: bool, stdout: &str, stderr: &str) -> Step {
        let results = script::compared(stdout);
        let mut differing = Vec::new();
        for (number, database) in databases.into_iter().enumerate() {
            let Some((golden, candidate)) = results.get(&number) else {
                if self.evidence.failed.len() < FAILED {
                    self.evidence.failed.push(database);
                }
                continue;
            };
            self.evidence.executed += 1;
            if golden.rows > 0 || candidate.rows > 0 {
                self.evidence.non_empty += 1;
            }
            let is_new = self.evidence.results.insert(*golden);
            if golden != candidate {
                differing.push((own && number == 0, database));
            } else if is_new && self.evidence.telling.len() < ADEQUACY_DATABASES {
                self.evidence.telling.push((database, *golden));
            }
        }
        if results.is_empty() && !stderr.trim().is_empty() {
            self.evidence.last_error = Some(first_error(stderr));
        }
        if differing.is_empty() {
            return self.next_batch();
        }
        // The project's own rows say most to a reader, then the fewest rows.
        differing.sort_by_key(|(own, database)| (!own, database.size()));
        differing.truncate(5);
        let differing: Vec<Database> = differing.into_iter().map(|(_, database)| database).collect();
        let text = self.compare_carefully(&differing);
        self.state = State::Confirm { databases: differing };
        Step::Execute(text)
    }

    fn confirm(&mut self, databases: Vec<Database>, stdout: &str) -> Step {
        for (at, database) in databases.into_iter().enumerate() {
            if self.differs_stably(stdout, at) {
                self.found = Some(database.clone());
                return self.shrink_round(database, 0, false, None);
            }
            self.evidence.unstable += 1;
        }
        self.next_batch()
    }

    fn shrink_round(
        &mut self,
        current: Database,
        round: usize,
        careful: bool,
        removable: Option<&[(usize, usize)]>,
    ) -> Step {
        let tries = shrink::smaller(&self.layout, &current, removable);
        if tries.is_empty() || round >= SHRINK_ROUNDS {
            return self.start_showing(current, careful);
        }
        let text = if careful { self.compare_carefully(&tries) } else { self.compare_all(&tries) };
        self.state = State::Shrink { current, tries, round, careful };
        Step::Execute(text)
    }

    fn shrink(
        &mut self,
        current: &Database,
        tries: &[Database],
        round: usize,
        careful: bool,
        stdout: &str,
    ) -> Step {
        let results = script::compared(stdout);
        let differs = |at: usize| {
            if careful {
                shrink::stable_difference(&results, at, self.certain_count)
            } else {
                results.get(&at).is_some_and(|(golden, candidate)| golden != candidate)
            }
        };
        let good: Vec<&Database> =
            tries.iter().enumerate().filter(|(at, _)| differs(*at)).map(|(_, database)| database).collect();
        match good.iter().min_by_key(|database| database.size()) {
            None => self.start_showing(current.clone(), careful),
            Some(best) => {
                let removable = shrink::removed_rows(best, current, &good);
                let best = (*best).clone();
                self.shrink_round(best, round + 1, careful, Some(&removable))
            }
        }
    }

    fn start_showing(&mut self, current: Database, careful: bool) -> Step {
        let Some(pairing) = &self.pairing else { return unknown("the columns are not known") };
        let script = counterexample::script(self.parts(pairing), &current);
        // The orders are checked in the search's own tables first, since the script starts with a fresh catalog.
        let mut text = self.compare_carefully(std::slice::from_ref(&current));
        text.push_str(&script::teardown(&self.layout));
        text.push_str(&script::fresh_catalog());
        text.push_str(&script);
        text.push_str(&counterexample::outputs(pairing));
        text.push_str(&script::teardown(&self.layout));
        text.push_str(&script::setup(&self.layout, self.aims.uses_clock));
        self.state = State::Show { current, careful };
        Step::Execute(text)
    }

    fn show(&mut self, current: &Database, careful: bool, stdout: &str) -> Step {
        let Some(pairing) = &self.pairing else { return unknown("the columns are not known") };
        let stable = self.differs_stably(stdout, 0);
        if stable && let Some(found) = counterexample::read(self.parts(pairing), current, stdout) {
            let reason = found.reason(pairing);
            let mut comparison = Comparison::new(Verdict::Differs, Method::Search, reason);
            if self.own.as_ref() == Some(current) {
                comparison.method = Method::Execution;
            }
            comparison.facts.clone_from(&self.layout.assumed);
            comparison.counterexample = Some(found.counterexample);
            return Step::Done(Box::new(comparison));
        }
        self.evidence.retracted += 1;
        if !careful
            && self.evidence.retracted < RETRACTIONS
            && let Some(found) = self.found.clone()
        {
            // Some step of shrinking led to rows whose order matters.
            return self.shrink_round(found, 0, true, None);
        }
        if self.evidence.retracted < RETRACTIONS {
            return self.next_batch();
        }
        unknown("results differ, but not in a way that reproduces")
    }

    fn parts<'a>(&'a self, pairing: &'a Pairing) -> counterexample::Parts<'a> {
        counterexample::Parts {
            layout: &self.layout,
            uses_clock: self.aims.uses_clock,
            golden: &self.golden,
            candidate: &self.candidate,
            pairing,
        }
    }

    fn finish_hunt(&mut self) -> Step {
        let failed = std::mem::take(&mut self.evidence.failed);
        if let (false, Some(pairing)) = (failed.is_empty(), &self.pairing) {
            let mut text = script::load(&self.layout, &failed);
            for number in 0..failed.len() {
                text.push_str(&script::alone(number, &self.golden, &self.candidate, pairing));
            }
            self.state = State::Alone { databases: failed.len() };
            return Step::Execute(text);
        }
        let evidence = &self.evidence;
        if evidence.executed == 0 {
            let error = evidence.last_error.as_deref().unwrap_or("no message");
            return unknown(&format!("the queries failed on every database: {error}"));
        }
        if evidence.unstable > 0 {
            return unknown(
                "the results differ with the order of the rows (ties, LIMIT without a total order)",
            );
        }
        if evidence.non_empty == 0 {
            return unknown(&format!("both queries returned nothing on all {} databases", evidence.executed));
        }
        if evidence.results.len() < 2 && !self.layout.tables.is_empty() {
            return unknown(&format!(
                "the golden returned the same result on all {} databases",
                evidence.executed
            ));
        }
        let mutants = match &self.golden_query {
            Some(query) if self.adequacy => mutants::mutants(query, MUTANTS),
            _ => Vec::new(),
        };
        let telling = std::mem::take(&mut self.evidence.telling);
        match self.first_look.take() {
            Some(mut adequacy) => {
                adequacy.telling.extend(telling);
                self.try_mutants(adequacy)
            }
            None => self.try_mutants(Adequacy { mutants, telling, ..Adequacy::default() }),
        }
    }

    /// A query that fails where the other returns rows is not known to agree with it, nor does it return other rows.
    fn alone(&mut self, databases: usize, stdout: &str, stderr: &str) -> Step {
        let ran = script::ran(stdout);
        for number in 0..databases {
            let side = match [0, 1].map(|side| ran.contains_key(&(number, side))) {
                [true, false] => ("candidate", "golden"),
                [false, true] => ("golden", "candidate"),
                _ => continue,
            };
            let error = first_error(stderr);
            return unknown(&format!(
                "the {} fails on rows on which the {} does not: {error}",
                side.0, side.1
            ));
        }
        self.finish_hunt()
    }

    /// Runs the mutants that are still alive on the next few databases.
    fn try_mutants(&mut self, mut adequacy: Adequacy) -> Step {
        let Some(pairing) = &self.pairing else { return unknown("the columns are not known") };
        let size = if adequacy.next == 0 { 2 } else { 4 };
        let databases: Vec<Database> = adequacy
            .telling
            .iter()
            .skip(adequacy.next)
            .take(size)
            .map(|(database, _)| database.clone())
            .collect();
        let alive: Vec<usize> =
            (0..adequacy.mutants.len()).filter(|tag| !adequacy.killed.contains(tag)).collect();
        if alive.is_empty() || (databases.is_empty() && self.looked_twice) {
            return self.agree(&adequacy);
        }
        if databases.is_empty() {
            // What is blind to a changed golden may be blind to the candidate's fault: look further.
            self.first_look = Some(adequacy);
            self.looked_twice = true;
            self.limit += MORE_DATABASES;
            return self.next_batch();
        }
        let mut text = script::load(&self.layout, &databases);
        for number in 0..databases.len() {
            for &tag in &alive {
                text.push_str(&script::run(number, tag, &adequacy.mutants[tag], pairing));
            }
        }
        adequacy.from = adequacy.next;
        adequacy.next += databases.len();
        self.state = State::Adequacy(Box::new(adequacy));
        Step::Execute(text)
    }

    fn adequacy(&mut self, mut adequacy: Adequacy, stdout: &str) -> Step {
        for ((number, tag), fingerprint) in script::ran(stdout) {
            adequacy.ran.insert(tag);
            let golden = adequacy.telling.get(adequacy.from + number);
            if golden.is_some_and(|(_, golden)| *golden != fingerprint) {
                adequacy.killed.insert(tag);
            }
        }
        self.try_mutants(adequacy)
    }

    fn agree(&self, adequacy: &Adequacy) -> Step {
        let evidence = &self.evidence;
        let coverage = Coverage {
            databases: evidence.executed,
            non_empty: evidence.non_empty,
            mutants_killed: adequacy.killed.len(),
            mutants: adequacy.ran.len(),
        };
        let mut comparison = Comparison::new(
            Verdict::Agrees,
            Method::Search,
            format!(
                "the same rows on {} generated databases, {} of them with a non-empty result",
                coverage.databases, coverage.non_empty
            ),
        );
        if coverage.mutants >= 4 && coverage.mutants_killed == 0 {
            comparison.verdict = Verdict::Unknown;
            comparison.reason =
                "the databases that were tried would not even show a changed golden".to_owned();
        }
        comparison.facts.clone_from(&self.layout.assumed);
        comparison.coverage = Some(coverage);
        Step::Done(Box::new(comparison))
    }
}

fn unknown(reason: &str) -> Step {
    Step::Done(Box::new(Comparison::new(Verdict::Unknown, Method::Search, reason)))
}

/// The first error message, on one line.
fn first_error(stderr: &str) -> String {
    let line = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    line.trim().chars().take(300).collect()
}

/// Without the semicolon that files end with.
fn trimmed(sql: &str) -> &str {
    sql.trim().trim_end_matches(';').trim_end()
}

/// The same for the same pair.
fn seed(golden: &str, candidate: &str) -> u64 {
    let hash = blake3::hash(format!("{golden}\0{candidate}").as_bytes());
    let mut seed = [0; 8];
    seed.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(seed)
}

/// The caller's rows as a database that keeps the constraints.
fn own_database(layout: &Layout, options: &SearchOptions) -> Option<Database> {
    const ROWS: usize = 60;
    if options.own_rows.is_empty() {
        return None;
    }
    let rows = layout
        .tables
        .iter()
        .map(|table| {
            options
                .own_rows
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&table.name))
                .map(|(_, rows)| rows.iter().take(ROWS).cloned().collect())
                .unwrap_or_default()
        })
        .collect();
    let mut database = Database(rows);
    layout.repair(&mut database);
    (database.size() > 0).then_some(database)
}
