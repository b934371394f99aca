//! Shows the agent at work on a small shop.

use std::process::Command;

use anyhow::{Result, bail};

use crate::packages::{self, Need};
use crate::{build, shell};

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the shop is under load
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Requests per second
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seed of the load: the same seed, the same requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if !shell::is_root() {
        bail!(
            "the demo loads programs into the kernel and makes a cgroup, which takes root: \
             run `sudo -E env \"PATH=$PATH\" cargo xtask demo`"
        );
    }
    packages::require(&[Need::Demo])?;
    let agent = build::agent_and(&["shop", "demo"])?;
    shell::become_it(
        Command::new(shell::top().join("target/release/demo"))
            .env("OBSERVER_BINARY", agent)
            .args(["--seconds", &args.seconds.to_string()])
            .args(["--rate", &args.rate.to_string()])
            .args(["--seed", &args.seed.to_string()]),
    )
}
