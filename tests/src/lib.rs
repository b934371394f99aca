//! Harness for the tests that run observer against real servers on the real kernel.
//!
//! Every server is a guard: it listens on a free port of the loopback, keeps its files in a
//! directory of its own and is stopped by its process id when the guard goes, also when a test
//! panics. What a server says about itself is the oracle: a statement log, an access log,
//! `INFO commandstats`.

pub mod account;
pub mod agent;
pub mod apiserver;
pub mod apps;
pub mod cgroup;
pub mod languages;
pub mod legacy;
pub mod load;
pub mod network;
pub mod nginx;
pub mod node_exporter;
pub mod orders;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod promtool;
pub mod redis;
pub mod scrape;
pub mod shop;
pub mod terminal;
pub mod tree;
pub mod trial;
