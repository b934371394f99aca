//! The command as its users meet it: bad input, signals, restarts.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aya::programs::{ProgramInfo, loaded_programs};
use nix::sys::signal::Signal;
use observer_tests::agent::{Agent, Options, binary};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::process::{PATIENCE, Place, Process, find, need};
use observer_tests::programs::held;
use observer_tests::promtool::complaints;

/// Names that exist for compatibility and that promtool dislikes.
const COMPATIBILITY: [&str; 3] = ["naytife_shops_active_total", "node_", "container_"];

fn observer(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()?).args(arguments).output()?)
}

/// One sentence that names the thing, and a failure.
fn refuses(arguments: &[&str], names: &[&str]) -> Result<()> {
    let output = observer(arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "{arguments:?} succeeded");
    ensure!(
        output.stdout.is_empty(),
        "{arguments:?} printed {:?}",
        output.stdout
    );
    let lines = said.lines().filter(|line| !line.trim().is_empty()).count();
    ensure!(lines == 1, "{arguments:?} said {lines} lines:\n{said}");
    for name in names {
        ensure!(
            said.contains(name),
            "{arguments:?} does not name {name}: {said}"
        );
    }
    Ok(())
}

#[test]
fn bad_input_is_one_clear_sentence() -> Result<()> {
    let files = tempfile::tempdir()?;
    let unknown = files.path().join("unknown.yaml");
    fs::write(&unknown, "listen: 127.0.0.1:0\nlisen: 127.0.0.1:1\n")?;
    let unknown = unknown.to_string_lossy();
    refuses(
        &["run", "--config", &unknown],
        &[&unknown, "lisen", "listen"],
    )?;
    refuses(
        &["config", "check", &unknown],
        &["unknown.yaml:2:1: ", "lisen", "did you mean \"listen\"?"],
    )?;
    let absent = files.path().join("absent.yaml");
    let absent = absent.to_string_lossy();
    refuses(&["run", "--config", &absent], &[&absent])?;
    let busy = TcpListener::bind("127.0.0.1:0")?;
    let address = busy.local_addr()?.to_string();
    let cgroup = Cgroup::create("idle")?;
    let path = cgroup.path().to_string_lossy().into_owned();
    refuses(
        &["run", "--listen", &address, "--cgroup", &path],
        &[&address],
    )?;
    refuses(&["run", "--cgroup", "no/such/cgroup"], &["no/such/cgroup"])?;
    Ok(())
}

#[test]
fn check_says_yes_on_this_machine() -> Result<()> {
    let output = observer(&["check"])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(said.lines().count() >= 4, "{said}");
    Ok(())
}

#[test]
fn what_is_exposed_pleases_promtool() -> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let server = Nginx::start(&Place::within(&cgroup))?;
    let agent = Agent::observe(&[&cgroup])?;
    let client: ureq::Agent = ureq::Agent::new_with_defaults();
    for n in 0..20 {
        client
            .get(format!("http://{}/v1/shops/{n}", server.address()))
            .call()?;
    }
    agent.settled()?;
    let (status, text) = agent.get("/metrics")?;
    ensure!(status == 200);
    let left: Vec<_> = complaints(&text)?
        .into_iter()
        .filter(|line| !COMPATIBILITY.iter().any(|name| line.starts_with(name)))
        .collect();
    ensure!(left.is_empty(), "{left:#?}");
    for (path, expected) in [("/healthz", 200), ("/readyz", 200), ("/absent", 404)] {
        let (status, body) = agent.get(path)?;
        ensure!(status == expected, "{path}: {status} {body}");
    }
    Ok(())
}

/// Numbers of the programs of an agent.
fn programs(agent: &Agent) -> Result<BTreeSet<u32>> {
    let mut held = held(agent.process().pid())?;
    let is_ours = |program: &ProgramInfo| {
        let name = program.name_as_str();
        name.is_some_and(|name| name.starts_with("observer_"))
    };
    let ours = loaded_programs().filter_map(Result::ok).filter(is_ours);
    let ours: BTreeSet<u32> = ours.map(|program| program.id()).collect();
    held.retain(|number| ours.contains(number));
    ensure!(!held.is_empty(), "its programs are not named observer_…");
    Ok(held)
}

