//! A real Prometheus that scrapes the agent as job `node-exporter`, as kube-prometheus names it, with
//! rules as the node mixin has them: each has data.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::process::PATIENCE;
use observer_tests::prometheus::Prometheus;
use observer_tests::tree::Tree;

/// Recorded under this name.
const RECORDED: &[(&str, &str)] = &[
    (
        "instance:cpus:count",
        r#"count without (cpu, mode) (node_cpu_seconds_total{job="node-exporter",mode="idle"})"#,
    ),
    (
        "instance:cpu_busy:ratio",
        r#"1 - avg without (cpu) (sum without (mode) (rate(node_cpu_seconds_total{job="node-exporter",mode=~"idle|iowait|steal"}[10s])))"#,
    ),
    (
        "instance:load_per_cpu:ratio",
        r#"node_load1{job="node-exporter"} / instance:cpus:count{job="node-exporter"}"#,
    ),
    (
        "instance:memory_used:ratio",
        r#"1 - (node_memory_MemAvailable_bytes{job="node-exporter"} or (node_memory_Buffers_bytes{job="node-exporter"} + node_memory_Cached_bytes{job="node-exporter"} + node_memory_MemFree_bytes{job="node-exporter"} + node_memory_Slab_bytes{job="node-exporter"})) / node_memory_MemTotal_bytes{job="node-exporter"}"#,
    ),
    (
        "instance:major_faults:rate",
        r#"rate(node_vmstat_pgmajfault{job="node-exporter"}[10s])"#,
    ),
    (
        "instance_device:disk_busy:rate",
        r#"rate(node_disk_io_time_seconds_total{job="node-exporter",device=~"(/dev/)?(mmcblk.p.+|nvme.+|rbd.+|sd.+|vd.+|xvd.+|dm-.+|md.+|dasd.+)"}[10s])"#,
    ),
    (
        "instance_device:disk_queue:rate",
        r#"rate(node_disk_io_time_weighted_seconds_total{job="node-exporter",device!=""}[10s])"#,
    ),
    (
        "instance:received_bytes:rate",
        r#"sum without (device) (rate(node_network_receive_bytes_total{job="node-exporter",device!="lo"}[10s]))"#,
    ),
    (
        "instance:sent_bytes:rate",
        r#"sum without (device) (rate(node_network_transmit_bytes_total{job="node-exporter",device!="lo"}[10s]))"#,
    ),
    (
        "instance:received_drops:rate",
        r#"sum without (device) (rate(node_network_receive_drop_total{job="node-exporter",device!="lo"}[10s]))"#,
    ),
    (
        "instance:sent_drops:rate",
        r#"sum without (device) (rate(node_network_transmit_drop_total{job="node-exporter",device!="lo"}[10s]))"#,
    ),
];

