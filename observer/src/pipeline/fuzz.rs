//! What arbitrary records may not do to the stages, from the ring's bytes to facts.

use std::sync::Arc;

use observer_ebpf::Kind as RecordKind;

use super::protocols::Known;
use super::{Books, Settings, Worker};
use crate::capture::record::Record;
use crate::correlate::postgres::Shared;
use crate::correlate::vantage::Vantages;
use crate::correlate::{Body, Exchange};
use crate::export::Fact;
use crate::export::catalog::Kind;
use crate::interpret::fuzz::{One, plan};
use crate::interpret::{self, Interpreter, Needs};
use crate::reassemble::Limits;
use crate::time::Timestamp;

/// Small, so that every bound is met.
const LIMITS: Limits = Limits {
    connections: 4,
    held_bytes: 4096,
    held_segments: 8,
    early_segments: 4,
    early_bytes: 4096,
    early_age: 1_000_000_000,
};
const LABEL_VALUES: usize = 200;

/// Records as a ring would hold them, each behind its length in two bytes: the ledger balances
/// after each, no table holds more than its bound, and no fact is absurd. When all have ended,
/// nothing is left.
///
/// # Panics
/// Where that does not hold; the target of fuzzers.
pub fn records(data: &[u8]) {
    let Some(plan) = plan() else {
        unreachable!("the rules built in are none")
    };
    let needs = Needs::new(Arc::clone(&plan));
    let statements = Arc::new(Shared::new(Box::new(needs.clone())));
    let known = Known::new(Arc::new(needs), statements);
    let (books, vantages) = (Books::default(), Arc::new(Vantages::default()));
    let settings = Settings {
        limits: LIMITS,
        ..Settings::default()
    };
    let (protocols, verdicts) = (Box::new(known), Box::new(()));
    let registry = Arc::clone(&vantages);
    let mut worker = Worker::new(settings, books.clone(), registry, protocols, verdicts);
    let settings = interpret::Settings {
        label_values: LABEL_VALUES,
        connections: 4,
        shops: 4,
        statements: 4,
        pending: 4,
        ..interpret::Settings::default()
    };
    let mut interpreter = Interpreter::new(plan, &settings, Box::new(One));
    for record in stretches(data).filter_map(|bytes| Record::parse(bytes).ok()) {
        worker.record(&record);
        assert_eq!(books.ledger.imbalance(), 0, "the ledger is open");
        assert!(worker.is_within_bounds(), "more is held than may be");
        interpret(worker.batch(None).exchanges, &mut interpreter);
        if record.header.kind == RecordKind::Closed as u8 {
            worker.polled(super::Polled::default(), Timestamp(record.header.time));
        }
    }
    worker.end();
    interpret(worker.batch(None).exchanges, &mut interpreter);
    interpreter.settle(Timestamp(u64::MAX), &mut |fact| plausible(&fact));
    assert_eq!(books.ledger.imbalance(), 0, "the ledger is open at the end");
    assert_eq!(books.ledger.pending(), 0, "pending without a connection");
    assert!(vantages.is_empty(), "an end is registered and gone");
    assert!(interpreter.symbols().stored() <= LABEL_VALUES);
}

/// A record's length in the two bytes before it; the last may be cut.
pub(super) fn stretches(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (record, tail) = tail.split_at(length);
        rest = tail;
        Some(record)
    })
}

fn interpret(exchanges: Vec<Exchange>, interpreter: &mut Interpreter) {
    for exchange in exchanges {
        match &exchange.body {
            Body::Http(http) => assert!(http.waited >= 0.0),
            Body::Sql(sql) => assert!(sql.seconds >= 0.0 && sql.waited >= 0.0),
            Body::Redis(redis) => assert!(redis.waited >= 0.0),
            _ => {}
        }
        interpreter.exchange(&exchange, &mut |fact| plausible(&fact));
        interpreter.settle(exchange.ended, &mut |fact| plausible(&fact));
    }
}

/// A count and a duration are not negative; a gauge may go down.
fn plausible(fact: &Fact) {
    assert!(fact.value.is_finite(), "{fact:?}");
    let goes_down = matches!(fact.metric.row().kind, Kind::Gauge);
    assert!(fact.value >= 0.0 || goes_down, "{fact:?}");
}

#[cfg(test)]
mod tests {
    use super::records;
    use crate::decode::Side;
    use crate::decode::properties::fixtures;
    use crate::pipeline::synthetic::Recording;

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_are_no_records_and_are_survived(data in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            records(&data);
        }
    }

    #[test]
    fn records_of_real_conversations_are_survived_wherever_they_are_cut() {
        for folder in ["http1", "postgres", "redis"] {
            for (_, steps) in fixtures(folder) {
                let framed = Recording::of(&steps, Side::Client, 1).framed();
                for end in (0..=framed.len()).rev().step_by(1 + framed.len() / 8) {
                    records(&framed[..end]);
                }
            }
        }
    }
}