/// The kernel frees programs a moment after their last user is gone.
fn gone(programs: &BTreeSet<u32>) -> Result<()> {
    let start = Instant::now();
    loop {
        let loaded = loaded_programs().filter_map(Result::ok);
        let left = loaded.filter(|program| programs.contains(&program.id()));
        let left = left.count();
        if left == 0 {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "{left} programs left");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn sigterm_ends_it_in_order_within_two_seconds_and_leaves_nothing() -> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let agent = Agent::observe(&[&cgroup])?;
    let programs = programs(&agent)?;
    let (status, took) = agent.stop()?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(took < Duration::from_secs(2), "{took:?}");
    gone(&programs)
}

#[test]
fn killed_and_started_again_under_load_the_applications_notice_nothing() -> Result<()> {
    let (web, clients) = (Cgroup::create("web")?, Cgroup::create("client")?);
    let server = Nginx::start(&Place::within(&web))?;
    let files = tempfile::tempdir()?;
    let log = files.path().join("wrk.log");
    let mut wrk = Command::new(need("wrk")?);
    wrk.args(["-t1", "-c4", "-d5s"])
        .arg(format!("http://{}/v1/shops", server.address()));
    let mut load = Process::start(wrk, &log, &Place::within(&clients))?;
    let mut theirs = BTreeSet::new();
    for _ in 0..3 {
        let agent = Agent::observe(&[&web])?;
        theirs.extend(programs(&agent)?);
        agent.eventually(|scrape| {
            let requests = scrape
                .select("naytife_http_request_duration_seconds_count")
                .sum();
            ensure!(requests > 10.0, "{requests} requests");
            Ok(())
        })?;
        agent.process().signal(Signal::SIGKILL)?;
        drop(agent);
    }
    gone(&theirs)?;
    let mut ended = || load.until("end", || None::<()>);
    let said = ended().unwrap_err().to_string();
    ensure!(said.contains("exit status: 0"), "{said}");
    ensure!(
        !said.contains("Socket errors") && !said.contains("Non-2xx"),
        "{said}"
    );
    Ok(())
}

const REQUESTS: &str = "naytife_http_request_duration_seconds_count";

/// As many requests to a server that is started in the cgroup for them.
fn serve(cgroup: &Cgroup, requests: usize) -> Result<()> {
    let server = Nginx::start(&Place::within(cgroup))?;
    let client: ureq::Agent = ureq::Agent::new_with_defaults();
    for _ in 0..requests {
        client
            .get(format!("http://{}/v1/shops", server.address()))
            .call()?;
    }
    drop(client);
    server.finish().map(drop)
}

#[test]
fn a_selected_cgroup_that_goes_and_comes_back_is_observed_again() -> Result<()> {
    let (web, api) = (Cgroup::create("web")?, Cgroup::create("api")?);
    let agent = Agent::observe(&[&web, &api])?;
    serve(&web, 5)?;
    agent.settled()?;
    for round in 1..4 {
        fs::remove_dir(web.path())?;
        sleep(Duration::from_millis(600));
        serve(&api, 1)?;
        fs::create_dir(web.path())?;
        sleep(Duration::from_millis(600));
        serve(&web, 7)?;
        let scrape = agent.settled()?;
        let requests = scrape.select(REQUESTS);
        requests.clone().with("service", "web").is(5 + 7 * round)?;
        requests.with("service", "api").is(round)?;
    }
    Ok(())
}

#[test]
fn series_of_a_workload_that_is_gone_go_after_the_set_time_and_are_new_when_it_is_back()
-> Result<()> {
    let (web, api) = (Cgroup::create("web")?, Cgroup::create("api")?);
    let agent = Agent::start(&Options {
        cgroups: &[&web, &api],
        config: Some("limits:\n  stale: 10s\n"),
        ..Options::default()
    })?;
    serve(&web, 5)?;
    serve(&api, 3)?;
    let scrape = agent.settled()?;
    scrape.select(REQUESTS).with("service", "web").is(5)?;
    fs::remove_dir(web.path())?;
    let removed = Instant::now();
    agent.eventually(|scrape| {
        let (_, text) = agent.get("/metrics")?;
        let left = text.lines().find(|line| line.contains("service=\"web\""));
        ensure!(left.is_none(), "{left:?}");
        scrape.select(REQUESTS).with("service", "api").is(3)
    })?;
    ensure!(removed.elapsed() > Duration::from_secs(9), "too early");
    fs::create_dir(web.path())?;
    sleep(Duration::from_millis(600));
    serve(&web, 2)?;
    let scrape = agent.settled()?;
    scrape.select(REQUESTS).with("service", "web").is(2)?;
    scrape.select(REQUESTS).with("service", "api").is(3)
}

#[test]
fn without_a_selection_everything_is_observed_but_the_agent_itself() -> Result<()> {
    let (web, own) = (Cgroup::create("web")?, Cgroup::create("agent")?);
    let agent = Agent::start(&Options {
        cgroup: Some(&own),
        ..Options::default()
    })?;
    serve(&web, 5)?;
    for _ in 0..20 {
        agent.get("/metrics")?;
        agent.get("/healthz")?;
    }
    agent.eventually(|scrape| {
        let requests = scrape.select(REQUESTS).with("service", "web");
        requests.is(5)
    })?;
    let (_, text) = agent.get("/metrics")?;
    let itself = text.lines().find(|line| line.contains("service=\"agent\""));
    ensure!(itself.is_none(), "{itself:?}");
    Ok(())
}

#[test]
fn an_agent_without_traffic_has_an_empty_closed_ledger() -> Result<()> {
    let (idle, own) = (Cgroup::create("idle")?, Cgroup::create("agent")?);
    let agent = Agent::start(&Options {
        cgroups: &[&idle],
        cgroup: Some(&own),
        ..Options::default()
    })?;
    let scrape = agent.settled()?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "seen")
        .is(0)
}

#[test]
fn without_root_it_says_so() -> Result<()> {
    let Some(setpriv) = find("setpriv") else {
        anyhow::bail!("setpriv is not installed")
    };
    let output = Command::new(setpriv)
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary()?)
        .args(["run", "--listen", "127.0.0.1:0"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success());
    ensure!(said.lines().count() == 1 && said.contains("root"), "{said}");
    Ok(())
}
