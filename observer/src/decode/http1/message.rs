//! What the decoder says.

use std::fmt;

use super::head::{RequestHead, ResponseHead};
use crate::decode::{Side, Span};
use crate::time::Timestamp;

/// What passed. `number` is the request's, from 0 in the order of their heads.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// A request's head is whole.
    Request {
        /// Its number.
        number: u64,
        /// When the head passed.
        span: Span,
        /// Where it began: bytes of its side that passed before it.
        at: u64,
        /// What it says.
        head: RequestHead<'a>,
    },
    /// The next payload of a request's body.
    RequestBody {
        /// Its number.
        number: u64,
        /// The payload.
        piece: Piece<'a>,
    },
    /// A request is whole.
    RequestEnd {
        /// Its number.
        number: u64,
        /// When it passed.
        span: Span,
        /// Bytes of its head and body as transferred.
        size: u64,
    },
    /// A response's head is whole; an interim one is followed by another.
    Response {
        /// Number of the request it answers.
        number: u64,
        /// When the head passed.
        span: Span,
        /// Where it began: bytes of its side that passed before it.
        at: u64,
        /// What it says.
        head: ResponseHead,
    },
    /// The next payload of a response's body.
    ResponseBody {
        /// Number of the request it answers.
        number: u64,
        /// The payload.
        piece: Piece<'a>,
    },
    /// A response is whole.
    ResponseEnd {
        /// Number of the request it answers.
        number: u64,
        /// When it passed, head and body.
        span: Span,
        /// Bytes of its head and body as transferred.
        size: u64,
    },
    /// No more will be said of a request's response, whole or not.
    Hidden {
        /// The request's number.
        number: u64,
        /// When that was known.
        stamp: Timestamp,
    },
}

impl<'a> Message<'a> {
    /// Payload that `side` sent.
    pub(super) fn body(side: Side, number: u64, piece: Piece<'a>) -> Self {
        match side {
            Side::Client => Self::RequestBody { number, piece },
            Side::Server => Self::ResponseBody { number, piece },
        }
    }
}

/// Payload of a body.
#[derive(Clone, Copy)]
pub enum Piece<'a> {
    /// As transferred, without chunk framing.
    Bytes(&'a [u8]),
    /// What stands beside the payload: extensions, trailers, and all that comes while the borders of
    /// chunks are hidden.
    Aside(&'a [u8]),
    /// So many bytes were not captured, chunk framing included where it is hidden too.
    Hole(u64),
}

/// Lengths only: a body is never shown.
impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Aside(bytes) => write!(f, "Aside({})", bytes.len()),
            Self::Hole(length) => write!(f, "Hole({length})"),
        }
    }
}
