//! The mutation score of a candidate's tests: small errors are put into the golden, and the tests are run on the rows that come
//! out. The mutants are those that the search for counterexamples measures itself by.
//!
//! What a test says of a mutant depends on the golden and on the test's own query, so that it is found out once a case,
//! however many candidates declare the test.

use std::collections::BTreeMap;

use tokio::sync::Mutex;

use crate::sql::explain::explain;
use crate::sql::parse::parse_query;
use crate::sql::search::mutants;
use crate::sql::{Dialect, Schema};
use crate::tool::executor::Variant;

use super::build::{BuildReport, BuildRequest, Builder};
use super::outcome::MutationScore;
use super::{CheckResult, Finding, Outcome};

/// What is known of a golden's mutants.
#[derive(Debug, Default)]
pub(super) struct Mutants(Mutex<Option<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Those that give other rows than the golden: query, and class of the error.
    differing: Vec<(String, String)>,
    /// What each test says, by its query.
    tests: BTreeMap<String, Said>,
}

/// What a test says.
#[derive(Debug, Clone)]
enum Said {
    /// It fails the golden's own rows, or does not run on them.
    Nothing,
    /// Whether it notices each of the mutants.
    Notices(Vec<bool>),
}

impl Mutants {
    /// The score of the tests of a finished build; `None` where there is nothing to measure. At most `most` mutants are tried.
    ///
    /// # Errors
    /// Why it could not be measured.
    pub(super) async fn score(
        &self,
        builder: &Builder,
        golden: (&BuildRequest, &BuildReport),
        report: &BuildReport,
        dialect: Dialect,
        most: usize,
    ) -> Result<Option<MutationScore>, String> {
        let (request, golden) = golden;
        let tests: Vec<(String, &String)> = report
            .test_outcomes
            .iter()
            .filter_map(|test| {
                let column = test.column.as_ref().map(|column| format!(":{column}")).unwrap_or_default();
                Some((format!("{}{column}", test.name), test.sql.as_ref()?))
            })
            .collect();
        if most == 0 || tests.is_empty() || report.relation != golden.relation {
            return Ok(None);
        }
        let mut known = self.0.lock().await;
        let new = |known: &Known| -> Vec<String> {
            let is_new = |sql: &&&String| !known.tests.contains_key(**sql);
            let mut new: Vec<String> =
                tests.iter().map(|(_, sql)| sql).filter(is_new).map(|sql| (*sql).clone()).collect();
            new.sort();
            new.dedup();
            new
        };
        if known.is_none() {
            let Some(sql) = &golden.compiled_sql else { return Ok(None) };
            let Ok(query) = parse_query(sql, dialect) else { return Ok(None) };
            let texts = mutants(&query, most);
            let new = new(&Known::default());
            let varied = builder.vary(request, golden, &texts, &new).await?;
            let differs =
                varied.variants.iter().skip(1).map(|variant| variant.as_ref().is_some_and(|v| v.differs));
            let differs: Vec<bool> = differs.collect();
            let mut first = Known::default();
            first.learn(&new, &varied.variants, |number| differs.get(number).copied().unwrap_or_default());
            let class = |text: &String| {
                let changes = explain(sql, text, &Schema::default(), dialect).map(|found| found.changes);
                let change = changes.into_iter().flatten().find(|change| change.class != "cosmetic");
                change.map_or_else(|| "other".to_owned(), |change| change.class)
            };
            let kept = texts.into_iter().zip(&differs).filter(|(_, differs)| **differs);
            first.differing = kept
                .map(|(text, _)| {
                    let class = class(&text);
                    (text, class)
                })
                .collect();
            *known = Some(first);
        }
        let Some(known) = known.as_mut() else { return Ok(None) };
        let new = new(known);
        if !new.is_empty() {
            let texts: Vec<String> = known.differing.iter().map(|(text, _)| text.clone()).collect();
            let varied = builder.vary(request, golden, &texts, &new).await?;
            known.learn(&new, &varied.variants, |_| true);
        }
        Ok(known.score(&tests))
    }
}

impl Known {
    /// Takes over what tests said of the golden, which comes first, and of those mutants that `counts` names.
    fn learn(&mut self, tests: &[String], variants: &[Option<Variant>], counts: impl Fn(usize) -> bool) {
        let Some((golden, mutants)) = variants.split_first() else { return };
        for (i, test) in tests.iter().enumerate() {
            let failures = |variant: &Option<Variant>| {
                variant.as_ref().and_then(|v| v.failures.get(i).copied().flatten())
            };
            let said = match failures(golden) {
                // What does not run on the rows stops a build too.
                Some(0) => Said::Notices(
                    (0..)
                        .zip(mutants)
                        .filter(|(number, _)| counts(*number))
                        .map(|(_, v)| failures(v) != Some(0))
                        .collect(),
                ),
                _ => Said::Nothing,
            };
            self.tests.insert(test.clone(), said);
        }
    }

