//! What an agent tells a person, as one value: the page shows it, `observer top` reads it.
//!
//! ```text
//!   registry, agent ──▶ Overview ── Status ─┬─▶ /api/v1/status ─▶ observer top
//!   (atomics)             │  ▲              └─▶ /
//!                once a second: History (rates, when an error was last seen)
//! ```
//!
//! Fields keep their place and their meaning as long as [`FORMAT`] does; new ones may come.
//! `docs/operations.md` explains each, which a test reads from there.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

mod collect;
mod history;
pub mod quantile;
mod tables;

pub use collect::Overview;

/// The version of the layout.
pub const FORMAT: u32 = 1;
/// Rows of a table where nobody says how many.
pub const ROWS: usize = 20;
/// Rows of a table at most.
pub const MOST_ROWS: usize = 500;

/// The whole of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Status {
    /// [`FORMAT`].
    pub format: u32,
    /// The agent's version.
    pub version: String,
    /// When it started, in Unix time.
    pub start_time_seconds: f64,
    /// For how long it has run.
    pub uptime_seconds: f64,
    /// Why `/readyz` does not say ready; `None` where it does.
    pub not_ready: Option<String>,
    /// What is observed, everything below included.
    pub selection: Vec<Selected>,
    /// Whether nothing that is selected is here, and the agent waits for it.
    #[serde(default)]
    pub waits: bool,
    /// What the programs found of what they need.
    pub machine: Vec<Fact>,
    /// Every program.
    pub probes: Vec<Probe>,
    /// Every ring between the kernel and the agent.
    pub rings: Vec<Ring>,
    /// Every map of the programs.
    pub maps: Vec<Map>,
    /// How far the newest fact is behind the kernel.
    pub lag_seconds: f64,
    /// Connections that have state now.
    pub connections: u64,
    /// What each stage took, in the order of the stages.
    pub records: Vec<Stage>,
    /// What became of every payload byte.
    pub ledger: Ledger,
    /// What happens now.
    pub rates: Rates,
    /// How much of `/metrics` is used up.
    pub series: Series,
    /// Trouble the agent recovered from, every kind it knows.
    pub errors: Vec<Trouble>,
    /// The platform since the agent started.
    pub tables: Tables,
}

/// A selected cgroup.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Selected {
    /// Its directory.
    pub cgroup: String,
    /// Whether it is there now; one that is made again is observed again.
    pub present: bool,
}

/// Something found on this machine at the start.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Fact {
    /// What is needed.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Whether that is enough.
    pub met: bool,
}

/// A program of the kernel side.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// Whether the agent refuses to run without it.
    pub required: bool,
    /// Whether it is attached.
    pub attached: bool,
    /// Why it is not.
    pub missing: Option<String>,
    /// What is not known without it.
    pub without: String,
}

/// How full a ring is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Ring {
    /// Unread bytes.
    pub used_bytes: u64,
    /// Its size.
    pub size_bytes: u64,
}

/// A map of the programs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Map {
    /// Its name.
    pub name: String,
    /// Kernel memory at its bound.
    pub bytes: u64,
}

/// What a stage took.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Stage {
    /// Its name.
    pub stage: String,
    /// Records, exchanges or facts.
    pub count: u64,
}

/// `seen = decoded + skipped + lost + pending`, in payload bytes; the same as on `/metrics`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Ledger {
    /// Bytes that reached the programs.
    pub seen: u64,
    /// Bytes that a decoder consumed.
    pub decoded: u64,
    /// Bytes not looked at on purpose.
    pub skipped: Vec<Entry>,
    /// Bytes that should have been looked at.
    pub lost: Vec<Entry>,
    /// Bytes on their way.
    pub pending: i64,
}

/// A line of the ledger; those of zero are there too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Entry {
    /// The stage that decided.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// How many bytes.
    pub bytes: u64,
}

/// Per second, over the last [`Rates::seconds`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Rates {
    /// How long a time they are taken over: about ten seconds, less after a start, 0 before.
    pub seconds: f64,
    /// Records the kernel submitted.
    pub records: f64,
    /// Payload bytes seen.
    pub bytes: f64,
    /// HTTP requests answered, taken at the server's end.
    pub requests: f64,
    /// SQL executions.
    pub executions: f64,
    /// Redis commands.
    pub commands: f64,
    /// Payload bytes lost.
    pub lost_bytes: f64,
}

/// Exposed lines, against their limits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Series {
    /// Lines of all metrics of the platform.
    pub lines: usize,
    /// How many they may be.
    pub lines_limit: usize,
    /// Distinct label values that are stored.
    pub label_values: usize,
    /// Label values that became `_other` for a bound of theirs.
    pub label_values_refused: u64,
    /// Every metric of the platform that has lines, in the order of the catalog.
    pub metrics: Vec<Metric>,
}

