//! Which words a text has, to leave out the passes that wait for others.

use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The unquoted words and some of the signs of a text, each as one of a thousand bits: what is not in here does not occur.
pub(super) struct Words([u64; PARTS]);

const PARTS: usize = 16;

impl Words {
    pub(super) fn of(tokens: &[TokenWithSpan]) -> Self {
        let mut words = Self([0; PARTS]);
        for token in tokens {
            let word = match &token.token {
                Token::Word(Word { value, quote_style: None, .. }) => value,
                Token::Colon => ":",
                Token::ExclamationMark => "!",
                Token::Question | Token::Placeholder(_) => "?",
                Token::Arrow => "->",
                Token::LongArrow => "->>",
                Token::LBrace => "{",
                Token::Sharp => "#",
                Token::Caret => "^",
                Token::Ampersand => "&",
                Token::Pipe => "|",
                Token::ShiftLeft => "<<",
                Token::StringConcat => "||",
                Token::Tilde => "~",
                Token::AtSign => "@",
                _ => continue,
            };
            let (part, bit) = Self::place(word);
            words.0[part] |= bit;
        }
        words
    }

    /// Whether one of the words may occur.
    pub(super) fn any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| {
            let (part, bit) = Self::place(word);
            self.0[part] & bit != 0
        })
    }

    fn place(word: &str) -> (usize, u64) {
        let bytes = word.as_bytes();
        let letter = |byte: Option<&u8>| byte.map_or(0, |byte| usize::from(byte.to_ascii_lowercase()));
        let at = letter(bytes.first()) + 61 * letter(bytes.last()) + 331 * bytes.len();
        (at / 64 % PARTS, 1 << (at % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::Words;
    use crate::sql::Dialect;

    #[test]
    fn what_occurs_is_in_it_and_little_else() {
        let text = "select A -> 'x', f(b) FILTER (where c) from t as \"pivot\" where a ~ b or @ c limit 3";
        let words = Words::of(&super::super::tokens(text, Dialect::Postgres).expect("tokens"));
        for word in ["select", "a", "->", "filter", "from", "~", "@", "limit"] {
            assert!(words.any(&[word]), "{word}");
        }
        assert!(!words.any(&["pivot", "asof", "^", "isnull"]));
    }
}
