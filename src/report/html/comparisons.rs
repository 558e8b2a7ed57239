//! The page of `assay diff`: models compared in meaning, without a run around them.

use minijinja::context;
use serde_json::{Value, json};

use super::data::{compact, shown};
use super::{render, safe};
use crate::report::diff::diff;
use crate::report::words;
use crate::sql::{Comparison, Verdict};

const TEMPLATE: &str = include_str!("../assets/comparisons.html");
const SCRIPT: &str = concat!(
    include_str!("../assets/theme.js"),
    include_str!("../assets/sql.js"),
    include_str!("../assets/detail.js"),
    include_str!("../assets/comparisons.js")
);

/// A model on both sides; a side without it is `None`.
#[derive(Debug, Clone)]
pub struct Compared {
    /// How it is called.
    pub name: String,
    /// The golden's text.
    pub golden: Option<String>,
    /// The candidate's text.
    pub candidate: Option<String>,
    /// What the two mean to each other.
    pub comparison: Comparison,
}

/// Comparisons as one HTML file that loads nothing; those that differ come first.
pub fn comparisons_to_html(models: &[Compared]) -> String {
    let mut models: Vec<&Compared> = models.iter().collect();
    models.sort_by_key(|model| match model.comparison.verdict {
        Verdict::Differs => 0,
        Verdict::Unknown => 1,
        Verdict::Agrees => 2,
        Verdict::Equivalent => 3,
        Verdict::Identical => 4,
    });
    let of = |verdict: Verdict| models.iter().filter(|model| model.comparison.verdict == verdict).count();
    let (differ, unknown) = (of(Verdict::Differs), of(Verdict::Unknown));
    let same = models.len() - differ - unknown;
    let parts = [(differ, "different"), (unknown, "not decided"), (same, "the same")];
    let said: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let title = match (models.as_slice(), said.is_empty()) {
        ([only], _) => only.name.clone(),
        (_, true) => "no model changed".to_owned(),
        _ => format!("{} models: {}", models.len(), said.join(", ")),
    };
    let kind = if differ > 0 {
        "worse"
    } else if unknown > 0 {
        "can_not_tell"
    } else {
        "better"
    };
    let lines: Vec<Value> = models
        .iter()
        .map(|model| {
            let comparison = &model.comparison;
            json!({
                "name": model.name,
                "verdict": comparison.verdict,
                "reason": format!("{}: {}", words::sql_method(comparison.method), comparison.reason),
                "similarity": comparison.similarity.map(|s| format!("{s:.2}")).unwrap_or_default(),
            })
        })
        .collect();
    let page = safe(json!({"title": title, "kind": kind, "lines": lines}));
    let data = json!({"models": models.iter().map(|model| data_of(model)).collect::<Vec<_>>()});
    let content = context! { page => minijinja::value::Serde(page) };
    render("comparisons.html", TEMPLATE, SCRIPT, &data, content)
}

fn data_of(model: &Compared) -> Value {
    let (golden, candidate) = (model.golden.as_deref().map(shown), model.candidate.as_deref().map(shown));
    let steps =
        golden.as_deref().zip(candidate.as_deref()).and_then(|(golden, candidate)| diff(golden, candidate));
    compact(json!({
        "name": model.name,
        "comparison": model.comparison,
        "golden": golden,
        "candidate": candidate,
        "diff": steps,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::Method;

    #[test]
    fn nothing_of_a_model_becomes_markup() {
        let hostile = "</script><script>alert(1)</script>";
        let page = comparisons_to_html(&[Compared {
            name: hostile.to_owned(),
            golden: Some(hostile.to_owned()),
            candidate: None,
            comparison: Comparison::new(Verdict::Unknown, Method::Text, hostile),
        }]);
        assert!(!page.contains("<script>alert") && !page.contains("</script><script>alert"), "{page}");
        assert!(page.contains("&lt;&#x2f;script&gt;") || page.contains("&lt;/script&gt;"), "{page}");
    }

    #[test]
    fn the_title_counts_what_matters() {
        let model = |verdict| Compared {
            name: "m".to_owned(),
            golden: Some("select 1".to_owned()),
            candidate: Some("select 2".to_owned()),
            comparison: Comparison::new(verdict, Method::Search, ""),
        };
        let page = comparisons_to_html(&[
            model(Verdict::Differs),
            model(Verdict::Equivalent),
            model(Verdict::Agrees),
        ]);
        assert!(page.contains("3 models: 1 different, 2 the same"), "{page}");
        assert!(comparisons_to_html(&[]).contains("no model changed"));
    }

    #[test]
    fn only_the_one_script_of_the_page_may_run() {
        let page = comparisons_to_html(&[]);
        let (_, policy) = page.split_once("Content-Security-Policy").expect("a policy");
        let (_, nonce) = policy.split_once("script-src 'nonce-").expect("a nonce");
        let (nonce, _) = nonce.split_once('\'').expect("its end");
        assert_eq!(nonce.len(), 32);
        assert_eq!(page.matches(&format!("<script nonce=\"{nonce}\">")).count(), 1);
        assert_eq!(page.matches(&format!("<style nonce=\"{nonce}\">")).count(), 1);
        assert!(policy.starts_with("\" content=\"default-src 'none';"));
    }
}
