//! One ring's worker: records in, batches of exchanges out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use super::conversation::Protocols;
use super::session::{Context, Session};
use super::{Books, DRAIN, Polled, Settings, Source, VerdictSink};
use crate::capture::record::{Body, Record};
use crate::clock;
use crate::correlate::Exchange;
use crate::correlate::vantage::Vantages;
use crate::reassemble::{ConnectionKey, Table};
use crate::time::Timestamp;

/// Longest silence towards the interpreter, in nanoseconds: its clock goes on without traffic.
const SILENCE: u64 = 100_000_000;

/// What a worker hands on.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which the worker found them; each connection's in its own order.
    pub exchanges: Vec<Exchange>,
    /// No later batch of this worker has anything that ended before.
    pub watermark: Timestamp,
}

/// The stages up to `correlate`, for the connections of one ring.
pub struct Worker {
    settings: Settings,
    books: Books,
    table: Table<Session>,
    vantages: Arc<Vantages>,
    protocols: Box<dyn Protocols>,
    verdicts: Box<dyn VerdictSink>,
    out: Vec<Exchange>,
    newest: Timestamp,
    processes: u64,
    unattributed: u64,
    /// See [`Context::waiting`].
    waiting: Vec<ConnectionKey>,
    /// See [`Elsewhere::generation`](crate::correlate::vantage::Elsewhere), and when it was looked at.
    generation: (u64, Timestamp),
}

impl Worker {
    /// A worker without connections.
    #[must_use]
    pub fn new(
        settings: Settings,
        books: Books,
        vantages: Arc<Vantages>,
        protocols: Box<dyn Protocols>,
        verdicts: Box<dyn VerdictSink>,
    ) -> Self {
        Self {
            table: Table::new(settings.limits, Arc::clone(&books.ledger)),
            out: Vec::with_capacity(settings.batch),
            generation: (vantages.elsewhere().generation(), Timestamp::default()),
            settings,
            books,
            vantages,
            protocols,
            verdicts,
            newest: Timestamp::default(),
            processes: 0,
            unattributed: 0,
            waiting: Vec::new(),
        }
    }

    /// Takes a record.
    pub fn record(&mut self, record: &Record<'_>) {
        if matches!(record.body, Body::Process(..)) {
            self.processes += 1;
        }
        self.newest = self.newest.max(Timestamp(record.header.time));
        let (table, mut context) = self.parts();
        table.record(record, &mut |session, event| {
            session.on(event, &mut context);
        });
    }

    /// Whether the table of connections holds no more than it may.
    #[must_use]
    pub fn is_within_bounds(&self) -> bool {
        self.table.is_within_bounds()
    }

