//! What the agent says of itself, read at the moment of a scrape.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use observer_ebpf::{COUNTERS, Counter, Outcome, Version};

use super::balance::Balance;
use super::catalog::{AGENT, AgentMetric, Kind};
use super::encode::{Text, render_labels};
use super::registry::{Refusal, Registry};
use super::symbols::VALUE_LIMIT;
use crate::clock;
use crate::ledger::Ledger;
use crate::time::Timestamp;

/// The running pipeline, as a scrape sees it. No method may wait for the data path.
pub trait Observed: Send + Sync {
    /// Whether every required program is attached; else one sentence that says why not.
    ///
    /// # Errors
    /// The sentence.
    fn ready(&self) -> Result<(), String>;
    /// The ledger of each worker.
    fn ledgers(&self) -> Vec<Arc<Ledger>>;
    /// A counter of the kernel's, summed over all processors, as of now: the order in which they
    /// are asked for keeps the ledger closed, so nothing may be read ahead or kept.
    fn kernel_counter(&self, counter: Counter) -> u64;
    /// Everything else.
    fn statistics(&self) -> Statistics;
}

/// What a pipeline says of itself besides its bytes.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Every probe of the table.
    pub probes: Vec<Probe>,
    /// Stage, and how many records, events, messages or exchanges it took. The kernel's and the
    /// export's are known already. Rows of one stage add up.
    pub records: Vec<(&'static str, u64)>,
    /// Stage, kind and number of what went wrong. Rows of one stage and kind add up.
    pub errors: Vec<(&'static str, &'static str, u64)>,
    /// Every ring.
    pub rings: Vec<Ring>,
    /// Every map of the programs, and the kernel memory it has at its bound, in bytes.
    pub maps: Vec<(String, u64)>,
    /// Seconds the newest fact is behind the kernel; 0 where nothing waits.
    pub lag_seconds: f64,
    /// Connections that have state.
    pub connections: u64,
    /// What is observed, everything below included.
    pub selection: Vec<PathBuf>,
    /// How it follows the workloads.
    pub selecting: Selecting,
    /// What was found on this machine of what the programs need.
    pub machine: Vec<Finding>,
    /// What became of the configuration.
    pub reloads: Reloads,
    /// What is watched of the Kubernetes API; nothing where it is not asked.
    pub kubernetes: Vec<Watch>,
}

/// What a watch of the Kubernetes API has come to.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What is watched.
    pub resource: &'static str,
    /// When what is known last was what the API said, in Unix time; 0 before the first list.
    pub synchronized: f64,
    /// Lists and watches that came to nothing.
    pub errors: u64,
    /// Objects that are known.
    pub objects: u64,
    /// Objects for which there was no room.
    pub refused: u64,
}

/// How what is observed follows the workloads.
#[derive(Clone, Debug, Default)]
pub struct Selecting {
    /// Cgroups that are observed, with all below them.
    pub cgroups: u64,
    /// Nothing that is selected is here.
    pub waits: bool,
    /// Cgroups that are selected and found no room.
    pub over: u64,
    /// Those that a program could not be attached to.
    pub refused: u64,
    /// Cgroups that are looked for a few times a second, because the kernel does not tell of them.
    pub unwatched: u64,
    /// How often what the kernel told was lost, and everything was looked at again.
    pub overflows: u64,
    /// Cgroups that were attached because the agent started, or its configuration changed.
    pub asked: u64,
    /// Cgroups that came and were attached before anybody had run in them.
    pub empty: u64,
    /// Those in which somebody had.
    pub running: u64,
    /// For how long, of the oldest that was there, over all of these.
    pub unseen_seconds: f64,
}

/// What was found of something the programs need.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What is needed.
    pub name: &'static str,
    /// What was found, in a few words.
    pub found: String,
    /// Whether that is enough.
    pub met: bool,
}

/// What became of the configuration since it was first read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reloads {
    /// How often another one came into force.
    pub applied: u64,
    /// How often one was refused.
    pub refused: u64,
    /// Whether the last one was refused.
    pub last_refused: bool,
    /// When the one in force was read, in Unix time.
    pub read: f64,
}

/// A row of the table of probes.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its name.
    pub name: &'static str,
    /// Whether the agent refuses to run without it.
    pub required: bool,
    /// Why it is not attached, in a few words without anything that varies (a label value);
    /// `None` where it is.
    pub missing: Option<Cow<'static, str>>,
    /// What is not known without it.
    pub without: &'static str,
}

