//! What an agent tells people: the page, its JSON, and `observer top` in a real terminal.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use observer::export::status::{Entry, Status};
use observer_tests::agent::{Agent, binary};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::process::{Place, free_port};
use observer_tests::scrape::Scrape;
use observer_tests::terminal::Terminal;

const ROUTE: &str = "GET /v1/shops/{shop_id}";
/// What clients send and nobody else is to read.
const SECRETS: [&str; 4] = [
    "tok_4eC39HqLyjW",
    "jane@example.com",
    "sess_0123456789",
    "9876543210",
];

fn top(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    Ok(command.arg("top").args(arguments).output()?)
}

fn visit(server: &Nginx, times: usize) -> Result<()> {
    let client: ureq::Agent = ureq::Agent::new_with_defaults();
    let [token, mail, session, shop] = SECRETS;
    for _ in 0..times {
        let path = format!("/v1/shops/{shop}?token={token}&mail={mail}");
        client
            .get(format!("http://{}{path}", server.address()))
            .header("authorization", format!("Bearer {token}"))
            .header("cookie", format!("session={session}"))
            .call()?;
    }
    Ok(())
}

fn status(agent: &Agent) -> Result<Status> {
    let (code, text) = agent.get("/api/v1/status")?;
    ensure!(code == 200, "{code}: {text}");
    Ok(serde_json::from_str(&text)?)
}

fn agrees(status: &Status, scrape: &Scrape) -> Result<()> {
    let ledger = &status.ledger;
    let bytes = scrape.select("observer_bytes_total");
    let of = |outcome| bytes.clone().with("outcome", outcome);
    of("seen").is(ledger.seen)?;
    of("decoded").is(ledger.decoded)?;
    for (outcome, entries) in [("skipped", &ledger.skipped), ("lost", &ledger.lost)] {
        ensure!(of(outcome).len() == entries.len(), "{outcome}");
        for Entry {
            stage,
            reason,
            bytes,
        } in entries
        {
            let line = of(outcome).with("stage", stage).with("reason", reason);
            line.is(*bytes)?;
        }
    }
    for stage in &status.records {
        let records = scrape.select("observer_records_total");
        records.with("stage", &stage.stage).is(stage.count)?;
    }
    Ok(())
}

#[test]
fn page_and_status_tell_who_is_observed_and_what_the_metrics_say() -> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let server = Nginx::start(&Place::within(&cgroup))?;
    let agent = Agent::observe(&[&cgroup])?;
    visit(&server, 7)?;
    let scrape = agent.settled()?;
    let status = status(&agent)?;
    agrees(&status, &scrape)?;
    ensure!(status.not_ready.is_none() && status.ledger.pending == 0);
    let path = cgroup.path().display().to_string();
    let [selected] = &*status.selection else {
        anyhow::bail!("{:?}", status.selection);
    };
    ensure!(selected.cgroup == path && selected.present, "{selected:?}");
    let probes = status.probes.iter();
    ensure!(probes.filter(|probe| probe.required).all(|p| p.attached));
    let mut routes = status.tables.routes.rows.iter();
    let route = routes.find(|row| format!("{} {}", row.method, row.endpoint) == ROUTE);
    let route = route.context("no such route")?;
    ensure!(route.service == "web" && route.requests == 7, "{route:?}");

    let (code, page) = agent.get("/")?;
    ensure!(code == 200, "{code}");
    for told in [path.as_str(), ROUTE, "observer_egress", "0 B lost"] {
        ensure!(page.contains(told), "{told} is not on the page: {page}");
    }
    let once = top(&[&agent.address().to_string(), "--once"])?;
    let json = serde_json::to_string(&status)?;
    let printed = String::from_utf8_lossy(&once.stdout);
    for secret in SECRETS {
        ensure!(!page.contains(secret), "{secret} is on the page");
        ensure!(!json.contains(secret), "{secret} is in the status");
        ensure!(!printed.contains(secret), "{secret} is printed");
    }
    Ok(())
}

#[test]
fn top_prints_a_table_once() -> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let server = Nginx::start(&Place::within(&cgroup))?;
    let agent = Agent::observe(&[&cgroup])?;
    visit(&server, 5)?;
    agent.settled()?;
    let address = agent.address().to_string();
    let url = format!("http://{address}/");
    for arguments in [[address.as_str(), "--once"], [url.as_str(), "--once"]] {
        let output = top(&arguments)?;
        let printed = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{arguments:?}");
        let row = printed.lines().find(|line| line.starts_with(ROUTE));
        let count = row.and_then(|row| row.strip_prefix(ROUTE)?.split_whitespace().next());
        ensure!(count == Some("5"), "{printed}");
    }
    Ok(())
}

