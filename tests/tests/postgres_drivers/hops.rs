//! Through a pooler: one statement of the application is one execution, at whichever of the four
//! ends it is seen.
//!
//! ```text
//! client ──────▶ pooler ──────▶ database
//!        1     2        3     4
//! ```

use std::collections::BTreeMap;
use std::net::TcpStream;

use anyhow::{Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::pgbouncer::{PgBouncer, Pooling};
use observer_tests::process::Place;
use observer_tests::scrape::{Scrape, Selection};
use postgres::types::Type;
use postgres::{Client, NoTls};

use super::account::{named, nothing_lost};
use super::relay;
use super::scene::Scene;
use super::wire::{Wire, bind_and_execute, parse, sync};

const EXECUTIONS: &str = "naytife_database_query_duration_seconds_count";
const TRANSACTIONS: &str = "naytife_database_transactions_total";
const HOPS: &str = "naytife_database_hop_executions_total";

/// What is selected: client, pooler, database. Where the pooler is, both its ends are.
const SELECTIONS: [(&str, [bool; 3]); 7] = [
    ("end 1", [true, false, false]),
    ("end 4", [false, false, true]),
    ("ends 2 and 3", [false, true, false]),
    ("ends 1 and 4", [true, false, true]),
    ("ends 1, 2 and 3", [true, true, false]),
    ("ends 2, 3 and 4", [false, true, true]),
    ("all four ends", [true, true, true]),
];

/// By name: what the application issues, and how many transactions that is.
type Load = (BTreeMap<&'static str, u64>, u64);

/// Starts a pooler, and issues what applications do through it.
type Drive<'a> = &'a dyn Fn() -> Result<Load>;

/// Plays the load before each selection of ends, and compares.
fn at_every_end(scene: &Scene, poolers: &Cgroup, database: &str, drive: Drive<'_>) -> Result<()> {
    for (what, [client, pooler, server]) in SELECTIONS {
        let cgroups = [
            (client, &scene.clients),
            (pooler, poolers),
            (server, &scene.servers),
        ];
        let selected: Vec<&Cgroup> = cgroups.iter().filter(|c| c.0).map(|c| c.1).collect();
        let logged = || anyhow::Ok(scene.server.statements()?.of(database).executions() as u64);
        let before = logged()?;
        let agent = Agent::observe(&selected)?;
        let (issued, transactions) = drive()?;
        let scrape = agent.settled()?;
        let upstream = logged()? - before;
        let owner = match (client, pooler) {
            (true, _) => "client",
            (false, true) => "pooler",
            (false, false) => "database",
        };
        let check = || -> Result<()> {
            let of = |metric, service| of(&scrape, metric, service, database);
            for (name, times) in &issued {
                of(EXECUTIONS, owner).with("query", name).is(*times)?;
            }
            if owner != "database" {
                of(EXECUTIONS, owner).is(issued.values().sum())?;
                of(TRANSACTIONS, owner).is(transactions)?;
            }
            if owner == "client" {
                of(EXECUTIONS, "pooler").is(0)?;
                of(TRANSACTIONS, "pooler").is(0)?;
            }
            // Nobody can tell that the database's client is a pooler where that is not observed.
            let apart = server && !pooler;
            of(EXECUTIONS, "database").is(if apart { upstream } else { 0 })?;
            scrape.select(HOPS).is(if pooler { upstream } else { 0 })?;
            nothing_lost(&scrape)
        };
        check().map_err(|error| error.context(format!("observed at {what}")))?;
    }
    Ok(())
}

fn of<'a>(scrape: &'a Scrape, metric: &str, service: &str, database: &str) -> Selection<'a> {
    let all = scrape.select(metric).with("service", service);
    all.with("database", database)
}

/// Clients in their cgroup, each with a connection to the pooler.
fn clients(scene: &Scene, url: &str) -> Result<Vec<Client>> {
    let open = || (0..3).map(|_| Ok(Client::connect(url, NoTls)?)).collect();
    scene.clients.host(open)
}

