//! A real PostgreSQL, its statement log and its own statistics.

pub mod log;
pub mod text;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use postgres::{Client, NoTls};
use tempfile::TempDir;

use self::log::StatementLog;
use crate::process::{self, PATIENCE, Place, Process, free_port};

/// The role that owns everything.
pub const ROLE: &str = "postgres";

/// A running server; stopped when this goes.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    address: SocketAddr,
    log: PathBuf,
    _files: TempDir,
}

/// What `pg_stat_database` says, once every session on the database has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Besides every transaction that committed, one per connection's start-up, one per Sync
    /// after which nothing had been executed, one per empty query, one per COMMIT PREPARED or ROLLBACK
    /// PREPARED beside the transaction that it ends.
    pub commits: i64,
    /// Transactions that rolled back.
    pub rollbacks: i64,
}

impl Postgres {
    /// Starts a server of its own that logs every statement.
    ///
    /// # Errors
    /// When PostgreSQL is not there or does not start.
    pub fn start(place: Place<'_>) -> Result<Self> {
        Self::with(place, &[])
    }

    /// The same with more settings.
    ///
    /// # Errors
    /// When PostgreSQL is not there or does not start.
    pub fn with(place: Place<'_>, settings: &[(&str, &str)]) -> Result<Self> {
        // It refuses to run as root.
        let place = place.as_user("postgres")?;
        let files = tempfile::tempdir()?;
        place.own(files.path())?;
        let data = files.path().join("data");
        let mut initdb = Command::new(program("initdb")?);
        initdb
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(["--username", ROLE, "--pgdata"])
            .arg(&data);
        Place {
            cgroup: None,
            user: place.user.clone(),
        }
        .apply(&mut initdb)?;
        process::finish(initdb.current_dir(files.path()))?;

        let address = free_port()?;
        let log = files.path().join("statements.log");
        let mut command = Command::new(program("postgres")?);
        command.arg("-D").arg(&data).current_dir(files.path());
        let port = address.port().to_string();
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            ("max_prepared_transactions", "20"),
            ("fsync", "off"),
            ("log_statement", "all"),
            ("log_line_prefix", log::PREFIX),
            ("log_min_messages", "warning"),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
        ];
        for (name, value) in own.iter().chain(settings) {
            command.args(["-c", &format!("{name}={value}")]);
        }
        // SIGINT is its fast shutdown; SIGTERM would wait for clients.
        let process = Process::start(command, &log, &place)?.stopped_by(Signal::SIGINT);
        let mut server = Self {
            process,
            address,
            log,
            _files: files,
        };
        let url = server.url(ROLE);
        server
            .process
            .until("accept clients", || Client::connect(&url, NoTls).ok())?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The connection string for a database.
    pub fn url(&self, database: &str) -> String {
        url(self.address, database)
    }

    /// A client of a database.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn client(&self, database: &str) -> Result<Client> {
        Client::connect(&self.url(database), NoTls)
            .with_context(|| format!("cannot connect to the database {database}"))
    }

    /// Makes an empty database; what the tests do there is told apart by its name.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create(&self, database: &str) -> Result<()> {
        Ok(self
            .client(ROLE)?
            .batch_execute(&format!("CREATE DATABASE {database}"))?)
    }

    /// One of PostgreSQL's programs, pointed at a database of this server.
    ///
    /// # Errors
    /// When it is not there.
    pub fn command(&self, name: &str, database: &str) -> Result<Command> {
        let mut command = Command::new(program(name)?);
        command
            .env("PGHOST", self.address.ip().to_string())
            .env("PGPORT", self.address.port().to_string())
            .env("PGUSER", ROLE)
            .env("PGDATABASE", database);
        Ok(command)
    }

    /// The statement log so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn statements(&self) -> Result<StatementLog> {
        let text = fs::read(&self.log)?;
        Ok(StatementLog::parse(&String::from_utf8_lossy(&text)))
    }

    /// Waits until every session on the database has ended, which is when the figures are
    /// complete, and reads them over another database.
    ///
    /// # Errors
    /// When sessions stay.
    pub fn statistics(&self, database: &str) -> Result<Statistics> {
        let mut client = self.client(ROLE)?;
        let start = Instant::now();
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
        while client.query_one(sessions, &[&database])?.get::<_, i64>(0) > 0 {
            if start.elapsed() > PATIENCE {
                bail!("there are still sessions on {database}");
            }
            sleep(Duration::from_millis(20));
        }
        let row = client.query_one(
            "SELECT xact_commit, xact_rollback FROM pg_stat_database WHERE datname = $1",
            &[&database],
        )?;
        Ok(Statistics {
            commits: row.get(0),
            rollbacks: row.get(1),
        })
    }
}

/// The connection string for a database behind this address.
pub fn url(address: SocketAddr, database: &str) -> String {
    format!("postgres://{ROLE}@{address}/{database}?sslmode=disable")
}

/// One of PostgreSQL's programs, which Debian keeps off the path; the newest release's.
fn program(name: &str) -> Result<PathBuf> {
    let release = |directory: &Path| -> u32 {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        name.parse().unwrap_or(0)
    };
    fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|directory| directory.join("bin").join(name).is_file())
        .max_by_key(|directory| release(directory))
        .map_or_else(
            || process::need(name),
            |directory| Ok(directory.join("bin").join(name)),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_holds_what_was_executed() -> Result<()> {
        let server = Postgres::start(Place::default())?;
        server.create("shop")?;
        let mut client = server.client("shop")?;
        client.batch_execute("-- ping")?;
        client.batch_execute("SELECT 1; SELECT ';'")?;
        let named = client.prepare("-- name: GetOne :one\nSELECT $1::int4")?;
        for _ in 0..3 {
            client.query(&named, &[&1i32])?;
        }
        assert!(client.batch_execute("SELECT 1/0").is_err());
        assert!(client.batch_execute("SELEC 1").is_err());
        client.batch_execute("begin; select 1; rollback")?;
        client.close()?;
        let log = server.statements()?.of("shop");
        assert_eq!(log.executions(), 2 + 3 + 1 + 1 + 3);
        assert_eq!(log.by_name().get("GetOne"), Some(&3));
        assert_eq!(log.errors("22012"), 1);
        assert_eq!(log.errors("42601"), 1);
        let statistics = server.statistics("shop")?;
        // The connection's start-up, the empty query, the Sync after Parse, the queries.
        assert_eq!(statistics.commits, 1 + 1 + 1 + 1 + 3);
        // 1/0, the syntax error, the rollback.
        assert_eq!(statistics.rollbacks, 3);
        Ok(())
    }
}
