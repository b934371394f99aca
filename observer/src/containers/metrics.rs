//! Every metric, in one table: what is read, the page and the tests come from it.

use procfs::net::DeviceStatus;

use super::cgroup::Disk;
use super::processes::Processes;
use crate::export::families::Type;
use crate::export::families::Type::{Counter, Gauge};
use crate::node::host::float;

/// A row of [`METRICS`]. A name may have several, with other labels.
#[derive(Debug)]
pub struct Metric {
    /// cAdvisor's name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// What it says.
    pub help: &'static str,
    /// Labels beside those of the cgroup that are the same for all its samples.
    pub labels: &'static [(&'static str, &'static str)],
    /// Where its value comes from.
    pub(super) from: Origin,
}

/// Where a value comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// Files of the cgroup: of version 1 where it has them, else of version 2.
    Files {
        v2: Figure,
        v1: Figure,
        /// Whether it means nothing where the cgroup has no CPU quota.
        quota: bool,
    },
    /// Of each disk, what this operation came to.
    Disks(fn(&Disk) -> &[(&'static str, f64)], &'static str),
    /// Of each disk, the bytes of every operation.
    Operations,
    /// Of each network device of a pod or container that has a network of its own.
    Network(fn(&DeviceStatus) -> u64),
    /// Its processes, those of cgroups below included; where that is read.
    Processes(&'static str, fn(&Processes) -> Option<f64>),
    /// The time.
    Clock,
}

/// What of a cgroup's files a value is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) of: Of,
    /// How many of the file's units are one of the metric's.
    pub(super) per: f64,
}

/// A part of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Nothing,
    /// All of it. `max`, and what is more than any memory, is 0.
    Number(&'static str),
    /// What stands behind a word at a line's beginning.
    Field(&'static str, &'static str),
    /// One of its words. `max` is none.
    Word(&'static str, usize),
    /// A number less the field of another file, not below 0.
    Less(&'static str, &'static str, &'static str),
    /// The total of the line `some` or `full` of a file of pressure.
    Stalled(&'static str, &'static str),
    /// A weight as shares of version 1, by the formula that the kubelet uses the other way round.
    Weight(&'static str),
}

impl Figure {
    /// In units of which so many are one.
    const fn per(self, per: f64) -> Self {
        Self { of: self.of, per }
    }
}

const fn of(of: Of) -> Figure {
    Figure { of, per: 1.0 }
}

const fn number(file: &'static str) -> Figure {
    of(Of::Number(file))
}

const fn field(file: &'static str, word: &'static str) -> Figure {
    of(Of::Field(file, word))
}

const fn row(name: &'static str, kind: Type, help: &'static str, from: Origin) -> Metric {
    Metric {
        name,
        kind,
        help,
        labels: &[],
        from,
    }
}

const fn files(
    name: &'static str,
    kind: Type,
    help: &'static str,
    v2: Figure,
    v1: Figure,
) -> Metric {
    let quota = false;
    row(name, kind, help, Origin::Files { v2, v1, quota })
}

const fn quota(
    name: &'static str,
    kind: Type,
    help: &'static str,
    v2: Figure,
    v1: Figure,
) -> Metric {
    let quota = true;
    row(name, kind, help, Origin::Files { v2, v1, quota })
}

/// Seconds that a file of pressure tells; version 1 has none, and a hybrid host has them in 2.
const fn stalled(
    name: &'static str,
    help: &'static str,
    file: &'static str,
    word: &'static str,
) -> Metric {
    let v2 = of(Of::Stalled(file, word)).per(MICROSECONDS);
    files(name, Counter, help, v2, of(Of::Nothing))
}

const fn failures(
    labels: &'static [(&'static str, &'static str)],
    v2: &'static str,
    v1: &'static str,
) -> Metric {
    let (name, help) = (
        "container_memory_failures_total",
        "Cumulative count of memory allocation failures.",
    );
    let (v2, v1) = (field("memory.stat", v2), field("memory.stat", v1));
    Metric {
        labels,
        ..files(name, Counter, help, v2, v1)
    }
}

const MICROSECONDS: f64 = 1e6;
const NANOSECONDS: f64 = 1e9;
/// `USER_HZ`: the same on every architecture that BPF programs run on.
const TICKS: f64 = 100.0;

/// Where a cgroup's CPU quota is, in version 2 and in 1.
pub(super) const QUOTA: (Figure, Figure) = (
    of(Of::Word("cpu.max", 0)),
    of(Of::Word("cpu.cfs_quota_us", 0)),
);

/// Every metric of a cgroup.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    Metric { labels: &[("cpu", "total")], ..files("container_cpu_usage_seconds_total", Counter, "Cumulative cpu time consumed in seconds.", field("cpu.stat", "usage_usec").per(MICROSECONDS), number("cpuacct.usage").per(NANOSECONDS)) },
    files("container_cpu_user_seconds_total", Counter, "Cumulative user cpu time consumed in seconds.", field("cpu.stat", "user_usec").per(MICROSECONDS), field("cpuacct.stat", "user").per(TICKS)),
    files("container_cpu_system_seconds_total", Counter, "Cumulative system cpu time consumed in seconds.", field("cpu.stat", "system_usec").per(MICROSECONDS), field("cpuacct.stat", "system").per(TICKS)),
    quota("container_cpu_cfs_periods_total", Counter, "Number of elapsed enforcement period intervals.", field("cpu.stat", "nr_periods"), field("cpu.stat", "nr_periods")),
    quota("container_cpu_cfs_throttled_periods_total", Counter, "Number of throttled period intervals.", field("cpu.stat", "nr_throttled"), field("cpu.stat", "nr_throttled")),
    quota("container_cpu_cfs_throttled_seconds_total", Counter, "Total time duration the container has been throttled.", field("cpu.stat", "throttled_usec").per(MICROSECONDS), field("cpu.stat", "throttled_time").per(NANOSECONDS)),
    quota("container_cpu_cfs_burst_periods_total", Counter, "Number of periods when burst occurs.", field("cpu.stat", "nr_bursts"), field("cpu.stat", "nr_bursts")),
    quota("container_cpu_cfs_burst_seconds_total", Counter, "Total time duration the container has been bursted.", field("cpu.stat", "burst_usec").per(MICROSECONDS), field("cpu.stat", "burst_time").per(NANOSECONDS)),
    quota("container_spec_cpu_quota", Gauge, "CPU quota of the container.", QUOTA.0, QUOTA.1),
    files("container_spec_cpu_period", Gauge, "CPU period of the container.", of(Of::Word("cpu.max", 1)), number("cpu.cfs_period_us")),
    files("container_spec_cpu_shares", Gauge, "CPU share of the container.", of(Of::Weight("cpu.weight")), number("cpu.shares")),
    files("container_memory_usage_bytes", Gauge, "Current memory usage in bytes, including all memory regardless of when it was accessed", number("memory.current"), number("memory.usage_in_bytes")),
    files("container_memory_working_set_bytes", Gauge, "Current working set in bytes.", of(Of::Less("memory.current", "memory.stat", "inactive_file")), of(Of::Less("memory.usage_in_bytes", "memory.stat", "total_inactive_file"))),
    files("container_memory_rss", Gauge, "Size of RSS in bytes.", field("memory.stat", "anon"), field("memory.stat", "total_rss")),
    files("container_memory_cache", Gauge, "Number of bytes of page cache memory.", field("memory.stat", "file"), field("memory.stat", "total_cache")),
    files("container_memory_mapped_file", Gauge, "Size of memory mapped files in bytes.", field("memory.stat", "file_mapped"), field("memory.stat", "total_mapped_file")),
    files("container_memory_swap", Gauge, "Container swap usage in bytes.", number("memory.swap.current"), field("memory.stat", "total_swap")),
    files("container_memory_kernel_usage", Gauge, "Size of kernel memory allocated in bytes.", field("memory.stat", "kernel"), number("memory.kmem.usage_in_bytes")),
    files("container_memory_total_active_file_bytes", Gauge, "Current total active file in bytes.", field("memory.stat", "active_file"), field("memory.stat", "total_active_file")),
    files("container_memory_total_inactive_file_bytes", Gauge, "Current total inactive file in bytes.", field("memory.stat", "inactive_file"), field("memory.stat", "total_inactive_file")),
    files("container_memory_max_usage_bytes", Gauge, "Maximum memory usage recorded in bytes", number("memory.peak"), number("memory.max_usage_in_bytes")),
    files("container_memory_failcnt", Counter, "Number of memory usage hits limits", field("memory.events", "max"), number("memory.failcnt")),
    failures(&[("failure_type", "pgfault"), ("scope", "container")], "pgfault", "pgfault"),
    failures(&[("failure_type", "pgmajfault"), ("scope", "container")], "pgmajfault", "pgmajfault"),
    failures(&[("failure_type", "pgfault"), ("scope", "hierarchy")], "pgfault", "total_pgfault"),
    failures(&[("failure_type", "pgmajfault"), ("scope", "hierarchy")], "pgmajfault", "total_pgmajfault"),
    files("container_spec_memory_limit_bytes", Gauge, "Memory limit for the container.", number("memory.max"), number("memory.limit_in_bytes")),
    files("container_spec_memory_swap_limit_bytes", Gauge, "Memory swap limit for the container.", number("memory.swap.max"), number("memory.memsw.limit_in_bytes")),
    files("container_spec_memory_reservation_limit_bytes", Gauge, "Memory reservation limit for the container.", number("memory.min"), number("memory.soft_limit_in_bytes")),
    files("container_oom_events_total", Counter, "Count of out of memory events observed for the container", field("memory.events", "oom_kill"), field("memory.oom_control", "oom_kill")),
    row("container_fs_reads_bytes_total", Counter, "Cumulative count of bytes read", Origin::Disks(Disk::bytes, "Read")),
    row("container_fs_writes_bytes_total", Counter, "Cumulative count of bytes written", Origin::Disks(Disk::bytes, "Write")),
    row("container_fs_reads_total", Counter, "Cumulative count of reads completed", Origin::Disks(Disk::operations, "Read")),
    row("container_fs_writes_total", Counter, "Cumulative count of writes completed", Origin::Disks(Disk::operations, "Write")),
    row("container_blkio_device_usage_total", Counter, "Blkio Device bytes usage", Origin::Operations),
    row("container_processes", Gauge, "Number of processes running inside the container.", Origin::Processes("`cgroup.procs`", |of| of.count.map(float))),
    row("container_file_descriptors", Gauge, "Number of open file descriptors for the container.", Origin::Processes("`/proc/<pid>/fd`", |of| of.files.map(float))),
    files("container_threads", Gauge, "Number of threads running inside the container", number("pids.current"), number("pids.current")),
    files("container_threads_max", Gauge, "Maximum number of threads allowed inside the container, infinity if value is zero", number("pids.max"), number("pids.max")),
    row("container_start_time_seconds", Gauge, "Start time of the container since unix epoch in seconds.", Origin::Processes("`/proc/<pid>/stat` of its first process", |of| of.began)),
    row("container_last_seen", Gauge, "Last time a container was seen by the exporter", Origin::Clock),
    stalled("container_pressure_cpu_waiting_seconds_total", "Total time duration tasks in the container have waited due to CPU congestion.", "cpu.pressure", "some"),
    stalled("container_pressure_cpu_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to CPU congestion.", "cpu.pressure", "full"),
    stalled("container_pressure_memory_waiting_seconds_total", "Total time duration tasks in the container have waited due to memory congestion.", "memory.pressure", "some"),
    stalled("container_pressure_memory_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to memory congestion.", "memory.pressure", "full"),
    stalled("container_pressure_io_waiting_seconds_total", "Total time duration tasks in the container have waited due to IO congestion.", "io.pressure", "some"),
    stalled("container_pressure_io_stalled_seconds_total", "Total time duration no tasks in the container could make progress due to IO congestion.", "io.pressure", "full"),
    row("container_network_receive_bytes_total", Counter, "Cumulative count of bytes received", Origin::Network(|device| device.recv_bytes)),
    row("container_network_receive_packets_total", Counter, "Cumulative count of packets received", Origin::Network(|device| device.recv_packets)),
    row("container_network_receive_packets_dropped_total", Counter, "Cumulative count of packets dropped while receiving", Origin::Network(|device| device.recv_drop)),
    row("container_network_receive_errors_total", Counter, "Cumulative count of errors encountered while receiving", Origin::Network(|device| device.recv_errs)),
    row("container_network_transmit_bytes_total", Counter, "Cumulative count of bytes transmitted", Origin::Network(|device| device.sent_bytes)),
    row("container_network_transmit_packets_total", Counter, "Cumulative count of packets transmitted", Origin::Network(|device| device.sent_packets)),
    row("container_network_transmit_packets_dropped_total", Counter, "Cumulative count of packets dropped while transmitting", Origin::Network(|device| device.sent_drop)),
    row("container_network_transmit_errors_total", Counter, "Cumulative count of errors encountered while transmitting", Origin::Network(|device| device.sent_errs)),
];
