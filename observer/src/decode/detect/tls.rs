//! TLS records (RFC 8446, section 5.1), at a stream's start or between two of them.

use observer_ebpf::Protocol;

use super::{Front as _, Guess};
use crate::decode::Side;

/// Content types.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Longest fragment, with what encryption may add in TLS 1.2.
const LONGEST: u16 = 16_384 + 2_048;

const HEADER: usize = 5;

/// Guesses.
pub(super) fn guess(first: &[u8]) -> Guess {
    let length = match record(first) {
        Record::Not => return Guess::Other,
        Record::SoFar => return Guess::Undecided,
        Record::Of(length) => length,
    };
    let sender = match (first.first(), first.get(HEADER)) {
        (Some(&HANDSHAKE), None) => return Guess::Undecided,
        (Some(&HANDSHAKE), Some(1)) => Some(Side::Client),
        (Some(&HANDSHAKE), Some(2)) => Some(Side::Server),
        _ => None,
    };
    // Where the next record begins among these bytes, it must look like one.
    let next = first.get(HEADER + length..).unwrap_or_default();
    match record(next) {
        Record::Not => Guess::Other,
        Record::SoFar | Record::Of(_) => Guess::Found(Protocol::Tls, sender),
    }
}

/// What bytes can begin.
enum Record {
    /// No record.
    Not,
    /// One, but there are too few of them.
    SoFar,
    /// One with a fragment of so many bytes.
    Of(usize),
}

fn record(bytes: &[u8]) -> Record {
    let Some(kind) = bytes.first() else {
        return Record::SoFar;
    };
    let plausible = (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(kind)
        && bytes.get(1).is_none_or(|major| *major == 3)
        && bytes.get(2).is_none_or(|minor| *minor <= 4);
    if !plausible {
        return Record::Not;
    }
    let Some(length) = bytes.u16_at(3) else {
        return Record::SoFar;
    };
    let fits = match *kind {
        CHANGE_CIPHER_SPEC => length == 1,
        // Plain, or encrypted with at least a tag.
        ALERT => length == 2 || (18..=256).contains(&length),
        HANDSHAKE => (4..=LONGEST).contains(&length),
        _ => (17..=LONGEST).contains(&length),
    };
    if fits {
        Record::Of(usize::from(length))
    } else {
        Record::Not
    }
}
