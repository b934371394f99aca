//! Sessions, driven through a worker by made-up connections.

use observer_ebpf::{Direction, Opener, Protocol, Reason};

use super::fake::Run;
use crate::ledger::Fate;
use crate::pipeline::Settings;
use crate::pipeline::synthetic::{End, Recording};
use crate::reassemble::Limits;

mod nodes;

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
