//! The only printer. Machine output goes to standard output, talk to standard error; no colour is needed to understand
//! anything, and colour is used only on a terminal without `NO_COLOR`.
#![expect(clippy::print_stderr, reason = "the only printer")]

use std::io::{IsTerminal, Write};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::diagnostic::{Diagnostic, Diagnostics};

/// Writes a line to standard output. A closed pipe is no error: the reader had enough.
pub fn data(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    let _ = out.flush();
}

/// Writes a line to standard error.
pub fn talk(text: &str) {
    eprintln!("{text}");
}

/// Words as a shell reads them: quoted where they hold more than plain characters.
pub fn shell(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Whether standard error is a terminal that wants colour.
pub fn has_colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The width of the terminal, 100 when it is none.
pub fn width() -> usize {
    usize::from(console::Term::stderr().size().1)
}

/// Shows every fault with its source line, in the manner of rustc.
pub fn faults(faults: &Diagnostics) {
    for fault in &faults.0 {
        talk(&render(fault, "error", has_colour()));
        talk("");
    }
    let count = faults.0.len();
    if count > 1 {
        talk(&format!("{count} faults; nothing was run"));
    }
}

/// Shows a warning.
pub fn warning(warning: &Diagnostic) {
    talk(&render(warning, "warning", has_colour()));
    talk("");
}

/// One fault as text.
pub fn render(fault: &Diagnostic, level: &str, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let level = if level == "warning" { Level::WARNING } else { Level::ERROR };
    let title = level.primary_title(fault.message.as_str()).id(fault.code);
    let path = fault.place.as_ref().map(|place| place.path.display().to_string());
    let mut group = annotate_snippets::Group::with_title(title);
    if let (Some(place), Some(path)) = (&fault.place, &path) {
        match (&place.line, &place.text) {
            (Some(line), Some(text)) => {
                let start = place.column.map_or(0, |column| byte_of(text, column));
                let end = if place.column.is_some() { next_boundary(text, start) } else { text.len() };
                let snippet = Snippet::source(text.as_str())
                    .line_start(*line)
                    .path(path.as_str())
                    .annotation(AnnotationKind::Primary.span(start..end));
                group = group.element(snippet);
            }
            (Some(line), None) => {
                group = group.element(annotate_snippets::Origin::path(path.as_str()).line(*line));
            }
            _ => group = group.element(annotate_snippets::Origin::path(path.as_str())),
        }
    }
    if let Some(hint) = &fault.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    renderer.render(&[group])
}

/// The byte at which a column (in characters, from 1) starts.
fn byte_of(text: &str, column: usize) -> usize {
    text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at)
}

fn next_boundary(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(at, |c| at + c.len_utf8())
}
