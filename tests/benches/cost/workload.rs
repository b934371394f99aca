//! Servers, what loads them, and what their loader says: one table.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context as _, Result};
use observer_tests::nginx::Nginx;
use observer_tests::postgres::{Postgres, ROLE};
use observer_tests::process::{Place, finish, need};
use observer_tests::redis::Redis;

use crate::floor::Shape;

/// A server under a load.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What its exchanges are called.
    pub(crate) unit: &'static str,
    pub(crate) start: fn(&Place<'_>) -> Result<Server>,
    /// What to run, to its end.
    pub(crate) load: fn(&Server) -> Result<Command>,
    /// From what that printed.
    pub(crate) done: fn(&str) -> Option<Done>,
    /// The mean record, and the smallest payload.
    pub(crate) floor: Shape,
    /// How much may be lost.
    pub(crate) limit: Limit,
    /// The agent's own processor time, in microseconds of user time per exchange.
    pub(crate) user_limit: f64,
    /// The metric that counts its exchanges.
    pub(crate) metric: &'static str,
}

/// What throughput an observed server may lose.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// A share of it.
    Share(f64),
    /// Twice what the floor program loses.
    TwiceTheFloor,
    /// It only serves to measure the agent.
    None,
}

/// What a load achieved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// Requests, commands, transactions.
    pub(crate) operations: f64,
    /// Of them, per second.
    pub(crate) rate: f64,
}

/// A running server; stopped when this goes.
#[derive(Debug)]
pub(crate) enum Server {
    Nginx(Nginx),
    Redis(Redis),
    Postgres(Postgres),
}

const HTTP: &str = "naytife_http_request_duration_seconds_count";
const REDIS: &str = "naytife_redis_commands_total";
const SQL: &str = "naytife_database_query_duration_seconds_count";
/// Where pgbench has its tables.
const DATABASE: &str = ROLE;
const COMMANDS: u32 = 60_000;
const PIPELINED: u32 = 600_000;

pub(crate) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "nginx",
        unit: "HTTP request",
        start: nginx,
        load: wrk,
        done: requests,
        floor: Shape {
            record: 224,
            copied: 56,
        },
        limit: Limit::TwiceTheFloor,
        user_limit: 2.0,
        metric: HTTP,
    },
    Workload {
        name: "redis -P 1",
        unit: "Redis command",
        start: redis,
        load: |server| redis_benchmark(server, 1, COMMANDS),
        done: |text| commands(text, COMMANDS),
        floor: Shape {
            record: 128,
            copied: 5,
        },
        limit: Limit::TwiceTheFloor,
        user_limit: 0.5,
        metric: REDIS,
    },
    Workload {
        name: "redis -P 16",
        unit: "Redis command",
        start: redis,
        load: |server| redis_benchmark(server, 16, PIPELINED),
        done: |text| commands(text, PIPELINED),
        floor: Shape {
            record: 640,
            copied: 80,
        },
        limit: Limit::None,
        user_limit: 0.5,
        metric: REDIS,
    },
    Workload {
        name: "pgbench",
        unit: "SQL execution",
        start: postgres,
        load: |server| pgbench(server, &["--protocol=simple"]),
        done: transactions,
        floor: Shape {
            record: 160,
            copied: 12,
        },
        limit: Limit::Share(0.05),
        user_limit: 3.0,
        metric: SQL,
    },
    Workload {
        name: "pgbench -S -M prepared",
        unit: "SQL execution",
        start: postgres,
        load: |server| pgbench(server, &["--protocol=prepared", "--select-only"]),
        done: transactions,
        floor: Shape {
            record: 160,
            copied: 12,
        },
        limit: Limit::Share(0.05),
        user_limit: 3.0,
        metric: SQL,
    },
];

impl Server {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Nginx(server) => server.address(),
            Self::Redis(server) => server.address(),
            Self::Postgres(server) => server.address(),
        }
    }
}

fn nginx(place: &Place<'_>) -> Result<Server> {
    Nginx::start(place).map(Server::Nginx)
}

fn redis(place: &Place<'_>) -> Result<Server> {
    Redis::start(place).map(Server::Redis)
}

/// Without the statement log, which would be most of the work, and without what it does unasked.
fn postgres(place: &Place<'_>) -> Result<Server> {
    let settings = [
        ("log_statement", "none"),
        ("autovacuum", "off"),
        ("checkpoint_timeout", "1h"),
        ("max_wal_size", "4GB"),
        ("shared_buffers", "128MB"),
        ("synchronous_commit", "off"),
    ];
    let server = Postgres::with(place.clone(), &settings)?;
    let mut initialise = server.command("pgbench", DATABASE)?;
    finish(initialise.args(["--initialize", "--scale=5", "--quiet"]))?;
    Ok(Server::Postgres(server))
}

fn wrk(server: &Server) -> Result<Command> {
    let mut command = Command::new(need("wrk")?);
    command
        .args(["--threads=1", "--connections=16", "--duration=1s"])
        .arg(format!("http://{}/v1/shops/7/products", server.address()));
    Ok(command)
}

fn redis_benchmark(server: &Server, pipeline: u32, commands: u32) -> Result<Command> {
    let mut command = Command::new(need("redis-benchmark")?);
    let address = server.address();
    command
        .args(["-h", &address.ip().to_string()])
        .args(["-p", &address.port().to_string()])
        .args(["-t", "get", "-c", "16", "--csv"])
        .args(["-P", &pipeline.to_string()])
        .args(["-n", &commands.to_string()]);
    Ok(command)
}

fn pgbench(server: &Server, mode: &[&str]) -> Result<Command> {
    let Server::Postgres(server) = server else {
        anyhow::bail!("pgbench loads PostgreSQL");
    };
    let mut command = server.command("pgbench", DATABASE)?;
    command
        .args(["--no-vacuum", "--client=4", "--jobs=1", "--time=2"])
        .args(mode);
    Ok(command)
}

/// `  54321 requests in 1.00s, 12.34MB read` and `Requests/sec:  54300.12`
fn requests(printed: &str) -> Option<Done> {
    let mut lines = printed.lines();
    let count = lines.find_map(|line| line.split_once(" requests in "))?.0;
    Some(Done {
        operations: count.trim().parse().ok()?,
        rate: after(printed, "Requests/sec:")?,
    })
}

/// `"GET","85106.38",…`
fn commands(printed: &str, commands: u32) -> Option<Done> {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("\"GET\",\""))?;
    Some(Done {
        operations: commands.into(),
        rate: line.split_once('"')?.0.parse().ok()?,
    })
}

/// `number of transactions actually processed: 1234` and `tps = 617.1 (without …)`
fn transactions(printed: &str) -> Option<Done> {
    Some(Done {
        operations: after(printed, "number of transactions actually processed:")?,
        rate: after(printed, "tps =")?,
    })
}

fn after(printed: &str, what: &str) -> Option<f64> {
    let rest = printed.lines().find_map(|line| line.strip_prefix(what))?;
    let number = rest.trim().split([' ', '/']).next()?;
    number.parse().ok()
}

impl Workload {
    /// Loads the server once.
    pub(crate) fn run(&self, server: &Server, place: &Place<'_>) -> Result<Done> {
        let mut command = (self.load)(server)?;
        place.apply(&mut command)?;
        let printed = finish(&mut command)?;
        (self.done)(&printed).with_context(|| format!("no figures in:\n{printed}"))
    }
}
