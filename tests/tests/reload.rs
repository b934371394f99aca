//! Another configuration while the agent runs: what changed is in force, and nothing is lost.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;
use std::{sync::Arc, thread::JoinHandle};

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::postgres::Postgres;
use observer_tests::process::Place;
use observer_tests::scrape::{Scrape, Selection};
use postgres::{Client, NoTls};
use tempfile::TempDir;

const REQUESTS: &str = "naytife_http_request_duration_seconds_count";
const EXECUTIONS: &str = "naytife_database_query_duration_seconds_count";
const OF_SHOPS: &str = "naytife_database_shop_query_duration_seconds_count";

/// Rules with one route, and a statement where `statement` says so.
fn rules(route: &str, statement: &str) -> String {
    format!(
        "http:\n  services:\n    web:\n      routes: ['{route}']\n\
         sql:\n  shop_columns: [shop_id]\n  statements: {{{statement}}}\n"
    )
}

/// A directory with a configuration and its rules.
struct Files(TempDir);

impl Files {
    fn new(cgroups: &[&Cgroup], rules: &str) -> Result<Self> {
        let files = Self(tempfile::tempdir()?);
        files.select(cgroups)?;
        fs::write(files.0.path().join("rules.yaml"), rules)?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn select(&self, cgroups: &[&Cgroup]) -> Result<()> {
        let text = configuration(cgroups);
        Ok(fs::write(self.path("observer.yaml"), text)?)
    }

    fn agent(&self) -> Result<Agent> {
        let file = self.path("observer.yaml");
        Agent::start(&Options {
            arguments: &["--config", &file.to_string_lossy()],
            ..Options::default()
        })
    }
}

fn configuration(cgroups: &[&Cgroup]) -> String {
    let paths = cgroups.iter().map(|cgroup| cgroup.path().to_string_lossy());
    let paths: Vec<_> = paths.collect();
    format!("cgroups: [{}]\nrules: rules.yaml\n", paths.join(", "))
}

/// A connection that is kept alive.
struct Kept(TcpStream);

impl Kept {
    fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self(TcpStream::connect(address)?))
    }

    /// A request, and its whole answer.
    fn ask(&mut self, method: &str, path: &str) -> Result<()> {
        write!(self.0, "{method} {path} HTTP/1.1\r\nHost: shop\r\n\r\n")?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        // nginx ends this body with a line feed.
        while !answer.ends_with(b"}\n") {
            let length = self.0.read(&mut piece)?;
            ensure!(length > 0, "{method} {path} was not answered");
            answer.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"));
        Ok(())
    }
}

/// Does the same over and over until it is told to stop: how often.
struct Traffic {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Traffic {
    fn start(mut one: impl FnMut() -> Result<()> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                one()?;
                count += 1;
                sleep(Duration::from_millis(1));
            }
            Ok(count)
        });
        Self { stop, thread }
    }

    fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow!("the traffic ended by a panic"))?
    }
}

fn reloads<'a>(scrape: &'a Scrape, outcome: &str) -> Selection<'a> {
    scrape
        .select("observer_config_reloads_total")
        .with("outcome", outcome)
}

fn applied(agent: &Agent, times: u64) -> Result<()> {
    agent
        .eventually(|scrape| reloads(scrape, "applied").is(times))
        .map(drop)
}

/// No byte was lost, and every connection was seen from its beginning.
fn nothing_lost(scrape: &Scrape) -> Result<()> {
    let bytes = scrape.select("observer_bytes_total");
    bytes.clone().with("outcome", "lost").is(0)?;
    bytes.with("reason", "joined").is(0)
}

