//! One direction of a connection: where in which message it is.

use std::fmt;

use super::body::Body;
use super::lines;
use crate::decode::{HELD_LIMIT, Lost};
use crate::time::Timestamp;

/// Where a direction is.
#[derive(Debug)]
pub(super) enum State {
    /// Out of step, until a turn begins with a message.
    Searching(Lost),
    /// Between messages or in a head.
    Head,
    Body(Body),
    /// Behind a switch of protocols: for good, and why its bytes are none of ours.
    Opaque(Lost),
}

/// Its `Debug` shows nothing of what it holds.
pub(super) struct Direction {
    pub(super) state: State,
    /// The beginning of a head that is not whole yet.
    held: Vec<u8>,
    /// No head ends before this byte of it.
    scanned: usize,
    /// The search that the head being read would end: it counts only once it is proven.
    pub(super) tentative: Option<Lost>,
    /// The message being read began a turn.
    pub(super) at_turn: bool,
    /// Bytes that passed, holes included.
    pub(super) fed: u64,
    /// Where among them the message being read began.
    pub(super) at: u64,
    /// Number of the request whose body passes.
    pub(super) number: u64,
    /// Bytes of the current message so far.
    pub(super) size: u64,
    /// Stamp of its first byte.
    pub(super) began: Timestamp,
    /// Stamp of its last byte so far.
    pub(super) ended: Timestamp,
}

impl fmt::Debug for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direction")
            .field("state", &self.state)
            .field("held", &self.held.len())
            .field("number", &self.number)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Default for Direction {
    fn default() -> Self {
        Self {
            state: State::Searching(Lost::Joined),
            held: Vec::new(),
            scanned: 0,
            tentative: None,
            at_turn: false,
            fed: 0,
            at: 0,
            number: 0,
            size: 0,
            began: Timestamp::default(),
            ended: Timestamp::default(),
        }
    }
}

/// What became of bytes added to a head held back.
pub(super) enum Held {
    /// The head is whole; so many of the bytes belong to it.
    Whole(Vec<u8>, usize),
    /// It is not, and all bytes are held.
    Partial,
    /// It will not fit; so many of the bytes are held.
    TooLong(usize),
}

impl Direction {
    /// Whether a head is held back in part.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What is held back of a head.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Adds to the head held back, of which `bytes` are the next.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> Held {
        let before = self.held.len();
        let room = HELD_LIMIT - before.min(HELD_LIMIT);
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.held.extend_from_slice(taken);
        if let Some(end) = lines::end_of_head(&self.held, self.scanned) {
            let mut head = std::mem::take(&mut self.held);
            self.scanned = 0;
            head.truncate(end);
            return Held::Whole(head, end.saturating_sub(before));
        }
        // The empty line that ends a head is at most 3 bytes long, counted from the LF before it.
        self.scanned = self.held.len().saturating_sub(2);
        if self.held.len() < HELD_LIMIT {
            Held::Partial
        } else {
            Held::TooLong(taken.len())
        }
    }

    /// Falls out of step; the number of bytes held back that are given up.
    pub(super) fn lose(&mut self, cause: Lost) -> u64 {
        self.state = State::Searching(cause);
        self.drop_held()
    }

    /// Leaves HTTP for good; the number of bytes held back that are given up.
    pub(super) fn upgrade(&mut self, cause: Lost) -> u64 {
        self.state = State::Opaque(cause);
        self.drop_held()
    }

    fn drop_held(&mut self) -> u64 {
        self.tentative = None;
        self.at_turn = false;
        self.scanned = 0;
        std::mem::take(&mut self.held).len() as u64
    }
}
