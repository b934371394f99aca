//! Sessions, driven through a worker by made-up connections.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use observer_ebpf::{Direction, Opener, Protocol, Reason};

use super::fake::Run;
use crate::correlate::vantage::{Elsewhere, Vantages, Whereabouts};
use crate::decode::Side;
use crate::ledger::Fate;
use crate::pipeline::Settings;
use crate::pipeline::synthetic::{End, Recording};
use crate::reassemble::Limits;

fn client() -> (End, Recording) {
    (End::pair(1, 2).0, Recording::default())
}

#[test]
fn a_connection_is_told_from_its_beginning_to_its_end() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    end.send(20, b"Qone\nQtw", &mut r);
    end.send(21, b"o\n", &mut r);
    end.receive(30, b"Aone\n", &mut r);
    end.closed(40, Reason::ResetByPeer, &mut r);
    let run = Run::of(&r);
    assert_eq!(
        run.said,
        [
            "1: client",
            "1: opened",
            "1: asked",
            "1: asked",
            "1: answered",
            "1: unanswered",
            "1: closed reset_by_peer",
        ]
    );
    assert_eq!(run.fates(), [(Fate::Decoded, 15)]);
    assert_eq!(run.kernel.told(), [(1, Protocol::Redis, 0)]);
}

#[test]
fn the_kernel_is_not_told_what_it_says_itself() {
    let (mut end, mut r) = client();
    end.protocol = Protocol::Redis;
    end.opened(10, &mut r);
    end.send(20, b"Q\n", &mut r);
    assert_eq!(Run::of(&r).kernel.told(), []);
}

#[test]
fn redis_on_one_node_counts_at_the_clients_end_and_http_at_both() {
    for (line, expected) in [
        (
            b"Q\n",
            vec![
                "1: client both",
                "1: opened",
                "2: server both",
                "2: accepted",
                "1: asked",
            ],
        ),
        (
            b"H\n",
            vec![
                "1: client both",
                "1: opened",
                "2: server both",
                "2: accepted",
                "1: asked",
                "2: asked",
            ],
        ),
    ] {
        let (mut client, mut server) = End::pair(1, 2);
        let mut r = Recording::default();
        // Both are known before either is told more than its beginning.
        client.told(9, &mut r);
        server.told(9, &mut r);
        client.opened(10, &mut r);
        server.accepted(11, &mut r);
        client.send(20, line, &mut r);
        server.receive(21, line, &mut r);
        let run = Run::of(&r);
        let said = run
            .said
            .iter()
            .filter(|s| !s.contains("evicted") && !s.contains("unanswered"));
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_servers_end_falls_silent_when_the_clients_turns_up_later() {
    let (mut client, mut server) = End::pair(1, 2);
    let mut r = Recording::default();
    server.accepted(10, &mut r);
    server.receive(20, b"Q\nQ", &mut r);
    client.lose(Direction::Sent, 3);
    client.told(25, &mut r);
    server.send(30, b"A\n", &mut r);
    client.receive(31, b"A\n", &mut r);
    client.send(40, b"Q\n", &mut r);
    let run = Run::of(&r);
    assert_eq!(run.said[..3], ["2: server", "2: accepted", "2: asked"]);
    let later = [
        "2: server both",
        "1: client both",
        "1: answered",
        "1: asked",
    ];
    assert_eq!(run.said[3..7], later, "no question twice, no answer twice");
    assert!(run.kernel.told().contains(&(2, Protocol::OtherEnd, 0)));
    assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), 3, "held and new");
}

#[test]
fn a_connection_joined_in_a_message_is_asked_again_at_each_turn() {
    let (mut end, mut r) = client();
    end.identity.opener = Opener::Unknown as u8;
    end.told(10, &mut r);
    end.receive(20, b"the rest of something\n", &mut r);
    end.receive(21, b"A line inside the same turn\n", &mut r);
    end.send(30, b"Q\n", &mut r);
    let run = Run::of(&r);
    assert_eq!(run.said[..2], ["1: client", "1: asked"]);
    assert_eq!(run.ledger.settled(Fate::SkippedJoined), 50);
    assert_eq!(run.ledger.settled(Fate::Decoded), 2);
}

