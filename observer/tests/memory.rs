//! What a connection may make the agent remember, whatever its peers send.
//!
//! An allocator counts; each stream is one a peer would make up who wants to be remembered.

#![expect(
    clippy::unwrap_used,
    reason = "rules that cannot be read are a failed test"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use observer::correlate::postgres::Shared;
use observer::correlate::vantage::Vantages;
use observer::interpret::{Needs, Plan, Rules};
use observer::pipeline::protocols::Known;
use observer::pipeline::synthetic::{End, Recording};
use observer::pipeline::{Books, CONVERSATION_BYTES, Settings, Worker, connection_bytes};
use observer_ebpf::{Direction, Header, Kind};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator; only sizes are added up here.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocator counts for all threads, so there is one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What a peer says at once; a segment carries at most so much.
const SEGMENT: usize = 32 * 1024;

/// A frontend or backend message of PostgreSQL.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0shop\0database\0shop\0\0";
    let length = u32::try_from(body.len() + 4).unwrap();
    [&length.to_be_bytes()[..], body].concat()
}

/// `Bind` of the unnamed portal to the statement `s`: parameters of a byte, formats of results.
fn bind(parameters: u16, results: u16) -> Vec<u8> {
    let formats = |count: u16| std::iter::repeat_n([0, 1], count.into()).flatten();
    let values = std::iter::repeat_n([0, 0, 0, 1, 7], parameters.into()).flatten();
    let mut body = b"\0s\0".to_vec();
    body.extend(parameters.to_be_bytes());
    body.extend(formats(parameters));
    body.extend(parameters.to_be_bytes());
    body.extend(values);
    body.extend(results.to_be_bytes());
    body.extend(formats(results));
    message(b'B', &body)
}

/// What one end says, piece by piece.
fn each(count: usize, piece: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(piece).collect()
}

