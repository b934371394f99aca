//! Orders, payments and revenue: what was published against a history that triggers wrote inside
//! the same transactions, to the cent.

use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::network::{Faults, Namespace, Relay, SERVER};
use observer_tests::pgbouncer::{PgBouncer, Pooling};
use observer_tests::postgres::{Postgres, url};
use observer_tests::process::Place;
use observer_tests::scrape::{Scrape, Selection};
use postgres::{Client, NoTls};

#[path = "business/history.rs"]
mod history;
#[path = "business/shopper.rs"]
mod shopper;
#[path = "../apps/shop/sql.rs"]
#[expect(
    dead_code,
    reason = "the shop has more statements than this scenario needs"
)]
mod sql;
#[path = "business/statements.rs"]
mod statements;
#[path = "postgres_drivers/wire.rs"]
#[expect(
    dead_code,
    reason = "other tests write more of the protocol by hand than this one"
)]
mod wire;

use history::History;
use shopper::{Connections, Shopper};
use wire::Wire;

const DATABASE: &str = "shop";
/// At a time, each with connections and orders of its own.
const SHOPPERS: u64 = 4;
const ROUNDS: usize = 150;

/// A server in one cgroup, its clients in another.
struct Scene {
    server: Postgres,
    clients: Cgroup,
    servers: Cgroup,
}

impl Scene {
    fn new() -> Result<Self> {
        let servers = Cgroup::create("database")?;
        let server = Postgres::start(Place::within(&servers))?;
        Self::of(server, servers)
    }

    fn of(server: Postgres, servers: Cgroup) -> Result<Self> {
        server.create(DATABASE)?;
        let mut client = server.client(DATABASE)?;
        client.batch_execute(include_str!("../apps/shop/schema.sql"))?;
        client.batch_execute(history::SCHEMA)?;
        Ok(Self {
            server,
            clients: Cgroup::create("client")?,
            servers,
        })
    }

    fn connect(&self, address: SocketAddr) -> Result<Connections> {
        let url = url(address, DATABASE);
        self.clients.host(|| {
            let client = || Client::connect(&url, NoTls);
            Ok(Connections {
                clients: [client()?, client()?],
                wire: Wire::start(TcpStream::connect(address)?, DATABASE)?,
            })
        })
    }

    fn shoppers(&self, address: SocketAddr) -> Result<Vec<Shopper>> {
        self.seeded(address, 0..SHOPPERS)
    }

    /// Shoppers of these seeds; no two on one database may have the same.
    fn seeded(&self, address: SocketAddr, seeds: Range<u64>) -> Result<Vec<Shopper>> {
        seeds
            .map(|seed| Ok(Shopper::new(seed, self.connect(address)?)))
            .collect()
    }

    fn history(&self) -> Result<History> {
        History::read(&mut self.server.client(DATABASE)?)
    }
}

/// All of them at once.
fn shop(shoppers: Vec<Shopper>, rounds: usize) -> Result<Vec<Shopper>> {
    let threads: Vec<_> = shoppers
        .into_iter()
        .map(|mut shopper| {
            thread::spawn(move || -> Result<Shopper> {
                (0..rounds).try_for_each(|_| shopper.round())?;
                Ok(shopper)
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().map_err(|_| anyhow!("a shopper panicked"))?)
        .collect()
}

/// What became of orders that were to be made.
fn creations<'a>(scrape: &'a Scrape, outcome: &str) -> Selection<'a> {
    let facts = scrape.select("observer_facts_total");
    facts.with("rule", "CreateOrder").with("outcome", outcome)
}

/// Whether all that the triggers wrote was published, each once, and what became of the rest is told.
fn is_told(scrape: &Scrape, history: &History, shoppers: &[Shopper]) -> Result<()> {
    history.equals(scrape)?;
    let facts = scrape.select("observer_facts_total");
    facts.with("outcome", "unknown").is(0)?;
    let returned: u64 = shoppers.iter().map(|shopper| shopper.returned).sum();
    creations(scrape, "published").is(history.orders())?;
    creations(scrape, "rolled_back").is(returned - history.orders())?;
    creations(scrape, "repeated").is(0)
}

#[test]
fn what_is_published_is_what_the_triggers_wrote() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut shoppers = scene.shoppers(scene.server.address())?;
    shoppers.iter_mut().try_for_each(Shopper::look_around)?;
    let mut shoppers = shop(shoppers, ROUNDS * 2)?;
    // An order is changed over other connections than those that made it.
    shopper::hand_over(&mut shoppers);
    let shoppers = shop(shoppers, ROUNDS * 2)?;
    let (scrape, history) = (agent.settled()?, scene.history()?);
    ensure!(history.orders() > 2000, "{} orders", history.orders());
    is_told(&scrape, &history, &shoppers)?;
    for metric in history::MONEY {
        let elsewhere = scrape.select(metric).without("currency", "ngn");
        ensure!(
            elsewhere.is_empty(),
            "every shop was looked at:\n{elsewhere}"
        );
    }
    Ok(())
}

