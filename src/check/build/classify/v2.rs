//! What the Rust dbt says, as classes: its errors are log lines `[error] [Name (dbtNNNN)]: text`, then `  --> file:line:column`.

use super::{Failure, FailureClass, of_database_text, of_machine_text, of_parse_text, shorten};

/// The failure in an error line that is about the whole call; `None` when it is about one test.
pub(in super::super) fn of_event(message: &str) -> Option<Failure> {
    let rest = message.strip_prefix("[error]")?.trim_start();
    if rest.starts_with(": Error materializing test") {
        return None;
    }
    let (code, text) = match rest.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        Some((name, text)) => (code_of(name), text),
        None => (None, rest.trim_start_matches(": ")),
    };
    let text = strip_preamble(text);
    Some(Failure::new(class_of(code, &text), shorten(&text)))
}

/// `1501` of `JinjaError (dbt1501)`.
fn code_of(name: &str) -> Option<u32> {
    name.rsplit_once("(dbt")?.1.strip_suffix(')')?.parse().ok()
}

/// Without the words that every error of a kind starts with.
fn strip_preamble(text: &str) -> String {
    let text = text.trim_start();
    [
        "Failed to render SQL syntax error: ",
        "Failed to render SQL unknown function: ",
        "Failed to render SQL ",
    ]
    .iter()
    .find_map(|start| text.strip_prefix(start))
    .unwrap_or(text)
    .to_owned()
}

fn class_of(code: Option<u32>, text: &str) -> FailureClass {
    use FailureClass as C;
    if let Some(class) = of_machine_text(text) {
        return class;
    }
    let has = |word: &str| text.contains(word);
    match code {
        Some(1013 | 1060 | 1159) => C::YamlInvalid,
        Some(1502) => C::JinjaSyntax,
        Some(1501) if has("macro or function `test_") => C::UnknownTest,
        Some(1501) if has("is unknown") || has("is undefined") => C::UnknownMacro,
        Some(1501) if has("environment variable") && has("not found") => C::EnvMissing,
        Some(1501) if has("unknown filter") || has("unknown test") => C::JinjaSyntax,
        Some(1501 | 9002) => C::CompileRaise,
        Some(1048) if text.starts_with("Source") => C::MissingSource,
        Some(1048) => C::MissingRef,
        Some(1005) if has("duplicate") || has("found two") => C::DuplicateNode,
        Some(1005) => C::YamlInvalid,
        Some(1022) => C::Cycle,
        Some(8999) => C::PackageMissing,
        // The driver before any statement of the candidate; an error of the database names the model.
        Some(1308) => of_database_text(text).filter(|_| has("Database Error")).unwrap_or(C::Infra),
        _ => of_parse_text(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_code_and_text() {
        let class = |message: &str| of_event(message).map(|failure| failure.class);
        for (message, expected) in [
            (
                "[error] [SerializationError (dbt1013)]: YAML error: did not find\n  --> models/m.yml:2:1",
                FailureClass::YamlInvalid,
            ),
            (
                "[error] [JinjaError (dbt1501)]: Failed to render SQL unknown function: Jinja macro or function `x` is unknown",
                FailureClass::UnknownMacro,
            ),
            (
                "[error] [JinjaError (dbt1501)]: Failed to render SQL unknown function: Jinja macro or function `test_x` is unknown",
                FailureClass::UnknownTest,
            ),
            (
                "[error] [DependencyNotFound (dbt1048)]: Source 'a.b' not found in project.",
                FailureClass::MissingSource,
            ),
            ("[error] [DbDriverFailed (dbt1308)]: Failed to load `duckdb` driver", FailureClass::Infra),
            ("[error] [New (dbt7777)]: something new", FailureClass::CompileRaise),
        ] {
            assert_eq!(class(message), Some(expected), "{message}");
        }
        assert_eq!(class("[error]: Error materializing test test.a.b (x). Treating as failing test."), None);
        assert_eq!(class("nothing of the kind"), None);
        for odd in ["[error]", "[error] [", "[error] [x (dbt)]: ", "[error] [é (dbt1é)]: é"] {
            let _ = class(odd);
        }
    }
}
