//! A cgroup of our own, an agent's kernel side on it, and what it saw.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use observer::capture::record::Body;
use observer::capture::{Capture, RingReader, Settings, Snapshot};
use observer_ebpf::{Counter, Direction, Header, Identity, Kind, Outcome, Process};

/// Tests move this process between cgroups, so there is one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A record, kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) header: Header,
    pub(crate) kind: Kind,
    pub(crate) head: Vec<u8>,
    pub(crate) tail: Vec<u8>,
    pub(crate) identity: Option<Identity>,
    pub(crate) process: Option<Process>,
}

/// A loaded agent and a cgroup that it has selected.
pub(crate) struct World {
    pub(crate) capture: Capture,
    pub(crate) directory: PathBuf,
    reader: RingReader,
    home: PathBuf,
    records: Vec<Kept>,
    _alone: MutexGuard<'static, ()>,
}

/// The cgroup v2 mount.
pub(crate) fn mount() -> PathBuf {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = text
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .expect("no cgroup v2");
    PathBuf::from(line.split(' ').nth(4).unwrap())
}

fn enter(directory: &Path) {
    fs::write(directory.join("cgroup.procs"), "0").unwrap();
}

impl World {
    /// With default settings.
    pub(crate) fn new() -> Self {
        Self::with(&Settings::default())
    }

    /// With these settings, selected before anything happens.
    pub(crate) fn with(settings: &Settings) -> Self {
        let mut world = Self::unselected(settings);
        world.select();
        world
    }