#[test]
fn revenue_without_refunds_is_what_the_paid_orders_are_worth() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients, &scene.servers])?;
    let shoppers = scene.shoppers(scene.server.address())?;
    let shoppers = shop(
        shoppers.into_iter().map(Shopper::sensible).collect(),
        ROUNDS,
    )?;
    let scrape = agent.settled()?;
    is_told(&scrape, &scene.history()?, &shoppers)?;
    history::Books::read(&mut scene.server.client(DATABASE)?)?.equal(&scrape)
}

#[test]
fn the_servers_end_publishes_the_same() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::start(&Options {
        cgroups: &[&scene.servers],
        config: Some("interpret:\n  authority: server\n"),
        ..Options::default()
    })?;
    let shoppers = shop(scene.shoppers(scene.server.address())?, ROUNDS / 3)?;
    is_told(&agent.settled()?, &scene.history()?, &shoppers)
}

#[test]
fn behind_a_pooler_with_every_end_observed_each_fact_counts_once() -> Result<()> {
    let scene = Scene::new()?;
    let poolers = Cgroup::create("pooler")?;
    let pooler = PgBouncer::start(Place::within(&poolers), &scene.server, Pooling::Transaction)?;
    let agent = Agent::observe(&[&scene.clients, &poolers, &scene.servers])?;
    let shoppers = shop(scene.shoppers(pooler.address())?, ROUNDS / 3)?;
    is_told(&agent.settled()?, &scene.history()?, &shoppers)
}

#[test]
fn started_in_the_middle_nothing_is_published_that_did_not_happen() -> Result<()> {
    let scene = Scene::new()?;
    let poolers = Cgroup::create("pooler")?;
    let place = Place::within(&poolers);
    let pooler = PgBouncer::start(place, &scene.server, Pooling::Transaction)?;
    let mut shoppers = scene.shoppers(scene.server.address())?;
    shoppers.extend(scene.seeded(pooler.address(), SHOPPERS..2 * SHOPPERS)?);
    let shoppers = shop(shoppers, ROUNDS / 5)?;
    let before = scene.history()?;
    let agent = Agent::observe(&[&scene.clients, &poolers, &scene.servers])?;
    shop(shoppers, ROUNDS / 5)?;
    let scrape = agent.settled()?;
    scene.history()?.since(&before).bounds(&scrape)
}

#[test]
fn what_tcp_sends_again_counts_once() -> Result<()> {
    let networks = [Namespace::new()?, Namespace::new()?];
    let faults = Faults {
        seed: 3,
        dropped: 2,
        repeated: 2,
        delayed: 2,
    };
    let [near, far] = &networks;
    let relay = Relay::between(near, far, faults)?;
    let servers = Cgroup::create("database")?;
    let files = tempfile::tempdir()?;
    let access = files.path().join("pg_hba.conf");
    // Else initdb trusts only the loopback.
    std::fs::write(&access, "host all all all trust\n")?;
    let place = Place::within(&servers).as_user("postgres")?;
    place.own(files.path())?;
    let access = access.display().to_string();
    let settings = [("listen_addresses", "*"), ("hba_file", access.as_str())];
    let server = far.inside(|| Postgres::with(place, &settings))?;
    let scene = far.inside(|| Scene::of(server, servers))?;
    let agent = Agent::observe(&[&scene.clients, &scene.servers])?;
    let address = SocketAddr::new(SERVER, scene.server.address().port());
    let shoppers = near.inside(|| scene.shoppers(address))?;
    let shoppers = shop(shoppers, ROUNDS / 10)?;
    let history = far.inside(|| scene.history())?;
    is_told(&agent.settled()?, &history, &shoppers)?;
    let tally = relay.cut()?;
    ensure!(tally.dropped.min(tally.repeated) > 10, "{tally:?}");
    Ok(())
}

