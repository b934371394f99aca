//! Where one statement of a text ends and the next begins, and the words it begins with.
//!
//! Only quoting is understood, after PostgreSQL's `scan.l` with `standard_conforming_strings` on.
//! A body in `BEGIN ATOMIC … END` is not: its text is taken apart at its semicolons.

use smallvec::SmallVec;

/// The statements of a query's text, each without the semicolon after it.
pub(super) fn statements(text: &str) -> SmallVec<[&str; 1]> {
    let mut found = SmallVec::new();
    let ends = memchr::memchr(b';', text.as_bytes());
    let last = ends.and_then(|at| text.get(at.saturating_add(1)..));
    if last.is_none_or(|rest| rest.trim().is_empty()) {
        found.push(text);
        return found;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let end = statement_end(rest);
        let (statement, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if Words(statement).next().is_some() {
            found.push(statement.trim());
        }
        rest = tail.strip_prefix(';').unwrap_or(tail);
    }
    found
}

/// The position of the first semicolon outside quotes, comments and parentheses, else the end.
fn statement_end(text: &str) -> usize {
    let mut rest = text;
    let mut depth = 0_u32;
    let mut word = false;
    while let Some(&first) = rest.as_bytes().first() {
        let at = text.len().saturating_sub(rest.len());
        let length = match first {
            b';' if depth == 0 => return at,
            b'(' => {
                depth = depth.saturating_add(1);
                1
            }
            b')' => {
                depth = depth.saturating_sub(1);
                1
            }
            b'\'' => {
                let before = text.as_bytes().get(..at).unwrap_or_default();
                quoted(rest, b'\'', escapes(before))
            }
            b'"' => quoted(rest, b'"', false),
            b'$' if !word => dollar_quoted(rest).unwrap_or(1),
            b'-' | b'/' => comment(rest).unwrap_or(1),
            _ => 1,
        };
        word = first == b'_' || first >= 0x80 || first.is_ascii_alphanumeric();
        rest = advance(rest, length);
    }
    text.len()
}

/// Whether a string's opening quote stands behind an `E` of its own.
fn escapes(before: &[u8]) -> bool {
    match before {
        [.., b, b'e' | b'E'] => !(b.is_ascii_alphanumeric() || *b == b'_' || *b == b'$'),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

/// Bytes up to and with the closing quote; a doubled one opens the next string at once.
fn quoted(text: &str, quote: u8, escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == quote {
            return at;
        }
        if escapes && byte == b'\\' {
            at += 1;
        }
    }
    bytes.len()
}

/// Bytes of `$tag$ … $tag$`; `None` where this is no such quote.
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = text.get(1..)?.find('$')?.checked_add(2)?;
    let (tag, body) = text.split_at_checked(tag_end)?;
    let name = tag.trim_matches('$');
    let is_name = name
        .bytes()
        .all(|b| b == b'_' || b >= 0x80 || b.is_ascii_alphanumeric())
        && !name.starts_with(|c: char| c.is_ascii_digit());
    is_name.then(|| body.find(tag).map_or(text.len(), |at| at + 2 * tag.len()))
}

/// Bytes of a comment; `None` where this is none.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').map_or(text.len(), |at| at + 1));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_u32, 0);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => depth = depth.saturating_add(1),
            b"*/" => depth = depth.saturating_sub(1),
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
    Some(bytes.len())
}

/// What follows the first `length` bytes, or the character that they end in.
fn advance(text: &str, length: usize) -> &str {
    (length..=text.len())
        .find_map(|at| text.get(at..))
        .unwrap_or("")
}

/// Words, quoted identifiers and signs, without comments and white space.
#[derive(Clone)]
pub(super) struct Words<'a>(pub(super) &'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start();
            match comment(self.0) {
                Some(length) => self.0 = advance(self.0, length),
                None => break,
            }
        }
        let first = self.0.chars().next()?;
        let length = if matches!(first, '"' | '\'') {
            let quote = if first == '"' { b'"' } else { b'\'' };
            let mut length = quoted(self.0, quote, false);
            // A doubled one goes on.
            while let Some(rest) = self.0.get(length..)
                && rest.as_bytes().first() == Some(&quote)
            {
                length += quoted(rest, quote, false);
            }
            length
        } else {
            let end = self.0.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            end.unwrap_or(self.0.len()).max(first.len_utf8())
        };
        let rest = advance(self.0, length);
        let word = self
            .0
            .get(..self.0.len().saturating_sub(rest.len()))
            .filter(|word| !word.is_empty())?;
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_apart_where_the_server_takes_it_apart() {
        for (text, want) in [
            ("SELECT 1", &["SELECT 1"][..]),
            ("SELECT 1;", &["SELECT 1;"]),
            (
                "BEGIN; INSERT INTO t VALUES (1); COMMIT;",
                &["BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"],
            ),
            (
                "SELECT ';'; SELECT 'it''s;'; x",
                &["SELECT ';'", "SELECT 'it''s;'", "x"],
            ),
            (
                r"SELECT E'\';'; SELECT '\'; x",
                &[r"SELECT E'\';'", r"SELECT '\'", "x"],
            ),
            ("SELECT \";\"; x", &["SELECT \";\"", "x"]),
            (
                "SELECT $$;$$; SELECT $a$;$$;$a$; x",
                &["SELECT $$;$$", "SELECT $a$;$$;$a$", "x"],
            ),
            ("SELECT $1; SELECT a$b;", &["SELECT $1", "SELECT a$b"]),
            (
                "-- a; b\nSELECT 1; /* ; /* ; */ ; */ x",
                &["-- a; b\nSELECT 1", "/* ; /* ; */ ; */ x"],
            ),
            ("SELECT 1;; -- end\n;", &["SELECT 1"]),
            (
                "CREATE RULE r AS ON INSERT TO t DO (a; b); x",
                &["CREATE RULE r AS ON INSERT TO t DO (a; b)", "x"],
            ),
            ("SELECT 'é;'; ü", &["SELECT 'é;'", "ü"]),
            ("SELECT 'open; x", &["SELECT 'open; x"]),
        ] {
            assert_eq!(statements(text).as_slice(), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_apart(text in "[-a-zE';\"$/*()\\\\ é\n0-9]{0,60}") {
            let parts = statements(&text);
            let length: usize = parts.iter().map(|part| part.len()).sum();
            proptest::prop_assert!(length <= text.len());
            let _ = Words(&text).count();
        }
    }
}
