//! The distribution's node exporter, as it is installed.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::{Place, Process, free_port, need};
use crate::scrape::Scrape;

/// A running exporter; stopped when this goes.
#[derive(Debug)]
pub struct NodeExporter {
    process: Process,
    address: SocketAddr,
    _files: TempDir,
}

impl NodeExporter {
    /// Starts it with its defaults.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start() -> Result<Self> {
        let files = tempfile::tempdir()?;
        let address = free_port()?;
        let mut command = Command::new(need("prometheus-node-exporter")?);
        command.arg(format!("--web.listen-address={address}"));
        let log = files.path().join("exporter.log");
        let mut process = Process::start(command, &log, &Place::default())?;
        process.listens(address)?;
        Ok(Self {
            process,
            address,
            _files: files,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it exposes now.
    ///
    /// # Errors
    /// When it does not answer with metrics.
    pub fn scrape(&self) -> Result<Scrape> {
        let url = format!("http://{}/metrics", self.address);
        let text = ureq::get(&url).call()?.body_mut().read_to_string()?;
        Scrape::parse(&text)
    }
}
