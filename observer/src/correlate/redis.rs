//! Redis: commands meet their replies in order.
//!
//! One exchange comes out for each command that crossed the wire. Replies answer commands in the
//! order in which those were sent, with these exceptions:
//!
//! - `SUBSCRIBE` and its relatives are answered once per channel, in RESP3 by pushes;
//! - published messages, invalidations and the lines of `MONITOR` answer nothing;
//! - under `CLIENT REPLY OFF` and `SKIP` no reply comes: [`Outcome::Unknown`], [`Time::Unknown`].
//!
//! # After a loss
//! The decoder knows when pairing is without doubt again (its module `rhythm` says how) and tells
//! with [`Message::InStep`](crate::decode::redis::Message::InStep). Until then no reply is paired with a command:
//!
//! - replies were missed: the unanswered commands, and each further one, are [`Outcome::Unknown`];
//! - commands were missed: the replies that follow answer first the commands that were seen, then
//!   the hidden ones, each of which counts as `_other` with its outcome; from the next visible
//!   command on all is unknown.

mod lookups;
mod pairing;
mod queue;
mod subscriptions;
#[cfg(test)]
mod tests;

pub use self::pairing::Correlator;
pub use self::queue::QUEUE_LIMIT;

use crate::decode::redis::command::Command;
use crate::time::Timestamp;

/// A command and its reply.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Which; [`OTHER`](crate::decode::redis::command::OTHER) for a verb no server knows.
    pub command: &'static Command,
    /// The later of the command's first byte and the previous reply's last byte.
    pub began: Timestamp,
    /// The reply's last byte.
    pub ended: Timestamp,
    /// Seconds it waited behind others on its connection.
    pub waited: f64,
    /// Whose time passed between `began` and `ended`.
    pub time: Time,
    /// How it ended.
    pub outcome: Outcome,
    /// Look-ups that found something.
    pub hits: u32,
    /// Look-ups that found nothing.
    pub misses: u32,
}

/// Whose time a command took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// The server's.
    Server,
    /// That of others: a blocking command was answered when they had something for it, or when its
    /// time was over. Never a latency of the server, even where it was answered at once.
    Blocked,
    /// Nobody's that is known: the command or its reply was not seen, or there is no reply.
    Unknown,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Any reply but an error.
    Ok,
    /// `+QUEUED`.
    Queued,
    /// An error reply's first word, upper case, at most 16 bytes, zero-padded; `_other` for a word
    /// that is not of capitals and underscores, as scripts may send.
    Error([u8; 16]),
    /// Its reply was not seen.
    Unknown,
}
