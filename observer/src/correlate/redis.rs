//! Redis: commands meet their replies in order.

use crate::time::Timestamp;

/// A command and its reply.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The server's own name of it in lower case, subcommand included (`client|setname`);
    /// `_other` for a verb no server knows.
    pub command: &'static str,
    /// The later of the command's first byte and the previous reply's last byte.
    pub began: Timestamp,
    /// The reply's last byte.
    pub ended: Timestamp,
    /// Seconds it waited behind others on its connection.
    pub waited: f64,
    /// `false` for replies whose time is not the server's: blocking commands, and those without a
    /// reply of their own.
    pub timed: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Look-ups that found something.
    pub hits: u32,
    /// Look-ups that found nothing.
    pub misses: u32,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Any reply but an error.
    Ok,
    /// `+QUEUED`.
    Queued,
    /// An error reply's first word, upper case, at most 16 bytes, zero-padded.
    Error([u8; 16]),
    /// Its reply was not seen.
    Unknown,
}
