//! Commands that wait for their reply, in order; bounded.

use std::collections::VecDeque;

use crate::decode::redis::command::Command;
use crate::time::Timestamp;

/// Commands of a connection that may wait for their reply at a time.
///
/// A command beyond is counted at once, with an unknown outcome, and its reply passed over: the
/// numbers stay exact, and 32,768 waiting commands take 1 MiB.
pub const QUEUE_LIMIT: usize = 32_768;

/// Capacity kept when nothing waits any more.
const KEPT: usize = 256;

/// A command that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Which.
    pub(super) command: &'static Command,
    /// Its first byte.
    pub(super) began: Timestamp,
    /// Acknowledgements still due; 0 is one for each subscription, however many there are.
    pub(super) acknowledgements: u32,
    /// It may wait for something other than the server.
    pub(super) blocks: bool,
}

/// Commands that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// Commands beyond the bound, sent after those in `waiting`.
    beyond: u64,
}

/// Which command a reply answers.
#[derive(Debug)]
pub(super) enum Answered {
    /// This one.
    Waiting(Waiting),
    /// One beyond the bound.
    Beyond,
    /// None.
    Nothing,
}

impl Queue {
    /// Adds a command; `false` where it is beyond the bound.
    pub(super) fn push(&mut self, waiting: Waiting) -> bool {
        if self.beyond > 0 || self.waiting.len() >= QUEUE_LIMIT {
            self.beyond += 1;
            return false;
        }
        self.waiting.push_back(waiting);
        true
    }

    /// The command whose reply is due.
    pub(super) fn front(&mut self) -> Option<&mut Waiting> {
        self.waiting.front_mut()
    }

    /// Takes the command whose reply is due.
    pub(super) fn pop(&mut self) -> Answered {
        if let Some(waiting) = self.waiting.pop_front() {
            if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
                self.waiting = VecDeque::new();
            }
            return Answered::Waiting(waiting);
        }
        match self.beyond.checked_sub(1) {
            Some(beyond) => {
                self.beyond = beyond;
                Answered::Beyond
            }
            None => Answered::Nothing,
        }
    }

    /// Takes every command that waits; those beyond the bound were told before.
    pub(super) fn take(&mut self) -> VecDeque<Waiting> {
        self.beyond = 0;
        std::mem::take(&mut self.waiting)
    }
}