/// How full a ring is.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Unread bytes.
    pub used: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// What became of scrapes.
#[derive(Debug, Default)]
pub(super) struct Scrapes {
    pub(super) served: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) cut: AtomicU64,
    /// Connections the kernel would not hand over.
    pub(super) accept_errors: AtomicU64,
    /// Pages and statuses that were refused because too many were on their way.
    pub(super) views_refused: AtomicU64,
    /// Scrapes without what [`super::Sources`] should have read, because that took too long.
    pub(super) without_sources: AtomicU64,
    /// Lines that were read and could not be exposed.
    pub(super) lines_refused: AtomicU64,
    /// Requests without the password or token that the web configuration asks for.
    pub(super) denied: AtomicU64,
    /// Web configurations that did not come into force.
    pub(super) web_refused: AtomicU64,
}

/// The agent: a pipeline once there is one, and what is known without.
pub struct Agent {
    observed: OnceLock<Arc<dyn Observed>>,
    /// What the start waits for, where that is not the programs.
    waits: Mutex<Option<String>>,
    started: f64,
    /// What it shows comes from a recording: of itself it says nothing.
    recorded: bool,
    pub(super) scrapes: Scrapes,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let attached = self.observed.get().is_some();
        f.debug_struct("Agent")
            .field("observed", &attached)
            .finish_non_exhaustive()
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            observed: OnceLock::new(),
            waits: Mutex::default(),
            started: clock::unix_seconds(),
            recorded: false,
            scrapes: Scrapes::default(),
        }
    }
}

impl Agent {
    /// A pipeline that a recording went through: no process, and no time but the recording's.
    #[must_use]
    pub fn recorded(observed: Arc<dyn Observed>) -> Self {
        let agent = Self {
            recorded: true,
            ..Self::default()
        };
        agent.observe(observed);
        agent
    }

    /// The pipeline runs. The first one counts; an agent has one.
    pub fn observe(&self, observed: Arc<dyn Observed>) {
        if self.observed.set(observed).is_err() {
            tracing::error!("a second pipeline was started and is not shown");
        }
    }

    /// What the start waits for, in a sentence; `None` where it is the kernel programs.
    pub fn starts(&self, waits: Option<String>) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = waits;
    }

    /// Whether every required program is attached.
    ///
    /// # Errors
    /// One sentence that says why not.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(observed) = self.observed.get() {
            return observed.ready();
        }
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let programs = || "the kernel programs are not attached yet".into();
        Err(waits.clone().unwrap_or_else(programs))
    }

    /// The pipeline, once it runs.
    pub(super) fn observed(&self) -> Option<&dyn Observed> {
        self.observed.get().map(AsRef::as_ref)
    }

    /// When it started, in seconds of Unix time.
    pub(super) fn started(&self) -> f64 {
        self.started
    }

    /// Stage, kind and number of everything the agent recovered from; rows of one stage and kind
    /// are joined.
    pub(super) fn errors(
        &self,
        registry: &Registry,
        statistics: &Statistics,
    ) -> Vec<(&'static str, &'static str, u64)> {
        let http = [
            ("http", "accept", &self.scrapes.accept_errors),
            ("http", "busy", &self.scrapes.views_refused),
            ("http", "late", &self.scrapes.without_sources),
            ("http", "line", &self.scrapes.lines_refused),
            ("http", "denied", &self.scrapes.denied),
            ("http", "web_config", &self.scrapes.web_refused),
        ]
        .map(|(stage, kind, count)| (stage, kind, count.load(Ordering::Relaxed)));
        let export =
            Refusal::ALL.map(|refusal| ("export", refusal.label(), registry.refused(refusal)));
        let mut rows: Vec<(&str, &str, u64)> = Vec::new();
        let pipeline = statistics.errors.iter().copied();
        for (stage, kind, count) in pipeline.chain(export).chain(http) {
            match rows.iter_mut().find(|row| (row.0, row.1) == (stage, kind)) {
                Some(row) => row.2 += count,
                None => rows.push((stage, kind, count)),
            }
        }
        rows
    }

    /// Writes every metric of the agent's own, in the order of their names.
    pub(super) fn write(&self, registry: &Registry, text: &mut Text) {
        let mut samples = Samples::new();
        if !self.recorded {
            self.write_identity(&mut samples);
            write_process(&mut samples);
            write_registry(&mut samples, registry);
        }
        let statistics = match self.observed() {
            Some(observed) => write_observed(&mut samples, observed),
            None => Statistics::default(),
        };
        for (stage, kind, errors) in self.errors(registry, &statistics) {
            samples.put(AgentMetric::Errors, &[stage, kind], float(errors));
        }
        samples.write(text);
    }

    fn write_identity(&self, samples: &mut Samples) {
        let layout = Version::CURRENT.to_string();
        let build = [env!("CARGO_PKG_VERSION"), layout.as_str()];
        samples.put(AgentMetric::BuildInfo, &build, 1.0);
        samples.put(AgentMetric::StartTime, &[], self.started);
        let scrapes = [
            ("served", &self.scrapes.served),
            ("refused", &self.scrapes.refused),
            ("cut", &self.scrapes.cut),
        ];
        for (outcome, count) in scrapes {
            let count = count.load(Ordering::Relaxed);
            samples.put(AgentMetric::Scrapes, &[outcome], float(count));
        }
    }
}

