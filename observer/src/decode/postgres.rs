//! PostgreSQL's protocol, version 3: both directions of a connection become messages.
//!
//! Messages borrow what they carry: from the input where they lie whole in it, else from a buffer
//! in which long values are cut to their first [`VALUE_LIMIT`] bytes. Where bytes were missing
//! inside a message whose end is known, the message still comes, with what was hidden left open.
//!
//! PostgreSQL documentation, chapter 55 "Frontend/Backend Protocol".
#![forbid(unsafe_code)]

use crate::decode::{Decoder, Fed, Lost, Side, Span};
use crate::reassemble::{Cause, Input};
use crate::time::Timestamp;

mod backend;
mod cursor;
mod fields;
mod framing;
mod frontend;
mod keep;
mod link;
mod message;
mod resync;
mod stream;
#[cfg(test)]
mod tests;

pub use fields::{Bind, Column, Columns, Formats, Types, Value, Values};
pub use message::{Body, Message, Startup, Status, Target, Text};

use link::Link;
use resync::{CANDIDATE_LIMIT, TAIL_LIMIT, Verdict};
use stream::{Step, Stop, Stream};

/// Bytes kept of a statement's text.
pub const TEXT_LIMIT: u32 = 16 * 1024;
/// Bytes kept of a parameter's or a column's value.
pub const VALUE_LIMIT: u32 = 256;
/// Bytes of a name that the server keeps and compares (`NAMEDATALEN` less one).
pub const NAME_LIMIT: usize = 63;
/// The longest startup message a server takes (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_LIMIT: u32 = 10_000;

/// Decodes one connection.
#[derive(Debug)]
pub struct Postgres {
    client: Stream,
    server: Stream,
    link: Link,
}

/// Reads the head of a message of `side`, tagged or not: its tag or code, the bytes of the head and
/// those of the body. `None` where `side` sends no such message.
#[must_use]
pub fn head(side: Side, bytes: &[u8]) -> Option<(u32, usize, u32)> {
    let (header, length) = match bytes {
        [0, ..] if side == Side::Client => {
            let head = bytes.first_chunk()?;
            (framing::untagged(*head)?, framing::UNTAGGED)
        }
        _ => {
            let head = bytes.first_chunk()?;
            (framing::tagged(side, *head)?, framing::TAGGED)
        }
    };
    Some((header.kind, length, header.body))
}

/// Where the end of a server's turn begins, at the end of these bytes: its last answer, where that
/// can be told, and its `ReadyForQuery`.
#[must_use]
pub fn turn_end(bytes: &[u8]) -> Option<usize> {
    let from = bytes.len().saturating_sub(TAIL_LIMIT);
    let anchor = resync::anchor(bytes.get(from..)?)?;
    let answer = anchor.answer.map(|(_, body)| body.start);
    let begin = answer
        .unwrap_or(anchor.ready)
        .checked_sub(framing::TAGGED)?;
    Some(from.saturating_add(begin))
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new()
    }
}

