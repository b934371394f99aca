//! Where one statement of a text ends and the next begins, and which of them steer a transaction.
//!
//! Only quoting is understood, after PostgreSQL's `scan.l` with `standard_conforming_strings` on.
//! A body in `BEGIN ATOMIC … END` is not: its text is taken apart at its semicolons.

use smallvec::SmallVec;

/// What a statement means for transactions and prepared statements, where its tag does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK TO`, `ABORT … TO`: the block goes on.
    RollbackTo,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `PREPARE TRANSACTION`.
    PrepareTransaction,
    /// `DEALLOCATE name`.
    Deallocate(Box<str>),
    /// Everything else.
    Other,
}

impl Control {
    /// By the first words of a statement.
    pub(super) fn of(statement: &str) -> Self {
        let mut words = Words(statement);
        let is = |word: Option<&str>, of: &[&str]| {
            word.is_some_and(|word| of.iter().any(|of| word.eq_ignore_ascii_case(of)))
        };
        let first = words.next();
        if is(first, &["commit", "end"]) {
            Self::Commit
        } else if is(first, &["rollback", "abort"]) {
            let mut next = words.next();
            if is(next, &["work", "transaction"]) {
                next = words.next();
            }
            if is(next, &["to"]) {
                Self::RollbackTo
            } else {
                Self::Rollback
            }
        } else if is(first, &["prepare"]) && is(words.next(), &["transaction"]) {
            Self::PrepareTransaction
        } else if is(first, &["deallocate"]) {
            let mut next = words.next();
            if is(next, &["prepare"]) {
                next = words.next().or(next);
            }
            Self::Deallocate(identifier(next.unwrap_or_default()))
        } else {
            Self::Other
        }
    }

    /// Whether it ends a transaction if it succeeds.
    pub(super) fn ends(&self) -> bool {
        matches!(
            self,
            Self::Commit | Self::Rollback | Self::PrepareTransaction
        )
    }
}

/// As the server folds it: quoted as it is, else in lower case.
fn identifier(word: &str) -> Box<str> {
    match word.strip_prefix('"') {
        Some(quoted) => quoted
            .strip_suffix('"')
            .unwrap_or(quoted)
            .replace("\"\"", "\"")
            .into(),
        None => word.to_ascii_lowercase().into(),
    }
}

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
struct Words<'a>(&'a str);

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
        let length = if first == '"' {
            quoted(self.0, b'"', false)
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

    #[test]
    fn the_first_words_tell_what_steers() {
        for (text, want) in [
            ("commit", Control::Commit),
            ("-- x\n END WORK", Control::Commit),
            ("ROLLBACK", Control::Rollback),
            ("ABORT TRANSACTION", Control::Rollback),
            ("rollback and chain", Control::Rollback),
            ("ROLLBACK TO a", Control::RollbackTo),
            (
                "/* */ ROLLBACK /**/ WORK TO SAVEPOINT a",
                Control::RollbackTo,
            ),
            ("PREPARE TRANSACTION 'g'", Control::PrepareTransaction),
            ("PREPARE p AS SELECT 1", Control::Other),
            (
                "DEALLOCATE PREPARE \"A b\"",
                Control::Deallocate("A b".into()),
            ),
            ("DEALLOCATE s1", Control::Deallocate("s1".into())),
            ("COMMITTED", Control::Other),
            ("", Control::Other),
        ] {
            assert_eq!(Control::of(text), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_apart(text in "[-a-zE';\"$/*()\\\\ é\n0-9]{0,60}") {
            let parts = statements(&text);
            let length: usize = parts.iter().map(|part| part.len()).sum();
            proptest::prop_assert!(length <= text.len());
            Control::of(&text);
        }
    }
}
