//! What records in any order may not do to the table of connections.

use std::sync::Arc;

use observer_ebpf::{Direction, Flags, Header, Identity, Kind, Opener, Reason};

use super::{Cause, Event, Input, Limits, Table, What};
use crate::capture::record::{Body, Record};
use crate::ledger::{Fate, Ledger};
use crate::time::Timestamp;

/// Small, so that every bound is met.
const LIMITS: Limits = Limits {
    connections: 2,
    held_bytes: 600,
    held_segments: 6,
    early_segments: 4,
    early_bytes: 500,
    early_age: 40,
};
/// One more than there is room for.
const CONNECTIONS: usize = 3;
/// Where a connection's positions lie: at its first byte, where 32 bits end, far beyond.
const BASES: [u64; 4] = [0, 0xffff_ff00, 1 << 48, u64::MAX - (1 << 40)];
/// Bytes of an instruction.
const STEP: usize = 8;
/// Instructions of a run; more of them only take time.
const STEPS: usize = 500;

/// The byte at a position, so that one out of place is seen.
const fn byte(position: u64) -> u8 {
    position.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
}

/// What came out of one direction.
#[derive(Default)]
struct Seen {
    /// Where it may have begun; what comes out leaves those with which it agrees.
    begins: Vec<u64>,
    /// How many positions came out.
    length: u64,
    finished: bool,
}

impl Seen {
    /// A record speaks of this position.
    fn mention(&mut self, position: u64) {
        if self.length == 0 && !self.begins.contains(&position) {
            self.begins.push(position);
        }
    }

    fn take(&mut self, input: &Input<'_>) {
        assert!(input.length() > 0, "nothing came out");
        if let Input::Bytes(bytes) = input {
            let agrees = |begin: &u64| {
                let positions = begin.wrapping_add(self.length)..;
                positions.zip(*bytes).all(|(at, found)| byte(at) == *found)
            };
            self.begins.retain(agrees);
            assert!(!self.begins.is_empty(), "bytes out of their order");
        }
        self.length = self.length.wrapping_add(input.length());
    }
}

/// The directions of every connection, and what a decoder would have to settle of them.
#[derive(Default)]
struct All {
    seen: [[Seen; 2]; CONNECTIONS],
    /// Positions of what came before its connection; one that is made anew may still get it.
    early: [Vec<u64>; CONNECTIONS],
    ours: u64,
}

impl All {
    fn of(&mut self, cookie: u64, direction: Direction) -> Option<&mut Seen> {
        let connection = self.seen.get_mut(usize::try_from(cookie).ok()?)?;
        connection.get_mut(direction as usize)
    }

    /// Notes where what a record brings may begin.
    fn mention(&mut self, header: &Header) {
        let (sent, received) = (Direction::Sent, Direction::Received);
        let below = header.position.saturating_sub(u64::from(header.ahead));
        for (direction, position) in [
            (sent, header.position),
            (received, header.position),
            (received, below),
        ] {
            if let Some(seen) = self.of(header.cookie, direction) {
                seen.mention(position);
            }
        }
        let early = usize::try_from(header.cookie).map(|cookie| self.early.get_mut(cookie));
        if let (Ok(Some(early)), true) = (early, header.kind == Kind::Early as u8) {
            early.retain(|position| *position != header.position);
            early.push(header.position);
        }
    }

