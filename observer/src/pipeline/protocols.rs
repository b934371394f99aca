//! The protocols that are decoded: each a decoder and its correlator.

use std::sync::Arc;

use observer_ebpf::Protocol;

use super::conversation::{Conversation, Correlate, Detected, Emit, Opening, Paired, Protocols};
use crate::correlate::http::{AbortReason, Wants};
use crate::correlate::{http, postgres, redis};
use crate::decode::detect::{Guess, guess};
use crate::decode::http1::Http1;
use crate::decode::postgres::Postgres;
use crate::decode::redis::Redis;
use crate::decode::{Decoder, Lost, Side};
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// Everything the decoders know, for one worker.
#[derive(Clone)]
pub struct Known {
    wants: Arc<dyn Wants + Sync>,
    statements: Arc<postgres::Shared>,
}

impl Known {
    /// With what the rules want to see of bodies and of statements; all workers share both.
    #[must_use]
    pub fn new(wants: Arc<dyn Wants + Sync>, statements: Arc<postgres::Shared>) -> Self {
        Self { wants, statements }
    }
}

impl Protocols for Known {
    fn detect(&self, bytes: &[u8]) -> Detected {
        match guess(bytes) {
            Guess::Undecided => Detected::Undecided,
            Guess::Other => Detected::Nothing,
            Guess::Found(protocol, side) => Detected::Protocol(protocol, side),
        }
    }

    fn open(&self, opening: Opening) -> Option<Box<dyn Conversation>> {
        match opening.protocol {
            Protocol::Http1 => {
                let correlator = http::Correlator::new(Arc::clone(&self.wants));
                Some(Box::new(Paired::new(Http1::default(), correlator)))
            }
            Protocol::Postgres => {
                let correlator = postgres::Correlator::new(Arc::clone(&self.statements));
                Some(Box::new(Paired::new(Postgres::new(), correlator)))
            }
            Protocol::Redis => {
                let decoder = if opening.joined {
                    Redis::joined()
                } else {
                    Redis::opened()
                };
                Some(Box::new(Paired::new(decoder, redis::Correlator::new())))
            }
            _ => None,
        }
    }
}

/// A message of a decoder.
type Of<'a, D> = <D as Decoder>::Message<'a>;

impl Correlate for http::Correlator {
    type Decoder = Http1;

    fn on(&mut self, message: Of<'_, Http1>, emit: Emit<'_>) {
        Self::on(self, message, emit);
    }

    /// Told by the messages themselves.
    fn lost(&mut self, _: Side, _: Lost, _: Timestamp, _: Emit<'_>) {}

    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        Self::end(self, reason, stamp, emit);
    }
}

impl Correlate for postgres::Correlator {
    type Decoder = Postgres;

    fn on(&mut self, message: Of<'_, Postgres>, emit: Emit<'_>) {
        Self::on(self, &message, emit);
    }

    /// Told by the messages themselves.
    fn lost(&mut self, _: Side, _: Lost, _: Timestamp, _: Emit<'_>) {}

    fn end(&mut self, _: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        Self::end(self, stamp, emit);
    }
}

impl Correlate for redis::Correlator {
    type Decoder = Redis;

    fn on(&mut self, message: Of<'_, Redis>, emit: Emit<'_>) {
        Self::on(self, message, emit);
    }

    fn lost(&mut self, side: Side, lost: Lost, stamp: Timestamp, emit: Emit<'_>) {
        Self::lost(self, side, lost, stamp, emit);
    }

    fn end(&mut self, _: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        Self::end(self, stamp, emit);
    }
}
