//! Collects a status from what is published; nothing in here waits for the data path.
#![forbid(unsafe_code)]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use observer_ebpf::Counter;

use super::history::{History, Totals};
use super::tables::tables;
use super::{
    Entry, FORMAT, Fact, Ledger, Map, Metric, Probe, Ring, Selected, Series, Stage, Status, Trouble,
};
use crate::clock;
use crate::export::agent::{Agent, Observed, Statistics};
use crate::export::balance::Balance;
use crate::export::catalog::Metric as Id;
use crate::export::registry::{Family, Registry};
use crate::time::Timestamp;

/// Everything there is to show of a running agent.
#[derive(Debug)]
pub struct Overview {
    pub(in crate::export) registry: Arc<Registry>,
    pub(in crate::export) agent: Arc<Agent>,
    history: Mutex<History>,
}

impl Overview {
    /// Of this agent and its series.
    #[must_use]
    pub fn new(registry: Arc<Registry>, agent: Arc<Agent>) -> Self {
        Self {
            registry,
            agent,
            history: Mutex::default(),
        }
    }

    /// Takes a sample for the rates. To be called about once a second.
    pub fn sample(&self, now: Timestamp) {
        let totals = self.totals();
        let statistics = self.statistics();
        let errors = self.agent.errors(&self.registry, &statistics);
        let mut history = self.history();
        history.push(now, totals);
        history.note(now, &errors);
    }

    /// As of now, with at most so many rows of each table, and never more than
    /// [`super::MOST_ROWS`].
    #[must_use]
    pub fn status(&self, rows: usize) -> Status {
        let statistics = self.statistics();
        let errors = self.errors(&statistics);
        let rates = self.history().rates();
        let now = clock::unix_seconds();
        let started = self.agent.started();
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            start_time_seconds: started,
            uptime_seconds: (now - started).max(0.0),
            not_ready: self.agent.ready().err(),
            selection: selection(&statistics),
            waits: statistics.selecting.waits,
            machine: machine(&statistics),
            probes: probes(&statistics),
            rings: rings(&statistics),
            maps: maps(&statistics),
            lag_seconds: statistics.lag_seconds,
            connections: statistics.connections,
            records: self.records(&statistics),
            ledger: self.ledger(),
            rates,
            series: series(&self.registry),
            errors,
            tables: tables(&self.registry, rows.min(super::MOST_ROWS)),
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn statistics(&self) -> Statistics {
        let observed = self.agent.observed();
        observed.map_or_else(Statistics::default, Observed::statistics)
    }

    fn balance(&self) -> Balance {
        let observed = self.agent.observed();
        let ledgers = observed.map_or_else(Vec::new, Observed::ledgers);
        Balance::read(&ledgers, |counter| {
            observed.map_or(0, |observed| observed.kernel_counter(counter))
        })
    }

    fn totals(&self) -> Totals {
        let balance = self.balance();
        let total = |metric| self.registry.family(metric).map_or(0, Family::total);
        let records = self.agent.observed().map_or(0, |observed| {
            observed.kernel_counter(Counter::RecordsSubmitted)
        });
        Totals {
            records,
            bytes: sum(&balance, "seen"),
            requests: total(Id::HttpRequestDuration),
            executions: total(Id::DatabaseQueryDuration) + total(Id::DatabaseExecutionsUntimed),
            commands: total(Id::RedisCommands),
            lost_bytes: sum(&balance, "lost"),
        }
    }

    fn ledger(&self) -> Ledger {
        let balance = self.balance();
        Ledger {
            seen: sum(&balance, "seen"),
            decoded: sum(&balance, "decoded"),
            skipped: entries(&balance, "skipped"),
            lost: entries(&balance, "lost"),
            pending: balance.pending,
        }
    }

    fn records(&self, statistics: &Statistics) -> Vec<Stage> {
        let submitted = self.agent.observed().map(|observed| {
            let count = observed.kernel_counter(Counter::RecordsSubmitted);
            ("kernel", count)
        });
        let facts = self.registry.statistics.facts.load(Ordering::Relaxed);
        let mut stages: Vec<Stage> = Vec::new();
        let rows = submitted.into_iter().chain(statistics.records.clone());
        for (stage, count) in rows.chain([("export", facts)]) {
            match stages.iter_mut().find(|known| known.stage == stage) {
                Some(known) => known.count += count,
                None => stages.push(Stage {
                    stage: stage.to_owned(),
                    count,
                }),
            }
        }
        stages
    }

    fn errors(&self, statistics: &Statistics) -> Vec<Trouble> {
        let errors = self.agent.errors(&self.registry, statistics);
        let history = self.history();
        let troubles = errors.into_iter().map(|(stage, kind, count)| Trouble {
            stage: stage.to_owned(),
            kind: kind.to_owned(),
            count,
            last_seconds: history
                .last(stage, kind)
                .map(|last| clock::unix_seconds_of(last).floor()),
        });
        troubles.collect()
    }
}

fn sum(balance: &Balance, outcome: &str) -> u64 {
    let rows = balance.rows.iter().filter(|row| row.0 == outcome);
    rows.map(|row| row.3).sum()
}

fn entries(balance: &Balance, outcome: &str) -> Vec<Entry> {
    let rows = balance.rows.iter().filter(|row| row.0 == outcome);
    rows.map(|(_, stage, reason, bytes)| Entry {
        stage: (*stage).to_owned(),
        reason: (*reason).to_owned(),
        bytes: *bytes,
    })
    .collect()
}

fn selection(statistics: &Statistics) -> Vec<Selected> {
    let cgroups = statistics.selection.iter();
    cgroups
        .map(|cgroup| Selected {
            cgroup: cgroup.display().to_string(),
            present: cgroup.is_dir(),
        })
        .collect()
}

fn machine(statistics: &Statistics) -> Vec<Fact> {
    let facts = statistics.machine.iter();
    facts
        .map(|fact| Fact {
            name: fact.name.to_owned(),
            found: fact.found.clone(),
            met: fact.met,
        })
        .collect()
}

fn probes(statistics: &Statistics) -> Vec<Probe> {
    let probes = statistics.probes.iter();
    probes
        .map(|probe| Probe {
            name: probe.name.to_owned(),
            required: probe.required,
            attached: probe.missing.is_none(),
            missing: probe.missing.as_deref().map(str::to_owned),
            without: probe.without.to_owned(),
        })
        .collect()
}

fn rings(statistics: &Statistics) -> Vec<Ring> {
    let rings = statistics.rings.iter();
    rings
        .map(|ring| Ring {
            used_bytes: ring.used,
            size_bytes: ring.size,
        })
        .collect()
}

fn maps(statistics: &Statistics) -> Vec<Map> {
    let maps = statistics.maps.iter();
    maps.map(|(name, bytes)| Map {
        name: name.clone(),
        bytes: *bytes,
    })
    .collect()
}

fn series(registry: &Registry) -> Series {
    let statistics = &registry.statistics;
    let families = registry.families().iter();
    let metrics = families.map(|family| Metric {
        name: family.row.name.to_owned(),
        lines: family.lines.load(Ordering::Relaxed),
        lines_limit: family.lines_limit,
        overflow: family.overflow.load(Ordering::Relaxed),
        removed: family.removed.load(Ordering::Relaxed),
    });
    Series {
        lines: registry.lines(),
        lines_limit: registry.lines_limit,
        label_values: statistics.label_values.load(Ordering::Relaxed),
        label_values_refused: statistics.label_values_refused.load(Ordering::Relaxed),
        metrics: metrics
            .filter(|metric| metric.lines > 0 || metric.removed > 0)
            .collect(),
    }
}
