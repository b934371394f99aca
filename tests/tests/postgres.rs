//! PostgreSQL: *counted = issued*, against the server's own statement log and statistics.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::postgres::log::StatementLog;
use observer_tests::postgres::{Postgres, Statistics};
use observer_tests::process::{Place, finish};
use observer_tests::scrape::Scrape;

const EXECUTIONS: &str = "naytife_database_query_duration_seconds_count";
const ERRORS: &str = "naytife_database_errors_total";
const TRANSACTIONS: &str = "naytife_database_transactions_total";
const ROWS: &str = "naytife_database_rows_total";

/// A server in one cgroup, its clients in another.
struct Scene {
    server: Postgres,
    clients: Cgroup,
    servers: Cgroup,
    before: (usize, Statistics),
}

impl Scene {
    /// With a database `shop` on which nothing has happened yet.
    fn new() -> Result<Self> {
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("database")?);
        let server = Postgres::start(Place::within(&servers))?;
        server.create("shop")?;
        let mut scene = Self {
            server,
            clients,
            servers,
            before: (
                0,
                Statistics {
                    commits: 0,
                    rollbacks: 0,
                },
            ),
        };
        scene.begin()?;
        Ok(scene)
    }

    /// What happened so far does not count.
    fn begin(&mut self) -> Result<()> {
        self.before = (self.all()?.entries.len(), self.server.statistics("shop")?);
        Ok(())
    }

    fn all(&self) -> Result<StatementLog> {
        Ok(self.server.statements()?.of("shop"))
    }

    /// The log since [`Scene::begin`].
    fn log(&self) -> Result<StatementLog> {
        let mut log = self.all()?;
        log.entries.drain(..self.before.0);
        Ok(log)
    }

    /// The statistics since [`Scene::begin`].
    fn statistics(&self) -> Result<Statistics> {
        let now = self.server.statistics("shop")?;
        Ok(Statistics {
            commits: now.commits - self.before.1.commits,
            rollbacks: now.rollbacks - self.before.1.rollbacks,
        })
    }

    /// Runs one of PostgreSQL's programs as a client.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.server.command(program, "shop")?;
        command.args(arguments);
        Place::within(&self.clients).apply(&mut command)?;
        finish(&mut command)
    }

    /// Runs psql on a script; errors in it are part of the script.
    fn psql(&self, script: &str) -> Result<()> {
        let mut command: Command = self.server.command("psql", "shop")?;
        command.args(["--no-psqlrc", "--quiet", "--file", "-"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Place::within(&self.clients).apply(&mut command)?;
        let mut child = command.spawn()?;
        child
            .stdin
            .take()
            .context("psql has no input")?
            .write_all(script.as_bytes())?;
        child.wait()?;
        Ok(())
    }
}

fn executions<'a>(scrape: &'a Scrape, service: &str) -> observer_tests::scrape::Selection<'a> {
    scrape
        .select(EXECUTIONS)
        .with("service", service)
        .with("database", "shop")
}

fn transactions<'a>(scrape: &'a Scrape, outcome: &str) -> observer_tests::scrape::Selection<'a> {
    scrape
        .select(TRANSACTIONS)
        .with("service", "client")
        .with("outcome", outcome)
}

fn count(n: impl TryInto<u64>) -> u64 {
    n.try_into().unwrap_or(u64::MAX)
}

/// Past a turn's budget, message heads may be hidden: the ledger says so, and the counts are exact
/// all the same.
fn nothing_lost_but_past_the_budget(scrape: &Scrape) -> Result<()> {
    let lost = scrape
        .select("observer_bytes_total")
        .with("outcome", "lost");
    lost.without("reason", "budget").is(0)
}

/// One process of the server per connection.
fn connections(log: &StatementLog) -> usize {
    let mut processes: Vec<_> = log.entries.iter().map(|entry| entry.process).collect();
    processes.sort_unstable();
    processes.dedup();
    processes.len()
}

