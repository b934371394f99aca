//! HTTP: *counted = issued*, against the servers' own access logs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::network::apart;
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
        Self::listening(Ipv4Addr::LOCALHOST.into(), "")
    }

    fn listening(host: IpAddr, parameters: &str) -> Result<Self> {
        let (servers, clients) = (Cgroup::create("web")?, Cgroup::create("client")?);
        let server = Nginx::listening(&Place::within(&servers), host, parameters)?;
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
    let mut buffer = vec![0; 65536];
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

#[test]
fn ipv6_and_ipv4_on_an_ipv6_listener_count_once_in_each_family() -> Result<()> {
    for (host, parameters) in [
        (Ipv6Addr::LOCALHOST, ""),
        (Ipv6Addr::UNSPECIFIED, "ipv6only=off"),
    ] {
        let scene = Scene::listening(host.into(), parameters)?;
        let agent = Agent::observe(&[&scene.servers, &scene.clients])?;
        let url = scene.url("/v1/shops/7/orders");
        for _ in 0..10 {
            scene.run(
                "curl",
                &["-sS", "-o", "/dev/null", &url, "-o", "/dev/null", &url],
            )?;
        }
        let (scrape, log) = scene.end(&agent)?;
        ensure!(log.len() == 20, "{host}: {} requests", log.len());
        agrees_exactly(&scrape, &log)?;
        scrape.select(REQUESTS).is(20)?;
        let client = scrape.select(CLIENT).with("service", "client");
        client.with("peer", "web").is(20)?;
        scrape.select(CLIENT).is(20)?;
    }
    Ok(())
}

/// A connection for each request, whose first bytes pass the listener: the record there and those
/// of the child have to meet.
#[test]
fn with_many_rings_requests_that_pass_the_listener_are_counted_exactly() -> Result<()> {
    for rings in [2, 4] {
        let scene = Scene::listening(Ipv4Addr::LOCALHOST.into(), "deferred")?;
        let config = format!("capture:\n  rings: {rings}\n");
        let agent = Agent::start(&Options {
            cgroups: &[&scene.servers, &scene.clients],
            config: Some(&config),
            ..Options::default()
        })?;
        let url = scene.url("/v1/shops/1/products");
        let close = ["-t1", "-c8", "-d1s", "-H", "Connection: close", &url];
        scene.run("wrk", &close)?;
        scene.run("wrk", &["-t1", "-c8", "-d1s", &url])?;
        let (scrape, log) = scene.end(&agent)?;
        ensure!(log.len() > 1000, "wrk made {} requests", log.len());
        agrees(&scrape, &log)?;
        // wrk leaves in the middle of its last requests, as its server's log has it.
        let complete = log.iter().filter(|access| access.complete).count();
        let client = scrape.select(CLIENT).with("service", "client").sum();
        let aborted = scrape.select(ABORTED).with("service", "client").sum();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let complete = complete as f64;
        ensure!(
            client <= complete && complete <= client + aborted + 0.5,
            "{client} and {aborted} aborted at the client's end, {complete} complete in the log"
        );
    }
    Ok(())
}

#[test]
fn a_download_in_segments_over_64_kib_is_counted_with_every_byte() -> Result<()> {
    let (servers, clients) = (Cgroup::create("web")?, Cgroup::create("client")?);
    let agent = Agent::observe(&[&servers, &clients])?;
    let big = ["gso_max_size", "200000", "gro_max_size", "200000"];
    let log = apart(&big, || {
        let host = Ipv6Addr::LOCALHOST.into();
        let server = Nginx::listening(&Place::within(&servers), host, "")?;
        fs::write(server.files().join("huge"), vec![b'x'; 64 << 20])?;
        let mut command = Command::new(need("curl")?);
        let url = format!("http://{}/files/huge", server.address());
        command.args(["-sS", "-o", "/dev/null", &url, "-o", "/dev/null", &url]);
        Place::within(&clients).apply(&mut command)?;
        finish(&mut command)?;
        server.finish()
    })?;
    let scrape = agent.settled()?;
    agrees_exactly(&scrape, &log)?;
    scrape
        .select("naytife_http_response_size_bytes_sum")
        .with("service", "web")
        .is(log.iter().map(|access| access.sent).sum())?;
    scrape.select(CLIENT).with("status_code", "200").is(2)?;
    let seen = scrape
        .select("observer_bytes_total")
        .with("outcome", "seen");
    // Twice, at two ends.
    ensure!(seen.sum() > f64::from(4 * (64 << 20)), "{seen}");
    Ok(())
}
