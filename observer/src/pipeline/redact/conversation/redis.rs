//! Redis.

use observer_ebpf::Protocol;

use super::super::redis::{given_up, messages};
use super::{Held, SIDES};
use crate::correlate::http::AbortReason;
use crate::correlate::redis::Correlator;
use crate::decode::redis::Redis;
use crate::decode::{Decoder as _, Fed, Side};
use crate::pipeline::conversation::{Conversation, Emit};
use crate::reassemble::Input;
use crate::time::Timestamp;

/// A connection.
pub(super) struct Resp {
    decoder: Redis,
    correlator: Correlator,
    held: Held,
}

impl Conversation for Resp {
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed {
        let was = self.decoder.in_step(side);
        self.held.push(side, input);
        let correlator = &mut self.correlator;
        let fed = self.decoder.feed(side, stamp, input, &mut |message| {
            correlator.on(message, emit);
        });
        if let Some((lost, _)) = fed.lost {
            correlator.lost(side, lost, stamp, emit);
        }
        let is = self.decoder.in_step(side);
        let passed = self.decoder.passed(side);
        self.held.release(side, passed, |raw| {
            let all = raw.end() - raw.start();
            let hole = matches!(input, Input::Hole(..));
            let good = match (was, is, fed.lost) {
                (_, true, _) | (true, false, None) => all,
                _ if raw.begins(Protocol::Redis, side) => all,
                (true, false, Some(_)) if hole => all,
                (_, false, Some((_, lost))) => all.saturating_sub(lost),
                (false, false, None) => 0,
            };
            let mut walk = raw.walk();
            messages(side, &mut walk.split(good));
            given_up(walk);
        });
        fed
    }

    fn held(&self) -> u64 {
        self.decoder.held()
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, emit: Emit<'_>) {
        let correlator = &mut self.correlator;
        self.decoder
            .finish(side, stamp, &mut |message| correlator.on(message, emit));
    }

    fn end(&mut self, _: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        self.correlator.end(stamp, emit);
        self.flush();
    }
}

impl Resp {
    /// A new one; `joined` where it is not seen from its first byte.
    pub(super) fn new(joined: bool, held: Held) -> Self {
        Self {
            decoder: if joined {
                Redis::joined()
            } else {
                Redis::opened()
            },
            correlator: Correlator::new(),
            held,
        }
    }

    fn flush(&mut self) {
        for side in SIDES {
            let in_step = self.decoder.in_step(side);
            self.held.release(side, u64::MAX, |raw| {
                let in_step = in_step || raw.begins(Protocol::Redis, side);
                let mut walk = raw.walk();
                if in_step {
                    messages(side, &mut walk);
                }
                given_up(walk);
            });
        }
    }
}

impl Drop for Resp {
    fn drop(&mut self) {
        self.flush();
    }
}
