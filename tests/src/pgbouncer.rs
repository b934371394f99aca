//! A real PgBouncer before a PostgreSQL.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::postgres::{Postgres, ROLE, url};
use crate::process::{Place, Process, free_port, need};

/// A running pooler; stopped when this goes.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    address: SocketAddr,
    _files: TempDir,
}

/// For how long a client has a connection to the database of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// For a transaction, as on the platform.
    Transaction,
    /// Until it leaves.
    Session,
}

impl PgBouncer {
    /// Starts a pooler in front of `upstream`.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn start(place: Place<'_>, upstream: &Postgres, pooling: Pooling) -> Result<Self> {
        // It refuses to run as root.
        let place = place.as_user("postgres")?;
        let files = tempfile::tempdir()?;
        place.own(files.path())?;
        let address = free_port()?;
        let users = files.path().join("users.txt");
        fs::write(&users, format!("\"{ROLE}\" \"\"\n"))?;
        let configuration = files.path().join("pgbouncer.ini");
        fs::write(
            &configuration,
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = {}\n\
                 listen_port = {}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
                 pool_mode = {}\nmax_client_conn = 200\ndefault_pool_size = 20\n\
                 ignore_startup_parameters = extra_float_digits\n",
                upstream.address().ip(),
                upstream.address().port(),
                address.ip(),
                address.port(),
                users.display(),
                match pooling {
                    Pooling::Transaction => "transaction",
                    Pooling::Session => "session",
                },
            ),
        )?;
        place.own(&users)?;
        place.own(&configuration)?;
        let mut command = Command::new(need("pgbouncer")?);
        command.arg(&configuration).current_dir(files.path());
        let log = files.path().join("pgbouncer.log");
        // SIGINT waits for clients, SIGTERM does not.
        let mut process = Process::start(command, &log, &place)?.stopped_by(Signal::SIGTERM);
        process.listens(address)?;
        Ok(Self {
            process,
            address,
            _files: files,
        })
    }

    /// The connection string for a database behind it.
    pub fn url(&self, database: &str) -> String {
        url(self.address, database)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

#[cfg(test)]
mod tests {
    use postgres::{Client, NoTls};

    use super::*;

    #[test]
    fn statements_pass_the_pooler() -> Result<()> {
        let server = Postgres::start(Place::default())?;
        server.create("shop")?;
        let pooler = PgBouncer::start(Place::default(), &server, Pooling::Transaction)?;
        let mut client = Client::connect(&pooler.url("shop"), NoTls)?;
        client.batch_execute("SELECT 'through the pooler'")?;
        let log = server.statements()?.of("shop");
        assert!(
            log.entries
                .iter()
                .any(|entry| entry.text.contains("through the pooler"))
        );
        Ok(())
    }
}
