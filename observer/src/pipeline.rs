//! Builds the stages; owns threads, queues, shutdown.
//!
//! ```text
//!   Source ─▶ Worker: reassemble ▸ session (detect, decode, correlate) ─▶ bounded queue ─┐
//!   Source ─▶ Worker: …                                               ─▶ bounded queue ─┴▶ Merge ─▶ Interpreter
//! ```
//!
//! A connection stays on one worker, so the stages up to `correlate` need no locks. One thread
//! interprets: it owns all state that crosses connections. A full queue makes its worker wait, the
//! ring behind it fills, and the kernel counts what finds no room: memory stays bounded and no
//! loss is silent.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use observer_ebpf::Verdict;

use crate::capture::record::Record;
use crate::correlate::Exchange;
use crate::correlate::vantage::Vantages;
use crate::decode::HELD_LIMIT;
use crate::ledger::Ledger;
use crate::reassemble::{ConnectionKey, Limits};
use crate::time::Timestamp;

pub mod conversation;
pub mod fuzz;
pub mod merge;
pub mod protocols;
pub mod redact;
mod session;
pub mod statistics;
pub mod synthetic;
#[cfg(test)]
mod tests;
pub mod transcript;
pub mod worker;

pub use conversation::Protocols;
pub use statistics::Statistics;
pub use worker::{Batch, Gone, Worker};

/// How long a worker goes on draining its source once it is told to stop. With what the
/// interpreter then has in its queue, a stop takes less than 2 s.
pub const DRAIN: Duration = Duration::from_secs(1);

/// Where records come from: the kernel's ring, or a recording.
pub trait Source: Send {
    /// Hands on the records that are there, in order, at most some ten thousand at a time.
    fn poll(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> Polled;

    /// Waits until it is worth looking again, at most some ten milliseconds.
    fn wait(&mut self) {
        std::thread::sleep(Duration::from_millis(1));
    }

    /// Whether no more will come.
    fn is_finished(&self) -> bool {
        false
    }
}

/// What a poll found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// Records.
    pub records: u64,
    /// Of them, those that are none of this version's layout.
    pub malformed: u64,
    /// Bytes they took in the ring: how full it had become.
    pub bytes: u64,
}

/// Takes to the kernel what was decided about a connection.
pub trait VerdictSink: Send {
    /// The connection is to be treated so from now on.
    fn set(&self, connection: ConnectionKey, verdict: Verdict);
}

/// Nobody to tell: recorded input.
impl VerdictSink for () {
    fn set(&self, _connection: ConnectionKey, _verdict: Verdict) {}
}

/// Takes what the workers found, merged by kernel time.
pub trait Interpreter: Send + 'static {
    /// One connection's event or finished exchange.
    fn exchange(&mut self, exchange: Exchange);

    /// Everything that ended before this has come.
    fn time(&mut self, watermark: Timestamp);
}

/// Bounds of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Of each worker's table of connections.
    pub limits: Limits,
    /// Bytes of a direction kept while its protocol is not known.
    pub detect_bytes: usize,
    /// Turns after which an unrecognised connection is `other` for good.
    pub detect_turns: u32,
    /// Exchanges in a batch.
    pub batch: usize,
    /// Batches in a worker's queue; over it the worker waits.
    pub queue: usize,
    /// Exchanges the merge holds for workers that lag; over it the oldest go out unmerged.
    pub merge: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            detect_bytes: 4096,
            detect_turns: 32,
            batch: 512,
            queue: 32,
            merge: 32_768,
        }
    }
}

/// Bytes that a decoder and its correlator may hold for one connection, whatever its peers send:
/// [`HELD_LIMIT`] of each direction, and requests that wait for their answers up to the bound of
/// each protocol.
pub const CONVERSATION_BYTES: usize = 4 << 20;

/// Bytes that one connection may make the agent remember, texts of statements aside, which all
/// connections share.
#[must_use]
pub const fn connection_bytes(limits: &Limits) -> usize {
    // What waits for missing bytes has some words of its own beside its payload.
    let waiting = limits.held_bytes + limits.held_segments * 64;
    CONVERSATION_BYTES + 2 * waiting
}

const _: () = assert!(2 * HELD_LIMIT < CONVERSATION_BYTES);

/// What one worker needs of its own.
pub struct Lane {
    /// Its records.
    pub source: Box<dyn Source>,
    /// Its protocols.
    pub protocols: Box<dyn Protocols>,
    /// Its way to the kernel.
    pub verdicts: Box<dyn VerdictSink>,
}

/// A worker's books, to be read by scrapes.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// What became of its bytes.
    pub ledger: Arc<Ledger>,
    /// What it does.
    pub statistics: Arc<Statistics>,
}

/// The running stages.
pub struct Pipeline<I> {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    /// To tell each of them.
    gone: Vec<Sender<Gone>>,
    interpreter: JoinHandle<I>,
    books: Vec<Books>,
}

/// A thread of the pipeline ended by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} thread ended by a panic")]
pub struct Panicked(&'static str);

impl<I: Interpreter> Pipeline<I> {
    /// Starts a worker per lane, and the interpreter; with who else is observed.
    ///
    /// # Errors
    /// Where a thread cannot be created.
    pub fn start(
        settings: Settings,
        vantages: Vantages,
        lanes: Vec<Lane>,
        interpreter: I,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let vantages = Arc::new(vantages);
        let mut workers = Vec::with_capacity(lanes.len());
        let mut queues = Vec::with_capacity(lanes.len());
        let mut books = Vec::with_capacity(lanes.len());
        let mut gone = Vec::with_capacity(lanes.len());
        for (index, lane) in lanes.into_iter().enumerate() {
            let (sender, receiver) = sync_channel(settings.queue);
            let (forget, forgotten) = channel();
            let own = Books::default();
            let worker = Worker::new(
                settings,
                own.clone(),
                Arc::clone(&vantages),
                lane.protocols,
                lane.verdicts,
            );
            let (source, stop) = (lane.source, Arc::clone(&stop));
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            workers.push(
                thread.spawn(move || worker::run(worker, source, &sender, &forgotten, &stop))?,
            );
            queues.push(receiver);
            gone.push(forget);
            books.push(own);
        }
        let thread = std::thread::Builder::new().name("interpret".to_owned());
        let interpreter = thread.spawn(move || merge::run(queues, settings.merge, interpreter))?;
        Ok(Self {
            stop,
            workers,
            gone,
            interpreter,
            books,
        })
    }

    /// The workers' books.
    #[must_use]
    pub fn books(&self) -> &[Books] {
        &self.books
    }

    /// Forgets the connections of cgroups that are not observed any more, soon.
    pub fn forget(&self, gone: &Gone) {
        for worker in &self.gone {
            // One that has ended has no connections.
            let _ended = worker.send(gone.clone());
        }
    }

    /// Whether a thread has ended: its input did, or it panicked.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.interpreter.is_finished() || self.workers.iter().any(JoinHandle::is_finished)
    }

    /// Drains what has been captured, ends every connection, and gives the interpreter back.
    ///
    /// # Errors
    /// [`Panicked`] where a thread did.
    pub fn stop(self) -> Result<I, Panicked> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.workers.into_iter().map(JoinHandle::join);
        // Every worker is waited for, whatever became of the first.
        let fine = ended.fold(true, |fine, ended| fine & ended.is_ok());
        let interpreter = self.interpreter.join().map_err(|_| Panicked("interpret"))?;
        if fine {
            Ok(interpreter)
        } else {
            Err(Panicked("worker"))
        }
    }
}
