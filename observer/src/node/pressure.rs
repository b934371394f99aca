//! How long work stood still for want of something.

use super::host::{Failure, number, understood};
use super::{Families, Machine};

/// File, first word of the line, family, help.
const LINES: &[(&str, &str, &str, &str)] = &[
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    for file in ["cpu", "io", "memory"] {
        let path = machine.host.proc("pressure").join(file);
        let text = machine.host.table(&path)?;
        for (_, word, name, help) in LINES.iter().filter(|(of, ..)| *of == file) {
            let Some(seconds) = stalled(&text, word) else {
                return Err(Failure::Garbage(path));
            };
            families.counter(*name, help, seconds);
        }
        understood(text.lines().count() <= 2, path)?;
    }
    Ok(())
}

/// `some avg10=0.31 avg60=0.22 avg300=0.17 total=14576427460`, in microseconds.
pub(crate) fn stalled(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    let (_, total) = line.split_once(" total=")?;
    number(total).map(|micros| micros / 1e6)
}
