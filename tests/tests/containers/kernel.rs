//! Each figure against the kernel's files, read before and after: burnt, allocated, forked, killed.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::legacy::Legacy;
use observer_tests::process::{Place, Process, need};
use observer_tests::scrape::Scrape;
use tempfile::TempDir;

/// An id as runtimes give them.
const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// Bytes.
const MIB: f64 = 1_048_576.0;

/// A cgroup in every hierarchy, and a shell in all of them.
struct Scene {
    legacy: Legacy,
    cgroup: Cgroup,
    files: TempDir,
}

impl Scene {
    /// `None` where the controllers are in version 2, which trees of files are tested with.
    fn new(name: &str) -> Result<Option<Self>> {
        let cgroup = Cgroup::create(name)?;
        let legacy = Legacy::of(&cgroup)?;
        if legacy.is_empty() {
            eprintln!("SKIPPED: this machine has no controllers of version 1 to compare with");
            return Ok(None);
        }
        Ok(Some(Self {
            legacy,
            cgroup,
            files: tempfile::tempdir()?,
        }))
    }

    /// Runs a script in it.
    fn shell(&self, script: &str) -> Result<Process> {
        let enter = self.legacy.enter();
        let mut command = Command::new("sh");
        command.args(["-ec", &format!("{enter}{script}")]);
        let log = self.files.path().join("log");
        Process::start(command, &log, &Place::within(&self.cgroup))
    }

    /// Waits until the script has said so.
    fn says(&self, process: &mut Process, word: &str) -> Result<()> {
        let log = self.files.path().join("log");
        process.until(&format!("say {word}"), || {
            let text = fs::read_to_string(&log).ok()?;
            text.contains(word).then_some(())
        })
    }

    fn number(&self, file: &str) -> Result<f64> {
        Ok(self.legacy.read(file)?.trim().parse()?)
    }

    fn field(&self, file: &str, word: &str) -> Result<f64> {
        let text = self.legacy.read(file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(word));
        Ok(line
            .with_context(|| format!("{file}: {word}"))?
            .trim()
            .parse()?)
    }

    fn pressure(&self) -> Result<f64> {
        let text = fs::read_to_string(self.cgroup.path().join("cpu.pressure"))?;
        let total = text
            .lines()
            .next()
            .and_then(|line| line.split("total=").nth(1));
        Ok(total.context("no total")?.parse()?)
    }

    /// The one value of a metric of this cgroup.
    fn value(&self, scrape: &Scrape, metric: &str) -> Result<f64> {
        let id = format!("/{}", self.cgroup.relative()?.display());
        let samples = scrape.select(metric).with("id", &id);
        ensure!(samples.len() == 1, "{metric}: {}\n{samples}", samples.len());
        Ok(samples.sum())
    }
}

/// Whether two figures are one.
fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

/// What of the kernel a metric is, in its unit.
type Ask = fn(&Scene) -> Result<f64>;

/// Counters.
const RISING: &[(&str, Ask)] = &[
    ("container_cpu_usage_seconds_total", |scene| {
        Ok(scene.number("cpuacct.usage")? / 1e9)
    }),
    ("container_cpu_user_seconds_total", |scene| {
        Ok(scene.field("cpuacct.stat", "user ")? / 100.0)
    }),
    ("container_cpu_system_seconds_total", |scene| {
        Ok(scene.field("cpuacct.stat", "system ")? / 100.0)
    }),
    ("container_cpu_cfs_periods_total", |scene| {
        scene.field("cpu.stat", "nr_periods ")
    }),
    ("container_cpu_cfs_throttled_periods_total", |scene| {
        scene.field("cpu.stat", "nr_throttled ")
    }),
    ("container_cpu_cfs_throttled_seconds_total", |scene| {
        Ok(scene.field("cpu.stat", "throttled_time ")? / 1e9)
    }),
    ("container_pressure_cpu_waiting_seconds_total", |scene| {
        Ok(scene.pressure()? / 1e6)
    }),
];

