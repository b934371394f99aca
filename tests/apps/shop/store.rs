//! The database and the cache.

use std::net::SocketAddr;
use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use deadpool_postgres::{Manager, Object, Pool};
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};

/// As many connections as the pool may have.
const CONNECTIONS: usize = 8;

/// What every handler shares.
pub(crate) struct Store {
    pool: Pool,
    redis: redis::Client,
    cache: OnceCell<MultiplexedConnection>,
}

/// A connection for the time of a request.
pub(crate) struct Session(Object);

/// Values of a statement's parameters.
pub(crate) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Store {
    /// Connects nowhere yet: the first request does.
    pub(crate) fn new(database: &str, redis: SocketAddr) -> Result<Self> {
        let manager = Manager::new(Config::from_str(database)?, NoTls);
        Ok(Self {
            pool: Pool::builder(manager).max_size(CONNECTIONS).build()?,
            redis: observer_tests::redis::client(redis)?,
            cache: OnceCell::new(),
        })
    }

    /// A connection of the pool.
    pub(crate) async fn session(&self) -> Result<Session> {
        let connection = self.pool.get().await.context("no database")?;
        Ok(Session(connection))
    }

    /// One statement on whichever connection is free.
    pub(crate) async fn rows(&self, text: &'static str, values: Values<'_>) -> Result<Vec<Row>> {
        self.session().await?.rows(text, values).await
    }

    /// The first row of a statement.
    pub(crate) async fn row(&self, text: &'static str, values: Values<'_>) -> Result<Option<Row>> {
        Ok(self.rows(text, values).await?.into_iter().next())
    }

    /// Sends commands to the cache in one write; their answers.
    pub(crate) async fn cached<T: FromRedisValue>(&self, commands: &redis::Pipeline) -> Result<T> {
        let connect = || self.redis.get_multiplexed_async_connection();
        let mut connection = self.cache.get_or_try_init(connect).await?.clone();
        Ok(commands.query_async(&mut connection).await?)
    }
}

impl Session {
    /// Runs a statement that is prepared once per connection.
    pub(crate) async fn rows(&self, text: &'static str, values: Values<'_>) -> Result<Vec<Row>> {
        let statement = self.0.prepare_cached(text).await?;
        Ok(self.0.query(&statement, values).await?)
    }

    /// The first row of a statement.
    pub(crate) async fn row(&self, text: &'static str, values: Values<'_>) -> Result<Option<Row>> {
        Ok(self.rows(text, values).await?.into_iter().next())
    }

    /// How many rows a statement changed.
    pub(crate) async fn change(&self, text: &'static str, values: Values<'_>) -> Result<u64> {
        let statement = self.0.prepare_cached(text).await?;
        Ok(self.0.execute(&statement, values).await?)
    }

    /// `begin`, `commit`, `rollback`, `SET …`: a text without parameters, in one message.
    pub(crate) async fn simple(&self, text: &str) -> Result<()> {
        Ok(self.0.batch_execute(text).await?)
    }
}

/// Makes the tables and what is in them, over a connection of its own.
pub(crate) async fn fill(database: &str) -> Result<()> {
    let mut config = Config::from_str(database)?;
    let (client, connection) = config.application_name("fill").connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let exists = "SELECT to_regclass('public.shops') IS NOT NULL";
    if !client.query_one(exists, &[]).await?.get::<_, bool>(0) {
        client.batch_execute(include_str!("schema.sql")).await?;
    }
    drop(client);
    Ok(connection.await??)
}
