//! The threads together, and the stages.

use std::time::{Duration, Instant};

use observer_ebpf::Reason;

mod facts;

use super::session::fake::{Fake, show};
use super::synthetic::{End, Recording};
use super::{Interpreter, Lane, Pipeline, Polled, Settings, Source};
use crate::capture::record::Record;
use crate::correlate::Exchange;
use crate::correlate::vantage::Vantages;
use crate::time::Timestamp;

#[derive(Default)]
struct Log {
    said: Vec<String>,
    ended: Vec<u64>,
    watermark: Timestamp,
}

impl Interpreter for Log {
    fn exchange(&mut self, exchange: Exchange) {
        self.said.push(show(&exchange));
        self.ended.push(exchange.ended.0);
    }

    fn time(&mut self, watermark: Timestamp) {
        assert!(watermark >= self.watermark, "time does not go back");
        self.watermark = watermark;
    }
}

fn lane(source: impl Source + 'static) -> Lane {
    Lane {
        source: Box::new(source),
        protocols: Box::new(Fake),
        verdicts: Box::new(()),
    }
}

fn conversation(cookie: u64, times: impl Iterator<Item = u64>) -> Recording {
    let mut r = Recording::default();
    let mut end = End::pair(cookie, 99).0;
    end.opened(0, &mut r);
    for time in times {
        end.send(time, b"Q\n", &mut r);
        end.receive(time + 1, b"A\n", &mut r);
    }
    end.closed(1_000_000, Reason::Finished, &mut r);
    r
}

/// A recording that never ends.
struct Endless(Recording);

impl Source for Endless {
    fn poll(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> Polled {
        self.0.poll(each)
    }
}

#[test]
fn one_workers_exchanges_go_straight_through() {
    let lanes = vec![lane(conversation(1, (0..5000).map(|i| i * 10)))];
    let pipeline = Pipeline::start(
        Settings::default(),
        Vantages::default(),
        lanes,
        Log::default(),
    )
    .unwrap();
    let books = pipeline.books().to_vec();
    let log = pipeline.stop().unwrap();
    assert_eq!(log.said.len(), 2 + 10_000 + 1);
    assert_eq!(log.said.last().unwrap(), "1: closed finished");
    assert_eq!(books[0].ledger.received(), 20_000);
    assert_eq!(books[0].ledger.pending(), 0);
    assert_eq!(books[0].statistics.records.get(), 10_002);
    assert_eq!(books[0].statistics.exchanges.get(), 10_003);
    assert_eq!(books[0].statistics.connections.get(), 0);
}

#[test]
fn several_workers_exchanges_come_by_time() {
    let lanes = vec![
        lane(conversation(1, (0..2000).map(|i| i * 10))),
        lane(conversation(2, (0..2000).map(|i| i * 10 + 5))),
    ];
    let pipeline = Pipeline::start(
        Settings::default(),
        Vantages::default(),
        lanes,
        Log::default(),
    )
    .unwrap();
    let log = pipeline.stop().unwrap();
    assert_eq!(log.said.len(), 2 * 4003);
    assert!(log.ended.is_sorted(), "merged by kernel time");
}

#[test]
fn a_stop_drains_and_takes_less_than_two_seconds() {
    let endless = Endless(conversation(1, (0..100).map(|i| i * 10)));
    let pipeline = Pipeline::start(
        Settings::default(),
        Vantages::default(),
        vec![lane(endless)],
        Log::default(),
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(30));
    assert!(!pipeline.is_finished());
    let begin = Instant::now();
    let log = pipeline.stop().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(log.said.len(), 203);
    assert!(log.watermark > Timestamp(0), "time went on without traffic");
}
