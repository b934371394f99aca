//! Every driver, every scenario: a program of its language issues all but those it cannot play, each
//! in the database of its name, and says what it issued.

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::languages::{Language, program};
use observer_tests::process::{Place, finish};

use super::account::{Issued, agree, compare};
use super::scene::Scene;

/// Every scenario there is; not every driver can play each.
const ALL: [&str; 17] = [
    "simple",
    "unnamed",
    "prepared",
    "cache",
    "pipeline",
    "batch",
    "cursor",
    "copy",
    "notify",
    "skipped",
    "notice",
    "large",
    "large_object",
    "cancel",
    "scram",
    "transactions",
    "fastpath",
];

/// Runs the scenarios, one after the other in one process.
fn drive(language: Language, name: &str, without: &[&str]) -> Result<()> {
    let Some(mut command) = program(language, name)? else {
        return Ok(());
    };
    let mut scenarios = ALL.to_vec();
    scenarios.retain(|scenario| !without.contains(scenario));
    let scene = Scene::new(&scenarios)?;
    let agent = Agent::observe(&[&scene.clients])?;
    command
        .arg(scene.server.address().to_string())
        .args(&scenarios);
    Place::within(&scene.clients).apply(&mut command)?;
    let printed = finish(&mut command)?;
    let scrape = agent.settled()?;
    let mut differences = Vec::new();
    let mut lines = printed.lines();
    for scenario in &scenarios {
        let line = lines.next().context("a scenario said nothing")?;
        let issued: Issued = serde_json::from_str(line).context(line.to_owned())?;
        ensure!(issued.scenario == *scenario, "{line}");
        ensure!(!issued.executions.is_empty(), "{scenario} issued nothing");
        differences.extend(compare(&issued, &scene.server, &scrape, "client")?);
    }
    agree(&differences, &scrape)
}

#[test]
fn psycopg_is_counted_exactly() -> Result<()> {
    // libpq's FunctionCall is deprecated, and psycopg does not offer it.
    drive(Language::Python, "drive_psycopg", &["fastpath"])
}

#[test]
fn asyncpg_is_counted_exactly() -> Result<()> {
    // It waits for each answer.
    drive(Language::Python, "drive_asyncpg", &["fastpath", "pipeline"])
}

#[test]
fn node_postgres_is_counted_exactly() -> Result<()> {
    // It caches nothing, knows COPY only by another package, and cannot ask to cancel.
    let without = ["fastpath", "cache", "copy", "cancel"];
    drive(Language::Node, "drive_pg", &without)
}

#[test]
fn pgx_is_counted_exactly() -> Result<()> {
    drive(Language::Go, "pgx", &["fastpath"])
}

#[test]
fn pgjdbc_is_counted_exactly() -> Result<()> {
    // It pipelines within a batch alone.
    drive(Language::Java, "DrivePostgres", &["pipeline"])
}