/// A stream: its name, what the client says, what the server says then.
type Stream = (&'static str, Vec<u8>, Vec<u8>);

#[rustfmt::skip]
fn streams() -> Vec<Stream> {
    let parse = |name: &str, text: &str| message(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"].concat());
    let wanted = "SELECT * FROM shops WHERE shop_id = $1";
    let begun = |more: Vec<u8>| [startup(), parse("s", wanted), more].concat();
    let ready = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
    let huge = b"\x7f\xff\xff\xff";
    vec![
        ("half an HTTP head", b"GET /v1/shops/1 HTTP/1.1\r\nHost: a".to_vec(), vec![]),
        ("an HTTP head of 64 KiB", [b"GET /", &[b'a'; 65_500][..], b" HTTP/1.1\r\n\r\n"].concat(), vec![]),
        ("an HTTP head without an end", [b"GET / HTTP/1.1\r\nA: ", &vec![b'a'; 1 << 20][..]].concat(), vec![]),
        ("10,000 headers", [b"GET / HTTP/1.1\r\n".to_vec(), each(10_000, |n| format!("h{n}: {n}\r\n").into()), b"\r\n".to_vec()].concat(), vec![]),
        ("HTTP requests in flight", each(20_000, |n| format!("GET /v1/shops/{n}/{:0>900}?q={:0>900} HTTP/1.1\r\nHost: {:0>250}\r\n\r\n", 1, 2, 3).into()), vec![]),
        ("HTTP bodies in flight", each(2000, |_| [b"POST /query HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n\r\n", &[b'['; 20_000][..]].concat()), vec![]),
        ("a chunk of 2 GiB", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n".to_vec(), vec![]),
        ("a PostgreSQL message of 2 GiB", [startup(), b"Q".to_vec(), huge.to_vec(), vec![b'x'; 1 << 20]].concat(), ready.clone()),
        ("a Parse of 2 GiB", [startup(), b"P".to_vec(), huge.to_vec(), vec![b'x'; 1 << 20]].concat(), ready.clone()),
        ("a Bind with 65,535 parameters", begun(bind(u16::MAX, u16::MAX)), ready.clone()),
        ("Binds with 2,000 parameters", begun(each(500, |_| bind(2000, 1))), ready.clone()),
        ("Binds with 7,000 formats", begun(each(1000, |_| bind(1, 7000))), ready.clone()),
        ("Binds without an end", begun(each(9000, |_| bind(1, 1))), ready.clone()),
        ("queries of 8,000 statements", [startup(), each(500, |_| message(b'Q', &[&b"a;".repeat(8000)[..], b"\0"].concat()))].concat(), ready.clone()),
        ("statements without an end", [startup(), each(9000, |n| parse(&format!("{n:0>63}"), wanted))].concat(), [ready.clone(), each(9000, |_| message(b'1', b""))].concat()),
        ("rows of 2 GiB", [startup(), message(b'Q', b"SELECT 1\0")].concat(), [ready.clone(), b"D".to_vec(), huge.to_vec(), vec![b'x'; 1 << 20]].concat()),
        ("columns without an end", [startup(), message(b'Q', b"SELECT 1\0")].concat(), [ready, message(b'T', &[&b"\xff\xff"[..], &vec![b'c'; 1 << 20]].concat())].concat()),
        ("Redis commands in flight", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n".repeat(100_000), vec![]),
        ("a Redis value of 2 GiB", [&b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2147483647\r\n"[..], &vec![b'x'; 1 << 20]].concat(), vec![]),
        ("an array of 2 GiB", b"*2147483647\r\n$3\r\nSET\r\n".to_vec(), vec![]),
        ("arrays 1,000 deep", b"*1\r\n$4\r\nPING\r\n".to_vec(), b"*1\r\n".repeat(1000)),
        ("a Redis line without an end", b"*1\r\n$4\r\nPING\r\n".to_vec(), [b"+".to_vec(), vec![b'x'; 1 << 20]].concat()),
        ("a transaction without an end", [&b"*1\r\n$5\r\nMULTI\r\n"[..], &b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n".repeat(100_000)].concat(), [&b"+OK\r\n"[..], &b"+QUEUED\r\n".repeat(100_000)].concat()),
        ("no UTF-8", [&b"GET /\xff\xfe HTTP/1.1\r\nHost: \xc0\x80\r\n\r\n"[..], &[0xff; 100_000]].concat(), vec![0xff; 100_000]),
        ("nothing known", vec![0xee; 1 << 20], vec![0xee; 1 << 20]),
    ]
}

fn worker() -> Worker {
    let needs = Needs::new(Plan::new(&Rules::naytife().unwrap()).unwrap());
    let statements = Arc::new(Shared::new(Box::new(needs.clone())));
    let known = Box::new(Known::new(Arc::new(needs), statements));
    let vantages = Arc::new(Vantages::default());
    Worker::new(
        Settings::default(),
        Books::default(),
        vantages,
        known,
        Box::new(()),
    )
}

/// What the worker holds at most, between two records, while these pass.
fn peak(recordings: impl Iterator<Item = Recording>) -> usize {
    let mut worker = worker();
    let mut peak = 0;
    let before = LIVE.load(Ordering::Relaxed);
    for recording in recordings {
        let ours = LIVE.load(Ordering::Relaxed);
        for record in recording.records() {
            worker.record(&record);
            drop(worker.batch(None));
            let grown = LIVE.load(Ordering::Relaxed).saturating_sub(ours);
            peak = peak.max(grown.saturating_add(ours).saturating_sub(before));
        }
        drop(recording);
    }
    peak
}

/// A connection on which the client says this, and then the server that.
fn conversation<'a>(
    client: &'a [u8],
    server: &'a [u8],
) -> impl Iterator<Item = Recording> + use<'a> {
    let mut end = End::pair(1, 2).0;
    let mut opened = Recording::default();
    end.opened(1, &mut opened);
    let sent = client.chunks(SEGMENT).map(|bytes| (bytes, true));
    let received = server.chunks(SEGMENT).map(|bytes| (bytes, false));
    let said = sent.chain(received).map(move |(bytes, sent)| {
        let mut recording = Recording::default();
        if sent {
            end.send(2, bytes, &mut recording);
        } else {
            end.receive(3, bytes, &mut recording);
        }
        recording
    });
    std::iter::once(opened).chain(said)
}

#[test]
fn a_conversation_holds_no_more_than_its_bound_whatever_is_said() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for (name, client, server) in streams() {
        // The segment that is being read is not remembered.
        let peak = peak(conversation(&client, &server)).saturating_sub(2 * SEGMENT);
        eprintln!("{peak:>10} {name}");
        if peak > CONVERSATION_BYTES {
            wrong.push((name, peak));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_waits_for_missing_bytes_takes_no_more_than_its_bound() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = Settings::default().limits;
    let mut opened = Recording::default();
    End::pair(1, 2).0.opened(1, &mut opened);
    for length in [1, 2000, 60_000] {
        let waiting = (1..2000_u32).map(|number| {
            let position = u64::from(number) * 100_000;
            let header = Header {
                time: 2,
                cookie: 1,
                position,
                length,
                head: length,
                ahead: number * 100_000,
                kind: Kind::Segment as u8,
                direction: Direction::Received as u8,
                ..Header::default()
            };
            let mut recording = Recording::default();
            recording.push(&header, &[&vec![b'x'; length as usize]]);
            recording
        });
        let peak = peak(std::iter::once(opened.clone()).chain(waiting));
        let bound = connection_bytes(&limits) - CONVERSATION_BYTES;
        assert!(peak <= bound, "{peak} of {bound} in pieces of {length}");
    }
}

#[test]
fn the_bound_is_the_documented_one() {
    let bytes = connection_bytes(&Settings::default().limits);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let documented = format!(
        "{}.{} MiB with the defaults",
        bytes >> 20,
        (bytes >> 19) % 2 * 5
    );
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(&documented), "{documented}");
}
