//! What users meet last: a real Prometheus with the shipped configuration, and what it then knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::{Agent, binary};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::process::{Place, Process, find, finish, free_port, need};
use observer_tests::prometheus::{Prometheus, shipped};

#[test]
fn prometheus_knows_every_request_of_the_access_log() -> Result<()> {
    let (servers, clients) = (Cgroup::create("web")?, Cgroup::create("client")?);
    let server = Nginx::start(&Place::within(&servers))?;
    let agent = Agent::observe(&[&servers])?;
    let prometheus = Prometheus::scrape(agent.address())?;
    let mut wrk = Command::new(need("wrk")?);
    wrk.args(["-t1", "-c8", "-d4s"])
        .arg(format!("http://{}/v1/shops/7/orders", server.address()));
    Place::within(&clients).apply(&mut wrk)?;
    finish(&mut wrk)?;
    agent.settled()?;
    let log = server.finish()?;
    ensure!(log.len() > 1000, "wrk made {} requests", log.len());
    let complete = log.iter().filter(|access| access.complete).count() as u64;
    prometheus.says(
        "sum(naytife_http_request_duration_seconds_count{job='observer',service='web'})",
        complete,
    )?;
    // What wrk left unanswered when its time was over.
    prometheus.says(
        "sum(naytife_http_requests_aborted_total{job='observer',service='web'}) or vector(0)",
        log.len() as u64 - complete,
    )?;
    prometheus.says("up{job='observer'}", 1)?;
    prometheus.says("min_over_time(up{job='observer'}[1m])", 1)?;
    // The ledger closes in what was scraped, too.
    prometheus.says(
        "sum(observer_bytes_total{outcome='seen'}) - sum(observer_bytes_total{outcome!='seen'}) \
         - sum(observer_bytes_pending)",
        0,
    )
}

#[test]
fn the_shipped_scrape_configuration_is_valid() -> Result<()> {
    let mut promtool = Command::new(need("promtool")?);
    finish(promtool.args(["check", "config"]).arg(shipped())).map(drop)
}

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/observer.service")
}

#[test]
fn systemd_takes_the_shipped_unit() -> Result<()> {
    let Some(analyze) = find("systemd-analyze") else {
        eprintln!("SKIPPED: systemd-analyze is not installed, so the unit is not verified");
        return Ok(());
    };
    let files = tempfile::tempdir()?;
    let copy = files.path().join("observer.service");
    // It wants the program to be there.
    let text = fs::read_to_string(unit())?;
    let installed = "/usr/local/bin/observer";
    ensure!(text.contains(installed));
    fs::write(
        &copy,
        text.replace(installed, &binary()?.canonicalize()?.to_string_lossy()),
    )?;
    let output = Command::new(analyze).arg("verify").arg(&copy).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}

/// `CAP_BPF CAP_PERFMON` of the line `AmbientCapabilities=`, as setpriv writes them.
fn capabilities() -> Result<String> {
    let text = fs::read_to_string(unit())?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("AmbientCapabilities="))
        .context("the unit gives no capabilities")?;
    let names = line.split(' ').filter_map(|name| name.strip_prefix("CAP_"));
    Ok(names.fold("-all".to_owned(), |list, name| {
        format!("{list},+{}", name.to_ascii_lowercase())
    }))
}

#[test]
fn the_units_capabilities_are_enough_for_every_probe() -> Result<()> {
    let idle = Cgroup::create("idle")?;
    let files = tempfile::tempdir()?;
    let (address, capabilities) = (free_port()?, capabilities()?);
    let mut command = Command::new(need("setpriv")?);
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
        ])
        .args(["--inh-caps", &capabilities])
        .args(["--ambient-caps", &capabilities])
        .args(["--bounding-set", &capabilities])
        .arg(binary()?)
        .args(["run", "--listen", &address.to_string(), "--cgroup"])
        .arg(idle.path());
    let log = files.path().join("observer.log");
    let mut process = Process::start(command, &log, &Place::default())?;
    let text = process.until("attach every probe", || {
        let url = format!("http://{address}/metrics");
        let text = ureq::get(&url)
            .call()
            .ok()?
            .body_mut()
            .read_to_string()
            .ok()?;
        text.contains("observer_probe_attached{").then_some(text)
    })?;
    let missing: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("observer_probe_attached{") && !line.ends_with(" 1"))
        .collect();
    ensure!(missing.is_empty(), "{missing:#?}");
    Ok(())
}
