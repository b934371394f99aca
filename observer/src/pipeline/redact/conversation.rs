//! Decoders and correlators whose bytes are overwritten once it is known what they are.
//!
//! Each holds back what its decoder has not [passed](Decoder::passed): a message is overwritten as a
//! whole. What was given up becomes bytes that begin no message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use observer_ebpf::Protocol;

use super::super::conversation::{Conversation, Detected, Opening, Protocols};
use super::super::protocols::Known;
use super::walk::Raw;
use crate::correlate::postgres::Shared;
use crate::decode::{Decoder, Fed, Side};
use crate::interpret::{Needs, Plan};
use crate::reassemble::Input;

mod http;
mod postgres;
mod redis;

use http::Http;
use postgres::Sql;
use redis::Resp;

/// Bytes of one direction held back for one message. Of a longer one the rest is kept as a length.
pub(super) const HELD: usize = 1024 * 1024;

/// What became of bytes that a conversation was fed, in the order of their side.
#[derive(Debug)]
pub(super) enum Said {
    /// So many captured bytes came.
    Fed(Side, usize),
    /// These are overwritten.
    Overwritten(Side, Vec<u8>),
    /// So many are not kept.
    Stripped(Side, usize),
}

/// Where conversations say so; one connection's at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Sink(Arc<Mutex<Vec<Said>>>);

impl Sink {
    fn say(&self, said: Said) {
        self.lock().push(said);
    }

    /// What was said since.
    pub(super) fn take(&self) -> Vec<Said> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The protocols that are decoded, each connection's bytes overwritten.
pub(super) struct Overwriting {
    known: Known,
    plan: Arc<Plan>,
    statements: Arc<Shared>,
    sink: Sink,
}

impl Overwriting {
    /// By these rules.
    pub(super) fn new(plan: &Arc<Plan>, sink: Sink) -> Self {
        let needs = Needs::new(Arc::clone(plan));
        let statements = Arc::new(Shared::new(Box::new(needs.clone())));
        Self {
            known: Known::new(Arc::new(needs), Arc::clone(&statements)),
            plan: Arc::clone(plan),
            statements,
            sink,
        }
    }
}

impl Protocols for Overwriting {
    fn detect(&self, bytes: &[u8]) -> Detected {
        self.known.detect(bytes)
    }

    fn open(&self, opening: Opening) -> Option<Box<dyn Conversation>> {
        let held = Held::new(self.sink.clone());
        match opening.protocol {
            Protocol::Http1 => Some(Box::new(Http::new(&self.plan, held))),
            Protocol::Postgres => {
                let statements = Arc::clone(&self.statements);
                Some(Box::new(Sql::new(statements, held)))
            }
            Protocol::Redis => Some(Box::new(Resp::new(opening.joined, held))),
            _ => None,
        }
    }
}

/// What both directions hold back.
struct Held {
    client: Raw,
    server: Raw,
    /// Of the message at hand the rest is not kept.
    long: [bool; 2],
    sink: Sink,
}

impl Held {
    fn new(sink: Sink) -> Self {
        Self {
            client: Raw::default(),
            server: Raw::default(),
            long: [false; 2],
            sink,
        }
    }

    fn of(&mut self, side: Side) -> &mut Raw {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn push(&mut self, side: Side, input: Input<'_>) {
        if let Input::Bytes(bytes) = input {
            self.sink.say(Said::Fed(side, bytes.len()));
        }
        self.of(side).push(input);
    }

    /// Lets go of what lies before `passed`, once `overwrite` has been over it. Where more is held
    /// than may be, lets go of all, and does not keep the rest of the message that this begins.
    fn release(&mut self, side: Side, passed: u64, overwrite: impl FnOnce(&mut Raw)) {
        let [client_long, server_long] = &mut self.long;
        let (raw, long) = match side {
            Side::Client => (&mut self.client, client_long),
            Side::Server => (&mut self.server, server_long),
        };
        if *long {
            let ended = passed > raw.start();
            let stretch = raw.split(if ended { passed } else { raw.end() });
            *long = !ended;
            return self.sink.say(Said::Stripped(side, stretch.held()));
        }
        let end = raw.end();
        let over = raw.held() > HELD;
        // The message at its end may be whole: then the next one is kept.
        *long = over && passed < end;
        let mut stretch = raw.split(if over { end } else { passed });
        if stretch.end() > stretch.start() {
            overwrite(&mut stretch);
            self.sink.say(Said::Overwritten(side, stretch.into_bytes()));
        }
    }
}

/// Both.
const SIDES: [Side; 2] = [Side::Client, Side::Server];

fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

/// Bytes of the side that was fed that were given up: what a hole hides is not there to be
/// overwritten, and what was held of the other side, of which `passed` had been, is that side's.
fn lost_of(side: Side, input: Input<'_>, fed: Fed, passed: u64, decoder: &impl Decoder) -> u64 {
    match (fed.lost, input) {
        (Some((_, lost)), Input::Bytes(_)) => {
            let others = decoder.passed(other(side)).saturating_sub(passed);
            lost.saturating_sub(others)
        }
        _ => 0,
    }
}
