//! A made-up protocol: the client sends lines, the server answers each with a line; to one that ends
//! in `!`, the server lets a client of PostgreSQL in.

use std::sync::{Arc, Mutex};

use observer_ebpf::{Protocol, Verdict};

use crate::correlate::http::AbortReason;
use crate::correlate::postgres::{Session, Transaction};
use crate::correlate::vantage::Vantages;
use crate::correlate::{Body, Exchange};
use crate::decode::{Fed, Lost, Side};
use crate::ledger::{Fate, Ledger};
use crate::pipeline::conversation::{Conversation, Detected, Emit, Opening, Protocols};
use crate::pipeline::synthetic::Recording;
use crate::pipeline::{Books, Polled, Settings, VerdictSink, Worker};
use crate::reassemble::{Cause, ConnectionKey, Input};
use crate::time::Timestamp;

/// Lines. `\x01` is never allowed, `^` ends what is ours, and after a hole the next line counts.
#[derive(Default)]
struct Lines {
    held: [u64; 2],
    out_of_step: [bool; 2],
    in_flight: u32,
}

impl Conversation for Lines {
    fn feed(&mut self, side: Side, _: Timestamp, input: Input<'_>, emit: Emit<'_>) -> Fed {
        let held = &mut self.held[side as usize];
        let lost = |why, bytes| Fed {
            lost: Some((why, bytes)),
        };
        match input {
            Input::Hole(length, cause) => {
                self.out_of_step[side as usize] = true;
                let why = if cause == Cause::Record {
                    Lost::Hole
                } else {
                    Lost::Budget
                };
                lost(why, length + std::mem::take(held))
            }
            Input::Bytes(bytes) if bytes.contains(&1) => {
                lost(Lost::Malformed, bytes.len() as u64 + std::mem::take(held))
            }
            Input::Bytes(bytes) if bytes.contains(&b'^') => {
                lost(Lost::Upgraded, bytes.len() as u64 + std::mem::take(held))
            }
            Input::Bytes(bytes) => {
                let mut given_up = 0;
                for byte in bytes {
                    *held += 1;
                    if *byte == b'!' {
                        let database = "shop".to_owned();
                        let accepted = true;
                        emit(Body::SqlSession(Box::new(Session { database, accepted })));
                    }
                    if *byte != b'\n' {
                        continue;
                    }
                    let line = std::mem::take(held);
                    if std::mem::take(&mut self.out_of_step[side as usize]) {
                        given_up += line;
                    } else if side == Side::Client {
                        self.in_flight += 1;
                        emit(Body::HttpBegan);
                    } else {
                        self.in_flight = self.in_flight.saturating_sub(1);
                        emit(Body::SqlTransaction(Transaction::Commit));
                    }
                }
                Fed {
                    lost: (given_up > 0).then_some((Lost::Hole, given_up)),
                }
            }
        }
    }

    fn held(&self) -> u64 {
        self.held.iter().sum()
    }

    fn finish(&mut self, side: Side, _: Timestamp, emit: Emit<'_>) {
        if std::mem::take(&mut self.held[side as usize]) > 0 {
            emit(Body::SqlTransaction(Transaction::Rollback));
        }
    }

    fn end(&mut self, reason: AbortReason, _: Timestamp, emit: Emit<'_>) {
        for _ in 0..std::mem::take(&mut self.in_flight) {
            emit(Body::SqlTransaction(match reason {
                AbortReason::Evicted => Transaction::Unknown,
                _ => Transaction::Failed,
            }));
        }
    }
}

/// `Q` begins a client's line, `A` a server's, `B` either's, `H` is HTTP's client, `P` is
/// PostgreSQL's, `T` is TLS.
pub(crate) struct Fake;

impl Protocols for Fake {
    fn detect(&self, bytes: &[u8]) -> Detected {
        match bytes {
            b"?" => Detected::Undecided,
            [b'?', rest @ ..] => self.detect(rest),
            [b'Q', ..] => Detected::Protocol(Protocol::Redis, Some(Side::Client)),
            [b'A', ..] => Detected::Protocol(Protocol::Redis, Some(Side::Server)),
            [b'H', ..] => Detected::Protocol(Protocol::Http1, Some(Side::Client)),
            [b'P', ..] => Detected::Protocol(Protocol::Postgres, Some(Side::Client)),
            [b'B', ..] => Detected::Protocol(Protocol::Redis, None),
            [b'T', ..] => Detected::Protocol(Protocol::Tls, None),
            _ => Detected::Nothing,
        }
    }