fn pgbench(mode: &str) -> Result<()> {
    let mut scene = Scene::new()?;
    scene.run("pgbench", &["--initialize", "--quiet", "--scale=1"])?;
    scene.begin()?;
    let agent = Agent::observe(&[&scene.clients])?;
    scene.run(
        "pgbench",
        &[
            "-n",
            "-M",
            mode,
            "--client=4",
            "--jobs=2",
            "--transactions=150",
        ],
    )?;
    let statistics = scene.statistics()?;
    let log = scene.log()?;
    let scrape = agent.settled()?;
    executions(&scrape, "client").is(count(log.executions()))?;
    ensure!(
        log.executions() > 4 * 150 * 7,
        "the log is short: {}",
        log.executions()
    );
    // The statistics also count one commit per connection's start-up and, where the clients
    // prepare, one per Sync after which nothing had been executed.
    let prepares = if mode == "prepared" { 4 } else { 0 };
    let commits = statistics.commits - i64::try_from(connections(&log))? - prepares;
    transactions(&scrape, "commit").is(count(commits))?;
    let ended = scrape.select(TRANSACTIONS).with("service", "client").sum();
    transactions(&scrape, "rollback").is(0)?;
    ensure!(ended > 600.0, "{ended}");
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)?;
    Ok(())
}

#[test]
fn pgbench_simple_is_counted_exactly() -> Result<()> {
    pgbench("simple")
}

#[test]
fn pgbench_extended_is_counted_exactly() -> Result<()> {
    pgbench("extended")
}

#[test]
fn pgbench_prepared_is_counted_exactly() -> Result<()> {
    pgbench("prepared")
}

#[test]
fn pgbench_initialisation_with_its_copy_is_counted_exactly() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    scene.run("pgbench", &["--initialize", "--quiet", "--scale=2"])?;
    let log = scene.log()?;
    let scrape = agent.settled()?;
    executions(&scrape, "client").is(count(log.executions()))?;
    executions(&scrape, "client")
        .with("operation", "COPY")
        .is(1)?;
    scrape
        .select(ROWS)
        .with("service", "client")
        .with("operation", "COPY")
        .is(200_000)?;
    nothing_lost_but_past_the_budget(&scrape)
}

#[test]
fn psql_with_errors_is_counted_by_sqlstate() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    scene.psql(
        "CREATE TABLE orders (order_id bigserial PRIMARY KEY, status text NOT NULL);\n\
         INSERT INTO orders (status) SELECT 'pending' FROM generate_series(1, 10);\n\
         SELECT 1/0;\n\
         SELEC 1;\n\
         INSERT INTO orders (order_id, status) VALUES (1, 'twice');\n\
         INSERT INTO orders (status) VALUES (NULL);\n\
         SELECT count(*) FROM absent;\n\
         BEGIN;\nUPDATE orders SET status = 'paid';\nCOMMIT;\n\
         BEGIN;\nDELETE FROM orders;\nROLLBACK;\n\
         BEGIN;\nSELECT 1/0;\nSELECT 2;\nCOMMIT;\n\
         BEGIN;\nINSERT INTO orders (status) VALUES ('a');\nSAVEPOINT s;\n\
         INSERT INTO orders (status) VALUES ('b');\nROLLBACK TO s;\nCOMMIT;\n",
    )?;
    let log = scene.log()?;
    let statistics = scene.statistics()?;
    let scrape = agent.settled()?;
    for sqlstate in ["22012", "42601", "23505", "23502", "42P01", "25P02"] {
        ensure!(log.errors(sqlstate) > 0, "the script has no {sqlstate}");
        scrape
            .select(ERRORS)
            .with("service", "client")
            .with("sqlstate", sqlstate)
            .is(count(log.errors(sqlstate)))?;
    }
    executions(&scrape, "client").is(count(log.executions()))?;
    let rolled_back =
        transactions(&scrape, "rollback").sum() + transactions(&scrape, "failed").sum();
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let expected = statistics.rollbacks as f64;
    ensure!(
        (rolled_back - expected).abs() < 0.5,
        "{rolled_back} rolled back, not {expected}"
    );
    transactions(&scrape, "rollback").is(1)?;
    transactions(&scrape, "commit").is(count(statistics.commits - 1))?;
    scrape
        .select(ROWS)
        .with("service", "client")
        .with("operation", "UPDATE")
        .is(10)?;
    Ok(())
}