/// What stays as it is while the process burns.
const STILL: &[(&str, Ask)] = &[
    ("container_spec_cpu_quota", |scene| {
        scene.number("cpu.cfs_quota_us")
    }),
    ("container_spec_cpu_period", |scene| {
        scene.number("cpu.cfs_period_us")
    }),
    ("container_spec_cpu_shares", |scene| {
        scene.number("cpu.shares")
    }),
    ("container_spec_memory_limit_bytes", |scene| {
        scene.number("memory.limit_in_bytes")
    }),
    ("container_threads_max", |scene| scene.number("pids.max")),
    ("container_threads", |scene| scene.number("pids.current")),
    ("container_oom_events_total", |scene| {
        scene.field("memory.oom_control", "oom_kill ")
    }),
    ("container_memory_failcnt", |scene| {
        scene.number("memory.failcnt")
    }),
];

#[test]
fn what_is_burnt_and_held_is_what_the_kernel_says() -> Result<()> {
    let Some(scene) = Scene::new("burner")? else {
        return Ok(());
    };
    scene.legacy.write("cpu.cfs_quota_us", "20000")?;
    scene.legacy.write("cpu.shares", "512")?;
    scene.legacy.write("memory.limit_in_bytes", "268435456")?;
    scene.legacy.write("pids.max", "20")?;
    let agent = Agent::observe(&[&scene.cgroup])?;
    let hold = "held = b'x' * (48 << 20)\nprint('held', flush=True)\nwhile True: pass";
    let python = need("python3")?;
    let mut burner = scene.shell(&format!("exec '{}' -c \"{hold}\"", python.display()))?;
    scene.says(&mut burner, "held")?;
    let ask = |rows: &[(&str, Ask)]| -> Result<Vec<f64>> {
        rows.iter().map(|(_, ask)| ask(&scene)).collect()
    };
    let (low, before) = (ask(RISING)?, ask(STILL)?);
    let scrape = agent.scrape()?;
    let (high, after) = (ask(RISING)?, ask(STILL)?);
    for ((metric, _), (low, high)) in RISING.iter().zip(low.into_iter().zip(high)) {
        let value = scene.value(&scrape, metric)?;
        ensure!(
            low <= value && value <= high,
            "{metric}: {low} {value} {high}"
        );
        ensure!(value > 0.0 || low <= 0.0, "{metric} is 0");
    }
    for ((metric, _), (before, after)) in STILL.iter().zip(before.into_iter().zip(after)) {
        let value = scene.value(&scrape, metric)?;
        ensure!(
            same(value, before) && same(value, after),
            "{metric}: {before} {value} {after}"
        );
    }
    // The kernel adds up memory of all processors now and then only.
    let least = 48.0 * MIB;
    for metric in ["usage_bytes", "working_set_bytes", "rss", "max_usage_bytes"] {
        let value = scene.value(&scrape, &format!("container_memory_{metric}"))?;
        ensure!((least..256.0 * MIB).contains(&value), "{metric}: {value}");
    }
    let of = |metric| scene.value(&scrape, metric);
    ensure!(same(of("container_processes")?, 1.0));
    let open = fs::read_dir(format!("/proc/{}/fd", burner.pid()))?.count();
    let open = f64::from(u32::try_from(open)?);
    ensure!(same(of("container_file_descriptors")?, open));
    let node = scrape.select("node_time_seconds").sum();
    let age = node - of("container_start_time_seconds")?;
    ensure!((0.0..600.0).contains(&age), "it began {age} s ago");
    ensure!(same(scrape.select("container_scrape_error").sum(), 0.0));
    // It is in the host's network.
    ensure!(
        scrape
            .select("container_network_receive_bytes_total")
            .is_empty()
    );
    Ok(())
}

