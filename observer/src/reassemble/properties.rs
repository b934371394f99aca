//! Whatever the network and the ring do: each position comes out once and in order, what was
//! captured is never a hole, what was not is never bytes, and the ledger closes.

use std::sync::Arc;

use observer_ebpf::{Direction, Flags, Header, Identity, Kind, Reason};
use proptest::prelude::*;

use super::{Cause, Input, Limits, Table, What};
use crate::capture::record::{Body, Record};
use crate::ledger::{Fate, Ledger};
use crate::time::Timestamp;

const SIZE: usize = 600;

/// The byte at a position, so that a byte out of place is seen.
fn byte(position: usize) -> u8 {
    u8::try_from(position * 31 % 251).unwrap()
}

/// A segment on its way: where it lies, what was copied of it, and its fate.
#[derive(Clone, Copy, Debug)]
struct Flight {
    from: usize,
    length: usize,
    head: usize,
    tail: usize,
    /// TCP had no room for it: it passed the hook and must come again.
    refused: bool,
    /// The ring had no room for its record.
    record_lost: bool,
}

fn flight() -> impl Strategy<Value = Flight> {
    (0..SIZE, 1..120_usize, 0..150_usize, 0..40_usize, 0..10_u8).prop_map(
        |(from, length, head, tail, luck)| {
            let length = length.min(SIZE - from);
            let head = head.min(length);
            Flight {
                from,
                length,
                head,
                tail: tail.min(length - head),
                refused: luck == 0,
                record_lost: luck == 1,
            }
        },
    )
}

/// What came out of one direction.
#[derive(Default)]
struct Seen {
    next: usize,
    captured: Vec<bool>,
    missing: Vec<bool>,
    /// Bytes and budget holes: what a decoder settles.
    ours: u64,
    finished: usize,
}

impl Seen {
    fn take(&mut self, what: &What<'_>) {
        match what {
            What::Data(_, input, position) => {
                assert_eq!(*position, self.next as u64, "it says where it is");
                let length = usize::try_from(input.length()).unwrap();
                if let Input::Bytes(bytes) = input {
                    let expected: Vec<u8> = (self.next..self.next + length).map(byte).collect();
                    assert_eq!(*bytes, expected, "bytes out of place at {}", self.next);
                }
                let missing = matches!(input, Input::Hole(_, Cause::Record));
                self.captured
                    .extend(vec![matches!(input, Input::Bytes(_)); length]);
                self.missing.extend(vec![missing; length]);
                self.ours += if missing { 0 } else { input.length() };
                self.next += length;
            }
            What::Finished(_) => self.finished += 1,
            _ => {}
        }
    }
}

/// What records said of each position.
struct Fates {
    /// One had its byte.
    carried: [bool; SIZE],
    /// One covered it.
    came: [bool; SIZE],
    /// One covered it before TCP had accepted it.
    passed: [bool; SIZE],
}

impl Default for Fates {
    fn default() -> Self {
        Self {
            carried: [false; SIZE],
            came: [false; SIZE],
            passed: [false; SIZE],
        }
    }
}

fn identity_record(kind: Kind, received: usize) -> Record<'static> {
    let identity = Identity {
        received: received as u64,
        ..Identity::default()
    };
    Record {
        header: Header {
            cookie: 7,
            kind: kind as u8,
            reason: Reason::Finished as u8,
            ..Header::default()
        },
        body: Body::Connection(kind, identity),
    }
}

