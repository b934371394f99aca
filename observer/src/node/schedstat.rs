//! How long processors ran tasks, and let them wait.

use super::host::{Failure, number, understood};
use super::{Families, Machine, Type};

/// Family, column after the processor, divisor, help.
const COLUMNS: &[(&str, usize, f64, &str)] = &[
    (
        "node_schedstat_running_seconds_total",
        6,
        1e9,
        "Number of seconds CPU spent running a process.",
    ),
    (
        "node_schedstat_waiting_seconds_total",
        7,
        1e9,
        "Number of seconds spent by processing waiting for this CPU.",
    ),
    (
        "node_schedstat_timeslices_total",
        8,
        1.0,
        "Number of timeslices executed by CPU.",
    ),
];

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("schedstat");
    let text = machine.host.table(&path)?;
    let mut all = true;
    for line in text.lines() {
        let Some((processor, columns)) = line
            .strip_prefix("cpu")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let columns: Vec<&str> = columns.split_ascii_whitespace().collect();
        for (name, column, divisor, help) in COLUMNS {
            match columns.get(*column).copied().and_then(number) {
                Some(value) => {
                    let mut samples = families.family(*name, Type::Counter, help);
                    samples.put(&[("cpu", processor)], value / divisor);
                }
                None => all = false,
            }
        }
    }
    understood(all, path)
}
