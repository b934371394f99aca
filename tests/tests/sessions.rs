//! PostgreSQL sessions of every kind: fetched in parts, copied, notified, cancelled, with a
//! password, through a pooler.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::thread::{sleep, spawn};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use observer_tests::agent::Agent;
use observer_tests::cgroup::Cgroup;
use observer_tests::pgbouncer::{PgBouncer, Pooling};
use observer_tests::postgres::Postgres;
use observer_tests::postgres::log::StatementLog;
use observer_tests::process::Place;
use observer_tests::scrape::{Scrape, Selection};
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::{Client, NoTls};

const EXECUTIONS: &str = "naytife_database_query_duration_seconds_count";
const UNTIMED: &str = "naytife_database_executions_untimed_total";
const SECONDS: &str = "naytife_database_query_duration_seconds_sum";
const ERRORS: &str = "naytife_database_errors_total";
const ROWS: &str = "naytife_database_rows_total";
const HOPS: &str = "naytife_database_hop_executions_total";
const TRANSACTIONS: &str = "naytife_database_transactions_total";

/// A server in one cgroup, its clients in another.
struct Scene {
    server: Postgres,
    clients: Cgroup,
    _servers: Cgroup,
}

impl Scene {
    fn new() -> Result<Self> {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Result<Self> {
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("database")?);
        let server = Postgres::with(Place::within(&servers), settings)?;
        server.create("shop")?;
        Ok(Self {
            server,
            clients,
            _servers: servers,
        })
    }

    fn connect(&self, url: &str) -> Result<Client> {
        self.clients.host(|| Ok(Client::connect(url, NoTls)?))
    }

    fn client(&self) -> Result<Client> {
        self.connect(&self.server.url("shop"))
    }

    fn log(&self) -> Result<StatementLog> {
        Ok(self.server.statements()?.of("shop"))
    }
}

fn of<'a>(scrape: &'a Scrape, metric: &str, service: &str) -> Selection<'a> {
    scrape.select(metric).with("service", service)
}

/// As many executions as the log has, all with their duration, and every byte explained.
fn agrees(scrape: &Scrape, log: &StatementLog) -> Result<()> {
    of(scrape, EXECUTIONS, "client").is(log.executions() as u64)?;
    of(scrape, UNTIMED, "client").is(0)?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)
}

#[test]
fn a_portal_fetched_in_parts_is_one_execution_of_all_its_rows() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut client = scene.client()?;
    let mut transaction = client.transaction()?;
    let text = "-- name: ListInParts :many\nSELECT generate_series(1, 25)";
    let portal = transaction.bind(text, &[])?;
    for rows in [10, 10, 5] {
        ensure!(transaction.query_portal(&portal, 10)?.len() == rows);
        sleep(Duration::from_millis(300));
    }
    transaction.batch_execute(
        "DECLARE c CURSOR FOR SELECT generate_series(1, 9); FETCH 4 FROM c; FETCH 4 FROM c; CLOSE c",
    )?;
    transaction.commit()?;
    drop(client);
    let scrape = agent.settled()?;
    agrees(&scrape, &scene.log()?)?;
    let named = |metric| of(&scrape, metric, "client").with("query", "ListInParts");
    named(EXECUTIONS).is(1)?;
    named(ROWS).is(25)?;
    ensure!(named(SECONDS).sum() < 0.3, "{}", named(SECONDS));
    of(&scrape, ROWS, "client")
        .with("operation", "FETCH")
        .is(8)?;
    of(&scrape, TRANSACTIONS, "client").is(1)
}

#[test]
fn copied_out_rows_are_one_execution() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut client = scene.client()?;
    let mut text = String::new();
    client
        .copy_out("COPY (SELECT generate_series(1, 5000)) TO STDOUT")?
        .read_to_string(&mut text)?;
    ensure!(text.lines().count() == 5000);
    // The library does not expect it; the server runs both.
    let _ = client.batch_execute("COPY (SELECT generate_series(1, 300)) TO STDOUT; SELECT 1");
    client.batch_execute("SELECT 2")?;
    drop(client);
    let scrape = agent.settled()?;
    agrees(&scrape, &scene.log()?)?;
    let copies = |metric| of(&scrape, metric, "client").with("operation", "COPY");
    copies(EXECUTIONS).is(2)?;
    copies(ROWS).is(5300)
}