    /// Loaded, but with nothing selected yet.
    pub(crate) fn unselected(settings: &Settings) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mount = mount();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let home = own
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .unwrap();
        let directory = mount.join(format!("observer-test-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut capture = Capture::load(settings).unwrap_or_else(|error| panic!("{error}"));
        let reader = capture.rings().remove(0);
        let home = mount.join(home);
        Self {
            capture,
            directory,
            reader,
            home,
            records: Vec::new(),
            _alone: alone,
        }
    }

    pub(crate) fn select(&mut self) {
        self.capture
            .attach(&self.directory)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Does something as a process of the selected cgroup: sockets made there belong to it.
    pub(crate) fn inside<T>(&self, act: impl FnOnce() -> T) -> T {
        enter(&self.directory);
        let done = act();
        enter(&self.home);
        done
    }

    /// A listener in the selected cgroup.
    pub(crate) fn listen(&self, address: &str) -> TcpListener {
        self.inside(|| TcpListener::bind(address).unwrap())
    }

    /// A connection with both ends in the selected cgroup: the client's, and the server's.
    pub(crate) fn pair(&self, address: &str) -> (TcpStream, TcpStream) {
        let listener = self.listen(address);
        self.join(&listener, listener.local_addr().unwrap())
    }

    /// A client in the selected cgroup, connected to the listener; both ends.
    pub(crate) fn join(&self, listener: &TcpListener, to: SocketAddr) -> (TcpStream, TcpStream) {
        let client = self.inside(|| TcpStream::connect(to).unwrap());
        let server = listener.accept().unwrap().0;
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
            end.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        (client, server)
    }

    /// Everything so far, once nothing more has come for a while.
    pub(crate) fn records(&mut self) -> &[Kept] {
        let mut quiet = Instant::now();
        while quiet.elapsed() < Duration::from_millis(60) {
            let records = &mut self.records;
            let drained = self.reader.drain(u64::MAX, |record| {
                let mut kept = Kept {
                    header: record.header,
                    kind: Kind::from_byte(record.header.kind).unwrap(),
                    head: Vec::new(),
                    tail: Vec::new(),
                    identity: None,
                    process: None,
                };
                match record.body {
                    Body::Segment(head, tail) => {
                        (kept.head, kept.tail) = (head.to_vec(), tail.to_vec());
                    }
                    Body::Early(identity, head) => {
                        (kept.identity, kept.head) = (Some(identity), head.to_vec());
                    }
                    Body::Connection(_, identity) => kept.identity = Some(identity),
                    Body::Process(_, process) => kept.process = Some(process),
                }
                records.push(kept);
            });
            assert_eq!(drained.malformed, 0);
            if drained.records > 0 {
                quiet = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        &self.records
    }

    /// Forgets the records so far.
    pub(crate) fn forget(&mut self) {
        self.records();
        self.records.clear();
    }

    pub(crate) fn counters(&self) -> Snapshot {
        self.capture.counters().read().unwrap()
    }

    /// The books: what was seen is in a record, skipped or lost; returns what was seen.
    pub(crate) fn closes(&mut self) -> u64 {
        let submitted: u64 = self
            .records()
            .iter()
            .map(|kept| u64::from(kept.header.length))
            .sum();
        let counters = self.counters();
        let seen = counters.get(Counter::SeenBytes);
        let elsewhere = counters.total(Outcome::Skipped) + counters.total(Outcome::Lost);
        assert_eq!(seen, submitted + elsewhere, "{counters:?}");
        seen
    }

    /// The cookie of the local end with this address.
    pub(crate) fn cookie(&mut self, end: &TcpStream) -> u64 {
        let port = end.local_addr().unwrap().port();
        let remote = end.peer_addr().unwrap().port();
        self.records()
            .iter()
            .find_map(|kept| {
                let identity = kept.identity?;
                let named = kept.kind != Kind::Early
                    && identity.local_port == port
                    && identity.remote_port == remote;
                named.then_some(kept.header.cookie)
            })
            .expect("the connection was not told")
    }

    /// The last thing said of who this end is.
    pub(crate) fn identity(&mut self, end: &TcpStream) -> Identity {
        let cookie = self.cookie(end);
        self.of(cookie, |kept| kept.identity).pop().unwrap()
    }

    /// What the records of a connection yield.
    pub(crate) fn of<T>(&mut self, cookie: u64, map: impl Fn(&Kept) -> Option<T>) -> Vec<T> {
        self.records()
            .iter()
            .filter(|k| k.header.cookie == cookie)
            .filter_map(map)
            .collect()
    }

    /// The kinds of a connection's records, in order, without its payload.
    pub(crate) fn life(&mut self, cookie: u64) -> Vec<Kind> {
        self.of(cookie, |kept| {
            (kept.kind != Kind::Segment).then_some(kept.kind)
        })
    }

    /// The payload records of one direction, in order of position.
    pub(crate) fn payload(&mut self, cookie: u64, direction: Direction) -> Vec<Kept> {
        let mut records = self.of(cookie, |kept| {
            let wanted = kept.kind == Kind::Segment
                && kept.header.direction == direction as u8
                && kept.header.length > 0;
            wanted.then(|| kept.clone())
        });
        records.sort_by_key(|kept| kept.header.position);
        records
    }

    /// The bytes of one direction, which have to be there without a hole.
    pub(crate) fn bytes(&mut self, cookie: u64, direction: Direction) -> Vec<u8> {
        let records = self.payload(cookie, direction);
        let mut next = records.first().map_or(0, |kept| kept.header.position);
        let mut bytes = Vec::new();
        for kept in records {
            assert_eq!(kept.header.position, next, "a hole or a repeat");
            assert_eq!(
                kept.header.length, kept.header.head,
                "not all of it was copied"
            );
            next += u64::from(kept.header.length);
            bytes.extend(kept.head);
        }
        bytes
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Processes and sockets may need a moment to go.
        for _ in 0..50 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Sends, and receives it all at the other end.
pub(crate) fn send(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    let mut other = to.try_clone().unwrap();
    let length = bytes.len();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; length];
        other.read_exact(&mut received).unwrap();
        received
    });
    from.write_all(bytes).unwrap();
    assert!(reader.join().unwrap() == bytes);
}

/// Bytes that no protocol begins with, different at each position.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from((index * 7 + index / 251) & 127).unwrap() | 0x80)
        .collect()
}
