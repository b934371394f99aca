//! What happens at a bound.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use observer::capture::record::Body;
use observer::capture::{Capture, CaptureError, Settings};
use observer_ebpf::{Counter, Direction, Flags};

use crate::harness::{World, noise, send};

#[test]
fn a_full_ring_loses_records_in_the_open_and_never_blocks() {
    let settings = Settings {
        ring_bytes: 4096,
        wake_bytes: 2048,
        ..Settings::default()
    };
    let mut world = World::with(&settings);
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    for _ in 0..200 {
        send(&mut client, &mut server, &noise(100));
    }
    let lost = world.counters().get(Counter::RecordsRingFull);
    assert!(lost > 300, "{lost}");
    let seen = world.closes();
    assert_eq!(seen, 2 * 200 * 100);
    assert!(world.counters().get(Counter::LostRing) > 0);
    assert_eq!(
        world.counters().get(Counter::RecordsSubmitted),
        world.records().len() as u64
    );
    // There is room again: the next record of each end says how many were lost before it.
    send(&mut client, &mut server, &noise(100));
    let told: u64 = world
        .records()
        .iter()
        .map(|kept| u64::from(kept.header.lost))
        .sum();
    assert_eq!(told, world.counters().get(Counter::RecordsRingFull));
    world.closes();
}

#[test]
fn while_a_ring_fills_up_http_gives_way_in_steps_and_postgresql_does_not() {
    let mut world = World::with(&Settings {
        ring_bytes: 1 << 20,
        wake_bytes: 1 << 19,
        ..Settings::default()
    });
    let (mut browser, mut web) = world.pair("127.0.0.1:0");
    let (mut application, mut database) = world.pair("127.0.0.1:0");
    let mut request = b"GET / HTTP/1.1\r\n\r\n".to_vec();
    request.resize(4000, b'x');
    let mut query = b"Q\0\0\x03\xe7".to_vec();
    query.resize(1000, b'x');
    send(&mut browser, &mut web, &request);
    send(&mut application, &mut database, &query);
    let (http, sql) = (world.cookie(&browser), world.cookie(&application));
    for _ in 0..2000 {
        send(&mut web, &mut browser, &noise(20));
        send(&mut browser, &mut web, &request);
    }
    for _ in 0..50 {
        send(&mut database, &mut application, &noise(20));
        send(&mut application, &mut database, &query);
    }
    let requests = world.payload(http, Direction::Sent);
    let mut steps: Vec<u32> = requests.iter().map(|kept| kept.header.head).collect();
    steps.dedup();
    assert_eq!(steps, [4000, 2048, 0]);
    assert!(requests.len() < 2001, "every record found room");
    for kept in &requests {
        let shed = kept.header.flags & Flags::SHED != 0;
        assert_eq!(shed, kept.header.head < 4000);
        assert!(kept.tail.is_empty());
    }
    assert_eq!(world.bytes(sql, Direction::Sent), query.repeat(51));
    world.closes();
}

#[test]
fn sockets_over_the_bound_are_skipped_and_their_place_is_given_back() {
    let mut world = World::with(&Settings {
        sockets: 4,
        ..Settings::default()
    });
    let mut pairs: Vec<_> = (0..5).map(|_| world.pair("127.0.0.1:0")).collect();
    for (client, server) in &mut pairs {
        send(client, server, &noise(100));
    }
    assert_eq!(world.closes(), 1000);
    assert_eq!(world.counters().get(Counter::SkippedSockets), 600);
    assert_eq!(world.capture.counters().tracked_sockets().unwrap(), 4);
    drop(pairs);
    world.records();
    assert_eq!(world.capture.counters().tracked_sockets().unwrap(), 0);
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(100));
    assert_eq!(world.closes(), 1200);
    assert_eq!(world.counters().get(Counter::SkippedSockets), 600);
}

#[test]
fn a_thousand_short_connections_leave_no_state_behind() {
    let mut world = World::new();
    let listener = world.listen("127.0.0.1:0");
    for _ in 0..1000 {
        let (mut client, mut server) = world.join(&listener, listener.local_addr().unwrap());
        send(&mut client, &mut server, &noise(10));
    }
    assert_eq!(world.closes(), 20_000);
    let counters = world.counters();
    assert_eq!(counters.get(Counter::SocketsTracked), 2000);
    assert_eq!(counters.get(Counter::SocketsReleased), 2000);
}

