//! The bounded table of connections.

use std::collections::VecDeque;
use std::sync::Arc;

use observer_ebpf::{Direction, Flags, Header, Identity, Kind, Opener, Protocol, Reason};
use schnellru::{ByLength, LruMap};

use super::early::{Early, Waiting};
use super::stream::{Books, Segment, Stream};
use super::{Cause, ConnectionKey, Counts, Event, Limits, What};
use crate::capture::record::{Body, Record};
use crate::ledger::Ledger;
use crate::time::Timestamp;

/// Nanoseconds between two reports of a connection's round-trip time.
const ROUND_TRIP_INTERVAL: u64 = 1_000_000_000;

/// Nanoseconds of silence after which a connection that is older than the agent, and whose own end
/// has said its last, is over. Nobody tells of its end where the peer's FIN meets a socket that only
/// waits for time to pass; TCP itself waits no longer (`tcp_fin_timeout`).
const LINGER: u64 = 60_000_000_000;

/// Connections by key, each with an `S` of the owner's: one look-up per record serves both.
pub struct Table<S> {
    connections: LruMap<u64, Box<Entry<S>>, ByLength, foldhash::fast::RandomState>,
    early: Early,
    /// Connections whose end may not be told, and when they said their last; each once.
    leaving: VecDeque<(u64, u64)>,
    limits: Limits,
    ledger: Arc<Ledger>,
    counts: Counts,
}

struct Entry<S> {
    received: Stream,
    sent: Stream,
    round_trip_told: u64,
    /// When its last segment passed.
    touched: u64,
    /// Older than the agent.
    joined: bool,
    state: S,
}

impl<S: Default> Entry<S> {
    fn new() -> Self {
        Self {
            received: Stream::new(Direction::Received),
            sent: Stream::new(Direction::Sent),
            round_trip_told: 0,
            touched: 0,
            joined: false,
            state: S::default(),
        }
    }
}

impl<S> Entry<S> {
    /// Takes what arrived on the listener before this connection existed.
    fn join(
        &mut self,
        frame: &Frame,
        identity: &Identity,
        early: Vec<(u64, Waiting)>,
        books: &mut Books<'_>,
        each: &mut impl FnMut(&mut S, Event<'_>),
    ) {
        let state = &mut self.state;
        for (position, waiting) in early {
            books.counts.early_joined += 1;
            let frame = Frame {
                time: waiting.time,
                ..*frame
            };
            let segment = Segment {
                position,
                length: u64::from(waiting.length),
                head: &waiting.bytes,
                tail: &[],
                cause: Cause::Budget,
            };
            // Of two segments the second may have come first: what lies before it is then still to
            // come, to the connection's own socket.
            let take = &mut |what: What<'_>| each(state, frame.event(what));
            self.received.begin(position.min(identity.received));
            self.received.take(segment, 0, false, books, take);
        }
    }

    #[inline]
    fn segment(
        &mut self,
        frame: &Frame,
        header: &Header,
        head: &[u8],
        tail: &[u8],
        books: &mut Books<'_>,
        each: &mut impl FnMut(&mut S, Event<'_>),
    ) {
        let state = &mut self.state;
        self.touched = header.time;
        if header.flags & Flags::RETRANSMITTED == 0 {
            let segment = Segment {
                position: header.position,
                length: u64::from(header.length),
                head,
                tail,
                cause: match header.flags & Flags::SHED {
                    0 => Cause::Budget,
                    _ => Cause::Shed,
                },
            };
            let (stream, ahead) = match Direction::from_byte(header.direction) {
                Some(Direction::Sent) => (&mut self.sent, 0),
                Some(Direction::Received) => (&mut self.received, header.ahead),
                None => return,
            };
            let floor = header.position.saturating_sub(u64::from(ahead));
            let fin = header.flags & Flags::FIN != 0;
            stream.take(segment, floor, fin, books, &mut |what| {
                each(state, frame.event(what));
            });
        } else {
            each(state, frame.event(What::Retransmitted));
        }
        if header.round_trip_us != 0
            && header.time.saturating_sub(self.round_trip_told) >= ROUND_TRIP_INTERVAL
        {
            self.round_trip_told = header.time;
            each(state, frame.event(What::RoundTrip(header.round_trip_us)));
        }
    }
}

/// What all events of a record share.
#[derive(Clone, Copy)]
struct Frame {
    connection: ConnectionKey,
    time: Timestamp,
    protocol: Protocol,
}

impl Frame {
    fn of(header: &Header) -> Self {
        Self {
            connection: ConnectionKey(header.cookie),
            time: Timestamp(header.time),
            protocol: Protocol::from_byte(header.protocol).unwrap_or(Protocol::Undecided),
        }
    }

    fn event<'a>(&self, what: What<'a>) -> Event<'a> {
        Event {
            connection: self.connection,
            time: self.time,
            protocol: self.protocol,
            what,
        }
    }
}