/// How far a transaction gets before its connection is killed.
#[derive(Clone, Copy)]
enum Stage {
    Begun,
    Returned,
    Committing,
    /// The client goes without waiting for the answers.
    Left,
}

#[test]
fn a_transaction_that_is_killed_at_any_stage_is_no_order_too_many() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut killer = scene.server.client("postgres")?;
    for round in 0..40 {
        let stages = [
            Stage::Begun,
            Stage::Returned,
            Stage::Committing,
            Stage::Left,
        ];
        let mut shopper = Shopper::new(round, scene.connect(scene.server.address())?);
        let stage = stages[usize::try_from(round)? % stages.len()];
        if let Stage::Left = stage {
            shopper.leave()?;
            continue;
        }
        let pid = shopper.begin()?;
        if !matches!(stage, Stage::Begun) {
            shopper.create()?;
        }
        let kill = move |killer: &mut Client| -> Result<()> {
            killer.execute("SELECT pg_terminate_backend($1)", &[&pid])?;
            Ok(())
        };
        if let Stage::Committing = stage {
            // Whether the commit or the kill is first is the server's to say.
            thread::scope(|scope| {
                let killing = scope.spawn(|| kill(&mut killer));
                let _ = shopper.commit();
                killing.join().map_err(|_| anyhow!("the killer panicked"))?
            })?;
        } else {
            kill(&mut killer)?;
            ensure!(shopper.commit().is_err(), "the connection lives");
        }
    }
    // What they left behind may still run.
    scene.server.statistics(DATABASE)?;
    let (scrape, history) = (agent.settled()?, scene.history()?);
    let published = creations(&scrape, "published").sum();
    let unknown = creations(&scrape, "unknown").sum();
    let happened = history.orders_made();
    ensure!(
        published <= happened && happened <= published + unknown,
        "{published} published, {unknown} unknown, {happened} happened"
    );
    ensure!(
        unknown >= 10.0,
        "ten were killed after their row came back: {unknown}"
    );
    Ok(())
}

#[test]
fn an_observer_that_is_killed_at_any_stage_makes_no_order_too_many() -> Result<()> {
    let scene = Scene::new()?;
    let first = Agent::observe(&[&scene.clients])?;
    let mut shoppers = scene.shoppers(scene.server.address())?;
    let [begun, returned, committed, whole] = shoppers.as_mut_slice() else {
        unreachable!("there are four")
    };
    for shopper in [&mut *begun, &mut *returned, &mut *committed] {
        shopper.begin()?;
    }
    returned.create()?;
    committed.create()?;
    committed.commit()?;
    let scrape = first.settled()?;
    creations(&scrape, "published").is(1)?;
    first.process().signal(Signal::SIGKILL)?;
    drop(first);
    let second = Agent::observe(&[&scene.clients])?;
    begun.create()?;
    for shopper in [&mut *begun, &mut *returned] {
        shopper.commit()?;
    }
    whole.begin()?;
    whole.create()?;
    whole.commit()?;
    let scrape = second.settled()?;
    ensure!(scene.history()?.orders() == 4, "not all were made");
    // Of the one whose row came back before, only that a transaction committed is known.
    creations(&scrape, "published").is(2)?;
    scrape.select("naytife_orders_total").is(2)?;
    let commits = scrape.select("naytife_database_transactions_total");
    commits.with("outcome", "commit").is(4)
}
