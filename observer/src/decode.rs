//! Bytes and holes in, messages out; pure.
//!
//! A decoder has no clock and does no I/O. It allocates nothing sized by a length a peer claims,
//! and holds at most [`HELD_LIMIT`] bytes of a direction. The `stamp` that comes with an input is
//! handed on untouched: a message carries the stamp of its first and of its last byte.
//!
//! Properties each decoder has, tested for every fixture: cut anywhere, the messages are the same;
//! every prefix yields a prefix of them; a hole inside a body of known length changes nothing; any
//! other hole is [`Lost`], and the next recognisable beginning decodes; begun anywhere, nothing
//! false comes out.
#![forbid(unsafe_code)]

pub mod detect;
pub mod fuzz;
pub mod http1;
pub mod postgres;
#[cfg(test)]
pub(crate) mod properties;
pub mod redis;
pub mod transcript;

use crate::reassemble::Input;
use crate::time::Timestamp;

/// Bytes of one direction a decoder may hold back while a message head is incomplete.
pub const HELD_LIMIT: usize = 64 * 1024;

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that asks.
    Client,
    /// The end that answers.
    Server,
}

/// When a message passed: the stamps of its first and of its last byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Stamp of the first byte.
    pub began: Timestamp,
    /// Stamp of the last byte.
    pub ended: Timestamp,
}

/// Why a decoder is out of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// The stream was joined in the middle; nothing was missed that was ours to see.
    Joined,
    /// Bytes were missing where a message may have begun, past the capture budget.
    Budget,
    /// Bytes were missing where a message may have begun, because their record was lost.
    Hole,
    /// Bytes that the protocol does not allow.
    Malformed,
    /// A message head longer than [`HELD_LIMIT`].
    TooLong,
    /// A switch to an opaque stream: everything behind it is not ours, for good.
    Upgraded,
    /// A switch to HTTP/2: everything behind it is that, for good.
    Http2,
    /// TLS was agreed on inside the protocol: everything behind it is ciphertext, for good.
    Tls,
}

/// What became of the bytes a decoder took: those neither named here nor [held](Decoder::held)
/// were decoded.
///
/// The books of a connection balance after every [`feed`](Decoder::feed):
///
/// ```text
///   held before + length of the input = decoded + lost + held after    (held: both directions)
/// ```
///
/// - [`Input::Bytes`]: its length is that of the bytes.
/// - [`Input::Hole`] of [`Cause::Budget`](crate::reassemble::Cause): likewise its length. What of
///   the hole is not lost was skipped inside a body of known length.
/// - [`Input::Hole`] of [`Cause::Record`](crate::reassemble::Cause): its length is 0, because the
///   kernel has counted it. `lost` names only bytes held before; what it claims beyond is ignored.
///
/// One feed has one reason: where it gives up bytes twice, the sum counts under the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Of the input and of what was held before it, how many bytes were given up, and why; at
    /// most both together.
    pub lost: Option<(Lost, u64)>,
}

/// One connection's decoder: both directions, because an answer's extent depends on its question
/// (HEAD, CONNECT, SSLRequest, COPY).
pub trait Decoder: 'static {
    /// What it yields.
    type Message<'a>;

    /// Takes the next stretch of one direction and yields every message it completes.
    fn feed(
        &mut self,
        side: Side,
        stamp: Timestamp,
        input: Input<'_>,
        out: &mut dyn FnMut(Self::Message<'_>),
    ) -> Fed;

    /// Bytes of both directions it holds back now, because what they begin is not whole yet: at
    /// most [`HELD_LIMIT`] each. They are pending in the ledger until a later feed decides about
    /// them.
    fn held(&self) -> u64 {
        0
    }

    /// How far it is through with a side, counted from the first byte fed, holes included: what lies
    /// behind begins a message that is not whole, or is held.
    fn passed(&self, side: Side) -> u64;

    /// Whether what lies behind [`Self::passed`] is where a message is known to begin.
    fn in_step(&self, side: Side) -> bool;

    /// The direction ended in order: an answer delimited by the end of the stream is complete.
    fn finish(&mut self, side: Side, stamp: Timestamp, out: &mut dyn FnMut(Self::Message<'_>));
}
