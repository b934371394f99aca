//! Real conversations through a whole worker: every byte has a fate, at either end.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::correlate::Body;
use crate::correlate::http::{Parts, Wants};
use crate::correlate::postgres::{Interest, Shared, Statement, Wanted};
use crate::correlate::vantage::Vantages;
use crate::decode::Side;
use crate::decode::properties::fixtures;
use crate::pipeline::protocols::Known;
use crate::pipeline::synthetic::Recording;
use crate::pipeline::{Books, Settings, Worker};

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

/// What a conversation comes to, by kind.
fn counted(recording: &Recording) -> BTreeMap<&'static str, usize> {
    let books = Books::default();
    let known = Known::new(Arc::new(Nothing), Arc::new(Shared::new(Box::new(Nothing))));
    let vantages = Arc::new(Vantages::default());
    let settings = Settings::default();
    let mut worker = Worker::new(
        settings,
        books.clone(),
        vantages,
        Box::new(known),
        Box::new(()),
    );
    for record in recording.records() {
        worker.record(&record);
        assert_eq!(books.ledger.imbalance(), 0);
    }
    worker.end();
    assert_eq!(books.ledger.imbalance(), 0);
    assert_eq!(books.ledger.pending(), 0);
    let mut counts = BTreeMap::new();
    for exchange in worker.batch(None).exchanges {
        let kind = match exchange.body {
            Body::Http(_) => "http",
            Body::HttpAborted(_) => "aborted",
            Body::Sql(_) => "sql",
            Body::SqlError(_) => "sql error",
            Body::SqlTransaction(_) => "transaction",
            Body::Redis(_) => "redis",
            _ => continue,
        };
        *counts.entry(kind).or_default() += 1;
    }
    counts
}

#[test]
fn every_fixture_comes_to_the_same_at_both_ends_and_the_ledger_closes() {
    let mut without = Vec::new();
    for folder in ["http1", "postgres", "redis"] {
        for (name, steps) in fixtures(folder) {
            let client = counted(&Recording::of(&steps, Side::Client, 7));
            let server = counted(&Recording::of(&steps, Side::Server, 7));
            assert_eq!(client, server, "{folder}/{name}");
            if client.is_empty() {
                without.push(name);
            }
        }
    }
    // Nothing ran in these.
    let expected = [
        "cancel.txt",
        "empty_queries.txt",
        "replication.txt",
        "sync_alone.txt",
    ];
    assert_eq!(without, expected);
}
