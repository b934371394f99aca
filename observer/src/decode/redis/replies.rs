//! What a server sends: replies of RESP2 and RESP3, nested as they may be, and pushes.
//!
//! A reply is walked without recursion: each open aggregate is a [`Frame`] with the number of
//! elements still to come. Values are skipped by length.
//!
//! ```text
//!   *3 CR LF $3 CR LF foo CR LF *2 CR LF _ CR LF :7 CR LF $-1 CR LF
//!   └ frame: 3 to come           └ frame: 2 to come        └ value of the first frame: the end
//! ```

mod frames;
mod words;

use smallvec::SmallVec;

use self::frames::{Done, Frame, Kind};
use self::words::answer_of;
pub(crate) use self::words::error_word;
use super::command::Role;
use super::line::{Hold, Length, Skip, signed, take_line, take_text};
use super::{Aggregate, Answer, Name, Reply, Request, Status, Step};
use crate::decode::{Lost, Span};
use crate::time::Timestamp;

/// Aggregates within one another that are followed; no Redis command nests half as deep.
const DEPTH: usize = 32;

// Twice, because their list doubles as it grows.
const _: () = assert!(2 * DEPTH * size_of::<Frame>() <= 2048);

/// Bytes of a line that are looked at.
const LINE: usize = 32;

/// Longest first element of an array that is looked at: `punsubscribe`.
const LONGEST_NAME: u64 = 12;

/// The server's direction.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a condition of its own that the conversation sets and clears by itself"
)]
pub(super) struct Replies {
    /// Yield the elements of the outermost aggregate, too.
    elements: bool,
    /// The client asked for the stream of replication.
    replication: bool,
    /// Acknowledgements that the subscriptions queued since `MULTI` will have beyond one each; the
    /// reply to `EXEC` holds them all, and its length counts commands. `None` where some of the
    /// commands were not seen.
    surplus: Option<u64>,
    /// Between `MULTI` and `EXEC`.
    queueing: bool,
    state: State,
    /// A line of which more is to come, or the beginning of a body.
    hold: Hold<LINE>,
    frames: SmallVec<[Frame; 2]>,
    /// A value that is over and not yet entered into its frame.
    done: Option<Done>,
    /// Stamp of the message's first byte.
    began: Timestamp,
    /// Attributes of the message have passed, the message itself not.
    attributed: bool,
    name: Name,
    /// The name of the aggregate within the outermost one.
    inner: Name,
    number: i64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Before a type's sign.
    #[default]
    Start,
    /// Behind a sign, in a line that matters as a whole.
    Line(u8),
    /// Behind a sign, in a line of any length.
    Text(u8),
    /// In a body; whether it is also looked at.
    Body {
        sign: u8,
        skip: Skip,
        looked_at: bool,
    },
}

impl Replies {
    /// Begins anew, at what must be the first byte of a message.
    pub(super) fn restart(&mut self) {
        *self = Self {
            elements: self.elements,
            replication: self.replication,
            surplus: self.surplus,
            queueing: self.queueing,
            ..Self::default()
        };
    }

    /// Follows what a command changes for the replies to come.
    pub(super) fn follow(&mut self, request: &Request) {
        match request.command.role {
            Role::Exec => {
                self.elements = true;
                self.queueing = false;
            }
            Role::Multi => {
                self.surplus = Some(0);
                self.queueing = true;
            }
            Role::Subscribe(_) | Role::Unsubscribe(_) if self.queueing => {
                let more = request.arguments.saturating_sub(1);
                self.surplus = self.surplus.map(|surplus| surplus.saturating_add(more));
            }
            Role::Replicate => self.replication = true,
            _ => {}
        }
    }

    /// Commands were not seen.
    pub(super) fn miss(&mut self) {
        self.surplus = None;
        self.queueing = false;
    }

    /// Whether the next byte is the first of a message.
    pub(super) fn at_boundary(&self) -> bool {
        matches!(self.state, State::Start) && self.frames.is_empty() && !self.attributed
    }

    /// Bytes held back.
    pub(super) fn held(&self) -> usize {
        self.hold.len()
    }

    /// Whether the stream of replication follows this reply.
    pub(super) fn begins_replication(&self, reply: &Reply) -> bool {
        self.replication && reply.answer == Answer::Status(Status::Resync)
    }

    /// Passes over bytes that were not captured; how many of them may have held a value's head.
    pub(super) fn pass(&mut self, length: u64) -> u64 {
        match &mut self.state {
            State::Body {
                skip, looked_at, ..
            } => {
                *looked_at = false;
                self.hold.clear();
                skip.pass(length)
            }
            _ => length,
        }
    }

    /// Goes on to the end of the next message or element, or of `bytes`.
    pub(super) fn next(&mut self, stamp: Timestamp, bytes: &mut &[u8]) -> Step<Reply> {
        loop {
            if let Some(done) = self.done.take() {
                if let Some(step) = self.enter(done, stamp) {
                    return step;
                }
                continue;
            }
            let before = *bytes;
            match self.advance(stamp, bytes) {
                Ok(true) => {}
                Ok(false) => return Step::More,
                Err(lost) => {
                    *bytes = before;
                    return Step::Failed(lost);
                }
            }
        }
    }

