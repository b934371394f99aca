//! What a record costs on its way from the ring to a decoder.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nix::time::{ClockId, clock_gettime};
use observer::capture::record::{Body, Record};
use observer::ledger::Ledger;
use observer::pipeline::synthetic::{End, Recording};
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

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(Processor(WallTime));
    targets = reassemble
}
criterion_main!(benches);