#[test]
fn who_is_killed_for_want_of_memory_is_counted_and_stays_to_be_seen() -> Result<()> {
    let Some(scene) = Scene::new("glutton")? else {
        return Ok(());
    };
    scene.legacy.write("memory.limit_in_bytes", "33554432")?;
    scene.legacy.write("pids.max", "4")?;
    let agent = Agent::observe(&[&scene.cgroup])?;
    // As many as there may be; the last one keeps the line that never ends.
    let script = "sleep 60 & sleep 60 & tail /dev/zero || echo killed\nwait";
    let mut glutton = scene.shell(script)?;
    scene.says(&mut glutton, "killed")?;
    let scrape = agent.scrape()?;
    let killed = scene.field("memory.oom_control", "oom_kill ")?;
    ensure!(
        killed >= 1.0,
        "the kernel killed nobody: {}",
        glutton.printed()
    );
    let is = |metric, value| Ok::<_, anyhow::Error>(same(scene.value(&scrape, metric)?, value));
    ensure!(is("container_oom_events_total", killed)?);
    let hits = scene.value(&scrape, "container_memory_failcnt")?;
    ensure!(hits >= 1.0 && hits <= scene.number("memory.failcnt")?);
    ensure!(is("container_threads", 3.0)?);
    ensure!(is("container_processes", 3.0)?);
    ensure!(is("container_threads_max", 4.0)?);
    drop(glutton);
    for process in scene.cgroup.processes() {
        nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL)?;
    }
    agent.eventually(|scrape| {
        ensure!(same(scene.value(scrape, "container_processes")?, 0.0));
        ensure!(same(
            scene.value(scrape, "container_oom_events_total")?,
            killed
        ));
        Ok(())
    })?;
    Ok(())
}

#[test]
fn a_container_has_its_id_and_the_network_that_it_is_in() -> Result<()> {
    let cgroup = Cgroup::create(ID)?;
    // All are shown, whatever is observed.
    let elsewhere = Cgroup::create("elsewhere")?;
    let agent = Agent::start(&Options {
        cgroups: &[&elsewhere],
        config: Some("containers: {all: true}"),
        ..Options::default()
    })?;
    let mut command = Command::new("unshare");
    let script = "ip link add eth0 type veth peer name veth1 && ip link set veth1 up && \
        ip addr add 192.0.2.1/24 dev eth0 && ip link set eth0 up; echo ready; exec sleep 600";
    command.args(["--net", "sh", "-c", script]);
    let files = tempfile::tempdir()?;
    let log = files.path().join("log");
    let mut process = Process::start(command, &log, &Place::within(&cgroup))?;
    process.until("get ready", || {
        let text = fs::read_to_string(&log).ok()?;
        text.contains("ready").then_some(())
    })?;
    let dev = || fs::read_to_string(format!("/proc/{}/net/dev", process.pid()));
    let sent = |text: &str| -> Result<f64> {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("eth0:"));
        let field = line.and_then(|line| line.split_ascii_whitespace().nth(8));
        Ok(field.context("no eth0")?.parse()?)
    };
    let low = sent(&dev()?)?;
    let scrape = agent.scrape()?;
    let high = sent(&dev()?)?;
    let metric = "container_network_transmit_bytes_total";
    let samples = scrape.select(metric).with("name", ID);
    let samples = samples.with("image", "unknown").with("interface", "eth0");
    ensure!(samples.len() == 1, "{samples}");
    ensure!(
        low <= samples.sum() && samples.sum() <= high,
        "{low} {samples} {high}"
    );
    let processes = scrape.select("container_processes").with("name", ID);
    ensure!(same(processes.sum(), 1.0), "{processes}");
    let devices = scrape.select(metric).with("name", ID);
    ensure!(devices.len() == 1, "others than eth0: {devices}");
    let all = scrape.select("container_cpu_usage_seconds_total");
    ensure!(all.with("id", "/").len() == 1, "no root");
    Ok(())
}