fn write_process(samples: &mut Samples) {
    if let Ok(statm) = procfs::process::Process::myself().and_then(|process| process.statm()) {
        let bytes = statm.resident.saturating_mul(procfs::page_size());
        samples.put(AgentMetric::ProcessMemory, &[], float(bytes));
    }
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let modes = [("user", usage.user_time()), ("system", usage.system_time())];
        for (mode, time) in modes {
            samples.put(AgentMetric::ProcessCpu, &[mode], seconds(time));
        }
    }
}

fn write_registry(samples: &mut Samples, registry: &Registry) {
    for family in registry.families() {
        let name = [family.row.name];
        let number = |value: &AtomicU64| float(value.load(Ordering::Relaxed));
        let lines = family.lines.load(Ordering::Relaxed);
        samples.put(AgentMetric::SeriesLines, &name, float_of(lines));
        let limit = float_of(family.lines_limit);
        samples.put(AgentMetric::SeriesLinesLimit, &name, limit);
        samples.put(AgentMetric::SeriesOverflow, &name, number(&family.overflow));
        samples.put(AgentMetric::SeriesRemoved, &name, number(&family.removed));
        let learnt = family.learnt.load(Ordering::Relaxed);
        if matches!(family.row.kind, Kind::Gauge | Kind::Level) && learnt > 0 {
            let when = clock::unix_seconds_of(Timestamp(learnt));
            samples.put(AgentMetric::GaugeLearnt, &name, when);
        }
    }
    let limit = float_of(registry.lines_limit);
    samples.put(AgentMetric::SeriesLinesLimit, &["_total"], limit);
    let statistics = &registry.statistics;
    let facts = statistics.facts.load(Ordering::Relaxed);
    samples.put(AgentMetric::Records, &["export"], float(facts));
    let values = statistics.label_values.load(Ordering::Relaxed);
    samples.put(AgentMetric::LabelValues, &[], float_of(values));
    let refused = statistics.label_values_refused.load(Ordering::Relaxed);
    samples.put(AgentMetric::LabelValuesRefused, &[], float(refused));
}

