//! What was decoded and correlated from a relay's bytes against the server's own books: its
//! statement log and `pg_stat_database`.
//!
//! No kernel is involved: a relay between pgbench and a real server hands every stretch it
//! forwards to the stages, so that a difference is theirs alone.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use observer::correlate::Body;
use observer::correlate::postgres::{
    Correlator, Interest, Outcome, Shared, Statement, Transaction, Wanted, Which,
};
use observer::decode::postgres::{Body as Wire, Postgres, Status};
use observer::decode::{Decoder as _, Side};
use observer::reassemble::Input;
use observer::time::Timestamp;

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A server of its own in a directory of its own; both go when it goes.
struct Server {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = std::env::temp_dir().join(format!("postgres-oracle-{port}"));
        fs::create_dir_all(&directory)?;
        let data = directory.join("data");
        Command::new("chown")
            .arg("postgres")
            .arg(&directory)
            .status()?;
        let made = as_postgres(&format!("{BIN}/initdb"))
            .args(["-A", "trust", "-N", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "initdb failed");
        let log = fs::File::create(directory.join("log"))?;
        let process = as_postgres(&format!("{BIN}/postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
            .arg(&directory)
            .args(["-c", "fsync=off", "-c", "log_statement=all"])
            .args(["-c", "log_line_prefix=%d|", "-c", "autovacuum=off"])
            .stderr(log)
            .spawn()?;
        let server = Self {
            process,
            directory,
            port,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.ask("postgres", "SELECT 1").is_err() {
            ensure!(Instant::now() < deadline, "the server does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn ask(&self, database: &str, sql: &str) -> Result<String> {
        let said = Command::new("psql")
            .args(["-h", "127.0.0.1", "-U", "postgres", "-XqAt"])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()?;
        ensure!(said.status.success(), "{sql}");
        Ok(String::from_utf8(said.stdout)?.trim().to_owned())
    }

    /// Commits and rollbacks of a database, once its sessions have reported.
    fn transactions(&self, database: &str) -> Result<(u64, u64)> {
        let sessions =
            format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'");
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.ask("postgres", &sessions)? != "0" {
            ensure!(Instant::now() < deadline, "sessions do not end");
            thread::sleep(Duration::from_millis(50));
        }
        let row = self.ask(
            "postgres",
            &format!(
                "SELECT xact_commit, xact_rollback FROM pg_stat_database WHERE datname = '{database}'"
            ),
        )?;
        let (commits, rollbacks) = row.split_once('|').context("no such database")?;
        Ok((commits.parse()?, rollbacks.parse()?))
    }

    /// Entries of the statement log that say that a statement of `database` began.
    fn logged(&self, database: &str) -> Result<usize> {
        let log = fs::read_to_string(self.directory.join("log"))?;
        let began = |line: &&str| {
            line.strip_prefix(database)
                .and_then(|line| line.strip_prefix("|LOG:  "))
                .is_some_and(|entry| {
                    entry.starts_with("statement: ")
                        || (entry.starts_with("execute ")
                            && !entry.starts_with("execute fetch from"))
                        || entry.starts_with("fastpath function call")
                })
        };
        Ok(log.lines().filter(began).count())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = self.process.id().to_string();
        // A fast shutdown: the child is the postmaster's parent where another user runs it.
        let pid = fs::read_to_string(self.directory.join("data/postmaster.pid"));
        let pid = pid
            .ok()
            .and_then(|text| text.lines().next().map(str::to_owned));
        let _ = Command::new("kill")
            .args(["-INT", &pid.unwrap_or(id)])
            .status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        program,
    ]);
    command
}

struct Nothing;

impl Interest for Nothing {
    fn wanted(&self, _: &Statement) -> Arc<Wanted> {
        Arc::default()
    }

    fn wanted_by_name(&self, _: &str) -> Option<Arc<Wanted>> {
        None
    }
}

/// What the stages counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    connections: u64,
    executions: usize,
    unnamed: usize,
    failed: usize,
    rows: u64,
    commits: u64,
    rollbacks: u64,
    unknown: u64,
    lost: u64,
    /// Requests out of a block that executed nothing; the server counts a commit for each.
    idle_syncs: u64,
}

struct Stages {
    decoder: Postgres,
    correlator: Correlator,
    began: Instant,
    /// Whether the request that is being sent prepared something, and executed something.
    asked: (bool, bool),
    /// Whether it is sent in a block.
    in_block: bool,
}

fn count(counted: &mut Counted, body: &Body) {
    match body {
        Body::Sql(execution) => {
            counted.executions += 1;
            counted.unnamed += usize::from(!matches!(execution.which, Which::Known(_)));
            counted.failed += usize::from(matches!(execution.outcome, Outcome::Failed(_)));
            counted.rows += execution.rows.unwrap_or(0);
        }
        Body::SqlTransaction(Transaction::Commit) => counted.commits += 1,
        Body::SqlTransaction(Transaction::Rollback | Transaction::Failed) => counted.rollbacks += 1,
        Body::SqlTransaction(Transaction::Unknown | Transaction::Lost) => counted.unknown += 1,
        _ => {}
    }
}

fn feed(stages: &mut Stages, side: Side, bytes: &[u8], counted: &Mutex<Counted>) {
    let Ok(mut counted) = counted.lock() else {
        return;
    };
    let now = u64::try_from(stages.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let (correlator, asked) = (&mut stages.correlator, &mut stages.asked);
    let in_block = &mut stages.in_block;
    let fed = stages
        .decoder
        .feed(side, Timestamp(now), Input::Bytes(bytes), &mut |message| {
            match message.body {
                Wire::Parse { .. } => asked.0 = true,
                Wire::Execute { .. } => asked.1 = true,
                Wire::Sync => {
                    counted.idle_syncs += u64::from(!*in_block && *asked == (true, false));
                    *asked = (false, false);
                }
                Wire::ReadyForQuery(status) => *in_block = status != Some(Status::Idle),
                _ => {}
            }
            correlator.on(&message, &mut |body| count(&mut counted, &body));
        });
    counted.lost += fed.lost.map_or(0, |(_, bytes)| bytes);
}

/// Forwards one direction; what it forwards is fed first, so that no answer overtakes its question.
fn pump(
    side: Side,
    (mut from, mut to): (TcpStream, TcpStream),
    stages: &Mutex<Stages>,
    counted: &Mutex<Counted>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..length).unwrap_or_default();
        if let Ok(mut stages) = stages.lock() {
            feed(&mut stages, side, bytes, counted);
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A relay in front of the server; ends with the process.
fn relay(server: u16, counted: &Arc<Mutex<Counted>>) -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let shared = Arc::new(Shared::new(Box::new(Nothing)));
    let counted = Arc::clone(counted);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else {
                continue;
            };
            let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
            let stages = Arc::new(Mutex::new(Stages {
                decoder: Postgres::new(),
                correlator: Correlator::new(Arc::clone(&shared)),
                began: Instant::now(),
                asked: (false, false),
                in_block: false,
            }));
            if let Ok(mut counted) = counted.lock() {
                counted.connections += 1;
            }
            let copies = (client.try_clone(), upstream.try_clone());
            let (Ok(client_again), Ok(upstream_again)) = copies else {
                continue;
            };
            let (counted, counted_again) = (Arc::clone(&counted), Arc::clone(&counted));
            let stages_again = Arc::clone(&stages);
            let answers = thread::spawn(move || {
                pump(
                    Side::Server,
                    (upstream_again, client_again),
                    &stages_again,
                    &counted_again,
                );
            });
            thread::spawn(move || {
                pump(Side::Client, (client, upstream), &stages, &counted);
                let _ = answers.join();
                if let (Ok(mut stages), Ok(mut counted)) = (stages.lock(), counted.lock()) {
                    let stamp = Timestamp(u64::MAX);
                    stages
                        .correlator
                        .end(stamp, &mut |body| count(&mut counted, &body));
                }
            });
        }
    });
    Ok(port)
}

fn pgbench(port: u16, database: &str, arguments: &[&str]) -> Result<()> {
    let ran = Command::new("pgbench")
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
        .args(arguments)
        .arg(database)
        .env("PGSSLMODE", "disable")
        .env("PGGSSENCMODE", "disable")
        .output()?;
    if !ran.status.success() {
        bail!("{}", String::from_utf8_lossy(&ran.stderr));
    }
    Ok(())
}

/// Every statement has its log entry, every transaction its count.
fn agrees(server: &Server, database: &str, run: &dyn Fn(u16) -> Result<()>) -> Result<Counted> {
    let counted = Arc::new(Mutex::new(Counted::default()));
    let port = relay(server.port, &counted)?;
    let before = server.transactions(database)?;
    let logged_before = server.logged(database)?;
    run(port)?;
    let after = server.transactions(database)?;
    thread::sleep(Duration::from_millis(100));
    let logged = server.logged(database)? - logged_before;
    let counted = *counted.lock().ok().context("a relay's thread panicked")?;
    eprintln!("{database}: {counted:?}, {logged} log entries");
    ensure!(
        counted.executions == logged,
        "{} of {logged} executions",
        counted.executions
    );
    ensure!(counted.unnamed == 0 && counted.lost == 0 && counted.unknown == 0);
    // One per connection's start-up, one per request that executed nothing.
    let commits = after.0 - before.0 - counted.connections - counted.idle_syncs;
    ensure!(
        counted.commits == commits,
        "{} of {commits} commits",
        counted.commits
    );
    let rollbacks = after.1 - before.1;
    ensure!(
        counted.rollbacks == rollbacks,
        "{} of {rollbacks} rollbacks",
        counted.rollbacks
    );
    Ok(counted)
}

const SCRIPT: &str = r"\set n random(1, 1000000)
\set k random(1, 100)
BEGIN;
INSERT INTO once VALUES (:n);
SAVEPOINT a;
INSERT INTO once VALUES (:n + 1000000);
ROLLBACK TO a;
COMMIT;
SELECT generate_series(1, :k);
BEGIN;
UPDATE once SET a = a WHERE a = :n;
ROLLBACK;
END;
";

/// Errors of every kind that the statement log knows; a syntax error it does not.
const ERRORS: &str = r"SELECT 1/0;
BEGIN;
SELECT 1/0;
SELECT 2;
COMMIT;
BEGIN;
INSERT INTO deferred VALUES (1), (1);
COMMIT;
INSERT INTO deferred VALUES (2), (2);
BEGIN;
SAVEPOINT a;
SELECT 1/0;
ROLLBACK TO a;
END;
ABORT;
BEGIN;
COMMIT AND CHAIN;
ROLLBACK AND CHAIN;
ROLLBACK;
COPY once TO STDOUT;
SET application_name = 'x';
SHOW application_name;
";

#[test]
fn executions_and_transactions_agree_with_the_servers_books() -> Result<()> {
    if !Path::new(BIN).join("postgres").exists() {
        eprintln!("SKIPPED: no PostgreSQL 15 under {BIN}");
        return Ok(());
    }
    let server = Server::start()?;
    server.ask("postgres", "CREATE DATABASE bench")?;
    pgbench(server.port, "bench", &["-i", "-q", "-s", "1"])?;
    server.ask("bench", "CREATE TABLE once (a int)")?;
    let deferred = "CREATE TABLE deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED)";
    server.ask("bench", deferred)?;
    let script = server.directory.join("script.sql");
    fs::write(&script, SCRIPT)?;
    let script = script.to_string_lossy();
    for mode in ["simple", "extended", "prepared"] {
        let ran = agrees(&server, "bench", &|port| {
            let arguments = ["-M", mode, "-c", "8", "-j", "2", "-t", "100", "-n"];
            pgbench(port, "bench", &arguments)
        })?;
        ensure!(
            ran.commits >= 8 * 100 && ran.rows >= 4 * 8 * 100,
            "{mode}: {ran:?}"
        );
        agrees(&server, "bench", &|port| {
            let arguments = ["-M", mode, "-c", "4", "-t", "50", "-n", "-f", &script];
            pgbench(port, "bench", &arguments)
        })?;
    }
    let errors = server.directory.join("errors.sql");
    fs::write(&errors, ERRORS)?;
    let ran = agrees(&server, "bench", &|port| {
        let ran = Command::new("psql")
            .args(["-h", "127.0.0.1", "-U", "postgres", "-Xq", "-d", "bench"])
            .args(["-p", &port.to_string(), "-f"])
            .arg(&errors)
            .env("PGGSSENCMODE", "disable")
            .output()?;
        ensure!(ran.status.success(), "psql failed");
        Ok(())
    })?;
    ensure!(ran.failed == 6, "{ran:?}");
    Ok(())
}