    fn over(&mut self, cookie: u64) {
        let early = usize::try_from(cookie).map(|cookie| self.early.get(cookie));
        let begins = early.ok().flatten().cloned().unwrap_or_default();
        for direction in [Direction::Received, Direction::Sent] {
            if let Some(seen) = self.of(cookie, direction) {
                *seen = Seen {
                    begins: begins.clone(),
                    ..Seen::default()
                };
            }
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        let cookie = event.connection.0;
        match &event.what {
            What::Data(direction, input, _) => {
                if !matches!(input, Input::Hole(_, Cause::Record)) {
                    self.ours = self.ours.wrapping_add(input.length());
                }
                if let Some(seen) = self.of(cookie, *direction) {
                    seen.take(input);
                }
            }
            What::Finished(direction) => {
                if let Some(seen) = self.of(cookie, *direction) {
                    assert!(!std::mem::replace(&mut seen.finished, true), "ended twice");
                }
            }
            What::Failed(_) | What::Closed(_) | What::Evicted => self.over(cookie),
            _ => {}
        }
    }
}

/// Records of a few connections in any order, with duplicates, overlaps, gaps and wrapping
/// positions: each position comes out at most once and in order, the ledger balances after every
/// record, and no more is held than may be.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn records(data: &[u8]) {
    let ledger = Arc::new(Ledger::default());
    let mut table = Table::<()>::new(LIMITS, Arc::clone(&ledger));
    let mut all = All::default();
    let (steps, _) = data.as_chunks::<STEP>();
    let mut time = 0;
    for step in steps.iter().copied().take(STEPS) {
        let [what, time_passed, ..] = step;
        time += u64::from(time_passed);
        if what == u8::MAX {
            table.expire(Timestamp(time), &mut |(), event| all.take(&event));
        } else {
            take(step, time, &mut table, &mut all);
        }
        assert!(table.is_within_bounds(), "more is held than may be");
        balances(&ledger, all.ours);
    }
    table.evict_all(Timestamp(time), &mut |(), event| all.take(&event));
    assert!(table.is_empty());
    assert_eq!(ledger.pending(), 0, "pending without a connection");
    balances(&ledger, all.ours);
}

/// What of the received is neither pending nor settled here was handed on.
fn balances(ledger: &Ledger, ours: u64) {
    let settled = Fate::ALL.iter().map(|fate| ledger.settled(*fate));
    let handed_on = ledger.received().wrapping_sub(ledger.pending());
    let handed_on = settled.fold(handed_on, u64::wrapping_sub);
    assert_eq!(handed_on, ours, "the ledger is open");
}

/// Has the table take the record that an instruction stands for:
///
/// ```text
///   kind, base   time   position   length   copied   ahead   flags
///   1 byte       1      2          1        1        1       1
/// ```
fn take(step: [u8; STEP], time: u64, table: &mut Table<()>, all: &mut All) {
    let [what, _, high, low, length, copied, ahead, flags] = step;
    let cookie = u64::from(what % 3);
    let kind = match what % 16 {
        0..10 => Kind::Segment,
        10 => Kind::Early,
        11 => Kind::Connection,
        12 => Kind::Opened,
        13 => Kind::Accepted,
        14 => Kind::Failed,
        _ => Kind::Closed,
    };
    let base = match kind {
        // What is on a listener is a connection's first.
        Kind::Early => 0,
        _ => BASES.get(usize::from(what >> 6)).copied().unwrap_or(0),
    };
    let position = base + u64::from(u16::from_be_bytes([high % 8, low]));
    let (length, head) = (u32::from(length), u32::from(copied.min(length)));
    let (tail, hole) = match (length - head, flags >> 5 & 3) {
        (rest, 0) => (rest, 0),
        (rest, 3) => (0, rest << 20),
        (rest, _) => (0, rest),
    };
    let header = Header {
        time,
        cookie,
        position,
        length: head + hole + tail,
        head,
        tail,
        ahead: u32::from(ahead) * 8,
        round_trip_us: u32::from(flags),
        flags: u16::from(flags) & (Flags::FIN | Flags::RETRANSMITTED),
        kind: kind as u8,
        direction: flags >> 4 & 1,
        reason: Reason::Finished as u8,
        ..Header::default()
    };
    let opener = if flags & 0x80 == 0 {
        Opener::Active
    } else {
        Opener::Unknown
    };
    let identity = Identity {
        received: position,
        sent: position,
        local_port: u16::from(what % 3),
        received_first: u32::MAX - 100,
        opener: opener as u8,
        ..Identity::default()
    };
    let first = content(position, head);
    let last = content(position + u64::from(head + hole), tail);
    let body = match kind {
        Kind::Segment => Body::Segment(&first, &last),
        Kind::Early => Body::Early(identity, &first),
        kind => Body::Connection(kind, identity),
    };
    all.mention(&header);
    table.record(&Record { header, body }, &mut |(), event| all.take(&event));
}

fn content(position: u64, length: u32) -> Vec<u8> {
    (position..position + u64::from(length)).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::records;

    proptest::proptest! {
        #[test]
        fn records_in_any_order_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            records(&data);
        }
    }
}
