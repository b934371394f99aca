//! A statement's text without literals, comments and layout, as a hash.
#![forbid(unsafe_code)]

use smallvec::SmallVec;

use super::super::lexer::Token;

/// Bytes of the longest text that is shortened, before its inside is.
const WINDOW: usize = "(?),(?,?".len();

/// Hashes the text as it is read, so that it is never built.
///
/// ```text
/// SELECT a FROM t WHERE b IN (1, 'x', $3)   select a from t where b in(?)
/// INSERT INTO t VALUES (1, 2), (3, 4)       insert into t values(?)
/// ```
#[derive(Debug)]
pub(super) struct Normal {
    /// FNV-1a: the same on every node and in every version, which labels must be.
    hash: u64,
    /// The last bytes, which what follows may still shorten.
    window: SmallVec<[u8; 16]>,
    /// Whether a word that follows needs a space before it.
    spaced: bool,
}

impl Default for Normal {
    fn default() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            window: SmallVec::new(),
            spaced: false,
        }
    }
}

impl Normal {
    pub(super) fn token(&mut self, token: Token<'_>) {
        match token {
            Token::Word(word) => self.word(word.bytes().map(|byte| byte.to_ascii_lowercase())),
            Token::Quoted(name) => self.word(name.bytes()),
            Token::String | Token::Number | Token::Parameter(_) => self.mark(b'?', b"?,?", 2),
            Token::Operator(operator) => {
                self.flush();
                operator.bytes().for_each(|byte| self.hash(byte));
            }
            Token::Mark(mark) => match u8::try_from(mark) {
                Ok(mark) => self.mark(mark, b"(?),(?)", 4),
                Err(_) => self.mark(b'_', b"", 0),
            },
            Token::Comment(_) => {}
        }
        self.spaced =
            !matches!(token, Token::Operator(_) | Token::Mark(_)) || token == Token::Mark(')');
    }

    pub(super) fn finish(mut self) -> u32 {
        self.flush();
        u32::try_from((self.hash >> 32) ^ (self.hash & 0xffff_ffff)).unwrap_or(0)
    }

    fn word(&mut self, bytes: impl Iterator<Item = u8>) {
        self.flush();
        if self.spaced {
            self.hash(b' ');
        }
        bytes.for_each(|byte| self.hash(byte));
    }

    /// Appends a byte; where the text then ends with `pattern`, its last `excess` bytes go.
    fn mark(&mut self, byte: u8, pattern: &[u8], excess: usize) {
        if self.window.len() == WINDOW {
            let first = self.window.remove(0);
            self.hash(first);
        }
        self.window.push(byte);
        if self.window.ends_with(pattern) {
            self.window
                .truncate(self.window.len().saturating_sub(excess));
        }
    }

    fn flush(&mut self) {
        for byte in std::mem::take(&mut self.window) {
            self.hash(byte);
        }
    }

    fn hash(&mut self, byte: u8) {
        self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
}
