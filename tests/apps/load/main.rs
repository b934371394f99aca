//! Drives a shop that is already running, and says what it sent.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use observer_tests::load::{Plan, Progress, run};

#[derive(Debug, Parser)]
struct Args {
    /// Where the shop serves
    address: SocketAddr,
    /// How long
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Requests per second
    #[arg(long, default_value_t = 400)]
    rate: u32,
    /// The same seed, the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 8)]
    connections: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let plan = Plan {
        address: args.address,
        seed: args.seed,
        rate: args.rate,
        connections: args.connections,
        duration: Duration::from_secs(args.seconds.into()),
    };
    let sent = run(plan, Arc::new(Progress::default())).await?;
    for ((method, endpoint, status), count) in &sent.answered {
        eprintln!("{count:>8} {method:<6} {status} {endpoint}");
    }
    for (operation, count) in &sent.errors {
        eprintln!("{count:>8} GraphQL errors in {operation}");
    }
    eprintln!("{:>8} answered, {} not", sent.total(), sent.unanswered);
    Ok(())
}
