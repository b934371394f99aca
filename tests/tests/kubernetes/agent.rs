//! The agent with an API beside it: names in its metrics, and no byte of its own in them.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use observer::capture::record::Body;
use observer::capture::recording::{Item, Reader};
use observer_tests::agent::{Agent, Options, binary};
use observer_tests::apiserver::{ApiServer, Fault, recorded};
use observer_tests::cgroup::Cgroup;
use observer_tests::process::{Place, Process, free_port};

use super::scene::NODE;

fn config(server: &ApiServer, directory: &std::path::Path) -> Result<String> {
    let kubeconfig = server.kubeconfig(directory)?;
    Ok(format!(
        "kubernetes: {{node: {NODE}, kubeconfig: {}, pod_logs: {}}}\n",
        kubeconfig.display(),
        directory.join("pods").display()
    ))
}

#[test]
fn what_the_agent_asks_of_the_api_is_no_traffic_of_the_platform() -> Result<()> {
    let files = tempfile::tempdir()?;
    let server = ApiServer::recorded()?;
    // Its own cgroup is the one that is observed.
    let own = Cgroup::create("agent")?;
    let agent = Agent::start(&Options {
        cgroups: &[&own],
        cgroup: Some(&own),
        config: Some(&config(&server, files.path())?),
        ..Options::default()
    })?;
    server.set("pods", recorded()?.swap_remove(0).1);
    let asked = server.requests().len();
    server.compact();
    server.cut();
    // It has asked again since: there was something to be seen.
    agent.eventually(|_| {
        ensure!(server.requests().len() > asked + 4);
        Ok(())
    })?;
    let scrape = agent.settled()?;
    let synchronized = scrape.select("observer_kubernetes_synchronized_timestamp_seconds");
    ensure!(
        synchronized.len() == 4 && synchronized.sum() > 4e9,
        "{synchronized:?}"
    );
    scrape
        .select("observer_kubernetes_objects")
        .with("resource", "services")
        .is(9)?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "seen")
        .is(0)?;
    for metric in ["opened", "accepted", "refused"] {
        let name = format!("naytife_tcp_connections_{metric}_total");
        ensure!(scrape.select(&name).sum() == 0.0, "{name}");
    }
    Ok(())
}

#[test]
fn an_agent_without_an_api_starts_and_says_so_once() -> Result<()> {
    let files = tempfile::tempdir()?;
    let mut server = ApiServer::recorded()?;
    let config = config(&server, files.path())?;
    server.suspend();
    let idle = Cgroup::create("idle")?;
    let agent = Agent::start(&Options {
        cgroups: &[&idle],
        config: Some(&config),
        ..Options::default()
    })?;
    agent.eventually(|scrape| {
        let errors = scrape.select("observer_kubernetes_watch_errors_total");
        ensure!(errors.sum() > 8.0, "{errors:?}");
        Ok(())
    })?;
    server.resume()?;
    agent.eventually(|scrape| {
        let synchronized = scrape.select("observer_kubernetes_synchronized_timestamp_seconds");
        ensure!(synchronized.sum() > 4e9, "{synchronized:?}");
        Ok(())
    })?;
    // A second time, after it was well.
    agent.eventually(|_| {
        ensure!(agent.process().printed().contains("tells news again"));
        Ok(())
    })?;
    server.fault(Fault::Status(500));
    server.compact();
    server.cut();
    agent.eventually(|_| {
        ensure!(agent.process().printed().contains("it answers 500"));
        Ok(())
    })?;
    let log = agent.process().printed();
    let times = |text: &str| log.matches(text).count();
    ensure!(times("connection refused") == 1, "{log}");
    ensure!(times("it answers 500") == 1, "{log}");
    ensure!(times("tells news again") == 1, "{log}");
    ensure!(!log.contains("of-the-agent"), "{log}");
    Ok(())
}