#[test]
fn many_rings_share_the_connections_and_both_directions_keep_to_one() {
    let mut world = World::with(&Settings::default());
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(10));
    let cookie = world.cookie(&client);
    assert_eq!(world.bytes(cookie, Direction::Sent), noise(10));
    let settings = Settings {
        rings: 4,
        ring_bytes: 65536,
        wake_bytes: 4096,
        ..Settings::default()
    };
    let mut capture = Capture::load(&settings).unwrap();
    capture.attach(&world.directory).unwrap();
    let mut readers = capture.rings();
    assert_eq!(readers.len(), 4);
    let listener = world.listen("127.0.0.1:0");
    let address = listener.local_addr().unwrap();
    let mut pairs: Vec<_> = (0..64).map(|_| world.join(&listener, address)).collect();
    for (client, server) in &mut pairs {
        send(client, server, &noise(50));
    }
    let mut bytes = 0;
    // By cookie, and by the ports that both ends share.
    let (mut of_socket, mut of_connection) = (HashMap::new(), HashMap::new());
    for (ring, reader) in readers.iter_mut().enumerate() {
        let mut here = 0;
        reader.drain(u64::MAX, |record| {
            here += u64::from(record.header.length);
            if record.header.cookie != 0 {
                assert_eq!(*of_socket.entry(record.header.cookie).or_insert(ring), ring);
            }
            if let Body::Connection(_, identity) = record.body {
                let (local, remote) = (identity.local_port, identity.remote_port);
                let ports = (local.min(remote), local.max(remote));
                assert_eq!(*of_connection.entry(ports).or_insert(ring), ring);
            }
        });
        assert!(here > 0, "ring {ring} was not used");
        bytes += here;
    }
    assert_eq!(bytes, 64 * 100);
    assert_eq!((of_socket.len(), of_connection.len()), (128, 64));
}

#[test]
fn sockets_joined_on_all_processors_at_once_have_one_place_each() {
    let mut world = World::unselected(&Settings::default());
    let pairs: Vec<_> = (0..16).map(|_| world.pair("127.0.0.1:0")).collect();
    std::thread::scope(|scope| {
        for (client, server) in &pairs {
            for (from, to) in [(client, server), (server, client)] {
                let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                scope.spawn(move || send(&mut from, &mut to, &noise(4 << 20)));
            }
        }
        world.select();
    });
    world.closes();
    let tracked = world.capture.counters().tracked_sockets().unwrap();
    assert_eq!(world.counters().get(Counter::SocketsTracked), tracked);
    assert!(tracked <= 32, "{tracked}");
    drop(pairs);
    world.records();
    assert_eq!(world.capture.counters().tracked_sockets().unwrap(), 0);
    assert_eq!(world.counters().get(Counter::SocketsReleased), tracked);
}

#[test]
fn a_joined_socket_gives_its_place_back_when_it_has_said_its_last() {
    let mut world = World::unselected(&Settings::default());
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    world.select();
    send(&mut client, &mut server, &noise(10));
    send(&mut server, &mut client, &noise(10));
    let tracked = |world: &World| world.capture.counters().tracked_sockets().unwrap();
    assert_eq!(tracked(&world), 2);
    drop(client);
    // The server acknowledges the FIN and says nothing: the client's socket is gone before its FIN.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(tracked(&world), 1);
    drop(server);
    assert_eq!(tracked(&world), 0);
    world.closes();
}

#[test]
fn a_reader_that_waits_is_woken_when_the_ring_has_filled_past_the_level_and_not_before() {
    let mut world = World::with(&Settings::default());
    let pause = Duration::from_secs(3);
    let settings = Settings {
        wake_bytes: 20_000,
        poll_min: pause,
        poll_max: pause,
        ..Settings::default()
    };
    let mut capture = Capture::load(&settings).unwrap();
    capture.attach(&world.directory).unwrap();
    let mut reader = capture.rings().remove(0);
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    for (bytes, woken) in [(1000, false), (40_000, true), (1000, false)] {
        let waiting = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let began = Instant::now();
                reader.wait();
                began.elapsed()
            });
            std::thread::sleep(Duration::from_millis(100));
            send(&mut client, &mut server, &noise(bytes));
            waiter.join().unwrap()
        });
        assert_eq!(waiting < pause / 2, woken, "{bytes} {waiting:?}");
        assert!(reader.drain(u64::MAX, |_| {}).bytes > bytes as u64);
    }
    world.closes();
}

#[test]
fn a_bound_the_kernel_side_cannot_keep_is_refused_before_anything_is_loaded() {
    let refused = Capture::load(&Settings {
        rings: 3,
        ..Settings::default()
    });
    let sentence = match refused {
        Err(error @ CaptureError::Settings(_)) => error.to_string(),
        _ => panic!("not refused"),
    };
    assert_eq!(
        sentence,
        "capture.rings is 3; it must be a power of two from 1 to 8; did you mean 4?"
    );
}
