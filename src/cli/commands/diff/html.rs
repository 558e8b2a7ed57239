//! Comparisons as one HTML file without scripts or links.

use std::fmt::Write as _;

use super::inputs::Item;
use super::text;
use crate::sql::verdict::{Comparison, Rows, Verdict};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
table{border-collapse:collapse;margin:.5rem 0 1rem}th,td{border:1px solid #d0d7de;padding:.2rem .6rem;text-align:left;font:13px ui-monospace,monospace}\
caption{text-align:left;font-weight:600}pre{background:#f6f8fa;padding:.8rem;overflow-x:auto;font:13px/1.45 ui-monospace,monospace}\
.sides{display:grid;grid-template-columns:1fr 1fr;gap:1rem}.verdict{font-weight:700}.differs{color:#b3261e}.unknown{color:#8a5a00}\
.identical,.equivalent,.agrees{color:#1a7f37}.null{color:#8b949e;font-style:italic}section{border-top:1px solid #d0d7de;padding-top:1rem}\
@media(max-width:50rem){.sides{grid-template-columns:1fr}}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}pre{background:#161b22}th,td,section{border-color:#30363d}}";

/// The page.
pub(super) fn page(results: &[(Item, Comparison)]) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>assay diff</title>\
         <style>{STYLE}</style></head><body>\n<h1>assay diff</h1>\n"
    );
    let differ = results.iter().filter(|(_, comparison)| comparison.verdict == Verdict::Differs).count();
    let unknown = results.iter().filter(|(_, comparison)| comparison.verdict == Verdict::Unknown).count();
    let _ = writeln!(
        out,
        "<p>{} compared: {} the same, {differ} different, {unknown} unknown.</p>",
        results.len(),
        results.len() - differ - unknown
    );
    for (item, comparison) in results {
        section(&mut out, item, comparison);
    }
    out.push_str("</body></html>\n");
    out
}

fn section(out: &mut String, item: &Item, comparison: &Comparison) {
    let word = text::verdict(comparison.verdict);
    let _ = writeln!(
        out,
        "<section><h2>{}</h2>\n<p><span class=\"verdict {word}\">{word}</span> {}: {}</p>",
        escape(&item.name),
        text::method(comparison.method),
        escape(&comparison.reason)
    );
    let mut notes: Vec<String> = comparison.explanation.iter().map(|change| change.message.clone()).collect();
    notes.extend(comparison.facts.iter().map(|fact| format!("given: {fact}")));
    notes.extend(comparison.would_prove.iter().map(|fact| format!("would be proved equal by: {fact}")));
    if !notes.is_empty() {
        let items: Vec<String> = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
        let _ = writeln!(out, "<ul>{}</ul>", items.join(""));
    }
    if let Some(found) = &comparison.counterexample {
        out.push_str("<h3>With these rows</h3>\n");
        for rows in &found.tables {
            table(out, &rows.name, rows);
        }
        out.push_str("<div class=\"sides\"><div>");
        table(out, "the golden returns", &found.golden);
        out.push_str("</div><div>");
        table(out, "the candidate returns", &found.candidate);
        let _ = writeln!(
            out,
            "</div></div>\n<details><summary>DuckDB script</summary><pre>{}</pre></details>",
            escape(&found.script)
        );
    }
    let side = |text: &Option<String>| escape(text.as_deref().unwrap_or("(no such file)"));
    let _ = writeln!(
        out,
        "<div class=\"sides\"><div><h3>Golden</h3><pre>{}</pre></div><div><h3>Candidate</h3><pre>{}</pre></div></div></section>",
        side(&item.golden),
        side(&item.candidate)
    );
}

fn table(out: &mut String, caption: &str, rows: &Rows) {
    let _ = write!(out, "<table><caption>{}</caption><tr>", escape(caption));
    for name in &rows.columns {
        let _ = write!(out, "<th>{}</th>", escape(name));
    }
    out.push_str("</tr>");
    for row in &rows.rows {
        out.push_str("<tr>");
        for cell in row {
            match cell {
                Some(text) => {
                    let _ = write!(out, "<td>{}</td>", escape(text));
                }
                None => out.push_str("<td class=\"null\">NULL</td>"),
            }
        }
        out.push_str("</tr>");
    }
    if rows.rows.is_empty() {
        let _ =
            write!(out, "<tr><td colspan=\"{}\" class=\"null\">no rows</td></tr>", rows.columns.len().max(1));
    }
    out.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::verdict::Method;

    #[test]
    fn nothing_of_a_model_becomes_markup() {
        let item =
            Item { name: "<script>".to_owned(), golden: Some("select '<b>'".to_owned()), candidate: None };
        let comparison = Comparison::new(Verdict::Unknown, Method::Text, "a <i> & b");
        let page = page(&[(item, comparison)]);
        assert!(!page.contains("<script>") && !page.contains("<b>") && !page.contains("<i>"), "{page}");
    }
}
