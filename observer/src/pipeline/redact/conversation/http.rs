//! HTTP/1.

use std::sync::Arc;

use observer_ebpf::Protocol;

use super::super::bodies::Bodies;
use super::super::http::Heads;
use super::super::walk::{NOTHING, Raw, hide};
use super::{HELD, Held, SIDES, lost_of, other};
use crate::correlate::http::{AbortReason, Correlator};
use crate::decode::http1::{Http1, Message, Piece, end_of_head};
use crate::decode::{Decoder as _, Fed, Side};
use crate::interpret::{Needs, Plan};
use crate::pipeline::conversation::{Conversation, Emit};
use crate::reassemble::Input;
use crate::time::Timestamp;

/// A connection.
pub(super) struct Http {
    decoder: Http1,
    correlator: Correlator,
    heads: Heads,
    bodies: Bodies,
    held: Held,
}

/// What a decoder said lies where.
#[derive(Clone, Copy)]
enum Claim {
    Request {
        number: u64,
        at: u64,
        size: u64,
        json: bool,
    },
    Response {
        number: u64,
        at: u64,
        size: u64,
        json: bool,
    },
    Body {
        number: u64,
        at: u64,
        size: usize,
    },
    Aside {
        at: u64,
        size: usize,
    },
    /// No more of a body is read.
    Over {
        side: Side,
        number: u64,
    },
}

impl Conversation for Http {
    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed {
        let begin = self.held.of(side).end();
        let passed = self.decoder.passed(other(side));
        let in_head = self
            .decoder
            .in_step(side)
            .then(|| self.decoder.passed(side));
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
            claims.push(claim(&message, place));
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
        let good = raw
            .end()
            .saturating_sub(lost)
            .max(claimed)
            .saturating_sub(raw.start());
        let mut walk = raw.walk();
        let _good = walk.split(good);
        if lost > 0 {
            walk.fill(NOTHING);
        }
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
            claims.push(claim(&message, |_| 0));
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
    /// A new one, by these rules.
    pub(super) fn new(plan: &Arc<Plan>, held: Held) -> Self {
        Self {
            decoder: Http1::default(),
            correlator: Correlator::new(Arc::new(Needs::new(Arc::clone(plan)))),
            heads: Heads(Arc::clone(plan)),
            bodies: Bodies::default(),
            held,
        }
    }

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
                    Heads::response(head);
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
    fn head(&mut self, side: Side, at: u64, length: u64) {
        let Self { heads, held, .. } = self;
        let Some(bytes) = held.of(side).place(at, length) else {
            return;
        };
        let end = end_of_head(bytes, 0).unwrap_or(bytes.len());
        let (head, rest) = bytes.split_at_mut(end);
        match side {
            Side::Client => drop(heads.request(head)),
            Side::Server => Heads::response(head),
        }
        hide(rest);
    }

    fn release(&mut self, side: Side, overwrite: impl FnOnce(&mut Raw)) {
        let passed = self.decoder.passed(side);
        if self.held.of(side).held() > HELD {
            // All of it leaves now, a body that is not whole too.
            self.bodies.over_all(side, self.held.of(side));
        }
        let open = self.bodies.open(side).unwrap_or(u64::MAX);
        self.held.release(side, passed.min(open), |raw| {
            overwrite(raw);
            // Of a message that is not whole, nothing is overwritten yet.
            let whole = passed.saturating_sub(raw.start());
            let mut walk = raw.walk();
            let _whole = walk.split(whole);
            walk.fill(NOTHING);
        });
    }

    fn flush(&mut self) {
        for side in SIDES {
            self.bodies.over_all(side, self.held.of(side));
            self.release(side, |_| {});
            let in_step = self.decoder.in_step(side);
            let heads = &self.heads;
            self.held.release(side, u64::MAX, |raw| {
                let mut walk = raw.walk();
                match (walk.whole().filter(|_| in_step), side) {
                    (Some(head), Side::Client) => {
                        heads.request(head);
                    }
                    (Some(head), Side::Server) => Heads::response(head),
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
fn claim(message: &Message<'_>, place: impl Fn(&[u8]) -> u64) -> Claim {
    let (side, number, piece) = match *message {
        Message::Request {
            number, at, head, ..
        } => {
            let (size, json) = (head.size, head.json);
            return Claim::Request {
                number,
                at,
                size,
                json,
            };
        }
        Message::Response {
            number, at, head, ..
        } => {
            let (size, json) = (head.size, head.json || head.interim());
            return Claim::Response {
                number,
                at,
                size,
                json,
            };
        }
        Message::RequestBody { number, piece } => (Side::Client, number, piece),
        Message::ResponseBody { number, piece } => (Side::Server, number, piece),
        Message::RequestEnd { number, .. } => {
            let side = Side::Client;
            return Claim::Over { side, number };
        }
        Message::ResponseEnd { number, .. } | Message::Hidden { number, .. } => {
            let side = Side::Server;
            return Claim::Over { side, number };
        }
    };
    match piece {
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
    }
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
