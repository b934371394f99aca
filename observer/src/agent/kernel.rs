//! The kernel's end of the pipeline: rings as sources, verdicts as a sink, counters for scrapes.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use observer_ebpf::{Counter, Verdict};

use super::follow::Tally;
use super::reload;
use crate::capture::record::Record;
use crate::capture::{Capture, Counters, RingReader, Verdicts, host};
use crate::clock;
use crate::export::Observed;
use crate::export::agent::{Finding, Probe, Ring as RingLevel, Statistics, Watch};
use crate::ledger::Ledger;
use crate::pipeline::{Books, Polled, Source, VerdictSink};
use crate::reassemble::ConnectionKey;
use crate::workloads::kubernetes;

/// Records handed on before a worker looks at its other duties.
const MOST: u64 = 8192;

/// A ring as a source of records.
pub(super) struct Ring(pub(super) RingReader);

impl Source for Ring {
    fn poll(&mut self, each: &mut dyn FnMut(&Record<'_>)) -> Polled {
        let drained = self.0.drain(MOST, each);
        Polled {
            records: drained.records,
            malformed: drained.malformed,
            bytes: drained.bytes,
        }
    }

    fn wait(&mut self) {
        self.0.wait();
    }
}

/// Takes verdicts to the kernel, and counts those it refused.
pub(super) struct Sink {
    verdicts: Verdicts,
    failed: Arc<AtomicU64>,
}

impl Sink {
    pub(super) fn new(verdicts: Verdicts, failed: Arc<AtomicU64>) -> Self {
        Self { verdicts, failed }
    }
}

impl VerdictSink for Sink {
    fn set(&self, connection: ConnectionKey, verdict: Verdict) {
        if self.verdicts.set(connection.0, verdict).is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What scrapes see.
pub(super) struct Seen {
    counters: Counters,
    books: Vec<Books>,
    failed: Arc<AtomicU64>,
    interpreted: Arc<AtomicU64>,
    probes: Vec<Probe>,
    maps: Vec<(String, u64)>,
    ring_bytes: u64,
    machine: Vec<Finding>,
    reloads: Arc<reload::Books>,
    tally: Arc<Tally>,
    /// Where the Kubernetes API is asked.
    pub(super) kubernetes: Option<Arc<kubernetes::Books>>,
}

impl Seen {
    pub(super) fn new(
        capture: &Capture,
        books: Vec<Books>,
        failed: Arc<AtomicU64>,
        interpreted: Arc<AtomicU64>,
        (reloads, tally): (Arc<reload::Books>, Arc<Tally>),
        machine: Vec<host::Requirement>,
    ) -> Self {
        let probes = capture.probes().iter().map(|status| Probe {
            name: status.probe.program,
            required: status.probe.required,
            missing: status.failure.clone().map(Into::into),
            without: status.probe.without,
        });
        let maps = capture.map_memory();
        Self {
            counters: capture.counters(),
            books,
            failed,
            interpreted,
            probes: probes.collect(),
            maps: maps
                .iter()
                .map(|map| (map.map.to_owned(), map.bytes))
                .collect(),
            ring_bytes: capture.ring_bytes(),
            machine: machine.into_iter().map(finding).collect(),
            reloads,
            tally,
            kubernetes: None,
        }
    }

    fn sum(&self, number: impl Fn(&crate::pipeline::Statistics) -> u64) -> u64 {
        self.books
            .iter()
            .map(|books| number(&books.statistics))
            .sum()
    }

    /// What was found at the start, and whether names are current.
    fn machine(&self) -> Vec<Finding> {
        let api = self.kubernetes.as_ref().map(|books| api(&books.read()));
        self.machine.iter().cloned().chain(api).collect()
    }

    fn watches(&self) -> Vec<Watch> {
        let rows = self.kubernetes.iter().flat_map(|books| books.read());
        rows.map(|row| watch(&row)).collect()
    }
}

fn watch(row: &kubernetes::Informed) -> Watch {
    Watch {
        resource: row.resource,
        synchronized: row.synchronized,
        errors: row.errors,
        objects: row.objects,
        refused: row.refused,
    }
}

/// Whether the Kubernetes API is heard; else why not, and how old what is known is.
fn api(rows: &[kubernetes::Informed]) -> Finding {
    let mut troubles: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.trouble.as_deref())
        .collect();
    troubles.dedup();
    let oldest = rows.iter().map(|row| row.synchronized);
    let oldest = oldest.fold(f64::INFINITY, f64::min);
    let age = clock::unix_seconds() - oldest;
    let found = match (troubles.is_empty(), oldest > 0.0) {
        (true, true) => "heard".to_owned(),
        (true, false) => "not heard yet".to_owned(),
        (false, true) => format!("{}; what is known is {age:.0} s old", troubles.join("; ")),
        (false, false) => format!("{}; nothing is known yet", troubles.join("; ")),
    };
    Finding {
        name: "Kubernetes API",
        met: troubles.is_empty() && oldest > 0.0,
        found,
    }
}

fn finding(row: host::Requirement) -> Finding {
    Finding {
        name: row.name,
        found: row.found,
        met: row.met,
    }
}

impl Observed for Seen {
    fn ready(&self) -> Result<(), String> {
        match self
            .probes
            .iter()
            .find(|probe| probe.required && probe.missing.is_some())
        {
            Some(probe) => Err(format!("{} is not attached", probe.name)),
            None => Ok(()),
        }
    }

    fn ledgers(&self) -> Vec<Arc<Ledger>> {
        self.books
            .iter()
            .map(|books| Arc::clone(&books.ledger))
            .collect()
    }

    fn kernel_counter(&self, counter: Counter) -> u64 {
        self.counters
            .read()
            .map_or(0, |snapshot| snapshot.get(counter))
    }

    fn statistics(&self) -> Statistics {
        let selecting = self.tally.get();
        let rings = self.books.iter().map(|books| RingLevel {
            used: books.statistics.fill.get(),
            size: self.ring_bytes,
        });
        #[expect(
            clippy::cast_precision_loss,
            reason = "a lag beyond 104 days may round"
        )]
        let lag = self
            .books
            .iter()
            .map(|books| books.statistics.lag.get())
            .max()
            .unwrap_or(0) as f64;
        Statistics {
            probes: self.probes.clone(),
            records: vec![
                ("reassemble", self.sum(|s| s.records.get())),
                ("correlate", self.sum(|s| s.exchanges.get())),
                ("interpret", self.interpreted.load(Ordering::Acquire)),
            ],
            errors: vec![
                (
                    "capture",
                    "malformed_record",
                    self.sum(|s| s.malformed.get()),
                ),
                (
                    "capture",
                    "verdict_refused",
                    self.failed.load(Ordering::Relaxed),
                ),
                (
                    "reassemble",
                    "connection_evicted",
                    self.sum(|s| s.evicted.get()),
                ),
                (
                    "reassemble",
                    "early_dropped",
                    self.sum(|s| s.early_dropped.get()),
                ),
                (
                    "correlate",
                    "client_unknown",
                    self.sum(|s| s.unattributed.get()),
                ),
                ("select", "events_lost", selecting.overflows),
            ],
            rings: rings.collect(),
            maps: self.maps.clone(),
            lag_seconds: lag / 1e9,
            connections: self.sum(|s| s.connections.get()),
            selection: self.tally.selection(),
            selecting,
            machine: self.machine(),
            reloads: self.reloads.get(),
            kubernetes: self.watches(),
        }
    }
}
