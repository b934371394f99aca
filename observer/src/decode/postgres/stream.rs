//! One direction, message by message, as long as it is in step.

use std::fmt;

use super::framing::{self, Header, TAGGED, UNTAGGED};
use super::keep::{Keeper, Shape};
use crate::decode::{Lost, Side, Span};
use crate::time::Timestamp;

/// A buffer that grew beyond this is given back once it is empty: most connections are idle.
const RETAINED: usize = 512;

/// Where a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Before the untagged messages of a beginning, or before anything was seen.
    Start,
    /// Between tagged messages.
    Head,
    /// Inside a message.
    Body,
    /// Out of step, and why.
    Adrift(Lost),
}

/// A whole message.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) kind: u32,
    pub(super) body: &'a [u8],
    pub(super) condensed: bool,
    pub(super) span: Span,
}

/// What follows a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Tagged messages.
    Tagged,
    /// Another untagged message.
    Untagged,
    /// Nothing of ours.
    Opaque(Lost),
}

/// Why walking ended before the bytes did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Behind the last message nothing is ours.
    Opaque(Lost),
    /// What should begin a message does not; so many bytes of it had been taken before.
    Malformed(usize),
}

/// One direction. Its `Debug` shows nothing of what it holds.
pub(super) struct Stream {
    side: Side,
    pub(super) step: Step,
    header: Header,
    keeper: Keeper,
    /// Bytes of the body still to come.
    left: u32,
    began: Timestamp,
    /// Bytes that passed, holes included.
    pub(super) fed: u64,
    /// A head that is not whole, a condensed body, or what resynchronising looks at.
    pub(super) held: Vec<u8>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("side", &self.side)
            .field("step", &self.step)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            step: Step::Start,
            header: Header::default(),
            keeper: Keeper::new(Shape::default()),
            left: 0,
            began: Timestamp::default(),
            fed: 0,
            held: Vec::new(),
        }
    }

    pub(super) fn in_step(&self) -> bool {
        matches!(self.step, Step::Head | Step::Body)
    }

    /// How far it is through with what passed: to the first byte of a message that is not whole.
    pub(super) fn passed(&self) -> u64 {
        let begun = match self.step {
            Step::Body => {
                let head = match u8::try_from(self.header.kind) {
                    Ok(_) => TAGGED,
                    Err(_) => UNTAGGED,
                };
                head as u64 + u64::from(self.header.body.saturating_sub(self.left))
            }
            Step::Start | Step::Head | Step::Adrift(_) => self.held.len() as u64,
        };
        self.fed.saturating_sub(begun)
    }

    /// Takes bytes; what remains of them on a stop is returned with it.
    pub(super) fn walk<'a>(
        &mut self,
        mut bytes: &'a [u8],
        stamp: Timestamp,
        deliver: &mut dyn FnMut(Raw<'_>) -> Next,
    ) -> Option<(Stop, &'a [u8])> {
        while !bytes.is_empty() {
            if self.step == Step::Body {
                let (taken, rest) = bytes
                    .split_at_checked(self.left as usize)
                    .unwrap_or((bytes, &[]));
                self.keeper.bytes(taken, &mut self.held);
                self.left = self.left.saturating_sub(clamp(taken.len() as u64));
                bytes = rest;
                if self.left == 0
                    && let Some(stop) = self.condensed(stamp, deliver)
                {
                    return Some((stop, bytes));
                }
                continue;
            }
            let before = self.held.len();
            let at_head = bytes;
            if !self.head(&mut bytes, stamp) {
                return None;
            }
            let Some(header) = self.read_head(before, at_head) else {
                return Some((Stop::Malformed(before), at_head));
            };
            self.release();
            self.header = header;
            let Some((body, rest)) = bytes.split_at_checked(header.body as usize) else {
                self.step = Step::Body;
                self.left = header.body;
                self.keeper = Keeper::new(header.shape);
                continue;
            };
            bytes = rest;
            let raw = self.raw(cut(body, header.shape), false, stamp);
            if let Some(stop) = self.next(deliver(raw)) {
                return Some((stop, bytes));
            }
        }
        None
    }

    /// So many bytes were not captured. `Err` says how many of them are beyond the message that
    /// the hole began in, and how many held bytes of a head are void.
    pub(super) fn skip(
        &mut self,
        length: u64,
        stamp: Timestamp,
        deliver: &mut dyn FnMut(Raw<'_>) -> Next,
    ) -> Result<Option<Stop>, (u64, usize)> {
        if self.step != Step::Body {
            return Err((length, self.held.len()));
        }
        let inside = self.left.min(clamp(length));
        self.keeper.hole(inside, &mut self.held);
        self.left = self.left.saturating_sub(inside);
        let beyond = length.saturating_sub(u64::from(inside));
        let stop = if self.left == 0 {
            self.condensed(stamp, deliver)
        } else {
            None
        };
        if beyond > 0 && stop.is_none() {
            Err((beyond, 0))
        } else {
            Ok(stop)
        }
    }

    /// Empties the buffer.
    pub(super) fn release(&mut self) {
        self.held.clear();
        if self.held.capacity() > RETAINED {
            self.held = Vec::new();
        }
    }

    /// Takes a head's bytes; `false` where it is not whole yet (they are held).
    fn head(&mut self, bytes: &mut &[u8], stamp: Timestamp) -> bool {
        let need = if self.step == Step::Start {
            UNTAGGED
        } else {
            TAGGED
        };
        if self.held.is_empty() {
            self.began = stamp;
            if let Some((_, rest)) = bytes.split_at_checked(need) {
                *bytes = rest;
                return true;
            }
        }
        let missing = need.saturating_sub(self.held.len());
        let (taken, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.held.extend_from_slice(taken);
        *bytes = rest;
        self.held.len() >= need
    }

    fn read_head(&self, before: usize, at_head: &[u8]) -> Option<Header> {
        let head = if before == 0 { at_head } else { &self.held };
        if self.step == Step::Start {
            head.first_chunk().and_then(|head| framing::untagged(*head))
        } else {
            head.first_chunk()
                .and_then(|head| framing::tagged(self.side, *head))
        }
    }

    fn condensed(
        &mut self,
        stamp: Timestamp,
        deliver: &mut dyn FnMut(Raw<'_>) -> Next,
    ) -> Option<Stop> {
        let next = deliver(self.raw(&self.held, true, stamp));
        self.release();
        self.next(next)
    }

    fn next(&mut self, next: Next) -> Option<Stop> {
        self.step = match next {
            Next::Tagged => Step::Head,
            Next::Untagged => Step::Start,
            Next::Opaque(why) => return Some(Stop::Opaque(why)),
        };
        None
    }

    fn raw<'a>(&self, body: &'a [u8], condensed: bool, stamp: Timestamp) -> Raw<'a> {
        Raw {
            kind: self.header.kind,
            body,
            condensed,
            span: Span {
                began: self.began,
                ended: stamp,
            },
        }
    }
}

/// A body in place is read no further than a condensed one would be.
fn cut(body: &[u8], shape: Shape) -> &[u8] {
    match shape {
        Shape::Prefix(length) => body.get(..length as usize).unwrap_or(body),
        Shape::Row | Shape::Bind => body,
    }
}

fn clamp(length: u64) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
