//! A thousand statements in one segment, and what an error among them skips.

use std::net::TcpStream;

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;

use super::account::{Issued, agree, compare, named};
use super::scene::Scene;
use super::wire::{Wire, bind_and_execute, parse, query, sync};

/// What fits one segment on the loopback.
const SEGMENT: usize = 65_483;

/// What is sent at once.
struct Batch {
    /// Its database.
    name: &'static str,
    messages: Vec<u8>,
    /// How often the server is ready in between, and at the end.
    turns: usize,
    /// By name or operation.
    executions: &'static [(&'static str, i64)],
    rows: i64,
    failed: i64,
}

/// Executes of one prepared statement with one Sync; in the place of `broken` another one, which
/// fails.
fn executes(broken: Option<usize>) -> Vec<u8> {
    let run = |number| bind_and_execute(if Some(number) == broken { "b" } else { "a" });
    let mut messages: Vec<u8> = (0..1000).flat_map(run).collect();
    messages.extend(sync());
    messages
}

#[test]
fn a_thousand_statements_in_one_segment_are_a_thousand_executions_up_to_the_one_that_fails()
-> Result<()> {
    let batches = [
        Batch {
            name: "thousand_executes",
            messages: executes(None),
            turns: 1,
            executions: &[("Whole", 1000)],
            rows: 1000,
            failed: 0,
        },
        Batch {
            name: "skipped_from_the_middle",
            messages: executes(Some(500)),
            turns: 1,
            executions: &[("Whole", 500), ("Broken", 1)],
            rows: 500,
            failed: 1,
        },
        Batch {
            name: "thousand_in_one_query",
            messages: query(&"SELECT 1;".repeat(1000)),
            turns: 1,
            executions: &[("SELECT", 1000)],
            rows: 1000,
            failed: 0,
        },
        Batch {
            name: "thousand_queries",
            messages: query("SELECT 1").repeat(1000),
            turns: 1000,
            executions: &[("SELECT", 1000)],
            rows: 1000,
            failed: 0,
        },
    ];
    let scene = Scene::new(&batches.each_ref().map(|batch| batch.name))?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut played = Vec::new();
    for batch in &batches {
        let open = || Ok(TcpStream::connect(scene.server.address())?);
        let mut wire = Wire::start(scene.clients.host(open)?, batch.name)?;
        let whole = parse("a", &named("Whole", "SELECT 1"));
        let broken = parse("b", &named("Broken", "SELECT quotient(0)"));
        wire.send(&[whole, broken, sync()].concat(), 1)?;
        ensure!(batch.messages.len() < SEGMENT, "{}", batch.name);
        wire.send(&batch.messages, batch.turns)?;
        let mut issued = Issued {
            scenario: batch.name.into(),
            rows: batch.rows,
            failed: batch.failed,
            commits: i64::try_from(batch.turns)? - batch.failed,
            connections: 1,
            idle: Some(1),
            ..Issued::default()
        };
        for (what, times) in batch.executions {
            issued.executions.insert((*what).into(), *times);
        }
        for state in &wire.errors {
            *issued.errors.entry(state.clone()).or_default() += 1;
        }
        played.push(issued);
    }
    let scrape = agent.settled()?;
    let mut differences = Vec::new();
    for issued in &played {
        differences.extend(compare(issued, &scene.server, &scrape, "client")?);
    }
    agree(&differences, &scrape)
}
