//! What node-exporter says of a machine, under the same names: tables of `/proc` and `/sys`, read at
//! the scrape, under roots that may be a host's seen from a container, or a fixture's.
//!
//! ```text
//!   /proc /sys ── a Collector each ──▶ Families ──▶ export
//! ```
//!
//! The `procfs` crate reads the tables that it reads completely: disks, mounts, network devices,
//! sockets, virtual memory. It keeps neither the numbers of processors nor lines it does not know,
//! rounds load averages, and panics on short lines of others; those tables are read here.
//!
//! A table that is not there is a collector without success, as one that cannot be read; of a table
//! with lines that are not understood the others are shown. No collector holds up a scrape: see
//! `patience`.
#![deny(unsafe_code)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::export::families::{Families, Source, Type};
use host::{Failure, Host};
use patience::{Limits, Patience, Work};
use settings::Filters;

mod arp;
mod bonding;
mod build;
mod collectors;
mod conntrack;
mod cooling;
mod cpu;
mod cpufreq;
mod disk;
mod dmi;
pub mod document;
mod entropy;
mod filefd;
pub(crate) mod filesystem;
pub(crate) mod host;
mod hwmon;
mod load;
mod md;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
mod os;
pub(crate) mod patience;
pub(crate) mod pressure;
mod process;
mod processes;
mod schedstat;
mod selinux;
mod settings;
mod sockstat;
mod softnet;
mod stat;
mod tables;
mod textfile;
mod time;
mod timex;
mod udp;
mod uname;
mod vmstat;

pub use collectors::{COLLECTORS, Collector};
pub use settings::{Fault, Settings};

/// The machine's metrics, as a scrape reads them.
#[derive(Debug)]
pub struct Node {
    machine: Arc<Machine>,
    collectors: Vec<&'static Collector>,
    limits: Limits,
    /// By the collector's name.
    patience: Patience<&'static str>,
    /// One scrape at a time; what each collector failed with last, to be said once.
    failures: Mutex<HashMap<&'static str, String>>,
}

/// What collectors read, and what they know from one scrape to the next.
#[derive(Debug)]
pub(in crate::node) struct Machine {
    host: Host,
    filters: Filters,
    textfiles: Option<PathBuf>,
    processors: Mutex<cpu::Guard>,
    /// `/proc/stat`, left by one of its collectors for the other: it is long where there are many
    /// interrupts, and the kernel sums it up anew for each who reads it.
    stat: Mutex<Option<String>>,
    netstat: Mutex<netstat::Known>,
    devices: Mutex<netclass::Kept>,
    mounts: filesystem::Mounts,
}

/// What a collector came to.
struct Outcome {
    seconds: f64,
    families: Families,
    result: Result<(), Failure>,
}

// === impl Node ===

impl Node {
    /// Of the machine under these roots.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(settings: &Settings) -> Result<Self, Fault> {
        let names =
            |list: &[String], collector: &Collector| list.iter().any(|name| name == collector.name);
        let runs = |collector: &&Collector| {
            (collector.on || names(&settings.enable, collector))
                && !names(&settings.disable, collector)
        };
        Ok(Self {
            machine: Arc::new(Machine {
                host: Host::new(settings),
                filters: settings.filters()?,
                textfiles: settings.textfiles.clone(),
                processors: Mutex::default(),
                stat: Mutex::default(),
                netstat: Mutex::default(),
                devices: Mutex::default(),
                mounts: filesystem::Mounts::new(settings.filesystem_timeout),
            }),
            collectors: COLLECTORS.iter().filter(runs).collect(),
            limits: Limits {
                each: settings.timeout,
                all: settings.timeout,
            },
            patience: Patience::default(),
            failures: Mutex::default(),
        })
    }

    /// Says why a collector has no success: once, and again when the reason is another.
    fn tell(
        told: &mut HashMap<&'static str, String>,
        collector: &'static str,
        result: Option<&Result<(), Failure>>,
    ) {
        let (is_trouble, why) = match result {
            Some(Ok(())) => {
                told.remove(collector);
                return;
            }
            Some(Err(failure)) => {
                let is_trouble = !matches!(failure, Failure::Absent(_));
                (is_trouble, failure.to_string())
            }
            None => (true, "it takes too long".to_owned()),
        };
        if told.get(collector) != Some(&why) {
            if is_trouble {
                tracing::warn!(
                    collector,
                    why,
                    "a table of the machine is not shown as a whole"
                );
            } else {
                tracing::debug!(collector, why, "this machine has no such table");
            }
            told.insert(collector, why);
        }
    }
}

impl Source for Node {
    fn read(&self, families: &mut Families) {
        let mut told = lock(&self.failures);
        let machine = Arc::clone(&self.machine);
        let work: Work<&'static str, Option<Outcome>> =
            Arc::new(move |name| Collector::named(name).map(|it| it.run(&machine)));
        let names = self.collectors.iter().map(|collector| collector.name);
        let mut scrapes = Vec::new();
        self.patience
            .work(names, self.limits, &work, |collector, answer| {
                let answer = answer.flatten();
                let result = answer.as_ref().map(|outcome| &outcome.result);
                Self::tell(&mut told, collector, result);
                let success = matches!(result, Some(Ok(())));
                let seconds = answer.as_ref().map(|outcome| outcome.seconds);
                scrapes.push((collector, seconds, success));
                if let Some(outcome) = answer {
                    families.append(outcome.families);
                }
            });
        let mut durations = families.family(
            "node_scrape_collector_duration_seconds",
            Type::Gauge,
            "How long a collector took; nothing of one that was not waited for.",
        );
        for (collector, seconds, _) in &scrapes {
            if let Some(seconds) = seconds {
                durations.put(&[("collector", collector)], *seconds);
            }
        }
        let mut successes = families.family(
            "node_scrape_collector_success",
            Type::Gauge,
            "Whether a collector succeeded.",
        );
        for (collector, _, success) in scrapes {
            successes.put(&[("collector", collector)], f64::from(u8::from(success)));
        }
    }
}

// === impl Collector ===

impl Collector {
    fn named(name: &str) -> Option<&'static Self> {
        COLLECTORS.iter().find(|collector| collector.name == name)
    }

    fn run(&self, machine: &Machine) -> Outcome {
        let started = clock::now();
        let mut families = Families::default();
        let result = (self.collect)(machine, &mut families);
        Outcome {
            seconds: clock::now().seconds_since(started),
            families,
            result,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
