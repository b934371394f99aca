//! A client and a server, each in a network namespace and a cgroup of its own.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::network::{Namespace, pair};
use observer_tests::process::{Place, finish, need};
use observer_tests::scrape::Scrape;

pub(crate) const REQUESTS: &str = "naytife_http_request_duration_seconds_count";
pub(crate) const CLIENT_REQUESTS: &str = "naytife_http_client_request_duration_seconds_count";

pub(crate) struct Scene {
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
    pub(crate) clients: Cgroup,
    pub(crate) servers: Cgroup,
}

impl Scene {
    /// With a cable between the two.
    pub(crate) fn new() -> Result<Self> {
        let [client, server] = pair()?;
        Self::of(client, server)
    }

    pub(crate) fn of(client: Namespace, server: Namespace) -> Result<Self> {
        Ok(Self {
            client,
            server,
            clients: Cgroup::create("client")?,
            servers: Cgroup::create("web")?,
        })
    }

    /// An agent that observes both ends.
    pub(crate) fn observe(&self) -> Result<Agent> {
        Agent::observe(&[&self.clients, &self.servers])
    }

    /// Starts a server where servers are.
    pub(crate) fn serve<T: Send>(
        &self,
        start: impl FnOnce(&Place<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        self.server.inside(|| start(&Place::within(&self.servers)))
    }

    /// Runs a client where clients are, to its end: what it printed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(need(program)?);
        command.args(arguments);
        Place::within(&self.clients).apply(&mut command)?;
        self.client.inside(|| finish(&mut command))
    }

    /// Opens sockets in this process that belong to where clients are.
    pub(crate) fn open<T: Send>(&self, open: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.client.inside(|| self.clients.host(open))
    }

    /// Asks for targets one after the other on one connection.
    pub(crate) fn curl(&self, address: SocketAddr, targets: &[&str]) -> Result<()> {
        let urls: Vec<String> = targets
            .iter()
            .map(|target| format!("http://{address}{target}"))
            .collect();
        let mut arguments = vec!["-sS"];
        for url in &urls {
            arguments.extend(["-o", "/dev/null", url]);
        }
        self.run("curl", &arguments).map(drop)
    }
}

/// Whether each end counted so many complete requests of the server, and nothing was lost.
pub(crate) fn counted(scrape: &Scrape, issued: usize) -> Result<()> {
    let issued = u64::try_from(issued)?;
    scrape.select(REQUESTS).with("service", "web").is(issued)?;
    scrape.select(REQUESTS).is(issued)?;
    let client = scrape.select(CLIENT_REQUESTS);
    client.clone().with("service", "client").is(issued)?;
    // Both ends are one connection: each knows the other by its name.
    client.with("peer", "web").is(issued)?;
    undisturbed(scrape)
}

/// Whether no request is cut short or open, and no byte was lost.
pub(crate) fn undisturbed(scrape: &Scrape) -> Result<()> {
    for aborted in [
        "naytife_http_requests_aborted_total",
        "naytife_http_client_requests_aborted_total",
        "naytife_http_requests_in_flight",
    ] {
        scrape.select(aborted).is(0)?;
    }
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)
}
