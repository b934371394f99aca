//! Segments that a well-behaved peer on loopback never sends: repeated, out of order, forged,
//! before the connection is accepted. The peer is this test, behind a TUN device.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
use observer::capture::record::Body;
use observer::capture::{Capture, Settings};
use observer_ebpf::{Counter, Direction, Flags, Kind, Reason};
use observer_tests::network::{apart, tunnel};

use crate::harness::{World, noise, send};

const HOST: Ipv4Addr = Ipv4Addr::new(10, 201, 77, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 201, 77, 2);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A wire with a host of our own at its end.
struct Wire {
    device: File,
    port: u16,
    /// What the peer sends next, and expects next.
    sequence: u32,
    expected: u32,
    host_port: u16,
}

/// A segment from the host.
#[derive(Debug)]
struct Got {
    sequence: u32,
    flags: u8,
    payload: Vec<u8>,
}

impl Wire {
    fn new() -> Self {
        static PORT: AtomicU16 = AtomicU16::new(40_000);
        let device = tunnel("obs-wire").unwrap();
        for arguments in [
            ["addr", "add", "10.201.77.1/30", "dev", "obs-wire"],
            ["link", "set", "obs-wire", "up", "mtu"],
        ] {
            let mut command = Command::new("ip");
            command.args(arguments);
            if arguments[0] == "link" {
                command.arg("1500");
            }
            assert!(command.status().unwrap().success());
        }
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        Self {
            device,
            port,
            sequence: 1_000_000,
            expected: 0,
            host_port: 0,
        }
    }

