//! The agent itself, as its users start it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::process::{PATIENCE, Place, Process, free_port};
use crate::scrape::Scrape;

/// What a run is started with; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// What it observes.
    pub cgroups: &'a [&'a Cgroup],
    /// Its configuration file's text.
    pub config: Option<&'a str>,
    /// More arguments for `observer run`.
    pub arguments: &'a [&'a str],
    /// Its own cgroup.
    pub cgroup: Option<&'a Cgroup>,
}

/// A running agent; stopped when this goes.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    address: SocketAddr,
    client: ureq::Agent,
    _files: TempDir,
}

impl Agent {
    /// Starts it on these cgroups and waits until its programs are attached.
    ///
    /// # Errors
    /// When it ends or is not ready in time, with what it said.
    pub fn observe(cgroups: &[&Cgroup]) -> Result<Self> {
        Self::start(&Options {
            cgroups,
            ..Options::default()
        })
    }

    /// Starts it and waits until its programs are attached.
    ///
    /// # Errors
    /// When it ends or is not ready in time, with what it said.
    pub fn start(options: &Options<'_>) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let address = free_port()?;
        let mut command = Command::new(binary()?);
        command.args(["run", "--listen", &address.to_string()]);
        for cgroup in options.cgroups {
            command.arg("--cgroup").arg(cgroup.path());
        }
        if let Some(text) = options.config {
            let file = files.path().join("observer.yaml");
            fs::write(&file, text)?;
            command.arg("--config").arg(file);
        }
        command.args(options.arguments);
        let place = Place {
            cgroup: options.cgroup,
            user: None,
        };
        let log = files.path().join("observer.log");
        let process = Process::start(command, &log, &place)?;
        let client = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build()
            .into();
        let mut agent = Self {
            process,
            address,
            client,
            _files: files,
        };
        let ready = agent.url("/readyz");
        let client = agent.client.clone();
        agent.process.until("get ready", || {
            let response = client.get(&ready).call().ok()?;
            (response.status() == 200).then_some(())
        })?;
        Ok(agent)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Status and body of a path.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut response = self.client.get(self.url(path)).call()?;
        let body = response
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_to_string()?;
        Ok((response.status().as_u16(), body))
    }

    /// What it exposes now.
    ///
    /// # Errors
    /// When it does not answer with metrics.
    pub fn scrape(&self) -> Result<Scrape> {
        match self.get("/metrics")? {
            (200, body) => Scrape::parse(&body),
            (status, body) => bail!("/metrics answered {status}: {body}"),
        }
    }

    /// Scrapes until `holds` does: what was sent a moment ago may still be on its way.
    ///
    /// # Errors
    /// What `holds` said last, when it never did.
    pub fn eventually(&self, holds: impl Fn(&Scrape) -> Result<()>) -> Result<Scrape> {
        let start = Instant::now();
        loop {
            let scrape = self.scrape()?;
            match holds(&scrape) {
                Ok(()) => return Ok(scrape),
                Err(error) if start.elapsed() > PATIENCE => {
                    return Err(error.context(format!("not within {PATIENCE:?}")));
                }
                Err(_) => sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Waits until all that was seen is settled and in the series.
    ///
    /// # Errors
    /// When the ledger stays open or a stage behind, with the figures.
    pub fn settled(&self) -> Result<Scrape> {
        self.eventually(|scrape| {
            scrape.ledger_closes()?;
            scrape.stages_agree()
        })?;
        // The agent's own numbers come last in a scrape: what they speak of is in the next one.
        self.scrape()
    }

    /// Stops it with SIGTERM: its exit status, and how long it took.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(mut self) -> Result<(ExitStatus, Duration)> {
        let start = Instant::now();
        let status = self.process.stop()?;
        Ok((status, start.elapsed()))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The agent's binary: what `OBSERVER_BINARY` names, else the one that cargo built beside us.
///
/// # Errors
/// When it was not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("OBSERVER_BINARY") {
        return Ok(path.into());
    }
    sibling("observer").context("`cargo xtask test` builds it, or `cargo build --workspace --bins`")
}

/// A binary of this workspace, of the same profile as this program.
///
/// # Errors
/// When it was not built.
pub fn sibling(name: &str) -> Result<PathBuf> {
    let us = env::current_exe()?;
    // target/release/demo, target/x86_64-unknown-linux-gnu/debug/deps/agent-0123456789abcdef
    us.ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .with_context(|| format!("there is no {name} beside {}", Path::display(&us)))
}
