//! Falling out of step, and what is given up with it.

use super::body::Body;
use super::direction::State;
use super::{Http1, Message, Out};
use crate::decode::{Lost, Side};
use crate::time::Timestamp;

impl Http1 {
    /// Falls out of step. For a server this hides every response in flight, since it begins again
    /// only with one to a later request.
    pub(super) fn lose(&mut self, side: Side, cause: Lost, stamp: Timestamp, out: &mut Out<'_>) {
        let held = self.direction(side).lose(cause);
        self.owe(cause, held);
        match (side, &self.server.state) {
            (Side::Server, _) => {
                self.pairing.healed = false;
                self.hide(stamp, out);
            }
            // It has not spoken yet, and what it will answer was there to be seen.
            (Side::Client, State::Searching(Lost::Joined)) => {
                self.server.state = State::Searching(cause);
            }
            (Side::Client, _) => {}
        }
    }

    pub(super) fn hide(&mut self, stamp: Timestamp, out: &mut Out<'_>) {
        for number in self.pairing.clear() {
            out(Message::Hidden { number, stamp });
        }
    }

    pub(super) fn owe(&mut self, cause: Lost, bytes: u64) {
        if bytes > 0 {
            let before = self.owed.map_or(0, |(_, owed)| owed);
            self.owed = Some((cause, before + bytes));
        }
    }

    /// Why a direction is, or would be, out of step.
    pub(super) fn cause_of(&self, side: Side) -> Lost {
        match &self.of(side).state {
            State::Searching(cause) => *cause,
            State::Body(Body::Blind(blind)) => blind.cause,
            _ => Lost::Malformed,
        }
    }
}
