//! The names pgx gives prepared statements: `stmtcache_` and the first 24 bytes of SHA-256 of the
//! text in hexadecimal (pgx v5 `internal/stmtcache`), so that a name alone tells the text.
#![forbid(unsafe_code)]

use sha2::{Digest as _, Sha256};

/// What stands before the hash.
const PREFIX: &str = "stmtcache_";

/// The hash in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 24]);

impl Hash {
    /// Of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let mut hash = [0; 24];
        for (to, from) in hash.iter_mut().zip(digest) {
            *to = from;
        }
        Self(hash)
    }

    /// From 48 hexadecimal digits.
    #[must_use]
    pub fn parse(digits: &str) -> Option<Self> {
        let mut hash = [0; 24];
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        for (to, [high, low]) in hash.iter_mut().zip(pairs) {
            let high = char::from(*high).to_digit(16)?;
            let low = char::from(*low).to_digit(16)?;
            *to = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(hash))
    }

    /// From a statement's name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::parse(name.strip_prefix(PREFIX)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn a_name_is_the_hash_of_its_text() {
        let name = "PGBOUNCER_12";
        assert_eq!(Hash::of_name(name), None);
        let digits = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934c";
        assert_eq!(
            Hash::of_name(&format!("stmtcache_{digits}")),
            Some(Hash::of(""))
        );
        assert_eq!(Hash::parse(&digits[1..]), None);
        assert_eq!(Hash::parse(&digits.replace('e', "g")), None);
    }
}