#[test]
fn what_a_server_says_unasked_is_no_answer() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let (mut listener, mut speaker) = (scene.client()?, scene.client()?);
    listener.batch_execute("LISTEN orders")?;
    for _ in 0..5 {
        speaker.batch_execute("NOTIFY orders, 'jo@example.com'")?;
    }
    let heard = listener
        .notifications()
        .timeout_iter(Duration::from_millis(1500))
        .count()?;
    ensure!(heard == 5, "{heard} notifications");
    listener.batch_execute("DO $$ BEGIN RAISE NOTICE 'careful'; END $$; SELECT 1")?;
    drop((listener, speaker));
    let scrape = agent.settled()?;
    agrees(&scrape, &scene.log()?)?;
    let operation = |name| of(&scrape, EXECUTIONS, "client").with("operation", name);
    operation("LISTEN").is(1)?;
    operation("NOTIFY").is(5)?;
    let seconds = of(&scrape, SECONDS, "client");
    ensure!(seconds.sum() < 1.0, "waiting is no duration: {seconds}");
    let (_, text) = agent.get("/metrics")?;
    ensure!(!text.contains("jo@example.com"));
    Ok(())
}

#[test]
fn a_cancelled_statement_is_one_failed_execution_and_the_cancel_request_none() -> Result<()> {
    let scene = Scene::new()?;
    let agent = Agent::observe(&[&scene.clients])?;
    let mut client = scene.client()?;
    let token = client.cancel_token();
    let running = spawn(move || {
        let cancelled = client.batch_execute("SELECT pg_sleep(30)").is_err();
        client.batch_execute("SELECT 1").map(|()| cancelled)
    });
    sleep(Duration::from_millis(500));
    scene
        .clients
        .host(|| Ok(token.cancel_query(NoTls)?))
        .context("cannot cancel")?;
    let cancelled = running
        .join()
        .map_err(|_| anyhow!("the client panicked"))??;
    ensure!(cancelled);
    let scrape = agent.settled()?;
    agrees(&scrape, &scene.log()?)?;
    of(&scrape, EXECUTIONS, "client").is(2)?;
    of(&scrape, ERRORS, "client")
        .with("sqlstate", "57014")
        .is(1)?;
    of(&scrape, ERRORS, "client").is(1)?;
    of(&scrape, TRANSACTIONS, "client")
        .with("outcome", "failed")
        .is(1)?;
    of(&scrape, TRANSACTIONS, "client")
        .with("outcome", "commit")
        .is(1)
}

#[test]
fn a_function_call_is_an_execution() -> Result<()> {
    let scene = Scene::new()?;
    let oid: u32 = scene
        .server
        .client("shop")?
        .query_one("SELECT 'int4abs'::regproc::oid", &[])?
        .get(0);
    let before = scene.log()?.executions();
    let agent = Agent::observe(&[&scene.clients])?;
    let mut stream = scene
        .clients
        .host(|| Ok(std::net::TcpStream::connect(scene.server.address())?))?;
    let mut startup = vec![0, 0, 0, 0, 0, 3, 0, 0];
    startup.extend(b"user\0postgres\0database\0shop\0\0");
    let length = u32::try_from(startup.len())?.to_be_bytes();
    startup.splice(..4, length);
    stream.write_all(&startup)?;
    ready(&mut stream)?;
    // One argument, in binary as the result: int4 -7.
    let mut call = vec![b'F', 0, 0, 0, 24];
    call.extend(oid.to_be_bytes());
    call.extend([0, 1, 0, 1, 0, 1, 0, 0, 0, 4]);
    call.extend((-7_i32).to_be_bytes());
    call.extend([0, 1]);
    stream.write_all(&call)?;
    let answer = ready(&mut stream)?;
    ensure!(answer.windows(4).any(|w| w == 7_i32.to_be_bytes()));
    stream.write_all(b"X\0\0\0\x04")?;
    drop(stream);
    let scrape = agent.settled()?;
    ensure!(scene.log()?.executions() == before + 1);
    of(&scrape, EXECUTIONS, "client").is(1)?;
    of(&scrape, EXECUTIONS, "client")
        .with("operation", "FUNCTION_CALL")
        .is(1)?;
    of(&scrape, TRANSACTIONS, "client")
        .with("outcome", "commit")
        .is(1)
}

/// Reads up to a `ReadyForQuery`.
fn ready(stream: &mut std::net::TcpStream) -> Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut all, mut some) = (Vec::new(), [0; 4096]);
    while !all.ends_with(b"Z\0\0\0\x05I") {
        let read = stream.read(&mut some)?;
        ensure!(read > 0, "the server closed");
        all.extend_from_slice(some.get(..read).unwrap_or_default());
    }
    Ok(all)
}

