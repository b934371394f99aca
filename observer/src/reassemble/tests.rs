//! What the table says of a connection, record by record.

use std::sync::Arc;

use observer_ebpf::{Direction, Flags, Header, Identity, Kind, Opener, Reason};

use super::{Cause, ConnectionKey, Event, Input, Limits, Table, What};
use crate::capture::record::{Body, Record};
use crate::ledger::{Fate, Ledger};
use crate::time::Timestamp;

struct Run {
    table: Table<u32>,
    ledger: Arc<Ledger>,
    said: Vec<String>,
}

impl Run {
    fn new(limits: Limits) -> Self {
        let ledger = Arc::new(Ledger::default());
        Self {
            table: Table::new(limits, ledger.clone()),
            ledger,
            said: Vec::new(),
        }
    }

    fn take(&mut self, header: Header, body: Body<'_>) -> &mut Self {
        let said = &mut self.said;
        let record = Record { header, body };
        self.table.record(&record, &mut |events, event| {
            *events += 1;
            said.push(show(&event));
        });
        self
    }

    fn segment(&mut self, header: Header, bytes: &[u8]) -> &mut Self {
        let header = Header {
            length: header.length.max(u32::try_from(bytes.len()).unwrap()),
            head: u32::try_from(bytes.len()).unwrap(),
            ..header
        };
        self.take(header, Body::Segment(bytes, &[]))
    }

    fn life(&mut self, cookie: u64, kind: Kind, identity: Identity) -> &mut Self {
        let header = Header {
            cookie,
            reason: Reason::Finished as u8,
            ..at(cookie, 0)
        };
        self.take(header, Body::Connection(kind, identity))
    }

    fn expire(&mut self, now: u64) -> &mut Self {
        let said = &mut self.said;
        self.table.expire(Timestamp(now), &mut |events, event| {
            *events += 1;
            said.push(show(&event));
        });
        self
    }

    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }
}

fn show(event: &Event<'_>) -> String {
    let side = |direction| match direction {
        Direction::Received => '<',
        Direction::Sent => '>',
    };
    let what = match event.what {
        What::Identified(_) => "identified".into(),
        What::Data(d, Input::Bytes(b), _) => format!("{} {}", side(d), String::from_utf8_lossy(b)),
        What::Data(d, Input::Hole(n, Cause::Budget), _) => format!("{} budget {n}", side(d)),
        What::Data(d, Input::Hole(n, Cause::Shed), _) => format!("{} shed {n}", side(d)),
        What::Data(d, Input::Hole(n, Cause::Record), _) => format!("{} missing {n}", side(d)),
        What::Finished(d) => format!("{} end", side(d)),
        What::Closed(reason) => format!("closed {}", reason.label()),
        What::Failed(reason) => format!("failed {}", reason.label()),
        What::RoundTrip(us) => format!("rtt {us}"),
        other => format!("{other:?}").to_lowercase(),
    };
    format!("{}@{} {what}", event.connection.0, event.time.0)
}

/// A received segment of connection 1, unless said otherwise.
fn at(cookie: u64, position: u64) -> Header {
    Header {
        time: 5,
        cookie,
        position,
        direction: Direction::Received as u8,
        ..Header::default()
    }
}

fn sent(position: u64) -> Header {
    Header {
        direction: Direction::Sent as u8,
        ..at(1, position)
    }
}

fn child() -> Identity {
    Identity {
        local: [1; 16],
        remote: [2; 16],
        local_port: 80,
        remote_port: 4000,
        received_first: u32::MAX - 1,
        opener: Opener::Passive as u8,
        ..Identity::default()
    }
}

#[test]
fn a_connection_is_told_in_order() {
    let mut run = Run::new(Limits::default());
    run.life(1, Kind::Accepted, child())
        .segment(at(1, 0), b"GET");
    let fin = Header {
        flags: Flags::FIN,
        ..sent(0)
    };
    run.segment(fin, b"OK").life(1, Kind::Closed, child());
    assert_eq!(
        run.said(),
        [
            "1@5 identified",
            "1@5 accepted",
            "1@5 < GET",
            "1@5 > OK",
            "1@5 > end",
            "1@5 identified",
            "1@5 closed finished",
        ]
    );
    assert!(run.table.is_empty());
}

