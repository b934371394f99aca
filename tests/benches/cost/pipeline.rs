//! Recorded input through every stage on one thread, in its processor time.

use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use observer::correlate::Connection;
use observer::correlate::postgres::Shared;
use observer::export::{Fact, Limits, Recorder, Symbol, Symbols};
use observer::interpret::{self, Interpreter, Needs, Peer, Plan, Rules, Services};
use observer::pipeline::protocols::Known;
use observer::pipeline::synthetic::{End, Recording};
use observer::pipeline::{Batch, Books, Settings, Worker};

use crate::report::{Report, Verdict, figure, progress};
use crate::series::Series;

const ROUNDS: usize = 9;
const CONNECTIONS: u64 = 50;
/// Exchanges that one second of one core must be able to take.
const REDIS_LIMIT: f64 = 1e6;

/// One protocol's conversation, over and over.
struct Talk {
    name: &'static str,
    /// Exchanges in one turn.
    exchanges: u32,
    /// What is said before the first.
    greeting: Option<(&'static [u8], &'static [u8])>,
    ask: Vec<u8>,
    answer: Vec<u8>,
    turns: u32,
    /// Exchanges per second, at least.
    limit: Option<f64>,
}

/// The stages behind the worker.
struct Behind {
    interpreter: Interpreter,
    recorder: Recorder,
    found: Vec<Fact>,
    exchanges: u64,
}

struct Shop;

impl Services for Shop {
    fn service(&mut self, _: &Connection, symbols: &mut Symbols) -> Symbol {
        symbols.intern("shop")
    }

    fn peer(&mut self, _: &Connection, symbols: &mut Symbols) -> Peer {
        Peer::Named(symbols.intern("postgres"))
    }
}

/// From a record to a number in the registry.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    for talk in talks() {
        let comparison = format!("pipeline from recorded input, {}", talk.name);
        progress(&comparison);
        let recording = talk.record();
        let mut series = Series::new();
        for _ in 0..ROUNDS {
            series.push(talk.replay(&recording)?);
        }
        let rate = 1e9 / series.median();
        report.add(
            comparison.clone(),
            format!(
                "{:.2} M exchanges per second of a core ({} ns each)",
                rate / 1e6,
                figure(series.median())
            ),
            talk.limit
                .map_or_else(String::new, |limit| format!("{:.0} M", limit / 1e6)),
            talk.limit
                .map_or(Verdict::Stated, |limit| Verdict::at_most(limit, rate)),
        );
        report.keep(&comparison, "ns", [("observed", series)]);
    }
    Ok(())
}

