//! Every byte once, at each end, with the same names for both.

use std::net::{TcpListener, TcpStream};

use observer::capture::{Budgets, Settings};
use observer_ebpf::{Counter, Direction, Flags, Kind, Opener, Protocol, Verdict};

use crate::harness::{World, noise, send};

/// The address as the record has it.
fn mapped(end: std::net::SocketAddr) -> ([u8; 16], u16) {
    let address = match end.ip() {
        std::net::IpAddr::V4(four) => four.to_ipv6_mapped(),
        std::net::IpAddr::V6(six) => six,
    };
    (address.octets(), end.port())
}

fn exchange(world: &mut World, client: &mut TcpStream, server: &mut TcpStream) {
    let (question, answer) = (noise(3000), noise(40_000));
    send(client, server, &question);
    send(server, client, &answer);
    let (at_client, at_server) = (world.identity(client), world.identity(server));
    // Both vantages name the connection by the same pair, and each end by the same address.
    assert_eq!(at_client.sent_first, at_server.received_first);
    assert_eq!(at_client.received_first, at_server.sent_first);
    assert_eq!(
        (at_client.local, at_client.local_port),
        mapped(client.local_addr().unwrap())
    );
    assert_eq!(
        (at_client.local, at_client.local_port),
        (at_server.remote, at_server.remote_port)
    );
    assert_eq!(
        (at_client.remote, at_client.remote_port),
        (at_server.local, at_server.local_port)
    );
    let (client, server) = (world.cookie(client), world.cookie(server));
    assert!(world.bytes(client, Direction::Sent) == question);
    assert!(world.bytes(server, Direction::Received) == question);
    assert!(world.bytes(server, Direction::Sent) == answer);
    assert!(world.bytes(client, Direction::Received) == answer);
    assert_eq!(world.closes(), 2 * 43_000);
}

#[test]
fn every_byte_is_seen_once_at_each_end_over_ipv4() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    exchange(&mut world, &mut client, &mut server);
}

#[test]
fn every_byte_is_seen_once_at_each_end_over_ipv6() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("[::1]:0");
    exchange(&mut world, &mut client, &mut server);
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_has_the_same_addresses_at_both_ends() {
    let mut world = World::new();
    let listener = world.listen("[::]:0");
    let port = listener.local_addr().unwrap().port();
    let (mut client, mut server) = world.join(&listener, ([127, 0, 0, 1], port).into());
    exchange(&mut world, &mut client, &mut server);
}

#[test]
fn a_connection_older_than_the_agent_is_joined_with_exact_positions() {
    let mut world = World::unselected(&Settings::default());
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(1000));
    send(&mut server, &mut client, &noise(500));
    world.select();
    send(&mut client, &mut server, &noise(10));
    send(&mut server, &mut client, &noise(20));
    let (at_client, at_server) = (world.identity(&client), world.identity(&server));
    assert_eq!(at_client.opener, Opener::Unknown as u8);
    assert_eq!(at_client.received_first, at_server.sent_first);
    // The client's own SYN was acknowledged before its first byte, which cannot be told any more.
    assert_eq!(
        at_client.sent_first.wrapping_add(1),
        at_server.received_first
    );
    let (client_cookie, server_cookie) = (world.cookie(&client), world.cookie(&server));
    let first =
        |world: &mut World, cookie, direction| world.payload(cookie, direction)[0].header.position;
    assert_eq!(first(&mut world, server_cookie, Direction::Received), 1000);
    assert_eq!(first(&mut world, client_cookie, Direction::Sent), 1001);
    assert_eq!(first(&mut world, server_cookie, Direction::Sent), 500);
    assert_eq!(first(&mut world, client_cookie, Direction::Received), 500);
    assert_eq!(world.closes(), 60);
    drop(client);
    drop(server);
    assert_eq!(world.life(client_cookie).last(), Some(&Kind::Closed));
    assert_eq!(world.life(server_cookie).last(), Some(&Kind::Closed));
    assert_eq!(world.capture.counters().tracked_sockets().unwrap(), 0);
}