/// Alerts, and the comparison that is taken off to see whether they look at anything.
const ALERTS: &[(&str, &str)] = &[
    // The plan's "Resource Usage > 80 % for 10 minutes".
    ("instance:cpu_busy:ratio", "> 0.8"),
    ("instance:memory_used:ratio", "> 0.8"),
    (
        r#"1 - node_filesystem_avail_bytes{job="node-exporter",fstype!="",mountpoint!=""} / node_filesystem_size_bytes{job="node-exporter",fstype!="",mountpoint!=""}"#,
        "> 0.8",
    ),
    (
        r#"predict_linear(node_filesystem_avail_bytes{job="node-exporter",fstype!=""}[10s], 24*60*60) and node_filesystem_readonly{job="node-exporter",fstype!=""} == 0"#,
        "< 0",
    ),
    (
        r#"node_filesystem_files_free{job="node-exporter",fstype!=""} / node_filesystem_files{job="node-exporter",fstype!=""} * 100"#,
        "< 5",
    ),
    (
        r#"rate(node_network_receive_errs_total{job="node-exporter"}[10s]) / (rate(node_network_receive_packets_total{job="node-exporter"}[10s]) + 1)"#,
        "> 0.01",
    ),
    (
        r#"rate(node_network_transmit_errs_total{job="node-exporter"}[10s]) / (rate(node_network_transmit_packets_total{job="node-exporter"}[10s]) + 1)"#,
        "> 0.01",
    ),
    (
        r#"node_nf_conntrack_entries{job="node-exporter"} / node_nf_conntrack_entries_limit{job="node-exporter"}"#,
        "> 0.75",
    ),
    (r#"node_textfile_scrape_error{job="node-exporter"}"#, "== 1"),
    (
        r#"abs(node_timex_offset_seconds{job="node-exporter"}) + deriv(node_timex_offset_seconds{job="node-exporter"}[10s])"#,
        "> 0.05",
    ),
    (
        r#"min_over_time(node_timex_sync_status{job="node-exporter"}[10s])"#,
        "== 0",
    ),
    (
        r#"node_timex_maxerror_seconds{job="node-exporter"}"#,
        ">= 16",
    ),
    (
        r#"node_md_disks_required{job="node-exporter",device=~"md.+"} - ignoring (state) node_md_disks{state="active",job="node-exporter",device=~"md.+"}"#,
        "> 0",
    ),
    (
        r#"node_md_disks{state="failed",job="node-exporter",device=~"md.+"}"#,
        "> 0",
    ),
    (
        r#"node_filefd_allocated{job="node-exporter"} * 100 / node_filefd_maximum{job="node-exporter"}"#,
        "> 90",
    ),
    (
        r#"node_bonding_slaves{job="node-exporter"} - node_bonding_active{job="node-exporter"}"#,
        "> 0",
    ),
    (
        r#"increase(node_vmstat_oom_kill{job="node-exporter"}[10s])"#,
        "> 0",
    ),
    (
        r#"node_hwmon_temp_celsius{job="node-exporter"} / node_hwmon_temp_crit_celsius{job="node-exporter"}"#,
        "> 0.9",
    ),
    (
        r#"node_time_seconds{job="node-exporter"} - node_boot_time_seconds{job="node-exporter"}"#,
        "< 600",
    ),
    (
        r#"node_network_up{job="node-exporter"} * on (instance, device) group_left (operstate) node_network_info{job="node-exporter",operstate="up"}"#,
        "== 0",
    ),
    (
        r#"node_exporter_build_info{job="node-exporter"} * on (instance) group_left (nodename) node_uname_info{job="node-exporter"}"#,
        "== 0",
    ),
    (
        r#"node_scrape_collector_success{job="node-exporter",collector="filesystem"}"#,
        "== 0",
    ),
    (
        r#"rate(node_pressure_cpu_waiting_seconds_total{job="node-exporter"}[10s])"#,
        "> 0.5",
    ),
];

fn rules() -> String {
    let recorded = RECORDED.iter().map(|(name, expression)| {
        format!("      - record: {name}\n        expr: '{expression}'\n")
    });
    let alerts = ALERTS.iter().enumerate();
    let alerts = alerts.map(|(number, (expression, comparison))| {
        format!("      - alert: Alert{number}\n        expr: '({expression}) {comparison}'\n")
    });
    let rules: String = recorded.chain(alerts).collect();
    format!("groups:\n  - name: node\n    rules:\n{rules}")
}

#[test]
fn rules_over_the_job_node_exporter_have_data() -> Result<()> {
    let idle = Cgroup::create("node-rules")?;
    // What this machine may lack (RAID, sensors, bonds) another one has.
    let host = Tree::fixture("node/small.txt")?;
    let (proc, sys) = (host.path("proc"), host.path("sys"));
    let paths = [
        "--path.procfs",
        &proc.display().to_string(),
        "--path.sysfs",
        &sys.display().to_string(),
    ];
    let machine = Agent::observe(&[&idle])?;
    let fixture = Agent::start(&Options {
        cgroups: &[&idle],
        arguments: &paths,
        ..Options::default()
    })?;
    let files = tempfile::tempdir()?;
    fs::write(files.path().join("rules.yml"), rules())?;
    let configuration = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [rules.yml]\n\
         scrape_configs:\n  - job_name: node-exporter\n    static_configs:\n      \
         - targets: ['{}', '{}']\n",
        machine.address(),
        fixture.address(),
    );
    let prometheus = Prometheus::start(&configuration, files)?;
    let recorded = RECORDED.iter().map(|(name, _)| *name);
    let alerts = ALERTS.iter().map(|(expression, _)| *expression);
    let mut empty: Vec<&str> = recorded.chain(alerts).collect();
    let start = Instant::now();
    while !empty.is_empty() && start.elapsed() < PATIENCE {
        let mut still = Vec::new();
        for expression in empty {
            if prometheus.series(expression)? == 0 {
                still.push(expression);
            }
        }
        empty = still;
        sleep(Duration::from_millis(200));
    }
    ensure!(empty.is_empty(), "without data: {empty:#?}");
    prometheus.says("count(up{job='node-exporter'} == 1)", 2)?;
    for (expression, comparison) in ALERTS {
        // Whether it fires is the machine's affair; that it can be asked is ours.
        prometheus.series(&format!("({expression}) {comparison}"))?;
    }
    Ok(())
}
