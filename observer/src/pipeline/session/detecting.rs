//! A connection whose protocol is not known yet.
//!
//! Only the current turn of a direction is kept, for it is where a message can begin. A turn whose
//! first bytes are no beginning is given up, and the next turn is asked again: a connection joined
//! in the middle of a message does not stay blind.

use observer_ebpf::Direction;

use super::super::conversation::{Detected, Protocols};
use crate::decode::Side;
use crate::ledger::{Fate, Ledger};
use crate::reassemble::{Cause, Input};
use crate::time::Timestamp;

/// What is kept until the protocol is known.
#[derive(Default)]
pub(super) struct Detecting {
    turn: Option<Direction>,
    turns: u32,
    /// The rest of this turn cannot tell any more.
    blind: bool,
    /// Not from the first byte on.
    pub(super) joined: bool,
    bytes: Vec<u8>,
    /// Where in `bytes` each input ended, and its stamp.
    marks: Vec<(usize, Timestamp)>,
}

/// What an input told.
pub(super) enum Told {
    /// Nothing yet.
    Nothing,
    /// No turn began like anything we know.
    GaveUp,
    /// The protocol and the end that is seen. What was kept is to be [replayed](Detecting::replay), and then this input.
    Protocol(observer_ebpf::Protocol, Side),
}

/// Bounds of detection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) turns: u32,
}

impl Detecting {
    /// The connection was taken for something it is not.
    pub(super) fn again(turns: u32, turn: Direction) -> Self {
        Self {
            turn: Some(turn),
            turns,
            blind: true,
            joined: true,
            ..Self::default()
        }
    }

    /// What of the present turn may still tell.
    pub(super) fn kept(&self) -> &[u8] {
        &self.bytes
    }

    /// Turns seen so far.
    pub(super) fn turns(&self) -> u32 {
        self.turns
    }

    /// Takes the next stretch. `place` says at which end these bytes may be of that side.
    pub(super) fn take(
        &mut self,
        direction: Direction,
        stamp: Timestamp,
        input: Input<'_>,
        (protocols, ledger, bounds): (&dyn Protocols, &Ledger, Bounds),
        place: impl FnOnce(Option<Side>) -> Option<Side>,
    ) -> Told {
        if self.turn != Some(direction) {
            self.give_up(self.fate(), ledger);
            self.turn = Some(direction);
            self.turns = self.turns.saturating_add(1);
            self.blind = false;
        }
        match input {
            Input::Hole(length, cause) => {
                self.joined = true;
                self.blind = true;
                self.give_up(self.fate(), ledger);
                if cause != Cause::Record {
                    ledger.settle(self.fate(), length);
                }
                return Told::Nothing;
            }
            Input::Bytes(bytes) if self.blind => ledger.settle(self.fate(), bytes.len() as u64),
            Input::Bytes(bytes) => match self.detect(bytes, protocols) {
                Detected::Protocol(protocol, side) if let Some(vantage) = place(side) => {
                    return Told::Protocol(protocol, vantage);
                }
                Detected::Undecided if self.bytes.len() + bytes.len() <= bounds.bytes => {
                    self.bytes.extend_from_slice(bytes);
                    self.marks.push((self.bytes.len(), stamp));
                    ledger.hold(bytes.len() as u64);
                }
                _ => {
                    self.blind = true;
                    self.give_up(self.fate(), ledger);
                    ledger.settle(self.fate(), bytes.len() as u64);
                }
            },
        }
        if self.blind && self.turns >= bounds.turns {
            Told::GaveUp
        } else {
            Told::Nothing
        }
    }

    fn detect(&mut self, bytes: &[u8], protocols: &dyn Protocols) -> Detected {
        if self.bytes.is_empty() {
            return protocols.detect(bytes);
        }
        let kept = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let detected = protocols.detect(&self.bytes);
        self.bytes.truncate(kept);
        detected
    }

    /// Hands on what was kept, input by input; it is pending no more.
    pub(super) fn replay(self, ledger: &Ledger, mut each: impl FnMut(Timestamp, &[u8])) {
        let mut from = 0;
        for (to, stamp) in self.marks {
            let bytes = self.bytes.get(from..to).unwrap_or_default();
            from = to;
            ledger.release(bytes.len() as u64);
            each(stamp, bytes);
        }
    }

    /// What was kept has this fate.
    pub(super) fn give_up(&mut self, fate: Fate, ledger: &Ledger) {
        if !self.bytes.is_empty() {
            ledger.release(self.bytes.len() as u64);
            ledger.settle(fate, self.bytes.len() as u64);
        }
        self.bytes.clear();
        self.bytes.shrink_to(256);
        self.marks.clear();
    }

    fn fate(&self) -> Fate {
        if self.joined {
            Fate::SkippedJoined
        } else {
            Fate::SkippedOther
        }
    }
}
