//! Splits SQL as PostgreSQL does (PostgreSQL 17 manual, section 4.1), tolerating texts cut anywhere.
//!
//! What a label is made from must never hold a literal, so the one duty is to know where literals
//! begin and end. `standard_conforming_strings` is taken to be on, as it is since PostgreSQL 9.1.
#![forbid(unsafe_code)]

/// A piece of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A keyword or unquoted identifier, as written.
    Word(&'a str),
    /// The inside of a quoted identifier, doubled quotes left as they are.
    Quoted(&'a str),
    /// A string constant of any kind.
    String,
    /// A numeric constant.
    Number,
    /// `$n`; `None` where n is no 16-bit number.
    Parameter(Option<u16>),
    /// A comment without its marks.
    Comment(&'a str),
    /// A run of operator characters.
    Operator(&'a str),
    /// `(`, `)`, `[`, `]`, `,`, `;`, `.`, `:` or a character that begins nothing.
    Mark(char),
}

/// The lexer.
#[derive(Clone, Debug)]
pub struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    /// Reads `text` from its beginning.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// What is not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a str {
        self.rest
    }

    /// Takes `length` bytes, or what there is; `length` must lie on a character's border.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !belongs(byte));
        self.take(end.unwrap_or(self.rest.len()))
    }

    fn byte(&self, at: usize) -> u8 {
        self.rest.as_bytes().get(at).copied().unwrap_or(0)
    }

    /// Behind an opening `quote`: up to the closing one, doubled ones inside.
    fn quoted(&mut self, quote: u8, backslashes: bool) -> &'a str {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if byte == quote {
                if bytes.get(at + 1) != Some(&quote) {
                    let inside = self.take(at);
                    self.take(1);
                    return inside;
                }
                at += 2;
            } else if byte == b'\\' && backslashes {
                at += 2;
            } else {
                at += 1;
            }
        }
        self.take(usize::MAX)
    }

    /// Behind `/*`: up to the matching `*/`; comments nest.
    fn block_comment(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let mut depth = 1_u32;
        let mut at = 0;
        while at < bytes.len() {
            match (bytes.get(at), bytes.get(at + 1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth = depth.saturating_add(1);
                    at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    if depth == 0 {
                        let inside = self.take(at);
                        self.take(2);
                        return inside;
                    }
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.take(usize::MAX)
    }

    /// At a `$` that begins a parameter, a dollar-quoted string or nothing.
    fn dollar(&mut self) -> Token<'a> {
        if self.byte(1).is_ascii_digit() {
            self.take(1);
            return Token::Parameter(self.take_while(|byte| byte.is_ascii_digit()).parse().ok());
        }
        let tag = self
            .rest
            .bytes()
            .skip(1)
            .position(|byte| !continues_word(byte) || byte == b'$');
        let Some(tag) = tag.filter(|tag| self.byte(tag + 1) == b'$') else {
            self.take(1);
            return Token::Mark('$');
        };
        let delimiter = self.take(tag + 2);
        match memchr::memmem::find(self.rest.as_bytes(), delimiter.as_bytes()) {
            Some(at) => self.take(at + delimiter.len()),
            None => self.take(usize::MAX),
        };
        Token::String
    }

    fn number(&mut self) -> Token<'a> {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let exponent_sign = matches!(byte, b'+' | b'-')
                && at > 0
                && matches!(bytes.get(at - 1), Some(b'e' | b'E'))
                && bytes
                    .get(1)
                    .is_none_or(|second| !matches!(second, b'x' | b'X'));
            // `1..2` is a number, two dots and a number.
            let dot = byte == b'.' && bytes.get(at + 1) != Some(&b'.');
            if !(byte.is_ascii_alphanumeric() || byte == b'_' || dot || exponent_sign) {
                break;
            }
            at += 1;
        }
        self.take(at.max(1));
        Token::Number
    }

    /// A word, or the string that a one- or two-letter prefix announces.
    fn word(&mut self) -> Token<'a> {
        let word = self.take_while(continues_word);
        let escapes = word.eq_ignore_ascii_case("e");
        let prefix = escapes
            || ["b", "x", "n"]
                .iter()
                .any(|prefix| word.eq_ignore_ascii_case(prefix));
        if prefix && self.byte(0) == b'\'' {
            self.take(1);
            self.quoted(b'\'', escapes);
            return Token::String;
        }
        if word.eq_ignore_ascii_case("u") && self.byte(0) == b'&' {
            let quote = self.byte(1);
            if matches!(quote, b'\'' | b'"') {
                self.take(2);
                let inside = self.quoted(quote, false);
                return if quote == b'"' {
                    Token::Quoted(inside)
                } else {
                    Token::String
                };
            }
        }
        Token::Word(word)
    }

    fn operator(&mut self) -> Token<'a> {
        let bytes = self.rest.as_bytes();
        let mut end = 1;
        while let Some(&byte) = bytes.get(end) {
            let comment = matches!(
                (byte, bytes.get(end + 1)),
                (b'-', Some(b'-')) | (b'/', Some(b'*'))
            );
            if !is_operator(byte) || comment {
                break;
            }
            end += 1;
        }
        Token::Operator(self.take(end))
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_ascii_start();
        let first = *self.rest.as_bytes().first()?;
        Some(match (first, self.byte(1)) {
            (b'-', b'-') => {
                self.take(2);
                Token::Comment(self.take_while(|byte| byte != b'\n' && byte != b'\r'))
            }
            (b'/', b'*') => {
                self.take(2);
                Token::Comment(self.block_comment())
            }
            (b'\'', _) => {
                self.take(1);
                self.quoted(b'\'', false);
                Token::String
            }
            (b'"', _) => {
                self.take(1);
                Token::Quoted(self.quoted(b'"', false))
            }
            (b'$', _) => self.dollar(),
            (b'.', second) if second.is_ascii_digit() => self.number(),
            (byte, _) if byte.is_ascii_digit() => self.number(),
            (byte, _) if starts_word(byte) => self.word(),
            (byte, _) if is_operator(byte) => self.operator(),
            _ => {
                let mark = self.rest.chars().next()?;
                self.take(mark.len_utf8());
                Token::Mark(mark)
            }
        })
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"+-*/<>=~!@#%^&|`?".contains(&byte)
}