#[test]
fn sql_that_was_under_way_is_told_and_taken_back_where_it_proves_to_be_none() {
    let lines: [(&[u8], Opener, &[&str]); 3] = [
        (b"P\n", Opener::Unknown, &["1: client sql", "1: asked"]),
        (b"P\x01", Opener::Unknown, &["1: client sql", "1: client"]),
        (b"P\n", Opener::Active, &["1: client", "1: asked"]),
    ];
    for (line, opener, expected) in lines {
        let (mut end, mut r) = client();
        end.identity.opener = opener as u8;
        end.told(10, &mut r);
        end.send(20, line, &mut r);
        assert_eq!(Run::of(&r).said[..2], *expected);
    }
}

#[test]
fn what_tells_the_protocol_late_is_decoded_from_its_beginning() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    end.send(20, b"?", &mut r);
    end.send(21, b"Q\n", &mut r);
    let run = Run::of(&r);
    assert_eq!(run.fates(), [(Fate::Decoded, 3)]);
    assert_eq!(run.said[2], "1: asked");
}

#[test]
fn undecided_bytes_have_a_fate_when_the_connection_ends() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    end.send(20, b"?", &mut r);
    end.closed(30, Reason::Finished, &mut r);
    assert_eq!(Run::of(&r).fates(), [(Fate::SkippedUndecided, 1)]);
}

#[test]
fn a_protocol_nobody_knows_is_given_up_after_some_turns() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    for turn in 0..40 {
        end.send(20 + turn, b"x", &mut r);
        end.receive(20 + turn, b"y", &mut r);
    }
    let run = Run::of(&r);
    assert_eq!(run.fates(), [(Fate::SkippedOther, 80)]);
    assert_eq!(run.kernel.told(), [(1, Protocol::Other, 0)]);
}

#[test]
fn what_is_not_decoded_is_skipped_under_its_name() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    end.send(20, b"T hello", &mut r);
    end.cut(21, Direction::Received, (b"head", 1000, b"tail"), &mut r);
    let run = Run::of(&r);
    assert_eq!(run.fates(), [(Fate::SkippedTls, 1015)]);
    assert_eq!(run.kernel.told(), [(1, Protocol::Tls, 0)]);
}

#[test]
fn behind_a_switch_of_protocol_nothing_is_ours() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    end.send(20, b"Q\n", &mut r);
    end.receive(21, b"^", &mut r);
    end.send(22, b"frames", &mut r);
    let run = Run::of(&r);
    assert_eq!(
        run.fates(),
        [(Fate::Decoded, 2), (Fate::SkippedUpgraded, 7)]
    );
    assert_eq!(run.kernel.told().last(), Some(&(1, Protocol::Upgraded, 0)));
}

#[test]
fn a_wrong_guess_is_taken_back() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    end.send(20, b"H\x01", &mut r);
    end.receive(21, b"whatever", &mut r);
    end.send(22, b"Q\n", &mut r);
    let run = Run::of(&r);
    assert_eq!(
        run.fates(),
        [
            (Fate::Decoded, 2),
            (Fate::SkippedJoined, 8),
            (Fate::LostMalformed, 2)
        ]
    );
}

#[test]
fn a_lost_record_costs_what_it_hid_and_no_more() {
    let (mut end, mut r) = client();
    end.opened(10, &mut r);
    end.send(20, b"Q\nQhalf", &mut r);
    end.lose(Direction::Sent, 100);
    end.send(21, b"tail\nQ\n", &mut r);
    let run = Run::of(&r);
    assert_eq!(run.fates(), [(Fate::Decoded, 4), (Fate::LostHole, 10)]);
    assert_eq!(
        run.ledger.received(),
        14,
        "the kernel counted the lost record"
    );
}

#[test]
fn data_before_its_identity_asks_for_it() {
    let (mut end, mut r) = client();
    end.send(20, b"Q\n", &mut r);
    end.send(21, b"Q\n", &mut r);
    end.told(30, &mut r);
    let run = Run::of(&r);
    assert_eq!(run.kernel.told()[0], (1, Protocol::Undecided, 1));
    assert_eq!(
        run.kernel.told().len(),
        2,
        "asked once: {:?}",
        run.kernel.told()
    );
    assert_eq!(
        run.said[..4],
        ["1: client", "1: asked", "1: asked", "1: client"]
    );
}