type Out<'o> = &'o mut dyn FnMut(Message<'_>);

impl Decoder for Postgres {
    type Message<'a> = Message<'a>;

    fn feed(&mut self, side: Side, stamp: Timestamp, input: Input<'_>, out: Out<'_>) -> Fed {
        let mut given_up = GivenUp::default();
        if input.length() > 0 {
            match (self.link.opaque, side) {
                (Some(why), _) => given_up.add(why, input.length()),
                (None, Side::Client) => self.client(stamp, input, &mut given_up, out),
                (None, Side::Server) => self.server(stamp, input, &mut given_up, out),
            }
            self.link.last = Some(side);
            let stream = match side {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            stream.fed = stream.fed.saturating_add(input.length());
        }
        Fed { lost: given_up.0 }
    }

    fn held(&self) -> u64 {
        (self.client.held.len() + self.server.held.len()) as u64
    }

    fn passed(&self, side: Side) -> u64 {
        self.stream(side).passed()
    }

    fn in_step(&self, side: Side) -> bool {
        self.link.opaque.is_none() && !matches!(self.stream(side).step, Step::Adrift(_))
    }

    fn finish(&mut self, _: Side, _: Timestamp, _: Out<'_>) {}
}

impl Postgres {
    /// For a connection of which nothing was seen yet, at its beginning or in its midst.
    #[must_use]
    pub fn new() -> Self {
        Self {
            client: Stream::new(Side::Client),
            server: Stream::new(Side::Server),
            link: Link::default(),
        }
    }

    fn stream(&self, side: Side) -> &Stream {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn client(&mut self, stamp: Timestamp, input: Input<'_>, lost: &mut GivenUp, out: Out<'_>) {
        let turn = self.link.last != Some(Side::Client);
        if turn {
            self.turn(lost, out);
        }
        if let (Step::Start, Input::Bytes(&[first, ..])) = (self.client.step, input)
            && self.client.held.is_empty()
            && first != 0
        {
            self.drift(Side::Client, Lost::Joined, stamp, out);
        }
        match input {
            Input::Bytes(bytes) => {
                if let Step::Adrift(why) = self.client.step {
                    self.client_adrift(turn, why, bytes, stamp, lost, out);
                } else {
                    self.client_walk(bytes, stamp, lost, out);
                }
            }
            Input::Hole(length, cause) => {
                if let Step::Adrift(why) = self.client.step {
                    lost.add(why, length.saturating_add(self.client.held.len() as u64));
                    self.client.release();
                    self.link.candidate = false;
                    return;
                }
                let link = &mut self.link;
                let skipped = self
                    .client
                    .skip(length, stamp, &mut |raw| link.client(raw, out));
                self.skipped(Side::Client, skipped, cause, stamp, lost, out);
            }
        }
    }

    fn client_walk(&mut self, bytes: &[u8], stamp: Timestamp, lost: &mut GivenUp, out: Out<'_>) {
        let link = &mut self.link;
        let stop = self
            .client
            .walk(bytes, stamp, &mut |raw| link.client(raw, out));
        if let Some((stop, rest)) = stop {
            let why = self.stopped(Side::Client, stop, lost, stamp, out);
            lost.add(why, rest.len() as u64);
        }
    }

    /// Out of step, a client's turn is tried as a beginning.
    fn client_adrift(
        &mut self,
        turn: bool,
        why: Lost,
        bytes: &[u8],
        stamp: Timestamp,
        lost: &mut GivenUp,
        out: Out<'_>,
    ) {
        if turn {
            lost.add(why, self.client.held.len() as u64);
            self.client.release();
            if self.server.in_step() && self.link.idle {
                self.client.step = Step::Head;
                self.link.restart();
                return self.client_walk(bytes, stamp, lost, out);
            }
            self.link.candidate = true;
        }
        if !self.link.candidate {
            return lost.add(why, bytes.len() as u64);
        }
        let room = CANDIDATE_LIMIT.saturating_sub(self.client.held.len());
        let (taken, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.client.held.extend_from_slice(taken);
        match resync::judge(&self.client.held) {
            Verdict::Open => {}
            Verdict::Nonsense => {
                self.link.candidate = false;
                let given_up = self.client.held.len().saturating_add(rest.len());
                lost.add(why, given_up as u64);
                self.client.release();
            }
            Verdict::Beginning => {
                self.link.candidate = false;
                self.link.restart();
                self.client.step = Step::Head;
                let held = std::mem::take(&mut self.client.held);
                self.client_walk(&held, stamp, lost, out);
                if self.link.opaque.is_none() && self.client.in_step() {
                    self.client_walk(rest, stamp, lost, out);
                } else {
                    lost.add(why, rest.len() as u64);
                }
            }
        }
    }

    fn server(&mut self, stamp: Timestamp, input: Input<'_>, lost: &mut GivenUp, out: Out<'_>) {
        let mut input = input;
        if self.link.negotiating
            && let Input::Bytes(&[answer, ref rest @ ..]) = input
        {
            self.link.negotiating = false;
            match answer {
                b'S' => self.link.opaque = Some(Lost::Tls),
                b'G' => self.link.opaque = Some(Lost::Upgraded),
                // An old server does not know the request and says so in a message.
                b'E' => self.server.step = Step::Head,
                _ => {}
            }
            if answer != b'E' {
                input = Input::Bytes(rest);
            }
            if let Some(why) = self.link.opaque {
                return lost.add(why, rest.len() as u64);
            }
            if input.length() == 0 {
                return;
            }
        }
        if self.server.step == Step::Start {
            if self.client.in_step() {
                self.server.step = Step::Head;
            } else {
                self.drift(Side::Server, Lost::Joined, stamp, out);
            }
        }
        match input {
            Input::Bytes(bytes) => {
                if let Step::Adrift(why) = self.server.step {
                    return self.server_adrift(why, bytes, stamp, lost, out);
                }
                let link = &mut self.link;
                let stop = self
                    .server
                    .walk(bytes, stamp, &mut |raw| link.server(raw, out));
                if let Some((stop, rest)) = stop {
                    let why = self.stopped(Side::Server, stop, lost, stamp, out);
                    if self.link.opaque.is_some() {
                        lost.add(why, rest.len() as u64);
                    } else {
                        self.server_adrift(why, rest, stamp, lost, out);
                    }
                }
            }
            Input::Hole(length, cause) => {
                if let Step::Adrift(why) = self.server.step {
                    lost.add(why, length.saturating_add(self.server.held.len() as u64));
                    return self.server.release();
                }
                let link = &mut self.link;
                let skipped = self
                    .server
                    .skip(length, stamp, &mut |raw| link.server(raw, out));
                self.skipped(Side::Server, skipped, cause, stamp, lost, out);
            }
        }
    }

    /// Out of step, the end of a server's turn is looked for.
    fn server_adrift(
        &mut self,
        why: Lost,
        bytes: &[u8],
        stamp: Timestamp,
        lost: &mut GivenUp,
        out: Out<'_>,
    ) {
        self.link.tail = stamp;
        // What is looked at is held, and given up once it is not.
        let held = &mut self.server.held;
        let passed = held
            .len()
            .saturating_add(bytes.len())
            .saturating_sub(TAIL_LIMIT);
        lost.add(why, passed as u64);
        let (old, new) = (passed.min(held.len()), passed.saturating_sub(held.len()));
        held.drain(..old);
        held.extend_from_slice(bytes.get(new..).unwrap_or_default());
        // With one request open, its end is the end. With several, it may be another's.
        let anchor = if self.client.in_step() && self.link.awaiting == 1 {
            resync::anchor(held)
        } else {
            None
        };
        let Some(anchor) = anchor else {
            return;
        };
        let held = std::mem::take(&mut self.server.held);
        let body = anchor.answer.as_ref().map(|(_, body)| body.start);
        let found = body.unwrap_or(anchor.ready).saturating_sub(framing::TAGGED);
        lost.add(why, found as u64);
        self.server.step = Step::Head;
        let answer = anchor.answer.iter().map(|(tag, body)| (*tag, body.clone()));
        for (tag, body) in answer.chain([(b'Z', anchor.ready..held.len())]) {
            let raw = stream::Raw {
                kind: u32::from(tag),
                body: held.get(body).unwrap_or_default(),
                condensed: false,
                span: at(stamp),
            };
            self.link.server(raw, out);
        }
    }

    /// The client's turn begins: what the server said before it is whole.
    fn turn(&mut self, lost: &mut GivenUp, out: Out<'_>) {
        let Step::Adrift(why) = self.server.step else {
            return;
        };
        let Some(anchor) = resync::anchor(&self.server.held) else {
            return;
        };
        let status = self.server.held.get(anchor.ready).copied();
        self.server.step = Step::Head;
        lost.add(why, self.server.held.len() as u64);
        self.server.release();
        self.link.restart();
        self.link.idle = true;
        out(Message {
            side: Side::Server,
            span: at(self.link.tail),
            body: Body::Realigned(status.and_then(Status::from_byte)),
        });
    }

    fn skipped(
        &mut self,
        side: Side,
        skipped: Result<Option<Stop>, (u64, usize)>,
        cause: Cause,
        stamp: Timestamp,
        lost: &mut GivenUp,
        out: Out<'_>,
    ) {
        match skipped {
            Ok(None) => {}
            Ok(Some(stop)) => {
                self.stopped(side, stop, lost, stamp, out);
            }
            Err((beyond, held)) => {
                let why = match cause {
                    Cause::Budget | Cause::Shed => Lost::Budget,
                    Cause::Record => Lost::Hole,
                };
                lost.add(why, beyond.saturating_add(held as u64));
                self.drift(side, why, stamp, out);
            }
        }
    }

    fn stopped(
        &mut self,
        side: Side,
        stop: Stop,
        lost: &mut GivenUp,
        stamp: Timestamp,
        out: Out<'_>,
    ) -> Lost {
        match stop {
            Stop::Opaque(why) => {
                self.link.opaque = Some(why);
                self.client.release();
                self.server.release();
                why
            }
            Stop::Malformed(held) => {
                let why = if self.link.begun {
                    Lost::Malformed
                } else {
                    Lost::Joined
                };
                lost.add(why, held as u64);
                self.drift(side, why, stamp, out);
                why
            }
        }
    }

    fn drift(&mut self, side: Side, why: Lost, stamp: Timestamp, out: Out<'_>) {
        let stream = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        stream.step = Step::Adrift(why);
        stream.release();
        out(Message {
            side,
            span: at(stamp),
            body: Body::Gap(why),
        });
    }
}

fn at(stamp: Timestamp) -> Span {
    Span {
        began: stamp,
        ended: stamp,
    }
}

/// Bytes given up in one feed, under the first reason.
#[derive(Debug, Default)]
struct GivenUp(Option<(Lost, u64)>);

impl GivenUp {
    fn add(&mut self, why: Lost, bytes: u64) {
        if bytes > 0 {
            let (_, sum) = self.0.get_or_insert((why, 0));
            *sum = sum.saturating_add(bytes);
        }
    }
}
