use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use observer_ebpf::Counter;
use serde_json::Value;
use smallvec::SmallVec;

use super::*;
use crate::export::agent::{
    Finding, Observed, Probe as Row, Reloads, Ring as Level, Selecting, Statistics,
};
use crate::export::catalog::Metric as Id;
use crate::export::{Agent, Fact as Observation, Limits, Recorder, Symbol, Symbols};
use crate::ledger::{Fate, Ledger as Account};
use crate::time::Timestamp;

/// A pipeline that has something to say about everything.
struct Pipeline(Arc<Account>);

impl Observed for Pipeline {
    fn ready(&self) -> Result<(), String> {
        Err("ingress is not attached".into())
    }

    fn ledgers(&self) -> Vec<Arc<Account>> {
        vec![Arc::clone(&self.0)]
    }

    fn kernel_counter(&self, counter: Counter) -> u64 {
        match counter {
            Counter::SeenBytes => 10_000,
            Counter::LostRing => 500,
            Counter::RecordsSubmitted => 77,
            _ => 0,
        }
    }

    fn statistics(&self) -> Statistics {
        Statistics {
            probes: vec![Row {
                name: "ingress",
                required: true,
                missing: Some("no memory".into()),
                without: "what is received",
            }],
            records: vec![("reassemble", 70), ("reassemble", 6)],
            errors: vec![("capture", "malformed_record", 2)],
            rings: vec![Level {
                used: 4096,
                size: 8 << 20,
            }],
            maps: vec![("RINGS".into(), 8 << 20)],
            lag_seconds: 0.002,
            connections: 7,
            selection: vec!["/nowhere/shop".into()],
            selecting: Selecting::default(),
            machine: vec![Finding {
                name: "kernel",
                found: "6.18".into(),
                met: true,
            }],
            reloads: Reloads::default(),
            kubernetes: Vec::new(),
        }
    }
}

struct Platform {
    recorder: Recorder,
    symbols: Symbols,
    overview: Overview,
}

impl Platform {
    fn new() -> Self {
        let (recorder, registry) = Recorder::new(&Limits::default());
        let account = Arc::new(Account::default());
        account.receive(9000);
        account.settle(Fate::Decoded, 8000);
        account.settle(Fate::SkippedBudget, 600);
        let agent = Arc::new(Agent::default());
        agent.observe(Arc::new(Pipeline(account)));
        Self {
            recorder,
            symbols: Symbols::new(10_000),
            overview: Overview::new(registry, agent),
        }
    }

    fn record(&mut self, metric: Id, labels: &[&str], value: f64) {
        let labels: SmallVec<[Symbol; 6]> = labels
            .iter()
            .map(|label| self.symbols.intern(label))
            .collect();
        let fact = Observation {
            metric,
            labels,
            value,
            ends: false,
        };
        self.recorder.record(&fact, &self.symbols);
    }

    /// One of everything that a table shows, and some more.
    fn live(&mut self) {
        let get = "/v1/shops/{shop_id}";
        for (status, shop, seconds) in [
            ("200", "1", 0.003),
            ("200", "2", 0.3),
            ("404", "1", 0.003),
            ("503", "1", 60.0),
        ] {
            let labels = ["GET", get, status, shop, "shop"];
            self.record(Id::HttpRequestDuration, &labels, seconds);
        }
        let labels = ["POST", "/login", "200", "", "shop"];
        self.record(Id::HttpRequestDuration, &labels, 0.01);
        let query = ["shop", "naytifedb", "GetShop", "SELECT"];
        self.record(Id::DatabaseQueryDuration, &query, 0.0002);
        self.record(Id::DatabaseExecutionsUntimed, &query, 1.0);
        self.record(Id::DatabaseRows, &query, 3.0);
        self.record(Id::DatabaseErrors, &["shop", "naytifedb", "23505"], 1.0);
        self.record(Id::DatabaseShopQueryDuration, &["1", "shop"], 0.0002);
        for outcome in ["ok", "ERR"] {
            self.record(Id::RedisCommands, &["shop", "get", outcome], 2.0);
        }
        self.record(Id::RedisCommandDuration, &["shop", "get"], 0.0001);
        self.record(Id::RedisLookups, &["shop", "hit"], 3.0);
        self.record(Id::RedisLookups, &["shop", "miss"], 1.0);
        self.record(Id::TcpConnectionsOpened, &["shop", "postgres"], 4.0);
        self.record(Id::TcpConnectionsAccepted, &["shop", "loopback"], 5.0);
        let refused = ["shop", "postgres", "timeout"];
        self.record(Id::TcpConnectionsRefused, &refused, 1.0);
        self.record(Id::TcpConnectionsReset, &["shop", "postgres", "peer"], 2.0);
        self.record(Id::TcpSegmentsRetransmitted, &["shop", "postgres"], 6.0);
        self.record(Id::TcpRoundTrip, &["shop", "postgres"], 0.0002);
        self.recorder.tick(crate::clock::now(), &self.symbols);
    }