#[test]
fn top_says_in_one_sentence_why_it_shows_nothing() -> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let stranger = Nginx::start(&Place::within(&cgroup))?.address().to_string();
    let server = Nginx::start(&Place::within(&cgroup))?;
    let other = server.address().to_string();
    let nobody = free_port()?.to_string();
    for (arguments, says) in [
        (vec![nobody.as_str(), "--once"], "no agent answers at"),
        (vec![stranger.as_str(), "--once"], "no agent answers at"),
        (vec![other.as_str(), "--once"], "that is no observer"),
        (vec!["https://localhost", "--once"], "https://localhost"),
        (vec![nobody.as_str()], "--once"),
        (
            vec![nobody.as_str(), "--once", "--sort", "size"],
            "route, workload",
        ),
        (vec!["--once", "--cgroup", "no/such"], "no/such"),
    ] {
        let output = top(&arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{arguments:?}: {said}");
        ensure!(output.stdout.is_empty(), "{arguments:?}");
        ensure!(said.lines().count() == 1 && said.contains(says), "{said}");
    }
    Ok(())
}

/// Starts `observer top` in a terminal.
fn watch(arguments: &[&str]) -> Result<Terminal> {
    let mut command = Command::new(binary()?);
    command.args(["top", "--interval", "200ms"]).args(arguments);
    Terminal::start(&command)
}

#[test]
fn top_shows_a_running_agent_in_a_terminal_and_outlives_it() -> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let server = Nginx::start(&Place::within(&cgroup))?;
    let agent = Agent::observe(&[&cgroup])?;
    visit(&server, 5)?;
    agent.settled()?;
    let address = agent.address().to_string();
    let mut terminal = watch(&[&address])?;
    let shown = terminal.until("route", |shown| shown.contains(ROUTE))?;
    ensure!(shown.lines().all(|line| line.chars().count() <= 80));
    ensure!(
        shown.contains(&address) && shown.contains("REQ▼"),
        "{shown}"
    );
    terminal.keys("t")?;
    terminal.until("totals", |shown| shown.contains("in all since the start"))?;
    terminal.keys("s")?;
    terminal.until("other order", |shown| shown.contains("4XX▼"))?;
    terminal.keys("/none")?;
    terminal.until("filter", |shown| shown.contains("0 rows"))?;
    terminal.keys("\x1b")?;
    terminal.until("route again", |shown| shown.contains(ROUTE))?;
    terminal.keys("2")?;
    terminal.until("shops", |shown| shown.contains("SHOP "))?;
    terminal.keys("1")?;

    agent.process().signal(Signal::SIGSTOP)?;
    terminal.until("word that it is stopped", |shown| shown.contains("STALE"))?;
    agent.process().signal(Signal::SIGCONT)?;
    terminal.until("recovery", |shown| !shown.contains("STALE"))?;
    agent.process().signal(Signal::SIGKILL)?;
    let shown = terminal.until("word that it is gone", |shown| shown.contains("STALE"))?;
    ensure!(shown.contains(ROUTE), "what was known stays: {shown}");
    terminal.keys("q")?;
    ensure!(terminal.ended()?.success());
    Ok(())
}

#[test]
fn however_top_ends_the_terminal_is_as_it_was() -> Result<()> {
    let cgroup = Cgroup::create("idle")?;
    let agent = Agent::observe(&[&cgroup])?;
    let address = agent.address().to_string();
    let ends: [fn(&mut Terminal) -> Result<()>; 5] = [
        |terminal| terminal.keys("q"),
        |terminal| terminal.keys("\x1b"),
        |terminal| terminal.keys("\x03"),
        |terminal| terminal.signal(Signal::SIGTERM),
        |terminal| terminal.signal(Signal::SIGHUP),
    ];
    for end in ends {
        let mut terminal = watch(&[&address])?;
        terminal.until("picture", |shown| shown.contains("1 Routes"))?;
        end(&mut terminal)?;
        ensure!(terminal.ended()?.success());
    }
    Ok(())
}

#[test]
fn top_brings_an_agent_of_its_own() -> Result<()> {
    let cgroup = Cgroup::create("web")?;
    let server = Nginx::start(&Place::within(&cgroup))?;
    let path = cgroup.path().display().to_string();
    let mut terminal = watch(&["--cgroup", &path])?;
    terminal.until("picture", |shown| shown.contains("in this process"))?;
    visit(&server, 5)?;
    terminal.until("route", |shown| shown.contains(ROUTE))?;
    terminal.keys("q")?;
    ensure!(terminal.ended()?.success());
    Ok(())
}
