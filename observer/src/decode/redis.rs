//! RESP2 and RESP3: commands and replies, without their keys and values.
//!
//! Source: the Redis serialization protocol specification, and `networking.c` of Redis 7 where it
//! is silent (inline commands, empty arrays, replication).
//!
//! What leaves here is the server's own name of a command, what kind of reply answered it and when.
//! Keys, values and the words of `AUTH` never do. A connection needs less than 700 bytes, and
//! 2 KiB more at most for the deepest nesting that is followed.

pub mod command;
pub(crate) mod line;
pub(crate) mod options;
pub(crate) mod replies;
mod requests;
mod rhythm;
#[cfg(test)]
mod tests;

use self::command::{Command, Family};
use self::replies::Replies;
use self::requests::Requests;
use self::rhythm::Rhythm;
use super::{Decoder, Fed, Lost, Side, Span};
use crate::reassemble::{Cause, Input};
use crate::time::Timestamp;

/// What a connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// From here on every command and reply is seen, and the next reply answers the next command.
    /// Whatever was unanswered before stays so.
    InStep,
    /// A command.
    Request(Request),
    /// An element of a reply that is an aggregate, before that reply; only on connections that
    /// have sent `EXEC`.
    Element(Answer),
    /// A reply, or a push.
    Reply(Reply),
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its row in the table; [`command::OTHER`] for what no server knows.
    pub command: &'static Command,
    /// Words behind the first.
    pub arguments: u64,
    /// Its reply may wait for something other than the server.
    pub blocks: bool,
    /// What `CLIENT REPLY` switches.
    pub switch: Option<Switch>,
    /// Its first and last byte.
    pub span: Span,
}

/// What `CLIENT REPLY` switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Replies come again, this command's first.
    On,
    /// No replies come, to this command neither.
    Off,
    /// No reply comes to this command and the next.
    Skip,
}

impl Switch {
    pub(crate) fn of(word: &[u8]) -> Option<Self> {
        [("on", Self::On), ("off", Self::Off), ("skip", Self::Skip)]
            .into_iter()
            .find_map(|(name, switch)| word.eq_ignore_ascii_case(name.as_bytes()).then_some(switch))
    }
}

/// A reply, or a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub answer: Answer,
    /// A RESP3 push: answers no command, except that it acknowledges subscriptions.
    pub push: bool,
    /// Its first and last byte.
    pub span: Span,
}

/// What a reply says, as far as it may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing was there.
    Nil,
    /// An error: its first word, zero-padded; `_other` for a word that is not of capitals and
    /// underscores or longer than 16 bytes.
    Error([u8; 16]),
    /// A status line.
    Status(Status),
    /// Any other single value.
    Value,
    /// Several values.
    Aggregate(Aggregate),
}

/// A status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `QUEUED`: the command runs at `EXEC`.
    Queued,
    /// It begins with a digit, as the lines of `MONITOR` do.
    Monitored,
    /// The stream of replication follows.
    Resync,
    /// Any other.
    Other,
}

/// Several values: how many of the direct elements were there. Errors count as neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// What its first element says; looked at in outermost aggregates and in acknowledgements that
    /// are pushes only.
    pub name: Name,
    /// Its last integer element, likewise.
    pub number: i64,
    /// Elements that are nil.
    pub nils: u32,
    /// Elements that are something.
    pub values: u32,
}

/// The first element of what a subscriber is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// None of these.
    #[default]
    Other,
    /// A published message.
    Delivered,
    /// A subscription's acknowledgement.
    Subscribed(Family),
    /// A cancellation's acknowledgement.
    Unsubscribed(Family),
}

/// Where a direction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its messages are told.
    InStep,
    /// It seems to be in step, and is not believed yet.
    Trying(Lost),
    /// It waits for a turn.
    Out(Lost),
}

impl Standing {
    fn lost(self) -> Option<Lost> {
        match self {
            Self::InStep => None,
            Self::Trying(lost) | Self::Out(lost) => Some(lost),
        }
    }
}

/// How one step through a direction ended.
enum Step<M> {
    /// With a message.
    Message(M),
    /// With an element of one.
    Element(Answer),
    /// With the input.
    More,
    /// With what cannot be.
    Failed(Lost),
}

/// One connection's decoder.
#[derive(Debug)]
pub struct Redis {
    requests: Requests,
    replies: Replies,
    client: Standing,
    server: Standing,
    rhythm: Rhythm,
    /// The next whole command is in step.
    due: bool,
    last: Option<Side>,
    /// Bytes of the client and of the server that passed, holes included.
    fed: [u64; 2],
    /// How far it is through with them.
    passed: [u64; 2],
    /// The stream is that of replication, for good.
    upgraded: bool,
}