#[test]
fn what_the_identity_says_has_passed_is_not_missing_and_what_follows_is() {
    let mut run = Run::new(Limits::default());
    let joined = Identity {
        received: 100,
        sent: 50,
        ..child()
    };
    run.life(1, Kind::Connection, joined);
    run.segment(at(1, 100), b"x").segment(sent(60), b"y");
    assert_eq!(run.said()[1..], ["1@5 < x", "1@5 > missing 10", "1@5 > y"]);
}

#[test]
fn what_the_identity_says_yields_to_the_first_segment() {
    let mut run = Run::new(Limits::default());
    let ahead = Identity {
        received: 100,
        sent: 50,
        ..child()
    };
    run.life(1, Kind::Connection, ahead);
    run.segment(at(1, 98), b"ab").segment(sent(40), b"y");
    assert_eq!(run.said()[1..], ["1@5 < ab", "1@5 > y"]);
}

#[test]
fn without_an_identity_a_connection_begins_at_its_first_record() {
    let mut run = Run::new(Limits::default());
    run.segment(at(1, 7_000_000_000), b"x");
    assert_eq!(run.said(), ["1@5 < x"]);
}

#[test]
fn a_segment_cut_by_the_budget_is_head_hole_and_tail() {
    let mut run = Run::new(Limits::default());
    let header = Header {
        length: 10,
        head: 2,
        tail: 3,
        ..sent(0)
    };
    run.take(header, Body::Segment(b"ab", b"xyz"));
    assert_eq!(run.said(), ["1@5 > ab", "1@5 > budget 5", "1@5 > xyz"]);
    assert_eq!(run.ledger.received(), 10);
}

#[test]
fn what_was_shed_says_so_also_where_it_had_to_wait() {
    let mut run = Run::new(Limits::default());
    run.life(1, Kind::Connection, child()).said();
    let shed = Header {
        length: 7,
        head: 2,
        ahead: 3,
        flags: Flags::SHED,
        ..at(1, 3)
    };
    run.take(shed, Body::Segment(b"de", b""));
    assert_eq!(run.said(), [""; 0]);
    run.segment(at(1, 0), b"abc");
    assert_eq!(run.said(), ["1@5 < abc", "1@5 < de", "1@5 < shed 5"]);
}

#[test]
fn a_reordered_segment_waits_and_is_stamped_with_what_it_waited_for() {
    let mut run = Run::new(Limits::default());
    run.life(1, Kind::Connection, child()).said();
    let early = Header {
        ahead: 3,
        ..at(1, 3)
    };
    run.segment(early, b"def");
    assert_eq!(run.said(), [""; 0]);
    assert_eq!(run.ledger.pending(), 3);
    run.segment(
        Header {
            time: 9,
            ..at(1, 0)
        },
        b"abc",
    );
    assert_eq!(run.said(), ["1@9 < abc", "1@9 < def"]);
    assert_eq!(run.ledger.pending(), 0);
}

#[test]
fn what_tcp_accepted_without_our_record_is_missing_at_once() {
    let mut run = Run::new(Limits::default());
    run.life(1, Kind::Connection, child()).said();
    run.segment(
        Header {
            ahead: 2,
            ..at(1, 6)
        },
        b"gh",
    );
    assert_eq!(run.said(), ["1@5 < missing 4"], "[4, 6) may still come");
    run.segment(at(1, 4), b"ef");
    assert_eq!(run.said(), ["1@5 < ef", "1@5 < gh"]);
}

#[test]
fn at_the_end_what_waits_comes_out_and_what_never_came_is_missing() {
    let mut run = Run::new(Limits::default());
    run.life(1, Kind::Connection, child())
        .segment(at(1, 0), b"a");
    run.segment(
        Header {
            ahead: 4,
            ..at(1, 5)
        },
        b"f",
    )
    .segment(sent(0), b"b")
    .said();
    let end = Identity {
        received: 7, // FIN counts one
        sent: 30,
        ..child()
    };
    run.life(1, Kind::Closed, end);
    assert_eq!(
        run.said()[1..],
        [
            "1@5 < missing 4",
            "1@5 < f",
            "1@5 > missing 29",
            "1@5 closed finished"
        ]
    );
    assert_eq!(run.ledger.pending(), 0);
}