/// Any text: reading ends, each token takes at least a byte and lies within the text.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lexer = Lexer::new(&text);
    let mut left = text.len();
    while lexer.next().is_some() {
        assert!(lexer.rest.len() < left);
        left = lexer.rest.len();
    }
}

#[cfg(test)]
mod tests {
    use super::{Lexer, Token, fuzz};

    fn render(text: &str) -> String {
        let mut out = Vec::new();
        for token in Lexer::new(text) {
            out.push(match token {
                Token::Word(word) => word.to_owned(),
                Token::Quoted(name) => format!("[{name}]"),
                Token::String => "'…'".into(),
                Token::Number => "0".into(),
                Token::Parameter(n) => format!("${}", n.map_or("?".into(), |n| n.to_string())),
                Token::Comment(text) => format!("#{}", text.trim()),
                Token::Operator(op) => op.into(),
                Token::Mark(mark) => mark.into(),
            });
        }
        out.join(" ")
    }

    #[test]
    fn literals_end_where_the_server_ends_them() {
        for (text, want) in [
            ("select 'it''s' , x", "select '…' , x"),
            (r"select 'a\', b", "select '…' , b"),
            (r"select E'a\'b', c", "select '…' , c"),
            ("select e", "select e"),
            (
                "select B'01' X'ff' n'x' U&'d' U&\"q\" u",
                "select '…' '…' '…' '…' [q] u",
            ),
            (
                "select $$a ' $ b$$, $tag$ $$ $tag$, 1",
                "select '…' , '…' , 0",
            ),
            (
                "where a=$1 and b<>$22::int",
                "where a = $1 and b <> $22 : : int",
            ),
            ("a$1 $x $99999", "a$1 $ x $?"),
            ("1 1.5 .5 1e10 1E-3 0x1F 1_000 1..2", "0 0 0 0 0 0 0 0 . 0"),
            ("1-2 a-1 0xe-1", "0 - 0 a - 0 0 - 0"),
            ("a--b\nc", "a #b c"),
            ("a/* x /* y */ z */b", "a #x /* y */ z b"),
            ("a+--b", "a + #b"),
            ("\"Quoted \"\"x\"\" name\".t", "[Quoted \"\"x\"\" name] . t"),
            ("näme ß", "näme ß"),
            ("'unterminated", "'…'"),
            ("$tag$ unterminated", "'…'"),
            ("/* unterminated", "#unterminated"),
            ("\"unterminated", "[unterminated]"),
            ("a @> b ->> 'c'", "a @> b ->> '…'"),
        ] {
            assert_eq!(render(text), want, "{text}");
        }
    }

    #[test]
    fn every_cut_ends() {
        let text = "/*c*/select $q$é$q$, E'\\'x', \"i\", 1e-5, $3 -- é";
        for (at, _) in text.char_indices() {
            fuzz(&text.as_bytes()[..at]);
            fuzz(&text.as_bytes()[at..]);
        }
    }
}