    /// A status without what differs from run to run.
    fn status(&self, rows: usize) -> Status {
        Status {
            version: "0.0.0".into(),
            start_time_seconds: 1_700_000_000.25,
            uptime_seconds: 60.5,
            ..self.overview.status(rows)
        }
    }
}

#[test]
fn the_answer_keeps_its_layout() {
    let mut platform = Platform::new();
    platform.live();
    let mut status = platform.status(2);
    // A reason more is no other layout.
    status.ledger.skipped.retain(|entry| entry.bytes > 0);
    status.ledger.lost.retain(|entry| entry.bytes > 0);
    let text = serde_json::to_string_pretty(&status).unwrap();
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_written_is_read_again() {
    let mut platform = Platform::new();
    platform.live();
    let status = platform.status(ROWS);
    let text = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
}

#[test]
fn a_status_of_nothing_can_be_told_too() {
    let (_recorder, registry) = Recorder::new(&Limits::default());
    let overview = Overview::new(registry, Arc::new(Agent::default()));
    let status = overview.status(ROWS);
    assert_eq!(
        status.not_ready.as_deref(),
        Some("the kernel programs are not attached yet")
    );
    assert_eq!(status.ledger.seen, 0);
    assert_eq!(status.tables.routes, Table::default());
}

#[test]
fn the_ledger_closes() {
    let ledger = Platform::new().status(ROWS).ledger;
    let sum = |entries: &[Entry]| entries.iter().map(|entry| entry.bytes).sum::<u64>();
    assert_eq!(sum(&ledger.skipped), 600);
    assert_eq!(sum(&ledger.lost), 500);
    let decided = ledger.decoded + sum(&ledger.skipped) + sum(&ledger.lost);
    assert_eq!(ledger.pending, 10_000 - i64::try_from(decided).unwrap());
}

#[test]
fn a_table_has_its_largest_rows_and_says_how_many_there_are() {
    let mut platform = Platform::new();
    for number in 0..600 {
        let query = format!("q{number:03}");
        let labels = ["shop", "db", &query, "SELECT"];
        for _ in 0..=(number % 3) {
            platform.record(Id::DatabaseQueryDuration, &labels, 0.001);
        }
    }
    let queries = |rows| platform.overview.status(rows).tables.queries;
    let first = queries(3);
    assert_eq!(first.of, 600);
    let names: Vec<&str> = first.rows.iter().map(|row| row.query.as_str()).collect();
    assert_eq!(names, ["q002", "q005", "q008"], "by count, then by name");
    assert_eq!(queries(usize::MAX).rows.len(), MOST_ROWS);
}

#[test]
fn rates_and_the_time_of_errors_come_from_samples() {
    let mut platform = Platform::new();
    assert_eq!(platform.status(1).rates, Rates::default());
    platform.overview.sample(Timestamp(1_000_000_000));
    platform.live();
    platform.overview.sample(Timestamp(3_000_000_000));
    let status = platform.status(1);
    assert!((status.rates.seconds - 2.0).abs() < 1e-9);
    assert!((status.rates.requests - 2.5).abs() < 1e-9);
    assert!((status.rates.executions - 1.0).abs() < 1e-9);
    assert!((status.rates.commands - 2.0).abs() < 1e-9);
    let last = |kind| {
        let mut errors = status.errors.iter();
        errors
            .find(|error| error.kind == kind)
            .unwrap()
            .last_seconds
    };
    assert!(last("malformed_record").is_some());
    assert!(last("accept").is_none());
}

/// The fields of every object, by the path of the object; lists add `[]`.
fn fields(value: &Value, path: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let known = found.entry(path.to_owned()).or_default();
                known.insert(name.clone());
                let dot = if path.is_empty() { "" } else { "." };
                fields(value, &format!("{path}{dot}{name}"), found);
            }
        }
        Value::Array(list) => {
            for value in list {
                fields(value, &format!("{path}[]"), found);
            }
        }
        _ => {}
    }
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// `docs/operations.md` has a row for each object, which names each of its fields first thing in a
/// sentence, in backticks and with a colon.
#[test]
fn every_field_is_documented() {
    let mut platform = Platform::new();
    platform.live();
    let value = serde_json::to_value(platform.status(ROWS)).unwrap();
    let mut found = BTreeMap::new();
    fields(&value, "", &mut found);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, section) = page
        .split_once("### The fields of `/api/v1/status`\n")
        .unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut documented = BTreeMap::new();
    for row in section.lines().filter_map(|line| line.strip_prefix("| ")) {
        let mut cells = row.split(" | ");
        let (Some(object), Some(what)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Some(object) = code(object)
            .next()
            .or((object == "the answer").then_some(""))
        else {
            continue;
        };
        let sentences = what.split("; ").filter_map(|part| part.split_once(": "));
        let names = sentences.flat_map(|(names, _)| code(names).map(str::to_owned));
        documented.insert(object.to_owned(), names.collect::<BTreeSet<_>>());
    }
    assert_eq!(documented, found);
}