#[test]
fn rows_and_statements_over_a_mebibyte_are_one_execution_each() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let literal = "x".repeat(2 << 20);
    scene.psql(&format!(
        "SELECT repeat('y', 3 << 20) AS row;\n\
         SELECT length('{literal}');\n\
         SELECT repeat('z', 100000) FROM generate_series(1, 30);\n\
         SELECT 1;\n"
    ))?;
    let log = scene.log()?;
    ensure!(log.executions() == 4);
    let scrape = agent.settled()?;
    executions(&scrape, "client").is(4)?;
    scrape
        .select(ROWS)
        .with("service", "client")
        .is(1 + 1 + 30 + 1)?;
    nothing_lost_but_past_the_budget(&scrape)
}

#[test]
fn a_connection_older_than_the_agent_is_counted_from_then_on_and_heals_at_its_next_parse()
-> Result<()> {
    let scene = Scene::new()?;
    let mut client = scene.clients.host(|| scene.server.client("shop"))?;
    let old = client.prepare("-- name: GetOld :one\nSELECT $1::int4 + 1")?;
    client.query(&old, &[&1i32])?;
    let agent = Agent::observe(&[&scene.clients])?;
    for number in 0..50i32 {
        client.query(&old, &[&number])?;
    }
    let new = client.prepare("-- name: GetNew :one\nSELECT $1::int4 + 2")?;
    for number in 0..20i32 {
        client.query(&new, &[&number])?;
    }
    client.batch_execute("SELECT 1; SELECT 2")?;
    let scrape = agent.settled()?;
    let all = scrape.select(EXECUTIONS).with("service", "client");
    all.is(50 + 20 + 2)?;
    scrape.select(EXECUTIONS).with("query", "GetNew").is(20)?;
    scrape.select(EXECUTIONS).with("query", "GetOld").is(0)
}

#[test]
fn both_ends_observed_count_each_execution_once_at_the_client() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.run("pgbench", &["--initialize", "--quiet", "--scale=1"])?;
    scene.begin()?;
    let agent = Agent::observe(&[&scene.clients, &scene.servers])?;
    scene.run(
        "pgbench",
        &["-n", "-M", "prepared", "--client=2", "--transactions=50"],
    )?;
    let log = scene.log()?;
    let scrape = agent.settled()?;
    executions(&scrape, "client").is(count(log.executions()))?;
    executions(&scrape, "database").is(0)?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)
}

#[test]
fn where_only_the_server_is_observed_it_answers_under_its_own_name() -> Result<()> {
    let mut scene = Scene::new()?;
    scene.run("pgbench", &["--initialize", "--quiet", "--scale=1"])?;
    scene.begin()?;
    let agent = Agent::observe(&[&scene.servers])?;
    scene.run(
        "pgbench",
        &["-n", "-M", "extended", "--client=2", "--transactions=50"],
    )?;
    let log = scene.log()?;
    let scrape = agent.settled()?;
    executions(&scrape, "database").is(count(log.executions()))
}

#[test]
fn connections_to_the_database_are_counted_while_they_are_there() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut clients = scene.clients.host(|| {
        (0..3)
            .map(|_| scene.server.client("shop"))
            .collect::<Result<Vec<_>>>()
    })?;
    for client in &mut clients {
        client.batch_execute("SELECT 1")?;
    }
    let active = |scrape: &Scrape, n| {
        scrape
            .select("naytife_database_connections_active")
            .with("service", "client")
            .with("database", "shop")
            .is(n)
    };
    agent.eventually(|scrape| active(scrape, 3))?;
    drop(clients);
    agent.eventually(|scrape| active(scrape, 0))?;
    agent.settled().map(drop)
}