fn write_observed(samples: &mut Samples, observed: &dyn Observed) -> Statistics {
    let statistics = observed.statistics();
    for probe in &statistics.probes {
        let required = if probe.required { "true" } else { "false" };
        let reason = probe.missing.as_deref().unwrap_or_default();
        let attached = if probe.missing.is_none() { 1.0 } else { 0.0 };
        let labels = [probe.name, required, reason];
        samples.put(AgentMetric::ProbeAttached, &labels, attached);
    }
    for (stage, records) in &statistics.records {
        samples.put(AgentMetric::Records, &[stage], float(*records));
    }
    for (number, ring) in statistics.rings.iter().enumerate() {
        let number = number.to_string();
        samples.put(AgentMetric::RingUsed, &[&number], float(ring.used));
        samples.put(AgentMetric::RingSize, &[&number], float(ring.size));
    }
    for (map, bytes) in &statistics.maps {
        samples.put(AgentMetric::MapMemory, &[map], float(*bytes));
    }
    samples.put(AgentMetric::Lag, &[], statistics.lag_seconds);
    let connections = float(statistics.connections);
    samples.put(AgentMetric::ConnectionsTracked, &[], connections);
    let selecting = &statistics.selecting;
    let cgroups = float(selecting.cgroups);
    samples.put(AgentMetric::SelectionCgroups, &[], cgroups);
    for (reason, count) in [
        ("bound", selecting.over),
        ("refused", selecting.refused),
        ("unwatched", selecting.unwatched),
    ] {
        samples.put(AgentMetric::SelectionTrouble, &[reason], float(count));
    }
    for (when, count) in [
        ("start", selecting.asked),
        ("empty", selecting.empty),
        ("running", selecting.running),
    ] {
        samples.put(AgentMetric::SelectionAttached, &[when], float(count));
    }
    let unseen = selecting.unseen_seconds;
    samples.put(AgentMetric::SelectionUnseen, &[], unseen);
    let reloads = &statistics.reloads;
    for (outcome, count) in [("applied", reloads.applied), ("refused", reloads.refused)] {
        samples.put(AgentMetric::ConfigReloads, &[outcome], float(count));
    }
    let last = if reloads.last_refused { 0.0 } else { 1.0 };
    samples.put(AgentMetric::ConfigReloaded, &[], last);
    samples.put(AgentMetric::ConfigReloadedAt, &[], reloads.read);
    for watch in &statistics.kubernetes {
        let resource = [watch.resource];
        let rows = [
            (AgentMetric::KubernetesSynchronized, watch.synchronized),
            (AgentMetric::KubernetesErrors, float(watch.errors)),
            (AgentMetric::KubernetesObjects, float(watch.objects)),
            (AgentMetric::KubernetesRefused, float(watch.refused)),
        ];
        for (metric, value) in rows {
            samples.put(metric, &resource, value);
        }
    }

    for row in COUNTERS {
        if row.outcome == Outcome::Count {
            let count = float(observed.kernel_counter(row.counter));
            samples.put(AgentMetric::KernelEvents, &[row.reason], count);
            if row.counter == Counter::RecordsSubmitted {
                samples.put(AgentMetric::Records, &["kernel"], count);
            }
        }
    }
    let balance = Balance::read(&observed.ledgers(), |counter| {
        observed.kernel_counter(counter)
    });
    for (outcome, stage, reason, bytes) in balance.rows {
        samples.put(AgentMetric::Bytes, &[outcome, stage, reason], float(bytes));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 2^53, nine petabytes"
    )]
    samples.put(AgentMetric::BytesPending, &[], balance.pending as f64);
    statistics
}

/// Samples by metric, in the table's order.
struct Samples(Vec<Vec<(Box<str>, f64)>>);

impl Samples {
    fn new() -> Self {
        Self(AGENT.iter().map(|_| Vec::new()).collect())
    }

    /// A label set that is there already adds up where it counts, and is replaced where it does
    /// not: a scraper rejects a whole scrape for a line that stands twice.
    fn put(&mut self, metric: AgentMetric, values: &[&str], value: f64) {
        let row = metric.row();
        debug_assert_eq!(row.labels.len(), values.len(), "{}", row.name);
        let values = values.iter().map(|value| cut(value));
        let labels = render_labels(row.labels.iter().copied().zip(values));
        let Some(samples) = self.0.get_mut(metric as usize) else {
            return;
        };
        match samples.iter_mut().find(|(known, _)| *known == labels) {
            Some((_, sum)) if row.kind == Kind::Counter => *sum += value,
            Some((_, level)) => *level = value,
            None => samples.push((labels, value)),
        }
    }

    fn write(&self, text: &mut Text) {
        let mut rows: Vec<_> = AGENT.iter().zip(&self.0).collect();
        rows.sort_by_key(|(row, _)| row.name);
        for (row, samples) in rows {
            if samples.is_empty() {
                continue;
            }
            text.header(row);
            for (labels, value) in samples {
                text.sample(row.name, labels, *value);
            }
        }
    }
}

fn cut(value: &str) -> &str {
    let end = value.floor_char_boundary(VALUE_LIMIT);
    value.get(..end).unwrap_or_default()
}

fn seconds(time: TimeVal) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact below 2^53, 300 million years"
    )]
    let whole = time.tv_sec() as f64;
    #[expect(clippy::cast_precision_loss, reason = "below a million")]
    let micros = time.tv_usec() as f64;
    whole + micros / 1e6
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact below 2^53; a text exposition is read into the same type"
)]
fn float(count: u64) -> f64 {
    count as f64
}

fn float_of(count: usize) -> f64 {
    float(count as u64)
}
