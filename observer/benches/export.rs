//! What a fact costs, and what a scrape of 20,000 lines costs in time and memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use observer::export::catalog::{CATALOG, Kind};
use observer::export::encode::Scrape;
use observer::export::{Agent, Fact, Limits, Metric, Recorder, Registry, Symbols};

/// Counts what is allocated, to tell a scrape's peak.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn fact(symbols: &mut Symbols, metric: Metric, number: usize, value: f64) -> Fact {
    let labels = metric.row().labels.iter().enumerate();
    let labels = labels.map(|(place, label)| match place {
        0 => symbols.intern(&format!("{label} number {number} of a usual length")),
        _ => symbols.intern(&format!("{label}{}", number % 3)),
    });
    Fact {
        metric,
        labels: labels.collect(),
        value,
        ends: false,
    }
}

/// A registry with that many lines, mostly of histograms as a shop has them.
fn filled(lines: usize) -> (Arc<Registry>, Recorder, Symbols) {
    let (mut recorder, registry) = Recorder::new(&Limits::default());
    let mut symbols = Symbols::new(100_000);
    let mut number = 0;
    while registry.lines() < lines {
        for row in CATALOG {
            let fact = fact(&mut symbols, row.metric, number, 0.003);
            recorder.record(&fact, &symbols);
        }
        number += 1;
    }
    (registry, recorder, symbols)
}

fn record(criterion: &mut Criterion) {
    let (_registry, mut recorder, mut symbols) = filled(20_000);
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    for metric in [
        Metric::HttpRequestDuration,
        Metric::DatabaseQueryDuration,
        Metric::RedisCommandDuration,
        Metric::RedisCommands,
        Metric::HttpRequestsInFlight,
    ] {
        // Different label sets, so that neither the cache nor the branch predictor knows them all.
        let facts: Vec<Fact> = (0_u8..24)
            .map(|number| {
                let seconds = 0.000_3 * f64::from(number);
                fact(&mut symbols, metric, number.into(), seconds)
            })
            .collect();
        let mut facts = facts.iter().cycle();
        group.bench_function(metric.row().name, |bencher| {
            bencher.iter(|| {
                if let Some(fact) = facts.next() {
                    recorder.record(black_box(fact), &symbols);
                }
            });
        });
    }
    group.finish();

    // Past the budget: what a label explosion costs.
    let limits = Limits {
        metrics: [(Metric::RedisCommands.row().name.to_owned(), 64)].into(),
        ..Limits::default()
    };
    let (mut recorder, _registry) = Recorder::new(&limits);
    let facts: Vec<Fact> = (0..1000)
        .map(|number| fact(&mut symbols, Metric::RedisCommands, number, 1.0))
        .collect();
    let mut facts = facts.iter().cycle();
    criterion.bench_function("record/over the limit", |bencher| {
        bencher.iter(|| {
            if let Some(fact) = facts.next() {
                recorder.record(black_box(fact), &symbols);
            }
        });
    });
}

fn scrape(criterion: &mut Criterion) {
    let before = LIVE.load(Ordering::Relaxed);
    let (registry, _recorder, _symbols) = filled(20_000);
    let lines = registry.lines();
    let held = LIVE.load(Ordering::Relaxed) - before;
    let agent = Arc::new(Agent::default());
    let start = LIVE.load(Ordering::Relaxed);
    PEAK.store(start, Ordering::Relaxed);
    let bytes: usize = Scrape::new(Arc::clone(&registry), Arc::clone(&agent))
        .map(|chunk| chunk.len())
        .sum();
    let peak = PEAK.load(Ordering::Relaxed) - start;
    let histograms = CATALOG
        .iter()
        .filter(|row| matches!(row.kind, Kind::Histogram(_)))
        .count();
    eprintln!(
        "{lines} lines of {} metrics ({histograms} histograms): {bytes} bytes of text, {held} bytes held, {peak} bytes at the peak of a scrape",
        CATALOG.len(),
    );
    let mut group = criterion.benchmark_group("scrape");
    group.throughput(Throughput::Elements(lines as u64));
    group.bench_function("20,000 lines", |bencher| {
        bencher.iter(|| {
            Scrape::new(Arc::clone(&registry), Arc::clone(&agent))
                .map(|chunk| black_box(chunk).len())
                .sum::<usize>()
        });
    });
    group.finish();
}

criterion_group!(benches, record, scrape);
criterion_main!(benches);