    fn score(&self, tests: &[(String, &String)]) -> Option<MutationScore> {
        let usable = tests.iter().filter_map(|(name, sql)| match self.tests.get(*sql)? {
            Said::Notices(notices) => Some((name, notices)),
            Said::Nothing => None,
        });
        let usable: Vec<(&String, &Vec<bool>)> = usable.collect();
        if self.differing.is_empty() || usable.is_empty() {
            return None;
        }
        let mut score = MutationScore { mutants: self.differing.len() as u64, ..MutationScore::default() };
        for (number, (_, class)) in self.differing.iter().enumerate() {
            match usable.iter().any(|(_, notices)| notices.get(number) == Some(&true)) {
                true => score.noticed += 1,
                false => *score.missed.entry(class.clone()).or_default() += 1,
            }
        }
        let idle = usable.iter().filter(|(_, notices)| !notices.contains(&true));
        score.vacuous = idle.map(|(name, _)| (*name).clone()).collect();
        Some(score)
    }
}

/// Adds to passed tests what the score shows; it decides nothing, and is no reason for a failure.
pub(super) fn show(tests: &mut CheckResult, score: &MutationScore) {
    if tests.outcome != Outcome::Passed {
        return;
    }
    if score.noticed < score.mutants {
        let mut missed: Vec<(&String, &u64)> = score.missed.iter().collect();
        missed.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let missed: Vec<String> =
            missed.iter().map(|(class, count)| format!("`{class}` ({count})")).collect();
        let message = format!(
            "the tests notice {} of {} small errors in the golden whose rows are others; they miss {}",
            score.noticed,
            score.mutants,
            missed.join(", ")
        );
        tests.findings.push(Finding::new("mutants_missed", message));
    }
    if !score.vacuous.is_empty() {
        let what = match score.vacuous.as_slice() {
            [_] => "this test fails",
            _ => "these tests fail",
        };
        let message = format!(
            "{what} on none of {} small errors in the golden: {}",
            score.mutants,
            score.vacuous.join(", ")
        );
        tests.findings.push(Finding::new("vacuous_test", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckId;

    fn variant(failures: &[Option<i64>]) -> Option<Variant> {
        Some(Variant { differs: true, failures: failures.to_vec() })
    }

    #[test]
    fn what_tests_say_of_the_golden_and_of_mutants_that_count() {
        let mut known = Known {
            differing: vec![
                ("a".into(), "filter".into()),
                ("b".into(), "join_type".into()),
                ("c".into(), "filter".into()),
            ],
            ..Known::default()
        };
        let tests = ["unique", "not_null", "wrong"].map(str::to_owned);
        // The second mutant does not run, the fourth gives the golden's rows.
        let variants = [
            variant(&[Some(0), Some(0), Some(2)]),
            variant(&[Some(3), Some(0), Some(0)]),
            None,
            variant(&[Some(0), Some(0), Some(0)]),
            Some(Variant { differs: false, failures: Vec::new() }),
            variant(&[None, Some(0), Some(5)]),
        ];
        known.learn(&tests, &variants, |number| [0, 2, 4].contains(&number));
        let named = |names: &[&str]| -> Vec<(String, String)> {
            names.iter().map(|name| (format!("{name}:id"), (*name).to_owned())).collect()
        };
        let score = |names: &[&str]| {
            let tests = named(names);
            known.score(&tests.iter().map(|(name, sql)| (name.clone(), sql)).collect::<Vec<_>>())
        };
        let all = score(&["unique", "not_null", "wrong"]).expect("a score");
        assert_eq!((all.noticed, all.mutants), (2, 3));
        assert_eq!(all.missed, BTreeMap::from([("join_type".to_owned(), 1)]));
        assert_eq!(all.vacuous, ["not_null:id"]);
        // A test that the golden fails says nothing, and one alone gives no score.
        assert_eq!(score(&["wrong"]), None);

        let mut check = CheckResult::passed(CheckId::Tests);
        show(&mut check, &all);
        assert_eq!(check.outcome, Outcome::Passed);
        let lines: Vec<String> =
            check.findings.iter().map(|f| format!("{}: {}", f.class, f.message)).collect();
        assert_eq!(
            lines,
            [
                "mutants_missed: the tests notice 2 of 3 small errors in the golden whose rows are others; they miss `join_type` (1)",
                "vacuous_test: this test fails on none of 3 small errors in the golden: not_null:id",
            ]
        );
    }
}