impl Redis {
    /// Of a connection that is seen from its first byte.
    #[must_use]
    pub fn opened() -> Self {
        Self {
            requests: Requests::default(),
            replies: Replies::default(),
            client: Standing::InStep,
            server: Standing::InStep,
            rhythm: Rhythm::new(true),
            due: false,
            last: None,
            fed: [0; 2],
            passed: [0; 2],
            upgraded: false,
        }
    }

    /// Of a connection that may be anywhere: commands are told from the next turn on, replies once
    /// it is certain which commands they answer.
    #[must_use]
    pub fn joined() -> Self {
        Self {
            client: Standing::Out(Lost::Joined),
            server: Standing::Out(Lost::Joined),
            rhythm: Rhythm::new(false),
            ..Self::opened()
        }
    }

    /// What passed of a side, and how far it is through with that.
    fn of(&mut self, side: Side) -> [&mut u64; 2] {
        let ([a, b], [c, d]) = (&mut self.fed, &mut self.passed);
        match side {
            Side::Client => [a, c],
            Side::Server => [b, d],
        }
    }

    /// All that passed is whole, but for the last `rest` bytes.
    fn whole(&mut self, side: Side, rest: usize) {
        let [fed, passed] = self.of(side);
        *passed = fed.saturating_sub(rest as u64);
    }

    /// The client speaks, for the first time or after the server.
    fn client_turn(&mut self, stamp: Timestamp) {
        let client = self.client != Standing::InStep || self.requests.at_boundary();
        let server = match self.server {
            Standing::Out(_) => false,
            Standing::InStep | Standing::Trying(_) => self.replies.at_boundary(),
        };
        let whole = self.client == Standing::InStep && client && server;
        let certain = self.rhythm.client_turn(stamp, whole);
        // A server in the midst of a reply has more to say to what came before.
        let between = server || self.server != Standing::InStep;
        self.due = certain && client && between;
        if let Some(lost) = self.client.lost() {
            self.client = Standing::Trying(lost);
            self.requests.restart();
        }
    }

    /// The server speaks, for the first time or after the client.
    fn server_turn(&mut self) {
        // What it says now cannot answer a command that is not whole.
        self.due = false;
        if let Some(lost) = self.server.lost()
            && self.client == Standing::InStep
        {
            if self.server == Standing::Out(lost) || !self.replies.at_boundary() {
                self.replies.restart();
            }
            self.server = Standing::Trying(lost);
        }
    }

    fn client_bytes(
        &mut self,
        stamp: Timestamp,
        mut bytes: &[u8],
        out: &mut dyn FnMut(Message),
    ) -> Fed {
        if let Standing::Out(lost) = self.client {
            return given_up(lost, bytes.len());
        }
        loop {
            match self.requests.next(stamp, &mut bytes) {
                Step::Message(request) => {
                    self.whole(Side::Client, bytes.len());
                    self.client = Standing::InStep;
                    if self.due {
                        self.due = false;
                        self.align();
                        out(Message::InStep);
                    }
                    self.rhythm.command();
                    self.replies.follow(&request);
                    out(Message::Request(request));
                }
                Step::Element(_) => {}
                Step::More => return Fed::default(),
                Step::Failed(failed) => {
                    let lost = self.client.lost().unwrap_or(failed);
                    let bytes = bytes.len() + self.requests.held();
                    self.client = Standing::Out(lost);
                    self.requests.restart();
                    self.due = false;
                    self.replies.miss();
                    self.rhythm.miss();
                    return given_up(lost, bytes);
                }
            }
        }
    }

    fn align(&mut self) {
        self.rhythm.align();
        if self.server != Standing::InStep {
            self.replies.restart();
            self.server = Standing::InStep;
        }
    }

    fn server_bytes(
        &mut self,
        stamp: Timestamp,
        mut bytes: &[u8],
        out: &mut dyn FnMut(Message),
    ) -> Fed {
        let all = bytes.len();
        loop {
            let told = match self.server {
                Standing::InStep => true,
                Standing::Trying(_) => false,
                Standing::Out(lost) => return given_up(lost, all),
            };
            match self.replies.next(stamp, &mut bytes) {
                Step::Message(reply) => {
                    self.whole(Side::Server, bytes.len());
                    if !reply.push {
                        self.rhythm.reply();
                    }
                    if told {
                        out(Message::Reply(reply));
                        if self.replies.begins_replication(&reply) {
                            self.upgraded = true;
                            return given_up(Lost::Upgraded, bytes.len());
                        }
                    }
                }
                Step::Element(answer) if told => out(Message::Element(answer)),
                Step::Element(_) => {}
                Step::More => {
                    return match self.server.lost() {
                        None => Fed::default(),
                        Some(lost) => given_up(lost, all),
                    };
                }
                Step::Failed(failed) => {
                    let lost = self.server.lost().unwrap_or(failed);
                    let rest = bytes.len() + self.replies.held();
                    self.upgraded |= told && failed == Lost::Upgraded;
                    self.server = Standing::Out(lost);
                    self.replies.restart();
                    self.rhythm.miss();
                    return given_up(lost, if told { rest } else { all });
                }
            }
        }
    }

