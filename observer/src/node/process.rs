//! The agent itself, under the names that dashboards of exporters ask for.

use std::io;
use std::sync::OnceLock;

use procfs::process::{LimitValue, Process};
use procfs::{ProcError, boot_time_secs, page_size, ticks_per_second};

use super::host::{Failure, float};
use super::{Families, Machine};

pub(super) fn collect(_: &Machine, families: &mut Families) -> Result<(), Failure> {
    put(families).map_err(|error| Failure::Refused("/proc/self", io::Error::other(error)))
}

fn put(families: &mut Families) -> Result<(), ProcError> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let seconds = |ticks: u64| float(ticks) / float(ticks_per_second());
    families.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        seconds(stat.utime.saturating_add(stat.stime)),
    );
    let mut gauge = |name, help, value| families.gauge(name, help, value);
    gauge(
        "process_virtual_memory_bytes",
        "Virtual memory size in bytes.",
        float(stat.vsize),
    );
    gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        float(stat.rss.saturating_mul(page_size())),
    );
    gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        start_time(seconds(stat.starttime))?,
    );
    let limits = process.limits()?;
    gauge(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        limit(&limits.max_open_files.soft_limit),
    );
    gauge(
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory available in bytes.",
        limit(&limits.max_address_space.soft_limit),
    );
    let open = u64::try_from(process.fd_count()?).unwrap_or(u64::MAX);
    gauge(
        "process_open_fds",
        "Number of open file descriptors.",
        float(open),
    );
    Ok(())
}

/// Asked for once: the kernel sums up a long table to tell when it was booted.
fn start_time(after_boot: f64) -> Result<f64, ProcError> {
    static TIME: OnceLock<f64> = OnceLock::new();
    if let Some(time) = TIME.get() {
        return Ok(*time);
    }
    let time = float(boot_time_secs()?) + after_boot;
    Ok(*TIME.get_or_init(|| time))
}

/// No limit is the largest number there is, as in the kernel.
fn limit(limit: &LimitValue) -> f64 {
    match limit {
        LimitValue::Unlimited => float(u64::MAX),
        LimitValue::Value(value) => float(*value),
    }
}
