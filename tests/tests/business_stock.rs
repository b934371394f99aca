//! What is on the shelves, in every shop, against the tables themselves; and that facts are counted
//! at one end, and last to be lost.

use std::{fs, thread};

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::nginx::Nginx;
use observer_tests::pgbouncer::{PgBouncer, Pooling};
use observer_tests::postgres::Postgres;
use observer_tests::process::Place;
use observer_tests::scrape::Scrape;
use postgres::{Client, NoTls};

#[path = "business/keeper.rs"]
mod keeper;
#[path = "business/shelves.rs"]
mod shelves;
#[path = "../apps/shop/sql.rs"]
#[expect(dead_code, reason = "the shop has more statements than these need")]
mod sql;

use keeper::Keeper;
use shelves::Shelves;

/// A server in one cgroup, its clients in another.
struct Scene {
    server: Postgres,
    clients: Cgroup,
    servers: Cgroup,
}

impl Scene {
    fn new() -> Result<Self> {
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("database")?);
        let server = Postgres::start(Place::within(&servers))?;
        server.create("shop")?;
        let mut client = server.client("shop")?;
        client.batch_execute(include_str!("../apps/shop/schema.sql"))?;
        client.batch_execute(keeper::SCHEMA)?;
        Ok(Self {
            server,
            clients,
            servers,
        })
    }

    fn connect(&self, url: &str) -> Result<Client> {
        self.clients.host(|| Ok(Client::connect(url, NoTls)?))
    }

    /// Several keep their shops at once; what is on the shelves at the end.
    fn keep(&self, url: &str, rounds: usize) -> Result<Shelves> {
        let keepers = (0..3).map(|seed| Keeper::new(seed, self.connect(url)?));
        let keepers = keepers.collect::<Result<Vec<Keeper>>>()?;
        let keeping: Vec<_> = keepers
            .into_iter()
            .map(|mut keeper| {
                thread::spawn(move || -> Result<()> {
                    for _ in 0..rounds {
                        keeper.round()?;
                        keeper.visit()?;
                    }
                    Ok(())
                })
            })
            .collect();
        for keeping in keeping {
            keeping.join().map_err(|_| anyhow!("a keeper panicked"))??;
        }
        Shelves::read(&mut self.server.client("shop")?)
    }
}

/// Nothing was hidden.
fn nothing_is_unknown(scrape: &Scrape) -> Result<()> {
    scrape
        .select("observer_facts_total")
        .with("outcome", "unknown")
        .is(0)
}

#[test]
fn behind_a_pooler_with_every_end_observed_each_fact_counts_once_at_either_end() -> Result<()> {
    for authority in ["client", "server"] {
        let scene = Scene::new()?;
        let poolers = Cgroup::create("pooler")?;
        let place = Place::within(&poolers);
        let pooler = PgBouncer::start(place, &scene.server, Pooling::Transaction)?;
        let agent = Agent::start(&Options {
            cgroups: &[&scene.clients, &poolers, &scene.servers],
            config: Some(&format!("interpret:\n  authority: {authority}\n")),
            ..Options::default()
        })?;
        let shelves = scene.keep(&pooler.url("shop"), 25)?;
        let scrape = agent.settled()?;
        let check = || {
            shelves.equals(&scrape)?;
            // Told at the other end too, what was made would be there as repeated.
            let facts = scrape.select("observer_facts_total");
            let made = facts.with("rule", "CreateProductVariation");
            made.with("outcome", "repeated").is(0)?;
            nothing_is_unknown(&scrape)
        };
        check().map_err(|error| error.context(format!("authority: {authority}")))?;
    }
    Ok(())
}

#[test]
fn what_is_on_the_shelves_is_what_the_tables_say() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let shelves = scene.keep(&scene.server.url("shop"), 80)?;
    ensure!(shelves.products() > 20, "{} products", shelves.products());
    let scrape = agent.settled()?;
    shelves.equals(&scrape)?;
    nothing_is_unknown(&scrape)?;
    // When that was, the recorder says about once a second.
    agent.eventually(|scrape| {
        let learnt = scrape.select("observer_learnt_timestamp_seconds");
        let learnt = learnt.with("metric", "naytife_inventory_levels");
        let started = scrape.select("observer_start_time_seconds").sum();
        ensure!(learnt.sum() > started, "{learnt}");
        Ok(())
    })?;
    Ok(())
}

#[test]
fn the_lowest_stocks_have_series_and_the_rest_is_summed_up() -> Result<()> {
    const LOWEST: usize = 4;
    let scene = Scene::new()?;
    let rules = include_str!("../../observer/src/interpret/naytife.yaml");
    let few = rules.replace("lowest: 1000", &format!("lowest: {LOWEST}"));
    ensure!(few != rules, "the rules keep another number");
    let file = tempfile::NamedTempFile::new()?;
    fs::write(&file, few)?;
    let agent = Agent::start(&Options {
        cgroups: &[&scene.clients],
        config: Some(&format!("rules: {}\n", file.path().display())),
        ..Options::default()
    })?;
    let shelves = scene.keep(&scene.server.url("shop"), 30)?;
    ensure!(
        shelves.products() > 2 * LOWEST,
        "{} products",
        shelves.products()
    );
    shelves.are_folded(&agent.settled()?, LOWEST)
}

#[test]
fn where_nobody_reads_and_http_fills_the_ring_nothing_of_the_business_is_lost() -> Result<()> {
    let scene = Scene::new()?;
    let web = Cgroup::create("web")?;
    let server = Nginx::start(&Place::within(&web))?;
    fs::write(server.files().join("large"), vec![b'a'; 60_000])?;
    let agent = Agent::observe(&[&scene.clients, &web])?;
    let browser = ureq::Agent::new_with_defaults();
    agent.process().signal(Signal::SIGSTOP)?;
    // More than twice what the ring holds.
    for _ in 0..300 {
        let url = format!("http://{}/files/large", server.address());
        browser.get(url).call()?.body_mut().read_to_vec()?;
    }
    let shelves = scene.keep(&scene.server.url("shop"), 15)?;
    agent.process().signal(Signal::SIGCONT)?;
    let scrape = agent.settled()?;
    let bytes = scrape.select("observer_bytes_total");
    let shed = bytes.clone().with("reason", "shed");
    ensure!(shed.sum() > 1e6, "{bytes}");
    shelves.equals(&scrape)?;
    nothing_is_unknown(&scrape)
}
