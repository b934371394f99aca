//! Records of connections that never were: what the hooks would write for given bytes.
//!
//! For tests and benchmarks, which so drive the same [`Worker`](super::Worker) as the kernel does:
//!
//! ```
//! use observer::pipeline::synthetic::{End, Recording};
//!
//! let (mut client, mut server) = End::pair(1, 2);
//! let mut recording = Recording::default();
//! client.opened(10, &mut recording);
//! server.accepted(11, &mut recording);
//! client.send(20, b"PING\r\n", &mut recording);
//! server.receive(21, b"PING\r\n", &mut recording);
//! assert_eq!(recording.len(), 4);
//! ```

use observer_ebpf::{Direction, Flags, Header, Identity, Kind, Opener, Protocol, Reason};
use zerocopy::IntoBytes as _;

use super::{Polled, Source};
use crate::capture::record::{Body, Record};
use crate::decode::Side;
use crate::decode::transcript::{Data, Step};

/// Records one after another in one buffer.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    read: usize,
}

impl Recording {
    /// Adds a record's header and what follows it.
    pub fn push(&mut self, header: &Header, parts: &[&[u8]]) {
        self.bytes.extend_from_slice(header.as_bytes());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends.push(self.bytes.len());
    }

    /// Adds a record.
    pub fn add(&mut self, record: &Record<'_>) {
        let header = &record.header;
        match &record.body {
            Body::Segment(head, tail) => self.push(header, &[head, tail]),
            Body::Early(identity, head) => self.push(header, &[identity.as_bytes(), head]),
            Body::Connection(_, identity) => self.push(header, &[identity.as_bytes()]),
            Body::Process(_, process) => self.push(header, &[process.as_bytes()]),
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Every record, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let records = begins.zip(&self.ends);
        records.filter_map(|(from, to)| Record::parse(self.bytes.get(from..*to)?).ok())
    }

    /// Every record behind its length in two bytes, as [`fuzz`](super::fuzz) reads them; one that
    /// is longer is left out.
    #[must_use]
    pub fn framed(&self) -> Vec<u8> {
        let mut framed = Vec::new();
        let mut from = 0;
        for to in &self.ends {
            let record = self.bytes.get(from..*to).unwrap_or_default();
            if let Ok(length) = u16::try_from(record.len()) {
                framed.extend_from_slice(&length.to_le_bytes());
                framed.extend_from_slice(record);
            }
            from = *to;
        }
        framed
    }

    /// A transcript as seen from one end of a connection, from its establishment to its end.
    #[must_use]
    pub fn of(steps: &[Step], vantage: Side, cookie: u64) -> Self {
        let mut recording = Self::default();
        let (client, server) = End::pair(cookie, cookie);
        let begin = steps.first().map_or(0, |step| step.time.0);
        let mut end = if vantage == Side::Client {
            client
        } else {
            server
        };
        end.established(begin, &mut recording);
        for step in steps {
            end.step(step, vantage, &mut recording);
        }
        let last = steps.last().map_or(0, |step| step.time.0);
        end.closed(last, Reason::Finished, &mut recording);
        recording
    }
}

impl Source for Recording {
    fn poll(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> Polled {
        let (before, ends) = self.ends.split_at(self.read.min(self.ends.len()));
        let begin = before.last().copied().unwrap_or(0);
        let mut from = begin;
        let mut polled = Polled::default();
        for to in ends.iter().take(10_000) {
            match Record::parse(self.bytes.get(from..*to).unwrap_or_default()) {
                Ok(record) => each(&record),
                Err(_) => polled.malformed += 1,
            }
            polled.records += 1;
            from = *to;
        }
        self.read += ends.len().min(10_000);
        polled.bytes = (from - begin) as u64;
        polled
    }

    fn is_finished(&self) -> bool {
        self.read == self.len()
    }
}

/// One end of a made-up connection.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Its identity; `sent` and `received` are kept up to date.
    pub identity: Identity,
    /// What the kernel is to take it for.
    pub protocol: Protocol,
    cookie: u64,
}

impl End {
    /// Both ends of a new connection: the client's and the server's.
    #[must_use]
    pub fn pair(client: u64, server: u64) -> (Self, Self) {
        let loopback = |last: u8| {
            let mut address = [0; 16];
            address.copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, last]);
            address
        };
        #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
        let (first, port) = (client as u32, 32768 + (client % 28232) as u16);
        let identity = Identity {
            cgroup: 1,
            local: loopback(2),
            remote: loopback(3),
            local_port: port,
            remote_port: 80,
            sent_first: first.wrapping_mul(0x9e37_79b9),
            received_first: first.wrapping_mul(0x85eb_ca6b),
            opener: Opener::Active as u8,
            ..Identity::default()
        };
        let other = Identity {
            local: identity.remote,
            remote: identity.local,
            local_port: identity.remote_port,
            remote_port: identity.local_port,
            sent_first: identity.received_first,
            received_first: identity.sent_first,
            opener: Opener::Passive as u8,
            ..identity
        };
        let end = |identity, cookie| Self {
            identity,
            cookie,
            protocol: Protocol::Undecided,
        };
        (end(identity, client), end(other, server))
    }

    /// Says who the connection is.
    pub fn told(&self, time: u64, out: &mut Recording) {
        self.life(time, Kind::Connection, Reason::None, out);
    }

    /// The connect succeeded.
    pub fn opened(&self, time: u64, out: &mut Recording) {
        self.life(time, Kind::Opened, Reason::None, out);
    }

    /// The listener's child was established.
    pub fn accepted(&self, time: u64, out: &mut Recording) {
        self.life(time, Kind::Accepted, Reason::None, out);
    }

    /// [`Self::opened`] or [`Self::accepted`], whichever this end sees.
    pub fn established(&self, time: u64, out: &mut Recording) {
        if self.identity.opener == Opener::Active as u8 {
            self.opened(time, out);
        } else {
            self.accepted(time, out);
        }
    }

    /// The connect did not succeed.
    pub fn failed(&self, time: u64, reason: Reason, out: &mut Recording) {
        self.life(time, Kind::Failed, reason, out);
    }

    /// The connection is over.
    pub fn closed(&self, time: u64, reason: Reason, out: &mut Recording) {
        self.life(time, Kind::Closed, reason, out);
    }

    /// Bytes go out.
    pub fn send(&mut self, time: u64, bytes: &[u8], out: &mut Recording) {
        self.pass(time, Direction::Sent, 0, (bytes, 0, &[]), out);
    }

    /// Bytes come in.
    pub fn receive(&mut self, time: u64, bytes: &[u8], out: &mut Recording) {
        self.pass(time, Direction::Received, 0, (bytes, 0, &[]), out);
    }

    /// Either direction ends.
    pub fn finish(&mut self, time: u64, direction: Direction, out: &mut Recording) {
        self.pass(time, direction, Flags::FIN, (&[], 0, &[]), out);
    }

    /// Bytes pass of which only the first and the last are captured, with a hole between.
    pub fn cut(
        &mut self,
        time: u64,
        direction: Direction,
        (head, hole, tail): (&[u8], u32, &[u8]),
        out: &mut Recording,
    ) {
        self.pass(time, direction, Flags::BUDGET, (head, hole, tail), out);
    }

    /// Bytes pass whose record finds no room.
    pub fn lose(&mut self, direction: Direction, length: u64) {
        *self.position(direction) += length;
    }

    fn step(&mut self, step: &Step, vantage: Side, out: &mut Recording) {
        let direction = if step.side == vantage {
            Direction::Sent
        } else {
            Direction::Received
        };
        match &step.data {
            Data::Bytes(bytes) => {
                // No segment is longer than this.
                for bytes in bytes.chunks(65_536) {
                    self.pass(step.time.0, direction, 0, (bytes, 0, &[]), out);
                }
            }
            Data::Hole(length) => {
                let length = u32::try_from(*length).unwrap_or(u32::MAX);
                self.cut(step.time.0, direction, (&[], length, &[]), out);
            }
        }
    }

    fn position(&mut self, direction: Direction) -> &mut u64 {
        match direction {
            Direction::Sent => &mut self.identity.sent,
            Direction::Received => &mut self.identity.received,
        }
    }

    fn pass(
        &mut self,
        time: u64,
        direction: Direction,
        flags: u16,
        (head, hole, tail): (&[u8], u32, &[u8]),
        out: &mut Recording,
    ) {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let length = size(head).saturating_add(hole).saturating_add(size(tail));
        let position = *self.position(direction);
        let header = Header {
            time,
            cookie: self.cookie,
            position,
            length,
            head: size(head),
            tail: size(tail),
            flags,
            kind: Kind::Segment as u8,
            direction: direction as u8,
            protocol: self.protocol as u8,
            ..Header::default()
        };
        *self.position(direction) += u64::from(length);
        out.push(&header, &[head, tail]);
    }

    fn life(&self, time: u64, kind: Kind, reason: Reason, out: &mut Recording) {
        let header = Header {
            time,
            cookie: self.cookie,
            kind: kind as u8,
            protocol: self.protocol as u8,
            reason: reason as u8,
            ..Header::default()
        };
        out.push(&header, &[self.identity.as_bytes()]);
    }
}
