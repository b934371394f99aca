//! What the agent holds when it is as full as it is meant to be.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::process::Place;
use observer_tests::scrape::Scrape;

use crate::report::{Report, Verdict, progress};

const CONNECTIONS: u32 = 10_000;
const LINES: f64 = 20_000.0;
const LIMIT_MIB: f64 = 64.0;
/// Requests on each connection: with them every page of the ring has been read.
const REQUESTS: u32 = 5;
/// With each, a histogram of its own.
const SHOPS: u32 = 230;
const PAGES: [&str; 6] = [
    "",
    "/products",
    "/orders",
    "/customers",
    "/inventory",
    "/images",
];

/// Room for the lines, and shops that no database is there to name.
const CONFIGURATION: &str = "
limits:
  lines_per_metric: 40000
interpret:
  trust_path_ids: true
  trusted_path_ids: 1000
";

/// Resident memory at 10,000 connections and 20,000 exposed lines.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    progress("resident memory");
    let files = raise_limit()?;
    ensure!(
        files > u64::from(CONNECTIONS) + 100,
        "10,000 connections need as many files at either end, and the limit is {files}"
    );
    let cgroup = Cgroup::create("full")?;
    let agent = Agent::start(&Options {
        cgroups: &[&cgroup],
        config: Some(CONFIGURATION),
        ..Options::default()
    })?;
    let empty = resident(&agent.settled()?);
    let server = Nginx::start(&Place::within(&cgroup))?;
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let connection =
            TcpStream::connect(server.address()).with_context(|| format!("connection {number}"))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        connections.push(connection);
    }
    for _ in 0..REQUESTS {
        for (connection, path) in connections.iter_mut().zip(paths()) {
            exchange(connection, server.address(), &path)?;
        }
    }
    let scrape = agent.settled()?;
    let tracked = scrape.select("observer_connections_tracked").sum();
    let lines = scrape.select("observer_series_lines").sum();
    let full = resident(&scrape);
    let reached = tracked >= f64::from(CONNECTIONS) && lines >= LINES;
    report.add(
        format!("resident memory at {tracked:.0} connections and {lines:.0} lines"),
        format!("{full:.1} MiB (at the start {empty:.1} MiB)"),
        format!("{LIMIT_MIB} MiB"),
        if reached {
            Verdict::at_most(full, LIMIT_MIB)
        } else {
            Verdict::Stated
        },
    );
    // The client's ends go first: what the server keeps of a closed connection is not ours.
    drop(connections);
    Ok(())
}

/// As many files as we may have; how many.
fn raise_limit() -> Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(most)
}

/// Another shop and route each time, over and over.
fn paths() -> impl Iterator<Item = String> {
    let shops = (1..=SHOPS).cycle();
    shops.flat_map(|shop| PAGES.map(|page| format!("/v1/shops/{shop}{page}")))
}

fn exchange(connection: &mut TcpStream, host: SocketAddr, path: &str) -> Result<()> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut response = [0; 4096];
    let length = connection.read(&mut response)?;
    ensure!(length > 0, "the server closed a connection");
    Ok(())
}

fn resident(scrape: &Scrape) -> f64 {
    scrape
        .select("observer_process_resident_memory_bytes")
        .sum()
        / f64::from(1 << 20)
}
