//! HTTP: *counted = issued*, against the servers' own access logs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::apps::App;
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::{Access, Nginx};
use observer_tests::process::{Place, finish, need};
use observer_tests::scrape::Scrape;

const REQUESTS: &str = "naytife_http_request_duration_seconds_count";
const ABORTED: &str = "naytife_http_requests_aborted_total";
const CLIENT: &str = "naytife_http_client_request_duration_seconds_count";

struct Scene {
    server: Nginx,
    servers: Cgroup,
    clients: Cgroup,
}

impl Scene {
    fn new() -> Result<Self> {
        let (servers, clients) = (Cgroup::create("web")?, Cgroup::create("client")?);
        let server = Nginx::start(&Place::within(&servers))?;
        Ok(Self {
            server,
            servers,
            clients,
        })
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(need(program)?);
        command.args(arguments);
        Place::within(&self.clients).apply(&mut command)?;
        finish(&mut command)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    /// Waits for the ledger, then ends nginx: what the agent says, and the access log.
    fn end(self, agent: &Agent) -> Result<(Scrape, Vec<Access>)> {
        agent.settled()?;
        let log = self.server.finish()?;
        Ok((agent.settled()?, log))
    }
}

/// Durations and aborted requests together are the log's lines; durations by method and status
/// are those of the complete ones.
fn agrees(scrape: &Scrape, log: &[Access]) -> Result<()> {
    let durations = scrape.select(REQUESTS).with("service", "web");
    let aborted = scrape.select(ABORTED).with("service", "web");
    let counted = durations.sum() + aborted.sum();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let logged = log.len() as f64;
    ensure!(
        (counted - logged).abs() < 0.5,
        "{counted} counted, {logged} logged\n{durations}{aborted}"
    );
    scrape
        .select("naytife_http_requests_in_flight")
        .with("service", "web")
        .is(0)?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)
}

/// The same where nothing was aborted: each method and status equals.
fn agrees_exactly(scrape: &Scrape, log: &[Access]) -> Result<()> {
    agrees(scrape, log)?;
    let mut issued: BTreeMap<[String; 2], u64> = BTreeMap::new();
    for access in log {
        *issued
            .entry([access.method.clone(), access.status.to_string()])
            .or_default() += 1;
    }
    let durations = scrape.select(REQUESTS).with("service", "web");
    for ([method, status], count) in &issued {
        durations
            .clone()
            .with("method", method)
            .with("status_code", status)
            .is(*count)?;
    }
    scrape.select(ABORTED).with("service", "web").is(0)
}

/// Reads until the server has sent `count` responses with `Content-Length`-free short bodies.
fn read_until(stream: &mut TcpStream, needle: &[u8], count: usize) -> Result<()> {
    let mut all = Vec::new();
    let mut buffer = [0; 8192];
    while all
        .windows(needle.len())
        .filter(|window| *window == needle)
        .count()
        < count
    {
        let n = stream.read(&mut buffer)?;
        ensure!(n > 0, "the server closed early");
        all.extend_from_slice(buffer.get(..n).unwrap_or_default());
    }
    Ok(())
}

#[test]
fn nginx_under_wrk_is_counted_exactly() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.servers])?;
    scene.run(
        "wrk",
        &["-t1", "-c8", "-d2s", &scene.url("/v1/shops/1/products")],
    )?;
    let (scrape, log) = scene.end(&agent)?;
    ensure!(log.len() > 1000, "wrk made {} requests", log.len());
    agrees(&scrape, &log)
}

#[test]
fn curl_in_all_its_ways_is_counted_exactly() -> Result<()> {
    let scene = Scene::new()?;
    fs::write(scene.server.files().join("large"), vec![b'x'; 20 << 20])?;
    fs::write(scene.server.files().join("small"), "small\n")?;
    let agent = Agent::observe(&[&scene.servers])?;
    let quiet = ["-sS", "-o", "/dev/null"];
    let curl = |more: &[&str]| scene.run("curl", &[&quiet, more].concat());
    curl(&[&scene.url("/")])?;
    curl(&["--head", &scene.url("/files/large")])?;
    curl(&[&scene.url("/empty")])?;
    curl(&[&scene.url("/missing")])?;
    curl(&[&scene.url("/files/large")])?;
    curl(&["--http1.0", &scene.url("/files/small")])?;
    curl(&[
        "-H",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
        &scene.url("/files/small"),
    ])?;
    curl(&["--range", "0-99", &scene.url("/files/large")])?;
    curl(&["--data", "a=b", &scene.url("/v1/shops")])?;
    // Several on one connection.
    let many: Vec<String> = (0..10)
        .map(|n| scene.url(&format!("/v1/shops/{n}")))
        .collect();
    let mut arguments = vec!["-sS"];
    for url in &many {
        arguments.extend(["-o", "/dev/null", url]);
    }
    scene.run("curl", &arguments)?;
    let (scrape, log) = scene.end(&agent)?;
    ensure!(log.len() == 19, "curl made {} requests", log.len());
    agrees_exactly(&scrape, &log)?;
    scrape
        .select("naytife_http_response_size_bytes_sum")
        .with("service", "web")
        .is(log.iter().map(|access| access.sent).sum())?;
    scrape
        .select("naytife_http_request_size_bytes_sum")
        .with("service", "web")
        // nginx does not count the body that `return` discards.
        .is(log.iter().map(|access| access.received).sum::<u64>() + "a=b".len() as u64)
}

