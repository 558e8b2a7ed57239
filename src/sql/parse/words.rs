//! Which words a text has, to leave out the passes that wait for others.

use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The unquoted words and some of the signs of a text, as bits: what is not in here does not occur.
pub(super) struct Words(u128);

impl Words {
    pub(super) fn of(tokens: &[TokenWithSpan]) -> Self {
        Self(tokens.iter().fold(0, |bits, token| {
            bits | match &token.token {
                Token::Word(Word { value, quote_style: None, .. }) => Self::bit(value),
                Token::Colon => Self::bit(":"),
                Token::ExclamationMark => Self::bit("!"),
                Token::Question | Token::Placeholder(_) => Self::bit("?"),
                Token::Arrow => Self::bit("->"),
                Token::LongArrow => Self::bit("->>"),
                Token::Sharp => Self::bit("#"),
                Token::Caret => Self::bit("^"),
                Token::Ampersand => Self::bit("&"),
                Token::Pipe => Self::bit("|"),
                Token::ShiftLeft => Self::bit("<<"),
                Token::StringConcat => Self::bit("||"),
                Token::Tilde => Self::bit("~"),
                Token::AtSign => Self::bit("@"),
                _ => 0,
            }
        }))
    }

    /// Whether one of the words may occur.
    pub(super) fn any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.0 & Self::bit(word) != 0)
    }

    fn bit(word: &str) -> u128 {
        let first = word.bytes().next().unwrap_or_default().to_ascii_lowercase();
        1 << ((usize::from(first) + 31 * word.len()) % 128)
    }
}