#[test]
fn rules_change_on_sighup_under_traffic_and_nothing_is_lost() -> Result<()> {
    let (web, client, servers) = (
        Cgroup::create("web")?,
        Cgroup::create("client")?,
        Cgroup::create("database")?,
    );
    let nginx = Nginx::start(&Place::within(&web))?;
    let database = Postgres::with(Place::within(&servers), &[])?;
    database.create("shop")?;
    let files = Files::new(&[&web, &client], &rules("/v1/{kind}", ""))?;
    let agent = files.agent()?;

    let mut asking = Kept::open(nginx.address())?;
    let requests = Traffic::start(move || asking.ask("GET", "/v1/things"));
    let mut idle = Kept::open(nginx.address())?;
    idle.ask("POST", "/v1/things")?;
    let mut session = client.host(|| Ok(Client::connect(&database.url("shop"), NoTls)?))?;
    // Neither a column nor a parameter of this text looks like a shop's.
    let text = "-- name: CountOwned :one\nSELECT count(*) FROM pg_class WHERE relpages = $1";
    let prepared = session.prepare(text)?;
    let executions = Traffic::start(move || Ok(session.query(&prepared, &[&7]).map(drop)?));
    agent.eventually(|scrape| {
        let seen = |metric| scrape.select(metric).sum();
        ensure!(seen(REQUESTS) > 20.0 && seen(EXECUTIONS) > 20.0);
        scrape.select(OF_SHOPS).is(0)
    })?;

    let statement = "CountOwned: {operation: SELECT, shop: 1}";
    fs::write(
        files.path("rules.yaml"),
        rules("/{version}/{kind}", statement),
    )?;
    agent.process().signal(Signal::SIGHUP)?;
    applied(&agent, 1)?;
    for _ in 0..5 {
        idle.ask("POST", "/v1/things")?;
    }
    agent.eventually(|scrape| {
        ensure!(scrape.select(OF_SHOPS).sum() > 20.0, "no shop is read");
        Ok(())
    })?;
    let (requests, executions) = (requests.stop()?, executions.stop()?);

    let scrape = agent.settled()?;
    let of = |method, endpoint| {
        let requests = scrape.select(REQUESTS).with("method", method);
        requests.with("endpoint", endpoint)
    };
    of("POST", "/v1/{kind}").is(1)?;
    of("POST", "/{version}/{kind}").is(5)?;
    ensure!(!of("GET", "/v1/{kind}").is_empty() && !of("GET", "/{version}/{kind}").is_empty());
    scrape.select(REQUESTS).with("method", "GET").is(requests)?;
    let owned = scrape.select(EXECUTIONS).with("query", "CountOwned");
    owned.is(executions)?;
    nothing_lost(&scrape)?;
    scrape
        .select("naytife_tcp_connections_accepted_total")
        .with("service", "web")
        .is(2)?;
    reloads(&scrape, "refused").is(0)
}

#[test]
fn a_selection_that_changes_attaches_and_detaches_and_what_stays_is_seen_on() -> Result<()> {
    let (stays, comes, goes) = (
        Cgroup::create("stays")?,
        Cgroup::create("comes")?,
        Cgroup::create("goes")?,
    );
    let server = |cgroup| Nginx::start(&Place::within(cgroup));
    let (staying, coming, going) = (server(&stays)?, server(&comes)?, server(&goes)?);
    let files = Files::new(&[&stays, &goes], &rules("/v1/{kind}", ""))?;
    let agent = files.agent()?;
    let mut kept = Kept::open(staying.address())?;
    let traffic = Traffic::start(move || kept.ask("GET", "/v1/things"));
    let (mut to_coming, mut to_going) =
        (Kept::open(coming.address())?, Kept::open(going.address())?);
    for _ in 0..3 {
        to_coming.ask("GET", "/v1/things")?;
        to_going.ask("GET", "/v1/things")?;
    }
    let of = |scrape: &Scrape, service: &str, count| {
        let requests = scrape.select(REQUESTS);
        requests.with("service", service).is(count)
    };
    agent.eventually(|scrape| of(scrape, "goes", 3))?;

    // Nobody tells the agent.
    files.select(&[&stays, &comes])?;
    applied(&agent, 1)?;
    for _ in 0..5 {
        to_coming.ask("GET", "/v1/things")?;
        to_going.ask("GET", "/v1/things")?;
    }
    agent.eventually(|scrape| of(scrape, "comes", 5))?;
    let count = traffic.stop()?;
    let scrape = agent.settled()?;
    of(&scrape, "stays", count)?;
    of(&scrape, "comes", 5)?;
    of(&scrape, "goes", 3)?;
    nothing_lost(&scrape)?;
    // The traffic has closed its own; the one to what is selected no more is forgotten.
    agent.eventually(|scrape| scrape.select("observer_connections_tracked").is(1))?;

    // From a directory to what is below it, and back to nothing named: everything.
    let all = stays.path().parent().unwrap_or(Path::new("/")).to_owned();
    let text = format!("cgroups: ['{}']\nrules: rules.yaml\n", all.display());
    let mut kept = Kept::open(staying.address())?;
    let traffic = Traffic::start(move || kept.ask("PUT", "/v1/things"));
    fs::write(files.path("observer.yaml"), text)?;
    applied(&agent, 2)?;
    files.select(&[&stays])?;
    applied(&agent, 3)?;
    let count = traffic.stop()?;
    let scrape = agent.settled()?;
    let puts = scrape.select(REQUESTS).with("method", "PUT");
    puts.with("service", "stays").is(count)?;
    nothing_lost(&scrape)
}

