//! Where a message begins and ends, and how much of it is worth keeping.
//!
//! ```text
//! tagged    51 | 00 00 00 0d | 53 45 4c …       tag, length (itself included), body
//! untagged       00 00 00 08 | 04 d2 16 2f       length, code: only before the session begins
//! ```
//!
//! PostgreSQL documentation, chapter 55.7 "Message Formats".

use super::keep::Shape;
use super::{STARTUP_LIMIT, TEXT_LIMIT};
use crate::decode::Side;

/// Bytes before a tagged message's body.
pub(super) const TAGGED: usize = 5;
/// Bytes before an untagged message's body, its code counted in.
pub(super) const UNTAGGED: usize = 8;
/// No message is as long as this (`PQ_LARGE_MESSAGE_LIMIT`).
const LARGE: u32 = 0x3fff_ffff;
/// Messages of a few names stay below this (`PQ_SMALL_MESSAGE_LIMIT`).
const SMALL: u32 = 10_000;

/// Codes of untagged messages.
pub(super) mod code {
    pub(in super::super) const CANCEL: u32 = 80_877_102;
    pub(in super::super) const SSL: u32 = 80_877_103;
    pub(in super::super) const GSSENC: u32 = 80_877_104;
    pub(super) const MAJOR_3: u32 = 3;
}

/// A message's head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    /// The tag, or the code of an untagged message.
    pub(super) kind: u32,
    /// Bytes of the body.
    pub(super) body: u32,
    /// What to keep of it.
    pub(super) shape: Shape,
}

/// Reads the head of an untagged message; `None` where the protocol has no such message.
pub(super) fn untagged(bytes: [u8; UNTAGGED]) -> Option<Header> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = u32::from_be_bytes([a, b, c, d]);
    let kind = u32::from_be_bytes([e, f, g, h]);
    let (least, most) = match kind {
        code::SSL | code::GSSENC => (8, 8),
        code::CANCEL => (16, 268),
        _ if kind >> 16 == code::MAJOR_3 => (9, STARTUP_LIMIT),
        _ => return None,
    };
    (least..=most).contains(&length).then(|| Header {
        kind,
        body: length.saturating_sub(8),
        shape: Shape::Prefix(STARTUP_LIMIT),
    })
}

/// Reads the head of a tagged message; `None` where `side` sends no such message.
pub(super) fn tagged(side: Side, bytes: [u8; TAGGED]) -> Option<Header> {
    let [tag, a, b, c, d] = bytes;
    let length = u32::from_be_bytes([a, b, c, d]);
    let (least, most, shape) = match side {
        Side::Client => client(tag)?,
        Side::Server => server(tag)?,
    };
    (least..=most).contains(&length).then(|| Header {
        kind: u32::from(tag),
        body: length.saturating_sub(4),
        shape,
    })
}

const NOTHING: Shape = Shape::Prefix(0);

/// Least and greatest length, and what is kept, of what a client sends.
fn client(tag: u8) -> Option<(u32, u32, Shape)> {
    Some(match tag {
        b'Q' => (5, LARGE, Shape::Prefix(TEXT_LIMIT + 1)),
        b'P' => (8, LARGE, Shape::Prefix(TEXT_LIMIT + 4096)),
        b'B' => (12, LARGE, Shape::Bind),
        b'E' => (9, SMALL, Shape::Prefix(256)),
        b'D' | b'C' => (6, SMALL, Shape::Prefix(256)),
        b'S' | b'H' | b'X' | b'c' => (4, 4, NOTHING),
        b'F' => (14, LARGE, NOTHING),
        b'f' => (5, LARGE, NOTHING),
        b'd' => (4, LARGE, NOTHING),
        b'p' => (4, 0x1_0000, NOTHING),
        _ => return None,
    })
}

/// Least and greatest length, and what is kept, of what a server sends.
fn server(tag: u8) -> Option<(u32, u32, Shape)> {
    Some(match tag {
        b'D' => (6, LARGE, Shape::Row),
        b'C' => (5, 256, Shape::Prefix(128)),
        b'Z' => (5, 5, Shape::Prefix(1)),
        b'1' | b'2' | b'3' | b'I' | b'n' | b's' | b'c' => (4, 4, NOTHING),
        b'T' => (6, 0x10_0000, Shape::Prefix(32 * 1024)),
        b't' => (6, 0x10_0000, Shape::Prefix(8 * 1024)),
        b'E' => (5, LARGE, Shape::Prefix(1024)),
        b'N' => (5, LARGE, NOTHING),
        b'd' => (4, LARGE, NOTHING),
        b'G' | b'H' | b'W' => (7, SMALL, NOTHING),
        b'V' => (8, LARGE, NOTHING),
        b'R' => (8, 0x1_0000, NOTHING),
        b'K' => (12, 264, NOTHING),
        b'S' => (6, LARGE, NOTHING),
        b'A' => (10, SMALL, NOTHING),
        b'v' => (12, SMALL, NOTHING),
        _ => return None,
    })
}
