//! What a record costs on its way from the ring to a decoder.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use observer::capture::record::Record;
use observer::ledger::Ledger;
use observer::pipeline::Source as _;
use observer::pipeline::synthetic::{End, Recording};
use observer::reassemble::{Limits, Table};

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
    for pair in records[1..].chunks_exact_mut(2) {
        pair.swap(0, 1);
        pair[0].0.ahead = 100;
    }
    records
}

fn reassemble(c: &mut Criterion) {
    let mut group = c.benchmark_group("reassemble");
    group.throughput(Throughput::Elements(RECORDS));
    group.sample_size(20);
    for connections in [1, 100, 10_000] {
        let recording = ping_pong(connections);
        group.bench_function(format!("in order, {connections} connections"), |b| {
            b.iter(|| {
                let mut table = Table::<u64>::new(Limits::default(), Arc::new(Ledger::default()));
                let mut source = recording.clone();
                let mut play = |record: &Record<'_>| {
                    table.record(record, &mut |events, event| {
                        *events += 1;
                        black_box(event);
                    });
                };
                while source.poll(&mut play).records > 0 {}
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
                    body: observer::capture::record::Body::Segment(bytes, &[]),
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

criterion_group!(benches, reassemble);
criterion_main!(benches);
