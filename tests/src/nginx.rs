//! A real nginx and its access log.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::process::{Place, Process, free_port, need};

/// Routes that the tests need.
const LOCATIONS: &str = r#"
        location / { default_type application/json; return 200 '{"status":"success"}\n'; }
        location = /empty { return 204; }
        location = /missing { return 404; }
        location /files/ { root .; etag on; }
        location /sendfile/ { alias files/; sendfile on; }
"#;

/// Everything handed on to another server, on kept connections and as it comes.
const HANDED_ON: &str = r"
        location / {
            proxy_pass http://upstream;
            proxy_http_version 1.1;
            proxy_set_header Connection $connection_upstream;
            proxy_set_header Upgrade $http_upgrade;
            proxy_buffering off;
            proxy_request_buffering off;
        }
";

/// A running server; stopped when this goes.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    address: SocketAddr,
    files: TempDir,
}

/// A line of the access log: one request, complete or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The request's method; empty when there was none that nginx could read.
    pub method: String,
    /// The request's target as sent.
    pub target: String,
    /// The status that was sent or, for 499 and 400, noted.
    pub status: u16,
    /// Bytes of the request.
    pub received: u64,
    /// Bytes of the response, head included.
    pub sent: u64,
    /// Whether the response was sent to its end.
    pub complete: bool,
}

impl Nginx {
    /// Starts it with one worker.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start(place: &Place<'_>) -> Result<Self> {
        Self::listening(place, Ipv4Addr::LOCALHOST.into(), "")
    }

    /// The same on this address, with more parameters of `listen`. One that listens on any IPv6
    /// address is met at IPv4's.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn listening(place: &Place<'_>, host: IpAddr, parameters: &str) -> Result<Self> {
        Self::serving(place, host, parameters, "", LOCATIONS)
    }

    /// One that hands every request on to another server.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn before(place: &Place<'_>, upstream: SocketAddr) -> Result<Self> {
        let upstream = format!(
            "upstream upstream {{ server {upstream}; keepalive 8; }}
    map $http_upgrade $connection_upstream {{ default upgrade; '' ''; }}"
        );
        let host = Ipv4Addr::LOCALHOST.into();
        Self::serving(place, host, "", &upstream, HANDED_ON)
    }

    fn serving(
        place: &Place<'_>,
        host: IpAddr,
        parameters: &str,
        upstream: &str,
        locations: &str,
    ) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let port = free_port()?.port();
        let listen = format!("{} {parameters}", SocketAddr::new(host, port));
        let met = if host.is_unspecified() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            host
        };
        let address = SocketAddr::new(met, port);
        fs::create_dir(files.path().join("files"))?;
        let configuration = files.path().join("nginx.conf");
        fs::write(&configuration, configure(&listen, upstream, locations))?;
        let mut command = Command::new(need("nginx")?);
        command
            .arg("-p")
            .arg(files.path())
            .arg("-c")
            .arg(&configuration)
            .args(["-e", "error.log"]);
        let log = files.path().join("nginx.log");
        // SIGQUIT is its graceful end: responses under way are completed and logged.
        let mut process = Process::start(command, &log, place)?;
        process.listens(address)?;
        Ok(Self {
            process,
            address,
            files,
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

    /// The directory behind `/files/`.
    pub fn files(&self) -> PathBuf {
        self.files.path().join("files")
    }

    /// The access log so far. The connection that [`Nginx::start`] tried is not in it: it sent no
    /// request.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn accesses(&self) -> Result<Vec<Access>> {
        read(&self.files.path().join("access.log"))
    }

    /// Stops it, requests under way first: the whole access log.
    ///
    /// # Errors
    /// When it had to be killed or the log cannot be read.
    pub fn finish(self) -> Result<Vec<Access>> {
        let Self { process, files, .. } = self;
        process.stopped_by(Signal::SIGQUIT).stop()?;
        read(&files.path().join("access.log"))
    }
}

fn configure(listen: &str, upstream: &str, locations: &str) -> String {
    format!(
        r"daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 16384; }}
http {{
    log_format plain '$request_method $request_uri $status $request_length $bytes_sent $request_completion';
    access_log access.log plain;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 100000000;
    client_max_body_size 0;
    {upstream}
    server {{
        listen {listen} backlog=4096;
{locations}
    }}
}}
"
    )
}

fn read(path: &Path) -> Result<Vec<Access>> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    String::from_utf8_lossy(&text)
        .lines()
        .map(|line| access(line).with_context(|| format!("not an access: {line}")))
        .collect()
}

/// `GET /v1/shops 200 81 180 OK`; a request that nginx cannot read has no method and no target.
fn access(line: &str) -> Option<Access> {
    let mut fields = line.split(' ');
    let mut field = || fields.next();
    Some(Access {
        method: field()?.replace('-', ""),
        target: field()?.to_owned(),
        status: field()?.parse().ok()?,
        received: field()?.parse().ok()?,
        sent: field()?.parse().ok()?,
        complete: field()? == "OK",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_a_line() -> Result<()> {
        let server = Nginx::start(&Place::default())?;
        let client: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        for path in ["/", "/v1/shops", "/empty", "/missing"] {
            client
                .get(format!("http://{}{path}", server.address()))
                .call()?;
        }
        let log = server.finish()?;
        let statuses: Vec<_> = log.iter().map(|access| access.status).collect();
        assert_eq!(statuses, [200, 200, 204, 404]);
        assert!(
            log.iter()
                .all(|access| access.complete && access.method == "GET")
        );
        Ok(())
    }
}