#[test]
fn the_bounded_table_forgets_the_idlest_and_says_so() {
    let mut r = Recording::default();
    for cookie in 1..=3 {
        let mut end = End::pair(cookie, 9).0;
        end.opened(cookie, &mut r);
        end.send(cookie, b"Q\nQ", &mut r);
    }
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let run = Run::with(&r, settings);
    let evicted = run.said.iter().position(|s| s == "1: evicted").unwrap();
    assert_eq!(run.said[evicted - 1], "1: unanswered");
    assert_eq!(run.said[evicted + 1], "3: client");
    assert_eq!(run.ledger.settled(Fate::LostEvicted), 3, "each held a byte");
}

#[test]
fn a_refused_connect_and_an_end_cut_short_are_told() {
    let (mut end, mut r) = client();
    end.failed(10, Reason::Refused, &mut r);
    assert_eq!(Run::of(&r).said, ["1: client", "1: failed refused"]);
    let mut r = Recording::default();
    end.opened(10, &mut r);
    end.send(20, b"Q", &mut r);
    end.finish(30, Direction::Sent, &mut r);
    assert_eq!(Run::of(&r).said[2], "1: cut short");
}

#[test]
fn where_both_sides_sound_alike_the_ports_tell_who_serves() {
    for (port, vantage) in [(40_000, "1: client"), (79, "1: server")] {
        let (mut end, mut r) = client();
        end.identity.opener = Opener::Unknown as u8;
        end.identity.local_port = port;
        end.told(10, &mut r);
        end.send(20, b"B\n", &mut r);
        assert_eq!(Run::of(&r).said[0], vantage);
    }
}

/// The client's address of [`End::pair`] is observed on another node from this look on.
struct Observed {
    from: u64,
    before: Whereabouts,
    looks: AtomicU64,
}

impl Elsewhere for Observed {
    fn observes(&self, client: IpAddr) -> Whereabouts {
        let known = self.looks.load(Ordering::Relaxed) >= self.from;
        match client == Ipv4Addr::new(127, 0, 0, 2) {
            true if known => Whereabouts::Observed,
            true => self.before,
            false => Whereabouts::Unobserved,
        }
    }

    fn generation(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed) + 1
    }
}

fn observed(from: u64, owner: Side) -> Vantages {
    let others = Observed {
        from,
        before: Whereabouts::Unobserved,
        looks: AtomicU64::new(0),
    };
    Vantages::new(Box::new(others), owner)
}

/// The server's end of a connection on which each says one line, and one more.
fn served(recording: &mut Recording, line: &[u8]) {
    let mut server = End::pair(1, 2).1;
    server.accepted(10, recording);
    for time in [20, 40] {
        server.receive(time, line, recording);
        server.send(time + 10, b"A!\n", recording);
    }
}

/// The server's end of a connection on which the client says a line, and again a tenth of a second
/// later.
fn late(line: &[u8]) -> Recording {
    let mut server = End::pair(1, 2).1;
    let mut recording = Recording::default();
    server.accepted(10, &mut recording);
    server.receive(20, line, &mut recording);
    server.send(100_000_030, b"A\n", &mut recording);
    server.receive(100_000_040, line, &mut recording);
    recording
}

#[test]
fn whose_client_is_observed_on_another_node_counts_there() {
    let begun = ["2: server elsewhere", "2: accepted"];
    let exchange = ["2: asked", "2: let in", "2: answered"];
    for (line, owner, said, skipped) in [
        (b"Q\n", Side::Client, vec![], 10),
        // Whether it serves has to be seen, and what owns the facts read.
        (b"P\n", Side::Client, exchange.to_vec(), 5),
        (b"P\n", Side::Server, [exchange, exchange].concat(), 0),
        (b"H\n", Side::Client, [exchange, exchange].concat(), 0),
    ] {
        let mut r = Recording::default();
        served(&mut r, line);
        let run = Run::among(&r, Settings::default(), observed(0, owner));
        let all = [&begun[..], &said, &["2: evicted"]].concat();
        assert_eq!(run.said, all, "{line:?} {owner:?}");
        assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), skipped);
        let is_told = run.kernel.told().contains(&(2, Protocol::OtherEnd, 0));
        assert_eq!(is_told, skipped > 0, "{line:?} {owner:?}");
    }
}

