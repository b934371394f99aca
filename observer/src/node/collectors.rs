//! Every collector, in one table: what runs, the settings, the page and the tests come from it.

use super::host::Failure;
use super::{
    Families, Machine, arp, bonding, build, conntrack, cooling, cpu, cpufreq, disk, dmi, entropy,
    filefd, filesystem, hwmon, load, md, meminfo, netclass, netdev, netstat, os, pressure, process,
    processes, schedstat, selinux, sockstat, softnet, stat, textfile, time, timex, udp, uname,
    vmstat,
};

/// A row of [`COLLECTORS`].
#[derive(Debug)]
pub struct Collector {
    /// Its name; node-exporter's, where that has one.
    pub name: &'static str,
    /// What it reads.
    pub reads: &'static str,
    /// Its families; `*` stands for what the kernel calls them.
    pub families: &'static [&'static str],
    /// Whether it runs unless it is disabled.
    pub on: bool,
    /// Puts what it reads; what it could not is the failure.
    pub(super) collect: fn(&Machine, &mut Families) -> Result<(), Failure>,
}

const fn row(
    name: &'static str,
    reads: &'static str,
    families: &'static [&'static str],
    collect: fn(&Machine, &mut Families) -> Result<(), Failure>,
) -> Collector {
    Collector {
        name,
        reads,
        families,
        on: true,
        collect,
    }
}

/// Every collector.
#[rustfmt::skip]
pub const COLLECTORS: &[Collector] = &[
    row("arp", "`/proc/net/arp`", &["node_arp_entries"], arp::collect),
    row("bonding", "`/sys/class/net/*/bonding`", &["node_bonding_*"], bonding::collect),
    row("build", "nothing", &["node_exporter_build_info"], build::collect),
    row("conntrack", "`/proc/sys/net/netfilter`, `/proc/net/stat/nf_conntrack`", &["node_nf_conntrack_*"], conntrack::collect),
    row("cooling_device", "`/sys/class/thermal/cooling_device*`", &["node_cooling_device_*"], cooling::devices),
    row("cpu", "`/proc/stat`, `/sys/devices/system/cpu`", &["node_cpu_*"], cpu::collect),
    row("cpufreq", "`/sys/devices/system/cpu/cpu*/cpufreq`", &["node_cpu_frequency_*", "node_cpu_scaling_*"], cpufreq::collect),
    row("diskstats", "`/proc/diskstats`, `/run/udev/data`", &["node_disk_*"], disk::collect),
    row("dmi", "`/sys/class/dmi/id`", &["node_dmi_info"], dmi::collect),
    row("entropy", "`/proc/sys/kernel/random`", &["node_entropy_*"], entropy::collect),
    row("filefd", "`/proc/sys/fs/file-nr`", &["node_filefd_*"], filefd::collect),
    row("filesystem", "`/proc/1/mountinfo`, `statfs`", &["node_filesystem_*"], filesystem::collect),
    row("hwmon", "`/sys/class/hwmon`", &["node_hwmon_*"], hwmon::collect),
    row("loadavg", "`/proc/loadavg`", &["node_load1", "node_load5", "node_load15"], load::collect),
    row("mdadm", "`/proc/mdstat`", &["node_md_*"], md::collect),
    row("meminfo", "`/proc/meminfo`", &["node_memory_*"], meminfo::collect),
    row("netclass", "`/sys/class/net`", &["node_network_*"], netclass::collect),
    row("netdev", "`/proc/net/dev`, `/sys/class/net/*/statistics`", &["node_network_receive_*", "node_network_transmit_*"], netdev::collect),
    row("netstat", "`/proc/net/netstat`, `/proc/net/snmp`, `/proc/net/snmp6`", &["node_netstat_*"], netstat::collect),
    row("os", "`/etc/os-release`, `/usr/lib/os-release`", &["node_os_*"], os::collect),
    row("pressure", "`/proc/pressure`", &["node_pressure_*"], pressure::collect),
    row("process", "`/proc/self`: the agent itself", &["process_*"], process::collect),
    Collector { on: false, ..row("processes", "`/proc/*/stat`", &["node_processes_*"], processes::collect) },
    row("schedstat", "`/proc/schedstat`", &["node_schedstat_*"], schedstat::collect),
    row("selinux", "`/sys/fs/selinux`", &["node_selinux_*"], selinux::collect),
    row("sockstat", "`/proc/net/sockstat`, `/proc/net/sockstat6`", &["node_sockstat_*"], sockstat::collect),
    row("softnet", "`/proc/net/softnet_stat`", &["node_softnet_*"], softnet::collect),
    row("stat", "`/proc/stat`", &["node_boot_time_seconds", "node_context_switches_total", "node_forks_total", "node_intr_total", "node_procs_*"], stat::collect),
    row("textfile", "`node.textfiles`: files that end in `.prom`", &["node_textfile_*", "*"], textfile::collect),
    row("thermal_zone", "`/sys/class/thermal/thermal_zone*`", &["node_thermal_zone_temp"], cooling::zones),
    row("time", "the clock, `/sys/devices/system/clocksource`", &["node_time_*"], time::collect),
    row("timex", "`adjtimex`", &["node_timex_*"], timex::collect),
    row("udp_queues", "`/proc/net/udp`, `/proc/net/udp6`", &["node_udp_queues"], udp::collect),
    row("uname", "`uname`", &["node_uname_info"], uname::collect),
    row("vmstat", "`/proc/vmstat`", &["node_vmstat_*"], vmstat::collect),
];