    fn hole(
        &mut self,
        side: Side,
        stamp: Timestamp,
        (length, cause): (u64, Cause),
        out: &mut dyn FnMut(Message),
    ) -> Fed {
        let reason = match cause {
            Cause::Budget | Cause::Shed => Lost::Budget,
            Cause::Record => Lost::Hole,
        };
        let (standing, beyond) = match side {
            Side::Client => (&mut self.client, self.requests.pass(length)),
            Side::Server => (&mut self.server, self.replies.pass(length)),
        };
        match (*standing, beyond) {
            (Standing::Out(lost), _) => Fed {
                lost: Some((lost, length)),
            },
            (Standing::InStep | Standing::Trying(_), 0) => {
                let fed = match side {
                    Side::Client => self.client_bytes(stamp, &[], out),
                    Side::Server => self.server_bytes(stamp, &[], out),
                };
                match (side, self.server.lost()) {
                    (Side::Server, Some(lost)) => Fed {
                        lost: Some((lost, length)),
                    },
                    _ => fed,
                }
            }
            (before, beyond) => {
                let lost = before.lost().unwrap_or(reason);
                *standing = Standing::Out(lost);
                self.rhythm.miss();
                let held = match side {
                    Side::Client => {
                        self.due = false;
                        self.replies.miss();
                        let held = self.requests.held();
                        self.requests.restart();
                        held
                    }
                    Side::Server => {
                        let held = self.replies.held();
                        self.replies.restart();
                        held
                    }
                };
                let bytes = match (side, before) {
                    // Given up as they came.
                    (Side::Server, Standing::Trying(_)) => length,
                    _ => beyond.saturating_add(held as u64),
                };
                Fed {
                    lost: Some((lost, bytes)),
                }
            }
        }
    }
}

fn given_up(lost: Lost, bytes: usize) -> Fed {
    Fed {
        lost: (bytes > 0).then_some((lost, bytes as u64)),
    }
}

impl Decoder for Redis {
    type Message<'a> = Message;

    fn feed(
        &mut self,
        side: Side,
        stamp: Timestamp,
        input: Input<'_>,
        out: &mut dyn FnMut(Message),
    ) -> Fed {
        let length = input.length();
        if length == 0 {
            return Fed::default();
        }
        if self.upgraded {
            return Fed {
                lost: Some((Lost::Upgraded, length)),
            };
        }
        if self.last.replace(side) != Some(side) {
            match side {
                Side::Client => self.client_turn(stamp),
                Side::Server => self.server_turn(),
            }
        }
        if side == Side::Server {
            self.rhythm.answered(stamp);
        }
        let [fed, _] = self.of(side);
        *fed = fed.saturating_add(length);
        let given_up = match (side, input) {
            (_, Input::Hole(length, cause)) => self.hole(side, stamp, (length, cause), out),
            (Side::Client, Input::Bytes(bytes)) => self.client_bytes(stamp, bytes, out),
            (Side::Server, Input::Bytes(bytes)) => self.server_bytes(stamp, bytes, out),
        };
        let (standing, between) = match side {
            Side::Client => (self.client, self.requests.at_boundary()),
            Side::Server => (self.server, self.replies.at_boundary()),
        };
        if between || self.upgraded || matches!(standing, Standing::Out(_)) {
            self.whole(side, 0);
        }
        given_up
    }

    fn passed(&self, side: Side) -> u64 {
        let [client, server] = self.passed;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    fn in_step(&self, side: Side) -> bool {
        let standing = match side {
            Side::Client => self.client,
            Side::Server => self.server,
        };
        !self.upgraded && !matches!(standing, Standing::Out(_))
    }

    /// No message of the protocol ends with the stream.
    fn held(&self) -> u64 {
        // Of a server that is not believed, all was given up as it came.
        let replies = match self.server {
            Standing::InStep => self.replies.held(),
            Standing::Trying(_) | Standing::Out(_) => 0,
        };
        (self.requests.held() + replies) as u64
    }

    fn finish(&mut self, _: Side, _: Timestamp, _: &mut dyn FnMut(Message)) {}
}
