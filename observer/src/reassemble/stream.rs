//! One direction: segments in as they came, each position out once and in order.
//!
//! Two marks suffice. `next` is the first position not handed on. The `floor` a segment brings is
//! the first position that TCP may not have accepted: what is missing below it never comes, for
//! its record is lost. What lies above it may still come, so a segment there waits.

use std::collections::VecDeque;

use observer_ebpf::Direction;

use super::{Cause, Counts, Input, Limits, What};
use crate::ledger::{Fate, Ledger};

/// What a stream counts with, and its bounds.
pub(super) struct Books<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) limits: &'a Limits,
    pub(super) counts: &'a mut Counts,
}

impl Books<'_> {
    /// These bytes came before.
    fn repeated(&self, bytes: u64) {
        if bytes > 0 {
            self.ledger.receive(bytes);
            self.ledger.settle(Fate::SkippedRepeated, bytes);
        }
    }
}

/// Payload at its place: `head`, then bytes that were not captured, then `tail`.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) position: u64,
    /// At least the bytes of head and tail.
    pub(super) length: u64,
    pub(super) head: &'a [u8],
    pub(super) tail: &'a [u8],
    /// Why bytes were not captured, if any were not.
    pub(super) cause: Cause,
}

impl Segment<'_> {
    fn end(&self) -> u64 {
        self.position.saturating_add(self.length)
    }

    /// The part that lies in `[from, to)`.
    fn between(&self, from: u64, to: u64) -> Self {
        let from = from.clamp(self.position, self.end());
        let to = to.clamp(from, self.end());
        let tail_at = self.end().saturating_sub(self.tail.len() as u64);
        Self {
            position: from,
            length: to - from,
            head: part(self.head, self.position, from, to),
            tail: part(self.tail, tail_at, from, to),
            cause: self.cause,
        }
    }

    fn deliver(&self, direction: Direction, out: &mut impl FnMut(What<'_>)) {
        if !self.head.is_empty() {
            let input = Input::Bytes(self.head);
            out(What::Data(direction, input, self.position));
        }
        let captured = self.head.len() as u64 + self.tail.len() as u64;
        let hole = self.length.saturating_sub(captured);
        if hole > 0 {
            let position = self.position.saturating_add(self.head.len() as u64);
            let input = Input::Hole(hole, self.cause);
            out(What::Data(direction, input, position));
        }
        if !self.tail.is_empty() {
            let position = self.end().saturating_sub(self.tail.len() as u64);
            out(What::Data(direction, Input::Bytes(self.tail), position));
        }
    }
}

/// What of `bytes`, which begin at position `at`, lies in `[from, to)`.
fn part(bytes: &[u8], at: u64, from: u64, to: u64) -> &[u8] {
    let index = |position: u64| {
        usize::try_from(position.saturating_sub(at)).map_or(bytes.len(), |i| i.min(bytes.len()))
    };
    bytes.get(index(from)..index(to)).unwrap_or_default()
}

/// A segment that waits, with its own copy of the payload: head, then tail.
struct Held {
    position: u64,
    length: u64,
    head: usize,
    bytes: Box<[u8]>,
    cause: Cause,
}

impl Held {
    fn new(segment: &Segment<'_>) -> Self {
        Self {
            position: segment.position,
            length: segment.length,
            head: segment.head.len(),
            bytes: [segment.head, segment.tail].concat().into_boxed_slice(),
            cause: segment.cause,
        }
    }

    fn segment(&self) -> Segment<'_> {
        let (head, tail) = self
            .bytes
            .split_at_checked(self.head)
            .unwrap_or((&self.bytes, &[]));
        Segment {
            position: self.position,
            length: self.length,
            head,
            tail,
            cause: self.cause,
        }
    }
}

/// One direction of a connection.
pub(super) struct Stream {
    direction: Direction,
    /// The first position not handed on; `None` where nothing is known.
    next: Option<u64>,
    /// A segment has come, so that `next` is certain.
    begun: bool,
    /// Where FIN said that the direction ends; taken once told.
    end: Option<u64>,
    /// By position, without overlap, all above `next`.
    held: VecDeque<Held>,
    held_bytes: usize,
}

impl Stream {
    pub(super) const fn new(direction: Direction) -> Self {
        Self {
            direction,
            next: None,
            begun: false,
            end: None,
            held: VecDeque::new(),
            held_bytes: 0,
        }
    }

    /// Whether it holds no more than it may.
    pub(super) fn is_within(&self, limits: &Limits) -> bool {
        let bytes: usize = self.held.iter().map(|held| held.bytes.len()).sum();
        self.held.len() <= limits.held_segments && bytes <= limits.held_bytes
    }

    /// What came before `position` is not ours to see, unless a segment says otherwise.
    pub(super) fn begin(&mut self, position: u64) {
        self.next.get_or_insert(position);
    }

