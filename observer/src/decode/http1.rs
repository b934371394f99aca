//! HTTP/1.0 and HTTP/1.1 (RFC 9112): heads, bodies by length, and which response answers which
//! request.
//!
//! ```text
//!             a message at the beginning of a turn
//!  Searching ──────────────────────────────────────▶ Head ◀──────────▶ Body
//!      ▲                                              │ 101, CONNECT    │
//!      └───── hole, malformed, head too long ─────────┤                 ▼
//!                                                     └────▶ Opaque    Blind (hidden chunk borders)
//! ```
//!
//! **Who answers whom.** Requests are numbered; every message names its request, so whoever pairs
//! them never counts by itself. In step, responses answer requests in order. A direction that
//! fell out of step begins again only where it proves itself: at the first byte of a *turn* (the
//! other end sent last) that is a request line or a status line.
//!
//! **Healing.** A client that begins a turn with a request has had, or will never have, every
//! answer it waited for: all requests before it are [`Message::Hidden`], and the server, if it is
//! out of step, may answer this one. That holds for every client that waits for its answers. One
//! that was seen not to (a request at the beginning of a turn, others still in flight) is counted,
//! but after a gap never paired again: each later request is `Hidden`. Where a connection is
//! joined, or a gap lies, in the middle of such a pipeline, before its first overlap is seen, no
//! byte can tell; the first answer may then be taken for its successor's.
//!
//! **Holes.** In a body of known length, in a chunk or in a body that ends with the stream a hole
//! is passed over. One that hides borders of chunks while nothing else is in flight can hide only
//! more of that body: it ends with an input that ends with the last chunk. Any other hole puts the
//! direction out of step.

mod body;
mod chunked;
mod direction;
mod framing;
mod head;
mod lines;
mod losing;
mod message;
mod pairing;
#[cfg(test)]
mod tests;

use self::body::{Body, Progress, Skipped};
use self::direction::{Direction, Held, State};
use self::head::Method;
use self::lines::Unread;
use self::pairing::Pairing;
use super::{Decoder, Fed, HELD_LIMIT, Lost, Side, Span};
use crate::reassemble::{Cause, Input};
use crate::time::Timestamp;

pub use self::framing::Extent;
pub(crate) use self::head::is_known;
pub use self::head::{RequestHead, ResponseHead};
pub(crate) use self::lines::{end_of_head, fields, request_line};
pub use self::message::{Message, Piece};
pub use self::pairing::IN_FLIGHT_LIMIT;

/// A connection's decoder.
#[derive(Debug, Default)]
pub struct Http1 {
    client: Direction,
    server: Direction,
    pairing: Pairing,
    /// Who sent last.
    last: Option<Side>,
    /// Bytes held back that were given up since the last input, and why.
    owed: Option<(Lost, u64)>,
}

/// [`State`] without what it holds.
#[derive(Clone, Copy)]
enum Place {
    Searching(Lost),
    Head,
    Body,
    Opaque(Lost),
}

/// Where messages go.
type Out<'o> = dyn FnMut(Message<'_>) + 'o;

impl Decoder for Http1 {
    type Message<'a> = Message<'a>;

