//! The shop with its database and its cache, and what all three were sent beside what was counted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::account::{self, Line};
use crate::apps::App;
use crate::cgroup::Cgroup;
use crate::load::{self, Plan, Progress, Sent};
use crate::postgres::Postgres;
use crate::postgres::log::StatementLog;
use crate::process::Place;
use crate::redis::Redis;
use crate::scrape::Scrape;

const DATABASE: &str = "naytifedb";
const SERVICE: &str = "shop";

/// A running shop; guards, in the order in which they go.
#[derive(Debug)]
pub struct Shop {
    /// The shop itself.
    pub app: App,
    /// Where it runs, and nothing else.
    pub cgroup: Cgroup,
    /// Its cache.
    pub redis: Redis,
    /// Its database.
    pub postgres: Postgres,
}

/// Sent against counted, by what carried it.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Requests.
    pub http: Vec<Line>,
    /// Executions and errors.
    pub sql: Vec<Line>,
    /// Commands and look-ups.
    pub redis: Vec<Line>,
}

impl Shop {
    /// Starts all three.
    ///
    /// # Errors
    /// When one is not there or does not start.
    pub fn start() -> Result<Self> {
        let postgres = Postgres::start(Place::default())?;
        postgres.create(DATABASE)?;
        let redis = Redis::start(&Place::default())?;
        let cgroup = Cgroup::create(SERVICE)?;
        let url = postgres.url(DATABASE);
        let app = App::shop(&Place::within(&cgroup), &url, redis.address())?;
        Ok(Self {
            app,
            cgroup,
            redis,
            postgres,
        })
    }

    /// Requests of this seed for so long.
    pub fn plan(&self, seed: u64, duration: Duration) -> Plan {
        Plan {
            address: self.app.address(),
            seed,
            rate: 200,
            connections: 8,
            duration,
        }
    }

    /// Sends what is planned.
    ///
    /// # Errors
    /// When the shop does not accept connections.
    pub fn load(plan: Plan) -> Result<Sent> {
        Runtime::new()?.block_on(load::run(plan, Arc::new(Progress::default())))
    }

    /// Sends requests of this seed for so long.
    ///
    /// # Errors
    /// When the shop does not accept connections.
    pub fn drive(&self, seed: u64, duration: Duration) -> Result<Sent> {
        Self::load(self.plan(seed, duration))
    }

    /// The statements that the shop executed; its own connections have no application name.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn statements(&self) -> Result<StatementLog> {
        Ok(self.postgres.statements()?.of(DATABASE).by(""))
    }

    /// All that was sent, this being its requests, beside all that the agent says.
    ///
    /// # Errors
    /// When a server does not say what it got.
    pub fn account(&self, sent: &Sent, scrape: &Scrape) -> Result<Account> {
        Ok(Account {
            http: account::http(sent, scrape, SERVICE),
            sql: account::sql(&self.statements()?, scrape, SERVICE),
            redis: account::redis(&self.redis.usage()?, self.redis.lookups()?, scrape, SERVICE),
        })
    }
}

impl Account {
    /// Every line.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.http.iter().chain(&self.sql).chain(&self.redis)
    }
}