/// Publishes a version as the kubelet does: a directory of its own, and a symbolic link renamed.
fn publish(directory: &Path, version: &str, rules: &str, configuration: &str) -> Result<()> {
    let own = directory.join(version);
    fs::create_dir(&own)?;
    fs::write(own.join("observer.yaml"), configuration)?;
    fs::write(own.join("rules.yaml"), rules)?;
    let link = directory.join("..data_tmp");
    symlink(version, &link)?;
    let before = fs::read_link(directory.join("..data"));
    fs::rename(&link, directory.join("..data"))?;
    if let Ok(before) = before {
        fs::remove_dir_all(directory.join(before))?;
    }
    Ok(())
}

#[test]
fn a_symbolic_link_swapped_by_the_kubelet_reloads_and_a_bad_file_keeps_the_old_one() -> Result<()> {
    let web = Cgroup::create("web")?;
    let nginx = Nginx::start(&Place::within(&web))?;
    let files = Files(tempfile::tempdir()?);
    let directory = files.0.path();
    let configuration = configuration(&[&web]);
    publish(directory, "..1", &rules("/v1/{first}", ""), &configuration)?;
    for name in ["observer.yaml", "rules.yaml"] {
        symlink(format!("..data/{name}"), files.path(name))?;
    }
    let agent = files.agent()?;
    let mut kept = Kept::open(nginx.address())?;
    kept.ask("GET", "/v1/things")?;
    let of = |scrape: &Scrape, route: &str, count| {
        let requests = scrape.select(REQUESTS);
        requests.with("endpoint", route).is(count)
    };
    agent.eventually(|scrape| of(scrape, "/v1/{first}", 1))?;
    let successful = |scrape: &Scrape, value| {
        let metric = scrape.select("observer_config_last_reload_successful");
        metric.is(value)
    };
    successful(&agent.scrape()?, 1)?;

    publish(directory, "..2", &rules("/v1/{second}", ""), &configuration)?;
    applied(&agent, 1)?;
    kept.ask("GET", "/v1/things")?;
    agent.eventually(|scrape| of(scrape, "/v1/{second}", 1))?;

    let bad = rules("/v1/{third}", "").replace("services:", "servces:");
    publish(directory, "..3", &bad, &configuration)?;
    let scrape = agent.eventually(|scrape| reloads(scrape, "refused").is(1))?;
    successful(&scrape, 0)?;
    let said = agent.process().printed();
    let rules_file = files.path("rules.yaml");
    let place = format!("{}:2:3: unknown key", rules_file.display());
    ensure!(said.contains(&place), "{said}");
    ensure!(said.contains("did you mean"), "{said}");
    kept.ask("GET", "/v1/things")?;
    agent.eventually(|scrape| of(scrape, "/v1/{second}", 2))?;

    // A cgroup that is not there; a value out of its bounds.
    let absent = "cgroups: [no/such/cgroup]\nrules: rules.yaml\n";
    publish(directory, "..4", &rules("/v1/{third}", ""), absent)?;
    agent.eventually(|scrape| reloads(scrape, "refused").is(2))?;
    let wrong = format!("{configuration}limits: {{lines: 3}}\n");
    publish(directory, "..5", &rules("/v1/{third}", ""), &wrong)?;
    agent.eventually(|scrape| reloads(scrape, "refused").is(3))?;
    let said = agent.process().printed();
    ensure!(said.contains("there is no cgroup"), "{said}");
    ensure!(
        said.contains("observer.yaml:3:17: limits.lines is 3"),
        "{said}"
    );

    let other = format!("{configuration}limits: {{stale: 1m}}\n");
    publish(directory, "..6", &rules("/v1/{fourth}", ""), &other)?;
    applied(&agent, 2)?;
    kept.ask("GET", "/v1/things")?;
    let scrape = agent.eventually(|scrape| of(scrape, "/v1/{fourth}", 1))?;
    successful(&scrape, 1)?;
    let said = agent.process().printed();
    ensure!(said.contains("limits.stale"), "{said}");
    ensure!(said.contains("takes effect at the next start"), "{said}");
    let scrape = agent.settled()?;
    nothing_lost(&scrape)?;
    scrape
        .select("naytife_tcp_connections_accepted_total")
        .with("service", "web")
        .is(1)
}
