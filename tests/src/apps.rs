//! Programs of our own to be observed: HTTP servers in other languages, and the shop.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::agent::sibling;
use crate::process::{Place, Process, find, finish, free_port};

/// A running HTTP server; stopped when this goes.
#[derive(Debug)]
pub struct App {
    process: Process,
    address: SocketAddr,
    _files: TempDir,
}

impl App {
    /// `apps/go-http`, a `net/http` server; `None`, loudly, where there is no Go.
    ///
    /// # Errors
    /// When it cannot be built or does not start.
    pub fn go(place: &Place<'_>) -> Result<Option<Self>> {
        let Some(go) = toolchain("go") else {
            return Ok(None);
        };
        let files = tempfile::tempdir()?;
        let program = files.path().join("go-http");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps/go-http");
        // Nothing is downloaded: the module needs only the standard library.
        finish(
            Command::new(go)
                .args(["build", "-o"])
                .arg(&program)
                .arg(".")
                .env("GOTOOLCHAIN", "local")
                .env("GOFLAGS", "-mod=mod")
                .current_dir(source),
        )?;
        Self::start(place, files, |address| {
            let mut command = Command::new(program);
            command.arg(address.to_string());
            command
        })
        .map(Some)
    }

    /// `apps/node-http`, a `node:http` server; `None`, loudly, where there is no Node.
    ///
    /// # Errors
    /// When it does not start.
    pub fn node(place: &Place<'_>) -> Result<Option<Self>> {
        let Some(node) = toolchain("node") else {
            return Ok(None);
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("apps/node-http/server.js");
        Self::start(place, tempfile::tempdir()?, |address| {
            let mut command = Command::new(node);
            command
                .arg(source)
                .arg(address.ip().to_string())
                .arg(address.port().to_string());
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
        Self::start(place, tempfile::tempdir()?, |address| {
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
        Self::listening(place, tempfile::tempdir()?, address, |address| {
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

    fn start(
        place: &Place<'_>,
        files: TempDir,
        command: impl FnOnce(SocketAddr) -> Command,
    ) -> Result<Self> {
        Self::listening(place, files, free_port()?, command)
    }

    fn listening(
        place: &Place<'_>,
        files: TempDir,
        address: SocketAddr,
        command: impl FnOnce(SocketAddr) -> Command,
    ) -> Result<Self> {
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

/// A language's toolchain, which `cargo xtask setup` leaves to the user.
fn toolchain(program: &str) -> Option<std::path::PathBuf> {
    let found = find(program).or_else(|| {
        let usual = Path::new("/usr/local/go/bin").join(program);
        usual.is_file().then_some(usual)
    });
    if found.is_none() {
        eprintln!("SKIPPED: {program} is not installed, so its server is not tested");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_in_other_languages_answer() -> Result<()> {
        let place = Place::default();
        let client: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        for app in [App::go(&place)?, App::node(&place)?].into_iter().flatten() {
            let url = |path: &str| format!("http://{}{path}", app.address());
            let get = |path: &str| client.get(url(path)).call();
            assert_eq!(get("/v1/shops/7")?.body_mut().read_to_string()?, "shop 7\n");
            assert_eq!(get("/nothing")?.status(), 404);
            assert_eq!(get("/status/503")?.status(), 503);
            let mut stream = get("/stream/3")?;
            assert_eq!(
                stream.body_mut().read_to_string()?,
                "part 0\npart 1\npart 2\n"
            );
            let mut echo = client.post(url("/echo")).send("said")?;
            assert_eq!(echo.body_mut().read_to_string()?, "said");
        }
        Ok(())
    }
}
