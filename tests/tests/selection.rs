//! What is observed by who it is: cgroups that come are observed at once, and what came before is said.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Result, ensure};
use observer::export::status::Status;
use observer_tests::agent::{Agent, Options, binary};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::process::Place;
use observer_tests::scrape::Scrape;

const REQUESTS: &str = "naytife_http_request_duration_seconds_count";

/// The cgroups of this test of that name.
fn pattern(name: &str) -> String {
    format!("/observer-tests-{}-*/{name}", process::id())
}

fn selecting(patterns: &[&str]) -> String {
    let patterns: Vec<String> = patterns.iter().map(|name| pattern(name)).collect();
    format!("select: {{cgroups: ['{}']}}\n", patterns.join("', '"))
}

fn observe(config: &str) -> Result<Agent> {
    Agent::start(&Options {
        config: Some(config),
        ..Options::default()
    })
}

/// Requests of a cgroup to itself, a connection each.
fn converse(cgroup: &Cgroup, requests: usize) -> Result<()> {
    cgroup.host(|| {
        let server = TcpListener::bind("127.0.0.1:0")?;
        for _ in 0..requests {
            let mut client = TcpStream::connect(server.local_addr()?)?;
            client.write_all(b"GET /v1/shops HTTP/1.1\r\nHost: shop\r\n\r\n")?;
            let (mut accepted, _) = server.accept()?;
            let mut piece = [0; 256];
            ensure!(accepted.read(&mut piece)? > 0);
            accepted.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            ensure!(client.read(&mut piece)? > 0);
        }
        Ok(())
    })
}

fn counted(scrape: &Scrape, service: &str) -> u64 {
    let requests = scrape.select(REQUESTS).with("service", service).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small count"
    )]
    let requests = requests as u64;
    requests
}

/// Waits until so many cgroups are observed.
fn observed(agent: &Agent, cgroups: u64) -> Result<Scrape> {
    agent.eventually(|scrape| scrape.select("observer_selection_cgroups").is(cgroups))
}

fn attached(scrape: &Scrape, when: &str) -> f64 {
    let attached = scrape.select("observer_selection_attached_total");
    attached.with("when", when).sum()
}

fn status(agent: &Agent) -> Result<Status> {
    Ok(serde_json::from_str(&agent.get("/api/v1/status")?.1)?)
}

#[test]
fn a_workload_is_counted_from_its_first_request_or_said_to_have_run_before() -> Result<()> {
    const ROUNDS: usize = 20;
    let agent = observe(&selecting(&["shop-*"]))?;
    let (mut cgroups, mut servers) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let cgroup = Cgroup::create(&format!("shop-{round}"))?;
        let server = Nginx::start(&Place::within(&cgroup))?;
        let client: ureq::Agent = ureq::Agent::new_with_defaults();
        for _ in 0..3 {
            let address = server.address();
            client.get(format!("http://{address}/v1/shops")).call()?;
        }
        servers.push(server);
        cgroups.push(cgroup);
    }
    observed(&agent, ROUNDS as u64)?;
    for cgroup in &cgroups {
        converse(cgroup, 2)?;
    }
    let scrape = agent.settled()?;
    let mut missed = 0.0;
    for round in 0..ROUNDS {
        let found = counted(&scrape, &format!("shop-{round}"));
        ensure!((2..=5).contains(&found), "{found} of 5 in round {round}");
        if found < 5 {
            missed += 1.0;
        }
    }
    let (empty, running) = (attached(&scrape, "empty"), attached(&scrape, "running"));
    eprintln!("{missed} of {ROUNDS} missed something; {running} are said to have run before");
    ensure!(
        missed <= running,
        "{missed} missed something, {running} are said to have"
    );
    ensure!((empty + running - 20.0).abs() < 0.5, "{empty} + {running}");
    scrape.ledger_closes()
}

#[test]
fn what_is_made_before_anybody_runs_in_it_is_counted_whole_and_said_to_be() -> Result<()> {
    let agent = observe(&selecting(&["shop", "shop-*"]))?;
    ensure!(status(&agent)?.waits && status(&agent)?.selection.is_empty());
    let said = agent.process().printed();
    ensure!(
        said.contains("no workload that is selected is here"),
        "{said}"
    );
    let absent = said.matches("names no cgroup that is here now").count();
    ensure!(absent == 2, "{said}");
    for round in 0..5 {
        let cgroup = Cgroup::create("shop")?;
        observed(&agent, 1)?;
        ensure!(!status(&agent)?.waits);
        converse(&cgroup, 3)?;
        let scrape = agent.settled()?;
        ensure!(counted(&scrape, "shop") == 3 * (round + 1));
        ensure!(attached(&scrape, "running") < 0.5);
        // Made again under its path, it is another one.
        fs::remove_dir(cgroup.path())?;
        observed(&agent, 0)?;
        fs::create_dir(cgroup.path())?;
        observed(&agent, 1)?;
        drop(cgroup);
        observed(&agent, 0)?;
    }
    let scrape = agent.scrape()?;
    ensure!((attached(&scrape, "empty") - 10.0).abs() < 0.5);
    let said = agent.process().printed();
    for line in [
        "a workload is observed service",
        "a workload is observed no more",
    ] {
        ensure!(said.matches(line).count() == 10, "{line}: {said}");
    }
    ensure!(said.contains("its cgroup is gone"), "{said}");
    scrape
        .select("observer_selection_unseen_seconds_total")
        .is(0)?;
    ensure!(status(&agent)?.waits);
    Ok(())
}

