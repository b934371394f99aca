//! Counts of the whole machine: interrupts, switches, forks, processes.

use super::host::{Failure, number, understood};
use super::{Families, Machine, Type, lock};

/// First word of the line, family, type, help.
const LINES: &[(&str, &str, Type, &str)] = &[
    (
        "intr",
        "node_intr_total",
        Type::Counter,
        "Total number of interrupts serviced.",
    ),
    (
        "ctxt",
        "node_context_switches_total",
        Type::Counter,
        "Total number of context switches.",
    ),
    (
        "processes",
        "node_forks_total",
        Type::Counter,
        "Total number of forks.",
    ),
    (
        "btime",
        "node_boot_time_seconds",
        Type::Gauge,
        "Node boot time, in unixtime.",
    ),
    (
        "procs_running",
        "node_procs_running",
        Type::Gauge,
        "Number of processes in runnable state.",
    ),
    (
        "procs_blocked",
        "node_procs_blocked",
        Type::Gauge,
        "Number of processes blocked waiting for I/O to complete.",
    ),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("stat");
    let left = lock(&machine.stat).take();
    let text = match left {
        Some(text) => text,
        None => machine.host.table(&path)?,
    };
    let mut all = true;
    for line in text.lines() {
        let Some((word, rest)) = line.split_once(' ') else {
            continue;
        };
        let row = LINES.iter().find(|(of, ..)| *of == word);
        let Some((_, name, kind, help)) = row else {
            continue;
        };
        match rest.split_ascii_whitespace().next().and_then(number) {
            Some(value) => families.family(*name, *kind, help).put(&[], value),
            None => all = false,
        }
    }
    understood(all, path)
}

/// Ticks as seconds: the kernel has told user space hundredths on every machine since 2.6.
pub(super) fn seconds(ticks: &str) -> Option<f64> {
    number(ticks).map(|ticks| ticks / 100.0)
}