/// Runs flights of the received direction through TCP as the hook sees it.
fn receive(flights: &[Flight], limits: Limits) -> (Seen, Fates, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let mut table = Table::<()>::new(limits, ledger.clone());
    let mut seen = Seen::default();
    let mut arrived = [false; SIZE + 1];
    let mut accepted = 0;
    let mut fates = Fates::default();
    let Fates {
        carried,
        came,
        passed,
    } = &mut fates;
    let connection = identity_record(Kind::Accepted, 0);
    table.record(&connection, &mut |(), event| seen.take(&event.what));
    // What was refused or never sent comes at last, in order, as TCP promises.
    let rest = (0..SIZE).step_by(50).map(|from| Flight {
        from,
        length: 50,
        head: 50,
        tail: 0,
        refused: false,
        record_lost: false,
    });
    for (index, flight) in flights.iter().copied().chain(rest).enumerate() {
        let end = flight.from + flight.length;
        if end <= accepted {
            continue; // the hook drops duplicates
        }
        if !flight.record_lost {
            let content: Vec<u8> = (flight.from..end).map(byte).collect();
            let header = Header {
                time: index as u64,
                cookie: 7,
                position: flight.from as u64,
                length: u32::try_from(flight.length).unwrap(),
                head: u32::try_from(flight.head).unwrap(),
                tail: u32::try_from(flight.tail).unwrap(),
                ahead: u32::try_from(flight.from.saturating_sub(accepted)).unwrap(),
                flags: if end == SIZE { Flags::FIN } else { 0 },
                kind: Kind::Segment as u8,
                direction: Direction::Received as u8,
                ..Header::default()
            };
            let (head, tail) = (
                &content[..flight.head],
                &content[flight.length - flight.tail..],
            );
            let record = Record {
                header,
                body: Body::Segment(head, tail),
            };
            table.record(&record, &mut |(), event| seen.take(&event.what));
            for position in flight.from..end {
                came[position] = true;
                // Below, TCP had accepted it from a record that was lost: told as a hole perhaps.
                passed[position] |= position >= accepted;
                let inside = position - flight.from;
                if inside < flight.head || inside >= flight.length - flight.tail {
                    carried[position] = true;
                }
            }
        }
        if !flight.refused {
            arrived[flight.from..end].fill(true);
            accepted += arrived[accepted..].iter().take_while(|a| **a).count();
        }
        let outstanding = i128::from(ledger.received())
            - i128::from(ledger.settled(Fate::LostReassembly))
            - i128::from(ledger.settled(Fate::SkippedRepeated))
            - i128::from(ledger.pending());
        assert_eq!(outstanding, i128::from(seen.ours), "the ledger closes");
    }
    let closed = identity_record(Kind::Closed, SIZE);
    table.record(&closed, &mut |(), event| seen.take(&event.what));
    (seen, fates, ledger)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_position_comes_once_in_order_whatever_happens(
        flights in proptest::collection::vec(flight(), 0..40)
    ) {
        let (seen, fates, ledger) = receive(&flights, Limits::default());
        prop_assert_eq!(ledger.pending(), 0);
        prop_assert_eq!(ledger.settled(Fate::LostReassembly), 0);
        prop_assert_eq!(ledger.received() - ledger.settled(Fate::SkippedRepeated), seen.ours);
        prop_assert!(seen.finished <= 1);
        for position in 0..SIZE {
            if position >= seen.next {
                prop_assert!(!fates.came[position], "{position} passed and never came out");
            } else if seen.missing[position] {
                prop_assert!(!fates.passed[position], "{position} came and is a hole");
            } else {
                prop_assert!(fates.came[position], "{position} never came and is no hole");
            }
            if seen.captured.get(position) == Some(&true) {
                prop_assert!(fates.carried[position], "{position} was invented");
            }
        }
    }

    #[test]
    fn nothing_is_missing_when_no_record_is_lost(
        mut flights in proptest::collection::vec(flight(), 0..40)
    ) {
        for flight in &mut flights {
            flight.record_lost = false;
        }
        let (seen, _, ledger) = receive(&flights, Limits::default());
        prop_assert_eq!(seen.next, SIZE);
        prop_assert!(!seen.missing.contains(&true));
        prop_assert_eq!(seen.finished, 1);
        prop_assert_eq!(ledger.received() - ledger.settled(Fate::SkippedRepeated), SIZE as u64);
    }

    #[test]
    fn the_ledger_closes_at_the_bounds_too(
        flights in proptest::collection::vec(flight(), 0..40),
        held_segments in 0..4_usize,
        held_bytes in 0..200_usize,
    ) {
        let limits = Limits { held_bytes, held_segments, ..Limits::default() };
        let (seen, _, ledger) = receive(&flights, limits);
        prop_assert_eq!(ledger.pending(), 0);
        prop_assert_eq!(
            ledger.received(),
            seen.ours
                + ledger.settled(Fate::LostReassembly)
                + ledger.settled(Fate::SkippedRepeated)
        );
    }

    #[test]
    fn a_gap_of_the_sent_direction_is_told_at_once(
        cuts in proptest::collection::vec((1..50_usize, any::<bool>(), any::<bool>()), 1..30)
    ) {
        let ledger = Arc::new(Ledger::default());
        let mut table = Table::<()>::new(Limits::default(), ledger.clone());
        let mut seen = Seen::default();
        let mut position = 0;
        let mut expected = Vec::new();
        for (length, lost, twice) in cuts {
            let content: Vec<u8> = (position..position + length).map(byte).collect();
            let header = Header {
                cookie: 7,
                position: position as u64,
                length: u32::try_from(length).unwrap(),
                head: u32::try_from(length).unwrap(),
                kind: Kind::Segment as u8,
                direction: Direction::Sent as u8,
                ..Header::default()
            };
            let record = Record { header, body: Body::Segment(&content, &[]) };
            // The first is where this connection is joined.
            let lost = lost && position > 0;
            for _ in 0..usize::from(!lost) + usize::from(!lost && twice) {
                table.record(&record, &mut |(), event| seen.take(&event.what));
                prop_assert_eq!(seen.next, position + length);
            }
            expected.extend(vec![lost; length]);
            position += length;
        }
        prop_assert_eq!(&seen.missing[..], &expected[..seen.next]);
        table.evict_all(Timestamp(1), &mut |(), _| {});
        prop_assert_eq!(ledger.received() - ledger.settled(Fate::SkippedRepeated), seen.ours);
    }
}