#[test]
fn a_cgroup_far_below_is_found_and_observed_with_all_below_it() -> Result<()> {
    let agent = observe(&selecting(&["**/pod-*"]))?;
    let above = Cgroup::create("above")?;
    let pod = above.path().join("a/b/pod-1");
    fs::create_dir_all(pod.join("container"))?;
    let scrape = observed(&agent, 1)?;
    ensure!(attached(&scrape, "empty") > 0.5);
    let selection = status(&agent)?.selection;
    ensure!(
        selection.iter().any(|row| Path::new(&row.cgroup) == pod),
        "{selection:?}"
    );
    let mut below = vec![pod.join("container"), pod];
    below.extend([above.path().join("a/b"), above.path().join("a")]);
    for directory in below {
        fs::remove_dir(directory)?;
    }
    observed(&agent, 0).map(drop)
}

#[test]
fn a_program_is_found_by_its_name_wherever_it_runs() -> Result<()> {
    // Others may run one on this machine.
    let name = format!("shop{}", process::id());
    let files = tempfile::tempdir()?;
    let executable = files.path().join(&name);
    fs::copy("/bin/sleep", &executable)?;
    let agent = observe(&format!("select: {{executables: [{name}]}}\n"))?;
    let (cgroup, other) = (Cgroup::create("web")?, Cgroup::create("other")?);
    observed(&agent, 0)?;
    let mut program = Command::new(&executable).arg("60").spawn()?;
    cgroup.adopt(program.id())?;
    let scrape = observed(&agent, 1)?;
    ensure!(attached(&scrape, "running") > 0.5);
    let unseen = scrape.select("observer_selection_unseen_seconds_total");
    ensure!(unseen.sum() > 0.0);
    converse(&cgroup, 3)?;
    converse(&other, 3)?;
    let ended = program.kill().and_then(|()| program.wait());
    // It goes on: the next one in there is to be seen from its beginning.
    converse(&cgroup, 2)?;
    let scrape = agent.settled()?;
    ended?;
    ensure!(counted(&scrape, "web") == 5 && counted(&scrape, "other") == 0);
    scrape.select("observer_selection_cgroups").is(1)
}

/// A configuration that changes.
struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Result<(Self, Agent)> {
        let file = Self(tempfile::tempdir()?);
        file.write(text)?;
        let agent = Agent::start(&Options {
            arguments: &["--config", &file.path().to_string_lossy()],
            ..Options::default()
        })?;
        Ok((file, agent))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("observer.yaml")
    }

    fn write(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.path(), text)?)
    }
}

fn reloaded(agent: &Agent, outcome: &str, times: u64) -> Result<()> {
    let holds = |scrape: &Scrape| {
        let reloads = scrape.select("observer_config_reloads_total");
        reloads.with("outcome", outcome).is(times)
    };
    agent.eventually(holds).map(drop)
}