    /// Takes one line, body or sign; `false` where `bytes` ended first.
    fn advance(&mut self, stamp: Timestamp, bytes: &mut &[u8]) -> Result<bool, Lost> {
        match self.state {
            State::Start => {
                let Some((sign, rest)) = bytes.split_first() else {
                    return Ok(false);
                };
                self.state = match sign {
                    b'+' | b'-' | b'(' | b',' => State::Text(*sign),
                    b'$' | b'*' | b':' | b'_' | b'#' | b'%' | b'~' | b'>' | b'|' | b'!' | b'='
                    | b';' | b'.' => State::Line(*sign),
                    // A master that prepares the stream sends these meanwhile.
                    b'\n' if self.replication && self.frames.is_empty() => State::Start,
                    _ => return Err(Lost::Malformed),
                };
                *bytes = rest;
                if self.frames.is_empty() && !self.attributed {
                    self.began = stamp;
                    self.name = Name::Other;
                    self.number = 0;
                }
            }
            State::Text(sign) => {
                let top = self.frames.is_empty();
                let name = self.is_name();
                let Some((answer, named)) = take_text(&mut self.hold, bytes, |text| {
                    (answer_of(sign, text, top), name.then(|| Name::of(text)))
                }) else {
                    return Ok(false);
                };
                if let Some(named) = named {
                    self.called(named);
                }
                self.state = State::Start;
                self.done = Some(Done::Value(answer));
            }
            State::Line(sign @ (b':' | b'_' | b'#' | b'.')) => {
                let read = |line: &[u8]| match (sign, line) {
                    (b':', digits) => signed(digits),
                    (b'_' | b'.', b"") | (b'#', b"t" | b"f") => Ok(0),
                    _ => Err(Lost::Malformed),
                };
                let Some(number) = take_line(&mut self.hold, bytes, read)? else {
                    return Ok(false);
                };
                self.state = State::Start;
                if sign == b'.' {
                    return self.close_streamed().map(|()| true);
                }
                if sign == b':' && self.frames.len() == 1 {
                    self.number = number;
                }
                let answer = if sign == b'_' {
                    Answer::Nil
                } else {
                    Answer::Value
                };
                self.done = Some(Done::Value(answer));
            }
            State::Line(sign) => {
                let top = self.frames.is_empty();
                let replication = self.replication && top && sign == b'$';
                let read = |line: &[u8]| match Length::parse(line) {
                    // `$EOF:` or `$length` and no reply: the snapshot that opens the stream.
                    Ok(Length::Known(_)) | Err(_) if replication => Err(Lost::Upgraded),
                    length => length,
                };
                let Some(length) = take_line(&mut self.hold, bytes, read)? else {
                    return Ok(false);
                };
                self.open(sign, length)?;
            }
            State::Body {
                sign,
                skip,
                looked_at,
            } => return self.body(sign, skip, looked_at, bytes),
        }
        Ok(true)
    }