impl<S: Default> Table<S> {
    /// An empty table.
    #[must_use]
    pub fn new(limits: Limits, ledger: Arc<Ledger>) -> Self {
        let length = ByLength::new(limits.connections.max(1));
        Self {
            connections: LruMap::with_hasher(length, foldhash::fast::RandomState::default()),
            early: Early::default(),
            leaving: VecDeque::new(),
            limits,
            ledger,
            counts: Counts::default(),
        }
    }

    /// Connections at this moment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Whether no direction, and nothing before its connection, holds more than [`Limits`] says.
    #[must_use]
    pub fn is_within_bounds(&self) -> bool {
        let mut streams = self
            .connections
            .iter()
            .flat_map(|(_, entry)| [&entry.received, &entry.sent]);
        let connections = self.limits.connections.max(1) as usize;
        self.connections.len() <= connections
            && self.leaving.len() <= connections
            && streams.all(|stream| stream.is_within(&self.limits))
            && self.early.is_within(&self.limits)
    }

    /// What was met so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a record and hands on what it makes known.
    #[inline]
    pub fn record(&mut self, record: &Record<'_>, each: &mut impl FnMut(&mut S, Event<'_>)) {
        let header = &record.header;
        match &record.body {
            Body::Segment(head, tail) => self.segment(header, head, tail, each),
            Body::Early(identity, bytes) => {
                let books = (&self.limits, &*self.ledger, &mut self.counts);
                let time = Timestamp(header.time);
                let length = header.length.max(header.head);
                self.early
                    .keep(identity, header.position, time, length, bytes, books);
            }
            Body::Connection(kind, identity) => self.life(header, *kind, identity, each),
            Body::Process(..) => {}
        }
    }

    /// Time goes on: what waits for a connection that does not come is given up, and a connection
    /// whose end nobody tells is over.
    pub fn expire(&mut self, now: Timestamp, each: &mut impl FnMut(&mut S, Event<'_>)) {
        let oldest = Timestamp(now.0.saturating_sub(self.limits.early_age));
        self.early.expire(oldest, &self.ledger);
        let is_over = |since: u64| now.0.saturating_sub(since) >= LINGER;
        while let Some((key, since)) = self.leaving.front().copied()
            && is_over(since)
        {
            self.leaving.pop_front();
            match self.connections.peek(&key).map(|entry| entry.touched) {
                Some(touched) if is_over(touched) => self.leave(key, now, each),
                // It goes on; or it is gone already.
                Some(touched) => self.leaving.push_back((key, touched)),
                None => {}
            }
        }
    }

    fn leave(&mut self, key: u64, time: Timestamp, each: &mut impl FnMut(&mut S, Event<'_>)) {
        let Some(mut entry) = self.connections.remove(&key) else {
            return;
        };
        let frame = Frame {
            connection: ConnectionKey(key),
            time,
            protocol: Protocol::Undecided,
        };
        let mut books = Books {
            ledger: &self.ledger,
            limits: &self.limits,
            counts: &mut self.counts,
        };
        let state = &mut entry.state;
        let out = &mut |what: What<'_>| each(state, frame.event(what));
        entry.received.close(0, &mut books, out);
        entry.sent.close(0, &mut books, out);
        each(state, frame.event(What::Closed(Reason::Finished)));
    }

    /// Forgets connections that are not observed any more; which, their state tells.
    pub fn forget(
        &mut self,
        now: Timestamp,
        which: impl Fn(&S) -> bool,
        each: &mut impl FnMut(&mut S, Event<'_>),
    ) {
        let keys: Vec<u64> = self
            .connections
            .iter()
            .filter_map(|(key, entry)| which(&entry.state).then_some(*key))
            .collect();
        for key in keys {
            if let Some(mut entry) = self.connections.remove(&key) {
                self.evict(key, &mut entry, now, each);
            }
        }
    }

    /// The state of a connection that is remembered, which is as idle as before.
    pub fn state(&mut self, key: ConnectionKey) -> Option<&mut S> {
        let entry = self.connections.peek_mut(&key.0)?;
        Some(&mut entry.state)
    }

    /// Forgets every connection, the idlest first.
    pub fn evict_all(&mut self, now: Timestamp, each: &mut impl FnMut(&mut S, Event<'_>)) {
        while self.evict_oldest(now, each) {}
        self.leaving.clear();
        self.expire(Timestamp(u64::MAX), each);
    }

    #[inline]
    fn segment(
        &mut self,
        header: &Header,
        head: &[u8],
        tail: &[u8],
        each: &mut impl FnMut(&mut S, Event<'_>),
    ) {
        let frame = Frame::of(header);
        let mut books = Books {
            ledger: &self.ledger,
            limits: &self.limits,
            counts: &mut self.counts,
        };
        if let Some(entry) = self.connections.get(&header.cookie) {
            entry.segment(&frame, header, head, tail, &mut books, each);
            let said_last =
                header.flags & Flags::FIN != 0 && header.direction == Direction::Sent as u8;
            if said_last && entry.joined && self.leaving.len() < self.connections.len() {
                self.leaving.push_back((header.cookie, header.time));
            }
        } else if header.length > 0 {
            // Without payload (a FIN, RST or acknowledgement behind the end) it makes no connection.
            self.admit(&frame, each);
            let mut books = Books {
                ledger: &self.ledger,
                limits: &self.limits,
                counts: &mut self.counts,
            };
            if let Some(entry) = self.connections.get(&header.cookie) {
                entry.segment(&frame, header, head, tail, &mut books, each);
            }
        }
    }

    fn life(
        &mut self,
        header: &Header,
        kind: Kind,
        identity: &Identity,
        each: &mut impl FnMut(&mut S, Event<'_>),
    ) {
        let frame = Frame::of(header);
        let reason = Reason::from_byte(header.reason).unwrap_or(Reason::None);
        let what = match kind {
            Kind::Opened => Some(What::Opened),
            Kind::Accepted => Some(What::Accepted),
            Kind::Failed => return self.over(&frame, identity, What::Failed(reason), each),
            Kind::Closed => return self.over(&frame, identity, What::Closed(reason), each),
            _ => None,
        };
        if self.connections.get(&header.cookie).is_none() {
            self.admit(&frame, each);
        }
        let Some(entry) = self.connections.get(&header.cookie) else {
            return;
        };
        entry.joined = identity.opener == Opener::Unknown as u8;
        each(&mut entry.state, frame.event(What::Identified(identity)));
        if let Some(what) = what {
            each(&mut entry.state, frame.event(what));
        }
        let mut books = Books {
            ledger: &self.ledger,
            limits: &self.limits,
            counts: &mut self.counts,
        };
        entry.join(
            &frame,
            identity,
            self.early.join(identity),
            &mut books,
            each,
        );
        entry.received.begin(identity.received);
        entry.sent.begin(identity.sent);
    }

    /// The connection ends, or never was.
    fn over(
        &mut self,
        frame: &Frame,
        identity: &Identity,
        what: What<'_>,
        each: &mut impl FnMut(&mut S, Event<'_>),
    ) {
        let entry = self.connections.remove(&frame.connection.0);
        let mut entry = entry.unwrap_or_else(|| Box::new(Entry::new()));
        each(&mut entry.state, frame.event(What::Identified(identity)));
        let mut books = Books {
            ledger: &self.ledger,
            limits: &self.limits,
            counts: &mut self.counts,
        };
        // Those that its listener saw only after it had been told.
        entry.join(frame, identity, self.early.join(identity), &mut books, each);
        let state = &mut entry.state;
        let out = &mut |what: What<'_>| each(state, frame.event(what));
        entry.received.close(identity.received, &mut books, out);
        entry.sent.close(identity.sent, &mut books, out);
        each(state, frame.event(what));
    }

    fn admit(&mut self, frame: &Frame, each: &mut impl FnMut(&mut S, Event<'_>)) {
        while self.connections.len() >= self.limits.connections.max(1) as usize
            && self.evict_oldest(frame.time, each)
        {
            self.counts.evicted += 1;
        }
        self.connections
            .insert(frame.connection.0, Box::new(Entry::new()));
    }

    fn evict_oldest(&mut self, time: Timestamp, each: &mut impl FnMut(&mut S, Event<'_>)) -> bool {
        let Some((key, mut entry)) = self.connections.pop_oldest() else {
            return false;
        };
        self.evict(key, &mut entry, time, each);
        true
    }

    fn evict(
        &self,
        key: u64,
        entry: &mut Entry<S>,
        time: Timestamp,
        each: &mut impl FnMut(&mut S, Event<'_>),
    ) {
        entry.received.evict(&self.ledger);
        entry.sent.evict(&self.ledger);
        let event = Event {
            connection: ConnectionKey(key),
            time,
            protocol: Protocol::Undecided,
            what: What::Evicted,
        };
        each(&mut entry.state, event);
    }
}