#[test]
fn the_idlest_goes_first_and_what_it_held_is_lost() {
    let mut run = Run::new(Limits {
        connections: 2,
        ..Limits::default()
    });
    for cookie in [1, 2] {
        run.segment(at(cookie, 0), b"a");
        run.segment(
            Header {
                ahead: 4,
                ..at(cookie, 5)
            },
            b"held",
        );
    }
    run.segment(at(1, 1), b"b").said();
    run.segment(at(3, 0), b"new");
    assert_eq!(run.said(), ["2@5 evicted", "3@5 < new"]);
    assert_eq!(run.ledger.settled(Fate::LostEvicted), 4);
    assert_eq!(run.ledger.pending(), 4, "the other one's");
    assert_eq!((run.table.len(), run.table.counts().evicted), (2, 1));
}

#[test]
fn a_segment_on_the_listener_joins_its_child() {
    let mut run = Run::new(Limits::default());
    let early = |run: &mut Run, time, position, identity, bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap();
        let header = Header {
            time,
            length,
            head: length,
            ..at(77, position)
        };
        run.take(header, Body::Early(identity, bytes));
    };
    early(&mut run, 2, 0, child(), b"GET");
    early(&mut run, 3, 0, child(), b"GET"); // sent again to a busy listener
    early(&mut run, 3, 3, child(), b" /");
    let stranger = Identity {
        remote_port: 4001,
        ..child()
    };
    early(&mut run, 3, 0, stranger, b"never");
    let older = Identity {
        received_first: child().received_first.wrapping_sub(9),
        ..child()
    };
    run.life(
        1,
        Kind::Accepted,
        Identity {
            received: 5,
            ..child()
        },
    );
    // The child's own hook saw the last byte too, and more.
    run.segment(at(1, 4), b"/x");
    assert_eq!(
        run.said(),
        [
            "1@5 identified",
            "1@5 accepted",
            "1@2 < GET",
            "1@3 <  /",
            "1@5 < x"
        ]
    );
    assert_eq!(run.ledger.settled(Fate::SkippedRepeated), 4);
    assert_eq!(run.ledger.received(), 6 + 4);
    assert_eq!(run.table.counts().early_joined, 2);
    run.life(2, Kind::Accepted, older);
    run.expire(6_000_000_000);
    assert_eq!(run.table.counts().early_dropped, 0);
    assert_eq!(run.ledger.settled(Fate::SkippedStray), 5);
}

#[test]
fn the_second_segment_on_the_listener_waits_for_the_first_on_its_child() {
    let mut run = Run::new(Limits::default());
    let header = Header {
        length: 5,
        head: 5,
        ..at(77, 3)
    };
    run.take(header, Body::Early(child(), b" /cat"));
    run.life(1, Kind::Accepted, child());
    assert_eq!(run.said(), ["1@5 identified", "1@5 accepted"]);
    run.segment(at(1, 0), b"GET");
    assert_eq!(run.said(), ["1@5 < GET", "1@5 <  /cat"]);
    assert_eq!(run.ledger.settled(Fate::SkippedRepeated), 0);
    assert_eq!(run.ledger.received(), 8);
}

#[test]
fn a_segment_on_the_listener_that_comes_after_its_child_is_a_repeat_not_a_loss() {
    let mut run = Run::new(Limits::default());
    run.life(1, Kind::Accepted, child())
        .segment(at(1, 0), b"GET")
        .said();
    let header = Header {
        length: 3,
        head: 3,
        ..at(77, 0)
    };
    run.take(header, Body::Early(child(), b"GET"));
    run.life(1, Kind::Closed, child());
    assert_eq!(run.said(), ["1@5 identified", "1@5 closed finished"]);
    assert_eq!(run.ledger.settled(Fate::SkippedRepeated), 3);
    assert_eq!(run.ledger.received(), 6);
}

