//! The agent comes in the middle: of a message, of an answer, of a transaction. Nothing false is
//! counted, and what follows is exact.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::scrape::Scrape;

use super::account::named;
use super::scene::Scene;
use super::wire::{Wire, extended, query, sync};

const EXECUTIONS: &str = "naytife_database_query_duration_seconds_count";
const UNTIMED: &str = "naytife_database_executions_untimed_total";
const TRANSACTIONS: &str = "naytife_database_transactions_total";

fn connect(scene: &Scene) -> Result<Wire> {
    let open = || Ok(TcpStream::connect(scene.server.address())?);
    Wire::start(scene.clients.host(open)?, "joined")
}

/// Ten statements of one name, five of them by the extended protocol.
fn afterwards(wire: &mut Wire) -> Result<()> {
    let text = named("After", "SELECT 1");
    for _ in 0..5 {
        wire.query(&text)?;
        wire.send(&[extended(&text), sync()].concat(), 1)?;
    }
    Ok(())
}

/// The ten, besides so many executions that began before the agent and ended after.
fn counted(scrape: &Scrape, before: u64) -> Result<()> {
    let all = |metric| scrape.select(metric).with("service", "client");
    all(EXECUTIONS).with("query", "After").is(10)?;
    all(EXECUTIONS).without("query", "After").is(0)?;
    all(UNTIMED).is(before)?;
    all(TRANSACTIONS).with("outcome", "rollback").is(0)?;
    all(TRANSACTIONS).with("outcome", "failed").is(0)
}

#[test]
fn a_query_half_sent_before_the_agent_came_is_not_guessed() -> Result<()> {
    let scene = Scene::new(&["joined"])?;
    let mut wire = connect(&scene)?;
    let message = query(&format!("SELECT length('{}')", "x".repeat(300_000)));
    let (sent, rest) = message.split_at(100_000);
    wire.stream().write_all(sent)?;
    let agent = Agent::observe(&[&scene.clients])?;
    wire.send(rest, 1)?;
    afterwards(&mut wire)?;
    ensure!(wire.tags.len() == 11);
    counted(&agent.settled()?, 0)
}

#[test]
fn a_bind_half_sent_before_the_agent_came_is_not_guessed() -> Result<()> {
    let scene = Scene::new(&["joined"])?;
    let mut wire = connect(&scene)?;
    let message = [extended(&named("Before", "SELECT 1")), sync()].concat();
    // Within the Bind's own body.
    let (sent, rest) = message.split_at(message.len() - 22);
    wire.stream().write_all(sent)?;
    let agent = Agent::observe(&[&scene.clients])?;
    wire.send(rest, 1)?;
    afterwards(&mut wire)?;
    ensure!(wire.tags.len() == 11);
    counted(&agent.settled()?, 0)
}

#[test]
fn an_answer_half_read_before_the_agent_came_is_not_guessed() -> Result<()> {
    let scene = Scene::new(&["joined"])?;
    let mut wire = connect(&scene)?;
    wire.stream()
        .write_all(&query("SELECT repeat('y', 40000000)"))?;
    // More than the sockets' buffers hold: the server is in the middle of it.
    let mut some = vec![0; 100_000];
    wire.stream().read_exact(&mut some)?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut left = vec![0; 40_000_000];
    let mut tail = Vec::new();
    while !tail.ends_with(b"Z\0\0\0\x05I") {
        let read = wire.stream().read(&mut left)?;
        ensure!(read > 0, "the server closed");
        tail.extend(left.get(..read).context("more than there is room for")?);
        tail.drain(..tail.len().saturating_sub(16));
    }
    afterwards(&mut wire)?;
    counted(&agent.settled()?, 0)
}

#[test]
fn a_transaction_under_way_ends_as_it_ends() -> Result<()> {
    let scene = Scene::new(&["joined"])?;
    let ends = [
        ("COMMIT", "commit"),
        ("ROLLBACK", "rollback"),
        ("SELECT 1/0; COMMIT", "failed"),
    ];
    let mut wires = Vec::new();
    for _ in ends {
        let mut wire = connect(&scene)?;
        wire.query("BEGIN")?;
        wire.query(&named("Before", "INSERT INTO orders (status) VALUES ('a')"))?;
        wires.push(wire);
    }
    let agent = Agent::observe(&[&scene.clients])?;
    for (wire, (end, _)) in wires.iter_mut().zip(ends) {
        wire.query(&named("After", "INSERT INTO orders (status) VALUES ('b')"))?;
        for statement in end.split("; ") {
            wire.query(statement)?;
        }
        wire.query(&named("Later", "SELECT 1"))?;
    }
    let scrape = agent.settled()?;
    let all = |metric| scrape.select(metric).with("service", "client");
    all(EXECUTIONS).with("query", "After").is(3)?;
    all(EXECUTIONS).with("query", "Later").is(3)?;
    all(EXECUTIONS).is(3 + 4 + 3)?;
    for (_, outcome) in ends {
        let later = if outcome == "commit" { 3 } else { 0 };
        all(TRANSACTIONS).with("outcome", outcome).is(1 + later)?;
    }
    all(TRANSACTIONS).is(3 + 3)
}