#[test]
fn while_it_waits_for_the_api_it_says_that_it_does() -> Result<()> {
    let files = tempfile::tempdir()?;
    let mut server = ApiServer::recorded()?;
    let file = files.path().join("observer.yaml");
    fs::write(&file, config(&server, files.path())?)?;
    server.suspend();
    let (idle, address) = (Cgroup::create("idle")?, free_port()?);
    let mut command = Command::new(binary()?);
    command.args(["run", "--listen", &address.to_string(), "--config"]);
    command.arg(&file).arg("--cgroup").arg(idle.path());
    let log = files.path().join("observer.log");
    let mut process = Process::start(command, &log, &Place::default())?;
    let client = ureq::Agent::config_builder().http_status_as_error(false);
    let client: ureq::Agent = client.build().into();
    let sentence =
        "waiting, for 5s at most, for the Kubernetes API to tell of its pods and services\n";
    process.until("say that it waits for the API", || {
        let mut answer = client.get(format!("http://{address}/readyz")).call().ok()?;
        let said = answer.body_mut().read_to_string().ok()?;
        (answer.status() == 503 && said == sentence).then_some(())
    })?;
    process.stop().map(drop)
}

#[test]
fn a_pod_that_no_api_tells_of_is_named_by_its_logs() -> Result<()> {
    let files = tempfile::tempdir()?;
    let uid = "7c5d3a8e-0f6b-4d0a-9d5e-1f2a3b4c5d6e";
    let logs = files.path().join("pods");
    fs::create_dir_all(logs.join(format!("naytife_backend-6c9f7d8b5c-x2vkq_{uid}")))?;
    let pod = Cgroup::create(&format!("pod{uid}"))?;
    let config = format!("kubernetes: {{pod_logs: {}}}\n", logs.display());
    let agent = Agent::start(&Options {
        cgroups: &[&pod],
        config: Some(&config),
        ..Options::default()
    })?;
    connect(&pod)?;
    agent.eventually(|scrape| {
        let accepted = scrape.select("naytife_tcp_connections_accepted_total");
        let named = accepted.with("service", "backend").sum();
        ensure!(
            named > 0.0,
            "{:?}",
            scrape.select("naytife_tcp_connections_accepted_total")
        );
        Ok(())
    })?;
    agent.stop().context("it did not end").map(drop)
}

/// A connection of a cgroup to itself.
fn connect(cgroup: &Cgroup) -> Result<()> {
    let listener = cgroup.host(|| Ok(TcpListener::bind(("127.0.0.1", 0))?))?;
    let client = cgroup.host(|| Ok(TcpStream::connect(listener.local_addr()?)?))?;
    drop((client, listener.accept()?));
    Ok(())
}

#[test]
fn a_recording_holds_pods_of_the_namespaces_that_are_selected_and_of_no_other() -> Result<()> {
    let files = tempfile::tempdir()?;
    let server = ApiServer::recorded()?;
    let pod = |uid: &str| Cgroup::create(&format!("pod{uid}"));
    let (backend, late) = (
        "0f787376-c1ce-47e5-b569-17786cbdd80c",
        "a5d15fc7-d465-4722-8bb8-287b584704e9",
    );
    let backend = pod(backend)?;
    let system = pod("ad493b1b-8f30-4148-9ae4-023ee423a803")?;
    let config = config(&server, files.path())? + "select: {namespaces: [naytife]}\n";
    let (text, output) = (
        files.path().join("observer.yaml"),
        files.path().join("recording"),
    );
    fs::write(&text, config)?;
    let mut command = Command::new(binary()?);
    command.arg("record").arg(&output).arg("--config").arg(text);
    let log = files.path().join("log");
    let mut process = Process::start(command, &log, &Place::default())?;
    let says = |text: &'static str, times: usize| {
        let log = &log;
        move || {
            let log = fs::read_to_string(log).ok()?;
            (log.matches(text).count() >= times).then_some(())
        }
    };
    process.until("record", says("recording", 1))?;
    process.until(
        "observe the pod that is there",
        says("a workload is observed", 1),
    )?;
    let late = pod(late)?;
    process.until(
        "observe the pod that comes",
        says("a workload is observed", 2),
    )?;
    for cgroup in [&backend, &system, &late] {
        connect(cgroup)?;
    }
    ensure!(process.stop()?.success(), "{}", process.printed());
    let mut found = BTreeSet::new();
    let (_, mut reader) = Reader::new(fs::File::open(&output)?)?;
    while let Some(item) = reader.item()? {
        if let Item::Record(record) = item
            && let Body::Connection(_, identity) = record.body
        {
            found.insert(identity.cgroup);
        }
    }
    let expected = [&backend, &late].map(|cgroup| Ok(fs::metadata(cgroup.path())?.ino()));
    let expected: Result<BTreeSet<u64>> = expected.into_iter().collect();
    ensure!(found == expected?, "{found:?}\n{}", process.printed());
    Ok(())
}