    /// Sends a segment at an offset from where the stream is.
    fn put(&mut self, offset: i32, flags: u8, payload: &[u8]) {
        let mut tcp = Vec::new();
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(self.host_port.to_be_bytes());
        tcp.extend(self.sequence.wrapping_add_signed(offset).to_be_bytes());
        tcp.extend(self.expected.to_be_bytes());
        tcp.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(payload);
        let length = u16::try_from(tcp.len()).unwrap();
        let mut pseudo = Vec::new();
        pseudo.extend(PEER.octets());
        pseudo.extend(HOST.octets());
        pseudo.extend([0, 6]);
        pseudo.extend(length.to_be_bytes());
        pseudo.extend(&tcp);
        tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
        let mut packet = vec![0x45, 0];
        packet.extend((length + 20).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(PEER.octets());
        packet.extend(HOST.octets());
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(tcp);
        self.device.write_all(&packet).unwrap();
    }

    /// The next segment from the host that fits, within two seconds.
    fn get(&mut self, fits: impl Fn(&Got) -> bool) -> Got {
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut packet = [0; 2048];
        while Instant::now() < deadline {
            let Ok(length) = self.device.read(&mut packet) else {
                sleep(Duration::from_millis(1));
                continue;
            };
            let packet = &packet[..length];
            if length < 40 || packet[0] >> 4 != 4 || packet[9] != 6 {
                continue;
            }
            let tcp = &packet[usize::from(packet[0] & 15) * 4..];
            if tcp[2..4] != self.port.to_be_bytes() {
                continue;
            }
            self.host_port = u16::from_be_bytes([tcp[0], tcp[1]]);
            let got = Got {
                sequence: u32::from_be_bytes(tcp[4..8].try_into().unwrap()),
                flags: tcp[13],
                payload: tcp[usize::from(tcp[12] >> 4) * 4..].to_vec(),
            };
            if fits(&got) {
                return got;
            }
        }
        panic!("the host did not answer");
    }

    /// Connects to a listener of the host; the third ACK carries this.
    fn open(&mut self, listener: &TcpListener, third: &[u8]) {
        self.host_port = listener.local_addr().unwrap().port();
        self.put(0, SYN, &[]);
        let answer = self.get(|got| got.flags == SYN | ACK);
        self.sequence += 1;
        self.expected = answer.sequence.wrapping_add(1);
        self.put(0, ACK, third);
        self.sequence += u32::try_from(third.len()).unwrap();
    }

    /// Sends the next bytes of the stream.
    fn say(&mut self, payload: &[u8]) {
        self.put(0, ACK, payload);
        self.sequence += u32::try_from(payload.len()).unwrap();
    }
}

fn option(socket: &impl AsRawFd, name: i32, value: i32) {
    let size = u32::try_from(size_of::<i32>()).unwrap();
    let at = (&raw const value).cast();
    // SAFETY: the value is an `int`, as each option used here wants, and outlives the call.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, name, at, size) };
    assert_eq!(set, 0);
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

fn opened(world: &World) -> (Wire, TcpStream) {
    let mut wire = Wire::new();
    let listener = world.listen("10.201.77.1:0");
    wire.open(&listener, &[]);
    let server = listener.accept().unwrap().0;
    server.set_nodelay(true).unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    (wire, server)
}

fn take(server: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    server.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_repeated_segment_is_counted_and_not_told_again() {
    let mut world = World::new();
    let (mut wire, mut server) = opened(&world);
    let bytes = noise(300);
    wire.say(&bytes[..100]);
    wire.put(-100, ACK, &bytes[..100]);
    // Half of it is known.
    wire.put(-50, ACK, &bytes[50..150]);
    wire.sequence += 50;
    wire.say(&bytes[150..]);
    // A keep-alive probe: one byte of the past.
    wire.put(-1, ACK, b"x");
    assert_eq!(take(&mut server, 300), bytes);
    let cookie = world.cookie(&server);
    assert_eq!(world.bytes(cookie, Direction::Received), bytes);
    assert_eq!(world.closes(), 300);
    assert_eq!(world.counters().get(Counter::SegmentsDuplicate), 2);
}

#[test]
fn segments_out_of_order_say_how_far_ahead_they_are_and_a_repeat_of_one_is_no_news() {
    let mut world = World::new();
    let (mut wire, mut server) = opened(&world);
    let bytes = noise(500);
    wire.put(0, ACK, &bytes[..100]);
    wire.put(300, ACK, &bytes[300..400]);
    wire.put(300, ACK, &bytes[300..400]);
    wire.put(200, ACK, &bytes[200..300]);
    wire.put(100, ACK, &bytes[100..200]);
    wire.put(400, ACK, &bytes[400..]);
    assert_eq!(take(&mut server, 500), bytes);
    let cookie = world.cookie(&server);
    assert_eq!(world.bytes(cookie, Direction::Received), bytes);
    let ahead = world.payload(cookie, Direction::Received);
    let ahead: Vec<u32> = ahead.iter().map(|kept| kept.header.ahead).collect();
    assert_eq!(ahead, [0, 0, 100, 200, 0]);
    assert_eq!(world.closes(), 500);
    assert_eq!(world.counters().get(Counter::SegmentsDuplicate), 1);
}

#[test]
fn a_segment_far_outside_the_window_is_not_believed() {
    let mut world = World::new();
    let (mut wire, mut server) = opened(&world);
    wire.put(200 << 20, ACK, &noise(100));
    wire.put(-(200 << 20), ACK, &noise(100));
    // Nor an RST that is not exactly next.
    wire.put(1000, RST, &[]);
    wire.say(&noise(100));
    assert_eq!(take(&mut server, 100), noise(100));
    let cookie = world.cookie(&server);
    assert_eq!(world.bytes(cookie, Direction::Received), noise(100));
    assert_eq!(world.closes(), 100);
    assert_eq!(world.counters().get(Counter::SegmentsOutsideWindow), 2);
    assert!(
        world
            .of(cookie, |kept| (kept.header.flags & Flags::RST != 0)
                .then_some(()))
            .is_empty()
    );
}

#[test]
fn a_retransmission_is_told_once_without_payload_and_its_bytes_are_not_seen_again() {
    let mut world = World::new();
    let (mut wire, mut server) = opened(&world);
    server.write_all(&noise(100)).unwrap();
    wire.get(|got| got.payload.len() == 100);
    // Not acknowledged: it comes again.
    wire.get(|got| got.payload.len() == 100);
    wire.expected += 100;
    wire.put(0, ACK, &[]);
    sleep(Duration::from_millis(20));
    let cookie = world.cookie(&server);
    assert_eq!(world.bytes(cookie, Direction::Sent), noise(100));
    assert_eq!(world.closes(), 100);
    let again = world.of(cookie, |kept| {
        let header = kept.header;
        let told = header.flags & Flags::RETRANSMITTED != 0;
        told.then_some((header.direction, header.position, header.length))
    });
    assert_eq!(again, [(Direction::Sent as u8, 0, 0)]);
    assert_eq!(world.counters().get(Counter::SegmentsRetransmitted), 1);
}

#[test]
fn data_on_the_third_ack_is_early_and_names_the_child_that_follows() {
    let mut world = World::new();
    let mut wire = Wire::new();
    let listener = world.listen("10.201.77.1:0");
    wire.open(&listener, &noise(90));
    let mut server = listener.accept().unwrap().0;
    wire.say(&noise(10));
    assert_eq!(take(&mut server, 100).len(), 100);
    let child = world.identity(&server);
    let early: Vec<_> = world
        .records()
        .iter()
        .filter(|kept| kept.kind == Kind::Early)
        .map(|kept| (kept.identity.unwrap(), kept.head.clone()))
        .collect();
    assert_eq!(early.len(), 1);
    let (identity, head) = &early[0];
    assert_eq!(*head, noise(90));
    assert_eq!(
        (identity.local, identity.local_port),
        (child.local, child.local_port)
    );
    assert_eq!(
        (identity.remote, identity.remote_port),
        (child.remote, child.remote_port)
    );
    assert_eq!(identity.received_first, child.received_first);
    assert_eq!(identity.sent_first, child.sent_first);
    let cookie = world.cookie(&server);
    let rest = world.payload(cookie, Direction::Received);
    assert_eq!((rest.len(), rest[0].header.position), (1, 90));
    assert_eq!(world.closes(), 100);
}

#[test]
fn the_first_request_of_a_deferred_accept_is_early() {
    let mut world = World::new();
    let listener = world.listen("127.0.0.1:0");
    option(&listener, libc::TCP_DEFER_ACCEPT, 5);
    let mut client = world
        .inside(|| TcpStream::connect(listener.local_addr().unwrap()))
        .unwrap();
    client.write_all(&noise(70)).unwrap();
    let mut server = listener.accept().unwrap().0;
    send(&mut client, &mut server, &[]);
    assert_eq!(take(&mut server, 70), noise(70));
    send(&mut server, &mut client, &noise(5));
    let early: Vec<u32> = world
        .records()
        .iter()
        .filter(|kept| kept.kind == Kind::Early)
        .map(|kept| kept.identity.unwrap().received_first)
        .collect();
    assert_eq!(early, [world.identity(&client).sent_first]);
    assert_eq!(world.closes(), 2 * 75);
}

#[test]
fn with_many_rings_what_passes_the_listener_is_in_the_ring_of_its_child() {
    let world = World::new();
    let mut capture = Capture::load(&Settings {
        rings: 8,
        ring_bytes: 1 << 20,
        wake_bytes: 4096,
        ..Settings::default()
    })
    .unwrap();
    capture.attach(&world.directory).unwrap();
    let listener = world.listen("127.0.0.1:0");
    option(&listener, libc::TCP_DEFER_ACCEPT, 5);
    for _ in 0..40 {
        let address = listener.local_addr().unwrap();
        let mut client = world.inside(|| TcpStream::connect(address)).unwrap();
        client.write_all(&noise(70)).unwrap();
        assert_eq!(take(&mut listener.accept().unwrap().0, 70), noise(70));
    }
    let (mut early, mut children) = (HashMap::new(), HashMap::new());
    for (ring, reader) in capture.rings().iter_mut().enumerate() {
        reader.drain(u64::MAX, |record| match record.body {
            Body::Early(identity, _) => {
                assert!(!children.contains_key(&identity.remote_port), "in order");
                early.insert(identity.remote_port, ring);
            }
            Body::Connection(Kind::Accepted, identity) => {
                children.insert(identity.remote_port, ring);
            }
            _ => {}
        });
    }
    assert_eq!(early.len(), 40);
    assert_eq!(early, children);
}

/// A connect that sends its first bytes on the SYN.
fn fast_open(to: SocketAddrV4) -> TcpStream {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )
    .unwrap();
    option(&socket, libc::TCP_FASTOPEN_CONNECT, 1);
    connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    socket.into()
}

#[test]
fn a_request_on_the_syn_is_counted_once_at_each_end() {
    apart(&[], || {
        // Both ends may, and without a cookie from an earlier connection.
        std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "519")?;
        let mut world = World::new();
        let listener = world.listen("127.0.0.1:0");
        option(&listener, libc::TCP_FASTOPEN, 16);
        let SocketAddr::V4(address) = listener.local_addr()? else {
            unreachable!("bound to IPv4");
        };
        let mut client = world.inside(|| {
            let mut client = fast_open(address);
            client.write_all(&noise(60)).unwrap();
            client
        });
        let mut server = listener.accept()?.0;
        assert_eq!(take(&mut server, 60), noise(60));
        send(&mut client, &mut server, &noise(40));
        send(&mut server, &mut client, &noise(5));
        let early: Vec<_> = world
            .records()
            .iter()
            .filter(|kept| kept.kind == Kind::Early)
            .map(|kept| (kept.identity.unwrap().received_first, kept.head.clone()))
            .collect();
        let (at_client, at_server) = (world.identity(&client), world.identity(&server));
        assert_eq!(early, [(at_server.received_first, noise(60))]);
        assert_eq!(at_client.sent_first, at_server.received_first);
        assert_eq!(at_client.received_first, at_server.sent_first);
        let sent = [noise(60), noise(40)].concat();
        let cookie = world.cookie(&client);
        assert_eq!(world.bytes(cookie, Direction::Sent), sent);
        let cookie = world.cookie(&server);
        let rest = world.payload(cookie, Direction::Received);
        assert_eq!((rest.len(), rest[0].header.position), (1, 60));
        assert_eq!(world.bytes(cookie, Direction::Sent), noise(5));
        assert_eq!(world.closes(), 2 * 105);
        Ok(())
    })
    .unwrap();
}

#[test]
fn segments_over_64_kib_have_their_whole_length() {
    let big = ["gso_max_size", "200000", "gro_max_size", "200000"];
    apart(&big, || {
        let mut world = World::new();
        let (mut client, mut server) = world.pair("[::1]:0");
        send(&mut client, &mut server, &noise(8 << 20));
        let mut longest = 0;
        for (end, direction) in [(&client, Direction::Sent), (&server, Direction::Received)] {
            let cookie = world.cookie(end);
            let mut next = 0;
            for kept in world.payload(cookie, direction) {
                assert_eq!(kept.header.position, next);
                next += u64::from(kept.header.length);
                longest = longest.max(kept.header.length);
            }
            assert_eq!(next, 8 << 20);
        }
        assert!(longest > 65_536, "{longest}");
        assert_eq!(world.closes(), 2 * (8 << 20));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_fin_that_comes_with_known_bytes_is_told() {
    let mut world = World::new();
    let (mut wire, mut server) = opened(&world);
    wire.say(&noise(100));
    assert_eq!(take(&mut server, 100), noise(100));
    wire.put(-100, ACK | FIN, &noise(100));
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    let cookie = world.cookie(&server);
    let fin = world.of(cookie, |kept| {
        let header = kept.header;
        (header.flags & Flags::FIN != 0).then_some((header.position, header.length))
    });
    assert_eq!(fin, [(100, 0)]);
    assert_eq!(world.closes(), 100);
}

#[test]
fn a_peer_that_is_silent_times_out_and_one_that_resets_is_named() {
    let mut world = World::new();
    let (mut wire, mut server) = opened(&world);
    wire.say(&noise(10));
    assert_eq!(take(&mut server, 10), noise(10));
    option(&server, libc::TCP_USER_TIMEOUT, 300);
    server.write_all(&noise(10)).unwrap();
    let cookie = world.cookie(&server);
    assert!(server.read(&mut [0; 1]).is_err());
    let end = world
        .of(cookie, |kept| Some((kept.kind, kept.header.reason)))
        .pop()
        .unwrap();
    assert_eq!(end, (Kind::Closed, Reason::TimedOut as u8));
    drop(wire);
    let (mut wire, mut server) = opened(&world);
    wire.say(&noise(10));
    assert_eq!(take(&mut server, 10), noise(10));
    let cookie = world.cookie(&server);
    wire.put(0, RST, &[]);
    assert!(server.read(&mut [0; 1]).is_err());
    let end = world
        .of(cookie, |kept| Some((kept.kind, kept.header.reason)))
        .pop()
        .unwrap();
    assert_eq!(end, (Kind::Closed, Reason::ResetByPeer as u8));
}

#[test]
fn a_fin_ahead_of_missing_bytes_is_told_where_it_is() {
    let mut world = World::new();
    let (mut wire, mut server) = opened(&world);
    let bytes = noise(200);
    wire.put(100, ACK | FIN, &bytes[100..]);
    wire.put(0, ACK, &bytes[..100]);
    assert_eq!(take(&mut server, 200), bytes);
    let cookie = world.cookie(&server);
    assert_eq!(world.bytes(cookie, Direction::Received), bytes);
    let fin = world.of(cookie, |kept| {
        let header = kept.header;
        (header.flags & Flags::FIN != 0).then_some((header.position, header.length, header.ahead))
    });
    assert_eq!(fin, [(100, 100, 100)]);
    assert_eq!(world.closes(), 200);
}
