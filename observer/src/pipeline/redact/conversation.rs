//! Decoders and correlators whose bytes are overwritten once it is known what they are.
//!
//! Each holds back what its decoder has not [passed](Decoder::passed): a message is overwritten as a
//! whole. What was given up becomes bytes that begin no message.

use std::sync::{Arc, Mutex, PoisonError};

use observer_ebpf::Protocol;

use super::super::conversation::{Conversation, Correlate, Detected, Emit, Opening, Protocols};
use super::bodies::Bodies;
use super::http::Heads;
use super::postgres::{self as pg, Reads};
use super::redis as resp;
use super::walk::{NOTHING, Raw, hide};
use crate::correlate::http::AbortReason;
use crate::correlate::{http, postgres, redis};
use crate::decode::http1::{Http1, Message, Piece, end_of_head};
use crate::decode::postgres::{Body, Postgres};
use crate::decode::redis::Redis;
use crate::decode::{Decoder, Fed, Side};
use crate::interpret::{Needs, Plan};
use crate::pipeline::protocols::Known;
use crate::reassemble::Input;
use crate::time::Timestamp;

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

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Said>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The protocols that are decoded, each connection's bytes overwritten.
pub(super) struct Overwriting {
    known: Known,
    plan: Arc<Plan>,
    statements: Arc<postgres::Shared>,
    sink: Sink,
}

impl Overwriting {
    /// By these rules.
    pub(super) fn new(plan: &Arc<Plan>, sink: Sink) -> Self {
        let needs = Needs(Arc::clone(plan));
        let statements = Arc::new(postgres::Shared::new(Box::new(needs.clone())));
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
            Protocol::Http1 => Some(Box::new(Http {
                decoder: Http1::default(),
                correlator: http::Correlator::new(Arc::new(Needs(Arc::clone(&self.plan)))),
                heads: Heads(Arc::clone(&self.plan)),
                bodies: Bodies::default(),
                held,
            })),
            Protocol::Postgres => Some(Box::new(Sql {
                decoder: Postgres::new(),
                correlator: postgres::Correlator::new(Arc::clone(&self.statements)),
                reads: Reads::default(),
                held,
            })),
            Protocol::Redis => Some(Box::new(Resp {
                decoder: if opening.joined {
                    Redis::joined()
                } else {
                    Redis::opened()
                },
                correlator: redis::Correlator::new(),
                held,
            })),
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
        *long = raw.held() > HELD;
        let mut stretch = raw.split(if *long { raw.end() } else { passed });
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

/// PostgreSQL.
struct Sql {
    decoder: Postgres,
    correlator: postgres::Correlator,
    reads: Reads,
    held: Held,
}

impl Conversation for Sql {
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed {
        let Self {
            decoder,
            correlator,
            reads,
            held,
        } = self;
        let before = SIDES.map(|side| decoder.in_step(side));
        let passed = decoder.passed(other(side));
        held.push(side, input);
        let fed = decoder.feed(side, stamp, input, &mut |message| {
            reads.note(&message);
            if let Body::Bind(bind) = &message.body {
                reads.parameters.push_back(correlator.parameters_read(bind));
            }
            correlator.on(&message, emit);
            if let Body::DataRow(_) = &message.body {
                reads.columns.push_back(correlator.columns_read());
            }
        });
        let lost = lost_of(side, input, fed, passed, decoder);
        for (of, was) in SIDES.into_iter().zip(before) {
            let is = of == side && decoder.in_step(of);
            let lost = if of == side { lost } else { 0 };
            held.release(of, decoder.passed(of), |raw| {
                let was = was || raw.begins(Protocol::Postgres, of);
                let lost = if raw.begins(Protocol::Postgres, of) { 0 } else { lost };
                let mut walk = raw.walk();
                pg::answer(of, &mut walk, reads);
                let good = walk.length().saturating_sub(lost);
                if was {
                    let mut good = walk.split(good);
                    pg::messages(of, &mut good, reads);
                    good.fill(NOTHING);
                    pg::given_up(of, walk);
                } else if is {
                    walk.split(lost).fill(NOTHING);
                    pg::messages(of, &mut walk, reads);
                    walk.fill(NOTHING);
                } else {
                    pg::given_up(of, walk);
                }
            });
        }
        reads.parameters.clear();
        reads.columns.clear();
        fed
    }

    fn held(&self) -> u64 {
        self.decoder.held()
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, emit: Emit<'_>) {
        let correlator = &mut self.correlator;
        self.decoder.finish(side, stamp, &mut |message| correlator.on(&message, emit));
    }

    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        Correlate::end(&mut self.correlator, reason, stamp, emit);
        self.flush();
    }
}

impl Sql {
    fn flush(&mut self) {
        for side in SIDES {
            let in_step = self.decoder.in_step(side);
            let reads = &mut self.reads;
            self.held.release(side, u64::MAX, |raw| {
                let in_step = in_step || raw.begins(Protocol::Postgres, side);
                let mut walk = raw.walk();
                if in_step {
                    pg::messages(side, &mut walk, reads);
                }
                walk.fill(NOTHING);
            });
        }
    }
}

impl Drop for Sql {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Redis.
struct Resp {
    decoder: Redis,
    correlator: redis::Correlator,
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
            resp::messages(side, &mut walk.split(good));
            resp::given_up(walk);
        });
        fed
    }

    fn held(&self) -> u64 {
        self.decoder.held()
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, emit: Emit<'_>) {
        let correlator = &mut self.correlator;
        self.decoder.finish(side, stamp, &mut |message| correlator.on(message, emit));
    }

    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        Correlate::end(&mut self.correlator, reason, stamp, emit);
        self.flush();
    }
}