    /// Takes a segment; `floor` is at most its position.
    #[inline]
    pub(super) fn take(
        &mut self,
        segment: Segment<'_>,
        floor: u64,
        fin: bool,
        books: &mut Books<'_>,
        out: &mut impl FnMut(What<'_>),
    ) {
        let mut next = self.next.unwrap_or(floor);
        if !self.begun {
            self.begun = true;
            next = next.min(segment.position);
        }
        if next < floor {
            next = self.pass(next, floor, books, out);
        }
        if segment.length > 0 {
            if next == segment.position && self.held.is_empty() {
                // Nearly all segments: in order, nothing waits.
                next = segment.end();
                books.ledger.receive(segment.length);
                segment.deliver(self.direction, out);
            } else if segment.position <= next {
                next = self.follow(next, &segment, books, out);
            } else {
                self.wait(&segment, books);
            }
        }
        self.next = Some(next);
        if fin {
            self.end.get_or_insert(segment.end());
        }
        if self.end.is_some_and(|end| end <= next) {
            // A position no segment reaches: FIN is told once.
            self.end = Some(u64::MAX);
            out(What::Finished(self.direction));
        }
    }

    /// Everything below `floor` was accepted: hands on what is here, and holes for the rest.
    fn pass(
        &mut self,
        mut next: u64,
        floor: u64,
        books: &mut Books<'_>,
        out: &mut impl FnMut(What<'_>),
    ) -> u64 {
        while next < floor {
            let waiting = self.held.front().map(|held| held.position);
            let missing = waiting.unwrap_or(floor).min(floor).saturating_sub(next);
            if missing > 0 {
                books.counts.missing_bytes = books.counts.missing_bytes.wrapping_add(missing);
                let hole = Input::Hole(missing, Cause::Record);
                out(What::Data(self.direction, hole, next));
                next += missing;
            }
            next = self.join(next, books, out);
        }
        next
    }

    /// Hands on what waits for exactly `next`.
    fn join(
        &mut self,
        mut next: u64,
        books: &mut Books<'_>,
        out: &mut impl FnMut(What<'_>),
    ) -> u64 {
        while self.held.front().is_some_and(|held| held.position <= next) {
            let Some(held) = self.held.pop_front() else {
                break;
            };
            self.held_bytes -= held.bytes.len();
            books.ledger.release(held.length);
            next = held.position + held.length;
            held.segment().deliver(self.direction, out);
        }
        next
    }

    /// A segment that begins at or below `next`: hands on what of it is new, and what waited.
    fn follow(
        &mut self,
        mut next: u64,
        segment: &Segment<'_>,
        books: &mut Books<'_>,
        out: &mut impl FnMut(What<'_>),
    ) -> u64 {
        let mut new = 0;
        loop {
            next = self.join(next, books, out);
            let to = self
                .held
                .front()
                .map_or(segment.end(), |held| held.position.min(segment.end()));
            if next >= to {
                break;
            }
            let piece = segment.between(next, to);
            new += piece.length;
            next = to;
            books.ledger.receive(piece.length);
            piece.deliver(self.direction, out);
        }
        books.repeated(segment.length - new);
        next
    }

    /// A segment above `next`: holds what of it is not held yet.
    fn wait(&mut self, segment: &Segment<'_>, books: &mut Books<'_>) {
        let mut new = 0;
        let mut from = segment.position;
        let mut index = self
            .held
            .partition_point(|held| held.position + held.length <= from);
        while from < segment.end() {
            let (to, beyond) = match self.held.get(index) {
                Some(held) => (held.position, held.position + held.length),
                None => (u64::MAX, u64::MAX),
            };
            let piece = segment.between(from, to);
            if from < to && piece.length > 0 {
                new += piece.length;
                if self.hold(index, &piece, books) {
                    index += 1;
                }
            }
            from = beyond;
            index += 1;
        }
        books.repeated(segment.length - new);
    }

    /// Holds a piece at an index, or, at the bound, drops it: its place becomes a hole whose bytes
    /// are settled here and now.
    fn hold(&mut self, index: usize, piece: &Segment<'_>, books: &mut Books<'_>) -> bool {
        let copied = piece.head.len() + piece.tail.len();
        books.ledger.receive(piece.length);
        if self.held.len() >= books.limits.held_segments
            || self.held_bytes + copied > books.limits.held_bytes
        {
            books.ledger.settle(Fate::LostReassembly, piece.length);
            return false;
        }
        self.held_bytes += copied;
        books.ledger.hold(piece.length);
        self.held.insert(index, Held::new(piece));
        true
    }

    /// The connection is over, and TCP had taken this direction up to `total`: hands on all that
    /// waits, with holes for what was missing.
    ///
    /// FIN takes a sequence number too, so a `total` one above what came says nothing.
    pub(super) fn close(
        &mut self,
        total: u64,
        books: &mut Books<'_>,
        out: &mut impl FnMut(What<'_>),
    ) {
        let Some(next) = self.next else { return };
        let held = self
            .held
            .back()
            .map_or(next, |held| held.position + held.length);
        let floor = if total > held.max(next).saturating_add(1) {
            total
        } else {
            held
        };
        self.next = Some(self.pass(next, floor, books, out));
    }

    /// The connection is forgotten: what waits is lost.
    pub(super) fn evict(&mut self, ledger: &Ledger) {
        for held in self.held.drain(..) {
            ledger.release(held.length);
            ledger.settle(Fate::LostEvicted, held.length);
        }
        self.held_bytes = 0;
    }
}
