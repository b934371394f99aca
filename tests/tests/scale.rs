//! Many connections, many short ones, many requests in flight: exact counts, and when all are gone
//! no more memory than the first time.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::process::PATIENCE;
use observer_tests::scrape::Scrape;
use observer_tests::trial::resident;

const REQUESTS: &str = "naytife_http_request_duration_seconds_count";
const IN_FLIGHT: &str = "naytife_http_requests_in_flight";
const ABORTED: &str = "naytife_http_requests_aborted_total";
const TRACKED: &str = "observer_connections_tracked";

const REQUEST: &[u8] = b"GET /v1/shops/1/products HTTP/1.1\r\nHost: shop.example.com\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Memory that the allocator keeps or not as it likes.
const SLACK: u64 = 8 << 20;

/// A server's end that is observed; the client's is not.
struct Scene {
    agent: Agent,
    listener: TcpListener,
    _cgroup: Cgroup,
}

impl Scene {
    fn new(config: &str) -> Result<Self> {
        let cgroup = Cgroup::create("server")?;
        let agent = Agent::start(&Options {
            cgroups: &[&cgroup],
            config: Some(config),
            ..Options::default()
        })?;
        let address = (Ipv4Addr::UNSPECIFIED, 0);
        let listener = cgroup.host(|| Ok(TcpListener::bind(address)?))?;
        Ok(Self {
            agent,
            listener,
            _cgroup: cgroup,
        })
    }

    /// One of several addresses of the loopback: each has its own ports to connect from.
    fn address(&self, number: usize) -> Result<SocketAddr> {
        let last = u8::try_from(1 + number % 8)?;
        let port = self.listener.local_addr()?.port();
        Ok((Ipv4Addr::new(127, 0, 0, last), port).into())
    }

    /// Waits until nothing is tracked any more: what is then counted.
    fn quiet(&self) -> Result<Scrape> {
        self.agent.eventually(|scrape| {
            scrape.ledger_closes()?;
            scrape.stages_agree()?;
            scrape.select(TRACKED).is(0)
        })?;
        self.agent.scrape()
    }
}

fn exactly(scrape: &Scrape, requests: usize) -> Result<()> {
    scrape.select(REQUESTS).is(requests as u64)?;
    scrape.select(ABORTED).is(0)?;
    scrape.select(IN_FLIGHT).is(0)?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)
}

#[test]
fn five_thousand_connections_with_twenty_thousand_requests_in_flight_are_counted_and_forgotten()
-> Result<()> {
    const CONNECTIONS: usize = 5000;
    const EACH: usize = 4;
    let (_, files) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        files >= 2 * CONNECTIONS as u64 + 100,
        "5,000 connections take two files each, and the limit is {files}: raise `ulimit -n`"
    );
    setrlimit(Resource::RLIMIT_NOFILE, files, files)?;
    let scene = Scene::new("")?;
    let mut rounds = Vec::new();
    for round in 1..=2 {
        let mut pairs = Vec::with_capacity(CONNECTIONS);
        for number in 0..CONNECTIONS {
            let client = TcpStream::connect(scene.address(number)?)
                .with_context(|| format!("connection {number}"))?;
            client.set_read_timeout(Some(PATIENCE))?;
            let (server, _) = scene.listener.accept()?;
            server.set_read_timeout(Some(PATIENCE))?;
            pairs.push((client, server));
        }
        let asked = REQUEST.repeat(EACH);
        for (client, _) in &mut pairs {
            client.write_all(&asked)?;
        }
        scene.agent.eventually(|scrape| {
            scrape.select(IN_FLIGHT).is((CONNECTIONS * EACH) as u64)?;
            scrape.select(TRACKED).is(CONNECTIONS as u64)
        })?;
        let peak = resident(&scene.agent)?;
        let (mut questions, answers) = (vec![0; asked.len()], ANSWER.repeat(EACH));
        for (client, server) in &mut pairs {
            server.read_exact(&mut questions)?;
            server.write_all(&answers)?;
            let mut read = vec![0; answers.len()];
            client.read_exact(&mut read)?;
            ensure!(read == answers);
        }
        // The client's end goes first: the server's then has no port of its own to wait with.
        for (client, server) in pairs {
            drop(client);
            drop(server);
        }
        exactly(&scene.quiet()?, CONNECTIONS * EACH * round)?;
        rounds.push((peak, resident(&scene.agent)?));
    }
    eprintln!("resident at the peak and after: {rounds:?}");
    does_not_grow(&rounds)
}

/// The second round took no more than the first, neither at its peak nor when it was over.
fn does_not_grow(rounds: &[(u64, u64)]) -> Result<()> {
    let [first, second] = rounds else {
        return Err(anyhow!("{} rounds", rounds.len()));
    };
    ensure!(second.0 <= first.0 + SLACK, "a higher peak: {rounds:?}");
    ensure!(second.1 <= first.1 + SLACK, "more is kept: {rounds:?}");
    Ok(())
}

#[test]
fn a_hundred_thousand_short_connections_are_counted_and_leave_nothing_behind() -> Result<()> {
    const ROUND: usize = 50_000;
    const WORKERS: usize = 4;
    // Room for a machine that has little time for the agent: this is about counts, not speed.
    let scene = Scene::new("capture:\n  ring_bytes: 67108864\n")?;
    let mut rounds = Vec::new();
    for round in 1..=2 {
        let ended = thread::scope(|scope| {
            let mut all = VecDeque::new();
            for worker in 0..WORKERS {
                let listener = scene.listener.try_clone()?;
                all.push_back(scope.spawn(move || serve(&listener, ROUND / WORKERS)));
                let scene = &scene;
                all.push_back(scope.spawn(move || {
                    (0..ROUND / WORKERS)
                        .try_for_each(|number| ask(scene.address(number * WORKERS + worker)?))
                }));
            }
            let ended = all.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|ended| ended.map_err(|_| anyhow!("a thread panicked"))?)
                .collect::<Result<Vec<()>>>()
        })?;
        ensure!(ended.len() == 2 * WORKERS);
        let scrape = scene.quiet()?;
        exactly(&scrape, ROUND * round)?;
        let tracked = resident(&scene.agent)?;
        rounds.push((tracked, tracked));
    }
    eprintln!("resident after each round: {rounds:?}");
    does_not_grow(&rounds)
}

fn serve(listener: &TcpListener, connections: usize) -> Result<()> {
    for _ in 0..connections {
        let (mut stream, _) = listener.accept()?;
        let mut question = [0; REQUEST.len()];
        stream.read_exact(&mut question)?;
        stream.write_all(ANSWER)?;
        // The client closes first.
        stream.read_to_end(&mut Vec::new())?;
    }
    Ok(())
}

fn ask(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(REQUEST)?;
    let mut answer = [0; ANSWER.len()];
    Ok(stream.read_exact(&mut answer)?)
}
