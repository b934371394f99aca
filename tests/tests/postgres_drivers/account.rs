//! One scenario in three books: the driver's, the server's and the agent's.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use observer_tests::postgres::Postgres;
use observer_tests::scrape::{Scrape, Selection};
use serde::Deserialize;

const EXECUTIONS: &str = "naytife_database_query_duration_seconds_count";
const UNTIMED: &str = "naytife_database_executions_untimed_total";
const ERRORS: &str = "naytife_database_errors_total";
const ROWS: &str = "naytife_database_rows_total";
const TRANSACTIONS: &str = "naytife_database_transactions_total";

/// What a program says that it issued in a scenario.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issued {
    /// The scenario, which is its database.
    pub(crate) scenario: String,
    /// By the name in the text; by the operation, in capitals, for a statement without one. What
    /// a driver issues of its own is in the server's log alone.
    pub(crate) executions: BTreeMap<String, i64>,
    pub(crate) rows: i64,
    /// By SQLSTATE.
    pub(crate) errors: BTreeMap<String, i64>,
    pub(crate) commits: i64,
    /// On request.
    pub(crate) rollbacks: i64,
    /// Because of an error.
    pub(crate) failed: i64,
    /// Left open where their connection ended.
    #[serde(default)]
    pub(crate) unknown: i64,
    pub(crate) connections: i64,
    /// Commits in the server's statistics that are none: Syncs after which nothing had run. `None`
    /// where their number is the server's chance.
    pub(crate) idle: Option<i64>,
}

impl Issued {
    /// Statements of this name ended well, with so many rows in all.
    pub(crate) fn ran(&mut self, what: &str, times: i64, rows: i64, commits: i64) {
        *self.executions.entry(what.into()).or_default() += times;
        self.rows += rows;
        self.commits += commits;
    }

    /// A statement of this name ended with an error.
    pub(crate) fn broke(&mut self, what: &str, sqlstate: &str) {
        *self.executions.entry(what.into()).or_default() += 1;
        *self.errors.entry(sqlstate.into()).or_default() += 1;
    }
}

/// A statement with its name in it, as sqlc writes them.
pub(crate) fn named(name: &str, text: &str) -> String {
    format!("-- name: {name} :many\n{text}")
}

/// Every difference between what was issued, logged and counted under this service.
pub(crate) fn compare(
    issued: &Issued,
    server: &Postgres,
    scrape: &Scrape,
    service: &str,
) -> Result<Vec<String>> {
    let database = issued.scenario.as_str();
    let log = server.statements()?.of(database);
    let statistics = server.statistics(database)?;
    let of = |metric: &str| {
        let all = scrape.select(metric).with("service", service);
        all.with("database", database)
    };
    let mut lines = Vec::new();
    let mut meet = |what: &str, said: &str, expected: i64, counted: i64| {
        if expected != counted {
            lines.push(format!(
                "{database}: {what}: {said} {expected}, counted {counted}"
            ));
        }
    };

    let logged = log.by_name();
    for (what, times) in &issued.executions {
        let counted = if is_name(what) {
            let times = logged.get(what.as_str()).copied().unwrap_or(0);
            let counted = of(EXECUTIONS).with("query", what);
            meet(what, "logged", i64::try_from(times)?, whole(&counted));
            counted
        } else {
            let all = of(EXECUTIONS).with("operation", what);
            let nameless = logged.keys();
            nameless.fold(all, |left, name| left.without("query", name))
        };
        meet(what, "issued", *times, whole(&counted));
    }
    let executions = i64::try_from(log.executions())?;
    meet("executions", "logged", executions, whole(&of(EXECUTIONS)));
    meet("without a duration", "issued", 0, whole(&of(UNTIMED)));
    meet("rows", "issued", issued.rows, whole(&of(ROWS)));
    for (state, times) in &issued.errors {
        let counted = whole(&of(ERRORS).with("sqlstate", state));
        meet(state, "issued", *times, counted);
        meet(state, "logged", i64::try_from(log.errors(state))?, counted);
    }
    let errors = issued.errors.values().sum();
    meet("errors", "issued", errors, whole(&of(ERRORS)));

    let ended = |outcome| whole(&of(TRANSACTIONS).with("outcome", outcome));
    let (commits, rollbacks, failed) = (ended("commit"), ended("rollback"), ended("failed"));
    let unknown = ended("unknown");
    meet("commits", "issued", issued.commits, commits);
    if let Some(idle) = issued.idle {
        let booked = statistics.commits - issued.connections - idle;
        meet("commits", "booked", booked, commits);
    }
    meet("rollbacks", "issued", issued.rollbacks, rollbacks);
    meet("failures", "issued", issued.failed, failed);
    meet("unknown ends", "issued", issued.unknown, unknown);
    // What was left open the server rolls back.
    let undone = rollbacks + failed + unknown;
    meet("rolled back", "booked", statistics.rollbacks, undone);
    Ok(lines)
}

/// Nothing was lost but what a turn's budget hides.
pub(crate) fn nothing_lost(scrape: &Scrape) -> Result<()> {
    let lost = scrape
        .select("observer_bytes_total")
        .with("outcome", "lost");
    lost.without("reason", "budget").is(0)
}

/// Fails with every difference there is.
pub(crate) fn agree(differences: &[String], scrape: &Scrape) -> Result<()> {
    if differences.is_empty() {
        return nothing_lost(scrape);
    }
    bail!("{}", differences.join("\n"))
}

/// `GetShop`, and neither `GET` nor `unknown`.
fn is_name(what: &str) -> bool {
    let lower = |letter: char| letter.is_ascii_lowercase();
    what.starts_with(|letter: char| letter.is_ascii_uppercase()) && what.contains(lower)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a counter is a whole number"
)]
fn whole(selection: &Selection<'_>) -> i64 {
    selection.sum() as i64
}
