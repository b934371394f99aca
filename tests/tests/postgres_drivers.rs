//! PostgreSQL as people's drivers speak it: what a driver issued, what the server's own books say
//! and what the agent counted are one and the same.

#[cfg(test)]
#[path = "postgres_drivers/account.rs"]
mod account;
#[cfg(test)]
#[path = "postgres_drivers/batches.rs"]
mod batches;
#[cfg(test)]
#[path = "postgres_drivers/drivers.rs"]
mod drivers;
#[cfg(test)]
#[path = "postgres_drivers/hops.rs"]
mod hops;
#[cfg(test)]
#[path = "postgres_drivers/joined.rs"]
mod joined;
#[cfg(test)]
#[path = "postgres_drivers/relay.rs"]
mod relay;
#[cfg(test)]
#[path = "postgres_drivers/scene.rs"]
mod scene;
#[cfg(test)]
#[path = "postgres_drivers/tokio_postgres.rs"]
mod tokio_postgres;
#[cfg(test)]
#[path = "postgres_drivers/transactions.rs"]
mod transactions;
#[cfg(test)]
#[path = "postgres_drivers/wire.rs"]
mod wire;