#[test]
fn past_its_budget_a_turn_yields_positions_and_tails_and_the_next_turn_starts_afresh() {
    let budgets = Budgets {
        undecided: 1000,
        ..Budgets::default()
    };
    let mut world = World::with(&Settings {
        budgets,
        tail_bytes: 40,
        ..Settings::default()
    });
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    let long = noise(300_000);
    send(&mut client, &mut server, &noise(10));
    send(&mut server, &mut client, &long);
    send(&mut client, &mut server, &noise(10));
    send(&mut server, &mut client, &noise(999));
    let cookie = world.cookie(&server);
    let records = world.payload(cookie, Direction::Sent);
    let (mut next, mut copied) = (0, 0);
    for kept in &records {
        let header = kept.header;
        assert_eq!(header.position, next, "positions are exact, copied or not");
        let start = usize::try_from(next).unwrap();
        next += u64::from(header.length);
        if next <= 300_000 {
            let end = usize::try_from(next).unwrap();
            assert!(kept.head == long[start..start + kept.head.len()]);
            assert!(kept.tail == long[end - kept.tail.len()..end]);
            assert_eq!(
                header.flags & Flags::BUDGET != 0,
                header.head < header.length
            );
            assert_eq!(header.tail, (header.length - header.head).min(40));
            copied += header.head;
        } else {
            assert_eq!(
                (header.head, header.flags & Flags::TURN),
                (999, Flags::TURN)
            );
        }
    }
    assert_eq!((copied, next), (1000, 300_999));
    world.closes();
}

#[test]
fn bytes_that_nobody_decodes_are_counted_and_not_copied() {
    let hello = b"\x16\x03\x03\x02\x00\x02\x00\x01\xfc\x03\x03 and so on";
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (first, counter) in [
        (&hello[..], Counter::SkippedTls),
        (&preface[..], Counter::SkippedHttp2),
    ] {
        let mut world = World::new();
        let (mut client, mut server) = world.pair("127.0.0.1:0");
        send(&mut client, &mut server, first);
        send(&mut server, &mut client, &noise(700));
        let cookie = world.cookie(&client);
        assert!(world.payload(cookie, Direction::Sent).is_empty());
        let all = 2 * (first.len() as u64 + 700);
        assert_eq!((world.closes(), world.counters().get(counter)), (all, all));
    }
}

#[test]
fn a_clients_hello_is_copied_where_it_is_sent_and_nothing_behind_it() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on";
    let answer = b"\x16\x03\x03\x02\x00\x02\x00\x01\xfc\x03\x03 and so on";
    send(&mut client, &mut server, hello);
    send(&mut server, &mut client, answer);
    send(&mut client, &mut server, &noise(700));
    let (at_client, at_server) = (world.cookie(&client), world.cookie(&server));
    let told = world.payload(at_client, Direction::Sent);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&*told[0].head, told[0].header.protocol),
        (&hello[..], Protocol::Undecided as u8)
    );
    assert!(world.payload(at_server, Direction::Received).is_empty());
    let all = 2 * (hello.len() + answer.len() + 700) as u64;
    assert_eq!(world.closes(), all);
    let skipped = world.counters().get(Counter::SkippedTls);
    assert_eq!(skipped, all - hello.len() as u64);
}

#[test]
fn an_unknown_protocol_is_left_alone_after_its_attempts() {
    let mut world = World::with(&Settings {
        attempts: 4,
        ..Settings::default()
    });
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    for _ in 0..10 {
        send(&mut client, &mut server, &noise(10));
        send(&mut server, &mut client, &noise(10));
    }
    let cookie = world.cookie(&client);
    assert_eq!(
        world
            .of(cookie, |kept| (kept.kind == Kind::Segment).then_some(()))
            .len(),
        3
    );
    assert_eq!(
        (world.closes(), world.counters().get(Counter::SkippedOther)),
        (400, 340)
    );
}