#[test]
fn a_hundred_requests_in_one_write_are_a_hundred() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.servers])?;
    let mut stream = TcpStream::connect(scene.server.address())?;
    let requests = "GET /v1/shops/7/orders HTTP/1.1\r\nHost: shop\r\n\r\n".repeat(100);
    stream.write_all(requests.as_bytes())?;
    read_until(&mut stream, b"HTTP/1.1 200 OK\r\n", 100)?;
    drop(stream);
    let (scrape, log) = scene.end(&agent)?;
    ensure!(log.len() == 100);
    agrees_exactly(&scrape, &log)?;
    scrape
        .select(REQUESTS)
        .with("endpoint", "/v1/shops/{shop_id}/orders")
        .is(100)
}

#[test]
fn a_request_byte_by_byte_after_an_idle_second_has_its_own_duration() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.servers])?;
    let mut stream = TcpStream::connect(scene.server.address())?;
    stream.set_nodelay(true)?;
    sleep(Duration::from_secs(2));
    for byte in b"GET /health HTTP/1.1\r\nHost: shop\r\n\r\n" {
        stream.write_all(&[*byte])?;
        sleep(Duration::from_millis(1));
    }
    read_until(&mut stream, b"HTTP/1.1 200 OK\r\n", 1)?;
    sleep(Duration::from_secs(2));
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: shop\r\n\r\n")?;
    read_until(&mut stream, b"HTTP/1.1 200 OK\r\n", 1)?;
    drop(stream);
    let (scrape, log) = scene.end(&agent)?;
    agrees_exactly(&scrape, &log)?;
    scrape.select(REQUESTS).with("endpoint", "/health").is(2)?;
    // Two idle periods of two seconds are in neither.
    let buckets = scrape.select("naytife_http_request_duration_seconds_bucket");
    buckets.with("service", "web").with("le", "1").is(2)
}

#[test]
fn a_client_that_leaves_makes_an_aborted_request_not_a_duration() -> Result<()> {
    let scene = Scene::new()?;
    fs::write(scene.server.files().join("huge"), vec![b'x'; 64 << 20])?;
    let agent = Agent::observe(&[&scene.servers])?;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(scene.server.address())?;
        stream.write_all(b"GET /files/huge HTTP/1.1\r\nHost: shop\r\n\r\n")?;
        let mut some = [0; 4096];
        stream.read_exact(&mut some)?;
        // With bytes unread the kernel answers with a reset.
        drop(stream);
    }
    let mut polite = TcpStream::connect(scene.server.address())?;
    polite.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
    polite.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    polite.read_to_end(&mut rest)?;
    let (scrape, log) = scene.end(&agent)?;
    ensure!(log.len() == 4);
    agrees(&scrape, &log)?;
    scrape.select(ABORTED).with("service", "web").is(3)?;
    scrape
        .select(ABORTED)
        .with("service", "web")
        .with("reason", "reset")
        .is(3)
}

#[test]
fn both_ends_observed_count_once_in_each_family() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.servers, &scene.clients])?;
    for _ in 0..10 {
        scene.run(
            "curl",
            &["-sS", "-o", "/dev/null", &scene.url("/v1/templates")],
        )?;
    }
    let (scrape, log) = scene.end(&agent)?;
    agrees_exactly(&scrape, &log)?;
    scrape.select(REQUESTS).is(10)?;
    scrape
        .select(CLIENT)
        .with("service", "client")
        .with("status_code", "200")
        .is(10)?;
    scrape.select(CLIENT).is(10)
}

/// Sends a fixed set of requests to a server that answers like the platform.
fn exercise(address: SocketAddr, name: &str, agent: &Agent) -> Result<()> {
    let client: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
    let paths = ["/", "/v1/shops/3/orders", "/missing", "/health"];
    for path in paths.iter().cycle().take(40) {
        let mut response = client.get(format!("http://{address}{path}")).call()?;
        response.body_mut().read_to_string()?;
        *statuses
            .entry(response.status().as_u16().to_string())
            .or_default() += 1;
    }
    drop(client);
    let scrape = agent.settled()?;
    let durations = scrape.select(REQUESTS).with("service", name);
    for (status, count) in &statuses {
        durations.clone().with("status_code", status).is(*count)?;
    }
    durations.is(40)
}

#[test]
fn a_go_server_is_counted_exactly() -> Result<()> {
    let cgroup = Cgroup::create("go")?;
    let Some(server) = App::go(&Place::within(&cgroup))? else {
        return Ok(());
    };
    let agent = Agent::observe(&[&cgroup])?;
    exercise(server.address(), "go", &agent)
}

#[test]
fn a_node_server_is_counted_exactly() -> Result<()> {
    let cgroup = Cgroup::create("node")?;
    let Some(server) = App::node(&Place::within(&cgroup))? else {
        return Ok(());
    };
    let agent = Agent::observe(&[&cgroup])?;
    exercise(server.address(), "node", &agent)
}