    fn feed(
        &mut self,
        side: Side,
        stamp: Timestamp,
        input: Input<'_>,
        out: &mut dyn FnMut(Message<'_>),
    ) -> Fed {
        if input.length() == 0 {
            return Fed::default();
        }
        let turn = self.last != Some(side);
        self.last = Some(side);
        let direction = self.direction(side);
        direction.fed = direction.fed.saturating_add(input.length());
        let lost = match input {
            Input::Bytes(bytes) => self.bytes(side, stamp, bytes, turn, out),
            Input::Hole(length, cause) => self.hole(side, stamp, length, cause, turn, out),
        };
        match (lost, self.owed.take()) {
            (Some((cause, bytes)), owed) => Fed {
                lost: Some((cause, bytes + owed.map_or(0, |(_, owed)| owed))),
            },
            (None, owed) => Fed { lost: owed },
        }
    }

    fn held(&self) -> u64 {
        let heads = (self.client.held().len() + self.server.held().len()) as u64;
        heads + self.owed.map_or(0, |(_, bytes)| bytes)
    }

    fn passed(&self, side: Side) -> u64 {
        let direction = self.of(side);
        direction.fed.saturating_sub(direction.held().len() as u64)
    }

    fn in_step(&self, side: Side) -> bool {
        matches!(self.of(side).state, State::Head)
    }

    fn finish(&mut self, side: Side, _: Timestamp, out: &mut dyn FnMut(Message<'_>)) {
        let direction = self.direction(side);
        if let State::Body(Body::UntilClose) = direction.state {
            let ended = direction.ended;
            self.end(side, ended, out);
        }
    }
}

impl Http1 {
    /// Takes all bytes; those given up of them, and why.
    fn bytes(
        &mut self,
        side: Side,
        stamp: Timestamp,
        bytes: &[u8],
        turn: bool,
        out: &mut Out<'_>,
    ) -> Option<(Lost, u64)> {
        let mut rest = bytes;
        let mut first = turn;
        while !rest.is_empty() {
            let taken = match self.place(side, first) {
                Place::Opaque(cause) => return Some((cause, rest.len() as u64)),
                Place::Searching(cause) => {
                    if !(first && self.may_begin(side)) {
                        self.lose(side, cause, stamp, out);
                        return Some((cause, rest.len() as u64));
                    }
                    let direction = self.direction(side);
                    direction.state = State::Head;
                    direction.tentative = Some(cause);
                    continue;
                }
                Place::Head => self.head(side, stamp, rest, first, out),
                Place::Body => self.body(side, stamp, rest, out),
            };
            match taken {
                Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Err((taken, cause)) => {
                    self.lose(side, cause, stamp, out);
                    return Some((cause, (rest.len() - taken) as u64));
                }
            }
            first = false;
        }
        None
    }

    /// Where a direction is; `first`: a turn begins.
    fn place(&self, side: Side, first: bool) -> Place {
        let answered = side == Side::Client && self.pairing.len() == 0;
        match &self.of(side).state {
            State::Opaque(cause) => Place::Opaque(*cause),
            State::Searching(cause) => Place::Searching(*cause),
            // The request was answered and a new turn begins: the holes hid its end.
            State::Body(Body::Blind(blind)) if first && answered => Place::Searching(blind.cause),
            State::Body(_) => Place::Body,
            State::Head => Place::Head,
        }
    }

    /// Whether a direction that is out of step may begin with this turn.
    fn may_begin(&self, side: Side) -> bool {
        let pairing = &self.pairing;
        side == Side::Client || (pairing.healed && !pairing.overlapped && pairing.len() > 0)
    }

    /// Takes bytes between messages or of a head; the number taken, or taken before it broke.
    fn head(
        &mut self,
        side: Side,
        stamp: Timestamp,
        bytes: &[u8],
        first: bool,
        out: &mut Out<'_>,
    ) -> Result<usize, (usize, Lost)> {
        if side == Side::Server && self.pairing.len() == 0 {
            // An answer nobody asked for, or to a request that was hidden: it has no known extent.
            return Err((0, self.cause_of(Side::Client)));
        }
        let direction = self.direction(side);
        let broken = direction.tentative.unwrap_or(Lost::Malformed);
        if !direction.holds() {
            direction.at_turn |= first;
            if side == Side::Client && matches!(bytes, [b'\r' | b'\n', ..]) {
                // Empty lines before a request (RFC 9112 §2.2), one byte a round.
                return Ok(1);
            }
            direction.began = stamp;
            direction.at = direction.fed.saturating_sub(bytes.len() as u64);
            match self.message(side, stamp, bytes, out) {
                Ok(Some(taken)) => return Ok(taken),
                Ok(None) => return Err((0, Lost::TooLong)),
                Err(Unread::Invalid) => return Err((0, broken)),
                Err(Unread::Partial) => {}
            }
        }
        match self.direction(side).hold(bytes) {
            Held::Whole(head, taken) => match self.message(side, stamp, &head, out) {
                Ok(Some(_)) => Ok(taken),
                Ok(None) => Err((0, Lost::TooLong)),
                Err(_) => {
                    self.owe(broken, (head.len() - taken.min(head.len())) as u64);
                    Err((0, broken))
                }
            },
            Held::Partial if self.is_none(side) => Err((bytes.len(), broken)),
            Held::Partial => Ok(bytes.len()),
            Held::TooLong(taken) => Err((taken, Lost::TooLong)),
        }
    }

    /// Whether what is held back cannot become a head.
    fn is_none(&self, side: Side) -> bool {
        let read = match side {
            Side::Client => {
                let strict = self.client.tentative.is_some();
                request_line(self.client.held(), strict).err()
            }
            Side::Server => lines::status_line(self.server.held()).err(),
        };
        read == Some(Unread::Invalid)
    }

    /// Reads the head that `bytes` begin with; its size, or `None` where it is too long.
    fn message(
        &mut self,
        side: Side,
        stamp: Timestamp,
        bytes: &[u8],
        out: &mut Out<'_>,
    ) -> Result<Option<usize>, Unread> {
        let length = match side {
            Side::Client => {
                let head = RequestHead::read(bytes, self.client.tentative.is_some())?;
                if head.size <= HELD_LIMIT as u64 {
                    self.request(head, stamp, out);
                }
                head.size
            }
            Side::Server => {
                let (number, method) = self.pairing.front().ok_or(Unread::Invalid)?;
                let head = ResponseHead::read(bytes, method)?;
                if head.size <= HELD_LIMIT as u64 {
                    self.response(number, head, stamp, out);
                }
                head.size
            }
        };
        let length = usize::try_from(length).ok();
        Ok(length.filter(|length| *length <= HELD_LIMIT))
    }

    fn request(&mut self, head: RequestHead<'_>, stamp: Timestamp, out: &mut Out<'_>) {
        if self.client.at_turn {
            self.turn(stamp, out);
        }
        let method = Method::of(head.method);
        let number = self.pairing.push(method).unwrap_or_else(|| {
            self.lose(Side::Server, Lost::TooLong, stamp, out);
            self.pairing.push(method).unwrap_or_default()
        });
        let client = &mut self.client;
        client.at_turn = false;
        client.tentative = None;
        client.number = number;
        client.size = head.size;
        let span = Span {
            began: client.began,
            ended: stamp,
        };
        let at = client.at;
        out(Message::Request {
            number,
            span,
            at,
            head,
        });
        match (Body::of(head.extent), head.extent) {
            (Some(body), _) => self.client.state = State::Body(body),
            (None, Extent::Unknown) => self.lose(Side::Client, Lost::Malformed, stamp, out),
            (None, _) => self.end(Side::Client, stamp, out),
        }
    }

    /// A request begins a turn: nothing is owed for those before it, or the client does not wait.
    fn turn(&mut self, stamp: Timestamp, out: &mut Out<'_>) {
        let searched = self.client.tentative;
        match self.server.state {
            State::Head | State::Body(Body::Length(_) | Body::Chunked(_) | Body::UntilClose) => {
                let busy = self.pairing.len() > 0;
                self.pairing.overlapped |= busy;
                if let Some(cause) = searched {
                    self.lose(Side::Server, cause, stamp, out);
                    self.pairing.healed = true;
                }
            }
            State::Searching(_) | State::Body(Body::Blind(_)) => {
                let cause = self.cause_of(Side::Server);
                self.lose(Side::Server, cause, stamp, out);
                self.pairing.healed = true;
            }
            State::Opaque(_) => {}
        }
    }

    fn response(&mut self, number: u64, head: ResponseHead, stamp: Timestamp, out: &mut Out<'_>) {
        let server = &mut self.server;
        server.at_turn = false;
        server.tentative = None;
        server.size = head.size;
        let span = Span {
            began: server.began,
            ended: stamp,
        };
        server.ended = stamp;
        let at = server.at;
        out(Message::Response {
            number,
            span,
            at,
            head,
        });
        if head.interim() {
            return;
        }
        match (Body::of(head.extent), head.extent) {
            (Some(body), _) => self.server.state = State::Body(body),
            (None, Extent::Unknown) => self.lose(Side::Server, Lost::Malformed, stamp, out),
            (None, Extent::Upgraded) => {
                self.end(Side::Server, stamp, out);
                self.hide(stamp, out);
                let cause = if head.http2 {
                    Lost::Http2
                } else {
                    Lost::Upgraded
                };
                let given_up = self.client.upgrade(cause) + self.server.upgrade(cause);
                self.owe(cause, given_up);
            }
            (None, _) => self.end(Side::Server, stamp, out),
        }
    }

    /// Takes bytes of a body; the number taken, or taken before it broke.
    fn body(
        &mut self,
        side: Side,
        stamp: Timestamp,
        bytes: &[u8],
        out: &mut Out<'_>,
    ) -> Result<usize, (usize, Lost)> {
        let number = self.number(side);
        let direction = self.direction(side);
        let State::Body(body) = &mut direction.state else {
            return Ok(0);
        };
        let (taken, progress) = body.take(bytes, &mut |piece| {
            out(Message::body(side, number, piece));
        });
        direction.size = direction.size.saturating_add(taken as u64);
        direction.ended = stamp;
        match progress {
            Progress::More => {}
            Progress::Done => self.end(side, stamp, out),
            Progress::Broken(cause) => return Err((taken, cause)),
        }
        Ok(taken)
    }

    /// Takes a hole; the bytes of it that are given up, and why.
    fn hole(
        &mut self,
        side: Side,
        stamp: Timestamp,
        length: u64,
        cause: Cause,
        turn: bool,
        out: &mut Out<'_>,
    ) -> Option<(Lost, u64)> {
        let lost = match cause {
            Cause::Budget | Cause::Shed => Lost::Budget,
            Cause::Record => Lost::Hole,
        };
        let number = self.number(side);
        let may_begin = turn && self.may_begin(side);
        let may_be_blind = self.may_be_blind(side);
        let direction = self.direction(side);
        let (skipped, over) = match &mut direction.state {
            State::Opaque(cause) => return Some((*cause, length)),
            State::Searching(cause) => {
                let cause = if may_begin { lost } else { *cause };
                self.lose(side, cause, stamp, out);
                return Some((cause, length));
            }
            State::Head => (0, true),
            State::Body(body) => match body.skip(length) {
                Skipped::Inside => (length, false),
                Skipped::Past(end) => (end, true),
                Skipped::Borders if may_be_blind => {
                    *body = Body::blind(lost);
                    (length, false)
                }
                Skipped::Borders => (0, true),
            },
        };
        if skipped > 0 {
            direction.size = direction.size.saturating_add(skipped);
            direction.ended = stamp;
            out(Message::body(side, number, Piece::Hole(skipped)));
            if over {
                self.end(side, stamp, out);
            }
        }
        if skipped < length {
            self.lose(side, lost, stamp, out);
            return Some((lost, length - skipped));
        }
        None
    }

    /// Whether a hole in a chunked body can have hidden nothing but that body.
    fn may_be_blind(&self, side: Side) -> bool {
        let alone = self.pairing.len() == 1 && !self.pairing.overlapped;
        let asked = !matches!(self.client.state, State::Searching(_) | State::Opaque(_));
        alone && (side == Side::Client || asked)
    }

    /// The message is whole.
    fn end(&mut self, side: Side, stamp: Timestamp, out: &mut Out<'_>) {
        let number = self.number(side);
        let direction = self.direction(side);
        direction.state = State::Head;
        let Direction { size, began, .. } = *direction;
        let span = Span {
            began,
            ended: stamp,
        };
        match side {
            Side::Client => out(Message::RequestEnd { number, span, size }),
            Side::Server => {
                self.pairing.pop();
                out(Message::ResponseEnd { number, span, size });
            }
        }
    }

    /// Number of the request whose message passes.
    fn number(&self, side: Side) -> u64 {
        match side {
            Side::Client => self.client.number,
            Side::Server => self.pairing.front().map_or(0, |(number, _)| number),
        }
    }

    fn of(&self, side: Side) -> &Direction {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}