#[test]
fn a_connection_older_than_the_agent_that_said_its_last_is_over_after_a_minute_of_silence() {
    const MINUTE: u64 = 60_000_000_000;
    let older = Identity {
        opener: Opener::Unknown as u8,
        ..child()
    };
    let fin = Header {
        flags: Flags::FIN,
        ..sent(1)
    };
    for (identity, opener) in [(older, "unknown"), (child(), "passive")] {
        let mut run = Run::new(Limits::default());
        run.life(1, Kind::Connection, identity);
        run.segment(sent(0), b"x").segment(fin, b"").said();
        // The peer goes on for a while.
        let header = Header {
            time: MINUTE / 2,
            ..at(1, 0)
        };
        run.segment(header, b"y").said();
        run.expire(MINUTE + 5);
        assert_eq!(run.said(), [""; 0], "{opener}");
        run.expire(MINUTE / 2 + MINUTE);
        let told = run.said();
        if opener == "unknown" {
            assert_eq!(told, [format!("1@{} closed finished", MINUTE / 2 + MINUTE)]);
            assert!(run.table.is_empty());
        } else {
            assert_eq!(told, [""; 0], "its socket will tell");
        }
    }
}

#[test]
fn what_waits_for_its_connection_is_bounded() {
    let mut run = Run::new(Limits {
        early_segments: 2,
        early_bytes: 10,
        ..Limits::default()
    });
    for port in 0..4 {
        let identity = Identity {
            remote_port: port,
            ..child()
        };
        let header = Header {
            length: 4,
            head: 4,
            ..at(77, 0)
        };
        run.take(header, Body::Early(identity, b"abcd"));
    }
    assert_eq!(run.table.counts().early_dropped, 2);
    assert_eq!(run.ledger.settled(Fate::LostEvicted), 8);
}

#[test]
fn a_retransmission_carries_nothing_and_a_late_flag_makes_no_connection() {
    let mut run = Run::new(Limits::default());
    run.segment(at(1, 0), b"");
    assert!(run.table.is_empty());
    run.segment(sent(0), b"abc").said();
    let again = Header {
        flags: Flags::RETRANSMITTED,
        length: 3,
        ..sent(0)
    };
    run.take(again, Body::Segment(&[], &[]));
    assert_eq!(run.said(), ["1@5 retransmitted"]);
    assert_eq!(run.ledger.received(), 3);
}

#[test]
fn a_round_trip_is_told_at_most_once_a_second() {
    let mut run = Run::new(Limits::default());
    for (time, position) in [(2_000_000_000, 0), (2_500_000_000, 1), (3_000_000_000, 2)] {
        let header = Header {
            time,
            round_trip_us: 40,
            ..sent(position)
        };
        run.segment(header, b"x");
    }
    let told = run.said().iter().filter(|s| s.contains("rtt 40")).count();
    assert_eq!(told, 2);
}

#[test]
fn a_failed_connect_leaves_nothing_and_an_unknown_end_is_told() {
    let mut run = Run::new(Limits::default());
    run.life(1, Kind::Failed, child())
        .life(2, Kind::Closed, child());
    assert_eq!(
        run.said(),
        [
            "1@5 identified",
            "1@5 failed finished",
            "2@5 identified",
            "2@5 closed finished"
        ]
    );
    assert!(run.table.is_empty());
}

#[test]
fn positions_at_the_edge_of_their_range_do_no_harm() {
    let mut run = Run::new(Limits::default());
    for position in [u64::MAX, u64::MAX - 2, 0, 1 << 40, u64::MAX - 1] {
        for ahead in [0, u32::MAX] {
            run.segment(
                Header {
                    ahead,
                    ..at(1, position)
                },
                b"abcdef",
            );
            run.segment(sent(position), b"abcdef");
        }
    }
    run.table.evict_all(Timestamp(9), &mut |_, event| {
        assert_eq!(event.connection, ConnectionKey(1));
    });
    assert_eq!(run.ledger.pending(), 0);
}
