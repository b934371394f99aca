//! Programs of our own to be observed: HTTP servers in other languages, and the shop.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::agent::sibling;
use crate::languages::{Language, program};
use crate::process::{Place, Process, free_port};

/// A running HTTP server; stopped when this goes.
#[derive(Debug)]
pub struct App {
    process: Process,
    address: SocketAddr,
    _files: TempDir,
}

impl App {
    /// An HTTP server of `apps/<language>`; `None`, loudly, where the machine lacks the language.
    ///
    /// # Errors
    /// When it was not made or does not start.
    pub fn server(place: &Place<'_>, language: Language, name: &str) -> Result<Option<Self>> {
        let Some(mut command) = program(language, name)? else {
            return Ok(None);
        };
        Self::start(place, |address| {
            command.arg(address.to_string());
            command
        })
        .map(Some)
    }

    /// The shop, on a database and a Redis; it makes its tables and fills them first.
    ///
    /// # Errors
    /// When it was not built or does not start.
    pub fn shop(place: &Place<'_>, database: &str, redis: SocketAddr) -> Result<Self> {
        let program = sibling("shop")?;
        Self::start(place, |address| {
            let mut command = Command::new(program);
            command
                .args(["--listen", &address.to_string()])
                .args(["--database", database])
                .args(["--redis", &redis.to_string()]);
            command
        })
    }

    /// `apps/responder`, an HTTP server, on this address and with these arguments.
    ///
    /// # Errors
    /// When it was not built or does not start.
    pub fn responder(place: &Place<'_>, host: IpAddr, arguments: &[&str]) -> Result<Self> {
        let program = sibling("responder")?;
        let address = SocketAddr::new(host, free_port()?.port());
        Self::listening(place, address, |address| {
            let mut command = Command::new(program);
            command.args(["--listen", &address.to_string()]);
            command.args(arguments);
            command
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    fn start(place: &Place<'_>, command: impl FnOnce(SocketAddr) -> Command) -> Result<Self> {
        Self::listening(place, free_port()?, command)
    }

    fn listening(
        place: &Place<'_>,
        address: SocketAddr,
        command: impl FnOnce(SocketAddr) -> Command,
    ) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let log = files.path().join("log");
        let mut process = Process::start(command(address), &log, place)?;
        process.listens(address)?;
        Ok(Self {
            process,
            address,
            _files: files,
        })
    }
}