    fn open(&self, opening: Opening) -> Option<Box<dyn Conversation>> {
        let known = [Protocol::Redis, Protocol::Http1, Protocol::Postgres];
        let decoded = known.contains(&opening.protocol);
        decoded.then(|| Box::new(Lines::default()) as Box<dyn Conversation>)
    }
}

#[derive(Clone, Default)]
pub(super) struct Kernel(Arc<Mutex<Vec<(u64, Verdict)>>>);

impl VerdictSink for Kernel {
    fn set(&self, connection: ConnectionKey, verdict: Verdict) {
        self.0.lock().unwrap().push((connection.0, verdict));
    }
}

impl Kernel {
    pub(super) fn told(&self) -> Vec<(u64, Protocol, u8)> {
        let told = self.0.lock().unwrap();
        told.iter()
            .map(|(key, v)| (*key, Protocol::from_byte(v.protocol).unwrap(), v.tell))
            .collect()
    }
}

pub(crate) fn show(exchange: &Exchange) -> String {
    let what = match &exchange.body {
        Body::Connection(c) => {
            let both = if c.other_end.is_some() { " both" } else { "" };
            let elsewhere = if c.elsewhere { " elsewhere" } else { "" };
            let sql = if c.joined_sql { " sql" } else { "" };
            format!("{:?}{both}{elsewhere}{sql}", c.vantage).to_lowercase()
        }
        Body::Opened => "opened".into(),
        Body::Accepted => "accepted".into(),
        Body::Failed(reason) => format!("failed {}", reason.label()),
        Body::Retransmitted(n) => format!("retransmitted {n}"),
        Body::RoundTrip(us) => format!("rtt {us}"),
        Body::HttpBegan => "asked".into(),
        Body::SqlSession(_) => "let in".into(),
        Body::SqlTransaction(Transaction::Commit) => "answered".into(),
        Body::SqlTransaction(Transaction::Rollback) => "cut short".into(),
        Body::SqlTransaction(_) => "unanswered".into(),
        Body::Closed(reason) => format!("closed {}", reason.label()),
        Body::Evicted => "evicted".into(),
        other => format!("{other:?}"),
    };
    format!("{}: {what}", exchange.connection.0)
}

pub(super) struct Run {
    pub(super) said: Vec<String>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) kernel: Kernel,
    pub(super) unattributed: u64,
}

impl Run {
    pub(super) fn of(recording: &Recording) -> Self {
        Self::with(recording, Settings::default())
    }

    pub(super) fn with(recording: &Recording, settings: Settings) -> Self {
        Self::among(recording, settings, Vantages::default())
    }

    /// On one node of several.
    pub(super) fn among(recording: &Recording, settings: Settings, vantages: Vantages) -> Self {
        let (books, kernel) = (Books::default(), Kernel::default());
        let vantages = Arc::new(vantages);
        let sink = Box::new(kernel.clone());
        let mut worker = Worker::new(
            settings,
            books.clone(),
            vantages.clone(),
            Box::new(Fake),
            sink,
        );
        for record in recording.records() {
            worker.record(&record);
            worker.polled(Polled::default(), Timestamp(record.header.time));
            assert_eq!(
                books.ledger.imbalance(),
                0,
                "the ledger closes at every record"
            );
        }
        worker.end();
        assert_eq!(books.ledger.imbalance(), 0);
        assert_eq!(books.ledger.pending(), 0, "nothing is pending at the end");
        assert!(vantages.is_empty(), "every end has left");
        let said = worker.batch(None).exchanges.iter().map(show).collect();
        Self {
            said,
            ledger: books.ledger,
            kernel,
            unattributed: books.statistics.unattributed.get(),
        }
    }

    pub(super) fn fates(&self) -> Vec<(Fate, u64)> {
        let all = Fate::ALL
            .iter()
            .map(|fate| (*fate, self.ledger.settled(*fate)));
        all.filter(|(_, bytes)| *bytes > 0).collect()
    }
}