#[test]
fn the_clients_end_counts_wherever_the_server_is() {
    let (mut end, mut r) = client();
    std::mem::swap(&mut end.identity.local, &mut end.identity.remote);
    end.opened(10, &mut r);
    end.send(20, b"Q\n", &mut r);
    let run = Run::among(&r, Settings::default(), observed(0, Side::Client));
    assert_eq!(run.said[..3], ["1: client", "1: opened", "1: asked"]);
}

#[test]
fn a_client_that_is_known_late_counts_elsewhere_from_then_on() {
    let r = late(b"Q\n");
    let run = Run::among(&r, Settings::default(), observed(2, Side::Client));
    assert_eq!(
        run.said,
        [
            "2: server",
            "2: accepted",
            "2: asked",
            "2: answered",
            "2: server elsewhere",
            "2: evicted",
        ]
    );
    assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), 2);
}

/// Nobody knows who the client is until this look; from then on it is nobody's.
struct Stranger {
    until: u64,
    looks: AtomicU64,
}

impl Elsewhere for Stranger {
    fn observes(&self, _client: IpAddr) -> Whereabouts {
        if self.looks.load(Ordering::Relaxed) < self.until {
            Whereabouts::Unknown
        } else {
            Whereabouts::Unobserved
        }
    }

    fn generation(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[test]
fn a_client_that_nobody_knows_is_missed_until_it_is_known_and_read_all_the_time() {
    for line in [b"Q\n", b"P\n"] {
        let r = late(line);
        let stranger = Stranger {
            until: 2,
            looks: AtomicU64::new(0),
        };
        let vantages = Vantages::new(Box::new(stranger), Side::Client);
        let run = Run::among(&r, Settings::default(), vantages);
        assert_eq!(run.said[0], "2: server elsewhere", "{:?}", run.said);
        assert!(
            run.said.contains(&"2: server".to_owned()),
            "told again once it is nobody's: {:?}",
            run.said
        );
        // What was said before belongs to nobody, and is counted as that.
        let known = run
            .said
            .iter()
            .position(|said| said == "2: server")
            .unwrap();
        let before = run.said[..known].iter();
        let exchange = ["2: asked", "2: let in", "2: answered"];
        let before = before.filter(|said| exchange.contains(&said.as_str()));
        assert_eq!(run.unattributed, before.count() as u64);
        assert!(run.unattributed > 0);
        assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), 0);
        assert!(!run.kernel.told().contains(&(2, Protocol::OtherEnd, 0)));
    }
}

#[test]
fn a_connection_that_idles_is_told_again_once_its_client_is_known() {
    let (mut idle, other) = (End::pair(1, 2).1, End::pair(3, 4).0);
    let mut r = Recording::default();
    idle.accepted(10, &mut r);
    idle.receive(20, b"P\n", &mut r);
    idle.send(30, b"A\n", &mut r);
    other.opened(100_000_040, &mut r);
    let stranger = Stranger {
        until: 2,
        looks: AtomicU64::new(0),
    };
    let vantages = Vantages::new(Box::new(stranger), Side::Client);
    let run = Run::among(&r, Settings::default(), vantages);
    let again = run.said.iter().position(|said| said == "2: server");
    let later = run.said.iter().position(|said| said == "2: evicted");
    assert!(again.is_some() && again < later, "{:?}", run.said);
}

#[test]
fn a_client_that_turns_out_to_be_observed_counts_nothing_here() {
    let r = late(b"Q\n");
    let others = Observed {
        from: 2,
        before: Whereabouts::Unknown,
        looks: AtomicU64::new(0),
    };
    let vantages = Vantages::new(Box::new(others), Side::Client);
    let run = Run::among(&r, Settings::default(), vantages);
    assert!(
        !run.said.contains(&"2: server".to_owned()),
        "{:?}",
        run.said
    );
    assert_eq!(run.ledger.settled(Fate::SkippedOtherEnd), 2);
}
