//! Two cgroups, and an agent that sees both.

use std::fs;

use anyhow::{Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::scrape::Scrape;
use tempfile::TempDir;

use super::tally::Tally;

/// What clients ask of the servers in `apps`; each is a route, so that an answer of any status
/// has its path as a label.
const PATHS: [&str; 14] = [
    "/plain",
    "/empty",
    "/fresh",
    "/missing",
    "/broken",
    "/echo",
    "/stream",
    "/trailers",
    "/hints",
    "/refuse",
    "/events",
    "/download",
    "/upload",
    "/websocket",
];

pub(super) struct Scene {
    pub(super) servers: Cgroup,
    pub(super) clients: Cgroup,
    pub(super) agent: Agent,
    _files: TempDir,
}

impl Scene {
    pub(super) fn new() -> Result<Self> {
        let files = tempfile::tempdir()?;
        let rules = files.path().join("rules.yaml");
        let routes = PATHS.join(", ");
        let text =
            format!("http: {{ services: {{ matrix: {{ routes: [{routes}] }} }} }}\nsql: {{}}\n");
        fs::write(&rules, text)?;
        let config = format!("rules: {}\n", rules.display());
        let (servers, clients) = (Cgroup::create("server")?, Cgroup::create("client")?);
        let agent = Agent::start(&Options {
            cgroups: &[&servers, &clients],
            config: Some(&config),
            ..Options::default()
        })?;
        Ok(Self {
            servers,
            clients,
            agent,
            _files: files,
        })
    }

    /// Waits until both ends have counted what was issued, and nothing is left in flight.
    pub(super) fn counts(&self, issued: &Tally) -> Result<Scrape> {
        let scrape = self.agent.settled()?;
        let told = || scrape.select("observer_bytes_total").to_string();
        issued
            .agrees(
                &Tally::at_server(&scrape, "server"),
                "counted at the server's end",
            )
            .and_then(|()| {
                issued.agrees(&Tally::at_client(&scrape, "client"), "at the client's end")
            })
            .map_err(|error| error.context(told()))?;
        scrape.select("naytife_http_requests_in_flight").is(0)?;
        Ok(scrape)
    }

    /// No byte was lost.
    pub(super) fn nothing_lost(scrape: &Scrape) -> Result<()> {
        let bytes = scrape.select("observer_bytes_total");
        let lost = bytes.with("outcome", "lost");
        ensure!(lost.sum() < 0.5, "{lost}");
        Ok(())
    }
}
