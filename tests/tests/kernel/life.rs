//! How connections and processes begin and end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use nix::sys::socket::{setsockopt, sockopt};
use observer_ebpf::{Direction, Flags, Kind, Opener, Reason};

use crate::harness::{Kept, World, noise, send};

fn last(world: &mut World, cookie: u64) -> Kept {
    world.of(cookie, |kept| Some(kept.clone())).pop().unwrap()
}

/// Both ends of a connection, and the way it is ended.
type Ending = fn(TcpStream, TcpStream);

#[test]
fn each_way_to_end_has_its_reason_at_each_end() {
    let orderly: Ending = |client, server| {
        drop(client);
        drop(server);
    };
    let abort: Ending = |client, server| {
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&client, sockopt::Linger, &linger).unwrap();
        drop(client);
        let _ended = (&server).read(&mut [0; 8]);
    };
    let unread: Ending = |client, mut server| {
        server.write_all(b"never read").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        drop(client);
        let _ended = server.read(&mut [0; 8]);
    };
    for (name, ending, at_client, at_server) in [
        ("orderly", orderly, Reason::Finished, Reason::Finished),
        ("abort", abort, Reason::ResetByUs, Reason::ResetByPeer),
        ("unread", unread, Reason::ResetByUs, Reason::ResetByPeer),
    ] {
        let mut world = World::new();
        let (mut client, mut server) = world.pair("127.0.0.1:0");
        send(&mut client, &mut server, &noise(100));
        send(&mut server, &mut client, &noise(100));
        let (at_client_cookie, at_server_cookie) = (world.cookie(&client), world.cookie(&server));
        ending(client, server);
        for (cookie, reason, first) in [
            (at_client_cookie, at_client, Kind::Opened),
            (at_server_cookie, at_server, Kind::Accepted),
        ] {
            let life = world.life(cookie);
            assert_eq!(
                (life[0], life[life.len() - 1]),
                (first, Kind::Closed),
                "{name}"
            );
            assert_eq!(
                last(&mut world, cookie).header.reason,
                reason as u8,
                "{name} {first:?}"
            );
            assert_eq!(life.iter().filter(|kind| **kind == Kind::Closed).count(), 1);
        }
        assert_eq!(
            world.capture.counters().tracked_sockets().unwrap(),
            0,
            "{name}"
        );
        world.closes();
    }
}

#[test]
fn an_opened_connection_names_its_process_and_a_server_does_with_its_first_answer() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    let opened = world.identity(&client);
    assert_eq!(
        (opened.opener, opened.process),
        (Opener::Active as u8, std::process::id())
    );
    assert!(opened.command.iter().any(|byte| *byte != 0));
    assert_eq!(world.identity(&server).opener, Opener::Passive as u8);
    send(&mut client, &mut server, &noise(10));
    send(&mut server, &mut client, &noise(10));
    assert_eq!(world.identity(&server).process, std::process::id());
    let id = std::os::unix::fs::MetadataExt::ino(&world.directory.metadata().unwrap());
    assert_eq!(
        (
            world.identity(&client).cgroup,
            world.identity(&server).cgroup
        ),
        (id, id)
    );
}

#[test]
fn a_refused_connect_has_failed_and_was_never_open() {
    let mut world = World::new();
    let listener = world.listen("127.0.0.1:0");
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(world.inside(|| TcpStream::connect(address)).is_err());
    let records = world.records();
    let kinds: Vec<Kind> = records.iter().map(|kept| kept.kind).collect();
    assert_eq!(kinds, [Kind::Failed]);
    assert_eq!(records[0].header.reason, Reason::Refused as u8);
    assert_eq!(records[0].identity.unwrap().remote_port, address.port());
    assert_eq!(world.capture.counters().tracked_sockets().unwrap(), 0);
}

#[test]
fn a_half_closed_direction_is_flagged_where_it_ends_and_the_other_goes_on() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    send(&mut client, &mut server, &noise(33));
    client.shutdown(std::net::Shutdown::Write).unwrap();
    send(&mut server, &mut client, &noise(44));
    for (end, direction) in [(&client, Direction::Sent), (&server, Direction::Received)] {
        let cookie = world.cookie(end);
        let ends = world.of(cookie, |kept| {
            let fin = kept.kind == Kind::Segment && kept.header.flags & Flags::FIN != 0;
            fin.then_some((
                kept.header.direction,
                kept.header.position,
                kept.header.length,
            ))
        });
        assert_eq!(ends, [(direction as u8, 33, 0)]);
    }
    let cookie = world.cookie(&client);
    assert_eq!(world.bytes(cookie, Direction::Received), noise(44));
    drop(server);
    assert_eq!(world.life(cookie).last(), Some(&Kind::Closed));
}

#[test]
fn round_trip_times_are_told() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair("127.0.0.1:0");
    for _ in 0..5 {
        send(&mut client, &mut server, &noise(10));
        send(&mut server, &mut client, &noise(10));
    }
    let cookie = world.cookie(&client);
    let last = last(&mut world, cookie);
    assert!(
        (1..1_000_000).contains(&last.header.round_trip_us),
        "{:?}",
        last.header
    );
}

#[test]
fn a_selected_process_is_told_when_it_executes_and_when_it_exits() {
    let mut world = World::new();
    let mut child = world.inside(|| Command::new("/bin/true").spawn().unwrap());
    child.wait().unwrap();
    Command::new("/bin/true").status().unwrap();
    let told: Vec<(Kind, u32, Vec<u8>)> = world
        .records()
        .iter()
        .filter_map(|kept| Some((kept.kind, kept.process?)))
        .map(|(kind, process)| (kind, process.process, process.command[..5].to_vec()))
        .collect();
    let name = b"true\0".to_vec();
    assert_eq!(
        told,
        [
            (Kind::ProcessExec, child.id(), name.clone()),
            (Kind::ProcessExit, child.id(), name)
        ]
    );
}