fn talks() -> [Talk; 5] {
    let command = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n";
    let reply = b"$3\r\nxxx\r\n";
    let startup: (&[u8], &[u8]) = (
        b"\0\0\0\x13\0\x03\0\0user\0shop\0\0",
        b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
    );
    [
        Talk {
            name: "Redis",
            exchanges: 1,
            greeting: None,
            ask: command.to_vec(),
            answer: reply.to_vec(),
            turns: 2000,
            limit: Some(REDIS_LIMIT),
        },
        Talk {
            name: "Redis, 16 in a segment",
            exchanges: 16,
            greeting: None,
            ask: command.repeat(16),
            answer: reply.repeat(16),
            turns: 200,
            limit: Some(REDIS_LIMIT),
        },
        Talk {
            name: "HTTP",
            exchanges: 1,
            greeting: None,
            ask: b"GET /v1/shops/7/products HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
                User-Agent: a client\r\nAccept: */*\r\n\r\n"
                .to_vec(),
            answer: b"HTTP/1.1 200 OK\r\nServer: a server\r\n\
                Content-Type: application/json\r\nContent-Length: 21\r\n\r\n\
                {\"status\":\"success\"}\n"
                .to_vec(),
            turns: 1000,
            limit: None,
        },
        Talk {
            name: "SQL, a simple query",
            exchanges: 1,
            greeting: Some(startup),
            ask: query("SELECT abalance FROM pgbench_accounts WHERE aid = 4711;"),
            answer: rows(),
            turns: 1000,
            limit: None,
        },
        Talk {
            name: "SQL, extended with a named statement",
            exchanges: 1,
            greeting: Some(startup),
            ask: extended(),
            answer: [b"1\0\0\0\x042\0\0\0\x04".to_vec(), rows()].concat(),
            turns: 1000,
            limit: None,
        },
    ]
}

/// A message of PostgreSQL's protocol.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

/// Parse, Bind, Describe, Execute, Sync in one segment.
fn extended() -> Vec<u8> {
    let parse = b"\0-- name: GetBalance :one\nSELECT abalance FROM accounts WHERE aid = $1\0\0\0";
    let bind = b"\0\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\x12\x67\0\0";
    [
        message(b'P', parse),
        message(b'B', bind),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ]
    .concat()
}

/// One column, one row, the tag, idle.
fn rows() -> Vec<u8> {
    let column = b"\0\x01abalance\0\0\0\x40\0\0\x03\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
    [
        message(b'T', column),
        message(b'D', b"\0\x01\0\0\0\x011"),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ]
    .concat()
}

impl Talk {
    /// As the client's end of a few connections would see it.
    fn record(&self) -> Recording {
        let mut recording = Recording::default();
        let mut ends: Vec<_> = (1..=CONNECTIONS).map(|c| End::pair(c, c).0).collect();
        for end in &mut ends {
            end.opened(1, &mut recording);
            if let Some((hello, welcome)) = self.greeting {
                end.send(2, hello, &mut recording);
                end.receive(3, welcome, &mut recording);
            }
        }
        for turn in 0..u64::from(self.turns) {
            for end in &mut ends {
                end.send(1000 * turn + 10, &self.ask, &mut recording);
                end.receive(1000 * turn + 500, &self.answer, &mut recording);
            }
        }
        recording
    }

    /// Nanoseconds of processor time per exchange.
    fn replay(&self, recording: &Recording) -> anyhow::Result<f64> {
        let plan = Plan::new(&Rules::naytife()?)?;
        let needs = Needs::new(Arc::clone(&plan));
        let statements = Arc::new(Shared::new(Box::new(needs.clone())));
        let mut worker = Worker::new(
            Settings::default(),
            Books::default(),
            Arc::default(),
            Box::new(Known::new(Arc::new(needs), statements)),
            Box::new(()),
        );
        let settings = interpret::Settings::default();
        let mut behind = Behind {
            interpreter: Interpreter::new(plan, &settings, Box::new(Shop)),
            recorder: Recorder::new(&Limits::default()).0,
            found: Vec::new(),
            exchanges: 0,
        };
        let before = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
        for record in recording.records() {
            worker.record(&record);
            if worker.is_full() {
                behind.take(&worker.batch(None));
            }
        }
        behind.take(&worker.batch(None));
        let after = Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?);
        let exchanges = CONNECTIONS * u64::from(self.turns) * u64::from(self.exchanges);
        anyhow::ensure!(
            behind.exchanges >= exchanges,
            "{} of {exchanges} exchanges of {} came out",
            behind.exchanges,
            self.name
        );
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        Ok(after.saturating_sub(before).as_secs_f64() * 1e9 / exchanges as f64)
    }
}

impl Behind {
    fn take(&mut self, batch: &Batch) {
        for exchange in &batch.exchanges {
            self.exchanges += 1;
            let found = &mut self.found;
            self.interpreter
                .exchange(exchange, &mut |fact| found.push(fact));
            self.record();
        }
        let found = &mut self.found;
        self.interpreter
            .settle(batch.watermark, &mut |fact| found.push(fact));
        self.record();
    }

    fn record(&mut self) {
        let symbols = self.interpreter.symbols();
        for fact in self.found.drain(..) {
            self.recorder.record(&fact, symbols);
        }
    }
}
