//! When a connection that was out of step is in step again: without guessing.
//!
//! Replies carry no number, so after bytes were missed nothing in the stream says which command a
//! reply answers. What says it is the turn: most clients send, wait for all replies, and send
//! again, so that at a turn to the client nothing is unanswered. But a client that multiplexes its
//! callers over one connection keeps several commands in flight for ever, and there a turn says
//! nothing. So a turn is believed on a connection
//!
//! - that has answered as many as it was asked in each of its last [`ENOUGH`] turns (or since it
//!   was opened), or
//! - that was silent for [`IDLE`] before it.
//!
//! Until then, commands count, and what became of them is unknown.

use crate::time::Timestamp;

/// Turns in a row with as many replies as commands after which the next one is believed.
const ENOUGH: u32 = 16;

/// Silence in nanoseconds after which nothing is taken to be in flight: ten milliseconds, a
/// hundred times what a command on an idle server takes.
const IDLE: u64 = 10_000_000;

/// What is known of a connection's turns.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// Commands and replies are paired without doubt.
    aligned: bool,
    /// Commands without their reply: since alignment or, without it, since the last turn.
    open: i64,
    /// Turns in a row that left nothing open.
    matched: u32,
    /// Nothing was missed since the last turn.
    clean: bool,
    /// Stamp of the server's last bytes.
    answered: Option<Timestamp>,
}

impl Rhythm {
    /// Of a connection seen from its first byte, or joined later.
    pub(super) fn new(opened: bool) -> Self {
        Self {
            aligned: false,
            open: 0,
            matched: if opened { ENOUGH } else { 0 },
            clean: true,
            answered: None,
        }
    }

    /// The client speaks again. `whole` says that both directions are between two messages.
    /// Whether the connection is aligned from here, and was not before.
    pub(super) fn client_turn(&mut self, stamp: Timestamp, whole: bool) -> bool {
        if whole && self.open == 0 {
            self.matched = self.matched.saturating_add(1);
        } else if self.clean {
            self.matched = 0;
        }
        self.clean = true;
        if self.aligned {
            return false;
        }
        self.open = 0;
        let idle = self
            .answered
            .is_some_and(|answered| stamp.0.saturating_sub(answered.0) >= IDLE);
        self.matched >= ENOUGH || idle
    }

    /// Pairing is without doubt from here.
    pub(super) fn align(&mut self) {
        self.aligned = true;
        self.open = 0;
    }

    /// Bytes were missed.
    pub(super) fn miss(&mut self) {
        self.aligned = false;
        self.clean = false;
    }

    /// The client's next command is whole.
    pub(super) fn command(&mut self) {
        self.open = self.open.saturating_add(1);
    }

    /// The server's next reply is whole.
    pub(super) fn reply(&mut self) {
        self.open = self.open.saturating_sub(1);
        if self.aligned {
            self.open = self.open.max(0);
        }
    }

    /// The server sent bytes.
    pub(super) fn answered(&mut self, stamp: Timestamp) {
        self.answered = Some(stamp);
    }
}