impl Resp {
    fn flush(&mut self) {
        for side in SIDES {
            let in_step = self.decoder.in_step(side);
            self.held.release(side, u64::MAX, |raw| {
                let in_step = in_step || raw.begins(Protocol::Redis, side);
                let mut walk = raw.walk();
                if in_step {
                    resp::messages(side, &mut walk);
                }
                walk.fill(NOTHING);
            });
        }
    }
}

impl Drop for Resp {
    fn drop(&mut self) {
        self.flush();
    }
}

/// HTTP/1.
struct Http {
    decoder: Http1,
    correlator: http::Correlator,
    heads: Heads,
    bodies: Bodies,
    held: Held,
}

/// What a decoder said lies where.
enum Claim {
    Request { number: u64, at: u64, size: u64, json: bool },
    Response { number: u64, at: u64, size: u64, json: bool },
    Body { number: u64, at: u64, size: usize },
    Aside { at: u64, size: usize },
    /// No more of a body is read.
    Over { side: Side, number: u64 },
}

impl Conversation for Http {
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed {
        let begin = self.held.of(side).end();
        let passed = self.decoder.passed(other(side));
        let in_head = self.decoder.in_step(side).then(|| self.decoder.passed(side));
        self.held.push(side, input);
        let place = |piece: &[u8]| match input {
            Input::Bytes(bytes) => {
                let at = piece.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
                begin.saturating_add(at as u64)
            }
            Input::Hole(..) => begin,
        };
        let mut claims = Vec::new();
        let correlator = &mut self.correlator;
        let fed = self.decoder.feed(side, stamp, input, &mut |message| {
            claims.extend(claim(&message, place));
            correlator.on(message, emit);
        });
        let mut claimed = 0;
        for claim in claims {
            claimed = self.apply(side, claim).max(claimed);
        }
        let lost = lost_of(side, input, fed, passed, &self.decoder);
        if let (Input::Hole(..), Some(at)) = (input, in_head) {
            // The hole hides the end of a head.
            self.head(side, at, begin.saturating_sub(at));
            claimed = claimed.max(begin);
        }
        if lost > 0 && self.held.of(side).begins(Protocol::Http1, side) {
            let end = self.held.of(side).end();
            self.head(side, 0, end);
            claimed = end;
        }
        let raw = self.held.of(side);
        let good = raw.end().saturating_sub(lost).max(claimed).saturating_sub(raw.start());
        let mut walk = raw.walk();
        let _good = walk.split(good);
        walk.each(|bytes| if lost > 0 { bytes.fill(NOTHING) });
        self.release(side, |_| {});
        // Nothing passes here without a message, but what is given up.
        self.release(other(side), |raw| raw.walk().fill(NOTHING));
        fed
    }

    fn held(&self) -> u64 {
        self.decoder.held()
    }

    fn finish(&mut self, side: Side, stamp: Timestamp, emit: Emit<'_>) {
        let mut claims = Vec::new();
        let correlator = &mut self.correlator;
        self.decoder.finish(side, stamp, &mut |message| {
            claims.extend(claim(&message, |_| 0));
            correlator.on(message, emit);
        });
        for claim in claims {
            self.apply(side, claim);
        }
        self.release(side, |_| {});
    }

    fn end(&mut self, reason: AbortReason, stamp: Timestamp, emit: Emit<'_>) {
        self.correlator.end(reason, stamp, emit);
        self.flush();
    }
}