    /// Whether a batch is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.out.len() >= self.settings.batch
    }

    /// Takes the batch so far. `drained` is a time before which everything has been read.
    pub fn batch(&mut self, drained: Option<Timestamp>) -> Batch {
        let exchanges = std::mem::replace(&mut self.out, Vec::with_capacity(self.settings.batch));
        let statistics = &self.books.statistics;
        statistics.exchanges.add(exchanges.len() as u64);
        Batch {
            exchanges,
            watermark: drained.unwrap_or(self.newest).max(self.newest),
        }
    }

    /// A poll is over at that time: publishes what it met.
    pub fn polled(&mut self, polled: Polled, now: Timestamp) {
        let (table, mut context) = self.parts();
        table.expire(now, &mut |session, event| {
            session.on(event, &mut context);
        });
        if now.0.saturating_sub(self.generation.1.0) >= SILENCE {
            let before = self.generation.0;
            self.generation = (self.vantages.elsewhere().generation(), now);
            if self.generation.0 != before {
                self.catch_up(now);
            }
        }
        let statistics = &self.books.statistics;
        statistics.publish(self.table.counts(), self.table.len());
        statistics.fill.set(polled.bytes);
        let unattributed = std::mem::take(&mut self.unattributed);
        statistics.unattributed.add(unattributed);
        if polled.records > 0 {
            statistics.polls.add(1);
            statistics.records.add(polled.records);
            statistics.malformed.add(polled.malformed);
            statistics
                .processes
                .add(std::mem::take(&mut self.processes));
            statistics.lag.set(now.0.saturating_sub(self.newest.0));
        } else {
            statistics.lag.set(0);
        }
    }

    /// Forgets the connections of cgroups that are not observed any more.
    pub fn forget(&mut self, gone: &Gone) {
        let now = self.newest;
        let (table, mut context) = self.parts();
        let which = |session: &Session| {
            let cgroup = session.cgroup();
            cgroup.is_some_and(|cgroup| gone.0.binary_search(&cgroup).is_ok())
        };
        table.forget(now, which, &mut |session, event| {
            session.on(event, &mut context);
        });
    }

    /// The agent stops: forgets every connection.
    pub fn end(&mut self) {
        let now = self.newest;
        let (table, mut context) = self.parts();
        table.evict_all(now, &mut |session, event| {
            session.on(event, &mut context);
        });
        self.polled(Polled::default(), now);
    }

    /// Somebody is known who was not, and may be one of those who are waited for.
    fn catch_up(&mut self, now: Timestamp) {
        let waiting = std::mem::take(&mut self.waiting);
        let (table, mut context) = self.parts();
        for key in waiting {
            let session = table.state(key).filter(|session| session.waits());
            if let Some(session) = session {
                session.catch_up(key, now, &mut context);
                if session.waits() {
                    context.waiting.push(key);
                }
            }
        }
    }

    fn parts(&mut self) -> (&mut Table<Session>, Context<'_>) {
        let context = Context {
            ledger: &self.books.ledger,
            protocols: &*self.protocols,
            verdicts: &*self.verdicts,
            vantages: &self.vantages,
            generation: self.generation.0,
            out: &mut self.out,
            unattributed: &mut self.unattributed,
            waiting: &mut self.waiting,
            detect_bytes: self.settings.detect_bytes,
            detect_turns: self.settings.detect_turns,
        };
        (&mut self.table, context)
    }
}

/// Cgroups that are not observed any more; cheap to clone.
#[derive(Clone, Debug)]
pub struct Gone(Arc<[u64]>);

impl FromIterator<u64> for Gone {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        let mut ids: Vec<u64> = ids.into_iter().collect();
        ids.sort_unstable();
        Self(ids.into())
    }
}

/// Records of a poll below which the worker waits for more: to hand on few at a time, and to wake
/// the interpreter for them, costs more than the records do.
const FEW: u64 = 512;

/// Polls a source until it ends or is told to stop. An interpreter that is gone ends it too.
pub(super) fn run(
    mut worker: Worker,
    mut source: Box<dyn Source>,
    queue: &SyncSender<Batch>,
    gone_cgroups: &Receiver<Gone>,
    stop: &AtomicBool,
) {
    let mut sent = Timestamp::default();
    let mut deadline = None;
    let mut gone = false;
    while !gone {
        if stop.load(Ordering::Relaxed) && deadline.is_none() {
            deadline = Some(Instant::now() + DRAIN);
        }
        let before = clock::now();
        let polled = source.poll(&mut |record| {
            worker.record(record);
            if worker.is_full() && !gone {
                gone = queue.send(worker.batch(None)).is_err();
            }
        });
        if let Ok(gone) = gone_cgroups.try_recv() {
            worker.forget(&gone);
        }
        let silent = before.0.saturating_sub(sent.0) >= SILENCE;
        if !worker.out.is_empty() || silent {
            sent = before;
            let drained = (polled.records == 0).then_some(before);
            gone |= queue.send(worker.batch(drained)).is_err();
        }
        // Last, so that a record counts as read only once its exchanges count as handed on.
        worker.polled(polled, clock::now());
        if polled.records == 0 && (source.is_finished() || deadline.is_some()) {
            break;
        }
        if polled.records < FEW && !source.is_finished() {
            source.wait();
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
    }
    worker.end();
    // Nobody to tell where the interpreter is gone.
    let _ = queue.send(worker.batch(None));
}
