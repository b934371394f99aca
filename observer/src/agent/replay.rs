//! A recording runs through the same stages as a run, on one thread and without a clock: the same
//! file gives the same bytes.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use observer_ebpf::Counter;

use super::facts::Facts;
use super::names::Recorded;
use crate::capture::record::Record;
use crate::capture::recording::{End, Ending, Item, Preamble, Reader};
use crate::cli::replay::Options;
use crate::config::Config;
use crate::correlate::postgres::Shared;
use crate::export::agent::Statistics;
use crate::export::encode::Scrape;
use crate::export::{Agent, Observed, Recorder, Registry};
use crate::interpret::business::journal::Note;
use crate::interpret::{Interpreter, Needs};
use crate::ledger::Ledger;
use crate::pipeline::protocols::Known;
use crate::pipeline::transcript::Transcript;
use crate::pipeline::{self, Books, Interpreter as _, Polled, Worker};
use crate::time::Timestamp;
use crate::workloads::cgroup::Cgroups;
use crate::workloads::{Directory, Workloads};

/// Records between two looks at what they came to.
const STEP: u64 = 512;

/// Runs a recording, and writes its metrics; what is wrong with its end is told on standard error.
///
/// # Errors
/// One sentence where it cannot be read, or is damaged.
pub fn replay(config: &Config, options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut source = Source::open(&options.input)?;
    let mut out = BufWriter::new(out);
    let mut replay = Replay::new(config)?;
    let mut transcript = None;
    if options.transcript {
        let plan = super::plan(config)?;
        let started = source.preamble.started;
        transcript = Some(Transcript::new(config.pipeline(), &plan, started));
    }
    while let Some(item) = source.item()? {
        match (item, &mut transcript) {
            (Item::Name(cgroup, path), _) => replay.name(cgroup, path),
            (Item::Record(record), Some(transcript)) => {
                let mut name = |identity: &_| replay.names.lock().known(identity);
                out.write_all(transcript.record(&record, &mut name).as_bytes())?;
            }
            (Item::Record(record), None) => replay.record(&record),
        }
    }
    let end = source.end();
    if let Some(transcript) = &mut transcript {
        let mut name = |identity: &_| replay.names.lock().known(identity);
        out.write_all(transcript.finish(&mut name).as_bytes())?;
    } else {
        for chunk in replay.finish(&end) {
            out.write_all(&chunk)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// A recording that is being read.
pub(super) struct Source {
    name: String,
    pub(super) preamble: Preamble,
    reader: Reader<File>,
}

impl Source {
    /// # Errors
    /// One sentence where it cannot be opened, or is no recording.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        let reader = Reader::new(file).with_context(|| format!("cannot replay {name}"))?;
        let (preamble, reader) = reader;
        Ok(Self {
            name,
            preamble,
            reader,
        })
    }

    /// What comes next, if anything does.
    ///
    /// # Errors
    /// One sentence where it is damaged.
    pub(super) fn item(&mut self) -> anyhow::Result<Option<Item<'_>>> {
        let name = &self.name;
        let item = self.reader.item();
        item.with_context(|| format!("cannot replay {name}"))
    }

    /// What it says at its end; where it has none, that is told on standard error.
    pub(super) fn end(&self) -> End {
        match self.reader.ending() {
            Some(Ending::Whole(end)) => end,
            Some(Ending::Cut(at)) => {
                eprintln!(
                    "observer: {} has no end: it breaks off {at} bytes into what it unpacks to; \
                     what comes before is replayed, without what the kernel counted",
                    self.name
                );
                End::default()
            }
            None => End::default(),
        }
    }
}

/// The stages, driven by who has the records.
pub struct Replay {
    worker: Worker,
    facts: Facts,
    names: Recorded,
    registry: Arc<Registry>,
    books: Books,
    interpreted: Arc<AtomicU64>,
    newest: Timestamp,
    /// Records since the last step.
    taken: u64,
}

impl Replay {
    /// With the rules and bounds of a configuration.
    ///
    /// # Errors
    /// One sentence where its rules cannot be used.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let plan = super::plan(config)?;
        let workloads = Workloads::new(Some(Cgroups::elsewhere()), Directory::default());
        let roster = workloads.roster();
        let names = Recorded(Arc::new(Mutex::new(workloads)));
        let interpreter = Interpreter::new(
            Arc::clone(&plan),
            &config.interpret,
            Box::new(names.clone()),
        );
        let needs = Needs::new(plan);
        let followed = needs.follow();
        let statements = Arc::new(Shared::new(Box::new(needs.clone())));
        let (recorder, registry) = Recorder::new(&config.limits);
        let done = Arc::new(AtomicU64::new(0));
        let books = Books::default();
        Ok(Self {
            worker: Worker::new(
                config.pipeline(),
                books.clone(),
                Arc::default(),
                Box::new(Known::new(Arc::new(needs), statements)),
                Box::new(()),
            ),
            facts: Facts::new(interpreter, followed, recorder, Arc::clone(&done), roster),
            names,
            registry,
            books,
            interpreted: done,
            newest: Timestamp::default(),
            taken: 0,
        })
    }

    /// What a cgroup is called.
    pub fn name(&mut self, cgroup: u64, path: &str) {
        self.names.lock().remember(cgroup, path);
    }

    /// Takes the next record.
    pub fn record(&mut self, record: &Record<'_>) {
        self.newest = self.newest.max(Timestamp(record.header.time));
        self.worker.record(record);
        self.taken += 1;
        if self.taken == STEP || self.worker.is_full() {
            self.step(None);
        }
    }

    /// From now on it is noted why rows of the business count, or do not.
    pub fn explain(&mut self) {
        self.facts.explain();
    }

    /// What was noted since the last time.
    pub fn explained(&mut self) -> Vec<Note> {
        self.facts.explained()
    }

    /// Everything was taken: what was noted at last, and the queries that no rule of the business
    /// speaks of with how often they ran.
    pub fn explain_rest(mut self, end: &End) -> (Vec<Note>, Vec<(String, u64)>) {
        let now = self.newest.max(Timestamp(end.time));
        self.step(Some(now));
        let others = self.facts.end(now);
        (self.facts.explained(), others)
    }

    /// Everything was taken: the metrics as of then, piece by piece.
    pub fn finish(mut self, end: &End) -> impl Iterator<Item = bytes::Bytes> {
        let now = self.newest.max(Timestamp(end.time));
        self.step(Some(now));
        let played = Played {
            books: self.books,
            interpreted: self.interpreted.load(Ordering::Acquire),
            end: *end,
        };
        let agent = Agent::recorded(Arc::new(played));
        Scrape::new(self.registry, Arc::new(agent))
    }

    fn step(&mut self, now: Option<Timestamp>) {
        let batch = self.worker.batch(now);
        for exchange in batch.exchanges {
            self.facts.exchange(exchange);
        }
        self.facts.time(batch.watermark);
        let polled = Polled {
            records: std::mem::take(&mut self.taken),
            ..Polled::default()
        };
        self.worker.polled(polled, self.newest);
    }
}

/// What became of a recording.
struct Played {
    books: Books,
    interpreted: u64,
    end: End,
}

impl Observed for Played {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn ledgers(&self) -> Vec<Arc<Ledger>> {
        vec![Arc::clone(&self.books.ledger)]
    }

    fn kernel_counter(&self, counter: Counter) -> u64 {
        self.end.counter(counter)
    }

    fn statistics(&self) -> Statistics {
        let statistics: &pipeline::Statistics = &self.books.statistics;
        Statistics {
            records: vec![
                ("reassemble", statistics.records.get()),
                ("correlate", statistics.exchanges.get()),
                ("interpret", self.interpreted),
            ],
            errors: vec![
                ("reassemble", "connection_evicted", statistics.evicted.get()),
                (
                    "reassemble",
                    "early_dropped",
                    statistics.early_dropped.get(),
                ),
            ],
            connections: statistics.connections.get(),
            ..Statistics::default()
        }
    }
}
