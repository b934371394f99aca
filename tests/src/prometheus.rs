//! A real Prometheus that scrapes the agent as its users' do.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{PATIENCE, Place, Process, free_port, need};

/// What is shipped, and what of it a test must have otherwise: whole seconds instead of quarters of
/// a minute. The target follows from the agent.
const HASTE: [(&str, &str); 2] = [
    ("scrape_interval: 15s", "scrape_interval: 1s"),
    ("scrape_timeout: 10s", "scrape_timeout: 1s"),
];
/// The target that is shipped.
const TARGET: &str = "127.0.0.1:9464";

/// A running server; stopped when this goes.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    client: ureq::Agent,
    _files: TempDir,
}

/// The scrape configuration for a host, as it is shipped.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus/observer.yml")
}

impl Prometheus {
    /// Starts it with the shipped configuration, once a second and on this agent.
    ///
    /// # Errors
    /// When it is not there, does not start, or the configuration is not what it was.
    pub fn scrape(agent: SocketAddr) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let path = shipped();
        let mut text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let agent = agent.to_string();
        for (from, to) in HASTE.into_iter().chain([(TARGET, agent.as_str())]) {
            ensure!(text.contains(from), "{} has no {from}", path.display());
            text = text.replace(from, to);
        }
        Self::start(&text, files)
    }

    /// Starts it with this configuration, which may name files of the directory.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start(text: &str, files: TempDir) -> Result<Self> {
        let configuration = files.path().join("prometheus.yml");
        fs::write(&configuration, text)?;
        let address = free_port()?;
        let mut command = Command::new(need("prometheus")?);
        command
            .arg("--config.file")
            .arg(&configuration)
            .arg("--storage.tsdb.path")
            .arg(files.path().join("data"))
            .args(["--web.listen-address", &address.to_string()])
            .current_dir(files.path());
        let log = files.path().join("prometheus.log");
        let process = Process::start(command, &log, &Place::default())?;
        let client: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut server = Self {
            process,
            address,
            client,
            _files: files,
        };
        let (ready, client) = (server.url("/-/ready"), server.client.clone());
        server.process.until("get ready", || {
            let response = client.get(&ready).call().ok()?;
            (response.status() == 200).then_some(())
        })?;
        Ok(server)
    }

    /// How many series an expression has now.
    ///
    /// # Errors
    /// When it is none.
    pub fn series(&self, expression: &str) -> Result<usize> {
        Ok(self.query(expression)?.len())
    }

    /// The value of an expression that is a single number; `None` while there is nothing.
    ///
    /// # Errors
    /// When it is none, or of several.
    pub fn value(&self, expression: &str) -> Result<Option<f64>> {
        match self.query(expression)?.as_slice() {
            [] => Ok(None),
            [one] => {
                let value = one.pointer("/value/1").and_then(Value::as_str);
                Ok(Some(value.context("not a number")?.parse()?))
            }
            several => bail!("{expression} has {} values: {several:?}", several.len()),
        }
    }

    fn query(&self, expression: &str) -> Result<Vec<Value>> {
        let mut response = self
            .client
            .get(self.url("/api/v1/query"))
            .query("query", expression)
            .call()?;
        let text = response.body_mut().read_to_string()?;
        let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let result = answer
            .pointer("/data/result")
            .and_then(Value::as_array)
            .with_context(|| format!("{expression}: {text}"))?;
        Ok(result.clone())
    }

    /// Asks until the expression is this number: the scrape that tells it may be still to come.
    ///
    /// # Errors
    /// When it never is, with what it was.
    pub fn says(&self, expression: &str, count: u64) -> Result<()> {
        let start = Instant::now();
        loop {
            let value = self.value(expression)?;
            #[expect(clippy::cast_precision_loss, reason = "tests count below 2^53")]
            if value.is_some_and(|value| (value - count as f64).abs() < 0.5) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("{expression} is {value:?} instead of {count} after {PATIENCE:?}");
            }
            sleep(Duration::from_millis(200));
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