/// 1.18, which Debian 12 has, forbids named statements in this mode; from 1.21 on they are renamed.
#[test]
fn through_pgbouncer_in_transaction_mode_a_statement_is_one_execution() -> Result<()> {
    let scene = Scene::new(&["pooled"])?;
    let poolers = Cgroup::create("pooler")?;
    at_every_end(&scene, &poolers, "pooled", &|| {
        let place = Place::within(&poolers);
        let pooler = PgBouncer::start(place, &scene.server, Pooling::Transaction)?;
        let mut clients = clients(&scene, &pooler.url("pooled"))?;
        let unnamed = named("Unnamed", "SELECT generate_series(1, $1)");
        for number in 0..5_i32 {
            for client in &mut clients {
                client.batch_execute("BEGIN")?;
                client.query_typed(&unnamed, &[(&number, Type::INT4)])?;
                client.simple_query(&named("Simple", "SELECT 1"))?;
                client.batch_execute("COMMIT")?;
                client.simple_query(&named("Alone", "SELECT 1"))?;
            }
        }
        let names = ["BEGIN", "Unnamed", "Simple", "COMMIT", "Alone"];
        Ok((names.map(|name| (name, 15)).into(), 30))
    })
}

#[test]
fn through_pgbouncer_in_session_mode_named_statements_are_one_execution_each() -> Result<()> {
    let scene = Scene::new(&["pooled"])?;
    let poolers = Cgroup::create("pooler")?;
    at_every_end(&scene, &poolers, "pooled", &|| {
        let place = Place::within(&poolers);
        let pooler = PgBouncer::start(place, &scene.server, Pooling::Session)?;
        let text = named("Named", "SELECT generate_series(1, $1::int)");
        for client in &mut clients(&scene, &pooler.url("pooled"))? {
            let statement = client.prepare(&text)?;
            for number in 0..10_i32 {
                client.query(&statement, &[&number])?;
            }
        }
        Ok(([("Named", 30)].into(), 30))
    })
}

#[test]
fn through_a_pooler_that_renames_statements_each_is_one_execution_by_its_name() -> Result<()> {
    let scene = Scene::new(&["pooled"])?;
    let poolers = Cgroup::create("pooler")?;
    at_every_end(&scene, &poolers, "pooled", &|| {
        let address = relay::start(&poolers, scene.server.address(), "pooled")?;
        let connect = || {
            let open = || Ok(TcpStream::connect(address)?);
            Wire::start(scene.clients.host(open)?, "pooled")
        };
        let (mut one, mut other) = (connect()?, connect()?);
        let first = parse("s", &named("First", "SELECT 1"));
        let second = parse("s", &named("Second", "SELECT 2"));
        one.send(&[first, sync()].concat(), 1)?;
        other.send(&[second, sync()].concat(), 1)?;
        // Prepared on the pooler's connection already.
        let again = parse("t", &named("First", "SELECT 1"));
        other.send(&[again, sync()].concat(), 1)?;
        for _ in 0..5 {
            one.send(&[bind_and_execute("s"), sync()].concat(), 1)?;
            other.send(&[bind_and_execute("s"), sync()].concat(), 1)?;
            // One turn of two Executes and one Sync.
            let turn = [bind_and_execute("t"), bind_and_execute("s"), sync()];
            other.send(&turn.concat(), 1)?;
        }
        ensure!(one.tags.len() == 5 && other.tags.len() == 15);
        Ok(([("First", 10), ("Second", 10)].into(), 15))
    })
}

#[test]
fn a_pooler_older_than_the_agent_is_known_by_its_clients_connections() -> Result<()> {
    let scene = Scene::new(&["pooled"])?;
    let poolers = Cgroup::create("pooler")?;
    let place = Place::within(&poolers);
    let pooler = PgBouncer::start(place, &scene.server, Pooling::Transaction)?;
    let mut clients = clients(&scene, &pooler.url("pooled"))?;
    for client in &mut clients {
        client.simple_query("SELECT 1")?;
    }
    let agent = Agent::observe(&[&scene.clients, &poolers, &scene.servers])?;
    for client in &mut clients {
        for _ in 0..5 {
            client.simple_query(&named("Later", "SELECT 1"))?;
        }
    }
    let scrape = agent.settled()?;
    let later = scrape.select(EXECUTIONS).with("service", "client");
    later.with("query", "Later").is(15)?;
    scrape.select(EXECUTIONS).is(15)?;
    scrape.select(HOPS).is(15)
}
