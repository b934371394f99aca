//! Where the processors' time goes, and how often they were slowed down.

use std::collections::{BTreeSet, HashMap};

use super::host::{Failure, attribute, figure, understood};
use super::stat::seconds;
use super::{Families, Machine, Type, lock};

/// Columns of a processor in `/proc/stat`; the last two are part of `user` and `nice`.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
const IDLE: usize = 3;
const COLUMNS: usize = 10;
/// How far idle time falls where a processor was taken away and came back.
const RESTART: f64 = 3.0;

type Columns = [f64; COLUMNS];

/// What each processor's times were: the kernel lets some of them fall a little between two reads
/// (idle and iowait where a tick is accounted twice), which a counter must not.
#[derive(Debug, Default)]
pub(super) struct Guard(HashMap<String, Columns>);

impl Guard {
    /// The times as they may be shown.
    fn pass(&mut self, processor: &str, now: Columns) -> Columns {
        let Some(last) = self.0.get_mut(processor) else {
            self.0.insert(processor.to_owned(), now);
            return now;
        };
        if last[IDLE] - now[IDLE] >= RESTART {
            // It began anew, all of it.
            *last = now;
        }
        for (last, now) in last.iter_mut().zip(now) {
            *last = last.max(now);
        }
        *last
    }
}

pub(super) fn collect(machine: &Machine, families: &mut Families) -> Result<(), Failure> {
    let path = machine.host.proc("stat");
    let text = machine.host.table(&path)?;
    let mut all = true;
    let mut processors = Vec::new();
    let mut guard = lock(&machine.processors);
    for line in text.lines() {
        let Some((number, columns)) = line
            .strip_prefix("cpu")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        if number.is_empty() {
            // The sum of all.
            continue;
        }
        match times(columns) {
            Some(times) => processors.push((number, guard.pass(number, times))),
            None => all = false,
        }
    }
    drop(guard);
    times_into(families, &processors);
    throttles(machine, families);
    isolated(machine, families);
    *lock(&machine.stat) = Some(text);
    understood(all, path)
}

/// Old kernels have fewer columns.
fn times(columns: &str) -> Option<Columns> {
    let mut times = [0.0; COLUMNS];
    let mut count = 0;
    for (time, text) in times.iter_mut().zip(columns.split_ascii_whitespace()) {
        *time = seconds(text)?;
        count += 1;
    }
    (count > IDLE).then_some(times)
}

fn times_into(families: &mut Families, processors: &[(&str, Columns)]) {
    let mut samples = families.family(
        "node_cpu_seconds_total",
        Type::Counter,
        "Seconds the CPUs spent in each mode.",
    );
    for (processor, times) in processors {
        for (mode, seconds) in MODES.into_iter().zip(times) {
            samples.put(&[("cpu", processor), ("mode", mode)], *seconds);
        }
    }
    let mut samples = families.family(
        "node_cpu_guest_seconds_total",
        Type::Counter,
        "Seconds the CPUs spent in guests (VMs) for each mode.",
    );
    for (processor, times) in processors {
        let guests = times.iter().skip(MODES.len());
        for (mode, seconds) in ["user", "nice"].into_iter().zip(guests) {
            samples.put(&[("cpu", processor), ("mode", mode)], *seconds);
        }
    }
}

fn throttles(machine: &Machine, families: &mut Families) {
    let mut seen = BTreeSet::new();
    for (_, directory) in machine.host.processors().unwrap_or_default() {
        // Few machines count this: it is looked for first.
        let Some(core_count) = figure(&directory.join("thermal_throttle/core_throttle_count"))
        else {
            continue;
        };
        let topology = |file| attribute(&directory.join("topology").join(file));
        let (Some(package), Some(core)) = (topology("physical_package_id"), topology("core_id"))
        else {
            continue;
        };
        // Threads of a core, and cores of a package, count the same.
        if seen.insert((package.clone(), Some(core.clone()))) {
            let mut samples = families.family(
                "node_cpu_core_throttles_total",
                Type::Counter,
                "Number of times this CPU core has been throttled.",
            );
            samples.put(&[("core", &core), ("package", &package)], core_count);
        }
        let package_count = figure(&directory.join("thermal_throttle/package_throttle_count"));
        if let Some(count) = package_count
            && seen.insert((package.clone(), None))
        {
            let mut samples = families.family(
                "node_cpu_package_throttles_total",
                Type::Counter,
                "Number of times this CPU package has been throttled.",
            );
            samples.put(&[("package", &package)], count);
        }
    }
}

/// Processors that the scheduler leaves alone, a list of numbers and ranges.
fn isolated(machine: &Machine, families: &mut Families) {
    let ranges = attribute(&machine.host.sys("devices/system/cpu/isolated"));
    let mut samples = families.family(
        "node_cpu_isolated",
        Type::Gauge,
        "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
    );
    for range in ranges.unwrap_or_default().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            for processor in first..=last {
                samples.put(&[("cpu", &processor.to_string())], 1.0);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "what passes is not calculated with")]
mod tests {
    use super::*;

    fn columns(user: f64, idle: f64) -> Columns {
        let mut columns = [0.0; COLUMNS];
        columns[0] = user;
        columns[IDLE] = idle;
        columns
    }

    #[test]
    fn a_time_that_falls_stays_where_it_was_unless_the_processor_began_anew() {
        let mut guard = Guard::default();
        let cases = [
            (columns(10.0, 100.0), columns(10.0, 100.0)),
            (columns(11.0, 99.5), columns(11.0, 100.0)),
            (columns(10.5, 101.0), columns(11.0, 101.0)),
            // Taken away and brought back: everything may fall.
            (columns(0.5, 2.0), columns(0.5, 2.0)),
            (columns(1.0, 3.0), columns(1.0, 3.0)),
        ];
        for (now, expected) in cases {
            assert_eq!(guard.pass("0", now), expected);
        }
        assert_eq!(guard.pass("1", columns(0.0, 0.0)), columns(0.0, 0.0));
    }
}
