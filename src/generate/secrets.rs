//! API keys: where they come from, and how they are kept out of everything that is written.
//!
//! Redaction is by exact value (also base64 and URL-encoded), never by the name of a field: `max_output_tokens` is not a
//! secret, and a key inside a message is one. [`Secrets::leaks`] is the last guard before a file is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// What stands in place of a secret.
pub const REDACTED: &str = "[REDACTED]";

/// Values shorter than this are no keys; redacting them would destroy ordinary text.
const MIN_LENGTH: usize = 8;

/// A secret text. It has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretString(String);

impl SecretString {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for a request header.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Environment variables: the process's own first, then those of `.env` beside `assay.toml`.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    file: BTreeMap<String, SecretString>,
    fixed: Option<BTreeMap<String, SecretString>>,
}

impl Environment {
    /// The process's environment and, behind it, the `.env` file in `root`.
    pub fn load(root: &Path) -> Self {
        let text = fs_err::read_to_string(root.join(".env")).unwrap_or_default();
        Self { file: parse_env(&text), fixed: None }
    }

    /// A fixed environment, for tests and for callers that have their own source of keys.
    pub fn fixed<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let variables = variables.map(|(name, value)| (name.to_owned(), SecretString::new(value)));
        Self { file: BTreeMap::new(), fixed: Some(BTreeMap::from(variables)) }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<SecretString> {
        let own = match &self.fixed {
            Some(fixed) => fixed.get(name).cloned(),
            None => std::env::var(name).ok().map(SecretString::new),
        };
        own.or_else(|| self.file.get(name).cloned()).filter(|secret| !secret.0.trim().is_empty())
    }
}

/// `NAME=value` lines; `export`, quotes and comments are understood.
fn parse_env(text: &str) -> BTreeMap<String, SecretString> {
    let mut variables = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
            continue;
        };
        if name.starts_with('#') {
            continue;
        }
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.split(quote).next());
        let value = quoted.unwrap_or_else(|| value.split(" #").next().unwrap_or_default().trim());
        variables.insert(name.trim().to_owned(), SecretString::new(value));
    }
    variables
}

/// The secrets of a run, in every form that is searched for.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Longest first, so that a form is not cut by a shorter one inside it.
    forms: Vec<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.forms.len())
    }
}

impl Secrets {
    /// All forms of these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Self {
        let mut forms: Vec<String> = secrets.into_iter().flat_map(|secret| forms(secret.0.trim())).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Self { forms }
    }

    /// The text without any secret.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for form in &self.forms {
            if text.contains(form.as_str()) {
                text = text.replace(form.as_str(), REDACTED);
            }
        }
        text
    }

    /// Every string inside a JSON value, keys included, without any secret.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::String(text) => *text = self.redact(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(map) => {
                let entries = std::mem::take(map);
                for (key, mut value) in entries {
                    self.redact_json(&mut value);
                    map.insert(self.redact(&key), value);
                }
            }
            _ => {}
        }
    }

    /// Whether a secret is in what is about to be written.
    pub fn leaks(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        self.forms.iter().any(|form| text.contains(form.as_str()))
    }
}

/// A secret as it is, in JSON, URL-encoded, and in the three alignments that base64 can have inside a longer text.
fn forms(secret: &str) -> Vec<String> {
    if secret.len() < MIN_LENGTH {
        return Vec::new();
    }
    let mut forms = vec![secret.to_owned()];
    for lower in [false, true] {
        forms.push(url_encoded(secret, lower));
    }
    // As it stands inside a JSON text.
    forms.push(serde_json::Value::from(secret).to_string().trim_matches('"').to_owned());
    for alphabet in [STANDARD, URL_SAFE] {
        forms.extend((0..3).filter_map(|shift| base64_core(secret.as_bytes(), shift, alphabet)));
    }
    forms.retain(|form| form.len() >= MIN_LENGTH);
    forms
}

fn url_encoded(text: &str, lower: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ if lower => format!("%{byte:02x}"),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of a base64 text that depend on nothing but the secret when `shift` other bytes stand before it.
fn base64_core(secret: &[u8], shift: usize, alphabet: &[u8; 64]) -> Option<String> {
    let bits = |index: usize| -> Option<u8> {
        let mut value = 0_u8;
        for bit in index * 6..index * 6 + 6 {
            let byte = secret.get((bit / 8).checked_sub(shift)?)?;
            value = value << 1 | byte >> (7 - bit % 8) & 1;
        }
        Some(value)
    };
    let length = (secret.len() + shift) * 8 / 6 + 1;
    let core: String =
        (0..length).filter_map(bits).map(|six| char::from(alphabet[usize::from(six)])).collect();
    (core.len() >= MIN_LENGTH).then_some(core)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
        bytes
            .chunks(3)
            .flat_map(|chunk| {
                let word = (0..3).fold(0_u32, |word, i| word << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
                (0..=chunk.len()).map(move |i| char::from(alphabet[(word >> (18 - 6 * i) & 63) as usize]))
            })
            .collect()
    }

    #[test]
    fn the_env_file_is_behind_the_environment() {
        let env = parse_env("# c\nA=1\nexport B = \"two words\"\nC='x#y' # note\nD=plain # note\nbroken\n");
        let get = |name: &str| env.get(name).map(SecretString::expose);
        assert_eq!(
            (get("A"), get("B"), get("C"), get("D")),
            (Some("1"), Some("two words"), Some("x#y"), Some("plain"))
        );
        assert_eq!(format!("{:?}", env["A"]), REDACTED);
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(".env"), "PATH=/nowhere\nASSAY_TEST_ONLY_IN_FILE=abc\n").unwrap();
        let env = Environment::load(folder.path());
        assert_ne!(env.get("PATH").expect("set").expose(), "/nowhere");
        assert_eq!(env.get("ASSAY_TEST_ONLY_IN_FILE").expect("set").expose(), "abc");
    }

    #[test]
    fn fields_named_token_stay() {
        let secrets = Secrets::new([&SecretString::new("sk-test-1234567890")]);
        let mut value = serde_json::json!({"max_output_tokens": 5, "token": "x", "text": "my key is sk-test-1234567890."});
        secrets.redact_json(&mut value);
        assert_eq!(
            value,
            serde_json::json!({"max_output_tokens": 5, "token": "x", "text": "my key is [REDACTED]."})
        );
        assert_eq!(Secrets::new([&SecretString::new("abc")]).redact("abc"), "abc", "too short for a key");
    }

    proptest! {
        #[test]
        fn a_planted_key_is_found_in_every_form(
            key in "[A-Za-z0-9_+/=.-]{16,48}", before in "[ -~]{0,20}", after in "[ -~]{0,20}", url_safe in any::<bool>()
        ) {
            let secret = SecretString::new(key.clone());
            let secrets = Secrets::new([&secret]);
            let plain = format!("{before}{key}{after}");
            let alphabet = if url_safe { URL_SAFE } else { STANDARD };
            let encoded = base64(plain.as_bytes(), alphabet);
            let url = url_encoded(&key, url_safe);
            for text in [plain, encoded, format!("?k={url}&x")] {
                prop_assert!(secrets.leaks(text.as_bytes()), "{text}");
                let clean = secrets.redact(&text);
                prop_assert!(!secrets.leaks(clean.as_bytes()), "{clean}");
                prop_assert!(!clean.contains(&key));
            }
        }
    }
}
