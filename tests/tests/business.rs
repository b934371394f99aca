//! Orders, payments and revenue: what was published against a history that triggers wrote inside
//! the same transactions, to the cent.

use std::thread;

use anyhow::{Result, anyhow, ensure};

use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::pgbouncer::PgBouncer;
use observer_tests::postgres::Postgres;
use observer_tests::process::Place;
use observer_tests::scrape::Scrape;
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

use history::History;
use shopper::Shopper;

/// Connections at a time, each with orders of its own.
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
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("database")?);
        let settings = [("max_prepared_transactions", "16")];
        let server = Postgres::with(Place::within(&servers), &settings)?;
        server.create("shop")?;
        let mut client = server.client("shop")?;
        client.batch_execute(include_str!("../apps/shop/schema.sql"))?;
        client.batch_execute(history::SCHEMA)?;
        Ok(Self {
            server,
            clients,
            servers,
        })
    }

    fn connect(&self, url: &str) -> Result<Client> {
        self.clients.host(|| Ok(Client::connect(url, NoTls)?))
    }

    fn shoppers(&self, url: &str) -> Result<Vec<Shopper>> {
        (0..SHOPPERS)
            .map(|seed| Ok(Shopper::new(seed, [self.connect(url)?, self.connect(url)?])))
            .collect()
    }

    fn history(&self) -> Result<History> {
        History::read(&mut self.server.client("shop")?)
    }
}

/// All of them at once.
fn shop(shoppers: Vec<Shopper>, rounds: usize) -> Result<Vec<Shopper>> {
    let threads: Vec<_> = shoppers
        .into_iter()
        .map(|mut shopper| {
            thread::spawn(move || -> Result<Shopper> {
                for _ in 0..rounds {
                    shopper.round()?;
                }
                Ok(shopper)
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().map_err(|_| anyhow!("a shopper panicked"))?)
        .collect()
}

/// Nothing is left open, and nothing was hidden.
fn nothing_is_unknown(scrape: &Scrape) -> Result<()> {
    scrape
        .select("observer_facts_total")
        .with("outcome", "unknown")
        .is(0)
}

#[test]
fn what_is_published_is_what_the_triggers_wrote() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    shop(scene.shoppers(&scene.server.url("shop"))?, ROUNDS)?;
    let scrape = agent.settled()?;
    let history = scene.history()?;
    ensure!(history.orders() > 200, "{} orders", history.orders());
    history.equals(&scrape)?;
    nothing_is_unknown(&scrape)?;
    scrape
        .select("observer_facts_total")
        .with("rule", "CreateOrder")
        .with("outcome", "published")
        .is(history.orders())?;
    let rolled_back = scrape
        .select("observer_facts_total")
        .with("outcome", "rolled_back");
    ensure!(rolled_back.sum() > 50.0, "{rolled_back}");
    let books = history::Books::read(&mut scene.server.client("shop")?)?;
    books.equals(&scrape)
}

#[test]
fn the_servers_end_publishes_the_same() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.servers])?;
    shop(scene.shoppers(&scene.server.url("shop"))?, ROUNDS / 3)?;
    let scrape = agent.settled()?;
    scene.history()?.equals(&scrape)?;
    nothing_is_unknown(&scrape)
}

#[test]
fn behind_a_pooler_with_every_end_observed_each_fact_counts_once() -> Result<()> {
    let scene = Scene::new()?;
    let poolers = Cgroup::create("pooler")?;
    let pooler = PgBouncer::start(Place::within(&poolers), &scene.server)?;
    let agent = Agent::observe(&[&scene.clients, &poolers, &scene.servers])?;
    shop(scene.shoppers(&pooler.url("shop"))?, ROUNDS / 3)?;
    let scrape = agent.settled()?;
    scene.history()?.equals(&scrape)?;
    nothing_is_unknown(&scrape)
}

#[test]
fn started_in_the_middle_nothing_is_published_that_did_not_happen() -> Result<()> {
    let scene = Scene::new()?;
    let shoppers = shop(scene.shoppers(&scene.server.url("shop"))?, ROUNDS / 3)?;
    let before = scene.history()?;
    let agent = Agent::observe(&[&scene.clients])?;
    shop(shoppers, ROUNDS / 3)?;
    let scrape = agent.settled()?;
    scene.history()?.since(&before).bounds(&scrape)
}

/// How far a transaction gets before its connection is killed.
#[derive(Clone, Copy)]
enum Stage {
    Begun,
    Returned,
    Committing,
}

#[test]
fn a_transaction_that_is_killed_at_any_stage_is_no_order_too_many() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut killer = scene.server.client("postgres")?;
    for round in 0..30 {
        let stage = match round % 3 {
            0 => Stage::Begun,
            1 => Stage::Returned,
            _ => Stage::Committing,
        };
        let mut shopper = Shopper::new(
            round,
            [
                scene.connect(&scene.server.url("shop"))?,
                scene.connect(&scene.server.url("shop"))?,
            ],
        );
        let pid = shopper.begin()?;
        if !matches!(stage, Stage::Begun) {
            shopper.create()?;
        }
        let kill =
            move |killer: &mut Client| killer.execute("SELECT pg_terminate_backend($1)", &[&pid]);
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
    let scrape = agent.settled()?;
    let history = scene.history()?;
    let published = scrape
        .select("observer_facts_total")
        .with("rule", "CreateOrder")
        .with("outcome", "published")
        .sum();
    let unknown = scrape
        .select("observer_facts_total")
        .with("rule", "CreateOrder")
        .with("outcome", "unknown")
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "there are thirty")]
    let happened = history.orders() as f64;
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
