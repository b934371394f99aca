//! The image in a container of runc's: confined as the overlay `least-privilege` and the Compose file
//! confine it.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::process::{Place, Process, free_port, need};
use observer_tests::scrape::Scrape;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::image::Image;
use super::manifests::{CAPABILITIES, read};

/// A bundle, ready to be run.
pub(crate) struct Container {
    files: TempDir,
    name: String,
}

impl Container {
    /// The agent with these arguments and nothing but these capabilities.
    pub(crate) fn new(image: &Image, arguments: &[&str], capabilities: &[&str]) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("observer-test-{}-{number}", std::process::id());
        let files = tempfile::tempdir()?;
        image.unpack(&files.path().join("rootfs"))?;
        let specification = specification(image, arguments, capabilities, &name)?;
        let text = serde_json::to_vec(&specification)?;
        fs::write(files.path().join("config.json"), text)?;
        Ok(Self { files, name })
    }

    fn command(&self) -> Result<Command> {
        let mut runc = Command::new(need("runc")?);
        runc.arg("--root").arg(self.files.path().join("state"));
        runc.args(["run", "--bundle"]).arg(self.files.path());
        runc.arg(&self.name);
        Ok(runc)
    }

    /// Runs it to its end.
    pub(crate) fn output(&self) -> Result<Output> {
        self.command()?.output().context("cannot start runc")
    }

    /// Starts it; runc hands signals on to it.
    fn start(&self) -> Result<Process> {
        let log = self.files.path().join("log");
        Process::start(self.command()?, &log, &Place::default())
    }
}

/// What the runtimes make of the overlay and of the Compose file.
fn specification(
    image: &Image,
    arguments: &[&str],
    capabilities: &[&str],
    name: &str,
) -> Result<Value> {
    let entrypoint = image.configuration["config"]["Entrypoint"].clone();
    let mut arguments: Vec<Value> = arguments.iter().map(|&text| text.into()).collect();
    arguments.splice(0..0, entrypoint.as_array().cloned().unwrap_or_default());
    let capabilities: Vec<String> = capabilities
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
    let mount = |to: &str, kind: &str, from: &str, options: &[&str]| json!({ "destination": to, "type": kind, "source": from, "options": options });
    Ok(json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": arguments,
            "cwd": image.configuration["config"]["WorkingDir"],
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "mounts": [
            mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755", "size=64k"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "bind", "/sys/fs/cgroup", &["rbind", "ro"]),
        ],
        "linux": {
            "cgroupsPath": format!("/{name}"),
            "namespaces": [{ "type": "mount" }, { "type": "ipc" }, { "type": "uts" }],
            "seccomp": read("deploy/compose/seccomp.json")?,
        },
    }))
}

/// Both streams, as text.
pub(crate) fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{out}{err}")
}

#[test]
fn the_image_needs_nothing_but_itself() -> Result<()> {
    let image = Image::made()?;
    let output = Container::new(image, &["--version"], &[])?.output()?;
    let version = concat!("observer ", env!("CARGO_PKG_VERSION"), "\n");
    ensure!(
        output.status.success() && said(&output) == version,
        "{}",
        said(&output)
    );
    Ok(())
}

#[test]
fn five_capabilities_meet_every_requirement() -> Result<()> {
    let image = Image::made()?;
    let output = Container::new(image, &["check", "--listen", "127.0.0.1:0"], &CAPABILITIES)?;
    let output = output.output()?;
    let said = said(&output);
    ensure!(
        output.status.success() && !said.contains("missing "),
        "{said}"
    );
    Ok(())
}

fn scrape(address: SocketAddr) -> Option<Scrape> {
    let mut response = ureq::get(format!("http://{address}/metrics")).call().ok()?;
    let text = response.body_mut().read_to_string().ok()?;
    Scrape::parse(&text).ok()
}

#[test]
fn confined_like_that_it_counts_what_was_requested() -> Result<()> {
    const REQUESTS: u64 = 50;
    let image = Image::made()?;
    let address = free_port()?;
    let file = "/observer.yaml";
    let arguments = ["run", "--listen", &address.to_string(), "--config", file];
    let container = Container::new(image, &arguments, &CAPABILITIES)?;
    let pattern = format!("/observer-tests-{}-*/web", std::process::id());
    let text = format!("select: {{cgroups: ['{pattern}']}}\n");
    fs::write(container.files.path().join("rootfs").join(&file[1..]), text)?;
    let mut process = container.start()?;
    process.until("attach its programs", || {
        let ready = format!("http://{address}/readyz");
        ureq::get(ready).call().ok()
    })?;
    // It comes while the agent runs.
    let web = Cgroup::create("web")?;
    process.until("observe the cgroup", || {
        let cgroups = scrape(address)?;
        cgroups.select("observer_selection_cgroups").is(1).ok()
    })?;
    let server = Nginx::start(&Place::within(&web))?;
    for number in 0..REQUESTS {
        let shop = format!("http://{}/v1/shops/{number}", server.address());
        ureq::get(shop).call()?;
    }
    process.until("count the requests", || {
        let scrape = scrape(address)?;
        let requests = scrape.select("naytife_http_request_duration_seconds_count");
        requests.is(REQUESTS).ok()
    })?;
    let scrape = scrape(address).context("it does not answer")?;
    for probe in scrape
        .samples()
        .filter(|sample| sample.name == "observer_probe_attached")
    {
        ensure!(
            (probe.value - 1.0).abs() < f64::EPSILON,
            "{:?}",
            probe.labels
        );
    }
    let trouble = scrape.select("observer_selection_trouble_cgroups");
    trouble.with("reason", "unwatched").is(0)?;
    let status = process.stop()?;
    ensure!(status.success(), "{status}");
    Ok(())
}
