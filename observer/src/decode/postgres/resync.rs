//! Finds the way back into a stream: what convinces that a message begins here.
//!
//! A server's turn ends with `5a 00 00 00 05` and a status, and nothing else does. What a client
//! says after it begins clean. Without it, a client's turn must be a chain of messages up to one
//! that ends a request: text cannot look like that (a length would be gigabytes), and binary data
//! would have to meet every length on the way.

use std::ops::Range;

use super::framing::{self, TAGGED};
use crate::decode::Side;

/// How much of a client's turn is held until it convinces; a longer one waits for the next turn.
pub(super) const CANDIDATE_LIMIT: usize = 16 * 1024;
/// How much of a server's turn is looked back on.
pub(super) const TAIL_LIMIT: usize = 1024;

/// What is thought of the beginning of a client's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be a beginning; more must come.
    Open,
    /// It is one.
    Beginning,
    /// It is none.
    Nonsense,
}

/// Judges the first bytes of a client's turn.
pub(super) fn judge(turn: &[u8]) -> Verdict {
    let mut rest = turn.get(..CANDIDATE_LIMIT).unwrap_or(turn);
    let full = turn.len() >= CANDIDATE_LIMIT;
    loop {
        let Some((head, tail)) = rest.split_first_chunk::<TAGGED>() else {
            break;
        };
        let Some(header) = framing::tagged(Side::Client, *head) else {
            return Verdict::Nonsense;
        };
        let Some((body, tail)) = tail.split_at_checked(header.body as usize) else {
            // What cannot become whole below the limit is not waited for.
            if header.body as usize > CANDIDATE_LIMIT {
                return Verdict::Nonsense;
            }
            break;
        };
        let [tag, ..] = head;
        match tag {
            b'S' | b'H' | b'X' | b'F' => return Verdict::Beginning,
            b'Q' if body.iter().position(|b| *b == 0) == body.len().checked_sub(1) => {
                return Verdict::Beginning;
            }
            b'P' | b'B' if body.contains(&0) => {}
            b'E' | b'D' | b'C' => {}
            _ => return Verdict::Nonsense,
        }
        rest = tail;
    }
    if full {
        Verdict::Nonsense
    } else {
        Verdict::Open
    }
}

/// The end of a server's turn: its `ReadyForQuery`, and the answer right before it, if that can be
/// told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    /// The body of the `CommandComplete` or `ErrorResponse` before it.
    pub(super) answer: Option<(u8, Range<usize>)>,
    /// The status byte.
    pub(super) ready: usize,
}

/// Looks for the end of a turn at the end of these bytes.
pub(super) fn anchor(tail: &[u8]) -> Option<Anchor> {
    let (before, last) = tail.split_last_chunk::<6>()?;
    if !matches!(last, [b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E']) {
        return None;
    }
    let ready = before.len();
    let answer = (0..ready).rev().find_map(|start| {
        let head = before.get(start..)?.first_chunk::<TAGGED>()?;
        let [tag @ (b'C' | b'E'), ..] = head else {
            return None;
        };
        let header = framing::tagged(Side::Server, *head)?;
        let body = start.checked_add(TAGGED)?..ready;
        (body.len() == header.body as usize && is_answer(*tag, before.get(body.clone())?))
            .then_some((*tag, body))
    });
    Some(Anchor {
        answer,
        ready: ready.saturating_add(5),
    })
}

fn is_answer(tag: u8, body: &[u8]) -> bool {
    match (tag, body) {
        (b'C', [text @ .., 0]) => {
            text.first().is_some_and(u8::is_ascii_uppercase)
                && text.iter().all(|b| b.is_ascii_graphic() || *b == b' ')
        }
        (b'E', [b'S', .., 0, 0]) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_judged_by_its_chain_of_messages() {
        let query = b"Q\0\0\0\x0dSELECT 1\0";
        let batch = b"B\0\0\0\x0c\0s\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04";
        for (turn, verdict) in [
            (&query[..], Verdict::Beginning),
            (&query[..7], Verdict::Open),
            (&batch[..0], Verdict::Open),
            (b"SELECT * FROM t", Verdict::Nonsense),
            (b"Q\0\0\0\x0dSELE\0T 1\0", Verdict::Nonsense),
            (b"S\0\0\0\x05\0", Verdict::Nonsense),
            (b"d\0\0\0\x05\0", Verdict::Nonsense),
        ] {
            assert_eq!(judge(turn), verdict, "{turn:?}");
        }
    }

    #[test]
    fn the_end_of_a_turn_shows_its_status_and_its_last_answer() {
        let tail = b"...C\0\0\0\x0dSELECT 7\0Z\0\0\0\x05T";
        let found = anchor(tail).unwrap();
        assert_eq!(tail[found.ready], b'T');
        let (tag, body) = found.answer.unwrap();
        assert_eq!((tag, &tail[body]), (b'C', &b"SELECT 7\0"[..]));
        assert_eq!(anchor(b"Z\0\0\0\x05I").unwrap().answer, None);
        assert_eq!(anchor(b"Z\0\0\0\x05X"), None);
        assert_eq!(anchor(b"Z\0\0\0\x05I\0"), None);
    }
}