/// Exposed lines of a metric.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub lines: usize,
    /// How many they may be.
    pub lines_limit: usize,
    /// Measurements counted under `_other` because there was no room.
    pub overflow: u64,
    /// Series removed because their workload is gone.
    pub removed: u64,
}

/// A kind of trouble.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Trouble {
    /// Where it happens.
    pub stage: String,
    /// What happens.
    pub kind: String,
    /// How often it did.
    pub count: u64,
    /// When it last did, in Unix time to the second.
    pub last_seconds: Option<f64>,
}

/// What the platform did since the agent started.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Tables {
    /// Upper bounds of the buckets of every table.
    pub bounds: Bounds,
    /// Who was observed: by requests, executions and commands together.
    pub workloads: Table<Workload>,
    /// HTTP at the server's end, by requests.
    pub routes: Table<Route>,
    /// Shops, by requests.
    pub shops: Table<Shop>,
    /// SQL, by executions.
    pub queries: Table<Query>,
    /// Redis, by commands.
    pub redis: Table<Command>,
    /// Pairs of workloads, by connections opened, accepted and refused.
    pub connections: Table<Link>,
}

/// Upper bounds of buckets in seconds; one without a bound follows the last.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Bounds {
    /// Of routes and shops.
    pub requests: Vec<f64>,
    /// Of queries and Redis commands.
    pub stores: Vec<f64>,
    /// Of round trips.
    pub round_trips: Vec<f64>,
}

/// The first rows of a table; the order is that of the count, then of the names.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Table<R> {
    /// How many rows there are.
    pub of: usize,
    /// As many as were asked for.
    pub rows: Vec<R>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            of: 0,
            rows: Vec::new(),
        }
    }
}

/// How long it took.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Durations {
    /// The median in seconds, interpolated as Prometheus does: at most the last bound.
    pub p50: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
    /// How many took no longer than each bound, and how many there are.
    pub buckets: Vec<u64>,
}

/// A workload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Workload {
    /// Its name.
    pub service: String,
    /// HTTP requests it answered.
    pub requests: u64,
    /// SQL executions.
    pub executions: u64,
    /// Redis commands.
    pub commands: u64,
    /// Keys and fields found in Redis.
    pub hits: u64,
    /// Keys and fields not found there.
    pub misses: u64,
    /// Errors the database answered.
    pub database_errors: u64,
}

/// A route of a workload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Route {
    /// The workload.
    pub service: String,
    /// The HTTP method.
    pub method: String,
    /// The route's template.
    pub endpoint: String,
    /// Requests answered.
    pub requests: u64,
    /// Of them, those with a status of 4xx.
    pub client_errors: u64,
    /// Of them, those with a status of 5xx.
    pub server_errors: u64,
    /// Of requests.
    pub duration: Durations,
}

/// A shop.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Shop {
    /// Its id; empty without a tenant, `unknown` where none was proved.
    pub shop_id: String,
    /// Requests answered.
    pub requests: u64,
    /// Of them, those with a status of 4xx.
    pub client_errors: u64,
    /// Of them, those with a status of 5xx.
    pub server_errors: u64,
    /// SQL executions that name the shop.
    pub executions: u64,
    /// Of requests.
    pub duration: Durations,
}

/// A SQL statement of a workload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Query {
    /// The workload.
    pub service: String,
    /// The database.
    pub database: String,
    /// The statement's name or fingerprint.
    pub query: String,
    /// Its verb.
    pub operation: String,
    /// Executions, those whose duration was hidden included.
    pub executions: u64,
    /// Rows returned or changed.
    pub rows: u64,
    /// Of executions.
    pub duration: Durations,
}

/// A Redis command of a workload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Command {
    /// The workload.
    pub service: String,
    /// The command.
    pub command: String,
    /// How often it was sent.
    pub commands: u64,
    /// Of them, those answered with an error.
    pub errors: u64,
    /// Of commands whose reply was seen.
    pub duration: Durations,
}

/// A workload and whom it is connected with.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct Link {
    /// The workload.
    pub service: String,
    /// The other end.
    pub peer: String,
    /// Connections it opened.
    pub opened: u64,
    /// Connections it accepted.
    pub accepted: u64,
    /// Connects that did not succeed.
    pub refused: u64,
    /// Connections that ended with a reset.
    pub reset: u64,
    /// Segments sent more than once.
    pub retransmitted: u64,
    /// Round trips, sampled.
    pub round_trip: Durations,
}

#[cfg(test)]
mod tests;
