//! The protocols that are decoded.
#![forbid(unsafe_code)]

use std::sync::Arc;

use observer_ebpf::Protocol;

use crate::correlate::http::{AbortReason, Correlator as Http};
use crate::correlate::postgres::{Correlator as Sql, Shared};
use crate::correlate::redis::Correlator as Commands;
use crate::decode::detect::{Guess, guess};
use crate::decode::http1::Http1;
use crate::decode::postgres::Postgres;
use crate::decode::redis::Redis;
use crate::decode::{Decoder, Lost, Side};
use crate::interpret::Needs;
use crate::pipeline::Protocols;
use crate::pipeline::conversation::{Conversation, Correlate, Detected, Emit, Opening, Paired};
use crate::time::Timestamp;

/// What the protocols share: which bodies and values the rules read, and the texts of statements.
#[derive(Clone)]
pub struct Wire {
    needs: Arc<Needs>,
    texts: Arc<Shared>,
}

impl Wire {
    /// For rules made ready.
    #[must_use]
    pub fn new(needs: Needs) -> Self {
        Self {
            texts: Arc::new(Shared::new(Box::new(needs.clone()))),
            needs: Arc::new(needs),
        }
    }
}

impl Protocols for Wire {
    fn detect(&self, bytes: &[u8]) -> Detected {
        match guess(bytes) {
            Guess::Undecided => Detected::Undecided,
            Guess::Other => Detected::Nothing,
            // Where both sides send the like (TLS, HTTP/2), nothing is decoded and the side does
            // not matter.
            Guess::Found(protocol, side) => {
                Detected::Protocol(protocol, side.unwrap_or(Side::Client))
            }
        }
    }

    fn open(&self, opening: Opening) -> Option<Box<dyn Conversation>> {
        Some(match (opening.protocol, opening.joined) {
            (Protocol::Http1, _) => {
                let wants = Arc::clone(&self.needs);
                Box::new(Paired::new(Http1::default(), Http::new(wants)))
            }
            (Protocol::Postgres, _) => {
                let texts = Arc::clone(&self.texts);
                Box::new(Paired::new(Postgres::new(), Sql::new(texts)))
            }
            (Protocol::Redis, joined) => {
                let decoder = if joined { Redis::joined() } else { Redis::opened() };
                Box::new(Paired::new(decoder, Commands::new()))
            }
            _ => return None,
        })
    }
}

impl Correlate for Http {
    type Decoder = Http1;

    fn on(&mut self, message: <Http1 as Decoder>::Message<'_>, emit: Emit<'_>) {
        self.on(message, emit);
    }

    /// The decoder itself says which responses are hidden.
    fn lost(&mut self, _: Side, _: Lost, _: Timestamp, _: Emit<'_>) {}

    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        self.end(reason, stamp, emit);
    }
}

impl Correlate for Sql {
    type Decoder = Postgres;

    fn on(&mut self, message: <Postgres as Decoder>::Message<'_>, emit: Emit<'_>) {
        self.on(&message, emit);
    }

    /// The decoder itself says where it is out of step.
    fn lost(&mut self, _: Side, _: Lost, _: Timestamp, _: Emit<'_>) {}

    fn end(&mut self, _: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        self.end(stamp, emit);
    }
}

impl Correlate for Commands {
    type Decoder = Redis;

    fn on(&mut self, message: <Redis as Decoder>::Message<'_>, emit: Emit<'_>) {
        self.on(message, emit);
    }

    fn lost(&mut self, side: Side, lost: Lost, stamp: Timestamp, emit: Emit<'_>) {
        self.lost(side, lost, stamp, emit);
    }

    fn end(&mut self, _: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        self.end(stamp, emit);
    }
}