#[test]
fn selectors_change_while_it_runs_and_what_stays_is_seen_on() -> Result<()> {
    let (stays, comes, goes, named) = (
        Cgroup::create("stays")?,
        Cgroup::create("comes")?,
        Cgroup::create("goes")?,
        Cgroup::create("named")?,
    );
    let all = [&stays, &comes, &goes, &named];
    let visit = || all.iter().try_for_each(|cgroup| converse(cgroup, 2));
    let counts = |scrape: &Scrape| {
        ["stays", "comes", "goes", "named"].map(|service| counted(scrape, service))
    };
    let (file, agent) = File::new(&selecting(&["stays", "goes"]))?;
    let scrape = observed(&agent, 2)?;
    ensure!(attached(&scrape, "start") > 1.5);
    visit()?;
    ensure!(counts(&agent.settled()?) == [2, 0, 2, 0]);

    // Together with a path.
    let path = named.path().display();
    file.write(&format!(
        "{}cgroups: ['{path}']\n",
        selecting(&["stays", "comes"])
    ))?;
    reloaded(&agent, "applied", 1)?;
    visit()?;
    ensure!(counts(&agent.settled()?) == [4, 2, 2, 2]);
    let said = agent.process().printed();
    let told = |what: &str, service: &str| {
        let mut lines = said.lines().filter(|line| line.contains(what));
        lines.any(|line| line.contains(&format!("\"{service}\"")))
    };
    ensure!(told("a workload is observed no more", "goes"), "{said}");
    ensure!(told("a workload is observed service", "comes"), "{said}");
    ensure!(!told("a workload is observed no more", "stays"), "{said}");
    ensure!(said.contains("it is not selected any more"), "{said}");
    ensure!(
        said.contains("what is observed selected=\"cgroups: ["),
        "{said}"
    );

    file.write("select: {cgroups: ['/sys/fs/cgroup/shop'], labels: ['app inn (a)']}\n")?;
    reloaded(&agent, "refused", 1)?;
    let said = agent.process().printed().replace('\\', "");
    ensure!(said.contains("observer.yaml:1:"), "{said}");
    ensure!(
        said.contains("unknown operator \"inn\"; did you mean \"in\"?"),
        "{said}"
    );
    ensure!(said.contains("did you mean \"/shop\"?"), "{said}");
    visit()?;
    ensure!(counts(&agent.settled()?) == [6, 4, 2, 4]);

    file.write(&format!("cgroups: ['{path}']\n"))?;
    reloaded(&agent, "applied", 2)?;
    visit()?;
    let scrape = agent.settled()?;
    ensure!(counts(&scrape) == [6, 4, 2, 6]);
    scrape.select("observer_selection_cgroups").is(1)?;
    let said = agent.process().printed();
    ensure!(!said.contains("takes effect at the next start"), "{said}");
    scrape.ledger_closes()?;

    // What is emptied widens it to everything.
    let everything = "everything on this machine is observed";
    ensure!(!said.contains(everything), "{said}");
    file.write("select: {cgroups: []}\n")?;
    reloaded(&agent, "applied", 3)?;
    let said = agent.process().printed();
    let told: Vec<&str> = said
        .lines()
        .filter(|line| line.contains(everything))
        .collect();
    ensure!(told.len() == 1 && told[0].contains(" WARN "), "{told:?}");
    Ok(())
}

#[test]
fn past_the_bound_the_others_wait_and_are_counted() -> Result<()> {
    let text = format!("{}capture: {{cgroups: 2}}\n", selecting(&["shop-*"]));
    let agent = observe(&text)?;
    let trouble = |scrape: &Scrape, count| {
        let trouble = scrape.select("observer_selection_trouble_cgroups");
        trouble.with("reason", "bound").is(count)
    };
    let first = Cgroup::create("shop-1")?;
    observed(&agent, 1)?;
    let second = Cgroup::create("shop-2")?;
    observed(&agent, 2)?;
    let third = Cgroup::create("shop-0")?;
    agent.eventually(|scrape| trouble(scrape, 1))?;
    for cgroup in [&first, &second, &third] {
        converse(cgroup, 1)?;
    }
    let scrape = agent.settled()?;
    let counts = ["shop-1", "shop-2", "shop-0"].map(|service| counted(&scrape, service));
    ensure!(counts == [1, 1, 0], "{counts:?}");
    let said = agent.process().printed();
    ensure!(
        said.contains("more cgroups are selected than capture.cgroups allows"),
        "{said}"
    );
    drop(first);
    agent.eventually(|scrape| trouble(scrape, 0))?;
    converse(&third, 1)?;
    let scrape = agent.settled()?;
    ensure!(counted(&scrape, "shop-0") == 1);
    Ok(())
}

#[test]
fn the_command_says_what_would_be_selected_now() -> Result<()> {
    let cgroup = Cgroup::create("shop-now")?;
    let files = tempfile::tempdir()?;
    let file = files.path().join("observer.yaml");
    let say = |text: &str, verb: &[&str]| -> Result<String> {
        fs::write(&file, text)?;
        let mut command = Command::new(binary()?);
        let output = command.args(verb).arg("--config").arg(&file).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // Who runs below goes by a name of its own, here and in the metrics.
    let workers = cgroup.path().join("workers");
    fs::create_dir(&workers)?;
    let mut worker = Command::new("sleep").arg("60").spawn()?;
    fs::write(workers.join("cgroup.procs"), worker.id().to_string())?;
    let found = format!("workers ({})", cgroup.path().display());
    let nothing = "nothing that is selected is here now";
    for verb in [&["check"][..], &["config", "check"]] {
        let said = say(&selecting(&["shop-*"]), verb)?;
        ensure!(said.contains(&found), "{said}");
        let said = say(&selecting(&["no-such"]), verb)?;
        ensure!(said.contains(nothing), "{said}");
        let said = say(&selecting(&["shop-*", "no-such"]), verb)?;
        ensure!(
            said.contains("/no-such\" names no cgroup that is here now"),
            "{said}"
        );
        let said = say("select: {namespaces: [naytife], labels: [app]}\n", verb)?;
        ensure!(said.contains("once the agent runs"), "{said}");
        ensure!(
            said.contains("labels: names nothing without kubernetes.node"),
            "{said}"
        );
    }
    worker.kill()?;
    worker.wait()?;
    Ok(fs::remove_dir(workers)?)
}
