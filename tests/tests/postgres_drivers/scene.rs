//! A server whose databases are copies of one, so that a database is a scenario: the log, the
//! statistics and the agent's series are told apart by its name.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use observer_tests::cgroup::Cgroup;
use observer_tests::postgres::Postgres;
use observer_tests::process::Place;
use tempfile::TempDir;

/// What every database begins with.
const SCHEMA: &str = "
CREATE TABLE orders (order_id bigserial PRIMARY KEY, status text NOT NULL);
CREATE TABLE deferred (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION noisy(number int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'before the first row: %', number;
  RETURN number;
END $$;
CREATE FUNCTION quotient(divisor int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  RETURN 1 / divisor;
END $$;
";

/// The database where a password is asked for.
pub(crate) const SCRAM: &str = "scram";

/// A server in one cgroup, its clients in another.
pub(crate) struct Scene {
    pub(crate) server: Postgres,
    pub(crate) clients: Cgroup,
    pub(crate) servers: Cgroup,
    _files: TempDir,
}

impl Scene {
    /// With a database for each of these names, on which nothing has happened yet.
    pub(crate) fn new(databases: &[&str]) -> Result<Self> {
        let files = tempfile::tempdir()?;
        fs::set_permissions(files.path(), fs::Permissions::from_mode(0o755))?;
        let rules = files.path().join("pg_hba.conf");
        fs::write(
            &rules,
            format!(
                "host {SCRAM} app 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
            ),
        )?;
        let rules = rules.to_str().context("no UTF-8")?;
        let (clients, servers) = (Cgroup::create("client")?, Cgroup::create("database")?);
        let server = Postgres::with(Place::within(&servers), &[("hba_file", rules)])?;
        server.create("model")?;
        server.client("model")?.batch_execute(SCHEMA)?;
        let mut administrator = server.client("postgres")?;
        administrator.batch_execute("CREATE ROLE app LOGIN PASSWORD 'hunter2-s3cret'")?;
        for database in databases {
            administrator.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE model"))?;
        }
        Ok(Self {
            server,
            clients,
            servers,
            _files: files,
        })
    }
}