    /// Begins what a sign and a length announce.
    fn open(&mut self, sign: u8, length: Length) -> Result<(), Lost> {
        let top = self.frames.is_empty();
        self.state = State::Start;
        let in_chunks = self.frames.last().is_some_and(|f| f.kind == Kind::Chunks);
        if in_chunks != (sign == b';') {
            return Err(Lost::Malformed);
        }
        let kind = match sign {
            b'*' | b'~' | b'%' => Kind::Plain,
            b'>' if top => Kind::Push,
            b'>' => Kind::Within,
            b'|' => Kind::Aside,
            _ => Kind::Chunks,
        };
        let each = if matches!(sign, b'%' | b'|') { 2 } else { 1 };
        match (sign, length) {
            (b'$' | b'*', Length::Nil) => self.done = Some(Done::Value(Answer::Nil)),
            (b';', Length::Known(0)) => return self.close_streamed(),
            (b'$' | b'=' | b'!' | b';', Length::Known(length)) => {
                let looked_at = sign == b'!' || (length <= LONGEST_NAME && self.is_name());
                let skip = Skip::new(length);
                self.state = State::Body {
                    sign,
                    skip,
                    looked_at,
                };
            }
            (b'*' | b'~' | b'%' | b'|' | b'>', Length::Known(count)) => {
                self.push(kind, Some(count * each))?;
            }
            (b'$' | b'*' | b'~' | b'%' | b'|' | b'>', Length::Streamed) => self.push(kind, None)?,
            _ => return Err(Lost::Malformed),
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, left: Option<u64>) -> Result<(), Lost> {
        let frame = Frame {
            left,
            kind,
            begun: false,
            nils: 0,
            values: 0,
        };
        if left == Some(0) {
            self.done = Some(self.outcome(frame));
        } else if self.frames.len() < DEPTH {
            if self.frames.len() == 1 {
                self.inner = Name::Other;
            }
            self.frames.push(frame);
        } else {
            return Err(Lost::Malformed);
        }
        Ok(())
    }

    fn body(
        &mut self,
        sign: u8,
        mut skip: Skip,
        looked_at: bool,
        bytes: &mut &[u8],
    ) -> Result<bool, Lost> {
        let before = *bytes;
        let over = skip.take(bytes)?;
        if looked_at {
            let taken = before.len() - bytes.len();
            self.hold.push(before.get(..taken).unwrap_or_default());
        }
        if !over {
            self.state = State::Body {
                sign,
                skip,
                looked_at,
            };
            return Ok(false);
        }
        self.state = State::Start;
        let text = self.hold.get();
        let text = text.strip_suffix(b"\r\n").unwrap_or(text);
        match sign {
            b'!' => self.done = Some(Done::Value(Answer::Error(error_word(text)))),
            // Of a chunk, the string it belongs to is not over.
            b';' => {}
            _ => {
                if looked_at {
                    self.called(Name::of(text));
                }
                self.done = Some(Done::Value(Answer::Value));
            }
        }
        self.hold.clear();
        Ok(true)
    }

    /// Whether the value that begins is the first element of the outermost aggregate, or of a push
    /// right within it.
    fn is_name(&self) -> bool {
        match self.frames.as_slice() {
            [frame] => !frame.begun && matches!(frame.kind, Kind::Plain | Kind::Push),
            [_, frame] => !frame.begun && frame.kind == Kind::Within,
            _ => false,
        }
    }

    /// The value that [`Self::is_name`] said is a name was this one.
    fn called(&mut self, name: Name) {
        match self.frames.len() {
            1 => self.name = name,
            _ => self.inner = name,
        }
    }

    /// What a push within a reply is: aside, unless it acknowledges a subscription that `EXEC`
    /// ran.
    fn within(&mut self, aggregate: Aggregate) -> Done {
        let acknowledges = self.frames.len() == 1
            && matches!(self.inner, Name::Subscribed(_) | Name::Unsubscribed(_));
        match &mut self.surplus {
            _ if !acknowledges => Done::Aside,
            None => Done::Unknown,
            Some(0) => Done::Value(Answer::Aggregate(Aggregate {
                name: self.inner,
                ..aggregate
            })),
            Some(surplus) => {
                *surplus -= 1;
                Done::Aside
            }
        }
    }

    /// The end marker of what was begun without a count.
    fn close_streamed(&mut self) -> Result<(), Lost> {
        match self.frames.pop() {
            Some(frame) if frame.left.is_none() => {
                self.done = Some(self.outcome(frame));
                Ok(())
            }
            _ => Err(Lost::Malformed),
        }
    }

    fn outcome(&mut self, frame: Frame) -> Done {
        let aggregate = Aggregate {
            name: Name::Other,
            number: 0,
            nils: frame.nils,
            values: frame.values,
        };
        match frame.kind {
            Kind::Within => self.within(aggregate),
            Kind::Aside => Done::Aside,
            Kind::Chunks => Done::Value(Answer::Value),
            Kind::Push => Done::Push(self.named(aggregate)),
            Kind::Plain if self.frames.is_empty() => {
                Done::Value(Answer::Aggregate(self.named(aggregate)))
            }
            Kind::Plain => Done::Value(Answer::Aggregate(aggregate)),
        }
    }

    fn named(&self, aggregate: Aggregate) -> Aggregate {
        Aggregate {
            name: self.name,
            number: self.number,
            ..aggregate
        }
    }

    /// Enters a value into the aggregate around it; without one, it is a message.
    fn enter(&mut self, done: Done, stamp: Timestamp) -> Option<Step<Reply>> {
        if matches!(done, Done::Unknown) {
            return Some(Step::Failed(Lost::Joined));
        }
        let Some(frame) = self.frames.last_mut() else {
            let (answer, push) = match done {
                Done::Value(answer) => (answer, false),
                Done::Push(aggregate) => (Answer::Aggregate(aggregate), true),
                Done::Aside | Done::Unknown => {
                    self.attributed = true;
                    return None;
                }
            };
            self.attributed = false;
            let span = Span {
                began: self.began,
                ended: stamp,
            };
            return Some(Step::Message(Reply { answer, push, span }));
        };
        let Done::Value(answer) = done else {
            return None;
        };
        frame.begun = true;
        match answer {
            Answer::Nil => frame.nils = frame.nils.saturating_add(1),
            Answer::Error(_) => {}
            _ => frame.values = frame.values.saturating_add(1),
        }
        let element = self.elements && frame.kind == Kind::Plain;
        if let Some(left) = &mut frame.left {
            *left -= 1;
            if *left == 0 {
                let frame = *frame;
                self.frames.pop();
                self.done = Some(self.outcome(frame));
                let outermost = self.frames.is_empty();
                return (element && outermost).then_some(Step::Element(answer));
            }
        }
        let outermost = self.frames.len() == 1;
        (element && outermost).then_some(Step::Element(answer))
    }
}
