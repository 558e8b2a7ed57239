//! Making foreign text safe to show: model output may hold anything.

/// Whether a character would change how its neighbours are shown without being seen itself: controls but line feed
/// and tab, bidirectional overrides, zero-width characters.
fn is_invisible(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

/// The text with invisible characters written out as `⟨U+202E⟩`. Carriage returns before a line feed are dropped.
pub(crate) fn visible(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    if !text.contains(is_invisible) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_invisible(c) {
            out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Visible text on one line: line feeds and tabs become spaces.
pub(crate) fn one_line(text: &str) -> String {
    visible(text.trim()).replace(['\n', '\t'], " ")
}

/// The first `most` characters, and how many were left out.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => {
            format!("{}… ({} more characters)", &text[..end], text[end..].chars().count())
        }
    }
}

/// Visible text escaped for HTML and XML, attribute values included.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(visible("a\u{202e}b\u{1b}[31m\tc\r\nd"), "a⟨U+202E⟩b⟨U+001B⟩[31m\tc\nd");
        assert_eq!(visible("año ≥ 3 → ok"), "año ≥ 3 → ok");
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(escape("<b a=\"x\">&'"), "&lt;b a=&quot;x&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("äöü", 2), "äö… (1 more characters)");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
