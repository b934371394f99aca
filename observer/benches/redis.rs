//! Decoding and pairing of one Redis command and its reply.
//!
//! `cargo bench -p observer --bench redis`. The limit for all of user space is 0.5 µs a command;
//! decoding and pairing should take less than 0.2.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use observer::correlate::redis::Correlator;
use observer::decode::redis::Redis;
use observer::decode::{Decoder as _, Side};
use observer::reassemble::Input;
use observer::time::Timestamp;

/// A turn of `redis-benchmark -P depth -d size`: what the client sends and the server answers.
fn turn(words: &[&str], reply: &str, depth: usize) -> (Vec<u8>, Vec<u8>) {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        let _ = write!(command, "${}\r\n{word}\r\n", word.len());
    }
    (
        command.repeat(depth).into_bytes(),
        reply.repeat(depth).into_bytes(),
    )
}

fn decode_and_pair(criterion: &mut Criterion) {
    let value = "x".repeat(100);
    let stored = format!("$100\r\n{value}\r\n");
    let rows = [
        ("GET", vec!["GET", "key:000000004711"], stored.as_str()),
        ("SET", vec!["SET", "key:000000004711", &value], "+OK\r\n"),
    ];
    let mut group = criterion.benchmark_group("redis");
    for (name, words, reply) in rows {
        for depth in [1, 16] {
            let (requests, replies) = turn(&words, reply, depth);
            let mut decoder = Redis::opened();
            let mut correlator = Correlator::new();
            let mut time = 0;
            let mut paired = 0u64;
            group.throughput(Throughput::Elements(depth as u64));
            group.bench_function(BenchmarkId::new(name, format!("P{depth}")), |bencher| {
                bencher.iter(|| {
                    for (side, bytes) in [(Side::Client, &requests), (Side::Server, &replies)] {
                        time += 50_000;
                        let input = Input::Bytes(black_box(bytes));
                        decoder.feed(side, Timestamp(time), input, &mut |message| {
                            correlator.on(message, &mut |body| {
                                black_box(&body);
                                paired += 1;
                            });
                        });
                    }
                });
            });
            assert!(paired > 0, "nothing was paired");
        }
    }
    group.finish();
}

criterion_group!(benches, decode_and_pair);
criterion_main!(benches);