#[test]
fn a_password_is_no_statement_and_stands_nowhere() -> Result<()> {
    const SECRET: &str = "hunter2-s3cret";
    const OTHER: &str = "an0ther-s3cret";
    let files = tempfile::tempdir()?;
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755))?;
    let rules = files.path().join("pg_hba.conf");
    fs::write(
        &rules,
        "host shop app 127.0.0.1/32 scram-sha-256\n\
         host plain app 127.0.0.1/32 password\n\
         host all all 127.0.0.1/32 trust\n",
    )?;
    let rules = rules.to_str().context("no UTF-8")?;
    let scene = Scene::with(&[("hba_file", rules), ("log_connections", "off")])?;
    scene.server.create("plain")?;
    scene
        .server
        .client("postgres")?
        .batch_execute(&format!("CREATE ROLE app LOGIN PASSWORD '{SECRET}'"))?;
    let agent = Agent::start(&observer_tests::agent::Options {
        cgroups: &[&scene.clients],
        arguments: &["--log-level", "trace"],
        ..observer_tests::agent::Options::default()
    })?;
    let url = |database: &str, password: &str| {
        let address = scene.server.address();
        format!(
            "host={} port={} user=app password={password} dbname={database}",
            address.ip(),
            address.port()
        )
    };
    for database in ["shop", "plain"] {
        let mut client = scene.connect(&url(database, SECRET))?;
        client.batch_execute("SELECT 1")?;
        client.batch_execute(&format!("ALTER ROLE app PASSWORD '{OTHER}'"))?;
        client.batch_execute(&format!("ALTER ROLE app PASSWORD '{SECRET}'"))?;
        drop(client);
        ensure!(scene.connect(&url(database, OTHER)).is_err());
    }
    ensure!(scene.connect(&url("jo_doe", SECRET)).is_err());
    let scrape = agent.settled()?;
    of(&scrape, EXECUTIONS, "client")
        .with("database", "shop")
        .is(3)?;
    of(&scrape, EXECUTIONS, "client").is(6)?;
    of(&scrape, UNTIMED, "client").is(0)?;
    of(&scrape, TRANSACTIONS, "client").is(6)?;
    of(&scrape, ERRORS, "client")
        .with("sqlstate", "28P01")
        .is(2)?;
    scrape
        .select("observer_bytes_total")
        .with("outcome", "lost")
        .is(0)?;
    // Bytes are settled before a close is known.
    agent.eventually(|scrape| of(scrape, "naytife_database_connections_active", "client").is(0))?;
    let (_, text) = agent.get("/metrics")?;
    let said = agent.process().printed();
    for secret in [SECRET, OTHER, "SCRAM-SHA-256", "jo_doe"] {
        ensure!(!text.contains(secret), "/metrics shows {secret}");
        ensure!(!said.contains(secret), "the log shows {secret}");
    }
    Ok(())
}

#[test]
fn behind_a_pooler_a_statement_is_one_execution_of_the_application() -> Result<()> {
    let scene = Scene::new()?;
    let poolers = Cgroup::create("pooler")?;
    let pooler = PgBouncer::start(Place::within(&poolers), &scene.server, Pooling::Transaction)?;
    let agent = Agent::observe(&[&scene.clients, &poolers])?;
    let mut clients = (0..3)
        .map(|_| scene.connect(&pooler.url("shop")))
        .collect::<Result<Vec<_>>>()?;
    for _ in 0..20 {
        for client in &mut clients {
            client.batch_execute("BEGIN")?;
            client.simple_query("SELECT * FROM pg_class WHERE relname = 'jo@example.com'")?;
            client.batch_execute("COMMIT")?;
        }
    }
    drop(clients);
    let scrape = agent.settled()?;
    of(&scrape, EXECUTIONS, "client").is(3 * 3 * 20)?;
    of(&scrape, TRANSACTIONS, "client").is(3 * 20)?;
    let upstream = scene.log()?.executions() as u64;
    of(&scrape, EXECUTIONS, "pooler").is(0)?;
    of(&scrape, TRANSACTIONS, "pooler").is(0)?;
    of(&scrape, HOPS, "pooler").is(upstream)?;
    let (_, text) = agent.get("/metrics")?;
    ensure!(!text.contains("jo@example.com"));
    Ok(())
}
