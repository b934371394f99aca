//! Which statements steer a transaction, and how, where their tag does not say.

use super::split::Words;

/// What a statement means for transactions and prepared statements. Names are folded as the server
/// folds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT name`.
    Savepoint(Box<str>),
    /// `RELEASE name`: what came after the savepoint stays, the savepoint goes.
    Release(Box<str>),
    /// `ROLLBACK TO name`: what came after the savepoint is undone, and the block goes on.
    RollbackTo(Box<str>),
    /// `PREPARE TRANSACTION 'id'`: the block ends, and is neither committed nor rolled back.
    PrepareTransaction(Box<str>),
    /// `COMMIT PREPARED 'id'`, on any connection.
    CommitPrepared(Box<str>),
    /// `ROLLBACK PREPARED 'id'`, on any connection.
    RollbackPrepared(Box<str>),
    /// `DEALLOCATE name`.
    Deallocate(Box<str>),
    /// Everything else.
    Other,
}

impl Control {
    /// By the first words of a statement.
    #[must_use]
    pub fn of(statement: &str) -> Self {
        let mut words = Words(statement);
        let Some(first) = words.next() else {
            return Self::Other;
        };
        let is = |word: &str| first.eq_ignore_ascii_case(word);
        if is("commit") || is("end") {
            match prepared(&mut words) {
                Some(id) => Self::CommitPrepared(id),
                None => Self::Commit,
            }
        } else if is("rollback") || is("abort") {
            if let Some(id) = prepared(&mut words.clone()) {
                return Self::RollbackPrepared(id);
            }
            let mut next = skip(&mut words, &["work", "transaction"]);
            if !next.is_some_and(|word| word.eq_ignore_ascii_case("to")) {
                return Self::Rollback;
            }
            next = skip(&mut words, &["savepoint"]);
            Self::RollbackTo(name(next))
        } else if is("savepoint") {
            Self::Savepoint(name(words.next()))
        } else if is("release") {
            Self::Release(name(skip(&mut words, &["savepoint"])))
        } else if is("prepare") {
            match words.next() {
                Some(word) if word.eq_ignore_ascii_case("transaction") => {
                    Self::PrepareTransaction(literal(words.next()))
                }
                _ => Self::Other,
            }
        } else if is("deallocate") {
            Self::Deallocate(name(skip(&mut words, &["prepare"])))
        } else {
            Self::Other
        }
    }

    /// Whether it changes what of a transaction its end speaks of, if it succeeds.
    pub(super) fn steers(&self) -> bool {
        !matches!(self, Self::Other | Self::Deallocate(_))
    }

    /// Whether a statement that does this may end with such a tag; one that does not is another's.
    pub(super) fn fits(&self, tag: &[u8]) -> bool {
        let tags: &[&[u8]] = match self {
            Self::Commit => &[b"COMMIT", b"ROLLBACK"],
            Self::Rollback | Self::RollbackTo(_) => &[b"ROLLBACK"],
            Self::Savepoint(_) => &[b"SAVEPOINT"],
            Self::Release(_) => &[b"RELEASE"],
            Self::PrepareTransaction(_) => &[b"PREPARE TRANSACTION", b"ROLLBACK"],
            Self::CommitPrepared(_) => &[b"COMMIT PREPARED"],
            Self::RollbackPrepared(_) => &[b"ROLLBACK PREPARED"],
            Self::Deallocate(_) | Self::Other => {
                return !matches!(tag, b"COMMIT" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE");
            }
        };
        tags.contains(&tag)
    }

    /// Whether it ends a transaction if it succeeds.
    pub(super) fn ends(&self) -> bool {
        matches!(
            self,
            Self::Commit | Self::Rollback | Self::PrepareTransaction(_)
        )
    }
}

/// The next word, or the one behind it where it is one of these and not the last.
fn skip<'a>(words: &mut Words<'a>, noise: &[&str]) -> Option<&'a str> {
    let next = words.next();
    if next.is_some_and(|word| noise.iter().any(|noise| word.eq_ignore_ascii_case(noise))) {
        return words.next().or(next);
    }
    next
}

/// The id behind `PREPARED`.
fn prepared(words: &mut Words<'_>) -> Option<Box<str>> {
    let next = words.next()?;
    next.eq_ignore_ascii_case("prepared")
        .then(|| literal(words.next()))
}

/// An identifier as the server folds it: quoted as it is, else in lower case.
fn name(word: Option<&str>) -> Box<str> {
    let word = word.unwrap_or_default();
    match word.strip_prefix('"') {
        Some(quoted) => quoted
            .strip_suffix('"')
            .unwrap_or(quoted)
            .replace("\"\"", "\"")
            .into(),
        None => word.to_ascii_lowercase().into(),
    }
}

/// What is between single quotes.
fn literal(word: Option<&str>) -> Box<str> {
    let word = word.unwrap_or_default();
    let inside = word.strip_prefix('\'').unwrap_or(word);
    inside
        .strip_suffix('\'')
        .unwrap_or(inside)
        .replace("''", "'")
        .into()
}

#[cfg(test)]
mod tests {
    use super::Control::{
        Commit, CommitPrepared, Deallocate, Other, PrepareTransaction, Release, Rollback,
        RollbackPrepared, RollbackTo, Savepoint,
    };
    use super::*;

    #[test]
    fn the_first_words_tell_what_steers() {
        for (text, want) in [
            ("commit", Commit),
            ("-- x\n END WORK", Commit),
            ("COMMIT AND CHAIN", Commit),
            ("COMMIT PREPARED 'it''s'", CommitPrepared("it's".into())),
            ("ROLLBACK", Rollback),
            ("ABORT TRANSACTION", Rollback),
            ("rollback and chain", Rollback),
            ("rollback prepared 'g'", RollbackPrepared("g".into())),
            ("ROLLBACK TO a", RollbackTo("a".into())),
            (
                "/* */ ROLLBACK /**/ WORK TO SAVEPOINT \"A b\"",
                RollbackTo("A b".into()),
            ),
            ("SAVEPOINT A", Savepoint("a".into())),
            ("release savepoint a;", Release("a".into())),
            ("RELEASE a", Release("a".into())),
            ("RELEASE savepoint", Release("savepoint".into())),
            ("PREPARE TRANSACTION 'g'", PrepareTransaction("g".into())),
            ("PREPARE p AS SELECT 1", Other),
            ("DEALLOCATE PREPARE \"A b\"", Deallocate("A b".into())),
            ("DEALLOCATE s1", Deallocate("s1".into())),
            ("COMMITTED", Other),
            ("", Other),
        ] {
            assert_eq!(Control::of(text), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "[-a-zE';\"$/*()\\\\ é\n0-9]{0,60}") {
            let _ = Control::of(&text);
        }
    }
}
