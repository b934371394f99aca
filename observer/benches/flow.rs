//! What a record costs on its way from the ring to a decoder.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nix::time::{ClockId, clock_gettime};
use observer::capture::record::{Body, Record};
use observer::correlate::http::{Parts, Wants};
use observer::correlate::postgres::{Interest, Shared, Statement, Wanted};
use observer::ledger::Ledger;
use observer::pipeline::protocols::Known;
use observer::pipeline::synthetic::{End, Recording};
use observer::pipeline::{Books, Settings, Worker};
use observer::reassemble::{Limits, Table};

/// Processor time of this thread: what else the machine does is not counted.
struct Processor(WallTime);

impl Measurement for Processor {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        self.0.add(a, b)
    }

    fn zero(&self) -> Duration {
        self.0.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        self.0.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self.0.formatter()
    }
}

const RECORDS: u64 = 100_000;

/// Requests and answers of 100 bytes over so many connections in turn.
fn ping_pong(connections: u64) -> Recording {
    let mut recording = Recording::default();
    let mut ends: Vec<_> = (1..=connections).map(|c| End::pair(c, c).0).collect();
    for end in &ends {
        end.opened(0, &mut recording);
    }
    for time in 0..RECORDS / 2 / connections {
        for end in &mut ends {
            end.send(time, &[b'q'; 100], &mut recording);
            end.receive(time, &[b'a'; 100], &mut recording);
        }
    }
    recording
}

/// The same bytes received, but every other segment before the one it follows.
fn reordered() -> Vec<(observer_ebpf::Header, [u8; 100])> {
    let mut recording = Recording::default();
    let mut end = End::pair(1, 1).0;
    for time in 0..RECORDS {
        end.receive(time, &[b'a'; 100], &mut recording);
    }
    let mut records: Vec<_> = recording
        .records()
        .map(|record| (record.header, [b'a'; 100]))
        .collect();
    // The first stays: a connection without identity begins at its first record.
    for pair in records
        .iter_mut()
        .skip(1)
        .collect::<Vec<_>>()
        .chunks_exact_mut(2)
    {
        if let [first, second] = pair {
            std::mem::swap(*first, *second);
            first.0.ahead = 100;
        }
    }
    records
}

fn reassemble(c: &mut Criterion<Processor>) {
    let mut group = c.benchmark_group("reassemble");
    group.throughput(Throughput::Elements(RECORDS));
    group.sample_size(20);
    for connections in [1, 100, 10_000] {
        let recording = ping_pong(connections);
        group.bench_function(format!("in order, {connections} connections"), |b| {
            b.iter(|| {
                let mut table = Table::<u64>::new(Limits::default(), Arc::new(Ledger::default()));
                for record in recording.records() {
                    table.record(&record, &mut |events, event| {
                        *events += 1;
                        black_box(event);
                    });
                }
                table.len()
            });
        });
    }
    let records = reordered();
    group.bench_function("every other segment early", |b| {
        b.iter(|| {
            let mut table = Table::<u64>::new(Limits::default(), Arc::new(Ledger::default()));
            for (header, bytes) in &records {
                let record = Record {
                    header: *header,
                    body: Body::Segment(bytes, &[]),
                };
                table.record(&record, &mut |events, event| {
                    *events += 1;
                    black_box(event);
                });
            }
            table.len()
        });
    });
    group.finish();
}

struct Nothing;

impl Wants for Nothing {
    fn parts(&self, _: &str, _: &str) -> Parts {
        Parts::default()
    }
}

impl Interest for Nothing {
    fn wanted(&self, _: &Statement) -> Arc<Wanted> {
        Arc::default()
    }

    fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
        None
    }
}

/// From the record to the batch, per exchange: two records each.
fn worker(c: &mut Criterion<Processor>) {
    let mut group = c.benchmark_group("worker");
    group.sample_size(20);
    let get = b"GET /v1/shops/7/orders HTTP/1.1\r\nHost: shop\r\nUser-Agent: x\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
    let query = b"Q\0\0\0\x1eSELECT 1 FROM shops WHERE 1\0";
    let rows = b"T\0\0\0\x21\0\x01?column?\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0\
        D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
    let command = b"*2\r\n$3\r\nGET\r\n$6\r\nkey:42\r\n";
    let reply = b"$3\r\nxxx\r\n";
    for (name, ask, answer) in [
        ("redis", &command[..], &reply[..]),
        ("http", &get[..], &response[..]),
        ("postgres", &query[..], &rows[..]),
    ] {
        let mut recording = Recording::default();
        let mut ends: Vec<_> = (1..=50).map(|c| End::pair(c, c).0).collect();
        for end in &ends {
            end.opened(0, &mut recording);
        }
        let startup = b"\0\0\0\x13\0\x03\0\0user\0shop\0\0";
        for end in ends.iter_mut().filter(|_| name == "postgres") {
            end.send(0, startup, &mut recording);
            end.receive(0, b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", &mut recording);
        }
        let rounds = 1000;
        for time in 0..rounds {
            for end in &mut ends {
                end.send(time * 10, ask, &mut recording);
                end.receive(time * 10 + 5, answer, &mut recording);
            }
        }
        group.throughput(Throughput::Elements(rounds * 50));
        group.bench_function(name, |b| {
            b.iter(|| {
                let shared = Arc::new(Shared::new(Box::new(Nothing)));
                let mut worker = Worker::new(
                    Settings::default(),
                    Books::default(),
                    Arc::default(),
                    Box::new(Known::new(Arc::new(Nothing), shared)),
                    Box::new(()),
                );
                let mut exchanges = 0;
                for record in recording.records() {
                    worker.record(&record);
                    if worker.is_full() {
                        exchanges += worker.batch(None).exchanges.len() as u64;
                    }
                }
                assert!(exchanges + 512 > rounds * 50);
                exchanges
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(Processor(WallTime));
    targets = reassemble, worker
}
criterion_main!(benches);