impl Http {
    /// Overwrites what is claimed; where that ends.
    fn apply(&mut self, side: Side, claim: Claim) -> u64 {
        let Self {
            heads,
            bodies,
            held,
            ..
        } = self;
        match claim {
            Claim::Request {
                number,
                at,
                size,
                json,
            } => {
                if let Some(head) = held.client.place(at, size) {
                    bodies.asked(number, heads.request(head), json);
                }
                at.saturating_add(size)
            }
            Claim::Response {
                number,
                at,
                size,
                json,
            } => {
                if let Some(head) = held.server.place(at, size) {
                    heads.response(head);
                    if !json {
                        bodies.over(Side::Server, number, &mut held.server);
                    }
                }
                at.saturating_add(size)
            }
            Claim::Body { number, at, size } => {
                bodies.piece(side, number, at, size, held.of(side));
                at.saturating_add(size as u64)
            }
            Claim::Aside { at, size } => {
                if let Some(bytes) = held.of(side).place(at, size as u64) {
                    aside(bytes);
                }
                at.saturating_add(size as u64)
            }
            Claim::Over { side, number } => {
                bodies.over(side, number, held.of(side));
                0
            }
        }
    }

    /// Overwrites a head whose end is not known, and what may follow it.
    fn head(&mut self, side: Side, at: u64, size: u64) {
        let Self { heads, held, .. } = self;
        let Some(bytes) = held.of(side).place(at, size) else {
            return;
        };
        let end = end_of_head(bytes, 0).unwrap_or(bytes.len());
        let (head, rest) = bytes.split_at_mut(end);
        match side {
            Side::Client => drop(heads.request(head)),
            Side::Server => heads.response(head),
        }
        hide(rest);
    }

    fn release(&mut self, side: Side, overwrite: impl FnOnce(&mut Raw)) {
        let passed = self.decoder.passed(side);
        let open = self.bodies.open(side).unwrap_or(u64::MAX);
        self.held.release(side, passed.min(open), overwrite);
    }

    fn flush(&mut self) {
        for side in SIDES {
            self.bodies.over_all(side, self.held.of(side));
            let passed = self.decoder.passed(side);
            self.held.release(side, passed, |_| {});
            let in_step = self.decoder.in_step(side);
            let heads = &self.heads;
            self.held.release(side, u64::MAX, |raw| {
                let mut walk = raw.walk();
                match (walk.whole().filter(|_| in_step), side) {
                    (Some(head), Side::Client) => {
                        heads.request(head);
                    }
                    (Some(head), Side::Server) => heads.response(head),
                    (None, _) => walk.fill(NOTHING),
                }
            });
        }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What a message says lies where; `place` is that of a piece of the input.
fn claim(message: &Message<'_>, place: impl Fn(&[u8]) -> u64) -> Option<Claim> {
    let (side, number, piece) = match *message {
        Message::Request {
            number, at, head, ..
        } => {
            let (size, json) = (head.size, head.json);
            return Some(Claim::Request { number, at, size, json });
        }
        Message::Response {
            number, at, head, ..
        } => {
            let (size, json) = (head.size, head.json || head.interim());
            return Some(Claim::Response { number, at, size, json });
        }
        Message::RequestBody { number, piece } => (Side::Client, number, piece),
        Message::ResponseBody { number, piece } => (Side::Server, number, piece),
        Message::RequestEnd { number, .. } => {
            let side = Side::Client;
            return Some(Claim::Over { side, number });
        }
        Message::ResponseEnd { number, .. } | Message::Hidden { number, .. } => {
            let side = Side::Server;
            return Some(Claim::Over { side, number });
        }
    };
    Some(match piece {
        Piece::Bytes(bytes) => Claim::Body {
            number,
            at: place(bytes),
            size: bytes.len(),
        },
        Piece::Aside(bytes) => Claim::Aside {
            at: place(bytes),
            size: bytes.len(),
        },
        Piece::Hole(_) => Claim::Over { side, number },
    })
}

/// Extensions and trailers go, but for the last chunk's line: it ends a body whose borders of chunks
/// were hidden.
fn aside(bytes: &mut [u8]) {
    let last = bytes.ends_with(b"0\r\n\r\n").then(|| bytes.len() - 5);
    for (at, byte) in bytes.iter_mut().enumerate() {
        if !matches!(byte, b'\r' | b'\n') && Some(at) != last {
            hide(std::slice::from_mut(byte));
        }
    }
}
