//! What one SQL execution costs in `decode` and `correlate`, in CPU time of the thread: what others
//! do on the machine does not count.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use nix::time::{ClockId, clock_gettime};
use observer::correlate::postgres::{Correlator, Interest, Shared, Statement, Wanted};
use observer::decode::postgres::Postgres;
use observer::decode::transcript::{Data, Step, parse};
use observer::decode::{Decoder as _, Side};
use observer::reassemble::Input;

/// The rules' interest in values: one parameter and one column, or nothing.
struct Rules(bool);

impl Interest for Rules {
    fn wanted(&self, _: &Statement) -> Arc<Wanted> {
        Arc::new(if self.0 {
            Wanted {
                parameters: vec![1],
                columns: vec!["id".to_owned()],
                rows: false,
            }
        } else {
            Wanted::default()
        })
    }

    fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
        None
    }
}

fn fixture(name: &str) -> Vec<Step> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/postgres/");
    let text = std::fs::read_to_string(format!("{path}{name}.txt"));
    text.ok()
        .and_then(|text| parse(&text).ok())
        .unwrap_or_default()
}

fn bytes(step: &Step) -> &[u8] {
    match &step.data {
        Data::Bytes(bytes) => bytes,
        Data::Hole(_) => &[],
    }
}

/// A connection that has run the story up to its last `request`, then that and its answer again
/// and again.
fn repeat(c: &mut Criterion, name: &str, story: &str, request: u8, wanted: bool) {
    let steps = fixture(story);
    let is_request =
        |step: &Step| step.side == Side::Client && bytes(step).first() == Some(&request);
    let Some(at) = steps.iter().position(is_request) else {
        return;
    };
    let (head, rest) = steps.split_at(at);
    let turn: Vec<&Step> = rest.iter().take(2).collect();
    let shared = Arc::new(Shared::new(Box::new(Rules(wanted))));
    let mut decoder = Postgres::new();
    let mut correlator = Correlator::new(shared);
    let mut feed = |step: &Step| {
        decoder.feed(
            step.side,
            step.time,
            Input::Bytes(bytes(step)),
            &mut |message| {
                correlator.on(&message, &mut |body| {
                    black_box(&body);
                });
            },
        );
    };
    head.iter().for_each(&mut feed);
    c.bench_function(name, |b| {
        b.iter_custom(|times| {
            let began = cpu_time();
            for _ in 0..times {
                for step in &turn {
                    feed(step);
                }
            }
            cpu_time().saturating_sub(began)
        });
    });
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn executions(c: &mut Criterion) {
    repeat(c, "prepared by pgx", "pgx_session", b'B', false);
    repeat(
        c,
        "prepared by pgx, two values read",
        "pgx_session",
        b'B',
        true,
    );
    repeat(c, "prepared by psycopg", "psycopg_scram", b'P', false);
    repeat(c, "simple", "ssl_refused", b'Q', false);
}

criterion_group!(benches, executions);
criterion_main!(benches);