#[test]
fn what_the_first_bytes_say_is_in_the_record_even_after_turns_that_said_nothing() {
    for (bytes, protocol) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Protocol::Http1),
        (b"*1\r\n$4\r\nPING\r\n", Protocol::Redis),
        (b"\0\0\0\x54\0\x03\0\0user\0postgres\0", Protocol::Postgres),
        (b"Q\0\0\0\x0dSELECT 1\0", Protocol::Postgres),
    ] {
        let mut world = World::new();
        let (mut client, mut server) = world.pair("127.0.0.1:0");
        send(&mut client, &mut server, &noise(5));
        send(&mut server, &mut client, &noise(5));
        send(&mut client, &mut server, bytes);
        let cookie = world.cookie(&client);
        let told = world.payload(cookie, Direction::Sent);
        assert_eq!(told[0].header.protocol, Protocol::Undecided as u8);
        assert_eq!(told[1].header.protocol, protocol as u8);
    }
}

#[test]
fn a_granted_sslrequest_turns_into_tls_within_the_connection() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, b"\0\0\0\x08\x04\xd2\x16\x2f");
    send(&mut server, &mut client, b"S");
    send(
        &mut client,
        &mut server,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    );
    send(&mut server, &mut client, &noise(100));
    assert_eq!(world.closes(), 2 * (8 + 1 + 11 + 100));
    assert_eq!(world.counters().get(Counter::SkippedTls), 2 * 111);
}

#[test]
fn the_agents_verdict_holds_from_the_next_segment_on() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(10));
    let cookie = world.cookie(&client);
    let verdicts = world.capture.verdicts();
    for (protocol, counter, tell) in [
        (Protocol::OtherEnd, Some(Counter::SkippedOtherEnd), 0),
        (Protocol::Upgraded, Some(Counter::SkippedUpgraded), 0),
        (Protocol::Tls, Some(Counter::SkippedTls), 0),
        (Protocol::Redis, None, 1),
        (Protocol::Undecided, None, 1),
    ] {
        world.forget();
        let before = world.counters();
        verdicts
            .set(
                cookie,
                Verdict {
                    protocol: protocol as u8,
                    tell,
                    reserved: [0; 6],
                },
            )
            .unwrap();
        send(&mut client, &mut server, &noise(100));
        let records = world.of(cookie, |kept| Some((kept.kind, kept.header.protocol)));
        if let Some(counter) = counter {
            assert_eq!(records, []);
            assert_eq!(world.counters().get(counter) - before.get(counter), 100);
        } else {
            let redis = Protocol::Redis as u8;
            assert_eq!(records, [(Kind::Connection, redis), (Kind::Segment, redis)]);
        }
    }
}

#[test]
fn a_megabyte_each_way_at_once_closes_the_books() {
    let mut world = World::new();
    let (client, server) = world.pair("127.0.0.1:0");
    let threads: Vec<_> = [(&client, &server), (&server, &client)]
        .map(|(from, to)| {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            std::thread::spawn(move || send(&mut from, &mut to, &noise(1 << 20)))
        })
        .into();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(world.closes(), 4 << 20);
    for end in [&client, &server] {
        let cookie = world.cookie(end);
        for direction in [Direction::Sent, Direction::Received] {
            let mut next = 0;
            for kept in world.payload(cookie, direction) {
                assert_eq!(kept.header.position, next);
                next += u64::from(kept.header.length);
            }
            assert_eq!(next, 1 << 20);
        }
    }
}

#[test]
fn the_agents_own_listener_and_its_children_are_not_looked_at() {
    let mut world = World::new();
    let listener: TcpListener = world.listen("127.0.0.1:0");
    world.capture.own().mark(&listener).unwrap();
    let before = world.counters();
    // The client is not in the selected cgroup.
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut server = listener.accept().unwrap().0;
    send(&mut client, &mut server, b"GET /metrics HTTP/1.1\r\n\r\n");
    send(&mut server, &mut client, &noise(1000));
    drop((client, server));
    assert_eq!(world.records().len(), 0);
    let after = world.counters();
    assert_eq!(
        after.get(Counter::SeenBytes),
        before.get(Counter::SeenBytes)
    );
    assert!(after.get(Counter::OwnSegments) > before.get(Counter::OwnSegments));
    assert_eq!(world.capture.counters().tracked_sockets().unwrap(), 0);
}
