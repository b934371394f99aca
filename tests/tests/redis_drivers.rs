//! Redis through the drivers that people run: *counted = issued* = `INFO commandstats`, for each
//! driver, protocol and scenario.
//!
//! A driver's program (`apps/*/redis_*`) runs a scenario when it reads its name, and answers with
//! what it issued. What the driver sends of its own accord (HELLO, CLUSTER SLOTS, …) it does not
//! know; that is held against the server's own figures alone.

#[path = "redis_drivers/driver.rs"]
mod driver;
#[path = "redis_drivers/figures.rs"]
mod figures;

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::{Agent, Options};
use observer_tests::cgroup::Cgroup;
use observer_tests::languages::Language;
use observer_tests::process::Place;
use observer_tests::redis::Redis;
use observer_tests::redis::cluster::Cluster;

use driver::{Driver, Program};
use figures::Figures;

/// Scenarios that every driver has, in the order in which they run.
const SCENARIOS: &[&str] = &[
    "lookups",
    "big",
    "pipeline",
    "transaction",
    "watch",
    "scripts",
    "blocking",
    "pubsub",
    "tracking",
    "monitor",
    "session",
];

/// Those that speak to a cluster, of which each leaves something to the next.
const CLUSTERED: &[&str] = &[
    "cluster_keys",
    "cluster_moved",
    "cluster_ask",
    "cluster_shards",
];

/// Keys whose slot is given to another node behind the drivers' backs, and is being so.
const MOVED: &str = "{moved}";
const ASKED: &str = "{asked}";

/// Clients of a cluster ask for COMMAND, whose answer is longer than a turn's budget by default.
const BUDGET: &str = "capture:\n  budgets:\n    redis: 262144\n";

const DRIVERS: [Driver; 4] = [
    Driver {
        language: Language::Python,
        program: "redis_py",
        // Commands that want no answer: the other drivers wait for one.
        own: &["silent"],
    },
    Driver {
        language: Language::Node,
        program: "ioredis",
        own: &[],
    },
    Driver {
        language: Language::Go,
        program: "goredis",
        own: &[],
    },
    Driver {
        language: Language::Java,
        program: "JedisDriver",
        own: &[],
    },
];

/// The servers that all drivers share, and who observes their clients.
struct Scene {
    single: Redis,
    cluster: Cluster,
    agent: Agent,
    clients: Cgroup,
}

impl Scene {
    fn new() -> Result<Self> {
        let clients = Cgroup::create("client")?;
        Ok(Self {
            single: Redis::start(&Place::default())?,
            cluster: Cluster::start(&Place::default())?,
            agent: Agent::start(&Options {
                cgroups: &[&clients],
                config: Some(BUDGET),
                ..Options::default()
            })?,
            clients,
        })
    }

    /// Runs every scenario of a driver, and compares after each.
    fn run(&self, driver: &Driver, protocol: u8) -> Result<()> {
        let node = self.cluster.nodes().first().context("no node")?;
        let addresses = [self.single.address(), node.address()];
        let place = Place::within(&self.clients);
        let Some(mut program) = Program::start(driver, protocol, addresses, &place)? else {
            return Ok(());
        };
        let mut figures = Figures::new(&self.agent, &self.single, &self.cluster);
        for scenario in SCENARIOS.iter().chain(driver.own).chain(CLUSTERED) {
            match *scenario {
                "cluster_moved" => self.cluster.move_slot(MOVED)?,
                "cluster_ask" => self.cluster.migrate_slot(ASKED)?,
                _ => self.single.clear()?,
            }
            figures.begin()?;
            let told = program.run(scenario)?;
            figures
                .agree(&told)
                .with_context(|| format!("{scenario}: {told:?}"))?;
        }
        self.cluster.settle_slot(ASKED)
    }
}

#[test]
fn every_driver_is_counted_exactly_in_every_scenario_and_either_protocol() -> Result<()> {
    let scene = Scene::new()?;
    let mut failed = Vec::new();
    for driver in &DRIVERS {
        for protocol in [2, 3] {
            if let Err(error) = scene.run(driver, protocol) {
                failed.push(format!("{} in RESP{protocol}: {error:#}", driver.program));
            }
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}
